/* test_task_metadata.c: what a task's row keeps of its request: all of it comes back as it
 * was, the usual in few bytes, rows of before included. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "service/task_metadata.h"

#define TRACE "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff"

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void put(struct buf *row, const char *key, const char *value)
{
	task_metadata_put(row, &(struct wire_pair){text(key), text(value)});
}

static void assert_pair(const struct task_metadata *m, size_t at, const char *key, const char *value)
{
	assert_true(at < m->n);
	assert_int_equal(m->pairs[at].key.len, strlen(key));
	assert_memory_equal(m->pairs[at].key.data, key, strlen(key));
	assert_int_equal(m->pairs[at].value.len, strlen(value));
	assert_memory_equal(m->pairs[at].value.data, value, strlen(value));
}

static void what_goes_in_comes_out(void **state)
{
	static const char *const pairs[][2] = {
		{"x-request-id", "7ba1dc18c04bb864"}, {"accept-language", "de"}, {"traceparent", TRACE},
		{"errand-identity", "token:ci"}, {"", "no key"}, {"empty", ""}, {"x-request-id", ""},
		{"x-request-ie", "another"}, {"tracestate", "a=b"},
	};
	struct task_metadata m;
	AUTO_BUF row = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		put(&row, pairs[i][0], pairs[i][1]);
	task_metadata_read(&row, &m);
	assert_int_equal(m.n, ARRAY_LEN(pairs));
	for (size_t i = 0; i < m.n; i++)
		assert_pair(&m, i, pairs[i][0], pairs[i][1]);
}

/* Text that those 25 bytes cannot hold stays text. */
static void any_traceparent_comes_out(void **state)
{
	static const char *const texts[] = {
		"", "nonsense", "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", TRACE,
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct task_metadata m;
		AUTO_BUF row = BUF_INIT;

		put(&row, "traceparent", texts[i]);
		task_metadata_read(&row, &m);
		assert_int_equal(m.n, 1);
		assert_pair(&m, 0, "traceparent", texts[i]);
	}
}

static void the_usual_is_short(void **state)
{
	AUTO_BUF row = BUF_INIT;

	put(&row, "x-request-id", "7ba1dc18c04bb864");
	put(&row, "traceparent", TRACE);
	put(&row, "errand-identity", "uid:0");
	assert_int_equal(row.len, 18 + 27 + 7);
}

/* A KeyValue for each, as tasks had before. */
static void rows_of_before_are_read(void **state)
{
	static const char old[] = "\n \n\x0cx-request-id\x12\x10" "7ba1dc18c04bb864"
				  "\n\x18\n\x0f" "errand-identity\x12\x05uid:0";
	AUTO_BUF row = BUF_INIT;
	AUTO_FREE char *id = NULL, *none = NULL;
	struct task_metadata m;

	buf_append(&row, old, sizeof old - 1);
	task_metadata_read(&row, &m);
	assert_int_equal(m.n, 2);
	assert_pair(&m, 0, "x-request-id", "7ba1dc18c04bb864");
	assert_pair(&m, 1, "errand-identity", "uid:0");
	id = task_metadata_get(&row, "x-request-id");
	assert_string_equal(id, "7ba1dc18c04bb864");
	none = task_metadata_get(&row, "traceparent");
	assert_null(none);
}

static void more_than_fits_is_left(void **state)
{
	struct task_metadata m;
	AUTO_BUF row = BUF_INIT;

	for (int i = 0; i < ENVELOPE_METADATA_MAX + 6; i++)
		put(&row, i % 2 ? "x-request-id" : "k", "v");
	task_metadata_read(&row, &m);
	assert_int_equal(m.n, ENVELOPE_METADATA_MAX);
}

/* Bytes that nobody wrote: read as far as they can be, and no further. */
static void noise_is_harmless(void **state)
{
	srandom(7);
	for (int i = 0; i < 20000; i++) {
		struct task_metadata m;
		AUTO_BUF row = BUF_INIT;

		for (long n = random() % 60; n > 0; n--)
			buf_append_byte(&row, (uint8_t)(random() % 3 ? random() % 40 : random()));
		task_metadata_read(&row, &m);
		for (size_t p = 0; p < m.n; p++)
			assert_true(m.pairs[p].value.len <= row.len || m.pairs[p].value.len == TRACE_SIZE - 1);
	}
}

static void ids_are_those_of_the_request(void **state)
{
	struct uuid task = {.b = {1, 2, 3}};
	char id[UUID_TEXT_SIZE];
	AUTO_BUF row = BUF_INIT;
	AUTO_FREE struct log_ids *ids = NULL;

	put(&row, "traceparent", TRACE);
	put(&row, "x-request-id", "r1");
	ids = task_metadata_ids(&row, &task, 3);
	assert_string_equal(ids->request, "r1");
	assert_string_equal(ids->traceparent, TRACE);
	assert_string_equal(ids->task, uuid_format(&task, id));
	assert_int_equal(ids->attempt, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(any_traceparent_comes_out),
		cmocka_unit_test(the_usual_is_short),
		cmocka_unit_test(rows_of_before_are_read),
		cmocka_unit_test(more_than_fits_is_left),
		cmocka_unit_test(noise_is_harmless),
		cmocka_unit_test(ids_are_those_of_the_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
