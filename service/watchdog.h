/* watchdog.h: watches how long the loop thread has been in one handler
 * (loop_enter and loop_leave of loop.h): a thread of its own says so while it is
 * still stuck, the loop itself when it has come back. */
#ifndef SERVICE_WATCHDOG_H
#define SERVICE_WATCHDOG_H

#include <stdint.h>

/* limit_ns > 0: what holds the loop that long is logged and counted. */
int watchdog_start(int64_t limit_ns);
void watchdog_stop(void);
/* How often the limit was passed, all names together. Any thread. */
uint64_t watchdog_count(void);

#endif
