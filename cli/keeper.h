/* keeper.h: the process between `errand worker` and a program. It is the reaper of all that the program
 * starts: when the program has ended, when it is told to, or when the worker dies, however, none of it
 * lives on, daemons included. */
#ifndef CLI_KEEPER_H
#define CLI_KEEPER_H

#include <signal.h>
#include <sys/types.h>

enum { KEEPER_STOP = SIGTERM, KEEPER_KILL = SIGUSR1 }; /* what it is told by: SIGTERM to the program's group; SIGKILL to all */

/* In the forked child, whose parent is the worker: returns in a child of its own, which is to become the
 * program (a leader of a group, no signal blocked): 0; negative, with errno, where there can be none. The
 * keeper does not return: it ends as the program has. */
int keeper_fork(pid_t parent);

#endif
