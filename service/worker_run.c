/* worker_run.c: how a call comes to a worker. A task of a queue that workers run goes to
 * who has the most room in it; its claim says there is somebody, and if he has gone in
 * between, the task goes back as if it had not been claimed. A call of a service goes to a
 * worker of the name that brought it, or waits for one. */
#define _GNU_SOURCE
#include "service/worker_impl.h"

#include <stdio.h>

#include "base/util.h"

static void run_task(struct errand_call *call, struct bytes input, void *arg)
{
	struct worker_use *u = worker_queue_pick(arg);

	if (u == NULL) {
		call_give_back(call, "no worker of the queue is free");
		return;
	}
	worker_lease_give(worker_lease_new(call, input, NULL), u->worker, u);
}

const struct runner worker_task_runner = {.name = "worker", .on_loop = true, .run = run_task};

/* --- calls of a service --- */

static bool has_ready(const struct worker_set *set)
{
	LIST_FOREACH(node, &set->workers)
		if (LIST_ENTRY(node, struct worker, node)->state == WORKER_READY)
			return true;
	return false;
}

static struct worker *pick(const struct worker_set *set)
{
	struct worker *best = NULL;
	unsigned most = 0;

	LIST_FOREACH(node, &set->workers) {
		struct worker *w = LIST_ENTRY(node, struct worker, node);

		if (worker_takes(w) && w->calls > w->n_calls + most) {
			most = w->calls - w->n_calls;
			best = w;
		}
	}
	return best;
}

static void refuse(struct errand_call *call, const char *why)
{
	errand_set_metadata(call, "retry-after", "1");
	errand_fail(call, ERRAND_UNAVAILABLE, "%s", why);
}

static void refuse_nobody(struct errand_call *call, const struct worker_set *set)
{
	char why[160];

	snprintf(why, sizeof why, "no worker %.100s is connected", set->name);
	refuse(call, why);
}

static void run_call(struct errand_call *call, struct bytes input, void *arg)
{
	struct worker_set *set = arg;
	struct worker *w = pick(set);
	struct worker_lease *l;

	if (w == NULL && !has_ready(set)) {
		refuse_nobody(call, set);
		return;
	}
	if (w == NULL && set->n_waiting >= WORKER_WAITING_MAX) {
		refuse(call, "all workers are busy and too many calls wait for one");
		return;
	}
	l = worker_lease_new(call, input, set);
	if (w != NULL) {
		worker_lease_give(l, w, NULL);
		return;
	}
	list_push_back(&set->waiting, &l->node);
	set->n_waiting++;
}

const struct runner worker_call_runner = {.name = "worker", .on_loop = true, .run = run_call};

bool worker_has_method(const struct method *m)
{
	return m->runner == &worker_call_runner;
}

void worker_run_waiting(struct worker_set *set)
{
	struct worker *w;

	while (set->n_waiting > 0 && (w = pick(set)) != NULL) {
		struct list *node = list_pop_front(&set->waiting);

		set->n_waiting--;
		worker_lease_give(LIST_ENTRY(node, struct worker_lease, node), w, NULL);
	}
}

void worker_run_refuse(struct worker_set *set, const char *why)
{
	while (!list_empty(&set->waiting)) {
		struct worker_lease *l = LIST_ENTRY(set->waiting.next, struct worker_lease, node);

		refuse(l->call, why);
		worker_lease_end(l);
	}
}
