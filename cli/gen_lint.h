/* gen_lint.h: names that are fine in a .proto and become C that does not compile. */
#ifndef CLI_GEN_LINT_H
#define CLI_GEN_LINT_H

#include "cli/gen_set.h"

/* Appends one line "FILE:LINE:COLUMN: what, and what to do" per bad name in the
 * file to out; returns how many. */
size_t gen_lint(const struct set_file *file, struct buf *out);

#endif
