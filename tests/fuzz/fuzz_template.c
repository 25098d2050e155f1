/* fuzz_template.c: any text as a path template. What is accepted is whole: its
 * variables lie within its segments, "**" is last, the same text parses again; bound
 * to a message each variable has a field. What is refused has a reason. */
#include <stdlib.h>

#include "fuzz_rich.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct template *t, const char *text, bool bound)
{
	for (size_t i = 0; i < t->n_segments; i++) {
		const struct template_segment *s = &t->segments[i];

		if (s->kind == SEGMENT_STAR_STAR && i + 1 != t->n_segments)
			fuzz_rich_fail("** is not last", text);
		if (s->kind == SEGMENT_LITERAL && *s->text == '\0')
			fuzz_rich_fail("an empty literal", text);
	}
	for (size_t i = 0; i < t->n_variables; i++) {
		const struct template_variable *v = &t->variables[i];

		if (v->n == 0 || v->first + v->n > t->n_segments)
			fuzz_rich_fail("a variable outside of the segments", text);
		if (i > 0 && v->first < t->variables[i - 1].first + t->variables[i - 1].n)
			fuzz_rich_fail("variables overlap", text);
		if (bound && (v->depth == 0 || v->path[v->depth - 1]->repeated))
			fuzz_rich_fail("a variable without its field", text);
	}
	if (t->n_segments > TEMPLATE_SEGMENTS_MAX || t->n_variables > TEMPLATE_VARIABLES_MAX ||
	    (t->verb != NULL && (*t->verb == '\0' || t->n_segments == 0)))
		fuzz_rich_fail("out of bounds", text);
}

static bool parse(const char *text, const struct schema_message *m)
{
	struct template *t = NULL;
	char why[64] = "";
	int r = template_parse(text, m, &t, why, sizeof why);

	if (r < 0 && (t != NULL || *why == '\0'))
		fuzz_rich_fail("refused without a reason", text);
	if (r == 0)
		check(t, text, m != NULL);
	template_free(t);
	return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct schema_message *m = schema_message(fuzz_rich(), "rich.v1.All", 11);
	AUTO_FREE char *text = xstrndup((const char *)data, size);

	if (parse(text, m) && !parse(text, NULL))
		fuzz_rich_fail("good with fields, not without", text);
	return 0;
}
