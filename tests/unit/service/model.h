/* model.h: tasks as TASKS.md says they are, in as few lines as that takes: no store, no
 * threads, one array. It shares nothing with the engine but the numbers of its states
 * and outcomes; test_model.c holds the two against each other. */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "service/task_state.h"

#define MODEL_TASKS 64
#define MODEL_TRAIL 96
#define MODEL_KEYS 3
#define MODEL_S 1000000LL

enum model_policy { MODEL_REFUSE = 1, MODEL_USE = 2, MODEL_WAIT = 3 };

struct model_options {
	int64_t delay, run_at;       /* run_at by the wall clock; 0 = not given */
	int priority;
	int key;                     /* unique key, -1: none */
	int64_t window;
	enum model_policy policy;
	int64_t start_deadline, total, ttl;
	int idempotency, body;       /* key, -1: none; which body came with it */
};

struct model_task {
	struct uuid id;
	bool gone;                   /* deleted or forgotten */
	enum task_state state;
	struct model_options options;
	int priority;
	int64_t turn;                /* not before, then since when it queues */
	bool turn_wall, backing_off; /* turn is by the wall clock; it waits for a retry */
	int64_t start_by, finish_by; /* start_by by the same clock as turn; 0 = none */
	int64_t forget_at;
	uint32_t attempt, failures, crashes;
	bool cancel_asked, holds_key, waits_key;
	uint64_t version;            /* events + 1 */
	char trail[MODEL_TRAIL];     /* its state events, 'a' + state */
	unsigned n_trail;
	uint8_t outcomes[MODEL_TRAIL];
};

struct model {
	struct model_task tasks[MODEL_TASKS];
	int n;
	int64_t now, wall;           /* the engine's clock and the wall's */
	struct model_key {
		int holder;          /* -1: free */
		int64_t until;       /* of a window; 0: while the holder lives */
	} keys[MODEL_KEYS];
	struct model_idempotency {
		int task;            /* -1: none */
		int body;
		int64_t until;
	} idempotency[MODEL_KEYS];
	struct task_retry retry;
};

/* What came of a creation. */
enum model_made { MODEL_MADE, MODEL_REPLAYED, MODEL_USED, MODEL_CONFLICT, MODEL_KEY_REUSED };

void model_init(struct model *m, int64_t now, int64_t wall, const struct task_retry *retry);
/* *at: the task that was made or is the answer. */
enum model_made model_create(struct model *m, const struct model_options *o, const struct uuid *id,
			     int *at);
/* Whose turn is next; -1: nobody's. */
int model_next(const struct model *m);
void model_claim(struct model *m, int at);
void model_end(struct model *m, int at, enum task_outcome outcome, bool final, int64_t retry_after);
void model_event(struct model *m, int at); /* progress, a line */
/* What an operator asks; false: refused, nothing changes. */
bool model_cancel(struct model *m, int at);
bool model_hold(struct model *m, int at);
bool model_release(struct model *m, int at);
bool model_run_now(struct model *m, int at);
bool model_retry(struct model *m, int at);
bool model_delete(struct model *m, int at);
bool model_patch(struct model *m, int at, int priority, int64_t run_at); /* run_at 0: as it is */
/* Everything the clocks do now. */
void model_tick(struct model *m);

bool model_live(const struct model_task *t);
bool model_waiting(const struct model_task *t);

#endif
