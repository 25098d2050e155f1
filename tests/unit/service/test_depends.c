/* depends.c: order, circles, scope inversion, overrides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "service/depends.h"

static char trace[256], why[256];
static int fail_at; /* which process dependency refuses; 0 = none */

static int setup(void **state)
{
	trace[0] = why[0] = '\0';
	fail_at = 0;
	return 0;
}

static int teardown(void **state)
{
	depends_deinit();
	return 0;
}

static void note(const char *word, const char *name)
{
	size_t len = strlen(trace);

	snprintf(trace + len, sizeof trace - len, "%s%s ", word, name);
}

static int open_never(struct errand_call *call, void **valuep)
{
	fail_msg("a dependency of a call was opened by itself");
	return 0;
}

static int open_1(struct errand_call *call, void **valuep)
{
	assert_null(call);
	note("+", "1");
	*valuep = "1";
	return fail_at == 1 ? -ERRAND_UNAVAILABLE : 0;
}

static int open_2(struct errand_call *call, void **valuep)
{
	note("+", "2");
	*valuep = "2";
	return fail_at == 2 ? -ERRAND_UNAVAILABLE : 0;
}

static void close_any(void *value, int code)
{
	note("-", value);
	assert_int_equal(code, 0);
}

#define NEEDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int finish(const struct errand_dependency *list)
{
	int r = depends_add(list, why, sizeof why);

	return r < 0 ? r : depends_finish(why, sizeof why);
}

static void said(const char *word)
{
	if (strstr(why, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void test_order(void **state)
{
	const struct errand_dependency list[] = {
		{"top", ERRAND_SCOPE_CALL, NEEDS("left", "right"), open_never, NULL},
		{"left", ERRAND_SCOPE_CALL, NEEDS("base"), open_never, NULL},
		{"right", ERRAND_SCOPE_CALL, NEEDS("base", "left"), open_never, NULL},
		{"base", ERRAND_SCOPE_CALL, NULL, open_never, NULL},
		{"other", ERRAND_SCOPE_CALL, NULL, open_never, NULL},
		{0},
	};
	static const char *const want[] = {"base", "left", "right", "top", "other"};
	const struct dependency **out;

	assert_int_equal(finish(list), 0);
	assert_int_equal(depends_resolve(NEEDS("top", "left", "other", "top"), "pkg.S/M", &out, why,
					 sizeof why), 0);
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_string_equal(out[i]->def->name, want[i]);
	assert_null(out[ARRAY_LEN(want)]);
	free(out);
	assert_int_equal(depends_resolve(NULL, "pkg.S/M", &out, why, sizeof why), 0);
	assert_null(out[0]);
	free(out);
	assert_true(depends_resolve(NEEDS("tap"), "pkg.S/M", &out, why, sizeof why) < 0);
	said("pkg.S/M");
	said("tap");
}

static void test_circle(void **state)
{
	const struct errand_dependency list[] = {
		{"x", ERRAND_SCOPE_CALL, NEEDS("a"), open_never, NULL},
		{"a", ERRAND_SCOPE_CALL, NEEDS("b"), open_never, NULL},
		{"b", ERRAND_SCOPE_CALL, NEEDS("c"), open_never, NULL},
		{"c", ERRAND_SCOPE_CALL, NEEDS("a"), open_never, NULL},
		{0},
	};

	assert_true(finish(list) < 0);
	said("a -> b -> c -> a");
}

static void test_self(void **state)
{
	const struct errand_dependency list[] = {
		{"a", ERRAND_SCOPE_CALL, NEEDS("a"), open_never, NULL},
		{0},
	};

	assert_true(finish(list) < 0);
	said("a -> a");
}

static void test_inversion(void **state)
{
	const struct errand_dependency list[] = {
		{"pool", ERRAND_SCOPE_PROCESS, NEEDS("user"), open_never, NULL},
		{"user", ERRAND_SCOPE_CALL, NULL, open_never, NULL},
		{0},
	};

	assert_true(finish(list) < 0);
	said("pool");
	said("user");
}

static void test_refusals(void **state)
{
	const struct errand_dependency twice[] = {
		{"a", ERRAND_SCOPE_CALL, NULL, open_never, NULL},
		{"a", ERRAND_SCOPE_CALL, NULL, open_never, NULL},
		{0},
	};
	const struct errand_dependency unknown[] = {
		{"b", ERRAND_SCOPE_CALL, NEEDS("zz"), open_never, NULL},
		{0},
	};
	const struct errand_dependency no_open[] = {{.name = "c"}, {0}};

	assert_true(depends_add(twice, why, sizeof why) < 0);
	said("twice");
	depends_deinit();
	assert_true(depends_add(no_open, why, sizeof why) < 0);
	said("no open");
	depends_deinit();
	assert_true(finish(unknown) < 0);
	said("zz");
}

static const struct errand_dependency process[] = {
	{"2", ERRAND_SCOPE_PROCESS, (const char *const[]){"1", NULL}, open_2, close_any},
	{"1", ERRAND_SCOPE_PROCESS, NULL, open_1, close_any},
	{"call", ERRAND_SCOPE_CALL, NULL, open_never, NULL},
	{0},
};

static void test_process(void **state)
{
	assert_int_equal(finish(process), 0);
	assert_int_equal(depends_open_process(why, sizeof why), 0);
	assert_string_equal(depends_find("2")->value, "2");
	depends_close_process();
	assert_string_equal(trace, "+1 +2 -2 -1 ");
}

/* The second refuses: the first is closed again and the refusal has its name. */
static void test_process_fails(void **state)
{
	fail_at = 2;
	assert_int_equal(finish(process), 0);
	assert_int_equal(depends_open_process(why, sizeof why), -ERRAND_UNAVAILABLE);
	said("dependency 2");
	said("UNAVAILABLE");
	assert_string_equal(trace, "+1 +2 -1 ");
}

/* A given value is used as it is: neither opened nor closed, nor what it needs. */
static void test_override(void **state)
{
	const struct dependency **out;

	depends_override("2", "given");
	assert_int_equal(finish(process), 0);
	assert_int_equal(depends_open_process(why, sizeof why), 0);
	assert_string_equal(depends_find("2")->value, "given");
	depends_close_process();
	assert_string_equal(trace, "+1 -1 ");
	assert_int_equal(depends_resolve(NEEDS("2"), "m", &out, why, sizeof why), 0);
	assert_string_equal(out[0]->def->name, "2");
	assert_null(out[1]);
	free(out);
}

static void test_override_unknown(void **state)
{
	depends_override("three", "given");
	assert_true(finish(process) < 0);
	said("three");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order), TEST(test_circle), TEST(test_self), TEST(test_inversion),
		TEST(test_refusals), TEST(test_process), TEST(test_process_fails), TEST(test_override),
		TEST(test_override_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
