/* task_state.c: the tables of TASKS.md: which move is allowed, and what follows
 * the end of an attempt. Pure. */
#include "service/task_state.h"

#include <stddef.h>

#include "base/util.h"

#define BIT(state) (1u << (state))

#define WAITING (BIT(TASK_QUEUED) | BIT(TASK_RETRYING) | BIT(TASK_SCHEDULED) | \
		 BIT(TASK_BLOCKED) | BIT(TASK_HELD))
#define ENDED (BIT(TASK_SUCCEEDED) | BIT(TASK_FAILED) | BIT(TASK_CANCELLED) | BIT(TASK_EXPIRED))

/* To which states each may go (TASKS.md). FAILED of one that waits: its total time is
 * over after an attempt, or a parent failed. An ended state is left by an operator's
 * retry only. */
static const unsigned moves[TASK_N_STATES] = {
	[TASK_QUEUED] = BIT(TASK_RUNNING) | BIT(TASK_SCHEDULED) | BIT(TASK_HELD) |
			BIT(TASK_CANCELLED) | BIT(TASK_EXPIRED) | BIT(TASK_FAILED),
	[TASK_SCHEDULED] = BIT(TASK_QUEUED) | BIT(TASK_HELD) | BIT(TASK_CANCELLED) |
			   BIT(TASK_EXPIRED),
	[TASK_BLOCKED] = BIT(TASK_QUEUED) | BIT(TASK_SCHEDULED) | BIT(TASK_HELD) |
			 BIT(TASK_CANCELLED) | BIT(TASK_EXPIRED) | BIT(TASK_FAILED),
	[TASK_HELD] = BIT(TASK_QUEUED) | BIT(TASK_SCHEDULED) | BIT(TASK_BLOCKED) |
		      BIT(TASK_RETRYING) | BIT(TASK_CANCELLED) | BIT(TASK_EXPIRED) |
		      BIT(TASK_FAILED),
	[TASK_RUNNING] = BIT(TASK_QUEUED) | BIT(TASK_RETRYING) | BIT(TASK_CANCELLING) |
			 BIT(TASK_SUCCEEDED) | BIT(TASK_FAILED),
	[TASK_RETRYING] = BIT(TASK_QUEUED) | BIT(TASK_HELD) | BIT(TASK_CANCELLED) |
			  BIT(TASK_EXPIRED) | BIT(TASK_FAILED),
	[TASK_CANCELLING] = BIT(TASK_CANCELLED) | BIT(TASK_SUCCEEDED),
	[TASK_SUCCEEDED] = BIT(TASK_QUEUED),
	[TASK_FAILED] = BIT(TASK_QUEUED),
	[TASK_CANCELLED] = BIT(TASK_QUEUED),
	[TASK_EXPIRED] = BIT(TASK_QUEUED),
};

static const char *const state_names[TASK_N_STATES] = {
	"STATE_UNSPECIFIED", "QUEUED", "RUNNING", "RETRYING", "CANCELLING", "SUCCEEDED",
	"FAILED", "CANCELLED", "SCHEDULED", "BLOCKED", "HELD", "EXPIRED",
};

static const char *const reason_texts[] = {
	[REASON_NONE] = "",
	[REASON_FINAL] = "not retryable",
	[REASON_EXHAUSTED] = "attempts exhausted",
	[REASON_QUARANTINED] = "quarantined",
	[REASON_DEADLINE] = "deadline",
	[REASON_PARENT] = "parent failed",
	[REASON_PARENTS] = "parents",
	[REASON_KEY] = "unique key",
};

static const char *const outcome_names[] = {
	"OUTCOME_UNSPECIFIED", "OK", "ERROR", "TIMEOUT", "OOM",
	"SIGNAL", "EXIT", "LEASE_LOST", "INTERRUPTED", "CANCELLED",
};

bool task_state_terminal(enum task_state s)
{
	return (unsigned)s < TASK_N_STATES && ENDED & BIT(s);
}

bool task_state_waiting(enum task_state s)
{
	return (unsigned)s < TASK_N_STATES && WAITING & BIT(s);
}

bool task_state_live(enum task_state s)
{
	return task_state_waiting(s) || s == TASK_RUNNING || s == TASK_CANCELLING;
}

bool task_move_allowed(enum task_state from, enum task_state to)
{
	if ((unsigned)from >= ARRAY_LEN(moves) || (unsigned)to >= ARRAY_LEN(moves))
		return false;
	return moves[from] & BIT(to);
}

const char *task_state_name(enum task_state s)
{
	return (unsigned)s < ARRAY_LEN(state_names) ? state_names[s] : state_names[0];
}

const char *task_outcome_name(enum task_outcome o)
{
	return (unsigned)o < ARRAY_LEN(outcome_names) ? outcome_names[o] : outcome_names[0];
}

const char *task_reason_text(enum task_reason r)
{
	return (unsigned)r < ARRAY_LEN(reason_texts) ? reason_texts[r] : "";
}

/* Full jitter: anything between now and the whole step, so that tasks which
 * failed together do not come back together. n counts from 1. */
static int64_t backoff(const struct task_retry *r, uint32_t n, double random01)
{
	double step = (double)r->base_us;

	for (uint32_t i = 1; i < n && step < (double)r->cap_us; i++)
		step *= r->factor > 1 ? r->factor : 1;
	if (step > (double)r->cap_us)
		step = (double)r->cap_us;
	return (int64_t)(step * random01);
}

static bool is_crash(enum task_outcome o)
{
	return o == OUTCOME_OOM || o == OUTCOME_SIGNAL || o == OUTCOME_LEASE_LOST;
}

static struct task_next after_failure(const struct task_end *end, uint32_t failures,
				      uint32_t crash_count, const struct task_retry *retry,
				      double random01)
{
	bool crash = is_crash(end->outcome);
	struct task_next next = {.state = TASK_FAILED, .failures = failures + !crash,
				 .crash_count = crash_count + crash};

	if (end->final)
		next.reason = REASON_FINAL;
	else if (next.crash_count > TASK_CRASH_LIMIT)
		next.reason = REASON_QUARANTINED;
	else if (!crash && next.failures >= retry->max_attempts)
		next.reason = REASON_EXHAUSTED;
	else {
		next.state = TASK_RETRYING;
		next.delay_us = end->retry_after_us > 0 ? end->retry_after_us :
			backoff(retry, crash ? next.crash_count : next.failures, random01);
	}
	return next;
}

struct task_next task_after(const struct task_end *end, uint32_t failures, uint32_t crash_count,
			    const struct task_retry *retry, double random01)
{
	struct task_next next = {.failures = failures, .crash_count = crash_count};

	if (end->outcome == OUTCOME_OK)
		next.state = TASK_SUCCEEDED;
	else if (end->outcome != OUTCOME_CANCELLED && !end->cancel_asked &&
		 end->outcome != OUTCOME_INTERRUPTED)
		return after_failure(end, failures, crash_count, retry, random01);
	else if (end->outcome == OUTCOME_INTERRUPTED && !end->cancel_asked)
		next.state = TASK_QUEUED;
	else
		next.state = TASK_CANCELLED;
	return next;
}
