#include "base/pbuf.h"

/* google.protobuf's own recursion limit; groups nest only here. */
enum { GROUP_DEPTH = 100 };

static bool fail(struct pbuf_reader *r)
{
	r->bad = true;
	return false;
}

bool pbuf_read_varint(struct pbuf_reader *r, uint64_t *out)
{
	const uint8_t *p = r->p;
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		if (p == r->end)
			return fail(r);
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (*p++ < 0x80) {
			if (shift == 63 && p[-1] > 1)
				return fail(r);
			r->p = p;
			*out = v;
			return true;
		}
	}
	return fail(r);
}

static bool read_fixed(struct pbuf_reader *r, unsigned n, uint64_t *out)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->p) < n)
		return fail(r);
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)r->p[i] << (8 * i);
	r->p += n;
	*out = v;
	return true;
}

static bool next(struct pbuf_reader *r, struct pbuf_field *f, int depth);

/* Reads fields up to the end tag of group `number`; the inside is f->bytes. */
static bool read_group(struct pbuf_reader *r, struct pbuf_field *f, int depth)
{
	struct pbuf_field in;

	f->bytes.data = r->p;
	if (depth >= GROUP_DEPTH)
		return fail(r);
	while (next(r, &in, depth + 1)) {
		if (in.wire != PBUF_EGROUP)
			continue;
		if (in.number != f->number)
			return fail(r);
		f->bytes.len = (size_t)(in.start - f->bytes.data);
		return true;
	}
	return fail(r);
}

static bool next(struct pbuf_reader *r, struct pbuf_field *f, int depth)
{
	uint64_t tag;

	f->start = r->p;
	if (r->bad || r->p == r->end)
		return false;
	if (!pbuf_read_varint(r, &tag))
		return false;
	if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
		return fail(r);
	f->number = (uint32_t)(tag >> 3);
	f->wire = (enum pbuf_wire)(tag & 7);
	f->value = 0;
	f->bytes = (struct bytes){NULL, 0};
	switch (f->wire) {
	case PBUF_VARINT:
		return pbuf_read_varint(r, &f->value);
	case PBUF_I64:
		return read_fixed(r, 8, &f->value);
	case PBUF_I32:
		return read_fixed(r, 4, &f->value);
	case PBUF_LEN:
		if (!pbuf_read_varint(r, &f->value))
			return false;
		if (f->value > (uint64_t)(r->end - r->p))
			return fail(r);
		f->bytes = (struct bytes){r->p, (size_t)f->value};
		r->p += f->value;
		return true;
	case PBUF_SGROUP:
		return read_group(r, f, depth);
	case PBUF_EGROUP:
		return depth > 0 ? true : fail(r);
	}
	return fail(r);
}

/* Nearly all fields of a call's messages: text or bytes, their tag and length one byte each. */
static bool next_short(struct pbuf_reader *r, struct pbuf_field *f)
{
	const uint8_t *p = r->p;

	if (r->bad || r->end - p < 2 || (p[0] & 0x87) != PBUF_LEN || p[0] < 8 || p[1] > 0x7f || p[1] > r->end - p - 2)
		return false;
	*f = (struct pbuf_field){p[0] >> 3, PBUF_LEN, p[1], {p + 2, p[1]}, p};
	r->p = p + 2 + p[1];
	return true;
}

bool pbuf_next(struct pbuf_reader *r, struct pbuf_field *f)
{
	return next_short(r, f) || next(r, f, 0);
}
