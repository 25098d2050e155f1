/* pool.h: a bounded pool of threads with one queue. Its users: `sync`,
 * `background`, and the slots of each task queue. */
#ifndef SERVICE_POOL_H
#define SERVICE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct pool;

/* Embedded in its owner; run is called once, on a thread of the pool. */
struct pool_job {
	struct list node;
	void (*run)(struct pool_job *job);
};

/* Threads are made when they are first needed, up to n_threads; max_queue counts
 * jobs that wait. name is borrowed for ever and names the threads. */
struct pool *pool_new(const char *name, unsigned n_threads, size_t max_queue);
/* 0, or -ERRAND_RESOURCE_EXHAUSTED when the queue is full. Any thread. */
int pool_submit(struct pool *p, struct pool_job *job);
/* One thread more (a job is stuck and keeps its own) or fewer (it came back).
 * Any thread. */
void pool_resize(struct pool *p, int more);
/* As it is at one moment. Any thread. */
struct pool_stat {
	unsigned threads, max_threads;
	size_t running, waiting, max_queue;
	uint64_t refused; /* jobs, since it was made */
};
struct pool_stat pool_stat(struct pool *p);
/* Running and waiting jobs. */
size_t pool_busy(struct pool *p);
size_t pool_busy_all(void); /* of all pools; a job counts until what it has posted is on the loop's list */
/* Waits until all jobs have run or the monotonic deadline has passed; returns how
 * many were left. */
size_t pool_drain(struct pool *p, int64_t deadline_ns);
/* Takes back a job that waits, or NULL. Any thread. */
struct pool_job *pool_take(struct pool *p);
/* Stops the threads after their current jobs and waits for them (a job that never
 * ends keeps it waiting: ask pool_busy first); waiting jobs are dropped. NULL-safe. */
struct pool *pool_free(struct pool *p);

#endif
