/* schema.h: a FileDescriptorSet as tables: messages, fields, enums, services,
 * methods, and the options errand reads. Immutable after schema_load, so any
 * thread may read it; ref-counted (atomic), since requests under way keep the
 * one they began with. Names point into the loaded bytes or the schema's arena.
 *
 * The structs are open: the transcoder, the router, the scanner, OpenAPI and the
 * CLI all walk them. Nobody but schema_load.c writes them. */
#ifndef SCHEMA_SCHEMA_H
#define SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"

/* FieldDescriptorProto.Type's numbers. */
enum field_type {
	FIELD_DOUBLE = 1, FIELD_FLOAT, FIELD_INT64, FIELD_UINT64, FIELD_INT32,
	FIELD_FIXED64, FIELD_FIXED32, FIELD_BOOL, FIELD_STRING, FIELD_GROUP,
	FIELD_MESSAGE, FIELD_BYTES, FIELD_UINT32, FIELD_ENUM, FIELD_SFIXED32,
	FIELD_SFIXED64, FIELD_SINT32, FIELD_SINT64,
};

/* Messages whose JSON form is special (protobuf.dev/programming-guides/json). */
enum well_known {
	WK_NONE = 0, WK_ANY, WK_TIMESTAMP, WK_DURATION, WK_FIELD_MASK, WK_STRUCT,
	WK_VALUE, WK_LIST_VALUE, WK_EMPTY,
	WK_WRAPPER, /* DoubleValue .. BytesValue: the JSON of field 1 */
};

struct schema_enum {
	const char *name; /* full name without the leading dot */
	const char *comment; /* leading comment, or NULL */
	struct schema_enum_value {
		const char *name;
		const char *comment; /* leading or trailing, or NULL */
		int32_t number;
		bool deprecated;
	} *values; /* in declared order */
	size_t n_values;
	bool is_null_value; /* google.protobuf.NullValue */
	bool closed;        /* proto2, features.enum_type = CLOSED: no other numbers */
	struct enum_lookup *lookup; /* by name and number; private to lib/schema */
};

/* google.api.field_behavior's values, as bits. */
enum field_behavior {
	BEHAVIOR_OPTIONAL = 1 << 1, BEHAVIOR_REQUIRED = 1 << 2, BEHAVIOR_OUTPUT_ONLY = 1 << 3,
	BEHAVIOR_INPUT_ONLY = 1 << 4, BEHAVIOR_IMMUTABLE = 1 << 5, BEHAVIOR_UNORDERED_LIST = 1 << 6,
	BEHAVIOR_NON_EMPTY_DEFAULT = 1 << 7, BEHAVIOR_IDENTIFIER = 1 << 8,
};

struct schema_field {
	const char *name;       /* as in the .proto */
	const char *json_name;  /* lowerCamelCase, or as given explicitly */
	const char *out_name;   /* what output shows: name, unless json_name was set explicitly */
	uint32_t number;
	enum field_type type;
	bool repeated, packed, map, required;
	bool presence;          /* absent is not zero: message, oneof member, proto3 optional, proto2 */
	int oneof;              /* index in message.oneofs, -1 = none; synthetic ones are not counted */
	bool bare;              /* (errand.v1.field).bare */
	bool any_bytes;         /* a string of proto2: what is read need not be UTF-8 */
	bool extension;         /* declared elsewhere; all its names are "[pkg.name]" */
	bool out_only;          /* field_behavior OUTPUT_ONLY */
	bool deprecated;
	uint16_t behavior;      /* enum field_behavior, or'ed */
	const char *comment;    /* leading comment, else the trailing one; or NULL */
	const struct rules *rules; /* (buf.validate.field); NULL = none. See rules.h */
	const struct schema_message *message; /* of MESSAGE and GROUP; the entry type of a map */
	const struct schema_enum *enumeration;
	const struct schema_message *parent;
	size_t index;           /* in parent->fields */
};

struct schema_message {
	const char *name; /* full name */
	enum well_known well_known;
	bool map_entry;
	struct schema_field *fields; /* sorted by number */
	size_t n_fields;
	const char **oneofs; /* names of the real ones */
	size_t n_oneofs;
	const struct schema_field *sse_id, *sse_event; /* (errand.v1.message); NULL */
	const char *comment; /* leading comment, or NULL */
	bool deprecated;
	const struct message_rules *rules; /* of the message and its oneofs; NULL = none */
	bool has_rules;      /* it, or a message it can reach, has rules: validate.h */
	const char *rules_refused; /* why it cannot be validated: of it, or of a message it can
				    * reach; always NULL after schema_load */
	struct schema_lookup *lookup; /* by name and number; private to lib/schema */
};

