/* fuzz_regex.c: any pattern, a NUL, and a text it is looked for in. Neither crashes nor
 * takes long, whichever way of matching decides. */
#include <stdlib.h>
#include <string.h>

#include "fuzz_schema.h"
#include "schema/regex.h"
#include "schema/tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct regex *x, struct bytes text)
{
	AUTO_BUF longer = BUF_INIT;

	regex_match(x, text);
	for (int i = 0; i < 200; i++)
		buf_append(&longer, text.data, text.len);
	regex_match(x, buf_bytes(&longer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
	size_t len = end != NULL ? (size_t)(end - data) : size;
	struct bytes text = {data + len + (end != NULL), size - len - (end != NULL)};
	struct schema *s = xcalloc(1, sizeof *s);
	struct regex *x;
	char why[200];

	atomic_init(&s->refs, 1);
	if (regex_new(s, (struct bytes){data, len}, &x, why, sizeof why) == 0)
		check(x, text);
	schema_unref(s);
	return 0;
}
