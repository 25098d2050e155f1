/* store_memory.h: what the files of the memory store share. Store thread. */
#ifndef SERVICE_STORE_MEMORY_H
#define SERVICE_STORE_MEMORY_H

#include "service/ordered.h"
#include "service/store.h"

struct memory_queue;

struct memory_task {
	struct ordered_node by_id, by_turn, by_wake; /* by_turn: in its queue, while QUEUED */
	struct ordered_node by_state; /* in its state's, by id */
	struct ordered_node by_time;  /* while it waits for run_at, or has ended */
	struct memory_queue *queue;
	struct task_row row;
	struct attempt_row *attempts; /* by number */
	size_t n_attempts;
	struct event_row *events; /* by seq */
	size_t n_events, cap_events;
};

struct memory_queue {
	char *name;
	struct ordered queued; /* by_turn nodes */
	size_t n_state[TASK_N_STATES];
	struct memory_queue *next;
};

struct memory_record {
	struct ordered_node by_key, by_due; /* by_due: while due_us > 0 */
	struct record record;
};

struct store {
	struct ordered tasks; /* by_id nodes */
	struct ordered waking[2], forgettable; /* by_wake nodes; waking by clock */
	struct ordered records, due_records;   /* by_key and by_due nodes */
	struct ordered states[TASK_N_STATES];  /* by_state nodes */
	struct ordered timed, ended;           /* by_time nodes */
	struct memory_queue *queues;
	struct undo *undo;
	size_t n_undo, cap_undo;
	uint64_t n_changes;
};

/* store_memory_index.c */
void memory_index_init(struct store *s);
/* The queue of that name, made when it is new. */
struct memory_queue *memory_queue_of(struct store *s, const char *name);
void memory_index_add(struct store *s, struct memory_task *t);    /* by what its row says */
void memory_index_remove(struct store *s, struct memory_task *t); /* before that changes */
struct memory_task *memory_find(struct store *s, const struct uuid *id);
int memory_scan(struct store *s, const struct store_scan *scan, struct store_page *out);

static inline struct memory_task *memory_by_id(const struct ordered_node *n)
{
	return n ? CONTAINER_OF(n, struct memory_task, by_id) : NULL;
}
static inline struct memory_task *memory_by_turn(const struct ordered_node *n)
{
	return n ? CONTAINER_OF(n, struct memory_task, by_turn) : NULL;
}
static inline struct memory_task *memory_by_wake(const struct ordered_node *n)
{
	return n ? CONTAINER_OF(n, struct memory_task, by_wake) : NULL;
}

/* store_memory.c: a deep copy with these parts. */
void memory_copy_row(struct task_row *to, const struct task_row *from, unsigned parts);

#endif
