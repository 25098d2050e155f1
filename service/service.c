/* service.c: see service.h. Each part that was started is noted, so that a refusal
 * half-way takes down what is there, in reverse order, by the same code as a stop. */
#define _GNU_SOURCE
#include "service/service.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "base/uuid.h"
#include "config.h"
#include "errand/status.h"
#include "schema/route_claims.h"
#include "service/background.h"
#include "service/call.h"
#include "service/command_spec.h"
#include "service/cgroup.h"
#include "service/deadline.h"
#include "service/depends.h"
#include "service/dispatch.h"
#include "service/drain.h"
#include "service/hook.h"
#include "service/identity.h"
#include "service/listener.h"
#include "service/loop.h"
#include "service/module.h"
#include "service/options.h"
#include "service/pool.h"
#include "service/process.h"
#include "service/readiness.h"
#include "service/registry.h"
#include "service/reload.h"
#include "service/schedule.h"
#include "service/session.h"
#include "service/store_check.h"
#include "service/supervise.h"
#include "service/task.h"
#include "service/watchdog.h"
#include "service/worker.h"

#define WHY 512
/* After the drain: for threads that have answered but not returned yet. */
#define LINGER (NS_PER_S / 2)
/* From the store's death to ours: for the answers that say so. */
#define DYING (NS_PER_S / 10)

static struct options options;
static struct pool *sync_pool;
static char instance[UUID_TEXT_SIZE];

const char *service_instance(void)
{
	return instance;
}

/* --- parts, in the order of their start --- */

static int start_loop(const struct errand_module *const *modules, char *why)
{
	struct uuid id;

	uuid_new(&id);
	uuid_format(&id, instance);
	loop_init();
	drain_init(options.drain_timeout);
	return 0;
}

static void stop_loop(void)
{
	drain_deinit();
	deadline_deinit();
	loop_deinit();
}

/* The children's thread comes first of all threads: what it forks must not inherit
 * anybody's locks or signals. */
static int start_process(const struct errand_module *const *modules, char *why)
{
	const struct cgroup_config c = {.where = options.cgroup};
	int r;

	if (cgroup_init(&c, why, WHY) < 0)
		return EX_CONFIG;
	r = process_init();
	if (r == 0)
		return 0;
	cgroup_deinit();
	snprintf(why, WHY, "cannot start the thread for child processes: %s", strerror(-r));
	return EX_OSERR;
}

static void stop_process(void)
{
	process_deinit();
	cgroup_deinit();
}

static int start_commands(char *why)
{
	return command_init(&options.commands, why, WHY); /* also of none: a reload may bring some */
}

/* Where it is declared, in front of what is wrong with a command. Gives status. */
static int place_why(int status, char *why)
{
	const struct command_spec *s = command_mentioned(why);
	AUTO_FREE char *text = s != NULL ? xasprintf("%s:%d:1: %s", s->file, s->line, why) : NULL;

	if (text != NULL)
		snprintf(why, WHY, "%s", text);
	return status;
}

static int start_registry(const struct errand_module *const *modules, char *why)
{
	bool has_commands = options.commands.n > 0;
	int r = registry_add(module_builtin(), why, WHY);

	for (; r == 0 && modules != NULL && *modules != NULL; modules++)
		r = registry_add(*modules, why, WHY);
	for (size_t i = 0; r == 0 && i < options.modules.n; i++) {
		const struct errand_module *m;

		r = module_load(options.modules.items[i], &m, why, WHY);
		if (r == 0)
			r = registry_add(m, why, WHY);
	}
	if (r == 0)
		r = start_commands(why);
	if (r == 0)
		r = registry_finish(why, WHY);
	/* Routes are the gateway's, but who writes them wants to know now. */
	if (r == 0 && (options.check || has_commands))
		r = route_claims_check_schema(registry_schema(), why, WHY);
	return r < 0 ? place_why(EX_CONFIG, why) : 0;
}

static void stop_registry(void)
{
	registry_deinit();
	command_deinit();
	depends_deinit();
	module_unload_all();
}

