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
#include "service/task_spec.h"
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
	int64_t result_ttl_us;     /* of an ended task without its own; 0 = 7 days */
	/* Reads what else is kept in the store, before a task is claimed; NULL: nothing is. */
	int (*load)(const struct store_ops *ops, struct store *s);
};

/* Opens the store, recovers what a former process owned, starts the store thread
 * and the queues. Negative with the reason in why. */
int task_init(const struct task_config *config, char *why, size_t why_size);
/* The tasks of this queue are run by that (NULL: here), whatever their methods, `room` of
 * them at a time; slots that were set of the queue bound it. Also before task_init has
 * returned, in config.load. */
void task_queue_run_by(const char *queue, const struct runner *runner, void *arg, unsigned room);
/* No new claims from now on. */
void task_drain_begin(void);
size_t task_running(void);
/* Stops what still runs and records it INTERRUPTED; done() when all are recorded. */
void task_interrupt_all(void (*done)(void *arg), void *arg);
void task_deinit(void); /* after that; closes the store */

/* A code of the engine's own: the store's disk is full. To callers it is UNAVAILABLE
 * and HTTP's 507 (task_failure): the service's trouble, not a limit the caller met. */
#define TASK_STORE_FULL 64
/* Others of its own: */
#define TASK_GONE 65        /* its record was forgotten: NOT_FOUND, HTTP's 410 */
#define TASK_STALE 66       /* it has another version than If-Match says: 412 */
#define TASK_NOT_ALLOWED 67 /* its state does not allow it: FAILED_PRECONDITION, 409 */

/* The outcome of an op, on the loop thread after COMMIT. code 0, TASK_STORE_FULL or
 * an errand_code (why says it in words; NULL when 0). row is whole and borrowed; NULL
 * unless code is 0 and the op has one. */
typedef void (*task_done)(int code, const char *why, const struct task_row *row, void *arg);

/* code 0: row is the task that was made or found. Else row is the other task of
 * TASK_CONFLICT (ALREADY_EXISTS) and TASK_KEY_REUSED (INVALID_ARGUMENT), or NULL.
 * RESOURCE_EXHAUSTED: the queue is full. */
typedef void (*task_created)(int code, enum task_found found, const char *why,
			     const struct task_row *row, void *arg);
void task_create(const struct task_spec *spec, task_created done, void *arg);
/* id: whole, or an unambiguous tail; a wrong one is NOT_FOUND, an ambiguous one
 * FAILED_PRECONDITION. */
void task_get(const char *id, task_done done, void *arg);
/* What may be done to a task. if_match: ETags, one of which it must have (if_match.h, copied),
 * else TASK_STALE; NULL: whatever it is. */
typedef void (*task_action)(const char *id, const char *if_match, task_done done, void *arg);
void task_cancel(const char *id, const char *if_match, task_done done, void *arg);
/* These are TASK_NOT_ALLOWED where the state is none of: */
void task_retry(const char *id, const char *if_match, task_done done, void *arg);   /* ended */
void task_delete(const char *id, const char *if_match, task_done done, void *arg);  /* ended */
void task_hold(const char *id, const char *if_match, task_done done, void *arg);    /* waiting; HELD: nothing happens */
void task_release(const char *id, const char *if_match, task_done done, void *arg); /* HELD */
void task_run_now(const char *id, const char *if_match, task_done done, void *arg); /* SCHEDULED, RETRYING, QUEUED */

/* What PATCH changes; copied. Of a task that waits; labels of any. */
struct task_patch {
	uint64_t version;      /* it must have; 0 = any */
	bool set_priority, set_run_at, set_labels;
	int32_t priority;
	int64_t run_at_us;     /* wall clock; 0 = now */
	const struct task_label *labels;
	size_t n_labels;
};
void task_patch(const char *id, const struct task_patch *patch, task_done done, void *arg);

/* next: the token of the next page, NULL on the last one (a page with few or no rows
 * may have one: pages are bounded by what is looked at, too). */
typedef void (*task_list_done)(int code, const char *why, const struct task_row *rows, size_t n,
			       const char *next, void *arg);
struct task_query;
/* Takes what is in the query (task_list.h). */
void task_list(const struct task_query *query, task_list_done done, void *arg);
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
/* Waits for the end of a task whose row an op's done() has just been given: nothing is
 * read before that, and done's row may have its result and its error alone. */
struct task_wait *task_wait_made(const struct task_row *row, int64_t timeout_ns, task_done done,
				 void *arg);
void task_unwait(struct task_wait *w); /* before done() only; no done() */

#endif
