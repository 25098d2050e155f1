/* wheel.h: deadlines of calls in a wheel of 1024 slots of 32 ms. Putting in and
 * taking out are a few pointers, whatever the number of calls; a deadline is seen
 * up to one slot late. One beyond a turn (33 s) waits in its slot for the right
 * turn. Pure: the caller has the clock and the timer. */
#ifndef GATEWAY_WHEEL_H
#define GATEWAY_WHEEL_H

#include <stdint.h>

#include "base/list.h"

enum { WHEEL_SLOTS = 1024 };
#define WHEEL_SLOT_NS 32000000LL

/* Embedded in what has a deadline. */
struct wheel_node {
	struct list link;
	int64_t deadline; /* clock_mono_ns */
};

struct wheel {
	struct list slots[WHEEL_SLOTS];
	int64_t done; /* slots up to this one (deadline / WHEEL_SLOT_NS) were looked at */
};

void wheel_init(struct wheel *w, int64_t now);
void wheel_add(struct wheel *w, struct wheel_node *n, int64_t deadline);
/* Also when it is out already. */
void wheel_remove(struct wheel_node *n);
/* Moves what is due at `now` to the end of due. */
void wheel_expire(struct wheel *w, int64_t now, struct list *due);
/* When to call wheel_expire again; -1 while the wheel is empty. */
int64_t wheel_next(const struct wheel *w);
/* The same for a node just added. */
int64_t wheel_when(const struct wheel_node *n);

#endif
