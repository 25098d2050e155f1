/* task_api_create.c: POST /v1/tasks and /v1/tasks:batchCreate. Of a batch each task is
 * made on its own, all in one turn of the loop and so in one transaction. */
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "errand/status.h"
#include "service/task_api_impl.h"
#include "service/task_draft.h"
#include "service/task_room.h"

#define BATCH_MAX 1000
#define FULL_RETRY_S "1" /* a queue may have room again so soon */

enum { CREATED = 201, TOO_LARGE = 413 };

/* The call's Idempotency-Key, or NULL; false when it is none and r has failed for it. */
static bool read_key(struct task_request *r, const char **keyp)
{
	const char *given = errand_metadata(r->call, "idempotency-key");
	char copy[TASK_KEY_SIZE], why[128];
	AUTO_BUF problem = BUF_INIT;

	*keyp = given;
	if (given == NULL || task_key_read((struct bytes){(const uint8_t *)given, strlen(given)}, copy))
		return true;
	task_key_problem(&problem, why, sizeof why);
	task_request_fail_problem(r, ERRAND_INVALID_ARGUMENT, why, &problem);
	return false;
}

/* --- one --- */

/* Said before it is made: what is left then, or that there is nothing left. */
static void set_room(struct errand_call *call, const struct task_draft *d)
{
	struct ratelimit room;

	if (!task_room_read(d->method, d->queue, &room))
		return;
	errand_set_metadata(call, "ratelimit", room.limit);
	errand_set_metadata(call, "ratelimit-policy", room.policy);
}

static void on_created(int code, enum task_found found, const char *why, const struct task_row *row,
		       void *arg)
{
	struct task_request *r = arg;
	AUTO_BUF problem = BUF_INIT;

	if (code != 0) {
		code = task_draft_failure(code, found, why, &problem);
		if (code == ERRAND_RESOURCE_EXHAUSTED)
			errand_set_metadata(r->call, "retry-after", FULL_RETRY_S);
		task_request_fail_problem(r, code, why, &problem);
		return;
	}
	if (found == TASK_REPLAYED)
		errand_set_metadata(r->call, "idempotency-replayed", "true");
	if (found != TASK_USED)
		task_request_status(r, CREATED);
	task_request_location(r, row);
	task_request_answer_task(r, row);
}

void task_api_create(Errand__V1__Tasks_Service *service, const Errand__V1__CreateTaskRequest *in,
		     Errand__V1__Task_Closure done, void *call)
{
	struct task_request *r = task_request_new(call, (ProtobufCClosure)done, &errand__v1__task__descriptor);
	struct task_draft d;
	const char *key;

	if (!read_key(r, &key))
		return;
	if (task_draft_read(&d, in)) {
		set_room(call, &d);
		task_draft_create(&d, key, call, on_created, r);
	} else {
		task_request_fail_problem(r, d.code, d.why, &d.problem);
	}
	task_draft_deinit(&d);
}

/* --- many --- */

struct batch {
	struct task_request *request;
	struct item {
		struct batch *batch;
		struct buf result; /* a BatchCreateTasksReply.Result */
	} *items;              /* owned */
	size_t n, n_left, n_replayed;
};

static void batch_end(struct batch *b)
{
	struct task_request *r = b->request;

	for (size_t i = 0; i < b->n; i++) {
		pbuf_put_bytes(&r->out, 1, b->items[i].result.data, b->items[i].result.len);
		buf_deinit(&b->items[i].result);
	}
	if (b->n > 0 && b->n_replayed == b->n)
		errand_set_metadata(r->call, "idempotency-replayed", "true");
	errand_set_metadata(r->call, "cache-control", "no-store");
	free(b->items);
	free(b);
	task_request_answer(r);
}

static void item_fail(struct item *item, int code, const char *why, struct buf *problem)
{
	if (problem->len == 0)
		task_problem_put(problem, code, 0, why);
	pbuf_put_bytes(&item->result, 2, problem->data, problem->len);
}

static void item_end(struct item *item)
{
	if (--item->batch->n_left == 0)
		batch_end(item->batch);
}

static void on_item(int code, enum task_found found, const char *why, const struct task_row *row, void *arg)
{
	struct item *item = arg;
	AUTO_BUF part = BUF_INIT;

	if (code != 0) {
		code = task_draft_failure(code, found, why, &part);
		item_fail(item, code, why, &part);
	} else {
		item->batch->n_replayed += found == TASK_REPLAYED;
		task_pack(row, NULL, 0, &part);
		pbuf_put_bytes(&item->result, 1, part.data, part.len);
	}
	item_end(item);
}

/* Of one Idempotency-Key each task has a key of its own; \x01 is in no other. */
static void item_begin(struct item *item, const Errand__V1__CreateTaskRequest *in, const char *key,
		       const struct errand_call *by)
{
	AUTO_FREE char *own = NULL;
	struct task_draft d;

	if (key != NULL)
		own = xasprintf("%s\x01%zu", key, (size_t)(item - item->batch->items));
	if (task_draft_read(&d, in)) {
		task_draft_create(&d, own, by, on_item, item);
	} else {
		item_fail(item, d.code, d.why, &d.problem);
		item_end(item);
	}
	task_draft_deinit(&d);
}

static void refuse_size(struct task_request *r, size_t n)
{
	AUTO_BUF problem = BUF_INIT;
	char why[96];

	snprintf(why, sizeof why, "%zu tasks in one request: at most %d", n, BATCH_MAX);
	task_problem_put(&problem, ERRAND_RESOURCE_EXHAUSTED, TOO_LARGE, why);
	task_request_fail_problem(r, ERRAND_RESOURCE_EXHAUSTED, why, &problem);
}

void task_api_batch_create(Errand__V1__Tasks_Service *service, const Errand__V1__BatchCreateTasksRequest *in,
			   Errand__V1__BatchCreateTasksReply_Closure done, void *call)
{
	struct task_request *r = task_request_new(call, (ProtobufCClosure)done,
						  &errand__v1__batch_create_tasks_reply__descriptor);
	struct batch *b;
	const char *key;

	if (!read_key(r, &key))
		return;
	if (in->n_requests == 0 || in->n_requests > BATCH_MAX) {
		if (in->n_requests == 0)
			task_request_answer(r);
		else
			refuse_size(r, in->n_requests);
		return;
	}
	b = xcalloc(1, sizeof *b);
	b->request = r;
	b->n = b->n_left = in->n_requests;
	b->n_left++; /* until all have begun */
	b->items = xcalloc(b->n, sizeof *b->items);
	for (size_t i = 0; i < b->n; i++) {
		b->items[i].batch = b;
		item_begin(&b->items[i], in->requests[i], key, call);
	}
	if (--b->n_left == 0)
		batch_end(b);
}
