/* registry.h: the methods this service has: modules' and errand.v1's own, found
 * by name. Built at start, immutable after, read by any thread. */
#ifndef SERVICE_REGISTRY_H
#define SERVICE_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>

#include "errand/service.h"
#include "schema/schema.h"

struct method {
	const struct schema_method *schema; /* name, run, queue, retry, ... */
	ProtobufCService *service;
	unsigned index;                     /* in service->descriptor->methods */
	const ProtobufCMessageDescriptor *input, *output;
	enum method_run run;                /* never UNSPECIFIED */
	const struct dependency *const *needs; /* in opening order, sub-dependencies resolved;
						* NULL-terminated; see depends.h */
	_Atomic uint64_t n_calls, n_failed, n_slow; /* watchdog: held the loop too long */
};

/* Adds a module's services (borrowed for ever). Checked: abi, a handler for every
 * method (NULL is refused by name), the descriptor set describes the services.
 * 0, or negative with the reason in why. registry_finish merges the schemas,
 * resolves dependencies and makes lookups possible. */
int registry_add(const struct errand_module *module, char *why, size_t why_size);
int registry_finish(char *why, size_t why_size);

const struct method *registry_method(const char *service, size_t service_len,
				     const char *name, size_t name_len);
const struct method *registry_method_by_name(const char *full_name); /* "pkg.S/M" */
/* errand's own: errand.v1.*. */
bool registry_is_builtin(const struct method *m);
const struct schema *registry_schema(void);
const uint8_t *registry_digest(void); /* SHA-256, 32 bytes */

/* The modules' own start, in the order they were added (a failure stops those that
 * were started), and stop, in reverse order. */
int registry_start_modules(char *why, size_t why_size);
void registry_stop_modules(void);
void registry_deinit(void);

#endif
