/* supervise.c: see supervise.h. Without a supervisor main sleeps until there is a signal. */
#define _GNU_SOURCE
#include "gateway/supervise.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "base/clock.h"
#include "base/notify.h"
#include "base/util.h"

#define STATUS_NS (10 * NS_PER_S)
#define CHANGING_NS NS_PER_S /* while the service is not there for all threads */

static bool all_live(const struct supervise *s)
{
	for (size_t i = 0; i < s->n_workers; i++)
		if (!worker_is_alive(s->workers[i]))
			return false;
	return true;
}

static void say_status(struct supervise *s)
{
	unsigned up = atomic_load(&s->state->n_up);

	if (up == s->up)
		return;
	s->up = up;
	if (up == s->n_workers)
		notify_status("serving; the service is there");
	else if (up == 0)
		notify_status("serving; the service is not there");
	else
		notify_status("serving; %u of %zu threads have a way to the service", up, s->n_workers);
}

static void look(struct supervise *s)
{
	if (notify_watchdog_ns() > 0 && all_live(s)) {
		notify_watchdog();
		for (size_t i = 0; i < s->n_workers; i++)
			worker_ask_alive(s->workers[i]);
	}
	say_status(s);
}

void supervise_start(struct supervise *s)
{
	if (!notify_wanted())
		return;
	s->up = UINT_MAX;
	notify_ready();
	look(s);
}

/* Four looks while the watchdog waits: one that comes just before a thread has answered is no harm. */
static int64_t interval(const struct supervise *s)
{
	int64_t status_ns = s->up == s->n_workers ? STATUS_NS : CHANGING_NS;
	int64_t watchdog_ns = notify_watchdog_ns();

	return watchdog_ns > 0 ? MIN(watchdog_ns / 4, status_ns) : status_ns;
}

int supervise_wait(struct supervise *s, const sigset_t *set)
{
	if (!notify_wanted())
		return sigwaitinfo(set, NULL);
	for (;;) {
		int64_t ns = interval(s);
		struct timespec wait = {ns / NS_PER_S, ns % NS_PER_S};
		int n = sigtimedwait(set, NULL, &wait);

		if (n >= 0)
			return n;
		look(s);
	}
}
