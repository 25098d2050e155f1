/* HTTP requests in, ttrpc requests or faults out. */
#include "golden.h"

#include <strings.h>

#include "base/clock.h"
#include "gateway/deadline.h"
#include "gateway/idempotency.h"
#include "gateway/link.h"
#include "gateway/request.h"

static struct schema *schema;
static struct route_table *table;
static const struct request_limits limits = {30 * NS_PER_S, 30 * NS_PER_S, 60 * NS_PER_S};

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

/* "Name: value\nName: value": the n-th of a name. */
static const char *header(const void *from, const char *name, unsigned n)
{
	static char value[8][256];
	static unsigned turn;
	const char *line = from;

	while (line != NULL && *line != '\0') {
		size_t len = strlen(name);

		if (strncasecmp(line, name, len) == 0 && line[len] == ':' && n-- == 0) {
			const char *v = line + len + 2;

			turn = (turn + 1) % 8;
			snprintf(value[turn], sizeof value[turn], "%.*s", (int)strcspn(v, "\n"), v);
			return value[turn];
		}
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	return NULL;
}

static struct request_source source(const char *headers, const char *query, const char *body)
{
	return (struct request_source){query, {(const uint8_t *)body, strlen(body)}, header, headers};
}

#define JSON "Content-Type: application/json"

static const struct {
	const char *verb, *path, *query, *headers, *body, *expect;
} cases[] = {
	{"GET", "/items/5", "name=x", "", "", "{\"id\":5,\"name\":\"x\"}"},
	{"GET", "/items/%35", "", "", "", "{\"id\":5}"},
	{"GET", "/items/x", "", "", "", "422 parameter id type"},
	{"GET", "/items/%ff", "", "", "", "400 parameter id encoding"},
	{"GET", "/shops/a%20b/items/7", "", "", "", "{\"id\":7,\"shop\":{\"name\":\"a b\"}}"},
	{"GET", "/v1/shelves/s/books/b%2Fc/d%20e", "", "", "", "{\"name\":\"shelves/s/books/b%2Fc/d e\"}"},
	/* the body */
	{"PUT", "/items/5", "", JSON, "{\"name\":\"x\"}", "{\"id\":5,\"name\":\"x\"}"},
	{"PUT", "/items/5", "", JSON "; charset=UTF-8", "{}", "{\"id\":5}"},
	{"PUT", "/items/5", "", "content-type: application/json;charset=\"utf-8\"", "{}", "{\"id\":5}"},
	{"PUT", "/items/5", "", "", "", "{\"id\":5}"},
	{"PUT", "/items/5", "", JSON "; charset=latin1", "{}", "415"},
	{"PUT", "/items/5", "", "Content-Type: text/plain", "{}", "415"},
	{"PUT", "/items/5", "", "", "{}", "415"},
	{"PUT", "/items/5", "", JSON ";charset=utf-8;charset=latin1", "{}", "415"},
	{"PUT", "/items/5", "", JSON ";charset=utf-16", "{}", "415"},
	{"PUT", "/items/5", "", JSON ";charset", "{}", "415"},
	{"PUT", "/items/5", "", JSON ";charset=\"utf-8", "{}", "415"},
	{"PUT", "/items/5", "", JSON "; x=\"; charset=latin1\"", "{}", "{\"id\":5}"},
	{"PUT", "/items/5", "", JSON ";", "{}", "{\"id\":5}"},
	{"PUT", "/items/5", "", JSON ", text/plain", "{}", "415"},
	{"PUT", "/items/5", "", "Content-Type: application/jsonx", "{}", "415"},
	{"PUT", "/items/5", "", JSON "\nContent-Type: text/plain", "{}", "400 header Content-Type syntax"},
	{"PUT", "/items/5", "", "Content-Type: application/protobuf", "\x12\x01x", "{\"id\":5,\"name\":\"x\"}"},
	{"PUT", "/items/5", "", "Content-Type: application/proto", "\x12\x05x", "400 pointer # syntax"},
	{"PUT", "/items/5", "", "Content-Type: application/proto", "\x12\x01\xff", "400 pointer # syntax"},
	{"PUT", "/items/5", "", JSON, "{\"id\":5}", "{\"id\":5}"},
	{"PUT", "/items/5", "", JSON, "{\"id\":6}", "400 parameter id conflict"},
	{"PUT", "/items/0", "", JSON, "{\"id\":6}", "400 parameter id conflict"},
	{"PUT", "/items/5", "", JSON, "{\"id\":0}", "400 parameter id conflict"},
	{"PUT", "/items/0", "", JSON, "{\"id\":0,\"name\":\"x\"}", "{\"name\":\"x\"}"},
	/* a field further down is the body */
	{"PUT", "/items/5/floor", "", JSON, "3", "{\"id\":5,\"shop\":{\"floor\":3}}"},
	{"PUT", "/items/5/floor", "shop.name=n", JSON, "3",
	 "{\"id\":5,\"shop\":{\"name\":\"n\",\"floor\":3}}"},
	{"PUT", "/items/5/floor", "shop.floor=4", JSON, "3", "400 parameter shop.floor duplicate"},
	{"PUT", "/items/5/floor", "", JSON, "\"x\"", "422 pointer # type"},
	{"PUT", "/items/5/floor", "", "Content-Type: application/x-protobuf", "\x03", "415"},
	{"PUT", "/items/5", "", JSON, "{\"id\":", "400 pointer #/id syntax"},
	{"PUT", "/items/5", "", JSON, "{\"name\":1,\"nope\":2}",
	 "422 pointer #/name type; pointer #/nope unknown"},
	{"PUT", "/items/x", "", JSON, "{\"name\":1}", "422 pointer #/name type; parameter id type"},
	{"PUT", "/items/5", "", "Content-Type: application/x-protobuf", "\x12\x01x", "{\"id\":5,\"name\":\"x\"}"},
	{"PUT", "/items/5", "", "Content-Type: application/x-protobuf", "\x08\x06", "400 parameter id conflict"},
	{"POST", "/items/5/shop", "name=n", JSON, "{\"floor\":2}",
	 "{\"id\":5,\"name\":\"n\",\"shop\":{\"floor\":2}}"},
	{"POST", "/items/5/shop", "", "Content-Type: application/x-protobuf", "\x10\x02",
	 "{\"id\":5,\"shop\":{\"floor\":2}}"},
	{"GET", "/search", "", JSON, " { }\n", "{}"},
	{"GET", "/search", "", JSON, "{\"q\":1}", "400 pointer # body"},
	{"POST", "/road.v1.Road/Plain", "", JSON, "{\"id\":1}", "{\"id\":1}"},
	/* deadlines and preferences */
	{"GET", "/search", "", "X-Server-Timeout: abc", "", "400 header X-Server-Timeout syntax"},
	{"GET", "/search", "", "X-Server-Timeout: 0", "", "400 header X-Server-Timeout syntax"},
	{"GET", "/search", "", "Connect-Timeout-Ms: 1.5", "", "400 header Connect-Timeout-Ms syntax"},
	{"GET", "/search", "", "Grpc-Timeout: 123456789m", "", "400 header Grpc-Timeout syntax"},
	{"GET", "/search", "", "Grpc-Timeout: 5x", "", "400 header Grpc-Timeout syntax"},
	{"GET", "/search", "", "Prefer: wait=soon", "", "400 header Prefer syntax"},
};

static void test_cases(void **state)
{
	struct request q = {.wait_text = ""};
	AUTO_BUF text = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct route_match m = golden_route(table, cases[i].verb, cases[i].path);
		struct request_source src = source(cases[i].headers, cases[i].query, cases[i].body);
		struct fault_list faults = FAULT_LIST_INIT;
		struct wire_request w;
		enum request_refusal r = request_build(&q, &src, &m, schema, &limits, &w, &faults);

		if (r == REQUEST_MEDIA_TYPE)
			assert_string_equal("415", cases[i].expect);
		else
			assert_string_equal(golden_text(schema, m.route->method->input, buf_bytes(&q.payload),
							&faults, &text), cases[i].expect);
		fault_list_deinit(&faults);
	}
	request_deinit(&q);
}

