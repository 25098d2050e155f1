/* hook_ask.c: what is asked about deliveries, each an op of the store thread. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "errand/status.h"
#include "service/hook_engine.h"
#include "service/task_clock.h"
#include "service/task_engine.h"

#define LOOK_MAX 10000 /* rows looked at for one page */
#define LIST_BATCH 500

/* --- one --- */

struct ask {
	struct store_op op;
	uint8_t key[HOOK_KEY_SIZE];
	bool known;              /* the id is one */
	bool again;
	struct hook_delivery d;
	hook_done done;
	void *arg;
	char id[HOOK_ID_SIZE];   /* as given */
};

static int send_again(struct ask *a, const struct store_ops *ops, struct store *s)
{
	a->d.state = HOOK_PENDING;
	a->d.before = a->d.attempt;
	a->d.forced = true;
	a->d.end_us = 0;
	a->d.due_us = task_clock_us();
	return hook_put(ops, s, &a->d);
}

static int ask_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);
	int r = -ERRAND_NOT_FOUND;

	hook_delivery_deinit(&a->d);
	if (a->known)
		r = hook_get(ops, s, a->key, &a->d);
	return r == 0 && a->again ? send_again(a, ops, s) : r;
}

static void ask_done(struct store_op *op, int code)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);
	char why[320];

	if (code == 0) {
		a->done(0, NULL, &a->d, a->arg);
	} else {
		if (code == -ERRAND_NOT_FOUND)
			snprintf(why, sizeof why, "there is no delivery %s", a->id);
		else
			task_why(code, "", why, sizeof why);
		a->done(task_caller_code(code), why, NULL, a->arg);
	}
	if (code == 0 && a->again)
		hook_look();
	hook_delivery_deinit(&a->d);
	free(a);
}

static void ask(const char *id, bool again, hook_done done, void *arg)
{
	struct ask *a = xcalloc(1, sizeof *a);

	a->known = hook_id_parse(id, a->key);
	a->again = again;
	a->done = done;
	a->arg = arg;
	snprintf(a->id, sizeof a->id, "%s", id);
	a->op = (struct store_op){.run = ask_run, .done = ask_done, .writes = again};
	store_thread_submit(&a->op);
}

void hook_show(const char *id, hook_done done, void *arg)
{
	ask(id, false, done, arg);
}

void hook_redeliver(const char *id, hook_done done, void *arg)
{
	ask(id, true, done, arg);
}

/* --- many --- */

struct list_op {
	struct store_op op;
	struct hook_list filter;
	struct hook_delivery *rows; /* limit of them */
	size_t n;
	bool more;
	uint8_t last[HOOK_KEY_SIZE];
	hook_list_done done;
	void *arg;
};

static void clear(struct list_op *l)
{
	for (size_t i = 0; i < l->n; i++)
		hook_delivery_deinit(&l->rows[i]);
	l->n = 0;
	l->more = false;
}

/* Takes what fits of a batch; false: the page is full. */
static bool take_batch(struct list_op *l, const struct record *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct hook_delivery d;

		if (l->n == l->filter.limit)
			return false;
		if (rows[i].key.len == HOOK_KEY_SIZE)
			memcpy(l->last, rows[i].key.data, HOOK_KEY_SIZE);
		if (!hook_read(&rows[i], &d))
			continue;
		if (l->filter.state == 0 || d.state == l->filter.state)
			l->rows[l->n++] = d;
		else
			hook_delivery_deinit(&d);
	}
	return true;
}

static int list_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct list_op *l = CONTAINER_OF(op, struct list_op, op);
	const struct hook_list *f = &l->filter;
	struct bytes prefix = {f->task.b, f->of_task ? sizeof f->task.b : 0};
	struct bytes after = {l->last, f->after_set ? HOOK_KEY_SIZE : 0};
	size_t looked = 0, n = LIST_BATCH;
	int r = 0;

	clear(l);
	memcpy(l->last, f->after, HOOK_KEY_SIZE);
	while (r == 0 && n == LIST_BATCH && !l->more) {
		struct record *rows = NULL;

		r = ops->list_records(s, RECORD_DELIVERY, prefix, after, LIST_BATCH, &rows, &n);
		if (r == 0)
			l->more = !take_batch(l, rows, n) || (looked += n) >= LOOK_MAX;
		records_free(rows, r == 0 ? n : 0);
		after = (struct bytes){l->last, HOOK_KEY_SIZE};
	}
	return r;
}

static void list_done(struct store_op *op, int code)
{
	struct list_op *l = CONTAINER_OF(op, struct list_op, op);
	char why[320];

	if (code == 0)
		l->done(0, NULL, l->rows, l->n, l->more ? l->last : NULL, l->arg);
	else
		l->done(task_caller_code(code), task_why(code, "", why, sizeof why), NULL, 0, NULL, l->arg);
	clear(l);
	free(l->rows);
	free(l);
}

void hook_list(const struct hook_list *filter, hook_list_done done, void *arg)
{
	struct list_op *l = xcalloc(1, sizeof *l);

	l->filter = *filter;
	l->rows = xcalloc(filter->limit, sizeof *l->rows);
	l->done = done;
	l->arg = arg;
	l->op = (struct store_op){.run = list_run, .done = list_done};
	store_thread_submit(&l->op);
}
