/* Lines and when they are due: a table made by hand, a walk minute by minute with
 * libc's clock as the other opinion, and lines that are refused. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/util.h"
#include "errand/status.h"
#include "service/civil.h"
#include "service/cron.h"

static char why[256];

static int64_t at(const char *utc)
{
	int year, month, day, h, m, s = 0;

	if (sscanf(utc, "%d-%d-%d %d:%d:%d", &year, &month, &day, &h, &m, &s) < 5)
		fail_msg("not a time: %s", utc);
	return civil_days(year, month, day) * S_PER_DAY + h * S_PER_HOUR + m * S_PER_MIN + s;
}

/* "2026-10-25 02:30" as that zone's clocks show it, with the offset in minutes. */
static const char *local_text(const struct tz *z, int64_t t)
{
	static char text[64];
	int32_t offset = tz_span(z, t).offset;
	int64_t local = t + offset, days = floor_div(local, S_PER_DAY);
	int in_day = (int)(local - days * S_PER_DAY);
	struct civil d = civil_date(days);

	snprintf(text, sizeof text, "%04d-%02d-%02d %02d:%02d%+d", (int)d.year, d.month, d.day,
		 in_day / 3600, in_day / 60 % 60, offset / 60);
	return text;
}

/* Local times the line is due at, after a moment in UTC. */
static const struct {
	const char *line, *zone, *after;
	const char *due[6];
} table[] = {
	{"* * * * *", "UTC", "2026-01-01 00:00", {"2026-01-01 00:01+0", "2026-01-01 00:02+0"}},
	{"* * * * *", "UTC", "2025-12-31 23:59:59", {"2026-01-01 00:00+0"}},
	{"*/15 * * * *", "UTC", "2026-01-01 00:44:59", {"2026-01-01 00:45+0", "2026-01-01 01:00+0"}},
	{"5-59/20 8,18 * * *", "UTC", "2026-01-01 08:30",
	 {"2026-01-01 08:45+0", "2026-01-01 18:05+0", "2026-01-01 18:25+0", "2026-01-01 18:45+0",
	  "2026-01-02 08:05+0"}},
	{"@hourly", "UTC", "2026-01-01 00:00", {"2026-01-01 01:00+0"}},
	{"@daily", "UTC", "2026-01-01 00:00", {"2026-01-02 00:00+0"}},
	{"@midnight", "UTC", "2026-01-01 00:00", {"2026-01-02 00:00+0"}},
	{"@weekly", "UTC", "2026-01-01 00:00", {"2026-01-04 00:00+0", "2026-01-11 00:00+0"}},
	{" @Monthly ", "UTC", "2026-01-31 00:00", {"2026-02-01 00:00+0", "2026-03-01 00:00+0"}},
	{"@yearly", "UTC", "2026-01-01 00:00", {"2027-01-01 00:00+0"}},
	{"@annually", "UTC", "2026-01-01 00:00", {"2027-01-01 00:00+0"}},
	/* Names, Sunday twice. */
	{"0 9 * jan,Mar MON-fri", "UTC", "2026-01-30 09:00",
	 {"2026-03-02 09:00+0", "2026-03-03 09:00+0"}},
	{"0 0 * * 0", "UTC", "2026-01-01 00:00", {"2026-01-04 00:00+0", "2026-01-11 00:00+0"}},
	{"0 0 * * 7", "UTC", "2026-01-01 00:00", {"2026-01-04 00:00+0", "2026-01-11 00:00+0"}},
	{"0 0 * * 5-7", "UTC", "2026-01-01 00:00",
	 {"2026-01-02 00:00+0", "2026-01-03 00:00+0", "2026-01-04 00:00+0", "2026-01-09 00:00+0"}},
	{"0 0 * * sat-SUN", "UTC", "2026-01-01 00:00",
	 {"2026-01-03 00:00+0", "2026-01-04 00:00+0", "2026-01-10 00:00+0"}},
	{"0 0 * * sun-mon", "UTC", "2026-01-01 00:00",
	 {"2026-01-04 00:00+0", "2026-01-05 00:00+0", "2026-01-11 00:00+0"}},
	/* Day of month or weekday; both, when one of them begins with a star. */
	{"0 0 13 * FRI", "UTC", "2026-02-01 00:00",
	 {"2026-02-06 00:00+0", "2026-02-13 00:00+0", "2026-02-20 00:00+0", "2026-02-27 00:00+0",
	  "2026-03-06 00:00+0", "2026-03-13 00:00+0"}},
	{"0 0 */2 * MON", "UTC", "2026-02-01 00:00",
	 {"2026-02-09 00:00+0", "2026-02-23 00:00+0", "2026-03-09 00:00+0"}},
	{"0 0 1-7 * */7", "UTC", "2026-02-01 00:00", {"2026-03-01 00:00+0", "2026-04-05 00:00+0"}},
	/* Long months, leap days. */
	{"0 0 31 * *", "UTC", "2026-01-31 00:00",
	 {"2026-03-31 00:00+0", "2026-05-31 00:00+0", "2026-07-31 00:00+0"}},
	{"30 12 29 2 *", "UTC", "2026-01-01 00:00", {"2028-02-29 12:30+0", "2032-02-29 12:30+0"}},
	{"0 0 29 FEB *", "UTC", "2096-03-01 00:00", {"2104-02-29 00:00+0"}},
	{"0 0 29 2 */7", "UTC", "2026-01-01 00:00", {"2032-02-29 00:00+0", "2060-02-29 00:00+0"}},
	{"0 0 31 12 *", "UTC", "2099-01-01 00:00", {"2099-12-31 00:00+0", "2100-12-31 00:00+0"}},
	{"0 0 1 1 *", "UTC", "9999-06-01 00:00", {NULL}},
	/* Berlin: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00. */
	{"30 2 * * *", "Europe/Berlin", "2026-03-28 00:00",
	 {"2026-03-28 02:30+60", "2026-03-29 03:00+120", "2026-03-30 02:30+120"}},
	{"*/20 2 * * *", "Europe/Berlin", "2026-03-28 02:00",
	 {"2026-03-29 03:00+120", "2026-03-30 02:00+120", "2026-03-30 02:20+120"}},
	{"30 2,3 * * *", "Europe/Berlin", "2026-03-28 12:00",
	 {"2026-03-29 03:00+120", "2026-03-29 03:30+120", "2026-03-30 02:30+120"}},
	{"0 3 * * *", "Europe/Berlin", "2026-03-28 12:00",
	 {"2026-03-29 03:00+120", "2026-03-30 03:00+120"}},
	{"*/30 * * * *", "Europe/Berlin", "2026-03-29 00:00",
	 {"2026-03-29 01:30+60", "2026-03-29 03:00+120", "2026-03-29 03:30+120"}},
	{"30 2 29 3 *", "Europe/Berlin", "2026-01-01 00:00",
	 {"2026-03-29 03:00+120", "2027-03-29 02:30+120"}},
	{"30 2 * * *", "Europe/Berlin", "2026-10-24 00:30",
	 {"2026-10-25 02:30+120", "2026-10-26 02:30+60"}},
	{"30 2 * * *", "Europe/Berlin", "2026-10-25 01:00", {"2026-10-26 02:30+60"}},
	{"*/20 2,3 * * *", "Europe/Berlin", "2026-10-25 00:00",
	 {"2026-10-25 02:20+120", "2026-10-25 02:40+120", "2026-10-25 03:00+60",
	  "2026-10-25 03:20+60"}},
	{"30 * * * *", "Europe/Berlin", "2026-10-24 23:45",
	 {"2026-10-25 02:30+120", "2026-10-25 02:30+60", "2026-10-25 03:30+60"}},
	{"15 */2 * * *", "Europe/Berlin", "2026-10-24 23:00",
	 {"2026-10-25 02:15+120", "2026-10-25 04:15+60"}},
	/* New York: 2026-03-08 02:00 -> 03:00, 2026-11-01 02:00 -> 01:00. */
	{"30 2 * * SUN", "America/New_York", "2026-03-02 00:00",
	 {"2026-03-08 03:00-240", "2026-03-15 02:30-240"}},
	{"30 1 * * *", "America/New_York", "2026-10-31 12:00",
	 {"2026-11-01 01:30-240", "2026-11-02 01:30-300"}},
	{"0 0-2 1 11 *", "America/New_York", "2026-10-31 12:00",
	 {"2026-11-01 00:00-240", "2026-11-01 01:00-240", "2026-11-01 02:00-300"}},
	/* Lord Howe: half an hour; 2026-04-05 02:00 -> 01:30, 2026-10-04 02:00 -> 02:30. */
	{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04 00:00",
	 {"2026-04-05 01:45+660", "2026-04-06 01:45+630"}},
	{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03 00:00",
	 {"2026-10-04 02:30+660", "2026-10-05 02:15+660"}},
	{"*/15 * * * *", "Australia/Lord_Howe", "2026-10-03 15:00",
	 {"2026-10-04 01:45+630", "2026-10-04 02:30+660", "2026-10-04 02:45+660"}},
	{"0 12 * * *", "Asia/Kathmandu", "2026-01-01 00:00",
	 {"2026-01-01 12:00+345", "2026-01-02 12:00+345"}},
	/* Midnight itself skipped; a whole day skipped; summer time in 2099 by the rule. */
	{"@daily", "America/Havana", "2026-03-07 12:00",
	 {"2026-03-08 01:00-240", "2026-03-09 00:00-240"}},
	{"0 12 * * *", "Pacific/Apia", "2011-12-29 12:00",
	 {"2011-12-29 12:00-600", "2011-12-31 00:00+840", "2011-12-31 12:00+840"}},
	{"30 2 * * *", "Europe/Berlin", "2099-03-28 12:00",
	 {"2099-03-29 03:00+120", "2099-03-30 02:30+120"}},
};

