/* wellknown_read.c: messages whose JSON is not an object of their fields. */
#define _GNU_SOURCE /* memrchr */
#include "schema/reader.h"
#include "schema/wellknown.h"

static void put_times(struct reader *r, const struct schema_message *m, int64_t s, int32_t nanos)
{
	if (s != 0) {
		reader_tag(r, &m->fields[0]);
		pbuf_put_varint(r->out, (uint64_t)s);
	}
	if (nanos != 0) {
		reader_tag(r, &m->fields[1]);
		pbuf_put_varint(r->out, (uint64_t)(int64_t)nanos);
	}
}

static int mask_from_text(struct reader *r, const struct schema_message *m, struct bytes text)
{
	const uint8_t *p = text.data, *end = text.data + text.len;

	if (text.len == 0)
		return READ_OK;
	for (;;) {
		const uint8_t *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
		size_t body;

		reader_tag(r, &m->fields[0]);
		body = wire_open(r->out);
		if (!mask_path_parse(r->out, (struct bytes){p, (size_t)(stop - p)}))
			return reader_fault(r, "type", text.data, text.len,
					    "expected field paths in camelCase with commas between");
		wire_close(r->out, body);
		if (comma == NULL)
			return READ_OK;
		p = comma + 1;
	}
}

static int times_from_text(struct reader *r, const struct schema_message *m, struct bytes text)
{
	int64_t s = 0;
	int32_t nanos = 0;
	const char *wrong = m->well_known == WK_TIMESTAMP ? timestamp_parse(text, &s, &nanos)
							   : duration_parse(text, &s, &nanos);

	if (wrong != NULL)
		return reader_fault(r, "type", text.data, text.len, "expected %s", wrong);
	put_times(r, m, s, nanos);
	return READ_OK;
}

static int put_wrapped(struct reader *r, const struct schema_field *f, const struct scalar *v, int res)
{
	if (res != READ_OK || scalar_is_zero(v))
		return res;
	reader_tag(r, f);
	scalar_put(r->out, f, v);
	return READ_OK;
}

int wellknown_from_text(struct reader *r, const struct schema_message *m, struct bytes text)
{
	struct scalar v;

	switch (m->well_known) {
	case WK_TIMESTAMP:
	case WK_DURATION:
		return times_from_text(r, m, text);
	case WK_FIELD_MASK:
		return mask_from_text(r, m, text);
	case WK_WRAPPER:
		return put_wrapped(r, &m->fields[0], &v, scalar_from_text(r, &m->fields[0], text, &v));
	default:
		return reader_fault(r, "type", text.data, text.len, "a %s cannot be given as plain text",
				    m->name);
	}
}

/* Timestamp, Duration, FieldMask. */
static int read_text(struct reader *r, const struct schema_message *m)
{
	struct bytes text;

	if (reader_peek(r) != '"')
		return reader_mismatch(r, m->well_known == WK_TIMESTAMP ? "a time like \"2026-01-31T12:00:00Z\"" :
				       m->well_known == WK_DURATION ? "a duration like \"1.5s\"" :
				       "a string of field paths");
	if (reader_string(r, &text) < 0)
		return READ_STOP;
	if (r->nul && !r->o->allow_nul)
		return reader_fault(r, "nul", NULL, 0, "a string may not contain U+0000");
	return wellknown_from_text(r, m, text);
}

/* --- Value, Struct, ListValue --- */

enum { VALUE_NULL, VALUE_NUMBER, VALUE_STRING, VALUE_BOOL, VALUE_STRUCT, VALUE_LIST };

static int read_value(struct reader *r, const struct schema_message *m)
{
	const struct schema_field *f;
	struct scalar v;
	int res;

	switch (reader_peek(r)) {
	case '{': return message_value_read(r, &m->fields[VALUE_STRUCT]);
	case '[': return message_value_read(r, &m->fields[VALUE_LIST]);
	case 'n':
		reader_tag(r, &m->fields[VALUE_NULL]);
		buf_append_byte(r->out, 0);
		return reader_literal(r, "null");
	case '"': f = &m->fields[VALUE_STRING]; break;
	case 't': case 'f': f = &m->fields[VALUE_BOOL]; break;
	default:
		f = &m->fields[VALUE_NUMBER];
		if (reader_peek(r) != '-' && (uint8_t)(reader_peek(r) - '0') > 9)
			return reader_skip(r); /* not JSON: it says why */
	}
	res = scalar_read(r, f, &v);
	if (res != READ_OK)
		return res;
	reader_tag(r, f);
	scalar_put(r->out, f, &v);
	return READ_OK;
}

/* --- Any --- */

/* The value of "@type"; what is no string leaves *url empty. */
static int read_type(struct reader *r, struct bytes *url)
{
	if (reader_peek(r) != '"')
		return reader_skip(r);
	if (reader_string(r, url) < 0)
		return READ_STOP;
	*url = reader_keep(r, *url);
	return READ_OK;
}

/* Looks through the whole object for "@type" and comes back to its start. The
 * number of members is for telling {} from one that lacks it. */
