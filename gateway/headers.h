/* headers.h: reading header values: lists, quoted strings, q-values. Pure. */
#ifndef GATEWAY_HEADERS_H
#define GATEWAY_HEADERS_H

#include <stdbool.h>

#include "base/buf.h"
#include "schema/fault.h"

/* An HTTP request as the parsers see it; all borrowed. */
struct request_source {
	const char *query;  /* raw */
	struct bytes body;
	/* The n-th header of that name, or NULL. */
	const char *(*header)(const void *from, const char *name, unsigned n);
	const void *from;
};

/* The elements of a list, over all headers of that name: {src, name}, then each
 * headers_next() that is true has one from `at` to `end`. */
struct headers_list {
	const struct request_source *src;
	const char *name;
	const char *at, *end;
	unsigned line;
};
bool headers_next(struct headers_list *l);

/* The first header of that name, or NULL. */
const char *headers_get(const struct request_source *src, const char *name);
const char *headers_skip_space(const char *p);
/* Is the text up to `len` this word (any case)? */
bool headers_word_is(const char *p, size_t len, const char *word);
/* The length from p to end without the space at the end. */
size_t headers_trimmed(const char *p, const char *end);
/* q of an element's parameters, in thousandths; 1000 when it has none. */
int headers_quality(const char *p, const char *end);
/* A header that does not parse: 400. */
void headers_fault(struct fault_list *faults, const char *name, const char *value, const char *detail);

#endif
