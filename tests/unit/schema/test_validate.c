/* test_validate.c: the golden table of the validation rules (tests/golden/validate has
 * its format), schemas that are refused for their rules, and where a violation is said
 * to be when the message came by a route. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/regex.h"
#include "schema/rules.h"
#include "schema/tables.h"
#include "schema/transcode.h"
#include "schema/validate.h"
#include "set.h"

static const char *const files[] = {"numbers", "strings", "formats", "collections", "messages", "wire"};

struct golden {
	struct schema *schema;
	const struct schema_message *message;
	const char *file;
	char rule[100];     /* of F */
	int line;           /* of the case */
	int n_cases, n_bad;
	bool open;          /* a case is being checked */
	struct fault_list faults;
	size_t n_faults;    /* seen so far in f lines */
};

static void complain(struct golden *g, const char *what, const char *expected, const char *got)
{
	g->n_bad++;
	print_message("%s.txt:%d: %s\n  expected %s\n  got      %s\n", g->file, g->line, what, expected, got);
}

static void describe(const struct fault *f, char *out, size_t size)
{
	if (f->kind != FAULT_SCHEMA || f->place != FAULT_POINTER)
		snprintf(out, size, "(no violation of a rule) %s", f->detail);
	else
		snprintf(out, size, "%s %s", f->where, f->rule);
}

static void finish(struct golden *g)
{
	char got[300];

	if (!g->open)
		return;
	if (g->n_faults < g->faults.n) {
		describe(&g->faults.items[g->n_faults], got, sizeof got);
		complain(g, "a violation too many", "none", got);
	}
	fault_list_deinit(&g->faults);
	g->open = false;
}

/* From a copy of its exact size, so that ASan sees one byte too many. */
static void check_wire(struct golden *g, const struct buf *wire)
{
	uint8_t *copy = malloc(wire->len ? wire->len : 1);
	int err;

	memcpy(copy, wire->len ? wire->data : (const uint8_t *)"", wire->len);
	err = validate_message(g->message, (struct bytes){copy, wire->len}, NULL, &g->faults);
	if ((err < 0) != (g->faults.n > 0))
		complain(g, "its result and its faults", "to agree", err < 0 ? "no faults" : "faults");
	free(copy);
}

static void begin(struct golden *g, char kind, const char *text)
{
	struct transcode_read o = {.schema = g->schema};
	AUTO_BUF wire = BUF_INIT;

	g->n_cases++;
	g->open = true;
	g->n_faults = 0;
	if (kind == 'W')
		set_unhex(text, &wire);
	else if (transcode_from_json(&o, g->message, text, strlen(text), "#", &wire, &g->faults) < 0)
		return;
	check_wire(g, &wire);
}

static void check_fault(struct golden *g, const char *text)
{
	char got[300] = "no more";

	if (g->n_faults < g->faults.n)
		describe(&g->faults.items[g->n_faults], got, sizeof got);
	g->n_faults++;
	if (strcmp(got, text) != 0)
		complain(g, "violation", text, got);
}

static void choose(struct golden *g, const char *name)
{
	char full[200];

	snprintf(full, sizeof full, "rules.v1.%s", name);
	g->message = schema_message(g->schema, full, strlen(full));
	if (g->message == NULL)
		fail_msg("no message %s", full);
}

/* + and - */
static void check_text(struct golden *g, char kind, const char *text)
{
	char *json, *want;

	if (asprintf(&json, "{\"v\":\"%s\"}", text) < 0 || asprintf(&want, "#/v %s", g->rule) < 0)
		fail();
	begin(g, 'J', json);
	if (kind == '-')
		check_fault(g, want);
	free(json);
	free(want);
}

static void run_line(struct golden *g, char *line)
{
	char kind = line[0], *text = line + (line[0] != '\0' && line[1] == ' ' ? 2 : 1);

	if (kind == '\0' || kind == '#')
		return;
	if (kind == 'f') {
		check_fault(g, text);
		return;
	}
	finish(g);
	if (kind == 'M') {
		choose(g, text);
	} else if (kind == 'F') {
		char *space = strchr(text, ' ');

		snprintf(g->rule, sizeof g->rule, "%s", space + 1);
		*space = '\0';
		choose(g, text);
	} else if (kind == '+' || kind == '-') {
		check_text(g, kind, text);
	} else {
		begin(g, kind, text);
	}
}

