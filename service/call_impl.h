/* call_impl.h: the inside of a call, for call.c (life and answer), call_api.c and
 * call_task.c (what handlers ask of it) and call_stream.c (streams) only.
 *
 * Threads: `loop` is the loop thread's, `L` is guarded by lock, the rest does not
 * change after call_start. No function of a source is called with the lock held,
 * but progress, checkpoint and log, which must not come back into the call. */
#ifndef SERVICE_CALL_IMPL_H
#define SERVICE_CALL_IMPL_H

#include <pthread.h>

#include "base/log.h"
#include "base/trace.h"
#include "service/arena.h"
#include "service/call.h"
#include "service/deadline.h"
#include "service/loop.h"
#include "service/pool.h"

enum call_state { CALL_NEW, CALL_RUNNING, CALL_ANSWERED, CALL_DONE };

/* A packed message of a stream that waits for the loop or for the window. */
struct call_message {
	struct list node;
	size_t len;
	uint8_t data[];
};

/* Something the handler wants to hear of on the loop thread. */
struct call_notice {
	struct list node;
	void (*fn)(struct errand_call *, void *);
	void *arg;
};

struct call_timer {
	struct list node;
	struct deadline deadline;
	struct errand_call *call;
	void (*fn)(struct errand_call *, void *);
	void *arg;
	int64_t at_ns;
};

struct call_hook {
	struct list node;
	void (*fn)(void *arg);
	void *arg;
};

struct errand_call {
	const struct method *method;
	const struct call_source *source;
	void *source_arg;
	struct call_metadata *metadata; /* in the arena */
	size_t n_metadata;
	const char *identity;       /* in the arena; NULL: nobody asks */
	int64_t begun_ns;           /* clock_mono_ns */
	struct log_ids ids;         /* of metadata and task */
	int64_t deadline_ns;        /* 0 = none */
	const char *task_id;        /* in the arena */
	unsigned attempt;
	struct bytes checkpoint;    /* in the arena: a packed Any of an attempt before */
	struct call_parent {
		struct uuid id;
		char text[UUID_TEXT_SIZE];
		ProtobufCMessage *result; /* L: once it was asked for */
	} *parents;                 /* n_parents, owned */
	size_t n_parents;
	int64_t grace_ns;
	struct pool *pool;          /* NULL: the loop */
	const struct runner *runner; /* NULL: the method's handler in C */
	void *runner_arg;
	ProtobufCMessage *input;    /* in the arena; NULL until unpacked, and where there is a runner */
	struct bytes raw;           /* in the arena; input that is yet to be unpacked, or a runner's */
	bool checked;               /* raw is what a runner takes */
	_Atomic int refs;
	_Atomic int cancel_code;    /* 0, CANCELLED, DEADLINE_EXCEEDED */

	struct loop_job work;       /* posted when the loop has something to do for it */
	struct pool_job run;
	struct deadline deadline;   /* loop */
	struct list timers;         /* loop: armed */
	bool begun;                 /* loop: an ASYNC handler was called */
	bool delivered;             /* loop: source->answered was called, or nobody wants it */
	bool held;                  /* loop: call_hold */
	bool in_work;               /* loop: work() is at it */

	void **values;              /* of method->needs, by index; the handler's thread */
	size_t n_opened;            /* how many of them were opened; the handler's thread */

