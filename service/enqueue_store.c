/* enqueue_store.c: see enqueue.h; how the tasks that handlers made get into the store. */
#include <stdio.h>

#include "service/enqueue.h"
#include "service/task_engine.h"

/* --- on the store thread --- */

static int say(const struct task_new *n, char *why, size_t why_size)
{
	char id[UUID_TEXT_SIZE];

	if (n->found == TASK_NO_PARENT) {
		snprintf(why, why_size, "a task to be made comes after %s, which is not there",
			 uuid_format(&n->options.after[n->parent], id));
		return -ERRAND_FAILED_PRECONDITION;
	}
	snprintf(why, why_size, "a task to be made has the unique key %.64s, which task %s has",
		 n->options.unique_key, uuid_format(&n->other.id, id));
	return -ERRAND_ALREADY_EXISTS;
}

int enqueue_insert(struct call_tasks *tasks, const struct store_ops *ops, struct store *s,
		   struct task_changes *changes, char *why, size_t why_size)
{
	LIST_FOREACH(node, &tasks->list) {
		struct task_new *n = &LIST_ENTRY(node, struct enqueued, node)->task;
		int r = task_new_insert(n, ops, s, changes);

		if (r < 0)
			return r;
		if (n->found == TASK_CONFLICT || n->found == TASK_NO_PARENT)
			return say(n, why, why_size);
	}
	return 0;
}

/* --- of a session's call --- */

struct commit {
	struct store_op op;
	struct call_tasks *tasks;
	struct task_changes changes;
	void (*done)(int code, const char *why, void *arg);
	void *arg;
	char why[320];
};

static int commit_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct commit *c = CONTAINER_OF(op, struct commit, op);

	task_changes_reset(&c->changes);
	c->why[0] = 0;
	return enqueue_insert(c->tasks, ops, s, &c->changes, c->why, sizeof c->why);
}

static void commit_done(struct store_op *op, int code)
{
	struct commit *c = CONTAINER_OF(op, struct commit, op);

	if (code == 0)
		task_publish(&c->changes);
	else if (c->why[0] == 0)
		task_why(code, "", c->why, sizeof c->why);
	c->done(task_caller_code(code), c->why, c->arg);
	task_changes_deinit(&c->changes);
	call_tasks_free(c->tasks);
	free(c);
}

void enqueue_commit(struct call_tasks *tasks,
		    void (*done)(int code, const char *why, void *arg), void *arg)
{
	struct commit *c = xcalloc(1, sizeof *c);

	c->tasks = tasks;
	c->done = done;
	c->arg = arg;
	c->op = (struct store_op){.run = commit_run, .done = commit_done, .writes = true};
	store_thread_submit(&c->op);
}
