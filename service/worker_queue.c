/* worker_queue.c: the queues that workers run. To the engine such a queue has the slots
 * that its workers have room for now, so a claim brings no more than can be given away:
 * of who is READY all it takes at a time, of who is LEAVING what it still has; what was
 * taken away from a worker that does not let go of it is no room. */
#include "service/worker_impl.h"

#include <pthread.h>
#include <string.h>

#include "base/util.h"
#include "service/task.h"

static struct map queues = MAP_INIT; /* by name; until the end */
/* Handlers ask on their threads whose a queue is: held while names or n_sets change on the loop. */
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

struct worker_queue *worker_queue_get(const char *name)
{
	struct worker_queue *q = map_get_str(&queues, name);

	if (q != NULL)
		return q;
	q = xcalloc(1, sizeof *q);
	q->name = xstrdup(name);
	list_init(&q->uses);
	pthread_mutex_lock(&names_lock);
	map_put_str(&queues, q->name, q);
	pthread_mutex_unlock(&names_lock);
	return q;
}

static bool is_theirs(const char *queue)
{
	const struct worker_queue *q;
	bool theirs;

	pthread_mutex_lock(&names_lock);
	q = map_get_str(&queues, queue);
	theirs = q != NULL && q->n_sets > 0;
	pthread_mutex_unlock(&names_lock);
	return theirs;
}

/* 1 or -1. What it is now. */
static unsigned count_set(struct worker_queue *q, int by)
{
	unsigned n;

	pthread_mutex_lock(&names_lock);
	n = q->n_sets += (unsigned)by;
	pthread_mutex_unlock(&names_lock);
	return n;
}

void worker_check_queue(const struct method *m, const char *queue, const char *pointer,
			struct fault_list *faults)
{
	if (m == NULL || queue == NULL || !worker_has_method(m) || is_theirs(queue))
		return;
	fault_add(faults, FAULT_SCHEMA, FAULT_POINTER, pointer, "queue", queue, strlen(queue),
		  "only workers run %s, and none takes from this queue", m->schema->full_name);
}

static unsigned room_of(const struct worker_use *u)
{
	unsigned most = worker_takes(u->worker) ? u->worker->tasks : u->n_busy;

	return MAX(most, u->n_busy) - u->n_taken;
}

void worker_queue_update(struct worker_queue *q)
{
	unsigned room = 0;

	LIST_FOREACH(node, &q->uses)
		room += room_of(LIST_ENTRY(node, struct worker_use, node));
	if (q->n_sets > 0)
		task_queue_run_by(q->name, &worker_task_runner, q, room);
	else
		task_queue_run_by(q->name, NULL, NULL, 0);
}

void worker_queue_hold(const char *name)
{
	struct worker_queue *q = worker_queue_get(name);

	if (count_set(q, 1) == 1)
		worker_queue_update(q);
}

void worker_queue_drop(const char *name)
{
	struct worker_queue *q = worker_queue_get(name);

	if (count_set(q, -1) == 0)
		worker_queue_update(q);
}

struct worker_use *worker_queue_pick(struct worker_queue *q)
{
	struct worker_use *best = NULL;
	unsigned most = 0;

	LIST_FOREACH(node, &q->uses) {
		struct worker_use *u = LIST_ENTRY(node, struct worker_use, node);

		if (worker_takes(u->worker) && u->worker->tasks > u->n_busy + most) {
			most = u->worker->tasks - u->n_busy;
			best = u;
		}
	}
	return best;
}

void worker_queue_deinit(void)
{
	struct worker_queue *q;

	for (size_t pos = 0; (q = map_next(&queues, &pos)) != NULL;) {
		free(q->name);
		free(q);
	}
	map_deinit(&queues);
}
