/* leave.h: SIGINT while a task is being waited for: the command ends with exit status 130,
 * the task goes on, and a line says how to follow or to cancel it. */
#ifndef CLI_LEAVE_H
#define CLI_LEAVE_H

#include <stdbool.h>

/* id: NULL for several. Until leave_end. */
void leave_begin(const char *id);
void leave_end(void);
/* A line was drawn over itself: it is ended before anything is said. */
void leave_drawn(bool drawn);

#endif
