/* tz.h: time zones: how far local clocks were, are and will be from UTC, read from the
 * system's compiled zones (TZif, RFC 8536, versions 1 to 4 with the rule at their end).
 *
 * Why not libc's: it knows one zone at a time, that of the environment variable TZ, and
 * changing TZ while other threads run is not allowed (setenv(3) is MT-Unsafe); it has
 * no function that takes a zone. And cron needs to ask for the moments at which the
 * clocks are changed, which no libc tells.
 *
 * A zone is read when it is asked for and never changes; so an update of tzdata counts
 * from the next question on, without a restart. Any thread. Times are seconds since
 * 1970 UTC; local times are the same count as read off a local clock. */
#ifndef SERVICE_TZ_H
#define SERVICE_TZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/util.h"

struct tz;

/* "Europe/Berlin" below $TZDIR, or /usr/share/zoneinfo; "UTC" and "" need no file.
 * -ERRAND_INVALID_ARGUMENT: no such zone, or not a name of one (it may come from a peer:
 * no ".." and nothing absolute gets through); -ERRAND_DATA_LOSS: its file is broken;
 * -ERRAND_UNAVAILABLE: there are no zones on this system, or no permission to read
 * them. why says it. Gives *out. */
int tz_load(const char *name, struct tz **out, char *why, size_t why_size);
/* The same from a file's bytes; they are copied. */
int tz_parse(struct bytes file, struct tz **out, char *why, size_t why_size);
struct tz *tz_free(struct tz *z); /* NULL is fine; returns NULL */

/* A time in which the clocks were not changed: begin <= t < end. The first begins at
 * INT64_MIN, the last ends at INT64_MAX. Neighbours may have the same offset. */
struct tz_span {
	int64_t begin, end;
	int32_t offset; /* local = UTC + offset */
};
struct tz_span tz_span(const struct tz *z, int64_t t);

#endif
