/* The zones of this system against libc's own reading of them, and files and names that
 * are refused. libc is asked in the one way it has: TZ and tzset, in a program with
 * one thread. */
#define _GNU_SOURCE
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/buf.h"
#include "errand/status.h"
#include "service/civil.h"
#include "service/tz.h"
#include "service/tz_rule.h"

#define ZONES "/usr/share/zoneinfo"

static char why[256];

static void need_zones(void)
{
	if (access(ZONES "/Europe/Berlin", R_OK) < 0) {
		print_message("no tzdata here\n");
		skip();
	}
}

static struct tz *load(const char *name)
{
	struct tz *z;

	if (tz_load(name, &z, why, sizeof why) < 0)
		fail_msg("%s: %s", name, why);
	return z;
}

static void use_libc_zone(const char *name)
{
	AUTO_FREE char *tz = xasprintf(":%s", name);

	setenv("TZ", tz, 1);
	tzset();
}

static int32_t libc_offset(int64_t t)
{
	time_t when = (time_t)t;
	struct tm tm;

	assert_non_null(localtime_r(&when, &tm));
	return (int32_t)tm.tm_gmtoff;
}

static void same_at(const struct tz *z, const char *name, int64_t t)
{
	struct tz_span span = tz_span(z, t);

	if (span.offset != libc_offset(t))
		fail_msg("%s at %lld: %d, libc says %d", name, (long long)t, span.offset,
			 libc_offset(t));
	assert_true(span.begin <= t && t < span.end);
}

/* A zone at many moments from 1970 to 2101, and around each of its changes. */
static void same_as_libc(const char *name)
{
	struct tz *z = load(name);
	int64_t t, end = civil_days(2101, 1, 1) * S_PER_DAY;

	use_libc_zone(name);
	for (t = 0; t < end; t += 1234567)
		same_at(z, name, t);
	for (t = 0; t < end; t = tz_span(z, t).end) {
		same_at(z, name, t);
		if (t > 0)
			same_at(z, name, t - 1);
	}
	tz_free(z);
}

static unsigned walk(const char *below)
{
	AUTO_FREE char *path = xasprintf(ZONES "%s%s", *below != '\0' ? "/" : "", below);
	DIR *dir = opendir(path);
	struct dirent *d;
	unsigned n = 0;

	assert_non_null(dir);
	while ((d = readdir(dir)) != NULL) {
		AUTO_FREE char *name = *below != '\0' ? xasprintf("%s/%s", below, d->d_name)
						      : xstrdup(d->d_name);
		AUTO_FREE char *file = xasprintf(ZONES "/%s", name);
		struct stat st;

		if (d->d_name[0] == '.' || strcmp(name, "right") == 0 || stat(file, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			n += walk(name);
		} else if (strchr(d->d_name, '.') == NULL && strcmp(name, "leapseconds") != 0 &&
			   strcmp(name, "SECURITY") != 0 && strcmp(name, "leap-seconds") != 0) {
			same_as_libc(name);
			n++;
		}
	}
	closedir(dir);
	return n;
}

static void every_zone_is_as_libc_reads_it(void **state)
{
	(void)state;
	need_zones();
	assert_true(walk("") > 300);
}

static void utc_needs_no_files(void **state)
{
	static const char *const names[] = {"UTC", "", "Etc/UTC"};

	(void)state;
	setenv("TZDIR", "/nonexistent", 1);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct tz *z = load(names[i]);
		struct tz_span span = tz_span(z, 1700000000);

		assert_int_equal(span.offset, 0);
		assert_true(span.begin == INT64_MIN && span.end == INT64_MAX);
		tz_free(z);
	}
	unsetenv("TZDIR");
}

static int refused(const char *name)
{
	struct tz *z = (struct tz *)&why;
	int code;

	why[0] = '\0';
	code = tz_load(name, &z, why, sizeof why);
	assert_null(z);
	assert_true(why[0] != '\0');
	return code;
}

