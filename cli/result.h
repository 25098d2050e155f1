/* result.h: the answer of a method, of a task too: JSON, or the bytes themselves of a
 * google.api.HttpBody. */
#ifndef CLI_RESULT_H
#define CLI_RESULT_H

#include "cli/backend.h"
#include "cli/task_view.h"

struct result_options {
	bool json;          /* one line of JSON, whatever it is */
	const char *output; /* a file instead of stdout; NULL or "-": stdout */
};

/* One message of that type; CLI_OK, or said. */
int result_show(struct backend *b, const struct schema_message *m, struct bytes wire,
		const struct result_options *o);
/* Follows a task on stderr, unless quiet, to its end, then its answer; the exit status is the
 * task's. v is loaded. */
int result_follow(struct backend *b, struct task_view *v, bool quiet, const struct result_options *o);

#endif
