/* test_command_progress.c: what a program writes, as progress and as its result. The call is
 * played here. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/call.h"
#include "service/command_progress.h"
#include "tests/unit/service/command_rig.h"

static struct buf told, logged;

void errand_progress(struct errand_call *call, double fraction, const char *message)
{
	buf_printf(&told, "%.3f %s\n", fraction, message != NULL ? message : "-");
}

void call_log(struct errand_call *call, const char *stream, const char *line, size_t len)
{
	buf_printf(&logged, "%s:%.*s\n", stream, (int)len, line);
}

struct watched {
	struct command_rig rig;
	struct command_watch watch;
	struct errand_command c;
};

static void watch(struct watched *w, const char *section)
{
	AUTO_FREE char *all = xasprintf("%s\ncommand = true\n", section);

	*w = (struct watched){0};
	rig_open(&w->rig, all);
	command_watch_init(&w->watch, w->rig.spec, w->rig.schema, NULL);
	command_watch_attach(&w->watch, &w->c);
	assert_ptr_equal(w->c.arg, &w->watch);
}

static void unwatch(struct watched *w)
{
	command_watch_deinit(&w->watch);
	rig_close(&w->rig);
	buf_deinit(&told);
	buf_deinit(&logged);
}

static void out(struct watched *w, const char *text)
{
	w->c.on_output(NULL, text, strlen(text), w->c.arg);
}

static void err(struct watched *w, const char *line)
{
	w->c.on_stderr(NULL, line, strlen(line), w->c.arg);
}

static void message(struct watched *w, const char *line)
{
	w->c.on_message(NULL, line, strlen(line), w->c.arg);
}

static const char *kept(struct watched *w)
{
	return buf_cstr(&w->watch.output);
}

static void test_percent(void **state)
{
	struct watched w;

	watch(&w, "progress.percent = stderr ^at (\\d+)%\nprogress.message = stderr doing (.*)$");
	assert_null(w.c.on_message);
	err(&w, "at 40%");
	err(&w, "at 40.5%"); /* no such line */
	err(&w, "at 250%, doing the rest");
	err(&w, "doing nothing");
	err(&w, "");
	assert_string_equal(buf_cstr(&told), "0.400 -\n1.000 the rest\n1.000 nothing\n");
	out(&w, "at 50%\n");
	assert_string_equal(kept(&w), "at 50%\n"); /* stdout has no pattern */
	unwatch(&w);
}

static void test_done_of_total(void **state)
{
	struct watched w;

	watch(&w, "progress.total = stderr Duration: (\\d+):(\\d+):([\\d.]+)\n"
		  "progress.done = stdout ^out_time=(\\d+):(\\d+):([\\d.]+)\nresult = none");
	assert_null(w.c.on_output);
	w.c.on_stdout(NULL, "out_time=00:00:30.0", 19, w.c.arg); /* of what? */
	err(&w, "  Duration: 01:01:01.00, start");
	w.c.on_stdout(NULL, "frame=3", 7, w.c.arg);
	w.c.on_stdout(NULL, "out_time=01:01:01.00", 20, w.c.arg);
	assert_string_equal(buf_cstr(&told), "0.000 -\n0.008 -\n1.000 -\n");
	assert_string_equal(buf_cstr(&logged), "stdout:frame=3\n");
	unwatch(&w);
}

static void test_number(void **state)
{
#define GROUP(s) {(const uint8_t *)(s), sizeof(s) - 1}
	const struct bytes time[] = {GROUP("01"), GROUP("02"), GROUP("03.5")}, no[] = {GROUP("1"), GROUP("x"), GROUP("1")};
	const struct bytes one[] = {GROUP("12.5")}, long_one[] = {GROUP("1111111111111111111111111111111111111")};
	const struct bytes negative[] = {GROUP("-1")}, infinite[] = {GROUP("inf")}, none[] = {{NULL, 0}};

	assert_true(command_progress_number(time, 3) == 3723.5);
	assert_true(command_progress_number(no, 3) < 0);
	assert_true(command_progress_number(one, 1) == 12.5);
	assert_true(command_progress_number(long_one, 1) < 0);
	assert_true(command_progress_number(negative, 1) < 0);
	assert_true(command_progress_number(infinite, 1) < 0);
	assert_true(command_progress_number(none, 1) < 0);
}

