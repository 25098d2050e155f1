/* task_status.c: see task_status.h. */
#include "service/task_status.h"

#include "service/task_engine.h"

void task_status(struct task_status *out)
{
	const struct task_queue *q;

	*out = (struct task_status){
		.store = engine.ops->name,
		.draining = engine.draining,
		.n_running = task_running(),
	};
	for (size_t pos = 0; (q = map_next(&engine.queues, &pos)) != NULL; out->n_queues++)
		out->n_queued += q->n_queued;
}
