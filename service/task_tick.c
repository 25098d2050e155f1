/* task_tick.c: what the clock does, in one op with one timer: tasks whose time has come
 * or passed, windows and keys that are over, ended tasks that are to be forgotten, owners
 * whose lease is over. The timer is never as far off as what it waits for: the clocks
 * are looked at again at least every LOOK_NS, so neither a stepped wall clock nor a
 * machine that was suspended makes it sleep for the size of the jump. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/lease.h"
#include "service/metrics.h"
#include "service/task_after.h"
#include "service/task_api.h"
#include "service/task_clock.h"
#include "service/task_engine.h"
#include "service/task_list.h"
#include "service/task_run.h"
#include "service/task_unique.h"

#define LOOK_NS (15 * NS_PER_S)       /* the longest sleep for the engine's clock */
#define LOOK_WALL_NS (2 * NS_PER_S)   /* for the wall clock, which may be stepped */
#define LOOK_FORGET_NS (60 * NS_PER_S)
#define AGAIN_NS (20 * NS_PER_MS)     /* between two batches, so that others get in */
#define FAILED_NS NS_PER_S            /* after the store failed */
#define WAKE_MAX 256
#define FORGET_MAX 64                 /* tasks of one batch: a few milliseconds */
#define TOMBSTONE_US (30 * 86400 * US_PER_S)

static struct tick {
	struct store_op op;
	struct loop_timer timer;
	int64_t timer_ns;         /* when it is due; 0: it is not set */
	bool busy, started;
	struct task_changes changes;
	bool more;                /* a batch was full */
	size_t n_lost;            /* attempts whose service has died */
	int64_t next_us, next_wall_us, next_forget_us; /* 0: nothing waits */
} t;

/* --- the store's side --- */

/* Each as it is when it is its turn: the one before may have moved it (a key handed
 * over, a parent that ended). */
static int wake_one(const struct store_ops *ops, struct store *s, const struct uuid *id,
		    struct task_changes *changes)
{
	struct task_row row = {0};
	struct task_move m = task_move_begin(ops, s, &row, changes);
	int r = ops->get(s, id, 0, &row);

	if (r == 0 && task_state_waiting(row.state))
		r = task_move_wake(&m);
	task_row_deinit(&row);
	return r;
}

int task_wake_due(const struct store_ops *ops, struct store *s, bool wall,
		  struct task_changes *changes, size_t *n_out)
{
	int64_t now = wall ? clock_wall_us() : task_clock_us();
	struct task_row *rows = xcalloc(WAKE_MAX, sizeof *rows);
	size_t n = 0;
	int r = ops->waking(s, wall, now, WAKE_MAX, rows, &n);

	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = wake_one(ops, s, &rows[i].id, changes);
		task_row_deinit(&rows[i]);
	}
	free(rows);
	*n_out = n;
	return r;
}

static int wake_all(const struct store_ops *ops, struct store *s, bool wall)
{
	size_t n = 0;
	int r = task_wake_due(ops, s, wall, &t.changes, &n);

	t.more = t.more || n == WAKE_MAX;
	return r;
}

int task_forget(const struct store_ops *ops, struct store *s, const struct task_row *row)
{
	struct record r = {.kind = RECORD_TOMBSTONE, .due_us = task_clock_us() + TOMBSTONE_US};
	int code;

	buf_append(&r.key, row->id.b, sizeof row->id.b);
	code = ops->put_record(s, &r);
	record_deinit(&r);
	if (code == 0)
		code = task_labels_drop(ops, s, row);
	return code < 0 ? code : ops->remove(s, &row->id);
}

/* While a task comes after it and has not ended, it is kept. */
static int forget_one(const struct store_ops *ops, struct store *s, struct task_row *row)
{
	bool needed = false;
	struct uuid child;
	int r = 0;

	if (row->flags & TASK_HAS_CHILDREN)
		r = task_after_needed(ops, s, &row->id, &needed, &child);
	if (r < 0 || !needed)
		return r < 0 ? r : task_forget(ops, s, row);
	row->wake_us = task_clock_us() + LOOK_FORGET_NS / 1000;
	return ops->update(s, row, 0);
}

static int forget_ended(const struct store_ops *ops, struct store *s)
{
	struct task_row rows[FORGET_MAX];
	size_t n = 0;
	int r = ops->forgettable(s, task_clock_us(), FORGET_MAX, rows, &n);

	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = forget_one(ops, s, &rows[i]);
		task_row_deinit(&rows[i]);
	}
	t.more = t.more || n == FORGET_MAX;
	return r;
}

static int drop_tombstones(const struct store_ops *ops, struct store *s)
{
	struct record *rows = NULL;
	size_t n = 0;
	int r = ops->due_records(s, RECORD_TOMBSTONE, task_clock_us(), WAKE_MAX, &rows, &n);

	for (size_t i = 0; i < n && r == 0; i++)
		r = ops->remove_record(s, RECORD_TOMBSTONE, buf_bytes(&rows[i].key));
	records_free(rows, n);
	t.more = t.more || n == WAKE_MAX;
	return r;
}

