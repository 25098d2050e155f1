#include "set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

void set_read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	char chunk[4096];
	size_t n;

	if (f == NULL)
		fail_msg("%s cannot be opened", path);
	while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
		buf_append(out, chunk, n);
	fclose(f);
}

struct schema *set_load(void)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s = NULL;
	char why[300] = "";

	set_read_file(GOLDEN_SET, &set);
	if (schema_load(set.data, set.len, &s, why, sizeof why) < 0)
		fail_msg("golden.pb: %s", why);
	return s;
}

const struct schema_message *set_message(const struct schema *s, const char *name)
{
	const struct schema_message *m;
	char full[200];

	snprintf(full, sizeof full, "%s%s", strchr(name, '.') ? "" : "golden.v1.", name);
	m = schema_message(s, full, strlen(full));
	if (m == NULL)
		fail_msg("no message %s", full);
	return m;
}

void set_unhex(const char *hex, struct buf *out)
{
	unsigned v;

	for (; *hex != '\0'; hex++) {
		if (*hex == ' ')
			continue;
		if (sscanf(hex, "%2x", &v) != 1)
			fail_msg("not hex: %s", hex);
		buf_append_byte(out, (uint8_t)v);
		hex++;
	}
}
