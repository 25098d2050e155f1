/* call_input.h: the request of `errand call`, from operands: field=value,
 * field:=JSON, {...}, @FILE and `-`; and from the path and query of an HTTP route. */
#ifndef CLI_CALL_INPUT_H
#define CLI_CALL_INPUT_H

#include "schema/fault.h"
#include "schema/field_path.h"

struct call_input {
	const struct schema *schema;
	const struct schema_message *message;
	struct field_path body;          /* the route's body field: JSON goes there */
	struct buf wire;                 /* what was read so far */
	struct fault_list faults;
};

/* One operand. False for an operand of no known form (said on stderr) and for a
 * file that cannot be read; what breaks the schema is added to faults. */
bool call_input_operand(struct call_input *in, const char *operand);

/* name=value, already decoded; name is a dotted field path, `labels[k]` or
 * `labels.k` for an entry of a map. */
void call_input_text(struct call_input *in, const char *name, size_t name_len,
		     const char *value, size_t value_len);

#endif
