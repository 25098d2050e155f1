/* task_watch.c: watchers of a task's events. A watcher has no queue: it knows the
 * seq it has delivered, and either everything up to now is delivered (TAIL: events
 * are handed on as they are committed) or it is behind and the rest is in the
 * store. Ops end in the order of their commits, so an event that is published
 * while a read is under way is found by the next read or is newer than all of it.
 *
 *        ┌──────── committed meanwhile, or the page was full ───────┐
 *   READING ─▶ all delivered, nothing new ─▶ TAIL ─▶ an event ─▶ delivered
 *        └─▶ event() said false ─▶ PAUSED ─▶ task_watch_more ─▶ READING
 *
 * Loop thread. */
#include <stdio.h>
#include <string.h>

#include "errand/status.h"
#include "service/task_engine.h"
#include "service/task_pack.h"

#define PAGE 64 /* events of one read */

struct watched { /* a task somebody looks at */
	struct uuid id;
	struct list watches;
	bool pinned; /* being walked */
};

struct task_watch {
	struct list node;         /* in watched->watches once the task is known */
	struct watched *watched;
	enum { WATCH_READING, WATCH_TAIL, WATCH_PAUSED } state;
	bool follow;
	bool behind;              /* committed since the read began */
	bool calling, dead;       /* inside a callback; let go there */
	enum event_kind kind;
	uint64_t after;           /* seq delivered */
	const struct task_watch_ops *ops;
	void *arg;
	struct read *read;
};

struct read {
	struct store_op op;
	struct task_watch *watch; /* NULL: let go */
	struct uuid id;
	uint64_t after;
	enum event_kind kind;
	struct event_row *rows;
	size_t n;
	bool terminal;            /* and nothing after these rows */
	char text[40];            /* of the first read; "" = id is known */
};

static struct map watched_tasks; /* struct watched by id */
static struct list unknown = LIST_INIT(unknown); /* watches whose first read is under way */

static void read_start(struct task_watch *w);

/* --- the read --- */

/* The event of the creation is not stored. */
static void add_creation(struct read *r, const struct task_row *row)
{
	struct event_row e = {.seq = 1, .kind = EVENT_STATE, .time_us = row->create_us};

	task_pack_created(row->flags, &e.data);
	r->rows = xrealloc(r->rows, (r->n + 1) * sizeof *r->rows);
	memmove(r->rows + 1, r->rows, r->n++ * sizeof *r->rows);
	r->rows[0] = e;
}

static int fill_results(struct read *r, const struct store_ops *ops, struct store *s)
{
	for (size_t i = 0; i < r->n; i++) {
		struct task_row row = {0};
		int code;

		if (r->rows[i].kind != EVENT_RESULT)
			continue;
		code = ops->get(s, &r->id, PART_RESULT, &row);
		if (code < 0)
			return code;
		task_pack_any_result(&row, 9, &r->rows[i].data);
		task_row_deinit(&row);
	}
	return 0;
}

static int read_events(struct read *r, const struct store_ops *ops, struct store *s,
		       const struct task_row *row)
{
	int code = ops->events(s, &r->id, r->after, r->kind, PAGE, &r->rows, &r->n);
	bool all = r->n < PAGE;

	if (code < 0)
		return code;
	r->terminal = all && task_state_terminal(row->state);
	if (r->after < 1 && (r->kind == 0 || r->kind == EVENT_STATE))
		add_creation(r, row);
	return fill_results(r, ops, s);
}

static int read_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct read *r = CONTAINER_OF(op, struct read, op);
	struct task_row row = {0};
	int code = *r->text ? task_find(ops, s, r->text, &r->id) : 0;

	event_rows_free(r->rows, r->n);
	r->rows = NULL;
	r->n = 0;
	if (code == 0)
		code = task_read(ops, s, &r->id, 0, &row);
	if (code == 0)
		code = read_events(r, ops, s, &row);
	task_row_deinit(&row);
	return code;
}

static void read_free(struct read *r)
{
	event_rows_free(r->rows, r->n);
	free(r);
}

/* --- watches --- */

static void watch_attach(struct task_watch *w, const struct uuid *id)
{
	struct watched *t = map_get(&watched_tasks, id, sizeof *id);

	if (t == NULL) {
		t = xcalloc(1, sizeof *t);
		t->id = *id;
		list_init(&t->watches);
		map_put(&watched_tasks, id, sizeof *id, t);
	}
	list_remove(&w->node);
	list_push_back(&t->watches, &w->node);
	w->watched = t;
}

static void watched_check(struct watched *t)
{
	if (t->pinned || !list_empty(&t->watches))
		return;
	map_remove(&watched_tasks, &t->id, sizeof t->id);
	free(t);
}

static void watch_free(struct task_watch *w)
{
	struct watched *t = w->watched;

	list_remove(&w->node);
	if (t != NULL)
		watched_check(t);
	if (w->read != NULL)
		w->read->watch = NULL;
	if (w->calling)
		w->dead = true;
	else
		free(w);
}

