/* deadline.h: the headers in which a client says how long it waits. Pure. */
#ifndef GATEWAY_DEADLINE_H
#define GATEWAY_DEADLINE_H

#include "gateway/headers.h"

/* The smallest that was asked for, in ns, at most max; 0 when none was. Faults name
 * the header. */
int64_t deadline_read(const struct request_source *src, int64_t max, struct fault_list *faults);

#endif
