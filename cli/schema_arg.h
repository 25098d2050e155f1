/* schema_arg.h: --schema FILE.pb|SOCKET of the commands that need no service: a
 * FileDescriptorSet in a file, or the schema of the service behind a socket or a URL
 * (a path, or unix:PATH).
 * Functions return an enum cli_exit after having said on stderr what went wrong. */
#ifndef CLI_SCHEMA_ARG_H
#define CLI_SCHEMA_ARG_H

#include "base/buf.h"
#include "schema/schema.h"

/* *out is unref'ed by the caller. CLI_USAGE without an argument, CLI_DATA when it
 * is no descriptor set, CLI_UNREACHABLE when nobody answers on the socket. */
int schema_arg_load(const char *arg, const char *command, struct schema **out);

/* The message of that name, or NULL after "no such message; did you mean". */
const struct schema_message *schema_arg_message(const struct schema *s, const char *command,
						const char *name);

/* Reads a file, or stdin for "-", to its end. False after the error was said. */
bool schema_arg_read(const char *path, struct buf *out);

#endif
