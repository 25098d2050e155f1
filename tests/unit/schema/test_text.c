/* test_text.c: single fields in and out, options of the transcoder, lists of
 * faults, and limits; numbers and dates over their whole range. */
#define _GNU_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/pbuf.h"
#include "schema/number.h"
#include "schema/transcode.h"
#include "schema/wellknown.h"
#include "set.h"

static struct schema *schema;

static int load(void **state)
{
	schema = set_load();
	return 0;
}

static int unload(void **state)
{
	schema_unref(schema);
	return 0;
}

/* "child.n" of a message as a path. */
static size_t find_path(const char *message, const char *dotted, const struct schema_field **path)
{
	const struct schema_message *m = set_message(schema, message);
	size_t depth = 0;

	for (const char *p = dotted;; p++) {
		size_t n = strcspn(p, ".");

		path[depth] = schema_field(m, p, n);
		assert_non_null(path[depth]);
		m = path[depth++]->message;
		p += n;
		if (*p == '\0')
			return depth;
	}
}

static void text_gives(const char *message, const char *dotted, const char *text, const char *want_hex)
{
	const struct schema_field *path[8];
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF out = BUF_INIT;
	AUTO_BUF want = BUF_INIT;
	size_t depth = find_path(message, dotted, path);

	set_unhex(want_hex, &want);
	if (transcode_field_from_text(path, depth, text, strlen(text), "p", &out, &faults) < 0)
		fail_msg("%s=%s: %s", dotted, text, faults.items[0].detail);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.data, want.data, want.len);
}

static void text_refused(const char *message, const char *dotted, struct bytes text, const char *rule)
{
	const struct schema_field *path[8];
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF out = BUF_INIT;
	size_t depth = find_path(message, dotted, path);

	buf_append_str(&out, "before");
	assert_int_equal(transcode_field_from_text(path, depth, (const char *)text.data, text.len, "q[x]",
						   &out, &faults), -ERRAND_INVALID_ARGUMENT);
	assert_int_equal(out.len, 6);
	assert_int_equal(faults.n, 1);
	assert_int_equal(faults.items[0].place, FAULT_PARAMETER);
	assert_string_equal(faults.items[0].where, "q[x]");
	assert_string_equal(faults.items[0].rule, rule);
	fault_list_deinit(&faults);
}

#define TEXT(s) ((struct bytes){(const uint8_t *)(s), sizeof(s) - 1})

static void test_from_text(void **state)
{
	text_gives("Scalars", "f_int32", "-5", "18fbffffffffffffffff01");
	/* zero too: it stands over the body's value */
	text_gives("Scalars", "f_int32", "0", "1800");
	text_gives("Scalars", "f_string", "", "7200");
	text_gives("Scalars", "f_string", "a\"b", "7203612262");
	text_gives("Scalars", "f_bool", "true", "6801");
	text_gives("Scalars", "f_double", "1.5", "09000000000000f83f");
	text_gives("Scalars", "f_enum", "GREEN", "800102");
	text_gives("Scalars", "f_enum", "2", "800102");
	text_gives("Scalars", "f_bytes", "AQI", "7a020102");
	text_gives("Nested", "child.child.n", "5", "120412022005");
	text_gives("Lists", "r_int32", "300", "0a02ac02");
	text_gives("Lists", "r_unpacked", "7", "4807");
	text_gives("Lists", "r_string", "x", "1a0178");
	text_gives("WellKnown", "timestamp", "1970-01-01T00:00:01Z", "0a020801");
	text_gives("WellKnown", "duration", "1s", "12020801");
	text_gives("WellKnown", "mask", "a.bC", "1a070a05612e625f63");
	text_gives("Wrappers", "w_string", "x", "42030a0178");
	text_gives("Wrappers", "w_int32", "0", "2a00");
	text_refused("Scalars", "f_int32", TEXT("x"), "type");
	text_refused("Scalars", "f_int32", TEXT(""), "type");
	text_refused("Scalars", "f_int32", TEXT("99999999999"), "range");
	text_refused("Scalars", "f_bool", TEXT("1"), "type");
	text_refused("Scalars", "f_string", TEXT("a\0b"), "nul");
	text_refused("Scalars", "f_string", TEXT("\xff"), "utf8");
	text_refused("Scalars", "f_enum", TEXT("BLUE"), "enum");
	text_refused("Nested", "child", TEXT("x"), "type");
	text_refused("Nested", "children.n", TEXT("1"), "type");
	text_refused("Maps", "m_string", TEXT("x"), "type");
	text_refused("WellKnown", "struct", TEXT("{}"), "type");
	text_refused("WellKnown", "timestamp", TEXT("now"), "type");
}

