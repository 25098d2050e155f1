/* The small rooms of lib/base: buf, map, log quoting, pbuf, uuid, clock, err. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/digits.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pbuf.h"
#include "base/prom.h"
#include "base/uuid.h"

/* --- buf --- */

static void test_buf(void **state)
{
	AUTO_BUF b = BUF_INIT;
	uint8_t *data;
	size_t len;

	assert_string_equal(buf_cstr(&b), "");
	assert_int_equal(b.len, 0);
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
	assert_memory_equal(b.data, "0,1,2,3,", 8);
	buf_consume(&b, b.len - 4);
	assert_string_equal(buf_cstr(&b), "999,");
	buf_append(&b, NULL, 0);
	buf_append_byte(&b, 0);
	assert_int_equal(b.len, 5);
	data = buf_take(&b, &len);
	assert_int_equal(len, 5);
	assert_memory_equal(data, "999,\0", 5);
	assert_null(b.data);
	free(data);
}

/* A failure sticks, later appends do nothing, reset forgives. */
static void test_buf_failure(void **state)
{
	AUTO_BUF b = BUF_INIT;

	buf_append_str(&b, "abc");
	assert_null(buf_reserve(&b, SIZE_MAX - 1));
	assert_true(buf_failed(&b));
	buf_append(&b, "0123456789012345678901234567890123456789012345678901234567890123", 64);
	assert_int_equal(b.len, 3);
	assert_true(buf_failed(&b));
	buf_reset(&b);
	buf_append_str(&b, "d");
	assert_false(buf_failed(&b));
	assert_string_equal(buf_cstr(&b), "d");
}

/* --- list --- */

struct item {
	int n;
	struct list node;
};

static void test_list(void **state)
{
	struct list a = LIST_INIT(a), b = LIST_INIT(b);
	struct item items[4];
	int sum = 0;

	for (int i = 0; i < 4; i++) {
		items[i].n = i;
		list_push_back(i < 2 ? &a : &b, &items[i].node);
	}
	list_splice(&a, &b);
	assert_true(list_empty(&b));
	LIST_FOREACH(it, &a) {
		struct item *x = LIST_ENTRY(it, struct item, node);

		sum = sum * 10 + x->n;
		if (x->n % 2)
			list_remove(it);
	}
	assert_int_equal(sum, 123);
	list_remove(&items[1].node); /* once more: nothing */
	list_push_front(&a, &items[3].node);
	assert_ptr_equal(list_pop_front(&a), &items[3].node);
	assert_ptr_equal(list_pop_front(&a), &items[0].node);
	assert_ptr_equal(list_pop_front(&a), &items[2].node);
	assert_null(list_pop_front(&a));
}

/* --- map --- */

static void test_map(void **state)
{
	static int values[5000];
	struct map m = MAP_INIT;
	char key[16];
	size_t pos = 0, n = 0;

	assert_null(map_get_str(&m, "x"));
	assert_null(map_remove_str(&m, "x"));
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		assert_null(map_put_str(&m, key, &values[i]));
	}
	assert_ptr_equal(map_put_str(&m, "k7", &values[0]), &values[7]); /* replaced */
	assert_ptr_equal(map_get_str(&m, "k7"), &values[0]);
	for (int i = 0; i < 5000; i += 2) {
		snprintf(key, sizeof key, "k%d", i);
		assert_ptr_equal(map_remove_str(&m, key), &values[i]);
		assert_null(map_get_str(&m, key));
	}
	for (int i = 9; i < 5000; i += 2) {
		snprintf(key, sizeof key, "k%d", i);
		assert_ptr_equal(map_get_str(&m, key), &values[i]);
	}
	while (map_next(&m, &pos) != NULL)
		n++;
	assert_int_equal(n, 2500);
	assert_null(map_put(&m, "a\0b", 3, &values[1]));
	assert_null(map_get(&m, "a\0c", 3));
	assert_null(map_get(&m, "a", 1));
	assert_ptr_equal(map_get(&m, "a\0b", 3), &values[1]);
	map_deinit(&m);
}

