/* What becomes of times that have come, or have passed: policy by policy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/civil.h"
#include "service/schedule_plan.h"
#include "service/tz.h"

static struct cron line;
static struct tz *utc;
static char why[200];

static int setup(void **state)
{
	(void)state;
	return cron_parse("*/10 * * * *", &line, why, sizeof why) == 0 &&
	       tz_load("UTC", &utc, why, sizeof why) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	utc = tz_free(utc);
	return 0;
}

#define DUE (600LL * 1000000) /* one of its times */

static struct schedule_plan plan(enum missed_policy missed, unsigned catching_up, int64_t now_s)
{
	return schedule_plan(&line, utc, missed, DUE, catching_up, now_s);
}

static void on_time(void **state)
{
	(void)state;
	for (int missed = MISSED_SKIP; missed <= MISSED_RUN_ALL; missed++)
		for (int64_t late = 0; late <= SCHEDULE_LATE_S; late += 30) {
			struct schedule_plan p = plan((enum missed_policy)missed, 0, DUE + late);

			assert_true(p.fire && p.at_s == DUE && p.next_s == DUE + 600);
			assert_true(p.n_missed == 0 && p.catching_up == 0);
		}
}

static void missed_skip(void **state)
{
	struct schedule_plan p = plan(MISSED_SKIP, 0, DUE + SCHEDULE_LATE_S + 1);

	(void)state;
	assert_true(!p.fire && p.n_missed == 1 && p.next_s == DUE + 600);
	p = plan(MISSED_SKIP, 0, DUE + 1800 + 61);
	assert_true(!p.fire && p.n_missed == 4 && p.next_s == DUE + 2400);
	/* The last of them is on time. */
	p = plan(MISSED_SKIP, 0, DUE + 1800 + 60);
	assert_true(p.fire && p.at_s == DUE + 1800 && p.n_missed == 3 && p.next_s == DUE + 2400);
}

static void missed_once(void **state)
{
	struct schedule_plan p = plan(MISSED_RUN_ONCE, 0, DUE + 1800 + 599);

	(void)state;
	assert_true(p.fire && p.at_s == DUE + 1800 && p.n_missed == 3 && p.next_s == DUE + 2400);
	/* Ten years: bounded work, the last time is right, the count is capped. */
	p = plan(MISSED_RUN_ONCE, 0, DUE + 3650 * S_PER_DAY + 5);
	assert_true(p.fire && p.at_s == DUE + 3650 * S_PER_DAY);
	assert_true(p.n_missed == SCHEDULE_COUNT_MAX && p.next_s == p.at_s + 600);
}

static void missed_all(void **state)
{
	struct schedule_plan p = plan(MISSED_RUN_ALL, 0, DUE + 1800);

	(void)state;
	assert_true(p.fire && p.at_s == DUE && p.next_s == DUE + 600 && p.catching_up == 1);
	p = plan(MISSED_RUN_ALL, SCHEDULE_RUN_ALL_MAX, DUE + 1800);
	assert_true(p.fire && p.at_s == DUE + 1800 && p.next_s == DUE + 2400);
	assert_true(p.n_missed == 3 && p.catching_up == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_time),
		cmocka_unit_test(missed_skip),
		cmocka_unit_test(missed_once),
		cmocka_unit_test(missed_all),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
