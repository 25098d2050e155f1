/* transcode_read.c: JSON text to wire bytes, in one pass directed by the tables.
 * A member's name is first compared with that of the field after the last one,
 * since most writers keep the order. A nested message's length takes one byte
 * until it is known. Faults of the schema are noted and the value skipped;
 * faults of the grammar end the reading. Any thread; state is on the stack. */
#include "schema/transcode.h"

#include <stdlib.h>

#include "base/err.h"
#include "schema/keyset.h"
#include "schema/reader.h"

enum { SEEN_WORDS = 4 }; /* fields and oneofs of a message, before a heap is needed */

static bool test_and_set(uint64_t *bits, size_t i)
{
	uint64_t bit = 1ULL << (i & 63);
	bool was = bits[i >> 6] & bit;

	bits[i >> 6] |= bit;
	return was;
}

/* --- one message in a field --- */

static int nest(struct reader *r)
{
	if (r->wire_depth + 1 == TRANSCODE_WIRE_DEPTH)
		return reader_syntax(r, "depth", "nested over %d messages deep", TRANSCODE_WIRE_DEPTH);
	r->wire_depth++;
	return READ_OK;
}

/* Tag, length and content; a group has an end tag instead of a length. */
int message_value_read(struct reader *r, const struct schema_field *f)
{
	size_t before = r->out->len, body = 0;
	int res;

	if (nest(r) < 0)
		return READ_STOP;
	reader_tag(r, f);
	if (f->type != FIELD_GROUP)
		body = wire_open(r->out);
	res = f->bare ? bare_read(r, f->message) : message_read(r, f->message);
	r->wire_depth--;
	if (res != READ_OK)
		r->out->len = MIN(before, r->out->len);
	else if (f->type == FIELD_GROUP)
		pbuf_put_tag(r->out, f->number, PBUF_EGROUP);
	else
		wire_close(r->out, body);
	return res;
}

/* --- lists --- */

static int element_read(struct reader *r, const struct schema_field *f)
{
	struct scalar v;
	int res;

	if (reader_peek(r) == 'n' && !takes_null(f))
		return reader_mismatch(r, "a value in the list");
	if (f->message != NULL)
		return message_value_read(r, f);
	res = scalar_read(r, f, &v);
	if (res != READ_OK)
		return res;
	if (!f->packed)
		reader_tag(r, f);
	scalar_put(r->out, f, &v);
	return READ_OK;
}

static int read_elements(struct reader *r, const struct schema_field *f)
{
	struct place place = {.up = r->at};
	int more = 1;

	if (reader_peek(r) == ']') {
		r->p++;
		r->depth--;
		return READ_OK;
	}
	r->at = &place;
	while (more > 0) {
		if (element_read(r, f) < 0)
			return READ_STOP;
		place.index++;
		if (r->out->len > r->out_limit)
			return reader_syntax(r, "size", "too large");
		more = reader_more(r, ']');
	}
	r->at = place.up;
	return more;
}

static int read_list(struct reader *r, const struct schema_field *f)
{
	size_t before = r->out->len, body = 0;

	if (reader_peek(r) != '[')
		return reader_mismatch(r, "an array");
	if (reader_enter(r) < 0)
		return READ_STOP;
	if (f->packed) {
		reader_tag(r, f);
		body = wire_open(r->out);
	}
	if (read_elements(r, f) < 0)
		return READ_STOP;
	if (f->packed) {
		if (r->out->len == body)
			r->out->len = before;
		else
			wire_close(r->out, body);
	}
	return READ_OK;
}

/* --- maps --- */

/* What makes two keys one: of strings the text, of others the bits they have on
 * the wire ("1" and "1.0" are the same number). */
static int check_key(struct reader *r, const struct schema_field *key, struct keyset *seen,
		     struct bytes text, const struct scalar *v)
{
	if (key->type != FIELD_STRING)
		text = reader_keep(r, (struct bytes){(const uint8_t *)&v->bits, sizeof v->bits});
	return keyset_add(seen, text) < 0 ?
		reader_syntax(r, "duplicate", "this key is there twice") : READ_OK;
}

static int read_map_value(struct reader *r, const struct schema_field *value)
{
	struct scalar v;
	int res;

	if (reader_peek(r) == 'n' && !takes_null(value))
		return reader_mismatch(r, "a value in the map");
	if (value->message != NULL)
		return message_value_read(r, value);
	res = scalar_read(r, value, &v);
	if (res != READ_OK)
		return res;
	reader_tag(r, value);
	scalar_put(r->out, value, &v);
	return READ_OK;
}

