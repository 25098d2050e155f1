/* fuzz_schema.h: the schema that the transcoder's fuzz targets work on, and which
 * of its messages the first byte of the input chooses. */
#ifndef FUZZ_SCHEMA_H
#define FUZZ_SCHEMA_H

#include "schema/schema.h"

#ifndef GOLDEN_SET
#define GOLDEN_SET "tests/golden/transcode/golden.pb"
#endif

const struct schema *fuzz_schema(void);
const struct schema_message *fuzz_message(uint8_t choice);
/* Says what is wrong with the property, and crashes. */
_Noreturn void fuzz_fail(const char *what, struct bytes a, struct bytes b);

#endif
