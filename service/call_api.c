/* call_api.c: what a handler may ask of its call (errand/service.h), but for
 * streams (call_stream.c), programs (run.c) and the life itself (call.c). */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/background.h"
#include "service/call_impl.h"
#include "service/depends.h"

/* --- answering --- */

void errand_fail(struct errand_call *call, int code, const char *fmt, ...)
{
	va_list ap;
	char *message;

	va_start(ap, fmt);
	if (vasprintf(&message, fmt, ap) < 0)
		message = xstrdup("out of memory");
	va_end(ap);
	call_answer_error(call, true, code, message);
}

void call_fail_problem(struct errand_call *call, int code, const char *message, struct bytes problem)
{
	/* Only read once the answer is ready, so it may be written before it is taken;
	 * a second answer must not touch it, though. */
	pthread_mutex_lock(&call->lock);
	if (!call->handler_answered && call->state < CALL_ANSWERED) {
		buf_reset(&call->answer.problem);
		buf_append(&call->answer.problem, problem.data, problem.len);
	}
	pthread_mutex_unlock(&call->lock);
	call_answer_error(call, true, code, xstrdup(message ? message : ""));
}

void errand_final(struct errand_call *call)
{
	pthread_mutex_lock(&call->lock);
	call->final = true;
	pthread_mutex_unlock(&call->lock);
}

void errand_retry_after(struct errand_call *call, int64_t ns)
{
	pthread_mutex_lock(&call->lock);
	if (call->state < CALL_ANSWERED)
		call->answer.retry_after_ns = ns > 0 ? ns : 0;
	pthread_mutex_unlock(&call->lock);
}

void call_set_exit(struct errand_call *call, int status, int signal)
{
	pthread_mutex_lock(&call->lock);
	if (call->state < CALL_ANSWERED) {
		call->answer.exit_status = status;
		call->answer.exit_signal = signal;
		call->answer.from_exit = true;
	}
	pthread_mutex_unlock(&call->lock);
}

void errand_keep(struct errand_call *call)
{
	pthread_mutex_lock(&call->lock);
	call->kept = true;
	pthread_mutex_unlock(&call->lock);
}

/* --- the call --- */

const ProtobufCMessage *errand_input(const struct errand_call *call)
{
	return call->input;
}

const char *errand_method_name(const struct errand_call *call)
{
	return call->method->schema->full_name;
}

const char *errand_metadata(const struct errand_call *call, const char *key)
{
	for (size_t i = 0; i < call->n_metadata; i++)
		if (strcmp(call->metadata[i].key, key) == 0)
			return call->metadata[i].value;
	return NULL;
}

static void put_metadata(struct answer *a, const char *key, const char *value)
{
	struct answer_pair *pair;

	for (size_t i = 0; i < a->n_metadata; i++)
		if (strcmp(a->metadata[i].key, key) == 0) {
			free(a->metadata[i].value);
			a->metadata[i].value = xstrdup(value);
			return;
		}
	a->metadata = xrealloc(a->metadata, (a->n_metadata + 1) * sizeof *a->metadata);
	pair = &a->metadata[a->n_metadata++];
	pair->key = xstrdup(key);
	pair->value = xstrdup(value);
}

void errand_set_metadata(struct errand_call *call, const char *key, const char *value)
{
	pthread_mutex_lock(&call->lock);
	if (call->state < CALL_ANSWERED && !call->handler_answered)
		put_metadata(&call->answer, key, value);
	pthread_mutex_unlock(&call->lock);
}

int64_t errand_time_left(const struct errand_call *call)
{
	int64_t left;

	if (call->deadline_ns == 0)
		return INT64_MAX;
	left = call->deadline_ns - clock_mono_ns();
	return left > 0 ? left : 0;
}

int call_cancel_code(const struct errand_call *call)
{
	return atomic_load(&((struct errand_call *)call)->cancel_code);
}

int64_t call_grace_ns(const struct errand_call *call)
{
	return call->grace_ns;
}

int errand_cancelled(const struct errand_call *call)
{
	return call_cancel_code(call) != 0;
}

void errand_on_cancel(struct errand_call *call, void (*fn)(struct errand_call *, void *), void *arg)
{
	struct call_notice *n = xcalloc(1, sizeof *n);

	n->fn = fn;
	n->arg = arg;
	pthread_mutex_lock(&call->lock);
	list_push_back(&call->on_cancel, &n->node);
	pthread_mutex_unlock(&call->lock);
	if (call_cancel_code(call) != 0)
		call_poke(call);
}

/* --- timers --- */

static void timer_free(struct call_timer *t)
{
	deadline_drop(&t->deadline);
	list_remove(&t->node);
	free(t);
}