/* Keys that come and go must not fill the table with tombstones. */
static void test_map_churn(void **state)
{
	struct map m = MAP_INIT;
	int v = 1;
	char key[16];

	for (int i = 0; i < 100000; i++) {
		snprintf(key, sizeof key, "k%d", i);
		map_put_str(&m, key, &v);
		assert_ptr_equal(map_remove_str(&m, key), &v);
	}
	assert_true(m.n_slots <= 64);
	assert_int_equal(m.n_used, 0);
	map_deinit(&m);
}

/* --- log --- */

static const struct {
	const char *in;
	size_t len;
	const char *out;
} quotes[] = {
	{"plain-value/1", 13, "plain-value/1"},
	{"", 0, "\"\""},
	{"two words", 9, "\"two words\""},
	{"a=b", 3, "\"a=b\""},
	{"q\"\\", 3, "\"q\\\"\\\\\""},
	{"x\nlevel=error", 13, "\"x\\nlevel=error\""},
	{"\x1b[2J\r\0\x7f", 7, "\"\\x1b[2J\\x0d\\x00\\x7f\""},
	{"gr\xc3\xbc\xc3\x9f", 6, "\"gr\xc3\xbc\xc3\x9f\""},
};

static void test_log_quote(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(quotes); i++) {
		AUTO_BUF b = BUF_INIT;

		log_quote(&b, quotes[i].in, quotes[i].len);
		assert_string_equal(buf_cstr(&b), quotes[i].out);
	}
	assert_int_equal(log_level_by_name("warn"), LOG_LEVEL_WARN);
	assert_int_equal(log_level_by_name("WARN"), -1);
}

/* A full sink costs the line, not the caller's time; a long line stays one line. */
static void test_log_line(void **state)
{
	AUTO_BUF line = BUF_INIT;
	uint64_t before = log_dropped();
	int p[2];
	static char got[1 << 17];
	ssize_t n;

	assert_int_equal(pipe(p), 0);
	for (int i = 0; i < 5000; i++)
		buf_append_str(&line, "x");
	log_line(p[1], &line);
	n = read(p[0], got, sizeof got);
	assert_int_equal(n, 4096);
	assert_int_equal(got[n - 1], '\n');
	assert_int_equal(log_dropped(), before);
	for (int i = 0; i < 2000; i++) { /* 64 KiB hold far fewer */
		buf_reset(&line);
		buf_printf(&line, "line %d %0100d", i, 0);
		log_line(p[1], &line);
	}
	assert_true(log_dropped() > before);
	n = read(p[0], got, sizeof got);
	assert_true(n > 0 && got[n - 1] == '\n'); /* no half line */
	close(p[0]);
	close(p[1]);
}

/* --- pbuf --- */

static void test_pbuf_varint(void **state)
{
	static const uint64_t values[] = {0, 1, 127, 128, 300, 16383, 16384, UINT32_MAX,
					  1ull << 63, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		AUTO_BUF b = BUF_INIT;
		struct pbuf_reader r;
		uint64_t v;

		pbuf_put_varint(&b, values[i]);
		assert_int_equal(b.len, pbuf_varint_size(values[i]));
		r = pbuf_reader(b.data, b.len);
		assert_true(pbuf_read_varint(&r, &v));
		assert_true(v == values[i]);
		assert_ptr_equal(r.p, r.end);
		for (size_t cut = 0; cut < b.len; cut++) {
			r = pbuf_reader(b.data, cut);
			assert_false(pbuf_read_varint(&r, &v));
			assert_true(r.bad);
		}
	}
}

