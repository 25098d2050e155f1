/* rule_table.h: the rule messages of buf.validate (StringRules ...) as tables: what a
 * number in one of them is called, what kind of rule it is and how its value is
 * written. Names and numbers as buf/validate/validate.proto has them. Immutable. */
#ifndef SCHEMA_RULE_TABLE_H
#define SCHEMA_RULE_TABLE_H

#include "schema/rules.h"

/* Numbers in FieldRules; those of numbers are 1 to 12. */
enum {
	TYPE_BOOL = 13, TYPE_STRING, TYPE_BYTES, TYPE_ENUM, TYPE_REPEATED = 18, TYPE_MAP, TYPE_ANY,
	TYPE_DURATION, TYPE_TIMESTAMP, TYPE_FIELD_MASK = 28,
};

enum rule_form {
	FORM_VALUE,    /* one of the field's type */
	FORM_LIST,     /* more of them */
	FORM_TEXT,     /* string or bytes */
	FORM_TEXTS,
	FORM_COUNT,    /* uint64 */
	FORM_SWITCH,   /* bool: a rule when true */
	FORM_KNOWN,    /* bool: the format when true */
	FORM_REGEX,    /* KnownRegex */
	FORM_STRICT,   /* bool beside KnownRegex */
	FORM_PATTERN,
	FORM_SPAN,     /* a Duration that is no value of the field */
	FORM_MASK,     /* FieldMask: its paths as a list */
	FORM_ITEMS,    /* FieldRules of the elements */
	FORM_KEYS, FORM_VALUES,
	FORM_EXAMPLE,
	FORM_NOTHING,
};

struct rule_def {
	uint8_t number;
	uint8_t form;
	uint8_t kind;
	uint8_t format;
	const char *name;
};

struct rule_type {
	const char *name;
	const struct rule_def *defs; /* the last one's number is 0 */
};

/* By its number in FieldRules; NULL when that is no type's. */
const struct rule_type *rule_type_at(uint32_t number);
/* The number of the rules a scalar or enum may have. */
unsigned rule_type_of_field(enum field_type type);
/* By its number in the rule message; NULL when there is none. */
const struct rule_def *rule_type_find(const struct rule_type *type, uint32_t number);

#endif
