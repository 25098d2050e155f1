/* task_filter_parse.c: a filter's text to its tree, by descent: AND of ORs of
 * terms, a term being a test, a parenthesis or the NOT of one. Depth is counted, so
 * that no text can eat the stack. The first error ends it; it keeps its column. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "base/opt.h"
#include "errand/status.h"
#include "schema/wellknown.h"
#include "service/task_filter_impl.h"

struct parser {
	const char *text, *p;
	struct task_filter *filter;
	unsigned depth;
	bool failed;
	char *why;
	size_t why_size;
};

/* --- errors --- */

/* Columns count characters, not bytes: they are for people. */
static size_t column(const struct parser *f, const char *at)
{
	size_t n = 1;

	for (const char *p = f->text; p < at; p++)
		n += (*p & 0xc0) != 0x80;
	return n;
}

static void PRINTF(3, 4) fail(struct parser *f, const char *at, const char *fmt, ...)
{
	size_t n;
	va_list ap;

	if (f->failed)
		return;
	f->failed = true;
	snprintf(f->why, f->why_size, "column %zu: ", column(f, at));
	n = strlen(f->why);
	va_start(ap, fmt);
	vsnprintf(f->why + n, f->why_size - n, fmt, ap);
	va_end(ap);
}

/* The end of the word at p, as a human sees it: at most 40 bytes, whole characters. */
static int word_len(const char *p)
{
	int n = (int)MIN(strcspn(p, " \t\r\n()=<>!:\","), 40);

	while (n > 0 && (p[n] & 0xc0) == 0x80)
		n--;
	return n > 0 ? n : *p != 0;
}

static void fail_expected(struct parser *f, const char *expected)
{
	if (*f->p == 0)
		fail(f, f->p, "expected %s, the filter ends here", expected);
	else
		fail(f, f->p, "expected %s, found \"%.*s\"", expected, word_len(f->p), f->p);
}

/* --- words --- */

static void skip_space(struct parser *f)
{
	f->p += strspn(f->p, " \t\r\n");
}

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '/' || c == '-' || c & 0x80;
}

/* The word, when it stands at p whole. */
static bool at_word(const struct parser *f, const char *word)
{
	size_t n = strlen(word);

	return strncmp(f->p, word, n) == 0 && !word_char(f->p[n]);
}

static bool take_word(struct parser *f, const char *word)
{
	if (!at_word(f, word))
		return false;
	f->p += strlen(word);
	skip_space(f);
	return true;
}

/* A value, its quotes and escapes undone; a * without \ is kept in text, and told of. */
struct string {
	struct buf text;
	bool star_first, star_last;
	const char *star_inside; /* where one stands that is neither, NULL = none */
	bool quoted;
};

static void string_star(struct string *s, const char *at, bool first, bool last)
{
	if (first)
		s->star_first = true;
	else if (last)
		s->star_last = true;
	else if (s->star_inside == NULL)
		s->star_inside = at;
	buf_append_byte(&s->text, '*');
}

static bool read_quoted(struct parser *f, struct string *s)
{
	const char *begin = f->p++, quote = *begin;

	s->quoted = true;
	for (; *f->p != quote; f->p++) {
		if (*f->p == 0) {
			fail(f, begin, "this %c has no end", quote);
			return false;
		}
		if (*f->p == '*') {
			string_star(s, f->p, f->p == begin + 1, f->p[1] == quote);
			continue;
		}
		if (*f->p == '\\' && (f->p[1] == 0 || strchr("\\\"'*", f->p[1]) == NULL)) {
			fail(f, f->p, "a \\ takes a quote, * or \\ after it: write \\\\ for the sign itself");
			return false;
		}
		f->p += *f->p == '\\';
		buf_append_byte(&s->text, (uint8_t)*f->p);
	}
	f->p++;
	return true;
}

static bool bare_char(char c)
{
	return (unsigned char)c > ' ' && c != 0x7f && strchr("()\"'=<>!,\\", c) == NULL;
}

static bool read_bare(struct parser *f, struct string *s)
{
	const char *begin = f->p;

	for (; bare_char(*f->p); f->p++)
		if (*f->p == '*')
			string_star(s, f->p, f->p == begin, !bare_char(f->p[1]));
		else
			buf_append_byte(&s->text, (uint8_t)*f->p);
	return f->p > begin;
}

static bool read_value(struct parser *f, struct string *s)
{
	if (*f->p == '"' || *f->p == '\'')
		return read_quoted(f, s);
	if (*f->p == '-' && f->p[1] == '(')
		return false;
	return read_bare(f, s);
}

