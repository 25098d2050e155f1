/* test_task.c: the task engine over the real loop, store thread and both kinds of
 * store; calls and methods are made up here, so a test decides what a handler
 * does and when. */
#define _GNU_SOURCE
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/call.h"
#include "service/loop.h"
#include "service/pool.h"
#include "service/task.h"
#include "service/task_api.h"
#include "service/task_run.h"

/* --- methods --- */

static const struct schema_message in_message = {.name = "t.In"}, out_message = {.name = "t.Out"};

static struct schema_method schemas[] = {
	{.full_name = "t.T/Run", .queue = "", .run = RUN_TASK,
	 .retry = {.max_attempts = 3, .base_ns = 2000000, .cap_ns = 5000000, .factor = 2}},
	{.full_name = "t.T/Slow", .queue = "slow", .run = RUN_TASK, .cancel_grace_ns = 1000000,
	 .retry = {.max_attempts = 2, .base_ns = 3600LL * NS_PER_S, .cap_ns = 3600LL * NS_PER_S}},
	{.full_name = "t.T/Timed", .queue = "", .run = RUN_TASK, .timeout_ns = 3600LL * NS_PER_S,
	 .retry = {.max_attempts = 1}},
};
static struct method methods[3];
static bool unserved; /* as if the module were gone */

const struct method *registry_method_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++)
		if (!unserved && strcmp(schemas[i].full_name, name) == 0) {
			schemas[i].input = &in_message;
			schemas[i].output = &out_message;
			methods[i].schema = &schemas[i];
			methods[i].run = schemas[i].run;
			return &methods[i];
		}
	return NULL;
}

/* --- calls --- */

struct errand_call {
	struct call_params p;
	char id[UUID_TEXT_SIZE];
	struct buf payload;
	int cancel_code;
	bool abandoned, over;
};

#define MAX_CALLS 4096
static struct errand_call calls[MAX_CALLS];
static size_t n_calls;
static int n_pool_threads;

struct errand_call *call_start(const struct call_params *p)
{
	struct errand_call *c = &calls[n_calls++];

	assert_true(n_calls < MAX_CALLS);
	*c = (struct errand_call){.p = *p};
	strcpy(c->id, p->task_id);
	buf_append(&c->payload, p->payload.data, p->payload.len);
	return c;
}

void call_cancel(struct errand_call *c, int code, bool abandon)
{
	assert_false(c->over);
	if (c->cancel_code == 0)
		c->cancel_code = code;
	c->abandoned = abandon;
}

int call_cancel_code(const struct errand_call *c)
{
	return c->cancel_code;
}

bool call_has_after(struct errand_call *c)
{
	return false;
}

void call_hold(struct errand_call *c)
{
}

void call_delivered(struct errand_call *c)
{
}

struct pool *pool_new(const char *name, unsigned n_threads, size_t max_queue)
{
	return (struct pool *)&n_pool_threads;
}

void pool_resize(struct pool *p, int more)
{
	n_pool_threads += more;
}

size_t pool_drain(struct pool *p, int64_t deadline_ns)
{
	return 0;
}

struct pool *pool_free(struct pool *p)
{
	return NULL;
}

static void answer(struct errand_call *c, struct answer *a)
{
	assert_false(c->over);
	c->over = true;
	c->p.source->answered(c, a, c->p.arg);
	answer_deinit(a);
}

void answer_deinit(struct answer *a)
{
	free(a->message);
	buf_deinit(&a->problem);
	buf_deinit(&a->payload);
}

static void answer_ok(struct errand_call *c, const char *result)
{
	struct answer a = {0};

	buf_append_str(&a.payload, result);
	answer(c, &a);
}

static void answer_error(struct errand_call *c, int code, bool final)
{
	struct answer a = {.code = code, .final = final, .message = xstrdup("it broke")};

	answer(c, &a);
}

/* --- running the loop --- */

static bool (*awaited)(void *arg);
static void *awaited_arg;
static struct loop_timer tick;
static int64_t give_up_ns;

static void on_tick(void *arg)
{
	if (awaited(awaited_arg) || clock_mono_ns() > give_up_ns)
		loop_stop();
	else
		loop_timer_start(&tick, NS_PER_MS / 2, on_tick, NULL);
}

#define await(condition, arg) await_at(condition, arg, __LINE__)

static void await_at(bool (*condition)(void *arg), void *arg, int line)
{
	awaited = condition;
	awaited_arg = arg;
	give_up_ns = clock_mono_ns() + 10 * NS_PER_S;
	loop_timer_start(&tick, 0, on_tick, NULL);
	loop_run();
	loop_timer_cancel(&tick);
	if (!condition(arg))
		fail_msg("waited in vain, line %d", line);
}

static bool n_calls_are(void *arg)
{
	return n_calls >= (size_t)(uintptr_t)arg;
}

