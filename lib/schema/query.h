/* query.h: query parameters to wire bytes, as google.api.http says: scalars,
 * repeated (`a=1&a=2`), nested (`a.b=1`) fields, entries of maps (`m[key]=1`),
 * whatever path and body do not bind. Unknown parameters are faults; `flag` without
 * a value is `flag=`. */
#ifndef SCHEMA_QUERY_H
#define SCHEMA_QUERY_H

#include "schema/route.h"

/* Appends to out, which has the wire bytes of body and path. Faults tell the
 * parameter. */
int query_to_wire(const struct route *route, const char *query, struct buf *out,
		  struct fault_list *faults);

/* What one parameter was bound to; all borrowed for the time of the call. */
struct query_binding {
	const struct schema_field *const *path; /* from the input message down */
	size_t depth;
	struct bytes key;   /* of a map: labels[key]; else data is NULL */
	struct bytes value; /* decoded */
};
/* The same, and tells of each parameter that names a field. */
int query_bind_to_wire(const struct route *route, const char *query, struct buf *out,
		       struct fault_list *faults,
		       void (*bound)(const struct query_binding *b, void *arg), void *arg);

#endif
