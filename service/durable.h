/* durable.h: requests that become tasks: stored first, then answered with the
 * task, or with its result when it is done in time (HTTP.md, Prefer). Loop thread. */
#ifndef SERVICE_DURABLE_H
#define SERVICE_DURABLE_H

#include <stdbool.h>

#include "service/registry.h"
#include "service/session.h"

/* w is borrowed until the return. asked: the caller asked for a task, the method
 * alone would not have made one. */
void durable_request(struct request *r, const struct method *method, const struct wire_request *w,
		     bool asked);
/* The request waits for the end of its task: it is answered with what is known. */
void durable_end_wait(struct request *r);
/* Bytes of the inputs that are on their way into the store. */
size_t durable_memory(void);
/* Is this request one of ours? */
bool durable_is(const struct request *r);

#endif
