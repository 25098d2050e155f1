/* store_sqlite.c: tasks in an SQLite file: WAL, synchronous=FULL, one connection
 * that nobody shares (locking_mode=EXCLUSIVE also keeps foreign checkpointers
 * out: SQLite before 3.51.3 can lose a reset log to a second one). Prepared
 * statements live as long as the store. Store thread.
 *
 *   task       hot: what claims, lists and moves need; clustered by id
 *   task_data  input, result, error, metadata: written once, read rarely. Input and
 *              metadata come together with every task, so they are one row
 *   attempt, event  history
 *
 * Four indexes: what can be claimed (queued ones by priority and age), what the clock
 * wakes, what it forgets, and every task by state. */
#include "service/store_sqlite.h"

#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"

#define JOINED_MAX 4096 /* bytes; larger ones are not copied for it */

/* --- values --- */

void sqlite_bind_id(sqlite3_stmt *st, int at, const struct uuid *id)
{
	sqlite3_bind_blob(st, at, id->b, sizeof id->b, SQLITE_STATIC);
}

void sqlite_bind_text(sqlite3_stmt *st, int at, const char *text)
{
	sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

void sqlite_bind_buf(sqlite3_stmt *st, int at, const struct buf *b)
{
	if (b->len == 0)
		sqlite3_bind_null(st, at);
	else
		sqlite3_bind_blob64(st, at, b->data, b->len, SQLITE_STATIC);
}

static int run_with_id(struct store *s, enum statement which, const struct uuid *id)
{
	sqlite3_stmt *st = sqlite_statement(s, which);

	sqlite_bind_id(st, 1, id);
	return sqlite_run(s, st);
}

static void column_id(sqlite3_stmt *st, int at, struct uuid *out)
{
	const void *data = sqlite3_column_blob(st, at);

	if (sqlite3_column_bytes(st, at) == sizeof out->b)
		memcpy(out->b, data, sizeof out->b);
}

static char *column_text(sqlite3_stmt *st, int at)
{
	const char *text = (const char *)sqlite3_column_text(st, at);

	return text == NULL ? NULL : xstrndup(text, (size_t)sqlite3_column_bytes(st, at));
}

void sqlite_column_buf(sqlite3_stmt *st, int at, struct buf *out)
{
	const void *data = sqlite3_column_blob(st, at);

	if (data != NULL)
		buf_append(out, data, (size_t)sqlite3_column_bytes(st, at));
}

static void bind_task(sqlite3_stmt *st, const struct task_row *t)
{
	sqlite_bind_id(st, 1, &t->id);
	sqlite3_bind_int(st, 4, t->state);
	sqlite3_bind_int(st, 5, t->priority);
	sqlite3_bind_int64(st, 6, (int64_t)t->version);
	sqlite3_bind_int64(st, 7, t->attempt);
	sqlite3_bind_int64(st, 8, t->failures);
	sqlite3_bind_int64(st, 9, t->crash_count);
	sqlite3_bind_int64(st, 11, t->start_us);
	sqlite3_bind_int64(st, 12, t->end_us);
	sqlite3_bind_int64(st, 13, t->run_at_us);
	sqlite3_bind_double(st, 14, t->progress);
	sqlite_bind_text(st, 15, t->progress_message);
	sqlite3_bind_int64(st, 16, t->flags);
	sqlite3_bind_int64(st, 17, (int64_t)t->log_bytes);
	sqlite3_bind_int64(st, 18, (int64_t)t->log_dropped);
	sqlite3_bind_int64(st, 19, t->start_by_us);
	sqlite3_bind_int64(st, 20, t->finish_by_us);
	sqlite3_bind_int64(st, 21, t->ttl_us);
	sqlite3_bind_int64(st, 22, t->wake_us);
	sqlite3_bind_int(st, 23, t->wake_wall);
	sqlite3_bind_int(st, 24, t->reason);
	sqlite3_bind_int64(st, 25, t->blockers);
	sqlite3_bind_int64(st, 26, (int64_t)t->owner);
}

void sqlite_borrow_task(sqlite3_stmt *st, struct task_row *t)
{
	*t = (struct task_row){0};
	column_id(st, 0, &t->id);
	t->method = (char *)sqlite3_column_text(st, 1);
	t->queue = (char *)sqlite3_column_text(st, 2);
	t->state = (enum task_state)sqlite3_column_int(st, 3);
	t->priority = sqlite3_column_int(st, 4);
	t->version = (uint64_t)sqlite3_column_int64(st, 5);
	t->attempt = (uint32_t)sqlite3_column_int64(st, 6);
	t->failures = (uint32_t)sqlite3_column_int64(st, 7);
	t->crash_count = (uint32_t)sqlite3_column_int64(st, 8);
	t->create_us = sqlite3_column_int64(st, 9);
	t->start_us = sqlite3_column_int64(st, 10);
	t->end_us = sqlite3_column_int64(st, 11);
	t->run_at_us = sqlite3_column_int64(st, 12);
	t->progress = sqlite3_column_double(st, 13);
	t->progress_message = (char *)sqlite3_column_text(st, 14);
	t->flags = (unsigned)sqlite3_column_int64(st, 15);
	t->log_bytes = (uint64_t)sqlite3_column_int64(st, 16);
	t->log_dropped = (uint64_t)sqlite3_column_int64(st, 17);
	t->start_by_us = sqlite3_column_int64(st, 18);
	t->finish_by_us = sqlite3_column_int64(st, 19);
	t->ttl_us = sqlite3_column_int64(st, 20);
	t->wake_us = sqlite3_column_int64(st, 21);
	t->wake_wall = sqlite3_column_int(st, 22);
	t->reason = (enum task_reason)sqlite3_column_int(st, 23);
	t->blockers = (uint32_t)sqlite3_column_int64(st, 24);
	t->owner = (uint64_t)sqlite3_column_int64(st, 25);
	t->schedule = (char *)sqlite3_column_text(st, 26);
}

void sqlite_read_task(sqlite3_stmt *st, struct task_row *t)
{
	sqlite_borrow_task(st, t);
	t->method = column_text(st, 1);
	t->queue = column_text(st, 2);
	t->progress_message = column_text(st, 14);
	t->schedule = column_text(st, 26);
}

static struct buf *part_of(struct task_row *t, unsigned part)
{
	switch (part) {
	case PART_INPUT: return &t->input;
	case PART_RESULT: return &t->result;
	case PART_ERROR: return &t->error;
	case PART_METADATA: return &t->metadata;
	case PART_OPTIONS: return &t->options;
	case PART_CHECKPOINT: return &t->checkpoint;
	case PART_DETAIL: return &t->detail;
	default: return NULL;
	}
}

static int put_part(struct store *s, const struct task_row *t, unsigned part)
{
	const struct buf *b = part_of((struct task_row *)t, part);
	sqlite3_stmt *st = sqlite_statement(s, b->len ? S_PUT_DATA : S_DROP_DATA);

	sqlite_bind_id(st, 1, &t->id);
	sqlite3_bind_int(st, 2, (int)part);
	if (b->len)
		sqlite_bind_buf(st, 3, b);
	return sqlite_run(s, st);
}

/* The length of the metadata, they, and the input. */
static int put_joined(struct store *s, const struct task_row *t)
{
	sqlite3_stmt *st = sqlite_statement(s, S_PUT_DATA);

	buf_reset(&s->joined);
	pbuf_put_varint(&s->joined, t->metadata.len);
	buf_append(&s->joined, t->metadata.data, t->metadata.len);
	buf_append(&s->joined, t->input.data, t->input.len);
	sqlite_bind_id(st, 1, &t->id);
	sqlite3_bind_int(st, 2, PARTS_OF_BIRTH);
	sqlite_bind_buf(st, 3, &s->joined);
	return sqlite_run(s, st);
}

static int put_birth(struct store *s, const struct task_row *t)
{
	int r = 0;

	if (t->metadata.len > 0 && t->input.len > 0 && t->input.len + t->metadata.len <= JOINED_MAX)
		return put_joined(s, t);
	if (t->metadata.len > 0)
		r = put_part(s, t, PART_METADATA);
	return r == 0 && t->input.len > 0 ? put_part(s, t, PART_INPUT) : r;
}

/* A row that is not as put_joined has written it is no empty input. */
static int split_joined(struct store *s, sqlite3_stmt *st, unsigned parts, struct task_row *t)
{
	const void *data = sqlite3_column_blob(st, 1);
	struct pbuf_reader r = pbuf_reader(data, (size_t)sqlite3_column_bytes(st, 1));
	uint64_t len = 0;

	if (!pbuf_read_varint(&r, &len) || len > (uint64_t)(r.end - r.p)) {
		snprintf(s->why, sizeof s->why, "store %s: the input of a task is damaged", s->file.path);
		return -ERRAND_DATA_LOSS;
	}
	if (parts & PART_METADATA)
		buf_append(&t->metadata, r.p, len);
	if (parts & PART_INPUT)
		buf_append(&t->input, r.p + len, (size_t)(r.end - r.p) - len);
	return 0;
}

int sqlite_read_parts(struct store *s, unsigned parts, struct task_row *t)
{
	sqlite3_stmt *st;
	int r, damaged = 0;

	t->parts = parts;
	if (parts == 0)
		return 0;
	st = sqlite_statement(s, S_GET_DATA);
	sqlite_bind_id(st, 1, &t->id);
	while ((r = sqlite_next(s, st)) > 0) {
		unsigned part = (unsigned)sqlite3_column_int(st, 0);

		if (part == PARTS_OF_BIRTH && parts & part)
			damaged = split_joined(s, st, parts, t);
		else if (parts & part && part_of(t, part) != NULL)
			sqlite_column_buf(st, 1, part_of(t, part));
	}
	return r < 0 ? r : damaged;
}

/* --- tasks --- */

static int sqlite_insert(struct store *s, const struct task_row *t)
{
	sqlite3_stmt *st = sqlite_statement(s, S_INSERT);
	int r;

	bind_task(st, t);
	sqlite_bind_text(st, 2, t->method);
	sqlite_bind_text(st, 3, t->queue);
	sqlite3_bind_int64(st, 10, t->create_us);
	sqlite_bind_text(st, 27, t->schedule);
	r = sqlite_run(s, st);
	if (r == 0)
		r = put_birth(s, t);
	for (unsigned part = 1; part < PART_ALL && r == 0; part <<= 1)
		if (!(part & PARTS_OF_BIRTH) && part_of((struct task_row *)t, part)->len)
			r = put_part(s, t, part);
	return r;
}

static int sqlite_get(struct store *s, const struct uuid *id, unsigned parts, struct task_row *out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_GET);
	int r;

	sqlite_bind_id(st, 1, id);
	r = sqlite_next(s, st);
	if (r <= 0)
		return r < 0 ? r : -ERRAND_NOT_FOUND;
	sqlite_read_task(st, out);
	sqlite3_reset(st);
	r = sqlite_read_parts(s, parts, out);
	if (r < 0)
		task_row_deinit(out);
	return r;
}

