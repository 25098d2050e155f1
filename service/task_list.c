/* task_list.c: see task_list.h. A query becomes scans of the store: one of the order's
 * own index, or for the order of creation one of each state asked for, or of a label's
 * records. Several are merged: what the shortest look has not reached waits for the
 * next page. */
#include "service/task_list.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/opt.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/task_filter_impl.h"
#include "service/task_page.h"

#define LOOK_MAX 1500           /* rows looked at for one page */
#define LOOK_COST 16            /* tests of a filter that are worth a row */
#define LOOK_LABEL 24           /* each row found by a label is looked up by itself */
#define ID_SLACK_US (2 * US_PER_S) /* an id's time is not its row's create_time exactly */

/* --- reading a query --- */

static const struct order {
	const char *name;
	enum task_order order;
	uint32_t states; /* the filter must allow no others; 0 = all */
	bool one_queue;
	const char *advice;
} orders[] = {
	{"create_time", ORDER_CREATE, 0, false, NULL},
	{"end_time", ORDER_END, TASK_FILTER_ENDED, false,
	 "end_time orders tasks that have ended: add end_time:* to the filter"},
	{"priority", ORDER_PRIORITY, 1u << TASK_QUEUED, true,
	 "priority orders the waiting tasks of one queue: add state = queued AND queue = NAME to the "
	 "filter"},
	{"run_at", ORDER_RUN_AT, 1u << TASK_SCHEDULED | 1u << TASK_RETRYING, false,
	 "run_at orders tasks that wait for their time: add run_at:* to the filter"},
};

/* "priority desc": the word and whether it goes down. NULL: it is no order. */
static const struct order *find_order(const char *text, bool *descp, char *why, size_t size)
{
	char name[64] = "", way[8] = "", rest[2] = "";
	int n = sscanf(text, " %63[a-zA-Z_.] %7[a-z] %1s", name, way, rest);

	*descp = strcmp(way, "desc") == 0;
	if (strchr(text, ',') != NULL) {
		snprintf(why, size, "tasks are ordered by one field, not by several");
		return NULL;
	}
	if (n < 1 || n > 2 || (n == 2 && !*descp && strcmp(way, "asc") != 0)) {
		snprintf(why, size, "\"%.64s\" is not FIELD or FIELD desc", text);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(orders); i++)
		if (strcmp(orders[i].name, name) == 0)
			return &orders[i];
	snprintf(why, size, task_filter_field(name) ? "no index orders tasks by %s: there are "
		 "create_time, end_time, priority and run_at" : "a task has no field %s to be ordered by: "
		 "there are create_time, end_time, priority and run_at", name);
	return NULL;
}

static int read_order(const char *text, struct task_query *q, char *why, size_t size)
{
	struct task_filter_hint hint;
	const struct order *o = &orders[0];

	q->desc = true;
	if (text != NULL && *text != 0)
		o = find_order(text, &q->desc, why, size);
	if (o == NULL)
		return -ERRAND_INVALID_ARGUMENT;
	q->order = o->order;
	task_filter_hint(q->filter, &hint);
	if ((o->states == 0 || (hint.states & ~o->states) == 0) &&
	    (!o->one_queue || hint.queue != NULL))
		return 0;
	snprintf(why, size, "%s", o->advice);
	return -ERRAND_INVALID_ARGUMENT;
}

static int fail(struct task_query *q, const char *word, const char **wordp)
{
	*wordp = word;
	task_query_deinit(q);
	return -ERRAND_INVALID_ARGUMENT;
}

int task_query_read(const struct task_query_words *w, struct task_query *q, const char **wordp,
		    char *why, size_t why_size)
{
	*q = (struct task_query){.limit = w->limit};
	if (task_filter_parse(w->filter ? w->filter : "", &q->filter, why, why_size) < 0)
		return fail(q, "filter", wordp);
	if (w->state != 0 && (w->state < 0 || w->state >= TASK_N_STATES)) {
		snprintf(why, why_size, "%d is no state of a task", w->state);
		return fail(q, "state", wordp);
	}
	if (w->state != 0)
		task_filter_and_state(q->filter, (enum task_state)w->state);
	if (w->method != NULL && *w->method != 0)
		task_filter_and_text(q->filter, "method", w->method);
	if (w->queue != NULL && *w->queue != 0)
		task_filter_and_text(q->filter, "queue", w->queue);
	if (read_order(w->order_by, q, why, why_size) < 0)
		return fail(q, "order_by", wordp);
	if (!task_page_parse(w->page_token, q)) {
		snprintf(why, why_size, "it is not from a list with this filter and order; leave it out to "
			 "begin at the first page");
		return fail(q, "page_token", wordp);
	}
	return 0;
}

void task_query_deinit(struct task_query *q)
{
	q->filter = task_filter_free(q->filter);
}

/* --- labels --- */

/* "KEY" NUL "VALUE" NUL and the id with its bits turned over: the youngest first. */
static void label_prefix(struct buf *key, struct bytes name, struct bytes value)
{
	buf_append(key, name.data, name.len);
	buf_append_byte(key, 0);
	buf_append(key, value.data, value.len);
	buf_append_byte(key, 0);
}

