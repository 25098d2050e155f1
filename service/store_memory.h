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

/* store_memory_record.c */
void memory_record_init(struct store *s);
void memory_record_free_all(struct store *s);
void memory_record_link(struct store *s, struct memory_record *r);
void memory_record_unlink(struct store *s, struct memory_record *r);
void memory_record_free(struct memory_record *r); /* NULL-safe */
int memory_put_record(struct store *s, const struct record *record);
int memory_get_record(struct store *s, enum record_kind kind, struct bytes key,
			     struct record *out);
int memory_remove_record(struct store *s, enum record_kind kind, struct bytes key);
int memory_list_records(struct store *s, enum record_kind kind, struct bytes prefix,
			       struct bytes after, size_t limit, struct record **out, size_t *n_out);
int memory_due_records(struct store *s, enum record_kind kind, int64_t now_us, size_t limit,
			      struct record **out, size_t *n_out);
int memory_next_record(struct store *s, enum record_kind kind, int64_t *due_us);
int memory_count_records(struct store *s, enum record_kind kind, uint64_t *out);

/* store_memory.c: for the undo log, which takes removed. */
void memory_record_changed(struct store *s, struct memory_record *added,
			   struct memory_record *removed);
/* A deep copy with these parts. */
void memory_copy_row(struct task_row *to, const struct task_row *from, unsigned parts);

#endif