/* --- fields --- */

/* create_time and createTime are one. */
static bool same_field(const char *word, size_t len, const char *name)
{
	size_t i = 0;

	for (; *name != 0; name++) {
		if (i < len && word[i] == *name) {
			i++;
		} else if (*name == '_' && i < len && isupper((unsigned char)word[i]) &&
			   tolower((unsigned char)word[i]) == name[1]) {
			i++;
			name++;
		} else {
			return false;
		}
	}
	return i == len;
}

static const struct filter_field *find_field(const char *word, size_t len)
{
	for (const struct filter_field *d = task_filter_fields; d->name != NULL; d++)
		if (same_field(word, len, d->name))
			return d;
	return NULL;
}

static void fail_field(struct parser *f, const char *at, size_t len)
{
	const char *near = NULL;
	size_t best = 4;
	char all[256] = "";

	for (const struct filter_field *d = task_filter_fields; d->name != NULL; d++) {
		size_t distance = opt_distance(at, len, d->name), n = strlen(all);

		if (distance < best && distance < len) {
			best = distance;
			near = d->name;
		}
		snprintf(all + n, sizeof all - n, "%s%s%s", n ? ", " : "", d->name,
			 d->type == FIELD_LABEL ? ".KEY" : "");
	}
	if (near != NULL)
		fail(f, at, "a task has no field \"%.*s\": did you mean %s?", word_len(at), at, near);
	else
		fail(f, at, "a task has no field \"%.*s\": there are %s", word_len(at), at, all);
}

static bool looks_like_word(const char *at, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(at, word, len) == 0;
}

/* What stands where a field should, and is none. */
static void fail_bare(struct parser *f, const char *at, size_t len)
{
	static const char *const words[] = {"AND", "OR", "NOT"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (looks_like_word(at, len, words[i])) {
			fail(f, at, strncmp(at, words[i], len) == 0 ? "nothing stands before this %s" :
			     "write %s in capitals", words[i]);
			return;
		}
	if (find_field(at, len) != NULL)
		fail(f, at + len, "expected =, !=, <, <=, >, >= or : after %.*s", word_len(at), at);
	else
		fail(f, at, "\"%.*s\" alone is no test: write FIELD = VALUE, such as state = running",
		     word_len(at), at);
}

/* The label's key: quoted, or the rest of the word, dots and all. */
static bool read_key(struct parser *f, struct filter_node *n)
{
	struct string s = {0};
	const char *begin = f->p;

	if (*f->p == '"' || *f->p == '\'') {
		read_quoted(f, &s);
	} else {
		while (word_char(*f->p))
			f->p++;
		buf_append(&s.text, begin, (size_t)(f->p - begin));
	}
	if (!f->failed && s.text.len == 0)
		fail(f, begin, "expected the key of a label");
	n->key = xstrdup(buf_cstr(&s.text));
	buf_deinit(&s.text);
	return !f->failed;
}

static size_t field_len(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || p[n] == '_')
		n++;
	return n;
}

static bool at_operator(const struct parser *f)
{
	return *f->p != 0 && (strchr("=<>:", *f->p) != NULL || (*f->p == '!' && f->p[1] == '='));
}

static bool read_field(struct parser *f, struct filter_node *n)
{
	const char *at = f->p;
	size_t len = field_len(at);

	n->field = find_field(at, len);
	f->p += len;
	if (n->field != NULL && n->field->type == FIELD_LABEL && *f->p == '.') {
		f->p++;
		return read_key(f, n);
	}
	if (n->field != NULL && *f->p == '.') {
		fail(f, f->p, "%s has no members", n->field->name);
		return false;
	}
	while (word_char(*f->p))
		f->p++;
	if ((size_t)(f->p - at) != len)
		n->field = NULL;
	len = (size_t)(f->p - at);
	skip_space(f);
	if (len == 0) {
		f->p = at;
		fail_expected(f, "a test such as state = running");
	} else if (!at_operator(f)) {
		fail_bare(f, at, len);
	} else if (n->field == NULL) {
		fail_field(f, at, len);
	}
	return !f->failed;
}

/* --- values --- */

static bool text_is_number(const struct string *s, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll((const char *)s->text.data, &end, 10);
	return *end == 0 && errno == 0 && (isdigit(*s->text.data) || *s->text.data == '-');
}

