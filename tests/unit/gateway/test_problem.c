/* Problems as text; snapshots: publishing, refusing, keeping the old one. */
#include "fixture.h"

#include "base/err.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "gateway/problem.h"
#include "gateway/snapshot.h"

static int setup(void **state)
{
	log_init("test_problem", LOG_LEVEL_ERROR);
	return 0;
}

static const uint8_t one[32] = "one", two[32] = "two";

static int publish(const char *name, const uint8_t digest[32], char *why, size_t why_size)
{
	AUTO_BUF set = BUF_INIT;

	fixture_set(name, &set);
	return snapshot_publish((struct bytes){digest, 32}, buf_bytes(&set), why, why_size);
}

static void test_write(void **state)
{
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF b = BUF_INIT;

	problem_write(&b, 404, ERRAND_NOT_FOUND, "no \"x\"\n", "/x", NULL);
	assert_string_equal(buf_cstr(&b), "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
			    "\"detail\":\"no \\\"x\\\"\\n\",\"instance\":\"/x\",\"code\":\"NOT_FOUND\"}");
	fault_add(&faults, FAULT_SCHEMA, FAULT_PARAMETER, "q", "type", "x", 1, "not a number");
	fault_add(&faults, FAULT_SCHEMA, FAULT_POINTER, "#/a", "unknown", NULL, 0, "unknown field");
	buf_reset(&b);
	problem_write(&b, fault_http_status(&faults), ERRAND_INVALID_ARGUMENT, "2 faults", NULL, &faults);
	assert_string_equal(buf_cstr(&b), "{\"type\":\"about:blank\",\"title\":\"Unprocessable Content\","
			    "\"status\":422,\"detail\":\"2 faults\",\"code\":\"INVALID_ARGUMENT\",\"errors\":["
			    "{\"parameter\":\"q\",\"rule\":\"type\",\"detail\":\"not a number\",\"value\":\"x\"},"
			    "{\"pointer\":\"#/a\",\"rule\":\"unknown\",\"detail\":\"unknown field\"}]}");
	fault_list_deinit(&faults);
}

static void test_snapshots(void **state)
{
	struct snapshot *held = NULL, *old;
	char why[256] = "";

	snapshot_refresh(&held);
	assert_null(held);
	assert_int_equal(publish("road", one, why, sizeof why), 0);
	snapshot_refresh(&held);
	assert_non_null(held);
	old = snapshot_ref(held);
	assert_true(snapshot_is_current((struct bytes){one, 32}));
	log_init("test_problem", (enum log_level)-1); /* a refusal is an error line */
	assert_true(publish("clash", two, why, sizeof why) < 0);
	log_init("test_problem", LOG_LEVEL_ERROR);
	assert_non_null(strstr(why, "clash.v1.Clash"));
	snapshot_refresh(&held);
	assert_ptr_equal(held, old); /* the old one goes on */
	assert_int_equal(publish("road", two, why, sizeof why), 0);
	snapshot_refresh(&held);
	assert_ptr_not_equal(held, old);
	assert_int_equal(held->generation, old->generation + 1);
	assert_non_null(schema_message(old->schema, "road.v1.Item", 12)); /* still whole */
	snapshot_unref(old);
	snapshot_unref(held);
}

/* A service's own problem is shown as it is; without one, code and message. */
static void test_status(void **state)
{
	struct snapshot *s = snapshot_get();
	struct wire_response w = {.code = ERRAND_NOT_FOUND};
	AUTO_BUF details = BUF_INIT;
	AUTO_BUF b = BUF_INIT;

	w.message = (struct bytes){(const uint8_t *)"no such item", 12};
	problem_write_status(&b, s, &w, "/items/9");
	assert_string_equal(buf_cstr(&b), "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
			    "\"detail\":\"no such item\",\"instance\":\"/items/9\",\"code\":\"NOT_FOUND\"}");
	pbuf_put_str(&details, 2, "Gone");
	pbuf_put_uint(&details, 3, 410);
	pbuf_put_str(&details, 6, "NOT_FOUND");
	w.details = buf_bytes(&details);
	buf_reset(&b);
	problem_write_status(&b, s, &w, NULL);
	assert_string_equal(buf_cstr(&b), "{\"title\":\"Gone\",\"status\":410,\"code\":\"NOT_FOUND\"}");
	buf_append(&details, "\x12\x7f", 2); /* cut off: fall back to code and message */
	w.details = buf_bytes(&details);
	buf_reset(&b);
	problem_write_status(&b, s, &w, NULL);
	assert_non_null(strstr(buf_cstr(&b), "no such item"));
	snapshot_unref(s);
	snapshot_deinit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
