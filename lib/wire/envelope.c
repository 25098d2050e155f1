/* envelope.c: Request and Response of ttrpc, read and written by hand. Reading
 * is one pass over the fields with pointers into the frame; writing reserves the
 * whole message once. No state, any thread. */
#include "wire/envelope.h"

#include <string.h>

#include "base/json.h"
#include "base/pbuf.h"
#include "errand/status.h"

#define PROBLEM_URL "type.googleapis.com/errand.v1.Problem"

enum { TAG_MAX = 2 }; /* bytes of a tag: our largest field number is 64 */

/* --- reading --- */

static bool is_text(struct bytes b)
{
	return json_utf8_valid(b.data, b.len) == b.len;
}

static int bad(void)
{
	return -ERRAND_INVALID_ARGUMENT;
}

static int read_bytes(const struct pbuf_field *f, struct bytes *out)
{
	if (f->wire != PBUF_LEN)
		return bad();
	*out = f->bytes;
	return 0;
}

static int read_text(const struct pbuf_field *f, struct bytes *out)
{
	return read_bytes(f, out) < 0 || !is_text(*out) ? bad() : 0;
}

static int read_pair(const struct pbuf_field *outer, struct wire_pair *pairs, size_t *np)
{
	struct pbuf_reader r = pbuf_reader(outer->bytes.data, outer->bytes.len);
	struct wire_pair *pair = &pairs[*np];
	struct pbuf_field f;
	int err = 0;

	if (outer->wire != PBUF_LEN || *np == ENVELOPE_METADATA_MAX)
		return bad();
	*pair = (struct wire_pair){{NULL, 0}, {NULL, 0}};
	while (err == 0 && pbuf_next(&r, &f)) {
		if (f.number == 1)
			err = read_text(&f, &pair->key);
		else if (f.number == 2)
			err = read_bytes(&f, &pair->value);
	}
	if (err < 0 || r.bad)
		return bad();
	++*np;
	return 0;
}

static int read_request_field(const struct pbuf_field *f, struct wire_request *out)
{
	switch (f->number) {
	case 1:
		return read_text(f, &out->service);
	case 2:
		return read_text(f, &out->method);
	case 3:
		return read_bytes(f, &out->payload);
	case 4:
		out->timeout_ns = (int64_t)f->value;
		return f->wire == PBUF_VARINT ? 0 : bad();
	case 5:
		return read_pair(f, out->metadata, &out->n_metadata);
	default:
		return 0; /* of a later version */
	}
}

/* The struct is 2 KiB, most of it pairs that are not there: not zeroed whole. */
int envelope_read_request(struct bytes in, struct wire_request *out)
{
	struct pbuf_reader r = pbuf_reader(in.data, in.len);
	struct pbuf_field f;

	out->service = out->method = out->payload = (struct bytes){NULL, 0};
	out->timeout_ns = 0;
	out->streaming = false;
	out->n_metadata = 0;
	while (pbuf_next(&r, &f))
		if (read_request_field(&f, out) < 0)
			return bad();
	return r.bad ? bad() : 0;
}

/* One Any of Status.details; only errand's own Problem is of interest. */
static int read_detail(const struct pbuf_field *outer, struct bytes *problem)
{
	struct pbuf_reader r = pbuf_reader(outer->bytes.data, outer->bytes.len);
	struct bytes url = {NULL, 0}, value = {NULL, 0};
	struct pbuf_field f;
	int err = 0;

	if (outer->wire != PBUF_LEN)
		return bad();
	while (err == 0 && pbuf_next(&r, &f)) {
		if (f.number == 1)
			err = read_bytes(&f, &url);
		else if (f.number == 2)
			err = read_bytes(&f, &value);
	}
	if (err < 0 || r.bad)
		return bad();
	if (url.len == strlen(PROBLEM_URL) && memcmp(url.data, PROBLEM_URL, url.len) == 0)
		*problem = value;
	return 0;
}

/* Called once more when the field comes again: protobuf merges messages. */
static int read_status(const struct pbuf_field *outer, struct wire_response *out)
{
	struct pbuf_reader r = pbuf_reader(outer->bytes.data, outer->bytes.len);
	struct pbuf_field f;
	int err = 0;

	if (outer->wire != PBUF_LEN)
		return bad();
	while (err == 0 && pbuf_next(&r, &f)) {
		if (f.number == 1) {
			out->code = (int)(int32_t)f.value;
			err = f.wire == PBUF_VARINT ? 0 : bad();
		} else if (f.number == 2) {
			err = read_text(&f, &out->message);
		} else if (f.number == 3) {
			err = read_detail(&f, &out->details);
		}
	}
	return err < 0 || r.bad ? bad() : 0;
}

