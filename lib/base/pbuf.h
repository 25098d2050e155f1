/* pbuf.h: protobuf's wire format, as far as hand-written code needs it: a
 * cursor that reads fields and calls that append them to a struct buf. It
 * trusts nothing: every length is checked against what is left.
 * Source: protobuf.dev/programming-guides/encoding. */
#ifndef BASE_PBUF_H
#define BASE_PBUF_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

enum pbuf_wire { PBUF_VARINT = 0, PBUF_I64 = 1, PBUF_LEN = 2, PBUF_SGROUP = 3,
		 PBUF_EGROUP = 4, PBUF_I32 = 5 };

struct pbuf_reader {
	const uint8_t *p, *end; /* borrowed */
	bool bad;               /* malformed; p stays where it was found */
};

/* One field. value holds VARINT, I64 and I32; bytes holds LEN and the inside of
 * a group. start .. end of the whole field: start to reader's p after it. */
struct pbuf_field {
	uint32_t number;
	enum pbuf_wire wire;
	uint64_t value;
	struct bytes bytes;
	const uint8_t *start; /* the field's tag */
};

static inline struct pbuf_reader pbuf_reader(const void *data, size_t len)
{
	/* nothing is added to a NULL, not even 0 */
	return (struct pbuf_reader){data, len ? (const uint8_t *)data + len : data, false};
}

/* The next field, or false at the end and on malformed input (then r->bad). */
bool pbuf_next(struct pbuf_reader *r, struct pbuf_field *f);

/* Reads one varint of at most 10 bytes; false (and bad) when there is none. */
bool pbuf_read_varint(struct pbuf_reader *r, uint64_t *out);

static inline size_t pbuf_varint_size(uint64_t v)
{
	size_t bits = 64 - (size_t)__builtin_clzll(v | 1);

	return (bits + 6) / 7;
}

/* Writes at p, which has room for 10; returns the end. */
static inline uint8_t *pbuf_write_varint(uint8_t *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

static inline void pbuf_put_varint(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_reserve(b, 10);

	if (p != NULL)
		b->len += (size_t)(pbuf_write_varint(p, v) - p);
}

static inline void pbuf_put_tag(struct buf *b, uint32_t number, enum pbuf_wire wire)
{
	pbuf_put_varint(b, (uint64_t)number << 3 | wire);
}

/* Fields: always written, also when zero or empty; the caller decides. */
static inline void pbuf_put_uint(struct buf *b, uint32_t number, uint64_t v)
{
	pbuf_put_tag(b, number, PBUF_VARINT);
	pbuf_put_varint(b, v);
}

static inline void pbuf_put_bytes(struct buf *b, uint32_t number, const void *data, size_t len)
{
	pbuf_put_tag(b, number, PBUF_LEN);
	pbuf_put_varint(b, len);
	buf_append(b, data, len);
}

static inline void pbuf_put_str(struct buf *b, uint32_t number, const char *s)
{
	pbuf_put_bytes(b, number, s, strlen(s));
}

static inline void pbuf_put_double(struct buf *b, uint32_t number, double d)
{
	uint8_t raw[8];
	uint64_t v;

	memcpy(&v, &d, 8);
	for (int i = 0; i < 8; i++)
		raw[i] = (uint8_t)(v >> (8 * i));
	pbuf_put_tag(b, number, PBUF_I64);
	buf_append(b, raw, 8);
}

static inline double pbuf_double(uint64_t v)
{
	double d;

	memcpy(&d, &v, 8);
	return d;
}

#endif
