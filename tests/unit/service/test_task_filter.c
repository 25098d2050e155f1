/* test_task_filter.c: texts that are filters and what they mean, texts that are none
 * and what is said of them; what rows they take; random filters against a second,
 * slow reading of the same tree; what they tell an index. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/task_filter.h"

#define JAN1 1767225600LL /* 2026-01-01T00:00:00Z */

static struct task_filter *parse(const char *text)
{
	struct task_filter *f;
	char why[512] = "";

	if (task_filter_parse(text, &f, why, sizeof why) < 0)
		fail_msg("%s: %s", text, why);
	return f;
}

/* --- texts --- */

static void test_valid(void **state)
{
	static const char *const table[][2] = {
		{"", ""},
		{"  \t\n", ""},
		{"state = running", "state = RUNNING"},
		{"state=Running", "state = RUNNING"},
		{"state = \"RUNNING\"", "state = RUNNING"},
		{"queue = media", "queue = \"media\""},
		{"queue='a b'", "queue = \"a b\""},
		{"method = article.v1.Article/*", "method = \"article.v1.Article/*\""},
		{"method != \"*/Encode\"", "method != \"*/Encode\""},
		{"method = *Art*", "method = \"*Art*\""},
		{"queue = *", "queue = \"*\""},
		{"queue = \"a\\\"b\\\\c\\*\"", "queue = \"a\\\"b\\\\c\\*\""},
		{"queue > b", "queue > \"b\""},
		{"priority >= -5", "priority >= -5"},
		{"crash_count<3", "crash_count < 3"},
		{"crashCount < 3", "crash_count < 3"},
		{"attempt <= 007", "attempt <= 7"},
		{"create_time > 2026-01-01T00:00:00Z", "create_time > \"2026-01-01T00:00:00Z\""},
		{"createTime > \"2026-01-01T02:00:00.5+02:00\"",
		 "create_time > \"2026-01-01T00:00:00.500Z\""},
		{"end_time:*", "end_time:*"},
		{"labels:customer", "labels.\"customer\":*"},
		{"labels:\"a b\"", "labels.\"a b\":*"},
		{"labels.customer:*", "labels.\"customer\":*"},
		{"labels.customer:x", "labels.\"customer\" = \"x\""},
		{"labels.customer = x*", "labels.\"customer\" = \"x*\""},
		{"labels.app.io/name = x", "labels.\"app.io/name\" = \"x\""},
		{"labels.\"a \\\" b\" != \"\"", "labels.\"a \\\" b\" != \"\""},
		{"schedule = nightly", "schedule = \"nightly\""},
		{"reason = \"quarantined\"", "reason = \"quarantined\""},
		{"run_at < 2026-01-01T00:00:00Z", "run_at < \"2026-01-01T00:00:00Z\""},
		{"state = running AND queue = media",
		 "(state = RUNNING AND queue = \"media\")"},
		{"state = running queue = media", "(state = RUNNING AND queue = \"media\")"},
		{"priority = 1 AND priority = 2 OR priority = 3",
		 "(priority = 1 AND (priority = 2 OR priority = 3))"},
		{"priority = 1 OR priority = 2 AND priority = 3",
		 "((priority = 1 OR priority = 2) AND priority = 3)"},
		{"NOT state = failed", "NOT state = FAILED"},
		{"-state = failed", "NOT state = FAILED"},
		{"NOT (state = failed)", "NOT state = FAILED"},
		{"NOT(state = failed OR state = expired)", "NOT (state = FAILED OR state = EXPIRED)"},
		{"NOT NOT priority = 1", "NOT NOT priority = 1"},
		{"-(-(priority = 1))", "NOT NOT priority = 1"},
		{"priority = 1 -priority = 2", "(priority = 1 AND NOT priority = 2)"},
		{"((( priority = 1 )))", "priority = 1"},
		{"priority = 1 AND (priority = 2 AND priority = 3)",
		 "(priority = 1 AND (priority = 2 AND priority = 3))"},
		{"queue = AND", "queue = \"AND\""},
		{"queue = NOT AND priority = 1", "(queue = \"NOT\" AND priority = 1)"},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		AUTO_BUF out = BUF_INIT, again = BUF_INIT;
		struct task_filter *f;

		f = parse(table[i][0]);
		task_filter_print(f, &out);
		assert_string_equal(buf_cstr(&out), table[i][1]);
		task_filter_free(f);
		f = parse(buf_cstr(&out));
		task_filter_print(f, &again);
		assert_string_equal(buf_cstr(&again), table[i][1]);
		task_filter_free(f);
	}
}

