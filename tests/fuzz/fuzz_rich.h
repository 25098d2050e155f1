/* fuzz_rich.h: rich.proto with its routes, for the fuzz targets of templates, routes
 * and queries, and what must hold of a request that was taken. */
#ifndef FUZZ_RICH_H
#define FUZZ_RICH_H

#include "schema/route.h"

const struct schema *fuzz_rich(void);
const struct route_table *fuzz_routes(void);
/* No faults: wire is a message of the route's input; faults: each has its words.
 * Crashes when not. */
void fuzz_check_request(const struct route *r, struct bytes wire, const struct fault_list *faults);
_Noreturn void fuzz_rich_fail(const char *what, const char *text);

#endif
