/* store_memory_index.c: the indexes of the memory store's tasks, and walks through
 * them. Store thread. */
#include <string.h>

#include "service/store_memory.h"
#include "service/task_filter.h"

static struct memory_task *by_state(const struct ordered_node *n)
{
	return CONTAINER_OF(n, struct memory_task, by_state);
}

static struct memory_task *by_time(const struct ordered_node *n)
{
	return CONTAINER_OF(n, struct memory_task, by_time);
}

/* By the number, then the id. */
static int compare_number(int64_t a, int64_t b, const struct task_row *x, const struct task_row *y)
{
	if (a != b)
		return a < b ? -1 : 1;
	return memcmp(&x->id, &y->id, sizeof x->id);
}

static int compare_id(const struct ordered_node *a, const struct ordered_node *b)
{
	return compare_number(0, 0, &memory_by_id(a)->row, &memory_by_id(b)->row);
}

static int compare_state(const struct ordered_node *a, const struct ordered_node *b)
{
	return compare_number(0, 0, &by_state(a)->row, &by_state(b)->row);
}

static int compare_turn(const struct ordered_node *a, const struct ordered_node *b)
{
	return task_row_turn(&memory_by_turn(a)->row, &memory_by_turn(b)->row);
}

static int compare_wake(const struct ordered_node *a, const struct ordered_node *b)
{
	const struct task_row *x = &memory_by_wake(a)->row, *y = &memory_by_wake(b)->row;

	return compare_number(x->wake_us, y->wake_us, x, y);
}

static int compare_run_at(const struct ordered_node *a, const struct ordered_node *b)
{
	const struct task_row *x = &by_time(a)->row, *y = &by_time(b)->row;

	return compare_number(x->run_at_us, y->run_at_us, x, y);
}

static int compare_end(const struct ordered_node *a, const struct ordered_node *b)
{
	const struct task_row *x = &by_time(a)->row, *y = &by_time(b)->row;

	return compare_number(x->end_us, y->end_us, x, y);
}

void memory_index_init(struct store *s)
{
	s->tasks.compare = compare_id;
	s->waking[0].compare = s->waking[1].compare = s->forgettable.compare = compare_wake;
	for (size_t i = 0; i < ARRAY_LEN(s->states); i++)
		s->states[i].compare = compare_state;
	s->timed.compare = compare_run_at;
	s->ended.compare = compare_end;
}

struct memory_queue *memory_queue_of(struct store *s, const char *name)
{
	struct memory_queue *q = s->queues;

	while (q != NULL && strcmp(q->name, name) != 0)
		q = q->next;
	if (q == NULL) {
		q = xcalloc(1, sizeof *q);
		q->name = xstrdup(name);
		q->queued.compare = compare_turn;
		q->next = s->queues;
		s->queues = q;
	}
	return q;
}

static struct ordered *wake_set(struct store *s, const struct task_row *row)
{
	if (row->wake_us <= 0)
		return NULL;
	return task_state_waiting(row->state) ? &s->waking[row->wake_wall] :
	       task_state_terminal(row->state) ? &s->forgettable : NULL;
}

static struct ordered *time_set(struct store *s, const struct task_row *row)
{
	if (row->state == TASK_SCHEDULED || row->state == TASK_RETRYING)
		return &s->timed;
	return row->end_us > 0 ? &s->ended : NULL;
}

void memory_index_add(struct store *s, struct memory_task *t)
{
	t->queue->n_state[t->row.state]++;
	ordered_insert(&s->states[t->row.state], &t->by_state);
	if (t->row.state == TASK_QUEUED)
		ordered_insert(&t->queue->queued, &t->by_turn);
	if (wake_set(s, &t->row) != NULL)
		ordered_insert(wake_set(s, &t->row), &t->by_wake);
	if (time_set(s, &t->row) != NULL)
		ordered_insert(time_set(s, &t->row), &t->by_time);
}

