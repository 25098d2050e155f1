/* command_result.h: the answer of a command whose program has succeeded: from its stdout,
 * exit status and files to the wire bytes of the output message. Any thread that may
 * block. */
#ifndef SERVICE_COMMAND_RESULT_H
#define SERVICE_COMMAND_RESULT_H

#include "schema/schema.h"
#include "service/command_argv.h"

struct command_output {
	const struct command_scope *scope; /* for names of files */
	const struct schema *schema;
	const struct schema_message *message; /* the method's output */
	struct bytes text;                 /* stdout */
	int status;
};

/* Appends them. 0, or negative with the reason in why: the output is not what the
 * configuration says it is. Text that is not UTF-8 gets U+FFFD where it is not. */
int command_result_make(const struct command_output *o, struct buf *out, char *why, size_t why_size);

#endif
