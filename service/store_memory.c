/* store_memory.c: tasks in memory, for tests and for services whose tasks need not
 * outlive them. Each change leaves an entry in an undo log, which rollback plays
 * backwards and commit throws away. Store thread. */
#include <string.h>

#include "errand/status.h"
#include "service/ordered.h"
#include "service/store.h"

#define RETRY_LOOK 256 /* see store_ops.due */

struct memory_queue;

struct memory_task {
	struct ordered_node by_id, by_turn; /* by_turn: in its queue, by state */
	struct memory_queue *queue;
	struct task_row row;
	struct attempt_row *attempts; /* by number */
	size_t n_attempts;
	struct event_row *events; /* by seq */
	size_t n_events, cap_events;
};

struct memory_queue {
	char *name;
	struct ordered queued, retrying; /* by_turn nodes: by turn, by run_at */
	size_t n_state[TASK_CANCELLED + 1];
	struct memory_queue *next;
};

/* One change, with what it took away (owned). */
struct undo {
	enum { UNDO_INSERT, UNDO_REMOVE, UNDO_UPDATE, UNDO_ATTEMPT_NEW, UNDO_ATTEMPT, UNDO_EVENT,
	       UNDO_DROP } kind;
	struct memory_task *task;
	struct task_row row;
	struct attempt_row attempt;
	struct event_row event;
	size_t at; /* of the attempt or event in its array */
};

struct store {
	struct ordered tasks; /* by_id nodes */
	struct memory_queue *queues;
	struct undo *undo;
	size_t n_undo, cap_undo;
	uint64_t n_changes;
};

static struct memory_task *by_id(const struct ordered_node *n)
{
	return n ? CONTAINER_OF(n, struct memory_task, by_id) : NULL;
}

static struct memory_task *by_turn(const struct ordered_node *n)
{
	return n ? CONTAINER_OF(n, struct memory_task, by_turn) : NULL;
}

static int compare_id(const struct ordered_node *a, const struct ordered_node *b)
{
	return memcmp(&by_id(a)->row.id, &by_id(b)->row.id, sizeof(struct uuid));
}

static int compare_turn(const struct ordered_node *a, const struct ordered_node *b)
{
	return task_row_turn(&by_turn(a)->row, &by_turn(b)->row);
}

static int compare_run_at(const struct ordered_node *a, const struct ordered_node *b)
{
	const struct task_row *x = &by_turn(a)->row, *y = &by_turn(b)->row;

	if (x->run_at_us != y->run_at_us)
		return x->run_at_us < y->run_at_us ? -1 : 1;
	return memcmp(&x->id, &y->id, sizeof x->id);
}

/* --- indexes --- */

static struct memory_queue *queue_of(struct store *s, const char *name)
{
	struct memory_queue *q = s->queues;

	while (q != NULL && strcmp(q->name, name) != 0)
		q = q->next;
	if (q == NULL) {
		q = xcalloc(1, sizeof *q);
		q->name = xstrdup(name);
		q->queued.compare = compare_turn;
		q->retrying.compare = compare_run_at;
		q->next = s->queues;
		s->queues = q;
	}
	return q;
}

static struct ordered *turn_set(struct memory_task *t)
{
	return t->row.state == TASK_QUEUED ? &t->queue->queued :
	       t->row.state == TASK_RETRYING ? &t->queue->retrying : NULL;
}

static void index_add(struct memory_task *t)
{
	t->queue->n_state[t->row.state]++;
	if (turn_set(t) != NULL)
		ordered_insert(turn_set(t), &t->by_turn);
}

static void index_remove(struct memory_task *t)
{
	t->queue->n_state[t->row.state]--;
	if (turn_set(t) != NULL)
		ordered_remove(turn_set(t), &t->by_turn);
}

static struct memory_task *find(struct store *s, const struct uuid *id)
{
	struct memory_task key = {.row.id = *id}, *t = by_id(ordered_from(&s->tasks, &key.by_id));

	return t != NULL && memcmp(&t->row.id, id, sizeof *id) == 0 ? t : NULL;
}

static void task_free(struct memory_task *t)
{
	task_row_deinit(&t->row);
	attempt_rows_free(t->attempts, t->n_attempts);
	event_rows_free(t->events, t->n_events);
	free(t);
}

/* --- copies --- */

static void copy_buf(struct buf *to, const struct buf *from)
{
	*to = BUF_INIT;
	buf_append(to, from->data, from->len);
}

static char *copy_text(const char *text)
{
	return text ? xstrdup(text) : NULL;
}

