/* openapi_example.c: an example of a request body: each field with a value that keeps
 * its rules as far as a value is easily found. It is shown only when the gateway itself
 * would take it: transcoder and rules are asked. Pure. */
#include "base/json.h"
#include "gateway/openapi_private.h"
#include "schema/base64.h"
#include "schema/transcode.h"
#include "schema/validate.h"

enum { DEPTH_MAX = 4, LENGTH_MAX = 200, ITEMS_MAX = 10, EXAMPLE_MAX = 16384 };

struct example {
	struct buf *out;
	const struct openapi_operation *op; /* what its path gives is left out; NULL: all is there */
	const struct schema_field *path[TEMPLATE_PATH_MAX + DEPTH_MAX];
	size_t n_path;
	const struct schema_message *inside[DEPTH_MAX];
	size_t depth;
};

static bool put_field_value(struct example *x, const struct schema_field *f);

/* --- numbers --- */

static double lower_bound(const struct rules *rules, double fallback, bool *open)
{
	const struct rule *gt = openapi_rule(rules, RULE_GT), *gte = openapi_rule(rules, RULE_GTE);

	*open = gt != NULL;
	return gt != NULL ? gt->value.d : gte != NULL ? gte->value.d : fallback;
}

static void put_real(struct buf *b, const struct rules *rules)
{
	const struct rule *lt = openapi_rule(rules, RULE_LT), *lte = openapi_rule(rules, RULE_LTE);
	bool open;
	double low = lower_bound(rules, -1e300, &open), v = 1.5;
	double high = lt != NULL ? lt->value.d : lte != NULL ? lte->value.d : 1e300;

	if (v <= low || v >= high)
		v = low > -1e300 && high < 1e300 ? low + (high - low) / 2 : low > -1e300 ? low + 1 : high - 1;
	json_put_double(b, v);
}

/* The nearest to 1 that the limits allow. Unsigned ones are read by the same bits. */
static int64_t pick_integer(const struct rules *rules)
{
	const struct rule *gt = openapi_rule(rules, RULE_GT), *gte = openapi_rule(rules, RULE_GTE);
	const struct rule *lt = openapi_rule(rules, RULE_LT), *lte = openapi_rule(rules, RULE_LTE);
	int64_t v = 1;

	if (gt != NULL && v <= gt->value.i && gt->value.i < INT64_MAX)
		v = gt->value.i + 1;
	if (gte != NULL && v < gte->value.i)
		v = gte->value.i;
	if (lt != NULL && v >= lt->value.i && lt->value.i > INT64_MIN)
		v = lt->value.i - 1;
	if (lte != NULL && v > lte->value.i)
		v = lte->value.i;
	return v;
}

static bool is_excluded(const struct rule *not_in, int64_t v)
{
	for (size_t i = 0; not_in != NULL && i < not_in->n; i++)
		if (not_in->list[i].i == v)
			return true;
	return false;
}

static void put_enum(struct buf *b, const struct schema_field *f, const struct rules *rules)
{
	const struct schema_enum *e = f->enumeration;
	const struct rule *not_in = openapi_rule(rules, RULE_NOT_IN);
	size_t best = 0;

	if (e->is_null_value) {
		buf_append_str(b, "null");
		return;
	}
	for (size_t i = 0; i < e->n_values; i++)
		if (e->values[i].number != 0 && !e->values[i].deprecated &&
		    !is_excluded(not_in, e->values[i].number)) {
			best = i;
			break;
		}
	json_put_cstr(b, e->values[best].name);
}

/* --- text --- */

