/* task.h: the task engine: what a task may do and when (TASKS.md), on the loop
 * thread. It decides in transactions on the store thread (store_thread.h), runs
 * attempts as calls (call.h) on the slots of their queue, and tells watchers
 * what was committed. It keeps no copy of a task that is not running.
 *
 *   dispatch / api ─▶ task_* ─▶ op on the store thread ─▶ COMMIT ─▶ done() on the loop
 *                                                   └─▶ events ─▶ watchers
 *   slots free ─▶ claim op ─▶ call_start ─▶ answered ─▶ finish op ─▶ ...
 */
#ifndef SERVICE_TASK_H
#define SERVICE_TASK_H

#include "service/registry.h"
#include "service/store.h"
#include "wire/envelope.h"

struct task_config {
	const char *store;         /* "memory" or "sqlite:FILE" */
	unsigned slots;            /* of each queue without its own figure */
	const struct task_queue_config {
		const char *name;
		unsigned slots;
	} *queues;
	size_t n_queues;
	uint64_t max_depth;        /* queued tasks per queue; more: RESOURCE_EXHAUSTED; 0 = no bound */
	int64_t max_result, max_log; /* bytes */
	int64_t store_reserve;     /* bytes of the disk kept back for what runs when it is full */
	void (*store_died)(void);  /* store_thread_on_death */
};

/* Opens the store, recovers what a former process owned, starts the store thread
 * and the queues. Negative with the reason in why. */
int task_init(const struct task_config *config, char *why, size_t why_size);
/* No new claims from now on. */
void task_drain_begin(void);
size_t task_running(void);
/* Stops what still runs and records it INTERRUPTED; done() when all are recorded. */
void task_interrupt_all(void (*done)(void *arg), void *arg);
void task_deinit(void); /* after that; closes the store */

/* A code of the engine's own: the store's disk is full. To callers it is UNAVAILABLE
 * and HTTP's 507 (task_failure): the service's trouble, not a limit the caller met. */
#define TASK_STORE_FULL 64

/* The outcome of an op, on the loop thread after COMMIT. code 0, TASK_STORE_FULL or
 * an errand_code (why says it in words; NULL when 0). row is whole and borrowed; NULL
 * unless code is 0 and the op has one. */
typedef void (*task_done)(int code, const char *why, const struct task_row *row, void *arg);

void task_create(const struct method *method, struct bytes input, const struct wire_pair *metadata,
		 size_t n_metadata, task_done done, void *arg);
/* id: whole, or an unambiguous tail; a wrong one is NOT_FOUND, an ambiguous one
 * FAILED_PRECONDITION. */
void task_get(const char *id, task_done done, void *arg);
void task_cancel(const char *id, task_done done, void *arg);
void task_retry(const char *id, task_done done, void *arg);  /* FAILED_PRECONDITION while live */
void task_delete(const char *id, task_done done, void *arg); /* FAILED_PRECONDITION while live */

/* next: the filter's `after` for the next page, NULL on the last one (a page with
 * few or no rows may have one: pages are bounded by what is looked at, too). */
typedef void (*task_list_done)(int code, const char *why, const struct task_row *rows, size_t n,
			       const struct uuid *next, void *arg);
/* filter's strings are copied. */
void task_list(const struct store_filter *filter, task_list_done done, void *arg);
typedef void (*task_attempts_done)(int code, const char *why, const struct attempt_row *rows,
				   size_t n, void *arg);
void task_attempts(const char *id, task_attempts_done done, void *arg);

/* Watching: every event with seq > after, first from the store, then live,
 * each once and in order; ended() after the last event of a terminal task (or at
 * once with an error code). Loop thread. The watcher does not read ahead: after
 * event() returned false nothing more comes until task_watch_more. */
struct task_watch;
struct task_watch_ops {
	bool (*event)(const struct uuid *id, const struct event_row *e, void *arg);
	void (*ended)(int code, const char *why, void *arg); /* the watch is freed after it */
};
/* kind 0: all. follow false: ends after what the store has now. */
struct task_watch *task_watch(const char *id, uint64_t after, enum event_kind kind, bool follow,
			      const struct task_watch_ops *ops, void *arg);
void task_watch_more(struct task_watch *w);
void task_unwatch(struct task_watch *w); /* no ended() */

/* Waiting: done() once, when the task has ended (version 0) or its version is
 * higher than `version`, at the latest after timeout_ns (< 0: no limit): then with
 * the row as it is. Never from inside task_wait. For `Prefer: wait`, and for plain
 * clients of a durable method, who wait for its result. */
struct task_wait;
struct task_wait *task_wait(const char *id, uint64_t version, int64_t timeout_ns, task_done done,
			    void *arg);
void task_unwait(struct task_wait *w); /* before done() only; no done() */

#endif
