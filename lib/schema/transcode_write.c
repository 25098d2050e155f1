/* transcode_write.c: wire bytes to JSON text, in one pass when the fields come in
 * order, as serializers write them. A look ahead over the tags of one level
 * tells; otherwise that level goes through an index (wire.h). Keys and zero
 * values are copied ready-made. Any thread; state is on the stack. */
#include "schema/transcode.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/json.h"
#include "schema/base64.h"
#include "schema/writer.h"

enum { OUTPUT_MAX = 256 << 20 };

int writer_fail(struct writer *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->why, w->why_size, fmt, ap);
	va_end(ap);
	return -ERRAND_DATA_LOSS;
}

static int malformed(struct writer *w, const char *name)
{
	return writer_fail(w, "%s: the bytes are not such a message", name);
}

/* --- layout --- */

static void newline(struct writer *w)
{
	buf_append_byte(w->out, '\n');
	for (unsigned i = 0; i < w->indent; i++)
		buf_append(w->out, "  ", 2);
}

void writer_separate(struct writer *w, bool first)
{
	if (!first)
		buf_append_byte(w->out, ',');
	if (w->o->pretty)
		newline(w);
}

void writer_close(struct writer *w, char bracket, bool empty)
{
	w->indent--;
	if (w->o->pretty && !empty)
		newline(w);
	buf_append_byte(w->out, (uint8_t)bracket);
}

static void put_key(struct writer *w, const struct schema_field *f, bool *first)
{
	const struct field_code *c = field_code(f);
	struct bytes key = w->o->json_names ? c->json_key : (struct bytes){c->key, c->key_len};

	if (w->o->pretty) {
		writer_separate(w, *first);
		buf_append(w->out, key.data, key.len);
		buf_append_byte(w->out, ' ');
	} else {
		uint8_t *p = buf_reserve(w->out, key.len + 1);

		if (p == NULL)
			return;
		if (!*first)
			*p++ = ',';
		memcpy(p, key.data, key.len);
		w->out->len = (size_t)(p + key.len - w->out->data);
	}
	*first = false;
}

/* --- values --- */

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

static void put_quoted_int(struct buf *b, int64_t v)
{
	buf_append_byte(b, '"');
	json_put_int(b, v);
	buf_append_byte(b, '"');
}

static void put_quoted_uint(struct buf *b, uint64_t v)
{
	buf_append_byte(b, '"');
	json_put_uint(b, v);
	buf_append_byte(b, '"');
}

static void put_enum(struct buf *b, const struct schema_enum *e, int32_t number)
{
	const struct schema_enum_value *v;

	if (e->is_null_value) {
		buf_append(b, "null", 4);
		return;
	}
	v = schema_enum_by_number(e, number);
	if (v == NULL) {
		json_put_int(b, number);
		return;
	}
	buf_append_byte(b, '"');
	buf_append_str(b, v->name);
	buf_append_byte(b, '"');
}

static void put_float(struct buf *b, uint32_t bits)
{
	float f;

	memcpy(&f, &bits, 4);
	json_put_float(b, f);
}

/* The scalars that are a number on the wire. */
static void put_number(struct buf *b, const struct schema_field *f, uint64_t v)
{
	switch (f->type) {
	case FIELD_DOUBLE: json_put_double(b, pbuf_double(v)); break;
	case FIELD_FLOAT: put_float(b, (uint32_t)v); break;
	case FIELD_INT64: case FIELD_SFIXED64: put_quoted_int(b, (int64_t)v); break;
	case FIELD_UINT64: case FIELD_FIXED64: put_quoted_uint(b, v); break;
	case FIELD_SINT64: put_quoted_int(b, unzigzag(v)); break;
	case FIELD_INT32: case FIELD_SFIXED32: json_put_int(b, (int32_t)v); break;
	case FIELD_UINT32: case FIELD_FIXED32: json_put_uint(b, (uint32_t)v); break;
	case FIELD_SINT32: json_put_int(b, (int32_t)unzigzag((uint32_t)v)); break;
	case FIELD_BOOL: buf_append_str(b, v ? "true" : "false"); break;
	default: put_enum(b, f->enumeration, (int32_t)v); break;
	}
}

