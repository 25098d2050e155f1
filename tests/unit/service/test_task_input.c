/* test_task_input.c: what a bare Any carries, as the input of a method. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pbuf.h"
#include "errand/status.h"
#include "service/task_input.h"
#include "tests/support/load.h"

#define JSON "type.googleapis.com/errand.v1.Json"

static struct schema *schema;

static int setup(void **state)
{
	schema = load_set(RULES_SET);
	return 0;
}

static int teardown(void **state)
{
	schema = schema_unref(schema);
	return 0;
}

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static int read_as(const char *message, const char *type, struct bytes value, struct buf *out,
		   struct fault_list *faults)
{
	const struct schema_message *m = schema_message(schema, message, strlen(message));

	const struct schema_method named = {.input = m};
	const struct method method = {.schema = &named};

	assert_non_null(m);
	return task_input_read(schema, &method, text(type), value, "#/input", out, faults);
}

static int read_json(const char *message, const char *json, struct buf *out, struct fault_list *faults)
{
	AUTO_BUF value = BUF_INIT;

	pbuf_put_str(&value, 1, json);
	return read_as(message, JSON, buf_bytes(&value), out, faults);
}

static void test_json(void **state)
{
	static const uint8_t const_3[] = {0x08, 0x03};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF out = BUF_INIT;

	buf_append_byte(&out, 'x'); /* what is there stays there */
	assert_int_equal(read_json("rules.v1.Int32s", " {\"const\": 3} ", &out, &faults), 0);
	assert_int_equal(out.len, 3);
	assert_memory_equal(out.data + 1, const_3, 2);
	assert_int_equal(read_json("rules.v1.Int32s", " null\n", &out, &faults), 0);
	assert_int_equal(read_json("rules.v1.Int32s", "{}", &out, &faults), 0);
	assert_int_equal(out.len, 3);
	assert_int_equal(faults.n, 0);
}

/* All faults, each below the Any. */
static void test_faults(void **state)
{
	static const struct {
		const char *json, *where[3], *rule;
		int status;
	} of[] = {
		{"{\"const\":\"x\",\"nope\":1}", {"#/input/const", "#/input/nope"}, "type", 422},
		{"{\"const\":4,\"lt\":11}", {"#/input/const", "#/input/lt"}, "int32.const", 422},
		{"{\"inside_lte\":7,\"insideLte\":7}", {"#/input/insideLte"}, "duplicate", 400},
		{"7", {"#/input"}, "type", 422},
		{"", {"#/input"}, "syntax", 400},
	};

	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		struct fault_list faults = FAULT_LIST_INIT;
		AUTO_BUF out = BUF_INIT;
		size_t n = 0;

		assert_int_equal(read_json("rules.v1.Int32s", of[i].json, &out, &faults), -ERRAND_INVALID_ARGUMENT);
		assert_int_equal(out.len, 0);
		for (; n < 3 && of[i].where[n] != NULL; n++)
			assert_string_equal(faults.items[n].where, of[i].where[n]);
		assert_int_equal(faults.n, n);
		assert_string_equal(faults.items[0].rule, of[i].rule);
		assert_int_equal(fault_http_status(&faults), of[i].status);
		fault_list_deinit(&faults);
	}
}

/* From the socket: the message itself, looked at as any payload is. */
static void test_message(void **state)
{
	static const uint8_t good[] = {0x08, 0x03}, cut[] = {0x0a, 0x05}, ruled[] = {0x08, 0x04};
	static const struct {
		const char *type;
		struct bytes value;
		const char *rule;
	} of[] = {
		{"type.googleapis.com/rules.v1.Int32s", {good, sizeof good}, NULL},
		{"rules.v1.Int32s", {good, sizeof good}, NULL},
		{"", {NULL, 0}, NULL},
		{"type.googleapis.com/rules.v1.Kinds", {good, sizeof good}, "any"},
		{"", {good, sizeof good}, "any"},
		{"x/rules.v1.Int32s", {cut, sizeof cut}, "type"},
		{"x/rules.v1.Int32s", {ruled, sizeof ruled}, "int32.const"},
	};

	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		struct fault_list faults = FAULT_LIST_INIT;
		AUTO_BUF out = BUF_INIT;
		int err = read_as("rules.v1.Int32s", of[i].type, of[i].value, &out, &faults);

		if (of[i].rule == NULL) {
			assert_int_equal(err, 0);
			assert_int_equal(out.len, of[i].value.len);
			continue;
		}
		assert_int_equal(err, -ERRAND_INVALID_ARGUMENT);
		assert_int_equal(faults.n, 1);
		assert_string_equal(faults.items[0].rule, of[i].rule);
		fault_list_deinit(&faults);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_message),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
