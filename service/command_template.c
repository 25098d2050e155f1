/* command_template.c: templates of argv, environment and file names (docs/COMMANDS.md) as
 * pieces. What a piece may be depends on its parameter, so a template can be wrong in
 * ways that only the whole command shows: all of them are told here. */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "service/command_config.h"

struct parser {
	struct conf *conf;
	const struct conf_entry *entry;
	const struct command_spec *spec;
	struct command_template *out;
	const char *p, *end;
	unsigned group, n_groups; /* group: the one we are in, 0 = none */
	const char *group_at;
	bool bad;
};

static void PRINTF(3, 4) fault(struct parser *s, const char *at, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	conf_fault(s->conf, s->entry, at, "%s", text);
	s->bad = true;
}

/* --- pieces --- */

static struct command_piece *piece_add(struct command_element *e, char *text)
{
	e->pieces = xrealloc(e->pieces, (e->n_pieces + 1) * sizeof *e->pieces);
	e->pieces[e->n_pieces] = (struct command_piece){.text = text, .param = -1};
	return &e->pieces[e->n_pieces++];
}

static void text_end(struct command_element *e, struct buf *text)
{
	if (text->len == 0)
		return;
	piece_add(e, xstrdup(buf_cstr(text)));
	buf_reset(text);
}

static enum command_variable variable_of(const char *name, size_t len)
{
	static const char *const names[] = {"", "task", "attempt", "method", "dir"};

	for (size_t i = 1; i < ARRAY_LEN(names); i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return (enum command_variable)i;
	return VARIABLE_NONE;
}

static bool may_be_absent(const struct command_param *p)
{
	return !p->required && !p->in_route && p->fallback == NULL && !p->repeated;
}

static void check_param(struct parser *s, const struct command_piece *piece, const char *at, bool one)
{
	const struct command_param *p = &s->spec->params[piece->param];

	if (piece->each && !p->repeated)
		fault(s, at, "%s is not repeated: write {%s}", p->name, p->name);
	else if (!piece->each && p->repeated)
		fault(s, at, "%s is repeated: write {%s...}", p->name, p->name);
	else if (p->repeated && one)
		fault(s, at, "a repeated parameter has no place here");
	else if (piece->test && p->type != PARAM_BOOL)
		fault(s, at, "%s is no bool: {%s?} would say nothing", p->name, p->name);
	else if (piece->test && s->group == 0)
		fault(s, at, "{%s?} stands in a group: [ {%s?} ... ]", p->name, p->name);
	else if (p->type == PARAM_BOOL && !piece->test && !one)
		fault(s, at, "a bool only keeps or leaves out a group: [ {%s?} ... ]", p->name);
	else if (p->type == PARAM_BYTES && one)
		fault(s, at, "%s is bytes, which may be a NUL: they have no place here", p->name);
	else if (!one && s->group == 0 && may_be_absent(p))
		fault(s, at, "%s may be absent: put it in a group [ ... ], or give it a default", p->name);
}

static void take_param(struct parser *s, struct command_element *e, const char *name, size_t len, bool one)
{
	struct command_piece *piece = piece_add(e, NULL);
	AUTO_FREE char *hint = NULL;

	if (len > 3 && memcmp(name + len - 3, "...", 3) == 0) {
		piece->each = true;
		len -= 3;
	} else if (len > 1 && name[len - 1] == '?') {
		piece->test = true;
		len--;
	}
	piece->param = command_param_find(s->spec, name, len);
	if (piece->param >= 0) {
		check_param(s, piece, name - 1, one);
		return;
	}
	hint = command_param_hint(s->spec, name, len);
	if (len == 0)
		fault(s, name - 1, "{} names no parameter: write {{}} for the braces");
	else
		fault(s, name - 1, "there is no parameter %.*s%s: declare it, or write {{ for a brace", (int)len, name,
		      hint);
	e->n_pieces--;
}

/* At "{", which is no "{{". */
static void take_brace(struct parser *s, struct command_element *e, bool one)
{
	const char *name = s->p + 1, *close = memchr(name, '}', (size_t)(s->end - name));
	enum command_variable variable;
	size_t len;

	if (close == NULL) {
		fault(s, s->p, "a { without its }: write {{ for a brace");
		s->p = s->end;
		return;
	}
	len = (size_t)(close - name);
	s->p = close + 1;
	if (len == 0 || *name != '@') {
		take_param(s, e, name, len, one);
		return;
	}
	variable = variable_of(name + 1, len - 1);
	if (variable == VARIABLE_NONE)
		fault(s, name - 1, "{%.*s} is none of {@task}, {@attempt}, {@method}, {@dir}", (int)len, name);
	else
		piece_add(e, NULL)->variable = variable;
}

/* One character or brace of an element. */
static void take(struct parser *s, struct command_element *e, struct buf *text, bool one)
{
	bool two = s->p + 1 < s->end && s->p[1] == s->p[0];

	if (*s->p == '{' && !two) {
		text_end(e, text);
		take_brace(s, e, one);
		return;
	}
	if (*s->p == '}' && !two)
		fault(s, s->p, "a } without its {: write }} for a brace");
	buf_append_byte(text, (uint8_t)*s->p);
	s->p += *s->p == '{' || *s->p == '}' ? 1 + two : 1;
}

/* --- elements --- */

static struct command_element *element_add(struct parser *s)
{
	struct command_template *t = s->out;