static void names_that_are_none(void **state)
{
	static const char *const names[] = {
		"../../../etc/passwd", "/etc/localtime", "Europe/../Europe/Berlin", "Europe//Berlin",
		"Europe/Berlin/", ".", "..", "-x", "Europe/.hidden", "Europe/Berlin\n", "Euro pe",
		"Z\xc3\xbcrich", "Europe", "Europe/Atlantis", "Europe/Berlin/Mitte", "zone.tab",
		"CET-1CEST,M3.5.0,M10.5.0/3", ":UTC",
	};
	char longer[300];

	(void)state;
	need_zones();
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (refused(names[i]) != -ERRAND_INVALID_ARGUMENT)
			fail_msg("%s: %s", names[i], why);
	memset(longer, 'A', sizeof longer - 1);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(refused(longer), -ERRAND_INVALID_ARGUMENT);
	if (access(ZONES "/right/Europe/Berlin", R_OK) == 0) {
		assert_int_equal(refused("right/Europe/Berlin"), -ERRAND_INVALID_ARGUMENT);
		assert_non_null(strstr(why, "leap seconds"));
	}
	refused("Europe/Atlantis");
	assert_string_equal(why, "'Europe/Atlantis' is not a time zone of this system "
				 "(such as Europe/Berlin, UTC)");
}

static void a_system_without_zones(void **state)
{
	(void)state;
	setenv("TZDIR", "/nonexistent", 1);
	assert_int_equal(refused("Europe/Berlin"), -ERRAND_UNAVAILABLE);
	assert_non_null(strstr(why, "tzdata"));
	unsetenv("TZDIR");
}

static struct buf file_of(const char *name)
{
	AUTO_FREE char *path = xasprintf(ZONES "/%s", name);
	struct buf b = BUF_INIT;
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	buf_reserve(&b, 65536);
	b.len = fread(b.data, 1, 65536, f);
	fclose(f);
	return b;
}

/* Every shorter file is refused, and every file with one other byte is refused or can
 * be asked; sanitizers watch. */
static void damaged_files(void **state)
{
	struct buf file;
	struct tz *z;

	(void)state;
	need_zones();
	file = file_of("Europe/Berlin");
	for (size_t len = 0; len < file.len; len++) {
		uint8_t *copy = xmalloc(len + 1);

		memcpy(copy, file.data, len);
		assert_int_equal(tz_parse((struct bytes){copy, len}, &z, why, sizeof why),
				 -ERRAND_DATA_LOSS);
		free(copy);
	}
	for (size_t i = 0; i < file.len; i++) {
		uint8_t was = file.data[i];

		file.data[i] = (uint8_t)(was ^ (1 << i % 8));
		if (tz_parse(buf_bytes(&file), &z, why, sizeof why) == 0)
			tz_span(z, 1700000000);
		tz_free(z);
		file.data[i] = was;
	}
	assert_int_equal(tz_parse(buf_bytes(&file), &z, why, sizeof why), 0);
	tz_free(z);
	buf_deinit(&file);
}

/* The first part alone is a file of version 1: no rule, the last change stays. */
static void a_file_of_version_1(void **state)
{
	static const uint8_t file[] =
		"TZif\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" /* magic, version, reserved */
		"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\2\0\0\0\4"
		"\xff\xff\xff\x9c\0\0\0\x64" /* -100, 100 */
		"\1\0"                       /* types */
		"\0\0\x0e\x10\0\0\xff\xff\xf1\xf0\1\0"
		"ABC"; /* and NUL */
	struct tz *z;

	(void)state;
	assert_int_equal(tz_parse((struct bytes){file, sizeof file}, &z, why, sizeof why), 0);
	assert_int_equal(tz_span(z, -101).offset, 3600);
	assert_int_equal(tz_span(z, -100).offset, -3600);
	assert_int_equal(tz_span(z, 99).offset, -3600);
	assert_true(tz_span(z, 99).begin == -100 && tz_span(z, 99).end == 100);
	assert_int_equal(tz_span(z, 100).offset, 3600);
	assert_true(tz_span(z, INT64_MAX - 1).end == INT64_MAX);
	tz_free(z);
}

