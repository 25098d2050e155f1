/* worker_answer.c: what a worker says of its work: progress, lines, checkpoints, and its
 * answer. A lease that is not the worker's (any more) is FAILED_PRECONDITION; so the answer of
 * a worker that was given up counts no more. */
#define _GNU_SOURCE
#include "service/worker_impl.h"

#include <string.h>

#include "base/clock.h"
#include "base/util.h"

#define LINE_MAX_LEN (64u << 10) /* bytes */

/* NULL: there is no such lease, and the call is answered; also if its work was taken away. */
static struct worker_lease *lease_of(struct errand_call *call, const struct worker *w, uint64_t number)
{
	struct worker_lease *l = worker_lease_find(w, number);

	if (l == NULL || l->call == NULL)
		errand_fail(call, ERRAND_FAILED_PRECONDITION, "lease %llu is not this worker's (any more)",
			    (unsigned long long)number);
	return l;
}

static void pack_any(const Google__Protobuf__Any *any, struct buf *out)
{
	size_t size = google__protobuf__any__get_packed_size(any);
	uint8_t *room = buf_reserve(out, size + 1);

	out->len = google__protobuf__any__pack(any, room);
}

/* Only what clients know can be shown to them. */
static bool is_known(const Google__Protobuf__Any *any)
{
	const char *slash = strrchr(any->type_url, '/'), *name = slash != NULL ? slash + 1 : any->type_url;

	return schema_message(registry_schema(), name, strlen(name)) != NULL;
}

/* False: the call is answered. */
static bool check_progress(void *call, const Errand__V1__WorkerProgressRequest *in)
{
	if (in->detail != NULL && google__protobuf__any__get_packed_size(in->detail) > ERRAND_DETAIL_MAX)
		return worker_fault(call, "#/detail", "max_bytes", "a progress's detail has at most 16 KiB");
	if (in->detail != NULL && !is_known(in->detail))
		return worker_fault(call, "#/detail", "type", "no descriptor set describes this type");
	if (in->checkpoint != NULL && google__protobuf__any__get_packed_size(in->checkpoint) > ERRAND_CHECKPOINT_MAX)
		return worker_fault(call, "#/checkpoint", "max_bytes", "a checkpoint has at most 256 KiB");
	return true;
}

static void say_progress(struct errand_call *call, const Errand__V1__WorkerProgressRequest *in)
{
	AUTO_BUF detail = BUF_INIT, checkpoint = BUF_INIT;

	if (in->detail != NULL)
		pack_any(in->detail, &detail);
	if (in->checkpoint != NULL)
		pack_any(in->checkpoint, &checkpoint);
	/* One that only saves does not put the fraction back. */
	if (in->checkpoint == NULL || in->fraction != 0 || *in->message != '\0' || in->detail != NULL)
		call_progress(call, in->fraction, *in->message != '\0' ? in->message : NULL, buf_bytes(&detail));
	if (in->checkpoint != NULL)
		call_save(call, buf_bytes(&checkpoint));
}

void worker_answer_progress(Errand__V1__Workers_Service *service, const Errand__V1__WorkerProgressRequest *in,
		     Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker *w = worker_of(call, in->worker);
	struct worker_lease *l = w != NULL ? lease_of(call, w, in->lease) : NULL;

	if (l == NULL || l->call == NULL || !check_progress(call, in))
		return;
	say_progress(l->call, in);
	worker_done_empty(done, call);
}

/* A text of several lines is several lines, and a long one comes in pieces, as those of programs. */
static void say_lines(struct errand_call *call, const char *stream, const char *text)
{
	size_t len;

	do {
		len = strcspn(text, "\n");
		len = MIN(len, LINE_MAX_LEN);
		call_log(call, stream, text, len);
		text += len;
	} while (*text != '\0' && *(text += *text == '\n') != '\0');
}

void worker_answer_log(Errand__V1__Workers_Service *service, const Errand__V1__WorkerLogRequest *in,
		      Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker *w = worker_of(call, in->worker);
	struct worker_lease *l = w != NULL ? lease_of(call, w, in->lease) : NULL;
	const char *stream = *in->stream != '\0' ? in->stream : "handler";

	if (l == NULL || l->call == NULL)
		return;
	if (strcmp(stream, "handler") != 0 && strcmp(stream, "stdout") != 0 && strcmp(stream, "stderr") != 0) {
		worker_fault(call, "#/stream", "enum", "a stream is stdout, stderr or handler");
		return;
	}
	for (size_t i = 0; i < in->n_lines; i++)
		say_lines(l->call, stream, in->lines[i]);
	worker_done_empty(done, call);
}