static void due_times(void **state)
{
	(void)state;
	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) < 0)
		skip();
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int64_t t = at(table[i].after);
		struct cron c;
		struct tz *z;

		if (cron_parse(table[i].line, &c, why, sizeof why) < 0 ||
		    tz_load(table[i].zone, &z, why, sizeof why) < 0)
			fail_msg("%s: %s", table[i].line, why);
		if (table[i].due[0] == NULL)
			assert_true(cron_next(&c, z, t) == CRON_NEVER);
		for (size_t k = 0; k < 6 && table[i].due[k] != NULL; k++) {
			t = cron_next(&c, z, t);
			if (strcmp(local_text(z, t), table[i].due[k]) != 0)
				fail_msg("%s %s: %s, not %s", table[i].line, table[i].zone,
					 local_text(z, t), table[i].due[k]);
		}
		tz_free(z);
	}
}

/* Another opinion: each minute in turn, by libc's clock. */
struct walker {
	int64_t t;      /* the minute to look at next */
	int64_t before; /* what local clocks showed the minute before, in minutes */
	int64_t seen;   /* the latest they ever showed */
};

static bool matches(const struct cron *c, int64_t local_min)
{
	int64_t days = floor_div(local_min, 1440);
	int min = (int)(local_min - days * 1440);
	struct civil d = civil_date(days);
	bool dom = c->days >> d.day & 1, dow = c->weekdays >> civil_weekday(days) & 1;

	return (c->minutes >> min % 60 & 1) && (c->hours >> min / 60 & 1) &&
	       (c->months >> d.month & 1) &&
	       (c->days_star || c->weekdays_star ? dom && dow : dom || dow);
}