static const char *const formats[] = {
	[RULE_EMAIL] = "user@example.com", [RULE_HOSTNAME] = "example.com", [RULE_IP] = "192.0.2.1",
	[RULE_IPV4] = "192.0.2.1", [RULE_IPV6] = "2001:db8::1", [RULE_URI] = "https://example.com/",
	[RULE_URI_REF] = "/path", [RULE_ADDRESS] = "example.com",
	[RULE_UUID] = "123e4567-e89b-42d3-a456-426614174000", [RULE_TUUID] = "123e4567e89b42d3a456426614174000",
	[RULE_IP_PREFIXLEN] = "192.0.2.1/24", [RULE_IPV4_PREFIXLEN] = "192.0.2.1/24",
	[RULE_IPV6_PREFIXLEN] = "2001:db8::1/64", [RULE_IP_PREFIX] = "192.0.2.0/24",
	[RULE_IPV4_PREFIX] = "192.0.2.0/24", [RULE_IPV6_PREFIX] = "2001:db8::/64",
	[RULE_HOST_AND_PORT] = "example.com:8080", [RULE_ULID] = "01ARZ3NDEKTSV4RRFFQ69G5FAV",
	[RULE_HEADER_NAME] = "x-example", [RULE_HEADER_VALUE] = "example",
};

static void put_part(struct buf *b, const struct rules *rules, enum rule_kind kind)
{
	const struct rule *r = openapi_rule(rules, kind);

	if (r != NULL)
		buf_append(b, r->value.text.data, r->value.text.len);
}

static uint64_t limit(const struct rules *rules, enum rule_kind a, enum rule_kind b, enum rule_kind c,
		      enum rule_kind d, uint64_t fallback)
{
	const enum rule_kind kinds[] = {a, b, c, d};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct rule *r = openapi_rule(rules, kinds[i]);

		if (r != NULL)
			return r->value.u;
	}
	return fallback;
}

/* As long as the rules ask for; they are judged when all is there. */
static void fit(struct buf *b, const struct rules *rules, size_t fixed)
{
	uint64_t least = limit(rules, RULE_LEN, RULE_MIN_LEN, RULE_LEN_BYTES, RULE_MIN_BYTES, 0);
	uint64_t most = limit(rules, RULE_LEN, RULE_MAX_LEN, RULE_LEN_BYTES, RULE_MAX_BYTES, LENGTH_MAX);

	while (b->len < least && b->len < LENGTH_MAX)
		buf_append_byte(b, 'x');
	if (b->len > most)
		b->len = most > fixed ? (size_t)most : fixed;
}

static void put_text(struct buf *b, const struct schema_field *f, const struct rules *rules)
{
	const struct rule *format = openapi_rule(rules, RULE_FORMAT);
	const struct rule *pattern = openapi_rule(rules, RULE_PATTERN);
	AUTO_BUF text = BUF_INIT;
	size_t fixed;

	if (format != NULL && (size_t)format->format < ARRAY_LEN(formats)) {
		buf_append_str(&text, formats[format->format]);
	} else if (pattern != NULL) {
		openapi_pattern_example(pattern->value.text, &text);
	} else {
		put_part(&text, rules, RULE_PREFIX);
		put_part(&text, rules, RULE_CONTAINS);
		fixed = text.len;
		if (fixed == 0 && openapi_rule(rules, RULE_SUFFIX) == NULL)
			buf_append_str(&text, f->type == FIELD_BYTES ? "bytes" : "string");
		fit(&text, rules, fixed);
		put_part(&text, rules, RULE_SUFFIX);
	}
	if (f->type != FIELD_BYTES) {
		json_put_string(b, (const char *)text.data, text.len);
		return;
	}
	buf_append_byte(b, '"');
	base64_encode(b, buf_bytes(&text));
	buf_append_byte(b, '"');
}

/* --- values --- */

static void put_scalar(struct buf *b, const struct schema_field *f, const struct rules *rules)
{
	union rule_value v = {.i = pick_integer(rules)};

	switch (f->type) {
	case FIELD_BOOL:
		buf_append_str(b, "true");
		break;
	case FIELD_ENUM:
		put_enum(b, f, rules);
		break;
	case FIELD_DOUBLE: case FIELD_FLOAT:
		put_real(b, rules);
		break;
	case FIELD_STRING: case FIELD_BYTES:
		put_text(b, f, rules);
		break;
	default:
		openapi_rule_value(b, f, v);
	}
}

