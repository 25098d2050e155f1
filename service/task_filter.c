/* task_filter.c: see task_filter.h: the fields, the answer for a row, the filter as
 * text again, and what an index may know of it. */
#define _GNU_SOURCE
#include "service/task_filter_impl.h"

#include "base/clock.h"
#include "base/pbuf.h"
#include "schema/wellknown.h"

/* --- fields --- */

static int64_t field_state(const struct task_row *t) { return t->state; }
static const char *field_method(const struct task_row *t) { return t->method; }
static const char *field_queue(const struct task_row *t) { return t->queue; }
static int64_t field_priority(const struct task_row *t) { return t->priority; }
static int64_t field_attempt(const struct task_row *t) { return t->attempt; }
static int64_t field_crash_count(const struct task_row *t) { return t->crash_count; }
static int64_t field_create_time(const struct task_row *t) { return t->create_us; }
static int64_t field_start_time(const struct task_row *t) { return t->start_us; }
static int64_t field_end_time(const struct task_row *t) { return t->end_us; }
static const char *field_schedule(const struct task_row *t) { return t->schedule; }
static const char *field_reason(const struct task_row *t) { return task_reason_text(t->reason); }

/* Of those that wait for it. */
static int64_t field_run_at(const struct task_row *t)
{
	return t->state == TASK_SCHEDULED || t->state == TASK_RETRYING ? t->run_at_us : 0;
}

/* The names are those of errand.v1.Task. */
const struct filter_field task_filter_fields[] = {
	{"state", FIELD_STATE, NULL, field_state},
	{"method", FIELD_TEXT, field_method, NULL},
	{"queue", FIELD_TEXT, field_queue, NULL},
	{"priority", FIELD_NUMBER, NULL, field_priority},
	{"attempt", FIELD_NUMBER, NULL, field_attempt},
	{"crash_count", FIELD_NUMBER, NULL, field_crash_count},
	{"create_time", FIELD_TIME, NULL, field_create_time},
	{"start_time", FIELD_TIME, NULL, field_start_time},
	{"end_time", FIELD_TIME, NULL, field_end_time},
	{"run_at", FIELD_TIME, NULL, field_run_at},
	{"schedule", FIELD_TEXT, field_schedule, NULL},
	{"reason", FIELD_TEXT, field_reason, NULL},
	{"labels", FIELD_LABEL, NULL, NULL},
	{NULL, FIELD_TEXT, NULL, NULL},
};

static const char *const op_names[] = {"=", "!=", "<", "<=", ">", ">=", ":"};

static struct filter_node *node_free(struct filter_node *n)
{
	for (struct filter_node *next; n != NULL; n = next) {
		next = n->next;
		node_free(n->child);
		free(n->key);
		free(n->text);
		free(n);
	}
	return NULL;
}

struct task_filter *task_filter_free(struct task_filter *f)
{
	if (f != NULL)
		node_free(f->root);
	free(f);
	return NULL;
}

bool task_filter_field(const char *name)
{
	for (const struct filter_field *d = task_filter_fields; d->name != NULL; d++)
		if (strcmp(d->name, name) == 0)
			return true;
	return false;
}

static struct filter_node *and_test(struct task_filter *f, const char *field)
{
	struct filter_node *n = xcalloc(1, sizeof *n), *and;

	for (n->field = task_filter_fields; strcmp(n->field->name, field) != 0;)
		n->field++;
	f->n_tests++;
	if (f->root == NULL) {
		f->root = n;
		return n;
	}
	if (f->root->kind != FILTER_AND) {
		and = xcalloc(1, sizeof *and);
		and->kind = FILTER_AND;
		and->child = f->root;
		f->root = and;
	}
	n->next = f->root->child;
	f->root->child = n;
	return n;
}

void task_filter_and_state(struct task_filter *f, enum task_state state)
{
	and_test(f, "state")->number = state;
}

void task_filter_and_text(struct task_filter *f, const char *field, const char *text)
{
	struct filter_node *n = and_test(f, field);

	n->text = xstrdup(text);
	n->len = strlen(text);
}

/* --- a row --- */

static bool by_order(enum filter_op op, int order)
{
	switch (op) {
	case OP_EQ: return order == 0;
	case OP_NE: return order != 0;
	case OP_LT: return order < 0;
	case OP_LE: return order <= 0;
	case OP_GT: return order > 0;
	case OP_GE: return order >= 0;
	default: return true;
	}
}

static bool text_fits(const struct filter_node *n, struct bytes text)
{
	if (text.len < n->len)
		return false;
	if (n->open_start && n->open_end)
		return n->len == 0 || memmem(text.data, text.len, n->text, n->len) != NULL;
	if (n->open_end)
		return memcmp(text.data, n->text, n->len) == 0;
	if (n->open_start)
		return memcmp(text.data + text.len - n->len, n->text, n->len) == 0;
	return text.len == n->len && memcmp(text.data, n->text, n->len) == 0;
}

