/* civil.h: days and dates of the proleptic Gregorian calendar, without time zones, by
 * arithmetic only (no libc, no locale, no limits but int64_t's). Day 0 is 1970-01-01,
 * a Thursday. Any thread. */
#ifndef SERVICE_CIVIL_H
#define SERVICE_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

#define S_PER_MIN 60LL
#define S_PER_HOUR 3600LL
#define S_PER_DAY 86400LL

struct civil {
	int64_t year;
	int month; /* 1 to 12 */
	int day;   /* 1 to 31 */
};

int64_t civil_days(int64_t year, int month, int day);
struct civil civil_date(int64_t days);
int civil_month_days(int64_t year, int month);

static inline bool civil_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Division towards minus infinity; b > 0. */
static inline int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* 0 = Sunday. */
static inline int civil_weekday(int64_t days)
{
	return (int)(days + 4 - floor_div(days + 4, 7) * 7);
}

#endif
