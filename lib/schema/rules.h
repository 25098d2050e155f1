/* rules.h: buf.validate's standard rules as tables: what validate.c checks and what
 * OpenAPI shows as JSON Schema keywords. Built by schema_load and part of the
 * schema: immutable, freed with it.
 *
 * One enum for all types: "string.const", "int32.const" and "duration.const" are all
 * RULE_CONST, told apart by the field's type. What errand does not support (CEL,
 * predefined rules, a rule of another type than the field's) is refused by
 * schema_load with the field's name, never skipped.
 *
 * Source of names and meanings: buf/validate/validate.proto of protovalidate. */
#ifndef SCHEMA_RULES_H
#define SCHEMA_RULES_H

#include "schema/schema.h"

enum rule_kind {
	RULE_CONST, RULE_IN, RULE_NOT_IN,
	RULE_LT, RULE_LTE, RULE_GT, RULE_GTE, RULE_FINITE,         /* numbers; durations, timestamps */
	RULE_LEN, RULE_MIN_LEN, RULE_MAX_LEN,                      /* string: characters; bytes: bytes */
	RULE_LEN_BYTES, RULE_MIN_BYTES, RULE_MAX_BYTES,            /* string */
	RULE_PATTERN, RULE_PREFIX, RULE_SUFFIX, RULE_CONTAINS, RULE_NOT_CONTAINS,
	RULE_FORMAT,                                               /* string, bytes: `format` */
	RULE_DEFINED_ONLY,                                         /* enum */
	RULE_MIN_ITEMS, RULE_MAX_ITEMS, RULE_UNIQUE, RULE_ITEMS,   /* repeated; ITEMS: `nested` */
	RULE_MIN_PAIRS, RULE_MAX_PAIRS, RULE_KEYS, RULE_VALUES,    /* map; the last two: `nested` */
	RULE_LT_NOW, RULE_GT_NOW, RULE_WITHIN,                     /* timestamp */
};

/* string.email .. bytes.ip: see validate.proto for what each one means. */
enum rule_format {
	RULE_EMAIL = 1, RULE_HOSTNAME, RULE_IP, RULE_IPV4, RULE_IPV6, RULE_URI, RULE_URI_REF,
	RULE_ADDRESS, RULE_UUID, RULE_TUUID, RULE_IP_PREFIXLEN, RULE_IPV4_PREFIXLEN,
	RULE_IPV6_PREFIXLEN, RULE_IP_PREFIX, RULE_IPV4_PREFIX, RULE_IPV6_PREFIX,
	RULE_HOST_AND_PORT, RULE_ULID, RULE_HEADER_NAME, RULE_HEADER_VALUE,
	RULE_PROTOBUF_FQN, RULE_PROTOBUF_DOT_FQN,
};

/* buf.validate.Ignore: when the rules are not looked at. */
enum rule_ignore { RULE_IGNORE_UNSPECIFIED = 0, RULE_IGNORE_IF_ZERO = 1, RULE_IGNORE_ALWAYS = 3 };

/* By the type of what the rule is about: signed integers, bools and enums in i,
 * unsigned in u, float and double in d, string and bytes (and Any's type URLs, a
 * FieldMask's paths) in text, Duration and Timestamp in time; lengths and counts in u. */
union rule_value {
	int64_t i;
	uint64_t u;
	double d;
	struct bytes text;
	struct { int64_t s; int32_t ns; } time;
};

struct rules;
struct regex;

struct rule {
	enum rule_kind kind;
	const char *id;            /* "string.min_len", as violations name it; of a range "int32.gte_lt" */
	const char *id_empty;      /* FORMAT: "string.email_empty" when "" breaks it; else NULL */
	union rule_value value;    /* but for IN and NOT_IN */
	union rule_value *list;    /* IN, NOT_IN; a FieldMask's CONST */
	size_t n;
	/* LT, LTE, GT, GTE: the field's other bound, or NULL. When the lower one is above
	 * the upper one values must be outside of both. */
	const struct rule *bound;
	bool outside;
	enum rule_format format;   /* FORMAT */
	bool strict;               /* FORMAT: header names and values by the letter (default) */
	struct regex *regex;       /* PATTERN: compiled; value.text is its source */
	const struct rules *nested; /* ITEMS, KEYS, VALUES */
};

/* Of one field, or of the elements, keys or values of one. */
struct rules {
	bool required;
	enum rule_ignore ignore;
	struct rule *list;
	size_t n;
	/* What list is about: the field itself, or the key or value of a map's entry, or
	 * field 1 of a wrapper (google.protobuf.StringValue) that is its type. */
	const struct schema_field *about;
	union rule_value *examples; /* of the type of about */
	size_t n_examples;
};

/* (buf.validate.message) and (buf.validate.oneof). */
struct message_rules {
	const bool *oneof_required; /* by index in message.oneofs; NULL = none is */
	/* (buf.validate.message).oneof: at most, or with required exactly, one of these */
	struct rule_oneof {
		const struct schema_field **fields;
		size_t n;
		bool required;
	} *oneofs;
	size_t n_oneofs;
};

#endif
