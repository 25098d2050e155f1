/* task_wait.c: waiting for one task: until it has ended, or has changed, or the
 * waiter's time is over. What is told is a row read from the store; who waits for what
 * he has made, for its result above all, is also content with what its end wrote. */
#include <stdio.h>

#include "base/clock.h"
#include "errand/status.h"
#include "service/task_engine.h"

struct waited { /* a task somebody waits for */
	struct uuid id;
	struct list waits;
};

struct task_wait {
	struct list node;       /* in task->waits once it is found */
	struct waited *task;    /* NULL until then */
	bool reading, again;    /* a get is under way; another one is wanted after it */
	bool timed_out;
	bool content;           /* with result and error, see task_wait_made */
	uint64_t version;       /* 0: until terminal */
	struct loop_timer timer;
	struct wait_read *read; /* while reading */
	task_done done;
	void *arg;
};

struct wait_read {
	struct store_op op;
	struct task_wait *wait; /* NULL: let go */
	struct task_row row;
	char text[40];
};

static struct map waited_tasks; /* struct waited by id */
static struct list unknown = LIST_INIT(unknown); /* waits whose first read is under way */

static int read_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct wait_read *r = CONTAINER_OF(op, struct wait_read, op);
	struct uuid id;
	int code = task_find(ops, s, r->text, &id);

	task_row_deinit(&r->row);
	return code < 0 ? code : task_read(ops, s, &id, PART_ALL, &r->row);
}

static void wait_attach(struct task_wait *w, const struct uuid *id)
{
	struct waited *t = map_get(&waited_tasks, id, sizeof *id);

	if (t == NULL) {
		t = xcalloc(1, sizeof *t);
		t->id = *id;
		list_init(&t->waits);
		map_put(&waited_tasks, id, sizeof *id, t);
	}
	list_remove(&w->node);
	list_push_back(&t->waits, &w->node);
	w->task = t;
}

static void wait_free(struct task_wait *w)
{
	list_remove(&w->node);
	if (w->task != NULL && list_empty(&w->task->waits)) {
		map_remove(&waited_tasks, &w->task->id, sizeof w->task->id);
		free(w->task);
	}
	loop_timer_cancel(&w->timer);
	if (w->read != NULL)
		w->read->wait = NULL;
	free(w);
}

static void wait_tell(struct task_wait *w, int code, const char *why, const struct task_row *row)
{
	task_done done = w->done;
	void *arg = w->arg;

	wait_free(w);
	done(code, why, row, arg);
}

static void read_start(struct task_wait *w, const char *text);

static void read_again(struct task_wait *w)
{
	char text[UUID_TEXT_SIZE];

	if (w->reading)
		w->again = true;
	else
		read_start(w, uuid_format(&w->task->id, text));
}

static bool satisfied(const struct task_wait *w, const struct task_row *row)
{
	return w->timed_out || task_state_terminal(row->state) ||
	       (w->version != 0 && row->version > w->version);
}

static void read_done(struct store_op *op, int code)
{
	struct wait_read *r = CONTAINER_OF(op, struct wait_read, op);
	struct task_wait *w = r->wait;
	char why[320];

	if (w != NULL) {
		w->reading = false;
		w->read = NULL;
	}
	if (w != NULL && code < 0) {
		wait_tell(w, task_caller_code(code), task_why(code, r->text, why, sizeof why), NULL);
	} else if (w != NULL && satisfied(w, &r->row)) {
		wait_tell(w, 0, NULL, &r->row);
	} else if (w != NULL) {
		if (w->task == NULL)
			wait_attach(w, &r->row.id);
		if (w->again)
			read_again(w);
	}
	task_row_deinit(&r->row);
	free(r);
}

static void read_start(struct task_wait *w, const char *text)
{
	struct wait_read *r = xcalloc(1, sizeof *r);

	r->wait = w;
	snprintf(r->text, sizeof r->text, "%s", text);
	r->op = (struct store_op){.run = read_run, .done = read_done};
	w->read = r;
	w->reading = true;
	w->again = false;
	store_thread_submit(&r->op);
}

static void on_timeout(void *arg)
{
	struct task_wait *w = arg;

	w->timed_out = true;
	if (w->task != NULL)
		read_again(w);
}

static struct task_wait *wait_new(int64_t timeout_ns, task_done done, void *arg)
{
	struct task_wait *w = xcalloc(1, sizeof *w);

	w->done = done;
	w->arg = arg;
	list_push_back(&unknown, &w->node);
	if (timeout_ns >= 0)
		loop_timer_start(&w->timer, timeout_ns, on_timeout, w);
	return w;
}

struct task_wait *task_wait(const char *id, uint64_t version, int64_t timeout_ns, task_done done,
			    void *arg)
{
	struct task_wait *w = wait_new(timeout_ns, done, arg);

	w->version = version;
	read_start(w, id);
	return w;
}

/* What is committed from here on is published, in its order: nothing can be missed. */
struct task_wait *task_wait_made(const struct task_row *row, int64_t timeout_ns, task_done done,
				 void *arg)
{
	struct task_wait *w;
	char id[UUID_TEXT_SIZE];

	if (task_state_terminal(row->state))
		return task_wait(uuid_format(&row->id, id), 0, timeout_ns, done, arg);
	w = wait_new(timeout_ns, done, arg);
	w->content = true;
	wait_attach(w, &row->id);
	return w;
}

void task_unwait(struct task_wait *w)
{
	wait_free(w);
}

/* Nobody is told from here: only reads are begun. */
void task_wait_publish(const struct task_change *change)
{
	struct waited *t = map_get(&waited_tasks, &change->id, sizeof change->id);

	LIST_FOREACH(node, &unknown)
		LIST_ENTRY(node, struct task_wait, node)->again = true; /* it may be this task */
	if (t == NULL)
		return;
	LIST_FOREACH(node, &t->waits) {
		struct task_wait *w = LIST_ENTRY(node, struct task_wait, node);

		if (w->version != 0 || task_state_terminal(change->is))
			read_again(w);
	}
}

static struct task_wait *content_wait(const struct uuid *id)
{
	struct waited *t = map_get(&waited_tasks, id, sizeof *id);

	if (t == NULL)
		return NULL;
	LIST_FOREACH(node, &t->waits) {
		struct task_wait *w = LIST_ENTRY(node, struct task_wait, node);

		if (w->content)
			return w;
	}
	return NULL;
}

void task_wait_ended(const struct task_row *row)
{
	struct task_wait *w;

	while ((w = content_wait(&row->id)) != NULL)
		wait_tell(w, 0, NULL, row);
}

static struct task_wait *any_wait(void)
{
	struct waited *t;
	size_t pos = 0;

	if (!list_empty(&unknown))
		return LIST_ENTRY(unknown.next, struct task_wait, node);
	t = map_next(&waited_tasks, &pos);
	return t ? LIST_ENTRY(t->waits.next, struct task_wait, node) : NULL;
}

void task_wait_end_all(void)
{
	struct task_wait *w;

	while ((w = any_wait()) != NULL)
		wait_tell(w, ERRAND_UNAVAILABLE, "the service is stopping", NULL);
	map_deinit(&waited_tasks);
}
