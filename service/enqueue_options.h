/* enqueue_options.h: struct errand_task_options as errand.v1.TaskOptions. Any thread. */
#ifndef SERVICE_ENQUEUE_OPTIONS_H
#define SERVICE_ENQUEUE_OPTIONS_H

#include "base/buf.h"
#include "errand/service.h"

/* Appended; o may be NULL. What is wrong in them is task_options_read's to say. */
void enqueue_pack_options(const struct errand_task_options *o, struct buf *out);

#endif
