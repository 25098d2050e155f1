/* store_memory.c: tasks in memory, for tests and for services whose tasks need not
 * outlive them. Each change leaves an entry in an undo log, which rollback plays
 * backwards and commit throws away. Store thread. */
#include <string.h>

#include "errand/status.h"
#include "service/store_memory.h"

/* One change, with what it took away (owned). */
struct undo {
	enum { UNDO_INSERT, UNDO_REMOVE, UNDO_UPDATE, UNDO_ATTEMPT_NEW, UNDO_ATTEMPT, UNDO_EVENT,
	       UNDO_DROP, UNDO_RECORD } kind;
	struct memory_task *task;
	struct memory_record *added, *removed; /* of UNDO_RECORD; NULL: none */
	struct task_row row;
	struct attempt_row attempt;
	struct event_row event;
	size_t at; /* of the attempt or event in its array */
};

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

static struct buf *part_of(struct task_row *row, unsigned part)
{
	switch (part) {
	case PART_INPUT: return &row->input;
	case PART_RESULT: return &row->result;
	case PART_ERROR: return &row->error;
	case PART_METADATA: return &row->metadata;
	case PART_OPTIONS: return &row->options;
	case PART_CHECKPOINT: return &row->checkpoint;
	default: return &row->detail;
	}
}

/* A deep copy with these parts. */
void memory_copy_row(struct task_row *to, const struct task_row *from, unsigned parts)
{
	*to = *from;
	to->parts = parts;
	to->method = copy_text(from->method);
	to->queue = copy_text(from->queue);
	to->progress_message = copy_text(from->progress_message);
	to->schedule = copy_text(from->schedule);
	for (unsigned part = 1; part < PART_ALL; part <<= 1) {
		*part_of(to, part) = BUF_INIT;
		if (parts & part)
			copy_buf(part_of(to, part), part_of((struct task_row *)from, part));
	}
}

