/* map_write.c: a map field's entries as a JSON object. The wire may give a key
 * twice, JSON may not: the last one counts, in the place of the first. */
#include <stdlib.h>

#include "base/json.h"
#include "schema/keyset.h"
#include "schema/writer.h"

enum { FEW_ENTRIES = 16 };

struct entry {
	struct pbuf_field key, value; /* number 0 = absent */
	struct bytes merged;          /* owned: a value message given in parts */
};

static int parse_entry(const struct schema_field *f, struct bytes wire, struct entry *e)
{
	const struct schema_message *m = f->message;
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field v;
	int in_order = 1;

	*e = (struct entry){0};
	while (wire_next(&r, &v)) {
		if (v.number == 1 && wire_fits(&m->fields[0], v.wire)) {
			e->key = v;
		} else if (v.number == 2 && wire_fits(&m->fields[1], v.wire)) {
			in_order = e->value.number == 0 || !wire_is_message(&m->fields[1]);
			e->value = v;
		}
	}
	if (r.bad || in_order)
		return r.bad ? -1 : 0;
	return 1;
}

/* The rare entry whose value came in parts. */
static int parse_scattered(const struct schema_field *f, struct bytes wire, struct entry *e)
{
	struct wire_index x;

	if (wire_index_init(&x, f->message, wire) < 0)
		return -1;
	for (size_t i = 0; i < x.n; i++) {
		if (x.items[i].field->number != 2)
			continue;
		e->value = x.items[i].value;
		e->merged.len = e->value.bytes.len;
		e->merged.data = xmalloc(e->merged.len);
		if (e->merged.len > 0)
			memcpy((uint8_t *)e->merged.data, e->value.bytes.data, e->merged.len);
		e->value.bytes = e->merged;
	}
	wire_index_deinit(&x);
	return 0;
}

/* Keys that are not strings are the same when their bits are. */
static struct bytes identity(const struct schema_field *key, struct entry *e)
{
	if (key->type == FIELD_STRING)
		return e->key.bytes;
	if (wire_type(key->type) == PBUF_VARINT &&
	    (key->type == FIELD_INT32 || key->type == FIELD_UINT32 || key->type == FIELD_SINT32))
		e->key.value &= UINT32_MAX;
	if (key->type == FIELD_BOOL)
		e->key.value = e->key.value != 0;
	return (struct bytes){(const uint8_t *)&e->key.value, sizeof e->key.value};
}

static void put_map_key(struct writer *w, const struct schema_field *key, const struct entry *e)
{
	size_t at = w->out->len;

	if (key->type == FIELD_STRING) {
		json_put_string(w->out, (const char *)e->key.bytes.data, e->key.bytes.len);
		return;
	}
	buf_append_byte(w->out, '"');
	value_write(w, key, &e->key);
	buf_append_byte(w->out, '"');
	/* 64-bit integers bring quotes of their own */
	if (!buf_failed(w->out) && w->out->data[at + 1] == '"') {
		memmove(w->out->data + at, w->out->data + at + 1, w->out->len - at - 2);
		w->out->len -= 2;
	}
}

static int put_entry(struct writer *w, const struct schema_field *f, const struct entry *e, bool first)
{
	const struct schema_field *value = &f->message->fields[1];

	if (!first || w->o->pretty)
		writer_separate(w, first);
	put_map_key(w, &f->message->fields[0], e);
	buf_append_byte(w->out, ':');
	if (w->o->pretty)
		buf_append_byte(w->out, ' ');
	if (e->value.number != 0)
		return value_write(w, value, &e->value);
	if (wire_is_message(value))
		return message_write(w, value->message, (struct bytes){0});
	zero_write(w, value);
	return 0;
}

static size_t count(struct bytes run)
{
	struct pbuf_reader r = pbuf_reader(run.data, run.len);
	struct pbuf_field v;
	size_t n = 0;

	while (wire_next(&r, &v))
		n++;
	return n;
}

/* Entries of `run`, each key once; there is room for all of them. Returns their
 * number, or -1 when one is malformed. */
static int64_t collect(const struct schema_field *f, struct bytes run, struct entry *entries)
{
	struct pbuf_reader r = pbuf_reader(run.data, run.len);
	struct pbuf_field v;
	AUTO_KEYSET keys;
	int64_t n = 0;

	keyset_init(&keys);
	while (wire_next(&r, &v)) {
		struct entry *e = &entries[n];
		int64_t at;
		int res;

		if (v.number != f->number || v.wire != PBUF_LEN)
			continue;
		res = parse_entry(f, v.bytes, e);
		if (res > 0)
			res = parse_scattered(f, v.bytes, e);
		if (res < 0) {
			for (int64_t i = 0; i < n; i++)
				free((uint8_t *)entries[i].merged.data);
			return -1;
		}
		if (e->value.wire == PBUF_VARINT &&
		    !wire_enum_fits(&f->message->fields[1], e->value.value))
			continue; /* an unknown field */
		at = keyset_add(&keys, identity(&f->message->fields[0], e));
		if (at >= 0) {
			n++;
			continue;
		}
		free((uint8_t *)entries[-1 - at].merged.data);
		entries[-1 - at].value = e->value;
		entries[-1 - at].merged = e->merged;
	}
	return n;
}

int map_write(struct writer *w, const struct schema_field *f, struct bytes run)
{
	struct entry few[FEW_ENTRIES], *entries = few;
	size_t n_records = count(run);
	int64_t n;
	int err = 0;

	if (n_records > FEW_ENTRIES)
		entries = xcalloc(n_records, sizeof *entries);
	n = collect(f, run, entries);
	writer_open(w, '{');
	for (int64_t i = 0; i < n && err == 0; i++) {
		err = put_entry(w, f, &entries[i], i == 0);
		if (err == 0 && w->out->len > w->out_limit)
			err = writer_fail(w, "%s: the JSON would be too large", f->name);
	}
	writer_close(w, '}', n == 0);
	for (int64_t i = 0; i < n; i++)
		free((uint8_t *)entries[i].merged.data);
	if (entries != few)
		free(entries);
	return n < 0 ? writer_fail(w, "%s: the bytes are not such a map", f->name) : err;
}
