/* task_metadata.c: see task_metadata.h.
 *
 *   repeated KeyValue {key = 1, value = 2} pair = 1;
 *   string x-request-id = 2; bytes traceparent = 3 (25 bytes); string errand-identity = 4;
 *
 * The latter three come with every task: with their keys, and the trace as text, they
 * were twice as long as the rest of a small task. */
#define _GNU_SOURCE
#include "service/task_metadata.h"

#include <string.h>

#include "base/log.h"
#include "base/pbuf.h"

enum { PAIR = 1, REQUEST_ID = 2, TRACEPARENT = 3, IDENTITY = 4 };
enum { TRACE_BYTES = 25 };

static const struct {
	size_t len;
	const char *text;
} keys[] = {
	[REQUEST_ID] = {12, "x-request-id"}, [TRACEPARENT] = {11, "traceparent"}, [IDENTITY] = {15, "errand-identity"},
};

static uint32_t field_of(struct bytes key)
{
	for (uint32_t i = REQUEST_ID; i < ARRAY_LEN(keys); i++)
		if (key.len == keys[i].len && memcmp(key.data, keys[i].text, key.len) == 0)
			return i;
	return PAIR;
}

/* --- writing --- */

/* False: this text would not come out of those bytes again. */
static bool put_trace(struct buf *row, struct bytes text)
{
	uint8_t raw[TRACE_BYTES];
	struct trace t;

	if (text.len != TRACE_SIZE - 1 || memcmp(text.data, "00", 2) != 0 ||
	    !trace_read((const char *)text.data, text.len, &t))
		return false;
	memcpy(raw, t.id, 16);
	memcpy(raw + 16, t.span, 8);
	raw[24] = t.flags;
	pbuf_put_bytes(row, TRACEPARENT, raw, sizeof raw);
	return true;
}

static void put_pair(struct buf *row, const struct wire_pair *pair)
{
	AUTO_BUF b = BUF_INIT;

	pbuf_put_bytes(&b, 1, pair->key.data, pair->key.len);
	pbuf_put_bytes(&b, 2, pair->value.data, pair->value.len);
	pbuf_put_bytes(row, PAIR, b.data, b.len);
}

void task_metadata_put(struct buf *row, const struct wire_pair *pair)
{
	uint32_t field = field_of(pair->key);

	if (field == PAIR || (field == TRACEPARENT && !put_trace(row, pair->value)))
		put_pair(row, pair);
	else if (field != TRACEPARENT)
		pbuf_put_bytes(row, field, pair->value.data, pair->value.len);
}

/* --- reading --- */

static struct bytes read_trace(struct bytes raw, char text[TRACE_SIZE])
{
	struct trace t = {0};

	if (raw.len == TRACE_BYTES) {
		memcpy(t.id, raw.data, 16);
		memcpy(t.span, raw.data + 16, 8);
		t.flags = raw.data[24];
	}
	trace_write(&t, text);
	return (struct bytes){(const uint8_t *)text, TRACE_SIZE - 1};
}

static struct wire_pair read_pair(struct bytes message)
{
	struct pbuf_reader r = pbuf_reader(message.data, message.len);
	struct wire_pair pair = {0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		*(f.number == 1 ? &pair.key : &pair.value) = f.bytes;
	return pair;
}

void task_metadata_read(const struct buf *row, struct task_metadata *out)
{
	struct pbuf_reader r = pbuf_reader(row->data, row->len);
	struct pbuf_field f;

	out->n = 0;
	while (out->n < ARRAY_LEN(out->pairs) && pbuf_next(&r, &f)) {
		if (f.number == PAIR)
			out->pairs[out->n++] = read_pair(f.bytes);
		else if (f.number < ARRAY_LEN(keys))
			wire_pair_add(out->pairs, &out->n, keys[f.number].text, f.number == TRACEPARENT ?
				      read_trace(f.bytes, out->traceparent) : f.bytes);
	}
}

char *task_metadata_get(const struct buf *row, const char *key)
{
	struct task_metadata m;
	struct bytes value;

	task_metadata_read(row, &m);
	value = wire_pair_get(m.pairs, m.n, key);
	return value.data != NULL ? xstrndup((const char *)value.data, value.len) : NULL;
}

struct log_ids *task_metadata_ids(const struct buf *row, const struct uuid *task, unsigned attempt)
{
	AUTO_FREE char *request = task_metadata_get(row, keys[REQUEST_ID].text);
	AUTO_FREE char *parent = task_metadata_get(row, keys[TRACEPARENT].text);
	char id[UUID_TEXT_SIZE];
	const struct log_ids ids = {request, uuid_format(task, id), parent, attempt};

	return log_ids_copy(&ids);
}
