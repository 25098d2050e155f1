/* task_move.c: see task_move.h. Whatever the way, a move is: the state by the
 * table, the event with the next version, the row last. Store thread. */
#include "service/task_move.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "errand/status.h"
#include "service/fault.h"
#include "service/hook_move.h"
#include "service/task_after.h"
#include "service/task_api.h"
#include "service/task_clock.h"
#include "service/task_list.h"
#include "service/task_live.h"
#include "service/task_pack.h"
#include "service/task_unique.h"

#define CHANGES_FEW 16

static void change_clear(struct task_change *c)
{
	event_rows_free(c->rows, c->n);
	free(c->queue);
	free(c->method);
	c->row = task_live_row_free(c->row);
}

void task_changes_reset(struct task_changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		change_clear(&c->list[i]);
	c->n = c->n_ended = 0;
	c->telling = false;
	map_deinit(&c->places);
}

void task_changes_deinit(struct task_changes *c)
{
	task_changes_reset(c);
	free(c->list);
	free(c->ended);
	*c = (struct task_changes){0};
}

struct task_move task_move_begin(const struct store_ops *ops, struct store *s, struct task_row *row,
				 struct task_changes *changes)
{
	return (struct task_move){ops, s, row, changes, clock_wall_us(), task_clock_us()};
}

void task_ending_deinit(struct task_ending *e)
{
	buf_deinit(&e->problem);
	buf_deinit(&e->result);
	buf_deinit(&e->usage);
}

/* A few are looked through; a parent may have very many children. */
static struct task_change *find_change(const struct task_changes *all, const struct uuid *id)
{
	uintptr_t place;

	if (all->n > CHANGES_FEW) {
		place = (uintptr_t)map_get(&all->places, id, sizeof *id);
		return place ? &all->list[place - 1] : NULL;
	}
	for (size_t i = all->n; i > 0; i--)
		if (memcmp(&all->list[i - 1].id, id, sizeof *id) == 0)
			return &all->list[i - 1];
	return NULL;
}

/* The last one has been added. */
static void note_places(struct task_changes *all)
{
	size_t from = all->n == CHANGES_FEW + 1 ? 0 : all->n - 1;

	for (size_t i = from; all->n > CHANGES_FEW && i < all->n; i++)
		map_put(&all->places, &all->list[i].id, sizeof all->list[i].id, (void *)(uintptr_t)(i + 1));
}

/* The row's change: what was begun in this op goes on. */
static struct task_change *change_of(struct task_move *m)
{
	struct task_changes *all = m->changes;
	struct task_change *c = find_change(all, &m->row->id);

	if (c != NULL)
		return c;
	if (all->n == all->cap)
		all->list = xrealloc(all->list, (all->cap = all->cap ? 2 * all->cap : 1) *
				     sizeof *all->list);
	c = &all->list[all->n++];
	*c = (struct task_change){.id = m->row->id, .queue = xstrdup(m->row->queue),
				  .method = xstrdup(m->row->method),
				  .was = m->row->version ? m->row->state : 0, .is = m->row->state};
	note_places(all);
	return c;
}

/* The next event, to be filled: its seq is the row's new version. */
static struct event_row *next_event(struct task_move *m, enum event_kind kind, int64_t time_us)
{
	struct task_change *c = change_of(m);

	if (c->n == c->cap)
		c->rows = xrealloc(c->rows, (c->cap = c->cap ? 2 * c->cap : 2) * sizeof *c->rows);
	c->rows[c->n] = (struct event_row){.seq = ++m->row->version, .kind = kind,
					   .time_us = time_us};
	return &c->rows[c->n++];
}

static int add_event(struct task_move *m, const struct event_row *e)
{
	return m->ops->add_event(m->store, &m->row->id, e);
}

/* --- when the clock is next to look at it --- */

static int64_t sooner(int64_t a, int64_t b)
{
	return a == 0 ? b : b == 0 ? a : MIN(a, b);
}

