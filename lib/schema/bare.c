/* bare.c: a bare Any in JSON is its message alone, so when it is read nothing says
 * which message that is. The text is kept as it stands, as an errand.v1.Json (field 1,
 * bytes), for who knows the message; its grammar is looked at, and that no key
 * comes twice, so that who reads it after us cannot see another value. null is one, too:
 * the message may be a google.protobuf.Value. Written again
 * it is that text. Any thread; state is on the stack. */
#include "schema/keyset.h"
#include "schema/reader.h"
#include "schema/writer.h"

#define NAME "errand.v1.Json"
#define URL "type.googleapis.com/" NAME

/* --- reading --- */

static int check_value(struct reader *r);

static int check_member(struct reader *r, struct place *place, struct keyset *seen)
{
	struct bytes key;

	if (reader_key(r, &key) < 0)
		return READ_STOP;
	place->name = key.data;
	place->len = key.len;
	r->at = place;
	if (keyset_add(seen, key) < 0)
		return reader_syntax(r, "duplicate", "%.*s is there twice", (int)MIN(key.len, 64),
				     (const char *)key.data);
	return check_value(r);
}

static int check_object(struct reader *r)
{
	struct place place = {.up = r->at};
	AUTO_KEYSET seen;
	int more = 1;

	keyset_init(&seen);
	if (reader_enter(r) < 0)
		return READ_STOP;
	if (reader_peek(r) == '}') {
		r->p++;
		r->depth--;
		return READ_OK;
	}
	while (more > 0) {
		if (check_member(r, &place, &seen) < 0)
			return READ_STOP;
		r->at = place.up;
		more = reader_more(r, '}');
	}
	return more;
}

static int check_array(struct reader *r)
{
	struct place place = {.up = r->at};
	int more = 1;

	if (reader_enter(r) < 0)
		return READ_STOP;
	if (reader_peek(r) == ']') {
		r->p++;
		r->depth--;
		return READ_OK;
	}
	r->at = &place;
	while (more > 0) {
		if (check_value(r) < 0)
			return READ_STOP;
		place.index++;
		more = reader_more(r, ']');
	}
	r->at = place.up;
	return more;
}

/* As reader_skip, which does not compare keys; as deep as reader_enter lets it. */
static int check_value(struct reader *r)
{
	switch (reader_peek(r)) {
	case '{': return check_object(r);
	case '[': return check_array(r);
	default: return reader_skip(r);
	}
}

int bare_read(struct reader *r, const struct schema_message *any)
{
	static const struct bytes url = {(const uint8_t *)URL, sizeof URL - 1};
	const uint8_t *start = r->p;
	size_t body;

	if (check_value(r) < 0)
		return READ_STOP;
	reader_tag(r, &any->fields[0]);
	scalar_put(r->out, &any->fields[0], &(struct scalar){.text = url});
	reader_tag(r, &any->fields[1]);
	body = wire_open(r->out);
	pbuf_put_bytes(r->out, 1, start, (size_t)(r->p - start));
	wire_close(r->out, body);
	return READ_OK;
}

/* --- writing --- */

bool bare_is_json(struct bytes url)
{
	const size_t len = sizeof "/" NAME - 1;

	return url.len >= len && memcmp(url.data + url.len - len, "/" NAME, len) == 0;
}

/* The value in the text, without the space around it; false when there is not
 * exactly one. */
static bool find_value(struct bytes text, struct bytes *value)
{
	static const struct transcode_read plain;
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF none = BUF_INIT;
	struct reader r;
	bool fine;

	reader_init(&r, &plain, (const char *)text.data, text.len, "#", &none, &faults);
	reader_space(&r);
	value->data = r.p;
	fine = check_value(&r) == READ_OK;
	value->len = (size_t)(r.p - value->data);
	reader_space(&r);
	fine = fine && r.p == r.end;
	reader_deinit(&r);
	fault_list_deinit(&faults);
	return fine;
}

int bare_write(struct writer *w, struct bytes json)
{
	struct pbuf_reader r = pbuf_reader(json.data, json.len);
	struct bytes text = {0}, value;
	struct pbuf_field v;

	while (wire_next(&r, &v))
		if (v.number == 1 && v.wire == PBUF_LEN)
			text = v.bytes;
	if (r.bad || !find_value(text, &value))
		return writer_fail(w, "an " NAME " holds no JSON value");
	buf_append(w->out, value.data, value.len);
	return 0;
}
