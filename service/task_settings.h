/* task_settings.h: what operators have set of queues (errand.v1.Queues): kept as records
 * by the queue's name, and in memory for whoever makes or runs a task. */
#ifndef SERVICE_TASK_SETTINGS_H
#define SERVICE_TASK_SETTINGS_H

#include "schema/schema.h"
#include "service/store.h"

/* Numbers of the fields of errand.v1.Queue; a record's data are those that are set. */
struct queue_settings {
	uint64_t version;          /* 0: nothing is set */
	bool has_slots, has_rate, has_depth, paused;
	unsigned slots, burst;
	double rate;
	uint64_t max_depth;
	struct schema_retry retry;
	struct buf retry_policy;   /* serialized RetryPolicy; empty: not set */
	struct buf callback;       /* serialized Callback; the same */
};
void queue_settings_deinit(struct queue_settings *q);

/* Start-up thread: all there are. 0 or what the store said. */
int task_settings_load(const struct store_ops *ops, struct store *s);
void task_settings_free(void);

/* Any thread. Copies; zeros when nothing is set. */
void task_settings_get(const char *queue, struct queue_settings *out);
struct schema_retry task_settings_retry(const char *queue);
/* The serialized Callback for tasks of it that have none; false: there is none. */
bool task_settings_callback(const char *queue, struct buf *out);
/* The nth name that has settings, or NULL. Loop thread. */
const char *task_settings_name(size_t n);

/* Store thread, in a transaction: puts the fields of patch (serialized UpdateQueueRequest)
 * over those that are set. version: what it must be, 0 = any; -TASK_STALE. The data as
 * they are then go to out. */
int task_settings_put(const struct store_ops *ops, struct store *s, const char *queue,
		      struct bytes patch, uint64_t version, struct buf *out);
/* Loop thread, after COMMIT: they count from now on. */
void task_settings_apply(const char *queue, struct bytes data);

#endif
