/* call.c and its kin: a call is answered exactly once, wherever its handler runs and
 * however it ends; dependencies, after-work, cancel, deadlines, streams. The source
 * is the test; the loop is real. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "probe_module.h"
#include "service/background.h"
#include "service/call.h"
#include "service/deadline.h"
#include "service/depends.h"
#include "service/loop.h"
#include "service/pool.h"
#include "service/watchdog.h"

static struct pool *sync_pool;
static struct errand_call *current; /* as call_start gave it */
static struct answer got;           /* what came last */
static int n_answers, n_messages, window, want_answers;
static bool hold, abandoned_after;  /* of on_answered */
static struct loop_timer guard;

static int setup_all(void **state)
{
	char why[256] = "";

	log_init("test_call", LOG_LEVEL_ERROR + (getenv("V") ? 3 : 0));
	loop_init();
	sync_pool = pool_new("sync", 2, 2);
	background_init(2, 8);
	call_init(sync_pool);
	assert_int_equal(registry_add(&probe_module, why, sizeof why), 0);
	if (registry_finish(why, sizeof why) < 0 || depends_open_process(why, sizeof why) < 0)
		fail_msg("%s", why);
	return 0;
}

static int teardown_all(void **state)
{
	assert_int_equal(pool_drain(sync_pool, clock_mono_ns() + 5 * NS_PER_S), 0);
	background_deinit();
	pool_free(sync_pool);
	depends_close_process();
	registry_deinit();
	depends_deinit();
	call_deinit();
	deadline_deinit();
	loop_deinit();
	return 0;
}

static int setup(void **state)
{
	answer_deinit(&got);
	n_answers = n_messages = 0;
	want_answers = 1;
	window = -1;
	hold = abandoned_after = false;
	probe_trace_clear();
	return 0;
}

static int teardown(void **state)
{
	answer_deinit(&got);
	assert_int_equal(call_count(), 0);
	return 0;
}

/* --- the source --- */

static void on_answered(struct errand_call *call, struct answer *a, void *arg)
{
	assert_true(loop_is_current());
	assert_ptr_equal(arg, &got);
	if (hold)
		call_hold(call);
	answer_deinit(&got);
	got = *a;
	*a = (struct answer){.code = got.code};
	probe_note("answered %d", got.code);
	if (++n_answers == want_answers)
		loop_stop();
}

static int on_message(struct errand_call *call, struct bytes m, void *arg)
{
	assert_true(loop_is_current());
	n_messages++;
	if (window > 0 && n_messages % window == 0) {
		probe_note("window full");
		return 1;
	}
	return 0;
}

static const struct call_source source = {.name = "test", .answered = on_answered, .message = on_message};

static void on_guard(void *arg)
{
	fail_msg("nothing came within 5 s");
}

static struct call_params params(const char *method, struct bytes payload)
{
	return (struct call_params){.method = registry_method_by_name(method), .source = &source,
				    .arg = &got, .payload = payload};
}

static struct errand_call *start_with(const char *name, const Probe__V1__Note *in, int64_t timeout_ms)
{
	AUTO_FREE uint8_t *packed = xmalloc(probe__v1__note__get_packed_size(in));
	AUTO_FREE char *full = xasprintf("probe.v1.Probe/%s", name);
	struct call_params p =
		params(full, (struct bytes){packed, probe__v1__note__pack(in, packed)});

	if (timeout_ms > 0)
		p.deadline_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
	current = call_start(&p);
	assert_int_equal(n_answers, 0); /* never from inside */
	return current;
}

static struct errand_call *start(const char *name, const char *text, int number, int ms)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.text = (char *)text;
	in.number = number;
	in.ms = ms;
	return start_with(name, &in, 0);
}

static void run(void)
{
	loop_timer_start(&guard, 5 * NS_PER_S, on_guard, NULL);
	loop_run();
	loop_timer_cancel(&guard);
}

static void on_enough(void *arg)
{
	loop_stop();
}

/* Runs the loop for a little, for what must not happen or happens after. */
static void run_ms(int ms)
{
	struct loop_timer t = {0};

	loop_timer_start(&t, ms * NS_PER_MS, on_enough, NULL);
	loop_run();
	loop_timer_cancel(&t);
}