static int64_t deadline_at_most(const char *headers, int64_t max)
{
	struct request_source src = source(headers, "", "");
	struct fault_list faults = FAULT_LIST_INIT;
	int64_t ns = deadline_read(&src, max, &faults);

	assert_int_equal(faults.n, 0);
	return ns;
}

static int64_t deadline(const char *headers)
{
	return deadline_at_most(headers, 30 * NS_PER_S);
}

static void test_deadlines(void **state)
{
	assert_int_equal(deadline(""), 0);
	assert_int_equal(deadline("X-Server-Timeout: 2.5"), 2500 * NS_PER_MS);
	assert_int_equal(deadline("Connect-Timeout-Ms: 300"), 300 * NS_PER_MS);
	assert_int_equal(deadline("Grpc-Timeout: 500m"), 500 * NS_PER_MS);
	assert_int_equal(deadline("Grpc-Timeout: 7u"), 7000);
	assert_int_equal(deadline("Grpc-Timeout: 99999999H"), 30 * NS_PER_S);
	assert_int_equal(deadline("X-Server-Timeout: 100"), 30 * NS_PER_S);
	/* of streams: a sum with the clock must not overflow */
	assert_in_range(deadline_at_most("Grpc-Timeout: 99999999H", INT64_MAX), INT64_MAX / 8, INT64_MAX / 2);
	assert_int_equal(deadline("X-Server-Timeout: 9\nGrpc-Timeout: 2S"), 2 * NS_PER_S);
}