static void watch_end(struct task_watch *w, int code, const char *why)
{
	const struct task_watch_ops *ops = w->ops;
	void *arg = w->arg;

	watch_free(w);
	ops->ended(code, why, arg);
}

/* False: the watch is gone or paused, nothing more must be given to it. */
static bool watch_deliver(struct task_watch *w, const struct uuid *id, const struct event_row *e)
{
	bool more, dead;

	if (e->seq <= w->after)
		return true;
	w->after = e->seq;
	if (w->kind != 0 && w->kind != e->kind)
		return true;
	w->calling = true;
	more = w->ops->event(id, e, w->arg);
	w->calling = false;
	dead = w->dead;
	if (dead)
		free(w);
	else if (!more)
		w->state = WATCH_PAUSED;
	return !dead && more;
}

static void read_done(struct store_op *op, int code)
{
	struct read *r = CONTAINER_OF(op, struct read, op);
	struct task_watch *w = r->watch;
	char why[320];

	if (w == NULL) {
		read_free(r);
		return;
	}
	w->read = NULL;
	if (code < 0) {
		watch_end(w, task_caller_code(code), task_why(code, r->text, why, sizeof why));
		read_free(r);
		return;
	}
	if (w->watched == NULL)
		watch_attach(w, &r->id);
	for (size_t i = 0; i < r->n; i++)
		if (!watch_deliver(w, &r->id, &r->rows[i])) {
			read_free(r);
			return;
		}
	if (r->n >= PAGE || w->behind)
		read_start(w);
	else if (r->terminal || !w->follow)
		watch_end(w, 0, NULL);
	else
		w->state = WATCH_TAIL;
	read_free(r);
}

static struct read *read_new(struct task_watch *w)
{
	struct read *r = xcalloc(1, sizeof *r);

	r->op = (struct store_op){.run = read_run, .done = read_done};
	r->watch = w;
	r->after = w->after;
	r->kind = w->kind;
	w->read = r;
	w->behind = false;
	w->state = WATCH_READING;
	return r;
}

static void read_start(struct task_watch *w)
{
	struct read *r = read_new(w);

	r->id = w->watched->id;
	store_thread_submit(&r->op);
}

struct task_watch *task_watch(const char *id, uint64_t after, enum event_kind kind, bool follow,
			      const struct task_watch_ops *ops, void *arg)
{
	struct task_watch *w = xcalloc(1, sizeof *w);
	struct read *r;

	list_push_back(&unknown, &w->node);
	w->follow = follow;
	w->kind = kind;
	w->after = after;
	w->ops = ops;
	w->arg = arg;
	r = read_new(w);
	snprintf(r->text, sizeof r->text, "%s", id);
	store_thread_submit(&r->op);
	return w;
}

void task_watch_more(struct task_watch *w)
{
	if (w->state == WATCH_PAUSED && w->watched != NULL)
		read_start(w);
}

void task_unwatch(struct task_watch *w)
{
	watch_free(w);
}

/* --- what was committed --- */

/* A result is not in its event: the store has it. */
static bool tail_deliver(struct task_watch *w, const struct task_change *change)
{
	for (size_t i = 0; i < change->n; i++) {
		const struct event_row *e = &change->rows[i];

		if (e->kind == EVENT_RESULT && (w->kind == 0 || w->kind == EVENT_RESULT)) {
			read_start(w);
			return false;
		}
		if (!watch_deliver(w, &change->id, e))
			return false;
	}
	return true;
}

static void publish_to(struct task_watch *w, const struct task_change *change)
{
	if (w->state == WATCH_READING)
		w->behind = true;
	else if (w->state == WATCH_TAIL && tail_deliver(w, change) &&
		 task_state_terminal(change->is))
		watch_end(w, 0, NULL);
}

/* A callback may let go of any watch: the rest of the walk is a list they are
 * taken out of like of any other. */
void task_watch_publish(const struct task_change *change)
{
	struct watched *t = map_get(&watched_tasks, &change->id, sizeof change->id);
	struct list left, *node;

	if (t == NULL)
		return;
	list_init(&left);
	list_splice(&left, &t->watches);
	t->pinned = true;
	while ((node = list_pop_front(&left)) != NULL) {
		list_push_back(&t->watches, node);
		publish_to(LIST_ENTRY(node, struct task_watch, node), change);
	}
	t->pinned = false;
	watched_check(t);
}

static void end_list(struct list *watches)
{
	while (!list_empty(watches))
		watch_end(LIST_ENTRY(watches->next, struct task_watch, node), ERRAND_UNAVAILABLE,
			  "the service is stopping");
}

void task_watch_end_all(void)
{
	struct watched *t;

	end_list(&unknown);
	for (size_t pos = 0; (t = map_next(&watched_tasks, &pos)) != NULL;) {
		t->pinned = true;
		end_list(&t->watches);
		t->pinned = false;
		watched_check(t);
	}
	if (watched_tasks.n_used == 0)
		map_deinit(&watched_tasks);
}