void memory_index_remove(struct store *s, struct memory_task *t)
{
	t->queue->n_state[t->row.state]--;
	ordered_remove(&s->states[t->row.state], &t->by_state);
	if (t->row.state == TASK_QUEUED)
		ordered_remove(&t->queue->queued, &t->by_turn);
	if (wake_set(s, &t->row) != NULL)
		ordered_remove(wake_set(s, &t->row), &t->by_wake);
	if (time_set(s, &t->row) != NULL)
		ordered_remove(time_set(s, &t->row), &t->by_time);
}

struct memory_task *memory_find(struct store *s, const struct uuid *id)
{
	struct memory_task key = {.row.id = *id};
	struct memory_task *t = memory_by_id(ordered_from(&s->tasks, &key.by_id));

	return t != NULL && memcmp(&t->row.id, id, sizeof *id) == 0 ? t : NULL;
}

/* --- walks --- */

/* The set a scan goes through, and where a task's node in it is. */
struct walk {
	struct ordered *set;
	size_t node;
};

static struct walk walk_of(struct store *s, const struct store_scan *scan)
{
	switch (scan->index) {
	case INDEX_STATE:
		return (struct walk){&s->states[scan->state], offsetof(struct memory_task, by_state)};
	case INDEX_TURN:
		return (struct walk){&memory_queue_of(s, scan->queue)->queued,
				     offsetof(struct memory_task, by_turn)};
	case INDEX_RUN_AT:
		return (struct walk){&s->timed, offsetof(struct memory_task, by_time)};
	case INDEX_END:
		return (struct walk){&s->ended, offsetof(struct memory_task, by_time)};
	default:
		return (struct walk){&s->tasks, offsetof(struct memory_task, by_id)};
	}
}

static struct ordered_node *node_of(const struct walk *w, struct memory_task *t)
{
	return t ? (struct ordered_node *)(void *)((char *)t + w->node) : NULL;
}

/* The one after t, NULL: the first of all. */
static struct memory_task *step(const struct walk *w, struct memory_task *t, bool backward)
{
	struct ordered_node *n;

	if (backward)
		n = ordered_before(w->set, node_of(w, t));
	else
		n = t ? ordered_after(w->set, node_of(w, t)) : ordered_from(w->set, NULL);
	return n ? (struct memory_task *)(void *)((char *)n - w->node) : NULL;
}

/* A task that stands at the place. */
static void set_key(const struct store_scan *scan, struct memory_task *key)
{
	key->row.id = scan->after.id;
	if (scan->index == INDEX_TURN) {
		key->row.priority = (int32_t)scan->after.major;
		key->row.run_at_us = scan->after.minor;
	} else {
		key->row.run_at_us = key->row.end_us = scan->after.major;
	}
}

static bool is_beyond(const struct store_scan *scan, const struct uuid *id)
{
	int order = memcmp(id->b, scan->stop.b, sizeof id->b);

	return scan->stop_set && (scan->backward ? order < 0 : order > 0);
}

int memory_scan(struct store *s, const struct store_scan *scan, struct store_page *out)
{
	struct walk w = walk_of(s, scan);
	struct memory_task key = {0}, *t;
	size_t looked = 0;

	set_key(scan, &key);
	*out = (struct store_page){.rows = xcalloc(MIN(scan->limit, w.set->n) + 1, sizeof *out->rows)};
	t = step(&w, scan->after_set ? &key : NULL, scan->backward);
	for (; t != NULL && !out->more; t = step(&w, t, scan->backward)) {
		if (is_beyond(scan, &t->row.id))
			break;
		out->last = store_place_of(scan->index, &t->row);
		if (task_filter_match(scan->filter, &t->row))
			memory_copy_row(&out->rows[out->n++], &t->row, PART_ERROR |
					(t->row.flags & TASK_HAS_LABELS ? PART_OPTIONS : 0));
		out->more = out->n == scan->limit || ++looked == scan->look;
	}
	return 0;
}