static void label_id(struct buf *key, const struct uuid *id)
{
	for (size_t i = 0; i < sizeof id->b; i++)
		buf_append_byte(key, (uint8_t)~id->b[i]);
}

static int label_record(const struct store_ops *ops, struct store *s, const struct uuid *id,
			const struct task_filter_label *label, bool put)
{
	struct record r = {.kind = RECORD_LABEL};
	int code;

	label_prefix(&r.key, label->key, label->value);
	label_id(&r.key, id);
	code = put ? ops->put_record(s, &r) : ops->remove_record(s, RECORD_LABEL, buf_bytes(&r.key));
	record_deinit(&r);
	return code == -ERRAND_NOT_FOUND ? 0 : code;
}

static int label_records(const struct store_ops *ops, struct store *s, const struct uuid *id,
			 const struct buf *options, bool put)
{
	struct pbuf_reader r = pbuf_reader(options->data, options->len);
	struct task_filter_label label;
	int code = 0;

	while (code == 0 && task_filter_next_label(&r, &label))
		code = label_record(ops, s, id, &label, put);
	return code;
}

int task_labels_put(const struct store_ops *ops, struct store *s, const struct task_row *row)
{
	return row->flags & TASK_HAS_LABELS ? label_records(ops, s, &row->id, &row->options, true) : 0;
}

int task_labels_drop(const struct store_ops *ops, struct store *s, const struct task_row *row)
{
	struct task_row whole = {0};
	int code;

	if (!(row->flags & TASK_HAS_LABELS))
		return 0;
	if (row->options.len > 0)
		return label_records(ops, s, &row->id, &row->options, false);
	code = ops->get(s, &row->id, PART_OPTIONS, &whole);
	if (code == 0)
		code = label_records(ops, s, &row->id, &whole.options, false);
	task_row_deinit(&whole);
	return code;
}

/* --- one scan --- */

/* The first or the last id that a task made at that time can have. */
static struct uuid id_at(int64_t us, bool last)
{
	uint64_t ms = us > 0 ? (uint64_t)us / 1000 : 0;
	struct uuid id;

	memset(&id, last ? 0xff : 0, sizeof id);
	for (int i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	return id;
}

static int id_compare(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, sizeof a->b);
}

/* The range of create_time as a range of ids: where the scan begins, unless a page came
 * before, and where it ends. */
static void scan_by_id(const struct task_query *q, const struct task_filter_hint *h,
		       struct store_scan *scan)
{
	int64_t from = q->desc ? h->create_max_us : h->create_min_us;
	int64_t to = q->desc ? h->create_min_us : h->create_max_us;

	if (!scan->after_set && from != INT64_MAX && from != INT64_MIN) {
		scan->after_set = true;
		scan->after.id = id_at(from + (q->desc ? ID_SLACK_US : -ID_SLACK_US), q->desc);
	}
	if (to != INT64_MAX && to != INT64_MIN) {
		scan->stop_set = true;
		scan->stop = id_at(to + (q->desc ? -ID_SLACK_US : ID_SLACK_US), !q->desc);
	}
}

static struct store_scan scan_of(const struct task_query *q, const struct task_filter_hint *h)
{
	static const enum store_index indexes[] = {
		[ORDER_CREATE] = INDEX_ID, [ORDER_END] = INDEX_END,
		[ORDER_PRIORITY] = INDEX_TURN, [ORDER_RUN_AT] = INDEX_RUN_AT,
	};
	struct store_scan scan = {
		.index = indexes[q->order],
		/* what is claimed first has the highest priority */
		.backward = q->order == ORDER_PRIORITY ? !q->desc : q->desc,
		.queue = h->queue,
		.filter = q->filter,
		.after_set = q->after_set,
		.after = q->after,
		.limit = q->limit,
		.look = LOOK_MAX / (1 + task_filter_cost(q->filter) / LOOK_COST),
	};

	if (q->order == ORDER_CREATE)
		scan_by_id(q, h, &scan);
	return scan;
}

/* --- several scans --- */

static int n_states(uint32_t states)
{
	return __builtin_popcount(states & TASK_FILTER_STATES);
}

static void page_append(struct store_page *to, struct store_page *from)
{
	to->rows = xrealloc(to->rows, (to->n + from->n + 1) * sizeof *to->rows);
	for (size_t i = 0; i < from->n; i++)
		to->rows[to->n++] = from->rows[i];
	free(from->rows);
	from->rows = NULL;
	from->n = 0;
}

static int youngest_first(const void *a, const void *b)
{
	return -id_compare(&((const struct task_row *)a)->id, &((const struct task_row *)b)->id);
}

static int oldest_first(const void *a, const void *b)
{
	return -youngest_first(a, b);
}

static void page_cut(struct store_page *p, size_t n)
{
	while (p->n > n)
		task_row_deinit(&p->rows[--p->n]);
}

