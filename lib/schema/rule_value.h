/* rule_value.h: wire values as rules.h's unions, by the field they are of; private to
 * lib/schema. Pure. */
#ifndef SCHEMA_RULE_VALUE_H
#define SCHEMA_RULE_VALUE_H

#include "schema/rules.h"
#include "schema/wire.h"

/* Which member of a union a field's values are in; also what rules it may have. */
enum value_class {
	VALUE_SIGNED, VALUE_UNSIGNED, VALUE_FLOATING, VALUE_BOOL, VALUE_ENUM, VALUE_TEXT,
	VALUE_TIME, VALUE_ANY, VALUE_MASK, VALUE_MESSAGE,
};

enum value_class value_class(const struct schema_field *about);

/* v is of about's wire type. Any and FieldMask: text is the message's bytes. Parts of a
 * Duration or Timestamp add to what out has. False: malformed. */
bool value_read(const struct schema_field *about, const struct pbuf_field *v, union rule_value *out);

/* -1, 0, 1; 2: one of them is not a number. */
int value_compare(enum value_class c, const union rule_value *a, const union rule_value *b);
bool value_equal(enum value_class c, const union rule_value *a, const union rule_value *b);
bool value_is_zero(enum value_class c, const union rule_value *v);

/* The next of a packed list's values, as they are in a field's value; false at the end. */
static inline bool value_next_packed(struct pbuf_reader *r, enum field_type t, uint64_t *out)
{
	enum pbuf_wire wire = wire_type(t);
	size_t width = wire == PBUF_I64 ? 8 : 4;

	if (r->p >= r->end)
		return false;
	if (wire == PBUF_VARINT)
		return pbuf_read_varint(r, out);
	if ((size_t)(r->end - r->p) < width) {
		r->bad = true;
		return false;
	}
	*out = 0;
	for (size_t i = 0; i < width; i++)
		*out |= (uint64_t)r->p[i] << (8 * i);
	r->p += width;
	return true;
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
