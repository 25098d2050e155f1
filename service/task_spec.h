/* task_spec.h: a task that is to be made, by whoever asks: a method's call, POST
 * /v1/tasks, a schedule, errand_enqueue. Prepared on any thread, then inserted inside
 * the transaction of whatever op it belongs to. */
#ifndef SERVICE_TASK_SPEC_H
#define SERVICE_TASK_SPEC_H

#include "service/registry.h"
#include "service/task_move.h"
#include "service/task_options.h"
#include "wire/envelope.h"

#define TASK_FINGERPRINT_SIZE 32               /* SHA-256 */
#define TASK_KEY_TTL_US (24 * 3600 * 1000000LL) /* an Idempotency-Key is remembered */

/* Everything borrowed. */
struct task_spec {
	const struct method *method;
	struct bytes input;         /* wire bytes that passed payload_check */
	const struct wire_pair *metadata; /* what the handler is given with it */
	size_t n_metadata;
	struct bytes options;       /* serialized errand.v1.TaskOptions that passed task_options_read */
	const char *key;            /* Idempotency-Key; NULL */
	const uint8_t *fingerprint; /* of method and body; with a key */
	const char *schedule;       /* that makes it; NULL */
};

enum task_found {
	TASK_MADE,
	TASK_REPLAYED,   /* the same key and body: the task of then */
	TASK_USED,       /* on_conflict USE_EXISTING: the holder of the unique key */
	/* Not made: */
	TASK_CONFLICT,   /* on_conflict REFUSE: the holder of the unique key */
	TASK_KEY_REUSED, /* the same Idempotency-Key with another body */
	TASK_NO_PARENT,  /* after: there is no such task */
	TASK_NO_ROOM,    /* its queue is full */
};

struct task_new {
	struct task_row row;         /* as it will be; owned */
	struct task_options options; /* owned */
	char *key;
	uint8_t fingerprint[TASK_FINGERPRINT_SIZE];
	unsigned flags;              /* of the row, before the insertion */
	bool full;                   /* its queue is: only what was made before is found */
	enum task_found found;       /* after it */
	struct task_row other;       /* of REPLAYED, USED, CONFLICT: the other task, whole */
	size_t parent;               /* of NO_PARENT: index in after */
};

/* Takes a new id, reads the clocks. */
void task_new_init(struct task_new *n, const struct task_spec *spec);
void task_new_deinit(struct task_new *n);
/* Store thread, in a transaction; may be run again after that was undone. 0 with
 * n->found set, or what the store said. */
int task_new_insert(struct task_new *n, const struct store_ops *ops, struct store *s,
		    struct task_changes *changes);
/* The task that was asked for: made, or found. */
static inline const struct task_row *task_new_row(const struct task_new *n)
{
	return n->found == TASK_MADE ? &n->row : &n->other;
}
/* Keys that are over. Store thread. */
int task_key_tick(const struct store_ops *ops, struct store *s);

#endif
