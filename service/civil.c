/* civil.c: dates as numbers. A year is thought to begin in March, so that the leap day is
 * its last; 400 of them, an era, have always 146097 days. */
#include "service/civil.h"

#define DAYS_PER_ERA 146097
#define DAYS_TO_1970 719468 /* from 1 March of the year 0 */

int64_t civil_days(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = floor_div(y, 400), of_era = y - era * 400;
	int from_march = month > 2 ? month - 3 : month + 9;
	int64_t day_of_year = (153 * from_march + 2) / 5 + day - 1;

	return era * DAYS_PER_ERA + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year -
	       DAYS_TO_1970;
}

struct civil civil_date(int64_t days)
{
	int64_t since = days + DAYS_TO_1970, era = floor_div(since, DAYS_PER_ERA);
	int64_t day = since - era * DAYS_PER_ERA; /* of the era */
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t of_year = day - (365 * year + year / 4 - year / 100);
	int from_march = (int)((5 * of_year + 2) / 153);
	struct civil c;

	c.day = (int)(of_year - (153 * from_march + 2) / 5) + 1;
	c.month = from_march < 10 ? from_march + 3 : from_march - 9;
	c.year = era * 400 + year + (c.month <= 2);
	return c;
}

int civil_month_days(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return month == 2 && civil_leap(year) ? 29 : days[month - 1];
}
