/* route_claims.h: paths that a schema's routes must not take: what the gateway answers
 * itself, and what is below the paths of errand.v1. The service asks before it takes
 * new methods, so that a gateway does not have to refuse the whole schema for them. */
#ifndef SCHEMA_ROUTE_CLAIMS_H
#define SCHEMA_ROUTE_CLAIMS_H

#include "schema/route.h"

/* The gateway's own; one that ends in '/' is all below it. Ends with NULL. */
extern const char *const route_claims_gateway[];

/* 0, or -ERRAND_INVALID_ARGUMENT with the method, the path and its owner in why. */
int route_claims_check(const struct route_table *t, char *why, size_t why_size);
/* That, of a schema whose routes are unambiguous, too. */
int route_claims_check_schema(const struct schema *s, char *why, size_t why_size);

#endif
