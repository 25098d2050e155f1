/* Which method a verb and a path name, and what the variables are. */
#include "fixture.h"

#include "base/err.h"
#include "schema/route.h"

static struct schema *schema;
static struct route_table *table;

static int setup(void **state)
{
	schema = fixture_schema("road");
	table = fixture_routes(schema);
	return 0;
}

static int teardown(void **state)
{
	table = route_table_free(table);
	schema = schema_unref(schema);
	return 0;
}

/* "Method var=value,..." of a match, or the error's name and the Allow list. */
static const char *find(const char *verb, const char *path)
{
	static char text[512];
	struct route_match m;
	AUTO_BUF allow = BUF_INIT;
	int r = route_find(table, verb, path, &m, &allow);
	int n;

	if (r < 0) {
		snprintf(text, sizeof text, "%s %s", err_info(-r)->name, buf_cstr(&allow));
		return text;
	}
	n = snprintf(text, sizeof text, "%s", m.route->method->name);
	for (size_t i = 0; m.route->template != NULL && i < m.route->template->n_variables; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "%s%s=%.*s", i ? "," : " ",
			      m.route->template->variables[i].name, (int)m.values[i].len,
			      (const char *)m.values[i].data);
	return text;
}

static const struct {
	const char *verb, *path, *expect;
} cases[] = {
	{"GET", "/items/1", "GetItem id=1"},
	{"HEAD", "/items/1", "GetItem id=1"},
	{"GET", "/items/special", "GetSpecial"},
	{"GET", "/%69tems/special", "GetSpecial"},
	{"GET", "/items/%73pecial", "GetSpecial"},
	{"GET", "/items/specia", "GetItem id=specia"},
	{"PUT", "/items/special", "PutItem id=special"},
	{"GET", "/shops/a%20b/items/7", "GetItem shop.name=a%20b,id=7"},
	{"POST", "/items/1:cancel", "CancelItem id=1"},
	{"POST", "/items/a:b:cancel", "CancelItem id=a:b"},
	{"GET", "/items/1:cancel", "UNIMPLEMENTED POST, OPTIONS"},
	{"GET", "/items/1:other", "GetItem id=1:other"},
	{"GET", "/items/1%3Acancel", "GetItem id=1%3Acancel"},
	{"POST", "/items/:cancel", "UNIMPLEMENTED GET, HEAD, PUT, LOCK, OPTIONS"},
	{"GET", "/v1/shelves/s/books/b", "GetBook name=shelves/s/books/b"},
	{"GET", "/v1/shelves/s/books/b/c%2Fd/e", "GetBook name=shelves/s/books/b/c%2Fd/e"},
	{"GET", "/v1/shelves/s/books", "GetBook name=shelves/s/books"},
	{"GET", "/v1/shelves/s", "NOT_FOUND "},
	{"POST", "/items/4/shop", "SetShop id=4"},
	{"POST", "/road.v1.Road/Plain", "Plain"},
	{"POST", "/road.v1.Road/GetItem", "GetItem"},
	{"GET", "/road.v1.Road/Plain", "UNIMPLEMENTED POST, OPTIONS"},
	{"POST", "/road.v1.Road/Nothing", "NOT_FOUND "},
	{"DELETE", "/items/special", "UNIMPLEMENTED GET, HEAD, PUT, LOCK, OPTIONS"},
	{"LOCK", "/items/special", "Lock id=special"},
	{"lock", "/items/special", "UNIMPLEMENTED GET, HEAD, PUT, LOCK, OPTIONS"},
	{"BREW", "/any/a/b", "Lock name=a/b"},
	{"GET", "/any", "Lock name="},
	{"OPTIONS", "/search", "UNIMPLEMENTED GET, HEAD, OPTIONS"},
	{"GET", "/", "NOT_FOUND "},
	{"GET", "", "NOT_FOUND "},
	{"GET", "/items", "NOT_FOUND "},
	{"GET", "/items/", "NOT_FOUND "},
	{"GET", "//items/1", "NOT_FOUND "},
	{"GET", "/items/1/", "NOT_FOUND "},
	{"GET", "/items/../search", "NOT_FOUND "},
	{"GET", "/items/%2e%2e", "NOT_FOUND "},
	{"GET", "/items/.", "NOT_FOUND "},
	{"GET", "/items/..x", "GetItem id=..x"},
	{"GET", "/items/%zz", "INVALID_ARGUMENT "},
	{"GET", "/items/%4", "INVALID_ARGUMENT "},
	{"GET", "/items/a%00b", "INVALID_ARGUMENT "},
	{"GET", "/ITEMS/1", "NOT_FOUND "},
};

static void test_find(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(find(cases[i].verb, cases[i].path), cases[i].expect);
}

