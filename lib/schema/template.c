/* template.c: google.api.http path templates, parsed once at load:
 *
 *   Template = "/" Segments [ ":" LITERAL ] ;   ("/" alone: no segments)
 *   Segments = Segment { "/" Segment } ;
 *   Segment  = "*" | "**" | LITERAL | Variable ;
 *   Variable = "{" FieldPath [ "=" Segments ] "}" ;   (no variable within)
 *
 * "**" is the last segment there is; a literal is what RFC 3986 lets stand in a
 * segment, its escapes decoded. Immutable once made; any thread. */
#include "schema/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "schema/field_path.h"
#include "schema/transcode.h"

struct parser {
	const char *text, *p;
	struct template *t;
	const struct schema_message *input; /* NULL: syntax only */
	char *why;
	size_t why_size;
};

static int fail(struct parser *s, const char *fmt, ...) PRINTF(2, 3);
static int fail(struct parser *s, const char *fmt, ...)
{
	char reason[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof reason, fmt, ap);
	va_end(ap);
	snprintf(s->why, s->why_size, "at character %zu: %s", (size_t)(s->p - s->text) + 1, reason);
	return -ERRAND_INVALID_ARGUMENT;
}

struct template *template_free(struct template *t)
{
	if (t == NULL)
		return NULL;
	for (size_t i = 0; i < t->n_segments; i++)
		free((char *)t->segments[i].text);
	for (size_t i = 0; i < t->n_variables; i++)
		free((char *)t->variables[i].name);
	free(t->segments);
	free(t->variables);
	free((char *)t->verb);
	free(t);
	return NULL;
}

