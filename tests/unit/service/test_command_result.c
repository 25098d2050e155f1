/* test_command_result.c: what programs leave, as answers: tests/golden/commands/result.txt, and
 * files. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "schema/transcode.h"
#include "service/command_result.h"
#include "tests/unit/service/command_rig.h"

/* \xff and the like. */
static void unescape(const struct buf *in, struct buf *out)
{
	for (size_t i = 0; i < in->len; i++) {
		if (in->len - i >= 4 && memcmp(in->data + i, "\\x", 2) == 0) {
			char hex[3] = {(char)in->data[i + 2], (char)in->data[i + 3], '\0'};

			buf_append_byte(out, (uint8_t)strtol(hex, NULL, 16));
			i += 3;
		} else {
			buf_append_byte(out, in->data[i]);
		}
	}
}

static int answer(const struct command_rig *rig, const char *json, struct bytes text, int status, const char *dir,
		  struct buf *out, char *why, size_t why_size)
{
	struct command_input in;
	struct command_scope scope = {&in, "", 0, RIG_METHOD, dir};
	struct command_output o = {&scope, rig->schema, rig->method->output, text, status};
	const struct transcode_write form = {.schema = rig->schema};
	AUTO_BUF wire = BUF_INIT, reply = BUF_INIT;
	int err;

	rig_wire(rig, json, &wire);
	command_input_read(&in, rig->spec, rig->method->input, buf_bytes(&wire));
	err = command_result_make(&o, &reply, why, why_size);
	if (err == 0)
		assert_int_equal(transcode_to_json(&form, rig->method->output, buf_bytes(&reply), out, why, why_size), 0);
	command_input_deinit(&in);
	return err;
}

/* Both as the transcoder writes them, so blanks do not count. */
static void assert_json(const struct command_rig *rig, const struct buf *got, struct buf *want)
{
	const struct transcode_read how = {.schema = rig->schema};
	const struct transcode_write form = {.schema = rig->schema};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT, json = BUF_INIT;
	char why[200];

	if (transcode_from_json(&how, rig->method->output, buf_cstr(want), want->len, "#", &wire, &faults) < 0)
		fail_msg("%s", faults.items[0].detail);
	assert_int_equal(transcode_to_json(&form, rig->method->output, buf_bytes(&wire), &json, why, sizeof why), 0);
	assert_string_equal(buf_cstr((struct buf *)got), buf_cstr(&json));
}

static void check_block(struct rig_block *b)
{
	AUTO_BUF text = BUF_INIT, got = BUF_INIT;
	struct command_rig rig;
	char why[512] = "";
	int err;

	print_message("%s\n", b->title);
	unescape(&b->in, &text);
	buf_append_str(&b->section, "command = true\n");
	rig_open(&rig, buf_cstr(&b->section));
	err = answer(&rig, "{}", buf_bytes(&text), b->status, "/", &got, why, sizeof why);
	if (b->has_out) {
		assert_string_equal(why, "");
		assert_json(&rig, &got, &b->out);
	} else {
		const char *want = buf_cstr(&b->faults);

		assert_true(err < 0);
		if (memmem(why, strlen(why), want, strlen(want) - 1) == NULL)
			fail_msg("%s, not %s", why, want);
	}
	rig_close(&rig);
}

static void test_golden(void **state)
{
	assert_true(rig_blocks(GOLDEN "/result.txt", check_block) > 25);
}

static void write_file(const char *dir, const char *name, const char *text)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void remove_files(const char *dir, const char *const *names)
{
	for (; *names != NULL; names++) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, *names);

		unlink(path);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void check_file(const char *dir, const char *name, const char *json, const char *reason)
{
	AUTO_FREE char *section = xasprintf("result.data = string file={@dir}/%s\nmax_output = 10\n"
					    "command = true\n", name);
	AUTO_BUF got = BUF_INIT;
	struct command_rig rig;
	char why[512] = "";

	rig_open(&rig, section);
	answer(&rig, "{}", (struct bytes){NULL, 0}, 0, dir, &got, why, sizeof why);
	if (reason == NULL)
		assert_string_equal(why, "");
	else
		assert_non_null(strstr(why, reason));
	if (json != NULL)
		assert_string_equal(buf_cstr(&got), json);
	rig_close(&rig);
}

/* The program chose what they are; nothing outside is read for it. */
static void test_files(void **state)
{
	static const char *const names[] = {"plain", "large", "exact", "link", "fifo", NULL};
	char dir[] = "/tmp/errand-result-XXXXXX";
	AUTO_FREE char *link = NULL, *fifo = NULL;

	assert_non_null(mkdtemp(dir));
	write_file(dir, "plain", "text");
	write_file(dir, "exact", "0123456789");
	write_file(dir, "large", "0123456789a");
	link = xasprintf("%s/link", dir);
	fifo = xasprintf("%s/fifo", dir);
	assert_int_equal(symlink("plain", link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	check_file(dir, "plain", "{\"data\":\"text\"}", NULL);
	check_file(dir, "exact", "{\"data\":\"0123456789\"}", NULL);
	check_file(dir, "large", NULL, "has more than 10 bytes (max_output)");
	check_file(dir, "link", NULL, "symbolic link");
	check_file(dir, "fifo", NULL, "is no regular file");
	check_file(dir, "absent", NULL, "cannot be read: No such file or directory");
	remove_files(dir, names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
