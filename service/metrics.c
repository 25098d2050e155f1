/* metrics.c: the page; see metrics.h. The age of a queue's oldest task is the one thing of it
 * that only the store knows: a scrape asks for it, at most every few seconds, and the next one
 * has the answer. */
#define _GNU_SOURCE
#include "config.h"

#include "service/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "service/background.h"
#include "service/call.h"
#include "service/dispatch.h"
#include "service/pool.h"
#include "service/registry.h"
#include "service/session.h"
#include "service/store_thread.h"
#include "service/task_clock.h"
#include "service/task_engine.h"
#include "service/task_status.h"
#include "service/watchdog.h"
#include "service/worker.h"

#define P "errand_service_"
#define OLDEST_NS (5 * NS_PER_S)

static const char *const runs[METRICS_RUNS] = {"ASYNC", "SYNC", "TASK"};
static const char *const delivery_ends[N_DELIVERY_ENDS] = {"delivered", "failed", "given_up"};
static const char *const program_ends[N_PROGRAM_ENDS] = {"ok", "failed", "oom", "stopped", "not_started"};

/* --- the oldest task of each queue, as it was a moment ago --- */

struct ages {
	size_t n;
	char *names[METRICS_QUEUES_MAX]; /* owned */
	int64_t at_us[METRICS_QUEUES_MAX];
};

/* What is shown stays until the store has answered: a series that is away for one scrape
 * has an alert on it begin anew. */
static struct oldest {
	struct store_op op;
	bool asked;              /* op is under way */
	int64_t asked_ns;
	struct ages shown, next; /* next: op's while it is under way */
} oldest;

static int oldest_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct oldest *o = CONTAINER_OF(op, struct oldest, op);
	int r = 0;

	for (size_t i = 0; i < o->next.n && r == 0; i++)
		r = ops->oldest(s, o->next.names[i], &o->next.at_us[i]);
	return r;
}

static void ages_clear(struct ages *a)
{
	while (a->n > 0)
		free(a->names[--a->n]);
}

static void oldest_done(struct store_op *op, int code)
{
	oldest.asked = false;
	if (code < 0)
		return;
	ages_clear(&oldest.shown);
	oldest.shown = oldest.next;
	oldest.next.n = 0;
}

static void oldest_ask(void)
{
	struct ages *next = &oldest.next;
	struct task_queue *q;

	if (oldest.asked || clock_mono_ns() - oldest.asked_ns < OLDEST_NS || !store_thread_ok())
		return;
	ages_clear(next);
	for (size_t pos = 0; next->n < METRICS_QUEUES_MAX && (q = map_next(&engine.queues, &pos)) != NULL; next->n++) {
		next->names[next->n] = xstrdup(q->name);
		next->at_us[next->n] = 0;
	}
	oldest.asked = true;
	oldest.asked_ns = clock_mono_ns();
	oldest.op = (struct store_op){.run = oldest_run, .done = oldest_done};
	store_thread_submit(&oldest.op);
}

/* --- parts of the page --- */

static void put(struct buf *b, const char *name, const char *type, const char *help, uint64_t n)
{
	prom_family(b, name, type, help);
	prom_value(b, name, "", n);
}

static void put_labelled(struct buf *b, const char *name, const char *label, const char *value, uint64_t n)
{
	buf_printf(b, "%s{%s=\"", name, label);
	prom_label(b, value);
	buf_printf(b, "\"} %llu\n", (unsigned long long)n);
}

static void put_table(struct buf *b, const char *name, const char *help, const char *label,
		      const char *const *values, const _Atomic uint64_t *n, size_t count)
{
	prom_family(b, name, "counter", help);
	for (size_t i = 0; i < count; i++)
		put_labelled(b, name, label, values[i], prom_read(&n[i]));
}

static void put_calls(struct buf *b)
{
	char labels[32];

	put(b, P "calls_in_flight", "gauge", "Calls under way, tasks' attempts included.", call_count());
	prom_family(b, P "calls_total", "counter", "Calls that were answered, attempts of tasks included, by kind and code.");
	for (size_t r = 0; r < METRICS_RUNS; r++)
		for (int code = 0; code < METRICS_CODES; code++)
			buf_printf(b, "%s{run=\"%s\",code=\"%s\"} %llu\n", P "calls_total", runs[r],
				   err_info(code)->name, (unsigned long long)prom_read(&metrics.calls[r][code]));
	prom_family(b, P "call_duration_seconds", "histogram", "From a call's arrival to its answer, by kind.");
	for (size_t r = 0; r < METRICS_RUNS; r++) {
		snprintf(labels, sizeof labels, "run=\"%s\"", runs[r]);
		prom_histogram(b, P "call_duration_seconds", labels, &metrics.call_time[r]);
	}
}

