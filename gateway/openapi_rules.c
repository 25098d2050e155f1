/* openapi_rules.c: buf.validate's rules as JSON Schema keywords, where there is one
 * that means the same; what has none (limits of 64-bit integers, which JSON has as
 * strings, of times and of bytes; lengths in bytes; a second pattern) is listed under
 * x-errand-rules by its id. Pure. */
#define _GNU_SOURCE
#include <ctype.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "gateway/openapi_private.h"
#include "schema/base64.h"
#include "schema/rule_value.h"
#include "schema/wellknown.h"

/* Each keyword once per object. */
enum { USED_PATTERN = 1, USED_FORMAT = 2, USED_NOT = 4, USED_ENUM = 8, USED_MIN = 16, USED_MAX = 32 };

struct keywords {
	struct openapi *o;
	const struct schema_field *f;
	unsigned used;
	struct buf more; /* members of x-errand-rules */
};

const struct rules *openapi_nested(const struct rules *rules, enum rule_kind kind)
{
	const struct rule *r = rules != NULL && rules->ignore == RULE_IGNORE_UNSPECIFIED ?
		openapi_rule(rules, kind) : NULL;

	return r != NULL ? r->nested : NULL;
}

const struct rule *openapi_rule(const struct rules *rules, enum rule_kind kind)
{
	for (size_t i = 0; rules != NULL && i < rules->n; i++)
		if (rules->list[i].kind == kind)
			return &rules->list[i];
	return NULL;
}

static bool is_floating(enum field_type t)
{
	return t == FIELD_DOUBLE || t == FIELD_FLOAT;
}

/* Has the rule a value that JSON has as a string? */
static bool is_infinite(const struct rules *rules, const struct rule *r)
{
	if (!is_floating(rules->about->type))
		return false;
	for (size_t i = 0; i < r->n; i++)
		if (!isfinite(r->list[i].d))
			return true;
	return r->n == 0 && r->kind != RULE_FINITE && !isfinite(r->value.d);
}

bool openapi_rules_bound(const struct rules *rules)
{
	static const enum rule_kind kinds[] = {RULE_CONST, RULE_IN, RULE_LT, RULE_LTE, RULE_GT, RULE_GTE,
					       RULE_FINITE};

	if (rules == NULL || rules->ignore != RULE_IGNORE_UNSPECIFIED)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct rule *r = openapi_rule(rules, kinds[i]);

		if (r != NULL && !is_infinite(rules, r))
			return true;
	}
	return false;
}

bool openapi_rules_infinite(const struct rules *rules)
{
	const struct rule *is = openapi_rule(rules, RULE_CONST), *in = openapi_rule(rules, RULE_IN);

	return (is != NULL && is_infinite(rules, is)) || (in != NULL && is_infinite(rules, in));
}

static bool is_json_number(enum field_type t)
{
	switch (t) {
	case FIELD_INT32: case FIELD_SINT32: case FIELD_SFIXED32: case FIELD_UINT32: case FIELD_FIXED32:
	case FIELD_DOUBLE: case FIELD_FLOAT:
		return true;
	default:
		return false;
	}
}

/* --- does the zero value break the rules? --- */

static bool text_zero_breaks(const struct rule *r)
{
	switch (r->kind) {
	case RULE_LEN: case RULE_MIN_LEN: case RULE_LEN_BYTES: case RULE_MIN_BYTES:
		return r->value.u > 0;
	case RULE_CONST: case RULE_PREFIX: case RULE_SUFFIX: case RULE_CONTAINS:
		return r->value.text.len > 0;
	case RULE_FORMAT:
		return true; /* none of them takes an empty text */
	case RULE_IN:
		for (size_t i = 0; i < r->n; i++)
			if (r->list[i].text.len == 0)
				return false;
		return true;
	default:
		return false;
	}
}

static bool has_zero(const struct rule *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->list[i].u == 0)
			return true;
	return false;
}

