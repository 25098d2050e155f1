/* task_clock.h: the engine's clock. It begins as the wall clock and then never jumps:
 * it goes by CLOCK_BOOTTIME, also while the machine is suspended, so a stepped wall
 * clock moves no retry, deadline or lease. What people agree on (run_at, cron) goes by
 * the wall clock. How far the two are apart is kept in the store, so that what was
 * stored by the engine's clock is still right after a restart. */
#ifndef SERVICE_TASK_CLOCK_H
#define SERVICE_TASK_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "service/store.h"

/* Start-up thread: reads the steps of former processes. 0 or what the store said. */
int task_clock_init(const struct store_ops *ops, struct store *s);
/* Any thread; microseconds. */
int64_t task_clock_us(void);
int64_t task_clock_to_wall(int64_t clock_us); /* for people; 0 stays 0 */
/* Store thread, in a transaction: was the wall clock stepped (by more than a second)?
 * Then that is recorded. */
int task_clock_check(const struct store_ops *ops, struct store *s);

#endif