static int64_t local_min(int64_t t)
{
	time_t when = (time_t)t;
	struct tm tm;

	localtime_r(&when, &tm);
	return (t + tm.tm_gmtoff) / 60;
}

static bool walker_step(struct walker *w, const struct cron *c)
{
	int64_t local = local_min(w->t);
	bool due = matches(c, local) && (local > w->seen || c->hours == 0xffffff);

	for (int64_t l = w->before + 1; l < local && !due; l++)
		due = matches(c, l);
	w->before = local;
	w->seen = MAX(w->seen, local);
	w->t += 60;
	return due;
}

static void random_line(char line[64])
{
	static const char *const minutes[] = {"0", "30", "*/20", "5,35", "*", "59", "0-10/5"};
	static const char *const hours[] = {"*", "2", "1-3", "*/2", "0", "1,2,23", "0-23", "3"};
	static const char *const days[] = {"*", "29", "25,1", "*/2", "1-7", "*"};
	static const char *const weekdays[] = {"*", "SUN", "*/2", "0,6", "*", "*"};

	snprintf(line, 64, "%s %s %s * %s", minutes[(size_t)rand() % ARRAY_LEN(minutes)],
		 hours[(size_t)rand() % ARRAY_LEN(hours)], days[(size_t)rand() % ARRAY_LEN(days)],
		 weekdays[(size_t)rand() % ARRAY_LEN(weekdays)]);
}