/* A deep copy with these parts. */
static void copy_row(struct task_row *to, const struct task_row *from, unsigned parts)
{
	*to = *from;
	to->parts = parts;
	to->method = copy_text(from->method);
	to->queue = copy_text(from->queue);
	to->progress_message = copy_text(from->progress_message);
	to->input = to->result = to->error = to->metadata = BUF_INIT;
	if (parts & PART_INPUT)
		copy_buf(&to->input, &from->input);
	if (parts & PART_RESULT)
		copy_buf(&to->result, &from->result);
	if (parts & PART_ERROR)
		copy_buf(&to->error, &from->error);
	if (parts & PART_METADATA)
		copy_buf(&to->metadata, &from->metadata);
}

static void copy_attempt(struct attempt_row *to, const struct attempt_row *from)
{
	*to = *from;
	to->owner = copy_text(from->owner);
	copy_buf(&to->error, &from->error);
}

static void copy_event(struct event_row *to, const struct event_row *from)
{
	*to = *from;
	copy_buf(&to->data, &from->data);
}

/* --- transactions --- */

static struct undo *changed(struct store *s, int kind, struct memory_task *t)
{
	struct undo *u;

	s->n_changes++;
	if (s->n_undo == s->cap_undo)
		s->undo = xrealloc(s->undo, (s->cap_undo = s->cap_undo ? 2 * s->cap_undo : 64) *
				   sizeof *s->undo);
	u = &s->undo[s->n_undo++];
	*u = (struct undo){.kind = kind, .task = t};
	return u;
}

static void event_insert_at(struct memory_task *t, size_t at, const struct event_row *e)
{
	if (t->n_events == t->cap_events)
		t->events = xrealloc(t->events, (t->cap_events = t->cap_events ? 2 * t->cap_events : 8) *
				     sizeof *t->events);
	memmove(t->events + at + 1, t->events + at, (t->n_events++ - at) * sizeof *e);
	t->events[at] = *e;
}

static void event_take_at(struct memory_task *t, size_t at, struct event_row *out)
{
	*out = t->events[at];
	memmove(t->events + at, t->events + at + 1, (--t->n_events - at) * sizeof *out);
}

static void take_back(struct store *s, struct undo *u)
{
	struct memory_task *t = u->task;
	struct event_row e;

	switch (u->kind) {
	case UNDO_INSERT:
		index_remove(t);
		ordered_remove(&s->tasks, &t->by_id);
		task_free(t);
		break;
	case UNDO_REMOVE:
		ordered_insert(&s->tasks, &t->by_id);
		index_add(t);
		break;
	case UNDO_UPDATE:
		index_remove(t);
		task_row_deinit(&t->row);
		t->row = u->row;
		index_add(t);
		break;
	case UNDO_ATTEMPT_NEW:
		attempt_row_deinit(&t->attempts[--t->n_attempts]);
		break;
	case UNDO_ATTEMPT:
		attempt_row_deinit(&t->attempts[u->at]);
		t->attempts[u->at] = u->attempt;
		break;
	case UNDO_EVENT:
		event_take_at(t, u->at, &e);
		event_row_deinit(&e);
		break;
	case UNDO_DROP:
		event_insert_at(t, u->at, &u->event);
		break;
	}
}

static int memory_begin(struct store *s)
{
	return 0;
}

static int memory_commit(struct store *s)
{
	for (size_t i = 0; i < s->n_undo; i++) {
		struct undo *u = &s->undo[i];

		if (u->kind == UNDO_REMOVE)
			task_free(u->task);
		task_row_deinit(&u->row);
		attempt_row_deinit(&u->attempt);
		event_row_deinit(&u->event);
	}
	s->n_undo = 0;
	return 0;
}

static void memory_rollback(struct store *s)
{
	while (s->n_undo > 0)
		take_back(s, &s->undo[--s->n_undo]);
}

static uint64_t memory_changes(struct store *s)
{
	return s->n_changes;
}

static int memory_open(const char *arg, struct store **out, char *why, size_t why_size)
{
	*out = xcalloc(1, sizeof **out);
	(*out)->tasks.compare = compare_id;
	return 0;
}

static void memory_close(struct store *s)
{
	memory_rollback(s);
	for (struct memory_task *t; (t = by_id(ordered_from(&s->tasks, NULL))) != NULL;) {
		ordered_remove(&s->tasks, &t->by_id);
		task_free(t);
	}
	for (struct memory_queue *q = s->queues, *next; q != NULL; q = next) {
		next = q->next;
		free(q->name);
		free(q);
	}
	free(s->undo);
	free(s);
}

static const char *memory_error(struct store *s)
{
	return "";
}

/* --- tasks --- */

static int memory_insert(struct store *s, const struct task_row *row)
{
	struct memory_task *t;

	if (find(s, &row->id) != NULL)
		return -ERRAND_UNAVAILABLE;
	t = xcalloc(1, sizeof *t);
	copy_row(&t->row, row, PART_ALL);
	t->queue = queue_of(s, row->queue);
	ordered_insert(&s->tasks, &t->by_id);
	index_add(t);
	changed(s, UNDO_INSERT, t);
	return 0;
}