static struct schema *load(const char *path)
{
	AUTO_BUF set = BUF_INIT;
	struct schema *s = NULL;
	char why[600] = "";

	set_read_file(path, &set);
	if (schema_load(set.data, set.len, &s, why, sizeof why) < 0)
		fail_msg("%s: %s", path, why);
	return s;
}

static FILE *open_golden(const char *file)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s.txt", VALIDATE_DIR, file);
	f = fopen(path, "r");
	if (f == NULL)
		fail_msg("%s cannot be opened", path);
	return f;
}

static void cut_newline(char *line)
{
	line[strcspn(line, "\n")] = '\0';
}

static void test_golden(void **state)
{
	const char *file = *state;
	struct golden g = {.schema = load(RULES_SET), .file = file};
	FILE *f = open_golden(file);
	char *line = NULL;
	size_t size = 0;

	for (int n = 1; getline(&line, &size, f) > 0; n++) {
		cut_newline(line);
		if (strchr("JW+-", line[0]) != NULL && line[0] != '\0') {
			finish(&g);
			g.line = n;
		}
		run_line(&g, line);
	}
	finish(&g);
	free(line);
	fclose(f);
	schema_unref(g.schema);
	assert_true(g.n_cases > 5);
	assert_int_equal(g.n_bad, 0);
}

/* --- refused when loaded --- */

enum { SET_FILE = 1, FILE_NAME = 1, FILE_MESSAGE = 4 };

static struct bytes name_of(struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == FILE_NAME && f.wire == PBUF_LEN)
			return f.bytes;
	return (struct bytes){0};
}

static bool is_text(struct bytes b, const char *text)
{
	return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

/* refused.proto with one of its messages, and OnMessage, which some refer to. */
static void put_file(struct buf *out, struct bytes file, const char *message)
{
	struct pbuf_reader r = pbuf_reader(file.data, file.len);
	AUTO_BUF kept = BUF_INIT;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number != FILE_MESSAGE || is_text(name_of(f.bytes), message))
			buf_append(&kept, f.start, (size_t)(r.p - f.start));
	if (strcmp(message, "UniqueMessages") == 0) {
		AUTO_BUF empty = BUF_INIT;

		pbuf_put_str(&empty, FILE_NAME, "OnMessage");
		pbuf_put_bytes(&kept, FILE_MESSAGE, empty.data, empty.len);
	}
	pbuf_put_bytes(out, SET_FILE, kept.data, kept.len);
}

static void only_message(struct bytes set, const char *message, struct buf *out)
{
	struct pbuf_reader r = pbuf_reader(set.data, set.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (is_text(name_of(f.bytes), "refused.proto"))
			put_file(out, f.bytes, message);
		else
			buf_append(out, f.start, (size_t)(r.p - f.start));
	}
}

static void test_refused(void **state)
{
	FILE *f = open_golden("refused");
	AUTO_BUF set = BUF_INIT;
	char *line = NULL;
	size_t size = 0;
	int n_bad = 0, n = 0;

	set_read_file(REFUSED_SET, &set);
	while (getline(&line, &size, f) > 0) {
		AUTO_BUF one = BUF_INIT;
		char why[600] = "", *want = strstr(line, ": ");
		struct schema *s = NULL;

		cut_newline(line);
		if (line[0] == '#' || want == NULL)
			continue;
		*want = '\0';
		want += 2;
		only_message(buf_bytes(&set), line, &one);
		if (schema_load(one.data, one.len, &s, why, sizeof why) == 0 || strstr(why, want) == NULL) {
			print_message("%s\n  expected %s\n  got      %s\n", line, want, s != NULL ? "a schema" : why);
			n_bad++;
		}
		schema_unref(s);
		n++;
	}
	free(line);
	fclose(f);
	assert_int_equal(n, 40);
	assert_int_equal(n_bad, 0);
}

