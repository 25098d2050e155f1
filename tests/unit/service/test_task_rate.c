/* test_task_rate.c: the token bucket and the meter of a queue. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "service/task_rate.h"

#define S 1000000LL

static void no_rate_is_no_limit(void **state)
{
	struct task_bucket b = {0};

	assert_int_equal(task_bucket_room(&b, 7, 5), 7);
	task_bucket_take(&b, 7);
	assert_int_equal(task_bucket_room(&b, 7, 5), 7);
	assert_int_equal(task_bucket_wait_us(&b, 5), 0);
}

static void tokens_come_at_the_rate(void **state)
{
	struct task_bucket b = {0};

	task_bucket_set(&b, 4, 2, 10 * S);
	assert_int_equal(task_bucket_room(&b, 9, 10 * S), 2);
	task_bucket_take(&b, 2);
	assert_int_equal(task_bucket_room(&b, 9, 10 * S), 0);
	assert_in_range(task_bucket_wait_us(&b, 10 * S), S / 4, S / 4 + 2);
	assert_int_equal(task_bucket_room(&b, 9, 10 * S + S / 4), 1);
	assert_int_equal(task_bucket_room(&b, 9, 100 * S), 2); /* no more than the burst */
}

/* Over ten simulated seconds, whatever is asked for when. */
static void never_more_than_rate_and_burst(void **state)
{
	struct task_bucket b = {0};
	unsigned taken = 0;

	srandom(3);
	task_bucket_set(&b, 50, 10, 0);
	for (int64_t now = 0; now < 10 * S; now += random() % 30000) {
		unsigned n = task_bucket_room(&b, (unsigned)(random() % 5), now);

		task_bucket_take(&b, n);
		taken += n;
		assert_true(taken <= 10 + (unsigned)(50 * now / S) + 1);
	}
	assert_in_range(taken, 490, 511);
}

static void a_new_rate_keeps_what_is_there(void **state)
{
	struct task_bucket b = {0};

	task_bucket_set(&b, 1, 5, 0);
	task_bucket_take(&b, 5);
	task_bucket_set(&b, 100, 5, 0);
	assert_int_equal(task_bucket_room(&b, 9, 0), 0);
	task_bucket_set(&b, 0, 0, 0);
	assert_int_equal(task_bucket_room(&b, 9, 0), 9);
}

static void the_meter_is_a_minute_s_average(void **state)
{
	struct task_meter m = {0};

	assert_true(task_meter_rate(&m, 77 * S) == 0);
	for (int i = 0; i < 600; i++)
		task_meter_add(&m, 100 * S + i * S / 10);
	assert_true(task_meter_rate(&m, 160 * S) > 9 && task_meter_rate(&m, 160 * S) < 11);
	assert_true(task_meter_rate(&m, 400 * S) == 0);
	assert_int_equal(m.total, 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(tokens_come_at_the_rate),
		cmocka_unit_test(never_more_than_rate_and_burst),
		cmocka_unit_test(a_new_rate_keeps_what_is_there),
		cmocka_unit_test(the_meter_is_a_minute_s_average),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
