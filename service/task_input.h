/* task_input.h: the input of a task that another message carries in a bare Any: JSON, as
 * clients of the gateway write it (errand.v1.Json), or the method's own message, as
 * those of the socket can. Pure; any thread. */
#ifndef SERVICE_TASK_INPUT_H
#define SERVICE_TASK_INPUT_H

#include "schema/fault.h"
#include "schema/schema.h"
#include "service/registry.h"

/* Appends the wire bytes of m's input: they can be unpacked, and keep its rules and its
 * runner's. 0, or -ERRAND_INVALID_ARGUMENT with faults, all of them, `prefix` ("#/input") in
 * front of each pointer. schema: for Anys in it. type: the carrying Any's type_url and value;
 * both empty when there was none: an input without fields. */
int task_input_read(const struct schema *schema, const struct method *m, struct bytes type,
		    struct bytes value, const char *prefix, struct buf *out, struct fault_list *faults);

#endif
