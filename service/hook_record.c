/* hook_record.c: see hook_record.h. A record is the serialized errand.v1.Delivery with
 * members of our own from 100 on. */
#include "service/hook_record.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/task_clock.h"

#define GONE_MAX 1000 /* endpoints of one queue */

enum { ID = 1, TASK, EVENT, URL, STATE, ATTEMPT, STATUS, ERROR, CREATED, LAST, NEXT, ENDED, QUEUE,
       OWN_BEFORE = 100, OWN_TRACE, OWN_EVENT_US, OWN_LAST_US, OWN_END_US,
       OWN_FORCED };

void hook_delivery_deinit(struct hook_delivery *d)
{
	free(d->event);
	free(d->url);
	free(d->queue);
	free(d->traceparent);
	free(d->error);
	*d = (struct hook_delivery){0};
}

/* --- ids --- */

void hook_key(const struct uuid *task, uint64_t seq, uint8_t out[HOOK_KEY_SIZE])
{
	memcpy(out, task->b, sizeof task->b);
	for (int i = 0; i < 8; i++)
		out[16 + i] = (uint8_t)(seq >> (56 - 8 * i));
}

static uint64_t key_seq(const uint8_t key[HOOK_KEY_SIZE])
{
	uint64_t seq = 0;

	for (int i = 16; i < HOOK_KEY_SIZE; i++)
		seq = seq << 8 | key[i];
	return seq;
}

char *hook_id_format(const uint8_t key[HOOK_KEY_SIZE], char out[HOOK_ID_SIZE])
{
	struct uuid task;
	char text[UUID_TEXT_SIZE];

	memcpy(task.b, key, sizeof task.b);
	snprintf(out, HOOK_ID_SIZE, "%s-%llu", uuid_format(&task, text), (unsigned long long)key_seq(key));
	return out;
}

bool hook_id_parse(const char *text, uint8_t key[HOOK_KEY_SIZE])
{
	char task[UUID_TEXT_SIZE], again[HOOK_ID_SIZE];
	struct uuid id;
	char *end;

	if (strlen(text) < UUID_TEXT_SIZE + 1 || text[UUID_TEXT_SIZE - 1] != '-')
		return false;
	memcpy(task, text, UUID_TEXT_SIZE - 1);
	task[UUID_TEXT_SIZE - 1] = 0;
	if (!uuid_parse(task, &id))
		return false;
	hook_key(&id, strtoull(text + UUID_TEXT_SIZE, &end, 10), key);
	/* one text for one delivery: no signs, no zeros in front */
	return strcmp(hook_id_format(key, again) + UUID_TEXT_SIZE, text + UUID_TEXT_SIZE) == 0;
}

/* --- a delivery as bytes --- */

static void put_text(struct buf *out, uint32_t field, const char *text)
{
	if (text != NULL && *text != 0)
		pbuf_put_str(out, field, text);
}

static void put_uint(struct buf *out, uint32_t field, uint64_t v)
{
	if (v != 0)
		pbuf_put_uint(out, field, v);
}

static void put_time(struct buf *out, uint32_t field, int64_t us)
{
	AUTO_BUF t = BUF_INIT;

	if (us == 0)
		return;
	put_uint(&t, 1, (uint64_t)(us / US_PER_S));
	put_uint(&t, 2, (uint64_t)(us % US_PER_S * 1000));
	pbuf_put_bytes(out, field, t.data, t.len);
}

static void put_shared(const struct hook_delivery *d, struct buf *out)
{
	put_text(out, EVENT, d->event);
	put_text(out, URL, d->url);
	put_uint(out, STATE, d->state);
	put_uint(out, ATTEMPT, d->attempt);
	put_uint(out, STATUS, (uint64_t)d->status);
	put_text(out, ERROR, d->error);
	put_text(out, QUEUE, d->queue);
}

void hook_pack(const struct hook_delivery *d, struct buf *out)
{
	char id[HOOK_ID_SIZE];

	hook_id_format(d->key, id);
	pbuf_put_str(out, ID, id);
	pbuf_put_bytes(out, TASK, id, UUID_TEXT_SIZE - 1);
	put_shared(d, out);
	put_time(out, CREATED, d->event_us);
	put_time(out, LAST, d->last_us);
	if (d->state == HOOK_PENDING)
		put_time(out, NEXT, task_clock_to_wall(d->due_us));
	put_time(out, ENDED, d->end_us);
}

static void write_own(const struct hook_delivery *d, struct buf *out)
{
	put_shared(d, out);
	put_uint(out, OWN_BEFORE, d->before);
	put_text(out, OWN_TRACE, d->traceparent);
	put_uint(out, OWN_EVENT_US, (uint64_t)d->event_us);
	put_uint(out, OWN_LAST_US, (uint64_t)d->last_us);
	put_uint(out, OWN_END_US, (uint64_t)d->end_us);
	put_uint(out, OWN_FORCED, d->forced);
}

static void read_text(struct hook_delivery *d, const struct pbuf_field *f)
{
	char **to = f->number == EVENT ? &d->event : f->number == URL ? &d->url :
		    f->number == ERROR ? &d->error : f->number == QUEUE ? &d->queue :
		    f->number == OWN_TRACE ? &d->traceparent : NULL;

	if (to == NULL)
		return;
	free(*to);
	*to = xstrndup((const char *)f->bytes.data, f->bytes.len);
}

