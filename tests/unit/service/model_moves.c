/* What is done to the tasks of model_rig.h: each kind of operation, to both stores and to the model. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "model_rig.h"
#include "service/task_api.h"
#include "service/task_clock.h"
#include "service/task_spec.h"
#include "service/task_unique.h"

#define BATCH 128

struct model_rig rig;
const struct task_retry rig_retry = {3, MODEL_S, 8 * MODEL_S, 2};

static uint32_t pick(uint32_t *bits, uint32_t n)
{
	uint32_t value = *bits % n;

	*bits /= n;
	return value;
}

/* --- options --- */

static void put_time(struct buf *b, uint32_t number, int64_t us)
{
	AUTO_BUF time = BUF_INIT;

	if (us == 0)
		return;
	pbuf_put_uint(&time, 1, (uint64_t)(us / MODEL_S));
	pbuf_put_uint(&time, 2, (uint64_t)(us % MODEL_S * 1000));
	pbuf_put_bytes(b, number, time.data, time.len);
}

static void pack_options(const struct model_options *o, struct buf *out)
{
	char key[24];

	pbuf_put_uint(out, 2, (uint64_t)(int64_t)o->priority);
	put_time(out, 3, o->run_at);
	put_time(out, 4, o->delay);
	if (o->key >= 0) {
		snprintf(key, sizeof key, "key-%d", o->key);
		pbuf_put_str(out, 6, key);
		put_time(out, 7, o->window);
		pbuf_put_uint(out, 8, o->policy);
	}
	put_time(out, 11, o->start_deadline);
	put_time(out, 13, o->total);
	put_time(out, 17, o->ttl);
}

static struct model_options random_options(uint32_t a, uint32_t b)
{
	struct model_options o = {.key = -1, .idempotency = -1};

	if (pick(&a, 4) == 0)
		o.delay = (1 + pick(&a, 10)) * MODEL_S;
	else if (pick(&a, 4) == 0)
		o.run_at = rig.model.wall + ((int64_t)pick(&a, 20) - 5) * MODEL_S;
	o.priority = (int)pick(&a, 3) - 1;
	if (pick(&b, 3) == 0) {
		o.key = (int)pick(&b, MODEL_KEYS);
		o.policy = MODEL_REFUSE + pick(&b, 3);
		o.window = pick(&b, 4) == 0 ? 20 * MODEL_S : 0;
	}
	if (pick(&a, 4) == 0)
		o.start_deadline = (1 + pick(&a, 12)) * MODEL_S;
	if (pick(&b, 4) == 0 && o.run_at == 0) /* not together: only one of them wakes a task */
		o.total = (1 + pick(&b, 30)) * MODEL_S;
	if (pick(&b, 4) == 0)
		o.ttl = 5 * MODEL_S;
	if (pick(&b, 5) == 0) {
		o.idempotency = (int)pick(&b, MODEL_KEYS);
		o.body = (int)pick(&b, 3) / 2;
	}
	return o;
}

/* --- the engine's side --- */

int rig_read(struct side *side, int at, struct task_row *row)
{
	return side->ops->get(side->s, &rig.model.tasks[at].id, PART_ALL & ~(unsigned)PART_INPUT, row);
}

typedef int (*act)(struct task_move *m, const void *arg);

/* A move of one task, as task.c's ops make them. */
static void move(int at, act do_it, const void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(rig.sides); i++) {
		struct side *side = &rig.sides[i];
		struct task_row row = {0};
		struct task_move m = task_move_begin(side->ops, side->s, &row, &side->changes);
		int r = rig_read(side, at, &row);

		if (r == 0)
			r = do_it(&m, arg);
		if (r < 0)
			WRONG("%s: %d of a move: %s", side->ops->name, r, side->ops->error(side->s));
		task_row_deinit(&row);
	}
}

static struct schema_method schema = {.full_name = "model.v1.Model/Run", .queue = "model"};
static struct method method = {.schema = &schema, .queue = "model"};

