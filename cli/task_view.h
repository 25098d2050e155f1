/* task_view.h: errand.v1.Task and errand.v1.TaskEvent as the command shows them,
 * read from the wire by number (proto/errand/v1/tasks.proto). */
#ifndef CLI_TASK_VIEW_H
#define CLI_TASK_VIEW_H

#include <stdbool.h>

#include "base/buf.h"

enum task_view_state {
	TASK_NONE, TASK_QUEUED, TASK_RUNNING, TASK_RETRYING, TASK_CANCELLING,
	TASK_SUCCEEDED, TASK_FAILED, TASK_CANCELLED, TASK_SCHEDULED, TASK_BLOCKED, TASK_HELD,
	TASK_EXPIRED, TASK_N_STATES,
};

/* "QUEUED"; "?" for a state of a newer service */
const char *task_view_state_name(int state);
/* By name, any case; -1 when there is none. */
int task_view_state_by_name(const char *name);
bool task_view_ended(int state);
/* What `task watch` exits with. */
int task_view_exit(int state);

/* What the program of an attempt has used (errand.v1.Usage). */
struct task_usage {
	char isolation[16]; /* "": no program ran */
	int64_t peak_memory, cpu_us;
};

/* Microseconds of a Timestamp, and of a Duration, which is laid out the same. */
int64_t task_view_time(struct bytes wire);

struct task_view {
	char *id, *method, *queue; /* owned, never NULL after a load */
	int state;
	unsigned attempt;
	bool has_progress;
	double fraction;
	char *message, *reason, *schedule, *labels; /* owned, may be NULL; labels: "a=1,b=2" */
	int priority;
	int64_t create_us, start_us, end_us, next_us; /* 0 = not set */
	struct buf error;          /* serialized errand.v1.Problem */
	struct task_usage usage;   /* of the last attempt */
};

/* Fills v (which is zero or loaded before). False when wire is malformed. */
bool task_view_load(struct task_view *v, struct bytes wire);
void task_view_deinit(struct task_view *v);
/* What went wrong, owned by the caller; NULL: nothing did. */
char *task_view_error(const struct task_view *v);

/* Text borrows from the event's bytes. */
struct task_event {
	uint64_t seq;
	struct bytes event; /* "state", "progress", "log", "result" */
	int64_t time_us;
	int state;
	unsigned attempt;
	bool has_progress;
	double fraction;
	struct bytes message;
	struct bytes log_stream, log_text;
	struct bytes error;
};

bool task_event_load(struct task_event *e, struct bytes wire);
bool task_event_is(const struct task_event *e, const char *event);

#endif
