/* test_model.c: random operations against the engine's own moves, over a store of each
 * kind, and against the model of TASKS.md (model.h): after each the states, counts, attempts
 * and events are the same, and both stores hold the same bytes. A sequence that fails is
 * cut down to the operations it needs, and printed.
 *
 * ERRAND_SEQUENCES=5000 for the long form; ERRAND_SEED=N begins at another sequence. */
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
#include "model.h"
#include "service/task_api.h"
#include "service/task_clock.h"
#include "service/task_engine.h"
#include "service/task_spec.h"
#include "service/task_unique.h"

#define N_SEQUENCES 250
#define N_OPS 60
#define START_US 1800000000000000LL
#define BATCH 128

enum kind {
	CREATE, CLAIM, END, EVENT, CANCEL, HOLD, RELEASE, RUN_NOW, RETRY, DELETE, PATCH, ADVANCE,
	JUMP, CRASH, N_KINDS
};
static const char *const kind_names[] = {
	"create", "claim", "end", "event", "cancel", "hold", "release", "run_now", "retry",
	"delete", "patch", "advance", "jump", "crash",
};
/* How often each comes. */
static const uint8_t weights[N_KINDS] = {22, 18, 16, 4, 5, 5, 5, 4, 5, 2, 5, 14, 3, 2};

struct op {
	enum kind kind;
	uint32_t a, b; /* random: of what, and how */
};

/* One store that the operations go to. */
struct side {
	const struct store_ops *ops;
	struct store *s;
	struct task_changes changes;
};

static struct side sides[2];
static struct model model;
static char wrong[1024]; /* what differs; empty: nothing */
static const struct task_retry retry = {3, MODEL_S, 8 * MODEL_S, 2};

#define WRONG(...) \
	do { \
		if (wrong[0] == 0) \
			snprintf(wrong, sizeof wrong, __VA_ARGS__); \
	} while (0)

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
		o.run_at = model.wall + ((int64_t)pick(&a, 20) - 5) * MODEL_S;
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

static int read_row(struct side *side, int at, struct task_row *row)
{
	return side->ops->get(side->s, &model.tasks[at].id, PART_ALL & ~(unsigned)PART_INPUT, row);
}

typedef int (*act)(struct task_move *m, const void *arg);

/* A move of one task, as task.c's ops make them. */
static void move(int at, act do_it, const void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		struct side *side = &sides[i];
		struct task_row row = {0};
		struct task_move m = task_move_begin(side->ops, side->s, &row, &side->changes);
		int r = read_row(side, at, &row);

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

	if (model.n == MODEL_TASKS)
		return;
	snprintf(key, sizeof key, "i%d", o.idempotency);
	pack_options(&o, &options);
	spec.options = buf_bytes(&options);
	task_new_init(&n, &spec);
	want = model_create(&model, &o, &n.row.id, &at);
	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		int r = task_new_insert(&n, sides[i].ops, sides[i].s, &sides[i].changes);

		if (r < 0)
			WRONG("%s: insert %d: %s", sides[i].ops->name, r, sides[i].ops->error(sides[i].s));
		else if (made_of[n.found] != want)
			WRONG("%s: created as %d, the model says %d", sides[i].ops->name, made_of[n.found], want);
		else if (memcmp(&task_new_row(&n)->id, &model.tasks[at].id, sizeof n.row.id) != 0)
			WRONG("%s: another task is the answer", sides[i].ops->name);
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
		int at = model_next(&model);

		for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
			struct task_row row = {0};
			size_t found = 0;

			if (sides[i].ops->claimable(sides[i].s, "model", 1, &row, &found) < 0)
				WRONG("%s: claimable failed", sides[i].ops->name);
			else if (found != (at >= 0) ||
				 (at >= 0 && memcmp(&row.id, &model.tasks[at].id, sizeof row.id) != 0))
				WRONG("%s: another task's turn than task %d's", sides[i].ops->name, at);
			if (found)
				task_row_deinit(&row);
		}
		if (at < 0)
			return;
		model_claim(&model, at);
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
				     .retry_after_us = e->retry_after, .retry = retry, .random01 = 0.5};
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

	for (int i = 0; i < model.n; i++)
		if (!model.tasks[i].gone && is(&model.tasks[i]))
			found[count++] = i;
	return count == 0 ? -1 : found[n % (uint32_t)count];
}

static bool any(const struct model_task *t)
{
	return true;
}

