/* tz_rule.h: the rule at the end of a TZif file: POSIX's TZ text as in
 * "CET-1CEST,M3.5.0,M10.5.0/3", with the hours up to 167 of RFC 8536. Any thread. */
#ifndef SERVICE_TZ_RULE_H
#define SERVICE_TZ_RULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "service/tz.h"

/* A day of each year, and a local time on (or around) it. */
struct tz_day {
	enum { TZ_DAY_MONTH, TZ_DAY_JULIAN, TZ_DAY_ZERO } kind; /* Mm.w.d, Jn, n */
	int month, week, weekday;
	int day;      /* J: 1 to 365, leap days not counted; n: 0 to 365 */
	int32_t time; /* seconds after its local midnight */
};

struct tz_rule {
	int32_t std, dst; /* offsets to UTC, eastern ones positive */
	bool has_dst;
	struct tz_day start, end; /* of dst; in the local time before the change */
};

/* False: not such a text. */
bool tz_rule_parse(struct bytes text, struct tz_rule *out);
/* As tz_span. */
struct tz_span tz_rule_span(const struct tz_rule *r, int64_t t);

#endif
