/* validate_value.c: one value against the rules of its type, by a table: a check for
 * each kind of rule, and what to say when it is broken. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "base/json.h"
#include "schema/format.h"
#include "schema/regex.h"
#include "schema/validator.h"
#include "schema/wellknown.h"

enum { LIST_SHOWN = 10, NS_PER_SECOND = 1000000000 };

/* One value being checked. */
struct subject {
	struct validator *v;
	const struct rules *rules;
	const struct validate_place *at;
	enum value_class class;
	union rule_value value;
	size_t characters; /* of a string; SIZE_MAX: not counted yet */
	bool as_key;
};

/* --- text for people --- */

static const struct schema_enum_value *enum_value(const struct schema_field *about, int64_t number)
{
	return schema_enum_by_number(about->enumeration, (int32_t)number);
}

static void put_time(struct buf *b, const struct schema_field *about, const union rule_value *v)
{
	bool good = about->message->well_known == WK_DURATION ?
		duration_format(b, v->time.s, v->time.ns) : timestamp_format(b, v->time.s, v->time.ns);

	if (!good)
		buf_printf(b, "%" PRId64 " s", v->time.s);
}

static void put_bytes(struct buf *b, struct bytes raw)
{
	size_t n = MIN(raw.len, (size_t)32);

	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%02x", raw.data[i]);
	if (n < raw.len)
		buf_append_str(b, "...");
}

static void put_text(struct buf *b, const struct schema_field *about, struct bytes text)
{
	if (about->type == FIELD_BYTES)
		put_bytes(b, text);
	else
		json_put_string(b, (const char *)text.data, text.len);
}

static void put_value(struct buf *b, const struct schema_field *about, const union rule_value *v)
{
	const struct schema_enum_value *e;

	switch (value_class(about)) {
	case VALUE_UNSIGNED:
		buf_printf(b, "%" PRIu64, v->u);
		break;
	case VALUE_FLOATING:
		if (!isfinite(v->d))
			buf_append_str(b, isnan(v->d) ? "NaN" : v->d > 0 ? "Infinity" : "-Infinity");
		else if (about->type == FIELD_FLOAT)
			json_put_float(b, (float)v->d);
		else
			json_put_double(b, v->d);
		break;
	case VALUE_BOOL:
		buf_append_str(b, v->i ? "true" : "false");
		break;
	case VALUE_ENUM:
		e = enum_value(about, v->i);
		if (e != NULL)
			buf_append_str(b, e->name);
		else
			buf_printf(b, "%" PRId64, v->i);
		break;
	case VALUE_SIGNED:
		buf_printf(b, "%" PRId64, v->i);
		break;
	case VALUE_TIME:
		put_time(b, about, v);
		break;
	default:
		put_text(b, about, v->text);
		break;
	}
}

static void put_list(struct buf *b, const struct schema_field *about, const struct rule *r)
{
	for (size_t i = 0; i < MIN(r->n, (size_t)LIST_SHOWN); i++) {
		if (i > 0)
			buf_append_str(b, ", ");
		put_value(b, about, &r->list[i]);
	}
	if (r->n > LIST_SHOWN)
		buf_append_str(b, ", ...");
}

/* --- faults --- */

/* What was there, for the client; nothing for messages and bytes. */
static void put_actual(struct buf *b, const struct subject *s)
{
	const struct schema_field *about = s->rules->about;

	if (s->class == VALUE_TEXT && about->type == FIELD_STRING)
		buf_append(b, s->value.text.data, s->value.text.len);
	else if (s->class == VALUE_ANY || (s->class < VALUE_ANY && about->type != FIELD_BYTES))
		put_value(b, about, &s->value);
}

static void broken(struct subject *s, const char *id, const char *fmt, ...) PRINTF(3, 4);
static void broken(struct subject *s, const char *id, const char *fmt, ...)
{
	AUTO_BUF actual = BUF_INIT;
	char detail[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof detail, fmt, ap);
	va_end(ap);
	put_actual(&actual, s);
	validator_fault(s->v, s->at, id, actual.len > 0 ? buf_cstr(&actual) : NULL, actual.len, "%s%s",
			s->as_key ? "the key " : "", detail);
}

