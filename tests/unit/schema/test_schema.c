/* test_schema.c: descriptor sets to tables: names, options, comments, and what is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/schema.h"
#include "set.h"

static struct schema *load_options(void)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s = NULL;
	char why[300] = "";

	set_read_file(OPTIONS_SET, &set);
	if (schema_load(set.data, set.len, &s, why, sizeof why) < 0)
		fail_msg("options.pb: %s", why);
	return s;
}

static const struct schema_message *options_of(const struct schema *s, const char *name)
{
	const struct schema_message *m = schema_message(s, name, strlen(name));

	assert_non_null(m);
	return m;
}

static const struct schema_method *method(const struct schema *s, const char *name)
{
	const struct schema_method *m = schema_method(s, name, strlen(name));

	assert_non_null(m);
	return m;
}

static const struct schema_field *field(const struct schema_message *m, const char *name)
{
	const struct schema_field *f = schema_field(m, name, strlen(name));

	assert_non_null(f);
	return f;
}

static void test_fields(void **state)
{
	struct schema *s = set_load();
	const struct schema_message *m = set_message(s, "Named");
	const struct schema_field *f = field(m, "plainName");

	assert_ptr_equal(f, field(m, "plain_name"));
	assert_string_equal(f->out_name, "plain_name");
	assert_string_equal(field(m, "other")->out_name, "@other/name~");
	assert_ptr_equal(field(m, "@other/name~"), field(m, "other"));
	assert_null(schema_field(m, "plain", 5));
	assert_null(schema_field(m, "", 0));
	assert_ptr_equal(schema_field_by_number(m, 536870911), field(m, "large_number"));
	assert_ptr_equal(schema_field_by_number(m, 2), field(m, "other"));
	assert_null(schema_field_by_number(m, 5));
	assert_null(schema_field_by_number(m, 536870910));
	schema_unref(s);
}

static void test_kinds(void **state)
{
	struct schema *s = set_load();
	const struct schema_message *lists = set_message(s, "Lists"), *old = set_message(s, "Old");
	const struct schema_message *oneofs = set_message(s, "Oneofs"), *maps = set_message(s, "Maps");
	const struct schema_message *opt = set_message(s, "Optional"), *known = set_message(s, "WellKnown");

	assert_true(field(lists, "r_int32")->packed);
	assert_false(field(lists, "r_unpacked")->packed);
	assert_false(field(lists, "r_string")->packed);
	assert_false(field(old, "list")->packed);
	assert_true(field(old, "id")->required);
	assert_true(field(old, "text")->presence);
	assert_true(field(old, "closed")->enumeration->closed);
	assert_true(field(maps, "m_string")->map);
	assert_false(field(lists, "r_message")->map);
	assert_int_equal(oneofs->n_oneofs, 2);
	assert_string_equal(oneofs->oneofs[1], "other");
	assert_int_equal(field(oneofs, "y")->oneof, 1);
	assert_int_equal(field(oneofs, "after")->oneof, -1);
	/* proto3 optional: presence, but no oneof anybody sees */
	assert_int_equal(opt->n_oneofs, 0);
	assert_int_equal(field(opt, "o_int32")->oneof, -1);
	assert_true(field(opt, "o_int32")->presence);
	assert_false(field(set_message(s, "Scalars"), "f_int32")->presence);
	assert_int_equal(field(known, "any")->message->well_known, WK_ANY);
	assert_int_equal(field(known, "duration")->message->well_known, WK_DURATION);
	assert_true(field(known, "bare")->bare);
	assert_false(field(known, "any")->bare);
	assert_true(field(known, "null_value")->enumeration->is_null_value);
	assert_ptr_equal(field(set_message(s, "Nested"), "child")->message, set_message(s, "Nested"));
	schema_unref(s);
}