static struct errand_call *await_call(size_t n)
{
	await(n_calls_are, (void *)n);
	return &calls[n - 1];
}

/* The outcome of an op. */
struct outcome {
	bool done;
	int code;
	char why[256], id[UUID_TEXT_SIZE];
	enum task_state state;
	uint64_t version;
	uint32_t attempt, failures, crash_count;
	double progress;
	char result[64], detail[256];
	int problem_code;
	uint64_t log_bytes, log_dropped;
	int64_t run_at_us;
};

static bool outcome_done(void *arg)
{
	return ((struct outcome *)arg)->done;
}

static void on_done(int code, const char *why, const struct task_row *row, void *arg)
{
	struct outcome *o = arg;
	AUTO_FREE char *detail = NULL;

	assert_false(o->done);
	o->done = true;
	o->code = code;
	snprintf(o->why, sizeof o->why, "%s", why ? why : "");
	if (row == NULL)
		return;
	uuid_format(&row->id, o->id);
	o->state = row->state;
	o->version = row->version;
	o->attempt = row->attempt;
	o->failures = row->failures;
	o->crash_count = row->crash_count;
	o->progress = row->progress;
	o->log_bytes = row->log_bytes;
	o->log_dropped = row->log_dropped;
	o->run_at_us = row->run_at_us;
	snprintf(o->result, sizeof o->result, "%.*s", (int)row->result.len,
		 row->result.data ? (char *)row->result.data : "");
	o->problem_code = task_problem_read(buf_bytes(&row->error), &detail);
	snprintf(o->detail, sizeof o->detail, "%s", detail);
}

static struct outcome op_with(void (*op)(const char *, task_done, void *), const char *id)
{
	struct outcome o = {0};

	op(id, on_done, &o);
	await(outcome_done, &o);
	return o;
}

static struct outcome get(const char *id)
{
	return op_with(task_get, id);
}

static struct outcome create_input(const char *method, const char *input)
{
	struct outcome o = {0};

	task_create(registry_method_by_name(method), (struct bytes){(uint8_t *)input, strlen(input)},
		    NULL, 0, on_done, &o);
	await(outcome_done, &o);
	return o;
}

static struct outcome create(const char *method)
{
	struct outcome o = create_input(method, "in");

	assert_int_equal(o.code, 0);
	return o;
}

/* Until the task is in that state. */
static struct outcome await_state(const char *id, enum task_state state)
{
	int64_t end = clock_mono_ns() + 10 * NS_PER_S;
	struct outcome o;

	do
		o = get(id);
	while (o.state != state && clock_mono_ns() < end);
	assert_int_equal(o.state, state);
	return o;
}

/* --- fixture --- */

static const struct task_queue_config queue_configs[] = {{"slow", 1}};
static struct task_config config;
static char dir[64], spec[96];
static bool is_sqlite;

static void start(void)
{
	char why[256];

	if (task_init(&config, why, sizeof why) != 0)
		fail_msg("%s", why);
}

static void calls_reset(void)
{
	for (size_t i = 0; i < n_calls; i++)
		buf_deinit(&calls[i].payload);
	n_calls = 0;
}

static int setup(bool sqlite)
{
	is_sqlite = sqlite;
	strcpy(dir, "/tmp/errand-task-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(spec, sizeof spec, sqlite ? "sqlite:%s/tasks.db" : "memory", dir);
	config = (struct task_config){.store = spec, .slots = 4, .queues = queue_configs, .n_queues = 1,
				      .max_depth = 1000, .max_result = 32, .max_log = 4096};
	n_pool_threads = 0;
	task_interrupt_wait_ns = 50 * NS_PER_MS;
	unserved = false;
	loop_init();
	start();
	return 0;
}

static int setup_memory(void **state)
{
	return setup(false);
}

static int setup_sqlite(void **state)
{
	return setup(true);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static bool true_now(void *arg)
{
	return true;
}

static int teardown(void **state)
{
	task_deinit();
	await(true_now, NULL);
	loop_deinit();
	calls_reset();
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}

/* What a service that died and started again has before it. */
static void restart(void)
{
	task_deinit();
	calls_reset();
	start();
}

/* --- attempts --- */

static char attempts_text[256];

static void on_attempts(int code, const char *why, const struct attempt_row *rows, size_t n, void *arg)
{
	size_t at = 0;

	attempts_text[0] = 0;
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(attempts_text + at, sizeof attempts_text - at, "%u%s ",
				       rows[i].number, task_outcome_name(rows[i].outcome));
		assert_true((rows[i].outcome == OUTCOME_NONE) == (rows[i].end_us == 0));
		assert_true(rows[i].start_us > 0 && rows[i].owner != NULL);
	}
	*(bool *)arg = true;
}

static bool is_set(void *arg)
{
	return *(bool *)arg;
}

static const char *attempts(const char *id)
{
	bool done = false;

	task_attempts(id, on_attempts, &done);
	await(is_set, &done);
	return attempts_text;
}

/* --- watching --- */

#define MAX_SEEN 4096
struct seen {
	uint64_t seqs[MAX_SEEN];
	size_t n;
	char text[65536]; /* "1:QUEUED 2:RUNNING ..." */
	size_t at;
	bool ended;
	int code;
	unsigned pause_every; /* of events: says false, then goes on; 0 = never */
	bool paused;
	struct task_watch *watch;
};

static void see(struct seen *s, const struct event_row *e)
{
	struct pbuf_reader r = pbuf_reader(e->data.data, e->data.len);
	char what[128] = "?";
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 5)
			snprintf(what, sizeof what, "%s", task_state_name((enum task_state)f.value));
		else if (f.number == 7)
			snprintf(what, sizeof what, "progress");
		else if (f.number == 8)
			snprintf(what, sizeof what, "log");
		else if (f.number == 9)
			snprintf(what, sizeof what, "result");
	s->at += (size_t)snprintf(s->text + s->at, sizeof s->text - s->at, "%d:%s ", (int)e->seq, what);
	assert_true(s->n < MAX_SEEN);
	s->seqs[s->n++] = e->seq;
}

