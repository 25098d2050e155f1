/* task_api.c: the handlers of errand.v1.Tasks. All are ASYNC: they ask the engine
 * and answer when it does. What is answered is packed field by field first (the
 * form rows are kept in) and unpacked into protobuf-c's structs at the end. */
#include "service/task_api.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "service/task_api_impl.h"
#include "service/task_list.h"
#include "service/task_live_api.h"
#include "service/task_pack.h"
#include "service/task_stream.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 500

enum { NOT_MODIFIED = 304, FAILED_DEPENDENCY = 424 };

/* --- If-None-Match, Prefer: wait --- */

/* Does the list of tags name this version? "*" names any. *newestp: the highest. */
static bool tags_name(const char *tags, uint64_t version, uint64_t *newestp)
{
	bool found = strcmp(tags, "*") == 0;

	*newestp = 0;
	for (const char *p = strchr(tags, '"'); p != NULL; p = strchr(p, '"')) {
		char *end;
		unsigned long long v = strtoull(p + 1, &end, 10);

		if (end > p + 1 && *end == '"') {
			found = found || v == version;
			*newestp = MAX(v, *newestp);
		} else if ((end = strchr(p + 1, '"')) == NULL) {
			break; /* a tag of somebody else's may stand before ours */
		}
		p = end + 1;
	}
	return found;
}

static bool not_modified(struct task_request *r, const struct task_row *row)
{
	const char *tags = errand_metadata(r->call, "if-none-match");
	uint64_t newest;

	return tags != NULL && tags_name(tags, row->version, &newest);
}

static void on_gone(struct errand_call *call, void *arg)
{
	struct task_request *r = arg;

	if (r->wait == NULL)
		return; /* the engine answers soon */
	task_unwait(r->wait);
	task_request_fail(r, ERRAND_CANCELLED, "the client went away");
}

/* Gets the row now, or as late as the request's `Prefer: wait` says. */
static void get_or_wait(struct task_request *r, const char *id, uint64_t version, task_done done)
{
	const char *wait = errand_metadata(r->call, "prefer-wait");
	int64_t ns = wait ? strtoll(wait, NULL, 10) : 0;

	if (ns <= 0) {
		task_get(id, done, r);
		return;
	}
	r->wait = task_wait(id, version, ns, done, r);
	errand_on_cancel(r->call, on_gone, r);
}

/* --- one task --- */

static void got_task(int code, const char *why, const struct task_row *row, void *arg)
{
	struct task_request *r = arg;

	r->wait = NULL;
	if (code != 0) {
		task_request_fail(r, code, why);
	} else if (not_modified(r, row)) {
		task_request_headers(r, row);
		task_request_status(r, NOT_MODIFIED);
		task_request_answer(r);
	} else {
		task_request_answer_task(r, row);
	}
}

static void get_task(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		     Errand__V1__Task_Closure done, void *call)
{
	struct task_request *r = task_request_new(call, (ProtobufCClosure)done, &errand__v1__task__descriptor);
	const char *tags = errand_metadata(call, "if-none-match");
	uint64_t newest = 0;

	if (tags != NULL)
		tags_name(tags, 0, &newest);
	get_or_wait(r, in->id, newest, got_task);
}

/* --- result --- */

/* The task's own problem; only its status says that it is somebody else's. */
static void fail_with_error(struct task_request *r, const struct task_row *row)
{
	AUTO_BUF problem = BUF_INIT;
	AUTO_FREE char *detail = NULL;
	int code = task_problem_read(buf_bytes(&row->error), &detail);

	buf_append(&problem, row->error.data, row->error.len);
	pbuf_put_uint(&problem, 3, FAILED_DEPENDENCY);
	call_fail_problem(r->call, code, detail, buf_bytes(&problem));
	task_request_free(r);
}

