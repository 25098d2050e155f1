/* What http.c makes of clients that send no more, go away, or ask without waiting
 * for answers. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "edge.h"

#define H "Host: a\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" H "\r\n"

static struct edge *e;

static void start(struct http_limits limits)
{
	e = edge_start(&limits);
}

static int teardown(void **state)
{
	e = edge_stop(e);
	return 0;
}

/* Bytes that have come and were not read. */
static int ahead(int fd)
{
	int n = 0;

	ioctl(fd, FIONREAD, &n);
	return n;
}

/* --- clients that go away --- */

static void test_gone(void **state)
{
	int fd;

	start(edge_limits());
	fd = edge_connect(e);
	put(fd, GET("/hold"));
	edge_wait(e, EDGE_HELD, 1);
	close(fd);
	edge_wait(e, EDGE_GONE, 1);
	edge_wait_conns(e, 0);
	assert_int_equal(edge_get(e, EDGE_DONE), 0);
	edge_answer(e);
	edge_wait(e, EDGE_DONE, 1);
	assert_int_equal(edge_sent(e), 0);
	/* also with a body, bytes sent ahead, and by reset */
	fd = edge_connect(e);
	put(fd, "POST /hold HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nab" GET("/x") "GET /");
	edge_wait(e, EDGE_HELD, 2);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	close(fd);
	edge_wait(e, EDGE_GONE, 2);
	edge_answer(e);
	edge_wait(e, EDGE_DONE, 2);
	assert_int_equal(edge_get(e, EDGE_REQUESTS), 2);
}

/* A client that closes its own direction is answered, however long it takes; one that
 * closes both looks the same at first, and is found by what is sent ahead. */
static void test_half_close(void **state)
{
	AUTO_ANSWER a = {0};
	int fd;

	start(edge_limits());
	for (int i = 0; i < 50; i++) {
		fd = edge_connect(e);
		put(fd, GET("/a"));
		shutdown(fd, SHUT_WR);
		answer_read(fd, &a, false);
		assert_int_equal(a.status, 200);
		expect_eof(fd);
		close(fd);
	}
	fd = edge_connect(e);
	put(fd, GET("/hold"));
	edge_wait(e, EDGE_HELD, 1);
	shutdown(fd, SHUT_WR);
	for (char c; recv(fd, &c, 1, MSG_PEEK) == 1 && ahead(fd) < 2;)
		poll(NULL, 0, 10);
	assert_int_equal(edge_get(e, EDGE_GONE), 0);
	edge_answer(e);
	answer_read(fd, &a, false);
	assert_int_equal(a.status, 200);
	expect_eof(fd);
	close(fd);
	fd = edge_connect(e);
	put(fd, GET("/hold"));
	edge_wait(e, EDGE_HELD, 2);
	close(fd);
	edge_wait(e, EDGE_GONE, 1);
	edge_answer(e);
	edge_wait(e, EDGE_DONE, 52);
}

/* The zero that is sent ahead in a stream is part of the next size, or of the end. */
static void test_half_close_of_stream(void **state)
{
	start(edge_limits());
	for (int i = 0; i < 2; i++) {
		AUTO_ANSWER a = {0};
		int fd = edge_connect(e), before;

		put(fd, GET("/open"));
		shutdown(fd, SHUT_WR);
		edge_wait(e, EDGE_HELD, i + 1);
		for (before = 0; before == 0; before = ahead(fd))
			poll(NULL, 0, 10);
		while (ahead(fd) == before)
			poll(NULL, 0, 10);
		if (i == 1)
			edge_poke(e);
		edge_answer(e);
		answer_read(fd, &a, false);
		assert_int_equal(a.status, 200);
		assert_true(a.chunked && a.body.len > 0);
		expect_eof(fd);
		close(fd);
	}
	assert_int_equal(edge_get(e, EDGE_GONE), 0);
}

/* What is refused comes too, and what is not whole gets nothing. */
static void test_half_close_refused(void **state)
{
	start(edge_limits());
	for (int i = 0; i < 50; i++) {
		AUTO_ANSWER a = {0};
		AUTO_ANSWER b = {0};
		int fd = edge_connect(e);

		put(fd, GET("/a") "GET /b HTTP/1.1\r\n\r\n");
		shutdown(fd, SHUT_WR);
		answer_read(fd, &a, false);
		answer_read(fd, &b, false);
		assert_int_equal(a.status, 200);
		assert_int_equal(b.status, 400);
		expect_eof(fd);
		close(fd);
		fd = edge_connect(e);
		put(fd, "POST /a HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\na");
		shutdown(fd, SHUT_WR);
		expect_eof(fd);
		close(fd);
	}
	assert_int_equal(edge_get(e, EDGE_REQUESTS), 50);
}

