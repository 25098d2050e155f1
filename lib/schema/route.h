/* route.h: which method a verb and a path name. Built from a schema, immutable
 * after; a literal segment goes before a variable. Also the two routes every
 * method has: POST /pkg.Service/Method. */
#ifndef SCHEMA_ROUTE_H
#define SCHEMA_ROUTE_H

#include "schema/fault.h"
#include "schema/field_path.h"
#include "schema/schema.h"

struct route_table;

struct route {
	const struct schema_method *method;
	const struct schema_http *http; /* NULL: POST /pkg.Service/Method, body "*" */
	const struct template *template;
	bool body_all;                            /* body: "*" */
	const struct schema_field *body;          /* of body: "a.b", its last; NULL = none */
	struct field_path body_path;
	const struct schema_field *response_body; /* likewise; NULL = the whole message */
	struct field_path response_path;
};

#define ROUTE_VARS_MAX TEMPLATE_VARIABLES_MAX

/* A match; values still percent-encoded, borrowed from the path. */
struct route_match {
	const struct route *route;
	struct bytes values[ROUTE_VARS_MAX]; /* by the template's variables */
};

/* 0, or -ERRAND_INVALID_ARGUMENT: two methods claim the same verb and path (both
 * named in why), an unknown body field, ... */
int route_table_new(const struct schema *s, struct route_table **out, char *why, size_t why_size);
struct route_table *route_table_free(struct route_table *t);

/* All routes, the annotated ones first; the n-th or NULL. */
const struct route *route_at(const struct route_table *t, size_t n);
/* Do its literals spell out this path? "/a/b/" means all below /a/b. What a variable
 * may happen to match does not count. */
bool route_is_below(const struct route *r, const char *path);

/* 0 found; -ERRAND_NOT_FOUND no such path; -ERRAND_UNIMPLEMENTED the path is
 * there with other verbs, listed in allow ("GET, HEAD, OPTIONS") for 405;
 * -ERRAND_INVALID_ARGUMENT broken escapes. HEAD matches GET; a NULL verb none, to
 * have the list. */
int route_find(const struct route_table *t, const char *verb, const char *path,
	       struct route_match *out, struct buf *allow);

/* Does any route have it by name (not by "*")? */
bool route_has_verb(const struct route_table *t, const char *verb);

/* Percent-decodes a variable's value: one segment whole, several with %2F kept.
 * False for broken or non-UTF-8 encodings. */
bool route_decode(struct bytes value, bool multi, struct buf *out);

#endif