static void set_wake(struct task_row *row, int64_t clock_us)
{
	bool by_wall = row->flags & TASK_BY_WALL;
	int64_t deadline = by_wall ? 0 : row->start_by_us;
	bool over_first = row->finish_by_us != 0 &&
			  task_clock_to_wall(row->finish_by_us) < row->run_at_us;

	row->wake_wall = row->state == TASK_SCHEDULED && by_wall && !over_first;
	if (task_state_terminal(row->state))
		row->wake_us = row->ttl_us ? clock_us + row->ttl_us : 0;
	else if (row->wake_wall)
		row->wake_us = row->run_at_us;
	else if (row->state == TASK_SCHEDULED && by_wall)
		row->wake_us = row->finish_by_us; /* it will not come to run */
	else if (row->state == TASK_SCHEDULED || row->state == TASK_RETRYING)
		row->wake_us = sooner(row->run_at_us, sooner(deadline, row->finish_by_us));
	else if (row->state == TASK_QUEUED)
		row->wake_us = sooner(deadline, row->finish_by_us);
	else if (row->state == TASK_HELD || row->state == TASK_BLOCKED)
		row->wake_us = row->finish_by_us;
	else
		row->wake_us = 0;
}

/* For the filters of those who watch all tasks. */
static int note_row(struct task_move *m)
{
	struct task_change *c;

	if (!atomic_load_explicit(&task_live_on, memory_order_relaxed))
		return 0;
	c = change_of(m);
	task_live_row_free(c->row);
	return task_live_row(m->ops, m->store, m->row, &c->row);
}

int task_move_save(struct task_move *m, unsigned parts)
{
	int r = m->ops->update(m->store, m->row, parts);

	return r < 0 ? r : note_row(m);
}

static int tell_state(struct task_move *m)
{
	enum task_state s = m->row->state;
	bool tell_error = s == TASK_FAILED || s == TASK_RETRYING || s == TASK_EXPIRED ||
			  s == TASK_CANCELLED;
	struct task_change *c = change_of(m);
	struct event_row *e;

	if (c->was != s || !task_state_terminal(s)) /* one that ended is kept no longer for new labels */
		set_wake(m->row, m->clock_us);
	c->is = s;
	c->flags = m->row->flags;
	c->wake_us = m->row->wake_us;
	c->wake_wall = m->row->wake_wall;
	e = next_event(m, EVENT_STATE, m->now_us);
	task_pack_state(s, m->row->attempt, tell_error ? &m->row->error : &BUF_INIT, &e->data);
	return add_event(m, e);
}

/* What others wait for when a task has ended. */
static int ended(struct task_move *m)
{
	int r = m->row->flags & TASK_HAS_UNIQUE ? task_unique_release(m) : 0;

	if (r == 0 && m->row->flags & TASK_HAS_PARENTS)
		r = task_after_unlink(m);
	if (r == 0 && m->row->flags & TASK_HAS_CHILDREN)
		r = task_after_tell(m);
	return r;
}

/* The state, its event, the row with these parts, and what hangs on it. */
static int move_to(struct task_move *m, enum task_state to, unsigned parts)
{
	bool was_over = task_state_terminal(m->row->state);
	int r;

	assert(task_move_allowed(m->row->state, to));
	fault_point("move", task_state_name(to));
	change_of(m); /* while the row says what it was */
	m->row->state = to;
	m->row->end_us = task_state_terminal(to) ? m->now_us : 0;
	if (to != TASK_RUNNING && to != TASK_CANCELLING)
		m->row->owner = 0;
	r = tell_state(m);
	if (r == 0)
		r = task_move_save(m, parts);
	if (r == 0 && m->row->flags & TASK_HAS_CALLBACK)
		r = hook_on_move(m);
	return r == 0 && task_state_terminal(to) && !was_over ? ended(m) : r;
}

/* --- before the first attempt, and between two --- */

static bool due(const struct task_row *row, const struct task_move *m)
{
	return row->run_at_us <= (row->flags & TASK_BY_WALL ? m->now_us : m->clock_us);
}

/* Where a task belongs that nobody runs and nobody holds. */
static enum task_state place_of(const struct task_row *row, const struct task_move *m)
{
	if (row->blockers > 0 || row->flags & TASK_WAITS_KEY)
		return TASK_BLOCKED;
	if (!due(row, m))
		return row->flags & TASK_BACKING_OFF ? TASK_RETRYING : TASK_SCHEDULED;
	return TASK_QUEUED;
}

