/* wire.h: one level of a wire message by the tables: reading fields fast when
 * they are small, telling whether they come in order, and putting them in order
 * when they do not. Private to lib/schema. */
#ifndef SCHEMA_WIRE_H
#define SCHEMA_WIRE_H

#include "base/pbuf.h"
#include "schema/tables.h"

/* pbuf_next, with the short forms inline. */
static inline bool wire_next(struct pbuf_reader *r, struct pbuf_field *f)
{
	const uint8_t *p = r->p;

	if (r->end - p >= 2 && p[0] < 0x80 && p[0] >= 8 && p[1] < 0x80) {
		f->number = p[0] >> 3;
		f->wire = (enum pbuf_wire)(p[0] & 7);
		f->value = p[1];
		f->start = p;
		if (f->wire == PBUF_VARINT) {
			r->p = p + 2;
			return true;
		}
		if (f->wire == PBUF_LEN && p[1] <= r->end - p - 2) {
			f->bytes = (struct bytes){p + 2, p[1]};
			r->p = p + 2 + p[1];
			return true;
		}
	}
	return pbuf_next(r, f);
}

static inline bool wire_is_message(const struct schema_field *f)
{
	return f->type == FIELD_MESSAGE || f->type == FIELD_GROUP;
}

/* The wire type of one unpacked value. */
static inline enum pbuf_wire wire_type(enum field_type t)
{
	static const uint8_t types[] = {
		[FIELD_DOUBLE] = PBUF_I64, [FIELD_FIXED64] = PBUF_I64, [FIELD_SFIXED64] = PBUF_I64,
		[FIELD_FLOAT] = PBUF_I32, [FIELD_FIXED32] = PBUF_I32, [FIELD_SFIXED32] = PBUF_I32,
		[FIELD_STRING] = PBUF_LEN, [FIELD_BYTES] = PBUF_LEN, [FIELD_MESSAGE] = PBUF_LEN,
		[FIELD_GROUP] = PBUF_SGROUP, [FIELD_SINT64] = PBUF_VARINT,
	};

	return (enum pbuf_wire)types[t];
}

/* A record of another wire type is an unknown field. A repeated scalar is read
 * packed and unpacked. */
static inline bool wire_fits(const struct schema_field *f, enum pbuf_wire wire)
{
	return wire == wire_type(f->type) || (f->repeated && wire == PBUF_LEN &&
					      f->type != FIELD_GROUP);
}

/* A closed enum has no room for other numbers: a record with one is unknown. */
static inline bool wire_enum_fits(const struct schema_field *f, uint64_t value)
{
	return f->type != FIELD_ENUM || !f->enumeration->closed ||
	       schema_enum_by_number(f->enumeration, (int32_t)value) != NULL;
}

/* Does record v belong to f? Of packed lists each element is to be asked. */
static inline bool wire_is_of(const struct schema_field *f, const struct pbuf_field *v)
{
	return wire_fits(f, v->wire) && (v->wire != PBUF_VARINT || wire_enum_fits(f, v->value));
}

/* --- writing, with lengths that are known only at the end --- */

static inline void wire_put_tag(struct buf *out, const struct schema_field *f)
{
	const struct field_code *c = field_code(f);
	uint8_t *p = buf_reserve(out, 8);

	if (p == NULL)
		return;
	memcpy(p, c->tag, 5);
	out->len += c->tag_len;
}

/* One byte for the length; most messages are shorter than 128. Returns where the
 * content begins. */
static inline size_t wire_open(struct buf *out)
{
	buf_append_byte(out, 0);
	return out->len;
}

void wire_close_long(struct buf *out, size_t body, size_t len);

static inline void wire_close(struct buf *out, size_t body)
{
	size_t len = out->len - body;

	if (buf_failed(out))
		return;
	if (len < 128)
		out->data[body - 1] = (uint8_t)len;
	else
		wire_close_long(out, body, len);
}

/* --- order --- */

/* 1: fields ascend, nothing singular comes twice and no oneof has two members;
 * 0: not so; -1: malformed. */
int wire_in_order(const struct schema_message *m, struct bytes wire);

/* One level in order of field index; unknown fields, overridden values and lost
 * oneof members are gone, a singular message given in parts is in one piece. */
struct wire_index {
	struct wire_item {
		const struct schema_field *field;
		struct pbuf_field value;
		struct bytes raw;       /* tag included; of a merged message empty */
		size_t at;              /* its place on the wire, while sorting */
	} *items;               /* owned */
	size_t n;
	struct buf merged;      /* owned: what merged messages point into */
};

/* 0, or -1 when malformed. */
int wire_index_init(struct wire_index *x, const struct schema_message *m, struct bytes wire);
void wire_index_deinit(struct wire_index *x);

#endif