/* Until all calls are DONE: what comes after the answer has come. */
static void settle(void)
{
	for (int i = 0; i < 1000 && (call_count() > 0 || pool_busy(sync_pool) > 0 || background_pending() > 0);
	     i++)
		run_ms(2);
	run_ms(1);
	assert_int_equal(call_count(), 0);
}

static void assert_text(const char *want)
{
	Probe__V1__Note *n = probe__v1__note__unpack(NULL, got.payload.len, got.payload.data);

	assert_int_equal(got.code, 0);
	assert_non_null(n);
	assert_string_equal(n->text, want);
	probe__v1__note__free_unpacked(n, NULL);
}

static void assert_trace(const char *want)
{
	AUTO_FREE char *trace = probe_trace();

	assert_string_equal(trace, want);
}

/* --- answers --- */

static void test_answers(void **state)
{
	static const char *const methods[] = {"Echo", "Later", "Elsewhere", "Work", "Keep"};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		n_answers = 0;
		start(methods[i], "hello", 0, 5);
		run();
		settle();
		assert_text("hello");
		assert_int_equal(n_answers, 1);
	}
}

static void test_many(void **state)
{
	want_answers = 500;
	for (int i = 0; i < want_answers; i++) {
		Probe__V1__Note in = PROBE__V1__NOTE__INIT;
		int saved = n_answers;

		in.ms = i % 20;
		n_answers = 0;
		start_with(i % 2 ? "Later" : "Elsewhere", &in, 10000);
		n_answers = saved;
	}
	run();
	settle();
	assert_int_equal(n_answers, 500);
}

/* The answer, the handler's return and the loop's delivery in every order. */
static void test_races(void **state)
{
	static const char *const methods[] = {"Elsewhere", "Keep", "Work", "NeedsSync"};

	for (int round = 0; round < 300; round++) {
		n_answers = 0;
		start(methods[round % 4], "", 0, 0);
		for (int i = 1; i < 4; i++) {
			Probe__V1__Note in = PROBE__V1__NOTE__INIT;
			int saved = n_answers;

			n_answers = 0;
			start_with("Elsewhere", &in, i == 3 ? 1 : 0);
			n_answers = saved;
		}
		want_answers = 4;
		run();
		if (round % 10 == 0)
			settle();
	}
	settle();
}

static void test_fail(void **state)
{
	start("Fail", "oh", ERRAND_NOT_FOUND, 0);
	run();
	assert_int_equal(got.code, ERRAND_NOT_FOUND);
	assert_string_equal(got.message, "as asked: oh");
	assert_true(got.final);
	assert_int_equal(got.n_metadata, 1);
	assert_string_equal(got.metadata[0].value, "7");
	settle();
	n_answers = 0;
	start("Fail", "oh", ERRAND_UNAVAILABLE, 0);
	run();
	assert_false(got.final);
	settle();
	n_answers = 0;
	start("Fail", "no code", 4711, 0);
	run();
	assert_int_equal(got.code, ERRAND_INTERNAL);
	settle();
}

static void test_twice(void **state)
{
	start("Twice", "the first answer", 0, 0);
	run();
	settle();
	assert_text("the first answer");
	assert_int_equal(n_answers, 1);
}

static void test_silent(void **state)
{
	start("Silent", "", 0, 0);
	run();
	assert_int_equal(got.code, ERRAND_INTERNAL);
	assert_non_null(strstr(got.message, "without an answer"));
	settle();
}

static void test_bad_payload(void **state)
{
	static const uint8_t garbage[] = {0x0a, 0x50, 0x01}, nul[] = {0x0a, 0x03, 'a', 0, 'b'},
			     not_utf8[] = {0x0a, 0x02, 0xff, 0xfe};
	const struct bytes bad[] = {{garbage, sizeof garbage}, {nul, sizeof nul}, {not_utf8, sizeof not_utf8}};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct call_params p = params(i % 2 ? "probe.v1.Probe/Work" : "probe.v1.Probe/Echo", bad[i]);

		n_answers = 0;
		call_start(&p);
		assert_int_equal(n_answers, 0);
		run();
		assert_int_equal(got.code, ERRAND_INVALID_ARGUMENT);
		settle();
	}
}

