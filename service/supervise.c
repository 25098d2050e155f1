/* supervise.c: see supervise.h. Without a supervisor there is no timer. */
#include "service/supervise.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/notify.h"
#include "base/util.h"
#include "service/call.h"
#include "service/loop.h"
#include "service/schema_api.h"
#include "service/store_thread.h"
#include "service/task_status.h"

#define STATUS_NS (10 * NS_PER_S)

static struct loop_timer timer;
static int64_t every_ns;    /* 0: nobody listens */
static bool has_watchdog;
static char said[256];      /* the last status */

static void say_status(void)
{
	struct task_status tasks;
	char now[sizeof said];

	task_status(&tasks);
	snprintf(now, sizeof now, "%s: %zu calls, %zu tasks running, %llu waiting; store %s %s",
		 tasks.draining ? "stopping" : "serving", call_count() - schema_api_n_watchers(), tasks.n_running,
		 (unsigned long long)tasks.n_queued, tasks.store, store_thread_ok() ? "ok" : "FAILS");
	if (strcmp(now, said) == 0)
		return;
	memcpy(said, now, sizeof said);
	notify_status("%s", now);
}

static void on_turn(void *arg)
{
	if (has_watchdog)
		notify_watchdog();
	say_status();
	loop_timer_start(&timer, every_ns, on_turn, NULL);
}

void supervise_start(void)
{
	int64_t watchdog_ns = notify_watchdog_ns();

	if (!notify_wanted())
		return;
	has_watchdog = watchdog_ns > 0;
	every_ns = has_watchdog ? MIN(watchdog_ns / 3, STATUS_NS) : STATUS_NS;
	said[0] = '\0';
	notify_ready();
	on_turn(NULL);
}

void supervise_reloading(void)
{
	notify_reloading();
}

void supervise_reloaded(void)
{
	notify_ready();
}

void supervise_stopping(void)
{
	notify_stopping();
	if (every_ns > 0)
		say_status();
}

void supervise_stop(void)
{
	loop_timer_cancel(&timer);
	every_ns = 0;
}
