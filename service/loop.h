/* loop.h: the service's loop thread: one event_base, a done-list other threads
 * push on (one wake-up for many), timers. Everything that is not another
 * thread's by its header belongs to this thread. */
#ifndef SERVICE_LOOP_H
#define SERVICE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct event_base;

/* Something to be run on the loop thread; embedded in its owner. */
struct loop_job {
	struct list node;
	void (*run)(struct loop_job *job);
};

void loop_init(void);
void loop_run(void);   /* until loop_stop */
void loop_stop(void);  /* any thread */
void loop_deinit(void);
struct event_base *loop_base(void);
bool loop_is_current(void); /* is this the loop thread? */

/* Any thread. Runs job->run soon, in order of posting; wakes the loop once. */
void loop_post(struct loop_job *job);

/* Loop thread. Runs job->run at the end of this turn, after all that is ready. */
void loop_defer(struct loop_job *job);

/* Loop thread. fn(arg) once, after ns. loop_timer_cancel is safe at any time
 * before it has fired; the timer is owned by the caller and may be embedded. */
struct loop_timer {
	void *event; /* struct event *; NULL unless armed */
	void (*fn)(void *arg);
	void *arg;
};
/* loop_fake.c's, in the place of libevent; ns < 0: cancels it. NULL: there is no such. */
extern void (*loop_timer_fake)(struct loop_timer *t, int64_t ns, void (*fn)(void *), void *arg);
void loop_timer_start(struct loop_timer *t, int64_t ns, void (*fn)(void *), void *arg);
void loop_timer_cancel(struct loop_timer *t);

/* For tests (test.c), on the thread that has called loop_init. Timers go by clock_mono_ns, which
 * the test moves: */
void loop_fake(bool on);          /* while no timer is set */
int64_t loop_fake_next(void);     /* when the next one is due; INT64_MAX: none is set */
void loop_fake_fire(void);        /* runs those that are due */
/* One turn of the loop, waiting at most max_ns (by the real clock) for something to do. False:
 * there was nothing that others had posted. */
bool loop_turn(int64_t max_ns);
bool loop_has_work(void);         /* posted or deferred */

/* The watchdog's view: name what the loop thread is about to run and time it;
 * what holds the loop longer than the limit is logged by name and counted.
 * name and counter (may be NULL) are borrowed for ever. Nested pairs count for
 * the outermost. In watchdog.c. */
void loop_enter(const char *name, _Atomic uint64_t *counter);
void loop_leave(void);

#endif
