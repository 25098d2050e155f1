/* task_move.h: the moves of a task, each with its attempt and its events, as one
 * op of the store thread makes them inside its transaction. */
#ifndef SERVICE_TASK_MOVE_H
#define SERVICE_TASK_MOVE_H

#include "service/store.h"

/* What a move writes to and what it has written: events for the watchers. */
struct task_events {
	struct uuid id;
	struct event_row *rows; /* owned */
	size_t n, cap;
	enum task_state state;  /* of the task after the last of them */
};
void task_events_deinit(struct task_events *e);
/* Forgets them, before the op runs again. */
void task_events_reset(struct task_events *e, const struct uuid *id);

struct task_move {
	const struct store_ops *ops;
	struct store *store;
	struct task_row *row;     /* changed in place */
	struct task_events *events;
	int64_t now_us;           /* for the record */
};

/* How an attempt ended, as far as the runner knows. */
struct task_ending {
	enum task_outcome outcome;
	bool final;
	int64_t retry_after_us;
	int exit_status, signal;
	struct buf problem; /* empty when OK */
	struct buf result;
	struct task_retry retry;
	double random01;
	int64_t queue_now_us; /* the queue's clock, for run_at */
};
void task_ending_deinit(struct task_ending *e);

/* All: 0 or what the store said. The row must be in a state that allows the move. */
int task_move_claim(struct task_move *m, const char *owner);   /* to RUNNING, next attempt */
int task_move_end(struct task_move *m, const struct task_ending *e);
int task_move_cancel(struct task_move *m);                     /* to CANCELLED or CANCELLING */
int task_move_requeue(struct task_move *m, int64_t run_at_us); /* an operator's retry */

/* What a running attempt says; the caller writes the row with task_move_save. */
int task_move_progress(struct task_move *m, double fraction, const char *message,
		       struct bytes detail);
int task_move_line(struct task_move *m, const char *stream, struct bytes text, int64_t time_us);
int task_move_save(struct task_move *m, unsigned parts);

#endif