/* 9,000 levels: refused before protobuf-c sees them (FAULTS 69). */
static void test_nesting(void **state)
{
	AUTO_BUF b = BUF_INIT;
	struct call_params p;

	for (int i = 0; i < 9000; i++) {
		AUTO_BUF outer = BUF_INIT;

		buf_append_byte(&outer, 0x32);
		for (size_t n = b.len; ; n >>= 7) {
			buf_append_byte(&outer, (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0)));
			if (n <= 0x7f)
				break;
		}
		buf_append(&outer, b.data, b.len);
		buf_deinit(&b);
		b = outer;
		outer = BUF_INIT;
	}
	p = params("probe.v1.Probe/Echo", buf_bytes(&b));
	call_start(&p);
	run();
	assert_int_equal(got.code, ERRAND_INVALID_ARGUMENT);
	settle();
}

/* A large payload is unpacked on the pool's thread; a broken one is refused there. */
static void test_large(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	static uint8_t blob[1 << 20];
	struct call_params p;

	in.text = "large";
	in.blob.data = blob;
	in.blob.len = sizeof blob;
	start_with("Work", &in, 0);
	run();
	assert_text("large");
	settle();
	memset(blob, 0xff, sizeof blob);
	n_answers = 0;
	p = params("probe.v1.Probe/Work", (struct bytes){blob, sizeof blob});
	call_start(&p);
	run();
	assert_int_equal(got.code, ERRAND_INVALID_ARGUMENT);
	settle();
}

static void test_pool_full(void **state)
{
	int busy = 0;

	want_answers = 8;
	for (int i = 0; i < 8; i++) {
		Probe__V1__Note in = PROBE__V1__NOTE__INIT;
		int saved = n_answers;

		in.ms = 30;
		n_answers = 0;
		start_with("Work", &in, 0);
		n_answers = saved;
	}
	run();
	settle();
	/* two ran, two waited, four were told to come again */
	AUTO_FREE char *trace = probe_trace();
	for (char *p = trace; (p = strstr(p, "answered 14")) != NULL; p++)
		busy++;
	assert_int_equal(busy, 4);
}

/* --- dependencies --- */

static void test_needs(void **state)
{
	static const char want[] = "open left over base\nopen right\nopen top over left and right\n"
				   "handler\nanswered 0\nclose top 0\nclose right 0\nclose left 0\n";

	start("Needs", "", 0, 0);
	run();
	settle();
	assert_text("top");
	assert_trace(want);
	for (int i = 0; i < 20; i++) { /* on a thread the answer may be told before or after closing */
		AUTO_FREE char *trace = NULL;

		n_answers = 0;
		probe_trace_clear();
		start("NeedsSync", "", ERRAND_ABORTED, 0);
		run();
		settle();
		assert_int_equal(got.code, ERRAND_ABORTED);
		trace = probe_trace();
		assert_non_null(strstr(trace, "handler\n"));
		assert_true(strstr(trace, "close top 10\n") < strstr(trace, "close right 10\n"));
		assert_true(strstr(trace, "close right 10\n") < strstr(trace, "close left 10\n"));
	}
}

static void test_needs_refuse(void **state)
{
	start("Needs", "refuse", 0, 0);
	run();
	settle();
	assert_int_equal(got.code, ERRAND_UNAUTHENTICATED);
	assert_non_null(strstr(got.message, "right"));
	assert_trace("open left over base\nanswered 16\nclose left 16\n");
	n_answers = 0;
	probe_trace_clear();
	start("NeedsSync", "say", 0, 0);
	run();
	settle();
	assert_int_equal(got.code, ERRAND_PERMISSION_DENIED);
	assert_string_equal(got.message, "top says no");
}

/* --- after the response --- */

static void test_after(void **state)
{
	uint64_t failed = background_failed(), done = background_done();

	start("After", "", 0, 0);
	run();
	settle();
	assert_trace("answering\nanswered 0\nafter one\nafter two\nafter three\n");
	assert_int_equal(background_failed(), failed + 1);
	assert_int_equal(background_done(), done + 3);
}

static void test_after_error(void **state)
{
	start("After", "", ERRAND_INTERNAL, 0);
	run();
	settle();
	assert_trace("answering\nanswered 13\nafter one\nafter two\nafter three\n");
}

static int after_slow(void *arg)
{
	nanosleep(&(struct timespec){0, 40 * NS_PER_MS}, NULL);
	probe_note("after slow");
	return 0;
}

static int after_quick(void *arg)
{
	probe_note("after quick");
	return 0;
}

static void add_late(struct errand_call *call, void *arg)
{
	assert_int_equal(errand_after(call, "quick", after_quick, NULL), 0);
}

