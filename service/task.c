/* task.c: the engine's beginning and end, and what callers ask of it: each request
 * is one op of the store thread, answered on the loop after COMMIT. */
#define _GNU_SOURCE
#include "service/task.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/task_api.h"
#include "service/task_engine.h"
#include "service/task_pack.h"
#include "service/task_run.h"

#define RECOVER_BATCH 256

struct task_engine engine;

/* --- ops that ask for one task --- */

struct ask {
	struct store_op op;
	int (*act)(struct ask *a, struct task_move *m); /* on the row; NULL = only shows it */
	task_done done;
	void *arg;
	struct task_row row;
	struct task_events events;
	enum task_state was; /* before act */
	bool deleted;
	char id[40]; /* as given; the longest that can be right is 36 */
};

int task_find(const struct store_ops *ops, struct store *s, const char *text, struct uuid *out)
{
	if (uuid_parse(text, out))
		return 0;
	return ops->find_tail(s, text, out);
}

const char *task_why(int code, const char *id, char *why, size_t size)
{
	char error[256];

	if (code == -ERRAND_NOT_FOUND)
		snprintf(why, size, "there is no task %.40s", id);
	else if (code == -ERRAND_FAILED_PRECONDITION)
		snprintf(why, size, "several tasks' ids end in %.40s: write more of it", id);
	else {
		store_thread_error(error, sizeof error);
		snprintf(why, size, "the task store does not work: %s", error);
	}
	return why;
}

static int ask_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);
	struct task_move m = {ops, s, &a->row, &a->events, clock_wall_us()};
	struct uuid id = {0};
	int r = task_find(ops, s, a->id, &id);

	task_row_deinit(&a->row);
	task_events_reset(&a->events, &id);
	if (r == 0)
		r = ops->get(s, &id, PART_ALL, &a->row);
	a->was = a->events.state = a->row.state;
	return r < 0 || a->act == NULL ? r : a->act(a, &m);
}

/* -ERRAND_ABORTED is our own: the task's state does not allow what is asked. */
static void ask_answer(struct ask *a, int code)
{
	char why[320];

	if (code == 0)
		a->done(0, NULL, &a->row, a->arg);
	else if (code == -ERRAND_ABORTED) {
		snprintf(why, sizeof why, "the task is %s: only an ended one can be %s",
			 task_state_name(a->row.state), a->deleted ? "deleted" : "retried");
		a->done(ERRAND_FAILED_PRECONDITION, why, NULL, a->arg);
	} else {
		a->done(task_caller_code(code), task_why(code, a->id, why, sizeof why), NULL, a->arg);
	}
}

static void ask_done(struct store_op *op, int code)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);
	struct task_queue *q;

	if (code == 0 && a->events.n > 0) {
		q = task_queue_get(a->row.queue);
		task_publish(&a->events);
		if (a->row.state == TASK_QUEUED) {
			q->n_queued++;
			task_queue_kick(q);
		} else if (a->was == TASK_QUEUED && q->n_queued > 0) {
			q->n_queued--;
		} else if (a->row.state == TASK_CANCELLING) {
			task_run_cancel(&a->row.id);
		}
	}
	ask_answer(a, code);
	task_row_deinit(&a->row);
	task_events_deinit(&a->events);
	free(a);
}

static struct ask *ask_new(const char *id, task_done done, void *arg)
{
	struct ask *a = xcalloc(1, sizeof *a);

	a->done = done;
	a->arg = arg;
	snprintf(a->id, sizeof a->id, "%s", id);
	a->op = (struct store_op){.run = ask_run, .done = ask_done};
	return a;
}

void task_get(const char *id, task_done done, void *arg)
{
	store_thread_submit(&ask_new(id, done, arg)->op);
}

static void ask_change(const char *id, int (*act)(struct ask *, struct task_move *), bool deletes,
		       task_done done, void *arg)
{
	struct ask *a = ask_new(id, done, arg);

	a->act = act;
	a->deleted = deletes;
	a->op.writes = true;
	a->op.finishes = deletes; /* makes room */
	store_thread_submit(&a->op);
}

static int act_cancel(struct ask *a, struct task_move *m)
{
	bool asked = a->row.state == TASK_CANCELLING || task_state_terminal(a->row.state);

	return asked ? 0 : task_move_cancel(m);
}

static int act_retry(struct ask *a, struct task_move *m)
{
	if (!task_state_terminal(a->row.state))
		return -ERRAND_ABORTED;
	return task_move_requeue(m, engine_queue_us());
}

static int act_delete(struct ask *a, struct task_move *m)
{
	if (!task_state_terminal(a->row.state))
		return -ERRAND_ABORTED;
	return m->ops->remove(m->store, &a->row.id);
}

void task_cancel(const char *id, task_done done, void *arg)
{
	ask_change(id, act_cancel, false, done, arg);
}

void task_retry(const char *id, task_done done, void *arg)
{
	ask_change(id, act_retry, false, done, arg);
}