static bool on_event(const struct uuid *id, const struct event_row *e, void *arg)
{
	struct seen *s = arg;

	assert_false(s->ended || s->paused);
	see(s, e);
	s->paused = s->pause_every && s->n % s->pause_every == 0;
	return !s->paused;
}

static void on_ended(int code, const char *why, void *arg)
{
	struct seen *s = arg;

	assert_false(s->ended);
	s->ended = true;
	s->code = code;
	s->watch = NULL;
}

static const struct task_watch_ops watch_ops = {.event = on_event, .ended = on_ended};

static bool watch_over(void *arg)
{
	struct seen *s = arg;

	if (s->paused) {
		s->paused = false;
		task_watch_more(s->watch);
	}
	return s->ended;
}

static struct seen *watch(const char *id, uint64_t after, enum event_kind kind, bool follow)
{
	struct seen *s = xcalloc(1, sizeof *s);

	s->watch = task_watch(id, after, kind, follow, &watch_ops, s);
	return s;
}

/* All events of an ended task. */
static const char *history(const char *id)
{
	static char text[65536];
	struct seen *s = watch(id, 0, 0, true);

	await(watch_over, s);
	assert_int_equal(s->code, 0);
	strcpy(text, s->text);
	free(s);
	return text;
}

/* --- the way through --- */

static void runs_and_succeeds(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);

	assert_string_equal(c->id, o.id);
	assert_int_equal(c->p.attempt, 1);
	assert_int_equal(c->payload.len, 2);
	assert_non_null(c->p.pool);
	o = get(o.id);
	assert_int_equal(o.state, TASK_RUNNING);
	assert_int_equal(o.version, 2);
	assert_string_equal(attempts(o.id), "1OUTCOME_UNSPECIFIED ");
	assert_int_equal(task_running(), 1);
	answer_ok(c, "out");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_string_equal(o.result, "out");
	assert_string_equal(attempts(o.id), "1OK ");
	assert_string_equal(history(o.id), "1:QUEUED 2:RUNNING 3:result 4:SUCCEEDED ");
	assert_int_equal(o.version, 4);
	assert_int_equal(task_running(), 0);
	assert_int_equal(get(o.id + 30).code, 0); /* by its tail */
	assert_int_equal(get("no-such-task").code, ERRAND_NOT_FOUND);
}

static void an_error_is_retried_until_it_is_enough(void **state)
{
	struct outcome o = create("t.T/Run");

	for (size_t i = 1; i <= 3; i++)
		answer_error(await_call(i), ERRAND_INTERNAL, false);
	o = await_state(o.id, TASK_FAILED);
	assert_int_equal(o.failures, 3);
	assert_int_equal(o.problem_code, ERRAND_INTERNAL);
	assert_string_equal(o.detail, "it broke (attempts exhausted)");
	assert_string_equal(attempts(o.id), "1ERROR 2ERROR 3ERROR ");
	assert_string_equal(history(o.id), "1:QUEUED 2:RUNNING 3:RETRYING 4:RUNNING 5:RETRYING 6:RUNNING "
			    "7:FAILED ");
	assert_int_equal(n_calls, 3);
}

static void a_success_after_errors_forgets_them(void **state)
{
	struct outcome o = create("t.T/Run");

	answer_error(await_call(1), ERRAND_UNAVAILABLE, false);
	answer_ok(await_call(2), "2nd");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_string_equal(o.result, "2nd");
	assert_string_equal(o.detail, "");
}

static void a_final_error_is_not_retried(void **state)
{
	struct outcome o = create("t.T/Run");

	answer_error(await_call(1), ERRAND_INVALID_ARGUMENT, true);
	o = await_state(o.id, TASK_FAILED);
	assert_string_equal(o.detail, "it broke (not retryable)");
}

