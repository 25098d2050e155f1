/* watchdog.c: see watchdog.h. The thread looks four times per limit, and sleeps
 * for good once nothing has been entered for a while: an idle service makes no
 * wake-ups. The loop wakes it when it sees it asleep. */
#define _GNU_SOURCE
#include "service/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/clock.h"
#include "base/log.h"
#include "service/loop.h"
#include "service/metrics.h"

#define IDLE_LOOKS 20 /* without anything entered, then it sleeps */

/* Guards all but n_slow_all; taken by the loop thread twice per handler, which
 * nobody else wants at that moment. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake;
static pthread_t thread;
static bool started, stopping, asleep;
static int64_t limit_ns;
static unsigned depth;           /* of nested loop_enter */
static const char *name;         /* what the loop is in; NULL = nothing */
static _Atomic uint64_t *counter;
static int64_t since_ns;
static uint64_t n_entered;       /* so the thread sees that something happened */
static bool told;                /* this entry was counted already */
static _Atomic uint64_t n_slow_all;

uint64_t watchdog_count(void)
{
	return atomic_load(&n_slow_all);
}

/* With the lock held. */
static void count(void)
{
	told = true;
	atomic_fetch_add(&n_slow_all, 1);
	if (counter != NULL)
		atomic_fetch_add(counter, 1);
}

void loop_enter(const char *what, _Atomic uint64_t *slow)
{
	pthread_mutex_lock(&lock);
	if (started && depth++ == 0) {
		name = what;
		counter = slow;
		told = false;
		since_ns = clock_mono_ns();
		n_entered++;
		if (asleep)
			pthread_cond_signal(&wake);
	}
	pthread_mutex_unlock(&lock);
}

void loop_leave(void)
{
	const char *what = NULL;
	int64_t held = 0;

	pthread_mutex_lock(&lock);
	if (started && depth > 0 && --depth == 0) {
		held = clock_mono_ns() - since_ns;
		prom_observe(&metrics.loop_time, held);
		if (held > limit_ns) {
			what = name;
			if (!told)
				count();
		}
		name = NULL;
	}
	pthread_mutex_unlock(&lock);
	if (what != NULL)
		log_warn("a handler held the event loop",
			 "method=%s ms=%lld advice=\"declare it SYNC, or wait without blocking\"", what,
			 (long long)(held / NS_PER_MS));
}

/* With the lock held: waits for a quarter of the limit, or asleep until woken. */
static void nap(bool sleep)
{
	int64_t at = clock_mono_ns() + limit_ns / 4;
	struct timespec ts = {at / NS_PER_S, at % NS_PER_S};

	asleep = sleep;
	if (sleep)
		pthread_cond_wait(&wake, &lock);
	else
		pthread_cond_timedwait(&wake, &lock, &ts);
	asleep = false;
}

static void *thread_main(void *arg)
{
	uint64_t seen = 0;
	unsigned idle = 0;

	pthread_setname_np(pthread_self(), "watchdog");
	pthread_mutex_lock(&lock);
	while (!stopping) {
		idle = n_entered == seen && name == NULL ? idle + 1 : 0;
		seen = n_entered;
		nap(idle > IDLE_LOOKS);
		if (name != NULL && !told && clock_mono_ns() - since_ns > limit_ns) {
			const char *what = name;

			count();
			pthread_mutex_unlock(&lock);
			log_warn("a handler holds the event loop, all calls wait for it", "method=%s ms=%lld",
				 what, (long long)(limit_ns / NS_PER_MS));
			pthread_mutex_lock(&lock);
		}
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

int watchdog_start(int64_t limit)
{
	pthread_condattr_t cattr;
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	limit_ns = limit;
	stopping = false;
	depth = 0;
	name = NULL;
	pthread_condattr_init(&cattr);
	pthread_condattr_setclock(&cattr, CLOCK_MONOTONIC);
	pthread_cond_init(&wake, &cattr);
	pthread_condattr_destroy(&cattr);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 << 10);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, thread_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	pthread_mutex_lock(&lock);
	started = r == 0;
	pthread_mutex_unlock(&lock);
	return -r;
}

void watchdog_stop(void)
{
	bool was;

	pthread_mutex_lock(&lock);
	was = started;
	started = false;
	stopping = true;
	pthread_cond_signal(&wake);
	pthread_mutex_unlock(&lock);
	if (was) {
		pthread_join(thread, NULL);
		pthread_cond_destroy(&wake);
	}
}
