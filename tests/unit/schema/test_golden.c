/* test_golden.c: runs the golden pairs (tests/golden/transcode/README has the
 * format). Each case that fails is printed with its file and line; the test
 * fails at the end of the file. */
#define _GNU_SOURCE
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "schema/transcode.h"
#include "set.h"

#ifndef GOLDEN_DIR
#define GOLDEN_DIR "tests/golden/transcode"
#endif

static const char *const files[] = {"scalars", "messages", "wellknown", "syntax", "wire",
				    "json_texts", "conformance", "canonical"};

struct golden {
	struct schema *schema;
	const struct schema_message *message;
	const char *file;
	int line;           /* of the case */
	int n_cases, n_bad;
	bool open;          /* a case is being checked */
	bool ignore_unknown, allow_nul; /* of the O line */
	int err;            /* of the reading */
	struct buf wire;
	struct fault_list faults;
	size_t n_faults;    /* seen so far in f lines */
};

static void complain(struct golden *g, const char *what, const char *expected, const char *got)
{
	g->n_bad++;
	print_message("%s.txt:%d: %s\n  expected %s\n  got      %s\n", g->file, g->line, what, expected, got);
}

static int show(struct golden *g, bool skip_zero, struct buf *out, char *why, size_t why_size)
{
	struct transcode_write o = {.schema = g->schema, .skip_zero = skip_zero};
	int err = transcode_to_json(&o, g->message, buf_bytes(&g->wire), out, why, why_size);

	buf_cstr(out);
	return err;
}

static int read_json(struct golden *g, const void *json, size_t len, struct buf *out)
{
	struct transcode_read o = {.schema = g->schema, .ignore_unknown = g->ignore_unknown,
				   .allow_nul = g->allow_nul};
	char *copy = malloc(len ? len : 1); /* exact, so that ASan sees one byte too many */
	int err;

	memcpy(copy, len ? json : "", len);
	err = transcode_from_json(&o, g->message, copy, len, "#", out, &g->faults);
	free(copy);
	return err;
}

static void describe(const struct fault *f, char *out, size_t size)
{
	snprintf(out, size, "%s %s %s", f->kind == FAULT_SYNTAX ? "SYNTAX" : "SCHEMA", f->where, f->rule);
}

/* JSON of what was read, read again, is the same JSON. */
static void check_stable(struct golden *g)
{
	AUTO_BUF first = BUF_INIT;
	AUTO_BUF second = BUF_INIT;
	AUTO_BUF wire = BUF_INIT;
	char why[300] = "";

	if (show(g, false, &first, why, sizeof why) < 0) {
		complain(g, "what was accepted cannot be shown", "JSON", why);
		return;
	}
	if (read_json(g, first.data, first.len, &wire) < 0) {
		complain(g, "its own JSON is refused", (char *)first.data, g->faults.items[0].detail);
		return;
	}
	buf_reset(&g->wire);
	buf_append(&g->wire, wire.data, wire.len);
	if (show(g, false, &second, why, sizeof why) < 0 || first.len != second.len ||
	    memcmp(first.data, second.data, first.len) != 0)
		complain(g, "not stable", (char *)first.data, second.data ? (char *)second.data : why);
}

static void finish(struct golden *g, bool from_json)
{
	char got[300];

	if (!g->open)
		return;
	if (g->n_faults < g->faults.n) {
		describe(&g->faults.items[g->n_faults], got, sizeof got);
		complain(g, "a fault too many", "none", got);
	}
	if (g->err == 0 && from_json)
		check_stable(g);
	fault_list_deinit(&g->faults);
	g->open = false;
}

static void begin(struct golden *g, char kind, const char *text)
{
	AUTO_BUF json = BUF_INIT;

	g->n_cases++;
	g->open = true;
	g->err = 0;
	g->n_faults = 0;
	buf_reset(&g->wire);
	if (kind == 'W') {
		set_unhex(text, &g->wire);
		return;
	}
	if (kind == 'X')
		set_unhex(text, &json);
	else
		buf_append_str(&json, text);
	g->err = read_json(g, json.data, json.len, &g->wire);
	if (g->err < 0 && g->wire.len != 0)
		complain(g, "left bytes behind", "none", "some");
}

static void compare_wire(struct golden *g, const struct buf *wire, const char *text)
{
	AUTO_BUF want = BUF_INIT;
	AUTO_BUF got = BUF_INIT;

	set_unhex(text, &want);
	for (size_t i = 0; i < wire->len; i++)
		buf_printf(&got, "%02x", wire->data[i]);
	if (want.len != wire->len || (want.len && memcmp(want.data, wire->data, want.len) != 0))
		complain(g, "other wire bytes", text, buf_cstr(&got));
}

