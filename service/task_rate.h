/* task_rate.h: how fast a queue may begin tasks (a token bucket) and how fast it ends
 * them (a minute's average). Plain values, no clock of their own; loop thread. */
#ifndef SERVICE_TASK_RATE_H
#define SERVICE_TASK_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct task_bucket {
	double rate;      /* tokens a second; 0 = no limit */
	double burst;     /* tokens it holds, >= 1 */
	double tokens;
	int64_t at_us;    /* when tokens was right */
};

/* Another rate; what it holds is kept, up to the burst. */
void task_bucket_set(struct task_bucket *b, double rate, unsigned burst, int64_t now_us);
/* Whole tokens now, at most n; UINT32_MAX stands for no limit. */
unsigned task_bucket_room(struct task_bucket *b, unsigned n, int64_t now_us);
void task_bucket_take(struct task_bucket *b, unsigned n);
void task_bucket_give(struct task_bucket *b, unsigned n); /* what was taken and not used */
/* Microseconds until there is a whole token; 0: there is one. */
int64_t task_bucket_wait_us(struct task_bucket *b, int64_t now_us);

#define TASK_METER_SLOTS 12 /* of 5 s */
struct task_meter {
	uint32_t slots[TASK_METER_SLOTS];
	int64_t last;     /* number of the newest slot */
	int64_t first_us; /* of the first event; 0 = none */
	uint64_t total;
};
void task_meter_add(struct task_meter *m, int64_t now_us);
double task_meter_rate(struct task_meter *m, int64_t now_us); /* a second */

#endif
