/* cron.c: when a line is due. A local clock is walked in spans in which it was not
 * changed (tz.h); within one, local and UTC differ by a constant. */
#include "service/cron.h"

#include "service/civil.h"

#define FIRST_S (-62135596800LL) /* the year 1 */
#define LAST_S 253402300800LL    /* the year 10000 */

static bool has(uint64_t set, int n)
{
	return (set >> n & 1) != 0;
}

static bool day_matches(const struct cron *c, int64_t days, int day)
{
	bool of_month = has(c->days, day), of_week = has(c->weekdays, civil_weekday(days));

	return c->days_star || c->weekdays_star ? of_month && of_week : of_month || of_week;
}

/* The first day >= days that matches, LAST_S / S_PER_DAY or later: none. */
static int64_t next_day(const struct cron *c, int64_t days)
{
	struct civil d = civil_date(days);

	while (days < LAST_S / S_PER_DAY) {
		int last = civil_month_days(d.year, d.month);

		if (!has(c->months, d.month)) {
			days += last - d.day + 1;
			d.day = last;
		} else if (day_matches(c, days, d.day)) {
			return days;
		} else {
			days++;
		}
		if (++d.day > last) {
			d.day = 1;
			d.year += d.month == 12;
			d.month = d.month % 12 + 1;
		}
	}
	return LAST_S / S_PER_DAY;
}

/* The lowest member >= from, -1 none. */
static int next_bit(uint64_t set, int from)
{
	set = from < 64 ? set >> from << from : 0;
	return set != 0 ? __builtin_ctzll(set) : -1;
}

/* The first local time >= local_s (both without a zone) that matches. */
static int64_t next_local(const struct cron *c, int64_t local_s)
{
	int64_t min = floor_div(local_s + S_PER_MIN - 1, S_PER_MIN);
	int64_t day = floor_div(min, 24 * 60), found;
	int hour = (int)(min - day * 24 * 60) / 60, minute = (int)(min - day * 24 * 60) % 60;
	int h, m;

	found = next_day(c, day);
	if (found > day) {
		day = found;
		hour = minute = 0;
	}
	h = next_bit(c->hours, hour);
	m = h == hour ? next_bit(c->minutes, minute) : next_bit(c->minutes, 0);
	if (h >= 0 && m < 0) {
		h = next_bit(c->hours, hour + 1);
		m = next_bit(c->minutes, 0);
	}
	if (h < 0) {
		day = next_day(c, day + 1);
		h = next_bit(c->hours, 0);
		m = next_bit(c->minutes, 0);
	}
	return day * S_PER_DAY + h * S_PER_HOUR + m * S_PER_MIN;
}

static bool every_hour(const struct cron *c)
{
	return c->hours == (1u << 24) - 1;
}

/* Where to look on from in `span`: local times that the span before had as well are
 * over, but for a line of every hour. */
static int64_t first_local(const struct cron *c, const struct tz *z, struct tz_span span,
			   int64_t from_s)
{
	int64_t local = from_s + span.offset, seen;

	if (every_hour(c) || span.begin == INT64_MIN)
		return local;
	seen = span.begin + tz_span(z, span.begin - 1).offset;
	return local < seen ? seen : local;
}

int64_t cron_next(const struct cron *c, const struct tz *z, int64_t after_s)
{
	struct tz_span span, next;
	int64_t local;

	if (after_s >= LAST_S)
		return CRON_NEVER;
	if (after_s < FIRST_S)
		after_s = FIRST_S;
	span = tz_span(z, after_s);
	local = next_local(c, first_local(c, z, span, after_s + 1));
	while (local < LAST_S) {
		if (local - span.offset < span.end)
			return local - span.offset;
		next = tz_span(z, span.end);
		if (local < span.end + next.offset)
			return span.end; /* skipped, between the two offsets */
		if (next.offset < span.offset && every_hour(c))
			local = next_local(c, span.end + next.offset);
		span = next;
	}
	return CRON_NEVER;
}
