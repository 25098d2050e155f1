/* task_queue.c: queues and their slots. A claim takes as many tasks as there are
 * free slots, never more: nothing is prefetched. It is submitted with the op that
 * made work or room for it and goes behind all that waits, so it sees what they make
 * and shares their commit; slots that come free until the store begins with it are
 * added. Loop thread. */
#include <limits.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/lease.h"
#include "service/pool.h"
#include "service/task_clock.h"
#include "service/task_engine.h"
#include "service/task_settings.h"

#define TRY_AGAIN_NS NS_PER_S         /* after the store failed */
#define LEAVE_NS (100 * NS_PER_MS)    /* for threads that have answered to come back */

#define BEGUN UINT_MAX /* of claim.room: the store thread has read it */

struct claim {
	struct store_op op;
	struct task_queue *queue;
	atomic_uint room;           /* slots it may fill; grows until it is BEGUN */
	size_t n, n_seen, n_rows;   /* n: what room was then; seen: QUEUED ones found */
	struct task_row *rows;      /* n of them */
	struct task_changes changes;
};

/* Of its own, or otherwise. */
static unsigned slots_of(const char *name, unsigned otherwise)
{
	for (size_t i = 0; i < engine.config.n_queues; i++)
		if (strcmp(engine.config.queues[i].name, name) == 0)
			return engine.config.queues[i].slots;
	return otherwise;
}

struct task_queue *task_queue_get(const char *name)
{
	struct task_queue *q = map_get_str(&engine.queues, name);

	if (q != NULL)
		return q;
	q = xcalloc(1, sizeof *q);
	q->name = xstrdup(name);
	q->pool_name = xasprintf("slot-%s", name);
	map_put_str(&engine.queues, q->name, q);
	task_queue_set(q);
	return q;
}

struct pool *task_queue_pool(struct task_queue *q)
{
	if (q->pool == NULL) {
		q->pool = pool_new(q->pool_name, q->slots, q->slots);
		q->n_threads = q->slots;
	}
	return q->pool;
}

/* Threads of the pool stay while others run its tasks: there may be some under way. */
static void set_slots(struct task_queue *q, const struct queue_settings *set)
{
	unsigned most = q->runner != NULL ? UINT_MAX : engine.config.slots;
	unsigned slots = set->has_slots ? set->slots : slots_of(q->name, most);

	q->slots = q->runner != NULL ? MIN(slots, q->runner_room) : slots;
	if (q->pool == NULL || q->runner != NULL)
		return;
	pool_resize(q->pool, (int)slots - (int)q->n_threads);
	q->n_threads = slots;
}

void task_queue_set(struct task_queue *q)
{
	struct queue_settings set;

	task_settings_get(q->name, &set);
	set_slots(q, &set);
	q->max_depth = set.has_depth ? set.max_depth : engine.config.max_depth;
	q->paused = set.paused;
	task_bucket_set(&q->bucket, set.rate, set.burst, task_clock_us());
	queue_settings_deinit(&set);
	if (!q->paused)
		task_queue_kick(q);
}

void task_queue_run_by(const char *name, const struct runner *runner, void *arg, unsigned room)
{
	struct task_queue *q = task_queue_get(name);

	if (q->runner == runner && q->runner_arg == arg && q->runner_room == room)
		return;
	q->runner = runner;
	q->runner_arg = arg;
	q->runner_room = room;
	task_queue_set(q);
}

void task_queue_ended(struct task_queue *q)
{
	task_meter_add(&q->meter, task_clock_us());
}

/* --- claiming --- */

static void claim_reset(struct claim *c)
{
	for (size_t i = 0; i < c->n_rows; i++)
		task_row_deinit(&c->rows[i]);
	task_changes_reset(&c->changes);
	c->n_rows = 0;
}

static void claim_free(struct claim *c)
{
	claim_reset(c);
	task_changes_deinit(&c->changes);
	free(c->rows);
	free(c);
}

/* From here on room does not grow. */
static void claim_begin(struct claim *c)
{
	if (c->rows != NULL)
		return;
	c->n = atomic_exchange(&c->room, BEGUN);
	c->rows = xcalloc(c->n, sizeof *c->rows);
}

/* False: it is too late for this claim. */
static bool claim_grow(struct claim *c, unsigned by)
{
	unsigned room = atomic_load(&c->room);

	while (room != BEGUN)
		if (atomic_compare_exchange_weak(&c->room, &room, room + by))
			return true;
	return false;
}

/* Takes them; those whose deadline has passed before the clock saw to it
 * end instead and are not among the rows any more. */
