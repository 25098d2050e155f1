/* call.c: the life of a call; see call.h and, for its members, call_impl.h.
 *
 *   NEW ──▶ RUNNING ──▶ ANSWERED ──▶ DONE        handler called; answer taken;
 *    └──────────────────▶ ┘                      delivered, closed, after-work off
 *
 * Two ways to be answered: by the handler, who has one answer, and by us (refused
 * input, deadline, no thread). The first one counts; the handler's is then
 * dropped, but still awaited, because until it came he has the call in hand. */
#define _GNU_SOURCE
#include "service/call.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/background.h"
#include "service/call_impl.h"
#include "service/depends.h"
#include "service/metrics.h"
#include "service/payload.h"

/* Heap for one unpacked input; the scanner's own estimate is bounded by the same. */
#define INPUT_HEAP (64u << 20)
/* A larger input of a SYNC or TASK call is unpacked on its thread. */
#define SMALL_INPUT (64u << 10)
/* Calls that are over but whose memory is kept a while, so that a late second
 * answer is found out by its method's name instead of hitting another call. */
#define N_GRAVES 64

static const bool moves[4][4] = {
	[CALL_NEW] = {[CALL_RUNNING] = true, [CALL_ANSWERED] = true},
	[CALL_RUNNING] = {[CALL_ANSWERED] = true},
	[CALL_ANSWERED] = {[CALL_DONE] = true},
};

static struct pool *sync_pool;
static _Atomic size_t n_live, memory;
/* Guards the hooks of all calls; held while a hook runs. */
static pthread_mutex_t hook_lock = PTHREAD_MUTEX_INITIALIZER;
/* Guards graves. */
static pthread_mutex_t grave_lock = PTHREAD_MUTEX_INITIALIZER;
static struct errand_call *graves[N_GRAVES];
static size_t next_grave;


/* With the lock held. */
void call_set_state(struct errand_call *call, enum call_state next)
{
	assert(moves[call->state][next]);
	call->state = next;
}

void answer_deinit(struct answer *a)
{
	free(a->message);
	buf_deinit(&a->problem);
	buf_deinit(&a->payload);
	buf_deinit(&a->usage);
	for (size_t i = 0; i < a->n_metadata; i++) {
		free(a->metadata[i].key);
		free(a->metadata[i].value);
	}
	free(a->metadata);
	call_tasks_free(a->tasks);
	*a = (struct answer){0};
}

/* --- references --- */

