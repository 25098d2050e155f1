/* test_command_argv.c: values put into templates: tests/golden/commands/argv.txt, and what
 * is no argv: environment, names of files, JSON. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/command_argv.h"
#include "service/command_path.h"
#include "tests/unit/service/command_rig.h"

static struct command_scope scope_of(const struct command_input *in)
{
	return (struct command_scope){in, "0190-task", 3, RIG_METHOD, "/srv/dir"};
}

/* A*5 is AAAAA. */
static void stretch(struct buf *b)
{
	char *at = memmem(b->data, b->len, "A*", 2), *end;
	AUTO_BUF out = BUF_INIT;
	long n;

	if (at == NULL)
		return;
	n = strtol(at + 2, &end, 10);
	buf_append(&out, b->data, (size_t)(at - (char *)b->data));
	for (long i = 0; i < n; i++)
		buf_append_byte(&out, 'A');
	buf_append_str(&out, end);
	buf_deinit(b);
	*b = out;
	out = BUF_INIT;
}

static void put_argv(char **argv, struct buf *out)
{
	for (; *argv != NULL; argv++) {
		for (const char *p = *argv; *p != '\0'; p++)
			if (*p == '\n')
				buf_append_str(out, "\\n");
			else
				buf_append_byte(out, (uint8_t)*p);
		buf_append_byte(out, '\n');
	}
}

static void put_faults(const struct fault_list *faults, struct buf *out)
{
	for (size_t i = 0; i < faults->n; i++)
		buf_printf(out, "%s %s\n", faults->items[i].where, faults->items[i].rule);
}

static void check_block(struct rig_block *b)
{
	struct fault_list faults = FAULT_LIST_INIT;
	struct command_rig rig;
	struct command_input in;
	struct command_scope scope = scope_of(&in);
	AUTO_BUF wire = BUF_INIT, got = BUF_INIT, told = BUF_INIT;
	char **argv;

	print_message("%s\n", b->title);
	buf_cstr(&b->in); /* stretch needs an end */
	stretch(&b->in);
	buf_cstr(&b->out);
	stretch(&b->out);
	rig_open(&rig, buf_cstr(&b->section));
	rig_wire(&rig, buf_cstr(&b->in), &wire);
	command_input_read(&in, rig.spec, rig.method->input, buf_bytes(&wire));
	command_paths_check(&in, &faults);
	argv = command_argv_make(&scope, &faults);
	put_faults(&faults, &told);
	put_argv(argv, &got);
	assert_string_equal(buf_cstr(&told), buf_cstr(&b->faults));
	if (b->has_out)
		assert_string_equal(buf_cstr(&got), buf_cstr(&b->out));
	command_argv_free(argv);
	command_input_deinit(&in);
	fault_list_deinit(&faults);
	rig_close(&rig);
}

static void test_golden(void **state)
{
	assert_true(rig_blocks(GOLDEN "/argv.txt", check_block) > 40);
}

static void test_json(void **state)
{
	struct command_rig rig;
	struct command_input in;
	AUTO_BUF wire = BUF_INIT, json = BUF_INIT;

	rig_open(&rig, "param.s = string required\nparam.l = long required\nparam.b = bytes\nparam.f = bool\n"
		       "param.d = string default=\"a b\"\nparam.n = number repeated\nparam.no = string\ncommand = true\n"
		       "stdin = json\n");
	rig_wire(&rig, "{\"s\":\"\\\"\\n\",\"l\":\"-9\",\"b\":\"AAE=\",\"f\":false,\"n\":[1,0.5]}", &wire);
	command_input_read(&in, rig.spec, rig.method->input, buf_bytes(&wire));
	command_input_json(&in, &json);
	assert_string_equal(buf_cstr(&json), "{\"s\":\"\\\"\\n\",\"l\":-9,\"b\":\"AAE=\",\"f\":false,\"d\":\"a b\","
					     "\"n\":[1,0.5]}");
	command_input_deinit(&in);
	rig_close(&rig);
}

