/* task_spec.c: see task_spec.h. An Idempotency-Key's record: the key -> fingerprint and
 * id of the task. */
#include "service/task_spec.h"

#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/task_after.h"
#include "service/task_clock.h"
#include "service/task_engine.h"
#include "service/task_metadata.h"
#include "service/task_pack.h"
#include "service/task_settings.h"
#include "service/task_unique.h"

#define TICK_MAX 256

/* --- preparing --- */

static int64_t first_of(int64_t a, int64_t b)
{
	return a != 0 ? a : b;
}

/* While its turn goes by the wall clock, so does its start deadline (task_move.c). */
static void set_times(struct task_row *row, const struct task_options *o,
		      const struct schema_method *m)
{
	int64_t now = task_clock_us();
	int64_t start = first_of(o->start_deadline_us, m->start_deadline_ns / 1000);
	int64_t total = first_of(o->total_timeout_us, m->total_timeout_ns / 1000);

	row->create_us = clock_wall_us();
	row->run_at_us = now + o->delay_us;
	if (o->run_at_us > row->create_us) {
		row->run_at_us = o->run_at_us;
		row->flags |= TASK_BY_WALL;
	}
	row->start_by_us = start ? row->run_at_us + start : 0;
	row->finish_by_us = total ? now + total : 0;
	row->ttl_us = first_of(first_of(o->result_ttl_us, m->result_ttl_ns / 1000),
			       engine.config.result_ttl_us);
	if (row->ttl_us == 0)
		row->ttl_us = TASK_TTL_DEFAULT_US;
}

static const char *queue_name(const struct task_options *o, const struct method *m)
{
	return o->queue != NULL ? o->queue : m->queue;
}

/* What steered this one request is not the task's. */
static bool keep_metadata(struct bytes key)
{
	static const char *const drop[] = {"errand-task", "prefer-async", "prefer-wait", "accept",
					   "if-none-match", "last-event-id", "idempotency-key", "if-match"};

	for (size_t i = 0; i < ARRAY_LEN(drop); i++)
		if (key.len == strlen(drop[i]) && memcmp(key.data, drop[i], key.len) == 0)
			return false;
	return true;
}

/* The queue's callback, as if the task had been told so. */
static void add_callback(struct task_new *n)
{
	AUTO_BUF callback = BUF_INIT;

	if (!task_settings_callback(n->row.queue, &callback))
		return;
	pbuf_put_bytes(&n->row.options, TASK_OPTIONS_CALLBACK, callback.data, callback.len);
	n->row.flags |= TASK_HAS_CALLBACK;
	n->flags = n->row.flags;
}

void task_new_init(struct task_new *n, const struct task_spec *spec)
{
	const struct schema_method *m = spec->method->schema;
	struct task_row *row = &n->row;

	*n = (struct task_new){0};
	task_options_read(spec->options, &n->options, NULL);
	uuid_new(&row->id);
	row->method = xstrdup(m->full_name);
	row->queue = xstrdup(queue_name(&n->options, spec->method));
	row->schedule = spec->schedule ? xstrdup(spec->schedule) : NULL;
	row->parts = PART_ALL;
	row->priority = n->options.priority ? n->options.priority : m->priority;
	set_times(row, &n->options, m);
	row->flags |= (n->options.n_labels ? TASK_HAS_LABELS : 0) |
		      (n->options.callback_url ? TASK_HAS_CALLBACK : 0) |
		      (n->options.n_after ? TASK_HAS_PARENTS : 0);
	n->flags = row->flags;
	buf_append(&row->input, spec->input.data, spec->input.len);
	buf_append(&row->options, spec->options.data, spec->options.len);
	if (n->options.callback_url == NULL)
		add_callback(n);
	for (size_t i = 0; i < spec->n_metadata; i++)
		if (keep_metadata(spec->metadata[i].key))
			task_metadata_put(&row->metadata, &spec->metadata[i]);
	if (spec->key != NULL) {
		n->key = xstrdup(spec->key);
		memcpy(n->fingerprint, spec->fingerprint, sizeof n->fingerprint);
	}
}

void task_new_deinit(struct task_new *n)
{
	task_row_deinit(&n->row);
	task_row_deinit(&n->other);
	task_options_deinit(&n->options);
	free(n->key);
	*n = (struct task_new){0};
}

/* --- inserting --- */

