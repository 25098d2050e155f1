/* command_results.c: what a command answers: the keys result and result.NAME
 * (docs/COMMANDS.md). */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "service/command_config.h"

/* --- result = ... --- */

static bool is_media_type(const char *text)
{
	const char *slash = strchr(text, '/');

	return slash != NULL && slash != text && slash[1] != '\0' && strpbrk(text, "\"\\<>@,") == NULL;
}

static char *rest_of(const char *p)
{
	size_t len;

	p += strspn(p, " \t\n");
	len = strlen(p);
	while (len > 0 && isspace((unsigned char)p[len - 1]))
		len--;
	return strndup(p, len);
}

static void take_type(struct conf *c, const struct conf_entry *e, const char *p, struct command_spec *s)
{
	char *type = rest_of(p);

	if (is_media_type(type)) {
		s->content_type = type;
		return;
	}
	conf_fault(c, e, e->value, "write the media type of the bytes: result = %s image/png",
		   s->result == RESULT_FILE ? "file {@dir}/out.png" : "bytes");
	free(type);
}

/* What is not would be looked for where the service is, not where the program was. A name that could not be read
 * has its fault. */
static bool is_absolute(const struct command_spec *s, const struct command_template *t)
{
	const struct command_piece *first = t->elements[0].n_pieces > 0 ? &t->elements[0].pieces[0] : NULL;

	if (first == NULL || first->variable == VARIABLE_DIR)
		return true;
	if (first->param >= 0)
		return s->params[first->param].type == PARAM_PATH;
	return first->text != NULL && *first->text == '/';
}

/* A client's text in a file's name could lead anywhere. */
static void check_file(struct conf *c, const struct conf_entry *e, const char *at, const struct command_spec *s,
		       const struct command_template *t)
{
	for (size_t i = 0; i < t->elements[0].n_pieces; i++) {
		int param = t->elements[0].pieces[i].param;
		const struct command_param *p = param >= 0 ? &s->params[param] : NULL;

		if (p != NULL && p->type == PARAM_STRING && p->choices == NULL && p->pattern == NULL)
			conf_fault(c, e, at, "%s could lead to any file: make it a path, or give it an enum or a pattern",
				   p->name);
	}
	if (!is_absolute(s, t))
		conf_fault(c, e, at, "write the whole path of the file: /srv/out.png, or {@dir}/out.png");
}

static void take_file(struct conf *c, const struct conf_entry *e, const char *p, struct command_spec *s)
{
	struct word w;

	if (!word_next(c, e, &p, &w)) {
		conf_fault(c, e, e->value, "write which file: result = file {@dir}/out.png image/png");
		return;
	}
	command_template_one(c, e, w.at, w.len, s, &s->result_file);
	check_file(c, e, w.at, s, &s->result_file);
	free(w.text);
	take_type(c, e, p, s);
}

static void read_whole(struct conf *c, const struct conf_entry *e, struct command_spec *s)
{
	static const char *const names[] = {"text", "json", "bytes", "file", "none", NULL};
	const char *p = e->value;
	struct word w = {0};
	size_t i = 0;

	if (word_next(c, e, &p, &w))
		while (names[i] != NULL && strcmp(names[i], w.text) != 0)
			i++;
	if (w.text == NULL || names[i] == NULL) {
		conf_fault(c, e, e->value, "write result = text, json, bytes TYPE, file PATH TYPE or none");
		free(w.text);
		return;
	}
	free(w.text);
	s->result = (enum result_kind)i;
	if (s->result == RESULT_BYTES)
		take_type(c, e, p, s);
	else if (s->result == RESULT_FILE)
		take_file(c, e, p, s);
	else if (p[strspn(p, " \t\n")] != '\0')
		conf_fault(c, e, p + strspn(p, " \t\n"), "nothing comes behind result = %s", names[i]);
}

/* --- result.NAME = TYPE SOURCE --- */

static void take_file_of(struct conf *c, const struct conf_entry *e, const struct word *w, struct command_spec *s,
			 struct command_result *r)
{
	r->source = FROM_FILE;
	command_template_one(c, e, w->at + 5, w->len - 5, s, &r->file);
	check_file(c, e, w->at + 5, s, &r->file);
}

/* "const=..." and "stdout_json=..."; false: neither. */
static bool take_argument(const struct word *w, const char *name, struct command_result *r)
{
	size_t len = strlen(name);

	if (strncmp(w->text, name, len) != 0 || w->text[len] != '=')
		return false;
	r->arg = xstrdup(w->text + len + 1);
	return true;
}

static void check_field(struct conf *c, const struct conf_entry *e, const struct word *w, const struct command_result *r)
{
	if (r->source == FROM_EXIT && r->type != PARAM_INT && r->type != PARAM_LONG)
		conf_fault(c, e, e->value, "an exit status is an int");
	else if ((r->source == FROM_STDOUT || r->source == FROM_FILE) && r->type != PARAM_STRING &&
		 r->type != PARAM_BYTES && r->type != PARAM_JSON)
		conf_fault(c, e, e->value, "what is read from %s is a string, bytes or json",
			   r->source == FROM_FILE ? "a file" : "stdout");
	else if (r->source == FROM_CONST && r->type != PARAM_STRING)
		conf_fault(c, e, e->value, "const is a string");
	else if (r->source == FROM_STDOUT_JSON && *r->arg == '\0')
		conf_fault(c, e, w->at, "stdout_json=MEMBER, or stdout_json=OUTER.INNER");
}

static bool take_source(struct conf *c, const struct conf_entry *e, const struct word *w, struct command_spec *s,
			struct command_result *r)
{
	if (strcmp(w->text, "stdout") == 0)
		r->source = FROM_STDOUT;
	else if (strcmp(w->text, "exit") == 0)
		r->source = FROM_EXIT;
	else if (take_argument(w, "const", r))
		r->source = FROM_CONST;
	else if (take_argument(w, "stdout_json", r))
		r->source = FROM_STDOUT_JSON;
	else if (strncmp(w->text, "file=", 5) == 0)
		take_file_of(c, e, w, s, r);
	else
		return false;
	check_field(c, e, w, r);
	return true;
}

static void read_field(struct conf *c, const struct conf_entry *e, const char *name, struct command_spec *s)
{
	const char *p = e->value;
	struct command_result *r;
	struct word type = {0}, source = {0};

	s->results = xrealloc(s->results, (s->n_results + 1) * sizeof *s->results);
	r = &s->results[s->n_results++];
	*r = (struct command_result){.name = xstrdup(name)};
	s->result = RESULT_FIELDS;
	if (!islower((unsigned char)*name) || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")] != '\0')
		conf_fault(c, e, NULL, "a result's name has small letters, digits and '_', and begins with a letter");
	if (!word_next(c, e, &p, &type) || !command_type_read(type.text, strlen(type.text), true, &r->type))
		conf_fault(c, e, e->value, "write its type first: string, bytes, int, long, number, bool or json");
	else if (!word_next(c, e, &p, &source) || !take_source(c, e, &source, s, r))
		conf_fault(c, e, source.text ? source.at : e->value, "write where it comes from: stdout, "
			   "stdout_json=MEMBER, exit, file=PATH or const=\"TEXT\"");
	else if (p[strspn(p, " \t\n")] != '\0')
		conf_fault(c, e, p + strspn(p, " \t\n"), "nothing comes behind the source");
	free(type.text);
	free(source.text);
}

void command_results_read(struct conf *c, const struct conf_entry *e, struct command_spec *s)
{
	if (e->key[strlen("result")] == '.')
		read_field(c, e, e->key + strlen("result."), s);
	else
		read_whole(c, e, s);
}
