/* transcode_normalize.c: a wire message in the one form that protobuf's own
 * serializers give it. Each level goes through an index (wire.h); what no field
 * takes is kept behind the fields, as it came. Any thread; state is on the stack. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "schema/keyset.h"
#include "schema/transcode.h"
#include "schema/wire.h"

struct normalizer {
	struct buf *out; /* borrowed */
	unsigned depth;
	bool lost;       /* these bytes do not count: only their form is looked at */
	char *why;
	size_t why_size;
};

static int fail(struct normalizer *n, const char *fmt, ...) PRINTF(2, 3);
static int fail(struct normalizer *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(n->why, n->why_size, fmt, ap);
	va_end(ap);
	return -ERRAND_DATA_LOSS;
}

static int message_put(struct normalizer *n, const struct schema_message *m, struct bytes wire);

/* Every string of one level, also one that another replaces; what no field takes
 * goes to unknown, when that is wanted. */
static int look_through(struct normalizer *n, const struct schema_message *m, struct bytes wire,
			struct buf *unknown)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field v;

	while (wire_next(&r, &v)) {
		const struct schema_field *f = lookup_number(m, v.number);

		if (f == NULL || !wire_is_of(f, &v)) {
			if (unknown != NULL)
				buf_append(unknown, v.start, (size_t)(r.p - v.start));
		} else if (f->type == FIELD_STRING && !f->any_bytes &&
			   json_utf8_valid(v.bytes.data, v.bytes.len) != v.bytes.len) {
			return fail(n, "%s.%s: the string is not UTF-8", m->name, f->name);
		}
	}
	return 0;
}

/* --- one value --- */

/* What a varint of this type means, as it is written again. */
static uint64_t cut(enum field_type t, uint64_t v)
{
	switch (t) {
	case FIELD_BOOL: return v != 0;
	case FIELD_INT32: case FIELD_ENUM: return (uint64_t)(int64_t)(int32_t)v;
	case FIELD_UINT32: case FIELD_SINT32: return (uint32_t)v;
	default: return v;
	}
}

static void put_fixed(struct buf *out, uint64_t v, unsigned width)
{
	uint8_t raw[8];

	for (unsigned i = 0; i < width; i++)
		raw[i] = (uint8_t)(v >> (8 * i));
	buf_append(out, raw, width);
}

static void number_put(struct buf *out, const struct schema_field *f, uint64_t v)
{
	switch (wire_type(f->type)) {
	case PBUF_I64: put_fixed(out, v, 8); break;
	case PBUF_I32: put_fixed(out, v, 4); break;
	default: pbuf_put_varint(out, cut(f->type, v)); break;
	}
}

static void text_put(struct buf *out, struct bytes text)
{
	pbuf_put_varint(out, text.len);
	buf_append(out, text.data, text.len);
}

/* With its tag; not for packed lists. */
static int value_put(struct normalizer *n, const struct schema_field *f, const struct pbuf_field *v)
{
	size_t body;
	int err;

	pbuf_put_tag(n->out, f->number, wire_type(f->type));
	switch (f->type) {
	case FIELD_STRING:
	case FIELD_BYTES:
		text_put(n->out, v->bytes);
		return 0;
	case FIELD_GROUP:
		err = message_put(n, f->message, v->bytes);
		pbuf_put_tag(n->out, f->number, PBUF_EGROUP);
		return err;
	case FIELD_MESSAGE:
		body = wire_open(n->out);
		err = message_put(n, f->message, v->bytes);
		wire_close(n->out, body);
		return err;
	default:
		number_put(n->out, f, v->value);
		return 0;
	}
}

static bool is_zero(const struct schema_field *f, const struct pbuf_field *v)
{
	return v->wire == PBUF_VARINT ? cut(f->type, v->value) == 0 : v->value == 0;
}

/* --- lists --- */

/* One element of a list of numbers; a closed enum's foreign one is an unknown field. */
static void element_put(struct normalizer *n, const struct schema_field *f, uint64_t v,
			struct buf *unknown)
{
	if (!wire_enum_fits(f, v)) {
		pbuf_put_uint(unknown, f->number, cut(f->type, v));
		return;
	}
	if (!f->packed)
		pbuf_put_tag(n->out, f->number, wire_type(f->type));
	number_put(n->out, f, v);
}

