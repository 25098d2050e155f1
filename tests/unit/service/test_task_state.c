/* test_task_state.c: the table of moves, and what follows the end of an attempt. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "service/task_state.h"

static const struct task_retry rules = {.max_attempts = 3, .base_us = 1000, .cap_us = 3500,
					.factor = 2};

/* From (row) to (column), in the order of the states; as TASKS.md draws it. */
static void moves_are_those_of_the_table(void **state)
{
	static const char *const want[] = {
		/* to:           QRTCSFXDBHE: queued, running, retrying, cancelling, succeeded,
		 *               failed, cancelled, scheduled, blocked, held, expired */
		[TASK_QUEUED]    = "01000111" "011",
		[TASK_RUNNING]   = "10111100" "000",
		[TASK_RETRYING]  = "10000110" "011",
		[TASK_CANCELLING] = "00001010" "000",
		[TASK_SUCCEEDED] = "10000000" "000",
		[TASK_FAILED]    = "10000000" "000",
		[TASK_CANCELLED] = "10000000" "000",
		[TASK_SCHEDULED] = "10000010" "011",
		[TASK_BLOCKED]   = "10000111" "011",
		[TASK_HELD]      = "10100111" "101",
		[TASK_EXPIRED]   = "10000000" "000",
	};

	for (int from = TASK_QUEUED; from < TASK_N_STATES; from++)
		for (int to = TASK_QUEUED; to < TASK_N_STATES; to++)
			if (task_move_allowed(from, to) != (want[from][to - 1] == '1'))
				fail_msg("%s to %s", task_state_name(from), task_state_name(to));
	assert_false(task_move_allowed(0, TASK_QUEUED));
	assert_false(task_move_allowed(TASK_N_STATES, TASK_QUEUED));
	assert_false(task_move_allowed(TASK_QUEUED, 0));
	assert_false(task_move_allowed(TASK_QUEUED, 99));
}

static void names_are_the_api_s(void **state)
{
	assert_string_equal(task_state_name(TASK_CANCELLING), "CANCELLING");
	assert_string_equal(task_state_name(99), "STATE_UNSPECIFIED");
	assert_string_equal(task_outcome_name(OUTCOME_LEASE_LOST), "LEASE_LOST");
	assert_string_equal(task_outcome_name(OUTCOME_CANCELLED), "CANCELLED");
	assert_true(task_state_live(TASK_CANCELLING) && !task_state_live(TASK_FAILED));
	assert_true(task_state_terminal(TASK_CANCELLED) && !task_state_terminal(TASK_RETRYING));
}

struct after_case {
	enum task_outcome outcome;
	bool final, cancel_asked;
	uint32_t failures, crash_count; /* before */
	enum task_state state;
	uint32_t failures_after, crash_after;
	enum task_reason reason;
};