/* Lines of a pattern are not the result's; all others are, byte by byte. */
static void test_lines_of_stdout(void **state)
{
	struct watched w;

	watch(&w, "progress.percent = stdout ^(\\d+)%$\nresult = text");
	out(&w, "a\n1");
	out(&w, "0%");
	out(&w, "\nb\r\n");
	out(&w, "20%\r\n\n30% \n40%");
	command_watch_end(&w.watch);
	assert_string_equal(kept(&w), "a\nb\r\n\n30% \n");
	assert_string_equal(buf_cstr(&told), "0.100 -\n0.200 -\n0.400 -\n");
	unwatch(&w);
}

static void test_last_line(void **state)
{
	struct watched w;

	watch(&w, "progress.percent = stdout ^(\\d+)%$\nresult = text");
	out(&w, "no end");
	command_watch_end(&w.watch);
	assert_string_equal(kept(&w), "no end");
	unwatch(&w);
}

/* A flood without a newline costs no more memory than is kept. */
static void test_flood(void **state)
{
	static char piece[100000];
	struct watched w;

	memset(piece, 'x', sizeof piece - 1);
	watch(&w, "progress.percent = stdout ^(\\d+)%$\nresult = text\nmax_output = 250000");
	for (int i = 0; i < 100; i++)
		out(&w, piece);
	out(&w, "\n50%\n");
	assert_true(w.watch.too_much);
	assert_int_equal(w.watch.output.len, 250000);
	assert_true(w.watch.line.cap <= 300000);
	assert_string_equal(buf_cstr(&told), "0.500 -\n");
	unwatch(&w);
}

static void test_bound(void **state)
{
	struct watched w;

	watch(&w, "result = json\nmax_output = 4");
	out(&w, "123");
	out(&w, "4");
	assert_false(w.watch.too_much);
	out(&w, "5");
	assert_true(w.watch.too_much);
	assert_string_equal(kept(&w), "1234");
	unwatch(&w);
}

static void test_messages(void **state)
{
	struct watched w;

	watch(&w, "progress.fd3 = yes");
	message(&w, "{\"fraction\":0.4}");
	message(&w, "{\"message\":\"half\\nway\"}");
	message(&w, " {\"fraction\": 0, \"message\": \"\"} ");
	message(&w, "{\"fraction\":7}");
	assert_string_equal(buf_cstr(&told), "0.400 -\n0.400 half\nway\n0.000 \n1.000 \n");
	assert_int_equal(logged.len, 0);
	unwatch(&w);
}

/* What is more, or no such object, is a line of the log. */
static void test_other_messages(void **state)
{
	struct watched w;

	watch(&w, "progress.fd3 = yes");
	message(&w, "{\"fraction\":0.5,\"level\":\"info\"}");
	message(&w, "hello");
	message(&w, "{\"fraction\":\"much\"}");
	message(&w, "{\"fraction\":-1}");
	message(&w, "[0.5]");
	message(&w, "{}");
	message(&w, "");
	message(&w, "{\"fraction\":0.6");
	assert_string_equal(buf_cstr(&told), "0.500 -\n0.500 -\n");
	assert_string_equal(buf_cstr(&logged), "handler:{\"fraction\":0.5,\"level\":\"info\"}\nhandler:hello\n"
					       "handler:{\"fraction\":\"much\"}\nhandler:[0.5]\nhandler:{}\nhandler:\n"
					       "handler:{\"fraction\":0.6\n");
	unwatch(&w);
}

/* What nothing is made of is not taken from the log. */
static void test_log(void **state)
{
	struct watched w;

	watch(&w, "result = none");
	assert_null(w.c.on_output);
	assert_null(w.c.on_stdout);
	assert_null(w.c.on_stderr);
	unwatch(&w);
	watch(&w, "result.code = int exit");
	assert_null(w.c.on_output);
	unwatch(&w);
	watch(&w, "result.text = string stdout");
	assert_non_null(w.c.on_output);
	unwatch(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percent),
		cmocka_unit_test(test_done_of_total),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_lines_of_stdout),
		cmocka_unit_test(test_last_line),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_other_messages),
		cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
