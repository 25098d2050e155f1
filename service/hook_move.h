/* hook_move.h: a move of a task that somebody wants to be told of: its delivery is
 * written in the transaction of the move. And what of a callback is allowed when it is
 * set. */
#ifndef SERVICE_HOOK_MOVE_H
#define SERVICE_HOOK_MOVE_H

#include "service/task_move.h"

struct hook_rules;

/* For a row with TASK_HAS_CALLBACK that has just changed its state, after its event.
 * Store thread. */
int hook_on_move(struct task_move *m);

/* Start-up thread. Until it is called callbacks are refused: nothing could sign them.
 * rules is borrowed for ever; written() is told (loop thread) when a move with a
 * delivery was committed. */
void hook_policy_set(const struct hook_rules *rules, void (*written)(void));
/* May this URL be set? Negative with the reason in why. Any thread. */
int hook_policy_check(const char *url, char *why, size_t why_size);
/* Of an op's changes after COMMIT (task_publish). Loop thread. */
void hook_publish(const struct task_changes *changes);

#endif
