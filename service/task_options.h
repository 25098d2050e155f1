/* task_options.h: errand.v1.TaskOptions in C: what a task was told when it was made,
 * and what follows from it, its method's options and the defaults. Any thread. */
#ifndef SERVICE_TASK_OPTIONS_H
#define SERVICE_TASK_OPTIONS_H

#include "schema/fault.h"
#include "schema/schema.h"
#include "service/task_state.h"
#include "base/uuid.h"

#define TASK_OPTIONS_CALLBACK 18 /* number of the field */
#define TASK_PRIORITY_MAX 1000000
#define TASK_LABELS_MAX 64
#define TASK_AFTER_MAX 1000
#define TASK_TTL_DEFAULT_US (7LL * 86400 * 1000000)
#define TASK_TIME_MAX_US (100LL * 365 * 86400 * 1000000) /* of any duration */

/* The numbers are TaskOptions.OnConflict's and AfterPolicy's. */
enum on_conflict { CONFLICT_REFUSE = 1, CONFLICT_USE_EXISTING = 2, CONFLICT_WAIT = 3 };
enum after_policy { AFTER_FAIL = 1, AFTER_CANCEL = 2, AFTER_RUN = 3 };

/* Owned; zero where nothing was given (enums: their defaults). Times in microseconds. */
struct task_options {
	char *queue;
	int32_t priority;
	int64_t run_at_us;        /* wall clock */
	int64_t delay_us;
	struct task_label {
		char *key, *value;
	} *labels;
	size_t n_labels;
	char *unique_key;
	int64_t unique_window_us;
	enum on_conflict on_conflict;
	struct uuid *after;
	size_t n_after;
	enum after_policy after_policy;
	int64_t start_deadline_us, timeout_us, total_timeout_us, progress_timeout_us;
	int64_t cancel_grace_us, result_ttl_us;
	struct schema_retry retry;
	char *callback_url;
	unsigned callback_events; /* bits 1 << enum task_state; 0 with a url: every end */
};

/* Reads the serialized TaskOptions. What is wrong goes into faults with pointers "#/queue"
 * (422); NULL: the bytes were checked before, what is wrong in them is left out. False
 * when there was a fault. */
bool task_options_read(struct bytes options, struct task_options *out, struct fault_list *faults);
void task_options_deinit(struct task_options *o);
bool task_queue_name_ok(const char *name);

/* The serialized options with these labels instead of their own. */
void task_options_put_labels(struct bytes options, const struct task_label *labels, size_t n,
			     struct buf *out);

/* How one attempt runs; 0 = no limit. */
struct task_limits {
	int64_t timeout_ns, progress_timeout_ns, cancel_grace_ns;
	struct task_retry retry;
};
/* The task's own, then its method's (may be NULL), then the queue's retry rules (may be
 * NULL), then the defaults. */
struct task_limits task_limits_of(const struct task_options *o, const struct schema_method *m,
				  const struct schema_retry *queue);

#endif
