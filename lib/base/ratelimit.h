/* ratelimit.h: how much of something is left, as the headers RateLimit and RateLimit-Policy say it
 * (draft-ietf-httpapi-ratelimit-headers): a policy's name, r for what is left, t for the seconds until all of
 * it is there again, q for all. */
#ifndef BASE_RATELIMIT_H
#define BASE_RATELIMIT_H

#include <stdint.h>

struct ratelimit {
	char limit[64], policy[64]; /* the headers' values */
};

/* more: further parameters of the policy, as `w=60` or `qu="tasks"`. */
void ratelimit_write(struct ratelimit *out, const char *name, uint64_t left, uint64_t seconds, uint64_t all,
		     const char *more);

#endif
