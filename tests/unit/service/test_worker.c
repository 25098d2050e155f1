/* Workers, their leases and queues, with calls, streams and deadlines made up here: what
 * is given to whom, when somebody is lost, and what only shows at limits or after a
 * long time. The clock is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "errand/status.h"
#include "service/task.h"
#include "service/task_api.h"
#include "service/worker_impl.h"
#include "wire/frame.h"

/* --- the clock and its deadlines --- */

static int64_t now_ns;
static struct deadline *deadlines[64];
static size_t n_deadlines;

static void set_now(int64_t ns)
{
	now_ns = ns;
	clock_set_fake(ns, ns / 1000);
}

void deadline_drop(struct deadline *d)
{
	for (size_t i = 0; i < n_deadlines; i++)
		if (deadlines[i] == d)
			deadlines[i--] = deadlines[--n_deadlines];
	d->place = 0;
}

void deadline_set(struct deadline *d, int64_t at_ns, void (*fn)(struct deadline *d))
{
	deadline_drop(d);
	assert_true(n_deadlines < 64);
	d->at_ns = at_ns;
	d->fn = fn;
	deadlines[n_deadlines++] = d;
	d->place = 1;
}

static struct deadline *next_due(int64_t until)
{
	struct deadline *first = NULL;

	for (size_t i = 0; i < n_deadlines; i++)
		if (deadlines[i]->at_ns <= until && (first == NULL || deadlines[i]->at_ns < first->at_ns))
			first = deadlines[i];
	return first;
}

/* As the loop does it: each at its moment. */
static void pass(int64_t ns)
{
	int64_t until = now_ns + ns;
	struct deadline *d;

	while ((d = next_due(until)) != NULL) {
		set_now(d->at_ns);
		deadline_drop(d);
		d->fn(d);
	}
	set_now(until);
}

/* The loop was asleep: all at once, late. */
static void sleep_through(int64_t ns)
{
	struct deadline *d;

	set_now(now_ns + ns);
	while ((d = next_due(now_ns)) != NULL) {
		deadline_drop(d);
		d->fn(d);
	}
}

/* --- calls and streams --- */

struct errand_call {
	const char *task_id;
	int code;              /* -1: not answered */
	bool ended, lost, back, final;
	int cancel_code;
	void (*on_cancel)(struct errand_call *, void *);
	void *cancel_arg;
	char why[160];
	struct call_metadata metadata[2];
	size_t n_metadata;
	/* a stream: what was sent */
	bool full;
	void (*on_ready)(struct errand_call *, void *);
	void *ready_arg;
	size_t n_work, n_stop, n_leave, n_pairs;
	uint64_t last;
};

static struct errand_call calls[2000];
static size_t n_calls;

static struct errand_call *new_call(const char *task_id)
{
	struct errand_call *c = &calls[n_calls++];

	assert_true(n_calls <= 2000);
	*c = (struct errand_call){.task_id = task_id, .code = -1};
	return c;
}

static void answered(struct errand_call *c, int code, const char *why)
{
	assert_int_equal(c->code, -1); /* once */
	c->code = code;
	snprintf(c->why, sizeof c->why, "%s", why);
}

