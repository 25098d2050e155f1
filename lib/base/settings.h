/* settings.h: what a daemon was told, from all the places it may be told from. Each place
 * counts over those below it:
 *
 *     the command line          --max-body 8M
 *     the environment           ERRAND_GATEWAY_MAX_BODY=8M
 *     conf.d/NAME.conf          [gateway] max-body = 8M; the last in the order of names
 *     errand.conf
 *     the default
 *
 * Its table of options (opt.h) says all there is to know of each. A list (OPT_LIST) of one place
 * replaces that of another; in a file and in the environment its elements are parted by
 * blanks or lines. The files are those of --config, else SYSCONFDIR/errand/errand.conf, should
 * it be there, and SYSCONFDIR/errand/conf.d. One thread; allocation failure ends the process. */
#ifndef BASE_SETTINGS_H
#define BASE_SETTINGS_H

#include "base/conf.h"
#include "base/opt.h"

/* A daemon; immutable. */
struct settings_program {
	const char *name;            /* "errand-gateway" */
	const char *section;         /* "gateway"; also of ERRAND_GATEWAY_... */
	const char *usage;
	const struct opt *table;     /* n; one is called "config" and is a list */
	size_t n;
	const char *const *others;   /* first words of sections that are read elsewhere; NULL-terminated */
};

struct setting {
	enum setting_source { BY_DEFAULT, BY_FILE, BY_ENVIRONMENT, BY_LINE } source;
	const struct conf_entry *entry; /* BY_FILE */
	char *text;                  /* as it was given, or NULL; elements of a list are parted by '\n'; owned */
};

struct settings {
	const struct settings_program *program;
	struct setting *of;          /* program->n */
	struct conf files;           /* all of their sections; strings of the configuration borrow from here */
	char **words;                /* elements of lists; n_words; owned */
	size_t n_words;
};

/* Fills conf. 0 with the index of the first operand in *firstp; or a positive exit status, after
 * all that is wrong was told on stderr (EX_USAGE: the command line, EX_CONFIG: all else). With
 * `later` (may be NULL) what is wrong in files is left in s->files, *later is true, and the result 0:
 * the caller has more to say of them, and reports. */
int settings_read(struct settings *s, const struct settings_program *p, void *conf, int argc, char **argv,
		  int *firstp, bool *later);
/* What is wrong in the files, to stderr; returns how much. */
size_t settings_report(const struct settings *s);
void settings_deinit(struct settings *s, void *conf);

/* A value is wrong in a way the table does not know: says so with the place it came from; returns the
 * exit status. */
int PRINTF(3, 4) settings_wrong(const struct settings *s, const char *name, const char *fmt, ...);

/* -T: the effective value of everything and where it comes from, as a file that says the same. */
void settings_print(const struct settings *s, FILE *to);

/* After SIGHUP: takes over, in fresh, what needs a restart from live (which must live on), logs what has changed
 * and what has to wait. Returns how many options have a new value now. */
unsigned settings_reload(const struct settings *live, const void *live_conf, struct settings *fresh, void *fresh_conf);

/* The table itself, for documents that must say the same: "conf" is an example file, "mdoc" a list for
 * errand.conf(5), "tsv" one line an option. False: no such format. */
bool settings_describe(const struct settings_program *p, const char *format, FILE *to);

#endif