static void test_enums(void **state)
{
	struct schema *s = set_load();
	const struct schema_enum *e = schema_enum(s, "golden.v1.Color", 15);

	assert_non_null(e);
	assert_false(e->closed);
	assert_int_equal(schema_enum_by_name(e, "GREEN", 5)->number, 2);
	assert_int_equal(schema_enum_by_name(e, "NEGATIVE", 8)->number, -1);
	assert_null(schema_enum_by_name(e, "GREE", 4));
	assert_string_equal(schema_enum_by_number(e, -1)->name, "NEGATIVE");
	assert_string_equal(schema_enum_by_number(e, 0)->name, "COLOR_UNSPECIFIED");
	assert_null(schema_enum_by_number(e, 3));
	assert_null(schema_enum_by_number(e, INT32_MIN));
	assert_null(schema_enum_by_number(e, INT32_MAX));
	schema_unref(s);
}

static void test_nearest(void **state)
{
	struct schema *s = set_load();
	const struct schema_message *m = set_message(s, "Scalars");

	assert_string_equal(schema_nearest_field(m, "f_strin", 7), "f_string");
	assert_string_equal(schema_nearest_field(m, "fstring", 7), "f_string");
	assert_string_equal(schema_nearest_field(m, "F_BOOL", 6), "f_bool");
	assert_string_equal(schema_nearest_field(m, "f_bolo", 6), "f_bool");
	assert_null(schema_nearest_field(m, "entirely_other", 14));
	assert_null(schema_nearest_field(m, "", 0));
	schema_unref(s);
}

static void test_http(void **state)
{
	struct schema *s = load_options();
	const struct schema_method *get = method(s, "options.v1.Shop/Get");
	const struct schema_method *make = method(s, "options.v1.Shop/Make");

	assert_int_equal(get->n_http, 1);
	assert_string_equal(get->http[0].verb, "GET");
	assert_string_equal(get->http[0].path, "/v1/{name=shelves/*}");
	assert_string_equal(get->http[0].body, "");
	assert_string_equal(get->http[0].response_body, "name");
	assert_int_equal(get->idempotency_level, 1);
	assert_false(get->deprecated);
	assert_int_equal(make->n_http, 3);
	assert_string_equal(make->http[0].verb, "POST");
	assert_string_equal(make->http[0].body, "item");
	assert_string_equal(make->http[1].verb, "PUT");
	assert_string_equal(make->http[1].path, "/v1/items/{item.name}");
	assert_string_equal(make->http[2].verb, "LINK");
	assert_string_equal(make->http[2].path, "/v1/items/**");
	assert_true(make->server_streaming);
	assert_false(make->client_streaming);
	assert_true(make->deprecated);
	schema_unref(s);
}

static void test_rules(void **state)
{
	struct schema *s = load_options();
	const struct schema_method *m = method(s, "options.v1.Shop/Split");
	const struct schema_message *item = options_of(s, "options.v1.Item");

	assert_int_equal(m->run, RUN_TASK);
	assert_string_equal(m->queue, "q");
	assert_int_equal(m->timeout_ns, 3000000005);
	assert_int_equal(m->cancel_grace_ns, 7);
	assert_int_equal(m->retry.max_attempts, 2);
	assert_int_equal(m->retry.base_ns, 1000000000);
	assert_int_equal(m->retry.cap_ns, 0);
	assert_true(m->retry.factor == 1.5);
	assert_int_equal(method(s, "options.v1.Shop/Get")->run, RUN_UNSPECIFIED);
	assert_string_equal(method(s, "options.v1.Shop/Get")->queue, "");
	assert_true(field(item, "id")->out_only);
	assert_false(field(item, "name")->out_only);
	assert_string_equal(options_of(s, "options.v1.MakeRequest")->sse_id->name, "seq");
	assert_string_equal(options_of(s, "options.v1.MakeRequest")->sse_event->name, "kind");
	assert_null(item->sse_id);
	schema_unref(s);
}

static void test_comments(void **state)
{
	struct schema *s = load_options();
	const struct schema_service *shop = schema_service(s, "options.v1.Shop", 15);

	assert_non_null(shop);
	assert_int_equal(schema_n_services(s), 1);
	assert_ptr_equal(schema_service_at(s, 0), shop);
	assert_null(schema_service_at(s, 1));
	assert_string_equal(shop->comment, "Sells things.\n\n  Indented.");
	assert_string_equal(shop->methods[0].comment, "Gets one.");
	assert_null(shop->methods[1].comment);
	assert_string_equal(shop->methods[2].comment, "Split into entries.");
	assert_string_equal(options_of(s, "options.v1.Item")->comment, "An item.");
	assert_string_equal(options_of(s, "options.v1.Item.Part")->comment, "Inside.");
	assert_null(options_of(s, "options.v1.MakeRequest")->comment);
	schema_unref(s);
}

