/* task_unique.c: see task_unique.h. Records: UNIQUE key -> id of the holder, due at the
 * end of its window; UNIQUE_WAIT key NUL id -> nothing. */
#include "service/task_unique.h"

#include <string.h>

#include "errand/status.h"
#include "service/task_clock.h"
#include "service/task_options.h"

#define TICK_MAX 64

static struct bytes key_bytes(const char *key)
{
	return (struct bytes){(const uint8_t *)key, strlen(key)};
}

static struct bytes id_bytes(const struct uuid *id)
{
	return (struct bytes){id->b, sizeof id->b};
}

static int holder_of(const struct task_move *m, const char *key, struct record *out)
{
	int r = m->ops->get_record(m->store, RECORD_UNIQUE, key_bytes(key), out);

	if (r == 0 && out->data.len != sizeof(struct uuid))
		r = -ERRAND_DATA_LOSS;
	return r;
}

static int give(struct task_move *m, const char *key, const struct uuid *id, int64_t due_us)
{
	struct record r = {.kind = RECORD_UNIQUE, .due_us = due_us};
	int code;

	buf_append(&r.key, key, strlen(key));
	buf_append(&r.data, id->b, sizeof id->b);
	code = m->ops->put_record(m->store, &r);
	record_deinit(&r);
	return code;
}

/* Its window is over, or who had it was deleted or forgotten within it. */
static int is_over(const struct task_move *m, const struct record *r, bool *overp)
{
	struct task_row row = {0};
	struct uuid id;
	int code = 0;

	*overp = r->due_us != 0 && r->due_us <= m->clock_us;
	if (*overp || r->due_us == 0)
		return 0;
	memcpy(id.b, r->data.data, sizeof id.b);
	code = m->ops->get(m->store, &id, 0, &row);
	task_row_deinit(&row);
	*overp = code == -ERRAND_NOT_FOUND;
	return *overp ? 0 : code;
}

int task_unique_take(struct task_move *m, const char *key, int64_t window_us, struct uuid *holder)
{
	struct record r = {0};
	bool over = false;
	int code = holder_of(m, key, &r);

	if (code == 0)
		code = is_over(m, &r, &over);
	if (code == 0 && !over) {
		memcpy(holder->b, r.data.data, sizeof holder->b);
		code = -ERRAND_ALREADY_EXISTS;
	} else if (code == 0 || code == -ERRAND_NOT_FOUND) {
		m->row->flags |= TASK_HAS_UNIQUE;
		code = give(m, key, &m->row->id, window_us ? m->clock_us + window_us : 0);
	}
	record_deinit(&r);
	return code;
}

static void wait_key(struct buf *out, const char *key)
{
	buf_append(out, key, strlen(key) + 1);
}

int task_unique_wait(struct task_move *m, const char *key)
{
	struct record r = {.kind = RECORD_UNIQUE_WAIT};
	int code;

	m->row->flags |= TASK_HAS_UNIQUE | TASK_WAITS_KEY;
	wait_key(&r.key, key);
	buf_append(&r.key, m->row->id.b, sizeof m->row->id.b);
	code = m->ops->put_record(m->store, &r);
	record_deinit(&r);
	return code;
}

/* The key goes to this one, who waited for it. */
static int hand_over(struct task_move *m, const char *key, const struct uuid *to)
{
	struct task_row row = {0};
	struct task_move next = *m;
	struct task_options o = {0};
	int r = m->ops->get(m->store, to, PART_OPTIONS, &row);

	if (r == -ERRAND_NOT_FOUND)
		return m->ops->remove_record(m->store, RECORD_UNIQUE, key_bytes(key));
	if (r < 0)
		return r;
	next.row = &row;
	row.flags &= ~(unsigned)TASK_WAITS_KEY;
	task_options_read(buf_bytes(&row.options), &o, NULL);
	r = give(m, key, to, o.unique_window_us ? m->clock_us + o.unique_window_us : 0);
	if (r == 0)
		r = task_move_unblock(&next);
	task_options_deinit(&o);
	task_row_deinit(&row);
	return r;
}

static int next_holder(struct task_move *m, const char *key)
{
	AUTO_BUF prefix = BUF_INIT;
	struct record *rows = NULL;
	struct uuid id;
	size_t n = 0;
	int r;

	wait_key(&prefix, key);
	r = m->ops->list_records(m->store, RECORD_UNIQUE_WAIT, buf_bytes(&prefix), (struct bytes){0},
				 1, &rows, &n);
	if (r == 0 && n == 0) {
		r = m->ops->remove_record(m->store, RECORD_UNIQUE, key_bytes(key));
	} else if (r == 0 && rows[0].key.len == prefix.len + sizeof id.b) {
		memcpy(id.b, rows[0].key.data + prefix.len, sizeof id.b);
		r = m->ops->remove_record(m->store, RECORD_UNIQUE_WAIT, buf_bytes(&rows[0].key));
		if (r == 0)
			r = hand_over(m, key, &id);
	}
	records_free(rows, n);
	return r;
}

static int stop_waiting(struct task_move *m, const char *key)
{
	AUTO_BUF wait = BUF_INIT;

	wait_key(&wait, key);
	buf_append(&wait, m->row->id.b, sizeof m->row->id.b);
	return m->ops->remove_record(m->store, RECORD_UNIQUE_WAIT, buf_bytes(&wait));
}

/* The key is in the row's options, which a row that ends may not have with it. */
static int read_key(struct task_move *m, struct task_options *out)
{
	struct task_row row = {0};
	int r = m->ops->get(m->store, &m->row->id, PART_OPTIONS, &row);

	if (r == 0)
		task_options_read(buf_bytes(&row.options), out, NULL);
	task_row_deinit(&row);
	return r;
}

static int release_key(struct task_move *m, const char *key)
{
	struct record holder = {0};
	bool ours;
	int r;

	if (m->row->flags & TASK_WAITS_KEY)
		return stop_waiting(m, key);
	r = holder_of(m, key, &holder);
	ours = r == 0 && holder.due_us == 0 &&
	       memcmp(holder.data.data, id_bytes(&m->row->id).data, sizeof(struct uuid)) == 0;
	record_deinit(&holder);
	if (r == -ERRAND_NOT_FOUND)
		return 0;
	return r == 0 && ours ? next_holder(m, key) : r;
}

int task_unique_release(struct task_move *m)
{
	struct task_options o = {0};
	int r = read_key(m, &o);

	if (r == 0 && o.unique_key != NULL)
		r = release_key(m, o.unique_key);
	task_options_deinit(&o);
	return r;
}

int task_unique_tick(const struct store_ops *ops, struct store *s, struct task_changes *changes)
{
	struct task_move m = task_move_begin(ops, s, NULL, changes);
	struct record *rows = NULL;
	size_t n = 0;
	int r = ops->due_records(s, RECORD_UNIQUE, m.clock_us, TICK_MAX, &rows, &n);

	for (size_t i = 0; i < n && r == 0; i++) {
		AUTO_FREE char *key = xstrndup((const char *)rows[i].key.data, rows[i].key.len);

		r = next_holder(&m, key);
	}
	records_free(rows, n);
	return r;
}