static void the_handler_s_own_delay_is_honoured(void **state)
{
	struct answer a = {.code = ERRAND_UNAVAILABLE, .retry_after_ns = 60 * NS_PER_S};
	struct outcome o = create("t.T/Run");

	answer(await_call(1), &a);
	o = await_state(o.id, TASK_RETRYING);
	assert_in_range(o.run_at_us - clock_wall_us(), 55 * US_PER_S, 61 * US_PER_S);
}

static void a_result_too_large_fails_the_task(void **state)
{
	struct outcome o = create("t.T/Run");

	answer_ok(await_call(1), "a result of more than the thirty-two bytes allowed");
	o = await_state(o.id, TASK_FAILED);
	assert_int_equal(o.problem_code, ERRAND_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(o.detail, "the limit is 32"));
	assert_string_equal(attempts(o.id), "1ERROR ");
}

static void time_over_is_a_timeout(void **state)
{
	struct outcome o = create("t.T/Timed");
	struct errand_call *c = await_call(1);

	assert_in_range(c->p.deadline_ns - clock_mono_ns(), 3590 * NS_PER_S, 3600 * NS_PER_S);
	call_cancel(c, ERRAND_DEADLINE_EXCEEDED, false); /* as the call does itself */
	answer_error(c, ERRAND_CANCELLED, false);
	o = await_state(o.id, TASK_FAILED);
	assert_int_equal(o.problem_code, ERRAND_DEADLINE_EXCEEDED);
	assert_string_equal(attempts(o.id), "1TIMEOUT ");
}

static void how_a_program_ended_is_recorded(void **state)
{
	struct answer exit = {.code = ERRAND_INTERNAL, .from_exit = true, .exit_status = 3};
	struct answer sig = {.code = ERRAND_INTERNAL, .from_exit = true, .exit_signal = 11};
	struct outcome o = create("t.T/Run");

	answer(await_call(1), &exit);
	answer(await_call(2), &sig);
	answer_ok(await_call(3), "");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_string_equal(attempts(o.id), "1EXIT 2SIGNAL 3OK ");
	assert_int_equal(o.failures, 1);
	assert_int_equal(o.crash_count, 1);
}

static void a_method_that_is_gone_fails_its_tasks(void **state)
{
	struct outcome first = create("t.T/Slow"), o = create("t.T/Slow");

	await_call(1);
	unserved = true;
	answer_ok(&calls[0], "");
	o = await_state(o.id, TASK_FAILED);
	assert_int_equal(o.problem_code, ERRAND_UNIMPLEMENTED);
	assert_non_null(strstr(o.detail, "t.T/Slow"));
	assert_int_equal(get(first.id).state, TASK_SUCCEEDED);
}

/* --- queues --- */

static size_t n_open_calls(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_calls; i++)
		n += !calls[i].over;
	return n;
}

static void slots_bound_what_runs_and_turns_are_kept(void **state)
{
	struct outcome o[8];

	for (int i = 0; i < 8; i++)
		o[i] = create("t.T/Run");
	await_call(4);
	assert_int_equal(get(o[7].id).state, TASK_QUEUED);
	assert_int_equal(n_calls, 4);
	for (size_t i = 0; i < 8; i++) {
		struct errand_call *c = await_call(i + 1);

		assert_string_equal(c->id, o[i].id);
		assert_true(n_open_calls() <= 4);
		answer_ok(c, "");
	}
	await_state(o[7].id, TASK_SUCCEEDED);
}

static void a_full_queue_says_so(void **state)
{
	struct outcome o, last;

	task_deinit();
	config.max_depth = 3;
	start();
	o = create("t.T/Slow"); /* runs */
	await_call(1);
	for (int i = 0; i < 3; i++)
		last = create("t.T/Slow");
	assert_int_equal(create_input("t.T/Slow", "x").code, ERRAND_RESOURCE_EXHAUSTED);
	assert_int_equal(op_with(task_cancel, last.id).code, 0);
	assert_int_equal(create_input("t.T/Slow", "x").code, 0);
	assert_int_equal(create_input("t.T/Slow", "x").code, ERRAND_RESOURCE_EXHAUSTED);
	answer_ok(&calls[0], "");
	await_state(o.id, TASK_SUCCEEDED);
	await_call(2);
	assert_int_equal(create_input("t.T/Slow", "x").code, 0);
	assert_int_equal(create_input("t.T/Run", "x").code, 0); /* another queue */
}

/* --- cancel, retry, delete --- */

static void a_queued_task_is_cancelled_at_once(void **state)
{
	struct outcome running = create("t.T/Slow"), o = create("t.T/Slow");

	await_call(1);
	o = op_with(task_cancel, o.id);
	assert_int_equal(o.state, TASK_CANCELLED);
	assert_int_equal(o.problem_code, ERRAND_CANCELLED);
	answer_ok(&calls[0], "");
	await_state(running.id, TASK_SUCCEEDED);
	assert_int_equal(n_calls, 1);
	assert_string_equal(history(o.id), "1:QUEUED 2:CANCELLED ");
}