static int memory_get(struct store *s, const struct uuid *id, unsigned parts, struct task_row *out)
{
	struct memory_task *t = find(s, id);

	if (t == NULL)
		return -ERRAND_NOT_FOUND;
	copy_row(out, &t->row, parts);
	return 0;
}

static int memory_find_tail(struct store *s, const char *tail, struct uuid *out)
{
	struct ordered_node *n = ordered_from(&s->tasks, NULL);
	struct uuid_tail want;
	int n_found = 0;

	if (!uuid_tail_parse(tail, &want))
		return -ERRAND_NOT_FOUND;
	for (; n != NULL && n_found < 2; n = ordered_after(&s->tasks, n))
		if (uuid_tail_match(&want, &by_id(n)->row.id)) {
			*out = by_id(n)->row.id;
			n_found++;
		}
	return n_found == 0 ? -ERRAND_NOT_FOUND : n_found > 1 ? -ERRAND_FAILED_PRECONDITION : 0;
}

/* The new row: row's members over the old row's fixed ones and unwritten parts. */
static int memory_update(struct store *s, const struct task_row *row, unsigned parts)
{
	struct memory_task *t = find(s, &row->id);
	struct task_row now;
	struct undo *u;

	if (t == NULL)
		return 0;
	u = changed(s, UNDO_UPDATE, t);
	copy_row(&now, row, 0);
	free(now.method);
	free(now.queue);
	index_remove(t);
	u->row = t->row;
	now.method = copy_text(u->row.method);
	now.queue = copy_text(u->row.queue);
	now.create_us = u->row.create_us;
	copy_buf(&now.input, &u->row.input);
	copy_buf(&now.metadata, &u->row.metadata);
	copy_buf(&now.result, parts & PART_RESULT ? &row->result : &u->row.result);
	copy_buf(&now.error, parts & PART_ERROR ? &row->error : &u->row.error);
	t->row = now;
	index_add(t);
	return 0;
}

static int memory_remove(struct store *s, const struct uuid *id)
{
	struct memory_task *t = find(s, id);

	if (t == NULL)
		return 0;
	index_remove(t);
	ordered_remove(&s->tasks, &t->by_id);
	changed(s, UNDO_REMOVE, t);
	return 0;
}

static int turn_sort(const void *a, const void *b)
{
	return task_row_turn(*(const struct task_row *const *)a, *(const struct task_row *const *)b);
}

static int memory_due(struct store *s, const char *queue, int64_t now_us, size_t n,
		      struct task_row *out, size_t *n_out)
{
	struct memory_queue *q = queue_of(s, queue);
	const struct task_row **rows = xcalloc(n + RETRY_LOOK, sizeof *rows);
	struct ordered_node *node = ordered_from(&q->queued, NULL);
	size_t found = 0, n_queued;

	for (; node != NULL && found < n; node = ordered_after(&q->queued, node))
		rows[found++] = &by_turn(node)->row;
	n_queued = found;
	node = ordered_from(&q->retrying, NULL);
	for (; node != NULL && by_turn(node)->row.run_at_us <= now_us &&
	     found < n_queued + RETRY_LOOK; node = ordered_after(&q->retrying, node))
		rows[found++] = &by_turn(node)->row;
	qsort(rows, found, sizeof *rows, turn_sort);
	*n_out = MIN(found, n);
	for (size_t i = 0; i < *n_out; i++)
		copy_row(&out[i], rows[i], PART_INPUT | PART_METADATA);
	free(rows);
	return 0;
}

static int memory_next_due(struct store *s, const char *queue, int64_t now_us, int64_t *out)
{
	struct memory_task key = {.row.run_at_us = now_us}, *t;

	memset(&key.row.id, 0xff, sizeof key.row.id);
	t = by_turn(ordered_after(&queue_of(s, queue)->retrying, &key.by_turn));
	*out = t ? t->row.run_at_us : 0;
	return 0;
}

static int memory_owned(struct store *s, size_t n, struct task_row *out, size_t *n_out)
{
	struct ordered_node *node = ordered_from(&s->tasks, NULL);

	*n_out = 0;
	for (; node != NULL && *n_out < n; node = ordered_after(&s->tasks, node)) {
		const struct task_row *row = &by_id(node)->row;

		if (row->state == TASK_RUNNING || row->state == TASK_CANCELLING)
			copy_row(&out[(*n_out)++], row, 0);
	}
	return 0;
}

static int memory_queues(struct store *s, char ***out, size_t *n_out)
{
	*out = NULL;
	*n_out = 0;
	for (struct memory_queue *q = s->queues; q != NULL; q = q->next)
		if (q->queued.n + q->retrying.n > 0) {
			*out = xrealloc(*out, (*n_out + 1) * sizeof **out);
			(*out)[(*n_out)++] = xstrdup(q->name);
		}
	return 0;
}

