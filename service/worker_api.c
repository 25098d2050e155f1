/* worker_api.c: the handlers of errand.v1.Workers. A worker names itself by the id that it
 * was given when it registered, on whatever connection: who may connect to the socket at all
 * is one circle of trust (listener.h). An id that is not known (any more) is NOT_FOUND, a
 * lease that is not the worker's (any more) is FAILED_PRECONDITION. */
#define _GNU_SOURCE
#include "service/worker_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "service/task_api.h"
#include "service/task_options.h"

#define LEASE_MIN_S 1
#define LEASE_MAX_S 3600
#define LEASE_METHOD "errand.v1.Workers/Lease"
enum { CONFLICT = 409 };

/* --- who asks --- */

/* NULL: the call is answered. */
static struct worker *worker_of(struct errand_call *call, const char *id)
{
	struct worker *w = worker_find(id);

	if (w == NULL)
		errand_fail(call, ERRAND_NOT_FOUND, "no worker %.40s is known (any more): register again", id);
	else
		worker_seen(w);
	return w;
}

static struct worker_lease *lease_of(struct errand_call *call, const struct worker *w, uint64_t number)
{
	struct worker_lease *l = worker_lease_find(w, number);

	if (l == NULL || l->call == NULL)
		errand_fail(call, ERRAND_FAILED_PRECONDITION, "lease %llu is not this worker's (any more)",
			    (unsigned long long)number);
	return l;
}

static void done_empty(Google__Protobuf__Empty_Closure done, void *call)
{
	Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;

	done(&empty, call);
}

/* --- registering --- */

struct registering {
	struct errand_call *call;
	Errand__V1__RegisterWorkerReply_Closure done;
	const Errand__V1__RegisterWorkerRequest *in; /* lives until the call is answered */
	struct worker_set *set;
};

static void reply_registered(struct registering *r, const struct worker *w)
{
	Errand__V1__RegisterWorkerReply reply = ERRAND__V1__REGISTER_WORKER_REPLY__INIT;
	Google__Protobuf__Duration lease = GOOGLE__PROTOBUF__DURATION__INIT;

	lease.seconds = w->lease_ns / NS_PER_S;
	lease.nanos = (int32_t)(w->lease_ns % NS_PER_S);
	reply.worker = (char *)w->id;
	reply.lease_duration = &lease;
	reply.n_queues = w->set->n_queues;
	reply.queues = w->set->queues;
	r->done(&reply, r->call);
}

static void on_stored(int code, void *arg)
{
	struct registering *r = arg;
	struct worker *w = NULL;

	if (code < 0)
		errand_fail(r->call, code == -ERRAND_RESOURCE_EXHAUSTED ? ERRAND_RESOURCE_EXHAUSTED : ERRAND_UNAVAILABLE,
			    "what was registered could not be stored");
	else if (worker_draining)
		errand_fail(r->call, ERRAND_UNAVAILABLE, "the service is stopping");
	else if (worker_set_find(r->in->name) == NULL)
		errand_fail(r->call, ERRAND_ABORTED, "it was forgotten meanwhile: register again");
	else if ((w = worker_new(r->set, r->in)) == NULL)
		errand_fail(r->call, ERRAND_RESOURCE_EXHAUSTED, "%d workers are connected already", WORKER_MAX);
	else
		reply_registered(r, w);
	free(r);
}

static bool fault(void *call, const char *pointer, const char *rule, const char *why)
{
	errand_fail_field(call, pointer, rule, "%s", why);
	return false;
}

/* False: the call is answered. */
static bool check_request(void *call, const Errand__V1__RegisterWorkerRequest *in)
{
	const Google__Protobuf__Duration *d = in->lease_duration;

	if (!task_queue_name_ok(in->name))
		return fault(call, "#/name", "name", "a worker's name has letters, digits, '.', '_' and '-', 1 to 100");
	if (in->n_services == 0 && in->n_queues == 0)
		return fault(call, "#/queues", "required", "a worker serves a service or takes from a queue");
	if (in->n_services > WORKER_LISTS_MAX)
		return fault(call, "#/services", "max_items", "at most 100 services");
	if (in->n_queues > WORKER_LISTS_MAX)
		return fault(call, "#/queues", "max_items", "at most 100 queues");
	if (in->n_services > 0 && in->descriptor_set.len == 0)
		return fault(call, "#/descriptorSet", "required", "the services must be described");
	if (in->tasks > WORKER_TASKS_MAX)
		return fault(call, "#/tasks", "max", "at most 1000 tasks at a time");
	if (in->calls > WORKER_CALLS_MAX)
		return fault(call, "#/calls", "max", "at most 10000 calls at a time");
	if (d != NULL && (d->seconds < LEASE_MIN_S || d->seconds > LEASE_MAX_S || d->nanos < 0 ||
			  (d->seconds == LEASE_MAX_S && d->nanos > 0)))
		return fault(call, "#/leaseDuration", "range", "from 1 s to 1 h");
	return true;
}

