/* task_after.c: see task_after.h. */
#include "service/task_after.h"

#include <stdio.h>
#include <string.h>

#include "errand/status.h"

#define PAGE 256 /* children looked at at once */

static const uint8_t waits = 'w'; /* an edge's data while the child waits for the parent */

static void edge_key(struct buf *out, const struct uuid *parent, const struct uuid *child)
{
	buf_append(out, parent->b, sizeof parent->b);
	if (child != NULL)
		buf_append(out, child->b, sizeof child->b);
}

static int put_edge(struct task_move *m, const struct uuid *parent, const struct uuid *child,
		    bool waiting)
{
	struct record r = {.kind = RECORD_EDGE};
	int code;

	edge_key(&r.key, parent, child);
	if (waiting)
		buf_append(&r.data, &waits, 1);
	code = m->ops->put_record(m->store, &r);
	record_deinit(&r);
	return code;
}

/* --- a new task --- */

static bool given_before(const struct task_options *o, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (memcmp(&o->after[k], &o->after[i], sizeof o->after[i]) == 0)
			return true;
	return false;
}

int task_after_check(struct task_move *m, const struct task_options *o, size_t *missing)
{
	for (size_t i = 0; i < o->n_after; i++) {
		struct task_row row = {0};
		int r = m->ops->get(m->store, &o->after[i], 0, &row);

		task_row_deinit(&row);
		*missing = i;
		if (r != 0)
			return r == -ERRAND_NOT_FOUND ? 1 : r;
	}
	return 0;
}

static int link_to(struct task_move *m, const struct uuid *parent)
{
	struct task_row row = {0};
	int r = m->ops->get(m->store, parent, 0, &row);
	bool waiting = r == 0 && !task_state_terminal(row.state);

	if (r == 0)
		r = put_edge(m, parent, &m->row->id, waiting);
	if (r == 0 && !(row.flags & TASK_HAS_CHILDREN)) {
		row.flags |= TASK_HAS_CHILDREN;
		r = m->ops->update(m->store, &row, 0);
	}
	m->row->blockers += waiting;
	task_row_deinit(&row);
	return r;
}

int task_after_link(struct task_move *m, const struct task_options *o)
{
	int r = 0;

	m->row->blockers = 0;
	for (size_t i = 0; i < o->n_after && r == 0; i++)
		if (!given_before(o, i))
			r = link_to(m, &o->after[i]);
	return r;
}

/* The child ends because that parent did not succeed. */
static int end_child(struct task_move *m, enum after_policy policy, const struct uuid *parent,
		     enum task_state state)
{
	char text[UUID_TEXT_SIZE], detail[128];
	bool cancel = policy == AFTER_CANCEL;

	snprintf(detail, sizeof detail, "task %s, which it comes after, ended %s",
		 uuid_format(parent, text), task_state_name(state));
	return task_move_give_up(m, cancel ? TASK_CANCELLED : TASK_FAILED, REASON_PARENT,
				 cancel ? ERRAND_CANCELLED : ERRAND_FAILED_PRECONDITION, detail);
}

int task_after_made(struct task_move *m, const struct task_options *o)
{
	for (size_t i = 0; i < o->n_after && o->after_policy != AFTER_RUN; i++) {
		struct task_row row = {0};
		int r = m->ops->get(m->store, &o->after[i], 0, &row);
		enum task_state state = row.state;

		task_row_deinit(&row);
		if (r < 0)
			return r;
		if (task_state_terminal(state) && state != TASK_SUCCEEDED)
			return end_child(m, o->after_policy, &o->after[i], state);
	}
	return 0;
}

/* --- a child's end --- */

/* A row that ends may not have its options with it. */
static int read_options(struct task_move *m, struct task_options *out)
{
	struct task_row row = {0};
	int r = m->ops->get(m->store, &m->row->id, PART_OPTIONS, &row);

	if (r == 0)
		task_options_read(buf_bytes(&row.options), out, NULL);
	task_row_deinit(&row);
	return r;
}

