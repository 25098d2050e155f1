/* variables.h: what a path's variables say, as wire bytes of the method's input.
 * Pure; any thread. */
#ifndef SCHEMA_VARIABLES_H
#define SCHEMA_VARIABLES_H

#include "schema/route.h"

/* Appends each variable to payload, which holds the body's wire bytes or nothing.
 * A fault names the variable: not percent-encoded UTF-8, not of its field's type,
 * the body says something else of it or has another member of its oneof. Zeros of
 * the body are seen when it was read with transcode_read.keep_zero. */
void variables_to_wire(const struct route_match *m, struct buf *payload, struct fault_list *faults);

#endif