/* It queues by when its turn has come; from here on by the engine's clock alone. */
static void take_turn(struct task_row *row, const struct task_move *m)
{
	if (row->flags & TASK_BY_WALL && row->start_by_us != 0)
		row->start_by_us += m->clock_us - m->now_us;
	row->flags &= ~(unsigned)(TASK_BY_WALL | TASK_BACKING_OFF);
	row->run_at_us = m->clock_us;
}

static int settle(struct task_move *m)
{
	enum task_state to = place_of(m->row, m);

	m->row->reason = to != TASK_BLOCKED ? REASON_NONE :
			 m->row->blockers > 0 ? REASON_PARENTS : REASON_KEY;
	if (to == TASK_QUEUED)
		take_turn(m->row, m);
	return move_to(m, to, 0);
}

int task_move_create(struct task_move *m)
{
	struct task_row *row = m->row;
	struct task_change *c = change_of(m);
	int r;

	row->state = place_of(row, m);
	if (row->state == TASK_BLOCKED)
		row->reason = row->blockers > 0 ? REASON_PARENTS : REASON_KEY;
	row->flags |= row->state == TASK_BLOCKED ? TASK_BORN_BLOCKED :
		      row->state == TASK_SCHEDULED ? TASK_BORN_SCHEDULED : 0;
	row->version = 1;
	set_wake(row, m->clock_us);
	c->is = row->state;
	c->flags = row->flags;
	c->wake_us = row->wake_us;
	c->wake_wall = row->wake_wall;
	r = m->ops->insert(m->store, row);
	if (r == 0)
		r = task_labels_put(m->ops, m->store, row);
	return r < 0 ? r : note_row(m);
}

int task_move_hold(struct task_move *m)
{
	return move_to(m, TASK_HELD, 0);
}

int task_move_release(struct task_move *m)
{
	return settle(m);
}

int task_move_run_now(struct task_move *m)
{
	take_turn(m->row, m);
	return move_to(m, TASK_QUEUED, 0);
}

int task_move_unblock(struct task_move *m)
{
	if (m->row->state == TASK_HELD || place_of(m->row, m) == TASK_BLOCKED)
		return task_move_save(m, 0);
	return settle(m);
}

int task_move_give_up(struct task_move *m, enum task_state to, enum task_reason reason, int code,
		      const char *detail)
{
	m->row->reason = reason;
	buf_reset(&m->row->error);
	task_problem_put(&m->row->error, code, 0, detail);
	task_problem_verdict(&m->row->error, true, 0, NULL);
	return move_to(m, to, PART_ERROR);
}

bool task_move_late(const struct task_move *m)
{
	const struct task_row *row = m->row;

	return row->state == TASK_QUEUED && row->wake_us != 0 && row->wake_us <= m->clock_us;
}

int task_move_wake(struct task_move *m)
{
	struct task_row *row = m->row;
	bool begins = row->state == TASK_QUEUED || row->state == TASK_SCHEDULED ||
		      row->state == TASK_RETRYING;
	int64_t now = row->flags & TASK_BY_WALL ? m->now_us : m->clock_us;

	if (row->finish_by_us != 0 && row->finish_by_us <= m->clock_us)
		return task_move_give_up(m, row->attempt && row->state != TASK_SCHEDULED ? TASK_FAILED :
					 TASK_EXPIRED, REASON_DEADLINE, ERRAND_DEADLINE_EXCEEDED,
					 "its total time was over before it was done");
	if (begins && row->start_by_us != 0 && row->start_by_us <= now)
		return task_move_give_up(m, TASK_EXPIRED, REASON_DEADLINE, ERRAND_DEADLINE_EXCEEDED,
					 "it had not started by its start deadline");
	if ((row->state == TASK_SCHEDULED || row->state == TASK_RETRYING) && due(row, m))
		return task_move_run_now(m);
	set_wake(row, m->clock_us);
	return task_move_save(m, 0);
}

