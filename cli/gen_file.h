/* gen_file.h: files in and out for `errand gen`. Errors are said on stderr. */
#ifndef CLI_GEN_FILE_H
#define CLI_GEN_FILE_H

#include <stdbool.h>

#include "base/buf.h"

bool gen_read(const char *path, struct buf *out);

/* Writes path by a temporary name beside it, making folders on the way; leaves
 * the file alone when it holds just these bytes already, so that make sees no
 * change. */
bool gen_write(const char *path, const void *data, size_t len);

/* NAME.schema.h and NAME.schema.c: the set as a C array. `source` is named in
 * the comment on top. */
void gen_schema_h(const char *name, const char *source, size_t len, struct buf *out);
void gen_schema_c(const char *name, const char *source, struct bytes set, struct buf *out);

/* Runs argv[0] (found in PATH) with our stdin, stdout and stderr and waits for
 * it; its exit status, 128 + signal, or -errno when it could not be started. */
int gen_run(const char *const *argv);

#endif
