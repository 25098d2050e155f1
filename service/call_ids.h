/* call_ids.h: what a call belongs to beyond itself: the request it came from, its trace,
 * its task. They are in the log lines of all that is done for it, and go on with the tasks
 * and programs it makes. */
#ifndef SERVICE_CALL_IDS_H
#define SERVICE_CALL_IDS_H

#include <stddef.h>

#include "base/log.h"
#include "wire/envelope.h"

struct errand_call;

enum { CALL_ORIGIN_MAX = 4 };

/* Metadata of the call that a task made by it is given as well; n of them, borrowed. */
size_t call_origin(const struct errand_call *call, struct wire_pair pairs[CALL_ORIGIN_MAX]);
/* For log_ids_set; lives as long as the call. */
const struct log_ids *call_ids(const struct errand_call *call);
/* The environment of a program it starts: base, and of TRACEPARENT, ERRAND_TASK_ID and ERRAND_REQUEST_ID
 * those it has and base does not name. Strings of base are borrowed. */
struct call_env {
	const char **list; /* NULL-terminated, owned; as are n_own strings from first_own on */
	size_t first_own, n_own;
};
void call_env_init(struct call_env *e, const struct errand_call *call, const char *const *base);
void call_env_deinit(struct call_env *e);

#endif