/* A filter, and what is said of it. */
static const char *const invalid[][2] = {
	{"running", "column 1: \"running\" alone is no test: write FIELD = VALUE, such as "
	 "state = running"},
	{"state", "column 6: expected =, !=, <, <=, >, >= or : after state"},
	{"state = running and queue = a", "column 17: write AND in capitals"},
	{"state = running or queue = a", "column 17: write OR in capitals"},
	{"not state = running", "column 1: write NOT in capitals"},
	{"state = running AND AND queue = a", "column 21: nothing stands before this AND"},
	{"OR queue = a", "column 1: nothing stands before this OR"},
	{"state = running AND", "column 20: expected a test such as state = running, the filter "
	 "ends here"},
	{"state = running OR ", "column 20: expected a test such as state = running, the filter "
	 "ends here"},
	{"state =", "column 8: expected a value, the filter ends here"},
	{"state = )", "column 9: expected a value, found \")\""},
	{"state == running", "column 7: equal is =, not =="},
	{"state > running", "column 7: states have no order: use = or !="},
	{"state = runing", "column 9: \"runing\" is no state: did you mean RUNNING? There are "
	 "QUEUED, RUNNING, RETRYING, CANCELLING, SUCCEEDED, FAILED, CANCELLED, SCHEDULED, BLOCKED, "
	 "HELD, EXPIRED"},
	{"state = xyzzyxyzzy", "column 9: \"xyzzyxyzzy\" is no state: there are "
	 "QUEUED, RUNNING, RETRYING, CANCELLING, SUCCEEDED, FAILED, CANCELLED, SCHEDULED, BLOCKED, "
	 "HELD, EXPIRED"},
	{"state = run*", "column 9: state takes no *"},
	{"priority = high", "column 12: priority is a whole number, not \"high\""},
	{"priority = 1.5", "column 12: priority is a whole number, not \"1.5\""},
	{"priority = 99999999999999999999", "column 12: priority is a whole number, not "
	 "\"99999999999999999999\""},
	{"priority = \"\"", "column 12: priority is a whole number, not \"\""},
	{"priority:5", "column 10: priority:* asks whether there is one; to compare write priority "
	 "= VALUE"},
	{"create_time > yesterday", "column 15: create_time is a time such as "
	 "\"2026-01-31T12:00:00Z\", not \"yesterday\""},
	{"create_time > 2026-01-01", "column 15: create_time is a time such as "
	 "\"2026-01-31T12:00:00Z\", not \"2026-01-01\""},
	{"create_tme > 1", "column 1: a task has no field \"create_tme\": did you mean create_time?"},
	{"qeue = a", "column 1: a task has no field \"qeue\": did you mean queue?"},
	{"colour = red", "column 1: a task has no field \"colour\": there are state, method, queue, "
	 "priority, attempt, crash_count, create_time, start_time, end_time, run_at, schedule, "
	 "reason, labels.KEY"},
	{"state-x = 1", "column 1: a task has no field \"state-x\": did you mean state?"},
	{"queue.name = a", "column 6: queue has no members"},
	{"labels = a", "column 8: which label? Write labels.KEY = VALUE, or labels:KEY for tasks "
	 "that have it"},
	{"labels. = a", "column 8: expected the key of a label"},
	{"labels.\"\" = a", "column 8: expected the key of a label"},
	{"labels:*", "column 8: labels: takes the key of one label"},
	{"labels.a", "column 9: expected =, !=, <, <=, >, >= or :, the filter ends here"},
	{"queue = a*b", "column 10: a * stands at the start or the end of a text only: write \"\\*\" "
	 "for the sign itself"},
	{"queue > a*", "column 9: a * is for = and != only: write \"\\*\" for the sign itself"},
	{"queue = \"abc", "column 9: this \" has no end"},
	{"queue = 'abc", "column 9: this ' has no end"},
	{"queue = \"a\\n\"", "column 11: a \\ takes a quote, * or \\ after it: write \\\\ for the "
	 "sign itself"},
	{"(priority = 1", "column 14: expected AND, OR or ), the filter ends here"},
	{"priority = 1)", "column 13: no ( belongs to this )"},
	{"()", "column 2: expected a test such as state = running, found \")\""},
	{"NOT", "column 4: expected a test such as state = running, the filter ends here"},
	{"-", "column 2: expected a test such as state = running, the filter ends here"},
	{"f(x) = 1", "column 1: \"f\" alone is no test: write FIELD = VALUE, such as state = "
	 "running"},
	{"\"running\"", "column 1: expected a test such as state = running, found \"\"\""},
	{"queue = \"\xc3\xa4\" AND \xc3\xb6 = 1", "column 17: a task has no field \"\xc3\xb6\": there are "
	 "state, method, queue, priority, attempt, crash_count, create_time, start_time, end_time, "
	 "run_at, schedule, reason, labels.KEY"},
	{"priority = 1, priority = 2", "column 13: expected a test such as state = running, found "
	 "\",\""},
	{"priority ! 1", "column 9: expected =, !=, <, <=, >, >= or : after priority"},
};