static bool runs(const struct model_task *t)
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
	int at = nth(op.a, runs);
	uint32_t b = op.b;
	struct ending e = {outcomes[pick(&b, ARRAY_LEN(outcomes))], false, 0};

	if (at < 0)
		return;
	if (model.tasks[at].cancel_asked && pick(&b, 2))
		e.outcome = OUTCOME_CANCELLED;
	if (e.outcome == OUTCOME_ERROR) {
		e.final = pick(&b, 4) == 0;
		e.retry_after = pick(&b, 4) == 0 ? 4 * MODEL_S : 0;
	}
	model_end(&model, at, e.outcome, e.final, e.retry_after);
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
	int at = nth(op.a, runs);

	if (at < 0)
		return;
	model_event(&model, at);
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

	if (at >= 0 && r->model(&model, at))
		move(at, r->act, &model.tasks[at]);
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
	if (pick(&b, 2) && model.tasks[at].finish_by == 0)
		p.run_at = model.wall + ((int64_t)pick(&b, 20) - 5) * MODEL_S;
	if (model_patch(&model, at, p.priority, p.run_at))
		move(at, patch_one, &p);
}

/* --- time --- */

static int forget(struct side *side)
{
	struct task_row rows[BATCH];
	size_t n = 0;
	int r = side->ops->forgettable(side->s, model.now, BATCH, rows, &n);

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
		int64_t next = 0, now = wall ? model.wall : model.now;

		side->ops->next_wake(side->s, wall, &next);
		if (next != 0 && next <= now)
			WRONG("%s: a task is due again at once (%s clock)", side->ops->name,
			      wall ? "wall" : "engine's");
	}
}

static void tick(void)
{
	clock_set_fake(model.now * 1000, model.wall);
	model_tick(&model);
	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		struct side *side = &sides[i];
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

	model.now += us;
	model.wall += us;
	tick();
}

static void jump(struct op op)
{
	static const int64_t jumps[] = {3600, -3600, -10 * 86400, 10 * 86400, 7, -7};

	model.wall += jumps[op.b % ARRAY_LEN(jumps)] * MODEL_S;
	tick();
}

/* The service dies: what ran is taken back, whoever owned it. */
static void crash(struct op op)
{
	static const struct ending lost = {OUTCOME_LEASE_LOST, false, 0};
	int at;

	for (uint32_t n = 0; n < MODEL_TASKS && (at = nth(0, runs)) >= 0 && wrong[0] == 0; n++) {
		model_end(&model, at, lost.outcome, false, 0);
		move(at, end_one, &lost);
	}
}

static void do_op(struct op op)
{
	static void (*const by_kind[N_KINDS])(struct op) = {
		[CREATE] = create, [CLAIM] = claim, [END] = end, [EVENT] = event, [PATCH] = patch,
		[ADVANCE] = advance, [JUMP] = jump, [CRASH] = crash,
	};

	for (size_t i = 0; i < ARRAY_LEN(sides); i++)
		task_changes_reset(&sides[i].changes);
	if (by_kind[op.kind] != NULL)
		by_kind[op.kind](op);
	else
		ask(op);
}

/* --- comparing --- */

/* TaskEvent.state of an event's bytes; 0: none. */
static unsigned event_state(const struct event_row *e)
{
	struct pbuf_reader r = pbuf_reader(e->data.data, e->data.len);
	struct pbuf_field f;
	unsigned state = 0;

	while (pbuf_next(&r, &f))
		if (f.number == 5)
			state = (unsigned)f.value;
	return state;
}

static void compare_events(struct side *side, int at)
{
	const struct model_task *t = &model.tasks[at];
	struct event_row *rows = NULL;
	char trail[MODEL_TRAIL + 1] = "", want[MODEL_TRAIL + 1] = "";
	unsigned n_trail = 0;
	uint64_t seq = 1;
	size_t n = 0;

	memcpy(want, t->trail, t->n_trail);
	if (side->ops->events(side->s, &t->id, 0, 0, 1000, &rows, &n) < 0)
		WRONG("%s: events failed", side->ops->name);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].seq <= seq)
			WRONG("%s: task %d: seq %d after %d", side->ops->name, at, (int)rows[i].seq, (int)seq);
		seq = rows[i].seq;
		if (rows[i].kind == EVENT_STATE && n_trail + 1 < MODEL_TRAIL)
			trail[n_trail++] = (char)('a' + event_state(&rows[i]));
	}
	if (seq != t->version)
		WRONG("%s: task %d: last event %d of %d", side->ops->name, at, (int)seq, (int)t->version);
	if (strcmp(trail, want) != 0)
		WRONG("%s: task %d: events %s, the model says %s ('a' + state)", side->ops->name, at, trail,
		      want);
	event_rows_free(rows, n);
}

