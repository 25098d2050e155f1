/* model_rig.h: the engine's own moves over a store of each kind, beside the model (model.h): what test_model.c
 * does to all of them, and whether they are still the same. */
#ifndef TESTS_MODEL_RIG_H
#define TESTS_MODEL_RIG_H

#include "model.h"
#include "service/task_engine.h"

enum kind {
	CREATE, CLAIM, END, EVENT, CANCEL, HOLD, RELEASE, RUN_NOW, RETRY, DELETE, PATCH, ADVANCE,
	JUMP, CRASH, N_KINDS
};

struct op {
	enum kind kind;
	uint32_t a, b; /* random: of what, and how */
};

/* One store that the operations go to. */
struct side {
	const struct store_ops *ops;
	struct store *s;
	struct task_changes changes;
};

extern struct model_rig {
	struct side sides[2];
	struct model model;
	char wrong[1024]; /* what differs; empty: nothing */
} rig;

#define WRONG(...) \
	do { \
		if (rig.wrong[0] == 0) \
			snprintf(rig.wrong, sizeof rig.wrong, __VA_ARGS__); \
	} while (0)

extern const struct task_retry rig_retry; /* of all tasks */

/* A task as the store has it. */
int rig_read(struct side *side, int at, struct task_row *row);
bool rig_runs(const struct model_task *t);
/* Do it to both stores and to the model. */
void rig_do(struct op op);
/* What is wrong with the store of this side, and with one of them against the other. */
void rig_compare(struct side *side);
void rig_compare_stores(void);

#endif