int task_after_unlink(struct task_move *m)
{
	struct task_options o = {0};
	int r = read_options(m, &o);

	for (size_t i = 0; i < o.n_after && r == 0; i++) {
		AUTO_BUF key = BUF_INIT;

		edge_key(&key, &o.after[i], &m->row->id);
		r = m->ops->remove_record(m->store, RECORD_EDGE, buf_bytes(&key));
	}
	task_options_deinit(&o);
	return r;
}

/* --- a parent's end --- */

static int go_on(struct task_move *m, const struct uuid *parent)
{
	int r = put_edge(m, parent, &m->row->id, false);

	m->row->blockers -= m->row->blockers > 0;
	return r < 0 ? r : task_move_unblock(m);
}

static int tell_child(struct task_move *m, const struct task_ended *parent, const struct uuid *child)
{
	bool good = parent->state == TASK_SUCCEEDED;
	struct task_row row = {0};
	struct task_options o = {0};
	struct task_move next = *m;
	int r = m->ops->get(m->store, child, good ? 0 : PART_OPTIONS, &row);

	if (r == -ERRAND_NOT_FOUND || (r == 0 && !task_state_waiting(row.state))) {
		task_row_deinit(&row);
		return 0; /* somebody let it run all the same */
	}
	next.row = &row;
	if (r == 0 && !good)
		task_options_read(buf_bytes(&row.options), &o, NULL);
	if (r == 0 && (good || o.after_policy == AFTER_RUN))
		r = go_on(&next, &parent->id);
	else if (r == 0)
		r = end_child(&next, o.after_policy, &parent->id, parent->state);
	task_options_deinit(&o);
	task_row_deinit(&row);
	return r;
}

static int tell_edge(struct task_move *m, const struct task_ended *parent, const struct record *edge)
{
	struct uuid child;

	if (edge->data.len == 0 || edge->key.len != 2 * sizeof child.b)
		return 0; /* told when the parent ended before */
	memcpy(child.b, edge->key.data + sizeof child.b, sizeof child.b);
	return tell_child(m, parent, &child);
}

static int tell_children(struct task_move *m, const struct task_ended *parent)
{
	AUTO_BUF prefix = BUF_INIT;
	AUTO_BUF last = BUF_INIT;
	size_t n = PAGE;
	int r = 0;

	edge_key(&prefix, &parent->id, NULL);
	while (r == 0 && n == PAGE) {
		struct record *edges = NULL;

		r = m->ops->list_records(m->store, RECORD_EDGE, buf_bytes(&prefix), buf_bytes(&last), PAGE,
					 &edges, &n);
		for (size_t i = 0; i < n && r == 0; i++)
			r = tell_edge(m, parent, &edges[i]);
		buf_reset(&last);
		if (r == 0 && n > 0)
			buf_append(&last, edges[n - 1].key.data, edges[n - 1].key.len);
		records_free(edges, n);
	}
	return r;
}

int task_after_tell(struct task_move *m)
{
	struct task_changes *c = m->changes;
	int r = 0;

	if (c->n_ended == c->cap_ended)
		c->ended = xrealloc(c->ended, (c->cap_ended = c->cap_ended ? 2 * c->cap_ended : 4) *
				    sizeof *c->ended);
	c->ended[c->n_ended++] = (struct task_ended){m->row->id, m->row->state};
	if (c->telling)
		return 0;
	c->telling = true;
	while (r == 0 && c->n_ended > 0) {
		struct task_ended parent = c->ended[--c->n_ended];

		r = tell_children(m, &parent);
	}
	c->telling = false;
	c->n_ended = 0;
	return r;
}

int task_after_needed(const struct store_ops *ops, struct store *s, const struct uuid *parent,
		      bool *needed, struct uuid *child)
{
	struct record *edges = NULL;
	AUTO_BUF prefix = BUF_INIT;
	size_t n = 0;
	int r;

	edge_key(&prefix, parent, NULL);
	r = ops->list_records(s, RECORD_EDGE, buf_bytes(&prefix), (struct bytes){0}, 1, &edges, &n);
	*needed = r == 0 && n > 0 && edges[0].key.len == 2 * sizeof child->b;
	if (*needed)
		memcpy(child->b, edges[0].key.data + sizeof child->b, sizeof child->b);
	records_free(edges, n);
	return r;
}