static struct prefer prefer(const char *headers)
{
	struct request_source src = source(headers, "", "");
	struct fault_list faults = FAULT_LIST_INIT;
	struct prefer out;

	prefer_read(&src, limits.max_wait, &out, &faults);
	assert_int_equal(faults.n, 0);
	return out;
}

static void test_prefer(void **state)
{
	assert_false(prefer("").respond_async);
	assert_true(prefer("Prefer: respond-async").respond_async);
	assert_true(prefer("Prefer: foo=\"a,b\", Respond-Async ; x=1").respond_async);
	assert_false(prefer("Prefer: foo=\"respond-async, wait=3\"").respond_async);
	assert_int_equal(prefer("Prefer: respond-async, wait=10").wait_ns, 10 * NS_PER_S);
	assert_int_equal(prefer("Prefer: respond-async\nPrefer: wait = 5").wait_ns, 5 * NS_PER_S);
	assert_true(prefer("Prefer: wait=5\nPrefer: respond-async").respond_async);
	assert_int_equal(prefer("Prefer: wait=\"7\"").wait_ns, 7 * NS_PER_S);
	assert_int_equal(prefer("Prefer: wait=999999").wait_ns, 60 * NS_PER_S);
	assert_int_equal(prefer("Prefer: wait=1, wait=2\nPrefer: wait=3").wait_ns, NS_PER_S);
	assert_int_equal(prefer("Prefer: waiting=3, wait-for=x, await, wait=4").wait_ns, 4 * NS_PER_S);
}

static enum media_accept accept_of(const char *value, bool streaming)
{
	char headers[256];
	struct request_source src;

	snprintf(headers, sizeof headers, "Accept: %s", value);
	src = source(headers, "", "");
	return media_accept(&src, streaming);
}

