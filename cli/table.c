#define _GNU_SOURCE
#include "cli/table.h"

#include <ctype.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/show.h"

/* Below this many columns of a terminal, what cannot be read anyway is left out. */
enum { NARROW = 72, WHOLE_IDS = 130 };

struct table {
	const struct table_column *columns; /* borrowed */
	size_t n;
	struct libscols_table *scols;
	struct libscols_line *line;         /* the last row */
	struct libscols_column **of;        /* ours to smartcols'; NULL: not shown */
	struct libscols_column *sort;       /* one of them, or a hidden one of its own; NULL */
	size_t sort_index;
	bool descending, whole;
	const char *command;                /* borrowed: "workers" */
};

/* What a cell is sorted by. */
struct key {
	double number;
	char *text; /* owned; NULL: by the number */
};

/* The number of a column called so, or n. */
static size_t find(const struct table *t, const char *name, size_t len)
{
	for (size_t i = 0; i < t->n; i++)
		if (strlen(t->columns[i].name) == len && strncasecmp(t->columns[i].name, name, len) == 0)
			return i;
	return t->n;
}

static void print_names(const struct table *t, FILE *f, const char *between)
{
	for (size_t i = 0; i < t->n; i++) {
		fputs(i > 0 ? between : "", f);
		for (const char *p = t->columns[i].name; *p != '\0'; p++)
			fputc(tolower((unsigned char)*p), f);
	}
}

static int unknown(const struct table *t, const char *command, const char *name, size_t len)
{
	if (cli_has_json_errors()) {
		cli_error("%s: there is no column '%.*s'", command, (int)len, name);
		return CLI_USAGE;
	}
	fprintf(stderr, "errand: %s: there is no column '%.*s': there are ", command, (int)len, name);
	print_names(t, stderr, ", ");
	fputc('\n', stderr);
	return CLI_USAGE;
}

static int add_column(struct table *t, size_t i, bool hidden)
{
	const struct table_column *c = &t->columns[i];
	int flags = (c->flags & TABLE_RIGHT ? SCOLS_FL_RIGHT : 0) | (c->flags & TABLE_CUT ? SCOLS_FL_TRUNC : 0) |
		    (hidden ? SCOLS_FL_HIDDEN : 0);

	if (t->of[i] != NULL)
		return CLI_OK; /* named twice */
	t->of[i] = scols_table_new_column(t->scols, c->name, c->width, flags);
	return t->of[i] != NULL ? CLI_OK : CLI_FAILED;
}

static int add_named(struct table *t, const char *names, const char *command)
{
	for (const char *p = names; ; p++) {
		size_t len = strcspn(p, ","), i = find(t, p, len);

		if (i == t->n)
			return unknown(t, command, p, len);
		if (add_column(t, i, false) != CLI_OK)
			return CLI_FAILED;
		p += len;
		if (*p == '\0')
			return CLI_OK;
	}
}

static int add_usual(struct table *t, bool narrow)
{
	for (size_t i = 0; i < t->n; i++) {
		bool shown = !(t->columns[i].flags & TABLE_MORE) && !(narrow && t->columns[i].flags & TABLE_WIDE);

		if (shown && add_column(t, i, false) != CLI_OK)
			return CLI_FAILED;
	}
	return CLI_OK;
}

static int set_sort(struct table *t, const char *sort, const char *command)
{
	t->descending = *sort == '-';
	sort += *sort == '-' || *sort == '+';
	t->sort_index = find(t, sort, strlen(sort));
	if (t->sort_index == t->n)
		return unknown(t, command, sort, strlen(sort));
	if (add_column(t, t->sort_index, true) != CLI_OK)
		return CLI_FAILED;
	t->sort = t->of[t->sort_index];
	return CLI_OK;
}

