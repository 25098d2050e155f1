/* transcode_text.c: one value as plain text (a path variable, a query parameter,
 * field=value of the CLI) as a field of wire bytes, nested where its path says;
 * and the other way for a single field. Any thread. */
#include "base/err.h"
#include "base/json.h"
#include "schema/reader.h"

/* Zero is written too: this value stands over one of the body. */
static int put_last(struct reader *r, const struct schema_field *f, struct bytes text)
{
	struct scalar v;
	size_t body;
	int res;

	if (f->message == NULL) {
		res = scalar_from_text(r, f, text, &v);
		if (res != READ_OK)
			return res;
		reader_tag(r, f);
		body = f->packed ? wire_open(r->out) : 0;
		scalar_put(r->out, f, &v);
		if (f->packed)
			wire_close(r->out, body);
		return READ_OK;
	}
	if (f->map || f->type == FIELD_GROUP)
		return reader_fault(r, "type", text.data, text.len, "%s cannot be given as plain text",
				    f->name);
	reader_tag(r, f);
	body = wire_open(r->out);
	res = wellknown_from_text(r, f->message, text);
	if (res == READ_OK)
		wire_close(r->out, body);
	return res;
}

static int put_path(struct reader *r, const struct schema_field *const *path, size_t depth,
		    struct bytes text)
{
	size_t body;
	int res;

	if (depth == 1)
		return put_last(r, path[0], text);
	if (path[0]->repeated || path[0]->type != FIELD_MESSAGE)
		return reader_fault(r, "type", NULL, 0, "%s is not a single message", path[0]->name);
	reader_tag(r, path[0]);
	body = wire_open(r->out);
	res = put_path(r, path + 1, depth - 1, text);
	if (res == READ_OK)
		wire_close(r->out, body);
	return res;
}

bool transcode_field_is_text(const struct schema_field *f)
{
	if (f->message == NULL)
		return true;
	switch (f->message->well_known) {
	case WK_TIMESTAMP: case WK_DURATION: case WK_FIELD_MASK: case WK_WRAPPER:
		return true;
	default:
		return false;
	}
}

int transcode_field_from_text(const struct schema_field *const *path, size_t depth,
			      const char *text, size_t len, const char *parameter,
			      struct buf *out, struct fault_list *faults)
{
	static const struct transcode_read defaults;
	size_t before = out->len;
	struct reader r;
	int res;

	reader_init(&r, &defaults, text, len, parameter, out, faults);
	r.fault_place = FAULT_PARAMETER;
	res = put_path(&r, path, depth, (struct bytes){(const uint8_t *)text, len});
	if (res == READ_OK && (buf_failed(out) || buf_failed(&r.scratch)))
		res = reader_fault(&r, "size", NULL, 0, "out of memory");
	reader_deinit(&r);
	if (res == READ_OK)
		return 0;
	out->len = MIN(before, out->len);
	return -ERRAND_INVALID_ARGUMENT;
}
