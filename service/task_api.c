/* task_api.c: the handlers of errand.v1.Tasks. All are ASYNC: they ask the engine
 * and answer when it does. What is answered is packed field by field first (the
 * form rows are kept in) and unpacked into protobuf-c's structs at the end. */
#include "service/task_api.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "service/call.h"
#include "service/task_page.h"
#include "service/task_pack.h"
#include "service/task_stream.h"

#define PAGE_DEFAULT 50
#define PAGE_MAX 500

/* A request under way. */
struct request {
	struct errand_call *call;
	ProtobufCClosure done;
	const ProtobufCMessageDescriptor *reply; /* type of the answer */
	struct task_wait *wait;       /* while waiting */
	struct buf out;               /* the answer, so far */
	struct store_filter filter;   /* of a list; strings are the input's */
	bool cancels;                 /* CancelTask: 202 while it is being stopped */
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
	buf_deinit(&r->out);
	free(r);
}

static void request_fail(struct request *r, int code, const char *why)
{
	AUTO_BUF problem = BUF_INIT;

	code = task_failure(code, why, &problem);
	call_fail_problem(r->call, code, why, buf_bytes(&problem));
	request_free(r);
}

/* Answers with what is packed in out. */
static void request_answer(struct request *r)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(r->reply, NULL, r->out.len, r->out.data);

	if (m == NULL || buf_failed(&r->out)) {
		request_fail(r, ERRAND_INTERNAL, "the stored task cannot be shown");
	} else {
		r->done(m, r->call);
		request_free(r);
	}
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
}

static void set_number(struct errand_call *call, const char *key, unsigned n)
{
	char text[16];

	snprintf(text, sizeof text, "%u", n);
	errand_set_metadata(call, key, text);
}

static void set_headers(struct request *r, const struct task_row *row)
{
	char etag[TASK_ETAG_SIZE];

	errand_set_metadata(r->call, "etag", task_etag(row, etag));
	errand_set_metadata(r->call, "cache-control", "no-store");
	if (task_state_live(row->state))
		set_number(r->call, "retry-after", task_retry_after_s(row));
}

/* --- If-None-Match, Prefer: wait --- */

/* Does the list of tags name this version? "*" names any. *newestp: the highest. */
static bool tags_name(const char *tags, uint64_t version, uint64_t *newestp)
{
	bool found = strcmp(tags, "*") == 0;

	*newestp = 0;
	for (const char *p = strchr(tags, '"'); p != NULL; p = strchr(p, '"')) {
		char *end;
		unsigned long long v = strtoull(p + 1, &end, 10);

		if (end == p + 1 || *end != '"')
			break;
		found = found || v == version;
		*newestp = v > *newestp ? v : *newestp;
		p = end + 1;
	}
	return found;
}

static bool not_modified(struct request *r, const struct task_row *row)
{
	const char *tags = errand_metadata(r->call, "if-none-match");
	uint64_t newest;

	return tags != NULL && tags_name(tags, row->version, &newest);
}

static void on_gone(struct errand_call *call, void *arg)
{
	struct request *r = arg;

	if (r->wait == NULL)
		return; /* the engine answers soon */
	task_unwait(r->wait);
	request_fail(r, ERRAND_CANCELLED, "the client went away");
}

/* Gets the row now, or as late as the request's `Prefer: wait` says. */
static void get_or_wait(struct request *r, const char *id, uint64_t version, task_done done)
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

static void attempts_for_task(int code, const char *why, const struct attempt_row *rows, size_t n,
			      void *arg)
{
	struct request *r = arg;

	task_pack_attempts(rows, code == 0 ? n : 0, 17, &r->out);
	request_answer(r);
}

/* The row's answer: its attempts are asked for and follow. */
static void answer_task(struct request *r, const struct task_row *row)
{
	char id[UUID_TEXT_SIZE];

	set_headers(r, row);
	task_pack(row, NULL, 0, &r->out);
	if (row->attempt == 0)
		request_answer(r);
	else
		task_attempts(uuid_format(&row->id, id), attempts_for_task, r);
}

