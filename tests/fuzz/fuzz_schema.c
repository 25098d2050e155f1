#include "fuzz_schema.h"

#include <stdio.h>

static struct schema *schema;

static void load(void)
{
	AUTO_BUF set = BUF_INIT;
	char chunk[4096], why[300] = "";
	FILE *f = fopen(GOLDEN_SET, "rb");
	size_t n;

	if (f == NULL) {
		perror(GOLDEN_SET);
		exit(77);
	}
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_append(&set, chunk, n);
	fclose(f);
	if (schema_load(set.data, set.len, &schema, why, sizeof why) < 0) {
		fprintf(stderr, "%s: %s\n", GOLDEN_SET, why);
		exit(1);
	}
}

const struct schema *fuzz_schema(void)
{
	if (schema == NULL)
		load();
	return schema;
}

const struct schema_message *fuzz_message(uint8_t choice)
{
	static const char *const names[] = {"Scalars", "Optional", "Named", "Nested", "Lists", "Maps",
					    "Oneofs", "WellKnown", "Wrappers", "Mixed", "Old"};
	char full[64];
	int n = snprintf(full, sizeof full, "golden.v1.%s", names[choice % ARRAY_LEN(names)]);

	return schema_message(fuzz_schema(), full, (size_t)n);
}

void fuzz_fail(const char *what, struct bytes a, struct bytes b)
{
	fprintf(stderr, "%s\n  %.*s\n  %.*s\n", what, (int)a.len, (const char *)a.data, (int)b.len,
		(const char *)b.data);
	abort();
}