static int sqlite_update(struct store *s, const struct task_row *t, unsigned parts)
{
	sqlite3_stmt *st = sqlite_statement(s, S_UPDATE);
	int r;

	bind_task(st, t);
	r = sqlite_run(s, st);
	for (unsigned part = 1; part < PART_ALL && r == 0; part <<= 1)
		if (parts & part & ~PARTS_OF_BIRTH)
			r = put_part(s, t, part);
	return r;
}

static int sqlite_remove(struct store *s, const struct uuid *id)
{
	static const enum statement all[] = {S_REMOVE, S_REMOVE_DATA, S_REMOVE_ATTEMPTS,
					     S_REMOVE_EVENTS};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(all) && r == 0; i++)
		r = run_with_id(s, all[i], id);
	return r;
}

/* Whole bytes of the tail are compared by SQLite, a half one here. */
static int sqlite_find_tail(struct store *s, const char *tail, struct uuid *out)
{
	struct uuid_tail t;
	sqlite3_stmt *st;
	int n_found = 0, r;

	if (!uuid_tail_parse(tail, &t))
		return -ERRAND_NOT_FOUND;
	st = sqlite_statement(s, S_TAIL);
	sqlite3_bind_int(st, 1, (int)(1 + sizeof out->b - t.n_nibbles / 2));
	sqlite3_bind_blob(st, 2, t.id.b + sizeof out->b - t.n_nibbles / 2, (int)t.n_nibbles / 2,
			  SQLITE_STATIC);
	while ((r = sqlite_next(s, st)) > 0) {
		struct uuid id = {0};

		column_id(st, 0, &id);
		if (!uuid_tail_match(&t, &id))
			continue;
		*out = id;
		if (++n_found > 1)
			break;
	}
	sqlite3_reset(st);
	if (r < 0)
		return r;
	return n_found == 0 ? -ERRAND_NOT_FOUND : n_found > 1 ? -ERRAND_FAILED_PRECONDITION : 0;
}

