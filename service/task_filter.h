/* task_filter.h: the filters of ListTasks and of what works on many tasks: the
 * common subset of AIP-160 over a task's row. A filter is parsed once, never
 * changes, and is then asked row by row on the store thread. Pure; any thread.
 *
 *   state = running AND (queue = "media" OR priority > 5) AND NOT labels.customer = "x"
 *
 *   AND OR NOT - ( )   OR binds tighter than AND, as AIP-160 has it; two tests side by
 *                      side are an AND; words in capitals
 *   = != < <= > >=     a field on the left, a value on the right, quoted or bare; texts
 *                      take * at the start or the end for = and !=; states in any case
 *   :                  labels:KEY and labels.KEY:* has the label, labels.KEY:TEXT is =,
 *                      FIELD:* the field has a value
 *
 * What has no value (no end_time yet, no such label) passes no comparison, not even
 * !=; NOT of one is true. Times are RFC 3339. */
#ifndef SERVICE_TASK_FILTER_H
#define SERVICE_TASK_FILTER_H

#include "service/store.h"

#define TASK_FILTER_LENGTH_MAX 8192 /* bytes */
#define TASK_FILTER_DEPTH_MAX 64    /* of parentheses and NOT in each other */

struct task_filter;

/* 0, or -ERRAND_INVALID_ARGUMENT with the column, what was expected there and what
 * stands there in why. "" takes every task. */
int task_filter_parse(const char *text, struct task_filter **out, char *why, size_t why_size);
struct task_filter *task_filter_free(struct task_filter *f); /* NULL-safe; NULL */

/* One more test that must be true: the state, or this text of "method" or "queue". */
void task_filter_and_state(struct task_filter *f, enum task_state state);
void task_filter_and_text(struct task_filter *f, const char *field, const char *text);
bool task_filter_field(const char *name); /* is there one of that name? */

/* The row has PART_OPTIONS when its labels are asked for (task_filter_parts). NULL
 * takes every row. */
bool task_filter_match(const struct task_filter *f, const struct task_row *t);
/* Which parts of a row match reads (enum store_part). */
unsigned task_filter_parts(const struct task_filter *f);
/* How many comparisons one row may cost: bounds what a page may look at. */
size_t task_filter_cost(const struct task_filter *f);
/* The filter again, with every parenthesis and one form for each thing. */
void task_filter_print(const struct task_filter *f, struct buf *out);

/* What is true of every task it takes; an index can use it. Borrows from the filter. */
struct task_filter_hint {
	uint32_t states;             /* a bit for each state (1 << state); others are set as well */
	int64_t create_min_us, create_max_us; /* inclusive */
	const char *queue, *method;  /* NULL = any */
	const char *label, *label_value; /* NULL = any */
};
void task_filter_hint(const struct task_filter *f, struct task_filter_hint *out);

#define TASK_FILTER_STATES ((1u << TASK_N_STATES) - (1u << TASK_QUEUED))
#define TASK_FILTER_ENDED (1u << TASK_SUCCEEDED | 1u << TASK_FAILED | 1u << TASK_CANCELLED | \
			   1u << TASK_EXPIRED)

/* The labels in serialized TaskOptions, one by one; false when there are no more. */
struct task_filter_label {
	struct bytes key, value;
};
struct pbuf_reader;
bool task_filter_next_label(struct pbuf_reader *options, struct task_filter_label *out);

#endif
