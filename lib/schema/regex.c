/* regex.c: see regex.h. A pattern is read once and written anew in PCRE2's syntax, as
 * a few escapes mean something else there.
 *
 * Backtracking takes exponential time on some patterns, and a search that begins anew
 * at each character quadratic time on others. So pcre2_match() gets a small budget;
 * what it cannot decide goes to pcre2_dfa_match(), which follows all ways at once and
 * is linear in the text: there the number of ways is bounded instead. No JIT: it needs
 * memory that is writable and executable, and its limit counts less.
 *
 * PCRE2's scratch memory is kept per thread. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "schema/regex.h"

#include <pcre2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/util.h"
#include "schema/tables.h"

enum {
	PATTERN_MAX = 4096,
	REPEAT_MAX = 1000,      /* RE2's */
	STEPS_MAX = 100000,     /* of backtracking, for a text of one character */
	STEPS_TEXT = 5000000,   /* steps x length */
	SEARCH_MAX = 512,       /* longer texts are not searched by backtracking */
	SEARCH_STEPS = 1000,
	HEAP_MAX_KIB = 4096,
	WAYS_MIN = 24, WAYS_MAX = 1500,
	WAYS_TEXT = 200000000,  /* ways^2 x length */
	WAY_INTS = 6,           /* pcre2_dfa_match: two lists of three ints */
};

#define NO_ATOM SIZE_MAX

struct regex {
	pcre2_code *search;     /* as written */
	pcre2_code *from_start; /* finds the same, tried at the first character only */
	bool anchored;
};

/* --- RE2's syntax to PCRE2's --- */

struct translation {
	const uint8_t *start, *p, *end;
	struct buf out;
	size_t atom;    /* where the last character or class begins in out; NO_ATOM: a group */
	bool no_plus;   /* write x+ as xx*: pcre2_dfa_match counts the turns of x+ apart */
	bool in_class;
	bool folds;     /* (?i) was there */
	char *why;
	size_t why_size;
};

