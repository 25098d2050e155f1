/* openapi_private.h: what the files that write the OpenAPI document share. A struct
 * openapi lives on the stack of openapi_write. */
#ifndef GATEWAY_OPENAPI_PRIVATE_H
#define GATEWAY_OPENAPI_PRIVATE_H

#include "base/map.h"
#include "gateway/openapi.h"
#include "schema/route.h"
#include "schema/rules.h"

#define OPENAPI_PROBLEM "errand.v1.Problem"
#define OPENAPI_VIOLATION "errand.v1.Violation"
#define OPENAPI_STREAM_ERROR "errand.v1.StreamError"

/* Something that is referred to and so becomes a component. */
struct openapi_component {
	const char *name;
	const struct schema_message *message; /* or */
	const struct schema_enum *enumeration; /* or neither: openapi_shared.c has it */
};

/* One wildcard of a path. */
struct openapi_parameter {
	char *name; /* owned */
	const struct template_variable *variable; /* NULL: bound to nothing */
	bool whole;    /* it is all of the variable */
	bool many;     /* matches slashes as well: the wildcard of two stars */
};

struct openapi_operation {
	const struct schema_method *method;
	const char *verb;      /* "GET" */
	struct route route;    /* template owned; method, body, ... as the router has them */
	struct openapi_parameter parameters[ROUTE_VARS_MAX * 2];
	size_t n_parameters;
	char *path, *shape;    /* owned: "/v1/books/{book}"; "/v1/books/{}" */
	char *id;              /* owned: operationId */
	const struct openapi_operation *first; /* the first of the same shape: its names count */
	bool written;
};

struct openapi {
	const struct schema *schema;
	const struct openapi_info *info;
	struct buf *out;
	struct openapi_operation *operations; /* owned */
	size_t n_operations;
	struct openapi_component *components; /* owned; in the order they were met */
	size_t n_components;
	struct map seen;      /* names of components */
	struct map ids;       /* operation ids */
	struct map tags;      /* short service names -> how many have it */
	bool has_tasks;       /* the schema has errand.v1.Task */
};

/* --- openapi_out.c: JSON, with commas where they belong. key NULL: an element --- */
void openapi_key(struct openapi *o, const char *key);
void openapi_open(struct openapi *o, const char *key, char bracket);
void openapi_close(struct openapi *o, char bracket);
void openapi_string(struct openapi *o, const char *key, const char *value);
void openapi_bytes(struct openapi *o, const char *key, struct bytes value);
void openapi_uint(struct openapi *o, const char *key, uint64_t value);
void openapi_true(struct openapi *o, const char *key);
/* JSON text as it is. */
void openapi_raw(struct openapi *o, const char *key, const char *json);
/* {"$ref": "#/components/SECTION/NAME"} */
void openapi_ref(struct openapi *o, const char *key, const char *section, const char *name);

/* --- openapi_paths.c --- */
/* Finds all operations; then writes "paths". */
void openapi_collect(struct openapi *o);
void openapi_paths(struct openapi *o);
bool openapi_is_ours(const struct schema_service *s); /* of package errand.v1 */
/* The operation of this method that was written first, or NULL. */
const struct openapi_operation *openapi_operation_of(const struct openapi *o, const char *method);
/* "Article", or "article.v1.Article" where two services have the short name. Valid until
 * the document is written. */
const char *openapi_tag(const struct openapi *o, const struct schema_service *s);

/* --- openapi_operation.c --- */
void openapi_operation(struct openapi *o, const struct openapi_operation *op);
/* Writes description and, for operations, summary, out of a comment; NULL is nothing. */
void openapi_comment(struct openapi *o, const char *comment, bool summary);

/* --- openapi_parameters.c: path, query and headers --- */
/* Does the variable say this field of the input, or another member of its oneof? */
bool openapi_is_given(const struct template_variable *v, const struct schema_field *const *path, size_t depth);
void openapi_parameters(struct openapi *o, const struct openapi_operation *op);

/* --- openapi_schema.c: JSON Schema of what the gateway reads and writes --- */
/* A reference to the message's component, or what a well-known type is; members of an
 * open object. */
void openapi_message(struct openapi *o, const struct schema_message *m);
/* A field's value as an object: all of it, with its rules and what is said of it. */
void openapi_field(struct openapi *o, const char *key, const struct schema_field *f);
/* The same as a parameter's schema: without description and annotations. */
void openapi_plain_field(struct openapi *o, const char *key, const struct schema_field *f);
/* Members of the message's own schema; of a body's message (op not NULL) without the
 * fields that the path gives. */
void openapi_object(struct openapi *o, const struct schema_message *m, const struct openapi_operation *op);
/* Does a variable of the path give this field of the body's message, or rule it out? */
bool openapi_is_bound(const struct openapi_operation *op, const struct schema_field *f);
bool openapi_field_required(const struct schema_field *f);
/* All components, those included that they name in turn. */
void openapi_schemas(struct openapi *o);
void openapi_need(struct openapi *o, const char *name);

/* --- openapi_rules.c: members of an open object --- */
void openapi_rules(struct openapi *o, const struct schema_field *f, const struct rules *rules);
/* The rules of elements, keys or values; NULL. */
const struct rules *openapi_nested(const struct rules *rules, enum rule_kind kind);
/* Do they keep NaN and the infinities out? */
bool openapi_rules_bound(const struct rules *rules);
/* Is one of the values it may have not finite? */
bool openapi_rules_infinite(const struct rules *rules);
/* Must the field be given, as leaving it out means a zero that they forbid? */
bool openapi_zero_breaks(const struct schema_field *f);
const struct rule *openapi_rule(const struct rules *rules, enum rule_kind kind);
/* A value of a rule as JSON. */
void openapi_rule_value(struct buf *out, const struct schema_field *f, union rule_value v);

/* --- openapi_example.c --- */
/* "example" of a body that the gateway would take, when one can be made. */
void openapi_example(struct openapi *o, const struct openapi_operation *op);

/* --- openapi_pattern.c --- */
/* Appends a text that matches; false: none was found, and what was appended means
 * nothing. */
bool openapi_pattern_example(struct bytes pattern, struct buf *out);

/* --- openapi_shared.c: what every document has --- */
void openapi_shared_schema(struct openapi *o, const char *name);
void openapi_shared(struct openapi *o);

#endif