bool template_variable_is_multi(const struct template *t, const struct template_variable *v)
{
	return v->n > 1 || t->segments[v->first].kind == SEGMENT_STAR_STAR;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes a literal of n bytes; NULL when it is not one. */
static char *decode_literal(const char *p, size_t n)
{
	char *out = xmalloc(n + 1), *w = out;

	for (size_t i = 0; i < n; i++) {
		int hi, lo;

		if (p[i] != '%') {
			*w++ = p[i];
			continue;
		}
		hi = i + 2 < n ? hex_digit(p[i + 1]) : -1;
		lo = hi >= 0 ? hex_digit(p[i + 2]) : -1;
		if (lo < 0 || hi * 16 + lo == 0) {
			free(out);
			return NULL;
		}
		*w++ = (char)(hi * 16 + lo);
		i += 2;
	}
	*w = '\0';
	return out;
}

static bool is_literal_char(char c)
{
	return (unsigned char)c > 0x20 && c != 0x7f && strchr("/{}*?#\\\"<>^`|", c) == NULL;
}

/* A colon begins the verb when nothing but literal follows it to the end. */
static const char *find_verb(const char *text)
{
	const char *colon = strrchr(text, ':'), *slash = strrchr(text, '/');

	if (colon == NULL || (slash != NULL && colon < slash) || strchr(colon, '}') != NULL)
		return NULL;
	return colon;
}

static int add_segment(struct parser *s, enum segment_kind kind, char *text)
{
	struct template *t = s->t;

	if (t->n_segments == TEMPLATE_SEGMENTS_MAX) {
		free(text);
		return fail(s, "more than %d segments", TEMPLATE_SEGMENTS_MAX);
	}
	t->segments[t->n_segments++] = (struct template_segment){kind, text};
	return 0;
}

/* "*", "**" or a literal up to `end`. */
static int parse_plain(struct parser *s, const char *end)
{
	const char *start = s->p;
	char *literal;

	if (s->t->n_segments > 0 &&
	    s->t->segments[s->t->n_segments - 1].kind == SEGMENT_STAR_STAR)
		return fail(s, "nothing may follow \"**\"");
	if (s->p < end && *s->p == '*') {
		s->p++;
		if (s->p == end || *s->p != '*')
			return add_segment(s, SEGMENT_STAR, NULL);
		s->p++;
		return add_segment(s, SEGMENT_STAR_STAR, NULL);
	}
	while (s->p < end && is_literal_char(*s->p))
		s->p++;
	if (s->p == start)
		return s->p == end || *s->p == '/' ? fail(s, "an empty segment")
						: fail(s, "\"%c\" is not allowed here", *s->p);
	literal = decode_literal(start, (size_t)(s->p - start));
	if (literal == NULL)
		return fail(s, "a percent sign without two hex digits");
	if (strcmp(literal, ".") == 0 || strcmp(literal, "..") == 0) {
		free(literal);
		return fail(s, "no request gets to a segment \".\" or \"..\"");
	}
	return add_segment(s, SEGMENT_LITERAL, literal);
}

/* A path variable is one text: scalars, and messages that are one in JSON. */
static bool is_textual(const struct schema_field *f)
{
	return !f->repeated && transcode_field_is_text(f);
}

static int bind_variable(struct parser *s, struct template_variable *v)
{
	const struct schema_message *m = s->input;
	const char *p = v->name;

	while (m != NULL) {
		size_t n = strcspn(p, ".");
		const struct schema_field *f = schema_field(m, p, n);

		if (f == NULL)
			return fail(s, "%s has no field %.*s", m->name, (int)MIN(n, 64), p);
		if (v->depth == TEMPLATE_PATH_MAX)
			return fail(s, "%s is more than %d fields deep", v->name, TEMPLATE_PATH_MAX);
		v->path[v->depth++] = f;
		p += n;
		if (*p == '\0')
			return is_textual(f) ? 0 : fail(s, "%s must be a single scalar", v->name);
		p++;
		if (f->repeated || f->message == NULL)
			return fail(s, "%s is not a message", f->name);
		m = f->message;
	}
	return 0;
}

/* Two variables cannot both say what one field is. */
static int check_variable(struct parser *s, const struct template_variable *v)
{
	for (const struct template_variable *o = s->t->variables; o < v; o++) {
		switch (field_relation(o->path, o->depth, v->path, v->depth)) {
		case FIELDS_APART:
			break;
		case FIELDS_SAME:
			return fail(s, "%s and %s are one field", o->name, v->name);
		case FIELDS_ONEOF:
			return fail(s, "%s and %s are members of one oneof", o->name, v->name);
		}
	}
	return 0;
}

static bool is_name_char(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static int parse_field_path(struct parser *s, struct template_variable *v)
{
	const char *start = s->p;

	do {
		const char *part = s->p;

		while (is_name_char(*s->p))
			s->p++;
		if (s->p == part || (*part >= '0' && *part <= '9'))
			return fail(s, "a variable needs a field name");
	} while (*s->p == '.' && s->p++);
	v->name = xstrndup(start, (size_t)(s->p - start));
	for (size_t i = 0; i + 1 < s->t->n_variables; i++)
		if (strcmp(s->t->variables[i].name, v->name) == 0)
			return fail(s, "variable %s is there twice", v->name);
	return 0;
}

static int parse_variable(struct parser *s, const char *end)
{
	struct template_variable *v;
	const char *close = memchr(s->p, '}', (size_t)(end - s->p));
	int err;

	if (close == NULL)
		return fail(s, "\"{\" without \"}\"");
	if (s->t->n_variables == TEMPLATE_VARIABLES_MAX)
		return fail(s, "more than %d variables", TEMPLATE_VARIABLES_MAX);
	v = &s->t->variables[s->t->n_variables++];
	v->first = s->t->n_segments;
	s->p++;
	err = parse_field_path(s, v);
	if (err < 0)
		return err;
	if (*s->p == '=') {
		do {
			s->p++;
			err = parse_plain(s, close);
		} while (err == 0 && *s->p == '/');
	} else if (s->t->n_segments > 0 &&
		   s->t->segments[s->t->n_segments - 1].kind == SEGMENT_STAR_STAR) {
		return fail(s, "nothing may follow \"**\"");
	} else {
		err = add_segment(s, SEGMENT_STAR, NULL);
	}
	if (err < 0)
		return err;
	if (s->p != close)
		return fail(s, "\"%c\" is not allowed in a variable", *s->p);
	s->p++;
	v->n = s->t->n_segments - v->first;
	err = bind_variable(s, v);
	return err == 0 && s->input != NULL ? check_variable(s, v) : err;
}

static int parse_segments(struct parser *s, const char *end)
{
	int err;

	if (*s->p != '/')
		return fail(s, "a path begins with \"/\"");
	if (s->p + 1 == end) {
		s->p++;
		return 0;
	}
	do {
		s->p++;
		err = *s->p == '{' ? parse_variable(s, end) : parse_plain(s, end);
		if (err < 0)
			return err;
	} while (*s->p == '/');
	return s->p == end ? 0 : fail(s, "\"%c\" is not allowed here", *s->p);
}

static int parse_verb(struct parser *s, const char *colon)
{
	const char *start = colon + 1;

	s->p = start;
	if (s->t->n_segments == 0)
		return fail(s, "a verb needs a segment before it");
	while (is_literal_char(*s->p))
		s->p++;
	if (*s->p != '\0' || s->p == start)
		return fail(s, "a verb after \":\" is needed");
	s->t->verb = decode_literal(start, (size_t)(s->p - start));
	return s->t->verb != NULL ? 0 : fail(s, "a percent sign without two hex digits");
}

int template_parse(const char *text, const struct schema_message *input, struct template **out,
		   char *why, size_t why_size)
{
	struct parser s = {.text = text, .p = text, .input = input, .why = why, .why_size = why_size};
	const char *colon = find_verb(text);
	int err;

	s.t = xcalloc(1, sizeof *s.t);
	s.t->segments = xcalloc(TEMPLATE_SEGMENTS_MAX, sizeof *s.t->segments);
	s.t->variables = xcalloc(TEMPLATE_VARIABLES_MAX, sizeof *s.t->variables);
	err = parse_segments(&s, colon ? colon : text + strlen(text));
	if (err == 0 && colon != NULL)
		err = parse_verb(&s, colon);
	if (err < 0) {
		*out = template_free(s.t);
		return err;
	}
	/* what is left over would stay for the schema's whole life */
	s.t->segments = xrealloc(s.t->segments, s.t->n_segments * sizeof *s.t->segments);
	s.t->variables = xrealloc(s.t->variables, s.t->n_variables * sizeof *s.t->variables);
	*out = s.t;
	return 0;
}
