/* dispatch.h: from a request to what serves it: an ordinary call, or a durable
 * task and what its caller wants to hear of it. Loop thread. */
#ifndef SERVICE_DISPATCH_H
#define SERVICE_DISPATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service/session.h"

/* default_deadline_ns: of calls that name none; 0 = none. */
void dispatch_init(int64_t default_deadline_ns);
/* w is borrowed until the return. `open`: the client wants to send a stream. */
void dispatch_request(struct request *r, const struct wire_request *w, bool open);
/* Is it for errand.v1.Workers? */
bool dispatch_of_worker(const struct wire_request *w);
/* Bytes held by all that was made of requests, also of those whose client has gone. */
size_t dispatch_memory(void);
/* Drain: requests that only wait for something of errand's own to happen (the end
 * of a task, the next event) are answered now. */
void dispatch_end_waits(void);

#endif
