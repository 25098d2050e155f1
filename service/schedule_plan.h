/* schedule_plan.h: what is to be done about a schedule whose time has come, or has
 * passed long ago. Pure; any thread. */
#ifndef SERVICE_SCHEDULE_PLAN_H
#define SERVICE_SCHEDULE_PLAN_H

#include "service/cron.h"

#define SCHEDULE_LATE_S 60     /* later than that is missed */
#define SCHEDULE_RUN_ALL_MAX 100 /* made up for in a row */
#define SCHEDULE_COUNT_MAX 1000  /* missed times are counted up to that at once */

/* The numbers are errand.v1.Missed.Policy's. */
enum missed_policy { MISSED_SKIP = 1, MISSED_RUN_ONCE = 2, MISSED_RUN_ALL = 3 };

struct schedule_plan {
	bool fire;           /* for the time at_s */
	int64_t at_s;
	uint64_t n_missed;   /* times that nobody makes up for */
	int64_t next_s;      /* > at_s; in the past when more is to be made up for; or CRON_NEVER */
	unsigned catching_up;
};

/* next_s: its next time as stored, reached. */
struct schedule_plan schedule_plan(const struct cron *c, const struct tz *z, enum missed_policy missed,
				   int64_t next_s, unsigned catching_up, int64_t now_s);

#endif
