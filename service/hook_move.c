/* hook_move.c: see hook_move.h. What is sent is the task as it is in this moment; it is
 * kept as the wire bytes of errand.v1.Task and becomes JSON when it is sent. */
#include "service/hook_move.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/pbuf.h"
#include "errand/status.h"
#include "service/hook_address.h"
#include "service/hook_record.h"
#include "service/task_api.h"
#include "service/task_metadata.h"
#include "service/task_pack.h"

#define OPTIONS_CALLBACK 18 /* errand.v1.TaskOptions.callback */
#define QUEUE_CALLBACK 8 /* errand.v1.Queue.callback */

static struct {
	const struct hook_rules *rules;
	void (*written)(void);
} policy;

void hook_policy_set(const struct hook_rules *rules, void (*written)(void))
{
	policy.rules = rules;
	policy.written = written;
}

int hook_policy_check(const char *url, char *why, size_t why_size)
{
	struct hook_url parsed;

	if (policy.rules != NULL)
		return hook_url_check(policy.rules, url, &parsed, why, why_size);
	snprintf(why, why_size, "this service sends no callbacks: it has no --callback-keys to sign them with");
	return -ERRAND_FAILED_PRECONDITION;
}

void hook_publish(const struct task_changes *changes)
{
	for (size_t i = 0; i < changes->n && policy.written != NULL; i++)
		if (changes->list[i].flags & TASK_HAS_CALLBACK) {
			policy.written();
			return;
		}
}

/* --- the delivery of a move --- */

/* What is asked for; url NULL: nothing. */
struct wish {
	char *url;       /* owned */
	unsigned events; /* bits 1 << enum task_state; 0: every end */
	bool queues;     /* it is the queue's */
};

static unsigned state_bit(struct bytes name)
{
	for (int s = TASK_QUEUED; s < TASK_N_STATES; s++) {
		const char *text = task_state_name((enum task_state)s);

		if (strlen(text) == name.len && strncasecmp(text, (const char *)name.data, name.len) == 0)
			return 1u << s;
	}
	return 0;
}

static void read_callback(struct bytes callback, struct wish *w)
{
	struct pbuf_reader r = pbuf_reader(callback.data, callback.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 1 && f.wire == PBUF_LEN && f.bytes.len > 0) {
			free(w->url);
			w->url = xstrndup((const char *)f.bytes.data, f.bytes.len);
		} else if (f.number == 2 && f.wire == PBUF_LEN) {
			w->events |= state_bit(f.bytes);
		}
}

/* The last Callback in this field of a message. */
static void find_callback(struct bytes message, uint32_t field, struct wish *w)
{
	struct pbuf_reader r = pbuf_reader(message.data, message.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == field && f.wire == PBUF_LEN)
			read_callback(f.bytes, w);
}

/* A queue's callback is given to its tasks as they are made: it is the queue's while it is
 * the same. */
static int find_wish(struct task_move *m, const struct task_row *row, struct wish *w)
{
	struct record queue = {0};
	struct wish queues = {0};
	int r;

	find_callback(buf_bytes(&row->options), OPTIONS_CALLBACK, w);
	if (w->url == NULL)
		return 0;
	r = m->ops->get_record(m->store, RECORD_QUEUE,
			       (struct bytes){(const uint8_t *)row->queue, strlen(row->queue)}, &queue);
	if (r == 0)
		find_callback(buf_bytes(&queue.data), QUEUE_CALLBACK, &queues);
	w->queues = queues.url != NULL && strcmp(queues.url, w->url) == 0;
	free(queues.url);
	record_deinit(&queue);
	return r == -ERRAND_NOT_FOUND ? 0 : r;
}

static bool wants(const struct wish *w, enum task_state s)
{
	if (w->url == NULL)
		return false;
	return w->events != 0 ? w->events & 1u << s : task_state_terminal(s);
}

static char *event_name(enum task_state s)
{
	char *name = xasprintf("task.%s", task_state_name(s));

	for (char *p = name; *p != 0; p++)
		*p = (char)tolower((unsigned char)*p);
	return name;
}

static int put_task(struct task_move *m, const struct task_row *row, const uint8_t *key)
{
	struct attempt_row *attempts = NULL;
	size_t n = 0;
	AUTO_BUF task = BUF_INIT;
	int r = m->ops->attempts(m->store, &row->id, &attempts, &n);

	task_pack(row, attempts, n, &task);
	attempt_rows_free(attempts, n);
	return r < 0 ? r : hook_put_task(m->ops, m->store, key, buf_bytes(&task));
}

/* Takes the wish's URL. */
static int put_delivery(struct task_move *m, const struct task_row *row, struct wish *w)
{
	struct hook_delivery d = {
		.url = w->url,
		.event = event_name(row->state),
		.queue = w->queues ? xstrdup(row->queue) : NULL,
		.traceparent = task_metadata_get(&row->metadata, "traceparent"),
		.state = HOOK_PENDING,
		.event_us = m->now_us,
		.due_us = m->clock_us,
	};
	bool gone = false;
	int r;

	w->url = NULL;
	hook_key(&row->id, row->version, d.key);
	r = hook_is_gone(m->ops, m->store, &d, &gone);
	if (r == 0 && !gone)
		r = hook_put(m->ops, m->store, &d);
	if (r == 0 && !gone)
		r = put_task(m, row, d.key);
	hook_delivery_deinit(&d);
	return r;
}

/* The row is read again: the move may have only some of it. */
int hook_on_move(struct task_move *m)
{
	struct task_row row = {0};
	struct wish w = {0};
	int r = m->ops->get(m->store, &m->row->id, PART_ALL, &row);

	if (r == 0)
		r = find_wish(m, &row, &w);
	if (r == 0 && wants(&w, row.state))
		r = put_delivery(m, &row, &w);
	free(w.url);
	task_row_deinit(&row);
	return r;
}
