/* hook_record.h: a delivery as the store keeps it: a record of its own, small, so that
 * lists and the clock pass over them quickly, and one with the task it tells of. Both
 * are under the same key, the task's id and the event's seq; its text is the delivery's
 * id and the webhook-id. Store thread; the conversions any. */
#ifndef SERVICE_HOOK_RECORD_H
#define SERVICE_HOOK_RECORD_H

#include "service/store.h"

#define HOOK_ID_SIZE 64  /* "UUID-SEQ", with the NUL */
#define HOOK_KEY_SIZE 24

enum hook_state { HOOK_PENDING = 1, HOOK_DELIVERED = 2, HOOK_DEAD = 3 };

/* Strings owned; NULL where there is none. */
struct hook_delivery {
	uint8_t key[HOOK_KEY_SIZE];
	char *event;         /* "task.succeeded" */
	char *url;
	char *queue;         /* whose callback it is; NULL: the task's own */
	char *traceparent;
	enum hook_state state;
	uint32_t attempt;    /* made in all */
	uint32_t before;     /* of them before the last redelivery: its schedule begins anew */
	bool forced;         /* an operator wants it sent, though its endpoint is gone */
	int64_t event_us, last_us, end_us; /* wall clock; 0: not yet */
	int64_t due_us;      /* engine's clock: the next attempt, or when it is forgotten */
	int status;          /* HTTP's, of the last answer */
	char *error;         /* of the last attempt */
};
void hook_delivery_deinit(struct hook_delivery *d);

void hook_key(const struct uuid *task, uint64_t seq, uint8_t out[HOOK_KEY_SIZE]);
char *hook_id_format(const uint8_t key[HOOK_KEY_SIZE], char out[HOOK_ID_SIZE]);
bool hook_id_parse(const char *text, uint8_t key[HOOK_KEY_SIZE]);

int hook_put(const struct store_ops *ops, struct store *s, const struct hook_delivery *d);
int hook_get(const struct store_ops *ops, struct store *s, const uint8_t key[HOOK_KEY_SIZE],
	     struct hook_delivery *out);
int hook_remove(const struct store_ops *ops, struct store *s, const uint8_t key[HOOK_KEY_SIZE]);
/* False: the record is no delivery. */
bool hook_read(const struct record *r, struct hook_delivery *out);
/* Appends the serialized errand.v1.Delivery. */
void hook_pack(const struct hook_delivery *d, struct buf *out);

/* The serialized errand.v1.Task of the delivery. */
int hook_put_task(const struct store_ops *ops, struct store *s, const uint8_t key[HOOK_KEY_SIZE],
		  struct bytes task);
int hook_get_task(const struct store_ops *ops, struct store *s, const uint8_t key[HOOK_KEY_SIZE],
		  struct buf *out);

/* Endpoints that said they are gone (410): of a task's callback, or a queue's (queue not
 * NULL). It is remembered until due_us of the engine's clock. */
int hook_put_gone(const struct store_ops *ops, struct store *s, const struct hook_delivery *d,
		  int64_t due_us);
int hook_is_gone(const struct store_ops *ops, struct store *s, const struct hook_delivery *d,
		 bool *out);
/* The queue is told (again) whom to call back. */
int hook_forget_gone(const struct store_ops *ops, struct store *s, const char *queue);
int hook_remove_gone(const struct store_ops *ops, struct store *s, const struct hook_delivery *d);

#endif
