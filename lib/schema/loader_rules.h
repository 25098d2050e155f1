/* loader_rules.h: between schema_rules.c and schema_rules_type.c; private to them. */
#ifndef SCHEMA_LOADER_RULES_H
#define SCHEMA_LOADER_RULES_H

#include "schema/loader.h"
#include "schema/rules.h"

/* For messages of errors: whose rules are being read. */
struct rules_place {
	struct loader *loader;
	const char *name; /* "pkg.Message.field: (buf.validate.field)" */
};

enum rules_part { RULES_WHOLE, RULES_ELEMENT /* of a repeated field */ };

/* A FieldRules message. alternative: ignored while zero unless it says otherwise. 0, or
 * -ERRAND_INVALID_ARGUMENT with the reason in the loader's why. */
int loader_field_rules(const struct rules_place *at, const struct schema_field *f, enum rules_part part,
		       bool alternative, struct bytes raw, const struct rules **out);

#endif