static void a_retrying_task_is_cancelled_at_once(void **state)
{
	struct outcome o = create("t.T/Slow");

	answer_error(await_call(1), ERRAND_INTERNAL, false);
	await_state(o.id, TASK_RETRYING);
	assert_int_equal(op_with(task_cancel, o.id).state, TASK_CANCELLED);
}

static void a_running_task_is_told_to_stop(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);

	o = op_with(task_cancel, o.id);
	assert_int_equal(o.state, TASK_CANCELLING);
	assert_int_equal(c->cancel_code, ERRAND_CANCELLED);
	assert_int_equal(op_with(task_cancel, o.id).version, o.version); /* twice is once */
	answer_error(c, ERRAND_CANCELLED, false);
	o = await_state(o.id, TASK_CANCELLED);
	assert_string_equal(attempts(o.id), "1CANCELLED ");
	assert_string_equal(history(o.id), "1:QUEUED 2:RUNNING 3:CANCELLING 4:CANCELLED ");
	assert_int_equal(op_with(task_cancel, o.id).state, TASK_CANCELLED);
}

static void a_handler_may_succeed_after_cancel(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);

	op_with(task_cancel, o.id);
	answer_ok(c, "done");
	assert_string_equal(await_state(o.id, TASK_SUCCEEDED).result, "done");
}

static void cancel_and_end_at_the_same_time(void **state)
{
	struct outcome o = create("t.T/Run"), cancelled = {0};
	struct errand_call *c = await_call(1);

	task_cancel(o.id, on_done, &cancelled);
	answer_error(c, ERRAND_INTERNAL, false);
	await(outcome_done, &cancelled);
	assert_int_equal(cancelled.state, TASK_CANCELLING);
	await_state(o.id, TASK_CANCELLED);
}

static bool pool_grew(void *arg)
{
	return n_pool_threads == 1;
}

static void a_handler_that_ignores_cancel_loses_its_slot(void **state)
{
	struct outcome o = create("t.T/Slow"), next = create("t.T/Slow");

	await_call(1);
	task_stuck_margin_ns = 0;
	op_with(task_cancel, o.id);
	await(pool_grew, NULL);
	await_call(2); /* the next one runs meanwhile */
	assert_int_equal(get(o.id).state, TASK_CANCELLING);
	answer_error(&calls[0], ERRAND_CANCELLED, false);
	await_state(o.id, TASK_CANCELLED);
	assert_int_equal(n_pool_threads, 0);
	answer_ok(&calls[1], "");
	await_state(next.id, TASK_SUCCEEDED);
}

static void an_operator_s_retry_begins_again(void **state)
{
	struct outcome o = create("t.T/Run");

	assert_int_equal(op_with(task_retry, o.id).code, ERRAND_FAILED_PRECONDITION);
	answer_error(await_call(1), ERRAND_INVALID_ARGUMENT, true);
	await_state(o.id, TASK_FAILED);
	o = op_with(task_retry, o.id);
	assert_int_equal(o.state, TASK_QUEUED);
	assert_int_equal(o.failures, 0);
	assert_string_equal(o.detail, "");
	assert_int_equal(await_call(2)->p.attempt, 2);
	answer_ok(&calls[1], "now");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_string_equal(attempts(o.id), "1ERROR 2OK ");
	assert_string_equal(history(o.id), "1:QUEUED 2:RUNNING 3:FAILED 4:QUEUED 5:RUNNING 6:result "
			    "7:SUCCEEDED ");
}

static void delete_forgets_what_has_ended(void **state)
{
	struct outcome o = create("t.T/Run"), refused;

	refused = op_with(task_delete, o.id);
	assert_int_equal(refused.code, ERRAND_FAILED_PRECONDITION);
	assert_non_null(strstr(refused.why, "only an ended one can be deleted"));
	answer_ok(await_call(1), "");
	await_state(o.id, TASK_SUCCEEDED);
	assert_int_equal(op_with(task_delete, o.id).code, 0);
	assert_int_equal(get(o.id).code, ERRAND_NOT_FOUND);
	assert_int_equal(op_with(task_delete, o.id).code, ERRAND_NOT_FOUND);
}

/* --- death and recovery --- */

static void what_a_dead_service_ran_is_run_again(void **state)
{
	struct outcome o = create("t.T/Run");

	if (!is_sqlite)
		return;
	for (uint32_t n = 1; n <= 3; n++) {
		assert_int_equal(await_call(1)->p.attempt, n);
		restart();
		assert_int_equal(get(o.id).crash_count, n);
	}
	o = get(o.id);
	assert_int_equal(o.state, TASK_FAILED);
	assert_string_equal(o.detail, "the service died while the attempt ran (quarantined)");
	assert_string_equal(attempts(o.id), "1LEASE_LOST 2LEASE_LOST 3LEASE_LOST ");
	assert_int_equal(n_calls, 0);
}

