/* test_http_rule.c: google.api.http form by form, on rich.proto: a request line in,
 * the method and its message (or what is wrong) out; and the rules that are refused
 * when a schema is loaded. */
#include "golden.h"

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/query.h"
#include "schema/variables.h"
#include "set.h"

static struct schema *schema;
static struct route_table *table;

static int setup(void **state)
{
	AUTO_BUF set = BUF_INIT;
	char why[256] = "";

	set_read_file(RICH_SET, &set);
	if (schema_load(set.data, set.len, &schema, why, sizeof why) < 0 ||
	    route_table_new(schema, &table, why, sizeof why) < 0)
		fail_msg("%s", why);
	return 0;
}

static int teardown(void **state)
{
	table = route_table_free(table);
	schema = schema_unref(schema);
	return 0;
}

/* "Method {json}", "Method 422 parameter x type", "NOT_FOUND", "GET, HEAD, OPTIONS". */
static const char *answer(const char *verb, const char *target, struct buf *out)
{
	size_t len = strcspn(target, "?");
	AUTO_FREE char *path = xstrndup(target, len);
	struct fault_list faults = FAULT_LIST_INIT;
	struct route_match m;
	AUTO_BUF allow = BUF_INIT;
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF text = BUF_INIT;
	int r = route_find(table, verb, path, &m, &allow);

	buf_reset(out);
	if (r < 0) {
		buf_append_str(out, allow.len > 0 ? buf_cstr(&allow) : err_info(-r)->name);
		return buf_cstr(out);
	}
	variables_to_wire(&m, &wire, &faults);
	query_to_wire(m.route, target[len] == '?' ? target + len + 1 : "", &wire, &faults);
	golden_text(schema, m.route->method->input, buf_bytes(&wire), &faults, &text);
	buf_printf(out, "%s %s", m.route->method->name, buf_cstr(&text));
	fault_list_deinit(&faults);
	return buf_cstr(out);
}

struct request {
	const char *verb, *target, *expect;
};

