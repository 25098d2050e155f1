/* task.c: the engine's beginning and end, and what callers ask of it: each request
 * is one op of the store thread, answered on the loop after COMMIT. */
#define _GNU_SOURCE
#include "service/task.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/hook_move.h"
#include "service/if_match.h"
#include "service/lease.h"
#include "service/metrics.h"
#include "service/task_after.h"
#include "service/task_api.h"
#include "service/task_clock.h"
#include "service/task_engine.h"
#include "service/task_list.h"
#include "service/task_live.h"
#include "service/task_pack.h"
#include "service/task_run.h"
#include "service/task_settings.h"
#include "service/task_unique.h"

#define RECOVER_BATCH 256

struct task_engine engine;

/* --- ops that ask for one task --- */

struct ask {
	struct store_op op;
	int (*act)(struct ask *a, struct task_move *m); /* on the row; NULL = only shows it */
	task_done done;
	void *arg;
	struct task_row row;
	struct task_changes changes;
	char *if_match;            /* owned; NULL */
	const char *able;          /* "only an ended one can be retried" */
	char say[96];              /* when that names a task */
	struct task_patch patch;   /* labels owned */
	char id[40]; /* as given; the longest that can be right is 36 */
};

int task_find(const struct store_ops *ops, struct store *s, const char *text, struct uuid *out)
{
	if (uuid_parse(text, out))
		return 0;
	return ops->find_tail(s, text, out);
}

int task_read(const struct store_ops *ops, struct store *s, const struct uuid *id, unsigned parts,
	      struct task_row *out)
{
	struct record grave = {0};
	int r = ops->get(s, id, parts, out);

	if (r != -ERRAND_NOT_FOUND)
		return r;
	r = ops->get_record(s, RECORD_TOMBSTONE, (struct bytes){id->b, sizeof id->b}, &grave);
	record_deinit(&grave);
	return r == 0 ? -TASK_GONE : r;
}

const char *task_why(int code, const char *id, char *why, size_t size)
{
	char error[256];

	if (code == -ERRAND_NOT_FOUND)
		snprintf(why, size, "there is no task %.40s", id);
	else if (code == -TASK_GONE)
		snprintf(why, size, "task %.40s has ended and was forgotten", id);
	else if (code == -TASK_STALE)
		snprintf(why, size, "task %.40s has changed since: read it again", id);
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
	struct task_move m = task_move_begin(ops, s, &a->row, &a->changes);
	char etag[TASK_ETAG_SIZE];
	struct uuid id = {0};
	int r = task_find(ops, s, a->id, &id);

	task_row_deinit(&a->row);
	task_changes_reset(&a->changes);
	if (r == 0)
		r = task_read(ops, s, &id, PART_ALL, &a->row);
	if (r == 0 && a->if_match != NULL && !if_match_names(a->if_match, task_etag(&a->row, etag)))
		r = -TASK_STALE;
	return r < 0 || a->act == NULL ? r : a->act(a, &m);
}

static void ask_answer(struct ask *a, int code)
{
	char why[320];

	if (code == 0) {
		a->done(0, NULL, &a->row, a->arg);
	} else if (code == -TASK_NOT_ALLOWED) {
		snprintf(why, sizeof why, "the task is %s: %s", task_state_name(a->row.state), a->able);
		a->done(TASK_NOT_ALLOWED, why, NULL, a->arg);
	} else {
		a->done(task_caller_code(code), task_why(code, a->id, why, sizeof why), NULL, a->arg);
	}
}