int value_write(struct writer *w, const struct schema_field *f, const struct pbuf_field *v)
{
	switch (f->type) {
	case FIELD_STRING:
		json_put_string(w->out, (const char *)v->bytes.data, v->bytes.len);
		return 0;
	case FIELD_BYTES:
		buf_append_byte(w->out, '"');
		base64_encode(w->out, v->bytes);
		buf_append_byte(w->out, '"');
		return 0;
	case FIELD_MESSAGE:
	case FIELD_GROUP:
		return f->bare ? any_write(w, f->message, v->bytes, true)
			       : message_write(w, f->message, v->bytes);
	default:
		put_number(w->out, f, v->value);
		return 0;
	}
}

void zero_write(struct writer *w, const struct schema_field *f)
{
	if (f->map)
		buf_append(w->out, "{}", 2);
	else if (f->repeated)
		buf_append(w->out, "[]", 2);
	else if (f->type == FIELD_STRING || f->type == FIELD_BYTES)
		buf_append(w->out, "\"\"", 2);
	else
		put_number(w->out, f, 0);
}

static void put_absent(struct writer *w, const struct schema_field *f, bool *first)
{
	if (f->presence || f->extension || w->o->skip_zero)
		return;
	put_key(w, f, first);
	zero_write(w, f);
}

/* --- lists --- */

static int put_packed(struct writer *w, const struct schema_field *f, struct bytes run, bool *first)
{
	struct pbuf_reader r = pbuf_reader(run.data, run.len);
	enum pbuf_wire wire = wire_type(f->type);
	size_t width = wire == PBUF_I64 ? 8 : 4;
	uint64_t v;

	while (r.p < r.end) {
		if (wire == PBUF_VARINT) {
			if (!pbuf_read_varint(&r, &v))
				return malformed(w, f->name);
		} else {
			if ((size_t)(r.end - r.p) < width)
				return malformed(w, f->name);
			v = 0;
			for (size_t i = 0; i < width; i++)
				v |= (uint64_t)r.p[i] << (8 * i);
			r.p += width;
		}
		if (!wire_enum_fits(f, v))
			continue;
		if (w->o->pretty)
			writer_separate(w, *first);
		else if (!*first)
			buf_append_byte(w->out, ',');
		*first = false;
		put_number(w->out, f, v);
	}
	return 0;
}

static int put_element(struct writer *w, const struct schema_field *f, const struct pbuf_field *v,
		       bool *first)
{
	if (v->wire == PBUF_LEN && wire_type(f->type) != PBUF_LEN)
		return put_packed(w, f, v->bytes, first);
	if (!*first || w->o->pretty)
		writer_separate(w, *first);
	*first = false;
	return value_write(w, f, v);
}

int list_write(struct writer *w, const struct schema_field *f, struct bytes run)
{
	struct pbuf_reader r = pbuf_reader(run.data, run.len);
	struct pbuf_field v;
	bool first = true;
	int err = 0;

	writer_open(w, '[');
	while (err == 0 && wire_next(&r, &v)) {
		if (v.number == f->number && wire_is_of(f, &v))
			err = put_element(w, f, &v, &first);
		if (w->out->len > w->out_limit)
			return writer_fail(w, "the JSON would be larger than %d MiB", OUTPUT_MAX >> 20);
	}
	writer_close(w, ']', first);
	return r.bad ? malformed(w, f->name) : err;
}

/* --- members --- */

/* Records of the field's number may hold no element: an empty packed list, another
 * wire type, values a closed enum has not. Then it is as good as absent. */
static int put_many(struct writer *w, const struct schema_field *f, struct bytes run, bool *first)
{
	size_t start = w->out->len, at;
	bool was_first = *first;
	int err;

	put_key(w, f, first);
	at = w->out->len;
	err = f->map ? map_write(w, f, run) : list_write(w, f, run);
	if (err == 0 && w->out->len == at + 2 && (f->extension || w->o->skip_zero)) {
		w->out->len = start;
		*first = was_first;
	}
	return err;
}

