/* dispatch.c: see dispatch.h. An ordinary call is made of the request as it
 * stands; its answer goes back as it comes, or once the tasks it makes are stored. */
#include "service/dispatch.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/util.h"
#include "service/audit.h"
#include "service/call.h"
#include "service/durable.h"
#include "service/enqueue.h"
#include "service/identity.h"
#include "service/registry.h"
#include "service/task_api.h"
#include "service/worker.h"

static int64_t default_deadline_ns;

void dispatch_init(int64_t deadline_ns)
{
	default_deadline_ns = deadline_ns;
}

/* --- the answer of a call --- */

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, s != NULL ? strlen(s) : 0};
}

static void add_metadata(struct wire_response *w, const struct answer *a)
{
	w->n_metadata = 0;
	for (size_t i = 0; i < a->n_metadata; i++)
		wire_pair_add(w->metadata, &w->n_metadata, a->metadata[i].key, text(a->metadata[i].value));
}

/* A message of a handler may quote bytes of a peer; a status must be UTF-8. */
static void make_utf8(char *s)
{
	size_t len = s != NULL ? strlen(s) : 0, at = 0;

	while ((at += json_utf8_valid((const uint8_t *)s + at, len - at)) < len)
		s[at] = '?';
}

static void on_delivered(void *arg)
{
	call_delivered(arg);
}

/* Work after the response waits until it is delivered; `held`: it does already. */
static void send_answer(struct errand_call *call, struct answer *a, struct request *r, bool held)
{
	bool after = held || call_has_after(call);
	struct wire_response w;

	make_utf8(a->message);
	w.code = a->code;
	w.message = text(a->message);
	w.details = buf_bytes(&a->problem);
	w.payload = buf_bytes(&a->payload);
	add_metadata(&w, a);
	if (after && !held)
		call_hold(call);
	session_answer(r, &w, after ? on_delivered : NULL, call);
}

/* --- an answer that makes tasks: it is sent once they are stored --- */

struct pending {
	struct errand_call *call;  /* held */
	struct request *request;   /* NULL: the client has gone */
	struct answer answer;
};

static void pending_cancelled(struct request *r)
{
	struct pending *p = r->op;

	p->request = NULL;
}

static void fail_answer(struct answer *a, int code, const char *why)
{
	answer_deinit(a);
	a->code = task_failure(code, why, &a->problem);
	a->message = xstrdup(why);
}

static void on_committed(int code, const char *why, void *arg)
{
	struct pending *p = arg;

	if (code != 0)
		fail_answer(&p->answer, code, why);
	if (p->request != NULL)
		send_answer(p->call, &p->answer, p->request, true);
	else
		call_delivered(p->call);
	answer_deinit(&p->answer);
	free(p);
}

static void commit(struct errand_call *call, struct answer *a, struct request *r)
{
	struct pending *p = xcalloc(1, sizeof *p);
	struct call_tasks *tasks = a->tasks;

	call_hold(call);
	p->call = call;
	p->request = r;
	p->answer = *a;
	p->answer.tasks = NULL;
	*a = (struct answer){.code = p->answer.code};
	r->op = p;
	r->cancelled = pending_cancelled;
	r->writable = NULL;
	enqueue_commit(tasks, on_committed, p);
}

static void on_answered(struct errand_call *call, struct answer *a, void *arg)
{
	audit_call(call, a->code);
	if (a->code == 0 && a->tasks != NULL)
		commit(call, a, arg);
	else
		send_answer(call, a, arg, false);
}

static int on_message(struct errand_call *call, struct bytes message, void *arg)
{
	struct request *r = arg;
	int n = session_send(r, message);

	if (n >= 0)
		return n;
	call_abandon(call);
	session_answer_error(r, ERRAND_RESOURCE_EXHAUSTED, "a message of the stream is too large");
	return n;
}

static const struct call_source source = {
	.name = "session",
	.answered = on_answered,
	.message = on_message,
};

static void on_cancelled(struct request *r)
{
	call_cancel(r->op, ERRAND_CANCELLED, true);
}

static void on_writable(struct request *r)
{
	call_writable(r->op);
}

/* --- requests --- */

