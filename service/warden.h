/* warden.h: a tiny process beside the service that outlives a kill -9 of it.
 *
 * PR_SET_PDEATHSIG ends only the direct children of a killed service. The warden
 * holds the other end of a socket and is told of each child's session as it is
 * born (by the child itself, before exec) and when it is gone; at the end of the
 * file, which the kernel delivers however the service died, it SIGKILLs every
 * process of the sessions still listed and all that is in the cgroups of children
 * (cgroup.h), whose directories it removes, and ends. It has no heap of its own, no thread and no
 * other descriptor of the service's. */
#ifndef SERVICE_WARDEN_H
#define SERVICE_WARDEN_H

#include <sys/types.h>

/* Forks it; early, while the service is small. 0 or -errno. */
int warden_start(void);
/* Closes the socket and reaps it. */
void warden_stop(void);
pid_t warden_pid(void); /* 0 when there is none */
int warden_fd(void);    /* for the child to announce itself on; -1 when there is none */

/* Async-signal-safe; false when the warden does not listen any more. */
_Bool warden_add(int fd, pid_t session);
_Bool warden_remove(int fd, pid_t session);

#endif
