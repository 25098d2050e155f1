/* test_call_cancel.c: calls that are cancelled, given up by their source, or over their
 * deadline; timers and hooks of those. */
#define _GNU_SOURCE
#include "call_rig.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "service/loop.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cancel), TEST(test_abandon), TEST(test_deadline), TEST(test_deadline_sync),
		TEST(test_deadline_task), TEST(test_deadline_then_timer), TEST(test_timer_of_ended),
		TEST(test_hooks),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
