/* task_settings.c: see task_settings.h. A patch's fields take the place of those of the
 * same number, so settings need no form of their own but their message's. */
#include "service/task_settings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/hook_record.h"
#include "service/task.h"
#include "service/task_options.h"

enum { NAME = 1, CONCURRENCY, RATE, BURST, MAX_DEPTH, PAUSED, RETRY, CALLBACK, VERSION = 17 };

struct entry {
	char *name;
	struct queue_settings set;
};

static struct {
	pthread_mutex_t lock;
	struct entry *entries; /* in the order they came */
	size_t n;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

void queue_settings_deinit(struct queue_settings *q)
{
	buf_deinit(&q->retry_policy);
	buf_deinit(&q->callback);
	*q = (struct queue_settings){0};
}

static int64_t duration_ns(struct bytes raw)
{
	const int64_t max_s = TASK_TIME_MAX_US / US_PER_S;
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	int64_t s = 0, nanos = 0;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		*(f.number == 1 ? &s : &nanos) = f.number == 1 ? (int64_t)f.value : (int32_t)f.value;
	return MIN(MAX(s, 0), max_s) * NS_PER_S + MIN(MAX(nanos, 0), NS_PER_S - 1);
}

static void read_retry(struct bytes raw, struct schema_retry *out)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: out->max_attempts = (uint32_t)f.value; break;
		case 2: out->base_ns = duration_ns(f.bytes); break;
		case 3: out->cap_ns = duration_ns(f.bytes); break;
		case 4: out->factor = f.wire == PBUF_I64 ? pbuf_double(f.value) : 0; break;
		}
}

static void read_field(struct queue_settings *q, const struct pbuf_field *f)
{
	switch (f->number) {
	case CONCURRENCY:
		q->has_slots = true;
		q->slots = (unsigned)f->value;
		break;
	case RATE:
		q->has_rate = true;
		q->rate = f->wire == PBUF_I64 ? pbuf_double(f->value) : 0;
		break;
	case BURST: q->burst = (unsigned)f->value; break;
	case MAX_DEPTH:
		q->has_depth = true;
		q->max_depth = f->value;
		break;
	case PAUSED: q->paused = f->value != 0; break;
	case RETRY:
		read_retry(f->bytes, &q->retry);
		buf_append(&q->retry_policy, f->bytes.data, f->bytes.len);
		break;
	case CALLBACK: buf_append(&q->callback, f->bytes.data, f->bytes.len); break;
	case VERSION: q->version = f->value; break;
	}
}

static void read_settings(struct bytes data, struct queue_settings *out)
{
	struct pbuf_reader r = pbuf_reader(data.data, data.len);
	struct pbuf_field f;

	*out = (struct queue_settings){0};
	while (pbuf_next(&r, &f))
		read_field(out, &f);
}

/* --- in memory --- */

static struct entry *find(const char *name)
{
	for (size_t i = 0; i < all.n; i++)
		if (strcmp(all.entries[i].name, name) == 0)
			return &all.entries[i];
	return NULL;
}

void task_settings_apply(const char *queue, struct bytes data)
{
	struct entry *e;

	pthread_mutex_lock(&all.lock);
	e = find(queue);
	if (e == NULL) {
		all.entries = xrealloc(all.entries, (all.n + 1) * sizeof *e);
		e = &all.entries[all.n++];
		*e = (struct entry){.name = xstrdup(queue)};
	}
	queue_settings_deinit(&e->set);
	read_settings(data, &e->set);
	pthread_mutex_unlock(&all.lock);
}

void task_settings_free(void)
{
	for (size_t i = 0; i < all.n; i++) {
		free(all.entries[i].name);
		queue_settings_deinit(&all.entries[i].set);
	}
	free(all.entries);
	all.entries = NULL;
	all.n = 0;
}

void task_settings_get(const char *queue, struct queue_settings *out)
{
	const struct entry *e;

	*out = (struct queue_settings){0};
	pthread_mutex_lock(&all.lock);
	e = find(queue);
	if (e != NULL) {
		*out = e->set;
		out->retry_policy = out->callback = BUF_INIT;
		buf_append(&out->retry_policy, e->set.retry_policy.data, e->set.retry_policy.len);
		buf_append(&out->callback, e->set.callback.data, e->set.callback.len);
	}
	pthread_mutex_unlock(&all.lock);
}

struct schema_retry task_settings_retry(const char *queue)
{
	struct schema_retry r = {0};
	const struct entry *e;

	pthread_mutex_lock(&all.lock);
	e = find(queue);
	if (e != NULL)
		r = e->set.retry;
	pthread_mutex_unlock(&all.lock);
	return r;
}

bool task_settings_callback(const char *queue, struct buf *out)
{
	const struct entry *e;
	bool has;

	pthread_mutex_lock(&all.lock);
	e = find(queue);
	has = e != NULL && e->set.callback.len > 0;
	if (has)
		buf_append(out, e->set.callback.data, e->set.callback.len);
	pthread_mutex_unlock(&all.lock);
	return has;
}

const char *task_settings_name(size_t n)
{
	return n < all.n ? all.entries[n].name : NULL;
}

/* --- in the store --- */

int task_settings_load(const struct store_ops *ops, struct store *s)
{
	struct record *rows = NULL;
	size_t n = 0;
	int r = ops->list_records(s, RECORD_QUEUE, (struct bytes){0}, (struct bytes){0}, SIZE_MAX >> 1,
				  &rows, &n);

	for (size_t i = 0; i < n; i++) {
		AUTO_FREE char *name = xstrndup((const char *)rows[i].key.data, rows[i].key.len);

		task_settings_apply(name, buf_bytes(&rows[i].data));
	}
	records_free(rows, n);
	return r;
}

static bool has_field(struct bytes message, uint32_t number)
{
	struct pbuf_reader r = pbuf_reader(message.data, message.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == number)
			return true;
	return false;
}

/* The fields of from that patch has not. */
static void merge(struct bytes from, struct bytes patch, struct buf *out)
{
	struct pbuf_reader r = pbuf_reader(from.data, from.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number != NAME && f.number != VERSION && !has_field(patch, f.number))
			buf_append(out, f.start, (size_t)(r.p - f.start));
}

static bool has_callback(struct bytes patch)
{
	struct pbuf_reader r = pbuf_reader(patch.data, patch.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == CALLBACK)
			return true;
	return false;
}

int task_settings_put(const struct store_ops *ops, struct store *s, const char *queue,
		      struct bytes patch, uint64_t version, struct buf *out)
{
	struct bytes key = {(const uint8_t *)queue, strlen(queue)};
	struct record old = {0}, now = {.kind = RECORD_QUEUE};
	struct queue_settings q;
	int r = ops->get_record(s, RECORD_QUEUE, key, &old);

	if (r < 0 && r != -ERRAND_NOT_FOUND)
		return r;
	read_settings(buf_bytes(&old.data), &q);
	r = version != 0 && version != q.version + 1 ? -TASK_STALE : 0;
	if (r == 0) {
		buf_append(&now.key, key.data, key.len);
		merge(buf_bytes(&old.data), patch, &now.data);
		merge(patch, (struct bytes){0}, &now.data);
		pbuf_put_uint(&now.data, VERSION, q.version + 1);
		r = ops->put_record(s, &now);
		if (r == 0 && has_callback(patch))
			r = hook_forget_gone(ops, s, queue);
		buf_reset(out);
		buf_append(out, now.data.data, now.data.len);
	}
	queue_settings_deinit(&q);
	record_deinit(&old);
	record_deinit(&now);
	return r;
}