/* "must <be> VALUE" */
static void broken_value(struct subject *s, const struct rule *r, const char *be)
{
	AUTO_BUF text = BUF_INIT;

	put_value(&text, s->rules->about, &r->value);
	broken(s, r->id, "must %s %.300s", be, buf_cstr(&text));
}

/* --- the kinds --- */

static void check_const(struct subject *s, const struct rule *r)
{
	if (!value_equal(s->class, &s->value, &r->value))
		broken_value(s, r, "be");
}

static bool in_list(const struct subject *s, const struct rule *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (value_equal(s->class, &s->value, &r->list[i]))
			return true;
	return false;
}

static void check_list(struct subject *s, const struct rule *r)
{
	AUTO_BUF text = BUF_INIT;

	if (in_list(s, r) == (r->kind == RULE_IN))
		return;
	put_list(&text, s->rules->about, r);
	broken(s, r->id, "must %s one of %.350s", r->kind == RULE_IN ? "be" : "not be", buf_cstr(&text));
}

/* Does the value keep one bound? NaN keeps none. */
static bool keeps(const struct subject *s, const struct rule *r)
{
	int order = value_compare(s->class, &s->value, &r->value);

	switch (r->kind) {
	case RULE_LT: return order == -1;
	case RULE_LTE: return order == -1 || order == 0;
	case RULE_GT: return order == 1;
	default: return order == 1 || order == 0;
	}
}

static const char *bound_words(const struct rule *r)
{
	switch (r->kind) {
	case RULE_LT: return "less than";
	case RULE_LTE: return "less than or equal to";
	case RULE_GT: return "greater than";
	default: return "greater than or equal to";
	}
}

/* Two bounds are checked once, by the lower one's turn. */
static void check_bound(struct subject *s, const struct rule *r)
{
	const struct rule *high = r->bound;
	AUTO_BUF text = BUF_INIT;

	if (high == NULL ? keeps(s, r) : r->kind == RULE_LT || r->kind == RULE_LTE ||
	    (r->outside ? keeps(s, r) || keeps(s, high) : keeps(s, r) && keeps(s, high)))
		return;
	buf_printf(&text, "must be %s ", bound_words(r));
	put_value(&text, s->rules->about, &r->value);
	if (high != NULL) {
		buf_printf(&text, " %s %s ", r->outside ? "or" : "and", bound_words(high));
		put_value(&text, s->rules->about, &high->value);
	}
	broken(s, r->id, "%s", buf_cstr(&text));
}

static void check_finite(struct subject *s, const struct rule *r)
{
	if (!isfinite(s->value.d))
		broken(s, r->id, "must be a number that is finite");
}

