/* The access log: a line per request and per refusal, in a file, after rotation,
 * and when the sink is full. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "edge.h"
#include "gateway/access.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct edge *e;
static char dir[64], path[96], why[256];

static int setup(void **state)
{
	struct http_limits limits = edge_limits();

	strcpy(dir, "/tmp/errand-access-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/access.log", dir);
	edge_keep_access = true;
	assert_int_equal(access_open(path, why, sizeof why), 0);
	e = edge_start(&limits);
	return 0;
}

static int teardown(void **state)
{
	char old[128];

	e = edge_stop(e);
	access_close();
	snprintf(old, sizeof old, "%s.1", path);
	unlink(old);
	unlink(path);
	return rmdir(dir);
}

static void read_file(const char *name, struct buf *out)
{
	FILE *f = fopen(name, "r");

	assert_non_null(f);
	buf_reserve(out, 65536);
	out->len = fread(out->data, 1, 65535, f);
	fclose(f);
	buf_cstr(out);
}

static void check_has(struct buf *b, const char *text)
{
	if (strstr(buf_cstr(b), text) == NULL)
		print_error("no %s in %s\n", text, buf_cstr(b));
	assert_non_null(strstr(buf_cstr(b), text));
}

static void test_lines(void **state)
{
	static const char *const parts[] = {
		"{\"time\":\"20", "\"request_id\":\"id-1\"", "\"peer\":\"127.0.0.1:", "\"method\":\"GET\"",
		"\"path\":\"/a%20b\"", "\"route\":\"/{x}\"", "\"status\":200", "\"bytes\":25",
		"\"duration_us\":", "\"upstream_us\":1500", "}\n",
	};
	AUTO_ANSWER a = {0};
	AUTO_BUF b = BUF_INIT;
	int fd;

	ask(e, GET("/a%20b?secret=token"), &a);
	edge_wait(e, EDGE_DONE, 1);
	read_file(path, &b);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		check_has(&b, parts[i]);
	assert_int_equal(strcspn(buf_cstr(&b), "\n") + 1, b.len);
	assert_true(strstr(buf_cstr(&b), "\"bytes\":25") != NULL && a.body.len == 25);
	assert_null(strstr(buf_cstr(&b), "trace_id"));
	fd = edge_connect(e);
	put(fd, "HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n");
	answer_read(fd, &a, true);
	close(fd);
	edge_wait(e, EDGE_DONE, 2);
	buf_reset(&b);
	read_file(path, &b);
	check_has(&b, "\"method\":\"HEAD\",\"path\":\"/h\",\"route\":\"/{x}\",\"status\":200,\"bytes\":0,");
}

static void test_refused(void **state)
{
	AUTO_ANSWER a = {0};
	AUTO_BUF b = BUF_INIT;

	ask(e, "BREW-A-POT-OF-TEA-FOR2 / HTTP/1.1\r\n\r\n", &a);
	edge_wait(e, EDGE_REFUSED, 1);
	read_file(path, &b);
	check_has(&b, "\"peer\":\"127.0.0.1:");
	check_has(&b, "\"status\":501,\"refused\":\"unknown method\"}\n");
}

static void test_rotation(void **state)
{
	AUTO_ANSWER a = {0};
	AUTO_BUF b = BUF_INIT;
	char old[128];

	snprintf(old, sizeof old, "%s.1", path);
	ask(e, GET("/one"), &a);
	edge_wait(e, EDGE_DONE, 1);
	assert_int_equal(rename(path, old), 0);
	assert_int_equal(access_reopen(why, sizeof why), 0);
	ask(e, GET("/two"), &a);
	edge_wait(e, EDGE_DONE, 2);
	read_file(path, &b);
	check_has(&b, "/two");
	assert_null(strstr(buf_cstr(&b), "/one"));
	buf_reset(&b);
	read_file(old, &b);
	check_has(&b, "/one");
}

/* A sink that takes nothing costs lines, not answers. */
static void test_full(void **state)
{
	AUTO_ANSWER a = {0};
	uint64_t before = log_dropped();

	assert_int_equal(access_open("/dev/full", why, sizeof why), 0);
	ask(e, GET("/a"), &a);
	assert_int_equal(a.status, 200);
	edge_wait(e, EDGE_DONE, 1);
	assert_int_equal(log_dropped(), before + 1);
}

static void test_bad_path(void **state)
{
	assert_true(access_open("/nonexistent/dir/log", why, sizeof why) < 0);
	assert_non_null(strstr(why, "/nonexistent/dir/log"));
	assert_int_equal(access_open("off", why, sizeof why), 0);
	assert_int_equal(access_reopen(why, sizeof why), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_lines), T(test_refused), T(test_rotation), T(test_full), T(test_bad_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