static bool test_text(const struct filter_node *n, struct bytes text)
{
	size_t common = MIN(text.len, n->len);
	int order;

	if (n->op == OP_HAS)
		return true;
	if (n->op == OP_EQ || n->op == OP_NE)
		return text_fits(n, text) == (n->op == OP_EQ);
	order = memcmp(text.data, n->text, common);
	return by_order(n->op, order != 0 ? order : (text.len > n->len) - (text.len < n->len));
}

/* To the nanosecond: a row has microseconds only. */
static bool test_time(const struct filter_node *n, int64_t us)
{
	int64_t s = us / US_PER_S, nanos = us % US_PER_S * 1000;

	if (us == 0)
		return false;
	if (s != n->number)
		return by_order(n->op, s < n->number ? -1 : 1);
	return by_order(n->op, (nanos > n->nanos) - (nanos < n->nanos));
}

/* One entry of the map labels: key = 1, value = 2. */
static void label_read(struct bytes entry, struct task_filter_label *out)
{
	struct pbuf_reader r = pbuf_reader(entry.data, entry.len);
	struct pbuf_field f;

	out->key = out->value = (struct bytes){(const uint8_t *)"", 0};
	while (pbuf_next(&r, &f))
		if (f.number == 1 && f.wire == PBUF_LEN)
			out->key = f.bytes;
		else if (f.number == 2 && f.wire == PBUF_LEN)
			out->value = f.bytes;
}

bool task_filter_next_label(struct pbuf_reader *options, struct task_filter_label *out)
{
	struct pbuf_field f;

	while (pbuf_next(options, &f))
		if (f.number == 5 && f.wire == PBUF_LEN) {
			label_read(f.bytes, out);
			return true;
		}
	return false;
}

static bool test_label(const struct filter_node *n, const struct task_row *t)
{
	struct pbuf_reader r = pbuf_reader(t->options.data, t->options.len);
	struct task_filter_label label;

	while (t->flags & TASK_HAS_LABELS && task_filter_next_label(&r, &label))
		if (label.key.len == strlen(n->key) && memcmp(label.key.data, n->key, label.key.len) == 0)
			return test_text(n, label.value);
	return false;
}

static bool test_row(const struct filter_node *n, const struct task_row *t)
{
	const char *text;
	int64_t number;

	switch (n->field->type) {
	case FIELD_TEXT:
		text = n->field->text(t);
		return text != NULL && *text != 0 &&
		       test_text(n, (struct bytes){(const uint8_t *)text, strlen(text)});
	case FIELD_TIME:
		return test_time(n, n->field->number(t));
	case FIELD_LABEL:
		return test_label(n, t);
	default:
		number = n->field->number(t);
		return by_order(n->op, (number > n->number) - (number < n->number));
	}
}

static bool node_match(const struct filter_node *n, const struct task_row *t)
{
	bool all = n->kind == FILTER_AND;

	if (n->kind == FILTER_TEST)
		return test_row(n, t);
	if (n->kind == FILTER_NOT)
		return !node_match(n->child, t);
	for (const struct filter_node *c = n->child; c != NULL; c = c->next)
		if (node_match(c, t) != all)
			return !all;
	return all;
}

bool task_filter_match(const struct task_filter *f, const struct task_row *t)
{
	return f == NULL || f->root == NULL || node_match(f->root, t);
}

unsigned task_filter_parts(const struct task_filter *f)
{
	return f != NULL && f->reads_labels ? PART_OPTIONS : 0;
}

size_t task_filter_cost(const struct task_filter *f)
{
	return f != NULL ? f->n_tests : 0;
}

/* --- as text --- */

static void print_quoted(struct buf *out, const char *text)
{
	for (; *text != 0; text++) {
		if (strchr("\\\"*", *text) != NULL)
			buf_append_byte(out, '\\');
		buf_append_byte(out, (uint8_t)*text);
	}
}

static void print_value(const struct filter_node *n, struct buf *out)
{
	if (n->op == OP_HAS) {
		buf_append_byte(out, '*');
	} else if (n->field->type == FIELD_STATE) {
		buf_append_str(out, task_state_name((enum task_state)n->number));
	} else if (n->field->type == FIELD_NUMBER) {
		buf_printf(out, "%lld", (long long)n->number);
	} else if (n->field->type == FIELD_TIME) {
		buf_append_byte(out, '"');
		timestamp_format(out, n->number, n->nanos);
		buf_append_byte(out, '"');
	} else {
		buf_append_str(out, n->open_start ? "\"*" : "\"");
		print_quoted(out, n->text);
		buf_append_str(out, n->open_end ? "*\"" : "\"");
	}
}