static void test_accept(void **state)
{
	struct request_source none = source("", "", "");

	assert_int_equal(media_accept(&none, false), ACCEPT_JSON);
	assert_int_equal(media_accept(&none, true), ACCEPT_JSON);
	assert_int_equal(accept_of("*/*", true), ACCEPT_JSON);
	assert_int_equal(accept_of("application/*", false), ACCEPT_JSON);
	assert_int_equal(accept_of("application/x-protobuf", false), ACCEPT_PROTOBUF);
	assert_int_equal(accept_of("application/x-protobuf, application/json;q=0.5", false), ACCEPT_PROTOBUF);
	assert_int_equal(accept_of("application/x-protobuf;q=0.2, application/json;q=0.5", false), ACCEPT_JSON);
	assert_int_equal(accept_of("text/html, */*;q=0.1", false), ACCEPT_JSON);
	assert_int_equal(accept_of("text/html", false), ACCEPT_NONE);
	assert_int_equal(accept_of("application/json;q=0", false), ACCEPT_NONE);
	assert_int_equal(accept_of("application/json;q=0, */*", false), ACCEPT_PROTOBUF);
	assert_int_equal(accept_of("application/protobuf", false), ACCEPT_PROTOBUF_PLAIN);
	assert_int_equal(accept_of("application/json;q=0.9, application/proto", false), ACCEPT_PROTO);
	assert_int_equal(accept_of("text/event-stream", false), ACCEPT_NONE);
	assert_int_equal(accept_of("text/event-stream", true), ACCEPT_SSE);
	assert_int_equal(accept_of("text/event-stream, */*", true), ACCEPT_SSE);
	assert_int_equal(accept_of("text/*", true), ACCEPT_SSE);
	assert_int_equal(accept_of("application/x-ndjson", true), ACCEPT_NDJSON);
	assert_int_equal(accept_of("application/x-protobuf", true), ACCEPT_NONE);
}

static const char *meta(const struct wire_request *w, const char *key)
{
	static char text[64];
	struct bytes v = wire_pair_get(w->metadata, w->n_metadata, key);

	snprintf(text, sizeof text, "%.*s", (int)v.len, (const char *)v.data);
	return text;
}

static void test_metadata(void **state)
{
	struct route_match m = golden_route(table, "POST", "/long");
	struct request_source src = source("Prefer: wait=3\nLast-Event-ID: 9\nIf-None-Match: \"7\"", "", "");
	struct fault_list faults = FAULT_LIST_INIT;
	struct request q = {.wait_text = ""};
	struct wire_request w;

	assert_int_equal(request_build(&q, &src, &m, schema, &limits, &w, &faults), REQUEST_OK);
	assert_memory_equal(w.service.data, "road.v1.Road", w.service.len);
	assert_memory_equal(w.method.data, "Long", w.method.len);
	assert_string_equal(meta(&w, "errand-task"), "accept");
	assert_string_equal(meta(&w, "prefer-wait"), "3000000000");
	assert_string_equal(meta(&w, "prefer-async"), "");
	assert_string_equal(meta(&w, "last-event-id"), "9");
	assert_string_equal(meta(&w, "if-none-match"), "\"7\"");
	assert_int_equal(w.timeout_ns, 33 * NS_PER_S); /* the wait is on top */
	m = golden_route(table, "GET", "/watch");
	src = source("Accept: text/event-stream", "", "");
	assert_int_equal(request_build(&q, &src, &m, schema, &limits, &w, &faults), REQUEST_OK);
	assert_string_equal(meta(&w, "accept"), "text/event-stream");
	assert_string_equal(meta(&w, "errand-task"), "");
	assert_int_equal(w.timeout_ns, 0);
	assert_true(w.streaming);
	m = golden_route(table, "GET", "/search");
	src = source("Prefer: respond-async", "", "");
	assert_int_equal(request_build(&q, &src, &m, schema, &limits, &w, &faults), REQUEST_OK);
	assert_string_equal(meta(&w, "prefer-async"), "1");
	assert_string_equal(meta(&w, "errand-task"), "accept");
	assert_int_equal(w.timeout_ns, 30 * NS_PER_S);
	request_deinit(&q);
}

