/* cron.h: "minute hour day month weekday", and when it is time for it. As cron(8) reads
 * it, with what cron(8) leaves unsaid decided (docs in errand-service(8), Schedules):
 *
 *   - * , - / and numbers; JAN to DEC and SUN to SAT in any case, also in lists and
 *     ranges; Sunday is 0 and 7. A step follows a range or *.
 *   - @hourly @daily @midnight @weekly @monthly @yearly @annually.
 *   - Day of month and weekday: when both are restricted either is enough; a field that
 *     begins with * is no restriction, so that the other one has to match as well.
 *   - Clocks set forward: what the skipped local times would have run, runs once, at the
 *     moment of the change. Clocks set back: a doubled local time runs the first time
 *     only; but a line for every hour (hour field * or 0-23) is one for intervals, and
 *     goes on in the doubled hour, too, rather than to sleep for it.
 *   - Refused: ? L W # and other dialects' signs, seconds, @reboot, a zone in the line,
 *     and a line whose day never comes (31 February).
 *
 * No allocation, any thread. */
#ifndef SERVICE_CRON_H
#define SERVICE_CRON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/tz.h"

#define CRON_MAX 256 /* bytes of a line */

struct cron { /* bit n: the value n */
	uint64_t minutes;
	uint32_t hours, days;
	uint16_t months;
	uint8_t weekdays;          /* Sunday is 0 */
	bool days_star, weekdays_star; /* the field began with * */
};

/* -ERRAND_INVALID_ARGUMENT, with field, column (from 1) and what to write instead in why. */
int cron_parse(const char *line, struct cron *out, char *why, size_t why_size);

#define CRON_NEVER INT64_MAX
/* The first time > after_s; CRON_NEVER after the year 9999. */
int64_t cron_next(const struct cron *c, const struct tz *z, int64_t after_s);

#endif