/* Is a further on than b? */
static bool is_behind(const struct uuid *a, const struct uuid *b, bool desc)
{
	return desc ? id_compare(a, b) < 0 : id_compare(a, b) > 0;
}

/* The page ends where the first of the scans that were not at their end ended. */
static void note_end(struct store_page *all, const struct store_page *one, bool desc)
{
	if (!one->more)
		return;
	if (!all->more || is_behind(&all->last.id, &one->last.id, desc))
		all->last = one->last;
	all->more = true;
}

static void page_finish(struct store_page *p, size_t limit, bool desc)
{
	size_t n = 0;

	if (p->n > 1)
		qsort(p->rows, p->n, sizeof *p->rows, desc ? youngest_first : oldest_first);
	while (n < p->n && (!p->more || !is_behind(&p->rows[n].id, &p->last.id, desc)))
		n++;
	page_cut(p, n);
	if (p->n <= limit)
		return;
	page_cut(p, limit);
	p->more = true;
	p->last.id = p->rows[limit - 1].id;
}

static int by_states(const struct task_query *q, const struct task_filter_hint *h,
		     const struct store_ops *ops, struct store *s, struct store_page *out)
{
	struct store_scan scan = scan_of(q, h);
	int n = n_states(h->states), r = 0;

	scan.index = INDEX_STATE;
	scan.look = MAX(scan.look / (size_t)MAX(n, 1), 16);
	for (int i = TASK_QUEUED; i < TASK_N_STATES && r == 0; i++) {
		struct store_page one = {0};

		if (!(h->states & 1u << i))
			continue;
		scan.state = (enum task_state)i;
		r = ops->scan(s, &scan, &one);
		if (r == 0) {
			note_end(out, &one, q->desc);
			page_append(out, &one);
		}
	}
	if (r == 0)
		page_finish(out, q->limit, q->desc);
	return r;
}

/* --- by label --- */

static int label_row(const struct task_query *q, const struct store_ops *ops, struct store *s,
		     const struct uuid *id, struct store_page *out)
{
	struct task_row *row;
	int r;

	out->rows = xrealloc(out->rows, (out->n + 1) * sizeof *out->rows);
	row = &out->rows[out->n];
	*row = (struct task_row){0};
	r = ops->get(s, id, PART_OPTIONS | PART_ERROR, row);
	if (r == 0 && task_filter_match(q->filter, row))
		out->n++;
	else
		task_row_deinit(row);
	return r == -ERRAND_NOT_FOUND ? 0 : r;
}

/* The rows of these records, as far as the page goes. */
static int label_rows(const struct task_query *q, const struct store_scan *scan,
		      const struct store_ops *ops, struct store *s, const struct record *records,
		      size_t n, struct store_page *out)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct uuid id;

		for (size_t j = 0; j < sizeof id.b; j++)
			id.b[j] = (uint8_t)~records[i].key.data[records[i].key.len - sizeof id.b + j];
		if (scan->stop_set && is_behind(&id, &scan->stop, true))
			return 0;
		r = label_row(q, ops, s, &id, out);
		out->last.id = id;
		if (out->n == scan->limit) {
			out->more = true;
			return r;
		}
	}
	out->more = n == scan->look;
	return r;
}

static int by_label(const struct task_query *q, const struct task_filter_hint *h,
		    const struct store_ops *ops, struct store *s, struct store_page *out)
{
	struct store_scan scan = scan_of(q, h);
	struct record *records = NULL;
	AUTO_BUF prefix = BUF_INIT;
	AUTO_BUF after = BUF_INIT;
	size_t n = 0;
	int r;

	scan.look = MAX(scan.look / LOOK_LABEL, 16);
	label_prefix(&prefix, (struct bytes){(const uint8_t *)h->label, strlen(h->label)},
		     (struct bytes){(const uint8_t *)h->label_value, strlen(h->label_value)});
	if (scan.after_set) {
		buf_append(&after, prefix.data, prefix.len);
		label_id(&after, &scan.after.id);
	}
	r = ops->list_records(s, RECORD_LABEL, buf_bytes(&prefix), buf_bytes(&after), scan.look,
			      &records, &n);
	if (r == 0)
		r = label_rows(q, &scan, ops, s, records, n, out);
	records_free(records, n);
	return r;
}

int task_query_page(const struct task_query *q, const struct store_ops *ops, struct store *s,
		    struct store_page *out)
{
	struct task_filter_hint h;
	struct store_scan scan;
	int r;

	*out = (struct store_page){0};
	task_filter_hint(q->filter, &h);
	if (q->order == ORDER_CREATE && q->desc && h.label != NULL)
		r = by_label(q, &h, ops, s, out);
	else if (q->order == ORDER_CREATE && n_states(h.states) < n_states(TASK_FILTER_STATES))
		r = by_states(q, &h, ops, s, out);
	else {
		scan = scan_of(q, &h);
		r = ops->scan(s, &scan, out);
	}
	if (r < 0)
		store_page_deinit(out);
	return r;
}
