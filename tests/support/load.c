#include "load.h"

#include <stdio.h>
#include <stdlib.h>

struct schema *load_set(const char *path)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s = NULL;
	char chunk[4096], why[300] = "";
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_append(&set, chunk, n);
	fclose(f);
	if (schema_load(set.data, set.len, &s, why, sizeof why) < 0) {
		fprintf(stderr, "%s: %s\n", path, why);
		exit(1);
	}
	return s;
}