/* The last one counts, lists go on, what is no field is passed over. */
static void test_wire(void **state)
{
	static const uint8_t wire[] = {0x0a, 1, 'a', 0x0a, 1, 'b', 0x12, 2, 7, 8, 0x10, 9, 0x78, 1, 0x0a, 0};
	struct command_rig rig;
	struct command_input in;

	rig_open(&rig, "param.s = string\nparam.n = int repeated\ncommand = true [ {s} ] {n...}\n");
	command_input_read(&in, rig.spec, rig.method->input, (struct bytes){wire, sizeof wire});
	assert_int_equal(in.values[0].n, 1);
	assert_string_equal(in.values[0].items[0].data, "");
	assert_int_equal(in.values[1].n, 3);
	assert_string_equal(in.values[1].items[2].data, "9");
	command_input_deinit(&in);
	rig_close(&rig);
}

static void test_one(void **state)
{
	struct command_rig rig;
	struct command_input in;
	struct command_scope scope = scope_of(&in);
	AUTO_BUF wire = BUF_INIT;
	char *text;

	rig_open(&rig, "param.s = string\nparam.t = string\ncommand = true\nenv.A = x{s}{@attempt}\nenv.B = {t}\n");
	rig_wire(&rig, "{\"s\":\"-1\"}", &wire);
	command_input_read(&in, rig.spec, rig.method->input, buf_bytes(&wire));
	text = command_template_text(&scope, &rig.spec->env[0].value);
	assert_string_equal(text, "x-13");
	free(text);
	assert_null(command_template_text(&scope, &rig.spec->env[1].value));
	command_input_deinit(&in);
	rig_close(&rig);
}

/* How many faults the names of result files have with that input. */
static size_t names_faults(const char *lines, const char *json)
{
	struct fault_list faults = FAULT_LIST_INIT;
	struct command_rig rig;
	struct command_input in;
	AUTO_BUF wire = BUF_INIT;
	size_t n;

	rig_open(&rig, lines);
	rig_wire(&rig, json, &wire);
	command_input_read(&in, rig.spec, rig.method->input, buf_bytes(&wire));
	command_result_names_check(&in, &faults);
	n = faults.n;
	if (n > 0)
		assert_string_equal(faults.items[0].where, "#/s");
	fault_list_deinit(&faults);
	command_input_deinit(&in);
	rig_close(&rig);
	return n;
}

/* A pattern is searched for anywhere, so it alone does not keep a text from leading elsewhere. */
static void test_result_names(void **state)
{
	static const char whole[] = "param.s = string pattern=[a-z]+ default=a\ncommand = true\n"
				    "result = file /srv/{s}.txt text/plain\n";
	static const char field[] = "param.s = string pattern=[a-z]+ default=a\ncommand = true\n"
				    "result.x = string file=/srv/{s}\n";
	static const char listed[] = "param.s = string enum=a/b|c default=c\ncommand = true\n"
				     "result.x = string file=/srv/{s}\n";

	assert_int_equal(names_faults(whole, "{\"s\":\"../../etc/passwd\"}"), 1);
	assert_int_equal(names_faults(field, "{\"s\":\"../../etc/passwd\"}"), 1);
	assert_int_equal(names_faults(field, "{\"s\":\"..\"}"), 1);
	assert_int_equal(names_faults(field, "{\"s\":\".\"}"), 1);
	assert_int_equal(names_faults(whole, "{\"s\":\"report-1..\"}"), 0);
	assert_int_equal(names_faults(field, "{}"), 0);
	assert_int_equal(names_faults(listed, "{\"s\":\"a/b\"}"), 0);
}

/* A default is written as people write numbers; JSON has one way. */
static void test_json_default(void **state)
{
	struct command_rig rig;
	struct command_input in;
	AUTO_BUF json = BUF_INIT;

	rig_open(&rig, "param.i = int default=+5\nparam.l = long default=007\ncommand = true\nstdin = json\n");
	command_input_read(&in, rig.spec, rig.method->input, (struct bytes){NULL, 0});
	command_input_json(&in, &json);
	assert_string_equal(buf_cstr(&json), "{\"i\":5,\"l\":7}");
	command_input_deinit(&in);
	rig_close(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_default),
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_one),
		cmocka_unit_test(test_result_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
