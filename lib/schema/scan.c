/* scan.c: two walks over wire bytes. The first checks everything and allocates
 * nothing; the second, rarely needed, writes the message anew in the form that
 * protobuf-c reads rightly: singular messages in one piece, no record of a wrong
 * wire type, no unknown group (which protobuf-c refuses). Any thread. */
#include "schema/scan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "schema/wire.h"

enum {
	DEFAULT_ELEMENTS = 1000000, DEFAULT_HEAP = 64 << 20, DEFAULT_DEPTH = 100,
	MALLOC_COST = 16,   /* of one allocation */
	UNKNOWN_COST = 48,  /* an unknown field: its record and its copy */
	SEEN_WORDS = 4,
};

/* The fields above the one being looked at, for the message of a fault. */
struct scan_place {
	const struct scan_place *up;
	const struct schema_field *field;
};

struct scan {
	size_t elements_left, heap_left;
	unsigned max_depth;
	bool rewrite; /* protobuf-c would not read it rightly */
	char *why;
	size_t why_size;
};

static void put_place(struct buf *b, const struct scan_place *at)
{
	if (at == NULL)
		return;
	put_place(b, at->up);
	if (b->len > 0)
		buf_append_byte(b, '.');
	buf_append_str(b, at->field->name);
}

static int refuse(struct scan *s, const struct scan_place *at, int err, const char *fmt, ...)
	PRINTF(4, 5);
static int refuse(struct scan *s, const struct scan_place *at, int err, const char *fmt, ...)
{
	AUTO_BUF where = BUF_INIT;
	char reason[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);
	put_place(&where, at);
	if (where.len > 0)
		snprintf(s->why, s->why_size, "field %.300s: %s", buf_cstr(&where), reason);
	else
		snprintf(s->why, s->why_size, "%s", reason);
	return err;
}

static int spend(struct scan *s, const struct scan_place *at, size_t elements, size_t heap)
{
	if (elements > s->elements_left)
		return refuse(s, at, -ERRAND_RESOURCE_EXHAUSTED, "too many elements");
	if (heap > s->heap_left)
		return refuse(s, at, -ERRAND_RESOURCE_EXHAUSTED, "would take too much memory");
	s->elements_left -= elements;
	s->heap_left -= heap;
	return 0;
}

static int scan_level(struct scan *s, const struct schema_message *m, struct bytes wire,
		      const struct scan_place *up, unsigned depth);

static int scan_text(struct scan *s, const struct scan_place *at, struct bytes text)
{
	if (at->field->type == FIELD_STRING) {
		if (json_utf8_valid(text.data, text.len) != text.len)
			return refuse(s, at, -ERRAND_INVALID_ARGUMENT, "the string is not UTF-8");
		if (text.len > 0 && memchr(text.data, 0, text.len) != NULL)
			return refuse(s, at, -ERRAND_INVALID_ARGUMENT, "the string has a NUL in it");
	}
	return spend(s, at, 1, text.len + 1 + MALLOC_COST);
}

/* Elements of a packed list; they must fill it exactly. */
static int scan_packed(struct scan *s, const struct scan_place *at, struct bytes list)
{
	enum pbuf_wire wire = wire_type(at->field->type);
	size_t n = 0, width = wire == PBUF_I64 ? 8 : 4;
	struct pbuf_reader r = pbuf_reader(list.data, list.len);
	uint64_t v;

	if (wire == PBUF_VARINT) {
		while (r.p < r.end && pbuf_read_varint(&r, &v))
			n++;
		if (r.bad)
			return refuse(s, at, -ERRAND_INVALID_ARGUMENT, "a packed list is malformed");
	} else {
		if (list.len % width != 0)
			return refuse(s, at, -ERRAND_INVALID_ARGUMENT, "a packed list is malformed");
		n = list.len / width;
	}
	return spend(s, at, n, n * 8);
}

static int scan_field(struct scan *s, const struct scan_place *at, const struct pbuf_field *v,
		      unsigned depth)
{
	const struct schema_field *f = at->field;
	size_t pointer = f->repeated ? 8 : 0;
	int err;

	if (wire_is_message(f)) {
		err = spend(s, at, 1, f->message->lookup->heap + MALLOC_COST + pointer);
		return err < 0 ? err : scan_level(s, f->message, v->bytes, at, depth + 1);
	}
	if (f->type == FIELD_STRING || f->type == FIELD_BYTES)
		return scan_text(s, at, v->bytes);
	if (v->wire == PBUF_LEN)
		return scan_packed(s, at, v->bytes);
	return spend(s, at, 1, pointer);
}