static const struct request paths[] = {
	{"GET", "/", "GetRoot {}"},
	/* a variable of one segment is decoded whole, one of several keeps %2F */
	{"GET", "/one/a%2Fb%20c%3Ad", "One {\"name\":\"a/b c:d\"}"},
	{"GET", "/star/a%2fb", "OneStar {\"name\":\"a/b\"}"},
	{"GET", "/v1/shelves/a%2Fb%20c", "Shelf {\"name\":\"shelves/a%2Fb c\"}"},
	{"GET", "/v1/shelves/a%2fb%3a%3F%23%5B", "Shelf {\"name\":\"shelves/a%2fb:?#[\"}"},
	{"GET", "/v1/%73helves/1", "Shelf {\"name\":\"shelves/1\"}"},
	{"GET", "/v1/shelves/1/books/2", "Book {\"name\":\"shelves/1/books/2\"}"},
	{"GET", "/v1/shelves/1/books", "NOT_FOUND"},
	{"GET", "/files", "Files {}"},
	{"GET", "/files/a", "Files {\"name\":\"a\"}"},
	{"GET", "/files/a%2Fb/c%20d", "Files {\"name\":\"a%2Fb/c d\"}"},
	{"GET", "/lit/fixed", "Literal {\"name\":\"fixed\"}"},
	{"GET", "/lit/other", "NOT_FOUND"},
	{"GET", "/two/a/1/b/c/2/3", "Two {\"name\":\"a/1\",\"inner\":{\"name\":\"c/2/3\"}}"},
	{"GET", "/two/a/1/b/c", "Two {\"name\":\"a/1\",\"inner\":{\"name\":\"c\"}}"},
	{"GET", "/bare/1/x/2/3", "Bare {}"},
	{"GET", "/bare/1/x", "Bare {}"},
	{"GET", "/bare/1/y", "NOT_FOUND"},
	{"GET", "/one/+", "One {\"name\":\"+\"}"},
	{"GET", "/one/%E4%B8%AD", "One {\"name\":\"中\"}"},
	{"GET", "/one/%ff", "One 400 parameter name encoding"},
	{"GET", "/one/%c0%ae", "One 400 parameter name encoding"},
	{"GET", "/one/%zz", "INVALID_ARGUMENT"},
	{"GET", "/one/%00", "INVALID_ARGUMENT"},
	/* literal, then one segment, then the rest; back when it leads nowhere */
	{"GET", "/pre/a/b", "PreLiteral {}"},
	{"GET", "/pre/a/c", "PreStar {\"name\":\"a\"}"},
	{"GET", "/pre/a/b/d", "PreDeep {\"name\":\"b\"}"},
	{"GET", "/pre/a/b/c", "PreRest {\"name\":\"a/b/c\"}"},
	{"GET", "/pre/a", "PreRest {\"name\":\"a\"}"},
	{"GET", "/pre", "PreRest {}"},
	/* verbs */
	{"POST", "/verb/x:go", "Verb {\"name\":\"x\"}"},
	{"POST", "/verb/x:%67o", "Verb {\"name\":\"x\"}"},
	{"POST", "/verb/a%3Ab:go", "Verb {\"name\":\"a:b\"}"},
	{"POST", "/verb/x:a%20b", "VerbOdd {\"name\":\"x\"}"},
	{"GET", "/verb/x:stop", "VerbPlain {\"name\":\"x:stop\"}"},
	{"GET", "/verb/x%3Ago", "VerbPlain {\"name\":\"x:go\"}"},
	{"GET", "/verb/x:go", "POST, OPTIONS"},
	{"POST", "/verb/x", "GET, HEAD, OPTIONS"},
	{"POST", "/verbs:make", "VerbLiteral {}"},
	{"POST", "/verbs", "NOT_FOUND"},
	{"POST", "/files:copy", "FilesVerb {}"},
	{"POST", "/files/a/b:copy", "FilesVerb {\"name\":\"a/b\"}"},
	{"GET", "/e%20n/c%2fd/%C3%A9", "Encoded {}"},
	{"GET", "/e%20n/c/d/%C3%A9", "NOT_FOUND"},
	/* methods of HTTP */
	{"GET", "/http", "Head {}"},
	{"HEAD", "/http", "Head {}"},
	{"PUT", "/http", "Head {}"},
	{"DELETE", "/http", "Head {}"},
	{"PATCH", "/http", "Head {}"},
	{"LOCK", "/http", "Lock {}"},
	{"lock", "/http", "GET, HEAD, PUT, DELETE, PATCH, LOCK, OPTIONS"},
	{"HEAD", "/one/x", "One {\"name\":\"x\"}"},
	{"GET", "/any/x", "AnyGet {\"name\":\"x\"}"},
	{"HEAD", "/any/x", "AnyGet {\"name\":\"x\"}"},
	{"PUT", "/any/x", "Any {\"name\":\"x\"}"},
	{"GET", "/any/x/y", "Any {\"name\":\"x/y\"}"},
	{"POST", "/rich.v1.Rich/Plain", "Plain {}"},
	{"GET", "/rich.v1.Rich/Plain", "POST, OPTIONS"},
	/* what leads nowhere, however it is spelled */
	{"GET", "/files/..", "NOT_FOUND"},
	{"GET", "/files/%2e%2E/x", "NOT_FOUND"},
	{"GET", "/files/a/%2e", "NOT_FOUND"},
	{"GET", "/one/..%2fsearch", "NOT_FOUND"},
	{"GET", "/one/a%2f..%2fb", "NOT_FOUND"},
	{"GET", "/one/..%5cx", "NOT_FOUND"},
	{"GET", "/files/..;/x", "NOT_FOUND"},
	{"POST", "/verb/..:go", "NOT_FOUND"},
	{"GET", "/files//x", "NOT_FOUND"},
	{"GET", "/files/", "NOT_FOUND"},
	{"GET", "/files/...", "Files {\"name\":\"...\"}"},
	{"GET", "/files/.x/..y", "Files {\"name\":\".x/..y\"}"},
	/* types of variables */
	{"GET", "/p/double/-1.5e3", "ByDouble {\"f_double\":-1500}"},
	{"GET", "/p/double/NaN", "ByDouble {\"f_double\":\"NaN\"}"},
	{"GET", "/p/int64/-9223372036854775808", "ByInt64 {\"f_int64\":\"-9223372036854775808\"}"},
	{"GET", "/p/int64/9223372036854775808", "ByInt64 422 parameter f_int64 range"},
	{"GET", "/p/uint32/-1", "ByUint32 422 parameter f_uint32 range"},
	{"GET", "/p/uint32/4294967295", "ByUint32 {\"f_uint32\":4294967295}"},
	{"GET", "/p/bool/true", "ByBool {\"f_bool\":true}"},
	{"GET", "/p/bool/1", "ByBool 422 parameter f_bool type"},
	{"GET", "/p/bytes/_-8", "ByBytes {\"f_bytes\":\"/+8=\"}"},
	{"GET", "/p/color/RED", "ByColor {\"color\":\"RED\"}"},
	{"GET", "/p/color/2", "ByColor {\"color\":\"BLUE\"}"},
	{"GET", "/p/color/red", "ByColor 422 parameter color enum"},
	{"GET", "/p/time/2026-01-02T03:04:05Z", "ByTime {\"time\":\"2026-01-02T03:04:05Z\"}"},
	{"GET", "/p/time/yesterday", "ByTime 422 parameter time type"},
	{"GET", "/p/wrapper/0", "ByWrapper {\"w_int32\":0}"},
	{"GET", "/p/nested/x", "ByNested {\"inner\":{\"inner\":{\"name\":\"x\"}}}"},
};

