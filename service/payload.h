/* payload.h: what a client sent, looked at before anybody takes it for a message: it is
 * one (schema/scan.h), and it keeps the rules of its schema (schema/validate.h). Clients
 * of the socket have no gateway in front that would have asked. */
#ifndef SERVICE_PAYLOAD_H
#define SERVICE_PAYLOAD_H

#include "schema/fault.h"
#include "schema/schema.h"
#include "service/registry.h"

/* 0: *in may be unpacked; when its parts had to be merged it points into `merged`. Else
 * -ERRAND_INVALID_ARGUMENT or -ERRAND_RESOURCE_EXHAUSTED with the reason in why; rules
 * that are broken are in `problem` as well (an errand.v1.Problem, appended).
 * rules: false for what passed them before, when it was sent. */
int payload_check(const struct schema_message *m, struct bytes *in, bool rules, struct buf *merged,
		  struct buf *problem, char *why, size_t why_size);

/* The same of a method's input: also by its runner's own check. */
int payload_check_input(const struct method *m, struct bytes *in, bool rules, struct buf *merged,
			struct buf *problem, char *why, size_t why_size);

/* What is wrong as an errand.v1.Problem (appended), its status the worst one's; and in
 * one line, for clients that show no more. */
void payload_problem(const struct fault_list *faults, struct buf *problem);
void payload_say(const struct fault_list *faults, char *why, size_t why_size);

#endif
