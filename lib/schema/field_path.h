/* field_path.h: "note.title": fields from a message down, as google.api.http's body
 * and response_body name them. Pure; any thread. */
#ifndef SCHEMA_FIELD_PATH_H
#define SCHEMA_FIELD_PATH_H

#include "schema/template.h"

struct field_path {
	const struct schema_field *steps[TEMPLATE_PATH_MAX];
	size_t depth; /* 0: the message itself */
};

/* False when m has no such field, or a step but the last is no single message. */
bool field_path_parse(struct field_path *p, const struct schema_message *m, const char *text);

/* payload[from..] holds the last step's field with its tag: puts it into the messages
 * around it. */
void field_path_wrap(const struct field_path *p, struct buf *payload, size_t from);

/* The bytes of the message that holds the last step; empty when it is not there. What
 * came in several pieces is put together in scratch, else they lie in wire. */
struct bytes field_path_enter(const struct field_path *p, struct bytes wire, struct buf *scratch);

/* What two field paths of one message have to do with each other. */
enum field_relation {
	FIELDS_APART,
	FIELDS_SAME,  /* one is the other, or holds it */
	FIELDS_ONEOF, /* members of one oneof: setting one drops the other */
};
enum field_relation field_relation(const struct schema_field *const *a, size_t a_depth,
				   const struct schema_field *const *b, size_t b_depth);

#endif