static const struct request queries[] = {
	{"GET", "/search?f_double=1e400", "Search 422 parameter f_double range"},
	{"GET", "/search?f_float=-Infinity&f_double=0.5", "Search {\"f_double\":0.5,\"f_float\":\"-Infinity\"}"},
	{"GET", "/search?f_int64=1e3&f_uint64=18446744073709551615",
	 "Search {\"f_int64\":\"1000\",\"f_uint64\":\"18446744073709551615\"}"},
	{"GET", "/search?f_int32=1.5", "Search 422 parameter f_int32 type"},
	{"GET", "/search?f_fixed64=1&f_fixed32=2&f_sfixed32=-3&f_sfixed64=-4&f_sint32=-5&f_sint64=-6",
	 "Search {\"f_fixed64\":\"1\",\"f_fixed32\":2,\"f_sfixed32\":-3,\"f_sfixed64\":\"-4\",\"f_sint32\":-5,"
	 "\"f_sint64\":\"-6\"}"},
	{"GET", "/search?f_bool=true", "Search {\"f_bool\":true}"},
	{"GET", "/search?f_bool=True", "Search 422 parameter f_bool type"},
	{"GET", "/search?f_bytes=aGk%3D", "Search {\"f_bytes\":\"aGk=\"}"},
	{"GET", "/search?f_bytes=%2B_-8", "Search {\"f_bytes\":\"+/+8\"}"},
	{"GET", "/search?f_bytes=!", "Search 422 parameter f_bytes type"},
	{"GET", "/search?color=BLUE&colors=1&colors=RED", "Search {\"color\":\"BLUE\",\"colors\":[\"RED\",\"RED\"]}"},
	{"GET", "/search?numbers=1&name=x&numbers=2", "Search {\"name\":\"x\",\"numbers\":[1,2]}"},
	{"GET", "/search?numbers=1,2", "Search 422 parameter numbers type"},
	{"GET", "/search?times=2026-01-02T03:04:05Z&times=2026-01-02T03:04:06.5Z",
	 "Search {\"times\":[\"2026-01-02T03:04:05Z\",\"2026-01-02T03:04:06.500Z\"]}"},
	{"GET", "/search?inner.name=a&inner.inner.number=2&inner.tags=x&inner.tags=y",
	 "Search {\"inner\":{\"name\":\"a\",\"tags\":[\"x\",\"y\"],\"inner\":{\"number\":2}}}"},
	/* maps */
	{"GET", "/search?m_string[a]=1&m_string[b%5D]=2&m_string[]=3",
	 "Search {\"m_string\":{\"a\":1,\"b]\":2,\"\":3}}"},
	{"GET", "/search?m_int64[-5]=x&m_int64[6]=", "Search {\"m_int64\":{\"-5\":\"x\",\"6\":\"\"}}"},
	{"GET", "/search?m_int64[x]=x", "Search 422 parameter m_int64[x] type"},
	{"GET", "/search?m_bool[true]=RED&m_bool[false]=2", "Search {\"m_bool\":{\"true\":\"RED\",\"false\":\"BLUE\"}}"},
	{"GET", "/search?m_duration[a]=1.5s", "Search {\"m_duration\":{\"a\":\"1.500s\"}}"},
	{"GET", "/search?inner.labels[k]=v", "Search {\"inner\":{\"labels\":{\"k\":\"v\"}}}"},
	{"GET", "/search?m_inner[a]=x", "Search 422 parameter m_inner[a] type"},
	{"GET", "/search?m_inner[a].name=x", "Search 422 parameter m_inner[a].name unknown"},
	{"GET", "/search?m_string=1", "Search 422 parameter m_string type"},
	{"GET", "/search?m_string.a=1", "Search 422 parameter m_string.a unknown"},
	{"GET", "/search?m_string[a]=1&m_string[a]=1", "Search 400 parameter m_string[a] duplicate"},
	{"GET", "/search?[a]=1", "Search 422 parameter [a] unknown"},
	/* messages that are one text */
	{"GET", "/search?time=2026-01-02T03:04:05%2B01:00&duration=-0.25s&mask=a,bC.d",
	 "Search {\"time\":\"2026-01-02T02:04:05Z\",\"duration\":\"-0.250s\",\"mask\":\"a,bC.d\"}"},
	{"GET", "/search?w_int32=0&w_bool=false&w_string=&w_int64=5",
	 "Search {\"w_int32\":0,\"w_bool\":false,\"w_string\":\"\",\"w_int64\":\"5\"}"},
	{"GET", "/search?struct=%7B%7D", "Search 422 parameter struct type"},
	{"GET", "/search?value=1", "Search 422 parameter value type"},
	{"GET", "/search?inner=x", "Search 422 parameter inner type"},
	{"GET", "/search?inners.name=x", "Search 422 parameter inners.name unknown"},
	/* names and escapes */
	{"GET", "/search?fInt32=1&other=x", "Search {\"f_int32\":1,\"other\":\"x\"}"},
	{"GET", "/search?renamed_field=x", "Search {\"other\":\"x\"}"},
	{"GET", "/search?fInt32=1&f_int32=1", "Search 400 parameter f_int32 duplicate"},
	{"GET", "/search?n%61me=a+b%20c%2B&&", "Search {\"name\":\"a b c+\"}"},
	{"GET", "/search?inner%2Ename=x", "Search {\"inner\":{\"name\":\"x\"}}"},
	{"GET", "/search?name", "Search {}"},
	{"GET", "/search?w_string", "Search {\"w_string\":\"\"}"},
	{"GET", "/search?f_bool", "Search 422 parameter f_bool type"},
	{"GET", "/search?name=a=b;c", "Search {\"name\":\"a=b;c\"}"},
	{"GET", "/search?name=%C3%28", "Search 400 parameter name encoding"},
	{"GET", "/search?name=a%0", "Search 400 parameter name encoding"},
	{"GET", "/search?=x", "Search 400 parameter  syntax"},
	{"GET", "/search?.name=x", "Search 422 parameter .name unknown"},
	{"GET", "/search?inner.=x", "Search 422 parameter inner. unknown"},
	{"GET", "/search?$alt=json", "Search 422 parameter $alt unknown"},
	{"GET", "/search?nmae=x&f_int32=y", "Search 422 parameter nmae unknown; parameter f_int32 type"},
	{"GET", "/search?inner.inner.inner.inner.inner.inner.inner.inner.name=x",
	 "Search 422 parameter inner.inner.inner.inner.inner.inner.inner.inner.name depth"},
	/* what is said twice */
	{"GET", "/search?name=a&name=a", "Search 400 parameter name duplicate"},
	{"GET", "/search?left=a&right.name=b", "Search 400 parameter right.name duplicate"},
	{"GET", "/search?right.tags=a&left=b", "Search 400 parameter left duplicate"},
	{"GET", "/search?right.tags=a&right.tags=b&right.name=c",
	 "Search {\"right\":{\"name\":\"c\",\"tags\":[\"a\",\"b\"]}}"},
	{"GET", "/search?middle=0&left=", "Search 400 parameter left duplicate"},
	{"GET", "/search?maybe=0", "Search {\"maybe\":0}"},
	{"GET", "/one/x?name=x", "One 400 parameter name duplicate"},
	{"GET", "/p/nested/x?inner.name=y", "ByNested {\"inner\":{\"name\":\"y\",\"inner\":{\"name\":\"x\"}}}"},
	{"GET", "/p/nested/x?inner.inner.name=y", "ByNested 400 parameter inner.inner.name duplicate"},
	{"GET", "/p/time/2026-01-02T03:04:05Z?time.seconds=1", "ByTime 400 parameter time.seconds duplicate"},
	{"POST", "/files/a:copy?f_int32=1", "FilesVerb 422 parameter f_int32 unknown"},
	{"POST", "/body/x?inner.name=y", "BodyDeep {\"name\":\"x\",\"inner\":{\"name\":\"y\"}}"},
	{"POST", "/body/x?inner.inner.name=y", "BodyDeep 400 parameter inner.inner.name duplicate"},
	{"POST", "/oneof?middle=1", "BodyOneof {\"middle\":1}"},
};

