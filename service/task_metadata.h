/* task_metadata.h: the metadata of the request that made a task, as the task's row keeps
 * it: what came along, who asked, and the trace. Any thread. */
#ifndef SERVICE_TASK_METADATA_H
#define SERVICE_TASK_METADATA_H

#include "base/trace.h"
#include "base/uuid.h"
#include "wire/envelope.h"

struct log_ids;

/* Borrows from the row and from itself: not to be copied. */
struct task_metadata {
	struct wire_pair pairs[ENVELOPE_METADATA_MAX];
	size_t n;
	char traceparent[TRACE_SIZE];
};

/* Appends one pair. */
void task_metadata_put(struct buf *row, const struct wire_pair *pair);
void task_metadata_read(const struct buf *row, struct task_metadata *out);
/* The value of this key as text, free() it; NULL: it is not there. */
char *task_metadata_get(const struct buf *row, const char *key);
/* The request and the trace it came from, itself and an attempt of it; free() it. */
struct log_ids *task_metadata_ids(const struct buf *row, const struct uuid *task, unsigned attempt);

#endif
