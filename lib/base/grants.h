/* grants.h: what somebody may do: scopes, each for all services or for some.
 *
 *     read               see tasks, queues, schedules, deliveries, metrics, the schema
 *     call               call methods, make tasks; see and cancel a task whose id one knows
 *     call:pkg.Service   the same, of this service only
 *     read:pkg.Service   methods of this service that say they only read
 *     operate            all of that, and change queues, schedules, the store, deliveries, workers, many tasks at once
 *
 * A method says in its .proto which scopes will do: (errand.v1.method).scope; one that does not is for `call`. */
#ifndef BASE_GRANTS_H
#define BASE_GRANTS_H

#include <stdbool.h>
#include <stddef.h>

/* Numbers of errand.v1.Scope. */
enum scope {
	SCOPE_READ = 1,
	SCOPE_CALL = 2,
	SCOPE_OPERATE = 3,
	SCOPE_TASK = 4, /* a task whose id one knows: of all who may call something */
	N_SCOPES,
};
#define SCOPE_BIT(scope) (1u << (scope))

struct grant {
	enum scope scope;
	char *service;       /* owned; NULL: all */
};

struct grants {
	struct grant *items; /* n; owned */
	size_t n;
};

/* "read,call:shop.v1.Shop": adds them. 0, or -1 with the reason in why. */
int grants_parse(struct grants *g, const char *text, char *why, size_t why_size);
void grants_add(struct grants *g, enum scope scope, const char *service);
void grants_deinit(struct grants *g);
/* May it call a method that wants one of these scopes (SCOPE_BITs; 0: SCOPE_CALL), of this service? */
bool grants_allow(const struct grants *g, unsigned scopes, const char *service);
/* The scope to ask for where grants_allow said no: "read", "call", ... */
const char *grants_wanted(unsigned scopes);

#endif
