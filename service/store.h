/* store.h: where tasks are kept: one interface, several kinds (memory, sqlite),
 * one contract suite (tests/contract). A store belongs to the store thread; the
 * functions are synchronous and are called between begin and commit. Which move
 * of a task is allowed is task_state.h's; the store writes what it is told.
 *
 * Every change of a task raises its version by one for each event it writes; an
 * event's `seq` is the version it made; all in one transaction. The event of a
 * task's creation (version 1) is not stored: it says nothing the row does not. */
#ifndef SERVICE_STORE_H
#define SERVICE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/uuid.h"
#include "service/task_state.h"

/* Which of a row's buffers to read or to write. */
enum store_part {
	PART_INPUT = 1,
	PART_RESULT = 2,
	PART_ERROR = 4,
	PART_METADATA = 8,
	PART_OPTIONS = 16,
	PART_CHECKPOINT = 32,
	PART_DETAIL = 64,
	PART_ALL = 127,
	PARTS_OF_BIRTH = PART_INPUT | PART_METADATA, /* never change */
	PARTS_TO_RUN = PART_INPUT | PART_METADATA | PART_OPTIONS | PART_CHECKPOINT,
};

/* What is attached to a row (its `flags`), so that a task without any of it pays
 * for none. Stored. */
enum task_flag {
	TASK_CANCEL_ASKED = 1,
	TASK_BY_WALL = 2,        /* run_at_us is an appointment by the wall clock */
	TASK_BACKING_OFF = 4,    /* RETRYING, or HELD while it was */
	TASK_HAS_CALLBACK = 8,   /* its options name one, or its queue's settings did */
	TASK_HAS_CHILDREN = 16,  /* records EDGE from it: others come after it */
	TASK_HAS_UNIQUE = 32,    /* it holds a unique key, or waits for it */
	TASK_WAITS_KEY = 64,     /* BLOCKED (or HELD) for its unique key */
	TASK_HAS_LABELS = 128,   /* in its options */
	TASK_HAS_PARENTS = 256,  /* its options name tasks it comes after */
	TASK_BORN_SCHEDULED = 512, /* what it was when it was made, if not QUEUED */
	TASK_BORN_BLOCKED = 1024,
	TASK_HAS_CHECKPOINT = 2048,
	TASK_HAS_DETAIL = 4096,  /* of its progress */
};

/* A task's row. Strings and buffers owned; NULL and empty where there is none.
 * Times are microseconds, 0 = not yet or none; create, start and end by the wall clock,
 * the others by the engine's (task_clock.h). */
struct task_row {
	struct uuid id;
	char *method;             /* "article.v1.Article/Encode" */
	char *queue;
	enum task_state state;
	int32_t priority;
	uint64_t version;         /* of the row: ETag and seq of its last event */
	uint32_t attempt;         /* number of the last attempt begun; fences late writes */
	uint32_t failures;        /* attempts that ended in error, timeout, exit */
	uint32_t crash_count;     /* attempts that ended in oom, signal, lease_lost */
	int64_t create_us, start_us, end_us;
	int64_t run_at_us;        /* not to be claimed before this */
	int64_t start_by_us;      /* its attempt must have begun by then, or it expires */
	int64_t finish_by_us;     /* the end of its total time */
	int64_t ttl_us;           /* from its end until it is forgotten */
	/* When the clock next does something to it while nobody runs it: its time to run,
	 * a deadline, or when it has ended (then it has an end_us), to be forgotten; 0 =
	 * never, and while it runs. task_move.c's. */
	int64_t wake_us;
	bool wake_wall;           /* by the wall clock */
	unsigned flags;           /* enum task_flag */
	enum task_reason reason;
	uint32_t blockers;        /* parents that have not ended */
	uint64_t owner;           /* of its running attempt (lease.h); 0 = none */
	char *schedule;           /* that made it; NULL */
	double progress;          /* 0 to 1 */
	char *progress_message;
	uint64_t log_bytes, log_dropped; /* of the current attempt */
	unsigned parts;           /* which of the buffers are here (enum store_part) */
	struct buf input;         /* wire bytes of the method's input */
	struct buf result;        /* wire bytes of its output */
	struct buf error;         /* serialized errand.v1.Problem */
	struct buf metadata;      /* serialized request metadata kept for the handler */
	struct buf options;       /* serialized errand.v1.TaskOptions, as given */
	struct buf checkpoint;    /* serialized google.protobuf.Any: what an attempt saved */
	struct buf detail;        /* the same: of its progress */
};
void task_row_deinit(struct task_row *t);
/* Whose turn is first: by priority (higher first), run_at, id; as qsort wants it. */
int task_row_turn(const struct task_row *a, const struct task_row *b);

