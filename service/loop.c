/* loop.c: see loop.h. One turn of the loop: wait for events and run them, run
 * what other threads have posted, run what was deferred to the end of the turn
 * (sessions write their output there, so that all answers of a turn go out in
 * one write). The eventfd is edge-triggered and never read: a write is an edge,
 * and one write is made for all jobs posted until the loop has taken them. */
#define _GNU_SOURCE
#include "service/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/log.h"
#include "base/util.h"

static struct event_base *base;
static struct event *wake_event;
static int wake_fd = -1;
static atomic_bool stopping;
static _Thread_local bool current;
static struct list deferred; /* loop thread */

/* Guards posted and woken. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list posted;
static bool woken; /* the eventfd was written and the loop has not taken the list yet */
static atomic_uint n_waking; /* threads about to write to it: it must stay open */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
}

/* epoll's change list saves two system calls a request; it must not be used with
 * dup()ed descriptors, of which the service has none. */
void loop_init(void)
{
	struct event_config *config = event_config_new();

	list_init(&deferred);
	list_init(&posted);
	woken = false;
	atomic_store(&stopping, false);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	event_config_free(config);
	wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (base == NULL || wake_fd < 0) {
		log_error("cannot make the event loop", "error=\"%s\"", strerror(errno));
		_exit(71);
	}
	wake_event = event_new(base, wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, NULL);
	event_add(wake_event, NULL);
	current = true;
}

void loop_deinit(void)
{
	/* Its job may have been run before the thread that posted it is out of write. */
	while (atomic_load(&n_waking) > 0)
		sched_yield();
	event_free(wake_event);
	event_base_free(base);
	close(wake_fd);
	base = NULL;
	wake_fd = -1;
	current = false;
}

struct event_base *loop_base(void)
{
	return base;
}

bool loop_is_current(void)
{
	return current;
}

static void wake(void)
{
	uint64_t one = 1;

	while (write(wake_fd, &one, sizeof one) < 0 && errno == EINTR)
		;
}

void loop_post(struct loop_job *job)
{
	bool must_wake;

	pthread_mutex_lock(&lock);
	list_push_back(&posted, &job->node);
	/* The loop looks at the list before it waits: its own posts need no wake-up. */
	must_wake = !woken && !current;
	woken = woken || must_wake;
	if (must_wake)
		atomic_fetch_add(&n_waking, 1);
	pthread_mutex_unlock(&lock);
	if (!must_wake)
		return;
	wake(); /* not under the lock: the loop wants it as soon as it is awake */
	atomic_fetch_sub(&n_waking, 1);
}

void loop_defer(struct loop_job *job)
{
	assert(current);
	list_push_back(&deferred, &job->node);
}

static void run_list(struct list *jobs)
{
	struct list *node;

	while ((node = list_pop_front(jobs)) != NULL) {
		struct loop_job *job = LIST_ENTRY(node, struct loop_job, node);

		job->run(job);
	}
}

static void run_posted(void)
{
	struct list jobs;

	list_init(&jobs);
	pthread_mutex_lock(&lock);
	list_splice(&jobs, &posted);
	woken = false;
	pthread_mutex_unlock(&lock);
	run_list(&jobs);
}

/* What these defer again is for the next turn, so that nobody keeps the loop. */
static void run_deferred(void)
{
	struct list jobs;

	list_init(&jobs);
	list_splice(&jobs, &deferred);
	run_list(&jobs);
}

bool loop_has_work(void)
{
	bool any;

	pthread_mutex_lock(&lock);
	any = !list_empty(&posted);
	pthread_mutex_unlock(&lock);
	return any || !list_empty(&deferred);
}

void loop_run(void)
{
	current = true;
	run_posted();
	run_deferred();
	while (!atomic_load(&stopping)) {
		/* NONBLOCK alone goes on while there are active events: one whose handler
		 * leaves the work to a deferred job would keep us in there for ever. */
		int how = EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE | (loop_has_work() ? EVLOOP_NONBLOCK : 0);

		event_base_loop(base, how);
		run_posted();
		run_deferred();
	}
	atomic_store(&stopping, false);
}

static void on_turn_over(evutil_socket_t fd, short what, void *arg)
{
}

bool loop_turn(int64_t max_ns)
{
	struct timeval tv = {.tv_sec = (time_t)(max_ns / 1000000000),
			     .tv_usec = (suseconds_t)(max_ns % 1000000000 / 1000)};
	bool some = loop_has_work();

	if (some || max_ns <= 0) {
		event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE | EVLOOP_NONBLOCK);
	} else {
		struct event *over = event_new(base, -1, 0, on_turn_over, NULL);

		event_add(over, &tv);
		event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY | EVLOOP_ONCE);
		event_free(over);
	}
	some = some || loop_has_work();
	run_posted();
	run_deferred();
	return some;
}

void loop_stop(void)
{
	atomic_store(&stopping, true);
	wake();
}

/* --- timers: the event exists only while the timer is armed --- */

void (*loop_timer_fake)(struct loop_timer *t, int64_t ns, void (*fn)(void *), void *arg);

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	event_free(t->event);
	t->event = NULL;
	t->fn(t->arg);
}

void loop_timer_start(struct loop_timer *t, int64_t ns, void (*fn)(void *), void *arg)
{
	struct timeval tv;

	if (ns < 0)
		ns = 0;
	if (loop_timer_fake != NULL) {
		loop_timer_fake(t, ns, fn, arg);
		return;
	}
	/* Rounded up: a timer never fires before its time. */
	tv.tv_sec = (time_t)(ns / 1000000000);
	tv.tv_usec = (suseconds_t)((ns % 1000000000 + 999) / 1000);
	if (tv.tv_usec == 1000000) {
		tv.tv_sec++;
		tv.tv_usec = 0;
	}
	t->fn = fn;
	t->arg = arg;
	if (t->event == NULL)
		t->event = event_new(base, -1, 0, on_timer, t);
	if (t->event == NULL || event_add(t->event, &tv) < 0) {
		log_error("out of memory for a timer", NULL);
		_exit(71);
	}
}

void loop_timer_cancel(struct loop_timer *t)
{
	if (t->event == NULL)
		return;
	if (loop_timer_fake != NULL)
		loop_timer_fake(t, -1, NULL, NULL);
	else
		event_free(t->event);
	t->event = NULL;
}