static int take_back_one(const struct store_ops *ops, struct store *s, struct task_row *row,
			 struct task_changes *changes)
{
	struct task_move m = task_move_begin(ops, s, row, changes);
	struct task_ending ending = {.outcome = OUTCOME_LEASE_LOST,
				     .retry = task_run_retry_of(row),
				     .random01 = task_run_random()};
	int r;

	task_problem_put(&ending.problem, ERRAND_UNAVAILABLE, 0,
			 "the service died while the attempt ran");
	r = task_move_end(&m, &ending);
	task_ending_deinit(&ending);
	return r;
}

int task_take_back(const struct store_ops *ops, struct store *s, uint64_t owner, bool others,
		   struct task_changes *changes, size_t n, size_t *n_out)
{
	struct task_row *rows = xcalloc(n, sizeof *rows);
	int r = ops->owned(s, owner, others, n, rows, n_out);

	for (size_t i = 0; i < *n_out; i++) {
		struct task_row row = {0};

		if (r == 0)
			r = ops->get(s, &rows[i].id, PART_OPTIONS, &row);
		if (r == 0)
			r = take_back_one(ops, s, &row, changes);
		task_row_deinit(&row);
		task_row_deinit(&rows[i]);
	}
	free(rows);
	return r;
}

static int end_leases(const struct store_ops *ops, struct store *s)
{
	uint64_t lost[16];
	size_t n = 0, n_rows = 0;
	int r = lease_lost(ops, s, lost, &n);

	for (size_t i = 0; i < n && r == 0; i++) {
		r = task_take_back(ops, s, lost[i], false, &t.changes, WAKE_MAX, &n_rows);
		if (r == 0 && n_rows < WAKE_MAX)
			r = lease_forget(ops, s, lost[i]);
		t.more = t.more || n_rows == WAKE_MAX;
		t.n_lost += n_rows;
	}
	return r;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a == 0 ? b : b == 0 ? a : MIN(a, b);
}

static int find_next(const struct store_ops *ops, struct store *s)
{
	static const enum record_kind kinds[] = {RECORD_UNIQUE, RECORD_IDEMPOTENCY, RECORD_TOMBSTONE};
	int r = ops->next_wake(s, false, &t.next_us);
	int64_t due;

	if (r == 0)
		r = ops->next_wake(s, true, &t.next_wall_us);
	if (r == 0)
		r = ops->next_forget(s, &t.next_forget_us);
	for (size_t i = 0; i < ARRAY_LEN(kinds) && r == 0; i++) {
		int64_t *to = kinds[i] == RECORD_UNIQUE ? &t.next_us : &t.next_forget_us;

		r = ops->next_record(s, kinds[i], &due);
		*to = sooner(*to, r == 0 ? due : 0);
	}
	return r;
}

static int tick_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	int (*const parts[])(const struct store_ops *, struct store *) = {
		task_clock_check, end_leases, forget_ended, drop_tombstones, task_key_tick,
	};
	int r;

	task_changes_reset(&t.changes);
	t.more = false;
	t.n_lost = 0;
	r = wake_all(ops, s, false);
	if (r == 0)
		r = wake_all(ops, s, true);
	if (r == 0)
		r = task_unique_tick(ops, s, &t.changes);
	for (size_t i = 0; i < ARRAY_LEN(parts) && r == 0; i++)
		r = parts[i](ops, s);
	return r < 0 ? r : find_next(ops, s);
}

/* --- the timer --- */

static void on_timer(void *arg)
{
	t.timer_ns = 0;
	if (t.busy || !t.started)
		return;
	t.busy = true;
	store_thread_submit(&t.op);
}

static void timer_in(int64_t ns)
{
	int64_t at = clock_mono_ns() + MAX(ns, 0);

	if (!t.started || (t.timer_ns != 0 && t.timer_ns <= at))
		return;
	t.timer_ns = at;
	loop_timer_start(&t.timer, MAX(ns, 0), on_timer, NULL);
}

void task_tick_at(int64_t us, bool wall)
{
	int64_t left = us - (wall ? clock_wall_us() : task_clock_us());

	timer_in(wall ? MIN(left, LOOK_WALL_NS / 1000) * 1000 : MIN(left, LOOK_NS / 1000) * 1000);
}

static void tick_done(struct store_op *op, int code)
{
	t.busy = false;
	if (code < 0) {
		timer_in(FAILED_NS);
		return;
	}
	prom_add(&metrics.attempts[OUTCOME_LEASE_LOST], t.n_lost);
	task_publish(&t.changes);
	task_changes_reset(&t.changes);
	if (t.more)
		timer_in(AGAIN_NS);
	if (t.next_us != 0)
		task_tick_at(t.next_us, false);
	if (t.next_wall_us != 0)
		task_tick_at(t.next_wall_us, true);
	if (t.next_forget_us != 0)
		timer_in(MIN((t.next_forget_us - task_clock_us()), LOOK_FORGET_NS / 1000) * 1000);
}

void task_tick_start(void)
{
	t.op = (struct store_op){.run = tick_run, .done = tick_done, .writes = true};
	t.started = true;
	timer_in(0);
}

void task_tick_stop(void)
{
	loop_timer_cancel(&t.timer);
	t.started = false;
	t.timer_ns = 0;
	if (!t.busy)
		task_changes_deinit(&t.changes);
}
