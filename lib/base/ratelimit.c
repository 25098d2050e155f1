/* ratelimit.c: see ratelimit.h. */
#include "base/ratelimit.h"

#include <inttypes.h>
#include <stdio.h>

void ratelimit_write(struct ratelimit *out, const char *name, uint64_t left, uint64_t seconds, uint64_t all,
		     const char *more)
{
	snprintf(out->limit, sizeof out->limit, "\"%s\";r=%" PRIu64 ";t=%" PRIu64, name, left, seconds);
	snprintf(out->policy, sizeof out->policy, "\"%s\";q=%" PRIu64 ";%s", name, all, more);
}
