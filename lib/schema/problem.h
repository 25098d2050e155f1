/* problem.h: an RFC 9457 problem object, as the gateway answers it and the errand
 * command prints it. Pure; any thread. */
#ifndef SCHEMA_PROBLEM_H
#define SCHEMA_PROBLEM_H

#include "schema/fault.h"

/* Appends the JSON, on one line. code is an enum errand_code; instance and faults
 * may be NULL. */
void problem_write(struct buf *b, int status, int code, const char *detail, const char *instance,
		   const struct fault_list *faults);

#endif
