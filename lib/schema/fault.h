/* fault.h: what was wrong with a request, each fault with its place; a request's
 * faults are reported all at once. */
#ifndef SCHEMA_FAULT_H
#define SCHEMA_FAULT_H

#include "base/buf.h"

enum fault_place { FAULT_POINTER, FAULT_PARAMETER, FAULT_HEADER };

/* How bad: decides the HTTP status of the whole (the worst wins). */
enum fault_kind {
	FAULT_SCHEMA, /* well-formed, but breaks the schema or its rules: 422 */
	FAULT_SYNTAX, /* not JSON, not UTF-8, too deep, duplicate key: 400 */
};

struct fault {
	enum fault_kind kind;
	enum fault_place place;
	char *where;  /* "#/note/title", "q" */
	char *rule;   /* of the transcoder: type range unknown enum oneof nul any bare;
		       * syntax utf8 duplicate depth size (these are FAULT_SYNTAX) */
	char *detail; /* a sentence */
	char *value;  /* what was there, at most 64 bytes of it; or NULL */
};

struct fault_list {
	struct fault *items; /* owned, with their strings */
	size_t n;
	size_t n_dropped;    /* over FAULT_MAX */
};

#define FAULT_MAX 64
#define FAULT_LIST_INIT ((struct fault_list){0})

void fault_list_deinit(struct fault_list *l);
/* All strings copied; value may be NULL. */
void fault_add(struct fault_list *l, enum fault_kind kind, enum fault_place place,
	       const char *where, const char *rule, const char *value, size_t value_len,
	       const char *detail_fmt, ...) PRINTF(8, 9);
/* A token of a JSON Pointer (RFC 6901), as it looks in a URI fragment. */
void fault_put_token(struct buf *b, const void *text, size_t len);
/* 400 when one is SYNTAX, else 422. */
int fault_http_status(const struct fault_list *l);

#endif
