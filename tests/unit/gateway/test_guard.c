/* The gate against a table of raw requests. Each is fed whole and byte by byte: the
 * verdict, what evhttp would see and what counts as complete must agree. Each
 * refused one is followed by GET /SMUGGLED, which must never be seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "gateway/guard.h"
#include "vectors.h"

static const struct guard_limits limits = {
	.max_line = 128, .max_head = 512, .max_body = 1000, .max_chunk_line = 16, .max_headers = 12,
};

struct result {
	int status;
	uint64_t n_complete, n_requests;
	struct buf seen; /* what evhttp would get */
};

/* step 0: whole. Exactly len bytes are on the heap, so that reading over is seen. */
static struct result feed(const char *raw, size_t len, size_t step, const struct guard_limits *l)
{
	struct result r = {.seen = BUF_INIT};
	struct guard_state g;
	uint8_t *copy = xmalloc(len ? len : 1);
	size_t at = 0;

	memcpy(copy, raw, len);
	guard_init(&g, l);
	while (at < len && !g.verdict.status) {
		size_t n = step && step < len - at ? step : len - at;
		size_t good = guard_feed(&g, copy + at, n);

		assert_true(good <= n);
		buf_append(&r.seen, copy + at, good);
		at += good;
		if (g.waiting || g.foreign)
			continue;
		if (good < n && !g.verdict.status) {
			assert_in_range(g.skip, 1, n - good);
			at += g.skip;
		}
	}
	free(copy);
	if (g.verdict.status)
		assert_non_null(g.verdict.why);
	r.status = g.verdict.status;
	r.n_complete = g.n_complete;
	r.n_requests = g.n_requests;
	return r;
}

static void check_equal(const struct result *a, const struct result *b)
{
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->n_complete, b->n_complete);
	assert_int_equal(a->n_requests, b->n_requests);
	assert_int_equal(a->seen.len, b->seen.len);
	if (a->seen.len > 0)
		assert_memory_equal(a->seen.data, b->seen.data, a->seen.len);
}

static unsigned n_wrong; /* vectors of this program with another verdict */

static void check(const char *raw, size_t len, int status, unsigned n)
{
	struct result whole = feed(raw, len, 0, &limits);

	if (whole.status != status || whole.n_complete != n) {
		AUTO_BUF text = BUF_INIT;

		log_quote(&text, raw, len);
		print_error("%s: %d after %u, not %d after %u\n", buf_cstr(&text), whole.status,
			    (unsigned)whole.n_complete, status, n);
		n_wrong++;
	}
	for (size_t step = 1; step <= 3; step++) {
		struct result parts = feed(raw, len, step, &limits);

		check_equal(&whole, &parts);
		buf_deinit(&parts.seen);
	}
	buf_deinit(&whole.seen);
}

static void test_table(void **state)
{
	assert_true(ARRAY_LEN(vectors) >= 150);
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		check(vectors[i].raw, vectors[i].len, vectors[i].status, vectors[i].n);
}

static void test_smuggled(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];
		AUTO_BUF b = BUF_INIT;
		struct result r;

		if (v->status == 0)
			continue;
		buf_append(&b, v->raw, v->len);
		buf_append_str(&b, SMUGGLED);
		check((char *)b.data, b.len, v->status, v->n);
		r = feed((char *)b.data, b.len, 0, &limits);
		assert_true(r.seen.len <= v->len);
		buf_deinit(&r.seen);
	}
}

static void fill(struct buf *b, char c, size_t n)
{
	while (n-- > 0)
		buf_append_byte(b, (uint8_t)c);
}

/* The request line may have 128 bytes with its CRLF. */
static void test_line_limit(void **state)
{
	for (int over = 0; over < 2; over++) {
		AUTO_BUF b = BUF_INIT;

		buf_append_str(&b, "GET /");
		fill(&b, 'a', 128 - strlen("GET / HTTP/1.1\r\n") + (size_t)over);
		buf_append_str(&b, " HTTP/1.1\r\n" H "\r\n");
		check((char *)b.data, b.len, over ? 414 : 0, over ? 0 : 1);
	}
}