static void print_test(const struct filter_node *n, struct buf *out)
{
	buf_append_str(out, n->field->name);
	if (n->key != NULL) {
		buf_append_str(out, ".\"");
		print_quoted(out, n->key);
		buf_append_byte(out, '"');
	}
	buf_printf(out, n->op == OP_HAS ? "%s" : " %s ", op_names[n->op]);
	print_value(n, out);
}

static void print_node(const struct filter_node *n, struct buf *out)
{
	if (n->kind == FILTER_TEST) {
		print_test(n, out);
	} else if (n->kind == FILTER_NOT) {
		buf_append_str(out, "NOT ");
		print_node(n->child, out);
	} else {
		buf_append_byte(out, '(');
		for (const struct filter_node *c = n->child; c != NULL; c = c->next) {
			print_node(c, out);
			if (c->next != NULL)
				buf_append_str(out, n->kind == FILTER_AND ? " AND " : " OR ");
		}
		buf_append_byte(out, ')');
	}
}

void task_filter_print(const struct task_filter *f, struct buf *out)
{
	if (f != NULL && f->root != NULL)
		print_node(f->root, out);
}

/* --- what an index may know --- */

#define ALL_STATES (~0u)

struct range {
	uint32_t states;
	int64_t min, max;
};
static const struct range everything = {ALL_STATES, INT64_MIN, INT64_MAX};

/* A bound that is not exact is a little wide. */
static void range_time(const struct filter_node *n, struct range *r)
{
	int64_t us;

	if (n->number > INT64_MAX / US_PER_S - 1 || n->number < INT64_MIN / US_PER_S + 1)
		return;
	us = n->number * US_PER_S + n->nanos / 1000;
	if (n->op == OP_EQ || n->op == OP_GT || n->op == OP_GE)
		r->min = us;
	if (n->op == OP_EQ || n->op == OP_LT || n->op == OP_LE)
		r->max = us;
}

static struct range range_test(const struct filter_node *n)
{
	struct range r = everything;

	if (n->field->number == field_state && n->op == OP_EQ)
		r.states = 1u << n->number;
	else if (n->field->number == field_state && n->op == OP_NE)
		r.states = ~(1u << n->number);
	else if (n->field->number == field_end_time)
		r.states = TASK_FILTER_ENDED;
	else if (n->field->number == field_run_at)
		r.states = 1u << TASK_SCHEDULED | 1u << TASK_RETRYING;
	else if (n->field->number == field_create_time)
		range_time(n, &r);
	return r;
}

static struct range range_node(const struct filter_node *n);

static struct range range_list(const struct filter_node *n)
{
	struct range all = range_node(n->child);

	for (const struct filter_node *c = n->child->next; c != NULL; c = c->next) {
		struct range r = range_node(c);

		if (n->kind == FILTER_AND)
			all = (struct range){all.states & r.states, MAX(all.min, r.min),
					     MIN(all.max, r.max)};
		else
			all = (struct range){all.states | r.states, MIN(all.min, r.min),
					     MAX(all.max, r.max)};
	}
	return all;
}

static struct range range_node(const struct filter_node *n)
{
	struct range r = everything;

	if (n->kind == FILTER_TEST)
		return range_test(n);
	if (n->kind != FILTER_NOT)
		return range_list(n);
	if (n->child->kind == FILTER_TEST && n->child->field->number == field_state &&
	    n->child->op != OP_HAS)
		r.states = ~range_test(n->child).states;
	return r;
}

/* An equality that every task it takes must keep. */
static void hint_test(const struct filter_node *n, struct task_filter_hint *out)
{
	if (n->op != OP_EQ || n->open_start || n->open_end)
		return;
	if (n->field->text == field_queue)
		out->queue = n->text;
	else if (n->field->text == field_method)
		out->method = n->text;
	else if (n->field->type == FIELD_LABEL && out->label == NULL) {
		out->label = n->key;
		out->label_value = n->text;
	}
}

void task_filter_hint(const struct task_filter *f, struct task_filter_hint *out)
{
	struct range r = everything;
	const struct filter_node *n = f != NULL ? f->root : NULL;

	*out = (struct task_filter_hint){0};
	if (n != NULL)
		r = range_node(n);
	if (n != NULL && n->kind == FILTER_TEST)
		hint_test(n, out);
	else if (n != NULL && n->kind == FILTER_AND)
		for (const struct filter_node *c = n->child; c != NULL; c = c->next)
			if (c->kind == FILTER_TEST)
				hint_test(c, out);
	out->states = r.states;
	out->create_min_us = r.min;
	out->create_max_us = r.max;
}
