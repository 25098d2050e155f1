/* supervise.h: what systemd is told of the gateway (base/notify.h), and the proof of life that its
 * WatchdogSec wants: every thread's loop is asked to take a look around, and only when all have
 * done so since the last time it is told that we live. Main thread. */
#ifndef GATEWAY_SUPERVISE_H
#define GATEWAY_SUPERVISE_H

#include <signal.h>
#include <stddef.h>

#include "gateway/worker.h"

struct supervise {
	struct worker *const *workers;     /* borrowed */
	size_t n_workers;
	const struct gateway_state *state; /* borrowed */
	unsigned up;                       /* threads with a way to the service, as last told; UINT_MAX: never */
};

/* Serving. */
void supervise_start(struct supervise *s);
/* The next signal of set; meanwhile it tells how things are. */
int supervise_wait(struct supervise *s, const sigset_t *set);

#endif
