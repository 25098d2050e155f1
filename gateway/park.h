/* park.h: requests that wait for a service which is being restarted, or has much to read
 * yet. Each waits until the service takes it, or until a moment of its own; what then becomes of it is
 * its owner's (exchange.c). One per loop thread, on it. */
#ifndef GATEWAY_PARK_H
#define GATEWAY_PARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct event_base;
struct park;

/* Of one thread: a service that does not come must not cost the gateway its memory. */
enum { PARK_MAX = 4096, PARK_BYTES = 64 << 20 };

/* Embedded in what waits; list_init(&p.node) before the first use. */
struct parked {
	struct list node;
	int64_t until_ns; /* clock_mono_ns */
	size_t n_bytes;   /* it keeps meanwhile */
};

/* resume runs for each one that has waited, off the list then: because the service
 * takes it, or (late) because its moment has come. It may park it again. */
struct park *park_new(struct event_base *base, void (*resume)(struct parked *p, bool late));
/* Those who wait are forgotten. NULL-safe; NULL. */
struct park *park_free(struct park *k);

/* False: too many, or too much, waits already. */
bool park_add(struct park *k, struct parked *p, size_t n_bytes, int64_t until_ns);
void park_remove(struct park *k, struct parked *p); /* also when it does not wait */
/* The one that has waited longest: the service takes it. False: there is none. */
bool park_resume_first(struct park *k);
/* How many wait now; of NULL none. Any thread. */
size_t park_count(const struct park *k);
/* All of them are late: nobody is to wait any more. */
void park_end(struct park *k);

#endif
