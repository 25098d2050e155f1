/* wellknown_write.c: messages whose JSON is not an object of their fields. */
#define _GNU_SOURCE /* memrchr */
#include "schema/wellknown.h"

#include <math.h>

#include "base/json.h"
#include "schema/writer.h"

static int malformed(struct writer *w, const struct schema_message *m)
{
	return writer_fail(w, "%s: the bytes are not such a message", m->name);
}

static int write_times(struct writer *w, const struct schema_message *m, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	int64_t s = 0;
	int32_t nanos = 0;
	struct pbuf_field v;
	bool fine;

	while (wire_next(&r, &v)) {
		if (v.number == 1 && v.wire == PBUF_VARINT)
			s = (int64_t)v.value;
		else if (v.number == 2 && v.wire == PBUF_VARINT)
			nanos = (int32_t)v.value;
	}
	if (r.bad)
		return malformed(w, m);
	buf_append_byte(w->out, '"');
	fine = m->well_known == WK_TIMESTAMP ? timestamp_format(w->out, s, nanos)
					     : duration_format(w->out, s, nanos);
	buf_append_byte(w->out, '"');
	return fine ? 0 : writer_fail(w, "%s: out of range (%lld s, %d ns)", m->name, (long long)s, nanos);
}

static int write_mask(struct writer *w, const struct schema_message *m, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	AUTO_BUF text = BUF_INIT;
	struct pbuf_field v;

	while (wire_next(&r, &v)) {
		if (v.number != 1 || v.wire != PBUF_LEN)
			continue;
		if (text.len > 0)
			buf_append_byte(&text, ',');
		if (!mask_path_format(&text, v.bytes))
			return writer_fail(w, "%s: path \"%.*s\" has no form in JSON", m->name,
					   (int)MIN(v.bytes.len, 64), (const char *)v.bytes.data);
	}
	json_put_string(w->out, (const char *)text.data, text.len);
	return r.bad ? malformed(w, m) : 0;
}

static int write_wrapper(struct writer *w, const struct schema_message *m, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	const struct schema_field *f = &m->fields[0];
	struct pbuf_field v, last = {0};
	bool found = false;

	while (wire_next(&r, &v)) {
		if (v.number != 1 || !wire_fits(f, v.wire))
			continue;
		last = v;
		found = true;
	}
	if (r.bad)
		return malformed(w, m);
	if (found)
		return value_write(w, f, &last);
	zero_write(w, f);
	return 0;
}

/* --- Value --- */

enum { VALUE_NULL = 1, VALUE_NUMBER };

static int write_kind(struct writer *w, const struct schema_field *f, const struct pbuf_field *v)
{
	/* JSON has no such number, and a string would be another Value */
	if (f->number == VALUE_NUMBER && !isfinite(pbuf_double(v->value)))
		return writer_fail(w, "google.protobuf.Value: its number is not finite");
	if (f->number == VALUE_NULL) {
		buf_append(w->out, "null", 4);
		return 0;
	}
	return value_write(w, f, v);
}

static int write_value_indexed(struct writer *w, const struct schema_message *m, struct bytes wire)
{
	struct wire_index x;
	int err = 0;

	if (wire_index_init(&x, m, wire) < 0)
		return malformed(w, m);
	if (x.n == 0)
		buf_append(w->out, "null", 4);
	else
		err = write_kind(w, x.items[0].field, &x.items[0].value);
	wire_index_deinit(&x);
	return err;
}

/* Nearly always one record. */
static int write_value(struct writer *w, const struct schema_message *m, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	const struct schema_field *f;
	struct pbuf_field v;

	if (wire_next(&r, &v) && r.p == r.end) {
		f = lookup_number(m, v.number);
		if (f != NULL && wire_fits(f, v.wire))
			return write_kind(w, f, &v);
	}
	return write_value_indexed(w, m, wire);
}

/* --- Any --- */

static const struct schema_message *resolve(const struct writer *w, struct bytes url)
{
	const uint8_t *slash = url.len ? memrchr(url.data, '/', url.len) : NULL;

	if (slash == NULL || w->o->schema == NULL)
		return NULL;
	return schema_message(w->o->schema, (const char *)slash + 1,
			      (size_t)(url.data + url.len - slash - 1));
}

static int write_any_members(struct writer *w, const struct schema_message *m, struct bytes url,
			     struct bytes value)
{
	bool first = false;
	int err;

	writer_open(w, '{');
	writer_separate(w, true);
	buf_append_str(w->out, w->o->pretty ? "\"@type\": " : "\"@type\":");
	json_put_string(w->out, (const char *)url.data, url.len);
	if (m->well_known == WK_NONE || m->well_known == WK_EMPTY) {
		err = members_write(w, m, value, &first);
	} else {
		writer_separate(w, false);
		buf_append_str(w->out, w->o->pretty ? "\"value\": " : "\"value\":");
		err = message_write(w, m, value);
	}
	writer_close(w, '}', false);
	return err;
}

int any_write(struct writer *w, const struct schema_message *m, struct bytes wire, bool bare)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct bytes url = {0}, value = {0};
	const struct schema_message *target;
	struct pbuf_field v;
	int err;

	while (wire_next(&r, &v)) {
		if (v.wire == PBUF_LEN && v.number == 1)
			url = v.bytes;
		else if (v.wire == PBUF_LEN && v.number == 2)
			value = v.bytes;
	}
	if (r.bad)
		return malformed(w, m);
	if (url.len == 0 && value.len == 0) {
		buf_append(w->out, "{}", 2);
		return 0;
	}
	if (bare && bare_is_json(url))
		return bare_write(w, value);
	target = resolve(w, url);
	if (target == NULL)
		return writer_fail(w, "an Any holds a \"%.*s\", which the schema does not have",
				   (int)MIN(url.len, 200), (const char *)url.data);
	if (w->depth == TRANSCODE_WIRE_DEPTH)
		return writer_fail(w, "nested over %d messages deep", TRANSCODE_WIRE_DEPTH);
	w->depth++;
	err = bare ? message_write(w, target, value) : write_any_members(w, target, url, value);
	w->depth--;
	return err;
}

int wellknown_write(struct writer *w, const struct schema_message *m, struct bytes wire)
{
	switch (m->well_known) {
	case WK_ANY:
		return any_write(w, m, wire, false);
	case WK_TIMESTAMP:
	case WK_DURATION:
		return write_times(w, m, wire);
	case WK_FIELD_MASK:
		return write_mask(w, m, wire);
	case WK_STRUCT:
		return map_write(w, &m->fields[0], wire);
	case WK_LIST_VALUE:
		return list_write(w, &m->fields[0], wire);
	case WK_VALUE:
		return write_value(w, m, wire);
	default:
		return write_wrapper(w, m, wire);
	}
}
