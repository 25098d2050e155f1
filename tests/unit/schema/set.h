/* set.h: the descriptor set of tests/golden/transcode, for the units of lib/schema. */
#ifndef TEST_SET_H
#define TEST_SET_H

#include "schema/schema.h"

#ifndef GOLDEN_SET
#define GOLDEN_SET "tests/golden/transcode/golden.pb"
#endif

/* Appends the whole file; the test fails when it cannot be read. */
void set_read_file(const char *path, struct buf *out);
/* The golden schema; unref it. */
struct schema *set_load(void);
/* "Name" of package golden.v1; the test fails when there is none. */
const struct schema_message *set_message(const struct schema *s, const char *name);
/* Hex digits (spaces ignored) to bytes. */
void set_unhex(const char *hex, struct buf *out);

#endif
