/* opt.h: one table of options gives the parser, the errors and --help of a
 * daemon, and its configuration file (settings.h). Values carry units: 10s, 250ms,
 * 2m for times, 64K, 1M for sizes. */
#ifndef BASE_OPT_H
#define BASE_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_type {
	OPT_FLAG,   /* bool; no value */
	OPT_STRING, /* const char *; borrowed from argv */
	OPT_LIST,   /* struct opt_list; may be given several times */
	OPT_INT,    /* int64_t */
	OPT_SIZE,   /* int64_t, bytes */
	OPT_TIME,   /* int64_t, nanoseconds */
};

struct opt_list {
	const char **items; /* owned array of borrowed strings, NULL-terminated */
	size_t n;
};

struct opt {
	const char *name;     /* "max-body": the flag is --max-body */
	char letter;          /* 0 = none */
	enum opt_type type;
	size_t offset;        /* of the value in the configuration struct */
	const char *fallback; /* default, in the option's own syntax; NULL = zero */
	int64_t min, max;     /* of INT, SIZE and TIME; 0,0 = no range */
	const char *value;    /* name of the value in --help */
	const char *help;
	unsigned flags;       /* OPT_RELOADS | OPT_LINE_ONLY */
};

enum {
	OPT_RELOADS = 1,      /* SIGHUP brings a new value; the others need a restart */
	OPT_LINE_ONLY = 2,    /* of the command line alone: no key, no environment */
};

/* Fills conf with the defaults, then from argv. Options end at `--` or at the
 * first operand. Returns the index of the first operand, or -1 after having
 * printed what was wrong, where and what to do to stderr (exit 64, EX_USAGE).
 * --help prints the usage and exits 0; --version likewise. */
int opt_parse(const struct opt *table, size_t n, void *conf, int argc, char **argv,
	      const char *usage);

/* The same, and which were given: by option the last text of it, borrowed from argv, or NULL. */
int opt_parse_given(const struct opt *table, size_t n, void *conf, int argc, char **argv,
		    const char *usage, const char **given);

/* One value in the syntax of its type; 0, or -1 with the reason in why. */
int opt_set(const struct opt *o, void *conf, const char *text, char *why, size_t size);
/* The value as it is before opt_set; of a list: empty, what it had is freed. */
void opt_clear(const struct opt *o, void *conf);
/* Bytes of a value in conf. */
size_t opt_size_of(enum opt_type type);
void opt_defaults(const struct opt *table, size_t n, void *conf);
/* Frees the lists in conf. */
void opt_deinit(const struct opt *table, size_t n, void *conf);

/* Edit distance of two words, for "did you mean"; SIZE_MAX for long ones. */
size_t opt_distance(const char *a, size_t a_len, const char *b);

/* A number of INT, SIZE or TIME in its own syntax. */
void opt_show(enum opt_type type, int64_t v, char *out, size_t size);

/* "30s" -> ns; "64K" -> bytes. False for anything else. */
bool opt_time(const char *text, int64_t *out);
bool opt_size(const char *text, int64_t *out);

#endif