/* A few days around each change of the clocks in six years, several lines each. */
static void as_a_walk_by_the_minute(void **state)
{
	static const char *const zones[] = {
		"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
		"America/Havana", "Africa/Casablanca", "Europe/Dublin", "Asia/Gaza",
		"America/St_Johns", "Pacific/Chatham", "Antarctica/Troll", "America/Nuuk",
	};

	(void)state;
	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) < 0)
		skip();
	srand(4);
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		int64_t change = at("2024-01-01 00:00"), end = at("2030-01-01 00:00");
		struct tz *z;

		assert_int_equal(tz_load(zones[i], &z, why, sizeof why), 0);
		setenv("TZ", zones[i], 1);
		tzset();
		for (; change < end; change = tz_span(z, change).end)
			for (int k = 0; k < 6; k++) {
				int64_t from = change - 86400 - change % 60, due;
				struct walker w = {from + 60, local_min(from), local_min(from)};
				char line[64];
				struct cron c;

				random_line(line);
				assert_int_equal(cron_parse(line, &c, why, sizeof why), 0);
				due = cron_next(&c, z, from);
				while (w.t < change + 86400) {
					int64_t t = w.t;
					bool is_due = walker_step(&w, &c);

					if (is_due != (due == t))
						fail_msg("%s %s: %s, walked %s %lld", zones[i], line,
							 local_text(z, due), is_due ? "to" : "by",
							 (long long)t);
					if (is_due)
						due = cron_next(&c, z, t);
				}
			}
		tz_free(z);
	}
}

/* From any moment on, not only from the one before: the next one is the same. */
static void next_is_one_sequence(void **state)
{
	struct cron c;
	struct tz *z;

	(void)state;
	if (tz_load("Europe/Berlin", &z, why, sizeof why) < 0)
		skip();
	assert_int_equal(cron_parse("*/30 1-3 * * *", &c, why, sizeof why), 0);
	for (int64_t t = at("2026-10-24 20:00"), due = t; t < at("2026-10-26 04:00"); t += 7) {
		if (t >= due)
			due = cron_next(&c, z, due);
		assert_true(cron_next(&c, z, t) == due);
	}
	tz_free(z);
}

