/* queue_api.c: the handlers of errand.v1.Queues. What is set goes through the store;
 * figures are the engine's own, but for the age of the oldest task. */
#include "service/queue_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/service.h"
#include "errand/v1/queues.pb-c.h"
#include "service/call.h"
#include "service/if_match.h"
#include "service/payload.h"
#include "service/task_api.h"
#include "service/task_clock.h"
#include "service/task_engine.h"
#include "service/task_filter.h"
#include "service/task_options.h"
#include "service/task_settings.h"

#define PURGE_BATCH 256
#define PURGE_LOOK 2000 /* rows looked at for a batch */

enum { NAME = 1, CONCURRENCY, RATE, BURST, MAX_DEPTH, PAUSED, RETRY, CALLBACK, STATS = 16, ETAG };
enum { STAT_QUEUED = 1, STAT_RUNNING, STAT_OLDEST, STAT_RATE, STAT_CLAIM, STAT_ENDED };

/* A request under way: some queues, read or changed in one op. */
struct request {
	struct store_op op;
	struct errand_call *call;
	ProtobufCClosure done;
	const ProtobufCMessageDescriptor *reply;
	bool list;
	char **names;             /* owned */
	int64_t *oldest_us;       /* of each */
	size_t n;
	struct buf patch, data;   /* of a change */
	uint64_t version;
	/* of a purge */
	struct task_changes changes;
	struct task_filter *filter; /* those of the queue */
	struct store_scan scan;
	size_t state;
	bool more;                /* of this state, after `last` */
	struct store_place last;
	size_t n_batch;
	uint64_t n_cancelled;
};

static struct request *request_new(void *call, ProtobufCClosure done,
				   const ProtobufCMessageDescriptor *reply)
{
	struct request *r = xcalloc(1, sizeof *r);

	r->call = call;
	r->done = done;
	r->reply = reply;
	return r;
}

static void request_free(struct request *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->names[i]);
	free(r->names);
	free(r->oldest_us);
	buf_deinit(&r->patch);
	buf_deinit(&r->data);
	task_changes_deinit(&r->changes);
	task_filter_free(r->filter);
	free(r);
}

static void request_name(struct request *r, const char *name)
{
	r->names = xrealloc(r->names, (r->n + 1) * sizeof *r->names);
	r->names[r->n++] = xstrdup(name);
}

static void request_fail(struct request *r, int code)
{
	AUTO_BUF problem = BUF_INIT;
	char why[320];

	if (code == -TASK_STALE)
		snprintf(why, sizeof why, "queue %s has changed since: read it again", r->names[0]);
	else
		task_why(code, "", why, sizeof why);
	code = task_failure(task_caller_code(code), why, &problem);
	call_fail_problem(r->call, code, why, buf_bytes(&problem));
	request_free(r);
}

static void request_answer(struct request *r, const struct buf *out)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(r->reply, NULL, out->len, out->data);

	errand_set_metadata(r->call, "cache-control", "no-store");
	if (m != NULL)
		r->done(m, r->call);
	else
		errand_fail(r->call, ERRAND_INTERNAL, "the queue cannot be shown");
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
	request_free(r);
}

/* --- showing --- */

static void put_seconds(struct buf *out, uint32_t field, int64_t us)
{
	AUTO_BUF t = BUF_INIT;

	pbuf_put_uint(&t, 1, (uint64_t)(us / US_PER_S));
	pbuf_put_uint(&t, 2, (uint64_t)(us % US_PER_S * 1000));
	pbuf_put_bytes(out, field, t.data, t.len);
}