static int start_modules(const struct errand_module *const *modules, char *why)
{
	if (registry_start_modules(why, WHY) < 0)
		return EX_CONFIG;
	return 0;
}

static int start_depends(const struct errand_module *const *modules, char *why)
{
	return depends_open_process(why, WHY) < 0 ? EX_CONFIG : 0;
}

/* After all that only looks (-t), before threads could run a command. */
static int start_programs(const struct errand_module *const *modules, char *why)
{
	return command_start(why, WHY) < 0 ? EX_CANTCREAT : 0;
}

static int start_pools(const struct errand_module *const *modules, char *why)
{
	int r;

	sync_pool = pool_new("sync", (unsigned)options.sync_threads, (size_t)options.sync_queue);
	background_init((unsigned)options.background_threads, (size_t)options.background_queue);
	call_init(sync_pool);
	r = watchdog_start(options.loop_limit);
	if (r < 0)
		snprintf(why, WHY, "cannot start the watchdog's thread: %s", strerror(-r));
	return r < 0 ? EX_OSERR : 0;
}

static void stop_pools(void)
{
	watchdog_stop();
	background_deinit();
	sync_pool = pool_free(sync_pool);
	call_deinit();
}

static void leave_dead_store(void *arg)
{
	log_error("leaving, so that a new start reads what is on the disk", "status=%d", EX_IOERR);
	_exit(EX_IOERR);
}

/* Whoever waits has his error in a moment; nothing else is to be waited for, and
 * nothing can be recorded. */
static void store_died(void)
{
	static struct loop_timer timer;

	loop_timer_start(&timer, DYING, leave_dead_store, NULL);
}

/* What an operator or a supervisor should do differs; errand-service(8) has the table. */
static int store_exit(int code)
{
	switch (-code) {
	case 0: return 0;
	case ERRAND_INVALID_ARGUMENT: return EX_USAGE;
	case ERRAND_DATA_LOSS: return EX_DATAERR;
	case ERRAND_ALREADY_EXISTS: return EX_TEMPFAIL;
	case ERRAND_FAILED_PRECONDITION: return EX_CONFIG;
	default: return EX_CANTCREAT;
	}
}

static int start_tasks(const struct errand_module *const *modules, char *why)
{
	struct task_config c = {
		.store = options.store_spec,
		.slots = (unsigned)options.slots,
		.queues = options.queue_configs,
		.n_queues = options.n_queue_configs,
		.max_depth = (uint64_t)options.max_depth,
		.max_result = options.max_result,
		.result_ttl_us = options.result_ttl / 1000,
		.max_log = options.max_log,
		.store_reserve = options.store_reserve,
		.store_died = store_died,
		.load = worker_load,
	};

	/* The default place is made; a place that was named must be there. */
	if (options.store == NULL && mkdir(options.state, 0700) < 0 && errno != EEXIST) {
		snprintf(why, WHY, "%s: %s; make the directory or name another with --state", options.state,
			 strerror(errno));
		return EX_CANTCREAT;
	}
	return store_exit(task_init(&c, why, WHY));
}

static int start_hooks(const struct errand_module *const *modules, char *why)
{
	return hook_init(&options.callback, why, WHY) < 0 ? EX_CONFIG : 0;
}

/* What is due goes out now. */
static int start_sending(const struct errand_module *const *modules, char *why)
{
	hook_start();
	return 0;
}

static int start_schedules(const struct errand_module *const *modules, char *why)
{
	schedule_start();
	return 0;
}

static int start_sessions(const struct errand_module *const *modules, char *why)
{
	const struct session_limits limits = options_session_limits(&options);

	session_init(&limits);
	dispatch_init(options.default_deadline);
	identity_allow(options.gateways, options.gateway_uid.n);
	return 0;
}

static int start_readiness(const struct errand_module *const *modules, char *why)
{
	readiness_start();
	return 0;
}

/* Workers come with the listener; what they left is read by start_tasks. */
static int start_workers(const struct errand_module *const *modules, char *why)
{
	return 0;
}

static int start_listener(const struct errand_module *const *modules, char *why)
{
	const struct listener_config c = options_listener(&options);

	if (listener_open(&c, why) < 0)
		return EX_UNAVAILABLE;
	listener_start();
	return 0;
}

