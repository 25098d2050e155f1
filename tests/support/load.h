/* load.h: a descriptor set from a file, for programs of the tests: what is wrong
 * goes to stderr and ends the program. */
#ifndef SUPPORT_LOAD_H
#define SUPPORT_LOAD_H

#include "schema/schema.h"

/* Unref it. Exits 77 (a skipped test) when the file is not there, else 1. */
struct schema *load_set(const char *path);

#endif