static size_t characters(struct subject *s)
{
	struct bytes t = s->value.text;

	if (s->rules->about->type == FIELD_BYTES)
		return t.len;
	if (s->characters == SIZE_MAX) {
		s->characters = 0;
		for (size_t i = 0; i < t.len; i++)
			s->characters += (t.data[i] & 0xc0) != 0x80;
	}
	return s->characters;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void check_length(struct subject *s, const struct rule *r)
{
	bool in_bytes = r->kind >= RULE_LEN_BYTES || s->rules->about->type == FIELD_BYTES;
	uint64_t n = in_bytes ? s->value.text.len : characters(s), limit = r->value.u;
	const char *bound = "exactly";
	bool good = n == limit;

	if (r->kind == RULE_MIN_LEN || r->kind == RULE_MIN_BYTES) {
		bound = "at least";
		good = n >= limit;
	} else if (r->kind == RULE_MAX_LEN || r->kind == RULE_MAX_BYTES) {
		bound = "at most";
		good = n <= limit;
	}
	if (!good)
		broken(s, r->id, "must have %s %" PRIu64 " %s%s, has %" PRIu64, bound, limit,
		       in_bytes ? "byte" : "character", plural(limit), n);
}

static void check_pattern(struct subject *s, const struct rule *r)
{
	int n;

	if (s->rules->about->type == FIELD_BYTES &&
	    json_utf8_valid(s->value.text.data, s->value.text.len) != s->value.text.len) {
		broken(s, r->id, "must be UTF-8 to be compared with a pattern");
		return;
	}
	n = regex_match(r->regex, s->value.text);
	if (n < 0)
		broken(s, r->id, "takes too long to compare with the pattern: %zu bytes are too many for it",
		       s->value.text.len);
	else if (n == 0)
		broken(s, r->id, "must match the pattern %.*s", (int)MIN(r->value.text.len, (size_t)300),
		       (const char *)r->value.text.data);
}

static bool text_contains(struct bytes text, struct bytes part)
{
	return part.len == 0 || (text.len >= part.len && memmem(text.data, text.len, part.data, part.len) != NULL);
}

static void check_part(struct subject *s, const struct rule *r)
{
	struct bytes text = s->value.text, part = r->value.text, end = text;
	bool fits = text.len >= part.len;

	if (fits && r->kind == RULE_SUFFIX)
		end.data += text.len - part.len;
	end.len = MIN(text.len, part.len);
	switch (r->kind) {
	case RULE_PREFIX:
	case RULE_SUFFIX:
		if (!fits || !bytes_equal(end, part))
			broken_value(s, r, r->kind == RULE_PREFIX ? "begin with" : "end with");
		break;
	case RULE_CONTAINS:
		if (!text_contains(text, part))
			broken_value(s, r, "contain");
		break;
	default:
		if (text_contains(text, part))
			broken_value(s, r, "not contain");
		break;
	}
}

static void check_format(struct subject *s, const struct rule *r)
{
	struct bytes text = s->value.text;
	bool of_bytes = s->rules->about->type == FIELD_BYTES;

	if (text.len == 0 && r->id_empty != NULL)
		broken(s, r->id_empty, "must be %s, is empty", format_name(r->format));
	else if (of_bytes ? !format_bytes(r->format, text) : !format_text(r->format, r->strict, text))
		broken(s, r->id, "must be %s%s", format_name(r->format), of_bytes ? " by its length" : "");
}

static void check_defined(struct subject *s, const struct rule *r)
{
	if (enum_value(s->rules->about, s->value.i) == NULL)
		broken(s, r->id, "must be a value of %s", s->rules->about->enumeration->name);
}

/* --- now --- */

static const union rule_value *now(struct validator *v)
{
	struct timespec t;

	if (!v->has_now) {
		clock_gettime(CLOCK_REALTIME, &t);
		v->now.time.s = t.tv_sec;
		v->now.time.ns = (int32_t)t.tv_nsec;
		v->has_now = true;
	}
	return &v->now;
}

/* a +- span; what is over the range stays at its end. */
static union rule_value shifted(const union rule_value *a, const union rule_value *span, int sign)
{
	union rule_value out = {0};
	int64_t ns = a->time.ns + (int64_t)sign * span->time.ns;
	int64_t carry = ns < 0 ? -1 : ns >= NS_PER_SECOND;

	if (__builtin_mul_overflow(span->time.s, sign, &out.time.s) ||
	    __builtin_add_overflow(out.time.s, a->time.s + carry, &out.time.s))
		out.time.s = (span->time.s < 0) == (sign < 0) ? INT64_MAX : INT64_MIN;
	out.time.ns = (int32_t)(ns - carry * NS_PER_SECOND);
	return out;
}

static void check_now(struct subject *s, const struct rule *r)
{
	const union rule_value *t = now(s->v);
	int order = value_compare(VALUE_TIME, &s->value, t);

	if (r->kind == RULE_LT_NOW && order > 0) {
		broken(s, r->id, "must be in the past");
	} else if (r->kind == RULE_GT_NOW && order < 0) {
		broken(s, r->id, "must be in the future");
	} else if (r->kind == RULE_WITHIN) {
		union rule_value first = shifted(t, &r->value, -1), last = shifted(t, &r->value, 1);
		AUTO_BUF span = BUF_INIT;

		if (value_compare(VALUE_TIME, &s->value, &first) >= 0 &&
		    value_compare(VALUE_TIME, &s->value, &last) <= 0)
			return;
		if (!duration_format(&span, r->value.time.s, r->value.time.ns))
			buf_printf(&span, "%" PRId64 " s", r->value.time.s);
		broken(s, r->id, "must be within %s of now", buf_cstr(&span));
	}
}

/* --- FieldMask --- */

/* a.b is below a. */
static bool mask_covers(const struct rule *r, struct bytes path)
{
	for (size_t i = 0; i < r->n; i++) {
		struct bytes p = r->list[i].text, head = {path.data, MIN(p.len, path.len)};

		if (bytes_equal(head, p) && (path.len == p.len || path.data[p.len] == '.'))
			return true;
	}
	return false;
}

static bool mask_keeps(const struct rule *r, struct bytes mask)
{
	struct pbuf_reader reader = pbuf_reader(mask.data, mask.len);
	struct pbuf_field f;
	size_t n = 0;

	while (pbuf_next(&reader, &f)) {
		if (f.number != 1 || f.wire != PBUF_LEN)
			continue;
		if (r->kind == RULE_CONST ? n == r->n || !bytes_equal(f.bytes, r->list[n].text) :
		    mask_covers(r, f.bytes) != (r->kind == RULE_IN))
			return false;
		n++;
	}
	return r->kind != RULE_CONST || n == r->n;
}

static void check_mask(struct subject *s, const struct rule *r)
{
	static const char *const words[] = {
		[RULE_CONST] = "must have exactly the paths", [RULE_IN] = "must have no other paths than",
		[RULE_NOT_IN] = "must not have the paths",
	};
	AUTO_BUF text = BUF_INIT;

	if (mask_keeps(r, s->value.text))
		return;
	put_list(&text, s->rules->about, r);
	broken(s, r->id, "%s %.350s", words[r->kind], buf_cstr(&text));
}

/* --- all of them --- */

typedef void check_fn(struct subject *s, const struct rule *r);

static check_fn *const checks[RULE_WITHIN + 1] = {
	[RULE_CONST] = check_const, [RULE_IN] = check_list, [RULE_NOT_IN] = check_list,
	[RULE_LT] = check_bound, [RULE_LTE] = check_bound, [RULE_GT] = check_bound, [RULE_GTE] = check_bound,
	[RULE_FINITE] = check_finite,
	[RULE_LEN] = check_length, [RULE_MIN_LEN] = check_length, [RULE_MAX_LEN] = check_length,
	[RULE_LEN_BYTES] = check_length, [RULE_MIN_BYTES] = check_length, [RULE_MAX_BYTES] = check_length,
	[RULE_PATTERN] = check_pattern,
	[RULE_PREFIX] = check_part, [RULE_SUFFIX] = check_part, [RULE_CONTAINS] = check_part,
	[RULE_NOT_CONTAINS] = check_part,
	[RULE_FORMAT] = check_format, [RULE_DEFINED_ONLY] = check_defined,
	[RULE_LT_NOW] = check_now, [RULE_GT_NOW] = check_now, [RULE_WITHIN] = check_now,
};

/* The last of a field in a small message: a wrapper's value, an Any's URL. */
static struct pbuf_field inner(const struct schema_field *field, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f, found = {0};

	while (wire_next(&r, &f))
		if (f.number == field->number && f.wire == wire_type(field->type))
			found = f;
	return found;
}

/* The value the rules are about, out of a wrapper or an Any. */
static void read_subject(const struct rules *rules, const struct pbuf_field *f,
			 const struct schema_field *declared, union rule_value *out)
{
	const struct schema_field *about = rules->about;
	enum value_class class = value_class(about);
	struct pbuf_field inside;

	*out = (union rule_value){0};
	if (class == VALUE_ANY) {
		inside = inner(&about->message->fields[0], f->bytes);
		out->text = inside.bytes;
	} else if (about != declared) {
		inside = inner(about, f->bytes);
		value_read(about, &inside, out);
	} else {
		value_read(about, f, out);
	}
}

bool validator_is_zero(const struct rules *rules, const struct pbuf_field *f, const struct schema_field *declared)
{
	union rule_value v = {0};

	if (declared->message != NULL)
		return f->bytes.len == 0;
	value_read(declared, f, &v);
	if (declared->type == FIELD_ENUM) /* of an enum that is the first one declared */
		return declared->enumeration->n_values > 0 && v.i == declared->enumeration->values[0].number;
	return value_is_zero(value_class(declared), &v);
}

void validator_value(struct validator *v, const struct rules *rules, const struct pbuf_field *f,
		     const struct schema_field *declared, const struct validate_place *at, bool as_key)
{
	struct subject s = {.v = v, .rules = rules, .at = at, .characters = SIZE_MAX, .as_key = as_key};

	s.class = value_class(rules->about);
	read_subject(rules, f, declared, &s.value);
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->list[i];

		if (s.class == VALUE_MASK)
			check_mask(&s, r);
		else if (checks[r->kind] != NULL)
			checks[r->kind](&s, r);
	}
}