static const struct part {
	int (*start)(const struct errand_module *const *modules, char *why); /* exit status */
	void (*stop)(void);
} parts[] = {
	{start_loop, stop_loop},
	{start_process, stop_process},
	{start_registry, stop_registry},
	{start_modules, registry_stop_modules},
	{start_depends, depends_close_process},
	{start_programs, command_stop},
	{start_pools, stop_pools},
	{start_hooks, hook_deinit},
	{start_tasks, task_deinit},
	{start_sending, hook_stop},
	{start_schedules, schedule_stop},
	{start_readiness, readiness_stop},
	{start_workers, worker_deinit},
	{start_sessions, session_deinit},
	{start_listener, listener_close},
};

/* --- -t --- */

static int check(const struct errand_module *const *modules)
{
	char why[WHY] = "";
	int status = start_registry(modules, why);

	if (status == 0)
		printf("errand-service: configuration, modules and routes are right\n");
	else
		fprintf(stderr, "%s%s\n", command_mentioned(why) != NULL ? "" : "errand-service: ", why);
	stop_registry();
	options_deinit(&options);
	return status;
}

/* --- the whole --- */

static bool threads_are_back(void)
{
	int64_t until = clock_mono_ns() + LINGER;

	background_drop();
	return pool_drain(sync_pool, until) == 0 && background_drain(until) == 0 && call_on_threads() == 0;
}

static void stop_parts(size_t n)
{
	while (n-- > 0) {
		/* A thread that does not come back would keep the pools for ever. The
		 * store is closed by then: nothing is lost. */
		if (parts[n].stop == stop_pools && !threads_are_back()) {
			log_error("a handler does not return, leaving without it",
				  "handlers=%zu background=%zu", call_on_threads(), background_pending());
			_exit(0);
		}
		parts[n].stop();
	}
}

static void tell_ready(int64_t begin_ns)
{
	log_info("serving", "socket=%s store=%s pid=%d ms=%lld", listener_name(), options.store_spec,
		 (int)getpid(), (long long)((clock_mono_ns() - begin_ns) / NS_PER_MS));
	supervise_start();
	if (options.ready_fd < 0)
		return;
	if (write((int)options.ready_fd, "ready\n", 6) < 0)
		log_warn("--ready-fd cannot be written", "fd=%d error=\"%s\"", (int)options.ready_fd,
			 strerror(errno));
	close((int)options.ready_fd);
}

int errand_service_main(int argc, char **argv, const struct errand_module *const *modules)
{
	int64_t begin = clock_mono_ns();
	char why[WHY] = "";
	size_t n = 0;
	int status;

	/* Each arena a thread makes costs memory that never comes back. */
	mallopt(M_ARENA_MAX, 2);
	/* Else they grow with what is freed, and memory of a busy hour is kept for ever. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	mallopt(M_TRIM_THRESHOLD, 1 << 20);
	buf_failures_are_fatal();
	log_init("errand-service", LOG_LEVEL_INFO);
	log_format_set(LOG_AUTO);
	status = options_read(&options, argc, argv);
	if (status == 0 && (options.show_config || options.describe != NULL)) {
		status = options_show(&options);
		options_deinit(&options);
		return status;
	}
	log_init("errand-service", options.level);
	log_format_set(options.format);
	reload_init(&options, argc, argv);
	if (status == 0 && options.check_store) {
		status = store_exit(store_check_command(options.store_spec));
		options_deinit(&options);
		return status;
	}
	if (status == 0 && options.check)
		return check(modules);
	for (; status == 0 && n < ARRAY_LEN(parts); n++) {
		status = parts[n].start(modules, why);
		if (status != 0)
			break;
	}
	if (status == 0) {
		tell_ready(begin);
		loop_run();
		supervise_stop();
	} else if (why[0] != '\0') {
		log_error("cannot start", "reason=\"%s\"", why);
	}
	stop_parts(n);
	if (status == 0)
		log_info("stopped", NULL);
	reload_deinit();
	options_deinit(&options);
	return status;
}
