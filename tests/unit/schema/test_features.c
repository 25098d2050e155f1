/* test_features.c: editions. The descriptors are made by hand, so that no protoc
 * that knows editions is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/pbuf.h"
#include "schema/transcode.h"

enum { INT32 = 5, STRING = 9, MESSAGE = 11, ENUM = 14, OPTIONAL = 1, REPEATED = 3 };
enum { PRESENCE = 1, ENUM_TYPE = 2, REPEATED_FIELD = 3, UTF8 = 4, MESSAGE_ENCODING = 5 };

static void put_message(struct buf *b, uint32_t number, const struct buf *inner)
{
	pbuf_put_bytes(b, number, inner->data, inner->len);
}

/* options { features { feature: value } } in field 8 or 7 or 3 of a descriptor. */
static void put_feature(struct buf *b, uint32_t options, uint32_t features, uint32_t feature,
			uint64_t value)
{
	AUTO_BUF set = BUF_INIT;
	AUTO_BUF o = BUF_INIT;

	pbuf_put_uint(&set, feature, value);
	put_message(&o, features, &set);
	put_message(b, options, &o);
}

struct field {
	const char *name;
	uint32_t number, label, type;
	const char *type_name;
	uint32_t feature; /* 0 = none */
	uint64_t value;
};

static void put_field(struct buf *message, const struct field *f)
{
	AUTO_BUF b = BUF_INIT;

	pbuf_put_str(&b, 1, f->name);
	pbuf_put_uint(&b, 3, f->number);
	pbuf_put_uint(&b, 4, f->label);
	pbuf_put_uint(&b, 5, f->type);
	if (f->type_name != NULL)
		pbuf_put_str(&b, 6, f->type_name);
	if (f->feature != 0)
		put_feature(&b, 8, 21, f->feature, f->value);
	put_message(message, 2, &b);
}

static void put_enum(struct buf *file, const char *name, bool closed)
{
	AUTO_BUF e = BUF_INIT;
	AUTO_BUF v = BUF_INIT;

	pbuf_put_str(&e, 1, name);
	pbuf_put_str(&v, 1, closed ? "C_ZERO" : "O_ZERO");
	pbuf_put_uint(&v, 2, 0);
	put_message(&e, 2, &v);
	if (closed)
		put_feature(&e, 3, 7, ENUM_TYPE, 2);
	put_message(file, 5, &e);
}

static const struct field fields[] = {
	{"explicit", 1, OPTIONAL, INT32, NULL, 0, 0},
	{"implicit", 2, OPTIONAL, INT32, NULL, PRESENCE, 2},
	{"required", 3, OPTIONAL, INT32, NULL, PRESENCE, 3},
	{"packed", 4, REPEATED, INT32, NULL, 0, 0},
	{"expanded", 5, REPEATED, INT32, NULL, REPEATED_FIELD, 2},
	{"text", 6, OPTIONAL, STRING, NULL, 0, 0},
	{"any_text", 7, OPTIONAL, STRING, NULL, UTF8, 3},
	{"prefixed", 8, OPTIONAL, MESSAGE, ".e.Inner", 0, 0},
	{"delimited", 9, OPTIONAL, MESSAGE, ".e.Inner", MESSAGE_ENCODING, 2},
	{"open", 10, OPTIONAL, ENUM, ".e.Open", 0, 0},
	{"closed", 11, OPTIONAL, ENUM, ".e.Closed", 0, 0},
	{"delimited_list", 12, REPEATED, MESSAGE, ".e.Inner", MESSAGE_ENCODING, 2},
};

static void make_set(struct buf *set, uint64_t edition, bool file_implicit)
{
	static const struct field n = {"n", 1, OPTIONAL, INT32, NULL, 0, 0};
	AUTO_BUF file = BUF_INIT;
	AUTO_BUF message = BUF_INIT;
	AUTO_BUF inner = BUF_INIT;

	pbuf_put_str(&file, 1, "e.proto");
	pbuf_put_str(&file, 2, "e");
	pbuf_put_str(&inner, 1, "Inner");
	put_field(&inner, &n);
	put_message(&file, 4, &inner);
	pbuf_put_str(&message, 1, "All");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		put_field(&message, &fields[i]);
	put_message(&file, 4, &message);
	put_enum(&file, "Open", false);
	put_enum(&file, "Closed", true);
	pbuf_put_str(&file, 12, "editions");
	pbuf_put_uint(&file, 14, edition);
	if (file_implicit)
		put_feature(&file, 8, 50, PRESENCE, 2);
	put_message(set, 1, &file);
}

