/* command_argv.c: see command_argv.h. */
#define _GNU_SOURCE
#include "service/command_argv.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"

/* Of the kernel (MAX_ARG_STRLEN), with the NUL. */
enum { ARG_SIZE = 128 << 10 };

struct list {
	char **items;
	size_t n;
};

static void list_add(struct list *l, char *text)
{
	if ((l->n & (l->n + 1)) == 0)
		l->items = xrealloc(l->items, 2 * (l->n + 1) * sizeof *l->items);
	l->items[l->n++] = text;
	l->items[l->n] = NULL;
}

static const char *variable(const struct command_scope *s, enum command_variable v, char number[16])
{
	switch (v) {
	case VARIABLE_TASK:
		return s->task;
	case VARIABLE_ATTEMPT:
		snprintf(number, 16, "%u", s->attempt);
		return number;
	case VARIABLE_METHOD:
		return s->method;
	case VARIABLE_DIR:
		return s->dir;
	default:
		return "";
	}
}

/* --- one element --- */

static bool is_absent(const struct command_scope *s, const struct command_piece *p)
{
	if (p->param < 0)
		return false;
	return p->test ? !command_input_is_true(s->in, p->param) : s->in->values[p->param].n == 0;
}

static bool element_is_absent(const struct command_scope *s, const struct command_element *e)
{
	for (size_t i = 0; i < e->n_pieces; i++)
		if (is_absent(s, &e->pieces[i]))
			return true;
	return false;
}

/* A test adds nothing, and an element that is one is none. */
static bool element_is_test(const struct command_element *e)
{
	return e->n_pieces == 1 && e->pieces[0].test;
}

/* The parameter whose values make several elements of it; -1. */
static int each_of(const struct command_element *e)
{
	for (size_t i = 0; i < e->n_pieces; i++)
		if (e->pieces[i].each)
			return e->pieces[i].param;
	return -1;
}

/* What begins with '-' because of a value that a client gave. */
static void check_dash(const struct command_scope *s, const struct command_piece *p, size_t item,
		       struct fault_list *faults)
{
	const struct command_param *param = &s->in->spec->params[p->param];

	if (param->dash_ok || param->type == PARAM_PATH || s->in->values[p->param].fallback)
		return;
	command_fault(s->in, (size_t)p->param, item, "dash", faults,
		      "a value that begins with '-' would be taken for an option");
}

static void append_piece(const struct command_scope *s, const struct command_piece *p, size_t item,
			 struct buf *out, struct fault_list *faults)
{
	const struct command_text *t;
	char number[16];

	if (p->param < 0) {
		buf_append_str(out, p->text != NULL ? p->text : variable(s, p->variable, number));
		return;
	}
	if (p->test)
		return;
	item = p->each ? item : 0;
	t = &s->in->values[p->param].items[item];
	if (faults != NULL && out->len == 0 && t->len > 0 && t->data[0] == '-')
		check_dash(s, p, item, faults);
	if (faults != NULL && memchr(t->data, '\0', t->len) != NULL)
		command_fault(s->in, (size_t)p->param, item, "nul", faults, "an argument cannot hold a NUL");
	else if (faults != NULL && t->len >= ARG_SIZE)
		command_fault(s->in, (size_t)p->param, item, "size", faults,
			      "an argument has at most %d bytes", ARG_SIZE - 1);
	buf_append(out, t->data, t->len);
}

/* item: of what is repeated in it. */
static char *element_text(const struct command_scope *s, const struct command_element *e, size_t item,
			  struct fault_list *faults)
{
	AUTO_BUF out = BUF_INIT;

	for (size_t i = 0; i < e->n_pieces; i++)
		append_piece(s, &e->pieces[i], item, &out, faults);
	return xstrdup(buf_cstr(&out));
}

/* --- all --- */

static bool group_is_absent(const struct command_scope *s, unsigned group)
{
	const struct command_template *t = &s->in->spec->argv;

	for (size_t i = 0; i < t->n; i++)
		if (t->elements[i].group == group && element_is_absent(s, &t->elements[i]))
			return true;
	return false;
}

static void add_element(const struct command_scope *s, const struct command_element *e, struct list *out,
			struct fault_list *faults)
{
	int each = each_of(e);
	size_t n = each >= 0 ? s->in->values[each].n : 1;

	if (element_is_test(e) || element_is_absent(s, e) || (e->group != 0 && group_is_absent(s, e->group)))
		return;
	for (size_t i = 0; i < n; i++)
		list_add(out, element_text(s, e, i, faults));
}

char **command_argv_make(const struct command_scope *s, struct fault_list *faults)
{
	const struct command_template *t = &s->in->spec->argv;
	struct list out = {0};

	for (size_t i = 0; i < t->n; i++)
		add_element(s, &t->elements[i], &out, faults);
	return out.items;
}

void command_argv_free(char **argv)
{
	for (size_t i = 0; argv != NULL && argv[i] != NULL; i++)
		free(argv[i]);
	free(argv);
}

char *command_template_text(const struct command_scope *s, const struct command_template *t)
{
	if (t->n == 0 || element_is_absent(s, &t->elements[0]))
		return NULL;
	return element_text(s, &t->elements[0], 0, NULL);
}

/* --- names of result files --- */

/* Dots of two values could be "..". */
static bool leads_away(const char *text)
{
	return strchr(text, '/') != NULL || (*text == '.' && text[strspn(text, ".")] == '\0');
}

/* A pattern is searched for, so it may hold and the text yet lead out of the directory. */
static void check_name(const struct command_input *in, const struct command_template *t, struct fault_list *faults)
{
	for (size_t i = 0; t->n > 0 && i < t->elements[0].n_pieces; i++) {
		int param = t->elements[0].pieces[i].param;
		const struct command_param *p = param >= 0 ? &in->spec->params[param] : NULL;
		const struct command_value *v = param >= 0 ? &in->values[param] : NULL;

		if (p == NULL || p->type != PARAM_STRING || p->choices != NULL || v->n == 0 || v->fallback)
			continue;
		if (leads_away(v->items[0].data))
			command_fault(in, (size_t)param, 0, "file", faults,
				      "it is part of a file's name: no slash, and not dots only");
	}
}

void command_result_names_check(const struct command_input *in, struct fault_list *faults)
{
	check_name(in, &in->spec->result_file, faults);
	for (size_t i = 0; i < in->spec->n_results; i++)
		check_name(in, &in->spec->results[i].file, faults);
}