/* d: of a float or a double. */
static bool number_zero_breaks(const struct rule *r, bool d)
{
	switch (r->kind) {
	case RULE_CONST:
		return d ? r->value.d != 0 : r->value.u != 0;
	case RULE_IN:
		return !has_zero(r);
	case RULE_NOT_IN:
		return has_zero(r);
	default:
		return false; /* a range is looked at as a whole */
	}
}

static bool rule_breaks_zero(const struct schema_field *f, const struct rule *r)
{
	if (f->repeated)
		return (r->kind == RULE_MIN_ITEMS || r->kind == RULE_MIN_PAIRS) && r->value.u > 0;
	if (f->type == FIELD_STRING || f->type == FIELD_BYTES)
		return text_zero_breaks(r);
	return number_zero_breaks(r, f->type == FIELD_DOUBLE || f->type == FIELD_FLOAT);
}

static bool zero_keeps(enum value_class c, const struct rule *bound)
{
	const union rule_value zero = {0};
	int order = value_compare(c, &zero, &bound->value);

	switch (bound->kind) {
	case RULE_LT: return order == -1;
	case RULE_LTE: return order == -1 || order == 0;
	case RULE_GT: return order == 1;
	default: return order == 1 || order == 0;
	}
}

/* One bound, or two; outside of them one is enough. */
static bool range_breaks_zero(const struct schema_field *f)
{
	size_t n = 0, kept = 0;
	bool outside = false;

	for (size_t i = 0; i < f->rules->n; i++) {
		const struct rule *r = &f->rules->list[i];

		if (r->kind < RULE_LT || r->kind > RULE_GTE)
			continue;
		n++;
		kept += zero_keeps(value_class(f), r);
		outside = r->outside;
	}
	return outside ? kept == 0 : kept < n;
}

bool openapi_zero_breaks(const struct schema_field *f)
{
	if (f->rules == NULL || f->rules->ignore != RULE_IGNORE_UNSPECIFIED || f->presence)
		return false;
	for (size_t i = 0; i < f->rules->n; i++)
		if (rule_breaks_zero(f, &f->rules->list[i]))
			return true;
	return range_breaks_zero(f);
}

/* --- values --- */

static void put_time(struct buf *out, const struct schema_field *f, union rule_value v)
{
	bool timestamp = f->message->well_known == WK_TIMESTAMP;
	bool good;

	buf_append_byte(out, '"');
	good = timestamp ? timestamp_format(out, v.time.s, v.time.ns) : duration_format(out, v.time.s, v.time.ns);
	if (!good) /* out of the type's range */
		buf_printf(out, "%llds", (long long)v.time.s);
	buf_append_byte(out, '"');
}

static void put_enum_value(struct buf *out, const struct schema_enum *e, int64_t number)
{
	const struct schema_enum_value *v = schema_enum_by_number(e, (int32_t)number);

	if (v != NULL)
		json_put_cstr(out, v->name);
	else
		json_put_int(out, number);
}

/* The field's type; of a wrapper that of what it wraps. */
static enum field_type value_type(const struct schema_field *f)
{
	return f->message != NULL && f->message->well_known == WK_WRAPPER ? f->message->fields[0].type : f->type;
}