static void recovery_keeps_what_was_asked(void **state)
{
	struct outcome cancelling = create("t.T/Run"), queued, running = create("t.T/Slow");

	if (!is_sqlite)
		return;
	queued = create("t.T/Slow");
	await_call(2);
	op_with(task_cancel, cancelling.id);
	restart();
	assert_int_equal(get(cancelling.id).state, TASK_CANCELLED);
	assert_int_equal(get(running.id).state, TASK_RETRYING);
	assert_string_equal(await_call(1)->id, queued.id);
	assert_int_equal(n_calls, 1);
}

static void on_flag(void *arg)
{
	*(bool *)arg = true;
}

static void stopping_hands_back_what_still_runs(void **state)
{
	struct outcome deaf = create("t.T/Run"), hears = create("t.T/Run"), done = create("t.T/Run");
	bool all = false;

	await_call(3);
	task_drain_begin();
	create("t.T/Run");
	task_interrupt_all(on_flag, &all);
	assert_int_equal(calls[0].cancel_code, ERRAND_CANCELLED);
	answer_error(&calls[1], ERRAND_CANCELLED, false);
	answer_ok(&calls[2], "in time");
	await(is_set, &all);
	assert_true(calls[0].abandoned);
	assert_int_equal(task_running(), 0);
	assert_int_equal(get(deaf.id).state, TASK_QUEUED);
	assert_int_equal(get(hears.id).state, TASK_QUEUED);
	assert_int_equal(get(hears.id).failures, 0);
	assert_string_equal(attempts(hears.id), "1INTERRUPTED ");
	assert_int_equal(get(done.id).state, TASK_SUCCEEDED);
	assert_int_equal(n_calls, 3);
	if (!is_sqlite)
		return;
	restart();
	await_call(3);
	assert_int_equal(get(deaf.id).crash_count, 0);
}

static void interrupting_nothing_is_done_at_once(void **state)
{
	bool all = false;

	task_interrupt_all(on_flag, &all);
	assert_false(all);
	await(is_set, &all);
}

static void an_end_that_cannot_be_written_is_tried_again(void **state)
{
	struct rlimit old, none;
	struct outcome o = create("t.T/Run");

	await_call(1);
	if (!is_sqlite)
		return;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	none = old;
	none.rlim_cur = 1;
	setrlimit(RLIMIT_FSIZE, &none);
	answer_ok(&calls[0], "kept");
	assert_int_equal(create_input("t.T/Run", "x").code, ERRAND_UNAVAILABLE);
	assert_int_equal(get(o.id).state, TASK_RUNNING);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_string_equal(await_state(o.id, TASK_SUCCEEDED).result, "kept");
	assert_int_equal(create_input("t.T/Run", "x").code, 0);
}

/* --- progress and logs --- */

static void *report_progress(void *arg)
{
	struct errand_call *c = arg;

	for (int i = 1; i <= 1000; i++)
		c->p.source->progress(c, i / 1000.0, i == 1000 ? "all" : "some", c->p.arg);
	return NULL;
}

static void progress_is_coalesced_and_the_last_is_kept(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);
	struct seen *live = watch(o.id, 0, EVENT_PROGRESS, true);
	pthread_t thread;

	pthread_create(&thread, NULL, report_progress, c);
	pthread_join(thread, NULL);
	get(o.id);
	answer_ok(c, "");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_true(o.progress == 1.0);
	await(watch_over, live);
	assert_in_range(live->n, 1, 3);
	assert_in_range(o.version, 5, 7);
	free(live);
}

static void say(struct errand_call *c, const char *stream, const char *line)
{
	c->p.source->log(c, stream, line, strlen(line), c->p.arg);
}

static void lines_are_kept_in_order_up_to_the_cap(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);
	struct seen *lines;
	uint64_t sent = 0;

	for (int i = 0; i < 500; i++) {
		char line[32];

		snprintf(line, sizeof line, "line %d", i);
		say(c, i % 2 ? "stderr" : "stdout", line);
		sent += strlen(line) + 1;
	}
	answer_ok(c, "");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_true(o.log_bytes > 0 && o.log_dropped > 0);
	assert_int_equal(o.log_bytes + o.log_dropped, sent);
	assert_true(o.log_bytes <= 4096);
	lines = watch(o.id, 0, EVENT_LOG, false);
	await(watch_over, lines);
	assert_true(lines->n > 50 && lines->n < 500);
	free(lines);
	say(c, "stdout", "too late: nobody is there any more");
}

static char last_log[128];

