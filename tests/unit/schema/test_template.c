/* test_template.c: the grammar of google.api.http's path templates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "schema/template.h"
#include "set.h"

/* "/a/{x=b/star}:v" as "a b * | x:1+2 | v". */
static void shape(const struct template *t, struct buf *out)
{
	for (size_t i = 0; i < t->n_segments; i++)
		buf_printf(out, "%s%s", i ? " " : "",
			   t->segments[i].kind == SEGMENT_STAR ? "*" :
			   t->segments[i].kind == SEGMENT_STAR_STAR ? "**" : t->segments[i].text);
	for (size_t i = 0; i < t->n_variables; i++)
		buf_printf(out, " | %s:%zu+%zu", t->variables[i].name, t->variables[i].first,
			   t->variables[i].n);
	if (t->verb != NULL)
		buf_printf(out, " | :%s", t->verb);
}

static void parses(const char *text, const char *want)
{
	AUTO_BUF got = BUF_INIT;
	struct template *t = NULL;
	char why[200] = "";

	if (template_parse(text, NULL, &t, why, sizeof why) < 0)
		fail_msg("%s: %s", text, why);
	shape(t, &got);
	assert_string_equal(buf_cstr(&got), want);
	template_free(t);
}

static void refused(const char *text, const char *reason)
{
	struct template *t = (struct template *)1;
	char why[200] = "";

	if (template_parse(text, NULL, &t, why, sizeof why) == 0)
		fail_msg("%s was accepted", text);
	assert_null(t);
	if (strstr(why, reason) == NULL)
		fail_msg("%s: \"%s\" is not in \"%s\"", text, reason, why);
}

static void test_good(void **state)
{
	parses("/", "");
	parses("/v1", "v1");
	parses("/v1/a.b-c~d_e", "v1 a.b-c~d_e");
	parses("/v1/*", "v1 *");
	parses("/v1/**", "v1 **");
	parses("/v1/{id}", "v1 * | id:1+1");
	parses("/v1/{a.b.c}", "v1 * | a.b.c:1+1");
	parses("/v1/{name=shelves/*/books/**}", "v1 shelves * books ** | name:1+4");
	parses("/v1/{a=**}:go", "v1 ** | a:1+1 | :go");
	parses("/v1/{a}/{b=x/*}/c", "v1 * x * c | a:1+1 | b:2+2");
	parses("/v1/items:make", "v1 items | :make");
	parses("/v1:go", "v1 | :go");
	parses("/a%20b/%E4%B8%AD", "a b 中");
	/* a colon before the last segment is a character like others */
	parses("/a:b/c", "a:b c");
	parses("/a:b/c:d", "a:b c | :d");
	parses("/{a=x:y}", "x:y | a:0+1");
}

static void test_bad(void **state)
{
	refused("", "begins with");
	refused("v1", "at character 1: a path begins with");
	refused("//", "empty segment");
	refused("/v1/", "empty segment");
	refused("/v1//a", "empty segment");
	refused("/v1/**/a", "nothing may follow");
	refused("/v1/{a=**}/b", "nothing may follow");
	refused("/v1/{a=**}/{b}", "nothing may follow");
	refused("/v1/***", "not allowed");
	refused("/v1/a*", "not allowed");
	refused("/v1/*a", "not allowed");
	refused("/v1/{a", "without");
	refused("/v1/a}", "not allowed");
	refused("/v1/{}", "field name");
	refused("/v1/{a.}", "field name");
	refused("/v1/{1a}", "field name");
	refused("/v1/{a=}", "empty segment");
	refused("/v1/{a=b/}", "empty segment");
	refused("/v1/{a={b}}", "not allowed");
	refused("/v1/{a}b", "not allowed");
	refused("/v1/{a}/{a}", "twice");
	refused("/v1/a:", "verb");
	refused("/v1/a?b", "not allowed");
	refused("/v1/a b", "not allowed");
	refused("/v1/%zz", "percent");
	refused("/v1/%1", "percent");
	refused("/v1/%00", "percent");
}

static void test_long(void **state)
{
	AUTO_BUF path = BUF_INIT;

	for (int i = 0; i < 65; i++)
		buf_append_str(&path, "/a");
	refused(buf_cstr(&path), "more than 64 segments");
	buf_reset(&path);
	for (int i = 0; i < 17; i++)
		buf_printf(&path, "/{v%d}", i);
	refused(buf_cstr(&path), "more than 16 variables");
}

static void test_binding(void **state)
{
	struct schema *s = set_load();
	const struct schema_message *nested = set_message(s, "Nested"), *lists = set_message(s, "Lists");
	const struct schema_message *known = set_message(s, "WellKnown");
	struct template *t = NULL;
	char why[200] = "";

	assert_int_equal(template_parse("/a/{child.child.n}", nested, &t, why, sizeof why), 0);
	assert_int_equal(t->variables[0].depth, 3);
	assert_string_equal(t->variables[0].path[0]->name, "child");
	assert_string_equal(t->variables[0].path[2]->name, "n");
	template_free(t);
	assert_int_equal(template_parse("/a/{timestamp}", known, &t, why, sizeof why), 0);
	template_free(t);
	assert_true(template_parse("/a/{nope}", nested, &t, why, sizeof why) < 0);
	assert_non_null(strstr(why, "golden.v1.Nested has no field nope"));
	assert_true(template_parse("/a/{child}", nested, &t, why, sizeof why) < 0);
	assert_non_null(strstr(why, "single scalar"));
	assert_true(template_parse("/a/{r_int32}", lists, &t, why, sizeof why) < 0);
	assert_true(template_parse("/a/{name.x}", nested, &t, why, sizeof why) < 0);
	assert_non_null(strstr(why, "not a message"));
	assert_true(template_parse("/a/{children.n}", nested, &t, why, sizeof why) < 0);
	assert_true(template_parse("/a/{struct}", known, &t, why, sizeof why) < 0);
	assert_true(template_parse("/{child.child.child.child.child.child.child.child.n}", nested, &t, why,
				   sizeof why) < 0);
	assert_non_null(strstr(why, "8 fields deep"));
	schema_unref(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long), cmocka_unit_test(test_binding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