struct attempt_row {
	struct uuid task;
	uint32_t number;
	enum task_outcome outcome; /* OUTCOME_NONE while it runs */
	int64_t start_us, end_us;
	int exit_status, signal;
	struct buf error;          /* serialized errand.v1.Problem */
	char *owner;
	struct buf usage;          /* serialized errand.v1.Usage; empty: no program ran */
};
void attempt_row_deinit(struct attempt_row *a);

enum event_kind { EVENT_STATE = 1, EVENT_PROGRESS, EVENT_LOG, EVENT_RESULT };

/* data is a serialized errand.v1.TaskEvent with what is not in the row already:
 * no seq, event, time and task_id; no result either, that is the task's own. */
struct event_row {
	uint64_t seq;
	enum event_kind kind;
	int64_t time_us;
	struct buf data;
};
void event_row_deinit(struct event_row *e);

/* The indexes by which rows are walked, in their order. */
enum store_index {
	INDEX_ID,     /* all, by id */
	INDEX_STATE,  /* those of one state, by id */
	INDEX_TURN,   /* QUEUED ones of one queue, as they are claimed (task_row_turn) */
	INDEX_RUN_AT, /* SCHEDULED and RETRYING ones, by run_at, id */
	INDEX_END,    /* ended ones, by end, id */
};

#define TASK_STATES_MAX 16 /* higher than any enum task_state */

/* A place in an index: what it orders by (priority and run_at, run_at, end; 0), then
 * the id. */
struct store_place {
	int64_t major, minor;
	struct uuid id;
};
struct store_place store_place_of(enum store_index index, const struct task_row *row);

struct task_filter;

/* A walk through an index, which looks at a bounded number of rows. */
struct store_scan {
	enum store_index index;
	bool backward;
	enum task_state state; /* of INDEX_STATE */
	const char *queue;     /* of INDEX_TURN */
	bool after_set;
	struct store_place after; /* begins behind it */
	bool stop_set;
	struct uuid stop;      /* of INDEX_ID and INDEX_STATE: ends before the first id beyond it */
	const struct task_filter *filter; /* NULL: takes all */
	size_t limit;          /* rows given at most, > 0 */
	size_t look;           /* rows looked at, at most, > 0 */
};

/* A page. rows owned, with PART_ERROR and, where they have labels, PART_OPTIONS. more:
 * there may be rows after `last`, the place of the last one looked at. */
struct store_page {
	struct task_row *rows;
	size_t n;
	bool more;
	struct store_place last;
};
void store_page_deinit(struct store_page *p);

/* Everything small that is kept beside the tasks is a record: a key of its kind,
 * bytes that only its owner reads, and a time. */
enum record_kind {
	RECORD_META = 1,     /* by name: the engine's own */
	RECORD_OWNER,        /* by id: who runs tasks; due: the end of his lease (lease.h) */
	RECORD_IDEMPOTENCY,  /* by Idempotency-Key; due: forgotten (task_spec.c) */
	RECORD_UNIQUE,       /* by unique key; due: the end of its window */
	RECORD_UNIQUE_WAIT,  /* unique key, NUL, id: who waits for it */
	RECORD_EDGE,         /* parent's id, child's id: `after` */
	RECORD_TOMBSTONE,    /* by id of a task; due: forgotten altogether */
	RECORD_QUEUE,        /* by name: settings */
	RECORD_SCHEDULE,     /* by id; due: its next time, by the wall clock */
	RECORD_DELIVERY,     /* by id; due: the next attempt (hook_record.h) */
	RECORD_DELIVERY_TASK,   /* by id of a delivery: what it tells */
	RECORD_CALLBACK_GONE,   /* whose endpoint, its URL; due: forgotten */
	RECORD_LABEL,        /* label, its value, the id of who has it (task_list.c) */
	RECORD_WORKER,       /* by name: what workers have registered (worker_set.c) */
};