/* protobuf-c keeps unknown fields, but fails on groups and on wrong wire types. */
static int scan_unknown(struct scan *s, const struct scan_place *up, const struct schema_field *f,
			const struct pbuf_field *v)
{
	if (f != NULL || v->wire == PBUF_SGROUP)
		s->rewrite = true;
	return spend(s, up, 1, UNKNOWN_COST + v->bytes.len);
}

/* A singular message that was there before: protobuf-c would lose a part. */
static bool seen_before(uint64_t *seen, const struct schema_field *f)
{
	uint64_t bit = 1ULL << (f->index & 63);
	bool was = seen[f->index >> 6] & bit;

	seen[f->index >> 6] |= bit;
	return was;
}

static int scan_records(struct scan *s, const struct schema_message *m, struct bytes wire,
			const struct scan_place *up, unsigned depth, uint64_t *seen)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct scan_place at = {.up = up};
	struct pbuf_field v;
	int err = 0;

	while (err == 0 && wire_next(&r, &v)) {
		const struct schema_field *f = lookup_number(m, v.number);

		if (f == NULL || !wire_fits(f, v.wire)) {
			err = scan_unknown(s, up, f, &v);
			continue;
		}
		if (wire_is_message(f) && !f->repeated && seen_before(seen, f))
			s->rewrite = true;
		at.field = f;
		err = scan_field(s, &at, &v, depth);
	}
	if (err == 0 && r.bad)
		err = refuse(s, up, -ERRAND_INVALID_ARGUMENT, "the bytes are not a %s", m->name);
	return err;
}

static int scan_level(struct scan *s, const struct schema_message *m, struct bytes wire,
		      const struct scan_place *up, unsigned depth)
{
	uint64_t few[SEEN_WORDS] = {0}, *many = NULL;
	int err;

	if (depth > s->max_depth)
		return refuse(s, NULL, -ERRAND_INVALID_ARGUMENT, "nested over %u messages deep",
			      s->max_depth);
	if (m->n_fields > SEEN_WORDS * 64)
		many = xcalloc((m->n_fields + 63) / 64, sizeof *many);
	err = scan_records(s, m, wire, up, depth, many ? many : few);
	free(many);
	return err;
}

/* --- writing it anew --- */

static int rewrite(const struct schema_message *m, struct bytes wire, struct buf *out);

static int rewrite_item(const struct wire_item *item, struct buf *out)
{
	const struct schema_field *f = item->field;
	size_t body;
	int err;

	if (!wire_is_message(f)) {
		buf_append(out, item->raw.data, item->raw.len);
		return 0;
	}
	wire_put_tag(out, f);
	if (f->type == FIELD_GROUP) {
		err = rewrite(f->message, item->value.bytes, out);
		pbuf_put_tag(out, f->number, PBUF_EGROUP);
		return err;
	}
	body = wire_open(out);
	err = rewrite(f->message, item->value.bytes, out);
	wire_close(out, body);
	return err;
}

static int rewrite(const struct schema_message *m, struct bytes wire, struct buf *out)
{
	struct wire_index x;
	int err = 0;

	if (wire_index_init(&x, m, wire) < 0)
		return -1;
	for (size_t i = 0; i < x.n && err == 0; i++)
		err = rewrite_item(&x.items[i], out);
	wire_index_deinit(&x);
	return err;
}

int scan_message(const struct schema_message *m, struct bytes in, const struct scan_limits *limits,
		 struct buf *merged, char *why, size_t why_size)
{
	static const struct scan_limits none;
	const struct scan_limits *l = limits ? limits : &none;
	struct scan s = {
		.elements_left = l->max_elements ? l->max_elements : DEFAULT_ELEMENTS,
		.heap_left = l->max_heap ? l->max_heap : DEFAULT_HEAP,
		.max_depth = l->max_depth ? l->max_depth : DEFAULT_DEPTH,
		.why = why,
		.why_size = why_size,
	};
	int err = scan_level(&s, m, in, NULL, 1);

	if (err < 0 || !s.rewrite)
		return err;
	if (rewrite(m, in, merged) < 0 || buf_failed(merged))
		return refuse(&s, NULL, -ERRAND_INVALID_ARGUMENT, "the bytes are not a %s", m->name);
	return 0;
}