static void set_state(struct parser *f, const char *at, struct filter_node *n,
		      const struct string *s)
{
	const char *text = (const char *)s->text.data, *near = NULL;
	char all[256] = "";
	size_t best = 4;

	for (int i = TASK_QUEUED; i < TASK_N_STATES; i++) {
		const char *name = task_state_name((enum task_state)i);
		char upper[24];
		size_t used = strlen(all), j = 0, distance;

		for (; text[j] != 0 && j < sizeof upper - 1; j++)
			upper[j] = (char)toupper((unsigned char)text[j]);
		upper[j] = 0;
		if (text[j] == 0 && strcmp(upper, name) == 0) {
			n->number = i;
			return;
		}
		distance = opt_distance(upper, j, name);
		if (distance < best) {
			best = distance;
			near = name;
		}
		snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", name);
	}
	if (near != NULL)
		fail(f, at, "\"%.40s\" is no state: did you mean %s? There are %s", text, near, all);
	else
		fail(f, at, "\"%.40s\" is no state: there are %s", text, all);
}

static void set_text(struct parser *f, const char *at, struct filter_node *n, struct string *s)
{
	const char *text = (const char *)s->text.data;
	size_t first = s->star_first, last = s->text.len - s->star_last;

	if (s->star_inside != NULL) {
		fail(f, s->star_inside, "a * stands at the start or the end of a text only: write \"\\*\" for "
		     "the sign itself");
		return;
	}
	if ((s->star_first || s->star_last) && n->op != OP_EQ && n->op != OP_NE && n->op != OP_HAS) {
		fail(f, at, "a * is for = and != only: write \"\\*\" for the sign itself");
		return;
	}
	n->open_start = s->star_first;
	n->open_end = s->star_last;
	n->text = xstrndup(text + first, last - first);
	n->len = last - first;
}

static void set_value(struct parser *f, const char *at, struct filter_node *n, struct string *s)
{
	const char *name = n->field->name, *bad;

	if (n->field->type == FIELD_TEXT || n->field->type == FIELD_LABEL) {
		set_text(f, at, n, s);
	} else if (s->star_first || s->star_last || s->star_inside != NULL) {
		fail(f, at, "%s takes no *", name);
	} else if (n->field->type == FIELD_STATE) {
		set_state(f, at, n, s);
	} else if (n->field->type == FIELD_NUMBER && !text_is_number(s, &n->number)) {
		fail(f, at, "%s is a whole number, not \"%.40s\"", name, s->text.data);
	} else if (n->field->type == FIELD_TIME) {
		bad = timestamp_parse(buf_bytes(&s->text), &n->number, &n->nanos);
		if (bad != NULL)
			fail(f, at, "%s is a time such as \"2026-01-31T12:00:00Z\", not \"%.40s\"", name,
			     s->text.data);
	}
}

/* --- tests --- */

static void read_operator(struct parser *f, struct filter_node *n)
{
	static const struct {
		const char *text;
		enum filter_op op;
	} ops[] = {{"!=", OP_NE}, {"<=", OP_LE}, {">=", OP_GE}, {"=", OP_EQ}, {"<", OP_LT},
		   {">", OP_GT}, {":", OP_HAS}};
	const char *at = f->p;

	for (size_t i = 0; i < ARRAY_LEN(ops); i++)
		if (strncmp(f->p, ops[i].text, strlen(ops[i].text)) == 0) {
			n->op = ops[i].op;
			f->p += strlen(ops[i].text);
			break;
		}
	if (*f->p == '=')
		fail(f, at, "equal is =, not ==");
	else if (n->field->type == FIELD_STATE && n->op >= OP_LT && n->op <= OP_GE)
		fail(f, at, "states have no order: use = or !=");
	else if (n->field->type == FIELD_LABEL && n->key == NULL && n->op != OP_HAS)
		fail(f, at, "which label? Write labels.KEY = VALUE, or labels:KEY for tasks that have it");
	skip_space(f);
}

/* labels:KEY is labels.KEY:*; FIELD:* asks for any value; labels.KEY:TEXT is =. */
static void set_has(struct parser *f, const char *at, struct filter_node *n, struct string *s)
{
	bool any = s->text.len == 1 && s->star_first && !s->quoted;

	if (n->field->type == FIELD_LABEL && n->key == NULL) {
		if (any || s->star_first || s->star_last || s->star_inside != NULL || s->text.len == 0)
			fail(f, at, "labels: takes the key of one label");
		n->key = xstrdup(buf_cstr(&s->text));
	} else if (n->field->type == FIELD_LABEL && !any) {
		n->op = OP_EQ;
		set_text(f, at, n, s);
	} else if (!any) {
		fail(f, at, "%s:* asks whether there is one; to compare write %s = VALUE", n->field->name,
		     n->field->name);
	}
}

