/* task_parent.h: what a task that others come after has answered. */
#ifndef SERVICE_TASK_PARENT_H
#define SERVICE_TASK_PARENT_H

#include "base/buf.h"
#include "base/uuid.h"

/* Its result as a packed google.protobuf.Any, appended. Waits for the store: any thread
 * but the loop, which must run meanwhile. 0; -ERRAND_NOT_FOUND; -ERRAND_FAILED_PRECONDITION
 * it has not succeeded; -ERRAND_UNAVAILABLE. */
int task_parent_result(const struct uuid *id, struct buf *any);

#endif
