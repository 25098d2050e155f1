/* worker_api.c: the handlers of errand.v1.Workers. A worker names itself by the id that it
 * was given when it registered, on whatever connection: who may connect to the socket at all
 * is one circle of trust (listener.h). An id that is not known (any more) is NOT_FOUND, a
 * lease that is not the worker's (any more) is FAILED_PRECONDITION. */
#define _GNU_SOURCE
#include "service/worker_impl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "service/task_options.h"

#define LEASE_MIN_S 1
#define LEASE_MAX_S 3600
#define LEASE_METHOD "errand.v1.Workers/Lease"

/* --- who asks --- */

struct worker *worker_of(struct errand_call *call, const char *id)
{
	struct worker *w = worker_find(id);

	if (w == NULL)
		errand_fail(call, ERRAND_NOT_FOUND, "no worker %.40s is known (any more): register again", id);
	else
		worker_seen(w);
	return w;
}

void worker_done_empty(Google__Protobuf__Empty_Closure done, void *call)
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
	unsigned version;      /* of the set with what this one brought */
};

static void reply_registered(struct registering *r, const struct worker *w)
{
	Errand__V1__RegisterWorkerReply reply = ERRAND__V1__REGISTER_WORKER_REPLY__INIT;
	Google__Protobuf__Duration lease = GOOGLE__PROTOBUF__DURATION__INIT;

	lease.seconds = w->lease_ns / NS_PER_S;
	lease.nanos = (int32_t)(w->lease_ns % NS_PER_S);
	reply.worker = (char *)w->id;
	reply.lease_duration = &lease;
	reply.n_queues = w->n_uses;
	reply.queues = xcalloc(w->n_uses + 1, sizeof(char *));
	for (size_t i = 0; i < w->n_uses; i++)
		reply.queues[i] = w->uses[i].queue->name;
	r->done(&reply, r->call);
	free(reply.queues);
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
	else if ((w = worker_new(r->set, r->version, r->in)) == NULL)
		errand_fail(r->call, ERRAND_RESOURCE_EXHAUSTED, "%d workers are connected already", WORKER_MAX);
	else
		reply_registered(r, w);
	free(r);
}

bool worker_fault(struct errand_call *call, const char *pointer, const char *rule, const char *why)
{
	errand_fail_field(call, pointer, rule, "%s", why);
	return false;
}

/* False: the call is answered. */
static bool check_request(void *call, const Errand__V1__RegisterWorkerRequest *in)
{
	const Google__Protobuf__Duration *d = in->lease_duration;

	if (!task_queue_name_ok(in->name))
		return worker_fault(call, "#/name", "name", "a worker's name has letters, digits, '.', '_' and '-', 1 to 100");
	if (in->n_services == 0 && in->n_queues == 0)
		return worker_fault(call, "#/queues", "required", "a worker serves a service or takes from a queue");
	if (in->n_services > WORKER_LISTS_MAX)
		return worker_fault(call, "#/services", "max_items", "at most 100 services");
	if (in->n_queues > WORKER_LISTS_MAX)
		return worker_fault(call, "#/queues", "max_items", "at most 100 queues");
	if (in->n_services > 0 && in->descriptor_set.len == 0)
		return worker_fault(call, "#/descriptorSet", "required", "the services must be described");
	if (in->tasks > WORKER_TASKS_MAX)
		return worker_fault(call, "#/tasks", "max", "at most 1000 tasks at a time");
	if (in->calls > WORKER_CALLS_MAX)
		return worker_fault(call, "#/calls", "max", "at most 10000 calls at a time");
	if (d != NULL && (d->seconds < LEASE_MIN_S || d->seconds > LEASE_MAX_S || d->nanos < 0 ||
			  (d->seconds == LEASE_MAX_S && d->nanos > 0)))
		return worker_fault(call, "#/leaseDuration", "range", "from 1 s to 1 h");
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
	*r = (struct registering){.call = call, .done = done, .in = in, .set = set,
				  .version = set->version};
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
	worker_done_empty(done, call);
}

static Errand__V1__Workers_Service workers_service = {
	.base = {&errand__v1__workers__descriptor, protobuf_c_service_invoke_internal, NULL},
	.register_worker = register_worker,
	.lease = lease,
	.heartbeat = heartbeat,
	.progress = worker_answer_progress,
	.log = worker_answer_log,
	.complete = worker_answer_complete,
	.fail = worker_answer_fail,
	.drain = drain,
	.list_workers = worker_list_all,
	.forget_worker = worker_list_forget,
};

ProtobufCService *worker_api_service(void)
{
	return &workers_service.base;
}
