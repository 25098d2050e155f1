/* module.h: modules that are shared objects (--module). */
#ifndef SERVICE_MODULE_H
#define SERVICE_MODULE_H

#include <stddef.h>

#include "errand/service.h"

/* Loads one. name is a path when it has a slash; else NAME or NAME.so in the
 * directory of installed modules. 0, or negative with the reason in why. */
int module_load(const char *name, const struct errand_module **out, char *why, size_t why_size);
/* Unloads all. Nothing of theirs may be in use any more. */
void module_unload_all(void);

/* errand's own services: errand.v1.Schema and errand.v1.Tasks. */
const struct errand_module *module_builtin(void);

#endif