static const char *field_comment(const struct schema_message *m, const char *name)
{
	return schema_field(m, name, strlen(name))->comment;
}

static void test_inner_comments(void **state)
{
	struct schema *s = load_options();
	const struct schema_message *m = options_of(s, "options.v1.Commented");
	const struct schema_enum *how = schema_enum(s, "options.v1.Commented.Deep.How", 29);
	const struct schema_enum *top = schema_enum(s, "options.v1.Top", 14);

	assert_string_equal(field_comment(m, "last"), "behind the last");
	assert_string_equal(field_comment(m, "first"), "Before the first.");
	assert_string_equal(field_comment(m, "deep"), "In the middle.");
	assert_string_equal(field_comment(options_of(s, "options.v1.Commented.Deep"), "how"), "Deep inside.");
	assert_string_equal(field_comment(options_of(s, "options.v1.Item"), "name"), "Not of the message.");
	assert_null(field_comment(options_of(s, "options.v1.Item"), "id"));
	assert_true(m->deprecated);
	assert_false(options_of(s, "options.v1.Item")->deprecated);
	assert_string_equal(how->comment, "Says how.");
	assert_string_equal(how->values[0].comment, "nothing said");
	assert_string_equal(how->values[1].comment, "The old way.");
	assert_null(how->values[2].comment);
	assert_true(how->values[1].deprecated);
	assert_false(how->values[2].deprecated);
	assert_string_equal(top->comment, "At the top.");
	assert_string_equal(top->values[0].comment, "Zero.");
	schema_unref(s);
}

/* --- what is refused --- */

static void refused(const struct buf *set, const char *reason)
{
	struct schema *s = (struct schema *)1;
	char why[300] = "";

	assert_int_equal(schema_load(set->data, set->len, &s, why, sizeof why), -ERRAND_INVALID_ARGUMENT);
	assert_null(s);
	if (strstr(why, reason) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", reason, why);
}

/* Every prefix and every flipped byte: refused or loaded, never a crash. */
static void test_damaged(void **state)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s;
	char why[300];

	set_read_file(OPTIONS_SET, &set);
	for (size_t n = 0; n < set.len; n += 1 + set.len / 701) {
		uint8_t *cut = xmalloc(n);

		memcpy(cut, set.data, n);
		if (schema_load(cut, n, &s, why, sizeof why) == 0)
			schema_unref(s);
		free(cut);
	}
	for (size_t i = 0; i < set.len; i += 1 + set.len / 701) {
		set.data[i] ^= 0x55;
		if (schema_load(set.data, set.len, &s, why, sizeof why) == 0)
			schema_unref(s);
		set.data[i] ^= 0x55;
	}
}

static void test_not_whole(void **state)
{
	AUTO_BUF set = BUF_INIT;
	AUTO_BUF one = BUF_INIT;
	struct pbuf_reader r;
	struct pbuf_field f;

	refused(&set, "holds no file");
	buf_append_str(&set, "no descriptor set");
	refused(&set, "not a FileDescriptorSet");
	buf_reset(&set);
	set_read_file(OPTIONS_SET, &set);
	/* the last file without those it imports */
	r = pbuf_reader(set.data, set.len);
	while (pbuf_next(&r, &f)) {
		buf_reset(&one);
		buf_append(&one, f.start, (size_t)(r.p - f.start));
	}
	refused(&one, "--include_imports");
}

/* A file of one message (or two files of the same). */
static void put_file(struct buf *set, const char *file, const char *message)
{
	AUTO_BUF m = BUF_INIT;
	AUTO_BUF f = BUF_INIT;

	pbuf_put_str(&m, 1, message);
	pbuf_put_str(&f, 1, file);
	pbuf_put_bytes(&f, 4, m.data, m.len);
	pbuf_put_str(&f, 12, "proto3");
	pbuf_put_bytes(set, 1, f.data, f.len);
}

