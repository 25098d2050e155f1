/* load.h: a descriptor set from a file, for programs of the tests: what is wrong
 * goes to stderr and ends the program. */
#ifndef SUPPORT_LOAD_H
#define SUPPORT_LOAD_H

#include "schema/schema.h"

/* Unref it. Exits 1 when it cannot. */
struct schema *load_set(const char *path);

#endif
