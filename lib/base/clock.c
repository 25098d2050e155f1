#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static _Atomic int64_t fake_mono = -1, fake_wall;

#ifndef CLOCK_BOOTTIME
#define CLOCK_BOOTTIME CLOCK_MONOTONIC /* where there is no such clock */
#endif

static int64_t read_ns(clockid_t which)
{
	int64_t fake = atomic_load_explicit(&fake_mono, memory_order_relaxed);
	struct timespec ts;

	if (fake >= 0)
		return fake;
	clock_gettime(which, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

int64_t clock_boot_ns(void)
{
	return read_ns(CLOCK_BOOTTIME);
}

int64_t clock_wall_us(void)
{
	struct timespec ts;

	if (atomic_load_explicit(&fake_mono, memory_order_relaxed) >= 0)
		return atomic_load(&fake_wall);
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

void clock_set_fake(int64_t mono_ns, int64_t wall_us)
{
	atomic_store(&fake_wall, wall_us);
	atomic_store(&fake_mono, mono_ns);
}

char *clock_format(int64_t wall_us, char out[28])
{
	int64_t s = wall_us / US_PER_S, us = wall_us % US_PER_S;
	char date[20];
	struct tm tm;
	time_t t;

	if (us < 0) {
		us += US_PER_S;
		s--;
	}
	t = (time_t)s;
	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) != 19)
		snprintf(date, sizeof date, "1970-01-01T00:00:00");
	snprintf(out, 28, "%s.%06dZ", date, (int)us);
	return out;
}
