/* Requests and answers over real sockets: what a client sees of http.c. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge.h"
#include "vectors.h"

#undef GET
#define GET(target) TARGET(target)

static struct edge *e;

static int setup(void **state)
{
	struct http_limits limits = edge_limits();

	e = edge_start(&limits);
	return 0;
}

static int teardown(void **state)
{
	assert_int_equal(edge_get(e, EDGE_SMUGGLED), 0);
	e = edge_stop(e);
	return 0;
}

static void check_body(const struct answer *a, const char *text)
{
	assert_int_equal(a->body.len, strlen(text));
	assert_memory_equal(a->body.data, text, a->body.len);
}

static void test_get(void **state)
{
	AUTO_ANSWER a = {0};

	ask(e, GET("/a%20b/c?x=1&y"), &a);
	assert_int_equal(a.status, 200);
	check_body(&a, "GET /a%20b/c ?x=1&y ");
	assert_true(answer_has(&a, "Content-Type: text/plain"));
	assert_true(answer_has(&a, "Server: errand"));
	assert_non_null(memmem(a.head.data, a.head.len, "\r\nDate: ", 8));
	assert_false(a.close);
	edge_wait(e, EDGE_DONE, 1);
	assert_int_equal(edge_sent(e), a.body.len);
	assert_int_equal(edge_status(e), 200);
}

/* The same head as GET's, no body, and the connection goes on. */
static void test_head(void **state)
{
	AUTO_ANSWER get = {0};
	AUTO_ANSWER head = {0};
	int fd = edge_connect(e);

	put(fd, GET("/big?10"));
	answer_read(fd, &get, false);
	put(fd, "HEAD /big?10 HTTP/1.1\r\n" H "\r\n");
	answer_read(fd, &head, true);
	assert_int_equal(head.head.len, get.head.len);
	assert_true(answer_has(&head, "Content-Length: 10"));
	put(fd, "HEAD /x HTTP/1.1\r\n" H "\r\n" GET("/next"));
	answer_read(fd, &head, true);
	answer_read(fd, &get, false);
	check_body(&get, "GET /next ? ");
	close(fd);
}

static void test_verbs(void **state)
{
	static const char *const verbs[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
	int fd = edge_connect(e);

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		AUTO_ANSWER a = {0};
		AUTO_BUF b = BUF_INIT;

		buf_printf(&b, "%s /v HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi", verbs[i]);
		put(fd, buf_cstr(&b));
		answer_read(fd, &a, false);
		buf_reset(&b);
		buf_printf(&b, "%s /v ? ", verbs[i]);
		check_body(&a, buf_cstr(&b));
	}
	put(fd, "OPTIONS * HTTP/1.1\r\n" H "\r\n");
	AUTO_ANSWER a = {0};
	answer_read(fd, &a, false);
	check_body(&a, "OPTIONS * ? ");
	close(fd);
}

static void test_no_content(void **state)
{
	static const char *const statuses[] = {"204", "304"};
	int fd = edge_connect(e);

	for (size_t i = 0; i < 2; i++) {
		AUTO_ANSWER a = {0};
		AUTO_BUF b = BUF_INIT;

		buf_printf(&b, "GET /status?%s HTTP/1.1\r\n" H "\r\n", statuses[i]);
		put(fd, buf_cstr(&b));
		answer_read(fd, &a, true);
		assert_int_equal(a.status, atoi(statuses[i]));
		assert_null(memmem(a.head.data, a.head.len, "Content-", 8));
	}
	AUTO_ANSWER a = {0};
	put(fd, GET("/status?422"));
	answer_read(fd, &a, false);
	assert_true(memcmp(a.head.data, "HTTP/1.1 422 Unprocessable Content\r\n", 36) == 0);
	check_body(&a, "body");
	close(fd);
}

static void test_headers(void **state)
{
	AUTO_ANSWER a = {0};

	ask(e, "GET /headers HTTP/1.1\r\n" H "X-List: one\r\nX-LIST:   two  \r\n\r\n", &a);
	assert_int_equal(a.status, 200);
	assert_true(answer_has(&a, "X-Clean: a b"));
	assert_true(answer_has(&a, "X-First: one"));
	assert_true(answer_has(&a, "X-Second: two"));
	assert_true(answer_has(&a, "X-Third: none"));
	assert_true(answer_has(&a, "Content-Length: 0"));
	assert_null(memmem(a.head.data, a.head.len, "Dirty", 5));
	assert_null(memmem(a.head.data, a.head.len, "Set-Cookie", 10));
	assert_non_null(memmem(a.head.data, a.head.len, "X-Peer: 127.0.0.1:", 18));
	assert_null(memmem(a.head.data, a.head.len, "Content-Type", 12));
}

