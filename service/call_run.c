/* call_run.c: from bytes to the handler: unpacks the input into the call's arena,
 * opens what the method needs, calls it. On the loop thread for ASYNC methods, on
 * a pool's thread for all others; call.c decides and takes over at the end. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "service/call_impl.h"
#include "service/depends.h"
#include "service/payload.h"

static void *arena_alloc_fn(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static void arena_free_fn(void *arena, void *p)
{
}

/* For the refusal that follows; nobody may have answered meanwhile. */
static void keep_problem(struct errand_call *call, const struct buf *problem)
{
	pthread_mutex_lock(&call->lock);
	if (call->state < CALL_ANSWERED) {
		buf_reset(&call->answer.problem);
		buf_append(&call->answer.problem, problem->data, problem->len);
	}
	pthread_mutex_unlock(&call->lock);
}

/* What a runner is given: as it came, or merged. */
static int keep_raw(struct errand_call *call, struct bytes in, char *why, size_t why_size)
{
	if (in.data != call->raw.data && in.len > 0) {
		call->raw.data = (const uint8_t *)arena_copy(&call->arena, in.data, in.len);
		if (call->raw.data == NULL) {
			snprintf(why, why_size, "out of memory for the payload");
			return -ERRAND_RESOURCE_EXHAUSTED;
		}
	}
	call->raw.len = in.len;
	call->checked = true;
	call_count_memory(call);
	return 0;
}

/* From the bytes to call->input; 0, or an error with the reason in why. The input of a
 * task was held against its rules when it was created: now may be long after. */
int call_unpack(struct errand_call *call, struct bytes in, char *why, size_t why_size)
{
	ProtobufCAllocator allocator = {arena_alloc_fn, arena_free_fn, &call->arena};
	AUTO_BUF merged = BUF_INIT;
	AUTO_BUF problem = BUF_INIT;
	int r = payload_check_input(call->method, &in, call->task_id == NULL, &merged, &problem,
				    why, why_size);

	if (problem.len > 0)
		keep_problem(call, &problem);
	if (r < 0)
		return r;
	if (call->runner != NULL)
		return keep_raw(call, in, why, why_size);
	call->input = protobuf_c_message_unpack(call->method->input, &allocator, in.len, in.data);
	call_count_memory(call);
	if (call->input == NULL) {
		snprintf(why, why_size, "the payload is not a %s", call->method->input->name);
		return -ERRAND_INVALID_ARGUMENT;
	}
	return 0;
}

/* The handler is not called: what it would owe is taken as given. */
static void skip_handler(struct errand_call *call)
{
	pthread_mutex_lock(&call->lock);
	call->handler_answered = call->handler_filled = call->returned = true;
	pthread_mutex_unlock(&call->lock);
	call_check_end(call);
}

void call_refuse(struct errand_call *call, int code, const char *why)
{
	call_answer_error(call, false, code, xstrdup(why));
	skip_handler(call);
}

static bool has_answered(struct errand_call *call)
{
	bool has;

	pthread_mutex_lock(&call->lock);
	has = call->handler_answered;
	pthread_mutex_unlock(&call->lock);
	return has;
}

static int open_value(struct errand_call *call, const struct dependency *d, void **valuep)
{
	if (d->def->scope == ERRAND_SCOPE_CALL && !d->overridden)
		return d->def->open(call, valuep);
	*valuep = d->value;
	return 0;
}

/* False when one would not open; the call is answered then. */
static bool open_values(struct errand_call *call)
{
	const struct dependency *const *needs = call->method->needs;
	size_t n = 0;

	while (needs[n] != NULL)
		n++;
	if (n == 0)
		return true;
	call->values = xcalloc(n, sizeof *call->values);
	for (size_t i = 0; i < n; i++) {
		int r = open_value(call, needs[i], &call->values[i]);

		if (r >= 0)
			call->n_opened = i + 1;
		if (r < 0 && !has_answered(call))
			call_answer_error(call, true, -r,
					  xasprintf("dependency %s could not be opened", needs[i]->def->name));
		if (has_answered(call))
			return false;
	}
	return true;
}

static void on_done(const ProtobufCMessage *message, void *data)
{
	struct errand_call *call = data;

	if (call->method->schema->server_streaming) {
		if (message != NULL)
			errand_stream_send(call, message);
		errand_stream_end(call);
		return;
	}
	call_answer_message(call, message);
}

static void invoke(struct errand_call *call)
{
	const struct method *m = call->method;

	if (call->runner != NULL) {
		call->runner->run(call, call->raw, call->runner_arg);
		return;
	}
	m->service->invoke(m->service, m->index, call->input, on_done, call);
}

/* NEW -> RUNNING, unless it was answered or cancelled while it waited. */
static bool begin(struct errand_call *call)
{
	int code = atomic_load(&call->cancel_code);
	bool ok;

	if (code != 0)
		call_answer_error(call, false, code, xstrdup("the call was cancelled before it began"));
	pthread_mutex_lock(&call->lock);
	ok = call->state == CALL_NEW;
	if (ok)
		call_set_state(call, CALL_RUNNING);
	pthread_mutex_unlock(&call->lock);
	return ok;
}

static void run(struct errand_call *call)
{
	char why[256];
	bool silent;
	int r;

	if (!begin(call)) {
		skip_handler(call);
		return;
	}
	if (!call_has_input(call) && (r = call_unpack(call, call->raw, why, sizeof why)) < 0) {
		call_refuse(call, -r, why);
		return;
	}
	if (open_values(call))
		invoke(call);
	pthread_mutex_lock(&call->lock);
	silent = !call->handler_answered && !call_on_loop(call) && !call->kept;
	pthread_mutex_unlock(&call->lock);
	if (silent) {
		log_error("a handler returned without an answer", "method=%s", call->method->schema->full_name);
		call_answer_error(call, true, ERRAND_INTERNAL,
				  xstrdup("the handler returned without an answer"));
	}
	pthread_mutex_lock(&call->lock);
	call->returned = true;
	pthread_mutex_unlock(&call->lock);
	call_check_end(call);
}

/* With a reference of our own: the handler's may go as soon as it has answered and
 * returned, on whatever thread that is seen. */
void call_run(struct errand_call *call)
{
	const struct log_ids *before = log_ids_set(&call->ids);

	call_ref(call);
	run(call);
	log_ids_set(before);
	call_unref(call);
}

void call_notify(struct errand_call *call, void (*fn)(struct errand_call *, void *), void *arg)
{
	struct method *m = (struct method *)call->method;
	const struct log_ids *before = log_ids_set(&call->ids);

	loop_enter(m->schema->full_name, &m->n_slow);
	fn(call, arg);
	loop_leave();
	log_ids_set(before);
}

static _Atomic size_t n_on_threads;

size_t call_on_threads(void)
{
	return atomic_load(&n_on_threads);
}

void call_run_on_pool(struct pool_job *job)
{
	atomic_fetch_add(&n_on_threads, 1);
	call_run(CONTAINER_OF(job, struct errand_call, run));
	atomic_fetch_sub(&n_on_threads, 1);
}
