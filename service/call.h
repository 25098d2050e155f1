/* call.h: the narrow waist of the service: one call of one method, whoever made
 * it (a session, or the task engine) and wherever it runs (loop, pool, slot).
 *
 *   call_start ─▶ loop | pool ─▶ [dependencies open] ─▶ handler ─▶ answered
 *            ─▶ loop: call_source.answered() ─▶ close dependencies ─▶ after-work ─▶ freed
 *
 * States (a table in call.c): NEW, RUNNING, ANSWERED, DONE. References: the loop
 * holds one until DONE, whoever runs the handler another until it has returned and
 * has given its answer. The answer is packed by the thread that gives it and
 * handed to the loop on one done-list. Dependencies close where they were opened:
 * on the loop for ASYNC, else on the thread that ends the handler. */
#ifndef SERVICE_CALL_H
#define SERVICE_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/uuid.h"
#include "errand/service.h"
#include "service/registry.h"
#include "wire/envelope.h"

/* Tasks that are to be made with the answer (enqueue.c). */
struct call_tasks {
	struct list list;
	size_t n;
	void (*free_one)(struct list *node);
};
static inline struct call_tasks *call_tasks_free(struct call_tasks *t) /* NULL-safe; NULL */
{
	struct list *node;

	while (t != NULL && (node = list_pop_front(&t->list)) != NULL)
		t->free_one(node);
	free(t);
	return NULL;
}

/* What a call ended with. Everything owned. */
struct answer {
	int code;            /* enum errand_code */
	char *message;       /* of the error; NULL when ok */
	struct buf problem;  /* serialized errand.v1.Problem; may be empty */
	struct buf payload;  /* serialized output message */
	struct answer_pair {
		char *key, *value;
	} *metadata;
	size_t n_metadata;
	bool final;          /* errand_final, or a code that is never retried */
	int64_t retry_after_ns; /* errand_retry_after; 0 = by the rules */
	int exit_status, exit_signal; /* errand_fail_exit; 0 */
	bool from_exit;      /* recorded as EXIT, SIGNAL or OOM, not ERROR */
	bool oom;
	bool lease_lost;     /* the worker that had it is gone: recorded as LEASE_LOST */
	bool given_back;     /* it was not begun: recorded as INTERRUPTED, so it is queued again */
	struct buf usage;    /* serialized errand.v1.Usage; may be empty */
	struct call_tasks *tasks; /* to be made if code is 0; NULL */
};
void answer_deinit(struct answer *a);

struct pool;

/* Who made the call; functions run on the loop thread. */
struct call_source {
	const char *name; /* "session", "task" */
	/* The answer (borrowed; may be emptied by taking its buffers). Once. For a
	 * stream: after the last message. */
	void (*answered)(struct errand_call *call, struct answer *a, void *arg);
	/* A message of a stream. 0, 1 = window used up, negative = gone. NULL when
	 * the source takes no streams. */
	int (*message)(struct errand_call *call, struct bytes message, void *arg);
	/* Tasks only; may be called from any thread. NULL otherwise. */
	void (*progress)(struct errand_call *call, double fraction, const char *message,
			 struct bytes detail, void *arg); /* detail: a packed Any, or empty */
	void (*checkpoint)(struct errand_call *call, struct bytes any, void *arg);
	void (*log)(struct errand_call *call, const char *stream, const char *line, size_t len,
		    void *arg);
	/* What that task answered as a packed Any; waits for the store. 0 or an error as of
	 * errand_parent_result. Not on the loop thread. */
	int (*parent)(const struct uuid *id, struct buf *any); /* task_parent.h */
};

struct call_params {
	const struct method *method;
	const struct call_source *source; /* borrowed for ever */
	void *arg;                        /* of the source */
	struct bytes payload;             /* copied, or unpacked before call_new returns */
	const struct wire_pair *metadata; /* copied */
	size_t n_metadata;
	const char *identity;             /* who asks (identity.h); copied; NULL: nobody */
	int64_t deadline_ns;              /* clock_mono_ns; 0 = none */
	const char *task_id;              /* copied; NULL = no task */
	unsigned attempt;
	struct bytes checkpoint;          /* a packed Any; copied; may be empty */
	const struct uuid *parents;       /* copied */
	size_t n_parents;
	int64_t grace_ns;                 /* of child processes */
	struct pool *pool;                /* where the handler runs unless it is ASYNC (that
					   * is always on the loop); NULL: the sync pool */
	const struct runner *runner;      /* instead of the method's own; borrowed for ever; NULL */
	void *runner_arg;
};

/* Loop thread. Always gives a call that will be answered: when the payload is
 * refused by the scanner or does not unpack, the answer is INVALID_ARGUMENT and
 * comes through source->answered from the loop, never from inside call_start. */
