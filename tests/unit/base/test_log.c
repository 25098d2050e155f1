/* Log lines and traceparent: what is a key and a value is never up to what is printed;
 * ids are those of the thread; JSON is JSON. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/log.h"
#include "base/trace.h"

static int real_stderr, catch[2];

static int setup(void **state)
{
	real_stderr = dup(2);
	assert_int_equal(pipe(catch), 0);
	dup2(catch[1], 2);
	log_init("t", LOG_LEVEL_INFO);
	log_format_set(LOG_LOGFMT);
	log_ids_clear();
	return 0;
}

static int teardown(void **state)
{
	dup2(real_stderr, 2);
	close(real_stderr);
	close(catch[0]);
	close(catch[1]);
	return 0;
}

/* What was written last, from `msg=` on in logfmt. */
static const char *written(void)
{
	static char line[8192];
	ssize_t n = read(catch[0], line, sizeof line - 1);

	assert_true(n > 0);
	line[n] = 0;
	assert_int_equal(line[n - 1], '\n');
	line[n - 1] = 0;
	assert_null(strchr(line, '\n'));
	return line;
}

static const char *tail(void)
{
	const char *line = written(), *msg = strstr(line, "msg=");

	assert_non_null(msg);
	return msg;
}

static void test_values_cannot_forge_pairs(void **state)
{
	log_info("event", "a=%s why=\"%s\" n=%d", "x level=error", "say \"hi\" b=1\n<3>x", -3);
	assert_string_equal(tail(), "msg=event a=\"x level=error\" why=\"say \\\"hi\\\" b=1\\n<3>x\" n=-3");
	log_info("event", "why=\"%s\"", "");
	assert_string_equal(tail(), "msg=event why=\"\"");
	log_info("event>", "a=%s b=%s n=%d", "x>", "<4>", 1); /* a space stands between pairs, whatever they end in */
	assert_string_equal(tail(), "msg=event> a=x> b=<4> n=1");
	log_info("two words", NULL);
	assert_string_equal(tail(), "msg=\"two words\"");
}

static void test_conversions(void **state)
{
	log_info("n", "a=%u b=%lld c=%zu d=%llu e=%.3s f=%.*s g=%.2f h=%x i=%% k=%ld", 4000000000u, -5LL,
		 (size_t)7, ~0ULL, "abcdef", 2, "xyz", 1.256, 255u, 9L);
	assert_string_equal(tail(), "msg=n a=4000000000 b=-5 c=7 d=18446744073709551615 e=abc f=xy g=1.26 "
			    "h=ff i=% k=9");
}

/* A value that log_quote has quoted is not quoted twice. */
static void test_quoted_before(void **state)
{
	AUTO_BUF q = BUF_INIT;

	log_quote(&q, "a \"b\"\x01", 6);
	log_info("m", "why=%s", buf_cstr(&q));
	assert_string_equal(tail(), "msg=m why=\"a \\\"b\\\"\\x01\"");
}

static void test_json(void **state)
{
	char big[6000];
	const char *line;

	log_format_set(LOG_JSON);
	log_info("event", "a=%s why=\"%s\"", "x\xff", "say \"hi\"\n\x1f");
	line = written();
	assert_non_null(strstr(line, "\"level\":\"info\",\"prog\":\"t\",\"msg\":\"event\",\"a\":\"x\xef\xbf\xbd\","
			       "\"why\":\"say \\\"hi\\\"\\n\\u001f\"}"));
	assert_int_equal(line[0], '{');
	memset(big, '\x01', sizeof big - 1); /* six bytes each */
	big[sizeof big - 1] = 0;
	log_info("event", "big=%s after=1", big);
	line = written();
	assert_true(strlen(line) < 4096);
	assert_int_equal(line[strlen(line) - 1], '}');
	assert_int_equal(line[strlen(line) - 2], '"');
}

static void test_ids(void **state)
{
	const struct log_ids ids = {"r1", "t1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 2};
	const struct log_ids forged = {.request = "r1", .traceparent = "x level=error"};
	struct log_ids *copy = log_ids_copy(&ids);

	assert_null(log_ids_set(copy));
	log_info("m", "k=1");
	assert_string_equal(tail(), "msg=m k=1 request_id=r1 task=t1 attempt=2 trace_id=0af7651916cd43dd8448eb211c80319c");
	log_info("m", "task=other");
	assert_string_equal(tail(), "msg=m task=other request_id=r1 attempt=2 trace_id=0af7651916cd43dd8448eb211c80319c");
	assert_ptr_equal(log_ids_set(&forged), copy);
	log_info("m", NULL);
	assert_string_equal(tail(), "msg=m request_id=r1");
	assert_ptr_equal(log_ids_set(NULL), &forged);
	log_info("m", "k=1");
	assert_string_equal(tail(), "msg=m k=1");
	free(copy);
	assert_null(log_ids_copy(&(struct log_ids){0}));
}

static void test_journal(void **state)
{
	struct stat st;
	char stream[64];

	log_format_set(LOG_JOURNAL);
	log_error("bad", "k=1");
	assert_string_equal(written(), "<3>msg=bad k=1");
	assert_int_equal(fstat(2, &st), 0);
	snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_format_set(LOG_AUTO);
	log_warn("w", NULL);
	assert_string_equal(written(), "<4>msg=w");
	setenv("JOURNAL_STREAM", "1:1", 1); /* somebody else's stderr */
	log_format_set(LOG_AUTO);
	log_warn("w", NULL);
	assert_memory_equal(written(), "time=", 5);
	unsetenv("JOURNAL_STREAM");
}

#define GOOD "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static const char *next_hop(const char *parent, uint64_t span, char out[TRACE_SIZE])
{
	struct trace t;

	assert_true(trace_read(parent, strlen(parent), &t));
	t = trace_child(&t, span);
	trace_write(&t, out);
	return out;
}

static void test_traceparent(void **state)
{
	static const char *const bad[] = {
		"", "00", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
		"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
	};
	char out[TRACE_SIZE], id[TRACE_ID_SIZE];
	struct trace t;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_false(trace_is_good(bad[i]));
		assert_string_equal(trace_id_of(bad[i], id), "");
	}
	assert_false(trace_is_good(NULL));
	assert_true(trace_is_good(GOOD));
	assert_string_equal(trace_id_of(GOOD, id), "0af7651916cd43dd8448eb211c80319c");
	assert_string_equal(next_hop(GOOD, 0x1234, out), "00-0af7651916cd43dd8448eb211c80319c-0000000000001234-01");
	/* of a later version: what we know of it, flags we know, nothing else */
	assert_string_equal(next_hop("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more", 0, out),
			    "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-03");
	t = trace_new(0, 0, 0);
	trace_write(&t, out);
	assert_true(trace_is_good(out));
	assert_string_equal(out + 52, "-03");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values_cannot_forge_pairs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conversions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quoted_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_journal, setup, teardown),
		cmocka_unit_test(test_traceparent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