	t->elements = xrealloc(t->elements, (t->n + 1) * sizeof *t->elements);
	t->elements[t->n] = (struct command_element){.group = s->group};
	return &t->elements[t->n++];
}

static void check_element(struct parser *s, const struct command_element *e, const char *at)
{
	unsigned n_each = 0, n_test = 0;

	for (size_t i = 0; i < e->n_pieces; i++) {
		n_each += e->pieces[i].each;
		n_test += e->pieces[i].test;
	}
	if (n_each > 1)
		fault(s, at, "only one {...} of an element can be repeated");
	if (n_test > 0 && e->n_pieces > 1)
		fault(s, at, "a test {NAME?} stands alone in its element");
}

static bool at_end_of_element(const struct parser *s)
{
	return s->p == s->end || isspace((unsigned char)*s->p);
}

static void take_quoted(struct parser *s, struct command_element *e, struct buf *text)
{
	const char *open = s->p++;

	while (s->p < s->end && *s->p != *open)
		take(s, e, text, false);
	if (s->p == s->end)
		fault(s, open, "a quote that is not closed (a \" ;\" begins a comment)");
	else
		s->p++;
}

static void take_element(struct parser *s)
{
	struct command_element *e = element_add(s);
	const char *at = s->p;
	AUTO_BUF text = BUF_INIT;
	bool quoted = false;

	while (!at_end_of_element(s))
		if (*s->p == '"' || *s->p == '\'') {
			quoted = true;
			take_quoted(s, e, &text);
		} else {
			take(s, e, &text, false);
		}
	text_end(e, &text);
	if (quoted && e->n_pieces == 0)
		piece_add(e, xstrdup(""));
	check_element(s, e, at);
}

/* "[" or "]" as an element of its own. */
static bool take_bracket(struct parser *s)
{
	char c = *s->p;

	if ((c != '[' && c != ']') || (s->p + 1 < s->end && !isspace((unsigned char)s->p[1])))
		return false;
	if (c == '[' && s->group != 0)
		fault(s, s->p, "a group in a group");
	else if (c == ']' && s->group == 0)
		fault(s, s->p, "a ] without its [ (in quotes it stands for itself)");
	s->group = c == '[' ? ++s->n_groups : 0;
	s->group_at = s->p++;
	return true;
}

bool command_template_argv(struct conf *c, const struct conf_entry *e, const struct command_spec *spec,
			   struct command_template *out)
{
	struct parser s = {.conf = c, .entry = e, .spec = spec, .out = out, .p = e->value,
			   .end = e->value + strlen(e->value)};

	for (;;) {
		while (s.p < s.end && isspace((unsigned char)*s.p))
			s.p++;
		if (s.p == s.end)
			break;
		if (!take_bracket(&s))
			take_element(&s);
	}
	if (s.group != 0)
		fault(&s, s.group_at, "a group [ without its ]");
	return !s.bad;
}

bool command_template_one(struct conf *c, const struct conf_entry *e, const char *at, size_t len,
			  const struct command_spec *spec, struct command_template *out)
{
	struct parser s = {.conf = c, .entry = e, .spec = spec, .out = out, .p = at, .end = at + len};
	struct command_element *element = element_add(&s);
	AUTO_BUF text = BUF_INIT;

	while (s.p < s.end)
		take(&s, element, &text, true);
	text_end(element, &text);
	if (element->n_pieces == 0)
		piece_add(element, xstrdup(""));
	return !s.bad;
}

void command_template_deinit(struct command_template *t)
{
	for (size_t i = 0; i < t->n; i++) {
		for (size_t k = 0; k < t->elements[i].n_pieces; k++)
			free(t->elements[i].pieces[k].text);
		free(t->elements[i].pieces);
	}
	free(t->elements);
	*t = (struct command_template){0};
}