static void test_invalid(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(invalid); i++) {
		struct task_filter *f = (struct task_filter *)&f;
		char why[512] = "";

		if (task_filter_parse(invalid[i][0], &f, why, sizeof why) != -ERRAND_INVALID_ARGUMENT)
			fail_msg("%s: taken", invalid[i][0]);
		assert_null(f);
		assert_string_equal(why, invalid[i][1]);
	}
}

static void test_bounds(void **state)
{
	AUTO_BUF text = BUF_INIT;
	struct task_filter *f;
	char why[256];

	for (int i = 0; i < TASK_FILTER_DEPTH_MAX; i++)
		buf_append_byte(&text, '(');
	buf_append_str(&text, "priority=1");
	for (int i = 0; i < TASK_FILTER_DEPTH_MAX; i++)
		buf_append_byte(&text, ')');
	f = parse(buf_cstr(&text));
	task_filter_free(f);
	buf_reset(&text);
	for (int i = 0; i <= TASK_FILTER_DEPTH_MAX; i++)
		buf_append_str(&text, i % 2 ? "-" : "NOT ");
	buf_append_str(&text, "priority=1");
	assert_int_not_equal(task_filter_parse(buf_cstr(&text), &f, why, sizeof why), 0);
	assert_string_equal(why, "column 161: more than 64 parentheses and NOTs in each other");
	buf_reset(&text);
	for (int i = 0; i < TASK_FILTER_LENGTH_MAX; i++)
		buf_append_byte(&text, '(');
	assert_int_not_equal(task_filter_parse(buf_cstr(&text), &f, why, sizeof why), 0);
	buf_append_byte(&text, '(');
	assert_int_not_equal(task_filter_parse(buf_cstr(&text), &f, why, sizeof why), 0);
	assert_string_equal(why, "column 1: the filter has more than 8192 bytes");
	buf_reset(&text);
	while (text.len + 21 < TASK_FILTER_LENGTH_MAX)
		buf_append_str(&text, "priority=1 OR ");
	buf_append_str(&text, "queue=a");
	f = parse(buf_cstr(&text));
	assert_int_equal(task_filter_cost(f), 585);
	task_filter_free(f);
}

/* --- rows --- */

static void put_label(struct task_row *t, const char *key, const char *value)
{
	AUTO_BUF entry = BUF_INIT;

	pbuf_put_str(&entry, 1, key);
	pbuf_put_str(&entry, 2, value);
	pbuf_put_bytes(&t->options, 5, entry.data, entry.len);
	t->flags |= TASK_HAS_LABELS;
}