struct errand_call *call_start(const struct call_params *p);

/* Loop thread: asks the call to stop (client gone, deadline, task cancel). At its
 * deadline a call does this to itself with DEADLINE_EXCEEDED: a task's handler is
 * then waited for, any other call is answered at once and what its handler says
 * later is dropped. Only the first code counts. The handler sees errand_cancelled; its children are killed. With `abandon` the
 * answer is no longer wanted: source->answered is not called any more and arg is
 * not used after this returns. code: CANCELLED or DEADLINE_EXCEEDED. */
void call_cancel(struct errand_call *call, int code, bool abandon);

/* Loop thread: for a source whose message() is about to return negative: arg is not
 * used after this. The call is cancelled by that return, once the handler, who may
 * be below on the stack, has returned. */
void call_abandon(struct errand_call *call);

/* Loop thread: the stream's window has room again. */
void call_writable(struct errand_call *call);

/* Any thread. errand_fail with a whole problem object (serialized
 * errand.v1.Problem, copied) instead of one made from code and message. */
void call_fail_problem(struct errand_call *call, int code, const char *message,
		       struct bytes problem);

/* Any thread: the answer is this output message, serialized (copied). What is no such message, or
 * breaks depth and size, is INTERNAL instead, and -ERRAND_INTERNAL is returned. Counts as
 * the handler's own answer. */
int call_answer_bytes(struct errand_call *call, struct bytes output);

const struct method *call_method(const struct errand_call *call);
struct call_metadata {
	const char *key, *value;
};
/* All metadata of the request, n of them; they live as long as the call. */
const struct call_metadata *call_metadata(const struct errand_call *call, size_t *n);
struct bytes call_checkpoint(const struct errand_call *call); /* a packed Any; may be empty */
/* Source's progress, checkpoint and log with what is serialized already (Any; may be
 * empty). Any thread. */
void call_progress(struct errand_call *call, double fraction, const char *message, struct bytes detail);
void call_save(struct errand_call *call, struct bytes checkpoint);

/* For errand_enqueue: a task to be made with the answer (node is in it; taken, also on
 * failure). 0, -ERRAND_FAILED_PRECONDITION when the call has its answer already,
 * -ERRAND_RESOURCE_EXHAUSTED at more than max. Any thread. */
int call_add_task(struct errand_call *call, struct list *node, void (*free_one)(struct list *node),
		  size_t max);

/* For errand_run: fn(arg) on whatever thread cancels the call (or here and now when
 * it is cancelled already), once. The returned handle must be given back with
 * call_off_cancel before arg goes; after that has returned, fn is not running and
 * will not. Both from any thread. */
struct call_hook *call_on_cancel_any(struct errand_call *call, void (*fn)(void *arg), void *arg);
void call_off_cancel(struct errand_call *call, struct call_hook *hook);
/* 0, or the code the call was cancelled with. Any thread. */
int call_cancel_code(const struct errand_call *call);
int64_t call_grace_ns(const struct errand_call *call);
/* For errand_fail_exit: the answer that follows came from a program's end. */
void call_set_exit(struct errand_call *call, int status, int signal, bool oom);
/* The answer that follows is LEASE_LOST, if it is a task's. */
void call_set_lease_lost(struct errand_call *call);
/* errand_fail with UNAVAILABLE; a task goes back to its queue as if it had not been claimed. */
void call_give_back(struct errand_call *call, const char *why);
/* What its program has used, a serialized errand.v1.Usage (copied); goes with the answer, whatever that is. Any
 * thread, before the answer. */
void call_set_usage(struct errand_call *call, struct bytes usage);
/* A line for the task's log (stream "stdout", "stderr"); a debug line of ours when
 * the call is no task. Any thread. */
void call_log(struct errand_call *call, const char *stream, const char *line, size_t len);

/* Loop thread, from inside source->answered only: the answer is not out yet (not
 * written to the socket, not recorded), so work after the response must wait.
 * The source then owes one call_delivered when it is; the call lives until then.
 * call_has_after: is there any such work? (If not, holding is not worth it.) */
void call_hold(struct errand_call *call);
void call_delivered(struct errand_call *call);
bool call_has_after(struct errand_call *call);

/* Timers (errand_timer) that have not fired, of all calls. Any thread. */
size_t call_timers(void);

/* Calls not DONE yet, for drain. */
size_t call_count(void);
/* Bytes held by calls with their input, also by those whose client has gone but whose
 * handler has not ended. */
size_t call_memory(void);
/* Handlers that run on threads now, of whatever pool. */
size_t call_on_threads(void);

/* sync is borrowed: where SYNC handlers run. */
void call_init(struct pool *sync);
struct pool *call_sync_pool(void); /* borrowed */
void call_deinit(void);

#endif