static void compare_attempts(struct side *side, int at)
{
	const struct model_task *t = &model.tasks[at];
	struct attempt_row *rows = NULL;
	size_t n = 0;

	if (side->ops->attempts(side->s, &t->id, &rows, &n) < 0 || n != t->attempt)
		WRONG("%s: task %d: %zu attempts of %u", side->ops->name, at, n, t->attempt);
	for (size_t i = 0; i < n && wrong[0] == 0; i++)
		if (rows[i].number != i + 1 || rows[i].outcome != (enum task_outcome)t->outcomes[i] ||
		    (rows[i].end_us != 0) != (rows[i].outcome != OUTCOME_NONE))
			WRONG("%s: task %d: attempt %zu ended %s, the model says %s", side->ops->name, at,
			      i + 1, task_outcome_name(rows[i].outcome), task_outcome_name(t->outcomes[i]));
	attempt_rows_free(rows, n);
}

#define SAME(member, want) \
	do { \
		if ((int64_t)(row->member) != (int64_t)(want)) \
			WRONG("%s: task %d (%s): " #member " is %lld, the model says %lld", \
			      side->ops->name, at, task_state_name(t->state), (long long)(row->member), \
			      (long long)(want)); \
	} while (0)

static void compare_row(struct side *side, int at, const struct task_row *row)
{
	const struct model_task *t = &model.tasks[at];

	SAME(state, t->state);
	SAME(version, t->version);
	SAME(attempt, t->attempt);
	SAME(failures, t->failures);
	SAME(crash_count, t->crashes);
	SAME(priority, t->priority);
	if (t->state == TASK_SCHEDULED || t->state == TASK_RETRYING || t->state == TASK_QUEUED)
		SAME(run_at_us, t->turn);
	SAME(end_us != 0, !model_live(t));
	SAME(owner != 0, runs(t));
	SAME(result.len, t->state == TASK_SUCCEEDED ? 3 : 0);
	SAME(error.len > 0, t->state == TASK_FAILED || t->state == TASK_RETRYING ||
	     t->state == TASK_CANCELLED || t->state == TASK_EXPIRED || row->error.len > 0);
	SAME(flags & TASK_CANCEL_ASKED ? 1 : 0, t->cancel_asked);
}

static void compare(struct side *side)
{
	for (int at = 0; at < model.n && wrong[0] == 0; at++) {
		struct task_row row = {0};
		int r = read_row(side, at, &row);

		if (model.tasks[at].gone != (r == -ERRAND_NOT_FOUND))
			WRONG("%s: task %d: get says %d", side->ops->name, at, r);
		if (r < 0)
			continue;
		compare_row(side, at, &row);
		compare_events(side, at);
		compare_attempts(side, at);
		task_row_deinit(&row);
	}
}

static void dump_number(struct buf *out, uint64_t n)
{
	pbuf_put_varint(out, n);
}

static void dump_text(struct buf *out, const char *text)
{
	buf_append(out, text ? text : "-", text ? strlen(text) + 1 : 2);
}

static void dump_row(struct buf *out, const struct task_row *t)
{
	const struct buf *parts[] = {&t->input, &t->result, &t->error, &t->metadata, &t->options,
				     &t->checkpoint};
	const int64_t numbers[] = {
		t->state, t->priority, (int64_t)t->version, t->attempt, t->failures, t->crash_count,
		t->create_us, t->start_us, t->end_us, t->run_at_us, t->start_by_us, t->finish_by_us,
		t->ttl_us, t->wake_us, t->wake_wall, t->flags, t->reason, t->blockers,
		(int64_t)t->owner, (int64_t)(t->progress * 1000), (int64_t)t->log_bytes,
	};

	buf_append(out, t->id.b, sizeof t->id.b);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		dump_number(out, (uint64_t)numbers[i]);
	dump_text(out, t->method);
	dump_text(out, t->queue);
	dump_text(out, t->progress_message);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		dump_number(out, parts[i]->len);
		buf_append(out, parts[i]->data, parts[i]->len);
	}
}

static void dump_records(struct side *side, struct buf *out)
{
	for (int kind = RECORD_META; kind <= RECORD_DELIVERY; kind++) {
		struct record *rows = NULL;
		size_t n = 0;

		side->ops->list_records(side->s, kind, (struct bytes){0}, (struct bytes){0}, 1000, &rows, &n);
		for (size_t i = 0; i < n; i++) {
			dump_number(out, (uint64_t)kind);
			dump_number(out, (uint64_t)rows[i].due_us);
			buf_append(out, rows[i].key.data, rows[i].key.len);
			buf_append(out, rows[i].data.data, rows[i].data.len);
		}
		records_free(rows, n);
	}
}

/* All a store gives, as bytes. */
static void dump(struct side *side, struct buf *out)
{
	for (int at = 0; at < model.n; at++) {
		struct task_row row = {0};
		struct event_row *rows = NULL;
		size_t n = 0;

		if (side->ops->get(side->s, &model.tasks[at].id, PART_ALL, &row) == 0)
			dump_row(out, &row);
		task_row_deinit(&row);
		side->ops->events(side->s, &model.tasks[at].id, 0, 0, 1000, &rows, &n);
		for (size_t i = 0; i < n; i++) {
			dump_number(out, rows[i].seq);
			dump_number(out, (uint64_t)rows[i].time_us);
			buf_append(out, rows[i].data.data, rows[i].data.len);
		}
		event_rows_free(rows, n);
	}
	dump_records(side, out);
}