static bool keep_log(const struct uuid *id, const struct event_row *e, void *arg)
{
	struct pbuf_reader r = pbuf_reader(e->data.data, e->data.len), inner;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 8) {
			inner = pbuf_reader(f.bytes.data, f.bytes.len);
			last_log[0] = 0;
			while (pbuf_next(&inner, &f))
				if (f.number == 3 || f.number == 5)
					snprintf(last_log + strlen(last_log), sizeof last_log - strlen(last_log), "%.*s|",
						 (int)f.bytes.len, (char *)f.bytes.data);
		}
	return true;
}

static void flag_ended(int code, const char *why, void *arg)
{
	*(bool *)arg = true;
}

static void dropped_bytes_are_told_and_text_is_utf_8(void **state)
{
	static const struct task_watch_ops ops = {.event = keep_log, .ended = flag_ended};
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);
	char big[4097];
	bool ended = false;

	say(c, "handler", "caf\xe9 \xf0\x9f\x98\x80");
	task_watch(o.id, 0, EVENT_LOG, false, &ops, &ended);
	await(is_set, &ended);
	while (strcmp(last_log, "handler|caf\xef\xbf\xbd \xf0\x9f\x98\x80|") != 0) {
		ended = false;
		task_watch(o.id, 0, EVENT_LOG, false, &ops, &ended);
		await(is_set, &ended);
	}
	memset(big, 'x', 4096);
	big[4096] = 0;
	say(c, "stderr", big);
	answer_ok(c, "");
	await_state(o.id, TASK_SUCCEEDED);
	ended = false;
	task_watch(o.id, 0, EVENT_LOG, false, &ops, &ended);
	await(is_set, &ended);
	assert_string_equal(last_log, "errand|4097 bytes dropped|");
}

/* --- watching --- */

static void a_watch_of_no_task_ends_with_an_error(void **state)
{
	struct seen *s = watch("01936b2c-0000-7000-8000-000000000000", 0, 0, true);

	await(watch_over, s);
	assert_int_equal(s->code, ERRAND_NOT_FOUND);
	assert_int_equal(s->n, 0);
	free(s);
}

static void a_watch_that_has_seen_all_ends_empty(void **state)
{
	struct outcome o = create("t.T/Run");
	struct seen *s;

	answer_ok(await_call(1), "");
	o = await_state(o.id, TASK_SUCCEEDED);
	s = watch(o.id, o.version, 0, true);
	await(watch_over, s);
	assert_int_equal(s->code, 0);
	assert_int_equal(s->n, 0);
	free(s);
}

static void unwatching_is_silent(void **state)
{
	struct outcome o = create("t.T/Run");
	struct seen *at_once = watch(o.id, 0, 0, true), *later = watch(o.id, 0, 0, true);

	task_unwatch(at_once->watch);
	await_call(1);
	get(o.id);
	task_unwatch(later->watch);
	later->n = 0;
	answer_ok(&calls[0], "");
	await_state(o.id, TASK_SUCCEEDED);
	assert_int_equal(at_once->n + later->n, 0);
	assert_false(at_once->ended || later->ended);
	free(at_once);
	free(later);
}

#define N_WATCHERS 12

/* Watchers that leave and come back with their last id, pause and go on, while a
 * task writes: each of them sees every line and state once and in order. */
static void every_event_once_and_in_order(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);
	struct seen *s[N_WATCHERS];
	const char *whole;
	size_t n_lines = 0;

	for (unsigned i = 0; i < N_WATCHERS; i++) {
		s[i] = watch(o.id, 0, 0, true);
		s[i]->pause_every = i % 4;
	}
	srandom(3);
	for (int round = 0; round < 60; round++) {
		for (int k = random() % 3; k > 0 && n_lines < 100; k--, n_lines++)
			say(c, "stdout", "l");
		get(o.id);
		for (unsigned i = 0; i < N_WATCHERS; i++) {
			watch_over(s[i]);
			if (s[i]->watch != NULL && random() % 4 == 0) {
				task_unwatch(s[i]->watch);
				s[i]->paused = false;
				s[i]->watch = task_watch(o.id, s[i]->n ? s[i]->seqs[s[i]->n - 1] : 0, 0, true,
							 &watch_ops, s[i]);
			}
		}
		if (round == 30)
			answer_error(c, ERRAND_UNAVAILABLE, false);
		if (round == 31)
			c = await_call(2);
		if (round % 16 == 7)
			usleep(60000); /* for more than one flush of lines */
	}
	answer_ok(c, "end");
	await_state(o.id, TASK_SUCCEEDED);
	whole = history(o.id);
	assert_non_null(strstr(whole, "log"));
	for (unsigned i = 0; i < N_WATCHERS; i++) {
		await(watch_over, s[i]);
		assert_int_equal(s[i]->code, 0);
		assert_string_equal(s[i]->text, whole);
		for (size_t k = 1; k < s[i]->n; k++)
			assert_true(s[i]->seqs[k] > s[i]->seqs[k - 1]);
		free(s[i]);
	}
}

/* --- waiting and lists --- */