/* It sends no more but listens: answers that take a moment arrive, also large ones,
 * and those of pipelined requests. */
static void test_half_close_listens(void **state)
{
	static const int sizes[] = {0, 0, 4 << 20};

	start(edge_limits());
	for (int i = 0; i < 20; i++) {
		int fd = edge_connect(e);

		put(fd, GET("/hold") GET("/hold") GET("/big?4194304"));
		edge_wait(e, EDGE_HELD, 2 * i + 1);
		shutdown(fd, SHUT_WR);
		edge_answer(e);
		edge_wait(e, EDGE_HELD, 2 * i + 2);
		edge_answer(e);
		for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
			AUTO_ANSWER a = {0};

			answer_read(fd, &a, false);
			assert_int_equal(a.status, 200);
			assert_true(a.body.len >= (size_t)sizes[k]);
		}
		expect_eof(fd);
		close(fd);
	}
	assert_int_equal(edge_get(e, EDGE_GONE), 0);
}

static void test_gone_in_head_and_body(void **state)
{
	static const char *const parts[] = {
		"", "G", "GET / HTTP/1.1\r\nHo", "POST / HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\nabc",
		"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nab", "\r", "BAD\r\n",
	};

	start(edge_limits());
	for (size_t i = 0; i < 70; i++) {
		int fd = edge_connect(e);

		put(fd, parts[i % ARRAY_LEN(parts)]);
		if (i < 35)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
				   sizeof(struct linger));
		close(fd);
	}
	edge_wait_conns(e, 0);
	assert_int_equal(edge_get(e, EDGE_REQUESTS), 0);
}

/* Requests sent ahead without end while one is handled: reading stops. */
static void test_flood_while_held(void **state)
{
	static const char some[] = GET("/x") GET("/x") GET("/x") GET("/x");
	size_t sent = 0;
	struct pollfd p;
	int fd;

	start(edge_limits());
	fd = edge_connect(e);
	put(fd, GET("/hold"));
	edge_wait(e, EDGE_HELD, 1);
	p = (struct pollfd){fd, POLLOUT, 0};
	while (poll(&p, 1, 200) > 0 && sent < 50 << 20) {
		ssize_t n = send(fd, some, sizeof some - 1, MSG_DONTWAIT);

		assert_true(n > 0 || errno == EAGAIN);
		sent += n > 0 ? (size_t)n : 0;
	}
	assert_true(sent < 20 << 20); /* what the kernel holds, and 64 KiB */
	edge_check_at_rest();
	close(fd); /* cannot be seen: the end is queued behind what is not read */
	edge_answer(e);
	edge_wait_conns(e, 0);
}

/* Reading has stopped, but the kernel has the end of the connection. */
static void test_gone_while_clogged(void **state)
{
	AUTO_BUF b = BUF_INIT;
	int fd;

	start(edge_limits());
	for (int i = 0; i < 3; i++) {
		fd = edge_connect(e);
		put(fd, GET("/hold"));
		edge_wait(e, EDGE_HELD, i + 1);
		buf_reset(&b);
		while (b.len < 100000)
			buf_append_str(&b, GET("/x"));
		put_bytes(fd, b.data, b.len);
		close(fd);
		edge_wait(e, EDGE_GONE, i + 1);
	}
	edge_wait_conns(e, 0);
	assert_int_equal(edge_get(e, EDGE_REQUESTS), 3);
}

/* The same, but the client stays: all are answered. */
static void test_flood_then_answers(void **state)
{
	enum { N = 4000 };
	AUTO_BUF b = BUF_INIT;
	int fd;

	start(edge_limits());
	fd = edge_connect(e);
	put(fd, GET("/hold"));
	edge_wait(e, EDGE_HELD, 1);
	for (int i = 0; i < N; i++)
		buf_append_str(&b, GET("/x"));
	put_bytes(fd, b.data, b.len);
	edge_answer(e);
	for (int i = 0; i <= N; i++) {
		AUTO_ANSWER a = {0};

		answer_read(fd, &a, false);
		assert_int_equal(a.status, 200);
	}
	close(fd);
}

#define T(f) cmocka_unit_test_teardown(f, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_gone), T(test_half_close), T(test_half_close_of_stream), T(test_half_close_refused),
		T(test_half_close_listens), T(test_gone_in_head_and_body), T(test_flood_while_held),
		T(test_gone_while_clogged), T(test_flood_then_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