/* Options that no .proto of ours can say: they are put behind the others. */
static int load_with_option(const char *message, const char *hex, char *why, size_t why_size)
{
	AUTO_BUF name = BUF_INIT, option = BUF_INIT, options = BUF_INIT, field = BUF_INIT, m = BUF_INIT;
	AUTO_BUF file = BUF_INIT, set = BUF_INIT;
	struct schema *s = NULL;
	int err;

	set_unhex(hex, &option);
	pbuf_put_bytes(&options, 1159, option.data, option.len);
	pbuf_put_str(&field, 1, "v");
	pbuf_put_uint(&field, 3, 1);
	pbuf_put_uint(&field, 4, 1);
	pbuf_put_uint(&field, 5, FIELD_STRING);
	pbuf_put_bytes(&field, 8, options.data, options.len);
	pbuf_put_str(&m, 1, message);
	pbuf_put_bytes(&m, 2, field.data, field.len);
	pbuf_put_str(&file, 1, "x.proto");
	pbuf_put_bytes(&file, 4, m.data, m.len);
	pbuf_put_bytes(&set, 1, file.data, file.len);
	err = schema_load(set.data, set.len, &s, why, why_size);
	schema_unref(s);
	return err;
}

static void test_unknown_rules(void **state)
{
	static const struct { const char *hex, *want; } cases[] = {
		{"da0100", "M.v: (buf.validate.field) does not parse"}, /* ignore as text */
		{"d80102", "ignore: 2 is none of"},
		{"c00101", "skipped is not in protovalidate 1.0"},
		{"d00101", "ignore_empty is not in protovalidate 1.0"},
		{"f20100", "its rule 30 is not known"},
		{"7203e00301", "string: its rule 60 is not known"},
		{"7203c80103", "string.strict"},
		{"720812ff", "does not parse"},
		{"72021200", "string.min_len: its value does not parse"},
		{"7203c00103", "this KnownRegex is not known"},
		{"72021001 1a020801", "gives rules of string and of int32"},
	};
	char why[600];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool good = i == 6; /* strict: any varint is a bool */
		int err = load_with_option("M", cases[i].hex, why, sizeof why);

		if (good) {
			assert_int_equal(err, 0);
		} else if (err == 0 || strstr(why, cases[i].want) == NULL) {
			fail_msg("%s: expected %s, got %s", cases[i].hex, cases[i].want, err == 0 ? "a schema" : why);
		}
	}
}

/* --- tables --- */

static const struct schema_message *message(const struct schema *s, const char *name)
{
	char full[100];

	snprintf(full, sizeof full, "rules.v1.%s", name);
	return schema_message(s, full, strlen(full));
}

static void test_has_rules(void **state)
{
	struct schema *s = load(RULES_SET);
	const struct schema_field *f;

	assert_true(message(s, "Item")->has_rules);
	assert_true(message(s, "Outer")->has_rules);
	assert_false(message(s, "Plain")->has_rules);
	assert_false(schema_message(s, "google.protobuf.Any", 19)->has_rules);
	assert_false(schema_message(s, "buf.validate.FieldRules", 23)->has_rules);
	f = schema_field(message(s, "Int32s"), "inside", 6);
	assert_int_equal(f->rules->n, 2);
	assert_string_equal(f->rules->list[0].id, "int32.gt_lt");
	assert_ptr_equal(f->rules->list[0].bound, &f->rules->list[1]);
	assert_false(f->rules->list[0].outside);
	f = schema_field(message(s, "Wrappers"), "string", 6);
	assert_int_equal(f->rules->about->type, FIELD_STRING);
	schema_unref(s);
}

/* --- places --- */

static struct schema_http get_binding = {.verb = "GET"};

static void expect_fault(const struct fault_list *l, size_t i, enum fault_place place, const char *where,
			 const char *value)
{
	assert_true(i < l->n);
	assert_string_equal(l->items[i].where, where);
	assert_int_equal(l->items[i].place, place);
	if (value == NULL)
		assert_null(l->items[i].value);
	else
		assert_string_equal(l->items[i].value, value);
}

