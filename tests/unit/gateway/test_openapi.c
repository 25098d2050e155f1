/* test_openapi.c: tests/golden/openapi/rich.proto as a document, against rich.json;
 * and what a document must be whatever the schema. When the output has changed on
 * purpose, rich.json.new in the build directory is the new golden file. */
#include "fixture.h"

#include "gateway/openapi_private.h"
#include "schema/transcode.h"

enum { LINE_MAX_LEN = 96 };

/* --- JSON made readable: what is short on one line, the rest a member a line --- */

/* Behind the value that begins at p. */
static const char *skip_value(const char *p)
{
	int depth = 0;

	for (;; p++) {
		if (*p == '"') {
			for (p++; *p != '"'; p++)
				p += *p == '\\';
			if (depth == 0)
				return p + 1;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			if (depth == 0)
				return p; /* of a number */
			if (--depth == 0)
				return p + 1;
		} else if ((*p == ',' || *p == '\0') && depth == 0) {
			return p;
		}
	}
}

static void put_line(struct buf *out, int indent)
{
	buf_append_byte(out, '\n');
	for (int i = 0; i < indent; i++)
		buf_append_str(out, "  ");
}

static void put_readable(struct buf *out, const char *p, int indent)
{
	const char *end = skip_value(p);

	if (end - p + 2 * indent <= LINE_MAX_LEN || (*p != '{' && *p != '[')) {
		buf_append(out, p, (size_t)(end - p));
		return;
	}
	buf_append_byte(out, (uint8_t)*p);
	for (p++; p < end - 1; p += *p == ',') {
		const char *colon = *p == '"' ? skip_value(p) : p;

		put_line(out, indent + 1);
		if (*colon == ':') {
			buf_append(out, p, (size_t)(colon - p));
			buf_append_str(out, ": ");
			p = colon + 1;
		}
		put_readable(out, p, indent + 1);
		p = skip_value(p);
		if (*p == ',')
			buf_append_byte(out, ',');
	}
	put_line(out, indent);
	buf_append_byte(out, (uint8_t)end[-1]);
}

static void write_document(const struct schema *s, const struct openapi_info *info, struct buf *out)
{
	openapi_write(s, info, out);
	assert_false(buf_failed(out));
	assert_true(out->len > 2 && out->data[0] == '{' && out->data[out->len - 1] == '}');
	buf_cstr(out);
}

/* --- tests --- */

static void read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");

	assert_non_null(f);
	buf_reserve(out, 1 << 20);
	out->len = fread(out->data, 1, 1 << 20, f);
	fclose(f);
	buf_cstr(out);
}

static void write_file(const char *path, const struct buf *b)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	fwrite(b->data, 1, b->len, f);
	fclose(f);
}

static size_t first_line_that_differs(const char *a, const char *b)
{
	size_t line = 1;

	for (; *a != '\0' && *a == *b; a++, b++)
		line += *a == '\n';
	return line;
}

/* Is it JSON, without a key twice? */
static void check_json(const struct schema *s, const struct buf *json)
{
	const struct schema_message *m = schema_message(s, "google.protobuf.Struct", 22);
	const struct transcode_read o = {.schema = s};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;

	if (m == NULL || m->well_known != WK_STRUCT)
		return;
	if (transcode_from_json(&o, m, (char *)json->data, json->len, "#", &wire, &faults) < 0)
		fail_msg("%s: %s", faults.items[0].where, faults.items[0].detail);
	fault_list_deinit(&faults);
}

static void test_golden(void **state)
{
	static const struct openapi_info info;
	struct schema *s = fixture_schema("rich");
	AUTO_BUF json = BUF_INIT;
	AUTO_BUF text = BUF_INIT;
	AUTO_BUF expect = BUF_INIT;

	write_document(s, &info, &json);
	check_json(s, &json);
	put_readable(&text, (const char *)json.data, 0);
	buf_append_byte(&text, '\n');
	read_file(GOLDEN_DIR "/rich.json", &expect);
	if (strcmp(buf_cstr(&text), (const char *)expect.data) != 0) {
		write_file(FIXTURE_DIR "/rich.json.new", &text);
		fail_msg("rich.json, line %zu: not what comes out, see %s",
			 first_line_that_differs((const char *)text.data, (const char *)expect.data),
			 FIXTURE_DIR "/rich.json.new");
	}
	schema_unref(s);
}

