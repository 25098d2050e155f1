/* task_clock.c: see task_clock.h. wall = clock + steps. */
#include "service/task_clock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"

#define STEP_US US_PER_S /* a smaller difference is drift */

static _Atomic int64_t offset_us; /* clock = boot + offset */
static _Atomic int64_t steps_us;

static const struct bytes meta_key = {(const uint8_t *)"clock", 5};

int64_t task_clock_us(void)
{
	return clock_boot_ns() / 1000 + atomic_load_explicit(&offset_us, memory_order_relaxed);
}

int64_t task_clock_to_wall(int64_t clock_us)
{
	return clock_us == 0 ? 0 : clock_us + atomic_load_explicit(&steps_us, memory_order_relaxed);
}

static int read_steps(const struct store_ops *ops, struct store *s, int64_t *out)
{
	struct record r = {0};
	int code = ops->get_record(s, RECORD_META, meta_key, &r);

	*out = 0;
	if (code == 0 && r.data.len == sizeof *out)
		memcpy(out, r.data.data, sizeof *out);
	record_deinit(&r);
	return code == -ERRAND_NOT_FOUND ? 0 : code;
}

int task_clock_init(const struct store_ops *ops, struct store *s)
{
	int64_t steps;
	int r = read_steps(ops, s, &steps);

	atomic_store(&steps_us, steps);
	atomic_store(&offset_us, clock_wall_us() - steps - clock_boot_ns() / 1000);
	return r;
}

/* Held against what is in the store, where a step may have been undone with the rest of
 * its transaction. */
int task_clock_check(const struct store_ops *ops, struct store *s)
{
	int64_t steps = clock_wall_us() - task_clock_us();
	struct record r = {.kind = RECORD_META};
	int64_t known, moved;
	int code = read_steps(ops, s, &known);

	moved = steps - known;
	if (code < 0 || llabs(moved) < STEP_US)
		return code;
	log_warn("the wall clock was stepped; deadlines and retries go on by their own clock",
		 "seconds=%lld", (long long)(moved / US_PER_S));
	buf_append(&r.key, meta_key.data, meta_key.len);
	buf_append(&r.data, &steps, sizeof steps);
	code = ops->put_record(s, &r);
	record_deinit(&r);
	if (code == 0)
		atomic_store(&steps_us, steps);
	return code;
}
