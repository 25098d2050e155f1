/* overlap.h: what the body's wire bytes say of a field that path or query give as
 * well. Pure; any thread. */
#ifndef SCHEMA_OVERLAP_H
#define SCHEMA_OVERLAP_H

#include "base/pbuf.h"
#include "schema/schema.h"

/* The last value of the field that path leads to. */
bool overlap_find(struct bytes wire, const struct schema_field *const *path, size_t depth,
		  struct pbuf_field *out);
/* Is another member of a oneof set that is on the path? */
bool overlap_oneof(struct bytes wire, const struct schema_field *const *path, size_t depth);

#endif
