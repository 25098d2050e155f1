/* command_rig.h: one command for a test: read from the lines of its section as the service reads
 * it, its messages in a schema; and blocks of tests/golden/commands. */
#ifndef TESTS_COMMAND_RIG_H
#define TESTS_COMMAND_RIG_H

#include "schema/schema.h"
#include "service/command_input.h"

struct command_rig {
	struct command_set set;
	const struct command_spec *spec;
	struct schema *schema;
	const struct schema_method *method;
};

#define RIG_METHOD "test.v1.Commands/Run"

/* lines: of the section. Fails the test when they are refused. */
void rig_open(struct command_rig *rig, const char *lines);
void rig_close(struct command_rig *rig);
/* The wire bytes of an input. */
void rig_wire(const struct command_rig *rig, const char *json, struct buf *wire);

/* A block of a golden file. */
struct rig_block {
	char title[200];
	struct buf section, in, out, faults; /* lines, each with its newline; of > < = ! */
	int status;                          /* ? */
	bool has_out;
};
/* Calls check for each block of the file; counts them. */
size_t rig_blocks(const char *file, void (*check)(struct rig_block *b));

#endif