	pthread_mutex_t lock;
	pthread_cond_t room;        /* a blocked sender of a stream waits here */
	enum call_state state;      /* L */
	bool posted;                /* L: work is on the loop's list */
	bool kept;                  /* L: errand_keep */
	bool handler_answered;      /* L: the handler has used up its one answer */
	bool handler_filled;        /* L: and has written it */
	bool returned;              /* L: the handler has returned */
	bool ended;                 /* L: filled and returned: it has nothing to say any more */
	bool cleaned;               /* L: its dependencies are closed, its timers dropped */
	bool answer_ready;          /* L: answer is whole */
	bool source_gone;           /* L: source_arg must not be used any more */
	bool cancel_due;            /* L: the loop is to cancel it */
	bool final;                 /* L: errand_final */
	struct buf violations;      /* L: for the failure that follows: Problem.errors */
	unsigned n_violations;      /* L */
	ProtobufCMessage *checkpoint_message; /* L: of checkpoint, once it was asked for */
	int code;                   /* answer.code, once that is ready; not the source's */
	struct answer answer;       /* whose the state says; the loop's once it is ready */
	struct list after;          /* L: background_link of jobs */
	bool after_started;         /* L: jobs added now start, behind those before */
	struct background_line *after_line; /* background.c's */
	struct list new_timers;     /* L: to be armed by the loop */
	bool has_timers;            /* L: there ever was one */
	struct list on_cancel;      /* L: call_notice */
	struct list hooks;          /* under call.c's hook lock */

	/* a stream */
	struct list out;            /* L: call_message that wait */
	size_t out_bytes;           /* L */
	bool out_dead;              /* L: nobody wants what waits in out */
	bool blocked;               /* L: the client's window is used up */
	bool ready_missed, ready_due; /* L: the window opened when nobody had asked; tell now */
	struct call_notice ready;   /* L: fn NULL = not asked for */

	size_t memory;              /* what of it is counted in call_memory(); as arena */
	struct arena arena;         /* loop, then the handler's thread until it has the input */
};

/* With the lock held; a move that is not in the table is a bug. */
void call_set_state(struct errand_call *call, enum call_state next);
void call_ref(struct errand_call *call);
void call_unref(struct errand_call *call);
/* Any thread: the loop has something to do for this call. */
void call_poke(struct errand_call *call);
/* Asks for the right to write call->answer; `handler`: the handler's own answer.
 * True: write it, then call_answer_written. False: it is dropped. */
bool call_answer_take(struct errand_call *call, bool handler);
void call_answer_written(struct errand_call *call, bool handler);
/* The answer is this error. message is taken (malloc'd). */
void call_answer_error(struct errand_call *call, bool handler, int code, char *message);
void call_answer_message(struct errand_call *call, const ProtobufCMessage *message);
/* Runs one of the handler's functions on the loop, under the watchdog. */
void call_notify(struct errand_call *call, void (*fn)(struct errand_call *, void *), void *arg);

/* Loop thread, not from inside the handler: hooks and notices run here. */
void call_do_cancel(struct errand_call *call, int code);

/* Counts what the arena has grown by. On the thread that has the arena. */
void call_count_memory(struct errand_call *call);
/* Something of the handler's end has come: if it is all, the call goes on to its. */
void call_check_end(struct errand_call *call);
static inline bool call_on_loop(const struct errand_call *call)
{
	return call->pool == NULL;
}

/* call_run.c: on the thread where the handler belongs */
void call_run(struct errand_call *call);
void call_run_on_pool(struct pool_job *job);
/* From the bytes to call->input, or for a runner to call->raw; 0, or an error with the
 * reason in why. */
int call_unpack(struct errand_call *call, struct bytes in, char *why, size_t why_size);
static inline bool call_has_input(const struct errand_call *call)
{
	return call->input != NULL || call->checked;
}
/* Answers with an error instead of calling the handler. */
void call_refuse(struct errand_call *call, int code, const char *why);

/* call_ids.c: once its metadata are there */
void call_ids_init(struct errand_call *call);

/* call_task.c: what a task's call has besides */
void call_task_init(struct errand_call *call, const struct call_params *p);
void call_task_deinit(struct errand_call *call);

/* call_stream.c; loop thread */
void call_stream_flush(struct errand_call *call);
void call_stream_ready(struct errand_call *call);

/* call_api.c. The faults the handler told of become the problem of its error, unless
 * that has one. */
void call_put_violations(struct errand_call *call);
/* Loop thread */
void call_timers_arm(struct errand_call *call);
void call_timers_drop(struct errand_call *call);

#endif
