/* table.h: lists for people: columns that can be chosen and sorted by, as wide as the
 * terminal and no wider, never cut in pipes (libsmartcols). */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/cli.h"

enum {
	TABLE_RIGHT = 1,  /* numbers */
	TABLE_CUT = 2,    /* may be cut to fit a terminal */
	TABLE_MORE = 4,   /* shown when it is asked for only */
	TABLE_WIDE = 8,   /* not on a narrow terminal, unless it is asked for */
};

struct table_column {
	const char *name; /* in capitals, as its head; --columns takes it in any case */
	double width;     /* hint, as scols_table_new_column has it */
	int flags;
};

/* What lists have as options; a member `view` of the command's struct. */
struct table_view {
	const char *columns, *sort;
	bool no_header;
};

#define TABLE_OPTIONS(type) \
	{"columns", 'c', OPT_STRING, offsetof(type, view.columns), NULL, 0, 0, "COLUMN,...", \
	 "these columns, in this order; `help` lists them"}, \
	{"sort", 'S', OPT_STRING, offsetof(type, view.sort), NULL, 0, 0, "[-]COLUMN", \
	 "by this column of what is listed; with - the largest first"}, \
	{"no-header", 'H', OPT_FLAG, offsetof(type, view.no_header), NULL, 0, 0, NULL, \
	 "without the line of heads"}

struct table;

/* CLI_OK, or CLI_USAGE when the view names a column that is not there; `--columns help`
 * prints them and exits. columns are borrowed. */
int table_new(struct table **tp, const struct table_column *columns, size_t n, const struct table_view *view,
	      const char *command);
struct table *table_free(struct table *t); /* NULL-safe; NULL */

/* A new row: its cells, by the column's number, are those until the next row. */
void table_row(struct table *t);
/* key is what the column is sorted by; text may be NULL (nothing). */
void table_cell(struct table *t, size_t column, const char *text, double key);
/* Sorted by its text. */
void table_text(struct table *t, size_t column, const char *text, size_t len);
void table_number(struct table *t, size_t column, uint64_t n);
void table_color(struct table *t, size_t column, const char *color);
bool table_whole_ids(const struct table *t); /* is there room for a UUID in every row? */

/* On stdout; without a row "no workers" (the command) on stderr. */
int table_print(struct table *t);

#endif