/* Refused: a problem, Connection: close, the end; what follows is never run. */
static void test_refused(void **state)
{
	static const struct {
		int status;
		const char *raw;
	} cases[] = {
		{400, "GET / HTTP/1.1\r\n\r\n"}, {400, GET("//x")}, {501, "BREW-A-POT-OF-TEA-FOR2 / HTTP/1.1\r\n" H "\r\n"},
		{405, "TRACE / HTTP/1.1\r\n" H "\r\n"}, {505, "GET / HTTP/3.0\r\n" H "\r\n"},
		{400, "POST / HTTP/1.1\r\n" H "Content-Length : 31\r\n\r\n"},
		{400, "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\nContent-Length: 31\r\n\r\n"},
		{400, "HEAD / HTTP/1.1\r\n" H "Content-Length: 31\r\n\r\n"},
		{400, "POST / HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n"},
		{501, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"},
		{400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{417, "POST / HTTP/1.1\r\n" H "Expect: tea\r\nContent-Length: 4\r\n\r\n"},
		{413, "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n"},
		{400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5;x=\r\nabcde\r\n"},
		{400, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefg"},
		{413, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n100001\r\n"},
		{400, "\x16\x03\x01\x02"}, {400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, {400, "\r\n\r\n\r\n"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_ANSWER a = {0};
		AUTO_BUF want = BUF_INIT;
		bool head;
		int fd = edge_connect(e);

		put(fd, cases[i].raw);
		put(fd, SMUGGLED);
		head = strncmp(cases[i].raw, "HEAD", 4) == 0;
		answer_read(fd, &a, head);
		assert_int_equal(a.status, cases[i].status);
		assert_true(a.close);
		assert_true(answer_has(&a, "Content-Type: application/problem+json"));
		assert_int_equal(answer_has(&a, "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
				 a.status == 405);
		buf_printf(&want, "\"status\":%d,", a.status);
		if (!head)
			assert_non_null(memmem(a.body.data, a.body.len, want.data, want.len));
		expect_eof(fd);
		close(fd);
		edge_wait(e, EDGE_REFUSED, (long)i + 1);
		assert_int_equal(edge_status(e), cases[i].status);
	}
	edge_wait_conns(e, 0);
	assert_int_equal(edge_get(e, EDGE_REQUESTS), 0);
}

/* What came before an illegal byte is answered first, also when it takes time. */
static void test_refused_in_order(void **state)
{
	AUTO_ANSWER a = {0};
	int fd = edge_connect(e);

	put(fd, GET("/one") GET("/hold") "POST /two HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"
		"GET / HTTP/1.1\r\n" H H "\r\n" SMUGGLED);
	edge_wait(e, EDGE_HELD, 1);
	put(fd, SMUGGLED);
	assert_int_equal(edge_get(e, EDGE_REFUSED), 0);
	edge_answer(e);
	answer_read(fd, &a, false);
	check_body(&a, "GET /one ? ");
	answer_read(fd, &a, false);
	check_body(&a, "held");
	answer_read(fd, &a, false);
	check_body(&a, "POST /two ? ");
	answer_read(fd, &a, false);
	assert_int_equal(a.status, 400);
	expect_eof(fd);
	close(fd);
}

/* evhttp runs exactly the requests the gate has counted, and no HTML of its own
 * ever comes back. */
static void test_vectors(void **state)
{
	struct http_limits limits = edge_limits();

	edge_stop(e);
	limits.max_body = 1000; /* test_guard's */
	limits.max_headers = 12;
	e = edge_start(&limits);
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];
		long n = edge_get(e, EDGE_REQUESTS), refused = edge_get(e, EDGE_REFUSED);
		AUTO_BUF all = BUF_INIT;
		int fd = edge_connect(e);

		put_bytes(fd, v->raw, v->len);
		if (v->status == 0)
			shutdown(fd, SHUT_WR);
		read_all(fd, &all);
		close(fd);
		edge_wait_conns(e, 0);
		if (edge_get(e, EDGE_REQUESTS) != n + v->n)
			print_error("vector %zu: %.*s\n", i, (int)v->len, v->raw);
		assert_int_equal(edge_get(e, EDGE_REQUESTS), n + v->n);
		assert_int_equal(edge_get(e, EDGE_REFUSED), refused + (v->status != 0));
		assert_null(strstr(buf_cstr(&all), "text/html"));
		if (v->status != 0)
			assert_int_equal(edge_status(e), v->status);
	}
}

static void test_pipeline(void **state)
{
	enum { N = 1000 };
	AUTO_BUF b = BUF_INIT;
	int fd = edge_connect(e);

	for (int i = 0; i < N; i++)
		buf_printf(&b, i % 3 ? "GET /%d HTTP/1.1\r\n" H "\r\n"
				     : "POST /%d HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbody", i);
	put_bytes(fd, b.data, b.len);
	for (int i = 0; i < N; i++) {
		AUTO_ANSWER a = {0};
		AUTO_BUF want = BUF_INIT;

		answer_read(fd, &a, false);
		buf_printf(&want, "%s /%d ? ", i % 3 ? "GET" : "POST", i);
		check_body(&a, buf_cstr(&want));
	}
	close(fd);
}

static void test_http10(void **state)
{
	AUTO_ANSWER a = {0};
	int fd = edge_connect(e);

	put(fd, "GET /a HTTP/1.0\r\n\r\n" SMUGGLED);
	answer_read(fd, &a, false);
	assert_true(a.close);
	check_body(&a, "GET /a ? ");
	expect_eof(fd);
	close(fd);
	fd = edge_connect(e);
	for (int i = 0; i < 3; i++) {
		put(fd, "GET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
		answer_read(fd, &a, false);
		assert_true(answer_has(&a, "Connection: keep-alive"));
		check_body(&a, "GET /b ? ");
	}
	close(fd);
}

static void test_close(void **state)
{
	static const char *const lists[] = {"close", "Close", "x, close", "keep-alive,close", "close, x"};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		AUTO_ANSWER a = {0};
		AUTO_BUF b = BUF_INIT;
		int fd = edge_connect(e);

		buf_printf(&b, GET("/first") "GET /last HTTP/1.1\r\n" H "Connection: %s\r\n\r\n" SMUGGLED,
			   lists[i]);
		put(fd, buf_cstr(&b));
		answer_read(fd, &a, false);
		assert_false(a.close);
		answer_read(fd, &a, false);
		assert_true(a.close);
		check_body(&a, "GET /last ? ");
		expect_eof(fd);
		close(fd);
	}
}

/* Old clients send an empty line after a body. */
static void test_empty_line(void **state)
{
	static const char raw[] = "POST /echo HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nhi\r\n" GET("/b");

	for (int bytewise = 0; bytewise < 2; bytewise++) {
		AUTO_ANSWER a = {0};
		int fd = edge_connect(e);

		for (size_t at = 0, n; at < sizeof raw - 1; at += n) {
			n = bytewise ? 1 : sizeof raw - 1;
			put_bytes(fd, raw + at, n);
		}
		answer_read(fd, &a, false);
		check_body(&a, "hi");
		answer_read(fd, &a, false);
		check_body(&a, "GET /b ? ");
		close(fd);
	}
}

static void test_chunked_body(void **state)
{
	static const char raw[] = "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
				  "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n" GET("/next");

	for (size_t step = 1; step < 40; step += 6) {
		AUTO_ANSWER a = {0};
		int fd = edge_connect(e);

		for (size_t at = 0; at < sizeof raw - 1; at += step)
			put_bytes(fd, raw + at, MIN(step, sizeof raw - 1 - at));
		answer_read(fd, &a, false);
		check_body(&a, "hello, world");
		assert_false(a.chunked);
		answer_read(fd, &a, false);
		check_body(&a, "GET /next ? ");
		close(fd);
	}
}

/* Of the largest size allowed, both ways. */
static void test_large_body(void **state)
{
	enum { N = 1 << 20 };
	AUTO_ANSWER a = {0};
	AUTO_BUF b = BUF_INIT;
	int fd = edge_connect(e);

	for (int i = 0; i < N; i++)
		buf_append_byte(&b, (uint8_t)(i * 7 + i / 251));
	put(fd, "POST /echo HTTP/1.1\r\n" H "Content-Length: 1048576\r\n\r\n");
	put_bytes(fd, b.data, b.len);
	answer_read(fd, &a, false);
	assert_int_equal(a.body.len, N);
	assert_memory_equal(a.body.data, b.data, N);
	put(fd, GET("/next"));
	answer_read(fd, &a, false);
	check_body(&a, "GET /next ? ");
	close(fd);
}

static void test_expect(void **state)
{
	AUTO_ANSWER a = {0};
	int fd = edge_connect(e);

	for (int i = 0; i < 2; i++) {
		put(fd, "POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
		answer_read(fd, &a, false);
		assert_int_equal(a.status, 100);
		put(fd, "ok");
		answer_read(fd, &a, false);
		assert_int_equal(a.status, 200);
		check_body(&a, "ok");
	}
	close(fd);
}

static void test_stream(void **state)
{
	AUTO_ANSWER a = {0};
	int fd = edge_connect(e);

	put(fd, GET("/stream?25000") GET("/after"));
	answer_read(fd, &a, false);
	assert_true(a.chunked);
	assert_int_equal(a.body.len, 25000);
	answer_read(fd, &a, false);
	check_body(&a, "GET /after ? ");
	put(fd, GET("/stream?0"));
	answer_read(fd, &a, false);
	assert_int_equal(a.body.len, 0);
	put(fd, GET("/open"));
	edge_wait(e, EDGE_HELD, 1);
	edge_answer(e);
	answer_read(fd, &a, false);
	check_body(&a, "data: 1\n\n");
	assert_true(answer_has(&a, "Cache-Control: no-store"));
	put(fd, "HEAD /stream?100 HTTP/1.1\r\n" H "\r\n" GET("/end"));
	answer_read(fd, &a, true);
	assert_true(answer_has(&a, "Content-Type: application/octet-stream"));
	answer_read(fd, &a, false);
	check_body(&a, "GET /end ? ");
	close(fd);
}

static void test_stream_http10(void **state)
{
	AUTO_ANSWER a = {0};
	int fd = edge_connect(e);

	put(fd, "GET /stream?300000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" SMUGGLED);
	answer_read(fd, &a, false);
	assert_false(a.chunked);
	assert_true(a.close);
	assert_int_equal(a.body.len, 300000);
	expect_eof(fd);
	close(fd);
}

/* The first event must not wait for the second. */
static void test_stream_at_once(void **state)
{
	char text[400];
	size_t len = 0;
	int fd = edge_connect(e);

	put(fd, GET("/open"));
	while (len < sizeof text - 1) {
		ssize_t n = recv(fd, text + len, sizeof text - 1 - len, 0);

		assert_true(n > 0);
		len += (size_t)n;
		if (memmem(text, len, "data: 1\n\n", 9) != NULL)
			break;
	}
	assert_non_null(memmem(text, len, "data: 1\n\n", 9));
	assert_int_equal(edge_get(e, EDGE_DONE), 0);
	close(fd);
	edge_wait(e, EDGE_GONE, 1);
	edge_wait_conns(e, 0);
}

/* Bytes that follow a request while it is handled wait their turn. */
static void test_pipelined_while_held(void **state)
{
	AUTO_ANSWER a = {0};
	int fd = edge_connect(e);

	for (int i = 0; i < 3; i++) {
		put(fd, i % 2 ? "POST /hold HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx" : GET("/hold"));
		edge_wait(e, EDGE_HELD, i + 1);
		put(fd, "G");
		put(fd, "ET /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\na");
		put(fd, "bc");
		edge_answer(e);
		answer_read(fd, &a, false);
		check_body(&a, "held");
		answer_read(fd, &a, false);
		check_body(&a, "abc");
	}
	close(fd);
}

/* Full lasts until all has drained, also for who writes on meanwhile: otherwise
 * nobody is told, and the stream stands still. */
static void test_full_until_drained(void **state)
{
	enum { BIG = 1 << 20, STEP = 100000 };
	struct http_limits l = edge_limits();
	AUTO_BUF rest = BUF_INIT;
	static char some[STEP];
	int fd;

	l.max_stream_buffer = BIG;
	edge_stop(e);
	e = edge_start(&l);
	fd = edge_connect(e);
	put(fd, "GET /stream?12000000 HTTP/1.1\r\n" H "Connection: close\r\n\r\n");
	edge_wait(e, EDGE_FULL, 1);
	for (int i = 0; i < 12000000 / STEP; i++) {
		if (edge_get(e, EDGE_DRAINED) > 0)
			break;
		edge_poke(e);
		edge_wait_conns(e, 1); /* it has been done */
		assert_int_equal(recv(fd, some, sizeof some, MSG_WAITALL), STEP);
	}
	read_all(fd, &rest);
	assert_true(edge_get(e, EDGE_DRAINED) > 0);
	assert_memory_equal(rest.data + rest.len - 5, "0\r\n\r\n", 5);
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_get), T(test_head), T(test_verbs), T(test_no_content), T(test_headers),
		T(test_refused), T(test_refused_in_order), T(test_vectors), T(test_pipeline), T(test_http10),
		T(test_close), T(test_empty_line), T(test_chunked_body), T(test_large_body),
		T(test_expect), T(test_stream), T(test_stream_http10), T(test_stream_at_once),
		T(test_pipelined_while_held), T(test_full_until_drained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