static bool rule(const char *text, struct tz_rule *out)
{
	return tz_rule_parse((struct bytes){(const uint8_t *)text, strlen(text)}, out);
}

static void rules(void **state)
{
	static const char *const bad[] = {
		"", "C", "CET", "CET-", "CET-1CEST", "CET-1CEST,", "CET-1CEST,M3.5.0",
		"CET-1CEST,M3.5.0,", "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.6.0,M10.5.0",
		"CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,M3.5.0/168,M10.5.0", "CET-25",
		"CET-1CEST,J0,J365", "CET-1CEST,J1,J366", "CET-1CEST,0,366", "<CET-1", "<>-1",
		"CET-1:", "CET-1:60", "CET-1CEST,M3.5.0,M10.5.0/3x", "CET-99999999999999999999",
	};
	struct tz_rule r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (rule(bad[i], &r))
			fail_msg("read: %s", bad[i]);
	assert_true(rule("CET-1CEST,M3.5.0,M10.5.0/3", &r));
	assert_int_equal(tz_rule_span(&r, 1774745999).offset, 3600); /* 2026-03-29 */
	assert_int_equal(tz_rule_span(&r, 1774746000).offset, 7200);
	assert_int_equal(tz_rule_span(&r, 1774746000).begin, 1774746000);
	assert_true(rule("<+1245>-12:45:30", &r));
	assert_int_equal(tz_rule_span(&r, 0).offset, 12 * 3600 + 45 * 60 + 30);
	/* Day 59 is 29 February of a leap year, J60 always 1 March. */
	assert_true(rule("AAA0BBB,59/0,J60/2", &r));
	assert_int_equal(tz_rule_span(&r, civil_days(2024, 2, 29) * S_PER_DAY).offset, 3600);
	assert_int_equal(tz_rule_span(&r, civil_days(2024, 2, 29) * S_PER_DAY - 1).offset, 0);
	assert_int_equal(tz_rule_span(&r, civil_days(2024, 3, 1) * S_PER_DAY + 3600).offset, 0);
	assert_int_equal(tz_rule_span(&r, civil_days(2023, 3, 1) * S_PER_DAY - 1).offset, 0);
	/* Summer time all year. */
	assert_true(rule("XXX3EDT4,0/0,J365/23", &r));
	for (int64_t t = 0; t < 4000000000; t += 86400 - 1)
		assert_int_equal(tz_rule_span(&r, t).offset, -4 * 3600);
	assert_int_equal(tz_rule_span(&r, civil_days(2025, 1, 1) * S_PER_DAY + 3 * 3600).offset,
			 -4 * 3600);
}

static void dates(void **state)
{
	int64_t days = civil_days(1600, 1, 1);

	(void)state;
	for (int64_t year = 1600; year < 2401; year++)
		for (int month = 1; month <= 12; month++)
			for (int day = 1; day <= civil_month_days(year, month); day++, days++) {
				struct civil c = civil_date(days);

				assert_true(civil_days(year, month, day) == days);
				assert_true(c.year == year && c.month == month && c.day == day);
			}
	assert_int_equal(civil_weekday(0), 4);
	assert_int_equal(civil_weekday(-1), 3);
	assert_int_equal(civil_weekday(civil_days(2000, 2, 29)), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_zone_is_as_libc_reads_it),
		cmocka_unit_test(utc_needs_no_files),
		cmocka_unit_test(names_that_are_none),
		cmocka_unit_test(a_system_without_zones),
		cmocka_unit_test(damaged_files),
		cmocka_unit_test(a_file_of_version_1),
		cmocka_unit_test(rules),
		cmocka_unit_test(dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