/* The call was answered at its deadline and its work has begun when its handler
 * adds more: that waits for its turn, though there is an idle thread. */
static void test_after_late(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.ms = 60;
	start_with("Later", &in, 10);
	assert_int_equal(errand_after(current, "slow", after_slow, NULL), 0);
	errand_timer(current, 25 * NS_PER_MS, add_late, NULL);
	run();
	run_ms(80);
	settle();
	assert_trace("answered 4\nafter slow\nafter quick\n");
}

/* It waits until the source says that the answer is out. */
static void test_after_hold(void **state)
{
	hold = true;
	start("After", "", 0, 0);
	run();
	run_ms(20);
	assert_trace("answering\nanswered 0\n");
	call_delivered(current);
	settle();
	assert_trace("answering\nanswered 0\nafter one\nafter two\nafter three\n");
}

/* The client goes before the answer: the work is done all the same. */
static void test_after_abandoned(void **state)
{
	call_cancel(start("After", "", 0, 0), ERRAND_CANCELLED, true);
	settle();
	assert_int_equal(n_answers, 0);
	/* cancelled before it began: the handler was not called */
	assert_trace("");
}

/* --- cancel and deadlines --- */

static void test_cancel(void **state)
{
	start("Never", "", 0, 0);
	run_ms(5);
	call_cancel(current, ERRAND_CANCELLED, false);
	run();
	assert_int_equal(got.code, ERRAND_CANCELLED);
	settle();
	assert_trace("waiting\ncancelled never\nanswered 1\n");
}

static void test_abandon(void **state)
{
	start("Never", "", 0, 0);
	run_ms(5);
	call_cancel(current, ERRAND_CANCELLED, true);
	settle();
	assert_int_equal(n_answers, 0);
	assert_trace("waiting\ncancelled never\n");
}

static void test_deadline(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	int64_t begin = clock_mono_ns();

	start_with("Never", &in, 20);
	run();
	assert_true(clock_mono_ns() - begin >= 20 * NS_PER_MS);
	assert_int_equal(got.code, ERRAND_DEADLINE_EXCEEDED);
	settle();
	/* the handler heard of it, and its own answer was dropped without a fuss */
	assert_trace("waiting\ncancelled never\nanswered 4\n");
	assert_int_equal(n_answers, 1);
}

static void test_deadline_sync(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.ms = 5000; /* it ends early because it sees the cancel */
	start_with("Work", &in, 20);
	run();
	assert_int_equal(got.code, ERRAND_DEADLINE_EXCEEDED);
	settle();
	assert_int_equal(n_answers, 1);
	assert_int_equal(probe_wait("work cancelled"), 0);
}

/* A task's handler is waited for: it decides how the attempt ends. */
static void test_deadline_task(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	uint8_t packed[64];
	struct call_params p;

	in.text = "t";
	in.ms = 5000;
	p = params("probe.v1.Probe/Job", (struct bytes){packed, probe__v1__note__pack(&in, packed)});
	p.deadline_ns = clock_mono_ns() + 20 * NS_PER_MS;
	p.task_id = "some-id";
	p.attempt = 3;
	p.pool = sync_pool;
	current = call_start(&p);
	run();
	assert_text("t");
	assert_int_equal(call_cancel_code(current), ERRAND_DEADLINE_EXCEEDED);
	settle();
	assert_int_equal(probe_wait("job t attempt 3"), 0);
}

/* Deadline first, the handler's timer later: its answer is dropped, nothing leaks. */
static void test_deadline_then_timer(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.ms = 30;
	start_with("Later", &in, 10);
	run();
	assert_int_equal(got.code, ERRAND_DEADLINE_EXCEEDED);
	run_ms(40);
	settle();
	assert_int_equal(n_answers, 1);
}

static void on_too_late(struct errand_call *call, void *arg)
{
	fail_msg("a timer of a call that has ended");
}

static void set_timer(struct errand_call *call, void *arg)
{
	errand_timer(call, 100 * NS_PER_MS, on_too_late, NULL);
}

/* A thread's handler is told of the deadline on the loop, sets a timer there, and
 * ends when the call has been answered long ago: the timer goes with it. */
static void test_timer_of_ended(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.ms = 5000;
	start_with("Work", &in, 20);
	errand_on_cancel(current, set_timer, NULL);
	run();
	assert_int_equal(got.code, ERRAND_DEADLINE_EXCEEDED);
	run_ms(150);
	settle();
}