static void test_info(void **state)
{
	static const struct openapi_info info = {"A \"title\"", "1\xff", "https://h/p"};
	struct schema *s = fixture_schema("road");
	AUTO_BUF json = BUF_INIT;

	write_document(s, &info, &json);
	assert_non_null(strstr((char *)json.data, "\"title\":\"A \\\"title\\\"\""));
	assert_non_null(strstr((char *)json.data, "\"version\":\"1\xef\xbf\xbd\"")); /* UTF-8 whatever is given */
	assert_non_null(strstr((char *)json.data, "\"servers\":[{\"url\":\"https://h/p\"}]"));
	schema_unref(s);
}

/* The same text each time: its hash is the ETag. */
static void test_stable(void **state)
{
	static const struct openapi_info info;
	struct schema *a = fixture_schema("rich"), *b = fixture_schema("rich");
	AUTO_BUF x = BUF_INIT;
	AUTO_BUF y = BUF_INIT;

	write_document(a, &info, &x);
	write_document(b, &info, &y);
	assert_string_equal((char *)x.data, (char *)y.data);
	schema_unref(a);
	schema_unref(b);
}

/* Sets with a byte changed: those that load are documents as well. */
static void test_damaged(void **state)
{
	static const struct openapi_info info;
	AUTO_BUF set = BUF_INIT;
	size_t loaded = 0;
	uint32_t seed = 1;

	fixture_set("rich", &set);
	for (int i = 0; i < 400; i++) {
		size_t at = (seed = seed * 1664525 + 1013904223) % set.len;
		uint8_t was = set.data[at];
		struct schema *s = NULL;
		char why[256];

		set.data[at] ^= (uint8_t)(1 << seed % 7);
		if (schema_load(set.data, set.len, &s, why, sizeof why) == 0) {
			AUTO_BUF json = BUF_INIT;

			write_document(s, &info, &json);
			check_json(s, &json);
			loaded++;
		}
		schema_unref(s);
		set.data[at] = was;
	}
	assert_true(loaded > 40);
}

static void test_url(void **state)
{
	static const char *const good[] = {"http://h", "https://api.example.org", "http://127.0.0.1:8080/a/b",
					   "http://[::1]:80"};
	static const char *const bad[] = {"", "/", "h", "ftp://h", "http://", "https:///p", "http://h/", "http://:80",
					  "http://h?q", "http://h#f", "http://u@h", "http://h p", "http://h\n",
					  "http://h/{x}", "http://\xc3\xa4"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(openapi_url_good(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(openapi_url_good(bad[i]));
}

static void test_pattern(void **state)
{
	static const struct {
		const char *pattern, *text; /* NULL: none */
	} cases[] = {
		{"", ""}, {"abc", "abc"}, {"^[a-z]{2,5}$", "aa"}, {"a+b*c?d", "ad"}, {"(ab|c){2}x", "ababx"},
		{"a|b|c", "a"}, {"(?:x|y)+z", "xz"}, {"[^a-z]", "0"}, {"[]a]", "a"}, {"[-x]", "x"}, {"[x-]+?", "x"},
		{"\\d{3}-\\w\\.", "000-a."}, {"shelves/[0-9]+/.", "shelves/0/a"}, {"[\\d_]{2}", "00"},
		{"a{x", "a{x"}, {"^$|^a$", ""}, {"((a{2}){2})", "aaaa"},
		{"(?i)a", NULL}, {"[[:alpha:]]", NULL}, {"\\pL", NULL}, {"(a", NULL}, {"[a", NULL}, {"a)", NULL},
		{"a{1000}", NULL}, {"((((((((((((((((((a))))))))))))))))))", NULL}, {"\\", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bytes pattern = {(const uint8_t *)cases[i].pattern, strlen(cases[i].pattern)};
		AUTO_BUF out = BUF_INIT;

		assert_int_equal(openapi_pattern_example(pattern, &out), cases[i].text != NULL);
		if (cases[i].text != NULL)
			assert_string_equal(buf_cstr(&out), cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden), cmocka_unit_test(test_info), cmocka_unit_test(test_stable),
		cmocka_unit_test(test_url), cmocka_unit_test(test_damaged), cmocka_unit_test(test_pattern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