static int refuse(struct translation *t, const char *what)
{
	snprintf(t->why, t->why_size, "%s at character %zu", what, (size_t)(t->p - t->start) + 1);
	return -ERRAND_INVALID_ARGUMENT;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(int c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int peek(const struct translation *t, size_t i)
{
	return (size_t)(t->end - t->p) > i ? t->p[i] : -1;
}

static void take(struct translation *t, size_t n)
{
	buf_append(&t->out, t->p, n);
	t->p += n;
}

/* \x7f or \x{10FFFF}; p is behind the x. */
static int take_hex(struct translation *t)
{
	size_t n = 0;

	buf_append_str(&t->out, "\\x");
	if (is_hex(peek(t, 0)) && is_hex(peek(t, 1))) {
		take(t, 2);
		return 0;
	}
	if (peek(t, 0) != '{')
		return refuse(t, "\\x takes two hexadecimal digits, or some in braces,");
	for (n = 1; is_hex(peek(t, n)); n++)
		;
	if (n == 1 || n > 9 || peek(t, n) != '}')
		return refuse(t, "\\x takes two hexadecimal digits, or some in braces,");
	take(t, n + 1);
	return 0;
}

/* \pL or \p{Greek} */
static int take_property(struct translation *t)
{
	size_t n = 2;

	if (peek(t, 2) == '{') {
		for (n = 3; peek(t, n) != -1 && peek(t, n) != '}'; n++)
			;
	}
	if (peek(t, n) == -1)
		return refuse(t, "\\p takes a letter or a name in braces,");
	for (size_t i = 2; t->folds && i < n; i++) /* PCRE2 does not fold them, RE2 does */
		if (peek(t, i) == 'L' && peek(t, i + 1) != -1 && strchr("ult", peek(t, i + 1)) != NULL)
			return refuse(t, "Lu, Ll and Lt are not to be had with (?i):");
	take(t, n + 1);
	return 0;
}

/* \Q...\E: every character for itself. */
static void take_quoted(struct translation *t)
{
	for (t->p += 2; t->p < t->end; ) {
		if (peek(t, 0) == '\\' && peek(t, 1) == 'E') {
			t->p += 2;
			return;
		}
		if ((*t->p & 0xc0) != 0x80)
			t->atom = t->out.len;
		if (*t->p < 0x80 && !is_letter(*t->p) && !is_digit(*t->p))
			buf_append_byte(&t->out, '\\');
		take(t, 1);
	}
}

/* What PCRE2 understands otherwise than RE2; NULL: the same, or not known. */
static const char *other_escape(int c, bool in_class)
{
	switch (c) {
	case 's': return in_class ? "\\t\\n\\f\\r " : "[\\t\\n\\f\\r ]";
	case 'S': return in_class ? "\\S\\x0b" : "[^\\t\\n\\f\\r ]";
	case 'v': return "\\x0b";
	default: return NULL;
	}
}

static int take_escape(struct translation *t)
{
	int c = peek(t, 1);
	const char *other = other_escape(c, t->in_class);

	if (c == -1)
		return refuse(t, "a \\ ends the pattern");
	if (other != NULL) {
		buf_append_str(&t->out, other);
		t->p += 2;
		return 0;
	}
	if (c == 'Q' && !t->in_class) {
		take_quoted(t);
		return 0;
	}
	if (c >= '1' && c <= '9')
		return refuse(t, "backreferences are not in RE2's syntax:");
	if (c == 'x') {
		t->p += 2;
		return take_hex(t);
	}
	if (c == 'p' || c == 'P')
		return take_property(t);
	if (is_letter(c) && strchr(t->in_class ? "aftnrdDwWS" : "aftnrdDwWSbBAz", c) == NULL)
		return refuse(t, "an escape that is not in RE2's syntax");
	take(t, c < 0x80 ? 2 : 1);
	return 0;
}

/* (?:  (?P<name>  (?<name>  (?i)  (?i-s:  */
static int take_group(struct translation *t)
{
	size_t n = 2;

	if (peek(t, 1) == '*')
		return refuse(t, "(* is not in RE2's syntax:");
	if (peek(t, 1) != '?') {
		take(t, 1);
		return 0;
	}
	if (peek(t, 2) == 'P' || peek(t, 2) == '<') {
		n = peek(t, 2) == 'P' ? 3 : 2;
		if (peek(t, n) != '<' || (!is_letter(peek(t, n + 1)) && peek(t, n + 1) != '_'))
			return refuse(t, "backreferences and looking around are not in RE2's syntax:");
		take(t, n + 1);
		return 0;
	}
	for (; peek(t, n) != -1 && strchr("imsU-", peek(t, n)) != NULL; n++)
		t->folds |= peek(t, n) == 'i';
	if (peek(t, n) != ':' && (peek(t, n) != ')' || n == 2))
		return refuse(t, "looking around, conditions and atomic groups are not in RE2's syntax:");
	take(t, n + 1);
	return 0;
}

/* Length of {3}, {3,} or {3,5} at p; 0: a brace like any character. -1: too many. */
static int repeat_len(const struct translation *t)
{
	size_t n = 1;
	unsigned long most = 0;

	for (int i = 0; i < 2; i++) {
		unsigned long count = 0;

		if (!is_digit(peek(t, n)) && i == 0)
			return 0;
		for (; is_digit(peek(t, n)); n++)
			count = MIN(count * 10 + (unsigned long)(peek(t, n) - '0'), 1000000UL);
		most = MAX(most, count);
		if (i == 0 && peek(t, n) != ',')
			break;
		n += i == 0;
	}
	if (peek(t, n) != '}')
		return 0;
	return most > REPEAT_MAX ? -1 : (int)n + 1;
}

/* x+ as xx* */
static void take_plus(struct translation *t)
{
	AUTO_BUF atom = BUF_INIT;

	buf_append(&atom, t->out.data + t->atom, t->out.len - t->atom);
	buf_append(&t->out, atom.data, atom.len);
	buf_append_byte(&t->out, '*');
	t->p++;
}

static int take_repeat(struct translation *t)
{
	int n = *t->p == '{' ? repeat_len(t) : 1;

	if (n < 0)
		return refuse(t, "more than 1000 repeats are not in RE2's syntax:");
	if (n == 0) {
		t->atom = t->out.len;
		buf_append_byte(&t->out, '\\');
		take(t, 1);
		return 0;
	}
	if (t->no_plus && *t->p == '+' && t->atom != NO_ATOM)
		take_plus(t);
	else
		take(t, (size_t)n);
	if (peek(t, 0) == '?')
		take(t, 1);
	if (peek(t, 0) == '+' || peek(t, 0) == '*' || peek(t, 0) == '?' ||
	    (peek(t, 0) == '{' && repeat_len(t) != 0))
		return refuse(t, "repeating a repeat is not in RE2's syntax:");
	return 0;
}

static int take_class_part(struct translation *t)
{
	size_t n = 2;

	if (peek(t, 0) == '[' && peek(t, 1) == ':') {
		while (is_letter(peek(t, n)) || peek(t, n) == '^')
			n++;
		if (peek(t, n) == ':' && peek(t, n + 1) == ']') {
			take(t, n + 2);
			return 0;
		}
	}
	if (peek(t, 0) == '[') {
		buf_append_byte(&t->out, '\\');
	} else if (peek(t, 0) == ']') {
		t->in_class = false;
	}
	take(t, 1);
	return 0;
}

static int take_one(struct translation *t)
{
	int c = peek(t, 0);

	if (t->in_class)
		return c == '\\' ? take_escape(t) : take_class_part(t);
	if (c == '*' || c == '+' || c == '?' || c == '{')
		return take_repeat(t);
	if ((c & 0xc0) != 0x80)
		t->atom = c == '(' || c == ')' || c == '|' || c == '^' || c == '$' ? NO_ATOM : t->out.len;
	if (c == '\\')
		return take_escape(t);
	if (c == '(')
		return take_group(t);
	if (c == '[') {
		size_t n = 1 + (peek(t, 1) == '^');

		t->in_class = true;
		take(t, n);
		if (peek(t, 0) == ']') { /* as the first it stands for itself */
			buf_append_byte(&t->out, '\\');
			take(t, 1);
		}
		return 0;
	}
	take(t, 1);
	return 0;
}

static int translate(struct bytes pattern, bool no_plus, struct buf *out, char *why, size_t why_size)
{
	struct translation t = {
		.start = pattern.data, .p = pattern.data, .end = pattern.data + pattern.len,
		.out = *out, .atom = NO_ATOM, .no_plus = no_plus, .why = why, .why_size = why_size,
	};
	int err = 0;

	while (err == 0 && t.p < t.end)
		err = take_one(&t);
	*out = t.out;
	return err;
}

/* --- compiling --- */

static void *from_schema(size_t size, void *s)
{
	return s != NULL ? schema_alloc(s, size) : xmalloc(size);
}

static void to_schema(void *p, void *s)
{
	if (s == NULL)
		free(p);
}

static pcre2_code *compile(struct schema *s, const struct buf *text, char *why, size_t why_size)
{
	uint32_t options = PCRE2_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY |
			   PCRE2_ALT_CIRCUMFLEX;
	pcre2_general_context *memory = pcre2_general_context_create(from_schema, to_schema, s);
	pcre2_compile_context *context = pcre2_compile_context_create(memory);
	PCRE2_UCHAR reason[160];
	pcre2_code *code;
	PCRE2_SIZE at;
	int err;

	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	code = pcre2_compile(text->len > 0 ? text->data : (PCRE2_SPTR)"", text->len, options, &err, &at, context);
	pcre2_compile_context_free(context);
	pcre2_general_context_free(memory);
	if (code == NULL) {
		pcre2_get_error_message(err, reason, sizeof reason);
		snprintf(why, why_size, "%s", (char *)reason);
	}
	return code;
}

static bool starts_fixed(const pcre2_code *code)
{
	uint32_t options = 0;

	pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &options);
	return (options & PCRE2_ANCHORED) != 0;
}

static int new_failed(struct schema *s, struct regex *x)
{
	if (s == NULL)
		regex_free(x);
	return -ERRAND_INVALID_ARGUMENT;
}

int regex_new(struct schema *s, struct bytes pattern, struct regex **out, char *why, size_t why_size)
{
	AUTO_BUF text = BUF_INIT;
	AUTO_BUF from_start = BUF_INIT;
	struct regex *x;

	if (pattern.len > PATTERN_MAX) {
		snprintf(why, why_size, "longer than %d bytes", PATTERN_MAX);
		return -ERRAND_INVALID_ARGUMENT;
	}
	if (json_utf8_valid(pattern.data, pattern.len) != pattern.len) {
		snprintf(why, why_size, "not UTF-8");
		return -ERRAND_INVALID_ARGUMENT;
	}
	if (translate(pattern, false, &text, why, why_size) < 0)
		return -ERRAND_INVALID_ARGUMENT;
	x = from_schema(sizeof *x, s);
	*x = (struct regex){.search = compile(s, &text, why, why_size)};
	if (x->search == NULL)
		return new_failed(s, x);
	x->anchored = starts_fixed(x->search);
	buf_append_str(&from_start, x->anchored ? "(?:" : "(?s:.*?)(?:");
	translate(pattern, true, &from_start, why, why_size);
	buf_append_byte(&from_start, ')');
	x->from_start = compile(s, &from_start, why, why_size);
	if (x->from_start == NULL)
		return new_failed(s, x);
	*out = x;
	return 0;
}

struct regex *regex_free(struct regex *x)
{
	if (x == NULL)
		return NULL;
	pcre2_code_free(x->search);
	pcre2_code_free(x->from_start);
	free(x);
	return NULL;
}

/* --- matching --- */

/* Of one thread. */
struct scratch {
	pcre2_match_data *data;
	pcre2_match_context *context;
	int ways[WAYS_MAX * WAY_INTS + 2];
};

static __thread struct scratch *scratch;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *arg)
{
	struct scratch *k = arg;

	pcre2_match_data_free(k->data);
	pcre2_match_context_free(k->context);
	free(k);
}

