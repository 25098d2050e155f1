/* What http.c survives: clients that drip or stall; too many of them;
 * no file descriptors; and its own end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
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

/* Everything the peer sends until it ends; its size. */
static size_t drain(int fd)
{
	char buf[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof buf, 0)) > 0)
		total += (size_t)n;
	assert_true(n == 0 || errno == ECONNRESET);
	return total;
}

/* One byte after the other until the server has had enough; ms it took. */
static int64_t drip(int fd, const char *bytes, int every_ms)
{
	int64_t begin = clock_mono_ns();
	struct pollfd p = {fd, POLLIN, 0};

	for (size_t i = 0;; i++) {
		char c = bytes[i < strlen(bytes) ? i : strlen(bytes) - 1];

		if (poll(&p, 1, every_ms) > 0)
			break;
		assert_true(clock_mono_ns() - begin < WAIT_S * NS_PER_S);
		send(fd, &c, 1, MSG_NOSIGNAL);
	}
	return (clock_mono_ns() - begin) / NS_PER_MS;
}

static void check_drip(const char *before, const char *bytes, int64_t least_ms)
{
	AUTO_ANSWER a = {0};
	int fd = edge_connect(e);
	int64_t ms;

	put(fd, before);
	ms = drip(fd, bytes, 5);
	answer_read(fd, &a, false);
	assert_int_equal(a.status, 408);
	assert_true(a.close);
	assert_true(ms >= least_ms && ms < least_ms * 10 + 1000);
	close(fd);
}