static void put_stats(struct task_queue *q, int64_t oldest_us, struct buf *out)
{
	int64_t now = task_clock_us();
	AUTO_BUF s = BUF_INIT;

	pbuf_put_uint(&s, STAT_QUEUED, q->n_queued);
	pbuf_put_uint(&s, STAT_RUNNING, q->n_busy);
	if (oldest_us != 0)
		put_seconds(&s, STAT_OLDEST, MAX(now - oldest_us, 0));
	pbuf_put_double(&s, STAT_RATE, task_meter_rate(&q->meter, now));
	if (q->last_claim_us != 0)
		put_seconds(&s, STAT_CLAIM, q->last_claim_us);
	pbuf_put_uint(&s, STAT_ENDED, q->meter.total);
	pbuf_put_bytes(out, STATS, s.data, s.len);
}

static uint64_t etag_of(const char *name, char out[TASK_ETAG_SIZE])
{
	struct queue_settings set;
	uint64_t version;

	task_settings_get(name, &set);
	version = set.version + 1;
	queue_settings_deinit(&set);
	snprintf(out, TASK_ETAG_SIZE, "\"%llu\"", (unsigned long long)version);
	return version;
}

static void put_queue(const char *name, int64_t oldest_us, struct buf *out)
{
	struct task_queue *q = task_queue_get(name);
	struct queue_settings set;
	char etag[TASK_ETAG_SIZE];

	task_settings_get(name, &set);
	pbuf_put_str(out, NAME, name);
	pbuf_put_uint(out, CONCURRENCY, q->slots);
	pbuf_put_double(out, RATE, set.rate);
	pbuf_put_uint(out, BURST, MAX(set.burst, 1));
	pbuf_put_uint(out, MAX_DEPTH, q->max_depth);
	pbuf_put_uint(out, PAUSED, q->paused);
	if (set.retry_policy.len > 0)
		pbuf_put_bytes(out, RETRY, set.retry_policy.data, set.retry_policy.len);
	if (set.callback.len > 0)
		pbuf_put_bytes(out, CALLBACK, set.callback.data, set.callback.len);
	put_stats(q, oldest_us, out);
	etag_of(name, etag);
	pbuf_put_str(out, ETAG, etag);
	queue_settings_deinit(&set);
}

static void show(struct request *r)
{
	AUTO_BUF out = BUF_INIT;
	char etag[TASK_ETAG_SIZE];

	for (size_t i = 0; i < r->n; i++) {
		AUTO_BUF queue = BUF_INIT;

		put_queue(r->names[i], r->oldest_us[i], r->list ? &queue : &out);
		if (r->list)
			pbuf_put_bytes(&out, 1, queue.data, queue.len);
	}
	if (!r->list) {
		etag_of(r->names[0], etag);
		errand_set_metadata(r->call, "etag", etag);
	}
	request_answer(r, &out);
}

static int show_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct request *r = CONTAINER_OF(op, struct request, op);
	int code = 0;

	for (size_t i = 0; i < r->n && code == 0; i++)
		code = ops->oldest(s, r->names[i], &r->oldest_us[i]);
	return code;
}

static void show_done(struct store_op *op, int code)
{
	struct request *r = CONTAINER_OF(op, struct request, op);

	if (code < 0)
		request_fail(r, code);
	else
		show(r);
}