struct record {
	enum record_kind kind;
	struct buf key;      /* owned, as data is; not empty */
	int64_t due_us;      /* 0 = never */
	struct buf data;
};
void record_deinit(struct record *r);
void records_free(struct record *rows, size_t n);

struct store;
struct store_backup;

/* What a file holds. */
struct store_stat {
	char *path;            /* owned */
	int version;           /* of its schema */
	int64_t size, log_size, reserve; /* bytes; reserve: held now */
	int64_t page_size, pages, free_pages;
	uint64_t tasks[TASK_STATES_MAX]; /* by state */
};

/* All return 0 or a negative errand_code; -ERRAND_NOT_FOUND where a row is not
 * there; -ERRAND_RESOURCE_EXHAUSTED disk full; -ERRAND_DATA_LOSS corrupt;
 * -ERRAND_UNAVAILABLE anything else of the database. After an error the caller
 * rolls back. `why` of the last error: ops->error. */
struct store_ops {
	const char *name; /* "memory", "sqlite" */
	/* arg: what follows "NAME:" in --store (a file). Refusals say what to do. */
	int (*open)(const char *arg, struct store **out, char *why, size_t why_size);
	void (*close)(struct store *s);
	const char *(*error)(struct store *s);

	int (*begin)(struct store *s);
	int (*commit)(struct store *s); /* durable when it returns 0 */
	void (*rollback)(struct store *s);

	/* Grows with every row written in this process, also by what is rolled back:
	 * tells whether an op that failed had written. */
	uint64_t (*changes)(struct store *s);
	/* House-keeping between transactions (checkpoint); NULL = none. */
	void (*tidy)(struct store *s);

	int (*insert)(struct store *s, const struct task_row *t);
	/* The row with these parts (enum store_part); the others are empty in out. */
	int (*get)(struct store *s, const struct uuid *id, unsigned parts, struct task_row *out);
	/* By the last characters of the id's text (>= 6). -ERRAND_NOT_FOUND none;
	 * -ERRAND_FAILED_PRECONDITION several. Looks at every id: for people. */
	int (*find_tail)(struct store *s, const char *tail, struct uuid *out);
	/* Writes all members but id, method, queue, create_us, schedule and the buffers; of
	 * those only these parts (an empty one is removed), and never what it was made with:
	 * input and metadata stay. */
	int (*update)(struct store *s, const struct task_row *t, unsigned parts);
	int (*remove)(struct store *s, const struct uuid *id); /* with attempts and events */
	/* Up to n QUEUED rows of `queue` whose turn is first (task_row_turn), with
	 * PARTS_TO_RUN; out has room for n. Only reads. */
	int (*claimable)(struct store *s, const char *queue, size_t n, struct task_row *out,
			 size_t *n_out);
	/* Rows that wait (QUEUED, RETRYING, SCHEDULED, BLOCKED, HELD) with wake_us reached by
	 * that clock, the earliest first; no parts. */
	int (*waking)(struct store *s, bool wall, int64_t now_us, size_t n, struct task_row *out,
		      size_t *n_out);
	int (*next_wake)(struct store *s, bool wall, int64_t *out); /* of all such, 0 = none */
	/* Terminal rows with wake_us reached, and the first that will be; no parts. */
	int (*forgettable)(struct store *s, int64_t now_us, size_t n, struct task_row *out,
			   size_t *n_out);
	int (*next_forget)(struct store *s, int64_t *out);
	/* Rows RUNNING or CANCELLING of this owner, or (others) of anybody else. No parts. */
	int (*owned)(struct store *s, uint64_t owner, bool others, size_t n, struct task_row *out,
		     size_t *n_out);
	/* Names of queues that have QUEUED rows; owned array of owned strings. */
	int (*queues)(struct store *s, char ***out, size_t *n_out);
	int (*scan)(struct store *s, const struct store_scan *scan, struct store_page *out);
	int (*count)(struct store *s, const char *queue, enum task_state state, uint64_t *out);

