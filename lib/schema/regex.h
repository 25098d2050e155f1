/* regex.h: RE2's patterns on PCRE2, bounded. What RE2 has not (backreferences, look
 * around, possessive repeats ...) is refused, so that a schema means the same here
 * and in other implementations of protovalidate. */
#ifndef SCHEMA_REGEX_H
#define SCHEMA_REGEX_H

#include <stdbool.h>

#include "base/buf.h"

struct regex;
struct schema;

/* 0, or -ERRAND_INVALID_ARGUMENT with the place and the reason in why. The memory is
 * the schema's; without one (NULL) it goes with regex_free. Immutable after; any thread. */
int regex_new(struct schema *s, struct bytes pattern, struct regex **out, char *why, size_t why_size);

/* Is it anywhere in text? 1, 0, or -ERRAND_RESOURCE_EXHAUSTED: the text is too long for
 * a pattern like this. The time is bounded by the length of the text. Text that is
 * not UTF-8 does not match. */
int regex_match(const struct regex *x, struct bytes text);

/* That, and what its groups took: groups[0] is the whole match, groups[i] the i-th group's (data NULL
 * where it took no part or is not there). Searched by backtracking alone, within bounds: what that cannot decide does
 * not match. */
#define REGEX_GROUPS 8
bool regex_find(const struct regex *x, struct bytes text, struct bytes groups[REGEX_GROUPS]);
unsigned regex_groups(const struct regex *x); /* how many it has */

struct regex *regex_free(struct regex *x); /* one without a schema; NULL-safe, NULL */

#endif