static int put_field(struct writer *w, const struct schema_field *f, const struct pbuf_field *v,
		     struct bytes run, bool *first)
{
	if (f->repeated)
		return put_many(w, f, run, first);
	put_key(w, f, first);
	return value_write(w, f, v);
}

/* A zero of a field without presence is as good as absent when those are left out. */
static bool is_skipped(const struct writer *w, const struct schema_field *f, const struct pbuf_field *v)
{
	return w->o->skip_zero && !f->presence && !f->repeated && v->value == 0;
}

/* The records from v on that have its number; leaves r after them. */
static struct bytes take_run(struct pbuf_reader *r, const struct pbuf_field *v)
{
	const uint8_t *start = v->start;
	struct pbuf_field next;

	for (;;) {
		const uint8_t *before = r->p;

		if (!wire_next(r, &next))
			break;
		if (next.number != v->number) {
			r->p = before;
			break;
		}
	}
	return (struct bytes){start, (size_t)(r->p - start)};
}

static int write_in_order(struct writer *w, const struct schema_message *m, struct bytes wire,
			  bool *first)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	size_t next = 0;
	struct pbuf_field v;

	while (wire_next(&r, &v)) {
		const struct schema_field *f = lookup_number(m, v.number);
		struct bytes run = {0};
		int err;

		if (f == NULL || (!f->repeated && !wire_is_of(f, &v)) || is_skipped(w, f, &v))
			continue;
		for (; next < f->index; next++)
			put_absent(w, &m->fields[next], first);
		if (f->repeated)
			run = take_run(&r, &v);
		next = f->index + 1;
		err = put_field(w, f, &v, run, first);
		if (err < 0)
			return err;
	}
	for (; next < m->n_fields; next++)
		put_absent(w, &m->fields[next], first);
	return r.bad ? malformed(w, m->name) : 0;
}

/* Items i .. j - 1 of a repeated field, which may lie apart. */
static int put_scattered(struct writer *w, const struct wire_index *x, size_t i, size_t j, bool *first)
{
	AUTO_BUF run = BUF_INIT;

	for (size_t k = i; k < j; k++)
		buf_append(&run, x->items[k].raw.data, x->items[k].raw.len);
	return put_field(w, x->items[i].field, &x->items[i].value, buf_bytes(&run), first);
}

static int write_indexed(struct writer *w, const struct schema_message *m, const struct wire_index *x,
			 bool *first)
{
	size_t next = 0;
	int err = 0;

	for (size_t i = 0, j; i < x->n && err == 0; i = j) {
		const struct schema_field *f = x->items[i].field;

		for (j = i + 1; j < x->n && x->items[j].field == f; j++)
			;
		if (is_skipped(w, f, &x->items[i].value))
			continue;
		for (; next < f->index; next++)
			put_absent(w, &m->fields[next], first);
		next = f->index + 1;
		err = f->repeated ? put_scattered(w, x, i, j, first)
				  : put_field(w, f, &x->items[i].value, (struct bytes){0}, first);
	}
	for (; next < m->n_fields && err == 0; next++)
		put_absent(w, &m->fields[next], first);
	return err;
}

int members_write(struct writer *w, const struct schema_message *m, struct bytes wire, bool *first)
{
	struct wire_index x;
	int err, ordered = wire_in_order(m, wire);

	if (ordered > 0)
		return write_in_order(w, m, wire, first);
	if (ordered < 0 || wire_index_init(&x, m, wire) < 0)
		return malformed(w, m->name);
	err = write_indexed(w, m, &x, first);
	wire_index_deinit(&x);
	return err;
}

static int object_write(struct writer *w, const struct schema_message *m, struct bytes wire)
{
	bool first = true;
	int err;

	writer_open(w, '{');
	err = members_write(w, m, wire, &first);
	writer_close(w, '}', first);
	return err;
}