static void ask_done(struct store_op *op, int code)
{
	struct ask *a = CONTAINER_OF(op, struct ask, op);

	if (code == 0)
		task_publish(&a->changes);
	ask_answer(a, code);
	task_row_deinit(&a->row);
	task_changes_deinit(&a->changes);
	for (size_t i = 0; i < a->patch.n_labels; i++) {
		free(a->patch.labels[i].key);
		free(a->patch.labels[i].value);
	}
	free((void *)a->patch.labels);
	free(a->if_match);
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

/* able: what is said where the state does not allow it. */
static struct ask *ask_change(const char *id, const char *if_match,
			      int (*act)(struct ask *, struct task_move *), const char *able,
			      task_done done, void *arg)
{
	struct ask *a = ask_new(id, done, arg);

	a->if_match = if_match != NULL ? xstrdup(if_match) : NULL;
	a->act = act;
	a->able = able;
	a->op.writes = true;
	return a;
}

static int act_cancel(struct ask *a, struct task_move *m)
{
	bool asked = a->row.state == TASK_CANCELLING || task_state_terminal(a->row.state);

	return asked ? 0 : task_move_cancel(m);
}

/* A unique key is taken again, if it is free: the retry is another life. */
static int act_retry(struct ask *a, struct task_move *m)
{
	struct task_options o;
	struct uuid holder;
	int r = 0;

	if (!task_state_terminal(a->row.state))
		return -TASK_NOT_ALLOWED;
	task_options_read(buf_bytes(&a->row.options), &o, NULL);
	if (o.unique_key != NULL && o.unique_window_us == 0)
		r = task_unique_take(m, o.unique_key, 0, &holder);
	task_options_deinit(&o);
	if (r == -ERRAND_ALREADY_EXISTS)
		a->able = "another live task has its unique key";
	return r == -ERRAND_ALREADY_EXISTS ? -TASK_NOT_ALLOWED : r < 0 ? r : task_move_requeue(m);
}

static int act_delete(struct ask *a, struct task_move *m)
{
	bool needed = false;
	struct uuid child;
	char id[UUID_TEXT_SIZE];
	int r = 0;

	if (!task_state_terminal(a->row.state))
		return -TASK_NOT_ALLOWED;
	if (a->row.flags & TASK_HAS_CHILDREN)
		r = task_after_needed(m->ops, m->store, &a->row.id, &needed, &child);
	if (r == 0 && !needed)
		r = task_labels_drop(m->ops, m->store, &a->row);
	if (r < 0 || !needed)
		return r < 0 ? r : m->ops->remove(m->store, &a->row.id);
	snprintf(a->say, sizeof a->say, "task %s comes after it and has not ended", uuid_format(&child, id));
	a->able = a->say;
	return -TASK_NOT_ALLOWED;
}

static int act_hold(struct ask *a, struct task_move *m)
{
	if (!task_state_waiting(a->row.state))
		return -TASK_NOT_ALLOWED;
	return a->row.state == TASK_HELD ? 0 : task_move_hold(m);
}

static int act_release(struct ask *a, struct task_move *m)
{
	return a->row.state == TASK_HELD ? task_move_release(m) : -TASK_NOT_ALLOWED;
}

static int act_run_now(struct ask *a, struct task_move *m)
{
	if (a->row.state == TASK_QUEUED)
		return 0;
	if (a->row.state != TASK_SCHEDULED && a->row.state != TASK_RETRYING)
		return -TASK_NOT_ALLOWED;
	return task_move_run_now(m);
}

void task_cancel(const char *id, const char *if_match, task_done done, void *arg)
{
	struct ask *a = ask_change(id, if_match, act_cancel, "", done, arg);

	a->op.finishes = true;
	store_thread_submit(&a->op);
}

void task_retry(const char *id, const char *if_match, task_done done, void *arg)
{
	store_thread_submit(&ask_change(id, if_match, act_retry, "only an ended one can be retried", done,
					arg)->op);
}

void task_delete(const char *id, const char *if_match, task_done done, void *arg)
{
	struct ask *a = ask_change(id, if_match, act_delete, "only an ended one can be deleted", done, arg);

	a->op.finishes = true; /* makes room */
	store_thread_submit(&a->op);
}

void task_hold(const char *id, const char *if_match, task_done done, void *arg)
{
	store_thread_submit(&ask_change(id, if_match, act_hold, "only a waiting one can be held", done,
					arg)->op);
}

void task_release(const char *id, const char *if_match, task_done done, void *arg)
{
	store_thread_submit(&ask_change(id, if_match, act_release, "only a held one can be released", done,
					arg)->op);
}

void task_run_now(const char *id, const char *if_match, task_done done, void *arg)
{
	store_thread_submit(&ask_change(id, if_match, act_run_now, "only one that waits for its time or its "
					"retry can be run now", done, arg)->op);
}

static int patch_labels(struct ask *a, struct task_move *m)
{
	AUTO_BUF options = BUF_INIT;
	struct task_row *row = &a->row;
	int r = task_labels_drop(m->ops, m->store, row);

	task_options_put_labels(buf_bytes(&row->options), a->patch.labels, a->patch.n_labels, &options);
	buf_reset(&row->options);
	buf_append(&row->options, options.data, options.len);
	row->flags &= ~(unsigned)TASK_HAS_LABELS;
	row->flags |= a->patch.n_labels ? TASK_HAS_LABELS : 0;
	return r < 0 ? r : task_labels_put(m->ops, m->store, row);
}

static int act_patch(struct ask *a, struct task_move *m)
{
	const struct task_patch *p = &a->patch;
	struct task_row *row = &a->row;
	int r = 0;

	if (p->version != 0 && p->version != row->version)
		return -TASK_STALE;
	if (!task_state_waiting(row->state) && (p->set_priority || p->set_run_at))
		return -TASK_NOT_ALLOWED;
	if (p->set_priority)
		row->priority = p->priority;
	if (p->set_run_at)
		task_move_set_run_at(m, p->run_at_us ? p->run_at_us : m->now_us);
	if (p->set_labels)
		r = patch_labels(a, m);
	return r < 0 ? r : task_move_patched(m, p->set_labels ? PART_OPTIONS : 0);
}

void task_patch(const char *id, const struct task_patch *patch, task_done done, void *arg)
{
	struct ask *a = ask_change(id, NULL, act_patch, "the priority and the time of a waiting one only can "
				   "be changed", done, arg);
	struct task_label *labels = xcalloc(patch->n_labels + 1, sizeof *labels);

	for (size_t i = 0; i < patch->n_labels; i++)
		labels[i] = (struct task_label){xstrdup(patch->labels[i].key),
						xstrdup(patch->labels[i].value)};
	a->patch = *patch;
	a->patch.labels = labels;
	store_thread_submit(&a->op);
}

/* --- creating --- */

struct create {
	struct store_op op;
	struct loop_job refused; /* instead of op: the queue is full */
	struct task_queue *queue;
	struct task_new task;
	struct task_changes changes;
	task_created done;
	void *arg;
};

static int create_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct create *c = CONTAINER_OF(op, struct create, op);

	task_changes_reset(&c->changes);
	return task_new_insert(&c->task, ops, s, &c->changes);
}