static void compare_stores(void)
{
	AUTO_BUF a = BUF_INIT;
	AUTO_BUF b = BUF_INIT;
	uint64_t n[2];

	dump(&sides[0], &a);
	dump(&sides[1], &b);
	if (a.len != b.len || (a.len > 0 && memcmp(a.data, b.data, a.len) != 0))
		WRONG("%s and %s hold different bytes", sides[0].ops->name, sides[1].ops->name);
	for (int state = TASK_QUEUED; state < TASK_N_STATES; state++) {
		for (int i = 0; i < 2; i++)
			sides[i].ops->count(sides[i].s, "model", state, &n[i]);
		if (n[0] != n[1])
			WRONG("%d and %d tasks are %s", (int)n[0], (int)n[1], task_state_name(state));
	}
}

/* --- sequences --- */

static uint64_t random_state;

static uint32_t next_random(void)
{
	random_state += 0x9e3779b97f4a7c15u; /* splitmix64 */
	uint64_t z = random_state;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

static struct op random_op(void)
{
	uint32_t total = 0, at;
	struct op op = {.a = next_random(), .b = next_random()};

	for (int i = 0; i < N_KINDS; i++)
		total += weights[i];
	at = next_random() % total;
	for (op.kind = 0; at >= weights[op.kind]; op.kind++)
		at -= weights[op.kind];
	return op;
}

/* True when nothing is wrong. All of it in one transaction, which is undone. */
static bool play(const struct op *ops, size_t n)
{
	wrong[0] = 0;
	clock_set_fake(START_US * 1000, START_US);
	model_init(&model, START_US, START_US, &retry);
	for (size_t i = 0; i < ARRAY_LEN(sides); i++)
		assert_int_equal(sides[i].ops->begin(sides[i].s), 0);
	for (size_t i = 0; i < n && wrong[0] == 0; i++) {
		do_op(ops[i]);
		compare(&sides[0]);
		if (i % 16 == 15 || i + 1 == n)
			compare_stores();
	}
	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		task_changes_deinit(&sides[i].changes);
		sides[i].ops->rollback(sides[i].s);
	}
	return wrong[0] == 0;
}

/* Leaves out what the failure does not need. */
static size_t shrink(struct op *ops, size_t n)
{
	struct op fewer[N_OPS];
	bool again = true;

	while (again) {
		again = false;
		for (size_t i = 0; i < n; i++) {
			memcpy(fewer, ops, i * sizeof *ops);
			memcpy(fewer + i, ops + i + 1, (n - i - 1) * sizeof *ops);
			if (play(fewer, n - 1))
				continue;
			memcpy(ops, fewer, --n * sizeof *ops);
			again = true;
			i--;
		}
	}
	return n;
}

static void tell(const struct op *ops, size_t n, unsigned long seed)
{
	play(ops, n);
	print_error("sequence %lu: %s\n", seed, wrong);
	for (size_t i = 0; i < n; i++)
		print_error("  %s a=%u b=%u\n", kind_names[ops[i].kind], ops[i].a, ops[i].b);
	fail();
}

static unsigned long number_of(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

static void engine_and_model_agree(void **state)
{
	unsigned long seed = number_of("ERRAND_SEED", 1);
	unsigned long last = seed + number_of("ERRAND_SEQUENCES", N_SEQUENCES);

	for (; seed < last; seed++) {
		struct op ops[N_OPS];

		random_state = seed * 0x2545f4914f6cdd1du;
		for (size_t i = 0; i < N_OPS; i++)
			ops[i] = random_op();
		if (!play(ops, N_OPS))
			tell(ops, shrink(ops, N_OPS), seed);
	}
}

static int setup(void **state)
{
	char why[256] = "", path[] = "/tmp/errand-model-XXXXXX", file[64];

	if (mkdtemp(path) == NULL)
		return -1;
	snprintf(file, sizeof file, "%s/model.db", path);
	sides[0].ops = &store_memory;
	sides[1].ops = &store_sqlite;
	*state = strdup(path);
	for (size_t i = 0; i < ARRAY_LEN(sides); i++)
		if (sides[i].ops->open(file, &sides[i].s, why, sizeof why) < 0) {
			print_error("%s\n", why);
			return -1;
		}
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	for (size_t i = 0; i < ARRAY_LEN(sides); i++)
		sides[i].ops->close(sides[i].s);
	clock_set_fake(-1, 0);
	snprintf(command, sizeof command, "rm -rf '%s'", (char *)*state);
	free(*state);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(engine_and_model_agree, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