static void check(const struct request *requests, size_t n)
{
	AUTO_BUF text = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		const char *got = answer(requests[i].verb, requests[i].target, &text);

		if (strcmp(got, requests[i].expect) != 0)
			fail_msg("%s %s:\n   %s\nnot %s", requests[i].verb, requests[i].target, got,
				 requests[i].expect);
	}
}

static void test_paths(void **state)
{
	check(paths, ARRAY_LEN(paths));
}

static void test_queries(void **state)
{
	check(queries, ARRAY_LEN(queries));
}

/* Without a verb: what the path allows. */
static void test_allow(void **state)
{
	static const char *const allows[][2] = {
		{"/any/x/y", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
		{"/http", "GET, HEAD, PUT, DELETE, PATCH, LOCK, OPTIONS"},
		{"/verb/x:go", "POST, OPTIONS"},
		{"/nothing", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(allows); i++) {
		struct route_match m;
		AUTO_BUF allow = BUF_INIT;

		assert_true(route_find(table, NULL, allows[i][0], &m, &allow) < 0);
		assert_string_equal(buf_cstr(&allow), allows[i][1]);
	}
}

/* The body has been read before path and query: what it holds is not given again. */
static void test_body(void **state)
{
	struct fault_list faults = FAULT_LIST_INIT;
	struct route_match m = golden_route(table, "POST", "/oneof");
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF text = BUF_INIT;

	pbuf_put_str(&wire, 36, "");
	query_to_wire(m.route, "middle=1", &wire, &faults);
	assert_string_equal(golden_text(schema, m.route->method->input, buf_bytes(&wire), &faults, &text),
			    "400 parameter middle duplicate");
	fault_list_deinit(&faults);
}

/* Different parameters are bounded, a list is not. */
static void test_bound(void **state)
{
	AUTO_BUF target = BUF_INIT;
	AUTO_BUF text = BUF_INIT;

	buf_append_str(&target, "/search?");
	for (int i = 0; i < 100; i++)
		buf_printf(&target, "m_string[%d]=1&", i);
	assert_memory_equal(answer("GET", buf_cstr(&target), &text), "Search {", 8);
	buf_append_str(&target, "m_string[x]=1");
	assert_string_equal(answer("GET", buf_cstr(&target), &text), "Search 400 parameter m_string[x] count");
	buf_reset(&target);
	buf_append_str(&target, "/search?");
	for (int i = 0; i < 500; i++)
		buf_append_str(&target, "numbers=1&");
	assert_memory_equal(answer("GET", buf_cstr(&target), &text), "Search {", 8);
}

/* --- what is refused at load --- */

struct rule {
	const char *verb, *path, *body, *response_body;
};

static void put_message(struct buf *out, uint32_t number, const struct buf *message)
{
	pbuf_put_bytes(out, number, message->data, message->len);
}

/* A method M<i> whose rule this is; of custom verbs when no get or post. */
static void put_method(struct buf *service, const struct rule *r, size_t i)
{
	AUTO_BUF method = BUF_INIT;
	AUTO_BUF options = BUF_INIT;
	AUTO_BUF http = BUF_INIT;
	AUTO_BUF custom = BUF_INIT;
	char name[8];

	snprintf(name, sizeof name, "M%zu", i);
	pbuf_put_str(&custom, 1, r->verb);
	pbuf_put_str(&custom, 2, r->path);
	put_message(&http, 8, &custom);
	if (r->body != NULL)
		pbuf_put_str(&http, 7, r->body);
	if (r->response_body != NULL)
		pbuf_put_str(&http, 12, r->response_body);
	put_message(&options, 72295728, &http);
	pbuf_put_str(&method, 1, name);
	pbuf_put_str(&method, 2, ".t.In");
	pbuf_put_str(&method, 3, ".t.In");
	put_message(&method, 4, &options);
	put_message(service, 2, &method);
}

static void put_field(struct buf *message, const char *name, uint32_t number, int label, int type,
		      bool in_oneof)
{
	AUTO_BUF field = BUF_INIT;

	pbuf_put_str(&field, 1, name);
	pbuf_put_uint(&field, 3, number);
	pbuf_put_uint(&field, 4, (uint64_t)label);
	pbuf_put_uint(&field, 5, (uint64_t)type);
	if (type == FIELD_MESSAGE)
		pbuf_put_str(&field, 6, ".t.In");
	if (in_oneof)
		buf_append(&field, "\x48\0", 2); /* oneof_index = 0 */
	put_message(message, 2, &field);
}

/* message In {string a = 1; string b = 2; In in = 3; repeated string list = 4;
 * oneof one {string x = 5; string y = 6;}} and service S with those methods. */
static void put_set(struct buf *set, const struct rule *rules, size_t n)
{
	AUTO_BUF file = BUF_INIT;
	AUTO_BUF message = BUF_INIT;
	AUTO_BUF service = BUF_INIT;
	AUTO_BUF oneof = BUF_INIT;

	pbuf_put_str(&message, 1, "In");
	put_field(&message, "a", 1, 1, FIELD_STRING, false);
	put_field(&message, "b", 2, 1, FIELD_STRING, false);
	put_field(&message, "in", 3, 1, FIELD_MESSAGE, false);
	put_field(&message, "list", 4, 3, FIELD_STRING, false);
	put_field(&message, "x", 5, 1, FIELD_STRING, true);
	put_field(&message, "y", 6, 1, FIELD_STRING, true);
	pbuf_put_str(&oneof, 1, "one");
	put_message(&message, 8, &oneof);
	pbuf_put_str(&service, 1, "S");
	for (size_t i = 0; i < n; i++)
		put_method(&service, &rules[i], i);
	pbuf_put_str(&file, 1, "t.proto");
	pbuf_put_str(&file, 2, "t");
	put_message(&file, 4, &message);
	put_message(&file, 6, &service);
	pbuf_put_str(&file, 12, "proto3");
	put_message(set, 1, &file);
}

/* Loads the rules; "" or the reason they are refused for. */
static void load(const struct rule *rules, size_t n, char *why, size_t size)
{
	struct schema *s = NULL;
	struct route_table *t = NULL;
	AUTO_BUF set = BUF_INIT;

	*why = '\0';
	put_set(&set, rules, n);
	if (schema_load(set.data, set.len, &s, why, size) == 0)
		route_table_new(s, &t, why, size);
	route_table_free(t);
	schema_unref(s);
}

#define R(verb, path) {verb, path, NULL, NULL}
#define B(verb, path, body, response_body) {verb, path, body, response_body}
static const struct {
	struct rule rules[2];
	const char *words[3]; /* of the reason; none: it is taken */
} loads[] = {
	{{R("GET", "/v1/{a}")}, {0}},
	{{R("GET", "/v1/{a}"), R("GET", "/v1/{b}")}, {"t.S/M0", "t.S/M1", "/v1/{b}"}},
	{{R("GET", "/v1/{a=x/*}"), R("GET", "/v1/x/{b}")}, {"t.S/M0", "t.S/M1", "same requests"}},
	{{R("GET", "/v1/{a=**}"), R("GET", "/v1/**")}, {"t.S/M0", "t.S/M1", "same requests"}},
	{{R("GET", "/v1/%61"), R("GET", "/v1/a")}, {"t.S/M0", "t.S/M1", "same requests"}},
	{{R("GET", "/v1/{a}:go"), R("GET", "/v1/*:go")}, {"t.S/M0", "t.S/M1", "same requests"}},
	{{R("*", "/v1/{a}"), R("*", "/v1/{b}")}, {"t.S/M0", "t.S/M1", "same requests"}},
	{{R("POST", "/t.S/M1"), R("GET", "/x")}, {"t.S/M0", "t.S/M1", "POST /t.S/M1"}},
	{{R("GET", "/v1/{a}"), R("POST", "/v1/{b}")}, {0}},
	{{R("GET", "/v1/{a}"), R("*", "/v1/{b}")}, {0}},
	{{R("GET", "/v1/{a}"), R("GET", "/v1/{b}:go")}, {0}},
	{{R("GET", "/v1/{a=x/*}"), R("GET", "/v1/{b=*/*}")}, {0}},
	{{R("GET", "/v1/{a}"), R("GET", "/v1/{b=**}")}, {0}},
	{{R("GET", "/v1/{in}")}, {"t.S/M0", "single scalar"}},
	{{R("GET", "/v1/{list}")}, {"t.S/M0", "single scalar"}},
	{{R("GET", "/v1/{nope}")}, {"t.S/M0", "no field nope"}},
	{{R("GET", "/v1/{a.b}")}, {"t.S/M0", "not a message"}},
	{{R("GET", "/v1/{a={b}}")}, {"t.S/M0", "not allowed"}},
	{{R("GET", "/v1/{a=**}/x")}, {"t.S/M0", "nothing may follow"}},
	{{R("GET", "/v1/{a}/{a}")}, {"t.S/M0", "twice"}},
	{{R("GET", "/v1/{x}/{y}")}, {"t.S/M0", "one oneof"}},
	{{R("GET", "/v1/../x")}, {"t.S/M0", "no request gets to"}},
	{{R("GET", "/v1/%2e%2e/x")}, {"t.S/M0", "no request gets to"}},
	{{R("GET", "/:go")}, {"t.S/M0", "before it"}},
	{{R("GET", "v1")}, {"t.S/M0", "begins with"}},
	{{R("GET", "")}, {"t.S/M0"}},
	{{R("", "/v1")}, {"t.S/M0"}},
	{{R("GE T", "/v1")}, {"t.S/M0", "no HTTP method"}},
	{{B("POST", "/v1", "in", NULL)}, {0}},
	{{B("POST", "/v1", "in.in.a", "in.in")}, {0}},
	{{B("POST", "/v1", "list", "list")}, {0}},
	{{B("POST", "/v1", "nope", NULL)}, {"t.S/M0", "body", "nope"}},
	{{B("POST", "/v1", "list.a", NULL)}, {"t.S/M0", "body"}},
	{{B("POST", "/v1", "a.b", NULL)}, {"t.S/M0", "body"}},
	{{B("POST", "/v1", "in..a", NULL)}, {"t.S/M0", "body"}},
	{{B("POST", "/v1", "*", "nope")}, {"t.S/M0", "response_body", "nope"}},
	{{B("POST", "/v1", NULL, "*")}, {"t.S/M0", "response_body"}},
	{{B("POST", "/v1/{a}", "a", NULL)}, {"t.S/M0", "{a}", "body"}},
	{{B("POST", "/v1/{in.a}", "in.a", NULL)}, {"t.S/M0", "{in.a}", "body"}},
	{{B("POST", "/v1/{in.a}", "in", NULL)}, {0}},
};

static void test_loads(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(loads); i++) {
		char why[512];

		load(loads[i].rules, loads[i].rules[1].path != NULL ? 2 : 1, why, sizeof why);
		if ((*why == '\0') != (loads[i].words[0] == NULL))
			fail_msg("%s: \"%s\"", loads[i].rules[0].path, why);
		for (size_t k = 0; k < 3 && loads[i].words[k] != NULL; k++)
			if (strstr(why, loads[i].words[k]) == NULL)
				fail_msg("%s: no \"%s\" in \"%s\"", loads[i].rules[0].path,
					 loads[i].words[k], why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths), cmocka_unit_test(test_queries), cmocka_unit_test(test_allow),
		cmocka_unit_test(test_body),
		cmocka_unit_test(test_bound), cmocka_unit_test(test_loads),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