static int read_response_field(const struct pbuf_field *f, struct wire_response *out)
{
	switch (f->number) {
	case 1:
		return read_status(f, out);
	case 2:
		return read_bytes(f, &out->payload);
	case 64:
		return read_pair(f, out->metadata, &out->n_metadata);
	default:
		return 0;
	}
}

int envelope_read_response(struct bytes in, struct wire_response *out)
{
	struct pbuf_reader r = pbuf_reader(in.data, in.len);
	struct pbuf_field f;

	out->code = ERRAND_OK;
	out->message = out->details = out->payload = (struct bytes){NULL, 0};
	out->n_metadata = 0;
	while (pbuf_next(&r, &f))
		if (read_response_field(&f, out) < 0)
			return bad();
	return r.bad ? bad() : 0;
}

/* --- writing --- */

/* Bytes of a length-delimited field with a tag of tag_size. */
static size_t field_size(size_t tag_size, size_t len)
{
	return tag_size + pbuf_varint_size(len) + len;
}

static size_t field_size_opt(size_t tag_size, size_t len)
{
	return len > 0 ? field_size(tag_size, len) : 0;
}

static void put_opt(struct buf *b, uint32_t number, struct bytes v)
{
	if (v.len > 0)
		pbuf_put_bytes(b, number, v.data, v.len);
}

static size_t pair_size(const struct wire_pair *p)
{
	return field_size_opt(1, p->key.len) + field_size_opt(1, p->value.len);
}

static void put_pairs(struct buf *b, uint32_t number, const struct wire_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		pbuf_put_tag(b, number, PBUF_LEN);
		pbuf_put_varint(b, pair_size(&pairs[i]));
		put_opt(b, 1, pairs[i].key);
		put_opt(b, 2, pairs[i].value);
	}
}

static size_t pairs_size(const struct wire_pair *pairs, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += field_size(TAG_MAX, pair_size(&pairs[i]));
	return size;
}

void envelope_write_request(struct buf *b, const struct wire_request *r)
{
	/* An upper bound: 16 for the timeout and its tag. */
	size_t size = field_size(1, r->service.len) + field_size(1, r->method.len) +
		      field_size(1, r->payload.len) + 16 +
		      pairs_size(r->metadata, r->n_metadata);

	if (buf_reserve(b, size) == NULL)
		return;
	put_opt(b, 1, r->service);
	put_opt(b, 2, r->method);
	put_opt(b, 3, r->payload);
	if (r->timeout_ns != 0)
		pbuf_put_uint(b, 4, (uint64_t)r->timeout_ns);
	put_pairs(b, 5, r->metadata, r->n_metadata);
}

static size_t detail_size(struct bytes details)
{
	return field_size(1, strlen(PROBLEM_URL)) + field_size(1, details.len);
}

/* int32 on the wire is sign-extended to 64 bits. */
static uint64_t code_bits(int code)
{
	return (uint64_t)(int64_t)code;
}

static size_t status_size(const struct wire_response *r)
{
	size_t size = r->code != 0 ? 1 + pbuf_varint_size(code_bits(r->code)) : 0;

	size += field_size_opt(1, r->message.len);
	if (r->details.len > 0)
		size += field_size(1, detail_size(r->details));
	return size;
}

static void put_status(struct buf *b, const struct wire_response *r, size_t size)
{
	pbuf_put_tag(b, 1, PBUF_LEN);
	pbuf_put_varint(b, size);
	if (r->code != 0)
		pbuf_put_uint(b, 1, code_bits(r->code));
	put_opt(b, 2, r->message);
	if (r->details.len == 0)
		return;
	pbuf_put_tag(b, 3, PBUF_LEN);
	pbuf_put_varint(b, detail_size(r->details));
	pbuf_put_str(b, 1, PROBLEM_URL);
	pbuf_put_bytes(b, 2, r->details.data, r->details.len);
}

void envelope_write_response(struct buf *b, const struct wire_response *r, bool with_metadata)
{
	size_t status = status_size(r);
	size_t size = field_size(1, status) + field_size(1, r->payload.len) +
		      (with_metadata ? pairs_size(r->metadata, r->n_metadata) : 0);

	if (buf_reserve(b, size) == NULL)
		return;
	put_status(b, r, status); /* also when empty: old Go clients insist on one */
	put_opt(b, 2, r->payload);
	if (with_metadata)
		put_pairs(b, 64, r->metadata, r->n_metadata);
}

/* --- pairs --- */