static void scratch_init(void)
{
	pthread_key_create(&scratch_key, scratch_free);
}

static struct scratch *scratch_get(void)
{
	if (scratch != NULL)
		return scratch;
	pthread_once(&scratch_once, scratch_init);
	scratch = xcalloc(1, sizeof *scratch);
	scratch->data = pcre2_match_data_create(REGEX_GROUPS, NULL);
	scratch->context = pcre2_match_context_create(NULL);
	if (scratch->data == NULL || scratch->context == NULL)
		abort(); /* as every allocation that fails */
	pcre2_set_heap_limit(scratch->context, HEAP_MAX_KIB);
	pthread_setspecific(scratch_key, scratch);
	return scratch;
}

/* How many steps backtracking may take for a text this long. */
static uint32_t steps(const struct regex *x, size_t len)
{
	return x->anchored ? (uint32_t)MIN(STEPS_TEXT / (len + 1) + 50, (size_t)STEPS_MAX) : SEARCH_STEPS;
}

static size_t ways(size_t len)
{
	size_t square = (size_t)WAYS_TEXT / (len + 1), n = 0;

	/* Its root, bit by bit: libm for one root would cost each process 300 KB. */
	for (size_t bit = (size_t)1 << 31; bit > 0; bit >>= 1)
		if ((n | bit) <= square / (n | bit))
			n |= bit;
	return n > WAYS_MAX ? WAYS_MAX : n < WAYS_MIN ? WAYS_MIN : n;
}

