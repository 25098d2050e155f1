#include "fuzz_schema.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/support/load.h"

static struct schema *schema;

const struct schema *fuzz_schema(void)
{
	if (schema == NULL)
		schema = load_set(GOLDEN_SET);
	return schema;
}

const struct schema_message *fuzz_message(uint8_t choice)
{
	static const char *const names[] = {"Scalars", "Optional", "Named", "Nested", "Lists", "Maps",
					    "Oneofs", "WellKnown", "Wrappers", "Mixed", "Old",
					    "AllTypes", "AllTypes2"};
	char full[64];
	int n = snprintf(full, sizeof full, "golden.v1.%s", names[(choice & 0x3f) % ARRAY_LEN(names)]);

	return schema_message(fuzz_schema(), full, (size_t)n);
}

void fuzz_fail(const char *what, struct bytes a, struct bytes b)
{
	fprintf(stderr, "%s\n  %.*s\n  %.*s\n", what, (int)a.len, (const char *)a.data, (int)b.len,
		(const char *)b.data);
	abort();
}
