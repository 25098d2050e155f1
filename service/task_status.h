/* task_status.h: the task engine in figures. Loop thread. */
#ifndef SERVICE_TASK_STATUS_H
#define SERVICE_TASK_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct task_status {
	const char *store;  /* its kind; borrowed for ever */
	bool draining;
	size_t n_running, n_queues;
	uint64_t n_queued;
};
void task_status(struct task_status *out);

#endif