static void create(struct op op)
{
	static const enum model_made made_of[] = {
		[TASK_MADE] = MODEL_MADE, [TASK_REPLAYED] = MODEL_REPLAYED, [TASK_USED] = MODEL_USED,
		[TASK_CONFLICT] = MODEL_CONFLICT, [TASK_KEY_REUSED] = MODEL_KEY_REUSED,
	};
	struct model_options o = random_options(op.a, op.b);
	uint8_t fingerprint[TASK_FINGERPRINT_SIZE] = {(uint8_t)o.body};
	AUTO_BUF options = BUF_INIT;
	char key[24];
	struct task_spec spec = {.method = &method, .input = {(const uint8_t *)"in", 2},
				 .key = o.idempotency < 0 ? NULL : key, .fingerprint = fingerprint};
	struct task_new n;
	enum model_made want;
	int at = -1;

	if (rig.model.n == MODEL_TASKS)
		return;
	snprintf(key, sizeof key, "i%d", o.idempotency);
	pack_options(&o, &options);
	spec.options = buf_bytes(&options);
	task_new_init(&n, &spec);
	want = model_create(&rig.model, &o, &n.row.id, &at);
	for (size_t i = 0; i < ARRAY_LEN(rig.sides); i++) {
		int r = task_new_insert(&n, rig.sides[i].ops, rig.sides[i].s, &rig.sides[i].changes);

		if (r < 0)
			WRONG("%s: insert %d: %s", rig.sides[i].ops->name, r, rig.sides[i].ops->error(rig.sides[i].s));
		else if (made_of[n.found] != want)
			WRONG("%s: created as %d, the model says %d", rig.sides[i].ops->name, made_of[n.found], want);
		else if (memcmp(&task_new_row(&n)->id, &rig.model.tasks[at].id, sizeof n.row.id) != 0)
			WRONG("%s: another task is the answer", rig.sides[i].ops->name);
	}
	task_new_deinit(&n);
}

static int claim_one(struct task_move *m, const void *arg)
{
	return task_move_claim(m, 1, "model/1");
}

static void claim(struct op op)
{
	for (uint32_t n = op.a % 3 + 1; n > 0; n--) {
		int at = model_next(&rig.model);

		for (size_t i = 0; i < ARRAY_LEN(rig.sides); i++) {
			struct task_row row = {0};
			size_t found = 0;

			if (rig.sides[i].ops->claimable(rig.sides[i].s, "model", 1, &row, &found) < 0)
				WRONG("%s: claimable failed", rig.sides[i].ops->name);
			else if (found != (at >= 0) ||
				 (at >= 0 && memcmp(&row.id, &rig.model.tasks[at].id, sizeof row.id) != 0))
				WRONG("%s: another task's turn than task %d's", rig.sides[i].ops->name, at);
			if (found)
				task_row_deinit(&row);
		}
		if (at < 0)
			return;
		model_claim(&rig.model, at);
		move(at, claim_one, NULL);
	}
}

struct ending {
	enum task_outcome outcome;
	bool final;
	int64_t retry_after;
};

static int end_one(struct task_move *m, const void *arg)
{
	const struct ending *e = arg;
	struct task_ending ending = {.outcome = e->outcome, .final = e->final,
				     .retry_after_us = e->retry_after, .retry = rig_retry, .random01 = 0.5};
	int r;

	if (e->outcome == OUTCOME_OK)
		buf_append(&ending.result, "out", 3);
	else
		task_problem_put(&ending.problem, ERRAND_UNAVAILABLE, 0, "it went wrong");
	r = task_move_end(m, &ending);
	task_ending_deinit(&ending);
	return r;
}

/* The nth task that `is`, -1: none is. */
static int nth(uint32_t n, bool (*is)(const struct model_task *t))
{
	int found[MODEL_TASKS], count = 0;

	for (int i = 0; i < rig.model.n; i++)
		if (!rig.model.tasks[i].gone && is(&rig.model.tasks[i]))
			found[count++] = i;
	return count == 0 ? -1 : found[n % (uint32_t)count];
}

static bool any(const struct model_task *t)
{
	return true;
}

bool rig_runs(const struct model_task *t)
{
	return t->state == TASK_RUNNING || t->state == TASK_CANCELLING;
}

