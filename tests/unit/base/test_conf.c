/* Configuration files: entries with the place of every line, and all that can be wrong with a
 * file, told at once. */
#define _GNU_SOURCE
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

#include "base/conf.h"

static char dir[] = "/tmp/test_conf.XXXXXX";

static int setup(void **state)
{
	return mkdtemp(dir) == NULL || chdir(dir) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	if (chdir("/") < 0)
		return -1;
	return rmdir(dir);
}

static void read_bytes(struct conf *c, const char *name, const char *text, size_t len)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	conf_read(c, name);
	unlink(name);
}

static void read_text(struct conf *c, const char *name, const char *text)
{
	read_bytes(c, name, text, strlen(text));
}

static void assert_report(struct conf *c, const char *expected)
{
	char *got = NULL;
	size_t len = 0, lines = 0;
	FILE *f = open_memstream(&got, &len);
	size_t n = conf_report(c, f);

	fclose(f);
	assert_string_equal(got, expected);
	for (const char *p = got; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(n, lines);
	free(got);
}

static void assert_entry(const struct conf_section *s, size_t i, const char *key, const char *value)
{
	assert_true(i < s->n_entries);
	assert_string_equal(s->entries[i]->key, key);
	assert_string_equal(s->entries[i]->value, value);
	assert_ptr_equal(s->entries[i]->section, s);
}

static void entries_have_their_places(void **state)
{
	struct conf c = CONF_INIT;
	const struct conf_entry *e;

	read_text(&c, "a.conf", "; first\n"
				"[one two] ; why\n"
				"key = value ; not this\n"
				"\n"
				"  long.key:  a b\n"
				"\tsecond  ; nor this\n"
				"; between\n"
				"    third;x\n"
				"# last\n"
				"ключ = знач ение\r\n"
				"empty = ; nothing\n"
				"[a name that is longer than the fifty bytes inih keeps of one]\n"
				"a.key.that.is.longer.than.the.fifty.bytes.inih.keeps = 1");
	assert_report(&c, "");
	assert_int_equal(c.n_sections, 2);
	assert_string_equal(c.sections[0]->name, "one two");
	assert_int_equal(c.sections[0]->line, 2);
	assert_int_equal(c.sections[0]->n_entries, 3);
	assert_string_equal(c.sections[1]->name, "a name that is longer than the fifty bytes inih keeps of one");
	assert_entry(c.sections[1], 0, "a.key.that.is.longer.than.the.fifty.bytes.inih.keeps", "1");
	/* what is indented goes on, even where it could be a key */
	assert_entry(c.sections[0], 0, "key", "value\nlong.key:  a b\nsecond\nthird;x");
	e = c.sections[0]->entries[0];
	assert_int_equal(e->n_lines, 4);
	conf_fault(&c, e, strchr(e->value, 'b'), "b");
	conf_fault(&c, e, strstr(e->value, "second"), "second");
	conf_fault(&c, e, strstr(e->value, "ird"), "ird");
	conf_fault(&c, e, e->value + strlen(e->value), "end");
	conf_fault(&c, e, e->value, "value");
	conf_fault(&c, e, NULL, "key");
	assert_entry(c.sections[0], 1, "ключ", "знач ение");
	e = c.sections[0]->entries[1];
	conf_fault(&c, e, strstr(e->value, "ение"), "in characters");
	conf_fault_section(&c, c.sections[0], "%s %d", "section", 1);
	assert_entry(c.sections[0], 2, "empty", "");
	assert_report(&c, "a.conf:2:1: section 1\n"
			  "a.conf:3:1: key\n"
			  "a.conf:3:7: value\n"
			  "a.conf:5:16: b\n"
			  "a.conf:6:2: second\n"
			  "a.conf:8:7: ird\n"
			  "a.conf:8:12: end\n"
			  "a.conf:10:13: in characters\n");
	conf_deinit(&c);
}

static void all_faults_are_told(void **state)
{
	static const char text[] = "early = 1\n"
				   " and = more\n"
				   "[s] ; fine\n"
				   "no value\n"
				   "key = 1\n"
				   "key = 2\n"
				   "  of = it\n"
				   "[open\n"
				   "[t] junk\n"
				   "a\0b = c\n"
				   "\xc3\xa9\xff = latin\n"
				   "key = in another section\n"
				   "last";
	struct conf c = CONF_INIT;

	read_bytes(&c, "f.conf", text, sizeof text - 1);
	assert_report(&c, "f.conf:1:1: a key before the first [section]\n"
			  "f.conf:2:2: a key before the first [section]\n"
			  "f.conf:4:1: this is no \"key = value\"\n"
			  "f.conf:6:1: key stands in line 5 already\n"
			  "f.conf:8:1: a section without its ]\n"
			  "f.conf:9:5: nothing comes behind a section's ]\n"
			  "f.conf:10:2: a NUL byte\n"
			  "f.conf:11:2: not UTF-8\n"
			  "f.conf:13:1: this is no \"key = value\"\n");
	assert_int_equal(c.n_sections, 2);
	assert_int_equal(c.sections[0]->n_entries, 1);
	assert_entry(c.sections[0], 0, "key", "1");
	assert_entry(c.sections[1], 0, "key", "in another section");
	conf_deinit(&c);
}

/* A line of n bytes, from its key on. */
static void put_line(FILE *f, size_t n)
{
	fprintf(f, "%-*s=%0*d\n", 9, "k", (int)n - 10, 7);
}

static void long_lines_are_refused_whole(void **state)
{
	struct conf c = CONF_INIT;
	FILE *f = fopen("l.conf", "w");

	assert_non_null(f);
	fputs("[s]\n", f);
	put_line(f, 198);
	fputs("[t]\n", f);
	put_line(f, 199);
	fputs("[u]\n", f);
	put_line(f, 100000);
	fputs("x = 1\n", f);
	fclose(f);
	conf_read(&c, "l.conf");
	unlink("l.conf");
	assert_report(&c, "l.conf:4:199: a line has at most 198 bytes: go on in the next one, beginning with a space\n"
			  "l.conf:6:199: a line has at most 198 bytes: go on in the next one, beginning with a space\n");
	assert_int_equal(strlen(c.sections[0]->entries[0]->value), 188);
	assert_int_equal(c.sections[1]->n_entries, 0);
	assert_entry(c.sections[2], 0, "x", "1");
	conf_deinit(&c);
}

static void files_that_cannot_be_read(void **state)
{
	struct conf c = CONF_INIT;
	FILE *f = fopen("large.conf", "w");

	assert_non_null(f);
	assert_int_equal(ftruncate(fileno(f), (4 << 20) + 1), 0);
	fclose(f);
	assert_int_equal(mkdir("d.conf", 0700), 0);
	conf_read(&c, "none.conf");
	conf_read(&c, "d.conf");
	conf_read(&c, "large.conf");
	read_text(&c, "good.conf", "\xef\xbb\xbf[s] x\nk = v");
	read_text(&c, "empty.conf", "");
	rmdir("d.conf");
	unlink("large.conf");
	assert_report(&c, "none.conf: cannot be read: No such file or directory\n"
			  "d.conf: cannot be read: Is a directory\n"
			  "large.conf: cannot be read: it has more than 4 MiB\n"
			  "good.conf:1:5: nothing comes behind a section's ]\n");
	assert_int_equal(c.n_sections, 1);
	assert_string_equal(c.sections[0]->file, "good.conf");
	assert_entry(c.sections[0], 0, "k", "v");
	conf_deinit(&c);
}

static void words_that_were_meant(void **state)
{
	static const char *const words[] = {"timeout", "total_timeout", "memory", "user", NULL};
	static const struct {
		const char *given, *meant;
	} of[] = {
		{"timout", "timeout"}, {"timeuot", "timeout"}, {"totaltimeout", "total_timeout"}, {"memroy", "memory"},
		{"usr", "user"}, {"group", NULL}, {"", NULL}, {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		const char *got = conf_meant(of[i].given, strlen(of[i].given), words);

		if (of[i].meant == NULL)
			assert_null(got);
		else
			assert_string_equal(got, of[i].meant);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_have_their_places),
		cmocka_unit_test(all_faults_are_told),
		cmocka_unit_test(long_lines_are_refused_whole),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(words_that_were_meant),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