int regex_match(const struct regex *x, struct bytes text)
{
	const uint8_t *p = text.len > 0 ? text.data : (const uint8_t *)"";
	struct scratch *k = scratch_get();
	int n = PCRE2_ERROR_MATCHLIMIT;

	if (x->anchored || text.len <= SEARCH_MAX) {
		pcre2_set_match_limit(k->context, steps(x, text.len));
		n = pcre2_match(x->search, p, text.len, 0, 0, k->data, k->context);
	}
	if (n == PCRE2_ERROR_MATCHLIMIT || n == PCRE2_ERROR_HEAPLIMIT || n == PCRE2_ERROR_DEPTHLIMIT) {
		pcre2_set_match_limit(k->context, STEPS_MAX);
		n = pcre2_dfa_match(x->from_start, p, text.len, 0, PCRE2_ANCHORED | PCRE2_DFA_SHORTEST,
				    k->data, k->context, k->ways, ways(text.len) * WAY_INTS + 2);
	}
	if (n >= 0)
		return 1;
	if (n == PCRE2_ERROR_NOMATCH || (n <= PCRE2_ERROR_UTF8_ERR1 && n >= PCRE2_ERROR_UTF8_ERR21))
		return 0;
	return -ERRAND_RESOURCE_EXHAUSTED;
}

bool regex_find(const struct regex *x, struct bytes text, struct bytes groups[REGEX_GROUPS])
{
	const uint8_t *p = text.len > 0 ? text.data : (const uint8_t *)"";
	struct scratch *k = scratch_get();
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(k->data);
	int n;

	memset(groups, 0, REGEX_GROUPS * sizeof *groups);
	pcre2_set_match_limit(k->context, steps(x, text.len));
	n = pcre2_match(x->search, p, text.len, 0, 0, k->data, k->context);
	if (n == 0)
		n = REGEX_GROUPS; /* there are more of them */
	for (int i = 0; i < n; i++)
		if (at[2 * i] != PCRE2_UNSET)
			groups[i] = (struct bytes){p + at[2 * i], at[2 * i + 1] - at[2 * i]};
	return n > 0;
}

unsigned regex_groups(const struct regex *x)
{
	uint32_t n = 0;

	pcre2_pattern_info(x->search, PCRE2_INFO_CAPTURECOUNT, &n);
	return n;
}