static void field_gives(const char *message, const char *field, const char *json, const char *want_hex)
{
	const struct schema_field *path[8];
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF out = BUF_INIT;
	AUTO_BUF want = BUF_INIT;

	find_path(message, field, path);
	set_unhex(want_hex, &want);
	if (transcode_field_from_json(NULL, path[0], json, strlen(json), "#", &out, &faults) < 0)
		fail_msg("%s: %s", json, faults.items[0].detail);
	assert_int_equal(out.len, want.len);
	if (want.len > 0)
		assert_memory_equal(out.data, want.data, want.len);
}

static void test_field_from_json(void **state)
{
	const struct schema_field *path[8];
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF out = BUF_INIT;

	field_gives("Nested", "child", " {\"n\":5} ", "12022005");
	field_gives("Nested", "children", "[{\"n\":1},{}]", "1a0220011a00");
	field_gives("Maps", "m_string", "{\"a\":\"b\"}", "0a060a0161120162");
	field_gives("Nested", "name", "\"x\"", "0a0178");
	field_gives("Nested", "name", "null", "");
	find_path("Nested", "children", path);
	assert_int_equal(transcode_field_from_json(NULL, path[0], "[{\"n\":\"x\"}]x", 12, "#/kids", &out,
						   &faults), -ERRAND_INVALID_ARGUMENT);
	assert_int_equal(faults.n, 2);
	assert_string_equal(faults.items[0].where, "#/kids/0/n");
	assert_string_equal(faults.items[0].value, "x");
	assert_string_equal(faults.items[1].where, "#/kids");
	assert_int_equal(fault_http_status(&faults), 400);
	fault_list_deinit(&faults);
}

static void field_shows(const char *message, const char *field, const char *hex, const char *want)
{
	const struct schema_field *path[8];
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF out = BUF_INIT;
	char why[200] = "";

	find_path(message, field, path);
	set_unhex(hex, &wire);
	if (transcode_field_to_json(NULL, path[0], buf_bytes(&wire), &out, why, sizeof why) < 0)
		fail_msg("%s: %s", field, why);
	assert_string_equal(buf_cstr(&out), want);
}

static void test_field_to_json(void **state)
{
	field_shows("Nested", "name", "0a0178 2005", "\"x\"");
	field_shows("Nested", "name", "2005", "\"\"");
	field_shows("Nested", "child", "2005", "null");
	field_shows("Nested", "child", "12022005 12030a0178",
		    "{\"name\":\"x\",\"children\":[],\"n\":5}");
	field_shows("Lists", "r_int32", "0801 1a0161 0a020203", "[1,2,3]");
	field_shows("Lists", "r_int32", "", "[]");
	field_shows("Maps", "m_int32", "120408011002", "{\"1\":2}");
}

