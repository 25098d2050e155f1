/* validator.h: between the files of validate.h: one check under way. It lives on the
 * stack of validate_message. Private to lib/schema. */
#ifndef SCHEMA_VALIDATOR_H
#define SCHEMA_VALIDATOR_H

#include "schema/rule_value.h"
#include "schema/validate.h"

struct validator {
	const struct route *origin;
	struct fault_list *faults;
	size_t n_before;     /* faults that were there */
	unsigned depth;
	bool has_now;
	union rule_value now; /* read when the first rule asks */
};

/* A field on the way from the outermost message; lives on the walk's stack. */
struct validate_place {
	const struct validate_place *up;
	const struct schema_field *field;
	bool is_item;        /* index says which */
	bool is_group;       /* about some fields of the message above, this is one of them */
	size_t index;
	const struct schema_field *key_field; /* of a map's entry: key is its key; else NULL */
	const struct pbuf_field *key;
};

/* validate_fault.c: adds a fault there. value: what was there, may be NULL. */
void validator_fault(struct validator *v, const struct validate_place *at, const char *rule,
		     const char *value, size_t value_len, const char *fmt, ...) PRINTF(6, 7);

/* validate_value.c: all of rules but those of elements and entries; f is of the type
 * rules->about has, or of its wrapper. as_key: said in the faults. */
void validator_value(struct validator *v, const struct rules *rules, const struct pbuf_field *f,
		     const struct schema_field *declared, const struct validate_place *at, bool as_key);
/* Of an element: is it zero? */
bool validator_is_zero(const struct rules *rules, const struct pbuf_field *f,
		       const struct schema_field *declared);

#endif