static void check_wire(struct golden *g, const char *text)
{
	compare_wire(g, &g->wire, text);
}

static void check_canonical(struct golden *g, char kind, const char *text)
{
	struct transcode_write o = {.schema = g->schema, .skip_zero = true, .json_names = true};
	AUTO_BUF wire = BUF_INIT;
	AUTO_BUF json = BUF_INIT;
	char why[300] = "";
	int err = transcode_normalize(g->message, buf_bytes(&g->wire), &wire, why, sizeof why);

	if (kind == 'r') {
		if (err != -ERRAND_DATA_LOSS || strstr(why, text) == NULL || wire.len != 0)
			complain(g, "no such error", text, why);
		return;
	}
	if (err < 0)
		complain(g, "no canonical form", text, why);
	else if (kind == 'n')
		compare_wire(g, &wire, text);
	else if (transcode_to_json(&o, g->message, buf_bytes(&wire), &json, why, sizeof why) < 0)
		complain(g, "no JSON", text, why);
	else if (strcmp(buf_cstr(&json), text) != 0)
		complain(g, "other JSON", text, buf_cstr(&json));
}

static void check_json(struct golden *g, bool skip_zero, const char *text)
{
	AUTO_BUF got = BUF_INIT;
	char why[300] = "";

	if (show(g, skip_zero, &got, why, sizeof why) < 0)
		complain(g, "no JSON", text, why);
	else if (strcmp(buf_cstr(&got), text) != 0)
		complain(g, "other JSON", text, buf_cstr(&got));
}

static void check_error(struct golden *g, const char *text)
{
	AUTO_BUF got = BUF_INIT;
	char why[300] = "";
	int err = show(g, false, &got, why, sizeof why);

	if (err != -ERRAND_DATA_LOSS || strstr(why, text) == NULL || got.len != 0)
		complain(g, "no such error", text, err < 0 ? why : buf_cstr(&got));
}

static void check_fault(struct golden *g, const char *text)
{
	char got[2000] = "none";

	if (g->n_faults < g->faults.n)
		describe(&g->faults.items[g->n_faults], got, sizeof got);
	g->n_faults++;
	if (strcmp(got, text) != 0 && (strchr(text, '*') == NULL || fnmatch(text, got, 0) != 0))
		complain(g, "another fault", text, got);
}

static void run_line(struct golden *g, int number, char *line, bool *from_json)
{
	char *text = line[0] && line[1] ? line + 2 : line + (line[0] != 0);

	switch (line[0]) {
	case 'M':
		finish(g, *from_json);
		g->message = set_message(g->schema, text);
		break;
	case 'J': case 'X': case 'W':
		finish(g, *from_json);
		g->line = number;
		*from_json = line[0] != 'W';
		begin(g, line[0], text);
		break;
	case 'w': check_wire(g, text); break;
	case 's': check_json(g, true, text); break;
	case 'j': check_json(g, false, text); break;
	case 'e': check_error(g, text); break;
	case 'n': case 'c': case 'r': check_canonical(g, line[0], text); break;
	case 'O':
		finish(g, *from_json);
		g->ignore_unknown = strstr(text, "ignore_unknown") != NULL;
		g->allow_nul = strstr(text, "allow_nul") != NULL;
		break;
	case 'f': check_fault(g, text); break;
	case '#': case '\0': break;
	default: fail_msg("%s.txt:%d: what is \"%s\"?", g->file, number, line);
	}
}

static void test_file(void **state)
{
	struct golden g = {.file = *state, .schema = set_load()};
	bool from_json = false;
	char path[4096], *line = NULL;
	size_t size = 0;
	ssize_t len;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s.txt", GOLDEN_DIR, g.file);
	f = fopen(path, "r");
	assert_non_null(f);
	for (int n = 1; (len = getline(&line, &size, f)) >= 0; n++) {
		if (len > 0 && line[len - 1] == '\n')
			line[len - 1] = '\0';
		run_line(&g, n, line, &from_json);
	}
	finish(&g, from_json);
	free(line);
	fclose(f);
	buf_deinit(&g.wire);
	schema_unref(g.schema);
	print_message("%s: %d cases\n", g.file, g.n_cases);
	assert_int_equal(g.n_bad, 0);
	assert_true(g.n_cases > 5);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(files)];

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		tests[i] = (struct CMUnitTest){.name = files[i], .test_func = test_file,
					       .initial_state = (void *)(uintptr_t)files[i]};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
