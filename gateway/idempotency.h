/* idempotency.h: the header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header):
 * a string as structured fields write one ("8e03978e-..."), or the same without quotes,
 * as many clients send it. Pure. */
#ifndef GATEWAY_IDEMPOTENCY_H
#define GATEWAY_IDEMPOTENCY_H

#include "gateway/headers.h"

enum { IDEMPOTENCY_KEY_MAX = 255 }; /* bytes */

/* The key into out, quotes and escapes undone; empty when there is none. A fault for
 * what is no key. */
void idempotency_read(const struct request_source *src, struct buf *out, struct fault_list *faults);

#endif
