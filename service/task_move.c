/* task_move.c: see task_move.h. Whatever the way, a move is: the state by the
 * table, the event with the next version, the row last. Store thread. */
#include "service/task_move.h"

#include <assert.h>

#include "errand/status.h"
#include "service/fault.h"
#include "service/task_api.h"
#include "service/task_pack.h"

void task_events_deinit(struct task_events *e)
{
	for (size_t i = 0; i < e->n; i++)
		event_row_deinit(&e->rows[i]);
	free(e->rows);
	*e = (struct task_events){0};
}

void task_events_reset(struct task_events *e, const struct uuid *id)
{
	for (size_t i = 0; i < e->n; i++)
		event_row_deinit(&e->rows[i]);
	e->n = 0;
	e->id = *id;
}

void task_ending_deinit(struct task_ending *e)
{
	buf_deinit(&e->problem);
	buf_deinit(&e->result);
}

/* The next event, to be filled: its seq is the row's new version. */
static struct event_row *next_event(struct task_move *m, enum event_kind kind, int64_t time_us)
{
	struct task_events *e = m->events;

	if (e->n == e->cap)
		e->rows = xrealloc(e->rows, (e->cap = e->cap ? 2 * e->cap : 2) * sizeof *e->rows);
	e->rows[e->n] = (struct event_row){.seq = ++m->row->version, .kind = kind,
					   .time_us = time_us};
	return &e->rows[e->n++];
}

static int add_event(struct task_move *m, const struct event_row *e)
{
	return m->ops->add_event(m->store, &m->row->id, e);
}

static int move_to(struct task_move *m, enum task_state to)
{
	struct event_row *e;
	bool tell_error = to == TASK_FAILED || to == TASK_RETRYING;

	assert(task_move_allowed(m->row->state, to));
	fault_point("move", task_state_name(to));
	m->row->state = to;
	m->events->state = to;
	m->row->end_us = task_state_terminal(to) ? m->now_us : 0;
	e = next_event(m, EVENT_STATE, m->now_us);
	task_pack_state(to, m->row->attempt, tell_error ? &m->row->error : &BUF_INIT, &e->data);
	return add_event(m, e);
}

int task_move_save(struct task_move *m, unsigned parts)
{
	return m->ops->update(m->store, m->row, parts);
}

int task_move_claim(struct task_move *m, const char *owner)
{
	struct task_row *row = m->row;
	struct attempt_row a = {.task = row->id, .number = ++row->attempt, .start_us = m->now_us,
				.owner = (char *)owner};
	int r;

	if (row->start_us == 0)
		row->start_us = m->now_us;
	row->log_bytes = row->log_dropped = 0;
	row->progress = 0;
	free(row->progress_message);
	row->progress_message = NULL;
	r = move_to(m, TASK_RUNNING);
	if (r == 0)
		r = m->ops->put_attempt(m->store, &a);
	return r < 0 ? r : task_move_save(m, 0);
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
		r = m->ops->put_attempt(m->store, a);
	}
	attempt_rows_free(rows, n);
	return r;
}

static void set_error(struct task_row *row, const struct task_ending *e,
		      const struct task_next *next)
{
	buf_reset(&row->error);
	buf_append(&row->error, e->problem.data, e->problem.len);
	task_problem_verdict(&row->error, next->state == TASK_FAILED, next->delay_us, next->reason);
}

static int end_ok(struct task_move *m, const struct task_ending *e)
{
	struct event_row *event;
	int r;

	buf_deinit(&m->row->result);
	buf_reset(&m->row->error);
	event = next_event(m, EVENT_RESULT, m->now_us);
	r = add_event(m, event);
	if (r == 0)
		r = move_to(m, TASK_SUCCEEDED);
	if (r < 0)
		return r;
	m->row->result = e->result; /* lent to the row until it is written */
	r = task_move_save(m, (e->result.len ? PART_RESULT : 0) |
			   (m->row->attempt > 1 ? PART_ERROR : 0));
	m->row->result = BUF_INIT;
	return r;
}

int task_move_end(struct task_move *m, const struct task_ending *e)
{
	struct task_row *row = m->row;
	struct task_end end = {e->outcome, e->final, e->retry_after_us, row->cancel_asked};
	struct task_next next = task_after(&end, row->failures, row->crash_count, &e->retry,
					   e->random01);
	int r = end_attempt(m, e);

	if (r < 0)
		return r;
	row->failures = next.failures;
	row->crash_count = next.crash_count;
	if (next.state == TASK_SUCCEEDED)
		return end_ok(m, e);
	set_error(row, e, &next);
	if (next.state == TASK_RETRYING)
		row->run_at_us = e->queue_now_us + next.delay_us;
	r = move_to(m, next.state);
	return r < 0 ? r : task_move_save(m, PART_ERROR);
}

int task_move_cancel(struct task_move *m)
{
	struct task_row *row = m->row;
	bool running = row->state == TASK_RUNNING;
	int r;

	row->cancel_asked = true;
	if (!running) {
		buf_reset(&row->error);
		task_problem_put(&row->error, ERRAND_CANCELLED, 0, "cancelled before it ran");
	}
	r = move_to(m, running ? TASK_CANCELLING : TASK_CANCELLED);
	return r < 0 ? r : task_move_save(m, running ? 0 : PART_ERROR);
}

/* Counts again from nothing, but attempts keep their numbers: they fence. */
int task_move_requeue(struct task_move *m, int64_t run_at_us)
{
	struct task_row *row = m->row;
	int r;

	row->failures = row->crash_count = 0;
	row->cancel_asked = false;
	row->run_at_us = run_at_us;
	row->progress = 0;
	free(row->progress_message);
	row->progress_message = NULL;
	buf_reset(&row->error);
	buf_reset(&row->result);
	r = move_to(m, TASK_QUEUED);
	return r < 0 ? r : task_move_save(m, PART_ERROR | PART_RESULT);
}

int task_move_progress(struct task_move *m, double fraction, const char *message,
		       struct bytes detail)
{
	struct event_row *e = next_event(m, EVENT_PROGRESS, m->now_us);
	int r = m->ops->drop_progress(m->store, &m->row->id);

	m->row->progress = fraction;
	free(m->row->progress_message);
	m->row->progress_message = message ? xstrdup(message) : NULL;
	task_pack_progress(fraction, message, detail, m->row->attempt, &e->data);
	return r < 0 ? r : add_event(m, e);
}

int task_move_line(struct task_move *m, const char *stream, struct bytes text, int64_t time_us)
{
	struct event_row *e = next_event(m, EVENT_LOG, time_us);

	task_pack_line(stream, text, time_us, m->row->attempt, &e->data);
	return add_event(m, e);
}