static struct schema *load(uint64_t edition, bool file_implicit)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s = NULL;
	char why[300] = "";

	make_set(&set, edition, file_implicit);
	if (schema_load(set.data, set.len, &s, why, sizeof why) < 0)
		fail_msg("%s", why);
	return s;
}

static const struct schema_field *field(const struct schema *s, const char *name)
{
	return schema_field(schema_message(s, "e.All", 5), name, strlen(name));
}

static void test_fields(void **state)
{
	struct schema *s = load(1000, false);

	assert_true(field(s, "explicit")->presence);
	assert_false(field(s, "implicit")->presence);
	assert_true(field(s, "required")->required && field(s, "required")->presence);
	assert_false(field(s, "explicit")->required);
	assert_true(field(s, "packed")->packed);
	assert_false(field(s, "expanded")->packed);
	assert_false(field(s, "text")->any_bytes);
	assert_true(field(s, "any_text")->any_bytes);
	assert_int_equal(field(s, "prefixed")->type, FIELD_MESSAGE);
	assert_int_equal(field(s, "delimited")->type, FIELD_GROUP);
	assert_false(field(s, "open")->enumeration->closed);
	assert_true(field(s, "closed")->enumeration->closed);
	schema_unref(s);
	s = load(1001, true);
	assert_false(field(s, "explicit")->presence);
	assert_true(field(s, "prefixed")->presence);
	schema_unref(s);
}

static void check(const struct schema *s, const char *json, const char *hex)
{
	struct transcode_read o = {.schema = s};
	struct transcode_write wo = {.schema = s, .skip_zero = true, .json_names = true};
	struct fault_list faults = FAULT_LIST_INIT;
	const struct schema_message *m = schema_message(s, "e.All", 5);
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF again = BUF_INIT;
	AUTO_BUF back = BUF_INIT;
	AUTO_BUF got = BUF_INIT;
	char why[300];

	if (transcode_from_json(&o, m, json, strlen(json), "#", &wire, &faults) < 0)
		fail_msg("%s: %s", json, faults.items[0].detail);
	for (size_t i = 0; i < wire.len; i++)
		buf_printf(&got, "%02x", wire.data[i]);
	assert_string_equal(buf_cstr(&got), hex);
	assert_int_equal(transcode_normalize(m, buf_bytes(&wire), &again, why, sizeof why), 0);
	assert_int_equal(again.len, wire.len);
	assert_memory_equal(again.data, wire.data, wire.len);
	assert_int_equal(transcode_to_json(&wo, m, buf_bytes(&wire), &back, why, sizeof why), 0);
	assert_string_equal(buf_cstr(&back), json);
}

static void test_forms(void **state)
{
	struct schema *s = load(1000, false);

	check(s, "{\"explicit\":0,\"required\":0}", "08001800");
	check(s, "{\"required\":1,\"packed\":[1,2],\"expanded\":[1,2]}", "1801220201022801" "2802");
	check(s, "{\"required\":1,\"prefixed\":{\"n\":1},\"delimited\":{\"n\":2}}",
	     "18014202" "0801" "4b08024c");
	check(s, "{\"required\":1,\"delimited\":{},\"delimitedList\":[{\"n\":1},{}]}",
	     "18014b4c" "6308016463" "64");
	check(s, "{\"required\":1,\"open\":5}", "18015005");
	schema_unref(s);
}

static int normalize(const struct schema *s, const char *wire, size_t len, char *why)
{
	AUTO_BUF out = BUF_INIT;

	return transcode_normalize(schema_message(s, "e.All", 5),
				   (struct bytes){(const uint8_t *)wire, len}, &out, why, 200);
}

static void test_refused(void **state)
{
	struct schema *s = load(1000, false);
	char why[200];

	assert_true(normalize(s, "", 0, why) < 0);
	assert_non_null(strstr(why, "required"));
	assert_true(normalize(s, "\x18\x01\x32\x01\xff", 5, why) < 0);
	assert_non_null(strstr(why, "UTF-8"));
	assert_int_equal(normalize(s, "\x18\x01\x3a\x01\xff", 5, why), 0);
	schema_unref(s);
}

static void test_unknown_edition(void **state)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s = NULL;
	char why[300] = "";

	make_set(&set, 2000, false);
	assert_true(schema_load(set.data, set.len, &s, why, sizeof why) < 0);
	assert_non_null(strstr(why, "e.proto: syntax \"editions\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unknown_edition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