static void test_pbuf_fields(void **state)
{
	AUTO_BUF b = BUF_INIT;
	struct pbuf_reader r;
	struct pbuf_field f;

	pbuf_put_uint(&b, 1, 150);
	pbuf_put_str(&b, 2, "testing");
	pbuf_put_double(&b, 536870911, -2.5);
	buf_append(&b, "\x25\x01\x02\x03\x04", 5);         /* field 4, I32 */
	buf_append(&b, "\x2b\x08\x07\x33\x34\x2c", 6);     /* group 5 {1: 7, group 6 {}} */
	assert_memory_equal(b.data, "\x08\x96\x01\x12\x07testing", 12); /* the guide's example */
	r = pbuf_reader(b.data, b.len);
	assert_true(pbuf_next(&r, &f) && f.number == 1 && f.wire == PBUF_VARINT && f.value == 150);
	assert_true(pbuf_next(&r, &f) && f.number == 2 && f.bytes.len == 7);
	assert_ptr_equal(f.start, b.data + 3);
	assert_memory_equal(f.bytes.data, "testing", 7);
	assert_true(pbuf_next(&r, &f) && f.number == 536870911 && pbuf_double(f.value) == -2.5);
	assert_true(pbuf_next(&r, &f) && f.number == 4 && f.value == 0x04030201);
	assert_true(pbuf_next(&r, &f) && f.number == 5 && f.wire == PBUF_SGROUP);
	assert_int_equal(f.bytes.len, 4);
	assert_memory_equal(f.bytes.data, "\x08\x07\x33\x34", 4);
	assert_false(pbuf_next(&r, &f));
	assert_false(r.bad);
}

static void test_pbuf_bad(void **state)
{
	static const struct bytes bad[] = {
		{(const uint8_t *)"\x00\x01", 2},             /* field 0 */
		{(const uint8_t *)"\x0a\x02x", 3},            /* over the end */
		{(const uint8_t *)"\x0a\xff\xff\xff\xff\x0f", 6},
		{(const uint8_t *)"\x09" "1234567", 8},       /* short I64 */
		{(const uint8_t *)"\x0e", 1},                 /* wire type 6 */
		{(const uint8_t *)"\x0c", 1},                 /* end without start */
		{(const uint8_t *)"\x0b\x14", 2},             /* another group's end */
		{(const uint8_t *)"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11},
		{(const uint8_t *)"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11},
	};
	uint8_t deep[4000];
	struct pbuf_reader r;
	struct pbuf_field f;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		r = pbuf_reader(bad[i].data, bad[i].len);
		while (pbuf_next(&r, &f))
			;
		if (!r.bad)
			fail_msg("%zu was taken", i);
		assert_false(pbuf_next(&r, &f)); /* and stays bad */
	}
	memset(deep, 0x0b, sizeof deep / 2); /* 2,000 groups in one another */
	memset(deep + sizeof deep / 2, 0x0c, sizeof deep / 2);
	r = pbuf_reader(deep, sizeof deep);
	assert_false(pbuf_next(&r, &f));
	assert_true(r.bad);
}

/* --- uuid --- */

static void test_digits(void **state)
{
	static const uint64_t numbers[] = {0, 9, 10, 255, 1000000, UINT64_MAX};
	const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff};
	uint8_t back[4];
	char text[DECIMAL_MAX + 1], as[32];

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		*decimal_put(text, numbers[i]) = '\0';
		snprintf(as, sizeof as, "%llu", (unsigned long long)numbers[i]);
		assert_string_equal(text, as);
	}
	*hex_put(text, bytes, 4) = '\0';
	assert_string_equal(text, "000fa5ff");
	assert_true(hex_read(text, back, 4));
	assert_memory_equal(back, bytes, 4);
	assert_false(hex_read("000Fa5ff", back, 4) || hex_read("000fa5f", back, 4) || hex_read("0g", back, 1) ||
		     hex_read("/0", back, 1) || hex_read(":0", back, 1) || hex_read("0`", back, 1));
}

static void test_uuid(void **state)
{
	char text[UUID_TEXT_SIZE], upper[UUID_TEXT_SIZE];
	struct uuid a, b;

	clock_set_fake(0, 0x0123456789abLL * 1000);
	uuid_new(&a);
	uuid_new(&b);
	clock_set_fake(-1, 0);
	assert_memory_not_equal(a.b, b.b, 16);
	uuid_format(&a, text);
	assert_memory_equal(text, "01234567-89ab-7", 15);
	assert_non_null(strchr("89ab", text[19]));
	assert_true(uuid_parse(text, &b));
	assert_memory_equal(a.b, b.b, 16);
	for (size_t i = 0; i < sizeof text; i++)
		upper[i] = text[i] >= 'a' && text[i] <= 'f' ? (char)(text[i] - 32) : text[i];
	assert_true(uuid_parse(upper, &b));
	assert_memory_equal(a.b, b.b, 16);
	assert_false(uuid_parse("", &b));
	assert_false(uuid_parse("01234567-89ab-7000-8000-00000000000", &b));
	assert_false(uuid_parse("01234567-89ab-7000-8000-0000000000000", &b));
	assert_false(uuid_parse("01234567-89ab-7000-8000-00000000000g", &b));
	assert_false(uuid_parse("01234567089ab-7000-8000-000000000000", &b));
}

