/* task_room.c: see task_room.h. A queue has room again as soon as a task of it begins:
 * who found it full may look again in a second. */
#include "service/task_room.h"

#include "service/task_engine.h"

#define PLENTY 10 /* of so many parts one is left: then it is said */

bool task_room_read(const struct method *m, const char *queue, struct ratelimit *out)
{
	uint64_t max, used;
	const struct task_queue *q;

	if (queue == NULL)
		queue = m->queue;
	q = map_get_str(&engine.queues, queue);
	max = q != NULL ? q->max_depth : engine.config.max_depth;
	used = q != NULL ? q->n_queued + q->n_creating : 0;
	if (max == 0 || used < max - max / PLENTY)
		return false;
	ratelimit_write(out, "depth", used < max ? max - used : 0, 1, max, "qu=\"tasks\"");
	return true;
}
