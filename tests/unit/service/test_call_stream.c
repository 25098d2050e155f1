/* test_call_stream.c: streams of messages as an answer: windows, who waits for them, ends. */
#define _GNU_SOURCE
#include "call_rig.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "service/loop.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stream), TEST(test_stream_window), TEST(test_stream_sync),
		TEST(test_stream_cancel), TEST(test_stream_deadline),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