/* What a header Idempotency-Key says, or "400". */
static const char *key_of(const char *headers)
{
	struct route_match m = golden_route(table, "POST", "/long");
	struct request_source src = source(headers, "", "");
	struct fault_list faults = FAULT_LIST_INIT;
	static struct request q;
	struct wire_request w;

	if (request_build(&q, &src, &m, schema, &limits, &w, &faults) == REQUEST_OK)
		return meta(&w, "idempotency-key");
	assert_int_equal(faults.n, 1);
	assert_int_equal(faults.items[0].kind, FAULT_SYNTAX);
	assert_string_equal(faults.items[0].where, "Idempotency-Key");
	fault_list_deinit(&faults);
	request_deinit(&q);
	q = (struct request){0};
	return "400";
}

static void test_idempotency_key(void **state)
{
	static const struct {
		const char *header, *key;
	} of[] = {
		{"8e03978e-40d5-43dd", "8e03978e-40d5-43dd"},
		{"\"8e03978e-40d5-43dd\"", "8e03978e-40d5-43dd"},
		{"\"a \\\"b\\\\, c\"  ", "a \"b\\, c"},
		{"a/b:c=", "a/b:c="},
		{"\"\"", "400"}, {"", "400"}, {"\"a", "400"}, {"\"a\\\"", "400"}, {"\"a\\n\"", "400"},
		{"\"a\" b", "400"}, {"a b", "400"}, {"a,b", "400"}, {"a;b", "400"}, {"a\"b", "400"},
		{"\"\xc3\xa9\"", "400"}, {"\xc3\xa9", "400"}, {"a\nIdempotency-Key: b", "400"},
	};
	char text[300];

	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		snprintf(text, sizeof text, "Idempotency-Key: %s", of[i].header);
		assert_string_equal(key_of(text), of[i].key);
	}
	assert_string_equal(key_of(""), "");
}

static const char *one_header(const void *from, const char *name, unsigned n)
{
	return n == 0 ? from : NULL;
}

static void test_key_length(void **state)
{
	char key[IDEMPOTENCY_KEY_MAX + 2];
	struct request_source src = {"", {NULL, 0}, one_header, key};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF out = BUF_INIT;

	for (size_t len = IDEMPOTENCY_KEY_MAX; len <= IDEMPOTENCY_KEY_MAX + 1; len++) {
		memset(key, 'k', len);
		key[len] = '\0';
		idempotency_read(&src, &out, &faults);
		assert_int_equal(faults.n, len == IDEMPOTENCY_KEY_MAX ? 0 : 1);
	}
	fault_list_deinit(&faults);
}

static void test_match(void **state)
{
	struct route_match m = golden_route(table, "PUT", "/items/5");
	struct request_source src = source("If-Match: \"7--gzip\", W/\"8\"\nIf-None-Match: \"9--gzip\"", "", "");
	struct fault_list faults = FAULT_LIST_INIT;
	struct request q = {.wait_text = ""};
	struct wire_request w;

	assert_int_equal(request_build(&q, &src, &m, schema, &limits, &w, &faults), REQUEST_OK);
	assert_string_equal(meta(&w, "if-match"), "\"7\", W/\"8\"");
	assert_string_equal(meta(&w, "if-none-match"), "\"9\"");
	request_deinit(&q);
}

static void test_next_page(void **state)
{
	static const struct {
		const char *query, *token, *expect;
	} of[] = {
		{"", "abc", "page_token=abc"},
		{"page_size=2&page_token=old", "new", "page_size=2&page_token=new"},
		{"pageToken=old&filter=a%20b", "t=/+", "filter=a%20b&page_token=t%3D%2F%2B"},
		{"page%5Ftoken=old&&x", "\xff", "x&page_token=%FF"},
		{"a=>&b=\"", "t", "a=%3E&b=%22&page_token=t"},
		{"page_tokens=1", "t", "page_tokens=1&page_token=t"},
	};

	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		AUTO_BUF out = BUF_INIT;

		link_query(of[i].query, (struct bytes){(const uint8_t *)of[i].token, strlen(of[i].token)}, &out);
		assert_string_equal(buf_cstr(&out), of[i].expect);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_prefer),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_idempotency_key),
		cmocka_unit_test(test_key_length),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_next_page),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