static void got_task(int code, const char *why, const struct task_row *row, void *arg)
{
	struct request *r = arg;

	r->wait = NULL;
	if (code != 0) {
		request_fail(r, code, why);
	} else if (not_modified(r, row)) {
		set_headers(r, row);
		errand_set_metadata(r->call, "errand-http-status", "304");
		request_answer(r);
	} else {
		answer_task(r, row);
	}
}

static void get_task(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		     Errand__V1__Task_Closure done, void *call)
{
	struct request *r = request_new(call, (ProtobufCClosure)done, &errand__v1__task__descriptor);
	const char *tags = errand_metadata(call, "if-none-match");
	uint64_t newest = 0;

	if (tags != NULL)
		tags_name(tags, 0, &newest);
	get_or_wait(r, in->id, newest, got_task);
}

static void got_change(int code, const char *why, const struct task_row *row, void *arg)
{
	struct request *r = arg;

	if (code != 0) {
		request_fail(r, code, why);
		return;
	}
	if (r->cancels && row->state == TASK_CANCELLING)
		errand_set_metadata(r->call, "errand-http-status", "202");
	answer_task(r, row);
}

static void cancel_task(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
			Errand__V1__Task_Closure done, void *call)
{
	struct request *r = request_new(call, (ProtobufCClosure)done, &errand__v1__task__descriptor);

	r->cancels = true;
	task_cancel(in->id, got_change, r);
}

static void retry_task(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		       Errand__V1__Task_Closure done, void *call)
{
	task_retry(in->id, got_change, request_new(call, (ProtobufCClosure)done,
						   &errand__v1__task__descriptor));
}

static void hold_task(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		      Errand__V1__Task_Closure done, void *call)
{
	task_hold(in->id, got_change, request_new(call, (ProtobufCClosure)done,
						  &errand__v1__task__descriptor));
}

static void release_task(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
			 Errand__V1__Task_Closure done, void *call)
{
	task_release(in->id, got_change, request_new(call, (ProtobufCClosure)done,
						     &errand__v1__task__descriptor));
}

static void run_task_now(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
			 Errand__V1__Task_Closure done, void *call)
{
	task_run_now(in->id, got_change, request_new(call, (ProtobufCClosure)done,
						     &errand__v1__task__descriptor));
}

static void got_deleted(int code, const char *why, const struct task_row *row, void *arg)
{
	struct request *r = arg;

	if (code != 0) {
		request_fail(r, code, why);
		return;
	}
	errand_set_metadata(r->call, "errand-http-status", "204");
	request_answer(r);
}

static void delete_task(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
			Google__Protobuf__Empty_Closure done, void *call)
{
	task_delete(in->id, got_deleted, request_new(call, (ProtobufCClosure)done,
						     &google__protobuf__empty__descriptor));
}

/* --- result --- */

/* The task's own problem; only its status says that it is somebody else's. */
static void fail_with_error(struct request *r, const struct task_row *row)
{
	AUTO_BUF problem = BUF_INIT;
	AUTO_FREE char *detail = NULL;
	int code = task_problem_read(buf_bytes(&row->error), &detail);

	buf_append(&problem, row->error.data, row->error.len);
	pbuf_put_uint(&problem, 3, 424);
	call_fail_problem(r->call, code, detail, buf_bytes(&problem));
	request_free(r);
}

static void got_result(int code, const char *why, const struct task_row *row, void *arg)
{
	struct request *r = arg;
	AUTO_BUF event = BUF_INIT;

	r->wait = NULL;
	if (code != 0) {
		request_fail(r, code, why);
		return;
	}
	set_headers(r, row);
	if (task_state_live(row->state)) {
		errand_fail(r->call, ERRAND_NOT_FOUND, "the task is %s: it has no result yet",
			    task_state_name(row->state));
		request_free(r);
	} else if (row->state != TASK_SUCCEEDED) {
		fail_with_error(r, row);
	} else if (!task_pack_any_result(row, 1, &r->out)) {
		errand_fail(r->call, ERRAND_FAILED_PRECONDITION, "method %s is not served here, so its "
			    "result cannot be shown", row->method);
		request_free(r);
	} else {
		request_answer(r);
	}
}

