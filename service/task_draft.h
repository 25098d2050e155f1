/* task_draft.h: a task as a CreateTaskRequest asks for it: which method, its input
 * read, its options checked, all that is wrong found at once. Loop thread. */
#ifndef SERVICE_TASK_DRAFT_H
#define SERVICE_TASK_DRAFT_H

#include "errand/v1/tasks.pb-c.h"
#include "service/fingerprint.h"
#include "service/task.h"

struct task_draft {
	const struct method *method;
	struct buf input, options;  /* wire bytes, checked */
	char *queue;                /* of the options; owned, or NULL */
	uint8_t fingerprint[FINGERPRINT_SIZE];
	int code;                   /* why it cannot be made; 0 = it can */
	char why[256];
	struct buf problem;         /* an errand.v1.Problem, when code is set */
};

/* True when it can be made. */
bool task_draft_read(struct task_draft *d, const Errand__V1__CreateTaskRequest *in);
void task_draft_deinit(struct task_draft *d);

/* Makes it. key: its Idempotency-Key, or NULL; by: the call that asks for it. d is
 * needed no longer when this has returned. */
void task_draft_create(const struct task_draft *d, const char *key, const struct errand_call *by,
		       task_created done, void *arg);
/* An Idempotency-Key as metadata has it; empty when there is none. False for what is
 * none: 1 to 255 printable ASCII characters. */
#define TASK_KEY_SIZE 256
bool task_key_read(struct bytes given, char out[TASK_KEY_SIZE]);
void task_key_problem(struct buf *problem, char *why, size_t why_size);

/* Why there is no new task, as an errand.v1.Problem (appended); returns the errand_code. */
int task_draft_failure(int code, enum task_found found, const char *why, struct buf *problem);

#endif
