/* task_pack.h: the pieces of serialized errand.v1 messages that rows hold and that
 * task_api.h hands out. Any thread. */
#ifndef SERVICE_TASK_PACK_H
#define SERVICE_TASK_PACK_H

#include "service/store.h"

/* Event data as event_row has it: fields 5 to 10 of TaskEvent. error may be empty. */
void task_pack_state(enum task_state state, uint32_t attempt, const struct buf *error,
		     struct buf *out);
/* Of the creation, which the store does not keep: flags are the row's. */
void task_pack_created(unsigned flags, struct buf *out);
void task_pack_progress(double fraction, const char *message, struct bytes detail, uint32_t attempt,
			struct buf *out);
void task_pack_line(const char *stream, struct bytes text, int64_t time_us, uint32_t attempt,
		    struct buf *out);
/* The result as an Any of the method's output in this field (9 of TaskEvent);
 * false: the method is not served here, so its type is not known. */
bool task_pack_any_result(const struct task_row *row, uint32_t field, struct buf *out);

/* Each as an Attempt in this (repeated) field. */
void task_pack_attempts(const struct attempt_row *rows, size_t n, uint32_t field, struct buf *out);

/* Takes a Problem as it is and makes it say that the task will not be retried, or
 * when (delay_us > 0); reason (may be NULL) is added to its detail. */
void task_problem_verdict(struct buf *problem, bool final, int64_t delay_us, const char *reason);

#endif