static bool held(const struct model_task *t)
{
	return t->state == TASK_HELD;
}

static bool ended(const struct model_task *t)
{
	return !model_live(t);
}

static void end(struct op op)
{
	static const enum task_outcome outcomes[] = {
		OUTCOME_OK, OUTCOME_OK, OUTCOME_OK, OUTCOME_ERROR, OUTCOME_ERROR, OUTCOME_TIMEOUT,
		OUTCOME_OOM, OUTCOME_SIGNAL, OUTCOME_EXIT, OUTCOME_INTERRUPTED,
	};
	int at = nth(op.a, rig_runs);
	uint32_t b = op.b;
	struct ending e = {outcomes[pick(&b, ARRAY_LEN(outcomes))], false, 0};

	if (at < 0)
		return;
	if (rig.model.tasks[at].cancel_asked && pick(&b, 2))
		e.outcome = OUTCOME_CANCELLED;
	if (e.outcome == OUTCOME_ERROR) {
		e.final = pick(&b, 4) == 0;
		e.retry_after = pick(&b, 4) == 0 ? 4 * MODEL_S : 0;
	}
	model_end(&rig.model, at, e.outcome, e.final, e.retry_after);
	move(at, end_one, &e);
}

static int event_one(struct task_move *m, const void *arg)
{
	static const struct bytes line = {(const uint8_t *)"a line", 6};
	int r = *(const uint32_t *)arg % 2 ?
		task_move_progress(m, 0.5, "half", (struct bytes){0}) :
		task_move_line(m, "handler", line, m->now_us);

	return r < 0 ? r : task_move_save(m, 0);
}

static void event(struct op op)
{
	int at = nth(op.a, rig_runs);

	if (at < 0)
		return;
	model_event(&rig.model, at);
	move(at, event_one, &op.b);
}

static int cancel_one(struct task_move *m, const void *arg)
{
	return task_state_terminal(m->row->state) || m->row->state == TASK_CANCELLING ? 0 :
	       task_move_cancel(m);
}

static int hold_one(struct task_move *m, const void *arg)
{
	return m->row->state == TASK_HELD ? 0 : task_move_hold(m);
}

static int release_one(struct task_move *m, const void *arg)
{
	return task_move_release(m);
}

static int run_now_one(struct task_move *m, const void *arg)
{
	return m->row->state == TASK_QUEUED ? 0 : task_move_run_now(m);
}

static int retry_one(struct task_move *m, const void *arg)
{
	const struct model_task *t = arg;
	struct uuid holder;
	char key[24];
	int r = 0;

	snprintf(key, sizeof key, "key-%d", t->options.key);
	if (t->options.key >= 0 && t->options.window == 0)
		r = task_unique_take(m, key, 0, &holder);
	return r < 0 ? r : task_move_requeue(m);
}

static int delete_one(struct task_move *m, const void *arg)
{
	return m->ops->remove(m->store, &m->row->id);
}

/* What an operator may ask of any task. */
static const struct request {
	bool (*model)(struct model *m, int at);
	act act;
	bool (*likely)(const struct model_task *t);
} requests[N_KINDS] = {
	[CANCEL] = {model_cancel, cancel_one, model_live},
	[HOLD] = {model_hold, hold_one, model_waiting},
	[RELEASE] = {model_release, release_one, held},
	[RUN_NOW] = {model_run_now, run_now_one, model_waiting},
	[RETRY] = {model_retry, retry_one, ended},
	[DELETE] = {model_delete, delete_one, ended},
};

static void ask(struct op op)
{
	const struct request *r = &requests[op.kind];
	int at = nth(op.a, op.b % 4 ? r->likely : any);

	if (at >= 0 && r->model(&rig.model, at))
		move(at, r->act, &rig.model.tasks[at]);
}

struct patch {
	int priority;
	int64_t run_at;
};

static int patch_one(struct task_move *m, const void *arg)
{
	const struct patch *p = arg;

	m->row->priority = p->priority;
	if (p->run_at != 0)
		task_move_set_run_at(m, p->run_at);
	return task_move_patched(m, 0);
}

