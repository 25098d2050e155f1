/* task_api.h: errand.v1.Tasks, tasks as resources, and the serialized forms of a
 * task that others answer with. Loop thread; the packing functions any. */
#ifndef SERVICE_TASK_API_H
#define SERVICE_TASK_API_H

#include "errand/service.h"
#include "service/task.h"

/* The handlers of errand.v1.Tasks, for the registry. */
extern ProtobufCService *const task_api_service;

/* Appends the serialized errand.v1.Task. Input and result are Anys of the method's
 * own messages and are left out when the row has none. attempts may be NULL. */
void task_pack(const struct task_row *row, const struct attempt_row *attempts, size_t n_attempts,
	       struct buf *out);

/* The row's ETag, quotes included: "\"7\"". */
#define TASK_ETAG_SIZE 24
char *task_etag(const struct task_row *row, char out[TASK_ETAG_SIZE]);
/* Where it is over HTTP. */
#define TASK_PATH "/v1/tasks/"
#define TASK_LOCATION_SIZE (sizeof TASK_PATH - 1 + UUID_TEXT_SIZE)
char *task_location(const struct uuid *id, char out[TASK_LOCATION_SIZE]);
/* Seconds to suggest as Retry-After while the task is live. */
unsigned task_retry_after_s(const struct task_row *row);

/* Appends a serialized errand.v1.Problem of that code; http 0: the code's own. */
void task_problem_put(struct buf *out, int code, int http, const char *detail);
/* The errand_code for the failure of an engine's op (task.h); what HTTP is to be told
 * beyond it is appended to problem. */
int task_failure(int code, const char *why, struct buf *problem);
/* What a stored problem says: its code (UNKNOWN when it names none) and detail
 * (malloc'd, "" when there is none; detailp may be NULL). */
int task_problem_read(struct bytes problem, char **detailp);

#endif
