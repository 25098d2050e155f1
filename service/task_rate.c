/* task_rate.c: see task_rate.h. */
#include "service/task_rate.h"

#include "base/util.h"

#define US_PER_S 1000000LL
#define SLOT_US (60 * US_PER_S / TASK_METER_SLOTS)

static void refill(struct task_bucket *b, int64_t now_us)
{
	if (now_us > b->at_us)
		b->tokens += b->rate * (double)(now_us - b->at_us) / US_PER_S;
	b->at_us = now_us;
	if (b->tokens > b->burst)
		b->tokens = b->burst;
}

void task_bucket_set(struct task_bucket *b, double rate, unsigned burst, int64_t now_us)
{
	bool was_free = b->rate == 0;

	refill(b, now_us);
	b->rate = rate;
	b->burst = burst > 1 ? burst : 1;
	if (was_free || b->tokens > b->burst)
		b->tokens = b->burst;
}

unsigned task_bucket_room(struct task_bucket *b, unsigned n, int64_t now_us)
{
	if (b->rate == 0)
		return n;
	refill(b, now_us);
	return b->tokens < (double)n ? (unsigned)b->tokens : n;
}

void task_bucket_take(struct task_bucket *b, unsigned n)
{
	if (b->rate != 0)
		b->tokens -= n;
}

void task_bucket_give(struct task_bucket *b, unsigned n)
{
	if (b->rate != 0)
		b->tokens += n;
}

int64_t task_bucket_wait_us(struct task_bucket *b, int64_t now_us)
{
	if (b->rate == 0)
		return 0;
	refill(b, now_us);
	return b->tokens >= 1 ? 0 : (int64_t)((1 - b->tokens) / b->rate * US_PER_S) + 1;
}

static void meter_turn(struct task_meter *m, int64_t now_us)
{
	int64_t slot = now_us / SLOT_US;

	if (slot - m->last >= TASK_METER_SLOTS)
		m->last = slot - TASK_METER_SLOTS;
	while (m->last < slot)
		m->slots[++m->last % TASK_METER_SLOTS] = 0;
}

void task_meter_add(struct task_meter *m, int64_t now_us)
{
	meter_turn(m, now_us);
	m->slots[m->last % TASK_METER_SLOTS]++;
	m->total++;
	if (m->first_us == 0)
		m->first_us = now_us;
}

double task_meter_rate(struct task_meter *m, int64_t now_us)
{
	int64_t span = MIN(MAX(now_us - m->first_us, US_PER_S), 60 * US_PER_S);
	uint64_t n = 0;

	if (m->first_us == 0)
		return 0;
	meter_turn(m, now_us);
	for (unsigned i = 0; i < TASK_METER_SLOTS; i++)
		n += m->slots[i];
	return (double)n * US_PER_S / (double)span;
}