static void test_match(void **state)
{
	static const struct {
		const char *text;
		bool takes;
	} table[] = {
		{"", true},
		{"state = failed", true}, {"state != failed", false}, {"state = queued", false},
		{"state:*", true},
		{"method = article.v1.Article/Encode", true},
		{"method = article.v1.*", true}, {"method = *Encode", true}, {"method = *v1*", true},
		{"method = *v2*", false}, {"method != *v2*", true}, {"method = *", true},
		{"method = article.v1.Article", false}, {"method > article", true},
		{"method < article", false}, {"method < article.v1.Article/Encodf", true},
		{"queue = \"media\"", true}, {"queue = Media", false},
		{"priority = -3", true}, {"priority < -2", true}, {"priority > -3", false},
		{"priority >= -3", true}, {"priority <= -4", false},
		{"attempt = 4 AND crash_count = 2", true},
		{"create_time = 2026-01-01T00:00:00.000001Z", true},
		{"create_time > 2026-01-01T00:00:00Z", true},
		{"create_time > 2026-01-01T00:00:00.000001Z", false},
		{"create_time > 2026-01-01T00:00:00.000000999Z", true},
		{"create_time < 2026-01-01T00:00:00.000001001Z", true},
		{"create_time < 2026-01-01T01:00:00+02:00", false},
		{"create_time > 0001-01-01T00:00:00Z", true},
		{"create_time < 9999-12-31T23:59:59Z", true},
		{"end_time:*", false}, {"NOT end_time:*", true},
		{"end_time > 0001-01-01T00:00:00Z", false}, {"end_time != 2026-01-01T00:00:00Z", false},
		{"NOT end_time = 2026-01-01T00:00:00Z", true},
		{"run_at:*", false},
		{"labels:customer", true}, {"labels:empty", true}, {"labels:nobody", false},
		{"labels.customer = x", true}, {"labels.customer:x", true},
		{"labels.customer = *", true}, {"labels.customer != x", false},
		{"labels.customer != y", true}, {"labels.empty = \"\"", true},
		{"labels.empty:*", true}, {"labels.nobody != y", false},
		{"NOT labels.nobody = y", true}, {"labels.customer > w", true},
		{"labels.customer = \"\\*\"", false},
		{"labels.\"a.b/c-d\" = \"v w\"", true}, {"labels.a.b/c-d = \"v w\"", true},
		{"schedule:*", false}, {"schedule = *", false}, {"reason = quarantined", true},
		{"reason = final", false},
		{"priority = 0 AND priority = 0 OR priority = -3", false},
		{"priority = 0 OR priority = -3 AND state = failed", true},
		{"(priority = 0 AND priority = 0) OR priority = -3", true},
	};
	struct task_row t = {.method = "article.v1.Article/Encode", .queue = "media",
		.state = TASK_FAILED, .priority = -3, .attempt = 4, .crash_count = 2,
		.reason = REASON_QUARANTINED, .create_us = JAN1 * US_PER_S + 1,
		.run_at_us = JAN1 * US_PER_S};

	put_label(&t, "empty", "");
	put_label(&t, "customer", "x");
	put_label(&t, "a.b/c-d", "v w");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct task_filter *f = parse(table[i].text);

		if (task_filter_match(f, &t) != table[i].takes)
			fail_msg("%s: %s", table[i].text, table[i].takes ? "should take it" : "takes it");
		assert_int_equal(task_filter_parts(f),
				 strstr(table[i].text, "labels") ? PART_OPTIONS : 0);
		task_filter_free(f);
	}
	assert_true(task_filter_match(NULL, &t));
	buf_deinit(&t.options);
}

/* --- random trees --- */

static uint32_t seed;

