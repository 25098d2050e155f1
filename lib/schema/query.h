/* query.h: query parameters to wire bytes, as google.api.http says: scalars,
 * repeated (`a=1&a=2`), nested (`a.b=1`) fields, whatever path and body do not
 * bind. Unknown parameters are faults. */
#ifndef SCHEMA_QUERY_H
#define SCHEMA_QUERY_H

#include "schema/route.h"

/* Appends to out. Faults tell the parameter. */
int query_to_wire(const struct route *route, const char *query, struct buf *out,
		  struct fault_list *faults);

#endif
