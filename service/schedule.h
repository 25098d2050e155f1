/* schedule.h: schedules: records whose data is a serialized errand.v1.Schedule and whose
 * due time is its next time by the wall clock. A task and the row that says it was
 * made are written in one transaction, so that a crash neither loses nor doubles it.
 *
 *   timer (at most 2 s) ─▶ op: due records ─▶ plan ─▶ task, record ─▶ COMMIT ─▶ publish
 *
 * A wall clock that is set forward makes times missed; one that is set back makes
 * nothing twice, since the next time is stored, and is later than the last. */
#ifndef SERVICE_SCHEDULE_H
#define SERVICE_SCHEDULE_H

#include "errand/v1/schedules.pb-c.h"
#include "service/store.h"
#include "service/task_spec.h"

#define SCHEDULE_ID_MAX 100
#define SCHEDULES_MAX 10000

/* Loop thread; between task_init and task_deinit. */
void schedule_start(void);
void schedule_stop(void);
/* Some schedule was changed: looks when the next one is due. Loop thread. */
void schedule_kick(void);

/* --- store thread, in a transaction; 0 or what the store said --- */

/* *out: given, schedule_free. -ERRAND_NOT_FOUND; -ERRAND_DATA_LOSS: not a Schedule. */
int schedule_get(const struct store_ops *ops, struct store *s, const char *id,
		 Errand__V1__Schedule **out);
/* From a record's data; NULL. */
Errand__V1__Schedule *schedule_read(const struct buf *data);
void schedule_free(Errand__V1__Schedule *sc);
/* Writes it under a new ETag, the next number. */
int schedule_put(const struct store_ops *ops, struct store *s, Errand__V1__Schedule *sc);
/* Makes a task of it now; n is the caller's to deinit, found says whether it was made.
 * 1: its method is not served here, why says it. */
int schedule_make(const struct store_ops *ops, struct store *s, Errand__V1__Schedule *sc,
		  struct task_new *n, struct task_changes *changes, char *why, size_t why_size);
/* Sets next_time by its line, after now and its last time; none while it is paused.
 * Negative: the line or its zone cannot be read (any more), why says it. */
int schedule_set_next(Errand__V1__Schedule *sc, int64_t now_us, char *why, size_t why_size);

/* Members that were allocated as protobuf-c does it. */
void schedule_set_text(char **member, const char *text);
void schedule_set_time(Google__Protobuf__Timestamp **member, int64_t s); /* 0: none */

#endif