int message_write(struct writer *w, const struct schema_message *m, struct bytes wire)
{
	int err;

	if (w->depth == TRANSCODE_WIRE_DEPTH)
		return writer_fail(w, "nested over %d messages deep", TRANSCODE_WIRE_DEPTH);
	if (w->out->len > w->out_limit)
		return writer_fail(w, "the JSON would be larger than %d MiB", OUTPUT_MAX >> 20);
	w->depth++;
	err = m->well_known == WK_NONE || m->well_known == WK_EMPTY ? object_write(w, m, wire)
								     : wellknown_write(w, m, wire);
	w->depth--;
	return err;
}

/* --- from outside --- */

static struct writer writer(const struct transcode_write *o, struct buf *out, char *why, size_t why_size)
{
	static const struct transcode_write defaults;

	if (why_size > 0)
		*why = '\0';
	return (struct writer){.o = o ? o : &defaults, .out = out, .out_limit = out->len + OUTPUT_MAX,
			       .why = why, .why_size = why_size};
}

static int finish(struct writer *w, size_t before, int err)
{
	if (err == 0 && buf_failed(w->out))
		err = writer_fail(w, "out of memory");
	if (err < 0)
		w->out->len = MIN(before, w->out->len);
	return err;
}

int transcode_to_json(const struct transcode_write *o, const struct schema_message *m,
		      struct bytes wire, struct buf *out, char *why, size_t why_size)
{
	struct writer w = writer(o, out, why, why_size);
	size_t before = out->len;

	return finish(&w, before, message_write(&w, m, wire));
}

/* Only the records of f, and in one piece. */
static int field_write(struct writer *w, const struct schema_field *f, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	AUTO_BUF all = BUF_INIT;
	struct pbuf_field v, last = {0};
	size_t n = 0;

	while (wire_next(&r, &v)) {
		if (v.number != f->number || !wire_is_of(f, &v))
			continue;
		if (f->repeated)
			buf_append(&all, v.start, (size_t)(r.p - v.start));
		else if (wire_is_message(f))
			buf_append(&all, v.bytes.data, v.bytes.len);
		last = v;
		n++;
	}
	if (r.bad)
		return malformed(w, f->parent->name);
	if (f->map)
		return map_write(w, f, buf_bytes(&all));
	if (f->repeated)
		return list_write(w, f, buf_bytes(&all));
	if (n > 0) {
		if (wire_is_message(f))
			last.bytes = buf_bytes(&all);
		return value_write(w, f, &last);
	}
	if (f->presence)
		buf_append_str(w->out, "null");
	else
		zero_write(w, f);
	return 0;
}

int transcode_field_to_json(const struct transcode_write *o, const struct schema_field *f,
			    struct bytes wire, struct buf *out, char *why, size_t why_size)
{
	struct writer w = writer(o, out, why, why_size);
	size_t before = out->len;

	return finish(&w, before, field_write(&w, f, wire));
}

/* Integers without the quotes that JSON puts around 64 bits. */
static void put_plain(struct buf *out, const struct schema_field *f, const struct pbuf_field *v)
{
	AUTO_BUF json = BUF_INIT;
	struct bytes b;

	put_number(&json, f, v->value);
	b = buf_bytes(&json);
	if (b.len >= 2 && b.data[0] == '"')
		b = (struct bytes){b.data + 1, b.len - 2};
	buf_append(out, b.data, b.len);
}

bool transcode_field_text(const struct schema_field *f, struct bytes wire, struct buf *out)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field v, last = {0};
	bool found = false;

	if (f->repeated || f->type == FIELD_BYTES || wire_is_message(f))
		return false;
	while (wire_next(&r, &v)) {
		if (v.number != f->number || v.wire != wire_type(f->type))
			continue;
		last = v;
		found = true;
	}
	if (r.bad || !found)
		return false;
	if (f->type == FIELD_STRING)
		buf_append(out, last.bytes.data, last.bytes.len);
	else
		put_plain(out, f, &last);
	return true;
}