void task_delete(const char *id, task_done done, void *arg)
{
	ask_change(id, act_delete, true, done, arg);
}

/* --- creating --- */

struct create {
	struct store_op op;
	struct loop_job refused; /* instead of op: the queue is full */
	struct task_queue *queue;
	struct task_row row;     /* method and queue borrowed; buffers owned */
	task_done done;
	void *arg;
};

static int create_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	return ops->insert(s, &CONTAINER_OF(op, struct create, op)->row);
}

static void create_free(struct create *c)
{
	buf_deinit(&c->row.input);
	buf_deinit(&c->row.metadata);
	free(c);
}

static void create_done(struct store_op *op, int code)
{
	struct create *c = CONTAINER_OF(op, struct create, op);
	char why[320];

	if (code == 0) {
		c->done(0, NULL, &c->row, c->arg);
	} else {
		c->queue->n_queued -= c->queue->n_queued > 0;
		c->done(task_caller_code(code), task_why(code, "", why, sizeof why), NULL, c->arg);
	}
	create_free(c);
}

static void create_refused(struct loop_job *job)
{
	struct create *c = CONTAINER_OF(job, struct create, refused);
	char why[160];

	snprintf(why, sizeof why, "queue %.60s is full (%llu tasks wait): try again later", c->queue->name,
		 (unsigned long long)engine.config.max_depth);
	c->done(ERRAND_RESOURCE_EXHAUSTED, why, NULL, c->arg);
	create_free(c);
}

/* What steered this one request is not the task's. */
static bool keep_metadata(struct bytes key)
{
	static const char *const drop[] = {"errand-task", "prefer-async", "prefer-wait", "accept",
					   "if-none-match", "last-event-id"};

	for (size_t i = 0; i < ARRAY_LEN(drop); i++)
		if (key.len == strlen(drop[i]) && memcmp(key.data, drop[i], key.len) == 0)
			return false;
	return true;
}

static void create_row(struct create *c, const struct method *method, struct bytes input,
		       const struct wire_pair *metadata, size_t n_metadata)
{
	struct task_row *row = &c->row;

	uuid_new(&row->id);
	row->method = (char *)method->schema->full_name;
	row->queue = c->queue->name;
	row->state = TASK_QUEUED;
	row->version = 1;
	row->parts = PART_ALL;
	row->create_us = clock_wall_us();
	row->run_at_us = engine_queue_us();
	buf_append(&row->input, input.data, input.len);
	for (size_t i = 0; i < n_metadata; i++)
		if (keep_metadata(metadata[i].key))
			task_pack_metadata(&metadata[i], 1, &row->metadata);
}

/* The claim goes right behind: it sees the new row in the same transaction. */
void task_create(const struct method *method, struct bytes input, const struct wire_pair *metadata,
		 size_t n_metadata, task_done done, void *arg)
{
	const char *queue = method->schema->queue;
	struct create *c = xcalloc(1, sizeof *c);

	c->done = done;
	c->arg = arg;
	c->queue = task_queue_get(queue != NULL && *queue ? queue : "default");
	if (engine.config.max_depth > 0 && c->queue->n_queued >= engine.config.max_depth) {
		c->refused.run = create_refused;
		loop_post(&c->refused);
		return;
	}
	create_row(c, method, input, metadata, n_metadata);
	c->op = (struct store_op){.run = create_run, .done = create_done, .writes = true};
	c->queue->n_queued++;
	store_thread_submit(&c->op);
	task_queue_kick(c->queue);
}

/* --- lists --- */

struct list_op {
	struct store_op op;
	struct store_filter filter; /* strings owned */
	struct store_page page;
	task_list_done done;
	void *arg;
};

static int list_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct list_op *l = CONTAINER_OF(op, struct list_op, op);

	store_page_deinit(&l->page);
	return ops->list(s, &l->filter, &l->page);
}

static void list_op_done(struct store_op *op, int code)
{
	struct list_op *l = CONTAINER_OF(op, struct list_op, op);
	const struct store_page *p = &l->page;
	char why[320];

	if (code == 0)
		l->done(0, NULL, p->rows, p->n, p->more ? &p->last : NULL, l->arg);
	else
		l->done(task_caller_code(code), task_why(code, "", why, sizeof why), NULL, 0, NULL, l->arg);
	store_page_deinit(&l->page);
	free((char *)l->filter.method);
	free((char *)l->filter.queue);
	free(l);
}