/* One number of each method. */
static void put_methods(struct buf *b, const char *name, const char *help, size_t offset)
{
	const struct schema *s = registry_schema();

	prom_family(b, name, "counter", help);
	for (size_t i = 0; i < schema_n_services(s); i++) {
		const struct schema_service *service = schema_service_at(s, i);

		for (size_t k = 0; k < service->n_methods; k++) {
			const struct method *m = registry_method_by_name(service->methods[k].full_name);

			if (m != NULL)
				put_labelled(b, name, "method", m->schema->full_name,
					     prom_read((const _Atomic uint64_t *)((const char *)m + offset)));
		}
	}
}

static void put_loop(struct buf *b)
{
	prom_family(b, P "loop_handler_seconds", "histogram",
		    "How long handlers held the event loop, for which all else has to wait.");
	prom_histogram(b, P "loop_handler_seconds", "", &metrics.loop_time);
	put(b, P "loop_slow_total", "counter", "Times one held it for longer than --loop-limit.", watchdog_count());
	put(b, P "handlers_on_threads", "gauge", "Handlers that run on a thread of a pool now.", call_on_threads());
	put(b, P "background_pending", "gauge", "Work after the response that has not run yet.", background_pending());
	put(b, P "background_total", "counter", "Work after the response that has run.", background_done());
	put(b, P "background_failed_total", "counter", "Of it, what failed or was dropped.", background_failed());
}

/* The threads of SYNC methods; those of a queue are its slots. */
static void put_pool(struct buf *b)
{
	const struct pool_stat s = pool_stat(call_sync_pool());

	put(b, P "sync_threads", "gauge", "Threads for SYNC handlers.", s.threads);
	put(b, P "sync_threads_max", "gauge", "That there may be (--sync-threads, and one for each that is stuck).",
	    s.max_threads);
	put(b, P "sync_running", "gauge", "SYNC handlers that run on them.", s.running);
	put(b, P "sync_waiting", "gauge", "SYNC calls that wait for a thread.", s.waiting);
	put(b, P "sync_waiting_max", "gauge", "That may wait (--sync-queue).", s.max_queue);
	put(b, P "sync_refused_total", "counter", "SYNC calls refused, since all threads were busy and the queue full.",
	    s.refused);
}

static uint64_t queue_waiting(const struct task_queue *q) { return q->n_queued; }
static uint64_t queue_running(const struct task_queue *q) { return q->n_busy; }
static uint64_t queue_slots(const struct task_queue *q) { return q->slots; }
static uint64_t queue_paused(const struct task_queue *q) { return q->paused; }

static void put_queues(struct buf *b)
{
	static const struct {
		const char *name, *help;
		uint64_t (*of)(const struct task_queue *q);
	} numbers[] = {
		{P "queue_waiting", "Tasks whose turn it could be, by queue.", queue_waiting},
		{P "queue_running", "Tasks that run, by queue.", queue_running},
		{P "queue_slots", "Tasks that may run at a time, by queue.", queue_slots},
		{P "queue_paused", "1 while the queue is paused.", queue_paused},
	};
	const struct task_queue *q;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		size_t n = 0;

		prom_family(b, numbers[i].name, "gauge", numbers[i].help);
		for (size_t pos = 0; n++ < METRICS_QUEUES_MAX && (q = map_next(&engine.queues, &pos)) != NULL;)
			put_labelled(b, numbers[i].name, "queue", q->name, numbers[i].of(q));
	}
}

static void put_oldest(struct buf *b)
{
	const struct ages *a = &oldest.shown;
	int64_t now = task_clock_us();

	prom_family(b, P "queue_oldest_seconds", "gauge",
		    "How long the oldest waiting task of the queue has been due, as of a moment ago; 0: none waits.");
	for (size_t i = 0; i < a->n; i++)
		put_labelled(b, P "queue_oldest_seconds", "queue", a->names[i],
			     a->at_us[i] == 0 ? 0 : (uint64_t)(MAX(now - a->at_us[i], 0) / US_PER_S));
	oldest_ask();
}