static void read_test_value(struct parser *f, struct filter_node *n)
{
	struct string s = {0};
	const char *at = f->p;

	if (!read_value(f, &s)) {
		fail_expected(f, "a value");
	} else {
		buf_cstr(&s.text);
		if (memchr(s.text.data, 0, s.text.len) != NULL)
			fail(f, at, "no text of a task has a NUL");
		else if (n->op == OP_HAS)
			set_has(f, at, n, &s);
		else
			set_value(f, at, n, &s);
	}
	buf_deinit(&s.text);
}

static struct filter_node *parse_and(struct parser *f);

static struct filter_node *node_new(int kind, struct filter_node *child)
{
	struct filter_node *n = xcalloc(1, sizeof *n);

	n->kind = kind;
	n->child = child;
	return n;
}

static struct filter_node *parse_test(struct parser *f)
{
	struct filter_node *n = node_new(FILTER_TEST, NULL);

	f->filter->n_tests++;
	if (!read_field(f, n))
		return n;
	skip_space(f);
	if (!at_operator(f)) {
		fail_expected(f, "=, !=, <, <=, >, >= or :");
		return n;
	}
	read_operator(f, n);
	f->filter->reads_labels |= n->field->type == FIELD_LABEL;
	if (!f->failed)
		read_test_value(f, n);
	skip_space(f);
	return n;
}

/* --- the tree --- */

static bool deeper(struct parser *f)
{
	if (++f->depth > TASK_FILTER_DEPTH_MAX)
		fail(f, f->p, "more than %d parentheses and NOTs in each other", TASK_FILTER_DEPTH_MAX);
	return !f->failed;
}

static struct filter_node *parse_parenthesis(struct parser *f)
{
	struct filter_node *n;

	f->p++;
	skip_space(f);
	n = parse_and(f);
	if (!f->failed && *f->p != ')')
		fail_expected(f, "AND, OR or )");
	else
		f->p += *f->p == ')';
	skip_space(f);
	return n;
}

static struct filter_node *parse_term(struct parser *f)
{
	struct filter_node *n = NULL;
	bool minus = *f->p == '-', not = minus || at_word(f, "NOT");

	if (!not && *f->p != '(')
		return parse_test(f);
	if (!deeper(f))
		return NULL;
	if (not) {
		f->p += minus ? 1 : 3;
		skip_space(f);
		n = node_new(FILTER_NOT, parse_term(f));
	} else {
		n = parse_parenthesis(f);
	}
	f->depth--;
	return n;
}

/* One child is itself; more are the list's. A list in a list of its kind is one. */
static struct filter_node *list_of(int kind, struct filter_node *first)
{
	return first == NULL || first->next == NULL ? first : node_new(kind, first);
}

static struct filter_node *parse_or(struct parser *f)
{
	struct filter_node *first = parse_term(f), *last = first;

	while (!f->failed && take_word(f, "OR"))
		last = last->next = parse_term(f);
	return list_of(FILTER_OR, first);
}

static struct filter_node *parse_and(struct parser *f)
{
	struct filter_node *first = parse_or(f), *last = first;

	while (!f->failed && *f->p != 0 && *f->p != ')') {
		take_word(f, "AND");
		last = last->next = parse_or(f);
	}
	return list_of(FILTER_AND, first);
}

int task_filter_parse(const char *text, struct task_filter **out, char *why, size_t why_size)
{
	struct parser f = {.text = text, .p = text, .why = why, .why_size = why_size};

	*out = NULL;
	f.filter = xcalloc(1, sizeof *f.filter);
	if (strlen(text) > TASK_FILTER_LENGTH_MAX)
		fail(&f, text, "the filter has more than %d bytes", TASK_FILTER_LENGTH_MAX);
	skip_space(&f);
	if (!f.failed && *f.p != 0)
		f.filter->root = parse_and(&f);
	if (!f.failed && *f.p == ')')
		fail(&f, f.p, "no ( belongs to this )");
	if (f.failed) {
		task_filter_free(f.filter);
		return -ERRAND_INVALID_ARGUMENT;
	}
	*out = f.filter;
	return 0;
}