static void create_free(struct create *c)
{
	task_new_deinit(&c->task);
	task_changes_deinit(&c->changes);
	free(c);
}

static void create_tell_full(struct create *c)
{
	char why[160];

	snprintf(why, sizeof why, "queue %.60s is full (%llu tasks wait): try again later", c->queue->name,
		 (unsigned long long)c->queue->max_depth);
	c->done(ERRAND_RESOURCE_EXHAUSTED, TASK_NO_ROOM, why, NULL, c->arg);
}

static void create_tell(struct create *c)
{
	const struct task_new *n = &c->task;
	char why[320], id[UUID_TEXT_SIZE] = "";

	switch (n->found) {
	case TASK_MADE:
	case TASK_REPLAYED:
	case TASK_USED:
		c->done(0, n->found, NULL, task_new_row(n), c->arg);
		return;
	case TASK_CONFLICT:
		snprintf(why, sizeof why, "task %s, which is %s, has the unique key %.100s",
			 uuid_format(&n->other.id, id), task_state_name(n->other.state),
			 n->options.unique_key);
		c->done(ERRAND_ALREADY_EXISTS, n->found, why, &n->other, c->arg);
		return;
	case TASK_KEY_REUSED:
		snprintf(why, sizeof why, "the Idempotency-Key was used for another request: for task %s",
			 uuid_format(&n->other.id, id));
		c->done(ERRAND_INVALID_ARGUMENT, n->found, why, &n->other, c->arg);
		return;
	case TASK_NO_PARENT:
		snprintf(why, sizeof why, "after: there is no task %s",
			 uuid_format(&n->options.after[n->parent], id));
		c->done(ERRAND_INVALID_ARGUMENT, n->found, why, NULL, c->arg);
		return;
	case TASK_NO_ROOM:
		create_tell_full(c);
		return;
	}
}

static void create_done(struct store_op *op, int code)
{
	struct create *c = CONTAINER_OF(op, struct create, op);
	char why[320];

	c->queue->n_creating--;
	if (code == 0) {
		create_tell(c);
		task_publish(&c->changes);
	} else {
		c->done(task_caller_code(code), TASK_MADE, task_why(code, "", why, sizeof why), NULL, c->arg);
	}
	create_free(c);
}

static void create_refused(struct loop_job *job)
{
	struct create *c = CONTAINER_OF(job, struct create, refused);

	create_tell_full(c);
	create_free(c);
}

/* A full queue refuses at once, but for a key that may have its task already.
 * The claim goes right behind: it sees the new row in the same transaction. */
void task_create(const struct task_spec *spec, task_created done, void *arg)
{
	struct create *c = xcalloc(1, sizeof *c);
	struct task_queue *q;

	c->done = done;
	c->arg = arg;
	task_new_init(&c->task, spec);
	c->queue = q = task_queue_get(c->task.row.queue);
	c->task.full = q->max_depth > 0 && q->n_queued + q->n_creating >= q->max_depth;
	if (c->task.full && spec->key == NULL) {
		c->refused.run = create_refused;
		loop_post(&c->refused);
		return;
	}
	c->op = (struct store_op){.run = create_run, .done = create_done, .writes = true};
	q->n_creating++;
	store_thread_submit(&c->op);
	task_queue_kick(q);
}