static void put_tasks(struct buf *b)
{
	prom_family(b, P "attempts_total", "counter", "Attempts of tasks that ended, by outcome.");
	for (int i = OUTCOME_OK; i < METRICS_OUTCOMES && i <= OUTCOME_CANCELLED; i++)
		put_labelled(b, P "attempts_total", "outcome", task_outcome_name((enum task_outcome)i),
			     prom_read(&metrics.attempts[i]));
	prom_family(b, P "tasks_moved_total", "counter",
		    "Times a task came into a state: SUCCEEDED, FAILED and so on are ends, RETRYING is a retry.");
	for (int i = 1; i < METRICS_STATES && i < TASK_N_STATES; i++)
		put_labelled(b, P "tasks_moved_total", "state", task_state_name((enum task_state)i),
			     prom_read(&metrics.moves[i]));
}

/* Of the file system its file is on. */
static void put_disk(struct buf *b)
{
	const char *file = strchr(engine.config.store, ':');
	struct statvfs v;

	if (file == NULL || statvfs(file + 1, &v) < 0)
		return;
	put(b, P "store_disk_free_bytes", "gauge", "Room on the disk that the store is on.",
	    (uint64_t)v.f_bavail * v.f_frsize);
}

static void put_store(struct buf *b)
{
	put_disk(b);
	put(b, P "store_up", "gauge", "1 while the store takes writes.", store_thread_ok());
	put(b, P "store_errors_total", "counter", "Times the store failed to write.", prom_read(&metrics.store_errors));
	put(b, P "store_operations_total", "counter", "Operations that were committed, many in one commit.",
	    prom_read(&metrics.commit_ops));
	prom_family(b, P "store_commit_seconds", "histogram", "How long commits took.");
	prom_histogram(b, P "store_commit_seconds", "", &metrics.commit_time);
}

static void put_others(struct buf *b)
{
	uint64_t ended = 0;

	for (size_t i = 0; i < N_PROGRAM_ENDS; i++)
		ended += prom_read(&metrics.programs[i]);
	put_table(b, P "deliveries_total", "Attempts to deliver a callback, by what came of them.", "outcome",
		  delivery_ends, metrics.deliveries, N_DELIVERY_ENDS);
	put(b, P "delivery_pauses_total", "counter", "Times callbacks to a host were paused since it did not work.",
	    prom_read(&metrics.delivery_pauses));
	put_table(b, P "programs_total", "Child processes that ended, by how.", "end", program_ends, metrics.programs,
		  N_PROGRAM_ENDS);
	put(b, P "programs_running", "gauge", "Child processes that run.",
	    prom_left(prom_read(&metrics.programs_begun), ended));
	put(b, P "workers", "gauge", "Workers that are connected.", worker_count());
	put(b, P "worker_leases", "gauge", "Tasks and calls that workers have now.", worker_n_leases());
	put(b, P "sessions", "gauge", "Connections to the socket.", session_count());
	put(b, P "requests_in_flight", "gauge", "Requests on them that are not answered.", session_n_requests());
	put(b, P "unsent_bytes", "gauge", "Answers that wait for clients to read them.", session_n_unsent());
	put(b, P "call_memory_bytes", "gauge", "Memory that calls under way, and tasks being made, hold.", dispatch_memory());
	put(b, P "log_lines_dropped_total", "counter", "Lines that did not get into the log, which was full.",
	    log_dropped());
}

void metrics_write(struct buf *b)
{
	prom_family(b, P "build_info", "gauge", "Always 1.");
	prom_value(b, P "build_info", "{version=\"" PACKAGE_VERSION "\"}", 1);
	put_calls(b);
	put_methods(b, P "method_calls_total", "Calls begun, by method.", offsetof(struct method, n_calls));
	put_methods(b, P "method_failures_total", "Calls that failed, by method.", offsetof(struct method, n_failed));
	put_methods(b, P "method_slow_total", "Times it held the event loop for too long, by method.",
		    offsetof(struct method, n_slow));
	put_loop(b);
	put_pool(b);
	put_queues(b);
	put_oldest(b);
	put_tasks(b);
	put_store(b);
	put_others(b);
	prom_process(b);
}