static void copy_attempt(struct attempt_row *to, const struct attempt_row *from)
{
	*to = *from;
	to->owner = copy_text(from->owner);
	copy_buf(&to->error, &from->error);
	copy_buf(&to->usage, &from->usage);
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

void memory_record_changed(struct store *s, struct memory_record *added,
			   struct memory_record *removed)
{
	struct undo *u = changed(s, UNDO_RECORD, NULL);

	u->added = added;
	u->removed = removed;
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
		memory_index_remove(s, t);
		ordered_remove(&s->tasks, &t->by_id);
		task_free(t);
		break;
	case UNDO_REMOVE:
		ordered_insert(&s->tasks, &t->by_id);
		memory_index_add(s, t);
		break;
	case UNDO_UPDATE:
		memory_index_remove(s, t);
		task_row_deinit(&t->row);
		t->row = u->row;
		memory_index_add(s, t);
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
	case UNDO_RECORD:
		if (u->added != NULL) {
			memory_record_unlink(s, u->added);
			memory_record_free(u->added);
		}
		if (u->removed != NULL)
			memory_record_link(s, u->removed);
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
		memory_record_free(u->removed);
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
	memory_index_init(*out);
	memory_record_init(*out);
	return 0;
}

static void memory_close(struct store *s)
{
	memory_rollback(s);
	for (struct memory_task *t; (t = memory_by_id(ordered_from(&s->tasks, NULL))) != NULL;) {
		ordered_remove(&s->tasks, &t->by_id);
		task_free(t);
	}
	memory_record_free_all(s);
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

	if (memory_find(s, &row->id) != NULL)
		return -ERRAND_UNAVAILABLE;
	t = xcalloc(1, sizeof *t);
	memory_copy_row(&t->row, row, PART_ALL);
	t->queue = memory_queue_of(s, row->queue);
	ordered_insert(&s->tasks, &t->by_id);
	memory_index_add(s, t);
	changed(s, UNDO_INSERT, t);
	return 0;
}

static int memory_get(struct store *s, const struct uuid *id, unsigned parts, struct task_row *out)
{
	struct memory_task *t = memory_find(s, id);

	if (t == NULL)
		return -ERRAND_NOT_FOUND;
	memory_copy_row(out, &t->row, parts);
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
		if (uuid_tail_match(&want, &memory_by_id(n)->row.id)) {
			*out = memory_by_id(n)->row.id;
			n_found++;
		}
	return n_found == 0 ? -ERRAND_NOT_FOUND : n_found > 1 ? -ERRAND_FAILED_PRECONDITION : 0;
}

/* The new row: row's members over the old row's fixed ones and unwritten parts. */
static int memory_update(struct store *s, const struct task_row *row, unsigned parts)
{
	struct memory_task *t = memory_find(s, &row->id);
	struct task_row now;
	struct undo *u;

	if (t == NULL)
		return 0;
	u = changed(s, UNDO_UPDATE, t);
	parts &= ~(unsigned)PARTS_OF_BIRTH;
	memory_copy_row(&now, row, parts);
	free(now.method);
	free(now.queue);
	free(now.schedule);
	memory_index_remove(s, t);
	u->row = t->row;
	now.parts = PART_ALL;
	now.method = copy_text(u->row.method);
	now.queue = copy_text(u->row.queue);
	now.schedule = copy_text(u->row.schedule);
	now.create_us = u->row.create_us;
	for (unsigned part = 1; part < PART_ALL; part <<= 1)
		if (!(parts & part))
			copy_buf(part_of(&now, part), part_of(&u->row, part));
	t->row = now;
	memory_index_add(s, t);
	return 0;
}

static int memory_remove(struct store *s, const struct uuid *id)
{
	struct memory_task *t = memory_find(s, id);

	if (t == NULL)
		return 0;
	memory_index_remove(s, t);
	ordered_remove(&s->tasks, &t->by_id);
	changed(s, UNDO_REMOVE, t);
	return 0;
}

static int memory_claimable(struct store *s, const char *queue, size_t n, struct task_row *out,
			    size_t *n_out)
{
	struct memory_queue *q = memory_queue_of(s, queue);
	struct ordered_node *node = ordered_from(&q->queued, NULL);

	*n_out = 0;
	for (; node != NULL && *n_out < n; node = ordered_after(&q->queued, node))
		memory_copy_row(&out[(*n_out)++], &memory_by_turn(node)->row, PARTS_TO_RUN);
	return 0;
}

static void wake_rows(const struct ordered *set, int64_t now_us, size_t n, struct task_row *out,
		      size_t *n_out)
{
	struct ordered_node *node = ordered_from(set, NULL);

	*n_out = 0;
	for (; node != NULL && *n_out < n && memory_by_wake(node)->row.wake_us <= now_us;
	     node = ordered_after(set, node))
		memory_copy_row(&out[(*n_out)++], &memory_by_wake(node)->row, 0);
}

static int64_t first_wake(const struct ordered *set)
{
	struct memory_task *t = memory_by_wake(ordered_from(set, NULL));

	return t ? t->row.wake_us : 0;
}

static int memory_waking(struct store *s, bool wall, int64_t now_us, size_t n, struct task_row *out,
			 size_t *n_out)
{
	wake_rows(&s->waking[wall], now_us, n, out, n_out);
	return 0;
}

static int memory_next_wake(struct store *s, bool wall, int64_t *out)
{
	*out = first_wake(&s->waking[wall]);
	return 0;
}

static int memory_forgettable(struct store *s, int64_t now_us, size_t n, struct task_row *out,
			      size_t *n_out)
{
	wake_rows(&s->forgettable, now_us, n, out, n_out);
	return 0;
}

static int memory_next_forget(struct store *s, int64_t *out)
{
	*out = first_wake(&s->forgettable);
	return 0;
}

static int memory_owned(struct store *s, uint64_t owner, bool others, size_t n,
			struct task_row *out, size_t *n_out)
{
	struct ordered_node *node = ordered_from(&s->tasks, NULL);

	*n_out = 0;
	for (; node != NULL && *n_out < n; node = ordered_after(&s->tasks, node)) {
		const struct task_row *row = &memory_by_id(node)->row;

		if ((row->state == TASK_RUNNING || row->state == TASK_CANCELLING) &&
		    (row->owner == owner) != others)
			memory_copy_row(&out[(*n_out)++], row, 0);
	}
	return 0;
}

static int memory_queues(struct store *s, char ***out, size_t *n_out)
{
	*out = NULL;
	*n_out = 0;
	for (struct memory_queue *q = s->queues; q != NULL; q = q->next)
		if (q->queued.n > 0) {
			*out = xrealloc(*out, (*n_out + 1) * sizeof **out);
			(*out)[(*n_out)++] = xstrdup(q->name);
		}
	return 0;
}

static int memory_count(struct store *s, const char *queue, enum task_state state, uint64_t *out)
{
	*out = memory_queue_of(s, queue)->n_state[state];
	return 0;
}

static int memory_oldest(struct store *s, const char *queue, int64_t *run_at_us)
{
	const struct ordered *queued = &memory_queue_of(s, queue)->queued;

	*run_at_us = 0;
	for (struct ordered_node *n = ordered_from(queued, NULL); n; n = ordered_after(queued, n)) {
		int64_t at = memory_by_turn(n)->row.run_at_us;

		*run_at_us = *run_at_us ? MIN(*run_at_us, at) : at;
	}
	return 0;
}

/* --- attempts and events --- */

static int memory_put_attempt(struct store *s, const struct attempt_row *a)
{
	struct memory_task *t = memory_find(s, &a->task);
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
	struct memory_task *t = memory_find(s, id);

	*n_out = t ? t->n_attempts : 0;
	*out = *n_out ? xcalloc(*n_out, sizeof **out) : NULL;
	for (size_t i = 0; i < *n_out; i++)
		copy_attempt(&(*out)[i], &t->attempts[i]);
	return 0;
}

static int memory_add_event(struct store *s, const struct uuid *id, const struct event_row *e)
{
	struct memory_task *t = memory_find(s, id);
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
	struct memory_task *t = memory_find(s, id);
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
	struct memory_task *t = memory_find(s, id);

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
	.claimable = memory_claimable,
	.waking = memory_waking,
	.next_wake = memory_next_wake,
	.forgettable = memory_forgettable,
	.next_forget = memory_next_forget,
	.owned = memory_owned,
	.queues = memory_queues,
	.scan = memory_scan,
	.count = memory_count,
	.oldest = memory_oldest,
	.put_attempt = memory_put_attempt,
	.attempts = memory_attempts,
	.add_event = memory_add_event,
	.drop_progress = memory_drop_progress,
	.events = memory_events,
	.put_record = memory_put_record,
	.get_record = memory_get_record,
	.remove_record = memory_remove_record,
	.list_records = memory_list_records,
	.due_records = memory_due_records,
	.next_record = memory_next_record,
	.count_records = memory_count_records,
};
