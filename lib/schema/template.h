/* template.h: google.api.http path templates (google/api/http.proto's grammar):
 *   /v1/{name=shelves/STAR/books/STARSTAR}:verb   (STAR: one segment, STARSTAR: the rest)
 * Parsed once at load, matched per request by the gateway's route.c. */
#ifndef SCHEMA_TEMPLATE_H
#define SCHEMA_TEMPLATE_H

#include "schema/schema.h"

enum segment_kind { SEGMENT_LITERAL, SEGMENT_STAR, SEGMENT_STAR_STAR };

struct template_segment {
	enum segment_kind kind;
	const char *text; /* of a LITERAL, as written (already percent-decoded) */
};

#define TEMPLATE_PATH_MAX 8 /* dots in a variable's field path */
#define TEMPLATE_SEGMENTS_MAX 64
#define TEMPLATE_VARIABLES_MAX 16

struct template_variable {
	const char *name; /* "book.name" */
	const struct schema_field *path[TEMPLATE_PATH_MAX];
	size_t depth;
	size_t first, n; /* segments it covers */
};

struct template;
/* Does the variable keep %2F, as those over several segments do? */
bool template_variable_is_multi(const struct template *t, const struct template_variable *v);

struct template {
	struct template_segment *segments;
	size_t n_segments;
	struct template_variable *variables;
	size_t n_variables;
	const char *verb; /* after the last colon, or NULL */
};

/* Binds variables to fields of input (scalar, not repeated; NULL input: syntax
 * only). 0, or -ERRAND_INVALID_ARGUMENT with position and reason in why. */
int template_parse(const char *text, const struct schema_message *input, struct template **out,
		   char *why, size_t why_size);
struct template *template_free(struct template *t);

#endif