	/* run_at of the QUEUED row of `queue` that waits longest, 0 = none. */
	int (*oldest)(struct store *s, const char *queue, int64_t *run_at_us);

	int (*put_attempt)(struct store *s, const struct attempt_row *a); /* insert or replace */
	int (*attempts)(struct store *s, const struct uuid *id, struct attempt_row **out,
			size_t *n_out); /* malloc'd array, by number */

	int (*add_event)(struct store *s, const struct uuid *id, const struct event_row *e);
	/* A progress event takes the place of the one before (bounded rows). */
	int (*drop_progress)(struct store *s, const struct uuid *id);
	/* Events with seq > after, in order, at most limit, of one kind (0: all);
	 * malloc'd array, event_row_deinit each. */
	int (*events)(struct store *s, const struct uuid *id, uint64_t after, enum event_kind kind,
		      size_t limit, struct event_row **out, size_t *n_out);

	int (*put_record)(struct store *s, const struct record *r); /* insert or replace */
	int (*get_record)(struct store *s, enum record_kind kind, struct bytes key,
			  struct record *out);
	int (*remove_record)(struct store *s, enum record_kind kind, struct bytes key);
	/* By key, those that begin with prefix (may be empty) and come after `after` (empty:
	 * from the first); malloc'd array, records_free. */
	int (*list_records)(struct store *s, enum record_kind kind, struct bytes prefix,
			    struct bytes after, size_t limit, struct record **out, size_t *n_out);
	/* With due_us reached, the earliest first. */
	int (*due_records)(struct store *s, enum record_kind kind, int64_t now_us, size_t limit,
			   struct record **out, size_t *n_out);
	int (*next_record)(struct store *s, enum record_kind kind, int64_t *due_us); /* 0 = none */
	int (*count_records)(struct store *s, enum record_kind kind, uint64_t *out);

	/* --- of kinds that keep a file; all NULL of others --- */
	/* Keeps so many bytes of the disk back from now on; 0 = none. */
	void (*set_reserve)(struct store *s, int64_t bytes);
	/* True when they are held (again); false: there is not enough room. */
	bool (*take_reserve)(struct store *s);
	/* The disk is full: gives them up; false: nothing was held. */
	bool (*spend_reserve)(struct store *s);
	/* An fsync failed: what is on the disk is not known, and nothing is accepted until
	 * the file has been opened again. */
	bool (*is_dead)(struct store *s);
	int (*stat)(struct store *s, struct store_stat *out);
	/* A copy of the whole store in a new file, made step by step (n pages each) between
	 * transactions; what is written meanwhile is in it. 1: there is more to copy. end
	 * closes the file, which is whole when a step has returned 0, and is not synced. */
	int (*backup_begin)(struct store *s, const char *path, struct store_backup **out);
	int (*backup_step)(struct store *s, struct store_backup *b, int n);
	void (*backup_end)(struct store *s, struct store_backup *b);
	/* Gives at most n unused pages back to the file system, between transactions. 1:
	 * there are more. -ERRAND_FAILED_PRECONDITION: this file was made without. */
	int (*vacuum_step)(struct store *s, int n);
};

extern const struct store_ops store_memory, store_sqlite;
/* The end of an id's text, for find_tail. */
struct uuid_tail {
	struct uuid id;    /* filled from its end */
	unsigned n_nibbles;
};
bool uuid_tail_parse(const char *text, struct uuid_tail *out); /* false: no such text */
bool uuid_tail_match(const struct uuid_tail *t, const struct uuid *id);

/* Frees what `queues`, `attempts` and `events` gave. */
void store_queues_free(char **names, size_t n);
void attempt_rows_free(struct attempt_row *rows, size_t n);
void event_rows_free(struct event_row *rows, size_t n);

/* The one array of kinds; by the name before the colon; NULL. */
const struct store_ops *store_kind(const char *spec, const char **argp);

#endif