/* Long and deep paths end in 404, not in trouble. */
static void test_extremes(void **state)
{
	char path[9000];
	size_t n = 0;

	while (n < sizeof path - 3)
		n += (size_t)snprintf(path + n, sizeof path - n, "/a");
	assert_string_equal(find("GET", path), "NOT_FOUND ");
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	memcpy(path, "/items/", 7);
	assert_memory_equal(find("PUT", path), "PutItem id=xxx", 14);
	for (n = 7; n < sizeof path - 4; n += 3)
		memcpy(path + n, "%41", 3);
	path[n] = '\0';
	assert_memory_equal(find("PUT", path), "PutItem id=%41", 14);
	/* dots are seen behind long escapes as well */
	n = (size_t)snprintf(path, sizeof path, "/v1/shelves/");
	for (int i = 0; i < 2000; i++)
		n += (size_t)snprintf(path + n, sizeof path - n, "%%41");
	snprintf(path + n, sizeof path - n, "/books/%%2e%%2e");
	assert_string_equal(find("GET", path), "NOT_FOUND ");
}

static void test_bindings(void **state)
{
	struct route_match m;
	AUTO_BUF allow = BUF_INIT;

	assert_int_equal(route_find(table, "POST", "/items/4/shop", &m, &allow), 0);
	assert_string_equal(m.route->body->name, "shop");
	assert_string_equal(m.route->response_body->name, "shop");
	assert_false(m.route->body_all);
	assert_int_equal(route_find(table, "POST", "/road.v1.Road/Plain", &m, &allow), 0);
	assert_true(m.route->body_all);
	assert_null(m.route->http);
}

/* Item.shop.floor: a message that came in pieces is one message. */
static void test_field_path(void **state)
{
	static const struct {
		const char *wire;
		size_t len;
		const char *inside;
		size_t n;
	} parts[] = {
		{"", 0, "", 0}, {"\x08\x01", 2, "", 0}, {"\x1a\x02\x10\x05", 4, "\x10\x05", 2},
		{"\x1a\x02\x10\x05\x08\x01\x1a\x03\x0a\x01x\x1a\x00", 13, "\x10\x05\x0a\x01x", 5},
	};
	const struct schema_message *item = schema_message(schema, "road.v1.Item", 12);
	AUTO_BUF pieces = BUF_INIT;
	struct field_path p;

	assert_non_null(item);
	assert_true(field_path_parse(&p, item, "shop.floor"));
	assert_int_equal(p.steps[0]->number, 3);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		const struct bytes wire = {(const uint8_t *)parts[i].wire, parts[i].len};
		const struct bytes in = field_path_enter(&p, wire, &pieces);

		assert_int_equal(in.len, parts[i].n);
		if (in.len > 0)
			assert_memory_equal(in.data, parts[i].inside, in.len);
	}
}

static void test_verbs(void **state)
{
	assert_true(route_has_verb(table, "GET") && route_has_verb(table, "POST"));
	assert_false(route_has_verb(table, "get") || route_has_verb(table, "BREW") ||
		     route_has_verb(table, "HEAD"));
}

static const char *decode(const char *text, bool multi)
{
	static struct buf out;

	buf_reset(&out);
	if (!route_decode((struct bytes){(const uint8_t *)text, strlen(text)}, multi, &out))
		return "(bad)";
	return buf_cstr(&out);
}

static void test_decode(void **state)
{
	assert_string_equal(decode("a%20b%2Fc", false), "a b/c");
	assert_string_equal(decode("a%20b%2Fc/%2f", true), "a b%2Fc/%2f");
	assert_string_equal(decode("a+b", false), "a+b");
	assert_string_equal(decode("%E7%A4%BA", false), "\xe7\xa4\xba");
	assert_string_equal(decode("%C0%AF", false), "(bad)");
	assert_string_equal(decode("%ED%A0%80", false), "(bad)");
	assert_string_equal(decode("%00", false), "(bad)");
	assert_string_equal(decode("%4", false), "(bad)");
	assert_string_equal(decode("%", true), "(bad)");
	decode("", false);
}

static void test_clash(void **state)
{
	struct schema *s = fixture_schema("clash");
	struct route_table *t = NULL;
	char why[256] = "";

	assert_int_equal(route_table_new(s, &t, why, sizeof why), -ERRAND_INVALID_ARGUMENT);
	assert_non_null(strstr(why, "clash.v1.Clash/One"));
	assert_non_null(strstr(why, "clash.v1.Clash/Two"));
	assert_non_null(strstr(why, "/things/{b}"));
	schema_unref(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_bindings),
		cmocka_unit_test(test_field_path),
		cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_clash),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
