/* task_run.h: the attempts under way, as task.c sees them. */
#ifndef SERVICE_TASK_RUN_H
#define SERVICE_TASK_RUN_H

#include "service/task_move.h"

struct method;

/* By the row's options (PART_OPTIONS), its method's and the defaults. Any thread. */
struct task_retry task_run_retry_of(const struct task_row *row);
/* In [0, 1). */
double task_run_random(void);
/* Tests shorten these. After the grace, before a handler that does not stop is
 * given up; at the stop, for handlers to end by themselves. */
extern int64_t task_stuck_margin_ns, task_interrupt_wait_ns;

#endif