static void show_start(struct request *r)
{
	free(r->oldest_us);
	r->oldest_us = xcalloc(r->n + 1, sizeof *r->oldest_us);
	r->op = (struct store_op){.run = show_run, .done = show_done};
	store_thread_submit(&r->op);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_queues(Errand__V1__Queues_Service *service, const Errand__V1__ListQueuesRequest *in,
			Errand__V1__ListQueuesReply_Closure done, void *call)
{
	struct request *r = request_new(call, (ProtobufCClosure)done,
					&errand__v1__list_queues_reply__descriptor);
	struct task_queue *q;

	r->list = true;
	for (size_t pos = 0; (q = map_next(&engine.queues, &pos)) != NULL;)
		request_name(r, q->name);
	if (r->n > 1)
		qsort(r->names, r->n, sizeof *r->names, by_name);
	show_start(r);
}

/* False: there is no such queue, and the call is answered. */
static bool known(void *call, const char *name)
{
	if (map_get_str(&engine.queues, name) != NULL || strcmp(name, "default") == 0)
		return true;
	errand_fail(call, ERRAND_NOT_FOUND, "there is no queue %.100s: nothing is set of it, and no task "
		    "has been in it since the start", name);
	return false;
}

static struct request *one_queue(void *call, ProtobufCClosure done, const char *name)
{
	struct request *r = request_new(call, done, &errand__v1__queue__descriptor);

	request_name(r, name);
	return r;
}

static void get_queue(Errand__V1__Queues_Service *service, const Errand__V1__GetQueueRequest *in,
		      Errand__V1__Queue_Closure done, void *call)
{
	if (known(call, in->name))
		show_start(one_queue(call, (ProtobufCClosure)done, in->name));
}

/* --- changing --- */

static int change_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct request *r = CONTAINER_OF(op, struct request, op);

	return task_settings_put(ops, s, r->names[0], buf_bytes(&r->patch), r->version, &r->data);
}

static void change_done(struct store_op *op, int code)
{
	struct request *r = CONTAINER_OF(op, struct request, op);

	if (code < 0) {
		request_fail(r, code);
		return;
	}
	task_settings_apply(r->names[0], buf_bytes(&r->data));
	task_queue_set(task_queue_get(r->names[0]));
	show_start(r);
}

/* If-Match makes the change one of the version that it names; without it, or with "*", of
 * any. False: it names another one. */
static bool if_match(struct request *r)
{
	const char *tags = errand_metadata(r->call, "if-match");
	char etag[TASK_ETAG_SIZE];
	uint64_t version = etag_of(r->names[0], etag);

	r->version = tags != NULL && strcmp(tags, "*") != 0 ? version : 0;
	return tags == NULL || if_match_names(tags, etag);
}

static void change_start(struct request *r)
{
	if (!task_queue_name_ok(r->names[0])) {
		errand_fail_field(r->call, "#/name", "name", "a queue's name has letters, digits, '.', '_' "
				  "and '-', at most 100");
		request_free(r);
		return;
	}
	if (!if_match(r)) {
		request_fail(r, -TASK_STALE);
		return;
	}
	r->op = (struct store_op){.run = change_run, .done = change_done, .writes = true};
	store_thread_submit(&r->op);
}

/* What holds for a task's own retry and callback holds for its queue's. False: it does
 * not, and the call is answered. A callback without a url takes the queue's away. */
static bool options_ok(void *call, const Errand__V1__UpdateQueueRequest *in)
{
	Errand__V1__TaskOptions given = ERRAND__V1__TASK_OPTIONS__INIT;
	struct fault_list faults = FAULT_LIST_INIT;
	struct task_options o;
	AUTO_BUF packed = BUF_INIT;
	AUTO_BUF problem = BUF_INIT;
	char why[400];
	bool ok;

	given.retry = in->retry;
	given.callback = in->callback != NULL && in->callback->url[0] != '\0' ? in->callback : NULL;
	packed.len = errand__v1__task_options__pack(
		&given, buf_reserve(&packed, errand__v1__task_options__get_packed_size(&given) + 1));
	ok = task_options_read(buf_bytes(&packed), &o, &faults);
	task_options_deinit(&o);
	if (!ok) {
		payload_problem(&faults, &problem);
		payload_say(&faults, why, sizeof why);
		call_fail_problem(call, ERRAND_INVALID_ARGUMENT, why, buf_bytes(&problem));
	}
	fault_list_deinit(&faults);
	return ok;
}

static void update_queue(Errand__V1__Queues_Service *service,
			 const Errand__V1__UpdateQueueRequest *in, Errand__V1__Queue_Closure done,
			 void *call)
{
	size_t len = protobuf_c_message_get_packed_size(&in->base);
	struct request *r;
	uint8_t *room;

	if (!options_ok(call, in))
		return;
	r = one_queue(call, (ProtobufCClosure)done, in->name);
	room = buf_reserve(&r->patch, len + 1);
	r->patch.len = protobuf_c_message_pack(&in->base, room);
	change_start(r);
}