void errand_fail(struct errand_call *c, int code, const char *fmt, ...)
{
	char why[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	answered(c, code, why);
}

void call_fail_problem(struct errand_call *c, int code, const char *message, struct bytes problem)
{
	answered(c, code, message);
	assert_true(problem.len > 0);
}

void call_give_back(struct errand_call *c, const char *why)
{
	c->back = true;
	answered(c, ERRAND_UNAVAILABLE, why);
}

void call_set_lease_lost(struct errand_call *c)
{
	c->lost = true;
}

void errand_final(struct errand_call *c)
{
	c->final = true;
}

void errand_set_metadata(struct errand_call *c, const char *key, const char *value)
{
}

void errand_on_cancel(struct errand_call *c, void (*fn)(struct errand_call *, void *), void *arg)
{
	c->on_cancel = fn;
	c->cancel_arg = arg;
}

static void cancel(struct errand_call *c, int code)
{
	c->cancel_code = code;
	c->on_cancel(c, c->cancel_arg);
}

int call_cancel_code(const struct errand_call *c)
{
	return c->cancel_code;
}

int64_t call_grace_ns(const struct errand_call *c)
{
	return 3 * NS_PER_S;
}

const char *errand_task_id(const struct errand_call *c)
{
	return c->task_id;
}

unsigned errand_attempt(const struct errand_call *c)
{
	return 1;
}

const char *errand_method_name(const struct errand_call *c)
{
	return "t.T/Run";
}

int64_t errand_time_left(const struct errand_call *c)
{
	return INT64_MAX;
}

struct bytes call_checkpoint(const struct errand_call *c)
{
	return (struct bytes){NULL, 0};
}

const struct call_metadata *call_metadata(const struct errand_call *c, size_t *n)
{
	*n = c->n_metadata;
	return c->metadata;
}

size_t errand_parent_count(const struct errand_call *c)
{
	return 0;
}

const char *errand_parent_id(const struct errand_call *c, size_t i)
{
	return NULL;
}

int errand_stream_send(struct errand_call *c, const ProtobufCMessage *message)
{
	const Errand__V1__Order *o = (const Errand__V1__Order *)message;

	assert_int_equal(c->code, -1);
	c->n_work += o->order_case == ERRAND__V1__ORDER__ORDER_WORK;
	c->n_stop += o->order_case == ERRAND__V1__ORDER__ORDER_STOP;
	c->n_leave += o->order_case == ERRAND__V1__ORDER__ORDER_LEAVE;
	if (o->order_case == ERRAND__V1__ORDER__ORDER_WORK) {
		assert_true(o->work->lease > c->last); /* never used twice */
		c->last = o->work->lease;
		c->n_pairs = o->work->n_metadata;
	}
	return c->full;
}

void errand_stream_on_ready(struct errand_call *c, void (*fn)(struct errand_call *, void *), void *arg)
{
	c->on_ready = fn;
	c->ready_arg = arg;
}

void errand_stream_end(struct errand_call *c)
{
	answered(c, 0, "");
	c->ended = true;
}

void task_problem_put(struct buf *out, int code, int http, const char *detail)
{
	buf_append_str(out, detail);
}

/* --- the engine's queue, and the sets --- */

static unsigned room;
static bool is_theirs;

void task_queue_run_by(const char *queue, const struct runner *runner, void *arg, unsigned n)
{
	assert_string_equal(queue, "q");
	is_theirs = runner != NULL;
	room = n;
}

static char *queue_names[] = {"q"};
static struct worker_set set;
static bool set_shown;

struct worker_set *worker_set_next(size_t *posp)
{
	return (*posp)++ == 0 && set_shown ? &set : NULL;
}

void worker_set_deinit(void)
{
}

static int setup(void **state)
{
	set_now(1000 * NS_PER_S);
	n_calls = n_deadlines = 0;
	set = (struct worker_set){.name = "w", .source = "worker w", .queues = {queue_names, 1, 1}};
	list_init(&set.workers);
	list_init(&set.waiting);
	set_shown = true;
	worker_queue_hold("q");
	return 0;
}

static int teardown(void **state)
{
	worker_deinit();
	assert_int_equal(worker_count(), 0);
	assert_true(list_empty(&set.workers));
	clock_set_fake(-1, -1);
	return 0;
}

static struct worker *add(unsigned tasks, unsigned n)
{
	Errand__V1__RegisterWorkerRequest in = ERRAND__V1__REGISTER_WORKER_REQUEST__INIT;

	in.name = (char *)"w";
	in.tasks = tasks;
	in.calls = n;
	return worker_new(&set, set.version, &in);
}

static struct worker *connect_one(unsigned tasks, unsigned n)
{
	struct worker *w = add(tasks, n);

	worker_open(w, new_call(NULL));
	return w;
}

static struct errand_call *run_task(void)
{
	struct errand_call *c = new_call("task");

	worker_task_runner.run(c, (struct bytes){NULL, 0}, worker_queue_get("q"));
	return c;
}

static struct errand_call *run_call(void)
{
	struct errand_call *c = new_call(NULL);

	worker_call_runner.run(c, (struct bytes){NULL, 0}, &set);
	return c;
}

/* What Complete does. */
static void answer(struct worker *w, uint64_t number)
{
	struct worker_lease *l = worker_lease_find(w, number);

	assert_non_null(l);
	if (l->call != NULL)
		answered(l->call, 0, "");
	worker_lease_end(l);
	worker_changed(w);
}

/* --- what happens --- */

static void test_one_that_never_opens_its_stream_is_forgotten(void **state)
{
	struct worker *w = add(1, 1);
	char id[UUID_TEXT_SIZE];

	strcpy(id, w->id);
	assert_int_equal(room, 0); /* nobody to give to */
	pass(9 * NS_PER_S);
	assert_ptr_equal(worker_find(id), w);
	pass(2 * NS_PER_S);
	assert_null(worker_find(id));
	assert_int_equal(n_deadlines, 0);
}

static void test_tasks_go_to_who_has_most_room(void **state)
{
	struct worker *a = connect_one(1, 1), *b = connect_one(3, 1);

	assert_int_equal(room, 4);
	assert_true(is_theirs);
	for (int i = 0; i < 4; i++)
		run_task();
	assert_int_equal(a->stream->n_work, 1);
	assert_int_equal(b->stream->n_work, 3);
	assert_true(run_task()->back); /* nobody has room */
	assert_int_equal(room, 4);
}

static void test_what_a_lost_worker_had_is_lost(void **state)
{
	struct worker *w = connect_one(2, 2);
	struct errand_call *task = run_task(), *call = run_call(), *stream = w->stream;

	pass(29 * NS_PER_S);
	worker_seen(w);
	pass(29 * NS_PER_S);
	assert_int_equal(task->code, -1);
	pass(2 * NS_PER_S);
	assert_true(task->lost);
	assert_int_equal(task->code, ERRAND_UNAVAILABLE);
	assert_int_equal(call->code, ERRAND_UNAVAILABLE);
	assert_false(call->lost);
	assert_int_equal(stream->code, ERRAND_DEADLINE_EXCEEDED);
	assert_int_equal(room, 0);
	assert_int_equal(n_deadlines, 0);
}

static void test_our_own_sleep_is_nobodys_silence(void **state)
{
	struct worker *w = connect_one(1, 1);
	struct errand_call *stream = w->stream;

	sleep_through(300 * NS_PER_S);
	assert_int_equal(stream->code, -1);
	pass(NS_PER_S);
	worker_seen(w); /* what it had sent meanwhile is read */
	pass(29 * NS_PER_S);
	assert_int_equal(stream->code, -1);
	pass(10 * NS_PER_S);
	assert_int_equal(stream->code, ERRAND_DEADLINE_EXCEEDED);
}

static void test_a_stopped_lease_is_taken_away_and_stays_busy(void **state)
{
	struct worker *w = connect_one(2, 1);
	struct errand_call *task = run_task();
	uint64_t number = w->stream->last;

	cancel(task, ERRAND_CANCELLED);
	assert_int_equal(w->stream->n_stop, 1);
	pass(3 * NS_PER_S);
	worker_seen(w);
	assert_int_equal(task->code, -1); /* the grace, and a margin */
	pass(3 * NS_PER_S);
	assert_int_equal(task->code, ERRAND_CANCELLED);
	assert_false(task->lost);
	assert_int_equal(room, 1);
	run_task();
	assert_true(run_task()->back);
	assert_int_equal(w->stream->n_work, 2);
	answer(w, number); /* late */
	assert_int_equal(room, 2);
	assert_null(worker_lease_find(w, number));
}

static void test_who_leaves_keeps_what_it_has(void **state)
{
	struct worker *a = connect_one(2, 1), *b = connect_one(2, 1);
	struct errand_call *stream = a->stream;
	uint64_t number;

	run_task();
	run_task();
	number = stream->last;
	worker_leave(a, "drained", false);
	assert_int_equal(stream->n_leave, 1);
	assert_int_equal(stream->code, -1);
	assert_int_equal(room, 3); /* b's, and the one that a is at */
	run_task();
	assert_int_equal(stream->n_work, 1);
	answer(a, number);
	assert_true(stream->ended);
	assert_int_equal(room, 2);
	assert_int_equal(b->stream->code, -1);
}

static void test_who_does_not_read_counts_for_what_it_has(void **state)
{
	struct worker *w = connect_one(5, 5);
	struct errand_call *call;

	w->stream->full = true;
	run_task();
	assert_int_equal(room, 1);
	assert_true(run_task()->back);
	call = run_call();
	assert_int_equal(call->code, -1); /* waits */
	w->stream->full = false;
	w->stream->on_ready(w->stream, w->stream->ready_arg);
	assert_int_equal(room, 5);
	assert_int_equal(w->stream->n_work, 2);
}

static void test_calls_wait_in_turn_and_not_without_bound(void **state)
{
	struct worker *w = connect_one(1, 1);
	struct errand_call *first = run_call(), *second = run_call(), *third = run_call();

	assert_int_equal(first->code, -1);
	cancel(second, ERRAND_DEADLINE_EXCEEDED);
	assert_int_equal(second->code, ERRAND_DEADLINE_EXCEEDED);
	assert_int_equal(set.n_waiting, 1);
	answer(w, w->stream->last);
	assert_int_equal(w->stream->n_work, 2);
	answer(w, w->stream->last);
	assert_int_equal(third->code, 0);
	run_call();
	for (int i = 0; i < WORKER_WAITING_MAX; i++)
		assert_int_equal(run_call()->code, -1);
	assert_int_equal(run_call()->code, ERRAND_UNAVAILABLE);
	worker_lose(w, ERRAND_CANCELLED, "gone");
	assert_int_equal(set.n_waiting, 0);
	for (size_t i = 0; i < n_calls; i++)
		assert_int_not_equal(calls[i].code, -1);
	assert_string_equal(run_call()->why, "no worker w is connected");
}

static void test_a_newer_one_replaces_the_older(void **state)
{
	struct worker *old = connect_one(1, 1), *new;
	struct errand_call *old_stream = old->stream, *task = run_task();
	uint64_t number = old_stream->last;

	set.version++;
	new = connect_one(1, 1);
	assert_int_equal(old_stream->n_leave, 1);
	assert_int_equal(new->stream->n_leave, 0);
	answer(old, number);
	assert_int_equal(task->code, 0);
	assert_true(old_stream->ended);
	assert_int_equal(new->stream->code, -1);
}

static void test_input_that_fits_no_frame_ends_the_task_not_the_worker(void **state)
{
	struct worker *w = connect_one(1, 1);
	struct errand_call *c = new_call("task");
	AUTO_BUF big = BUF_INIT;

	memset(buf_reserve(&big, FRAME_MAX), 'x', FRAME_MAX);
	worker_task_runner.run(c, (struct bytes){big.data, FRAME_MAX - 10}, worker_queue_get("q"));
	assert_int_equal(c->code, ERRAND_RESOURCE_EXHAUSTED);
	assert_true(c->final);
	assert_int_equal(w->stream->n_work, 0);
	assert_int_equal(w->stream->code, -1);
	assert_int_equal(room, 1);
	run_task();
	assert_int_equal(w->stream->n_work, 1);
}

static void test_metadata_that_is_no_text_is_left_out(void **state)
{
	struct worker *w = connect_one(1, 1);
	struct errand_call *c = new_call(NULL);

	c->metadata[0] = (struct call_metadata){"traceparent", "00"};
	c->metadata[1] = (struct call_metadata){"x", "\xff\xfe"};
	c->n_metadata = 2;
	worker_call_runner.run(c, (struct bytes){NULL, 0}, &set);
	assert_int_equal(w->stream->n_pairs, 1);
}

static void test_draining(void **state)
{
	struct worker *a = connect_one(1, 1), *b = connect_one(1, 1), *idle;
	struct errand_call *a_stream = a->stream, *b_stream = b->stream, *idle_stream, *waits;

	run_task();
	run_call();
	run_call();
	waits = run_call();
	idle = connect_one(0, 0);
	assert_int_equal(waits->code, -1);
	answer(idle, idle->stream->last); /* the one that waited */
	idle_stream = idle->stream;
	add(1, 1);
	worker_drain_begin();
	assert_int_equal(waits->code, 0);
	assert_int_equal(a_stream->n_leave + b_stream->n_leave + idle_stream->n_leave, 3);
	assert_true(idle_stream->ended);
	assert_int_equal(worker_count(), 2);
	worker_stop_all();
	assert_int_equal(a_stream->n_stop + b_stream->n_stop, 3);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		EACH(test_one_that_never_opens_its_stream_is_forgotten),
		EACH(test_tasks_go_to_who_has_most_room),
		EACH(test_what_a_lost_worker_had_is_lost),
		EACH(test_our_own_sleep_is_nobodys_silence),
		EACH(test_a_stopped_lease_is_taken_away_and_stays_busy),
		EACH(test_who_leaves_keeps_what_it_has),
		EACH(test_who_does_not_read_counts_for_what_it_has),
		EACH(test_calls_wait_in_turn_and_not_without_bound),
		EACH(test_a_newer_one_replaces_the_older),
		EACH(test_input_that_fits_no_frame_ends_the_task_not_the_worker),
		EACH(test_metadata_that_is_no_text_is_left_out),
		EACH(test_draining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
