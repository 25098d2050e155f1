/* call_find.h: which method `errand call` means: a name, or its tail while that
 * is unique, or an HTTP route as the gateway would find it. */
#ifndef CLI_CALL_FIND_H
#define CLI_CALL_FIND_H

#include "cli/call_input.h"

/* "pkg.Service/Method", "Service/Method" or "Method". NULL after an error, with
 * *exitp what to exit with. */
const struct schema_method *call_find_name(const struct schema *s, const char *name, int *exitp);

/* A request line without its version: verb (NULL: any; GET before others unless
 * has_body), target "/items/1?x=y". Fills in's message and body, and puts path
 * variables and query in it. As above. */
const struct schema_method *call_find_route(const struct schema *s, const char *verb,
					    const char *target, bool has_body,
					    struct call_input *in, int *exitp);

/* METHOD, PATH, "VERB PATH" or VERB PATH: the first of n operands, or two. As above; *usedp
 * is how many of them that took, and in is ready for the others. */
const struct schema_method *call_find(const struct schema *s, int n, char **operands, struct call_input *in,
				      int *usedp, int *exitp);

#endif
