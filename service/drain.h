/* drain.h: stopping in good order. Loop thread.
 *
 *   RUNNING ─ SIGTERM ─▶ DRAINING ─ all done ──────────────▶ STOPPED (loop_stop)
 *                            └─ timeout, or a second signal ─▶ STOPPING ─▶ STOPPED
 *
 * DRAINING: no new connections, calls or claims; what is under way finishes.
 * STOPPING: what is still under way is cancelled, tasks are recorded INTERRUPTED. */
#ifndef SERVICE_DRAIN_H
#define SERVICE_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

/* Handles SIGTERM and SIGINT (drain; again: stop now) and SIGHUP (reload.h); SIGPIPE,
 * SIGUSR1 and SIGUSR2 are ignored from here on. */
void drain_init(int64_t timeout_ns);
/* Of a drain that begins later. */
void drain_set_timeout(int64_t timeout_ns);
void drain_deinit(void);

#endif
