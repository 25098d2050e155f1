#define _GNU_SOURCE
#include "cli/call_find.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "cli/cli.h"

/* --- by name --- */

/* Is name the whole of full, or its end behind a dot or slash? */
static bool is_tail(const char *full, const char *name)
{
	size_t full_len = strlen(full), len = strlen(name);

	if (len > full_len || strcasecmp(full + full_len - len, name) != 0)
		return false;
	return len == full_len || full[full_len - len - 1] == '.' ||
	       full[full_len - len - 1] == '/';
}

/* The n-th method of all services, or NULL. */
static const struct schema_method *method_at(const struct schema *s, size_t n)
{
	for (size_t i = 0; i < schema_n_services(s); i++) {
		const struct schema_service *service = schema_service_at(s, i);

		if (n < service->n_methods)
			return &service->methods[n];
		n -= service->n_methods;
	}
	return NULL;
}

static void complain_unknown(const struct schema *s, const char *name)
{
	const char *slash = strrchr(name, '/'), *last = slash != NULL ? slash + 1 : name;
	const struct schema_method *m, *near = NULL;
	size_t best = MAX(strlen(last) / 2, 2) + 1;

	for (size_t i = 0; (m = method_at(s, i)) != NULL; i++) {
		size_t d = opt_distance(last, strlen(last), m->name);

		if (d < best) {
			best = d;
			near = m;
		}
	}
	if (near != NULL)
		cli_error("no method '%s': did you mean '%s'?", name, near->full_name);
	else
		cli_error("no method '%s' in this service", name);
}

const struct schema_method *call_find_name(const struct schema *s, const char *name, int *exitp)
{
	const struct schema_method *m, *found = NULL;
	size_t n = 0;

	for (size_t i = 0; (m = method_at(s, i)) != NULL; i++) {
		if (strcmp(m->full_name, name) == 0)
			return m;
		if (is_tail(m->full_name, name)) {
			found = m;
			n++;
		}
	}
	if (n == 1)
		return found;
	*exitp = n == 0 ? CLI_NOT_FOUND : CLI_USAGE;
	if (n == 0) {
		complain_unknown(s, name);
		return NULL;
	}
	cli_error("'%s' may be one of several methods: say which", name);
	for (size_t i = 0; !cli_has_json_errors() && (m = method_at(s, i)) != NULL; i++)
		if (is_tail(m->full_name, name))
			fprintf(stderr, "  %s\n", m->full_name);
	return NULL;
}

/* --- by route --- */

enum { SEGMENTS_MAX = 64 };

/* A target taken apart; texts are decoded and NUL-terminated. */
struct target {
	char *path;  /* owned; cut at slashes */
	char *segments[SEGMENTS_MAX];
	size_t n;
	const char *query; /* after '?', or NULL */
};

