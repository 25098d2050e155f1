/* drain.c: see drain.h. While it drains it looks every few milliseconds whether all
 * is done: the parts need not know that anybody waits for them. */
#include "service/drain.h"

#include <event2/event.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "errand/status.h"
#include "service/background.h"
#include "service/call.h"
#include "service/dispatch.h"
#include "service/hook.h"
#include "service/listener.h"
#include "service/reload.h"
#include "service/loop.h"
#include "service/session.h"
#include "service/supervise.h"
#include "service/task.h"
#include "service/worker.h"

#define LOOK (5 * NS_PER_MS)
/* For handlers and programs to obey when they are stopped; a program's own grace
 * is 10 s by default. After it the service ends without them. */
#define STOP_LIMIT (15 * NS_PER_S)
/* And for clients to read what they were answered. */
#define FLUSH_LIMIT NS_PER_S

enum phase { RUNNING, DRAINING, STOPPING, STOPPED };

static enum phase phase;
static int64_t timeout, until_ns, flush_until_ns;
static struct loop_timer look_timer;
static struct event *signals[3];
static bool recorded; /* all tasks are INTERRUPTED in the store */

static void look(void *arg);

static void look_again(void)
{
	loop_timer_start(&look_timer, LOOK, look, NULL);
}

static void stop_loop(void)
{
	phase = STOPPED;
	loop_timer_cancel(&look_timer);
	loop_stop();
}

static void on_recorded(void *arg)
{
	recorded = true;
}

static void cancel_request(struct request *r)
{
	if (r->op != NULL)
		r->cancelled(r);
	session_answer_error(r, ERRAND_UNAVAILABLE, "the service is stopping");
}

static void stop_now(void)
{
	phase = STOPPING;
	until_ns = clock_mono_ns() + STOP_LIMIT;
	flush_until_ns = clock_mono_ns() + FLUSH_LIMIT;
	log_warn("stopping what is still under way", "calls=%zu tasks=%zu background=%zu",
		 session_n_requests(), task_running(), background_pending());
	worker_stop_all();
	session_each_request(cancel_request);
	task_interrupt_all(on_recorded, NULL);
	look_again();
}

static bool is_idle(void)
{
	return session_n_requests() == 0 && call_count() == 0 && background_pending() == 0 &&
	       task_running() == 0 && hook_in_flight() == 0;
}

/* A handler that was told to stop and did not is left behind; its task is
 * recovered at the next start. */
static void look_stopping(void)
{
	int64_t now = clock_mono_ns();

	if (recorded && (session_flushed() || now >= flush_until_ns)) {
		stop_loop();
	} else if (now >= until_ns) {
		log_error("leaving without what does not stop", "calls=%zu tasks=%zu background=%zu",
			  call_count(), task_running(), background_pending());
		stop_loop();
	} else {
		look_again();
	}
}

static void look(void *arg)
{
	if (phase == STOPPING)
		look_stopping();
	else if (is_idle() && session_flushed())
		stop_loop();
	else if (clock_mono_ns() >= until_ns)
		stop_now();
	else
		look_again();
}

static void begin(void)
{
	phase = DRAINING;
	until_ns = clock_mono_ns() + timeout;
	log_info("stopping", "calls=%zu tasks=%zu background=%zu drain_ms=%lld", session_n_requests(),
		 task_running(), background_pending(), (long long)(timeout / NS_PER_MS));
	listener_close();
	session_goaway_all();
	task_drain_begin();
	worker_drain_begin();
	hook_drain_begin();
	dispatch_end_waits();
	supervise_stopping();
	look_again();
}

static void reload(void)
{
	supervise_reloading();
	reload_now();
	supervise_reloaded();
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	if (number == SIGHUP)
		reload();
	else if (phase == RUNNING)
		begin();
	else if (phase == DRAINING)
		stop_now();
}

void drain_init(int64_t timeout_ns)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP}, ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2};

	phase = RUNNING;
	recorded = false;
	timeout = timeout_ns;
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN); /* a program's are its own again: spawn.c */
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		signals[i] = evsignal_new(loop_base(), numbers[i], on_signal, NULL);
		evsignal_add(signals[i], NULL);
	}
}

void drain_set_timeout(int64_t timeout_ns)
{
	timeout = timeout_ns;
}

void drain_deinit(void)
{
	loop_timer_cancel(&look_timer);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		if (signals[i] != NULL)
			event_free(signals[i]);
		signals[i] = NULL;
	}
}