static void got_result(int code, const char *why, const struct task_row *row, void *arg)
{
	struct task_request *r = arg;
	AUTO_BUF event = BUF_INIT;

	r->wait = NULL;
	if (code != 0) {
		task_request_fail(r, code, why);
		return;
	}
	task_request_headers(r, row);
	if (task_state_live(row->state)) {
		errand_fail(r->call, ERRAND_NOT_FOUND, "the task is %s: it has no result yet",
			    task_state_name(row->state));
		task_request_free(r);
	} else if (row->state != TASK_SUCCEEDED) {
		fail_with_error(r, row);
	} else if (!task_pack_any_result(row, 1, &r->out)) {
		errand_fail(r->call, ERRAND_FAILED_PRECONDITION, "method %s is not served here, so its "
			    "result cannot be shown", row->method);
		task_request_free(r);
	} else {
		task_request_answer(r);
	}
}

static void get_result(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		       Errand__V1__TaskResult_Closure done, void *call)
{
	get_or_wait(task_request_new(call, (ProtobufCClosure)done, &errand__v1__task_result__descriptor),
		    in->id, 0, got_result);
}

/* --- lists --- */

static void got_list(int code, const char *why, const struct task_row *rows, size_t n,
		     const char *next, void *arg)
{
	struct task_request *r = arg;

	if (code != 0) {
		task_request_fail(r, code, why);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF task = BUF_INIT;

		task_pack(&rows[i], NULL, 0, &task);
		pbuf_put_bytes(&r->out, 1, task.data, task.len);
	}
	if (next != NULL)
		pbuf_put_str(&r->out, 2, next);
	errand_set_metadata(r->call, "cache-control", "no-store");
	task_request_answer(r);
}

static void list_tasks(Errand__V1__Tasks_Service *service, const Errand__V1__ListTasksRequest *in,
		       Errand__V1__ListTasksReply_Closure done, void *call)
{
	const struct task_query_words words = {
		.state = (int)in->state, .method = in->method, .queue = in->queue,
		.filter = in->filter, .order_by = in->order_by, .page_token = in->page_token,
		.limit = in->page_size > 0 ? (size_t)in->page_size : PAGE_DEFAULT,
	};
	struct task_query query;
	const char *word;
	char why[512];

	if (in->page_size < 0 || in->page_size > PAGE_MAX)
		task_request_refuse(call, "page_size", "page_size: %d is not in 0 to %d", in->page_size, PAGE_MAX);
	else if (task_query_read(&words, &query, &word, why, sizeof why) < 0)
		task_request_refuse(call, word, "%s: %s", word, why);
	else
		task_list(&query, got_list, task_request_new(call, (ProtobufCClosure)done,
							&errand__v1__list_tasks_reply__descriptor));
}

static void got_attempts(int code, const char *why, const struct attempt_row *rows, size_t n,
			 void *arg)
{
	struct task_request *r = arg;

	if (code != 0) {
		task_request_fail(r, code, why);
		return;
	}
	errand_set_metadata(r->call, "cache-control", "no-store");
	task_pack_attempts(rows, n, 1, &r->out);
	task_request_answer(r);
}

static void list_attempts(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
			  Errand__V1__ListAttemptsReply_Closure done, void *call)
{
	task_attempts(in->id, got_attempts, task_request_new(call, (ProtobufCClosure)done,
							&errand__v1__list_attempts_reply__descriptor));
}

/* --- the service --- */

static Errand__V1__Tasks_Service tasks = {
	.base = {&errand__v1__tasks__descriptor, protobuf_c_service_invoke_internal, NULL},
	.get_task = get_task,
	.list_tasks = list_tasks,
	.get_result = get_result,
	.watch_events = task_stream_events,
	.watch_all = task_live_api_watch,
	.get_logs = task_stream_logs,
	.list_attempts = list_attempts,
	.create_task = task_api_create,
	.batch_create_tasks = task_api_batch_create,
	.update_task = task_api_patch,
	.cancel_task = task_api_cancel,
	.retry_task = task_api_retry,
	.hold_task = task_api_hold,
	.release_task = task_api_release,
	.run_task_now = task_api_run_now,
	.cancel_tasks = task_api_cancel_many,
	.retry_tasks = task_api_retry_many,
	.delete_task = task_api_delete,
};

ProtobufCService *const task_api_service = &tasks.base;