/* Appends what the statement gives to rows; room for max. */
static int read_tasks(struct store *s, sqlite3_stmt *st, struct task_row *rows, size_t max,
		      size_t *np)
{
	int r = 0;

	while (*np < max && (r = sqlite_next(s, st)) > 0)
		sqlite_read_task(st, &rows[(*np)++]);
	sqlite3_reset(st);
	return r < 0 ? r : 0;
}

static int sqlite_claimable(struct store *s, const char *queue, size_t n, struct task_row *out,
			    size_t *n_out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_CLAIMABLE);
	int r;

	*n_out = 0;
	sqlite_bind_text(st, 1, queue);
	sqlite3_bind_int64(st, 2, (int64_t)n);
	r = read_tasks(s, st, out, n, n_out);
	for (size_t i = 0; i < *n_out && r == 0; i++)
		r = sqlite_read_parts(s, PARTS_TO_RUN, &out[i]);
	for (; r < 0 && *n_out > 0; --*n_out)
		task_row_deinit(&out[*n_out - 1]);
	return r;
}

int sqlite_number(struct store *s, sqlite3_stmt *st, int64_t *out)
{
	int r = sqlite_next(s, st);

	*out = r > 0 ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	return r < 0 ? r : 0;
}

static int sqlite_waking(struct store *s, bool wall, int64_t now_us, size_t n, struct task_row *out,
			 size_t *n_out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_WAKING);

	*n_out = 0;
	sqlite3_bind_int(st, 1, wall);
	sqlite3_bind_int64(st, 2, now_us);
	sqlite3_bind_int64(st, 3, (int64_t)n);
	return read_tasks(s, st, out, n, n_out);
}

