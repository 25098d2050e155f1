/* Units that say what bodies look like and who may send them: gzip, codings, tags,
 * origins, raw bodies, ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/encoding.h"
#include "gateway/etag.h"
#include "gateway/gzip.h"
#include "gateway/httpbody.h"
#include "gateway/origin.h"
#include "gateway/request_id.h"

/* --- gzip --- */

static struct bytes text_of(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void test_gzip_there_and_back(void **state)
{
	struct gzip *g = gzip_new();
	AUTO_BUF big = BUF_INIT;
	AUTO_BUF packed = BUF_INIT;
	AUTO_BUF back = BUF_INIT;

	for (int i = 0; i < 20000; i++)
		buf_printf(&big, "{\"n\":%d},", i * 7919 % 10007);
	for (int round = 0; round < 3; round++) { /* the state is used again */
		buf_reset(&packed);
		buf_reset(&back);
		assert_true(gzip_pack(g, buf_bytes(&big), &packed));
		assert_true(packed.len < big.len / 2);
		assert_int_equal(gzip_unpack(g, buf_bytes(&packed), big.len, &back), GZIP_DONE);
		assert_int_equal(back.len, big.len);
		assert_memory_equal(back.data, big.data, big.len);
		assert_int_equal(gzip_unpack(g, buf_bytes(&packed), big.len - 1, &back), GZIP_TOO_BIG);
	}
	gzip_free(g);
}

static void test_gzip_members(void **state)
{
	struct gzip *g = gzip_new();
	AUTO_BUF packed = BUF_INIT;
	AUTO_BUF back = BUF_INIT;
	size_t first;

	assert_true(gzip_pack_anyhow(g, text_of("hello "), &packed));
	first = packed.len;
	assert_true(gzip_pack_anyhow(g, text_of("world"), &packed));
	assert_int_equal(gzip_unpack(g, buf_bytes(&packed), 100, &back), GZIP_DONE);
	assert_string_equal(buf_cstr(&back), "hello world");
	for (size_t n = 0; n < packed.len; n++) { /* cut off anywhere but between the members */
		buf_reset(&back);
		assert_int_equal(gzip_unpack(g, (struct bytes){packed.data, n}, 100, &back),
				 n == first ? GZIP_DONE : GZIP_BROKEN);
	}
	buf_append_byte(&packed, 0);
	assert_int_equal(gzip_unpack(g, buf_bytes(&packed), 100, &back), GZIP_BROKEN);
	packed.data[first - 5] ^= 1; /* the sum */
	assert_int_equal(gzip_unpack(g, (struct bytes){packed.data, first}, 100, &back), GZIP_BROKEN);
	assert_int_equal(gzip_unpack(g, text_of("hello"), 100, &back), GZIP_BROKEN);
	gzip_free(g);
}

static void test_gzip_bomb(void **state)
{
	const size_t n = 32 << 20;
	uint8_t *zeros = calloc(1, n);
	struct gzip *g = gzip_new();
	AUTO_BUF packed = BUF_INIT;
	AUTO_BUF back = BUF_INIT;

	assert_non_null(zeros);
	assert_true(gzip_pack(g, (struct bytes){zeros, n}, &packed));
	assert_int_equal(gzip_unpack(g, buf_bytes(&packed), 64 << 20, &back), GZIP_BOMB);
	assert_true(back.cap < 8 << 20);
	buf_deinit(&back);
	assert_int_equal(gzip_unpack(g, buf_bytes(&packed), 4096, &back), GZIP_TOO_BIG);
	assert_true(back.cap <= 16 * 1024);
	/* up to 1 MiB any ratio will do */
	buf_reset(&packed);
	buf_reset(&back);
	assert_true(gzip_pack(g, (struct bytes){zeros, 1 << 20}, &packed));
	assert_int_equal(gzip_unpack(g, buf_bytes(&packed), 4 << 20, &back), GZIP_DONE);
	/* what gets no smaller stays */
	buf_reset(&packed);
	for (uint32_t i = 0, z = 1; i < 4096; i++) {
		z = z * 1664525 + 1013904223;
		zeros[i] = (uint8_t)(z >> 24);
	}
	assert_false(gzip_pack(g, (struct bytes){zeros, 4096}, &packed));
	assert_false(gzip_pack(g, text_of(""), &packed) || gzip_pack(g, text_of("short"), &packed));
	assert_int_equal(packed.len, 0);
	/* unless nothing else is taken */
	assert_true(gzip_pack_anyhow(g, (struct bytes){zeros, 4096}, &packed));
	assert_true(packed.len > 4096);
	buf_reset(&back);
	assert_int_equal(gzip_unpack(g, buf_bytes(&packed), 4096, &back), GZIP_DONE);
	assert_memory_equal(back.data, zeros, 4096);
	buf_reset(&packed);
	assert_true(gzip_pack_anyhow(g, text_of(""), &packed));
	gzip_free(g);
	free(zeros);
}

/* --- codings --- */

static const char *one_header(const void *from, const char *name, unsigned n)
{
	return n == 0 ? from : NULL;
}

static const char *choice_of(const char *accept)
{
	const struct request_source src = {"", {NULL, 0}, one_header, accept};
	struct encoding_choice c = encoding_choose(&src);

	return c.gzip ? (c.identity ? "gzip" : "gzip only") : c.identity ? "identity" : "none";
}

static void test_choices(void **state)
{
	static const char *const cases[][2] = {
		{"gzip", "gzip"}, {"", "identity"}, {"br", "identity"}, {"gzip, deflate, br", "gzip"},
		{"*", "gzip"}, {"GZIP;q=0.1", "gzip"}, {"x-gzip", "gzip"}, {"gzip;q=0", "identity"},
		{"gzip;q=0, *", "identity"}, {"identity, gzip;q=0.5", "identity"},
		{"identity;q=0.5, gzip;q=0.5", "gzip"}, {"gzip, identity;q=0", "gzip only"},
		{"gzip, *;q=0", "gzip only"}, {"*;q=0", "none"}, {"identity;q=0", "none"},
		{"*;q=0, identity", "identity"}, {"identity;q=0, br", "none"}, {"gzip;q=0.000", "identity"},
		{" gzip ; q=1 ,", "gzip"}, {"gzippy", "identity"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(choice_of(cases[i][0]), cases[i][1]);
}

static void test_body_codings(void **state)
{
	static const struct {
		const char *text;
		enum encoding is;
	} cases[] = {
		{"gzip", ENCODING_GZIP}, {"GZip ", ENCODING_GZIP}, {"x-gzip", ENCODING_GZIP},
		{"identity", ENCODING_IDENTITY}, {"", ENCODING_IDENTITY}, {"br", ENCODING_OTHER},
		{"deflate", ENCODING_OTHER}, {"gzip, gzip", ENCODING_OTHER}, {"gzip;q=1", ENCODING_OTHER},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct request_source src = {"", {NULL, 0}, one_header, cases[i].text};

		assert_int_equal(encoding_body(&src), cases[i].is);
	}
}

/* --- tags --- */

static enum etag_match matches(const char *list, const char *tag)
{
	return etag_matches(list, text_of(tag));
}

static void test_tags(void **state)
{
	const uint64_t a[2] = {1, 2}, b[2] = {1, 3};
	char one[ETAG_MAX], two[ETAG_MAX], packed[ETAG_MAX];
	AUTO_BUF stripped = BUF_INIT;

	etag_make(a, text_of("x"), one);
	etag_make(b, text_of("x"), two);
	assert_string_not_equal(one, two);
	etag_make(a, text_of("y"), two);
	assert_string_not_equal(one, two);
	etag_make(a, text_of("x"), two);
	assert_string_equal(one, two);
	assert_true(matches(one, one));
	assert_true(matches("\"7\"", "\"7\"") && matches("W/\"7\"", "\"7\"") && matches("\"7\"", "W/\"7\""));
	assert_true(matches("\"a\", \"7\"", "\"7\"") && matches("*", "\"7\""));
	assert_false(matches("\"77\"", "\"7\"") || matches("", "\"7\"") || matches("7", "\"7\""));
	assert_true(etag_packed("\"7\"", packed));
	assert_string_equal(packed, "\"7--gzip\"");
	assert_true(matches(packed, "\"7\"") && matches("\"1\", \"7--gzip\"", "\"7\""));
	assert_false(matches("\"8--gzip\"", "\"7\""));
	assert_int_equal(matches("\"1\", \"7--gzip\"", "\"7\""), ETAG_PACKED);
	/* a comma or a space may be inside; what is not quoted ends at either */
	assert_true(matches("\"x\", \"a, b\" , \"c\"", "\"a, b\"") && matches("\"a, b\",\"c\"", "\"c\""));
	assert_false(matches("\"a, b\"", "\"a\"") || matches("\"*\"", "\"7\"") || matches("\"7", "\"7\""));
	assert_true(matches(" ,, W/\"7\" ,", "\"7\"") && matches("seven eight", "seven"));
	assert_true(etag_packed(one, packed));
	assert_string_equal(packed, one);
	etag_strip("\"1--gzip\", W/\"2\", \"3--gzip\"", &stripped);
	assert_string_equal(buf_cstr(&stripped), "\"1\", W/\"2\", \"3\"");
}

/* --- origins --- */

static void test_origin_is_same(void **state)
{
	assert_true(origin_is_same("http://a.example", "a.example"));
	assert_true(origin_is_same("http://A.example:8080", "a.example:8080"));
	assert_true(origin_is_same("https://a.example", "a.example:443"));
	assert_true(origin_is_same("http://[::1]", "[::1]:80"));
	assert_false(origin_is_same("http://a.example", "a.example:443"));
	assert_false(origin_is_same("http://a.example", "a.example:8080"));
	assert_false(origin_is_same("http://a.example.evil", "a.example"));
	assert_false(origin_is_same("http://evil/a.example", "a.example"));
	assert_false(origin_is_same("null", "null"));
	assert_false(origin_is_same("a.example", "a.example"));
	assert_false(origin_is_same("ftp://a.example", "a.example"));
	assert_false(origin_is_same("http://", ""));
}

static void test_default_hosts(void **state)
{
	static const struct {
		const char *listen;
		bool any;
	} cases[] = {
		{"127.0.0.1:8080", false}, {"localhost:0", false}, {"[::1]:80", false}, {"127.1.2.3:1", false},
		{"0.0.0.0:80", true}, {"[::]:80", true}, {"10.0.0.1:80", true}, {"*:80", true},
	};
	const struct opt_list none = {0};
	struct origin_rules o;
	char why[256];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(origin_rules_init(&o, &none, &none, &(struct opt_list){(const char *[]){cases[i].listen, NULL}, 1}, why, sizeof why), 0);
		assert_int_equal(origin_host_known(&o, "evil.example"), cases[i].any);
		assert_true(origin_host_known(&o, cases[i].listen));
		assert_true(origin_host_known(&o, "localhost:1") && origin_host_known(&o, NULL));
		assert_false(origin_allowed(&o, "http://localhost"));
		origin_rules_deinit(&o);
	}
}

/* --- raw bodies --- */

static void test_httpbody(void **state)
{
	struct httpbody in = {text_of("image/png"), text_of("PNG")}, out;
	const struct schema_message m = {.name = "google.api.HttpBody"};
	const struct schema_method method = {.input = &m, .output = &m};
	const struct schema_http http = {.path = "/"};
	const struct route rpc = {.method = &method, .body_all = true};
	const struct route r = {.method = &method, .http = &http, .body_all = true};
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF pieces = BUF_INIT;
	char type[64];

	assert_true(httpbody_in(&r) && httpbody_out(&r));
	assert_false(httpbody_in(&rpc) || httpbody_out(&rpc));
	httpbody_write(&wire, &in);
	assert_true(httpbody_read(&r, buf_bytes(&wire), &pieces, &out));
	assert_int_equal(out.data.len, 3);
	assert_true(httpbody_type(&out, type, sizeof type));
	assert_string_equal(type, "image/png");
	assert_false(httpbody_read(&r, (struct bytes){wire.data, wire.len - 1}, &pieces, &out));
	out = (struct httpbody){{NULL, 0}, {NULL, 0}};
	assert_true(httpbody_type(&out, type, sizeof type));
	assert_string_equal(type, "application/octet-stream");
	out.content_type = text_of("text/html\r\nSet-Cookie: a=b");
	assert_false(httpbody_type(&out, type, sizeof type));
	out.content_type = (struct bytes){(const uint8_t *)"text\0/html", 10};
	assert_false(httpbody_type(&out, type, sizeof type));
}

/* --- x-request-id --- */

static void test_request_ids(void **state)
{
	char text[REQUEST_ID_MAX + 2], one[17], two[17];
	uint64_t a[2] = {1, 2}, b[2] = {1, 3};

	assert_true(request_id_is_good("7f/a-b_c.~!\""));
	assert_false(request_id_is_good("") || request_id_is_good("a b") || request_id_is_good("a\tb") ||
		     request_id_is_good("\xc3\xa9") || request_id_is_good("\x7f"));
	memset(text, 'a', sizeof text);
	text[REQUEST_ID_MAX] = '\0';
	assert_true(request_id_is_good(text));
	text[REQUEST_ID_MAX] = 'a';
	text[REQUEST_ID_MAX + 1] = '\0';
	assert_false(request_id_is_good(text));
	request_id_make(a, one);
	request_id_make(a, two);
	assert_int_equal(strspn(one, "0123456789abcdef"), 16);
	assert_string_not_equal(one, two); /* the next one, and that of another thread */
	request_id_make(b, two);
	assert_string_not_equal(one, two);
	assert_true(request_id_is_good(two));
	request_id_init(a);
	request_id_init(b);
	assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gzip_there_and_back), cmocka_unit_test(test_gzip_members),
		cmocka_unit_test(test_gzip_bomb), cmocka_unit_test(test_choices),
		cmocka_unit_test(test_body_codings), cmocka_unit_test(test_tags),
		cmocka_unit_test(test_origin_is_same), cmocka_unit_test(test_default_hosts),
		cmocka_unit_test(test_httpbody), cmocka_unit_test(test_request_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