static void what_follows_an_end(void **state)
{
	static const struct after_case cases[] = {
		{OUTCOME_OK, false, false, 2, 1, TASK_SUCCEEDED, 2, 1, REASON_NONE},
		{OUTCOME_OK, false, true, 0, 0, TASK_SUCCEEDED, 0, 0, REASON_NONE},
		{OUTCOME_ERROR, false, false, 0, 0, TASK_RETRYING, 1, 0, REASON_NONE},
		{OUTCOME_ERROR, false, false, 1, 0, TASK_RETRYING, 2, 0, REASON_NONE},
		{OUTCOME_ERROR, false, false, 2, 0, TASK_FAILED, 3, 0, REASON_EXHAUSTED},
		{OUTCOME_TIMEOUT, false, false, 2, 0, TASK_FAILED, 3, 0, REASON_EXHAUSTED},
		{OUTCOME_EXIT, false, false, 0, 0, TASK_RETRYING, 1, 0, REASON_NONE},
		{OUTCOME_ERROR, true, false, 0, 0, TASK_FAILED, 1, 0, REASON_FINAL},
		{OUTCOME_LEASE_LOST, false, false, 2, 0, TASK_RETRYING, 2, 1, REASON_NONE},
		{OUTCOME_LEASE_LOST, false, false, 0, 1, TASK_RETRYING, 0, 2, REASON_NONE},
		{OUTCOME_LEASE_LOST, false, false, 0, 2, TASK_FAILED, 0, 3, REASON_QUARANTINED},
		{OUTCOME_SIGNAL, false, false, 0, 2, TASK_FAILED, 0, 3, REASON_QUARANTINED},
		{OUTCOME_OOM, false, false, 0, 0, TASK_RETRYING, 0, 1, REASON_NONE},
		{OUTCOME_INTERRUPTED, false, false, 2, 2, TASK_QUEUED, 2, 2, REASON_NONE},
		{OUTCOME_INTERRUPTED, false, true, 0, 0, TASK_CANCELLED, 0, 0, REASON_NONE},
		{OUTCOME_CANCELLED, false, true, 2, 0, TASK_CANCELLED, 2, 0, REASON_NONE},
		{OUTCOME_ERROR, false, true, 0, 0, TASK_CANCELLED, 0, 0, REASON_NONE},
		{OUTCOME_ERROR, true, true, 2, 0, TASK_CANCELLED, 2, 0, REASON_NONE},
		{OUTCOME_LEASE_LOST, false, true, 0, 2, TASK_CANCELLED, 0, 2, REASON_NONE},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct after_case *c = &cases[i];
		struct task_end end = {c->outcome, c->final, 0, c->cancel_asked};
		struct task_next n = task_after(&end, c->failures, c->crash_count, &rules, 0.5);

		if (n.state != c->state || n.failures != c->failures_after ||
		    n.crash_count != c->crash_after)
			fail_msg("case %zu: %s %u %u", i, task_state_name(n.state), n.failures,
				 n.crash_count);
		assert_int_equal(n.reason, c->reason);
	}
}

static int64_t delay(uint32_t failures, int64_t retry_after_us, double random01)
{
	struct task_end end = {OUTCOME_ERROR, false, retry_after_us, false};
	struct task_retry many = rules;

	many.max_attempts = 1000;
	return task_after(&end, failures, 0, &many, random01).delay_us;
}

static void delays_are_full_jitter_up_to_the_cap(void **state)
{
	assert_int_equal(delay(0, 0, 0), 0);
	assert_int_equal(delay(0, 0, 0.5), 500);
	assert_int_equal(delay(1, 0, 0.5), 1000);
	assert_int_equal(delay(2, 0, 0.5), 1750); /* 4000, capped at 3500 */
	assert_int_equal(delay(500, 0, 0.5), 1750);
	assert_int_equal(delay(0, 777, 0.999), 777);
	for (uint32_t n = 0; n < 40; n++)
		for (double r = 0; r < 1; r += 0.0625)
			assert_in_range(delay(n, 0, r), 0, 3500);
}

/* Whatever the ends, the move is one the table allows from where the task is, and
 * a task comes to an end. */
static void random_walks_stay_in_the_table(void **state)
{
	srandom(7);
	for (int walk = 0; walk < 2000; walk++) {
		uint32_t failures = 0, crashes = 0;

		for (int step = 0;; step++) {
			bool cancel = random() % 20 == 0;
			struct task_end end = {1 + random() % OUTCOME_CANCELLED, random() % 9 == 0, 0, cancel};
			enum task_state from = cancel ? TASK_CANCELLING : TASK_RUNNING;
			struct task_next n;

			if (end.outcome == OUTCOME_CANCELLED && !cancel)
				continue; /* is not made */
			n = task_after(&end, failures, crashes, &rules, 0.3);
			assert_true(task_move_allowed(from, n.state));
			if (task_state_terminal(n.state))
				break;
			assert_true(n.state == TASK_QUEUED || task_move_allowed(n.state, TASK_QUEUED));
			failures = n.failures;
			crashes = n.crash_count;
			assert_true(failures < rules.max_attempts && crashes <= TASK_CRASH_LIMIT);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_are_those_of_the_table),
		cmocka_unit_test(names_are_the_api_s),
		cmocka_unit_test(what_follows_an_end),
		cmocka_unit_test(delays_are_full_jitter_up_to_the_cap),
		cmocka_unit_test(random_walks_stay_in_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