static int get_other(struct task_new *n, struct task_move *m, const struct uuid *id)
{
	return m->ops->get(m->store, id, PART_ALL, &n->other);
}

/* True: the key answers the request (or *codep is an error). A task that somebody has
 * deleted since frees its key. */
static bool seen_before(struct task_new *n, struct task_move *m, int *codep)
{
	struct bytes key = {(const uint8_t *)n->key, strlen(n->key)};
	struct record r = {0};
	bool seen = false;
	struct uuid id;

	*codep = m->ops->get_record(m->store, RECORD_IDEMPOTENCY, key, &r);
	if (*codep == 0 && r.data.len == sizeof n->fingerprint + sizeof id &&
	    r.due_us > m->clock_us) {
		memcpy(id.b, r.data.data + sizeof n->fingerprint, sizeof id.b);
		*codep = get_other(n, m, &id);
		seen = *codep == 0;
		if (seen)
			n->found = memcmp(r.data.data, n->fingerprint, sizeof n->fingerprint) == 0 ?
				TASK_REPLAYED : TASK_KEY_REUSED;
	}
	record_deinit(&r);
	if (*codep == -ERRAND_NOT_FOUND)
		*codep = 0;
	return seen || *codep < 0;
}

static int remember_key(struct task_new *n, struct task_move *m)
{
	struct record r = {.kind = RECORD_IDEMPOTENCY, .due_us = m->clock_us + TASK_KEY_TTL_US};
	int code;

	buf_append(&r.key, n->key, strlen(n->key));
	buf_append(&r.data, n->fingerprint, sizeof n->fingerprint);
	buf_append(&r.data, n->row.id.b, sizeof n->row.id.b);
	code = m->ops->put_record(m->store, &r);
	record_deinit(&r);
	return code;
}

/* True: another task has the key, and that is the answer (or *codep is an error). */
static bool key_taken(struct task_new *n, struct task_move *m, int *codep)
{
	const struct task_options *o = &n->options;
	struct uuid holder;
	int r = task_unique_take(m, o->unique_key, o->unique_window_us, &holder);

	if (r == -ERRAND_ALREADY_EXISTS && o->on_conflict == CONFLICT_WAIT) {
		*codep = task_unique_wait(m, o->unique_key);
		return *codep < 0;
	}
	if (r == -ERRAND_ALREADY_EXISTS) {
		n->found = o->on_conflict == CONFLICT_USE_EXISTING ? TASK_USED : TASK_CONFLICT;
		*codep = get_other(n, m, &holder);
		return true;
	}
	*codep = r;
	return r < 0;
}

/* A task whose parent has failed already is made all the same: its end is told as any. */
static int make(struct task_new *n, struct task_move *m)
{
	int r = task_after_link(m, &n->options);

	if (r == 0)
		r = task_move_create(m);
	return r == 0 ? task_after_made(m, &n->options) : r;
}

int task_new_insert(struct task_new *n, const struct store_ops *ops, struct store *s,
		    struct task_changes *changes)
{
	struct task_move m = task_move_begin(ops, s, &n->row, changes);
	int r;

	task_row_deinit(&n->other);
	n->found = TASK_MADE;
	n->row.state = 0;
	n->row.version = 0;
	n->row.flags = n->flags;
	n->row.blockers = 0;
	n->row.reason = REASON_NONE;
	buf_reset(&n->row.error);
	if (n->key != NULL && seen_before(n, &m, &r))
		return r;
	if (n->full) {
		n->found = TASK_NO_ROOM;
		return 0;
	}
	r = task_after_check(&m, &n->options, &n->parent);
	if (r != 0) {
		n->found = TASK_NO_PARENT;
		return r < 0 ? r : 0;
	}
	if (n->options.unique_key != NULL && key_taken(n, &m, &r))
		return r;
	r = n->key != NULL ? remember_key(n, &m) : 0;
	return r < 0 ? r : make(n, &m);
}

int task_key_tick(const struct store_ops *ops, struct store *s)
{
	struct record *rows = NULL;
	size_t n = 0;
	int r = ops->due_records(s, RECORD_IDEMPOTENCY, task_clock_us(), TICK_MAX, &rows, &n);

	for (size_t i = 0; i < n && r == 0; i++)
		r = ops->remove_record(s, RECORD_IDEMPOTENCY, buf_bytes(&rows[i].key));
	records_free(rows, n);
	return r;
}