static int run_put(struct normalizer *n, const struct schema_field *f, struct bytes run,
		   struct buf *unknown)
{
	enum pbuf_wire wire = wire_type(f->type);
	struct pbuf_reader r = pbuf_reader(run.data, run.len);
	unsigned width = wire == PBUF_I64 ? 8 : 4;
	uint64_t v;

	while (r.p < r.end) {
		if (wire == PBUF_VARINT) {
			if (!pbuf_read_varint(&r, &v))
				return fail(n, "%s.%s: a packed list is malformed", f->parent->name, f->name);
		} else {
			if ((size_t)(r.end - r.p) < width)
				return fail(n, "%s.%s: a packed list is malformed", f->parent->name, f->name);
			v = 0;
			for (unsigned i = 0; i < width; i++)
				v |= (uint64_t)*r.p++ << (8 * i);
		}
		element_put(n, f, v, unknown);
	}
	return 0;
}

static int list_field_put(struct normalizer *n, const struct wire_item *items, size_t n_items,
		    struct buf *unknown)
{
	const struct schema_field *f = items->field;
	bool numbers = !wire_is_message(f) && f->type != FIELD_STRING && f->type != FIELD_BYTES;
	size_t before = n->out->len, body = 0;
	int err = 0;

	if (f->packed) {
		pbuf_put_tag(n->out, f->number, PBUF_LEN);
		body = wire_open(n->out);
	}
	for (size_t i = 0; i < n_items && err == 0; i++) {
		const struct pbuf_field *v = &items[i].value;

		if (!numbers)
			err = value_put(n, f, v);
		else if (v->wire == PBUF_LEN)
			err = run_put(n, f, v->bytes, unknown);
		else
			element_put(n, f, v->value, unknown);
	}
	if (f->packed && n->out->len == body)
		n->out->len = before;
	else if (f->packed)
		wire_close(n->out, body);
	return err;
}

/* --- maps --- */

/* An entry has its key and value always, zeros too. */
static int entry_put(struct normalizer *n, const struct schema_field *f, struct bytes wire)
{
	struct wire_index x;
	int err = 0;

	if (wire_index_init(&x, f->message, wire) < 0)
		return fail(n, "%s.%s: the bytes are not such a map", f->parent->name, f->name);
	err = look_through(n, f->message, wire, NULL);
	for (size_t i = 0; i < 2 && err == 0; i++) {
		const struct schema_field *part = &f->message->fields[i];
		struct pbuf_field v = {.number = part->number, .wire = wire_type(part->type)};

		for (size_t k = 0; k < x.n; k++)
			if (x.items[k].field == part)
				v = x.items[k].value;
		err = value_put(n, part, &v);
	}
	wire_index_deinit(&x);
	return err;
}

static bool has_foreign_value(const struct schema_field *f, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	const struct schema_field *value = &f->message->fields[1];
	struct pbuf_field v;
	bool foreign = false;

	while (value->type == FIELD_ENUM && wire_next(&r, &v))
		if (v.number == 2 && v.wire == PBUF_VARINT)
			foreign = !wire_enum_fits(value, v.value);
	return foreign;
}

/* The key of an entry that entry_put made, tag included: it comes first. */
static struct bytes key_of(struct bytes entry)
{
	struct pbuf_reader r = pbuf_reader(entry.data, entry.len);
	struct pbuf_field key;

	pbuf_next(&r, &key);
	return (struct bytes){entry.data, (size_t)(r.p - entry.data)};
}

/* Of entries with one key the last counts, in the place of the first. */
static void put_last_entries(struct buf *out, const struct schema_field *f, const struct buf *all,
			     const size_t *ends, size_t n)
{
	AUTO_FREE struct bytes *entries = xcalloc(n, sizeof *entries);
	AUTO_KEYSET keys;
	size_t n_kept = 0;

	keyset_init(&keys);
	for (size_t i = 0; i < n; i++) {
		size_t start = i ? ends[i - 1] : 0;
		struct bytes entry = {all->data + start, ends[i] - start};
		int64_t at = keyset_add(&keys, key_of(entry));

		if (at >= 0)
			entries[n_kept++] = entry;
		else
			entries[-1 - at] = entry;
	}
	for (size_t i = 0; i < n_kept; i++)
		pbuf_put_bytes(out, f->number, entries[i].data, entries[i].len);
}