/* One member: an entry message of key and value. */
static int read_entry(struct reader *r, const struct schema_field *f, struct place *place,
		      struct keyset *seen)
{
	const struct schema_field *key = &f->message->fields[0], *value = &f->message->fields[1];
	size_t before = r->out->len, body;
	struct bytes text;
	struct scalar v;
	int res;

	if (reader_key(r, &text) < 0)
		return READ_STOP;
	place->name = text.data;
	place->len = text.len;
	r->at = place;
	res = scalar_from_text(r, key, text, &v);
	if (res != READ_OK)
		return reader_skip(r);
	if (check_key(r, key, seen, text, &v) < 0)
		return READ_STOP;
	reader_tag(r, f);
	body = wire_open(r->out);
	reader_tag(r, key);
	scalar_put(r->out, key, &v);
	res = read_map_value(r, value);
	if (res == READ_OK)
		wire_close(r->out, body);
	else
		r->out->len = MIN(before, r->out->len);
	return res;
}

static int read_map(struct reader *r, const struct schema_field *f)
{
	struct place place = {.up = r->at};
	AUTO_KEYSET seen;
	int more = 1;

	keyset_init(&seen);
	if (reader_peek(r) != '{')
		return reader_mismatch(r, "an object");
	if (reader_enter(r) < 0 || nest(r) < 0)
		return READ_STOP;
	if (reader_peek(r) == '}') {
		r->p++;
		r->depth--;
		r->wire_depth--;
		return READ_OK;
	}
	while (more > 0) {
		if (read_entry(r, f, &place, &seen) < 0)
			return READ_STOP;
		r->at = place.up;
		if (r->out->len > r->out_limit)
			return reader_syntax(r, "size", "too large");
		more = reader_more(r, '}');
	}
	r->wire_depth--;
	return more;
}

/* --- fields --- */

/* Zero is what an absent field without presence means: it is not written. */
static int read_singular(struct reader *r, const struct schema_field *f)
{
	struct scalar v;
	int res;

	if (f->message != NULL)
		return message_value_read(r, f);
	res = scalar_read(r, f, &v);
	if (res != READ_OK || (!f->presence && scalar_is_zero(&v) && !r->o->keep_zero))
		return res;
	reader_tag(r, f);
	scalar_put(r->out, f, &v);
	return READ_OK;
}

int field_read(struct reader *r, const struct schema_field *f)
{
	if (reader_peek(r) == 'n' && (f->repeated || !takes_null(f)))
		return reader_literal(r, "null");
	if (f->map)
		return read_map(r, f);
	if (f->repeated)
		return read_list(r, f);
	return read_singular(r, f);
}

static int unknown_field(struct reader *r, const struct schema_message *m, struct bytes key)
{
	const char *near;
	int res = reader_skip(r);

	if (res < 0 || r->o->ignore_unknown)
		return res;
	if (r->faults->n == FAULT_MAX) /* only counted: no search for each of thousands */
		return reader_fault(r, "unknown", NULL, 0, "no field of this name");
	near = schema_nearest_field(m, (const char *)key.data, key.len);
	if (near != NULL)
		return reader_fault(r, "unknown", NULL, 0, "%s has no field of this name; did you mean \"%s\"?",
				    m->name, near);
	return reader_fault(r, "unknown", NULL, 0, "%s has no field of this name", m->name);
}

/* What is known of the object being read. */
struct object {
	const struct schema_message *m;
	uint64_t *seen;  /* bits: fields, then oneofs */
	size_t guess;    /* index of the field expected next */
	bool in_any;
};

static bool guess_name(struct reader *r, struct object *o, struct bytes *key)
{
	const struct field_code *c;
	const uint8_t *p = r->p;

	if (o->guess >= o->m->n_fields)
		return false;
	c = &o->m->lookup->codes[o->guess];
	if (c->name_len == 0 || (size_t)(r->end - p) < c->name_len + 3 || p[0] != '"' ||
	    p[c->name_len + 1] != '"' || p[c->name_len + 2] != ':' ||
	    memcmp(p + 1, c->name, c->name_len) != 0)
		return false;
	*key = (struct bytes){p + 1, c->name_len};
	r->p = p + c->name_len + 3;
	reader_space(r);
	return true;
}

/* A value that is not null sets its oneof. */
static int check_oneof(struct reader *r, struct object *o, const struct schema_field *f)
{
	if (reader_peek(r) == 'n' && !takes_null(f))
		return READ_OK;
	if (!test_and_set(o->seen, o->m->n_fields + (size_t)f->oneof))
		return READ_OK;
	return reader_skip(r) < 0 ? READ_STOP : reader_fault(r, "oneof", NULL, 0,
		"only one field of oneof %s may be given", o->m->oneofs[f->oneof]);
}