/* --- its end --- */

/* To a task's answer the reply comes once it is recorded. */
struct reply {
	struct errand_call *call;
	Google__Protobuf__Empty_Closure done;
	bool refused;
};

static int reply_now(void *arg)
{
	struct reply *r = arg;

	if (r->refused)
		errand_fail(r->call, ERRAND_INVALID_ARGUMENT, "the output is not the method's output message");
	else
		worker_done_empty(r->done, r->call);
	free(r);
	return 0;
}

static struct reply *reply_new(void *call, Google__Protobuf__Empty_Closure done)
{
	struct reply *r = xcalloc(1, sizeof *r);

	r->call = call;
	r->done = done;
	return r;
}

/* False: he is to be told now. Before the answer. */
static bool reply_later(struct reply *r, struct errand_call *work)
{
	return errand_task_id(work) != NULL && errand_after(work, "worker", reply_now, r) == 0;
}

/* What was taken away is over for the worker, too, now. */
static struct worker_lease *lease_to_end(void *call, struct worker *w, uint64_t number)
{
	struct worker_lease *l = w != NULL ? lease_of(call, w, number) : NULL;

	if (l == NULL || l->call != NULL)
		return l;
	worker_lease_end(l);
	worker_changed(w);
	return NULL;
}

void worker_answer_complete(Errand__V1__Workers_Service *service, const Errand__V1__CompleteRequest *in,
		     Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker *w = worker_of(call, in->worker);
	struct worker_lease *l = lease_to_end(call, w, in->lease);
	struct reply *r;
	bool later;

	if (l == NULL)
		return;
	r = reply_new(call, done);
	later = reply_later(r, l->call);
	errand_final(l->call); /* what is no answer will be none the next time either */
	r->refused = call_answer_bytes(l->call, (struct bytes){in->output.data, in->output.len}) < 0;
	worker_lease_end(l);
	worker_changed(w);
	if (!later)
		reply_now(r);
}

static void fail_with(struct errand_call *work, const Errand__V1__FailRequest *in)
{
	AUTO_BUF problem = BUF_INIT;

	if (in->final)
		errand_final(work);
	if (in->retry_after != NULL)
		errand_retry_after(work, MIN(MAX(in->retry_after->seconds, 0), 365 * 86400) * NS_PER_S + in->retry_after->nanos);
	if (in->exit_status != 0 || in->signal != 0 || in->oom)
		call_set_exit(work, in->exit_status, in->signal, in->oom);
	if (in->usage != NULL) {
		AUTO_BUF usage = BUF_INIT;

		usage.len = errand__v1__usage__pack(in->usage, buf_reserve(&usage, errand__v1__usage__get_packed_size(in->usage) + 1));
		call_set_usage(work, buf_bytes(&usage));
	}
	if (in->problem == NULL) {
		errand_fail(work, in->code, "%s", in->message);
		return;
	}
	problem.len = errand__v1__problem__pack(in->problem, buf_reserve(&problem, errand__v1__problem__get_packed_size(in->problem) + 1));
	call_fail_problem(work, in->code, in->message, buf_bytes(&problem));
}

void worker_answer_fail(Errand__V1__Workers_Service *service, const Errand__V1__FailRequest *in,
		 Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker *w = worker_of(call, in->worker);
	struct worker_lease *l;
	struct reply *r;
	bool later;

	if (w != NULL && (in->code <= ERRAND_OK || in->code > ERRAND_UNAUTHENTICATED)) {
		worker_fault(call, "#/code", "range", "a code of google.rpc.Code, 1 to 16");
		return;
	}
	l = lease_to_end(call, w, in->lease);
	if (l == NULL)
		return;
	r = reply_new(call, done);
	later = reply_later(r, l->call);
	fail_with(l->call, in);
	worker_lease_end(l);
	worker_changed(w);
	if (!later)
		reply_now(r);
}

