/* task_flush.h: what a running attempt says (its feed) on its way to the store: flushed at
 * a pace while it runs, the last words given to its end. Loop thread but for the two that
 * write. */
#ifndef SERVICE_TASK_FLUSH_H
#define SERVICE_TASK_FLUSH_H

#include "service/loop.h"
#include "service/task_feed.h"
#include "service/task_move.h"

/* Embedded in a run. The feed's owner (feed_owner) is this. */
struct task_flush {
	struct uuid id;
	uint32_t attempt;
	struct feed *feed;
	struct loop_timer timer;
	struct flush_op *op;       /* the op under way; NULL */
	int64_t flush_ns, progress_ns; /* when the last of each began */
	uint64_t dropped;          /* bytes of log lines, for the note at the end */
	bool over;                 /* the attempt's end takes what comes */
};
void task_flush_init(struct task_flush *w, const struct uuid *id, uint32_t attempt);
void task_flush_deinit(struct task_flush *w);
/* Does anything wait, or is on its way? */
bool task_flush_busy(const struct task_flush *w);
/* Gives the last words, and how many bytes of lines were dropped in all. Nothing is
 * flushed after it. */
uint64_t task_flush_end(struct task_flush *w, struct feed_batch *out);

/* Store thread. The row while this attempt runs; 1: it does not (any more). */
int task_flush_row(const struct store_ops *ops, struct store *s, const struct uuid *id,
		   uint32_t attempt, struct task_row *row);
int task_flush_write(struct task_move *m, const struct feed_batch *b);

#endif