static _Atomic int n_hooks;

static void on_hook(void *arg)
{
	atomic_fetch_add(&n_hooks, 1);
}

static void test_hooks(void **state)
{
	struct call_hook *a, *b, *c;

	start("Never", "", 0, 0);
	run_ms(5);
	a = call_on_cancel_any(current, on_hook, NULL);
	b = call_on_cancel_any(current, on_hook, NULL);
	call_off_cancel(current, b);
	call_cancel(current, ERRAND_CANCELLED, false);
	assert_int_equal(n_hooks, 1);
	c = call_on_cancel_any(current, on_hook, NULL); /* too late: at once */
	assert_int_equal(n_hooks, 2);
	call_off_cancel(current, a);
	call_off_cancel(current, c);
	run();
	settle();
}

/* --- streams --- */

static void test_stream(void **state)
{
	start("Count", "", 100, 0);
	run();
	assert_int_equal(got.code, 0);
	assert_int_equal(n_messages, 100);
	settle();
}

/* Ten messages a window: the handler stops at each and goes on when there is room. */
static void test_stream_window(void **state)
{
	window = 10;
	start("Count", "", 35, 0);
	run_ms(5);
	assert_int_equal(n_messages, 10);
	run_ms(5);
	assert_int_equal(n_messages, 10);
	call_writable(current);
	run_ms(5);
	assert_int_equal(n_messages, 20);
	call_writable(current);
	run_ms(5);
	window = -1;
	call_writable(current);
	run();
	assert_int_equal(n_messages, 35);
	settle();
}

static void test_stream_sync(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.number = 230;
	in.size = 10000;
	window = 50;
	start_with("Pump", &in, 0);
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < 500 && n_messages < (i + 1) * 50; k++)
			run_ms(2);
		run_ms(10);
		assert_int_equal(n_messages, (i + 1) * 50);
		assert_int_equal(n_answers, 0);
		if (i == 3)
			window = -1;
		call_writable(current);
	}
	run();
	assert_int_equal(n_messages, 230);
	assert_int_equal(got.code, 0);
	settle();
}

/* The client goes while the sender is held: it is let go and told. */
static void test_stream_cancel(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.number = 1000000;
	in.size = 10000;
	window = 5;
	start_with("Pump", &in, 0);
	for (int k = 0; k < 500 && n_messages < 5; k++)
		run_ms(2);
	call_cancel(current, ERRAND_CANCELLED, true);
	settle();
	assert_int_equal(n_messages, 5);
	assert_int_equal(probe_wait("pump done"), 0);
	probe_trace_clear();
	n_messages = 0;
	start("Count", "", 1000000, 0);
	run_ms(5);
	assert_int_equal(n_messages, 5);
	call_cancel(current, ERRAND_CANCELLED, true);
	settle();
	assert_trace("window full\npaused\ncount cancelled\n");
}

static void test_stream_deadline(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.number = 1000000;
	in.size = 1000;
	window = 5;
	start_with("Pump", &in, 30);
	run();
	assert_int_equal(got.code, ERRAND_DEADLINE_EXCEEDED);
	settle();
}

/* --- the watchdog names the method --- */

static void test_block(void **state)
{
	const struct method *m = registry_method_by_name("probe.v1.Probe/Block");

	watchdog_start(10 * NS_PER_MS);
	start("Block", "", 0, 30);
	run();
	settle();
	assert_int_equal(m->n_slow, 1);
	watchdog_stop();
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answers), TEST(test_many), TEST(test_races), TEST(test_fail), TEST(test_twice), TEST(test_silent),
		TEST(test_bad_payload), TEST(test_nesting), TEST(test_large), TEST(test_pool_full),
		TEST(test_needs), TEST(test_needs_refuse), TEST(test_after), TEST(test_after_error),
		TEST(test_after_late), TEST(test_after_hold), TEST(test_after_abandoned), TEST(test_cancel), TEST(test_abandon),
		TEST(test_deadline), TEST(test_deadline_sync), TEST(test_deadline_task),
		TEST(test_deadline_then_timer), TEST(test_timer_of_ended),
		TEST(test_hooks), TEST(test_stream),
		TEST(test_stream_window), TEST(test_stream_sync), TEST(test_stream_cancel),
		TEST(test_stream_deadline), TEST(test_block),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
