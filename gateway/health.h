/* health.h: /livez and /readyz. livez depends on nothing: while the loop turns it is
 * 200. readyz is 200 when calls can be served, else 503 with Retry-After and the
 * reason: no service, no schema yet, or draining. */
#ifndef GATEWAY_HEALTH_H
#define GATEWAY_HEALTH_H

#include "gateway/exchange.h"

/* True when the path was one of the two: r is answered. */
bool health_handle(struct http_request *r, const struct gateway_thread *t);

#endif
