/* test.c: the life of a service below a test (errand/test.h): the parts of service.c
 * without their edges, on the caller's thread, by a clock of its own. test_settle is
 * the heart: it knows of all that may be under way (jobs of pools, ops of the store, what
 * was posted), so that a test neither sleeps nor guesses. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/background.h"
#include "service/cgroup.h"
#include "service/deadline.h"
#include "service/depends.h"
#include "service/hook.h"
#include "service/loop.h"
#include "service/module.h"
#include "service/pool.h"
#include "service/process.h"
#include "service/schedule.h"
#include "service/store_thread.h"
#include "service/task.h"
#include "service/test_impl.h"
#include "service/worker.h"

#define BEGIN_US (1893456000LL * US_PER_S) /* 2030-01-01 */
#define BEGIN_NS (1000 * NS_PER_S)
#define TURN_NS (20 * NS_PER_MS)
#define SYNC_THREADS 8
#define QUEUE_MAX 1024

static struct {
	bool started;
	size_t n_parts;
	int64_t mono_ns, wall_us, patience_ns;
	unsigned slots;
	int verbose;
	struct pool *sync;
	const struct errand_module *const *modules;
	char error[512];
	uint64_t failed_before;
	pthread_mutex_t lock; /* guards: */
	struct buf log, shown; /* shown: what errand_test_log has given away; the test's thread's */
} t = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- errors, log --- */

void test_enter(const char *function)
{
	if (!t.started) {
		fprintf(stderr, "%s: call errand_test_start first\n", function);
		abort();
	}
	t.error[0] = '\0';
}

int test_refuse(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t.error, sizeof t.error, fmt, ap);
	va_end(ap);
	return code;
}

const char *errand_test_error(void)
{
	return t.error;
}

static bool keep_line(const struct buf *line)
{
	pthread_mutex_lock(&t.lock);
	buf_append(&t.log, line->data, line->len);
	buf_append_byte(&t.log, '\n');
	pthread_mutex_unlock(&t.lock);
	return t.verbose == 0;
}

const char *errand_test_log(void)
{
	buf_reset(&t.shown);
	pthread_mutex_lock(&t.lock);
	buf_append(&t.shown, t.log.data, t.log.len);
	pthread_mutex_unlock(&t.lock);
	return buf_cstr(&t.shown);
}

void errand_test_log_clear(void)
{
	pthread_mutex_lock(&t.lock);
	buf_reset(&t.log);
	pthread_mutex_unlock(&t.lock);
}

/* --- the clock, and what is under way --- */

static void set_clock(int64_t mono_ns)
{
	int64_t by = mono_ns - t.mono_ns;

	t.mono_ns = mono_ns;
	t.wall_us += by / 1000;
	clock_set_fake(t.mono_ns, t.wall_us);
}

int64_t errand_test_now_us(void)
{
	return clock_wall_us();
}

/* In this order: who ends work on a thread has posted it before it counts as ended. */
static bool is_under_way(void)
{
	bool busy = pool_busy_all() > 0 || store_thread_pending() > 0;

	return busy || loop_has_work();
}

void test_settle(void)
{
	loop_fake_fire();
	do {
		loop_turn(TURN_NS);
		loop_fake_fire();
	} while (is_under_way());
}

/* A call may wait for a thread of its own, that nobody here knows. */
static bool is_for_somebody_else(void)
{
	return call_count() > 0 && call_timers() == 0;
}

static bool hear_from_somebody(void)
{
	for (int64_t waited = 0; waited < t.patience_ns; waited += TURN_NS)
		if (loop_turn(TURN_NS))
			return true;
	return false;
}

bool test_wait(bool (*is_over)(void *arg), int64_t (*until)(void *arg), void *arg)
{
	for (;;) {
		int64_t next;

		test_settle();
		if (is_over(arg))
			return true;
		if (is_for_somebody_else() && hear_from_somebody())
			continue;
		next = loop_fake_next();
		if (next == INT64_MAX || next > until(arg))
			return false;
		set_clock(MAX(next, t.mono_ns));
	}
}

static bool never(void *arg)
{
	return false;
}

/* Moments that calls under way wait for. */
static int64_t while_timers(void *arg)
{
	return call_timers() > 0 ? deadline_next() : INT64_MIN;
}

void errand_test_run(void)
{
	test_enter(__func__);
	test_wait(never, while_timers, NULL);
}

static int64_t that_moment(void *arg)
{
	return *(const int64_t *)arg;
}

void errand_test_advance(int64_t ns)
{
	int64_t end;

	test_enter(__func__);
	end = t.mono_ns + MAX(ns, 0);
	test_wait(never, that_moment, &end);
	if (t.mono_ns < end)
		set_clock(end);
	test_settle();
}

size_t errand_test_flush(void)
{
	test_enter(__func__);
	test_settle();
	return (size_t)(background_failed() - t.failed_before);
}

/* --- parts, in the order of their start --- */