static void patch(struct op op)
{
	int at = nth(op.a, model_waiting);
	uint32_t b = op.b;
	struct patch p = {(int)pick(&b, 5) - 2, 0};

	if (at < 0)
		return;
	if (pick(&b, 2) && rig.model.tasks[at].finish_by == 0)
		p.run_at = rig.model.wall + ((int64_t)pick(&b, 20) - 5) * MODEL_S;
	if (model_patch(&rig.model, at, p.priority, p.run_at))
		move(at, patch_one, &p);
}

/* --- time --- */

static int forget(struct side *side)
{
	struct task_row rows[BATCH];
	size_t n = 0;
	int r = side->ops->forgettable(side->s, rig.model.now, BATCH, rows, &n);

	for (size_t i = 0; i < n; i++) {
		if (r == 0)
			r = task_forget(side->ops, side->s, &rows[i]);
		task_row_deinit(&rows[i]);
	}
	return r;
}

/* Nothing that was due may be due still: the engine's timer would never rest. */
static void rests(struct side *side)
{
	for (int wall = 0; wall < 2; wall++) {
		int64_t next = 0, now = wall ? rig.model.wall : rig.model.now;

		side->ops->next_wake(side->s, wall, &next);
		if (next != 0 && next <= now)
			WRONG("%s: a task is due again at once (%s clock)", side->ops->name,
			      wall ? "wall" : "engine's");
	}
}

static void tick(void)
{
	clock_set_fake(rig.model.now * 1000, rig.model.wall);
	model_tick(&rig.model);
	for (size_t i = 0; i < ARRAY_LEN(rig.sides); i++) {
		struct side *side = &rig.sides[i];
		size_t n = 1;
		int r = 0;

		for (int again = 0; again < 3 && r == 0; again++) {
			r = task_wake_due(side->ops, side->s, false, &side->changes, &n);
			if (r == 0)
				r = task_wake_due(side->ops, side->s, true, &side->changes, &n);
			if (r == 0)
				r = task_unique_tick(side->ops, side->s, &side->changes);
		}
		if (r == 0)
			r = forget(side);
		if (r == 0)
			r = task_key_tick(side->ops, side->s);
		if (r < 0)
			WRONG("%s: tick %d: %s", side->ops->name, r, side->ops->error(side->s));
		rests(side);
	}
}

static void advance(struct op op)
{
	static const int64_t steps[] = {1, 1, 1, 2, 2, 5, 5, 30, 3600, 8 * 86400};
	uint32_t b = op.b;
	int64_t us = steps[pick(&b, ARRAY_LEN(steps))] * MODEL_S / (1 + pick(&b, 2));

	rig.model.now += us;
	rig.model.wall += us;
	tick();
}

static void jump(struct op op)
{
	static const int64_t jumps[] = {3600, -3600, -10 * 86400, 10 * 86400, 7, -7};

	rig.model.wall += jumps[op.b % ARRAY_LEN(jumps)] * MODEL_S;
	tick();
}

/* The service dies: what ran is taken back, whoever owned it. */
static void crash(struct op op)
{
	static const struct ending lost = {OUTCOME_LEASE_LOST, false, 0};
	int at;

	for (uint32_t n = 0; n < MODEL_TASKS && (at = nth(0, rig_runs)) >= 0 && rig.wrong[0] == 0; n++) {
		model_end(&rig.model, at, lost.outcome, false, 0);
		move(at, end_one, &lost);
	}
}

void rig_do(struct op op)
{
	static void (*const by_kind[N_KINDS])(struct op) = {
		[CREATE] = create, [CLAIM] = claim, [END] = end, [EVENT] = event, [PATCH] = patch,
		[ADVANCE] = advance, [JUMP] = jump, [CRASH] = crash,
	};

	for (size_t i = 0; i < ARRAY_LEN(rig.sides); i++)
		task_changes_reset(&rig.sides[i].changes);
	if (by_kind[op.kind] != NULL)
		by_kind[op.kind](op);
	else
		ask(op);
}
