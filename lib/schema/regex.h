/* regex.h: RE2's patterns on PCRE2, bounded. What RE2 has not (backreferences, look
 * around, possessive repeats ...) is refused, so that a schema means the same here
 * and in other implementations of protovalidate. */
#ifndef SCHEMA_REGEX_H
#define SCHEMA_REGEX_H

#include "base/buf.h"

struct regex;
struct schema;

/* 0, or -ERRAND_INVALID_ARGUMENT with the place and the reason in why. The memory is
 * the schema's. Immutable after; any thread. */
int regex_new(struct schema *s, struct bytes pattern, struct regex **out, char *why, size_t why_size);

/* Is it anywhere in text? 1, 0, or -ERRAND_RESOURCE_EXHAUSTED: the text is too long for
 * a pattern like this. The time is bounded by the length of the text. Text that is
 * not UTF-8 does not match. */
int regex_match(const struct regex *x, struct bytes text);

#endif