static void put_duration(struct buf *b, const struct rules *rules)
{
	const struct rule *gt = openapi_rule(rules, RULE_GT), *gte = openapi_rule(rules, RULE_GTE);
	const struct rule *lte = openapi_rule(rules, RULE_LTE);
	int64_t s = gt != NULL ? gt->value.time.s + 1 : gte != NULL ? gte->value.time.s : 1;

	if (gt == NULL && gte == NULL && lte != NULL && lte->value.time.s < s)
		s = lte->value.time.s;
	buf_printf(b, "\"%llds\"", (long long)s);
}

static bool put_object(struct example *x, const struct schema_message *m);

static bool put_message(struct example *x, const struct schema_message *m, const struct rules *rules)
{
	switch (m->well_known) {
	case WK_TIMESTAMP:
		buf_append_str(x->out, openapi_rule(rules, RULE_GT_NOW) != NULL ? "\"2099-12-31T23:59:59Z\"" :
			       "\"2025-01-31T12:00:00Z\"");
		return true;
	case WK_DURATION:
		put_duration(x->out, rules);
		return true;
	case WK_WRAPPER:
		put_scalar(x->out, &m->fields[0], rules);
		return true;
	case WK_STRUCT: case WK_EMPTY:
		buf_append_str(x->out, "{}");
		return true;
	case WK_VALUE:
		buf_append_str(x->out, "\"value\"");
		return true;
	case WK_LIST_VALUE:
		buf_append_str(x->out, "[]");
		return true;
	case WK_NONE:
		return put_object(x, m);
	default:
		return false; /* Any, FieldMask: of what? */
	}
}

/* One value: of a field, an element, a key or an entry. */
static bool put_value(struct example *x, const struct schema_field *f, const struct rules *rules)
{
	const struct rule *r = openapi_rule(rules, RULE_CONST), *in = openapi_rule(rules, RULE_IN);

	if (f->type == FIELD_GROUP || f->bare)
		return false;
	if (r != NULL)
		openapi_rule_value(x->out, f, r->value);
	else if (in != NULL && in->n > 0)
		openapi_rule_value(x->out, f, in->list[0]);
	else if (f->message != NULL)
		return put_message(x, f->message, rules);
	else
		put_scalar(x->out, f, rules);
	return true;
}

static bool put_map(struct example *x, const struct schema_field *f)
{
	const struct schema_field *key = schema_field_by_number(f->message, 1);
	AUTO_BUF text = BUF_INIT;
	struct example keys = {.out = &text};

	if (!put_value(&keys, key, openapi_nested(f->rules, RULE_KEYS)))
		return false;
	buf_append_byte(x->out, '{');
	if (text.data[0] != '"')
		buf_append_byte(x->out, '"');
	buf_append(x->out, text.data, text.len);
	if (text.data[0] != '"')
		buf_append_byte(x->out, '"');
	buf_append_byte(x->out, ':');
	if (!put_value(x, schema_field_by_number(f->message, 2), openapi_nested(f->rules, RULE_VALUES)))
		return false;
	buf_append_byte(x->out, '}');
	return true;
}

static bool put_list(struct example *x, const struct schema_field *f)
{
	const struct rule *least = openapi_rule(f->rules, RULE_MIN_ITEMS);
	uint64_t n = least != NULL && least->value.u > 1 ? least->value.u : 1;

	if (n > ITEMS_MAX)
		return false;
	buf_append_byte(x->out, '[');
	for (uint64_t i = 0; i < n; i++) {
		if (i > 0)
			buf_append_byte(x->out, ',');
		if (!put_value(x, f, openapi_nested(f->rules, RULE_ITEMS)))
			return false;
	}
	buf_append_byte(x->out, ']');
	return true;
}

static bool put_field_value(struct example *x, const struct schema_field *f)
{
	if (f->map)
		return put_map(x, f);
	return f->repeated ? put_list(x, f) : put_value(x, f, f->rules);
}