static void start_call(struct request *r, const struct method *method, const struct wire_request *w, const char *identity)
{
	struct call_params p = {
		.method = method,
		.source = &source,
		.arg = r,
		.payload = w->payload,
		.metadata = w->metadata,
		.n_metadata = w->n_metadata,
		.identity = identity,
	};
	int64_t timeout = w->timeout_ns;

	if (timeout <= 0 && !method->schema->server_streaming)
		timeout = default_deadline_ns;
	if (timeout > 0 && __builtin_add_overflow(clock_mono_ns(), timeout, &p.deadline_ns))
		p.deadline_ns = 0;
	r->cancelled = on_cancelled;
	r->works_for_us = worker_is_stream(method);
	r->writable = method->schema->server_streaming ? on_writable : NULL;
	r->op = call_start(&p);
}

static bool is_one(struct bytes b)
{
	return b.len == 1 && b.data[0] == '1';
}

/* The service exists, but not this method of it; or not even that. */
static void answer_unknown(struct request *r, const struct wire_request *w)
{
	const struct schema_service *s = schema_service(registry_schema(), (const char *)w->service.data,
							w->service.len);
	char why[384];

	if (s == NULL)
		snprintf(why, sizeof why, "unknown service %.*s", (int)MIN(w->service.len, 256),
			 (const char *)w->service.data);
	else
		snprintf(why, sizeof why, "service %.100s has no method %.*s", s->name,
			 (int)MIN(w->method.len, 200), (const char *)w->method.data);
	make_utf8(why);
	session_answer_error(r, ERRAND_UNIMPLEMENTED, why);
}

/* A task keeps who has made it: as we know it, whatever stands there, and however often. */
static void make_task(struct request *r, const struct method *method, const struct wire_request *w, bool asked,
		      const char *identity)
{
	static const char key[] = "errand-identity";
	struct wire_request named = *w;

	named.n_metadata = 0;
	wire_pair_add(named.metadata, &named.n_metadata, key, (struct bytes){(const uint8_t *)identity, strlen(identity)});
	for (size_t i = 0; i < w->n_metadata; i++) {
		const struct wire_pair *p = &w->metadata[i];

		if (p->key.len == sizeof key - 1 && memcmp(p->key.data, key, p->key.len) == 0)
			continue;
		if (named.n_metadata == ENVELOPE_METADATA_MAX) {
			session_answer_error(r, ERRAND_INVALID_ARGUMENT, "too much metadata: a task adds who has made it");
			return;
		}
		named.metadata[named.n_metadata++] = *p;
	}
	durable_request(r, method, &named, asked);
}

void dispatch_request(struct request *r, const struct wire_request *w, bool open)
{
	const struct method *method = registry_method((const char *)w->service.data, w->service.len,
						      (const char *)w->method.data, w->method.len);
	bool asked = is_one(wire_pair_get(w->metadata, w->n_metadata, "prefer-async"));
	char identity[IDENTITY_MAX];

	if (!identity_of(session_peer(r), w, identity)) {
		session_answer_error(r, ERRAND_PERMISSION_DENIED, "errand-identity is for gateways: this user may not "
				     "speak for others");
	} else if (method == NULL) {
		answer_unknown(r, w);
	} else if (open || method->schema->client_streaming) {
		session_answer_error(r, ERRAND_UNIMPLEMENTED,
				     "a stream from the client is not supported: call a method that takes "
				     "one message");
	} else if (method->run == RUN_TASK) {
		make_task(r, method, w, asked, identity);
	} else if (asked && !method->schema->server_streaming && !registry_is_builtin(method)) {
		make_task(r, method, w, true, identity);
	} else {
		start_call(r, method, w, identity);
	}
}

bool dispatch_of_worker(const struct wire_request *w)
{
	static const char service[] = "errand.v1.Workers";

	return w->service.len == strlen(service) && memcmp(w->service.data, service, strlen(service)) == 0;
}

size_t dispatch_memory(void)
{
	return call_memory() + durable_memory();
}

/* --- stopping --- */

static void end_wait(struct request *r)
{
	struct errand_call *call;

	if (r->op == NULL || r->cancelled == pending_cancelled)
		return;
	if (durable_is(r)) {
		durable_end_wait(r);
		return;
	}
	call = r->op;
	if (!registry_is_builtin(call_method(call)))
		return;
	if (worker_is_stream(call_method(call)))
		return; /* it ends when its worker has answered all */
	if (!call_method(call)->schema->server_streaming && errand_metadata(call, "prefer-wait") == NULL)
		return;
	call_cancel(call, ERRAND_CANCELLED, true);
	session_answer_error(r, ERRAND_UNAVAILABLE, "the service is stopping");
}

void dispatch_end_waits(void)
{
	session_each_request(end_wait);
}
