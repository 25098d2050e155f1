/* Query strings in, the message's JSON or the faults out. */
#include "golden.h"

#include "schema/query.h"

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

static const struct {
	const char *verb, *path, *query, *expect;
} cases[] = {
	{"GET", "/search", "", "{}"},
	{"GET", "/search", "id=7", "{\"id\":7}"},
	{"GET", "/search", "id=7&&name=a+b%2Bc&", "{\"id\":7,\"name\":\"a b+c\"}"},
	{"GET", "/search", "name=%E7%A4%BA", "{\"name\":\"\xe7\xa4\xba\"}"},
	{"GET", "/search", "shop.name=x&shop.floor=-2", "{\"shop\":{\"name\":\"x\",\"floor\":-2}}"},
	{"GET", "/search", "numbers=1&numbers=2&numbers=3", "{\"numbers\":[1,2,3]}"},
	{"GET", "/search", "shop.tags=a&shop.tags=b", "{\"shop\":{\"tags\":[\"a\",\"b\"]}}"},
	{"GET", "/search", "counts[x]=1&counts[y]=2", "{\"counts\":{\"x\":1,\"y\":2}}"},
	{"GET", "/search", "flag=true&left=l", "{\"left\":\"l\",\"flag\":true}"},
	{"GET", "/search", "maybe=m", "{\"maybe\":\"m\"}"},
	{"GET", "/search", "time=2026-01-31T12:00:00Z", "{\"time\":\"2026-01-31T12:00:00Z\"}"},
	{"GET", "/search", "nope=1", "422 parameter nope unknown"},
	{"GET", "/search", "shop.nope=1", "422 parameter shop.nope unknown"},
	{"GET", "/search", "name.x=1", "422 parameter name.x unknown"},
	{"GET", "/search", "id=x&nope=1", "422 parameter id type; parameter nope unknown"},
	{"GET", "/search", "id=1&id=2", "400 parameter id duplicate"},
	{"GET", "/search", "shop.name=1&shop.name=2", "400 parameter shop.name duplicate"},
	{"GET", "/search", "counts[x]=1&counts[x]=2", "400 parameter counts[x] duplicate"},
	{"GET", "/search", "counts[]=1&counts[]=1", "400 parameter counts[] duplicate"},
	{"GET", "/search", "time=2026-01-31T12:00:00Z&time.seconds=5", "400 parameter time.seconds duplicate"},
	{"GET", "/search", "time.seconds=5&time=2026-01-31T12:00:00Z", "400 parameter time duplicate"},
	{"GET", "/search", "left=1&right=2", "400 parameter right duplicate"},
	{"GET", "/search", "name=%zz", "400 parameter name encoding"},
	{"GET", "/search", "name=%00", "400 parameter name encoding"},
	{"GET", "/search", "na%ffme=x", "400 parameter  encoding"},
	{"GET", "/search", "=x", "400 parameter  syntax"},
	{"GET", "/search", "counts=1", "422 parameter counts type"},
	{"GET", "/search", "name[x]=1", "422 parameter name[x] type"},
	{"GET", "/items/5", "id=5", "400 parameter id duplicate"},
	{"GET", "/items/5", "name=x", "{\"name\":\"x\"}"},
	{"PUT", "/items/5", "name=x", "422 parameter name unknown"},
	{"POST", "/items/5/shop", "shop.name=x", "400 parameter shop.name duplicate"},
	{"POST", "/items/5/shop", "name=x", "{\"name\":\"x\"}"},
	{"POST", "/road.v1.Road/Plain", "id=1", "422 parameter id unknown"},
};

static void test_cases(void **state)
{
	AUTO_BUF out = BUF_INIT;
	AUTO_BUF text = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct route_match m = golden_route(table, cases[i].verb, cases[i].path);
		struct fault_list faults = FAULT_LIST_INIT;
		int r;

		buf_reset(&out);
		r = query_to_wire(m.route, cases[i].query, &out, &faults);
		assert_int_equal(r < 0, faults.n != 0);
		assert_string_equal(golden_text(schema, m.route->method->input, buf_bytes(&out), &faults, &text),
				    cases[i].expect);
		fault_list_deinit(&faults);
	}
}

/* More parameters than are remembered are refused, not accepted unseen. */
static void test_many(void **state)
{
	struct route_match m = golden_route(table, "GET", "/search");
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF query = BUF_INIT;
	AUTO_BUF out = BUF_INIT;

	for (int i = 0; i < 20000; i++)
		buf_append_str(&query, "id=1&");
	assert_true(query_to_wire(m.route, buf_cstr(&query), &out, &faults) < 0);
	assert_true(faults.n <= FAULT_MAX);
	assert_true(faults.n_dropped > 19000);
	fault_list_deinit(&faults);
	buf_reset(&query);
	buf_reset(&out);
	for (int i = 0; i < 20000; i++)
		buf_append_str(&query, "numbers=1&");
	assert_int_equal(query_to_wire(m.route, buf_cstr(&query), &out, &faults), 0);
	fault_list_deinit(&faults);
}

/* What a client sends is not sent back whole. */
static void test_long_name(void **state)
{
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF query = BUF_INIT;
	AUTO_BUF allow = BUF_INIT;
	AUTO_BUF out = BUF_INIT;
	struct route_match m;

	assert_int_equal(route_find(table, "GET", "/search", &m, &allow), 0);
	for (int i = 0; i < 1500; i++)
		buf_append_str(&query, "a\xc3\xa9");
	buf_append_str(&query, "=1");
	assert_true(query_to_wire(m.route, buf_cstr(&query), &out, &faults) < 0);
	assert_int_equal(faults.n, 1);
	assert_in_range(strlen(faults.items[0].where), 190, 200);
	fault_list_deinit(&faults);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_long_name),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