static int take_rows(struct claim *c, const struct store_ops *ops, struct store *s)
{
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < c->n_seen; i++) {
		struct task_row *row = &c->rows[i];
		struct task_move m = task_move_begin(ops, s, row, &c->changes);
		bool late = task_move_late(&m);

		if (r == 0)
			r = late ? task_move_wake(&m) : task_move_claim(&m, lease_owner(), lease_name());
		if (late) {
			task_row_deinit(row);
		} else if (n++ != i) {
			c->rows[n - 1] = *row;
			*row = (struct task_row){0};
		}
	}
	c->n_rows = n;
	return r;
}

static int claim_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct claim *c = CONTAINER_OF(op, struct claim, op);
	int r;

	claim_begin(c);
	claim_reset(c);
	r = ops->claimable(s, c->queue->name, c->n, c->rows, &c->n_rows);
	c->n_seen = c->n_rows;
	if (r == 0 && c->n_rows > 0)
		r = lease_hold(ops, s);
	return r == 0 ? take_rows(c, ops, s) : r;
}

static void on_again(void *arg)
{
	task_queue_kick(arg);
}

/* The next token comes then. */
static void wait_for_token(struct task_queue *q)
{
	int64_t us = task_bucket_wait_us(&q->bucket, task_clock_us());

	if (us > 0 && q->timer.event == NULL)
		loop_timer_start(&q->timer, us * 1000, on_again, q);
}

/* Fewer rows than were asked for: all that was queued by then is taken. */
static void claim_done(struct store_op *op, int code)
{
	struct claim *c = CONTAINER_OF(op, struct claim, op);
	struct task_queue *q = c->queue;
	size_t n = code < 0 ? 0 : c->n_rows;

	claim_begin(c); /* the store may have refused it unseen */
	q->claim = NULL;
	q->n_busy -= (unsigned)(c->n - n);
	task_bucket_give(&q->bucket, (unsigned)(c->n - n));
	if (n > 0)
		q->last_claim_us = clock_wall_us();
	if (code < 0) {
		q->again = false;
		loop_timer_start(&q->timer, TRY_AGAIN_NS, on_again, q);
	} else {
		task_publish(&c->changes);
		if (c->n_seen < c->n)
			q->n_queued = 0;
	}
	for (size_t i = 0; i < n; i++)
		task_run_start(q, &c->rows[i]);
	claim_free(c);
	if (code == 0)
		task_queue_kick(q);
}

/* Slots that are free, as far as its rate allows more tasks now; they are taken. */
static unsigned take_room(struct task_queue *q)
{
	unsigned room = q->slots > q->n_busy ? q->slots - q->n_busy : 0;

	if (room == 0 || engine.draining || q->paused)
		return 0;
	room = task_bucket_room(&q->bucket, room, task_clock_us());
	if (room == 0)
		wait_for_token(q);
	task_bucket_take(&q->bucket, room);
	q->n_busy += room;
	return room;
}

static void give_room(struct task_queue *q, unsigned room)
{
	task_bucket_give(&q->bucket, room);
	q->n_busy -= room;
}

/* The claim under way takes more, or there will be another one. */
static void claim_more(struct task_queue *q)
{
	unsigned room = take_room(q);

	if (room > 0 && claim_grow(q->claim, room))
		return;
	give_room(q, room);
	q->again = true;
}

void task_queue_kick(struct task_queue *q)
{
	struct claim *c;
	unsigned room;

	if (q->claim != NULL) {
		claim_more(q);
		return;
	}
	if (q->n_queued + q->n_creating == 0 && !q->again)
		return;
	room = take_room(q);
	if (room == 0)
		return;
	c = xcalloc(1, sizeof *c);
	c->queue = q;
	atomic_init(&c->room, room);
	c->op = (struct store_op){.run = claim_run, .done = claim_done, .writes = true,
				  .last = true};
	q->claim = c;
	q->again = false;
	store_thread_submit(&c->op);
}

/* --- the end --- */

void task_queue_stop_all(void)
{
	struct task_queue *q;

	for (size_t pos = 0; (q = map_next(&engine.queues, &pos)) != NULL;)
		loop_timer_cancel(&q->timer);
}

/* A handler that never returns keeps its pool: the process ends without it. */
void task_queue_free_all(void)
{
	struct task_queue *q;

	for (size_t pos = 0; (q = map_next(&engine.queues, &pos)) != NULL;) {
		loop_timer_cancel(&q->timer);
		if (q->pool != NULL && pool_drain(q->pool, clock_mono_ns() + LEAVE_NS) > 0) {
			log_warn("a task's handler is still running", "queue=%s", q->name);
			continue;
		}
		pool_free(q->pool);
		free(q->pool_name);
		free(q->name);
		free(q);
	}
	map_deinit(&engine.queues);
}
