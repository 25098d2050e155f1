/* worker_list.c: the workers that are known, for people: shown, and forgotten. */
#define _GNU_SOURCE
#include "service/worker_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "service/task_api.h"

enum { CONFLICT = 409 };

static void put_time(struct buf *out, uint32_t field, int64_t us)
{
	AUTO_BUF t = BUF_INIT;

	pbuf_put_uint(&t, 1, (uint64_t)(us / US_PER_S));
	pbuf_put_uint(&t, 2, (uint64_t)(us % US_PER_S * 1000));
	pbuf_put_bytes(out, field, t.data, t.len);
}

static void put_services(const struct worker_set *set, struct buf *out)
{
	pbuf_put_str(out, 1, set->name);
	for (size_t i = 0; i < set->given->n_services; i++)
		pbuf_put_str(out, 3, set->given->services[i]);
}

static void put_absent(const struct worker_set *set, struct buf *out)
{
	put_services(set, out);
	for (size_t i = 0; i < set->queues.n; i++)
		pbuf_put_str(out, 4, set->queues.names[i]);
}

static void put_worker(const struct worker *w, struct buf *out)
{
	unsigned n_tasks = 0;

	put_services(w->set, out);
	for (size_t i = 0; i < w->n_uses; i++) {
		n_tasks += w->uses[i].n_busy;
		pbuf_put_str(out, 4, w->uses[i].queue->name);
	}
	pbuf_put_str(out, 2, w->id);
	pbuf_put_uint(out, 5, w->tasks);
	pbuf_put_uint(out, 6, w->calls);
	pbuf_put_uint(out, 7, n_tasks);
	pbuf_put_uint(out, 8, w->n_calls);
	pbuf_put_uint(out, 9, (uint64_t)w->pid);
	put_time(out, 10, w->connect_us);
	put_time(out, 11, w->seen_us);
	pbuf_put_uint(out, 12, w->state == WORKER_LEAVING);
}

static int by_name(const void *a, const void *b)
{
	const struct worker_set *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* Those that are known, by name; owned array. */
static struct worker_set **known_sets(size_t *n)
{
	struct worker_set **list = xcalloc(WORKER_SETS_MAX, sizeof(struct worker_set *)), *set;

	*n = 0;
	for (size_t pos = 0; (set = worker_set_next(&pos)) != NULL;)
		if (set->given != NULL)
			list[(*n)++] = set;
	if (*n > 1)
		qsort((void *)list, *n, sizeof *list, by_name);
	return list;
}

static void put_all(const struct worker_set *set, struct buf *out)
{
	AUTO_BUF one = BUF_INIT;

	if (list_empty(&set->workers)) {
		put_absent(set, &one);
		pbuf_put_bytes(out, 1, one.data, one.len);
	}
	LIST_FOREACH(node, &set->workers) {
		buf_reset(&one);
		put_worker(LIST_ENTRY(node, struct worker, node), &one);
		pbuf_put_bytes(out, 1, one.data, one.len);
	}
}

void worker_list_all(Errand__V1__Workers_Service *service, const Errand__V1__ListWorkersRequest *in,
			 Errand__V1__ListWorkersReply_Closure done, void *call)
{
	Errand__V1__ListWorkersReply *reply;
	AUTO_BUF out = BUF_INIT;
	size_t n;
	AUTO_FREE struct worker_set **list = known_sets(&n);

	for (size_t i = 0; i < n; i++)
		put_all(list[i], &out);
	reply = errand__v1__list_workers_reply__unpack(NULL, out.len, out.data);
	errand_set_metadata(call, "cache-control", "no-store");
	if (reply == NULL) {
		errand_fail(call, ERRAND_INTERNAL, "the workers cannot be shown");
		return;
	}
	done(reply, call);
	errand__v1__list_workers_reply__free_unpacked(reply, NULL);
}

struct forgetting {
	struct errand_call *call;
	Google__Protobuf__Empty_Closure done;
};

static void on_forgotten(int code, void *arg)
{
	struct forgetting *r = arg;

	if (code < 0)
		errand_fail(r->call, ERRAND_UNAVAILABLE, "the record of this worker could not be removed");
	else
		errand_set_metadata(r->call, "errand-http-status", "204");
	if (code == 0)
		worker_done_empty(r->done, r->call);
	free(r);
}

/* Takes why. */
static void refuse_forget(struct errand_call *call, char *why)
{
	AUTO_BUF problem = BUF_INIT;

	task_problem_put(&problem, ERRAND_FAILED_PRECONDITION, CONFLICT, why);
	call_fail_problem(call, ERRAND_FAILED_PRECONDITION, why, buf_bytes(&problem));
	free(why);
}

void worker_list_forget(Errand__V1__Workers_Service *service, const Errand__V1__ForgetWorkerRequest *in,
			  Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker_set *set = worker_set_find(in->name);
	struct forgetting *r;
	const char *queue;

	if (set == NULL) {
		errand_fail(call, ERRAND_NOT_FOUND, "no worker of the name %.100s is known", in->name);
	} else if (!list_empty(&set->workers)) {
		refuse_forget(call, xasprintf("a worker of the name %.100s is connected: stop it first", in->name));
	} else if ((queue = worker_set_busy(set)) != NULL) {
		refuse_forget(call, xasprintf("tasks wait in queue %.100s: let a worker run them, or purge it first",
					      queue));
	} else {
		r = xcalloc(1, sizeof *r);
		*r = (struct forgetting){.call = call, .done = done};
		worker_set_forget(in->name, on_forgotten, r);
	}
}