static int sqlite_next_wake(struct store *s, bool wall, int64_t *out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_NEXT_WAKE);

	sqlite3_bind_int(st, 1, wall);
	return sqlite_number(s, st, out);
}

static int sqlite_forgettable(struct store *s, int64_t now_us, size_t n, struct task_row *out,
			      size_t *n_out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_FORGETTABLE);

	*n_out = 0;
	sqlite3_bind_int64(st, 1, now_us);
	sqlite3_bind_int64(st, 2, (int64_t)n);
	return read_tasks(s, st, out, n, n_out);
}

static int sqlite_next_forget(struct store *s, int64_t *out)
{
	return sqlite_number(s, sqlite_statement(s, S_NEXT_FORGET), out);
}

static int sqlite_owned(struct store *s, uint64_t owner, bool others, size_t n,
			struct task_row *out, size_t *n_out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_OWNED);

	*n_out = 0;
	sqlite3_bind_int64(st, 1, (int64_t)owner);
	sqlite3_bind_int(st, 2, others);
	sqlite3_bind_int64(st, 3, (int64_t)n);
	return read_tasks(s, st, out, n, n_out);
}

/* From name to name by the index: its size does not matter. */
static int sqlite_queues(struct store *s, char ***out, size_t *n_out)
{
	const char *last = "";
	int r = 1;

	*out = NULL;
	*n_out = 0;
	while (r > 0) {
		sqlite3_stmt *st = sqlite_statement(s, S_QUEUES);
		char *name;

		sqlite_bind_text(st, 1, last);
		r = sqlite_next(s, st);
		name = r > 0 ? column_text(st, 0) : NULL;
		sqlite3_reset(st);
		if (name == NULL)
			break;
		*out = xrealloc(*out, (*n_out + 1) * sizeof **out);
		last = (*out)[(*n_out)++] = name;
	}
	return MIN(r, 0);
}

