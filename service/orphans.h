/* orphans.h: what programs leave behind when they end.
 *
 * Each program is made the reaper of its own descendants (spawn.c), and the
 * service is one too (process.c). So a descendant cannot slip away by setsid or by
 * forking twice: while its program lives it stays below it, and when the program
 * has ended it becomes a child of the service. Whatever the service is given in
 * that way is therefore a left-over, and is killed and reaped here.
 *
 * Processes a module starts by its own means are left alone: they do not carry the
 * mark of errand's children, a soft limit for message queues one byte below the
 * service's own, which nobody misses and all descendants inherit. Not seen: what leaves its
 * session in the moment the service itself is killed by SIGKILL; a cgroup takes those, the
 * program's own or a systemd unit's.
 *
 * Process thread. */
#ifndef SERVICE_ORPHANS_H
#define SERVICE_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Before the first child. */
void orphans_init(void);
/* What a child is to set RLIMIT_MSGQUEUE to. */
const struct rlimit *orphans_mark(void);
/* Kills and reaps; returns how many it found, to be called again until that is
 * none: the children of those come next. is_child tells errand's own live children,
 * which are not touched. */
size_t orphans_sweep(bool (*is_child)(pid_t pid));

#endif