static void test_field_text(void **state)
{
	static const struct {
		const char *field, *hex, *want;
	} cases[] = {
		{"f_string", "720178 720179", "y"}, {"f_int64", "2005", "5"},
		{"f_int64", "20ffffffffffffffffff01", "-1"}, {"f_enum", "800101", "RED"},
		{"f_bool", "6801", "true"}, {"f_string", "1805", NULL}, {"f_string", "72", NULL},
		{"f_bytes", "7a0101", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct schema_field *path[8];
		AUTO_BUF wire = BUF_INIT;
		AUTO_BUF out = BUF_INIT;

		find_path("Scalars", cases[i].field, path);
		set_unhex(cases[i].hex, &wire);
		assert_int_equal(transcode_field_text(path[0], buf_bytes(&wire), &out), cases[i].want != NULL);
		assert_string_equal(buf_cstr(&out), cases[i].want ? cases[i].want : "");
	}
}

static void test_pretty(void **state)
{
	struct transcode_write o = {.schema = schema, .pretty = true};
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF out = BUF_INIT;
	char why[200];

	set_unhex("12022005 1a00", &wire);
	assert_int_equal(transcode_to_json(&o, set_message(schema, "Nested"), buf_bytes(&wire), &out, why,
					   sizeof why), 0);
	assert_string_equal(buf_cstr(&out),
		"{\n  \"name\": \"\",\n  \"child\": {\n    \"name\": \"\",\n    \"children\": [],\n    \"n\": 5\n  },\n"
		"  \"children\": [\n    {\n      \"name\": \"\",\n      \"children\": [],\n      \"n\": 0\n    }\n  ],\n"
		"  \"n\": 0\n}");
	buf_reset(&out);
	buf_reset(&wire);
	set_unhex("0a060a0161120162", &wire);
	o.skip_zero = true;
	assert_int_equal(transcode_to_json(&o, set_message(schema, "Maps"), buf_bytes(&wire), &out, why,
					   sizeof why), 0);
	assert_string_equal(buf_cstr(&out), "{\n  \"m_string\": {\n    \"a\": \"b\"\n  }\n}");
}

static void test_options(void **state)
{
	const struct schema_message *m = set_message(schema, "Scalars");
	static const char json[] = "{\"no\":[1,{\"x\":null}],\"f_enum\":\"BLUE\",\"f_int32\":1}";
	static const char text[] = "{\"f_string\":\"a longer text\"}";
	struct transcode_read o = {.ignore_unknown = true};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF out = BUF_INIT;

	assert_int_equal(transcode_from_json(&o, m, json, sizeof json - 1, "#", &out, &faults), 0);
	assert_int_equal(out.len, 2);
	o = (struct transcode_read){.max_output = 10};
	assert_int_equal(transcode_from_json(&o, m, text, sizeof text - 1, "#", &out, &faults),
			 -ERRAND_INVALID_ARGUMENT);
	assert_string_equal(faults.items[0].rule, "size");
	assert_int_equal(out.len, 2);
	fault_list_deinit(&faults);
}

/* More faults than are kept: the rest is counted, the worst decides. */
static void test_many_faults(void **state)
{
	const struct schema_message *m = set_message(schema, "Lists");
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF json = BUF_INIT;
	AUTO_BUF out = BUF_INIT;

	buf_append_str(&json, "{\"r_int32\":[");
	for (int i = 0; i < 100; i++)
		buf_append_str(&json, "\"x\",");
	buf_append_str(&json, "1]}");
	transcode_from_json(NULL, m, (char *)json.data, json.len, "#", &out, &faults);
	assert_int_equal(faults.n, FAULT_MAX);
	assert_int_equal(faults.n_dropped, 36);
	assert_int_equal(fault_http_status(&faults), 422);
	assert_string_equal(faults.items[63].where, "#/r_int32/63");
	fault_list_deinit(&faults);
	json.len--;
	transcode_from_json(NULL, m, (char *)json.data, json.len, "#", &out, &faults);
	assert_int_equal(fault_http_status(&faults), 400);
	fault_list_deinit(&faults);
}

/* 100,000 deep and every cut of a good text: a fault, quickly, and no crash. */
static void test_hostile(void **state)
{
	const struct schema_message *m = set_message(schema, "WellKnown");
	static const char good[] = "{\"struct\":{\"a\":[1,\"\\u00e9x\",null,{\"b\":true}]},\"any\":{\"@type\":"
		"\"t/golden.v1.Nested\",\"n\":-1.5e1},\"duration\":\"1s\"}";
	struct transcode_read o = {.schema = schema};
	AUTO_BUF json = BUF_INIT;
	AUTO_BUF out = BUF_INIT;

	for (size_t n = 0; n < sizeof good; n++) {
		struct fault_list faults = FAULT_LIST_INIT;
		char *copy = xmalloc(n);

		memcpy(copy, good, n);
		assert_int_equal(transcode_from_json(&o, m, copy, n, "#", &out, &faults) == 0,
				 n == sizeof good - 1);
		fault_list_deinit(&faults);
		free(copy);
	}
	for (const char *const *open = (const char *const[]){"[", "{\"a\":", "{\"struct\":", NULL}; *open; open++) {
		struct fault_list faults = FAULT_LIST_INIT;

		buf_reset(&json);
		for (int i = 0; i < 100000; i++)
			buf_append_str(&json, *open);
		assert_true(transcode_from_json(&o, m, (char *)json.data, json.len, "#", &out, &faults) < 0);
		fault_list_deinit(&faults);
	}
}

/* FAULTS 78: many keys cost no more than their number. */
static void test_many_keys(void **state)
{
	const struct schema_message *m = set_message(schema, "Maps");
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF json = BUF_INIT;
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF out = BUF_INIT;
	char why[200];

	buf_append_str(&json, "{\"m_string\":{");
	for (int i = 0; i < 100000; i++)
		buf_printf(&json, "%s\"aaaaaaaa%daaaaaaaa\":\"\"", i ? "," : "", i);
	buf_append_str(&json, "}}");
	assert_int_equal(transcode_from_json(NULL, m, (char *)json.data, json.len, "#", &wire, &faults), 0);
	assert_int_equal(transcode_to_json(&(struct transcode_write){.skip_zero = true}, m, buf_bytes(&wire),
					   &out, why, sizeof why), 0);
	assert_int_equal(out.len, json.len);
	assert_memory_equal(out.data, json.data, json.len);
}

/* Keys that any hash of first and last bytes puts in one slot. */
static void test_colliding_keys(void **state)
{
	const struct schema_message *m = set_message(schema, "Maps");
	struct fault_list faults = FAULT_LIST_INIT;
	int64_t start = clock_mono_ns();
	AUTO_BUF json = BUF_INIT;
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF norm = BUF_INIT;
	char why[200];

	buf_append_str(&json, "{\"m_int32\":{");
	for (int i = 0; i < 100000; i++)
		buf_printf(&json, "%s\"%d\":0", i ? "," : "", i << 14);
	buf_append_str(&json, "},\"m_string\":{");
	for (int i = 0; i < 100000; i++)
		buf_printf(&json, "%s\"aaaaaaaabbbbbbbb%06dbbbbbbbbaaaaaaaa\":\"\"", i ? "," : "", i);
	buf_append_str(&json, "}}");
	assert_int_equal(transcode_from_json(NULL, m, (char *)json.data, json.len, "#", &wire, &faults), 0);
	assert_int_equal(transcode_normalize(m, buf_bytes(&wire), &norm, why, sizeof why), 0);
	assert_int_equal(norm.len, wire.len);
	/* quadratic would be 10^10 comparisons: minutes */
	assert_true(clock_mono_ns() - start < 20 * NS_PER_S);
}

/* No recursion: a stack of 8 MiB would not do for 100,000 levels. */
static void test_depth(void **state)
{
	static const char *const opening[] = {"[", "{\"a\":", "{\"child\":", "{\"children\":[", "[{\"a\":["};
	static const char *const names[] = {"Nested", "google.protobuf.Value", "WellKnown"};

	for (size_t i = 0; i < ARRAY_LEN(opening) * ARRAY_LEN(names); i++) {
		const struct schema_message *m = set_message(schema, names[i % ARRAY_LEN(names)]);
		struct transcode_read o = {.schema = schema, .ignore_unknown = true};
		struct fault_list faults = FAULT_LIST_INIT;
		AUTO_BUF json = BUF_INIT;
		AUTO_BUF wire = BUF_INIT;

		buf_append_str(&json, i % 2 ? "{\"zz\":" : "");
		for (int k = 0; k < 100000; k++)
			buf_append_str(&json, opening[i / ARRAY_LEN(names)]);
		assert_true(transcode_from_json(&o, m, (char *)json.data, json.len, "#", &wire, &faults) < 0);
		assert_int_equal(fault_http_status(&faults), 400);
		fault_list_deinit(&faults);
	}
}

static double parse(const char *text)
{
	struct number n;
	double d = 0;

	assert_non_null(number_scan((const uint8_t *)text, (const uint8_t *)text + strlen(text), &n));
	number_to_double(&n, &d);
	return d;
}

/* Doubles of every size: what is printed reads back as the same, by us and by libc. */
static void test_doubles(void **state)
{
	uint64_t bits = 0x9e3779b97f4a7c15;
	AUTO_BUF out = BUF_INIT;

	for (int i = 0; i < 20000; i++) {
		double d;

		bits = bits * 6364136223846793005u + 1442695040888963407u;
		memcpy(&d, &bits, 8);
		if (i % 2)
			d = (double)(int64_t)(bits >> 30) / (double)(1 + i % 1000);
		if (!isfinite(d))
			continue;
		buf_reset(&out);
		json_put_double(&out, d);
		assert_true(strtod(buf_cstr(&out), NULL) == d);
		assert_true(parse(buf_cstr(&out)) == d);
	}
}

static void test_put_numbers(void **state)
{
	AUTO_BUF out = BUF_INIT;

	json_put_int(&out, INT64_MIN);
	buf_append_byte(&out, ' ');
	json_put_uint(&out, UINT64_MAX);
	for (uint64_t v = 1; v < 1000000000000; v *= 10) {
		buf_append_byte(&out, ' ');
		json_put_uint(&out, v - 1);
	}
	assert_string_equal(buf_cstr(&out), "-9223372036854775808 18446744073709551615 0 9 99 999 9999 99999 "
			    "999999 9999999 99999999 999999999 9999999999 99999999999");
}

static void test_put_string(void **state)
{
	AUTO_BUF out = BUF_INIT;

	json_put_string(&out, "a\"\\\n\x01\x1f\x7f", 7);
	assert_string_equal(buf_cstr(&out), "\"a\\\"\\\\\\n\\u0001\\u001f\x7f\"");
	/* stray, cut, overlong and surrogate bytes, one U+FFFD each */
	buf_reset(&out);
	json_put_string(&out, "x\xff\xe4\xb8\xc0\x80 y", 8);
	assert_string_equal(buf_cstr(&out), "\"x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd y\"");
	buf_reset(&out);
	json_put_string(&out, NULL, 0);
	assert_string_equal(buf_cstr(&out), "\"\"");
	/* every length and place of an escape around the block sizes */
	for (size_t n = 1; n < 70; n++) {
		char text[70];

		for (size_t at = 0; at < n; at++) {
			memset(text, 'x', n);
			text[at] = '"';
			buf_reset(&out);
			json_put_string(&out, text, n);
			assert_int_equal(out.len, n + 3);
			assert_memory_equal(out.data + at + 1, "\\\"", 2);
		}
	}
}

/* Each day of 1 to 9999 to text and back. */
static void test_every_day(void **state)
{
	AUTO_BUF text = BUF_INIT;

	for (int64_t s = -62135596800; s <= 253402300799; s += 86400) {
		int64_t back;
		int32_t nanos;

		buf_reset(&text);
		assert_true(timestamp_format(&text, s, 0));
		if (timestamp_parse(buf_bytes(&text), &back, &nanos) != NULL || back != s)
			fail_msg("%s is not %lld", buf_cstr(&text), (long long)s);
	}
	buf_reset(&text);
	assert_false(timestamp_format(&text, 253402300800, 0));
	assert_false(timestamp_format(&text, -62135596801, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_text), cmocka_unit_test(test_field_from_json),
		cmocka_unit_test(test_field_to_json), cmocka_unit_test(test_field_text),
		cmocka_unit_test(test_pretty), cmocka_unit_test(test_options),
		cmocka_unit_test(test_many_faults), cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_many_keys), cmocka_unit_test(test_colliding_keys),
		cmocka_unit_test(test_depth), cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_put_numbers), cmocka_unit_test(test_put_string),
		cmocka_unit_test(test_every_day),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
