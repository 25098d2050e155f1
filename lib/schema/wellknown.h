/* wellknown.h: the texts of Timestamp, Duration and FieldMask in ProtoJSON, both
 * ways. Pure functions; any thread. */
#ifndef SCHEMA_WELLKNOWN_H
#define SCHEMA_WELLKNOWN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* NULL when the text is one, else what it is not. */
const char *timestamp_parse(struct bytes text, int64_t *s, int32_t *nanos);
const char *duration_parse(struct bytes text, int64_t *s, int32_t *nanos);

/* Append without quotes; false when the values are out of range. */
bool timestamp_format(struct buf *b, int64_t s, int32_t nanos);
bool duration_format(struct buf *b, int64_t s, int32_t nanos);

/* One path, camelCase to snake_case and back; false when it could not be undone. */
bool mask_path_parse(struct buf *b, struct bytes path);
bool mask_path_format(struct buf *b, struct bytes path);

#endif
