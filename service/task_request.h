/* task_request.h: a request of errand.v1.Tasks under way, as the files of its handlers
 * share it. What is answered is packed field by field first (the form rows are kept
 * in) and unpacked into protobuf-c's structs at the end. Loop thread. */
#ifndef SERVICE_TASK_REQUEST_H
#define SERVICE_TASK_REQUEST_H

#include "service/call.h"
#include "service/task.h"

struct task_request {
	struct errand_call *call;
	ProtobufCClosure done;
	const ProtobufCMessageDescriptor *reply; /* type of the answer */
	struct task_wait *wait;       /* while waiting */
	struct buf out;               /* the answer, so far */
	bool cancels;                 /* CancelTask: 202 while it is being stopped */
};

struct task_request *task_request_new(void *call, ProtobufCClosure done,
				      const ProtobufCMessageDescriptor *reply);
/* For who has answered the call himself. */
void task_request_free(struct task_request *r);

/* These end it. An engine's code and its words (task.h): */
void task_request_fail(struct task_request *r, int code, const char *why);
/* ... with what else is to be said, an errand.v1.Problem. */
void task_request_fail_problem(struct task_request *r, int code, const char *why, const struct buf *problem);
/* A parameter of the path or the query that is not what it must be: 400, and its name. */
void PRINTF(3, 4) task_request_refuse(struct errand_call *call, const char *parameter, const char *fmt, ...);
/* What is packed in out. */
void task_request_answer(struct task_request *r);
/* The task, with its headers and its attempts. */
void task_request_answer_task(struct task_request *r, const struct task_row *row);

/* ETag, Cache-Control, and Retry-After while the task is live. */
void task_request_headers(struct task_request *r, const struct task_row *row);
void task_request_status(struct task_request *r, unsigned status);
void task_request_location(struct task_request *r, const struct task_row *row);

#endif