/* --- clock --- */

static void test_clock(void **state)
{
	char out[28];
	int64_t a = clock_mono_ns();

	assert_true(clock_mono_ns() >= a && a > 0);
	assert_true(clock_wall_us() > 1700000000LL * US_PER_S);
	clock_set_fake(5, 7);
	assert_int_equal(clock_mono_ns(), 5);
	assert_int_equal(clock_wall_us(), 7);
	clock_set_fake(-1, 0);
	assert_true(clock_mono_ns() >= a);
	assert_string_equal(clock_format(0, out), "1970-01-01T00:00:00.000000Z");
	assert_string_equal(clock_format(1769860800123456, out), "2026-01-31T12:00:00.123456Z");
	assert_string_equal(clock_format(951782399999999, out), "2000-02-28T23:59:59.999999Z");
	assert_string_equal(clock_format(-1, out), "1969-12-31T23:59:59.999999Z");
	assert_string_equal(clock_format(INT64_MAX, out) + 19, ".775807Z");
}

/* --- err --- */

static void test_err(void **state)
{
	for (int code = 0; code <= ERRAND_UNAUTHENTICATED; code++) {
		const struct err_info *e = err_info(code);

		assert_int_equal(e->code, code);
		assert_int_equal(err_code_by_name(e->name), code);
		assert_string_equal(err_http_reason(e->http), e->text);
	}
	assert_int_equal(err_info(-1)->code, ERRAND_UNKNOWN);
	assert_int_equal(err_info(17)->code, ERRAND_UNKNOWN);
	assert_int_equal(err_info(ERRAND_NOT_FOUND)->http, 404);
	assert_int_equal(err_info(ERRAND_DEADLINE_EXCEEDED)->http, 504);
	assert_int_equal(err_code_by_name("not_found"), -1);
	assert_string_equal(err_http_reason(418), "Unknown");
}

/* Also of times much shorter than a microsecond, as handlers of the loop take. */
static void test_prom_sum(void **state)
{
	struct prom_histogram h = {0};
	AUTO_BUF b = BUF_INIT;

	for (int i = 0; i < 1000; i++)
		prom_observe(&h, 600);
	prom_observe(&h, -5); /* a clock that went back takes nothing away */
	prom_histogram(&b, "x", "", &h);
	assert_non_null(strstr(buf_cstr(&b), "x_bucket{le=\"0.0001\"} 1001\n"));
	assert_non_null(strstr(buf_cstr(&b), "x_sum 0.000600000\nx_count 1001\n"));
}

/* What cannot be read is left out: no open files, when there are too many, would be a lie. */
static void test_prom_process(void **state)
{
	struct rlimit limit, none;
	AUTO_BUF b = BUF_INIT;
	AUTO_BUF with = BUF_INIT;

	prom_process(&with);
	assert_non_null(strstr(buf_cstr(&with), "\nprocess_open_fds "));
	assert_non_null(strstr(buf_cstr(&with), "\nprocess_resident_memory_bytes "));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){0, limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	prom_process(&b);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_null(strstr(buf_cstr(&b), "process_open_fds"));
	assert_null(strstr(buf_cstr(&b), "process_resident_memory_bytes"));
	assert_non_null(strstr(buf_cstr(&b), "\nprocess_cpu_seconds_total "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf),
		cmocka_unit_test(test_buf_failure),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_churn),
		cmocka_unit_test(test_log_quote),
		cmocka_unit_test(test_log_line),
		cmocka_unit_test(test_pbuf_varint),
		cmocka_unit_test(test_pbuf_fields),
		cmocka_unit_test(test_pbuf_bad),
		cmocka_unit_test(test_digits),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_prom_sum),
		cmocka_unit_test(test_prom_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