static bool filter_takes(const struct store_filter *f, const struct task_row *row)
{
	return (!f->state || f->state == row->state) &&
	       (f->method == NULL || strcmp(f->method, row->method) == 0) &&
	       (f->queue == NULL || strcmp(f->queue, row->queue) == 0);
}

static int memory_list(struct store *s, const struct store_filter *f, struct store_page *out)
{
	struct memory_task key = {.row.id = f->after};
	struct ordered_node *node = ordered_before(&s->tasks, f->after_set ? &key.by_id : NULL);
	size_t looked = 0;

	*out = (struct store_page){.rows = xcalloc(f->limit, sizeof *out->rows)};
	for (; node != NULL && !out->more; node = ordered_before(&s->tasks, node)) {
		const struct task_row *row = &by_id(node)->row;

		if (filter_takes(f, row))
			copy_row(&out->rows[out->n++], row, PART_ERROR);
		if (out->n == f->limit || ++looked == STORE_LIST_SCAN) {
			out->last = row->id;
			out->more = true;
		}
	}
	return 0;
}

static int memory_count(struct store *s, const char *queue, enum task_state state, uint64_t *out)
{
	*out = queue_of(s, queue)->n_state[state];
	return 0;
}

/* --- attempts and events --- */

static int memory_put_attempt(struct store *s, const struct attempt_row *a)
{
	struct memory_task *t = find(s, &a->task);
	size_t i = 0;
	struct undo *u;

	if (t == NULL)
		return 0;
	while (i < t->n_attempts && t->attempts[i].number != a->number)
		i++;
	u = changed(s, i < t->n_attempts ? UNDO_ATTEMPT : UNDO_ATTEMPT_NEW, t);
	u->at = i;
	if (i < t->n_attempts)
		u->attempt = t->attempts[i];
	else
		t->attempts = xrealloc(t->attempts, ++t->n_attempts * sizeof *t->attempts);
	copy_attempt(&t->attempts[i], a);
	return 0;
}

static int memory_attempts(struct store *s, const struct uuid *id, struct attempt_row **out,
			   size_t *n_out)
{
	struct memory_task *t = find(s, id);

	*n_out = t ? t->n_attempts : 0;
	*out = *n_out ? xcalloc(*n_out, sizeof **out) : NULL;
	for (size_t i = 0; i < *n_out; i++)
		copy_attempt(&(*out)[i], &t->attempts[i]);
	return 0;
}

static int memory_add_event(struct store *s, const struct uuid *id, const struct event_row *e)
{
	struct memory_task *t = find(s, id);
	struct event_row copy;

	if (t == NULL)
		return 0;
	copy_event(&copy, e);
	changed(s, UNDO_EVENT, t)->at = t->n_events;
	event_insert_at(t, t->n_events, &copy);
	return 0;
}

static int memory_drop_progress(struct store *s, const struct uuid *id)
{
	struct memory_task *t = find(s, id);
	size_t i = t ? t->n_events : 0;
	struct undo *u;

	while (i > 0 && t->events[i - 1].kind != EVENT_PROGRESS)
		i--;
	if (i == 0)
		return 0;
	u = changed(s, UNDO_DROP, t);
	u->at = i - 1;
	event_take_at(t, i - 1, &u->event);
	return 0;
}

static int memory_events(struct store *s, const struct uuid *id, uint64_t after,
			 enum event_kind kind, size_t limit, struct event_row **out, size_t *n_out)
{
	struct memory_task *t = find(s, id);

	*n_out = 0;
	*out = t ? xcalloc(limit, sizeof **out) : NULL;
	for (size_t i = 0; t != NULL && i < t->n_events && *n_out < limit; i++)
		if (t->events[i].seq > after && (!kind || t->events[i].kind == kind))
			copy_event(&(*out)[(*n_out)++], &t->events[i]);
	return 0;
}

const struct store_ops store_memory = {
	.name = "memory",
	.open = memory_open,
	.close = memory_close,
	.error = memory_error,
	.begin = memory_begin,
	.commit = memory_commit,
	.rollback = memory_rollback,
	.changes = memory_changes,
	.insert = memory_insert,
	.get = memory_get,
	.find_tail = memory_find_tail,
	.update = memory_update,
	.remove = memory_remove,
	.due = memory_due,
	.next_due = memory_next_due,
	.owned = memory_owned,
	.queues = memory_queues,
	.list = memory_list,
	.count = memory_count,
	.put_attempt = memory_put_attempt,
	.attempts = memory_attempts,
	.add_event = memory_add_event,
	.drop_progress = memory_drop_progress,
	.events = memory_events,
};
