/* deadline.h: many moments, one timer: a heap on the loop thread. Every call has
 * a deadline and most end long before it, so setting and dropping one must cost
 * little: the loop's timer is only moved when an earlier moment comes in, and one
 * that turns out to be early just looks again. */
#ifndef SERVICE_DEADLINE_H
#define SERVICE_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in its owner; zeroed = not set. */
struct deadline {
	int64_t at_ns; /* clock_mono_ns */
	size_t place;  /* in the heap, from 1; 0 = not set */
	void (*fn)(struct deadline *d);
};

/* Loop thread. fn(d) once, at at_ns or soon after; d is not set then any more. */
void deadline_set(struct deadline *d, int64_t at_ns, void (*fn)(struct deadline *d));
void deadline_drop(struct deadline *d); /* also when it is not set */
static inline bool deadline_is_set(const struct deadline *d)
{
	return d->place != 0;
}
int64_t deadline_next(void); /* the earliest that is set; INT64_MAX: none */
void deadline_deinit(void);

#endif