static void on_timer(struct deadline *d)
{
	struct call_timer *t = CONTAINER_OF(d, struct call_timer, deadline);
	struct errand_call *call = t->call;
	void (*fn)(struct errand_call *, void *) = t->fn;
	void *arg = t->arg;
	bool over;

	timer_free(t);
	pthread_mutex_lock(&call->lock);
	over = call->handler_answered;
	pthread_mutex_unlock(&call->lock);
	if (over)
		return;
	call_ref(call);
	call_notify(call, fn, arg);
	call_unref(call);
}

/* So far from now; INT64_MAX for what is further than time goes. */
static int64_t later(int64_t ns)
{
	int64_t at;

	if (__builtin_add_overflow(clock_mono_ns(), ns > 0 ? ns : 0, &at))
		return INT64_MAX;
	return at;
}

void errand_timer(struct errand_call *call, int64_t ns, void (*fn)(struct errand_call *, void *),
		  void *arg)
{
	struct call_timer *t = xcalloc(1, sizeof *t);

	t->call = call;
	t->fn = fn;
	t->arg = arg;
	t->at_ns = later(ns);
	pthread_mutex_lock(&call->lock);
	call->has_timers = true;
	if (!loop_is_current())
		list_push_back(&call->new_timers, &t->node);
	pthread_mutex_unlock(&call->lock);
	if (loop_is_current()) {
		list_push_back(&call->timers, &t->node);
		deadline_set(&t->deadline, t->at_ns, on_timer);
	} else {
		call_poke(call);
	}
}

void call_timers_arm(struct errand_call *call)
{
	struct list fresh, *node;

	list_init(&fresh);
	pthread_mutex_lock(&call->lock);
	list_splice(&fresh, &call->new_timers);
	pthread_mutex_unlock(&call->lock);
	while ((node = list_pop_front(&fresh)) != NULL) {
		struct call_timer *t = LIST_ENTRY(node, struct call_timer, node);

		list_push_back(&call->timers, node);
		deadline_set(&t->deadline, t->at_ns, on_timer);
	}
}

void call_timers_drop(struct errand_call *call)
{
	call_timers_arm(call);
	while (!list_empty(&call->timers))
		timer_free(LIST_ENTRY(call->timers.next, struct call_timer, node));
}

/* --- after the response --- */

int errand_after(struct errand_call *call, const char *name, int (*fn)(void *arg), void *arg)
{
	struct background_job *job = background_new(name, fn, arg);
	if (job == NULL)
		return -ERRAND_RESOURCE_EXHAUSTED;
	pthread_mutex_lock(&call->lock);
	list_push_back(&call->after, background_link(job));
	if (call->after_started)
		background_start(&call->after, &call->after_line);
	pthread_mutex_unlock(&call->lock);
	return 0;
}

/* --- tasks --- */

const char *errand_task_id(const struct errand_call *call)
{
	return call->task_id;
}

unsigned errand_attempt(const struct errand_call *call)
{
	return call->attempt;
}

void errand_progress(struct errand_call *call, double fraction, const char *message)
{
	if (call->task_id == NULL || call->source->progress == NULL)
		return;
	if (!(fraction > 0)) /* NaN, too */
		fraction = 0;
	pthread_mutex_lock(&call->lock);
	if (!call->source_gone)
		call->source->progress(call, fraction < 1 ? fraction : 1, message, call->source_arg);
	pthread_mutex_unlock(&call->lock);
}

void call_log(struct errand_call *call, const char *stream, const char *line, size_t len)
{
	if (call->task_id == NULL || call->source->log == NULL) {
		log_debug("handler", "method=%s stream=%s line=\"%.*s\"", errand_method_name(call), stream,
			  (int)MIN(len, 2048), line);
		return;
	}
	pthread_mutex_lock(&call->lock);
	if (!call->source_gone)
		call->source->log(call, stream, line, len, call->source_arg);
	pthread_mutex_unlock(&call->lock);
}

void errand_log(struct errand_call *call, const char *fmt, ...)
{
	va_list ap;
	char *line;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&line, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	call_log(call, "handler", line, (size_t)n);
	free(line);
}

/* --- dependencies --- */

void *errand_value(struct errand_call *call, const char *name)
{
	const struct dependency *d;

	if (call == NULL) {
		d = depends_find(name);
		if (d != NULL && (d->open || d->overridden))
			return d->value;
	} else {
		for (size_t i = 0; call->method->needs[i] != NULL; i++)
			if (strcmp(call->method->needs[i]->def->name, name) == 0 && i < call->n_opened)
				return call->values[i];
	}
	log_error("a value was asked for that is not among the method's dependencies, or not open yet",
		  "dependency=%s method=%s", name, call != NULL ? errand_method_name(call) : "(process)");
	abort();
}

void errand_override(const char *dependency, void *value)
{
	depends_override(dependency, value);
}
