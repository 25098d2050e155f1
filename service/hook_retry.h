/* hook_retry.h: when a callback is tried again, and whether its host is to be asked at
 * all: the schedule, and a circuit breaker for each host. Pure; times are the caller's
 * microseconds of a clock that does not jump. */
#ifndef SERVICE_HOOK_RETRY_H
#define SERVICE_HOOK_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOOK_RETRY_DEFAULT "5s,5m,30m,2h,5h,10h,14h,20h,24h" /* Standard Webhooks' proposal */
#define HOOK_RETRY_MAX 32

struct hook_schedule {
	int64_t wait_us[HOOK_RETRY_MAX]; /* before the second attempt, the third, ... */
	unsigned n;
};
/* "5s,5m,1h". Negative with the reason in why. */
int hook_schedule_parse(const char *text, struct hook_schedule *out, char *why, size_t why_size);
/* How long to wait after this many failed attempts, at least what the answer asked for
 * (Retry-After, up to a day; 0: nothing) and up to a fifth more by chance (random01 in
 * [0, 1)); -1: it was the last. */
int64_t hook_schedule_wait(const struct hook_schedule *s, unsigned attempts, int64_t retry_after_us,
			   double random01);

/* A host's breaker: closed until some attempts in a row failed; then open for a pause
 * that doubles each time; then one attempt probes, and its end closes it or opens it
 * again. Zeroed = closed. */
struct hook_breaker {
	unsigned failures;     /* in a row */
	int64_t pause_us;      /* of the last time it opened; 0: closed */
	int64_t open_until_us;
	bool probing;
};
struct hook_breaker_limits {
	unsigned failures;
	int64_t pause_us, pause_max_us;
};
/* May it be asked now? If not, *whenp is when it may be again (0: when the probe that
 * is under way ends). */
bool hook_breaker_allows(const struct hook_breaker *b, int64_t now_us, int64_t *whenp);
void hook_breaker_begin(struct hook_breaker *b);
/* answered: it works, whatever it said. True when this opened it. */
bool hook_breaker_end(struct hook_breaker *b, const struct hook_breaker_limits *l, bool answered,
		      int64_t now_us);

#endif
