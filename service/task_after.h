/* task_after.h: tasks that come after others (TaskOptions.after): BLOCKED until all of
 * these have ended, which is seen to inside the transaction of the last one's end.
 * Records EDGE, parent's id and child's id: one for every parent of a task that has not
 * ended; its data tells whether the child still waits for that parent. While there is
 * one, the parent is neither deleted nor forgotten, so its children can read its result.
 * Cycles cannot be: a parent is there before its children. Store thread. */
#ifndef SERVICE_TASK_AFTER_H
#define SERVICE_TASK_AFTER_H

#include "service/task_move.h"
#include "service/task_options.h"

/* Are they all there? 0; 1: after[*missing] is not; negative: what the store said. */
int task_after_check(struct task_move *m, const struct task_options *o, size_t *missing);
/* m->row, which is about to be inserted, comes after them: counts its blockers. */
int task_after_link(struct task_move *m, const struct task_options *o);
/* m->row was inserted: if one of them has failed already, it ends here (by its policy). */
int task_after_made(struct task_move *m, const struct task_options *o);

/* m->row has ended and had parents: they need not be kept for it any more. */
int task_after_unlink(struct task_move *m);
/* m->row has ended and has children: they go on, or end with it, by their policy. These
 * may have children in turn: that is done in a list, not on the stack. */
int task_after_tell(struct task_move *m);

/* Is there a task that has not ended and comes after this one? *child: one of them. */
int task_after_needed(const struct store_ops *ops, struct store *s, const struct uuid *parent,
		      bool *needed, struct uuid *child);

#endif
