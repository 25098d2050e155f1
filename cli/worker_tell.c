/* worker_tell.c: what `errand worker` tells the service while programs run: calls whose
 * replies come when they come. A reply may say that a lease is gone: then so is its work. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>

#include "base/pbuf.h"
#include "base/util.h"
#include "cli/worker_impl.h"

struct tell {
	struct worker *w;
	uint64_t lease;           /* 0: none */
	bool ends;                /* it is the answer */
	uint64_t newest;          /* of a heartbeat: the newest lease we had; else 0 */
};

struct worker_job *worker_job_of(struct worker *w, uint64_t lease)
{
	LIST_FOREACH(node, &w->jobs) {
		struct worker_job *j = LIST_ENTRY(node, struct worker_job, node);

		if (j->lease == lease)
			return j;
	}
	return NULL;
}

/* Its lease is gone: the work is void. */
static void job_lose(struct worker_job *j)
{
	j->lost = true;
	program_signal(&j->program, SIGKILL);
}

void worker_over(struct worker *w, int code, const char *why)
{
	w->over = true;
	w->code = code;
	free(w->why);
	w->why = xstrdup(why);
	LIST_FOREACH(node, &w->jobs)
		job_lose(LIST_ENTRY(node, struct worker_job, node));
}

static bool has_lease(struct bytes reply, uint64_t lease)
{
	struct pbuf_reader r = pbuf_reader(reply.data, reply.len);
	struct pbuf_field f;
	uint64_t v;

	while (pbuf_next(&r, &f)) {
		struct pbuf_reader list = pbuf_reader(f.bytes.data, f.wire == PBUF_LEN ? f.bytes.len : 0);

		if (f.number == 1 && f.wire == PBUF_VARINT && f.value == lease)
			return true;
		while (f.number == 1 && list.p < list.end && pbuf_read_varint(&list, &v))
			if (v == lease)
				return true;
	}
	return false;
}

/* What we had then and the service does not know is lost. A service that is silent for a whole lease
 * has given all of it to others. */
static void on_beat(struct worker *w, const struct tell *t, const struct errand_reply *reply)
{
	struct bytes leases = {reply->payload, reply->payload_len};

	if (reply->code == ERRAND_DEADLINE_EXCEEDED || reply->code == ERRAND_NOT_FOUND) {
		worker_over(w, ERRAND_UNAVAILABLE, "the service does not answer");
		return;
	}
	LIST_FOREACH(node, &w->jobs) {
		struct worker_job *j = LIST_ENTRY(node, struct worker_job, node);

		if (reply->code == ERRAND_OK && j->lease <= t->newest && !has_lease(leases, j->lease))
			job_lose(j);
	}
}

static void on_told(const struct errand_reply *reply, void *arg)
{
	struct tell *t = arg;
	struct worker_job *j = worker_job_of(t->w, t->lease);

	t->w->n_calls--;
	if (reply->code != ERRAND_OK && t->ends)
		cli_error("worker: the answer did not count: %s", reply->message);
	if (reply->code == ERRAND_FAILED_PRECONDITION && j != NULL)
		job_lose(j);
	if (t->newest != 0 && !t->w->over)
		on_beat(t->w, t, reply);
	free(t);
}

static bool submit(struct worker *w, const char *method, const struct tell *what, int64_t timeout_ns,
		   const struct buf *message)
{
	struct tell *t = xcalloc(1, sizeof *t);
	const struct errand_callbacks callbacks = {.on_reply = on_told, .arg = t};
	const struct errand_call_options o = {.timeout_ns = timeout_ns};
	AUTO_BUF in = BUF_INIT;

	*t = *what;
	buf_append(&in, message->data, message->len);
	pbuf_put_str(&in, 1, w->id);
	w->n_calls++;
	if (errand_client_submit(w->backend.client, WORKERS_SERVICE, method, in.data, in.len, &o, &callbacks, NULL) == 0)
		return true;
	w->n_calls--;
	free(t);
	return false;
}

/* message: all but the worker's id. False: it cannot be sent. */
bool worker_tell(struct worker *w, const char *method, uint64_t lease, bool ends, const struct buf *message)
{
	return submit(w, method, &(struct tell){w, lease, ends, 0}, 0, message);
}

void worker_beat(struct worker *w)
{
	struct tell t = {.w = w, .newest = 1};
	AUTO_BUF none = BUF_INIT;

	LIST_FOREACH(node, &w->jobs)
		t.newest = MAX(t.newest, LIST_ENTRY(node, struct worker_job, node)->lease);
	submit(w, "Heartbeat", &t, w->lease_ns, &none);
}