/* One that queues already, or waits for its retry, goes on by the engine's clock. */
void task_move_set_run_at(struct task_move *m, int64_t wall_us)
{
	struct task_row *row = m->row;
	bool by_clock = row->state == TASK_RETRYING ||
			(row->state == TASK_QUEUED && wall_us <= m->now_us);
	int64_t at = by_clock ? wall_us - m->now_us + m->clock_us : wall_us;

	if (row->start_by_us != 0)
		row->start_by_us += at - row->run_at_us;
	row->run_at_us = at;
	if (by_clock)
		return;
	row->flags |= TASK_BY_WALL;
	row->flags &= ~(unsigned)TASK_BACKING_OFF;
}

int task_move_patched(struct task_move *m, unsigned parts)
{
	struct task_row *row = m->row;
	int r;

	if (row->state == TASK_QUEUED && !due(row, m))
		return move_to(m, TASK_SCHEDULED, parts);
	if (row->state == TASK_SCHEDULED && due(row, m)) {
		take_turn(row, m);
		return move_to(m, TASK_QUEUED, parts);
	}
	r = tell_state(m);
	return r < 0 ? r : task_move_save(m, parts);
}

/* --- attempts --- */

/* The parts that are to be written for it. */
static unsigned forget_progress(struct task_row *row)
{
	bool had_detail = row->flags & TASK_HAS_DETAIL;

	row->progress = 0;
	free(row->progress_message);
	row->progress_message = NULL;
	row->flags &= ~(unsigned)TASK_HAS_DETAIL;
	buf_reset(&row->detail);
	return had_detail ? PART_DETAIL : 0;
}

int task_move_claim(struct task_move *m, uint64_t owner, const char *name)
{
	struct task_row *row = m->row;
	struct attempt_row a = {.task = row->id, .number = ++row->attempt, .start_us = m->now_us,
				.owner = (char *)name};
	unsigned parts = forget_progress(row);
	int r;

	if (row->start_us == 0)
		row->start_us = m->now_us;
	row->log_bytes = row->log_dropped = 0;
	row->owner = owner;
	r = m->ops->put_attempt(m->store, &a);
	return r < 0 ? r : move_to(m, TASK_RUNNING, parts);
}

/* The attempt as it was begun, with its end written into it. */
static int end_attempt(struct task_move *m, const struct task_ending *e)
{
	struct attempt_row *rows = NULL;
	size_t n = 0;
	int r = m->ops->attempts(m->store, &m->row->id, &rows, &n);

	if (r == 0 && n > 0 && rows[n - 1].number == m->row->attempt) {
		struct attempt_row *a = &rows[n - 1];

		a->outcome = e->outcome;
		a->end_us = m->now_us;
		a->exit_status = e->exit_status;
		a->signal = e->signal;
		buf_append(&a->error, e->problem.data, e->problem.len);
		buf_append(&a->usage, e->usage.data, e->usage.len);
		r = m->ops->put_attempt(m->store, a);
	}
	attempt_rows_free(rows, n);
	return r;
}

static void set_error(struct task_row *row, const struct task_ending *e,
		      const struct task_next *next)
{
	const char *reason = task_reason_text(next->reason);

	buf_reset(&row->error);
	buf_append(&row->error, e->problem.data, e->problem.len);
	task_problem_verdict(&row->error, next->state == TASK_FAILED, next->delay_us,
			     *reason ? reason : NULL);
}

/* Who has succeeded need not go on anywhere. */
static unsigned forget_checkpoint(struct task_row *row)
{
	bool had = row->flags & TASK_HAS_CHECKPOINT;

	row->flags &= ~(unsigned)TASK_HAS_CHECKPOINT;
	buf_reset(&row->checkpoint);
	return had ? PART_CHECKPOINT : 0;
}

static int end_ok(struct task_move *m, const struct task_ending *e)
{
	struct event_row *event;
	unsigned parts;
	int r;

	buf_deinit(&m->row->result);
	buf_reset(&m->row->error);
	event = next_event(m, EVENT_RESULT, m->now_us);
	r = add_event(m, event);
	if (r < 0)
		return r;
	m->row->result = e->result; /* lent to the row until it is written */
	parts = forget_checkpoint(m->row) | (e->result.len ? PART_RESULT : 0);
	r = move_to(m, TASK_SUCCEEDED, parts | (m->row->attempt > 1 ? PART_ERROR : 0));
	m->row->result = BUF_INIT;
	return r;
}