static void waiting_for_the_end(void **state)
{
	struct outcome o = create("t.T/Run"), end = {0}, change = {0}, late = {0}, none = {0};
	struct errand_call *c = await_call(1);

	o = get(o.id);
	task_wait(o.id, 0, 10 * NS_PER_S, on_done, &end);
	task_wait(o.id, o.version, -1, on_done, &change);
	task_wait(o.id, 0, NS_PER_MS, on_done, &late);
	task_wait("123456", 0, NS_PER_S, on_done, &none);
	await(outcome_done, &late);
	assert_int_equal(late.state, TASK_RUNNING);
	await(outcome_done, &none);
	assert_int_equal(none.code, ERRAND_NOT_FOUND);
	assert_false(end.done || change.done);
	say(c, "stdout", "a change");
	await(outcome_done, &change);
	assert_true(change.version > o.version);
	assert_int_equal(change.state, TASK_RUNNING);
	answer_ok(c, "r");
	await(outcome_done, &end);
	assert_int_equal(end.state, TASK_SUCCEEDED);
	assert_string_equal(end.result, "r");
	memset(&end, 0, sizeof end);
	task_wait(o.id, 0, -1, on_done, &end); /* has ended already */
	await(outcome_done, &end);
	task_unwait(task_wait(o.id, 0, -1, on_done, &end));
}

static char list_ids[2048];
static struct uuid list_next;

static void on_list(int code, const char *why, const struct task_row *rows, size_t n,
		    const struct uuid *next, void *arg)
{
	char id[UUID_TEXT_SIZE];

	assert_int_equal(code, 0);
	for (size_t i = 0; i < n; i++)
		strcat(list_ids, uuid_format(&rows[i].id, id));
	*(bool *)arg = true;
	if (next != NULL)
		list_next = *next;
}

static void lists_come_in_pages(void **state)
{
	struct store_filter f = {.limit = 2, .method = "t.T/Slow"};
	struct outcome o[4];
	bool done = false;

	for (int i = 0; i < 4; i++)
		o[i] = create(i == 1 ? "t.T/Run" : "t.T/Slow");
	/* Ids of one millisecond are in no order: the list's is by id. */
	list_ids[0] = 0;
	task_list(&f, on_list, &done);
	await(is_set, &done);
	f.after = list_next;
	f.after_set = true;
	done = false;
	task_list(&f, on_list, &done);
	await(is_set, &done);
	for (int i = 0; i < 4; i++)
		assert_true((strstr(list_ids, o[i].id) != NULL) == (i != 1));
	assert_int_equal(strlen(list_ids), 3 * 36);
	for (int i = 0; i < 2; i++)
		assert_true(memcmp(list_ids + 36 * i, list_ids + 36 * (i + 1), 36) > 0);
}

#define BOTH(fn) \
	{"memory: " #fn, fn, setup_memory, teardown, NULL}, \
	{"sqlite: " #fn, fn, setup_sqlite, teardown, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(runs_and_succeeds),
		BOTH(an_error_is_retried_until_it_is_enough),
		BOTH(a_success_after_errors_forgets_them),
		BOTH(a_final_error_is_not_retried),
		BOTH(the_handler_s_own_delay_is_honoured),
		BOTH(a_result_too_large_fails_the_task),
		BOTH(time_over_is_a_timeout),
		BOTH(how_a_program_ended_is_recorded),
		BOTH(a_method_that_is_gone_fails_its_tasks),
		BOTH(slots_bound_what_runs_and_turns_are_kept),
		BOTH(a_full_queue_says_so),
		BOTH(a_queued_task_is_cancelled_at_once),
		BOTH(a_retrying_task_is_cancelled_at_once),
		BOTH(a_running_task_is_told_to_stop),
		BOTH(a_handler_may_succeed_after_cancel),
		BOTH(cancel_and_end_at_the_same_time),
		BOTH(a_handler_that_ignores_cancel_loses_its_slot),
		BOTH(an_operator_s_retry_begins_again),
		BOTH(delete_forgets_what_has_ended),
		BOTH(what_a_dead_service_ran_is_run_again),
		BOTH(recovery_keeps_what_was_asked),
		BOTH(stopping_hands_back_what_still_runs),
		BOTH(interrupting_nothing_is_done_at_once),
		BOTH(an_end_that_cannot_be_written_is_tried_again),
		BOTH(progress_is_coalesced_and_the_last_is_kept),
		BOTH(lines_are_kept_in_order_up_to_the_cap),
		BOTH(dropped_bytes_are_told_and_text_is_utf_8),
		BOTH(a_watch_of_no_task_ends_with_an_error),
		BOTH(a_watch_that_has_seen_all_ends_empty),
		BOTH(unwatching_is_silent),
		BOTH(every_event_once_and_in_order),
		BOTH(waiting_for_the_end),
		BOTH(lists_come_in_pages),
	};

	log_init("test_task", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
