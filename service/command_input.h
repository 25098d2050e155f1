/* command_input.h: what a command was given: its parameters as texts, read from the
 * wire bytes of its input message. Any thread; owned by who reads it. */
#ifndef SERVICE_COMMAND_INPUT_H
#define SERVICE_COMMAND_INPUT_H

#include "schema/fault.h"
#include "schema/schema.h"
#include "service/command_spec.h"

struct command_value {
	bool given;      /* by the client, or it has a default */
	bool fallback;   /* it is that */
	size_t n;        /* of what is repeated; else 0 or 1 */
	struct command_text {
		char *data;  /* owned; NUL behind it, and in it only of bytes */
		size_t len;
	} *items;        /* as they stand in argv: 7, 0.5, true */
};

struct command_input {
	const struct command_spec *spec;
	struct command_value *values; /* spec->n_params */
	struct bytes body;            /* of stdin = body; borrowed from the wire bytes */
	struct bytes body_type;       /* its Content-Type, where it came with one */
};

/* m: the input message, whose fields are numbered by place + 1; wire has been checked
 * (payload.h) and lives at least as long. */
void command_input_read(struct command_input *in, const struct command_spec *spec,
			const struct schema_message *m, struct bytes wire);
void command_input_deinit(struct command_input *in);
/* Gives text i of a parameter another content; text is taken. */
void command_input_replace(struct command_input *in, size_t param, size_t i, char *text);
bool command_input_is_true(const struct command_input *in, int param);

/* All of it as a JSON object: numbers as numbers, bytes as base64; what is absent is left out. */
void command_input_json(const struct command_input *in, struct buf *out);

/* A fault of text i of a parameter: "#/tags/2"; what has one already (of the schema's rules) gets no other. */
void command_fault(const struct command_input *in, size_t param, size_t i, const char *rule,
		   struct fault_list *faults, const char *fmt, ...) PRINTF(6, 7);

#endif