static int hex(char c)
{
	return isdigit((unsigned char)c) ? c - '0' :
	       isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

/* In place; a bad escape stays as it is. */
static void decode(char *text, bool plus)
{
	char *out = text;

	for (; *text != '\0'; text++) {
		if (*text == '%' && hex(text[1]) >= 0 && hex(text[2]) >= 0 &&
		    (hex(text[1]) | hex(text[2])) != 0) {
			*out++ = (char)(hex(text[1]) << 4 | hex(text[2]));
			text += 2;
		} else {
			*out++ = plus && *text == '+' ? ' ' : *text;
		}
	}
	*out = '\0';
}

static bool target_cut(struct target *t, const char *text)
{
	const char *end = text + strcspn(text, "?#");

	*t = (struct target){.path = xstrndup(text, (size_t)(end - text))};
	t->query = *end == '?' ? end + 1 : NULL;
	for (char *p = t->path; *p == '/' && strcmp(text, "/") != 0;) {
		if (t->n == SEGMENTS_MAX)
			return false;
		*p++ = '\0';
		t->segments[t->n++] = p;
		p += strcspn(p, "/");
	}
	return true;
}

/* Does `last` end in ":verb"? Cuts it off, for the caller to mend. */
static char *cut_verb(const struct target *t, const char *verb)
{
	char *last = t->n > 0 ? t->segments[t->n - 1] : NULL, *colon;

	if (verb == NULL || last == NULL)
		return NULL;
	colon = strrchr(last, ':');
	if (colon == NULL || strcmp(colon + 1, verb) != 0)
		return NULL;
	*colon = '\0';
	return colon;
}

static bool segment_fits(const struct template_segment *s, const char *text)
{
	AUTO_FREE char *plain = xstrdup(text);

	decode(plain, false);
	return s->kind == SEGMENT_LITERAL ? strcmp(s->text, plain) == 0 : *plain != '\0';
}

/* n_rest: how many segments a `**` covers. */
static bool template_fits(const struct template *t, const struct target *target, size_t *n_restp)
{
	size_t at = 0;

	*n_restp = 0;
	for (size_t i = 0; i < t->n_segments; i++) {
		if (t->segments[i].kind == SEGMENT_STAR_STAR) {
			if (target->n + 1 < at + t->n_segments - i)
				return false;
			*n_restp = target->n - at - (t->n_segments - i - 1);
			at += *n_restp;
		} else if (at == target->n || !segment_fits(&t->segments[i], target->segments[at++])) {
			return false;
		}
	}
	return at == target->n;
}

static bool template_matches(const struct template *t, const struct target *target, size_t *n_restp)
{
	char *colon = cut_verb(target, t->verb);
	bool fits = (t->verb == NULL || colon != NULL) && template_fits(t, target, n_restp);

	if (colon != NULL)
		*colon = ':';
	return fits;
}

/* Where in the target segment i of the template begins. */
static size_t target_index(const struct template *t, size_t i, size_t n_rest)
{
	for (size_t k = 0; k < i; k++)
		if (t->segments[k].kind == SEGMENT_STAR_STAR)
			return i - 1 + n_rest;
	return i;
}

static void put_variables(const struct template *t, const struct target *target, size_t n_rest,
			  struct call_input *in)
{
	char *colon = cut_verb(target, t->verb);

	for (size_t i = 0; i < t->n_variables; i++) {
		const struct template_variable *v = &t->variables[i];
		size_t first = target_index(t, v->first, n_rest);
		size_t last = target_index(t, v->first + v->n, n_rest);
		AUTO_BUF value = BUF_INIT;

		for (size_t k = first; k < last; k++) {
			AUTO_FREE char *plain = xstrdup(target->segments[k]);

			decode(plain, false);
			buf_printf(&value, "%s%s", k > first ? "/" : "", plain);
		}
		call_input_text(in, v->name, strlen(v->name), buf_cstr(&value), value.len);
	}
	if (colon != NULL)
		*colon = ':';
}

static void put_query(const char *query, struct call_input *in)
{
	while (query != NULL && *query != '\0') {
		size_t len = strcspn(query, "&#");
		AUTO_FREE char *name = xstrndup(query, len);
		char *equals = strchr(name, '=');

		if (equals != NULL)
			*equals = '\0';
		decode(name, true);
		if (equals != NULL)
			decode(equals + 1, true);
		if (len > 0)
			call_input_text(in, name, strlen(name), equals != NULL ? equals + 1 : "",
					equals != NULL ? strlen(equals + 1) : 0);
		query += len;
		if (*query != '&')
			break;
		query++;
	}
}

/* A binding that fits; of several the one with more literals wins, as in the
 * gateway, then the one whose verb suits. */
struct candidate {
	const struct schema_method *method;
	const struct schema_http *http;
	struct template *template; /* owned */
	size_t n_rest;
	size_t score;
};

static size_t score(const struct template *t, const struct schema_http *h, bool has_body)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n_segments; i++)
		n += t->segments[i].kind == SEGMENT_LITERAL ? 4 :
		     t->segments[i].kind == SEGMENT_STAR ? 2 : 0;
	return n * 4 + (t->verb != NULL ? 64 : 0) +
	       ((strcmp(h->verb, "GET") == 0) != has_body ? 2 : 0) +
	       (strcmp(h->verb, "POST") == 0 ? 1 : 0);
}

static void consider(const struct schema_method *m, const struct schema_http *h,
		     const struct target *target, bool has_body, struct candidate *best)
{
	struct template *t;
	size_t n_rest;
	char why[128];

	if (template_parse(h->path, m->input, &t, why, sizeof why) < 0)
		return;
	if (template_matches(t, target, &n_rest) && score(t, h, has_body) + 1 > best->score) {
		template_free(best->template);
		*best = (struct candidate){m, h, t, n_rest, score(t, h, has_body) + 1};
		t = NULL;
	}
	template_free(t);
}

/* POST /pkg.Service/Method, the route every method has. */
static const struct schema_method *find_plain(const struct schema *s, const struct target *target)
{
	AUTO_FREE char *full = NULL;

	if (target->n != 2)
		return NULL;
	full = xasprintf("%s/%s", target->segments[0], target->segments[1]);
	return schema_method(s, full, strlen(full));
}

const struct schema_method *call_find_route(const struct schema *s, const char *verb,
					    const char *target, bool has_body,
					    struct call_input *in, int *exitp)
{
	struct candidate best = {0};
	const struct schema_method *m;
	struct target t;

	if (!target_cut(&t, target))
		t.n = 0;
	for (size_t i = 0; (m = method_at(s, i)) != NULL; i++)
		for (size_t k = 0; k < m->n_http; k++)
			if (verb == NULL || strcmp(m->http[k].verb, verb) == 0)
				consider(m, &m->http[k], &t, has_body, &best);
	m = best.method != NULL ? best.method : find_plain(s, &t);
	if (m == NULL) {
		cli_error("no route for %s%s%s in this service", verb != NULL ? verb : "",
			  verb != NULL ? " " : "", target);
		*exitp = CLI_NOT_FOUND;
	} else {
		in->message = m->input;
		if (best.method != NULL) {
			const char *body = best.http->body;

			in->body = *body != '\0' && strcmp(body, "*") != 0 ?
					   schema_field(m->input, body, strlen(body)) : NULL;
			put_variables(best.template, &t, best.n_rest, in);
		}
		put_query(t.query, in);
	}
	template_free(best.template);
	free(t.path);
	return m;
}
