/* task_move.h: the moves of a task, each with its attempt and its events, as one
 * op of the store thread makes them inside its transaction. A move may take others
 * along (who waits for its unique key, who comes after it): all that has changed is
 * in `changes`, for task_publish after COMMIT. */
#ifndef SERVICE_TASK_MOVE_H
#define SERVICE_TASK_MOVE_H

#include "base/map.h"
#include "service/store.h"

/* What became of one task in an op. */
struct task_change {
	struct uuid id;
	char *queue, *method;      /* owned */
	enum task_state was, is;   /* was 0: made just now */
	unsigned flags;            /* enum task_flag, as they are now */
	int64_t wake_us;           /* of the row */
	bool wake_wall;
	struct event_row *rows;    /* its new events; owned */
	struct task_row *row;      /* as it was left, while task_live_on; owned, NULL */
	size_t n, cap;
};

struct task_changes {
	struct task_change *list;  /* owned */
	size_t n, cap;
	struct map places;         /* id -> place in list + 1, once there are many */
	struct task_ended {        /* parents whose children are still to be told (task_after.c) */
		struct uuid id;
		enum task_state state;
	} *ended;                  /* owned */
	size_t n_ended, cap_ended;
	bool telling;              /* somebody is at it */
};
void task_changes_deinit(struct task_changes *c);
void task_changes_reset(struct task_changes *c); /* before the op runs again */

struct task_move {
	const struct store_ops *ops;
	struct store *store;
	struct task_row *row;      /* changed in place */
	struct task_changes *changes;
	int64_t now_us;            /* wall clock: for the record */
	int64_t clock_us;          /* task_clock_us: what is due */
};
struct task_move task_move_begin(const struct store_ops *ops, struct store *s, struct task_row *row,
				 struct task_changes *changes);

/* How an attempt ended, as far as the runner knows. */
struct task_ending {
	enum task_outcome outcome;
	bool final;
	int64_t retry_after_us;
	int exit_status, signal;
	struct buf problem; /* empty when OK */
	struct buf result;
	struct buf usage;   /* serialized errand.v1.Usage; may be empty */
	struct task_retry retry;
	double random01;
};
void task_ending_deinit(struct task_ending *e);

/* All: 0 or what the store said. The row must be in a state that allows the move. */
int task_move_create(struct task_move *m);                     /* inserts; sets its first state */
int task_move_claim(struct task_move *m, uint64_t owner, const char *name); /* next attempt */
int task_move_end(struct task_move *m, const struct task_ending *e);
int task_move_cancel(struct task_move *m);                     /* to CANCELLED or CANCELLING */
int task_move_requeue(struct task_move *m);                    /* an operator's retry */
int task_move_hold(struct task_move *m);                       /* of one that waits */
int task_move_release(struct task_move *m);                    /* HELD */
int task_move_run_now(struct task_move *m);                    /* SCHEDULED, RETRYING: to QUEUED */
/* Its wake_us is reached: to its turn, or over a deadline. */
int task_move_wake(struct task_move *m);
/* It is QUEUED, and over a deadline: it must not begin any more. */
bool task_move_late(const struct task_move *m);
/* It is BLOCKED or HELD, and one thing less keeps it: blockers or TASK_WAITS_KEY has
 * been changed in the row. */
int task_move_unblock(struct task_move *m);
/* A waiting task ends without an attempt: FAILED, CANCELLED or EXPIRED. code and detail
 * become its problem. */
int task_move_give_up(struct task_move *m, enum task_state to, enum task_reason reason, int code,
		      const char *detail);
/* A new run_at, before task_move_patched; the start deadline moves along with it. */
void task_move_set_run_at(struct task_move *m, int64_t wall_us);
/* Priority, run_at, labels were changed in the row (with `parts`): a new version, with
 * an event that says its state; a QUEUED or SCHEDULED one moves by its new run_at. */
int task_move_patched(struct task_move *m, unsigned parts);

/* What a running attempt says; the caller writes the row with task_move_save (the parts
 * are written by these). */
int task_move_progress(struct task_move *m, double fraction, const char *message,
		       struct bytes detail);
int task_move_checkpoint(struct task_move *m, struct bytes any);
int task_move_line(struct task_move *m, const char *stream, struct bytes text, int64_t time_us);
int task_move_save(struct task_move *m, unsigned parts);

#endif