void openapi_rule_value(struct buf *out, const struct schema_field *f, union rule_value v)
{
	switch (value_type(f)) {
	case FIELD_BOOL:
		buf_append_str(out, v.i != 0 ? "true" : "false");
		break;
	case FIELD_ENUM:
		put_enum_value(out, f->enumeration, v.i);
		break;
	case FIELD_INT32: case FIELD_SINT32: case FIELD_SFIXED32:
		json_put_int(out, v.i);
		break;
	case FIELD_UINT32: case FIELD_FIXED32:
		json_put_uint(out, v.u);
		break;
	case FIELD_INT64: case FIELD_SINT64: case FIELD_SFIXED64:
		buf_printf(out, "\"%lld\"", (long long)v.i);
		break;
	case FIELD_UINT64: case FIELD_FIXED64:
		buf_printf(out, "\"%llu\"", (unsigned long long)v.u);
		break;
	case FIELD_DOUBLE: case FIELD_FLOAT:
		json_put_double(out, v.d);
		break;
	case FIELD_BYTES:
		buf_append_byte(out, '"');
		base64_encode(out, v.text);
		buf_append_byte(out, '"');
		break;
	case FIELD_MESSAGE:
		if (f->message->well_known == WK_TIMESTAMP || f->message->well_known == WK_DURATION) {
			put_time(out, f, v);
			break;
		}
		json_put_string(out, (const char *)v.text.data, v.text.len); /* Any: type URLs */
		break;
	default:
		json_put_string(out, (const char *)v.text.data, v.text.len);
	}
}

/* --- patterns --- */

/* Does ECMA's syntax mean the same? What only RE2 has: flags, \A \z \Q \C \pL,
 * POSIX classes, named groups. */
static bool is_ecma(struct bytes re)
{
	for (size_t i = 0; i < re.len; i++) {
		uint8_t c = re.data[i], next = i + 1 < re.len ? re.data[i + 1] : 0;

		if (c >= 0x80 || c == '\0')
			return false;
		if (c == '\\') {
			if (isalnum(next) && strchr("dDwWsSbBtnrfv", next) == NULL)
				return false;
			i++;
		} else if (c == '(' && next == '?') {
			if (i + 2 >= re.len || re.data[i + 2] != ':')
				return false;
		} else if (c == '[' && next == ':') {
			return false;
		}
	}
	return true;
}

static void put_quoted(struct buf *b, struct bytes text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (strchr("\\^$.|?*+()[]{}/-", text.data[i]) != NULL && text.data[i] != '\0')
			buf_append_byte(b, '\\');
		buf_append_byte(b, text.data[i]);
	}
}

static void make_pattern(struct buf *b, const struct rule *r)
{
	if (r->kind == RULE_PATTERN) {
		buf_append(b, r->value.text.data, r->value.text.len);
		return;
	}
	if (r->kind == RULE_PREFIX)
		buf_append_byte(b, '^');
	put_quoted(b, r->value.text);
	if (r->kind == RULE_SUFFIX)
		buf_append_byte(b, '$');
}

static bool put_pattern(struct keywords *k, const struct rule *r)
{
	AUTO_BUF pattern = BUF_INIT;

	if (value_type(k->f) != FIELD_STRING || (r->kind == RULE_PATTERN && !is_ecma(r->value.text)))
		return false;
	make_pattern(&pattern, r);
	if (r->kind == RULE_NOT_CONTAINS) {
		if (k->used & USED_NOT)
			return false;
		k->used |= USED_NOT;
		openapi_open(k->o, "not", '{');
		openapi_bytes(k->o, "pattern", buf_bytes(&pattern));
		openapi_close(k->o, '}');
		return true;
	}
	if (k->used & USED_PATTERN)
		return false;
	k->used |= USED_PATTERN;
	openapi_bytes(k->o, "pattern", buf_bytes(&pattern));
	return true;
}

static bool put_format(struct keywords *k, const struct rule *r)
{
	static const struct {
		const char *format, *pattern;
	} table[] = {
		[RULE_EMAIL] = {"email", NULL}, [RULE_HOSTNAME] = {"hostname", NULL},
		[RULE_IPV4] = {"ipv4", NULL}, [RULE_IPV6] = {"ipv6", NULL},
		[RULE_URI] = {"uri", NULL}, [RULE_URI_REF] = {"uri-reference", NULL},
		[RULE_UUID] = {"uuid", NULL},
		[RULE_TUUID] = {NULL, "^[0-9a-fA-F]{32}$"},
		[RULE_ULID] = {NULL, "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"},
	};

	if (value_type(k->f) != FIELD_STRING || (size_t)r->format >= ARRAY_LEN(table))
		return false;
	if (table[r->format].format != NULL && !(k->used & USED_FORMAT)) {
		k->used |= USED_FORMAT;
		openapi_string(k->o, "format", table[r->format].format);
		return true;
	}
	if (table[r->format].pattern == NULL || (k->used & USED_PATTERN))
		return false;
	k->used |= USED_PATTERN;
	openapi_string(k->o, "pattern", table[r->format].pattern);
	return true;
}

