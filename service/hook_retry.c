/* hook_retry.c: see hook_retry.h. */
#include "service/hook_retry.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/opt.h"
#include "base/util.h"
#include "errand/status.h"

#define DAY_US (24 * 3600 * US_PER_S)

int hook_schedule_parse(const char *text, struct hook_schedule *out, char *why, size_t why_size)
{
	*out = (struct hook_schedule){0};
	for (const char *p = text; p != NULL; p = strchr(p, ',')) {
		char one[32];
		size_t len;
		int64_t ns;

		p += p != text;
		len = strcspn(p, ",");
		snprintf(one, sizeof one, "%.*s", (int)MIN(len, sizeof one - 1), p);
		if (out->n == HOOK_RETRY_MAX || len >= sizeof one || !opt_time(one, &ns) || ns <= 0 ||
		    ns / 1000 > 30 * DAY_US) {
			snprintf(why, why_size, "%.100s: write up to %d times, as 5s,5m,1h", text, HOOK_RETRY_MAX);
			return -ERRAND_INVALID_ARGUMENT;
		}
		out->wait_us[out->n++] = MAX(ns / 1000, 1);
	}
	return 0;
}

int64_t hook_schedule_wait(const struct hook_schedule *s, unsigned attempts, int64_t retry_after_us,
			   double random01)
{
	int64_t wait;

	if (attempts == 0 || attempts > s->n)
		return attempts == 0 ? 0 : -1;
	wait = MAX(s->wait_us[attempts - 1], MIN(retry_after_us, DAY_US));
	return wait + (int64_t)((double)wait / 5 * random01);
}

bool hook_breaker_allows(const struct hook_breaker *b, int64_t now_us, int64_t *whenp)
{
	*whenp = 0;
	if (b->pause_us == 0)
		return true;
	if (now_us < b->open_until_us) {
		*whenp = b->open_until_us;
		return false;
	}
	return !b->probing;
}

void hook_breaker_begin(struct hook_breaker *b)
{
	b->probing = b->pause_us != 0;
}

bool hook_breaker_end(struct hook_breaker *b, const struct hook_breaker_limits *l, bool answered,
		      int64_t now_us)
{
	bool was_open = b->pause_us != 0 && !b->probing;

	if (answered) {
		*b = (struct hook_breaker){0};
		return false;
	}
	b->probing = false;
	/* Others that were under way when it opened have nothing new to say. */
	if (++b->failures < l->failures || was_open)
		return false;
	b->pause_us = b->pause_us == 0 ? l->pause_us : MIN(2 * b->pause_us, l->pause_max_us);
	b->open_until_us = now_us + b->pause_us;
	return true;
}
