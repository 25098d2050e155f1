/* enqueue.h: the tasks that handlers make (errand_enqueue). They are prepared on the
 * handler's thread, carried by the answer (call_tasks), and inserted with it: in a
 * transaction of their own for a session's call, in that of the attempt's end for a
 * task's. */
#ifndef SERVICE_ENQUEUE_H
#define SERVICE_ENQUEUE_H

#include "service/call.h"
#include "service/task_spec.h"

/* One of call_tasks. */
struct enqueued {
	struct list node;
	struct task_new task;
};

/* Store thread. All of them, in their order; may be run again after that was undone. 0;
 * -ERRAND_ALREADY_EXISTS or -ERRAND_FAILED_PRECONDITION: one of them must not be made,
 * why (of why_size) says it; or what the store said. */
int enqueue_insert(struct call_tasks *tasks, const struct store_ops *ops, struct store *s,
		   struct task_changes *changes, char *why, size_t why_size);

/* Loop thread. Takes tasks. done comes on the loop after COMMIT: code 0, or an
 * errand_code (or TASK_STORE_FULL) with the reason in why. */
void enqueue_commit(struct call_tasks *tasks,
		    void (*done)(int code, const char *why, void *arg), void *arg);

#endif