static int read_member(struct reader *r, struct object *o, struct place *place)
{
	const struct schema_field *f;
	struct bytes key;
	int res;

	if (guess_name(r, o, &key)) {
		f = &o->m->fields[o->guess];
	} else {
		if (reader_key(r, &key) < 0)
			return READ_STOP;
		f = lookup_name(o->m, (const char *)key.data, key.len);
	}
	place->name = key.data;
	place->len = key.len;
	r->at = place;
	if (f == NULL && o->in_any && key.len == 5 && memcmp(key.data, "@type", 5) == 0)
		return reader_skip(r);
	if (f == NULL)
		return unknown_field(r, o->m, key);
	if (test_and_set(o->seen, f->index))
		return reader_syntax(r, "duplicate", "%s is there twice", f->name);
	o->guess = f->index + 1;
	if (f->oneof >= 0) {
		res = check_oneof(r, o, f);
		if (res != READ_OK)
			return res;
	}
	return field_read(r, f);
}

static int read_members(struct reader *r, struct object *o)
{
	struct place place = {.up = r->at};
	int more = 1;

	if (reader_enter(r) < 0)
		return READ_STOP;
	if (reader_peek(r) == '}') {
		r->p++;
		r->depth--;
		return READ_OK;
	}
	while (more > 0) {
		if (read_member(r, o, &place) < 0)
			return READ_STOP;
		r->at = place.up;
		if (r->out->len > r->out_limit)
			return reader_syntax(r, "size", "too large");
		more = reader_more(r, '}');
	}
	return more;
}

int fields_read(struct reader *r, const struct schema_message *m, bool in_any)
{
	uint64_t few[SEEN_WORDS] = {0}, *many = NULL;
	struct object o = {.m = m, .seen = few, .in_any = in_any};
	size_t n_bits = m->n_fields + m->n_oneofs;
	int res;

	if (reader_peek(r) != '{')
		return reader_mismatch(r, "an object");
	if (n_bits > SEEN_WORDS * 64)
		o.seen = many = xcalloc((n_bits + 63) / 64, sizeof *many);
	res = read_members(r, &o);
	free(many);
	return res;
}

int message_read(struct reader *r, const struct schema_message *m)
{
	if (m->well_known != WK_NONE && m->well_known != WK_EMPTY)
		return wellknown_read(r, m);
	return fields_read(r, m, false);
}

/* --- from outside --- */

static int begin(struct reader *r)
{
	static const uint8_t bom[] = {0xef, 0xbb, 0xbf};

	if (r->end - r->p >= 3 && memcmp(r->p, bom, 3) == 0)
		return reader_syntax(r, "syntax", "a byte order mark is not allowed");
	reader_space(r);
	if (r->p == r->end)
		return reader_syntax(r, "syntax", "no JSON here: the text is empty");
	return READ_OK;
}

static int finish(struct reader *r)
{
	r->at = NULL;
	reader_space(r);
	if (r->p < r->end)
		return reader_syntax(r, "syntax", "more text after the value");
	if (buf_failed(r->out) || buf_failed(&r->scratch))
		return reader_syntax(r, "size", "out of memory");
	return READ_OK;
}

static int read_all(const struct transcode_read *o, const struct schema_message *m,
		    const struct schema_field *f, const char *json, size_t len, const char *prefix,
		    struct buf *out, struct fault_list *faults)
{
	static const struct transcode_read defaults;
	size_t before = out->len, n_before = faults->n + faults->n_dropped;
	struct reader r;
	int res;

	reader_init(&r, o ? o : &defaults, json, len, prefix, out, faults);
	res = begin(&r);
	if (res == READ_OK)
		res = m != NULL ? message_read(&r, m) : field_read(&r, f);
	if (res >= 0)
		finish(&r);
	reader_deinit(&r);
	if (faults->n + faults->n_dropped == n_before)
		return 0;
	out->len = MIN(before, out->len);
	return -ERRAND_INVALID_ARGUMENT;
}

int transcode_from_json(const struct transcode_read *o, const struct schema_message *m,
			const char *json, size_t len, const char *prefix, struct buf *out,
			struct fault_list *faults)
{
	return read_all(o, m, NULL, json, len, prefix, out, faults);
}

int transcode_field_from_json(const struct transcode_read *o, const struct schema_field *f,
			      const char *json, size_t len, const char *prefix,
			      struct buf *out, struct fault_list *faults)
{
	return read_all(o, NULL, f, json, len, prefix, out, faults);
}