void task_list(const struct store_filter *filter, task_list_done done, void *arg)
{
	struct list_op *l = xcalloc(1, sizeof *l);

	l->filter = *filter;
	l->filter.method = filter->method ? xstrdup(filter->method) : NULL;
	l->filter.queue = filter->queue ? xstrdup(filter->queue) : NULL;
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
		r = ops->get(s, &id, 0, &row);
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

/* --- start and stop --- */

static int recover_one(struct task_row *row)
{
	struct task_events events = {0};
	struct task_move m = {engine.ops, engine.store, row, &events, clock_wall_us()};
	struct task_ending ending = {.outcome = OUTCOME_LEASE_LOST,
				     .retry = task_run_retry(registry_method_by_name(row->method)),
				     .random01 = task_run_random(),
				     .queue_now_us = engine_queue_us()};
	int r;

	task_problem_put(&ending.problem, ERRAND_UNAVAILABLE, 0,
			 "the service died while the attempt ran");
	r = task_move_end(&m, &ending);
	task_ending_deinit(&ending);
	task_events_deinit(&events);
	return r;
}

static int recover_batch(size_t *np)
{
	struct task_row rows[RECOVER_BATCH];
	size_t n = 0;
	int r = engine.ops->owned(engine.store, RECOVER_BATCH, rows, &n);

	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = recover_one(&rows[i]);
		task_row_deinit(&rows[i]);
	}
	*np = n;
	return r;
}

/* The lock on the store says that its former owner is dead, so there is nothing to
 * wait for: what he ran is taken back at once, in one transaction. */
static int recover(void)
{
	size_t n = 1, total = 0;
	int r = engine.ops->begin(engine.store);

	while (r == 0 && n > 0) {
		r = recover_batch(&n);
		total += n;
	}
	if (r == 0)
		r = engine.ops->commit(engine.store);
	if (r < 0)
		engine.ops->rollback(engine.store);
	else if (total > 0)
		log_info("tasks of a service that died were taken back", "n=%zu", total);
	return r;
}

static int load_queues(void)
{
	char **names = NULL;
	size_t n = 0;
	int r = engine.ops->queues(engine.store, &names, &n);

	for (size_t i = 0; i < n && r == 0; i++) {
		struct task_queue *q = task_queue_get(names[i]);

		r = engine.ops->count(engine.store, q->name, TASK_QUEUED, &q->n_queued);
		q->due = true;
	}
	store_queues_free(names, n);
	return r;
}

static void copy_config(const struct task_config *config)
{
	struct task_queue_config *queues = xcalloc(config->n_queues + 1, sizeof *queues);

	engine.config = *config;
	for (size_t i = 0; i < config->n_queues; i++) {
		queues[i] = config->queues[i];
		queues[i].name = xstrdup(queues[i].name);
	}
	engine.config.queues = queues;
}

static void free_config(void)
{
	for (size_t i = 0; i < engine.config.n_queues; i++)
		free((char *)engine.config.queues[i].name);
	free((void *)engine.config.queues);
	free(engine.owner);
	map_deinit(&engine.runs);
	engine = (struct task_engine){0};
}

static char *owner_name(void)
{
	char host[256] = "";

	gethostname(host, sizeof host - 1);
	return xasprintf("%s/%ld", host, (long)getpid());
}

static int start_store(char *why, size_t why_size)
{
	int r = recover();

	/* Nowhere to record what a former service left: for that there is the reserve. */
	if (r == -ERRAND_RESOURCE_EXHAUSTED && engine.ops->spend_reserve != NULL &&
	    engine.ops->take_reserve(engine.store) && engine.ops->spend_reserve(engine.store))
		r = recover();
	if (r == 0)
		r = load_queues();
	if (r < 0) {
		snprintf(why, why_size, "%s", engine.ops->error(engine.store));
		engine.ops->close(engine.store);
		return r;
	}
	store_thread_on_death(engine.config.store_died);
	r = store_thread_start(engine.ops, engine.store);
	if (r < 0) {
		snprintf(why, why_size, "cannot make the store's thread");
		engine.ops->close(engine.store);
	}
	return r;
}

int task_init(const struct task_config *config, char *why, size_t why_size)
{
	const char *arg;
	struct task_queue *q;
	int r;

	engine = (struct task_engine){.ops = store_kind(config->store, &arg)};
	if (engine.ops == NULL) {
		snprintf(why, why_size, "store %s: no such kind; write memory or sqlite:FILE",
			 config->store);
		return -ERRAND_INVALID_ARGUMENT;
	}
	r = engine.ops->open(arg, &engine.store, why, why_size);
	if (r < 0)
		return r;
	if (engine.ops->set_reserve != NULL)
		engine.ops->set_reserve(engine.store, config->store_reserve);
	copy_config(config);
	engine.owner = owner_name();
	engine.clock_offset_us = clock_wall_us() - clock_mono_ns() / 1000;
	r = start_store(why, why_size);
	if (r < 0) {
		task_queue_free_all();
		free_config();
		return r;
	}
	for (size_t pos = 0; (q = map_next(&engine.queues, &pos)) != NULL;)
		task_queue_kick(q);
	return 0;
}

void task_drain_begin(void)
{
	engine.draining = true;
	task_queue_stop_all();
}

void task_deinit(void)
{
	engine.draining = true;
	task_watch_end_all();
	task_wait_end_all();
	store_thread_stop();
	task_run_free_all();
	task_watch_end_all();
	task_wait_end_all();
	loop_timer_cancel(&engine.interrupt_timer);
	task_queue_free_all();
	free_config();
}
