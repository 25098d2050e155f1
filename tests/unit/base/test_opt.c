/* Options: defaults, values with units, ranges, lists, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/opt.h"
#include "base/util.h"

struct conf {
	bool quiet;
	const char *socket;
	struct opt_list modules, dirs;
	int64_t threads, body, wait;
};

static const struct opt table[] = {
	{"quiet", 'q', OPT_FLAG, offsetof(struct conf, quiet), NULL, 0, 0, NULL, "say less"},
	{"socket", 's', OPT_STRING, offsetof(struct conf, socket), "/run/x", 0, 0, "PATH", "where"},
	{"module", 0, OPT_LIST, offsetof(struct conf, modules), NULL, 0, 0, "FILE", "what"},
	{"dir", 'I', OPT_LIST, offsetof(struct conf, dirs), ".", 0, 0, "DIR", "whence"},
	{"threads", 'n', OPT_INT, offsetof(struct conf, threads), "4", 1, 64, "N", "how many"},
	{"max-body", 0, OPT_SIZE, offsetof(struct conf, body), "1M", 0, 0, "SIZE", "how large"},
	{"wait", 0, OPT_TIME, offsetof(struct conf, wait), "30s", 1, 3600000000000, "TIME", "how long"},
};

static int parse(struct conf *c, int argc, const char **argv)
{
	return opt_parse(table, ARRAY_LEN(table), c, argc, (char **)(uintptr_t)argv, "x [options]");
}

#define PARSE(c, ...) \
	parse(c, (int)ARRAY_LEN(((const char *[]){"x", __VA_ARGS__})), \
	      (const char *[]){"x", __VA_ARGS__, NULL})

static void defaults_come_first(void **state)
{
	struct conf c;

	assert_int_equal(PARSE(&c, "operand"), 1);
	assert_false(c.quiet);
	assert_string_equal(c.socket, "/run/x");
	assert_int_equal(c.modules.n, 0);
	assert_int_equal(c.dirs.n, 1);
	assert_int_equal(c.threads, 4);
	assert_int_equal(c.body, 1 << 20);
	assert_int_equal(c.wait, 30000000000);
	opt_deinit(table, ARRAY_LEN(table), &c);
}

static void every_form_of_a_value(void **state)
{
	struct conf c;

	assert_int_equal(PARSE(&c, "--socket", "/a", "--threads=7", "-qI", "d1", "-Id2",
			       "--module", "m1", "--module=m2", "--wait", "250ms", "--", "--quiet"),
			 13);
	assert_true(c.quiet);
	assert_string_equal(c.socket, "/a");
	assert_int_equal(c.threads, 7);
	assert_int_equal(c.wait, 250000000);
	assert_int_equal(c.dirs.n, 2); /* the default is replaced, not kept */
	assert_string_equal(c.dirs.items[0], "d1");
	assert_string_equal(c.dirs.items[1], "d2");
	assert_null(c.dirs.items[2]);
	assert_string_equal(c.modules.items[1], "m2");
	opt_deinit(table, ARRAY_LEN(table), &c);
}

static void a_dash_is_an_operand(void **state)
{
	struct conf c;

	assert_int_equal(PARSE(&c, "-q", "-", "-q"), 2);
	opt_deinit(table, ARRAY_LEN(table), &c);
}

/* What stderr got while the arguments were refused. */
static void refused(const char *said, int argc, const char **argv)
{
	int fds[2], keep = dup(2);
	char text[512] = "";
	struct conf c;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], 2);
	close(fds[1]);
	assert_int_equal(parse(&c, argc, argv), -1);
	dup2(keep, 2);
	close(keep);
	n = read(fds[0], text, sizeof text - 1);
	close(fds[0]);
	assert_true(n > 0);
	if (strstr(text, said) == NULL)
		fail_msg("'%s' does not say '%s'", text, said);
	opt_deinit(table, ARRAY_LEN(table), &c);
}

#define REFUSED(said, ...) \
	refused(said, (int)ARRAY_LEN(((const char *[]){"/usr/bin/lt-x", __VA_ARGS__})), \
		(const char *[]){"/usr/bin/lt-x", __VA_ARGS__, NULL})

static void errors_say_what_and_where(void **state)
{
	REFUSED("x: unknown option --sockte: did you mean --socket?", "--sockte=/a");
	REFUSED("unknown option --zzzzzzzz: see --help", "--zzzzzzzz");
	REFUSED("unknown option -z", "-qz");
	REFUSED("--socket needs a value: --socket PATH", "--socket");
	REFUSED("--threads: 'four' is not a whole number", "--threads", "four");
	REFUSED("--threads: '0' is out of range: from 1 to 64", "-n0");
	REFUSED("--wait: '30' is not a time with its unit", "--wait=30");
	REFUSED("--wait: '2h' is out of range: from 1ns to 1h", "--wait=2h");
	REFUSED("--max-body: '1Q' is not a size", "--max-body", "1Q");
	REFUSED("--quiet: 'maybe' is neither yes nor no", "--quiet=maybe");
}

static void times_and_sizes(void **state)
{
	static const struct { const char *text; int64_t ns; } good[] = {
		{"0", 0}, {"1ns", 1}, {"3us", 3000}, {"1.5s", 1500000000}, {"2m", 120000000000},
		{"1h", 3600000000000}, {"1d", 86400000000000}, {"0.25ms", 250000},
	};
	static const char *const bad[] = {
		"", "s", "1", "-1s", " 1s", "1 s", "1.s", "1ss", "99999999999999999999s",
		"9999999999d", "0x10s", "1e3s",
	};
	int64_t v;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(opt_time(good[i].text, &v));
		assert_int_equal(v, good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(opt_time(bad[i], &v));
	assert_true(opt_size("4096", &v) && v == 4096);
	assert_true(opt_size("64K", &v) && v == 65536);
	assert_true(opt_size("1.5M", &v) && v == 1572864);
	assert_true(opt_size("2G", &v) && v == 2LL << 30);
	assert_false(opt_size("64k!", &v));
	assert_false(opt_size("9999999999T", &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_come_first), cmocka_unit_test(every_form_of_a_value),
		cmocka_unit_test(a_dash_is_an_operand), cmocka_unit_test(errors_say_what_and_where),
		cmocka_unit_test(times_and_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