/* --- values and limits --- */

static void put_values(struct keywords *k, const struct rule *r)
{
	openapi_open(k->o, "enum", '[');
	for (size_t i = 0; i < r->n; i++) {
		openapi_key(k->o, NULL);
		openapi_rule_value(k->o->out, k->f, r->list[i]);
	}
	openapi_close(k->o, ']');
}

static bool put_set(struct keywords *k, const struct rule *r)
{
	unsigned bit = r->kind == RULE_NOT_IN ? USED_NOT : r->kind == RULE_IN ? USED_ENUM : 0;

	if (k->f->message != NULL || k->f->type == FIELD_BYTES || (k->used & bit))
		return false; /* one time, or run of bytes, has many texts */
	k->used |= bit;
	if (r->kind == RULE_CONST) {
		openapi_key(k->o, "const");
		openapi_rule_value(k->o->out, k->f, r->value);
	} else if (r->kind == RULE_IN) {
		put_values(k, r);
	} else {
		openapi_open(k->o, "not", '{');
		put_values(k, r);
		openapi_close(k->o, '}');
	}
	return true;
}

/* No keyword says outside of two limits, and numbers have no infinity. */
static bool put_limit(struct keywords *k, const struct rules *rules, const struct rule *r)
{
	static const char *const names[] = {
		[RULE_LT] = "exclusiveMaximum", [RULE_LTE] = "maximum",
		[RULE_GT] = "exclusiveMinimum", [RULE_GTE] = "minimum",
	};

	if (k->f->message != NULL || !is_json_number(k->f->type) || r->outside || is_infinite(rules, r))
		return false;
	openapi_key(k->o, names[r->kind]);
	openapi_rule_value(k->o->out, k->f, r->value);
	return true;
}

static bool put_length(struct keywords *k, const struct rule *r)
{
	if (value_type(k->f) != FIELD_STRING)
		return false;
	if (r->kind != RULE_MAX_LEN && !(k->used & USED_MIN)) {
		k->used |= USED_MIN;
		openapi_uint(k->o, "minLength", r->value.u);
	}
	if (r->kind != RULE_MIN_LEN && !(k->used & USED_MAX)) {
		k->used |= USED_MAX;
		openapi_uint(k->o, "maxLength", r->value.u);
	}
	return true;
}

/* True when it is said (or needs not to be). */
static bool put_rule(struct keywords *k, const struct rules *rules, const struct rule *r)
{
	switch (r->kind) {
	case RULE_CONST: case RULE_IN: case RULE_NOT_IN:
		return put_set(k, r);
	case RULE_LT: case RULE_LTE: case RULE_GT: case RULE_GTE:
		return put_limit(k, rules, r);
	case RULE_LEN: case RULE_MIN_LEN: case RULE_MAX_LEN:
		return put_length(k, r);
	case RULE_PATTERN: case RULE_PREFIX: case RULE_SUFFIX: case RULE_CONTAINS: case RULE_NOT_CONTAINS:
		return put_pattern(k, r);
	case RULE_FORMAT:
		return put_format(k, r);
	case RULE_MIN_ITEMS:
		openapi_uint(k->o, "minItems", r->value.u);
		return true;
	case RULE_MAX_ITEMS:
		openapi_uint(k->o, "maxItems", r->value.u);
		return true;
	case RULE_UNIQUE:
		openapi_true(k->o, "uniqueItems");
		return true;
	case RULE_MIN_PAIRS:
		openapi_uint(k->o, "minProperties", r->value.u);
		return true;
	case RULE_MAX_PAIRS:
		openapi_uint(k->o, "maxProperties", r->value.u);
		return true;
	case RULE_FINITE: case RULE_DEFINED_ONLY: case RULE_ITEMS: case RULE_KEYS: case RULE_VALUES:
		return true; /* by the type; by the parts */
	default:
		return false;
	}
}

