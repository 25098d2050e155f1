/* See httpbody.h. */
#include "gateway/httpbody.h"

#include <string.h>

#include "base/pbuf.h"

enum { CONTENT_TYPE = 1, DATA = 2 }; /* fields of google.api.HttpBody */

static bool is_raw(const struct schema_message *m)
{
	return strcmp(m->name, "google.api.HttpBody") == 0;
}

static bool field_is_raw(const struct schema_field *f)
{
	return f->type == FIELD_MESSAGE && !f->repeated && !f->map && is_raw(f->message);
}

bool httpbody_in(const struct route *r)
{
	if (r->http == NULL)
		return false;
	return r->body_all ? is_raw(r->method->input) : r->body != NULL && field_is_raw(r->body);
}

bool httpbody_out(const struct route *r)
{
	if (r->http == NULL)
		return false;
	return r->response_body != NULL ? field_is_raw(r->response_body) : is_raw(r->method->output);
}

void httpbody_write(struct buf *out, const struct httpbody *body)
{
	if (body->content_type.len != 0)
		pbuf_put_bytes(out, CONTENT_TYPE, body->content_type.data, body->content_type.len);
	if (body->data.len != 0)
		pbuf_put_bytes(out, DATA, body->data.data, body->data.len);
}

/* The last field of that number that is bytes; empty when there is none. */
static bool read_field(struct bytes wire, uint32_t number, struct bytes *out)
{
	struct pbuf_reader reader = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	*out = (struct bytes){NULL, 0};
	while (pbuf_next(&reader, &f))
		if (f.number == number && f.wire == PBUF_LEN)
			*out = f.bytes;
	return !reader.bad;
}

bool httpbody_read(const struct route *r, struct bytes wire, struct buf *scratch, struct httpbody *body)
{
	if (r->response_body != NULL &&
	    !read_field(field_path_enter(&r->response_path, wire, scratch), r->response_body->number, &wire))
		return false;
	return read_field(wire, CONTENT_TYPE, &body->content_type) && read_field(wire, DATA, &body->data);
}

bool httpbody_type(const struct httpbody *body, char *out, size_t size)
{
	struct bytes type = body->content_type;

	if (type.len == 0)
		type = (struct bytes){(const uint8_t *)"application/octet-stream", 24};
	if (type.len >= size)
		return false;
	for (size_t i = 0; i < type.len; i++)
		if (type.data[i] < ' ' || type.data[i] > '~')
			return false;
	memcpy(out, type.data, type.len);
	out[type.len] = '\0';
	return true;
}