static void register_worker(Errand__V1__Workers_Service *service,
			    const Errand__V1__RegisterWorkerRequest *in,
			    Errand__V1__RegisterWorkerReply_Closure done, void *call)
{
	struct registering *r;
	struct worker_set *set;
	char why[512];
	int code;

	if (!check_request(call, in))
		return;
	code = worker_set_put(in, &set, why, sizeof why);
	if (code < 0) {
		errand_fail(call, -code, "%s", why);
		return;
	}
	r = xcalloc(1, sizeof *r);
	*r = (struct registering){.call = call, .done = done, .in = in, .set = set};
	worker_set_store(set, on_stored, r);
}

static void lease(Errand__V1__Workers_Service *service, const Errand__V1__LeaseRequest *in,
		  Errand__V1__Order_Closure done, void *call)
{
	struct worker *w = worker_of(call, in->worker);

	if (w == NULL)
		return;
	if (w->stream != NULL)
		errand_fail(call, ERRAND_FAILED_PRECONDITION, "this worker has its Lease stream already");
	else
		worker_open(w, call);
}

bool worker_is_stream(const struct method *m)
{
	return strcmp(m->schema->full_name, LEASE_METHOD) == 0;
}

/* --- while it works --- */

static void heartbeat(Errand__V1__Workers_Service *service, const Errand__V1__HeartbeatRequest *in,
		      Errand__V1__HeartbeatReply_Closure done, void *call)
{
	Errand__V1__HeartbeatReply reply = ERRAND__V1__HEARTBEAT_REPLY__INIT;
	struct worker *w = worker_of(call, in->worker);

	if (w == NULL)
		return;
	reply.leases = xcalloc(w->n_live + 1, sizeof *reply.leases);
	LIST_FOREACH(node, &w->leases) {
		const struct worker_lease *l = LIST_ENTRY(node, struct worker_lease, node);

		if (l->call != NULL)
			reply.leases[reply.n_leases++] = l->number;
	}
	done(&reply, call);
	free(reply.leases);
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
		return fault(call, "#/detail", "max_bytes", "a progress's detail has at most 16 KiB");
	if (in->detail != NULL && !is_known(in->detail))
		return fault(call, "#/detail", "type", "no descriptor set describes this type");
	if (in->checkpoint != NULL && google__protobuf__any__get_packed_size(in->checkpoint) > ERRAND_CHECKPOINT_MAX)
		return fault(call, "#/checkpoint", "max_bytes", "a checkpoint has at most 256 KiB");
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

static void progress(Errand__V1__Workers_Service *service, const Errand__V1__WorkerProgressRequest *in,
		     Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker *w = worker_of(call, in->worker);
	struct worker_lease *l = w != NULL ? lease_of(call, w, in->lease) : NULL;

	if (l == NULL || l->call == NULL || !check_progress(call, in))
		return;
	say_progress(l->call, in);
	done_empty(done, call);
}

static void log_lines(Errand__V1__Workers_Service *service, const Errand__V1__WorkerLogRequest *in,
		      Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker *w = worker_of(call, in->worker);
	struct worker_lease *l = w != NULL ? lease_of(call, w, in->lease) : NULL;
	const char *stream = *in->stream != '\0' ? in->stream : "handler";

	if (l == NULL || l->call == NULL)
		return;
	if (strcmp(stream, "handler") != 0 && strcmp(stream, "stdout") != 0 && strcmp(stream, "stderr") != 0) {
		fault(call, "#/stream", "enum", "a stream is stdout, stderr or handler");
		return;
	}
	for (size_t i = 0; i < in->n_lines; i++)
		call_log(l->call, stream, in->lines[i], strlen(in->lines[i]));
	done_empty(done, call);
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
		done_empty(r->done, r->call);
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

static void complete(Errand__V1__Workers_Service *service, const Errand__V1__CompleteRequest *in,
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

static void fail(Errand__V1__Workers_Service *service, const Errand__V1__FailRequest *in,
		 Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker *w = worker_of(call, in->worker);
	struct worker_lease *l;
	struct reply *r;
	bool later;

	if (w != NULL && (in->code <= ERRAND_OK || in->code > ERRAND_UNAUTHENTICATED)) {
		fault(call, "#/code", "range", "a code of google.rpc.Code, 1 to 16");
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

static void drain(Errand__V1__Workers_Service *service, const Errand__V1__DrainRequest *in,
		  Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker *w = worker_of(call, in->worker);

	if (w == NULL)
		return;
	if (w->stream == NULL) {
		errand_fail(call, ERRAND_FAILED_PRECONDITION, "this worker has no Lease stream");
		return;
	}
	worker_leave(w, "it was drained", false);
	done_empty(done, call);
}

/* --- for people --- */

static void put_time(struct buf *out, uint32_t field, int64_t us)
{
	AUTO_BUF t = BUF_INIT;

	pbuf_put_uint(&t, 1, (uint64_t)(us / US_PER_S));
	pbuf_put_uint(&t, 2, (uint64_t)(us % US_PER_S * 1000));
	pbuf_put_bytes(out, field, t.data, t.len);
}

static void put_set(const struct worker_set *set, struct buf *out)
{
	pbuf_put_str(out, 1, set->name);
	for (size_t i = 0; i < set->given->n_services; i++)
		pbuf_put_str(out, 3, set->given->services[i]);
	for (size_t i = 0; i < set->n_queues; i++)
		pbuf_put_str(out, 4, set->queues[i]);
}

static void put_worker(const struct worker *w, struct buf *out)
{
	unsigned n_tasks = 0;

	for (size_t i = 0; i < w->n_uses; i++)
		n_tasks += w->uses[i].n_busy;
	put_set(w->set, out);
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
		put_set(set, &one);
		pbuf_put_bytes(out, 1, one.data, one.len);
	}
	LIST_FOREACH(node, &set->workers) {
		buf_reset(&one);
		put_worker(LIST_ENTRY(node, struct worker, node), &one);
		pbuf_put_bytes(out, 1, one.data, one.len);
	}
}

static void list_workers(Errand__V1__Workers_Service *service, const Errand__V1__ListWorkersRequest *in,
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

static void on_forgotten(int code, void *arg)
{
	struct reply *r = arg;

	if (code < 0) {
		errand_fail(r->call, ERRAND_UNAVAILABLE, "the record of this worker could not be removed");
		free(r);
		return;
	}
	errand_set_metadata(r->call, "errand-http-status", "204");
	reply_now(r);
}

/* Takes why. */
static void refuse_forget(struct errand_call *call, char *why)
{
	AUTO_BUF problem = BUF_INIT;

	task_problem_put(&problem, ERRAND_FAILED_PRECONDITION, CONFLICT, why);
	call_fail_problem(call, ERRAND_FAILED_PRECONDITION, why, buf_bytes(&problem));
	free(why);
}

static void forget_worker(Errand__V1__Workers_Service *service, const Errand__V1__ForgetWorkerRequest *in,
			  Google__Protobuf__Empty_Closure done, void *call)
{
	struct worker_set *set = worker_set_find(in->name);
	const char *queue;

	if (set == NULL) {
		errand_fail(call, ERRAND_NOT_FOUND, "no worker of the name %.100s is known", in->name);
	} else if (!list_empty(&set->workers)) {
		refuse_forget(call, xasprintf("a worker of the name %.100s is connected: stop it first", in->name));
	} else if ((queue = worker_set_busy(set)) != NULL) {
		refuse_forget(call, xasprintf("tasks wait in queue %.100s: let a worker run them, or purge it first",
					      queue));
	} else {
		worker_set_forget(in->name, on_forgotten, reply_new(call, done));
	}
}

static Errand__V1__Workers_Service workers_service = {
	.base = {&errand__v1__workers__descriptor, protobuf_c_service_invoke_internal, NULL},
	.register_worker = register_worker,
	.lease = lease,
	.heartbeat = heartbeat,
	.progress = progress,
	.log = log_lines,
	.complete = complete,
	.fail = fail,
	.drain = drain,
	.list_workers = list_workers,
	.forget_worker = forget_worker,
};

ProtobufCService *worker_api_service(void)
{
	return &workers_service.base;
}
