/* task_state.h: the states of a task and which move is allowed (TASKS.md). Pure;
 * any thread. A move that is not in the table is a bug and asserts. */
#ifndef SERVICE_TASK_STATE_H
#define SERVICE_TASK_STATE_H

#include <stdbool.h>
#include <stdint.h>

/* The numbers are errand.v1.Task.State's and stored. */
enum task_state {
	TASK_QUEUED = 1,
	TASK_RUNNING = 2,
	TASK_RETRYING = 3,
	TASK_CANCELLING = 4,
	TASK_SUCCEEDED = 5,
	TASK_FAILED = 6,
	TASK_CANCELLED = 7,
	TASK_SCHEDULED = 8,
	TASK_BLOCKED = 9,
	TASK_HELD = 10,
	TASK_EXPIRED = 11,
	TASK_N_STATES
};

/* errand.v1.Attempt.Outcome's numbers; stored. */
enum task_outcome {
	OUTCOME_NONE = 0,
	OUTCOME_OK,
	OUTCOME_ERROR,
	OUTCOME_TIMEOUT,
	OUTCOME_OOM,
	OUTCOME_SIGNAL,
	OUTCOME_EXIT,
	OUTCOME_LEASE_LOST,
	OUTCOME_INTERRUPTED,
	OUTCOME_CANCELLED,
};

#define TASK_CRASH_LIMIT 2 /* one more is quarantine */

/* Why a task FAILED, EXPIRED or is BLOCKED; stored. */
enum task_reason {
	REASON_NONE, REASON_FINAL, REASON_EXHAUSTED, REASON_QUARANTINED, REASON_DEADLINE,
	REASON_PARENT, REASON_PARENTS, REASON_KEY,
};

bool task_state_terminal(enum task_state s);
bool task_state_live(enum task_state s); /* not terminal */
bool task_state_waiting(enum task_state s); /* live, and nobody runs it */
bool task_move_allowed(enum task_state from, enum task_state to);
const char *task_state_name(enum task_state s);     /* "RUNNING" */
const char *task_outcome_name(enum task_outcome o); /* "LEASE_LOST" */
const char *task_reason_text(enum task_reason r);   /* "quarantined"; "" */

/* What follows the end of an attempt. */
struct task_retry {
	uint32_t max_attempts;
	int64_t base_us, cap_us;
	double factor;
};

struct task_end {
	enum task_outcome outcome;
	bool final;             /* not to be retried */
	int64_t retry_after_us; /* asked for by the handler; 0 = by the rules */
	bool cancel_asked;
};

struct task_next {
	enum task_state state;  /* QUEUED, RETRYING, SUCCEEDED, FAILED, CANCELLED */
	int64_t delay_us;       /* of RETRYING */
	uint32_t failures, crash_count; /* as they are after it */
	enum task_reason reason; /* of FAILED */
};

/* failures and crash_count before the end; random01 in [0, 1) for full jitter. */
struct task_next task_after(const struct task_end *end, uint32_t failures, uint32_t crash_count,
			    const struct task_retry *retry, double random01);

#endif
