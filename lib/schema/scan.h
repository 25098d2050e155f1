/* scan.h: looks through wire bytes from a peer before protobuf-c unpacks them:
 * protobuf-c has no recursion limit, cuts strings at NUL, does not check UTF-8
 * and asks for up to 65 bytes of heap per byte of input (PITFALLS). */
#ifndef SCHEMA_SCAN_H
#define SCHEMA_SCAN_H

#include "schema/schema.h"

struct scan_limits {
	size_t max_elements; /* fields and list elements in all; 0 = 1,000,000 */
	size_t max_heap;     /* estimated bytes of the unpacked structs; 0 = 64 MiB */
	unsigned max_depth;  /* 0 = 100 */
};

/* 0: protobuf-c may unpack `in`, or `*merged` when that is not empty (singular
 * messages or oneof members that came more than once had to be merged; append
 * target). Else -ERRAND_INVALID_ARGUMENT or -ERRAND_RESOURCE_EXHAUSTED, with the
 * reason and the field's path in why. A string with a NUL byte is refused. */
int scan_message(const struct schema_message *m, struct bytes in, const struct scan_limits *limits,
		 struct buf *merged, char *why, size_t why_size);

#endif