/* body: "alternatives", path {item.name}, the rest in the query */
static void test_places(void **state)
{
	struct schema *s = load(RULES_SET);
	const struct schema_message *m = message(s, "Outer");
	struct template_variable variable = {.path = {&m->fields[0], &m->fields[0].message->fields[0]}, .depth = 2};
	struct template template = {.variables = &variable, .n_variables = 1};
	struct route route = {.http = &get_binding, .template = &template, .body = &m->fields[1]};
	struct fault_list faults = FAULT_LIST_INIT;
	/* item {}, alternatives {a: "a", c: ["x", "y"]}, oneofs {}, json "ab" */
	static const char hex[] = "0a00 1209 0a0161 1a0178 1a0179 1a00 22026162";
	AUTO_BUF wire = BUF_INIT;

	set_unhex(hex, &wire);
	route.body_path = (struct field_path){.steps = {&m->fields[1]}, .depth = 1};
	assert_int_equal(validate_message(m, buf_bytes(&wire), &route, &faults), -ERRAND_INVALID_ARGUMENT);
	expect_fault(&faults, 0, FAULT_PARAMETER, "item.name", NULL);
	expect_fault(&faults, 1, FAULT_POINTER, "#/a", "a");
	expect_fault(&faults, 2, FAULT_PARAMETER, "oneofs.name", NULL);
	expect_fault(&faults, 3, FAULT_PARAMETER, "a/b~c", "ab");
	assert_int_equal(faults.n, 4);
	fault_list_deinit(&faults);

	route = (struct route){.http = &get_binding, .template = &template, .body_all = true};
	assert_int_equal(validate_message(m, buf_bytes(&wire), &route, &faults), -ERRAND_INVALID_ARGUMENT);
	expect_fault(&faults, 0, FAULT_PARAMETER, "item.name", NULL);
	expect_fault(&faults, 1, FAULT_POINTER, "#/alternatives/a", "a");
	expect_fault(&faults, 2, FAULT_POINTER, "#/oneofs", NULL);
	fault_list_deinit(&faults);

	route = (struct route){.body_all = true};
	assert_int_equal(validate_message(m, buf_bytes(&wire), &route, &faults), -ERRAND_INVALID_ARGUMENT);
	expect_fault(&faults, 0, FAULT_POINTER, "#/item/name", NULL);
	fault_list_deinit(&faults);
	schema_unref(s);
}

static void test_many_faults(void **state)
{
	struct schema *s = load(RULES_SET);
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;

	for (int i = 0; i < 1000; i++)
		pbuf_put_str(&wire, 4, "a");
	validate_message(message(s, "Lists"), buf_bytes(&wire), NULL, &faults);
	assert_int_equal(faults.n, FAULT_MAX);
	assert_int_equal(faults.n_dropped, 1000 - FAULT_MAX);
	expect_fault(&faults, 63, FAULT_POINTER, "#/items/63", "a");
	assert_string_equal(faults.items[0].detail, "must have at least 2 characters, has 1");
	fault_list_deinit(&faults);
	schema_unref(s);
}

/* A message within a message ... as deep as the scanner lets through. */
static void test_deep(void **state)
{
	struct schema *s = load(RULES_SET);
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;

	for (int i = 0; i < 1000; i++) {
		AUTO_BUF outer = BUF_INIT;

		pbuf_put_str(&outer, 1, i > 0 ? "x" : "");
		if (i > 0)
			pbuf_put_bytes(&outer, 2, wire.data, wire.len);
		buf_reset(&wire);
		buf_append(&wire, outer.data, outer.len);
		if (i == 99) { /* the innermost, 100 deep, is looked at */
			assert_int_equal(validate_message(message(s, "Item"), buf_bytes(&wire), NULL, &faults),
					 -ERRAND_INVALID_ARGUMENT);
			assert_int_equal(faults.n, 1);
			fault_list_deinit(&faults);
		}
	}
	assert_int_equal(validate_message(message(s, "Item"), buf_bytes(&wire), NULL, &faults), 0);
	schema_unref(s);
}