void call_ref(struct errand_call *call)
{
	atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

static void bury(struct errand_call *call)
{
	struct errand_call *old;

	pthread_mutex_lock(&grave_lock);
	old = graves[next_grave];
	graves[next_grave] = call;
	next_grave = (next_grave + 1) % N_GRAVES;
	pthread_mutex_unlock(&grave_lock);
	if (old == NULL)
		return;
	pthread_mutex_destroy(&old->lock);
	pthread_cond_destroy(&old->room);
	free(old);
}

void call_unref(struct errand_call *call)
{
	if (atomic_fetch_sub(&call->refs, 1) != 1)
		return;
	assert(list_empty(&call->out) && list_empty(&call->timers));
	LIST_FOREACH(node, &call->on_cancel)
		free(LIST_ENTRY(node, struct call_notice, node));
	list_init(&call->on_cancel);
	background_leave(&call->after_line);
	answer_deinit(&call->answer);
	buf_deinit(&call->violations);
	call_task_deinit(call);
	free(call->values);
	call->values = NULL;
	arena_deinit(&call->arena);
	atomic_fetch_sub(&memory, call->memory);
	call->input = NULL;
	bury(call);
}

void call_init(struct pool *sync)
{
	sync_pool = sync;
}

struct pool *call_sync_pool(void)
{
	return sync_pool;
}

void call_deinit(void)
{
	for (size_t i = 0; i < N_GRAVES; i++)
		free(graves[i]);
	memset(graves, 0, sizeof graves);
	sync_pool = NULL;
}

void call_count_memory(struct errand_call *call)
{
	size_t now = sizeof *call + call->arena.total;

	atomic_fetch_add(&memory, now - call->memory);
	call->memory = now;
}

size_t call_memory(void)
{
	return atomic_load(&memory);
}

size_t call_count(void)
{
	return atomic_load(&n_live);
}

const struct method *call_method(const struct errand_call *call)
{
	return call->method;
}

void call_poke(struct errand_call *call)
{
	bool post;

	/* work() does all there is to do once it is past what it is doing now. */
	if (loop_is_current() && call->in_work)
		return;
	pthread_mutex_lock(&call->lock);
	post = !call->posted;
	call->posted = true;
	pthread_mutex_unlock(&call->lock);
	if (!post)
		return;
	call_ref(call);
	loop_post(&call->work);
}

/* --- the answer --- */

/* The handler has nothing more to say: its answer is written, or was too late. From
 * then on his reference may be given back on another thread: we need our own. */
static void handler_filled(struct errand_call *call)
{
	call_ref(call);
	pthread_mutex_lock(&call->lock);
	call->handler_filled = true;
	pthread_mutex_unlock(&call->lock);
	call_check_end(call);
	call_unref(call);
}

bool call_answer_take(struct errand_call *call, bool handler)
{
	bool twice, late;

	pthread_mutex_lock(&call->lock);
	twice = handler && call->handler_answered;
	late = call->state >= CALL_ANSWERED;
	if (handler)
		call->handler_answered = true;
	if (!twice && !late)
		call_set_state(call, CALL_ANSWERED);
	pthread_mutex_unlock(&call->lock);
	if (twice)
		log_error("a call was answered twice, the second answer is dropped", "method=%s",
			  call->method->schema->full_name);
	else if (handler && late)
		handler_filled(call);
	return !twice && !late;
}

/* On the handler's thread, or on the loop for an ASYNC one: in reverse order. */
static void close_values(struct errand_call *call)
{
	while (call->n_opened > 0) {
		const struct dependency *d = call->method->needs[--call->n_opened];

		if (d->def->scope == ERRAND_SCOPE_CALL && !d->overridden && d->def->close != NULL)
			d->def->close(call->values[call->n_opened], call->code);
	}
}

/* The handler of a call that is not the loop's has ended: the rest of its work
 * here, and a word to the loop only if that has something to do for it. */
static void end_on_thread(struct errand_call *call)
{
	bool tell;

	close_values(call);
	pthread_mutex_lock(&call->lock);
	call->cleaned = true;
	tell = call->state != CALL_DONE || call->has_timers;
	pthread_mutex_unlock(&call->lock);
	if (tell)
		call_poke(call);
	call_unref(call);
}

/* Something of the handler's end has come: is it all? */
void call_check_end(struct errand_call *call)
{
	bool now;

	pthread_mutex_lock(&call->lock);
	now = call->handler_filled && call->returned && call->answer_ready && !call->ended;
	call->ended = call->ended || now;
	pthread_mutex_unlock(&call->lock);
	if (!now)
		return;
	if (call_on_loop(call))
		call_poke(call); /* clean_on_loop gives the handler's reference back */
	else
		end_on_thread(call);
}

void call_answer_written(struct errand_call *call, bool handler)
{
	pthread_mutex_lock(&call->lock);
	call->code = call->answer.code;
	call->answer_ready = true;
	pthread_mutex_unlock(&call->lock);
	call_poke(call);
	if (handler)
		handler_filled(call);
	else
		call_check_end(call);
}

void call_answer_error(struct errand_call *call, bool handler, int code, char *message)
{
	struct answer *a = &call->answer;

	if (!call_answer_take(call, handler)) {
		free(message);
		return;
	}
	if (code <= ERRAND_OK || code > ERRAND_UNAUTHENTICATED) {
		log_error("a call failed with a number that is no error code, taken as INTERNAL",
			  "method=%s code=%d", call->method->schema->full_name, code);
		code = ERRAND_INTERNAL;
	}
	a->code = code;
	a->message = message;
	a->final = call->final || code == ERRAND_INVALID_ARGUMENT || code == ERRAND_NOT_FOUND ||
		   code == ERRAND_ALREADY_EXISTS || code == ERRAND_PERMISSION_DENIED ||
		   code == ERRAND_FAILED_PRECONDITION || code == ERRAND_OUT_OF_RANGE ||
		   code == ERRAND_UNIMPLEMENTED || code == ERRAND_UNAUTHENTICATED;
	if (handler)
		call_put_violations(call);
	call_answer_written(call, handler);
}

void call_answer_message(struct errand_call *call, const ProtobufCMessage *message)
{
	size_t size;
	uint8_t *p;

	if (message == NULL || message->descriptor != call->method->output) {
		log_error("a handler answered with something that is not its output message", "method=%s",
			  call->method->schema->full_name);
		call_answer_error(call, true, ERRAND_INTERNAL,
				  xstrdup("the handler's answer is not the method's output message"));
		return;
	}
	if (!call_answer_take(call, true))
		return;
	size = protobuf_c_message_get_packed_size(message);
	p = buf_reserve(&call->answer.payload, size);
	if (p != NULL)
		call->answer.payload.len = protobuf_c_message_pack(message, p);
	if (buf_failed(&call->answer.payload)) {
		call->answer.code = ERRAND_RESOURCE_EXHAUSTED;
		call->answer.message = xstrdup("out of memory for the answer");
	}
	call_answer_written(call, true);
}

/* Bytes of somebody outside (a worker, a program), so they are looked at first. */
int call_answer_bytes(struct errand_call *call, struct bytes output)
{
	AUTO_BUF merged = BUF_INIT, problem = BUF_INIT;
	char why[256];

	if (payload_check(call->method->schema->output, &output, false, &merged, &problem, why,
			  sizeof why) < 0) {
		call_answer_error(call, true, ERRAND_INTERNAL,
				  xasprintf("the answer is no %s: %s", call->method->schema->output->name, why));
		return -ERRAND_INTERNAL;
	}
	if (!call_answer_take(call, true))
		return 0;
	buf_append(&call->answer.payload, output.data, output.len);
	if (buf_failed(&call->answer.payload)) {
		call->answer.code = ERRAND_RESOURCE_EXHAUSTED;
		call->answer.message = xstrdup("out of memory for the answer");
	}
	call_answer_written(call, true);
	return 0;
}

/* --- the loop's part --- */

static void deliver(struct errand_call *call)
{
	struct method *m = (struct method *)call->method;
	bool wanted;

	if (call->delivered)
		return;
	pthread_mutex_lock(&call->lock);
	call->delivered = call->answer_ready && list_empty(&call->out);
	wanted = !call->source_gone;
	call->source_gone = call->source_gone || call->delivered;
	pthread_mutex_unlock(&call->lock);
	if (!call->delivered)
		return;
	deadline_drop(&call->deadline);
	metrics_call((int)m->run, call->code, clock_mono_ns() - call->begun_ns);
	if (call->code != 0)
		atomic_fetch_add_explicit(&m->n_failed, 1, memory_order_relaxed);
	if (wanted)
		call->source->answered(call, &call->answer, call->source_arg);
}

/* What is left to do here once the handler has ended. */
static void clean_on_loop(struct errand_call *call)
{
	bool ended, mine;

	pthread_mutex_lock(&call->lock);
	ended = call->ended;
	mine = ended && !call->cleaned && call->delivered && call_on_loop(call);
	pthread_mutex_unlock(&call->lock);
	if (ended)
		call_timers_drop(call);
	if (!mine)
		return;
	if (call->n_opened > 0) {
		struct method *m = (struct method *)call->method;

		loop_enter(m->schema->full_name, &m->n_slow);
		close_values(call);
		loop_leave();
	}
	pthread_mutex_lock(&call->lock);
	call->cleaned = true;
	pthread_mutex_unlock(&call->lock);
	call_unref(call);
}

/* DONE: work after the response may begin. */
static void finish(struct errand_call *call)
{
	bool done;

	pthread_mutex_lock(&call->lock);
	done = call->delivered && !call->held && call->state == CALL_ANSWERED &&
	       (call->cleaned || call->method->needs[0] == NULL);
	if (done) {
		call_set_state(call, CALL_DONE);
		call->after_started = true;
		background_start(&call->after, &call->after_line);
	}
	pthread_mutex_unlock(&call->lock);
	if (!done)
		return;
	atomic_fetch_sub(&n_live, 1);
	call_unref(call);
}

/* Those who asked by errand_on_cancel, unless the handler has ended meanwhile. */
static void tell_cancelled(struct errand_call *call)
{
	struct list notices, *node;

	list_init(&notices);
	pthread_mutex_lock(&call->lock);
	if (!call->handler_answered)
		list_splice(&notices, &call->on_cancel);
	pthread_mutex_unlock(&call->lock);
	while ((node = list_pop_front(&notices)) != NULL) {
		struct call_notice *n = LIST_ENTRY(node, struct call_notice, node);

		call_notify(call, n->fn, n->arg);
		free(n);
	}
}

void call_do_cancel(struct errand_call *call, int code)
{
	int none = 0;

	if (!atomic_compare_exchange_strong(&call->cancel_code, &none, code))
		return;
	pthread_mutex_lock(&hook_lock);
	LIST_FOREACH(h, &call->hooks) {
		struct call_hook *hook = LIST_ENTRY(h, struct call_hook, node);

		list_remove(h);
		hook->fn(hook->arg);
	}
	pthread_mutex_unlock(&hook_lock);
	pthread_mutex_lock(&call->lock);
	pthread_cond_broadcast(&call->room);
	pthread_mutex_unlock(&call->lock);
	tell_cancelled(call);
}

/* errand_on_cancel on a call that is cancelled already, and streams that broke. */
static void cancel_late(struct errand_call *call)
{
	bool due;

	pthread_mutex_lock(&call->lock);
	due = call->cancel_due;
	call->cancel_due = false;
	pthread_mutex_unlock(&call->lock);
	if (due)
		call_do_cancel(call, ERRAND_CANCELLED);
	else if (atomic_load(&call->cancel_code) != 0)
		tell_cancelled(call);
}

static void work(struct loop_job *job)
{
	struct errand_call *call = CONTAINER_OF(job, struct errand_call, work);

	pthread_mutex_lock(&call->lock);
	call->posted = false;
	pthread_mutex_unlock(&call->lock);
	call->in_work = true;
	if (!call->begun && call_on_loop(call)) {
		struct method *m = (struct method *)call->method;

		call->begun = true;
		loop_enter(m->schema->full_name, &m->n_slow);
		call_run(call);
		loop_leave();
	}
	cancel_late(call);
	call_timers_arm(call);
	call_stream_ready(call);
	call_stream_flush(call);
	deliver(call);
	clean_on_loop(call);
	call->in_work = false;
	finish(call);
	call_unref(call);
}

static void on_deadline(struct deadline *d)
{
	struct errand_call *call = CONTAINER_OF(d, struct errand_call, deadline);

	call_ref(call);
	if (call->task_id == NULL) {
		pthread_mutex_lock(&call->lock);
		call->out_dead = true;
		pthread_mutex_unlock(&call->lock);
		call_answer_error(call, false, ERRAND_DEADLINE_EXCEEDED,
				  xstrdup("the call was not answered within its deadline"));
	}
	call_do_cancel(call, ERRAND_DEADLINE_EXCEEDED);
	call_poke(call);
	call_unref(call);
}

void call_abandon(struct errand_call *call)
{
	pthread_mutex_lock(&call->lock);
	call->source_gone = call->out_dead = true;
	pthread_mutex_unlock(&call->lock);
	deadline_drop(&call->deadline);
}

void call_cancel(struct errand_call *call, int code, bool abandon)
{
	call_ref(call);
	if (abandon)
		call_abandon(call);
	call_do_cancel(call, code);
	call_poke(call);
	call_unref(call);
}

void call_hold(struct errand_call *call)
{
	call->held = true;
}

void call_delivered(struct errand_call *call)
{
	call->held = false;
	call_poke(call);
}

bool call_has_after(struct errand_call *call)
{
	bool has;

	pthread_mutex_lock(&call->lock);
	has = !list_empty(&call->after);
	pthread_mutex_unlock(&call->lock);
	return has;
}

/* --- hooks of other threads --- */

struct call_hook *call_on_cancel_any(struct errand_call *call, void (*fn)(void *arg), void *arg)
{
	struct call_hook *hook = xcalloc(1, sizeof *hook);

	hook->fn = fn;
	hook->arg = arg;
	list_init(&hook->node);
	pthread_mutex_lock(&hook_lock);
	if (atomic_load(&call->cancel_code) == 0)
		list_push_back(&call->hooks, &hook->node);
	else
		fn(arg);
	pthread_mutex_unlock(&hook_lock);
	return hook;
}

void call_off_cancel(struct errand_call *call, struct call_hook *hook)
{
	pthread_mutex_lock(&hook_lock);
	list_remove(&hook->node);
	pthread_mutex_unlock(&hook_lock);
	free(hook);
}

/* --- starting --- */

static bool runs_on_loop(const struct errand_call *call)
{
	return call->runner != NULL ? call->runner->on_loop : call->method->run == RUN_ASYNC;
}

static struct errand_call *call_new(const struct call_params *p)
{
	struct errand_call *call = xmalloc(sizeof *call);

	memset(call, 0, offsetof(struct errand_call, arena));
	arena_init(&call->arena, INPUT_HEAP);
	call->method = p->method;
	call->source = p->source;
	call->source_arg = p->arg;
	call->deadline_ns = p->deadline_ns;
	call->attempt = p->attempt;
	call->grace_ns = p->grace_ns;
	call->runner = p->runner != NULL ? p->runner : p->method->runner;
	call->runner_arg = p->runner != NULL ? p->runner_arg : p->method->runner_arg;
	call->pool = runs_on_loop(call) ? NULL : p->pool != NULL ? p->pool : sync_pool;
	call->work.run = work;
	call->run.run = call_run_on_pool;
	atomic_init(&call->refs, 2); /* the loop's and the handler's */
	pthread_mutex_init(&call->lock, NULL);
	pthread_cond_init(&call->room, NULL);
	list_init(&call->timers);
	list_init(&call->after);
	list_init(&call->new_timers);
	list_init(&call->on_cancel);
	list_init(&call->hooks);
	list_init(&call->out);
	return call;
}

static char *copy_text(char **at, struct bytes text)
{
	char *out = *at;

	if (text.len > 0)
		memcpy(out, text.data, text.len);
	out[text.len] = '\0';
	*at += text.len + 1;
	return out;
}

/* In one piece: an arena rounds each up. */
static int copy_pairs(struct errand_call *call, const struct wire_pair *pairs, size_t n)
{
	size_t size = n * sizeof *call->metadata;
	char *at;

	for (size_t i = 0; i < n; i++)
		size += pairs[i].key.len + pairs[i].value.len + 2;
	call->metadata = arena_alloc(&call->arena, size);
	if (call->metadata == NULL)
		return -1;
	at = (char *)(call->metadata + n);
	for (size_t i = 0; i < n; i++) {
		call->metadata[i].key = copy_text(&at, pairs[i].key);
		call->metadata[i].value = copy_text(&at, pairs[i].value);
	}
	call->n_metadata = n;
	return 0;
}

/* Metadata and task id into the arena. They are bounded by the frame. */
static int copy_metadata(struct errand_call *call, const struct call_params *p)
{
	call->task_id = p->task_id ? arena_copy(&call->arena, p->task_id, strlen(p->task_id)) : NULL;
	if (p->task_id != NULL)
		call_task_init(call, p);
	call->identity = p->identity ? arena_copy(&call->arena, p->identity, strlen(p->identity)) : NULL;
	return p->n_metadata > 0 ? copy_pairs(call, p->metadata, p->n_metadata) : 0;
}

static int take_input(struct errand_call *call, struct bytes payload, char *why, size_t why_size)
{
	if (payload.len <= SMALL_INPUT || call_on_loop(call))
		return call_unpack(call, payload, why, why_size);
	call->raw.data = (uint8_t *)arena_copy(&call->arena, payload.data, payload.len);
	call->raw.len = payload.len;
	if (call->raw.data != NULL)
		return 0;
	snprintf(why, why_size, "out of memory for the payload");
	return -ERRAND_RESOURCE_EXHAUSTED;
}

static void submit(struct errand_call *call)
{
	if (pool_submit(call->pool, &call->run) == 0)
		return;
	errand_set_metadata(call, "retry-after", "1");
	call_refuse(call, ERRAND_UNAVAILABLE, "all threads are busy and the queue is full, try again later");
}

struct errand_call *call_start(const struct call_params *p)
{
	struct errand_call *call = call_new(p);
	char why[256] = "out of memory";
	int r = -ERRAND_RESOURCE_EXHAUSTED;

	atomic_fetch_add(&n_live, 1);
	atomic_fetch_add_explicit(&((struct method *)p->method)->n_calls, 1, memory_order_relaxed);
	if (copy_metadata(call, p) == 0) {
		call_ids_init(call);
		r = take_input(call, p->payload, why, sizeof why);
	}
	call_count_memory(call);
	if (p->deadline_ns != 0)
		deadline_set(&call->deadline, p->deadline_ns, on_deadline);
	if (r < 0) {
		call->begun = true;
		call_refuse(call, -r, why);
	} else if (call_on_loop(call)) {
		call_poke(call); /* runs in this turn, but not inside call_start */
	} else {
		submit(call);
	}
	return call;
}
