/* schedule_plan.c: a time within SCHEDULE_LATE_S is on time; before that the policy
 * decides. Only what is stored counts, never how long anybody slept, so a service that
 * was down and a clock that was set forward are the same thing here. */
#include "service/schedule_plan.h"

/* The last time <= now_s, from first_s on. */
static int64_t last_until(const struct cron *c, const struct tz *z, int64_t first_s, int64_t now_s)
{
	int64_t low = first_s, high = now_s; /* after low comes one that is reached, if any does */

	if (cron_next(c, z, low) > now_s)
		return first_s;
	while (high - low > 1) {
		int64_t mid = low + (high - low) / 2;

		if (cron_next(c, z, mid) <= now_s)
			low = mid;
		else
			high = mid;
	}
	return cron_next(c, z, low);
}

static uint64_t count_until(const struct cron *c, const struct tz *z, int64_t first_s, int64_t end_s)
{
	uint64_t n = 0;

	for (; first_s < end_s && n < SCHEDULE_COUNT_MAX; n++)
		first_s = cron_next(c, z, first_s);
	return n;
}

static struct schedule_plan run_once(const struct cron *c, const struct tz *z, int64_t next_s,
				     int64_t now_s)
{
	struct schedule_plan p = {.fire = true};

	p.at_s = last_until(c, z, next_s, now_s);
	p.n_missed = count_until(c, z, next_s, p.at_s);
	p.next_s = cron_next(c, z, now_s);
	return p;
}

struct schedule_plan schedule_plan(const struct cron *c, const struct tz *z, enum missed_policy missed,
				   int64_t next_s, unsigned catching_up, int64_t now_s)
{
	struct schedule_plan p;

	if (missed == MISSED_RUN_ALL && catching_up < SCHEDULE_RUN_ALL_MAX) {
		p = (struct schedule_plan){.fire = true, .at_s = next_s};
		p.catching_up = now_s - next_s > SCHEDULE_LATE_S ? catching_up + 1 : 0;
		p.next_s = cron_next(c, z, next_s);
		return p;
	}
	p = run_once(c, z, next_s, now_s);
	if (missed == MISSED_SKIP && now_s - p.at_s > SCHEDULE_LATE_S) {
		p.fire = false;
		p.n_missed++;
	}
	return p;
}
