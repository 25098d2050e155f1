/* conf.h: configuration files: INI as inih reads it, with the place of every word, so that
 * a fault can be pointed at. What keys mean is the caller's.
 *
 *     [section]                ; a comment
 *     key = value
 *         which goes on here
 *
 * All faults of all files are collected, in the order of files and lines, whoever found
 * them: conf_fault, conf_report. One thread; daemon code: allocation failure ends the process. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/util.h"

struct conf_entry {
	const char *key;          /* owned, as value is */
	char *value;              /* lines that go on are joined by '\n'; "" */
	int line;                 /* of the key, from 1 */
	int key_column;           /* from 1, in characters */
	struct conf_line {
		size_t offset;    /* in value */
		int line, column; /* of that place in the file */
	} *lines;                 /* n_lines: where each line of the value begins */
	size_t n_lines;
	struct conf_section *section;
};

struct conf_section {
	char *name;               /* what stands between the brackets */
	const char *file;
	int line;
	struct conf_entry **entries; /* n_entries; in the order of the file; of a key the first */
	size_t n_entries;
	struct conf_entry **again;   /* n_again: the others: faults already */
	size_t n_again;
};

struct conf {
	struct conf_section **sections; /* n_sections; in the order of files and lines */
	size_t n_sections;
	char **files;             /* n_files: their paths, as given */
	size_t n_files;
	struct conf_fault *faults;
	size_t n_faults;
};

#define CONF_INIT ((struct conf){0})

/* Adds the sections of a file; what is wrong with it is among the faults. */
void conf_read(struct conf *c, const char *path);
void conf_deinit(struct conf *c);

/* Something is wrong: with an entry at a place in its value, with its key (at NULL), or with
 * a section as such. */
void PRINTF(4, 5) conf_fault(struct conf *c, const struct conf_entry *e, const char *at, const char *fmt, ...);
void PRINTF(3, 4) conf_fault_section(struct conf *c, const struct conf_section *s, const char *fmt, ...);
/* With a file or directory as such: it is one of the files from then on. */
void PRINTF(3, 4) conf_fault_file(struct conf *c, const char *path, const char *fmt, ...);
/* Writes them as "FILE:LINE:COLUMN: text", sorted; returns how many. */
size_t conf_report(const struct conf *c, FILE *to);

/* The word of the list (NULL-terminated) that was probably meant, or NULL. */
const char *conf_meant(const char *word, size_t len, const char *const *list);

#endif