static void test_head_limit(void **state)
{
	static const char start[] = "GET / HTTP/1.1\r\n" H "Cookie: ";

	for (int over = 0; over < 2; over++) {
		AUTO_BUF b = BUF_INIT;

		buf_append_str(&b, start);
		fill(&b, 'a', 512 - strlen(start) - 4 + (size_t)over);
		buf_append_str(&b, "\r\n\r\n");
		check((char *)b.data, b.len, over ? 431 : 0, over ? 0 : 1);
	}
}

static void test_header_limit(void **state)
{
	for (int over = 0; over < 2; over++) {
		AUTO_BUF b = BUF_INIT;

		buf_append_str(&b, "GET / HTTP/1.1\r\n" H);
		for (int i = 0; i < 11 + over; i++)
			buf_append_str(&b, "A:\r\n");
		buf_append_str(&b, "\r\n");
		check((char *)b.data, b.len, over ? 431 : 0, over ? 0 : 1);
	}
}

static void test_long_values(void **state)
{
	static const struct guard_limits wide = {4096, 8192, 1000, 16, 12};
	static const struct {
		const char *name;
		char c;
		int status;
		bool ended;
	} cases[] = {
		{"Host: ", 'a', 400, false}, {"Host: a\r\nContent-Length: ", '0', 400, false},
		{"Host: a\r\nTransfer-Encoding: ", 'c', 400, false},
		{"Host: a\r\nConnection: ", 'c', 0, true}, {"Host: a\r\nCookie: ", 'c', 0, false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF b = BUF_INIT;
		struct guard_state g;

		buf_append_str(&b, "GET / HTTP/1.1\r\n");
		buf_append_str(&b, cases[i].name);
		fill(&b, cases[i].c, 300);
		buf_append_str(&b, "\r\n\r\n");
		guard_init(&g, &wide);
		guard_feed(&g, b.data, b.len);
		assert_int_equal(g.verdict.status, cases[i].status);
		assert_int_equal(g.ended, cases[i].ended);
	}
}

static void test_phase(void **state)
{
	static const char head[] = "POST / HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n";
	struct guard_state g;

	guard_init(&g, &limits);
	assert_int_equal(guard_phase(&g), GUARD_IDLE);
	guard_feed(&g, (const uint8_t *)"\r", 1);
	assert_int_equal(guard_phase(&g), GUARD_IDLE);
	guard_feed(&g, (const uint8_t *)"\n", 1);
	guard_feed(&g, (const uint8_t *)head, 1);
	assert_int_equal(guard_phase(&g), GUARD_HEAD);
	guard_feed(&g, (const uint8_t *)head + 1, strlen(head) - 2);
	assert_int_equal(guard_phase(&g), GUARD_HEAD);
	assert_int_equal(g.n_requests, 0);
	guard_feed(&g, (const uint8_t *)head + strlen(head) - 1, 1);
	assert_int_equal(guard_phase(&g), GUARD_BODY);
	assert_int_equal(g.n_requests, 1);
	assert_false(guard_pass(&g, 11));
	assert_true(guard_pass(&g, 9));
	assert_int_equal(g.n_complete, 0);
	assert_true(guard_pass(&g, 1));
	assert_int_equal(g.n_complete, 1);
	assert_int_equal(guard_phase(&g), GUARD_IDLE);
	assert_false(guard_pass(&g, 1));
}

static void test_pass_chunk(void **state)
{
	static const char head[] = POST(CHUNKED, "a\r\n");
	struct guard_state g;

	guard_init(&g, &limits);
	assert_int_equal(guard_feed(&g, (const uint8_t *)head, strlen(head)), strlen(head));
	assert_false(guard_pass(&g, 11));
	assert_true(guard_pass(&g, 10));
	assert_false(guard_pass(&g, 1));
	assert_int_equal(guard_feed(&g, (const uint8_t *)"\r\n0\r\n\r\n", 7), 7);
	assert_int_equal(g.n_complete, 1);
	assert_int_equal(g.body_seen, 10);
}

/* Extensions: 256 bytes a line, 4096 a body; trailers 4096. */
static void test_thrown_away(void **state)
{
	static const struct {
		size_t ext, lines, trailer;
		int status;
	} cases[] = {
		{256, 1, 0, 0}, {257, 1, 0, 400}, {256, 16, 0, 0}, {256, 17, 0, 400}, {2, 2, 4092, 0},
		{2, 2, 4093, 431},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF b = BUF_INIT;

		buf_append_str(&b, POST(CHUNKED, ""));
		for (size_t line = 0; line < cases[i].lines; line++) {
			buf_append_str(&b, "1;");
			fill(&b, 'a', cases[i].ext - 1);
			buf_append_str(&b, "\r\nx\r\n");
		}
		buf_append_str(&b, "0\r\n");
		if (cases[i].trailer > 0) { /* "A:" and its CRLF, and the value */
			buf_append_str(&b, "A:");
			fill(&b, 'b', cases[i].trailer);
			buf_append_str(&b, "\r\n");
		}
		buf_append_str(&b, "\r\n");
		check((char *)b.data, b.len, cases[i].status, cases[i].status == 0);
	}
}

/* What evhttp would see of it has neither extensions, trailers nor tabs. */
static void test_not_shown(void **state)
{
	static const char raw[] = POST("Transfer-Encoding:\tchunked\r\nA:\t \tb\r\n",
				       "2;a=b\r\nxy\r\n0 ;c=\";\"\r\nD: e\r\nF:\r\n\r\n") NEXT;
	static const char want[] = POST("Transfer-Encoding:chunked\r\nA: b\r\n",
					"2\r\nxy\r\n0\r\n\r\n") NEXT;
	struct result r = feed(raw, strlen(raw), 0, &limits);

	assert_int_equal(r.status, 0);
	assert_int_equal(r.seen.len, strlen(want));
	assert_memory_equal(r.seen.data, want, strlen(want));
	buf_deinit(&r.seen);
}

/* The end of a head that waits for 100 Continue is told, others are not. */
static void test_waiting(void **state)
{
	static const struct {
		const char *head;
		bool waiting;
	} cases[] = {
		{POST("Expect: 100-continue\r\nContent-Length: 1\r\n", ""), true},
		{POST("Expect: 100-Continue\r\n" CHUNKED, ""), true},
		{POST("Expect: 100-continue\r\nContent-Length: 0\r\n", ""), false},
		{GET(H "Expect: 100-continue\r\n"), false},
		{"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", false},
		{POST("Content-Length: 1\r\n", ""), false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const uint8_t *raw = (const uint8_t *)cases[i].head;
		size_t n = strlen(cases[i].head);
		struct guard_state g;

		guard_init(&g, &limits);
		assert_int_equal(guard_feed(&g, raw, n), n);
		assert_int_equal(g.waiting, cases[i].waiting);
		assert_int_equal(g.verdict.status, 0);
		guard_feed(&g, (const uint8_t *)"x", 1);
		assert_false(g.waiting);
	}
}

/* Last: all wrong verdicts have been printed by now. */
static void test_none_wrong(void **state)
{
	assert_int_equal(n_wrong, 0);
}

/* A refusal is final. */
static void test_final(void **state)
{
	struct guard_state g;

	guard_init(&g, &limits);
	assert_int_equal(guard_feed(&g, (const uint8_t *)"\0", 1), 0);
	assert_int_equal(g.verdict.status, 400);
	assert_int_equal(guard_feed(&g, (const uint8_t *)NEXT, strlen(NEXT)), 0);
	assert_int_equal(g.n_requests, 0);
	assert_false(guard_pass(&g, 1));
}

/* The state is the same for the 10,000th request of a connection. */
static void test_many(void **state)
{
	struct guard_state g;

	guard_init(&g, &limits);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(guard_feed(&g, (const uint8_t *)NEXT, strlen(NEXT)), strlen(NEXT));
	assert_int_equal(g.n_complete, 10000);
	assert_int_equal(g.verdict.status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table), cmocka_unit_test(test_smuggled),
		cmocka_unit_test(test_line_limit), cmocka_unit_test(test_head_limit),
		cmocka_unit_test(test_header_limit), cmocka_unit_test(test_long_values),
		cmocka_unit_test(test_thrown_away), cmocka_unit_test(test_not_shown),
		cmocka_unit_test(test_waiting), cmocka_unit_test(test_phase), cmocka_unit_test(test_pass_chunk),
		cmocka_unit_test(test_final), cmocka_unit_test(test_many),
		cmocka_unit_test(test_none_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