static int map_field_put(struct normalizer *n, const struct wire_item *items, size_t n_items,
		   struct buf *unknown)
{
	const struct schema_field *f = items->field;
	AUTO_FREE size_t *ends = xcalloc(n_items, sizeof *ends);
	struct normalizer inner = *n;
	AUTO_BUF all = BUF_INIT;
	size_t n_entries = 0;
	int err = 0;

	inner.out = &all;
	inner.depth++; /* an entry is a message */
	for (size_t i = 0; i < n_items && err == 0; i++) {
		if (has_foreign_value(f, items[i].value.bytes)) {
			buf_append(unknown, items[i].raw.data, items[i].raw.len);
			continue;
		}
		err = entry_put(&inner, f, items[i].value.bytes);
		ends[n_entries++] = all.len;
	}
	if (err == 0 && n_entries > 0)
		put_last_entries(n->out, f, &all, ends, n_entries);
	return err;
}

/* --- messages --- */

static bool has_item(const struct wire_index *x, const struct schema_field *f)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->items[i].field == f)
			return true;
	return false;
}

/* A message that another member of its oneof replaced is malformed all the same. */
static int check_lost(struct normalizer *n, const struct schema_message *m, const struct wire_index *x,
		      struct bytes wire)
{
	AUTO_FREE const struct schema_field **winner = xcalloc(m->n_oneofs + 1, sizeof *winner);
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	AUTO_BUF nowhere = BUF_INIT;
	struct normalizer inner = *n;
	struct pbuf_field v;
	int err = 0;

	inner.out = &nowhere;
	inner.lost = true;
	for (size_t i = 0; i < x->n; i++)
		if (x->items[i].field->oneof >= 0)
			winner[x->items[i].field->oneof] = x->items[i].field;
	while (err == 0 && wire_next(&r, &v)) {
		const struct schema_field *f = lookup_number(m, v.number);

		if (f == NULL || f->oneof < 0 || !wire_is_message(f) || !wire_is_of(f, &v) ||
		    winner[f->oneof] == f)
			continue;
		err = message_put(&inner, f->message, v.bytes);
		buf_reset(&nowhere);
	}
	return err;
}

static int check_required(struct normalizer *n, const struct schema_message *m,
			  const struct wire_index *x)
{
	for (size_t i = 0; i < m->n_fields && !n->lost; i++)
		if (m->fields[i].required && !has_item(x, &m->fields[i]))
			return fail(n, "%s: the required field %s is missing", m->name, m->fields[i].name);
	return 0;
}

static int items_put(struct normalizer *n, const struct wire_index *x, struct buf *unknown)
{
	int err = 0;

	for (size_t i = 0, j; i < x->n && err == 0; i = j) {
		const struct schema_field *f = x->items[i].field;

		for (j = i + 1; j < x->n && x->items[j].field == f; j++)
			;
		if (f->map)
			err = map_field_put(n, &x->items[i], j - i, unknown);
		else if (f->repeated)
			err = list_field_put(n, &x->items[i], j - i, unknown);
		else if (f->presence || !is_zero(f, &x->items[i].value))
			err = value_put(n, f, &x->items[i].value);
	}
	return err;
}

static int message_put(struct normalizer *n, const struct schema_message *m, struct bytes wire)
{
	AUTO_BUF unknown = BUF_INIT;
	struct wire_index x;
	int err;

	if (n->depth == TRANSCODE_WIRE_DEPTH)
		return fail(n, "nested over %d messages deep", TRANSCODE_WIRE_DEPTH);
	if (wire_index_init(&x, m, wire) < 0)
		return fail(n, "%s: the bytes are not such a message", m->name);
	n->depth++;
	err = look_through(n, m, wire, &unknown);
	if (err == 0)
		err = check_required(n, m, &x);
	if (err == 0)
		err = m->n_oneofs > 0 ? check_lost(n, m, &x, wire) : 0;
	if (err == 0)
		err = items_put(n, &x, &unknown);
	buf_append(n->out, unknown.data, unknown.len);
	n->depth--;
	wire_index_deinit(&x);
	return err;
}

int transcode_normalize(const struct schema_message *m, struct bytes wire, struct buf *out,
			char *why, size_t why_size)
{
	struct normalizer n = {.out = out, .why = why, .why_size = why_size};
	size_t before = out->len;
	int err;

	if (why_size > 0)
		*why = '\0';
	err = message_put(&n, m, wire);
	if (err == 0 && buf_failed(out))
		err = fail(&n, "out of memory");
	if (err < 0)
		out->len = MIN(before, out->len);
	return err;
}