static void test_slow_heads_and_bodies(void **state)
{
	struct http_limits l = edge_limits();

	l.head_timeout_ns = 60 * NS_PER_MS;
	l.body_timeout_ns = 100 * NS_PER_MS;
	start(l);
	check_drip("", "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 60);
	check_drip("GET / HTTP/1.1\r\n", "X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 60);
	check_drip("POST / HTTP/1.1\r\n" H "Content-Length: 100000\r\n\r\n", "a", 100);
	check_drip("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffff\r\n", "a", 100);
	edge_wait(e, EDGE_REFUSED, 4);
	edge_wait_conns(e, 0);
}

/* The same between two requests of one connection. */
static void test_slow_second_head(void **state)
{
	struct http_limits l = edge_limits();
	AUTO_ANSWER a = {0};
	int fd;

	l.head_timeout_ns = 60 * NS_PER_MS;
	start(l);
	fd = edge_connect(e);
	put(fd, GET("/a") "GET /b");
	answer_read(fd, &a, false);
	assert_int_equal(a.status, 200);
	answer_read(fd, &a, false);
	assert_int_equal(a.status, 408);
	expect_eof(fd);
	close(fd);
}

/* A silent connection is closed without a word, before and after a request. */
static void test_idle(void **state)
{
	struct http_limits l = edge_limits();
	AUTO_ANSWER a = {0};
	int fd, fd2;

	l.idle_timeout_ns = 50 * NS_PER_MS;
	start(l);
	fd = edge_connect(e);
	fd2 = edge_connect(e);
	put(fd2, GET("/a"));
	answer_read(fd2, &a, false);
	assert_int_equal(a.status, 200);
	expect_eof(fd);
	expect_eof(fd2);
	close(fd);
	close(fd2);
	/* a request that takes longer is not idle */
	fd = edge_connect(e);
	put(fd, GET("/hold"));
	edge_wait(e, EDGE_HELD, 1);
	fd2 = edge_connect(e);
	expect_eof(fd2);
	edge_answer(e);
	answer_read(fd, &a, false);
	assert_int_equal(a.status, 200);
	close(fd);
	close(fd2);
	edge_wait_conns(e, 0);
}

/* Many that drip; the others do not notice. */
static void test_slowloris(void **state)
{
	enum { N = 200 };
	struct http_limits l = edge_limits();
	int fds[N], n_open = N;
	int64_t worst = 0;

	l.head_timeout_ns = 300 * NS_PER_MS;
	l.body_timeout_ns = 300 * NS_PER_MS;
	start(l);
	for (int i = 0; i < N; i++) {
		fds[i] = edge_connect(e);
		put(fds[i], i % 3 == 0 ? "GET /"
			    : i % 3 == 1 ? "GET / HTTP/1.1\r\nX: "
					 : "POST / HTTP/1.1\r\n" H "Content-Length: 99999\r\n\r\n");
	}
	while (n_open > 0) {
		AUTO_ANSWER a = {0};
		int64_t begin = clock_mono_ns();

		ask(e, GET("/fine"), &a);
		assert_int_equal(a.status, 200);
		worst = MAX(worst, clock_mono_ns() - begin);
		for (int i = 0; i < N; i++) {
			struct pollfd p = {fds[i], POLLIN, 0};

			if (fds[i] < 0)
				continue;
			send(fds[i], "a", 1, MSG_NOSIGNAL);
			if (poll(&p, 1, 0) > 0) {
				close(fds[i]);
				fds[i] = -1;
				n_open--;
			}
		}
	}
	assert_true(worst < 100 * NS_PER_MS);
	edge_wait(e, EDGE_REFUSED, N);
	edge_wait_conns(e, 0);
}

/* --- clients that do not read --- */

static void test_slow_reader_of_stream(void **state)
{
	enum { N = 30 << 20 };
	struct http_limits l = edge_limits();
	AUTO_ANSWER a = {0};
	int fd;

	start(l);
	fd = edge_connect(e);
	put(fd, GET("/stream?31457280"));
	edge_wait(e, EDGE_FULL, 1);
	for (long n = 0, full; n < 50; n++) { /* until it no longer moves */
		full = edge_get(e, EDGE_DRAINED);
		poll(NULL, 0, 10);
		if (full == edge_get(e, EDGE_DRAINED))
			break;
	}
	assert_true(edge_streamed(e) < 20 << 20);
	answer_read(fd, &a, false);
	assert_int_equal(a.body.len, N);
	edge_wait(e, EDGE_DONE, 1);
	assert_int_equal(edge_sent(e), N);
	assert_true(edge_get(e, EDGE_DRAINED) > 1);
	close(fd);
}

static void test_write_stall(void **state)
{
	struct http_limits l = edge_limits();
	AUTO_ANSWER a = {0};
	int big, stream;

	l.write_timeout_ns = 100 * NS_PER_MS;
	start(l);
	big = edge_connect(e);
	put(big, GET("/big?40000000"));
	stream = edge_connect(e);
	put(stream, GET("/stream?40000000"));
	ask(e, GET("/fine"), &a);
	assert_int_equal(a.status, 200);
	edge_wait(e, EDGE_DONE, 3);
	edge_wait(e, EDGE_GONE, 1);
	edge_wait_conns(e, 0);
	assert_true(edge_sent(e) < 40000000);
	assert_true(drain(big) < 40000000);
	assert_true(drain(stream) < 40000000);
	close(big);
	close(stream);
}

/* An open stream with nothing to say is no stall. */
static void test_quiet_stream(void **state)
{
	struct http_limits l = edge_limits();
	AUTO_ANSWER a = {0};
	int fd, idle;

	l.write_timeout_ns = 20 * NS_PER_MS;
	l.idle_timeout_ns = 150 * NS_PER_MS;
	start(l);
	fd = edge_connect(e);
	put(fd, GET("/open"));
	edge_wait(e, EDGE_HELD, 1);
	put(fd, GET("/ahead"));
	edge_check_at_rest();
	idle = edge_connect(e);
	expect_eof(idle);
	close(idle);
	assert_int_equal(edge_get(e, EDGE_GONE), 0);
	edge_answer(e);
	answer_read(fd, &a, false);
	assert_int_equal(a.body.len, 9);
	close(fd);
}

/* --- too much --- */

static void check_endless(const char *before, const char *unit, int status)
{
	AUTO_ANSWER a = {0};
	AUTO_BUF b = BUF_INIT;
	int fd = edge_connect(e);
	int64_t begin = edge_cpu_ns();

	while (b.len < 1 << 20)
		buf_append_str(&b, unit);
	put(fd, before);
	for (int i = 0; i < 16; i++)
		put_bytes(fd, b.data, b.len);
	answer_read(fd, &a, false);
	assert_int_equal(a.status, status);
	assert_true(edge_cpu_ns() - begin < 3 * NS_PER_S);
	close(fd);
}

static void test_endless(void **state)
{
	static const char chunked[] = "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n";

	start(edge_limits());
	check_endless(chunked, "0", 400);
	check_endless(chunked, "\r\n", 400);
	check_endless("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5;", "a", 400);
	check_endless("GET /", "a", 414);
	check_endless("GET / HTTP/1.1\r\nX: ", "a", 431);
	check_endless("GET / HTTP/1.1\r\n", "a:\r\n", 431);
	check_endless("POST / HTTP/1.1\r\n" H "Content-Length: 1073741824\r\n\r\n", "a", 413);
	check_endless(chunked, "1\r\na\r\n", 413);
	edge_wait_conns(e, 0);
	assert_int_equal(edge_get(e, EDGE_REQUESTS), 0);
}

static void test_cap(void **state)
{
	struct http_limits l = edge_limits();
	struct pollfd p;
	AUTO_ANSWER a = {0};
	int fds[4], fifth;

	l.max_connections = 4;
	start(l);
	for (int i = 0; i < 4; i++) {
		fds[i] = edge_connect(e);
		put(fds[i], GET("/a"));
		answer_read(fds[i], &a, false);
		assert_int_equal(a.status, 200);
	}
	fifth = edge_connect(e);
	put(fifth, GET("/fifth"));
	p = (struct pollfd){fifth, POLLIN, 0};
	assert_int_equal(poll(&p, 1, 50), 0);
	edge_wait_conns(e, 4);
	close(fds[2]);
	answer_read(fifth, &a, false);
	assert_int_equal(a.status, 200);
	close(fifth);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			close(fds[i]);
	edge_wait_conns(e, 0);
}

static size_t count_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_churn(void **state)
{
	size_t before;

	start(edge_limits());
	before = count_fds();
	for (int i = 0; i < 1000; i++) {
		AUTO_ANSWER a = {0};

		if (i % 2)
			close(edge_connect(e));
		else
			ask(e, GET("/a"), &a);
	}
	edge_wait_conns(e, 0);
	assert_int_equal(count_fds(), before);
}

/* --- no file descriptors left --- */

static void serve_with_few_fds(int fd)
{
	struct http_limits l = edge_limits();
	struct rlimit few = {40, 40};

	freopen("/dev/null", "w", stderr);
	setrlimit(RLIMIT_NOFILE, &few);
	edge_serve(fd, &l);
	_exit(0);
}

static int64_t child_cpu_ms(pid_t pid)
{
	char path[64], line[512];
	unsigned long user = 0, sys = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof line, f));
	fclose(f);
	sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
	return (int64_t)(user + sys) * 1000 / sysconf(_SC_CLK_TCK);
}