static void set_paused(void *call, ProtobufCClosure done, const char *name, bool paused)
{
	struct request *r = one_queue(call, done, name);

	pbuf_put_uint(&r->patch, PAUSED, paused);
	change_start(r);
}

static void pause_queue(Errand__V1__Queues_Service *service, const Errand__V1__GetQueueRequest *in,
			Errand__V1__Queue_Closure done, void *call)
{
	set_paused(call, (ProtobufCClosure)done, in->name, true);
}

static void resume_queue(Errand__V1__Queues_Service *service, const Errand__V1__GetQueueRequest *in,
			 Errand__V1__Queue_Closure done, void *call)
{
	set_paused(call, (ProtobufCClosure)done, in->name, false);
}

/* --- purging: batch by batch, one state after the other --- */

static const enum task_state waiting[] = {TASK_QUEUED, TASK_SCHEDULED, TASK_RETRYING, TASK_BLOCKED,
					  TASK_HELD};

static int purge_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct request *r = CONTAINER_OF(op, struct request, op);
	struct store_page page;
	int code;

	task_changes_reset(&r->changes);
	r->scan.state = waiting[r->state];
	code = ops->scan(s, &r->scan, &page);
	if (code < 0)
		return code;
	for (size_t i = 0; code == 0 && i < page.n; i++) {
		struct task_move m = task_move_begin(ops, s, &page.rows[i], &r->changes);

		code = task_move_cancel(&m);
	}
	if (code < 0) {
		store_page_deinit(&page);
		return code;
	}
	r->n_batch = page.n;
	r->more = page.more;
	r->last = page.last;
	store_page_deinit(&page);
	return 0;
}

static void purge_done(struct store_op *op, int code)
{
	struct request *r = CONTAINER_OF(op, struct request, op);
	AUTO_BUF out = BUF_INIT;

	if (code < 0) {
		request_fail(r, code);
		return;
	}
	task_publish(&r->changes);
	r->n_cancelled += r->n_batch;
	r->state += !r->more;
	r->scan.after_set = r->more;
	r->scan.after = r->last;
	if (r->state < ARRAY_LEN(waiting)) {
		store_thread_submit(&r->op);
		return;
	}
	pbuf_put_uint(&out, 1, r->n_cancelled);
	request_answer(r, &out);
}

static void purge_queue(Errand__V1__Queues_Service *service, const Errand__V1__GetQueueRequest *in,
			Errand__V1__PurgeQueueReply_Closure done, void *call)
{
	struct request *r;
	char why[64];

	if (!known(call, in->name))
		return;
	r = request_new(call, (ProtobufCClosure)done, &errand__v1__purge_queue_reply__descriptor);
	request_name(r, in->name);
	task_filter_parse("", &r->filter, why, sizeof why);
	task_filter_and_text(r->filter, "queue", in->name);
	r->scan = (struct store_scan){.index = INDEX_STATE, .backward = true, .filter = r->filter,
				      .limit = PURGE_BATCH, .look = PURGE_LOOK};
	r->op = (struct store_op){.run = purge_run, .done = purge_done, .writes = true, .finishes = true};
	store_thread_submit(&r->op);
}

/* --- the service --- */

static Errand__V1__Queues_Service queues = {
	.base = {&errand__v1__queues__descriptor, protobuf_c_service_invoke_internal, NULL},
	.list_queues = list_queues,
	.get_queue = get_queue,
	.update_queue = update_queue,
	.pause_queue = pause_queue,
	.resume_queue = resume_queue,
	.purge_queue = purge_queue,
};

ProtobufCService *const queue_api_service = &queues.base;
