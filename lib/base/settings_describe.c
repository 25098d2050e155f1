/* settings_describe.c: a table of options as text, for documents that are made of it or compared
 * with it (tests/style/settings.sh). Where errand is installed is put in general terms. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/settings.h"
#include "base/util.h"

/* Directories of this build, longest first, as a file to be installed and as a manual names them. */
static const struct {
	const char *here, *file, *manual;
} dirs[] = {
	{PKGDATADIR, "@pkgdatadir@", "/usr/share/errand"},
	{LOCALSTATEDIR, "@localstatedir@", "/var"},
	{SYSCONFDIR, "@sysconfdir@", "/etc"},
};

/* Owned; NULL for NULL. */
static char *general(const char *text, bool manual)
{
	for (size_t i = 0; text != NULL && i < ARRAY_LEN(dirs); i++) {
		size_t len = strlen(dirs[i].here);

		if (strncmp(text, dirs[i].here, len) == 0)
			return xasprintf("%s%s", manual ? dirs[i].manual : dirs[i].file, text + len);
	}
	return text != NULL ? xstrdup(text) : NULL;
}

static void describe_conf(const struct opt *o, FILE *to)
{
	AUTO_FREE char *fallback = general(o->fallback, false);
	bool reloads = o->flags & OPT_RELOADS;

	if (o->flags & OPT_LINE_ONLY)
		return;
	fprintf(to, "\n; %s%s\n", o->help, reloads ? " (reloads)" : "");
	if (o->type == OPT_FLAG)
		fprintf(to, ";%s = no\n", o->name);
	else
		fprintf(to, ";%s = %s\n", o->name, fallback != NULL ? fallback : o->value);
}

/* Backslashes, and a dot or quote that would begin a request. */
static void put_mdoc(FILE *to, const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", to);
	for (; *text != '\0'; text++)
		if (*text == '\\')
			fputs("\\e", to);
		else
			fputc(*text, to);
}

static const char *const types[] = {
	[OPT_FLAG] = "yes | no", [OPT_STRING] = "text", [OPT_LIST] = "list",
	[OPT_INT] = "number", [OPT_SIZE] = "size", [OPT_TIME] = "time",
};

static void describe_mdoc(const struct opt *o, FILE *to)
{
	AUTO_FREE char *fallback = general(o->fallback, true);
	char low[32], high[32];

	if (o->flags & OPT_LINE_ONLY)
		return;
	fprintf(to, ".It Ic %s No = Ar %s\n", o->name, o->type == OPT_FLAG ? "yes|no" : o->value);
	put_mdoc(to, o->help);
	fprintf(to, ".\n%s", o->type == OPT_LIST ? "A list" : o->type == OPT_FLAG ? "Yes or no" : "");
	if (o->type != OPT_LIST && o->type != OPT_FLAG)
		fprintf(to, "A %s", types[o->type]);
	if (o->min != 0 || o->max != 0) {
		opt_show(o->type, o->min, low, sizeof low);
		opt_show(o->type, o->max, high, sizeof high);
		fprintf(to, " from %s to %s", low, high);
	}
	if (fallback != NULL)
		fprintf(to, "; default %s", fallback);
	fprintf(to, ".\n");
	if (o->flags & OPT_RELOADS)
		fprintf(to, "Reloads.\n");
}

/* name, letter, type, default, smallest, largest, flags, name of the value, help */
static void describe_tsv(const struct opt *o, FILE *to)
{
	static const char *const words[] = {"flag", "string", "list", "int", "size", "time"};
	char low[32] = "", high[32] = "";

	if (o->min != 0 || o->max != 0) {
		opt_show(o->type, o->min, low, sizeof low);
		opt_show(o->type, o->max, high, sizeof high);
	}
	fprintf(to, "%s\t%.*s\t%s\t%s\t%s\t%s\t%s%s\t%s\t%s\n", o->name, o->letter != 0, &o->letter,
		words[o->type], o->fallback != NULL ? o->fallback : "", low, high,
		o->flags & OPT_RELOADS ? "reloads" : "", o->flags & OPT_LINE_ONLY ? "line" : "",
		o->value != NULL ? o->value : "", o->help);
}

bool settings_describe(const struct settings_program *p, const char *format, FILE *to)
{
	static const struct {
		const char *name;
		void (*describe)(const struct opt *o, FILE *to);
	} formats[] = {{"conf", describe_conf}, {"mdoc", describe_mdoc}, {"tsv", describe_tsv}};

	for (size_t f = 0; f < ARRAY_LEN(formats); f++) {
		if (strcmp(formats[f].name, format) != 0)
			continue;
		if (strcmp(format, "conf") == 0)
			fprintf(to, "[%s]\n", p->section);
		for (size_t i = 0; i < p->n; i++)
			formats[f].describe(&p->table[i], to);
		return true;
	}
	return false;
}