/* Whether somebody got 503 or the end; the others wait in the queue. */
static bool some_turned_away(const int *fds, int n, int ms)
{
	struct pollfd p[80];
	char first[600] = "";

	for (int i = 0; i < n; i++)
		p[i] = (struct pollfd){fds[i], POLLIN, 0};
	if (poll(p, (nfds_t)n, ms) <= 0)
		return false;
	for (int i = 0; i < n; i++)
		if (p[i].revents & POLLIN)
			return recv(fds[i], first, sizeof first - 1, MSG_PEEK) <= 0 ||
				(strncmp(first, "HTTP/1.1 503", 12) == 0 && strstr(first, "problem+json") != NULL);
	return true;
}

static void test_emfile(void **state)
{
	enum { N = 80 };
	AUTO_ANSWER a = {0};
	int port, fds[N], listener = edge_listen(&port);
	int64_t cpu;
	pid_t pid = fork();

	if (pid == 0)
		serve_with_few_fds(listener);
	close(listener);
	for (int i = 0; i < N; i++) {
		fds[i] = edge_connect_port(port);
		assert_true(fds[i] >= 0);
	}
	assert_true(some_turned_away(fds, N, WAIT_S * 1000));
	cpu = child_cpu_ms(pid);
	poll(NULL, 0, 300); /* what is measured is the time itself */
	assert_true(child_cpu_ms(pid) - cpu <= 60);
	/* those who were accepted are served, and it recovers alone */
	put(fds[0], GET("/a"));
	answer_read(fds[0], &a, false);
	assert_int_equal(a.status, 200);
	for (int i = 0; i < N; i++)
		close(fds[i]);
	fds[0] = edge_connect_port(port);
	put(fds[0], GET("/b"));
	answer_read(fds[0], &a, false);
	assert_int_equal(a.status, 200);
	close(fds[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- the end --- */

static void test_drain(void **state)
{
	AUTO_ANSWER a = {0};
	int idle, held, half;

	start(edge_limits());
	idle = edge_connect(e);
	put(idle, GET("/a"));
	answer_read(idle, &a, false);
	half = edge_connect(e);
	put(half, "GET /half HT");
	held = edge_connect(e);
	put(held, GET("/hold"));
	edge_wait(e, EDGE_HELD, 1);
	edge_drain(e);
	expect_eof(idle);
	put(half, "TP/1.1\r\n" H "\r\n");
	answer_read(half, &a, false);
	assert_int_equal(a.status, 200);
	assert_true(a.close);
	edge_answer(e);
	answer_read(held, &a, false);
	assert_int_equal(a.status, 200);
	assert_true(a.close);
	edge_wait_conns(e, 0);
	expect_eof(held);
	assert_true(edge_refuses(e));
	close(idle);
	close(half);
	close(held);
}

/* Stopped with requests under way: nothing leaks, nobody crashes. */
static void test_free_under_way(void **state)
{
	int fds[6];
	static const char *const texts[] = {
		GET("/hold"), GET("/open"), GET("/big?9000000"), "GET / HT", GET("/stream?9000000"),
		"BAD \r\n",
	};

	start(edge_limits());
	for (int i = 0; i < 6; i++) {
		fds[i] = edge_connect(e);
		put(fds[i], texts[i]);
	}
	edge_wait(e, EDGE_HELD, 2);
	edge_wait(e, EDGE_FULL, 1);
	edge_wait(e, EDGE_REFUSED, 1);
	e = edge_stop(e);
	for (int i = 0; i < 6; i++)
		close(fds[i]);
	start(edge_limits());
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_emfile), /* first: it forks */
		T(test_slow_heads_and_bodies), T(test_slow_second_head), T(test_idle), T(test_slowloris),
		T(test_slow_reader_of_stream),
		T(test_write_stall), T(test_quiet_stream), T(test_endless), T(test_cap), T(test_churn),
		T(test_drain), T(test_free_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