/* --- patterns (FAULTS 77) --- */

static int64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct regex *compile(struct schema *s, const char *pattern)
{
	struct regex *x = NULL;
	char why[200];

	if (regex_new(s, (struct bytes){(const uint8_t *)pattern, strlen(pattern)}, &x, why, sizeof why) < 0)
		fail_msg("%s: %s", pattern, why);
	return x;
}

/* Patterns that take exponential or quadratic time elsewhere, on a megabyte. */
static void test_pattern_time(void **state)
{
	static const char *const patterns[] = {
		"^(a+)+$", "(a+)+$", "(a|aa)+$", "(a|a?)+b", "[a-z]+[0-9]", "^(\\w+\\s?)*$", "a*a*a*a*a*b",
		"(?:a?){30}a{30}b", "(.*)(.*)(.*)(.*)[^a]c", "^(([a-z])+.)+[A-Z]([a-z])+$", ".*.*=.*",
		"[a-z]{1,1000}[0-9]",
	};
	struct schema *s = load(RULES_SET);
	AUTO_BUF text = BUF_INIT;
	int64_t start = cpu_ms();

	for (int i = 0; i < 1 << 20; i++)
		buf_append_byte(&text, 'a');
	buf_append_byte(&text, '!');
	for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
		const struct regex *x = compile(s, patterns[i]);
		int64_t before = cpu_ms();
		int n = regex_match(x, buf_bytes(&text));

		if (n == 1)
			fail_msg("%s matches", patterns[i]);
		regex_match(x, (struct bytes){text.data + text.len - 65, 65});
		regex_match(x, (struct bytes){text.data + text.len - 5000, 5000});
		if (cpu_ms() - before > 4000)
			fail_msg("%s took %lld ms", patterns[i], (long long)(cpu_ms() - before));
	}
	print_message("%zu patterns in %lld ms\n", ARRAY_LEN(patterns), (long long)(cpu_ms() - start));
	schema_unref(s);
}

/* What only the second way of matching can decide is decided rightly. */
static void test_pattern_right(void **state)
{
	struct schema *s = load(RULES_SET);
	AUTO_BUF text = BUF_INIT;

	for (int i = 0; i < 100000; i++)
		buf_append_byte(&text, 'a');
	assert_int_equal(regex_match(compile(s, "^(a+)+$"), buf_bytes(&text)), 1);
	assert_int_equal(regex_match(compile(s, "(a|b)*c|a$"), buf_bytes(&text)), 1);
	buf_append_byte(&text, 'b');
	assert_int_equal(regex_match(compile(s, "^(a+)+$"), buf_bytes(&text)), 0);
	assert_int_equal(regex_match(compile(s, "(a+)+b$"), buf_bytes(&text)), 1);
	assert_int_equal(regex_match(compile(s, "ab"), buf_bytes(&text)), 1);
	assert_int_equal(regex_match(compile(s, "^b"), buf_bytes(&text)), 0);
	assert_int_equal(regex_match(compile(s, ""), (struct bytes){NULL, 0}), 1);
	assert_int_equal(regex_match(compile(s, "."), (struct bytes){(const uint8_t *)"\xff", 1}), 0);
	assert_int_equal(regex_match(compile(s, "^[\\S]$"), (struct bytes){(const uint8_t *)"\v", 1}), 1);
	assert_int_equal(regex_match(compile(s, "^[^\\S]$"), (struct bytes){(const uint8_t *)"\v", 1}), 0);
	schema_unref(s);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(files)];
	const struct CMUnitTest more[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unknown_rules),
		cmocka_unit_test(test_has_rules),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_many_faults),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_pattern_right),
		cmocka_unit_test(test_pattern_time),
	};

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		tests[i] = (struct CMUnitTest){files[i], test_golden, NULL, NULL, (void *)files[i]};
	return cmocka_run_group_tests(tests, NULL, NULL) + cmocka_run_group_tests(more, NULL, NULL);
}
