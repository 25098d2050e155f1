/* task_request.c: see task_request.h. */
#include "service/task_request.h"

#include <stdarg.h>
#include <stdio.h>

#include "errand/status.h"
#include "service/payload.h"
#include "service/task_api.h"
#include "service/task_pack.h"

enum { FIELD_ATTEMPTS = 17 }; /* of errand.v1.Task */

struct task_request *task_request_new(void *call, ProtobufCClosure done,
				      const ProtobufCMessageDescriptor *reply)
{
	struct task_request *r = xcalloc(1, sizeof *r);

	r->call = call;
	r->done = done;
	r->reply = reply;
	return r;
}

void task_request_free(struct task_request *r)
{
	buf_deinit(&r->out);
	free(r);
}

/* --- answers --- */

void task_request_fail(struct task_request *r, int code, const char *why)
{
	AUTO_BUF problem = BUF_INIT;

	code = task_failure(code, why, &problem);
	task_request_fail_problem(r, code, why, &problem);
}

void task_request_fail_problem(struct task_request *r, int code, const char *why, const struct buf *problem)
{
	call_fail_problem(r->call, code, why, buf_bytes(problem));
	task_request_free(r);
}

void task_request_refuse(struct errand_call *call, const char *parameter, const char *fmt, ...)
{
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF problem = BUF_INIT;
	char why[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	fault_add(&faults, FAULT_SYNTAX, FAULT_PARAMETER, parameter, "value", NULL, 0, "%s", why);
	payload_problem(&faults, &problem);
	fault_list_deinit(&faults);
	call_fail_problem(call, ERRAND_INVALID_ARGUMENT, why, buf_bytes(&problem));
}

void task_request_answer(struct task_request *r)
{
	ProtobufCMessage *m = protobuf_c_message_unpack(r->reply, NULL, r->out.len, r->out.data);

	if (m == NULL || buf_failed(&r->out)) {
		task_request_fail(r, ERRAND_INTERNAL, "the stored task cannot be shown");
	} else {
		r->done(m, r->call);
		task_request_free(r);
	}
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
}

static void on_attempts(int code, const char *why, const struct attempt_row *rows, size_t n, void *arg)
{
	struct task_request *r = arg;

	task_pack_attempts(rows, code == 0 ? n : 0, FIELD_ATTEMPTS, &r->out);
	task_request_answer(r);
}

void task_request_answer_task(struct task_request *r, const struct task_row *row)
{
	char id[UUID_TEXT_SIZE];

	task_request_headers(r, row);
	task_pack(row, NULL, 0, &r->out);
	if (row->attempt == 0)
		task_request_answer(r);
	else
		task_attempts(uuid_format(&row->id, id), on_attempts, r);
}

/* --- headers --- */

static void set_number(struct errand_call *call, const char *key, unsigned n)
{
	char text[16];

	snprintf(text, sizeof text, "%u", n);
	errand_set_metadata(call, key, text);
}

void task_request_headers(struct task_request *r, const struct task_row *row)
{
	char etag[TASK_ETAG_SIZE];

	errand_set_metadata(r->call, "etag", task_etag(row, etag));
	errand_set_metadata(r->call, "cache-control", "no-store");
	if (task_state_live(row->state))
		set_number(r->call, "retry-after", task_retry_after_s(row));
}

void task_request_status(struct task_request *r, unsigned status)
{
	set_number(r->call, "errand-http-status", status);
}

void task_request_location(struct task_request *r, const struct task_row *row)
{
	char location[TASK_LOCATION_SIZE];

	errand_set_metadata(r->call, "location", task_location(&row->id, location));
}