/* --- what has no keyword --- */

static bool is_count(enum rule_kind kind)
{
	return (kind >= RULE_LEN && kind <= RULE_MAX_BYTES) || kind == RULE_MIN_ITEMS || kind == RULE_MAX_ITEMS ||
	       kind == RULE_MIN_PAIRS || kind == RULE_MAX_PAIRS;
}

static void put_more_value(struct buf *b, const struct schema_field *f, const struct rule *r)
{
	if (r->kind == RULE_FORMAT || r->kind == RULE_LT_NOW || r->kind == RULE_GT_NOW || r->kind == RULE_UNIQUE ||
	    r->kind == RULE_FINITE || r->kind == RULE_DEFINED_ONLY) {
		buf_append_str(b, "true");
	} else if (is_count(r->kind)) {
		json_put_uint(b, r->value.u);
	} else if (r->kind == RULE_WITHIN) {
		buf_printf(b, "\"%llds\"", (long long)r->value.time.s);
	} else if (r->kind == RULE_PATTERN) {
		json_put_string(b, (const char *)r->value.text.data, r->value.text.len);
	} else if (r->kind == RULE_IN || r->kind == RULE_NOT_IN ||
		   (f->message != NULL && f->message->well_known == WK_FIELD_MASK)) {
		buf_append_byte(b, '[');
		for (size_t i = 0; i < r->n; i++) {
			if (i > 0)
				buf_append_byte(b, ',');
			openapi_rule_value(b, f, r->list[i]);
		}
		buf_append_byte(b, ']');
	} else {
		openapi_rule_value(b, f, r->value);
	}
}

/* The rule's id; of the two of a range, which share one, each its own. */
static void put_id(struct buf *b, const struct rule *r)
{
	static const char *const limits[] = {
		[RULE_LT] = "lt", [RULE_LTE] = "lte", [RULE_GT] = "gt", [RULE_GTE] = "gte",
	};
	AUTO_BUF id = BUF_INIT;

	if (r->kind >= RULE_LT && r->kind <= RULE_GTE)
		buf_printf(&id, "%.*s.%s", (int)strcspn(r->id, "."), r->id, limits[r->kind]);
	else
		buf_append_str(&id, r->id);
	json_put_cstr(b, buf_cstr(&id));
}

static void add_more(struct keywords *k, const struct rule *r)
{
	if (r->nested != NULL)
		return;
	if (k->more.len > 0)
		buf_append_byte(&k->more, ',');
	put_id(&k->more, r);
	buf_append_byte(&k->more, ':');
	put_more_value(&k->more, k->f, r);
}

void openapi_rules(struct openapi *o, const struct schema_field *f, const struct rules *rules)
{
	struct keywords k = {.o = o, .f = f};

	if (rules == NULL || rules->ignore == RULE_IGNORE_ALWAYS)
		return;
	if (rules->ignore == RULE_IGNORE_IF_ZERO) /* no keyword lets zero pass */
		buf_append_str(&k.more, "\"ignore\":\"IGNORE_IF_ZERO_VALUE\"");
	for (size_t i = 0; i < rules->n; i++)
		if (rules->ignore == RULE_IGNORE_IF_ZERO || !put_rule(&k, rules, &rules->list[i]))
			add_more(&k, &rules->list[i]);
	if (k.more.len > 0) {
		openapi_open(o, "x-errand-rules", '{');
		buf_append(o->out, k.more.data, k.more.len);
		openapi_close(o, '}');
	}
	buf_deinit(&k.more);
}
