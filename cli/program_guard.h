/* program_guard.h: takes the programs of `errand worker` along when it dies, however it
 * does. A process of its own holds the other end of a pipe on which each program's process
 * group is written down; when the pipe ends, it kills the groups that are left. */
#ifndef CLI_PROGRAM_GUARD_H
#define CLI_PROGRAM_GUARD_H

#include <sys/types.h>

/* 0 or -errno. Before there are programs. */
int program_guard_start(void);
/* In the program's process, before it execs; async-signal-safe. */
void program_guard_add(pid_t group);
/* Before it is reaped, so that its number is not somebody else's yet. */
void program_guard_remove(pid_t group);

#endif