static uint32_t pick(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

struct tree {
	int kind; /* 0 test, 1 AND, 2 OR, 3 NOT */
	int test;
	struct tree *child[3];
	int n;
};

static const struct {
	const char *text;
	int field, op, value;
} tests[] = {
	{"priority = %d", 0, 0, 1}, {"priority != %d", 0, 1, 2}, {"priority < %d", 0, 2, 2},
	{"priority >= %d", 0, 3, 1}, {"attempt = %d", 1, 0, 1}, {"attempt < %d", 1, 2, 1},
	{"state = RUNNING", 2, 0, TASK_RUNNING}, {"state != QUEUED", 2, 1, TASK_QUEUED},
	{"crash_count >= %d", 3, 3, 2}, {"labels.k = \"%d\"", 4, 0, 1},
	{"labels.k != \"%d\"", 4, 1, 2}, {"labels:k", 4, 4, 0},
};

static struct tree *grow(unsigned depth)
{
	struct tree *t = xcalloc(1, sizeof *t);

	t->kind = depth == 0 ? 0 : (int)pick(4);
	t->test = (int)pick(ARRAY_LEN(tests));
	t->n = t->kind == 0 ? 0 : t->kind == 3 ? 1 : 2 + (int)pick(2);
	for (int i = 0; i < t->n; i++)
		t->child[i] = grow(depth - 1);
	return t;
}

static void tree_free(struct tree *t)
{
	for (int i = 0; i < t->n; i++)
		tree_free(t->child[i]);
	free(t);
}

/* With parentheses only where AIP-160 needs them, and none that are not needed but by
 * chance: what is inside decides. */
static void print(const struct tree *t, int outer, struct buf *b)
{
	bool parens = (t->kind == 1 && outer != 0) || (t->kind == 2 && outer > 1) || pick(8) == 0;

	if (parens)
		buf_append_str(b, pick(2) ? "(" : "( ");
	if (t->kind == 0)
		buf_printf(b, tests[t->test].text, tests[t->test].value);
	if (t->kind == 3)
		buf_append_str(b, pick(2) ? "NOT " : "-");
	for (int i = 0; i < t->n; i++) {
		if (i > 0)
			buf_append_str(b, t->kind == 2 ? " OR " : pick(4) ? " AND " : " ");
		print(t->child[i], t->kind == 3 ? 3 : t->kind, b);
	}
	if (parens)
		buf_append_str(b, ")");
}

static bool test_value(const struct tree *t, const int *row)
{
	int have = row[tests[t->test].field], want = tests[t->test].value;

	if (tests[t->test].field == 4 && have < 0)
		return false;
	switch (tests[t->test].op) {
	case 0: return have == want;
	case 1: return have != want;
	case 2: return have < want;
	case 3: return have >= want;
	default: return true;
	}
}

static bool truth(const struct tree *t, const int *row)
{
	bool any = false, all = true;

	if (t->kind == 0)
		return test_value(t, row);
	for (int i = 0; i < t->n; i++) {
		bool one = truth(t->child[i], row);

		any |= one;
		all &= one;
	}
	return t->kind == 1 ? all : t->kind == 2 ? any : !any;
}

static void check_row(const struct task_filter *f, const struct tree *tree, const char *text)
{
	int row[5] = {(int)pick(4), (int)pick(3), 1 + (int)pick(3), (int)pick(4), (int)pick(4) - 1};
	struct task_row t = {.priority = row[0], .attempt = (uint32_t)row[1],
			     .state = (enum task_state)row[2], .crash_count = (uint32_t)row[3],
			     .create_us = 1};
	struct task_filter_hint hint;
	char value[8];

	snprintf(value, sizeof value, "%d", row[4]);
	if (row[4] >= 0)
		put_label(&t, "k", value);
	if (task_filter_match(f, &t) != truth(tree, row))
		fail_msg("%s: priority %d attempt %d state %d crash_count %d label %d", text, row[0],
			 row[1], row[2], row[3], row[4]);
	task_filter_hint(f, &hint);
	if (task_filter_match(f, &t)) {
		assert_true(hint.states & 1u << t.state);
		if (hint.label != NULL)
			assert_string_equal(hint.label_value, value);
	}
	buf_deinit(&t.options);
}

static void test_random(void **state)
{
	for (uint32_t i = 0; i < 5000; i++) {
		AUTO_BUF text = BUF_INIT, once = BUF_INIT, twice = BUF_INIT;
		struct task_filter *f, *g;
		struct tree *tree;

		seed = i;
		tree = grow(1 + pick(5));
		print(tree, 0, &text);
		if (text.len > TASK_FILTER_LENGTH_MAX) {
			tree_free(tree);
			continue;
		}
		f = parse(buf_cstr(&text));
		task_filter_print(f, &once);
		g = parse(buf_cstr(&once));
		task_filter_print(g, &twice);
		assert_string_equal(buf_cstr(&once), buf_cstr(&twice));
		for (int j = 0; j < 8; j++)
			check_row(j % 2 ? f : g, tree, buf_cstr(&text));
		task_filter_free(f);
		task_filter_free(g);
		tree_free(tree);
	}
}

/* --- hints --- */

#define BIT(s) (1u << TASK_##s)

static void test_hint(void **state)
{
	static const struct {
		const char *text;
		uint32_t states;
		int64_t min, max;
		const char *queue, *method, *label, *value;
	} table[] = {
		{"", ~0u, INT64_MIN, INT64_MAX, NULL, NULL, NULL, NULL},
		{"state = running", BIT(RUNNING), INT64_MIN, INT64_MAX, NULL, NULL, NULL, NULL},
		{"state != running", ~BIT(RUNNING), INT64_MIN, INT64_MAX, NULL, NULL, NULL, NULL},
		{"NOT state = running", ~BIT(RUNNING), INT64_MIN, INT64_MAX, NULL, NULL, NULL, NULL},
		{"NOT state:*", ~0u, INT64_MIN, INT64_MAX, NULL, NULL, NULL, NULL},
		{"state = running OR state = queued", BIT(RUNNING) | BIT(QUEUED), INT64_MIN, INT64_MAX,
		 NULL, NULL, NULL, NULL},
		{"state = running AND state = queued", 0, INT64_MIN, INT64_MAX, NULL, NULL, NULL, NULL},
		{"state = running OR queue = a", ~0u, INT64_MIN, INT64_MAX, NULL, NULL, NULL, NULL},
		{"NOT (state = running AND queue = a)", ~0u, INT64_MIN, INT64_MAX, NULL, NULL, NULL,
		 NULL},
		{"queue = a AND method = m AND labels.k = v", ~0u, INT64_MIN, INT64_MAX, "a", "m", "k",
		 "v"},
		{"queue = a* AND method != m AND labels:k", ~0u, INT64_MIN, INT64_MAX, NULL, NULL, NULL,
		 NULL},
		{"create_time >= 1970-01-01T00:00:01Z AND create_time < 1970-01-01T00:00:02.0000019Z",
		 ~0u, 1000000, 2000001, NULL, NULL, NULL, NULL},
		{"create_time > 1970-01-01T00:00:01Z OR create_time > 1970-01-01T00:00:03Z", ~0u,
		 1000000, INT64_MAX, NULL, NULL, NULL, NULL},
		{"NOT create_time > 1970-01-01T00:00:01Z", ~0u, INT64_MIN, INT64_MAX, NULL, NULL, NULL,
		 NULL},
		{"end_time > 1970-01-01T00:00:01Z", TASK_FILTER_ENDED, INT64_MIN, INT64_MAX, NULL, NULL, NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct task_filter *f = parse(table[i].text);
		struct task_filter_hint h;

		task_filter_hint(f, &h);
		assert_int_equal(h.states, table[i].states);
		assert_true(h.create_min_us == table[i].min);
		assert_true(h.create_max_us == table[i].max);
		for (size_t j = 0; j < 4; j++) {
			const char *have[] = {h.queue, h.method, h.label, h.label_value};
			const char *want[] = {table[i].queue, table[i].method, table[i].label,
					      table[i].value};

			if (want[j] == NULL)
				assert_null(have[j]);
			else
				assert_string_equal(have[j], want[j]);
		}
		task_filter_free(f);
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_valid), cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_bounds), cmocka_unit_test(test_match),
		cmocka_unit_test(test_random), cmocka_unit_test(test_hint),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
