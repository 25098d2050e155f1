/* Are the stores of model_rig.h as the model says, and the same to the byte? */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pbuf.h"
#include "errand/status.h"
#include "model_rig.h"

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
	const struct model_task *t = &rig.model.tasks[at];
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
	const struct model_task *t = &rig.model.tasks[at];
	struct attempt_row *rows = NULL;
	size_t n = 0;

	if (side->ops->attempts(side->s, &t->id, &rows, &n) < 0 || n != t->attempt)
		WRONG("%s: task %d: %zu attempts of %u", side->ops->name, at, n, t->attempt);
	for (size_t i = 0; i < n && rig.wrong[0] == 0; i++)
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
	const struct model_task *t = &rig.model.tasks[at];

	SAME(state, t->state);
	SAME(version, t->version);
	SAME(attempt, t->attempt);
	SAME(failures, t->failures);
	SAME(crash_count, t->crashes);
	SAME(priority, t->priority);
	if (t->state == TASK_SCHEDULED || t->state == TASK_RETRYING || t->state == TASK_QUEUED)
		SAME(run_at_us, t->turn);
	SAME(end_us != 0, !model_live(t));
	SAME(owner != 0, rig_runs(t));
	SAME(result.len, t->state == TASK_SUCCEEDED ? 3 : 0);
	SAME(error.len > 0, t->state == TASK_FAILED || t->state == TASK_RETRYING ||
	     t->state == TASK_CANCELLED || t->state == TASK_EXPIRED || row->error.len > 0);
	SAME(flags & TASK_CANCEL_ASKED ? 1 : 0, t->cancel_asked);
}

void rig_compare(struct side *side)
{
	for (int at = 0; at < rig.model.n && rig.wrong[0] == 0; at++) {
		struct task_row row = {0};
		int r = rig_read(side, at, &row);

		if (rig.model.tasks[at].gone != (r == -ERRAND_NOT_FOUND))
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
	for (int at = 0; at < rig.model.n; at++) {
		struct task_row row = {0};
		struct event_row *rows = NULL;
		size_t n = 0;

		if (side->ops->get(side->s, &rig.model.tasks[at].id, PART_ALL, &row) == 0)
			dump_row(out, &row);
		task_row_deinit(&row);
		side->ops->events(side->s, &rig.model.tasks[at].id, 0, 0, 1000, &rows, &n);
		for (size_t i = 0; i < n; i++) {
			dump_number(out, rows[i].seq);
			dump_number(out, (uint64_t)rows[i].time_us);
			buf_append(out, rows[i].data.data, rows[i].data.len);
		}
		event_rows_free(rows, n);
	}
	dump_records(side, out);
}

void rig_compare_stores(void)
{
	AUTO_BUF a = BUF_INIT;
	AUTO_BUF b = BUF_INIT;
	uint64_t n[2];

	dump(&rig.sides[0], &a);
	dump(&rig.sides[1], &b);
	if (a.len != b.len || (a.len > 0 && memcmp(a.data, b.data, a.len) != 0))
		WRONG("%s and %s hold different bytes", rig.sides[0].ops->name, rig.sides[1].ops->name);
	for (int state = TASK_QUEUED; state < TASK_N_STATES; state++) {
		for (int i = 0; i < 2; i++)
			rig.sides[i].ops->count(rig.sides[i].s, "model", state, &n[i]);
		if (n[0] != n[1])
			WRONG("%d and %d tasks are %s", (int)n[0], (int)n[1], task_state_name(state));
	}
}
