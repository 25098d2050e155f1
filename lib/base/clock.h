/* clock.h: the two clocks. Durations and deadlines use the monotonic one, dates
 * in records the wall clock; nothing sleeps for a difference of wall times.
 * Tests replace both with clock_set_fake(). Thread-safe. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL
#define US_PER_S 1000000LL

int64_t clock_mono_ns(void);
int64_t clock_boot_ns(void); /* as clock_mono_ns, but goes on while the machine is suspended */
int64_t clock_wall_us(void); /* microseconds since 1970 UTC */

/* From now on both clocks answer these values (mono_ns < 0: the real ones). */
void clock_set_fake(int64_t mono_ns, int64_t wall_us);

/* "2026-01-31T12:00:00.123456Z" into out (>= 28 bytes); returns out. */
char *clock_format(int64_t wall_us, char out[28]);

#endif