/* Linters look for these two everywhere, also in examples. */
static bool is_keyword(const struct schema_field *f)
{
	return strcmp(f->out_name, "default") == 0 || strcmp(f->out_name, "example") == 0;
}

/* Left out: what only answers have, and unless it must be there what is going away. */
static bool is_shown(const struct schema_field *f, int last_oneof)
{
	if (f->out_only || f->type == FIELD_GROUP)
		return false;
	if (f->oneof >= 0 && f->oneof <= last_oneof)
		return false;
	return openapi_field_required(f) || (!f->deprecated && !is_keyword(f));
}

/* Do the message's rules let only one of several be set, and is another there? */
static bool is_ruled_out(const struct schema_field *f)
{
	const struct message_rules *rules = f->parent->rules;

	for (size_t i = 0; rules != NULL && i < rules->n_oneofs; i++)
		for (size_t j = 1; j < rules->oneofs[i].n; j++)
			if (rules->oneofs[i].fields[j] == f)
				return true;
	return false;
}

/* Is the field on the way given by the path, or ruled out? */
static bool is_given(const struct example *x)
{
	const struct template *t = x->op != NULL ? x->op->route.template : NULL;

	for (size_t i = 0; t != NULL && i < t->n_variables; i++)
		if (openapi_is_given(&t->variables[i], x->path, x->n_path))
			return true;
	return false;
}

static bool put_member(struct example *x, const struct schema_field *f)
{
	size_t before = x->out->len;

	if (x->out->data[before - 1] != '{')
		buf_append_byte(x->out, ',');
	json_put_cstr(x->out, f->out_name);
	buf_append_byte(x->out, ':');
	if (put_field_value(x, f))
		return true;
	x->out->len = before;
	return false;
}

/* Members of one message; a message inside of itself is left out. */
static bool put_object(struct example *x, const struct schema_message *m)
{
	int last_oneof = -1;

	for (size_t i = 0; i < x->depth; i++)
		if (x->inside[i] == m)
			return false;
	if (x->depth == DEPTH_MAX || x->out->len > EXAMPLE_MAX)
		return false;
	x->inside[x->depth++] = m;
	buf_append_byte(x->out, '{');
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct schema_field *f = &m->fields[i];

		if (!is_shown(f, last_oneof) || is_ruled_out(f))
			continue;
		x->path[x->n_path++] = f;
		if (!is_given(x) && put_member(x, f) && f->oneof >= 0)
			last_oneof = f->oneof;
		x->n_path--;
	}
	buf_append_byte(x->out, '}');
	x->depth--;
	return true;
}

/* --- judged as a request --- */

static bool is_good(const struct openapi *o, const struct schema_message *m, struct bytes json)
{
	const struct transcode_read read = {.schema = o->schema};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;
	bool good;

	good = json.len <= EXAMPLE_MAX &&
		transcode_from_json(&read, m, (const char *)json.data, json.len, "#", &wire, &faults) == 0 &&
		validate_message(m, buf_bytes(&wire), NULL, &faults) == 0;
	fault_list_deinit(&faults);
	return good;
}

void openapi_example(struct openapi *o, const struct openapi_operation *op)
{
	const struct schema_field *f = op->route.body;
	const struct schema_message *m = op->route.body_all ? op->method->input :
		f != NULL && !f->repeated ? f->message : NULL;
	AUTO_BUF all = BUF_INIT;
	AUTO_BUF shown = BUF_INIT;
	struct example whole = {.out = &all}, part = {.out = &shown, .op = op, .n_path = op->route.body_path.depth};

	if (m == NULL || m->well_known != WK_NONE || m->n_fields == 0 || (f != NULL && f->bare))
		return;
	if (!put_object(&whole, m) || !is_good(o, m, buf_bytes(&all)))
		return;
	memcpy(part.path, op->route.body_path.steps, part.n_path * sizeof *part.path);
	put_object(&part, m);
	openapi_raw(o, "example", buf_cstr(&shown));
}
