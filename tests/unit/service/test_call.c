/* test_call.c: call.c and its kin: a call is answered exactly once, wherever its handler
 * runs and however it ends; dependencies, after-work, the watchdog. The source is the
 * test (call_rig.h); the loop is real. */
#define _GNU_SOURCE
#include "call_rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/background.h"
#include "service/loop.h"
#include "service/watchdog.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answers), TEST(test_many), TEST(test_races), TEST(test_fail), TEST(test_twice),
		TEST(test_silent), TEST(test_bad_payload), TEST(test_nesting), TEST(test_large),
		TEST(test_pool_full), TEST(test_needs), TEST(test_needs_refuse), TEST(test_after),
		TEST(test_after_error), TEST(test_after_late), TEST(test_after_hold),
		TEST(test_after_abandoned), TEST(test_block),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