static int sqlite_count(struct store *s, const char *queue, enum task_state state, uint64_t *out)
{
	enum statement which = state == TASK_QUEUED ? S_COUNT_QUEUED : S_COUNT;
	sqlite3_stmt *st = sqlite_statement(s, which);
	int64_t n = 0;
	int r;

	sqlite_bind_text(st, 1, queue);
	if (which == S_COUNT)
		sqlite3_bind_int(st, 2, state);
	r = sqlite_number(s, st, &n);
	*out = (uint64_t)n;
	return r;
}

/* From priority to priority by the index: their number matters, not that of the rows. */
static int sqlite_oldest(struct store *s, const char *queue, int64_t *run_at_us)
{
	int64_t below = INT64_MAX;
	int r = 1;

	for (*run_at_us = 0; r > 0;) {
		sqlite3_stmt *st = sqlite_statement(s, S_OLDEST);
		int64_t at;

		sqlite_bind_text(st, 1, queue);
		sqlite3_bind_int64(st, 2, below);
		r = sqlite_next(s, st);
		if (r <= 0)
			break;
		below = sqlite3_column_int64(st, 0);
		at = sqlite3_column_int64(st, 1);
		sqlite3_reset(st);
		*run_at_us = *run_at_us ? MIN(*run_at_us, at) : at;
	}
	return r;
}

/* --- attempts and events --- */

static int sqlite_put_attempt(struct store *s, const struct attempt_row *a)
{
	sqlite3_stmt *st = sqlite_statement(s, S_PUT_ATTEMPT);

	sqlite_bind_id(st, 1, &a->task);
	sqlite3_bind_int64(st, 2, a->number);
	sqlite3_bind_int(st, 3, a->outcome);
	sqlite3_bind_int64(st, 4, a->start_us);
	sqlite3_bind_int64(st, 5, a->end_us);
	sqlite3_bind_int(st, 6, a->exit_status);
	sqlite3_bind_int(st, 7, a->signal);
	sqlite_bind_buf(st, 8, &a->error);
	sqlite_bind_text(st, 9, a->owner);
	sqlite_bind_buf(st, 10, &a->usage);
	return sqlite_run(s, st);
}

static int sqlite_attempts(struct store *s, const struct uuid *id, struct attempt_row **out,
			   size_t *n_out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_ATTEMPTS);
	int r;

	*out = NULL;
	*n_out = 0;
	sqlite_bind_id(st, 1, id);
	while ((r = sqlite_next(s, st)) > 0) {
		struct attempt_row *a;

		*out = xrealloc(*out, (*n_out + 1) * sizeof **out);
		a = &(*out)[(*n_out)++];
		*a = (struct attempt_row){.task = *id,
			.number = (uint32_t)sqlite3_column_int64(st, 0),
			.outcome = (enum task_outcome)sqlite3_column_int(st, 1),
			.start_us = sqlite3_column_int64(st, 2),
			.end_us = sqlite3_column_int64(st, 3),
			.exit_status = sqlite3_column_int(st, 4),
			.signal = sqlite3_column_int(st, 5),
			.owner = column_text(st, 7)};
		sqlite_column_buf(st, 6, &a->error);
		sqlite_column_buf(st, 8, &a->usage);
	}
	return r;
}

