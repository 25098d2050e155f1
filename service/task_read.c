/* task_read.c: what is read of the store for callers and changes nothing: lists of
 * tasks, the attempts of one. Loop thread, but for the ops' run. */
#include <stdio.h>

#include "service/task_engine.h"
#include "service/task_page.h"

/* --- lists --- */

struct list_op {
	struct store_op op;
	struct task_query query;
	struct store_page page;
	task_list_done done;
	void *arg;
};

static int list_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct list_op *l = CONTAINER_OF(op, struct list_op, op);

	store_page_deinit(&l->page);
	return task_query_page(&l->query, ops, s, &l->page);
}

static void list_op_done(struct store_op *op, int code)
{
	struct list_op *l = CONTAINER_OF(op, struct list_op, op);
	const struct store_page *p = &l->page;
	char why[320], token[TASK_PAGE_TOKEN_SIZE];

	if (code == 0)
		l->done(0, NULL, p->rows, p->n,
			p->more ? task_page_token(&l->query, &p->last, token) : NULL, l->arg);
	else
		l->done(task_caller_code(code), task_why(code, "", why, sizeof why), NULL, 0, NULL, l->arg);
	store_page_deinit(&l->page);
	task_query_deinit(&l->query);
	free(l);
}

void task_list(const struct task_query *query, task_list_done done, void *arg)
{
	struct list_op *l = xcalloc(1, sizeof *l);

	l->query = *query;
	l->done = done;
	l->arg = arg;
	l->op = (struct store_op){.run = list_run, .done = list_op_done};
	store_thread_submit(&l->op);
}

struct attempts_op {
	struct store_op op;
	struct attempt_row *rows;
	size_t n;
	task_attempts_done done;
	void *arg;
	char id[40];
};

static int attempts_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct attempts_op *a = CONTAINER_OF(op, struct attempts_op, op);
	struct task_row row = {0};
	struct uuid id;
	int r = task_find(ops, s, a->id, &id);

	attempt_rows_free(a->rows, a->n);
	a->rows = NULL;
	a->n = 0;
	if (r == 0)
		r = task_read(ops, s, &id, 0, &row);
	task_row_deinit(&row);
	return r < 0 ? r : ops->attempts(s, &id, &a->rows, &a->n);
}

static void attempts_op_done(struct store_op *op, int code)
{
	struct attempts_op *a = CONTAINER_OF(op, struct attempts_op, op);
	char why[320];

	if (code == 0)
		a->done(0, NULL, a->rows, a->n, a->arg);
	else
		a->done(task_caller_code(code), task_why(code, a->id, why, sizeof why), NULL, 0, a->arg);
	attempt_rows_free(a->rows, a->n);
	free(a);
}

void task_attempts(const char *id, task_attempts_done done, void *arg)
{
	struct attempts_op *a = xcalloc(1, sizeof *a);

	snprintf(a->id, sizeof a->id, "%s", id);
	a->done = done;
	a->arg = arg;
	a->op = (struct store_op){.run = attempts_run, .done = attempts_op_done};
	store_thread_submit(&a->op);
}
