/* task_unique.h: unique keys: at most one live task has one (or one within a window
 * after its creation). Decided inside the transaction that makes the task; who may
 * wait for a key gets it in the order of creation. Store thread. */
#ifndef SERVICE_TASK_UNIQUE_H
#define SERVICE_TASK_UNIQUE_H

#include "service/task_move.h"

/* Takes the key for m->row until `window_us` from now, 0: while it is live. 0, what the
 * store said, or -ERRAND_ALREADY_EXISTS: *holder has it. */
int task_unique_take(struct task_move *m, const char *key, int64_t window_us, struct uuid *holder);
/* m->row waits for the key: it is BLOCKED with TASK_WAITS_KEY. */
int task_unique_wait(struct task_move *m, const char *key);
/* m->row (TASK_HAS_UNIQUE) has ended: its key goes to the next who waits. */
int task_unique_release(struct task_move *m);
/* Windows that are over. */
int task_unique_tick(const struct store_ops *ops, struct store *s, struct task_changes *changes);

#endif