static const struct {
	const char *line, *why;
} refused[] = {
	{"", "the line is empty; it has five fields: minute hour day-of-month month day-of-week"},
	{"  ", "the line is empty; it has five fields: minute hour day-of-month month day-of-week"},
	{"* * * *", "4 fields, but a line has five: minute hour day-of-month month day-of-week"},
	{"0 * * * * *", "6 fields, but a line has five: minute hour day-of-month month day-of-week "
			"(seconds and years are of other dialects)"},
	{"60 * * * *", "minute field, column 1: 60 is not between 0 and 59"},
	{"* 24 * * *", "hour field, column 3: 24 is not between 0 and 23"},
	{"* * 0 * *", "day-of-month field, column 5: 0 is not between 1 and 31"},
	{"* * * 13 *", "month field, column 7: 13 is not between 1 and 12"},
	{"* * * * 8", "day-of-week field, column 9: 8 is not between 0 and 7"},
	{"* * * * 5-0", "day-of-week field, column 9: the range begins after its end: 5-0"},
	{"  30-10  * * * *", "minute field, column 3: the range begins after its end: 30-10"},
	{"0 0 ? * *", "day-of-month field, column 5: '?' is not of cron's five fields; write *"},
	{"0 0 L * *", "day-of-month field, column 5: 'L' is of another cron's dialect"},
	{"0 0 15W * *", "day-of-month field, column 7: 'W' is of another cron's dialect"},
	{"0 0 * * 5L", "day-of-week field, column 10: 'L' is of another cron's dialect"},
	{"0 0 * * 5#2", "day-of-week field, column 10: '#' is of another cron's dialect"},
	{"H 0 * * *", "minute field, column 1: 'H' is of another cron's dialect"},
	{"0~9 0 * * *", "minute field, column 2: '~' is of another cron's dialect"},
	{"0 0 * * FUN", "day-of-week field, column 9: 'FUN' is none of the names SUN to SAT"},
	{"0 0 * JANUARY *", "month field, column 7: 'JANUARY' is none of the names JAN to DEC"},
	{"x 0 * * *", "minute field, column 1: 'x' is no number"},
	{"1x 0 * * *", "minute field, column 1: '1x' is no number of at most 4 digits"},
	{"00001 0 * * *", "minute field, column 1: '00001' is no number of at most 4 digits"},
	{"*/0 * * * *", "minute field, column 3: the step 0 is not between 1 and 60"},
	{"*/61 * * * *", "minute field, column 3: the step 61 is not between 1 and 60"},
	{"*/ * * * *", "minute field, column 3: a number or * is missing"},
	{"5/15 * * * *", "minute field, column 2: a step needs a range: write 5-59/..."},
	{"1,,2 * * * *", "minute field, column 3: ',' is not expected here"},
	{"1, * * * *", "minute field, column 3: a number or * is missing"},
	{"-1 * * * *", "minute field, column 1: '-' is not expected here"},
	{"** * * * *", "minute field, column 2: '*' is not expected here"},
	{"1-2-3 * * * *", "minute field, column 4: '-' is not expected here"},
	{"* * * *\n*  x", "month field, column 8: the byte 0x0a is not expected here"},
	{"\xc3\xa9 * * * *", "minute field, column 1: the byte 0xc3 is not expected here"},
	{"TZ=UTC * * * * *", "a time zone is no part of the line: give it as time_zone"},
	{"CRON_TZ=UTC 0 * * * *", "a time zone is no part of the line: give it as time_zone"},
	{"@reboot", "'@reboot' is none of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, "
		    "@annually"},
	{"@every 5m", "'@every' is none of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, "
		      "@annually"},
	{"@daily 5", "'@daily' is none of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, "
		     "@annually"},
	{"0 0 31 2 *", "the line never comes due: none of its months has such a day"},
	{"0 0 30,31 FEB */2", "the line never comes due: none of its months has such a day"},
	{"0 0 31 4,6,9,11 *", "the line never comes due: none of its months has such a day"},
};

static void what_is_refused(void **state)
{
	struct cron c;
	char line[CRON_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		why[0] = '\0';
		if (cron_parse(refused[i].line, &c, why, sizeof why) != -ERRAND_INVALID_ARGUMENT)
			fail_msg("'%s' was read", refused[i].line);
		if (strcmp(why, refused[i].why) != 0)
			fail_msg("'%s': %s\nnot:    %s", refused[i].line, why, refused[i].why);
	}
	memset(line, ' ', sizeof line);
	memcpy(line, "* * * * *", 9);
	line[CRON_MAX + 1] = '\0';
	assert_int_equal(cron_parse(line, &c, why, sizeof why), -ERRAND_INVALID_ARGUMENT);
	line[CRON_MAX] = '\0';
	assert_int_equal(cron_parse(line, &c, why, sizeof why), 0);
	/* Either day is enough here, and Mondays come. */
	assert_int_equal(cron_parse("0 0 31 2 MON", &c, why, sizeof why), 0);
	assert_int_equal(cron_parse("0\t0  29 2 *", &c, why, sizeof why), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(due_times),
		cmocka_unit_test(as_a_walk_by_the_minute),
		cmocka_unit_test(next_is_one_sequence),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