static void test_duplicates(void **state)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s;
	char why[300];

	put_file(&set, "a.proto", "M");
	put_file(&set, "a.proto", "M");
	assert_int_equal(schema_load(set.data, set.len, &s, why, sizeof why), 0);
	schema_unref(s);
	put_file(&set, "b.proto", "M");
	refused(&set, "M is defined twice");
	buf_reset(&set);
	put_file(&set, "a.proto", "M;N");
	refused(&set, "no valid name");
}

/* A service with one method M -> M and these http options. */
static void put_route(struct buf *set, const char *path, const char *body)
{
	AUTO_BUF http = BUF_INIT;
	AUTO_BUF options = BUF_INIT;
	AUTO_BUF method_raw = BUF_INIT;
	AUTO_BUF service = BUF_INIT;
	AUTO_BUF m = BUF_INIT;
	AUTO_BUF f = BUF_INIT;

	pbuf_put_str(&http, 4, path);
	pbuf_put_str(&http, 7, body);
	pbuf_put_bytes(&options, 72295728, http.data, http.len);
	pbuf_put_str(&method_raw, 1, "Do");
	pbuf_put_str(&method_raw, 2, ".M");
	pbuf_put_str(&method_raw, 3, ".M");
	pbuf_put_bytes(&method_raw, 4, options.data, options.len);
	pbuf_put_str(&service, 1, "S");
	pbuf_put_bytes(&service, 2, method_raw.data, method_raw.len);
	pbuf_put_str(&m, 1, "M");
	pbuf_put_str(&f, 1, "s.proto");
	pbuf_put_bytes(&f, 4, m.data, m.len);
	pbuf_put_bytes(&f, 6, service.data, service.len);
	pbuf_put_str(&f, 12, "proto3");
	buf_reset(set);
	pbuf_put_bytes(set, 1, f.data, f.len);
}

static void test_bad_routes(void **state)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s;
	char why[300];

	put_route(&set, "/m", "*");
	assert_int_equal(schema_load(set.data, set.len, &s, why, sizeof why), 0);
	assert_string_equal(method(s, "S/Do")->http[0].path, "/m");
	schema_unref(s);
	put_route(&set, "/m/{x", "");
	refused(&set, "S/Do: path \"/m/{x\": at character 4");
	put_route(&set, "/m/{x}", "");
	refused(&set, "M has no field x");
	put_route(&set, "/m", "nope");
	refused(&set, "body \"nope\" is not a field of M");
}

static void test_merge(void **state)
{
	AUTO_BUF golden = BUF_INIT;
	AUTO_BUF options = BUF_INIT;
	AUTO_BUF merged = BUF_INIT;
	AUTO_BUF again = BUF_INIT;
	struct bytes sets[3];
	struct schema *s;
	char why[300] = "";

	set_read_file(GOLDEN_SET, &golden);
	set_read_file(OPTIONS_SET, &options);
	sets[0] = buf_bytes(&golden);
	sets[1] = sets[2] = buf_bytes(&options);
	assert_int_equal(schema_merge(&merged, sets, 3, why, sizeof why), 0);
	assert_true(merged.len < golden.len + options.len);
	assert_int_equal(schema_load(merged.data, merged.len, &s, why, sizeof why), 0);
	set_message(s, "Nested");
	method(s, "options.v1.Shop/Get");
	assert_int_equal(schema_set(s).len, merged.len);
	schema_unref(s);
	/* the same name, another file */
	buf_reset(&golden);
	buf_reset(&options);
	put_file(&golden, "a.proto", "M");
	put_file(&options, "a.proto", "N");
	sets[0] = buf_bytes(&golden);
	sets[1] = buf_bytes(&options);
	assert_int_equal(schema_merge(&again, sets, 2, why, sizeof why), -ERRAND_INVALID_ARGUMENT);
	assert_non_null(strstr(why, "a.proto"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields), cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_enums), cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_http), cmocka_unit_test(test_rules),
		cmocka_unit_test(test_comments), cmocka_unit_test(test_inner_comments), cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_not_whole), cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_bad_routes), cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