static int sqlite_add_event(struct store *s, const struct uuid *id, const struct event_row *e)
{
	sqlite3_stmt *st = sqlite_statement(s, S_ADD_EVENT);

	sqlite_bind_id(st, 1, id);
	sqlite3_bind_int64(st, 2, (int64_t)e->seq);
	sqlite3_bind_int(st, 3, e->kind);
	sqlite3_bind_int64(st, 4, e->time_us);
	sqlite_bind_buf(st, 5, &e->data);
	return sqlite_run(s, st);
}

static int sqlite_drop_progress(struct store *s, const struct uuid *id)
{
	return run_with_id(s, S_DROP_PROGRESS, id);
}

static int sqlite_events(struct store *s, const struct uuid *id, uint64_t after,
			 enum event_kind kind, size_t limit, struct event_row **out, size_t *n_out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_EVENTS);
	int r;

	*out = NULL;
	*n_out = 0;
	sqlite_bind_id(st, 1, id);
	sqlite3_bind_int64(st, 2, (int64_t)MIN(after, (uint64_t)INT64_MAX));
	sqlite3_bind_int(st, 3, (int)kind);
	sqlite3_bind_int64(st, 4, (int64_t)limit);
	while ((r = sqlite_next(s, st)) > 0) {
		struct event_row *e;

		if (*out == NULL)
			*out = xcalloc(limit, sizeof **out);
		e = &(*out)[(*n_out)++];
		*e = (struct event_row){.seq = (uint64_t)sqlite3_column_int64(st, 0),
			.kind = (enum event_kind)sqlite3_column_int(st, 1),
			.time_us = sqlite3_column_int64(st, 2)};
		sqlite_column_buf(st, 3, &e->data);
	}
	return r;
}

const struct store_ops store_sqlite = {
	.name = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.error = sqlite_error,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.changes = sqlite_changes,
	.tidy = sqlite_tidy,
	.insert = sqlite_insert,
	.get = sqlite_get,
	.find_tail = sqlite_find_tail,
	.update = sqlite_update,
	.remove = sqlite_remove,
	.claimable = sqlite_claimable,
	.waking = sqlite_waking,
	.next_wake = sqlite_next_wake,
	.forgettable = sqlite_forgettable,
	.next_forget = sqlite_next_forget,
	.owned = sqlite_owned,
	.queues = sqlite_queues,
	.scan = sqlite_scan,
	.count = sqlite_count,
	.oldest = sqlite_oldest,
	.put_attempt = sqlite_put_attempt,
	.attempts = sqlite_attempts,
	.add_event = sqlite_add_event,
	.drop_progress = sqlite_drop_progress,
	.events = sqlite_events,
	.set_reserve = sqlite_set_reserve,
	.take_reserve = sqlite_take_reserve,
	.spend_reserve = sqlite_spend_reserve,
	.is_dead = sqlite_is_dead,
	.stat = sqlite_stat,
	.backup_begin = sqlite_backup_begin,
	.backup_step = sqlite_backup_step,
	.backup_end = sqlite_backup_end,
	.vacuum_step = sqlite_vacuum_step,
	.put_record = sqlite_put_record,
	.get_record = sqlite_get_record,
	.remove_record = sqlite_remove_record,
	.list_records = sqlite_list_records,
	.due_records = sqlite_due_records,
	.next_record = sqlite_next_record,
	.count_records = sqlite_count_records,
};
