/* health.h: /livez and /readyz. livez depends on nothing: while the loop turns it is
 * 200. readyz is 200 when calls can be served, else 503 with Retry-After and the
 * reason: no service, no schema yet, or draining. */
#ifndef GATEWAY_HEALTH_H
#define GATEWAY_HEALTH_H

#include "gateway/exchange.h"

/* Both answer r (builtin.h). */
void health_live(struct http_request *r, const struct gateway_thread *t);
void health_ready(struct http_request *r, const struct gateway_thread *t);

#endif