/* --- start and stop --- */

/* The lock on the store says that its former owner is dead, so there is nothing to
 * wait for: what he ran is taken back at once, in one transaction. */
static int recover(void)
{
	struct task_changes changes = {0};
	size_t n = 1, total = 0;
	int r = engine.ops->begin(engine.store);

	if (r == 0)
		r = task_clock_check(engine.ops, engine.store);
	while (r == 0 && n > 0) {
		r = task_take_back(engine.ops, engine.store, lease_owner(), true, &changes, RECOVER_BATCH, &n);
		task_changes_reset(&changes);
		total += n;
	}
	task_changes_deinit(&changes);
	if (r == 0)
		r = engine.ops->commit(engine.store);
	if (r < 0)
		engine.ops->rollback(engine.store);
	else if (total > 0)
		log_info("tasks of a service that died were taken back", "n=%zu", total);
	prom_add(&metrics.attempts[OUTCOME_LEASE_LOST], r < 0 ? 0 : total);
	return r;
}

static int load_queues(void)
{
	char **names = NULL;
	size_t n = 0;
	int r = engine.ops->queues(engine.store, &names, &n);

	for (size_t i = 0; task_settings_name(i) != NULL; i++)
		task_queue_get(task_settings_name(i));
	for (size_t i = 0; i < n && r == 0; i++) {
		struct task_queue *q = task_queue_get(names[i]);

		r = engine.ops->count(engine.store, q->name, TASK_QUEUED, &q->n_queued);
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
	task_settings_free();
	for (size_t i = 0; i < engine.config.n_queues; i++)
		free((char *)engine.config.queues[i].name);
	free((void *)engine.config.queues);
	map_deinit(&engine.runs);
	engine = (struct task_engine){0};
}

static int start_store(char *why, size_t why_size)
{
	int r = task_clock_init(engine.ops, engine.store);

	if (r == 0)
		r = recover();
	/* Nowhere to record what a former service left: for that there is the reserve. */
	if (r == -ERRAND_RESOURCE_EXHAUSTED && engine.ops->spend_reserve != NULL &&
	    engine.ops->take_reserve(engine.store) && engine.ops->spend_reserve(engine.store))
		r = recover();
	if (r == 0)
		r = task_settings_load(engine.ops, engine.store);
	if (r == 0 && engine.config.load != NULL)
		r = engine.config.load(engine.ops, engine.store);
	if (r == 0)
		r = load_queues();
	if (r < 0) {
		snprintf(why, why_size, "%s", engine.ops->error(engine.store));
		engine.ops->close(engine.store);
		return r;
	}
	store_thread_on_death(engine.config.store_died);
	r = lease_start();
	if (r == 0)
		r = store_thread_start(engine.ops, engine.store);
	if (r < 0) {
		lease_stop();
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
	lease_init();
	r = start_store(why, why_size);
	if (r < 0) {
		task_queue_free_all();
		free_config();
		return r;
	}
	for (size_t pos = 0; (q = map_next(&engine.queues, &pos)) != NULL;)
		task_queue_kick(q);
	task_tick_start();
	return 0;
}

/* --- what was committed --- */

static void publish(const struct task_change *c)
{
	struct task_queue *q = task_queue_get(c->queue);

	if (c->was == TASK_QUEUED && c->is != TASK_QUEUED && q->n_queued > 0)
		q->n_queued--;
	if (c->was != TASK_QUEUED && c->is == TASK_QUEUED) {
		q->n_queued++;
		task_queue_kick(q);
	}
	if (c->is == TASK_CANCELLING && c->was != TASK_CANCELLING)
		task_run_cancel(&c->id);
	if (c->wake_us != 0)
		task_tick_at(c->wake_us, c->wake_wall);
	if (c->n > 0) {
		task_watch_publish(c);
		task_wait_publish(c);
	}
}

void task_publish(const struct task_changes *changes)
{
	for (size_t i = 0; i < changes->n; i++) {
		prom_count(&metrics.moves[changes->list[i].is]);
		publish(&changes->list[i]);
		task_live_publish(&changes->list[i]);
	}
	hook_publish(changes);
}

void task_drain_begin(void)
{
	engine.draining = true;
	task_queue_stop_all();
	task_tick_stop();
}

void task_deinit(void)
{
	engine.draining = true;
	task_tick_stop();
	lease_stop();
	task_watch_end_all();
	task_wait_end_all();
	task_live_end_all();
	store_thread_stop();
	task_tick_stop();
	task_run_free_all();
	task_watch_end_all();
	task_wait_end_all();
	task_live_end_all();
	loop_timer_cancel(&engine.interrupt_timer);
	task_queue_free_all();
	free_config();
}