static void read_number(struct hook_delivery *d, uint32_t number, uint64_t v)
{
	switch (number) {
	case STATE: d->state = (enum hook_state)v; break;
	case ATTEMPT: d->attempt = (uint32_t)v; break;
	case STATUS: d->status = (int)v; break;
	case OWN_BEFORE: d->before = (uint32_t)v; break;
	case OWN_EVENT_US: d->event_us = (int64_t)v; break;
	case OWN_LAST_US: d->last_us = (int64_t)v; break;
	case OWN_END_US: d->end_us = (int64_t)v; break;
	case OWN_FORCED: d->forced = v != 0; break;
	}
}

bool hook_read(const struct record *r, struct hook_delivery *out)
{
	struct pbuf_reader in = pbuf_reader(r->data.data, r->data.len);
	struct pbuf_field f;

	*out = (struct hook_delivery){.due_us = r->due_us};
	if (r->key.len != HOOK_KEY_SIZE)
		return false;
	memcpy(out->key, r->key.data, HOOK_KEY_SIZE);
	while (pbuf_next(&in, &f))
		if (f.wire == PBUF_LEN)
			read_text(out, &f);
		else if (f.wire == PBUF_VARINT)
			read_number(out, f.number, f.value);
	if (!in.bad && out->url != NULL && out->event != NULL)
		return true;
	hook_delivery_deinit(out);
	return false;
}

/* --- in the store --- */

static struct bytes key_bytes(const uint8_t key[HOOK_KEY_SIZE])
{
	return (struct bytes){key, HOOK_KEY_SIZE};
}

int hook_put(const struct store_ops *ops, struct store *s, const struct hook_delivery *d)
{
	struct record r = {.kind = RECORD_DELIVERY, .due_us = d->due_us};
	int code;

	buf_append(&r.key, d->key, HOOK_KEY_SIZE);
	write_own(d, &r.data);
	code = ops->put_record(s, &r);
	record_deinit(&r);
	return code;
}

int hook_get(const struct store_ops *ops, struct store *s, const uint8_t key[HOOK_KEY_SIZE],
	     struct hook_delivery *out)
{
	struct record r = {0};
	int code = ops->get_record(s, RECORD_DELIVERY, key_bytes(key), &r);

	*out = (struct hook_delivery){0};
	if (code == 0 && !hook_read(&r, out))
		code = -ERRAND_DATA_LOSS;
	record_deinit(&r);
	return code;
}

static int gone_is_fine(int code)
{
	return code == -ERRAND_NOT_FOUND ? 0 : code;
}

int hook_remove(const struct store_ops *ops, struct store *s, const uint8_t key[HOOK_KEY_SIZE])
{
	int r = gone_is_fine(ops->remove_record(s, RECORD_DELIVERY_TASK, key_bytes(key)));

	return r < 0 ? r : gone_is_fine(ops->remove_record(s, RECORD_DELIVERY, key_bytes(key)));
}

int hook_put_task(const struct store_ops *ops, struct store *s, const uint8_t key[HOOK_KEY_SIZE],
		  struct bytes task)
{
	struct record r = {.kind = RECORD_DELIVERY_TASK};
	int code;

	buf_append(&r.key, key, HOOK_KEY_SIZE);
	buf_append(&r.data, task.data, task.len);
	code = ops->put_record(s, &r);
	record_deinit(&r);
	return code;
}

int hook_get_task(const struct store_ops *ops, struct store *s, const uint8_t key[HOOK_KEY_SIZE],
		  struct buf *out)
{
	struct record r = {0};
	int code = ops->get_record(s, RECORD_DELIVERY_TASK, key_bytes(key), &r);

	if (code == 0)
		buf_append(out, r.data.data, r.data.len);
	record_deinit(&r);
	return code;
}

/* --- endpoints that are gone --- */

/* Whose endpoint, NUL, its URL. */
static void gone_key(const struct hook_delivery *d, struct buf *out)
{
	if (d->queue != NULL) {
		buf_append_str(out, "queue/");
		buf_append_str(out, d->queue);
	} else {
		buf_append_str(out, "task/");
		buf_append(out, d->key, sizeof(struct uuid));
	}
	buf_append_byte(out, 0);
	buf_append_str(out, d->url);
}

int hook_put_gone(const struct store_ops *ops, struct store *s, const struct hook_delivery *d,
		  int64_t due_us)
{
	struct record r = {.kind = RECORD_CALLBACK_GONE, .due_us = due_us};
	int code;

	gone_key(d, &r.key);
	code = ops->put_record(s, &r);
	record_deinit(&r);
	return code;
}

int hook_is_gone(const struct store_ops *ops, struct store *s, const struct hook_delivery *d,
		 bool *out)
{
	AUTO_BUF key = BUF_INIT;
	struct record r = {0};
	int code;

	gone_key(d, &key);
	code = ops->get_record(s, RECORD_CALLBACK_GONE, buf_bytes(&key), &r);
	*out = code == 0;
	record_deinit(&r);
	return gone_is_fine(code);
}

int hook_remove_gone(const struct store_ops *ops, struct store *s, const struct hook_delivery *d)
{
	AUTO_BUF key = BUF_INIT;

	gone_key(d, &key);
	return gone_is_fine(ops->remove_record(s, RECORD_CALLBACK_GONE, buf_bytes(&key)));
}

int hook_forget_gone(const struct store_ops *ops, struct store *s, const char *queue)
{
	AUTO_BUF prefix = BUF_INIT;
	struct record *rows = NULL;
	size_t n = 0;
	int r;

	buf_append_str(&prefix, "queue/");
	buf_append(&prefix, queue, strlen(queue) + 1);
	r = ops->list_records(s, RECORD_CALLBACK_GONE, buf_bytes(&prefix), (struct bytes){0}, GONE_MAX, &rows,
			      &n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = ops->remove_record(s, RECORD_CALLBACK_GONE, buf_bytes(&rows[i].key));
	records_free(rows, n);
	return r;
}
