/* enqueue_options.c: see enqueue_options.h. The numbers are those of
 * proto/errand/v1/tasks.proto. */
#include "service/enqueue_options.h"

#include "base/clock.h"
#include "base/pbuf.h"

static void put_text(struct buf *out, uint32_t field, const char *text)
{
	if (text != NULL)
		pbuf_put_str(out, field, text);
}

static void put_number(struct buf *out, uint32_t field, int64_t v)
{
	if (v != 0)
		pbuf_put_uint(out, field, (uint64_t)v);
}

static void put_message(struct buf *out, uint32_t field, const struct buf *message)
{
	pbuf_put_bytes(out, field, message->data, message->len);
}

/* google.protobuf.Duration, or a Timestamp after 1970. */
static void put_time(struct buf *out, uint32_t field, int64_t ns)
{
	AUTO_BUF t = BUF_INIT;

	if (ns == 0)
		return;
	put_number(&t, 1, ns / NS_PER_S);
	put_number(&t, 2, ns % NS_PER_S);
	put_message(out, field, &t);
}

static void put_run_at(struct buf *out, uint32_t field, int64_t us)
{
	AUTO_BUF t = BUF_INIT;

	if (us == 0)
		return;
	put_number(&t, 1, us / US_PER_S);
	put_number(&t, 2, us % US_PER_S * 1000);
	put_message(out, field, &t);
}

static void put_label(struct buf *out, uint32_t field, const struct errand_label *l)
{
	AUTO_BUF entry = BUF_INIT;

	put_text(&entry, 1, l->key);
	put_text(&entry, 2, l->value);
	put_message(out, field, &entry);
}

static void put_retry(struct buf *out, uint32_t field, const struct errand_task_options *o)
{
	AUTO_BUF r = BUF_INIT;

	put_number(&r, 1, o->max_attempts);
	put_time(&r, 2, o->retry_base_ns);
	put_time(&r, 3, o->retry_cap_ns);
	if (o->retry_factor != 0)
		pbuf_put_double(&r, 4, o->retry_factor);
	if (r.len > 0)
		put_message(out, field, &r);
}

static void put_callback(struct buf *out, uint32_t field, const struct errand_task_options *o)
{
	AUTO_BUF c = BUF_INIT;

	if (o->callback_url == NULL)
		return;
	put_text(&c, 1, o->callback_url);
	for (const char *const *e = o->callback_events; e != NULL && *e != NULL; e++)
		put_text(&c, 2, *e);
	put_message(out, field, &c);
}

void enqueue_pack_options(const struct errand_task_options *o, struct buf *out)
{
	if (o == NULL)
		return;
	put_text(out, 1, o->queue);
	put_number(out, 2, o->priority);
	put_run_at(out, 3, o->run_at_us);
	put_time(out, 4, o->delay_ns);
	for (size_t i = 0; i < o->n_labels; i++)
		put_label(out, 5, &o->labels[i]);
	put_text(out, 6, o->unique_key);
	put_time(out, 7, o->unique_window_ns);
	put_number(out, 8, o->on_conflict);
	for (size_t i = 0; i < o->n_after; i++)
		put_text(out, 9, o->after[i]);
	put_number(out, 10, o->after_policy);
	put_time(out, 11, o->start_deadline_ns);
	put_time(out, 12, o->timeout_ns);
	put_time(out, 13, o->total_timeout_ns);
	put_time(out, 14, o->progress_timeout_ns);
	put_time(out, 15, o->cancel_grace_ns);
	put_retry(out, 16, o);
	put_time(out, 17, o->result_ttl_ns);
	put_callback(out, 18, o);
}
