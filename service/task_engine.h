/* task_engine.h: what the files of the task engine share; the engine is one object
 * of the loop thread. Private to service/task*.c. */
#ifndef SERVICE_TASK_ENGINE_H
#define SERVICE_TASK_ENGINE_H

#include "base/map.h"
#include "errand/status.h"
#include "service/loop.h"
#include "service/store_thread.h"
#include "service/task.h"
#include "service/task_move.h"
#include "service/task_rate.h"

struct pool;

struct task_queue {
	char *name;
	unsigned slots, n_busy;  /* n_busy: claimed, or being claimed */
	uint64_t n_queued;       /* tasks QUEUED in the store */
	uint64_t n_creating;     /* on their way there */
	struct pool *pool;       /* made when the first task runs here */
	char *pool_name;
	unsigned n_threads;      /* that the pool was made for */
	const struct runner *runner; /* its tasks are run by that, not here; NULL */
	void *runner_arg;
	unsigned runner_room;    /* of that, at a time */
	struct claim *claim;     /* the one on its way; NULL */
	bool again;              /* another one is wanted after it */
	struct loop_timer timer; /* to try again, or when its rate allows the next one */
	bool paused;
	uint64_t max_depth;      /* 0 = no bound */
	struct task_bucket bucket;
	struct task_meter meter; /* attempts that ended */
	int64_t last_claim_us;   /* wall clock; 0 = none since the start */
};

struct task_engine {
	const struct store_ops *ops;
	struct store *store;     /* the store thread's once that runs */
	struct task_config config;
	struct map queues;       /* by name */
	struct map runs;         /* struct task_run by task id */
	size_t n_runs;
	bool draining;
	struct loop_timer interrupt_timer;
	void (*interrupted)(void *arg); /* task_interrupt_all's done */
	void *interrupted_arg;
};
extern struct task_engine engine;

/* task_queue.c. The queue of that name, made when it is new. */
struct task_queue *task_queue_get(const char *name);
/* That of the queue's slots, made when it is needed. */
struct pool *task_queue_pool(struct task_queue *q);
/* Claims what the free slots can take, if there may be anything. */
void task_queue_kick(struct task_queue *q);
/* What is set of it (task_settings.h) counts from now on. */
void task_queue_set(struct task_queue *q);
/* An attempt of it has ended. */
void task_queue_ended(struct task_queue *q);
void task_queue_stop_all(void);
void task_queue_free_all(void);

/* task_run.c. Runs a claimed task (row taken); its slot is counted already. */
void task_run_start(struct task_queue *q, struct task_row *row);
/* The task's cancel was committed: tells the running attempt. */
void task_run_cancel(const struct uuid *id);

/* What still runs is let go; after the store has stopped. */
void task_run_free_all(void);

/* task_tick.c: what the clock does. */
void task_tick_start(void);
void task_tick_stop(void);
/* Something is due then, by the engine's or the wall clock. */
void task_tick_at(int64_t us, bool wall);
/* Moves those that wait and whose wake_us is reached by that clock, a batch of them.
 * Store thread, in a transaction. */
int task_wake_due(const struct store_ops *ops, struct store *s, bool wall,
		  struct task_changes *changes, size_t *n_out);
/* Ends the attempts of this owner's rows, or of all but his, LEASE_LOST; at most n of
 * them. Store thread, in a transaction. */
int task_take_back(const struct store_ops *ops, struct store *s, uint64_t owner, bool others,
		   struct task_changes *changes, size_t n, size_t *n_out);

/* What was committed: to the queues' counters, the timers, and those who look on
 * (task_watch.c, task_wait.c). Loop thread. */
void task_publish(const struct task_changes *changes);
void task_watch_publish(const struct task_change *change);
void task_wait_publish(const struct task_change *change);
/* Tells those who are content with the row as its last attempt's end leaves it:
 * terminal, with its result and its error. */
void task_wait_ended(const struct task_row *row);
void task_watch_end_all(void);
void task_wait_end_all(void);

/* What a store's code is to callers. */
static inline int task_caller_code(int code)
{
	return code == -ERRAND_RESOURCE_EXHAUSTED ? TASK_STORE_FULL : -code;
}

/* task.c. From a text (whole, or a tail) to an id; store thread. */
int task_find(const struct store_ops *ops, struct store *s, const char *text, struct uuid *out);
/* As ops->get, but -TASK_GONE for one that was forgotten. */
int task_read(const struct store_ops *ops, struct store *s, const struct uuid *id, unsigned parts,
	      struct task_row *out);
/* task_tick.c: its record goes, a tombstone stays. Store thread. */
int task_forget(const struct store_ops *ops, struct store *s, const struct task_row *row);
/* Words for an op's failure; into why, which is returned. */
const char *task_why(int code, const char *id, char *why, size_t size);

#endif