int table_new(struct table **tp, const struct table_column *columns, size_t n, const struct table_view *view,
	      const char *command)
{
	bool tty = isatty(fileno(stdout)); /* a dumb one has a width, too */
	struct table *t = xcalloc(1, sizeof *t);
	int r;

	*t = (struct table){.columns = columns, .n = n, .of = xcalloc(n, sizeof(struct libscols_column *)),
			    .command = command, .whole = !tty || show_width(stdout) >= WHOLE_IDS};
	*tp = t;
	if (view->columns != NULL && strcmp(view->columns, "help") == 0) {
		print_names(t, stdout, "\n");
		putchar('\n');
		exit(CLI_OK);
	}
	scols_init_debug(0);
	t->scols = scols_new_table();
	if (t->scols == NULL)
		return CLI_FAILED;
	scols_table_enable_colors(t->scols, show_has_color(stdout));
	scols_table_enable_noheadings(t->scols, view->no_header);
	if (!tty)
		scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_NEVER);
	r = view->columns != NULL ? add_named(t, view->columns, command) :
				    add_usual(t, tty && show_width(stdout) < NARROW);
	return r == CLI_OK && view->sort != NULL ? set_sort(t, view->sort, command) : r;
}

/* The keys are ours: smartcols has their addresses only. */
static void free_keys(struct table *t)
{
	for (size_t i = 0; i < scols_table_get_nlines(t->scols); i++) {
		struct libscols_cell *c = scols_line_get_column_cell(scols_table_get_line(t->scols, i), t->sort);
		struct key *key = c != NULL ? scols_cell_get_userdata(c) : NULL;

		if (key != NULL)
			free(key->text);
		free(key);
	}
}

struct table *table_free(struct table *t)
{
	if (t == NULL)
		return NULL;
	if (t->scols != NULL && t->sort != NULL)
		free_keys(t);
	scols_unref_table(t->scols);
	free(t->of);
	free(t);
	return NULL;
}

bool table_whole_ids(const struct table *t)
{
	return t->whole;
}

void table_row(struct table *t)
{
	t->line = scols_table_new_line(t->scols, NULL);
	if (t->line == NULL)
		abort(); /* as xmalloc */
}

static void set(struct table *t, size_t column, const char *text, struct key key)
{
	struct libscols_cell *cell;
	struct key *copy;

	if (t->of[column] == NULL)
		return;
	if (text != NULL)
		scols_line_set_column_data(t->line, t->of[column], text);
	cell = scols_line_get_column_cell(t->line, t->of[column]);
	if (t->of[column] != t->sort || cell == NULL)
		return;
	copy = xcalloc(1, sizeof *copy);
	copy->number = key.number;
	copy->text = key.text != NULL ? xstrdup(key.text) : NULL;
	scols_cell_set_userdata(cell, copy);
}

void table_cell(struct table *t, size_t column, const char *text, double key)
{
	set(t, column, text, (struct key){.number = key});
}

void table_text(struct table *t, size_t column, const char *text, size_t len)
{
	AUTO_FREE char *copy = xstrndup(len > 0 ? text : "", len);

	set(t, column, copy, (struct key){.text = copy});
}

void table_number(struct table *t, size_t column, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", (unsigned long long)n);
	table_cell(t, column, text, (double)n);
}

void table_color(struct table *t, size_t column, const char *color)
{
	if (t->of[column] != NULL && color != NULL && scols_table_colors_wanted(t->scols))
		scols_cell_set_color(scols_line_get_column_cell(t->line, t->of[column]), color);
}

/* --- printing --- */

/* Nothing comes first. */
static int compare(struct libscols_cell *a, struct libscols_cell *b, void *arg)
{
	const struct key *x = scols_cell_get_userdata(a), *y = scols_cell_get_userdata(b);
	const struct table *t = arg;
	int r;

	if (x == NULL || y == NULL)
		r = (x != NULL) - (y != NULL);
	else if (x->text != NULL && y->text != NULL)
		r = strcmp(x->text, y->text);
	else
		r = (x->number > y->number) - (x->number < y->number);
	return t->descending ? -r : r;
}

int table_print(struct table *t)
{
	int r = 0;

	if (scols_table_get_nlines(t->scols) == 0) {
		fprintf(stderr, "no %s\n", t->command);
		return CLI_OK;
	}
	if (t->sort != NULL) {
		scols_column_set_cmpfunc(t->sort, compare, t);
		r = scols_sort_table(t->scols, t->sort);
	}
	if (r == 0)
		r = scols_print_table(t->scols);
	if (r == 0)
		return CLI_OK;
	cli_error("out of memory");
	return CLI_FAILED;
}
