/* task_api_change.c: what is asked of a task that is there: cancel, retry, hold,
 * release, runNow, DELETE. */
#include "errand/status.h"
#include "service/task_api_impl.h"

enum { ACCEPTED = 202, NO_CONTENT = 204 };

/* An empty one names nothing, so nothing is what it matches. */
static const char *if_match(const struct errand_call *call)
{
	return errand_metadata(call, "if-match");
}

static void on_changed(int code, const char *why, const struct task_row *row, void *arg)
{
	struct task_request *r = arg;

	if (code != 0) {
		task_request_fail(r, code, why);
		return;
	}
	if (r->cancels && row->state == TASK_CANCELLING)
		task_request_status(r, ACCEPTED);
	task_request_answer_task(r, row);
}

static struct task_request *change_new(void *call, Errand__V1__Task_Closure done)
{
	return task_request_new(call, (ProtobufCClosure)done, &errand__v1__task__descriptor);
}

void task_api_cancel(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		     Errand__V1__Task_Closure done, void *call)
{
	struct task_request *r = change_new(call, done);

	r->cancels = true;
	task_cancel(in->id, if_match(call), on_changed, r);
}

void task_api_retry(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		    Errand__V1__Task_Closure done, void *call)
{
	task_retry(in->id, if_match(call), on_changed, change_new(call, done));
}

void task_api_hold(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		   Errand__V1__Task_Closure done, void *call)
{
	task_hold(in->id, if_match(call), on_changed, change_new(call, done));
}

void task_api_release(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		      Errand__V1__Task_Closure done, void *call)
{
	task_release(in->id, if_match(call), on_changed, change_new(call, done));
}

void task_api_run_now(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		      Errand__V1__Task_Closure done, void *call)
{
	task_run_now(in->id, if_match(call), on_changed, change_new(call, done));
}

static void on_deleted(int code, const char *why, const struct task_row *row, void *arg)
{
	struct task_request *r = arg;

	if (code != 0) {
		task_request_fail(r, code, why);
		return;
	}
	task_request_status(r, NO_CONTENT);
	task_request_answer(r);
}

void task_api_delete(Errand__V1__Tasks_Service *service, const Errand__V1__GetTaskRequest *in,
		     Google__Protobuf__Empty_Closure done, void *call)
{
	task_delete(in->id, if_match(call), on_deleted,
		    task_request_new(call, (ProtobufCClosure)done, &google__protobuf__empty__descriptor));
}
