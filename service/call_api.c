/* call_api.c: what a handler may ask of its call (errand/service.h), but for tasks
 * (call_task.c), streams (call_stream.c), programs (run.c) and the life itself (call.c). */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "schema/fault.h"
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

/* --- faults of the input; the numbers are those of proto/errand/v1/problem.proto --- */

static void put_violation(struct errand_call *call, const char *pointer, const char *rule,
			  const char *text)
{
	AUTO_BUF where = BUF_INIT;
	AUTO_BUF v = BUF_INIT;

	buf_printf(&where, "%s%s", *pointer == '#' ? "" : "#", pointer);
	pbuf_put_str(&v, 1, buf_cstr(&where));
	pbuf_put_str(&v, 4, rule);
	pbuf_put_str(&v, 5, text);
	pthread_mutex_lock(&call->lock);
	if (call->n_violations < FAULT_MAX && !call->handler_answered)
		pbuf_put_bytes(&call->violations, 7, v.data, v.len);
	call->n_violations++;
	pthread_mutex_unlock(&call->lock);
}

/* A handler may quote bytes of a peer; a problem must be UTF-8. */
static char *make_utf8(char *text)
{
	size_t len = strlen(text), at = 0;

	while ((at += json_utf8_valid((uint8_t *)text + at, len - at)) < len)
		text[at] = '?';
	return text;
}

static char *text_of(const char *fmt, va_list ap)
{
	char *text;

	return make_utf8(vasprintf(&text, fmt, ap) < 0 ? xstrdup("out of memory") : text);
}

void errand_violation(struct errand_call *call, const char *pointer, const char *rule,
		      const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = text_of(fmt, ap);
	va_end(ap);
	put_violation(call, pointer, rule, text);
}

void errand_fail_field(struct errand_call *call, const char *pointer, const char *rule,
		       const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = text_of(fmt, ap);
	va_end(ap);
	put_violation(call, pointer, rule, text);
	call_answer_error(call, true, ERRAND_INVALID_ARGUMENT, text);
}

/* On the thread that answers, before the answer is ready. */
void call_put_violations(struct errand_call *call)
{
	struct answer *a = &call->answer;
	const struct err_info *info = err_info(a->code);
	int status = a->code == ERRAND_INVALID_ARGUMENT ? 422 : info->http;

	if (call->violations.len == 0 || a->problem.len > 0)
		return;
	pbuf_put_str(&a->problem, 1, "about:blank");
	pbuf_put_str(&a->problem, 2, err_http_reason(status));
	pbuf_put_uint(&a->problem, 3, (uint64_t)status);
	pbuf_put_str(&a->problem, 4, make_utf8(a->message));
	pbuf_put_str(&a->problem, 6, info->name);
	buf_append(&a->problem, call->violations.data, call->violations.len);
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

void call_set_exit(struct errand_call *call, int status, int signal, bool oom)
{
	pthread_mutex_lock(&call->lock);
	if (call->state < CALL_ANSWERED) {
		call->answer.exit_status = status;
		call->answer.exit_signal = signal;
		call->answer.oom = oom;
		call->answer.from_exit = true;
	}
	pthread_mutex_unlock(&call->lock);
}

void call_set_lease_lost(struct errand_call *call)
{
	pthread_mutex_lock(&call->lock);
	if (call->state < CALL_ANSWERED)
		call->answer.lease_lost = true;
	pthread_mutex_unlock(&call->lock);
}

void call_give_back(struct errand_call *call, const char *why)
{
	pthread_mutex_lock(&call->lock);
	if (call->state < CALL_ANSWERED)
		call->answer.given_back = true;
	pthread_mutex_unlock(&call->lock);
	errand_fail(call, ERRAND_UNAVAILABLE, "%s", why);
}

void call_set_usage(struct errand_call *call, struct bytes usage)
{
	pthread_mutex_lock(&call->lock);
	if (call->state < CALL_ANSWERED) {
		buf_reset(&call->answer.usage);
		buf_append(&call->answer.usage, usage.data, usage.len);
	}
	pthread_mutex_unlock(&call->lock);
}

const struct call_metadata *call_metadata(const struct errand_call *call, size_t *n)
{
	*n = call->n_metadata;
	return call->metadata;
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

const char *errand_identity(const struct errand_call *call)
{
	const char *who = call->identity;

	if (who == NULL && call->task_id != NULL)
		who = errand_metadata(call, "errand-identity"); /* whoever made the task */
	return who != NULL ? who : "";
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

static atomic_size_t n_timers;

size_t call_timers(void)
{
	return atomic_load(&n_timers);
}

static void timer_free(struct call_timer *t)
{
	atomic_fetch_sub(&n_timers, 1);
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

	atomic_fetch_add(&n_timers, 1);
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
	background_mark(job, &call->ids);
	pthread_mutex_lock(&call->lock);
	list_push_back(&call->after, background_link(job));
	if (call->after_started)
		background_start(&call->after, &call->after_line);
	pthread_mutex_unlock(&call->lock);
	return 0;
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