/* A retry that would come after the total time is none. */
static void mind_total(const struct task_move *m, struct task_next *next)
{
	int64_t by = m->row->finish_by_us;

	if (next->state != TASK_RETRYING || by == 0 || m->clock_us + next->delay_us < by)
		return;
	next->state = TASK_FAILED;
	next->reason = REASON_DEADLINE;
	next->delay_us = 0;
}

int task_move_end(struct task_move *m, const struct task_ending *e)
{
	struct task_row *row = m->row;
	struct task_end end = {e->outcome, e->final, e->retry_after_us,
			       row->flags & TASK_CANCEL_ASKED};
	struct task_next next = task_after(&end, row->failures, row->crash_count, &e->retry,
					   e->random01);
	int r = end_attempt(m, e);

	if (r < 0)
		return r;
	mind_total(m, &next);
	row->failures = next.failures;
	row->crash_count = next.crash_count;
	row->reason = next.reason;
	if (next.state == TASK_SUCCEEDED)
		return end_ok(m, e);
	set_error(row, e, &next);
	row->run_at_us = m->clock_us + next.delay_us;
	if (next.state == TASK_RETRYING)
		row->flags |= TASK_BACKING_OFF;
	return move_to(m, next.state, PART_ERROR);
}

int task_move_cancel(struct task_move *m)
{
	struct task_row *row = m->row;

	row->flags |= TASK_CANCEL_ASKED;
	if (row->state == TASK_RUNNING)
		return move_to(m, TASK_CANCELLING, 0);
	buf_reset(&row->error);
	task_problem_put(&row->error, ERRAND_CANCELLED, 0, "cancelled before it ran");
	return move_to(m, TASK_CANCELLED, PART_ERROR);
}

/* Counts again from nothing, but attempts keep their numbers: they fence. Its former
 * deadlines are over. */
int task_move_requeue(struct task_move *m)
{
	struct task_row *row = m->row;

	row->failures = row->crash_count = 0;
	row->flags &= ~(unsigned)(TASK_CANCEL_ASKED | TASK_BY_WALL | TASK_BACKING_OFF | TASK_WAITS_KEY);
	row->blockers = 0;
	row->reason = REASON_NONE;
	row->run_at_us = m->clock_us;
	row->start_by_us = row->finish_by_us = 0;
	buf_reset(&row->error);
	buf_reset(&row->result);
	return move_to(m, TASK_QUEUED, PART_ERROR | PART_RESULT | forget_progress(row));
}

int task_move_progress(struct task_move *m, double fraction, const char *message,
		       struct bytes detail)
{
	struct task_row *row = m->row;
	struct event_row *e = next_event(m, EVENT_PROGRESS, m->now_us);
	int r = m->ops->drop_progress(m->store, &row->id);
	unsigned parts = forget_progress(row);

	row->progress = fraction;
	row->progress_message = message ? xstrdup(message) : NULL;
	buf_append(&row->detail, detail.data, detail.len);
	if (detail.len > 0)
		row->flags |= TASK_HAS_DETAIL;
	task_pack_progress(fraction, message, detail, row->attempt, &e->data);
	if (r == 0)
		r = add_event(m, e);
	return r == 0 && (parts || detail.len > 0) ? task_move_save(m, PART_DETAIL) : r;
}

int task_move_checkpoint(struct task_move *m, struct bytes any)
{
	buf_reset(&m->row->checkpoint);
	buf_append(&m->row->checkpoint, any.data, any.len);
	m->row->flags |= TASK_HAS_CHECKPOINT;
	return task_move_save(m, PART_CHECKPOINT);
}

int task_move_line(struct task_move *m, const char *stream, struct bytes text, int64_t time_us)
{
	struct event_row *e = next_event(m, EVENT_LOG, time_us);

	task_pack_line(stream, text, time_us, m->row->attempt, &e->data);
	return add_event(m, e);
}