static int find_type(struct reader *r, struct bytes *url, size_t *n_members)
{
	const uint8_t *start = r->p;
	unsigned depth = r->depth;
	struct bytes key;
	bool seen = false;
	int more = 1;

	*url = (struct bytes){0};
	*n_members = 0;
	if (reader_enter(r) < 0)
		return READ_STOP;
	while (more > 0 && reader_peek(r) != '}') {
		if (reader_key(r, &key) < 0)
			return READ_STOP;
		++*n_members;
		if (key.len != 5 || memcmp(key.data, "@type", 5) != 0) {
			if (reader_skip(r) < 0)
				return READ_STOP;
		} else if (seen) {
			return reader_syntax(r, "duplicate", "@type is there twice");
		} else {
			seen = true;
			if (read_type(r, url) < 0)
				return READ_STOP;
		}
		more = reader_more(r, '}');
	}
	if (more < 0)
		return READ_STOP;
	r->p = start;
	r->depth = depth;
	return READ_OK;
}

/* {"@type":..., "value":...} of a message with a JSON form of its own. Of Empty some
 * write "value": {} and others nothing. */
static int read_any_members(struct reader *r, const struct schema_message *m, struct place *place)
{
	bool has_value = false;
	struct bytes key;
	int res, more = 1;

	while (more > 0) {
		if (reader_key(r, &key) < 0)
			return READ_STOP;
		place->name = key.data;
		place->len = key.len;
		r->at = place;
		if (key.len == 5 && memcmp(key.data, "@type", 5) == 0) {
			res = reader_skip(r);
		} else if (key.len == 5 && memcmp(key.data, "value", 5) == 0) {
			if (has_value)
				return reader_syntax(r, "duplicate", "value is there twice");
			has_value = true;
			res = message_read(r, m);
		} else {
			res = reader_skip(r);
			if (res == READ_OK && !r->o->ignore_unknown)
				reader_fault(r, "unknown", NULL, 0, "an Any of %s has only \"value\"", m->name);
		}
		if (res < 0)
			return READ_STOP;
		r->at = place->up;
		more = reader_more(r, '}');
	}
	if (more == 0 && !has_value && m->well_known != WK_EMPTY)
		return reader_fault(r, "any", NULL, 0, "an Any of %s needs a \"value\"", m->name);
	return more;
}

static int read_any_value(struct reader *r, const struct schema_message *m)
{
	struct place place = {.up = r->at};

	if (m->well_known == WK_NONE)
		return fields_read(r, m, true);
	if (reader_enter(r) < 0)
		return READ_STOP;
	return read_any_members(r, m, &place);
}

static const struct schema_message *resolve(struct reader *r, struct bytes url)
{
	const uint8_t *slash = url.len ? memrchr(url.data, '/', url.len) : NULL;

	if (slash == NULL || r->o->schema == NULL)
		return NULL;
	return schema_message(r->o->schema, (const char *)slash + 1,
			      (size_t)(url.data + url.len - slash - 1));
}

static int read_any(struct reader *r, const struct schema_message *m)
{
	const struct schema_message *target;
	struct bytes url;
	size_t n_members, before, body;
	int res;

	if (reader_peek(r) != '{')
		return reader_mismatch(r, "an object with \"@type\"");
	if (find_type(r, &url, &n_members) < 0)
		return READ_STOP;
	if (n_members == 0)
		return reader_skip(r);
	target = resolve(r, url);
	if (target == NULL) {
		if (reader_skip(r) < 0)
			return READ_STOP;
		return reader_fault(r, "any", url.data, url.len, url.data ?
				    "the type that \"@type\" names is not known here" :
				    "\"@type\" is missing: it names the message, as in "
				    "\"type.googleapis.com/pkg.Message\"");
	}
	if (r->wire_depth + 1 == TRANSCODE_WIRE_DEPTH)
		return reader_syntax(r, "depth", "nested over %d messages deep", TRANSCODE_WIRE_DEPTH);
	r->wire_depth++;
	reader_tag(r, &m->fields[0]);
	scalar_put(r->out, &m->fields[0], &(struct scalar){.text = url});
	before = r->out->len;
	reader_tag(r, &m->fields[1]);
	body = wire_open(r->out);
	res = read_any_value(r, target);
	r->wire_depth--;
	if (res == READ_OK && r->out->len == body)
		r->out->len = before;
	else if (res == READ_OK)
		wire_close(r->out, body);
	return res;
}

int wellknown_read(struct reader *r, const struct schema_message *m)
{
	struct scalar v;

	switch (m->well_known) {
	case WK_ANY:
		return read_any(r, m);
	case WK_VALUE:
		return read_value(r, m);
	case WK_STRUCT:
		return reader_peek(r) != '{' ? reader_mismatch(r, "an object") : field_read(r, &m->fields[0]);
	case WK_LIST_VALUE:
		return reader_peek(r) != '[' ? reader_mismatch(r, "an array") : field_read(r, &m->fields[0]);
	case WK_WRAPPER:
		return put_wrapped(r, &m->fields[0], &v, scalar_read(r, &m->fields[0], &v));
	default:
		return read_text(r, m);
	}
}