static int start_loop(void)
{
	loop_init();
	loop_fake(true);
	return 0;
}

static void stop_loop(void)
{
	deadline_deinit();
	loop_fake(false);
	loop_deinit();
}

static int start_process(void)
{
	const struct cgroup_config c = {.where = "off"};
	int r = cgroup_init(&c, t.error, sizeof t.error);

	if (r < 0)
		return r;
	r = process_init();
	if (r == 0)
		return 0;
	cgroup_deinit();
	return test_refuse(r, "cannot start the thread for child processes: %s", strerror(-r));
}

static void stop_process(void)
{
	process_deinit();
	cgroup_deinit();
}

static int start_registry(void)
{
	int r = registry_add(module_builtin(), t.error, sizeof t.error);

	for (size_t i = 0; r == 0 && t.modules != NULL && t.modules[i] != NULL; i++)
		r = registry_add(t.modules[i], t.error, sizeof t.error);
	return r == 0 ? registry_finish(t.error, sizeof t.error) : r;
}

static void stop_registry(void)
{
	registry_deinit();
	depends_deinit();
}

static int start_modules(void)
{
	return registry_start_modules(t.error, sizeof t.error);
}

static int start_depends(void)
{
	return depends_open_process(t.error, sizeof t.error);
}

static int start_pools(void)
{
	t.sync = pool_new("sync", SYNC_THREADS, QUEUE_MAX);
	background_init(2, QUEUE_MAX);
	call_init(t.sync);
	return 0;
}

static void stop_pools(void)
{
	background_deinit();
	t.sync = pool_free(t.sync);
	call_deinit();
}

static int start_hooks(void)
{
	const struct hook_config none = {0};

	return hook_init(&none, t.error, sizeof t.error);
}

static int start_tasks(void)
{
	const struct task_config c = {.store = "memory", .slots = t.slots, .max_result = 64 << 20,
				      .max_log = 16 << 20, .load = worker_load};

	return task_init(&c, t.error, sizeof t.error);
}

static int start_schedules(void)
{
	schedule_start();
	return 0;
}

static int nothing(void)
{
	return 0;
}

static const struct {
	int (*start)(void);
	void (*stop)(void);
} parts[] = {
	{start_loop, stop_loop},
	{start_process, stop_process},
	{start_registry, stop_registry},
	{start_modules, registry_stop_modules},
	{start_depends, depends_close_process},
	{start_pools, stop_pools},
	{start_hooks, hook_deinit},
	{start_tasks, task_deinit},
	{nothing, hook_stop},
	{start_schedules, schedule_stop},
	{nothing, worker_deinit},
};

static void stop_parts(void)
{
	while (t.n_parts > 0)
		parts[--t.n_parts].stop();
	log_tap = NULL;
	buf_deinit(&t.log);
	buf_deinit(&t.shown);
	clock_set_fake(-1, 0);
	t.started = false;
}

int errand_test_start(const struct errand_module *const *modules,
		      const struct errand_test_options *options)
{
	static const struct errand_test_options none;
	const struct errand_test_options *o = options != NULL ? options : &none;
	int r = 0;

	if (t.started)
		return test_refuse(-ERRAND_FAILED_PRECONDITION, "one is started: errand_test_stop first");
	buf_failures_are_fatal();
	t.error[0] = '\0';
	t.modules = modules;
	t.patience_ns = o->patience_ns > 0 ? o->patience_ns : 2 * NS_PER_S;
	t.slots = o->slots > 0 ? o->slots : 4;
	t.verbose = o->verbose;
	t.mono_ns = BEGIN_NS;
	t.wall_us = o->now_us != 0 ? o->now_us : BEGIN_US;
	t.failed_before = background_failed();
	clock_set_fake(t.mono_ns, t.wall_us);
	log_init("errand-test", LOG_LEVEL_DEBUG);
	log_tap = keep_line;
	while (r == 0 && t.n_parts < ARRAY_LEN(parts)) {
		r = parts[t.n_parts].start();
		if (r == 0)
			t.n_parts++;
	}
	t.started = r == 0;
	if (r != 0)
		stop_parts();
	else
		test_settle();
	return r < 0 ? r : 0;
}

static void on_interrupted(void *arg)
{
	*(bool *)arg = true;
}

static bool is_set(void *arg)
{
	return *(bool *)arg;
}

static int64_t next_minute(void *arg)
{
	return t.mono_ns + 60 * NS_PER_S;
}

static bool is_quiet(void *arg)
{
	return call_timers() == 0;
}

void errand_test_stop(void)
{
	bool interrupted = false;

	if (!t.started)
		return;
	task_drain_begin();
	test_settle();
	task_interrupt_all(on_interrupted, &interrupted);
	test_wait(is_set, next_minute, &interrupted);
	/* Handlers whose call is over already, and that still wait for a timer. */
	test_wait(is_quiet, while_timers, NULL);
	stop_parts();
}