static void get_result(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		       Errand__V1__TaskResult_Closure done, void *call)
{
	get_or_wait(request_new(call, (ProtobufCClosure)done, &errand__v1__task_result__descriptor),
		    in->id, 0, got_result);
}

/* --- lists --- */

static void got_list(int code, const char *why, const struct task_row *rows, size_t n,
		     const struct uuid *next, void *arg)
{
	struct request *r = arg;
	char token[TASK_PAGE_TOKEN_SIZE];

	if (code != 0) {
		request_fail(r, code, why);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF task = BUF_INIT;

		task_pack(&rows[i], NULL, 0, &task);
		pbuf_put_bytes(&r->out, 1, task.data, task.len);
	}
	if (next != NULL)
		pbuf_put_str(&r->out, 2, task_page_token(&r->filter, next, token));
	errand_set_metadata(r->call, "cache-control", "no-store");
	request_answer(r);
}

static const char *text_or_null(const char *text)
{
	return text != NULL && *text != 0 ? text : NULL;
}

static void list_tasks(Errand__V1__Tasks_Service *service, const Errand__V1__ListTasksRequest *in,
		       Errand__V1__ListTasksReply_Closure done, void *call)
{
	struct store_filter f = {
		.state = (enum task_state)in->state,
		.method = text_or_null(in->method),
		.queue = text_or_null(in->queue),
		.limit = in->page_size > 0 ? (size_t)in->page_size : PAGE_DEFAULT,
	};
	struct request *r;

	if (in->page_size < 0 || in->page_size > PAGE_MAX) {
		errand_fail(call, ERRAND_INVALID_ARGUMENT, "page_size: %d is not in 0 to %d", in->page_size,
			    PAGE_MAX);
	} else if ((int)in->state < 0 || in->state > ERRAND__V1__TASK__STATE__EXPIRED) {
		errand_fail(call, ERRAND_INVALID_ARGUMENT, "state: %d is no state of a task",
			    (int)in->state);
	} else if (!task_page_parse(in->page_token, &f)) {
		errand_fail(call, ERRAND_INVALID_ARGUMENT, "page_token: it is not from a list with this "
			    "filter; leave it out to begin at the first page");
	} else {
		r = request_new(call, (ProtobufCClosure)done, &errand__v1__list_tasks_reply__descriptor);
		r->filter = f;
		task_list(&f, got_list, r);
	}
}

static void got_attempts(int code, const char *why, const struct attempt_row *rows, size_t n,
			 void *arg)
{
	struct request *r = arg;

	if (code != 0) {
		request_fail(r, code, why);
		return;
	}
	errand_set_metadata(r->call, "cache-control", "no-store");
	task_pack_attempts(rows, n, 1, &r->out);
	request_answer(r);
}

static void list_attempts(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
			  Errand__V1__ListAttemptsReply_Closure done, void *call)
{
	task_attempts(in->id, got_attempts, request_new(call, (ProtobufCClosure)done,
							&errand__v1__list_attempts_reply__descriptor));
}

/* --- the service --- */

static Errand__V1__Tasks_Service tasks = {
	.base = {&errand__v1__tasks__descriptor, protobuf_c_service_invoke_internal, NULL},
	.get_task = get_task,
	.list_tasks = list_tasks,
	.get_result = get_result,
	.watch_events = task_stream_events,
	.get_logs = task_stream_logs,
	.list_attempts = list_attempts,
	.cancel_task = cancel_task,
	.retry_task = retry_task,
	.hold_task = hold_task,
	.release_task = release_task,
	.run_task_now = run_task_now,
	.delete_task = delete_task,
};

ProtobufCService *const task_api_service = &tasks.base;