/* One google.api.http binding: the rule itself or one of its additional ones. */
struct schema_http {
	const char *verb;     /* "GET" */
	const char *path;     /* the template's text */
	const char *body;     /* "", "*" or a field's name */
	const char *response_body; /* "" or a field's name */
};

enum method_run { RUN_UNSPECIFIED, RUN_ASYNC, RUN_SYNC, RUN_TASK };

struct schema_retry {
	uint32_t max_attempts; /* 0 = default */
	int64_t base_ns, cap_ns; /* 0 = default */
	double factor;           /* 0 = default */
};

struct schema_method {
	const char *name;      /* "Encode" */
	const char *full_name; /* "article.v1.Article/Encode" */
	const struct schema_service *service;
	const struct schema_message *input, *output;
	bool client_streaming, server_streaming;
	bool deprecated;
	int idempotency_level; /* google.protobuf.MethodOptions: 1 = NO_SIDE_EFFECTS */
	struct schema_http *http; /* bindings in order; the first is the main one */
	size_t n_http;
	enum method_run run;
	const char *queue;     /* "" = default */
	int64_t timeout_ns, cancel_grace_ns; /* 0 = default */
	int64_t start_deadline_ns, total_timeout_ns, progress_timeout_ns, result_ttl_ns; /* of tasks */
	int32_t priority;
	int64_t max_result;    /* bytes of a task's result; 0 = default */
	struct schema_retry retry;
	bool local;            /* on the socket only: no route, not in OpenAPI */
	unsigned scopes;       /* which of a client's will do (base/grants.h); 0: call */
	const char *comment;   /* leading comment, or NULL */
};

struct schema_service {
	const char *name; /* "article.v1.Article" */
	struct schema_method *methods;
	size_t n_methods;
	const char *comment;
};

struct schema; /* the snapshot; private to schema.c */

/* Builds tables from a serialized FileDescriptorSet (copied). 0, or
 * -ERRAND_INVALID_ARGUMENT with the reason in `why`: which file, message, field,
 * what is wrong. Refused: a set that does not parse or is not whole, a name
 * defined twice, an option that does not parse, a route template that does not
 * parse. Files may come in any order; duplicates of the same file (from merged
 * sets) are taken once. */
int schema_load(const void *set, size_t len, struct schema **out, char *why, size_t why_size);
/* The same for tools that look at any set: rules errand does not support are no reason
 * to refuse it, but kept as rules_refused of the messages that would need them. */
int schema_load_any(const void *set, size_t len, struct schema **out, char *why, size_t why_size);
struct schema *schema_ref(struct schema *s);
struct schema *schema_unref(struct schema *s); /* NULL-safe; NULL */

/* Merges sets (concatenation with duplicate files dropped) for a service with
 * several modules. Appends to out. */
int schema_merge(struct buf *out, const struct bytes *sets, size_t n, char *why, size_t why_size);

struct bytes schema_set(const struct schema *s); /* the bytes it was loaded from; borrowed */

/* Full names without a leading dot. NULL when there is none. */
const struct schema_message *schema_message(const struct schema *s, const char *name, size_t len);
const struct schema_enum *schema_enum(const struct schema *s, const char *name, size_t len);
const struct schema_service *schema_service(const struct schema *s, const char *name, size_t len);
/* "pkg.Service/Method" */
const struct schema_method *schema_method(const struct schema *s, const char *full, size_t len);
size_t schema_n_services(const struct schema *s);
const struct schema_service *schema_service_at(const struct schema *s, size_t i);

/* By json_name or name; by number. NULL when there is none. */
const struct schema_field *schema_field(const struct schema_message *m, const char *name, size_t len);
const struct schema_field *schema_field_by_number(const struct schema_message *m, uint32_t number);
const struct schema_enum_value *schema_enum_by_name(const struct schema_enum *e, const char *name, size_t len);
const struct schema_enum_value *schema_enum_by_number(const struct schema_enum *e, int32_t number);
/* The message whose name, or the end of it, is nearest to a wrong one, or NULL. */
const char *schema_nearest_message(const struct schema *s, const char *name, size_t len);
/* The declared name nearest to a wrong one, for "did you mean", or NULL. */
const char *schema_nearest_field(const struct schema_message *m, const char *name, size_t len);

#endif
