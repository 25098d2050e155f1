/* settings.c: see settings.h. The command line is read first, for it says which files there are; the other
 * places then give what it has left open. */
#define _GNU_SOURCE
#include "base/settings.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/util.h"

#define CONFIG_DIR SYSCONFDIR "/errand"
#define BLANK " \t\r\n"

extern char **environ;

/* --- a value --- */

static const char *keep_word(struct settings *s, const char *text, size_t len)
{
	s->words = xrealloc(s->words, (s->n_words + 1) * sizeof(char *));
	s->words[s->n_words] = xstrndup(text, len);
	return s->words[s->n_words++];
}

/* One element after the other; an element's fault is told at it. 0, or -1 with why and *atp. */
static int set_list(struct settings *s, const struct opt *o, void *conf, const char *text, const char **atp,
		    char *why, size_t size)
{
	for (text += strspn(text, BLANK); *text != '\0'; text += strspn(text, BLANK)) {
		size_t len = strcspn(text, BLANK);

		*atp = text;
		if (opt_set(o, conf, keep_word(s, text, len), why, size) < 0)
			return -1;
		text += len;
	}
	return 0;
}

/* Gives conf the text of one place, which counts over what it has. */
static int set_text(struct settings *s, size_t i, void *conf, const char *text, enum setting_source source,
		    const char **atp, char *why, size_t size)
{
	const struct opt *o = &s->program->table[i];
	struct setting *of = &s->of[i];
	char *copy = xstrdup(text);

	*atp = text;
	free(of->text);
	*of = (struct setting){.source = source, .text = copy};
	opt_clear(o, conf);
	if (o->type == OPT_LIST)
		return set_list(s, o, conf, text, atp, why, size);
	return opt_set(o, conf, o->type == OPT_STRING ? keep_word(s, text, strlen(text)) : text, why, size);
}

/* --- files --- */

static const struct opt *option_called(const struct settings_program *p, const char *name, size_t *ip)
{
	for (size_t i = 0; i < p->n; i++)
		if (strcmp(p->table[i].name, name) == 0) {
			*ip = i;
			return &p->table[i];
		}
	return NULL;
}

static int is_conf(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > 5 && strcmp(d->d_name + len - 5, ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_absent(int err)
{
	return err == ENOENT || err == ENOTDIR;
}

/* All *.conf of a directory, in the order of their names in every locale. One that is not there has
 * none; one that cannot be read may have what would be missed. */
static void read_dir(struct settings *s, const char *dir)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_conf, by_name);

	if (n < 0 && !is_absent(errno))
		conf_fault_file(&s->files, dir, "cannot be read: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		AUTO_FREE char *path = xasprintf("%s/%s", dir, names[i]->d_name);

		conf_read(&s->files, path);
		free(names[i]);
	}
	free(names);
}

static void read_path(struct settings *s, const char *path)
{
	struct stat st;

	if (strcmp(path, "none") == 0)
		return;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		read_dir(s, path);
	else
		conf_read(&s->files, path);
}

static void read_files(struct settings *s, const struct opt_list *paths)
{
	if (paths->n > 0) {
		for (size_t i = 0; i < paths->n; i++)
			read_path(s, paths->items[i]);
		return;
	}
	if (access(CONFIG_DIR "/errand.conf", F_OK) == 0 || !is_absent(errno))
		conf_read(&s->files, CONFIG_DIR "/errand.conf");
	read_dir(s, CONFIG_DIR "/conf.d");
}

/* Keys are written with - or _, as one likes. */
static void key_name(const char *key, char *out, size_t size)
{
	snprintf(out, size, "%s", key);
	for (char *p = out; *p != '\0'; p++)
		if (*p == '_')
			*p = '-';
}

static void fault_unknown(struct settings *s, const struct conf_entry *e, const char *name)
{
	const struct settings_program *p = s->program;
	AUTO_FREE const char **names = xcalloc(p->n + 1, sizeof *names);
	const char *meant;
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (!(p->table[i].flags & OPT_LINE_ONLY))
			names[n++] = p->table[i].name;
	meant = conf_meant(name, strlen(name), names);
	if (meant != NULL)
		conf_fault(&s->files, e, NULL, "%s has no setting %s: did you mean %s?", p->name, e->key, meant);
	else
		conf_fault(&s->files, e, NULL, "%s has no setting %s: errand.conf(5) lists them", p->name, e->key);
}

static void take_entry(struct settings *s, void *conf, const struct conf_entry *e)
{
	char name[64], why[256];
	const char *at;
	const struct opt *o;
	size_t i = 0;

	key_name(e->key, name, sizeof name);
	o = option_called(s->program, name, &i);
	if (o == NULL) {
		fault_unknown(s, e, name);
		return;
	}
	if (o->flags & OPT_LINE_ONLY) {
		conf_fault(&s->files, e, NULL, "%s is for the command line alone: --%s", name, name);
		return;
	}
	if (s->of[i].source > BY_FILE)
		return;
	if (set_text(s, i, conf, e->value, BY_FILE, &at, why, sizeof why) < 0)
		conf_fault(&s->files, e, at, "%s: %s", name, why);
	s->of[i].entry = e;
}

/* Is it one of those that are read elsewhere? */
static bool is_others(const struct settings_program *p, const char *name, size_t len)
{
	for (const char *const *o = p->others; *o != NULL; o++)
		if (strlen(*o) == len && strncmp(*o, name, len) == 0)
			return true;
	return false;
}

static void fault_section(struct settings *s, const struct conf_section *section)
{
	const char *words[8] = {s->program->section};
	const char *meant;

	for (size_t i = 0; i < 6 && s->program->others[i] != NULL; i++)
		words[i + 1] = s->program->others[i];
	meant = conf_meant(section->name, strcspn(section->name, BLANK), words);
	if (meant != NULL)
		conf_fault_section(&s->files, section, "no such section: did you mean [%s%s]?", meant,
				   strcmp(meant, "command") == 0 ? " PACKAGE.Service/Method" : "");
	else
		conf_fault_section(&s->files, section, "no such section: errand.conf(5) has [service], [gateway] "
				   "and [command PACKAGE.Service/Method]");
}

static void take_files(struct settings *s, void *conf)
{
	for (size_t i = 0; i < s->files.n_sections; i++) {
		const struct conf_section *section = s->files.sections[i];
		size_t word = strcspn(section->name, BLANK);

		if (strcmp(section->name, s->program->section) == 0)
			for (size_t k = 0; k < section->n_entries; k++)
				take_entry(s, conf, section->entries[k]);
		else if (!is_others(s->program, section->name, word))
			fault_section(s, section);
	}
}

/* --- the environment --- */

/* "ERRAND_GATEWAY_" of it. */
static void environment_prefix(const struct settings_program *p, char *out, size_t size)
{
	int n = snprintf(out, size, "ERRAND_%s_", p->section);

	for (int i = 0; i < n; i++)
		out[i] = (char)toupper((unsigned char)out[i]);
}

static int complain(const char *program, const char *variable, size_t len, const char *fmt, ...) PRINTF(4, 5);
static int complain(const char *program, const char *variable, size_t len, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: environment %.*s: ", program, (int)len, variable);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* One variable with our prefix: name is what comes behind that. 1: it is wrong, as was said. */
static int take_variable(struct settings *s, void *conf, const char *variable, size_t prefix)
{
	const char *equals = strchr(variable, '='), *at;
	size_t len = (size_t)(equals - variable), i = 0;
	AUTO_FREE char *name = xstrndup(variable + prefix, len - prefix);
	char why[256];
	const struct opt *o;

	for (char *p = name; *p != '\0'; p++)
		*p = *p == '_' ? '-' : (char)tolower((unsigned char)*p);
	o = option_called(s->program, name, &i);
	if (o == NULL || ((o->flags & OPT_LINE_ONLY) && strcmp(name, "config") != 0))
		return complain(s->program->name, variable, len, "there is no setting %s: see --help", name);
	if (s->of[i].source > BY_ENVIRONMENT)
		return 0;
	if (set_text(s, i, conf, equals + 1, BY_ENVIRONMENT, &at, why, sizeof why) < 0)
		return complain(s->program->name, variable, len, "%s", why);
	return 0;
}

static int take_environment(struct settings *s, void *conf)
{
	char prefix[64];
	int n_wrong = 0;

	environment_prefix(s->program, prefix, sizeof prefix);
	for (char **v = environ; *v != NULL; v++)
		if (strncmp(*v, prefix, strlen(prefix)) == 0 && strchr(*v, '=') != NULL)
			n_wrong += take_variable(s, conf, *v, strlen(prefix));
	return n_wrong;
}

/* --- all of them --- */

/* What the command line gave, as text. */
static void note_line(struct settings *s, const void *conf, const char **given)
{
	for (size_t i = 0; i < s->program->n; i++) {
		const struct opt *o = &s->program->table[i];
		AUTO_BUF all = BUF_INIT;

		if (given[i] == NULL)
			continue;
		if (o->type == OPT_LIST) {
			const struct opt_list *l = (const void *)((const char *)conf + o->offset);

			for (size_t k = 0; k < l->n; k++)
				buf_printf(&all, "%s%s", k > 0 ? "\n" : "", l->items[k]);
		} else {
			buf_append_str(&all, given[i]);
		}
		s->of[i] = (struct setting){.source = BY_LINE, .text = xstrdup(buf_cstr(&all))};
	}
}

static const struct opt_list *config_of(const struct settings_program *p, const void *conf)
{
	size_t i = 0;
	const struct opt *o = option_called(p, "config", &i);

	return (const void *)((const char *)conf + o->offset);
}

int settings_read(struct settings *s, const struct settings_program *p, void *conf, int argc, char **argv,
		  int *firstp, bool *later)
{
	AUTO_FREE const char **given = xcalloc(p->n + 1, sizeof *given);

	*s = (struct settings){.program = p, .of = xcalloc(p->n + 1, sizeof *s->of)};
	*firstp = opt_parse_given(p->table, p->n, conf, argc, argv, p->usage, given);
	if (*firstp < 0)
		return EX_USAGE;
	note_line(s, conf, given);
	if (take_environment(s, conf) > 0)
		return EX_CONFIG;
	read_files(s, config_of(p, conf));
	take_files(s, conf);
	if (later != NULL)
		*later = s->files.n_faults > 0;
	else if (settings_report(s) > 0)
		return EX_CONFIG;
	return 0;
}

size_t settings_report(const struct settings *s)
{
	size_t n = conf_report(&s->files, stderr);

	if (n > 0)
		fprintf(stderr, "%s: %zu fault%s in the configuration, see above\n", s->program->name, n,
			n == 1 ? "" : "s");
	return n;
}

void settings_deinit(struct settings *s, void *conf)
{
	if (s->program == NULL)
		return;
	opt_deinit(s->program->table, s->program->n, conf);
	for (size_t i = 0; i < s->program->n; i++)
		free(s->of[i].text);
	for (size_t i = 0; i < s->n_words; i++)
		free(s->words[i]);
	free(s->of);
	free(s->words);
	conf_deinit(&s->files);
	*s = (struct settings){0};
}

/* --- telling --- */

/* "the command line", "FILE:LINE", ... */
static void say_source(const struct settings *s, size_t i, char *out, size_t size)
{
	const struct setting *of = &s->of[i];
	char prefix[64], name[64];

	switch (of->source) {
	case BY_DEFAULT:
		snprintf(out, size, "default");
		return;
	case BY_FILE:
		snprintf(out, size, "%s:%d", of->entry->section->file, of->entry->line);
		return;
	case BY_LINE:
		snprintf(out, size, "--%s", s->program->table[i].name);
		return;
	case BY_ENVIRONMENT:
		environment_prefix(s->program, prefix, sizeof prefix);
		snprintf(name, sizeof name, "%s", s->program->table[i].name);
		for (char *p = name; *p != '\0'; p++)
			*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
		snprintf(out, size, "%s%s", prefix, name);
		return;
	}
}

int settings_wrong(const struct settings *s, const char *name, const char *fmt, ...)
{
	char source[512] = "";
	bool by_line = true;
	va_list ap;
	size_t i = 0;

	if (option_called(s->program, name, &i) != NULL) {
		say_source(s, i, source, sizeof source);
		by_line = s->of[i].source == BY_LINE || s->of[i].source == BY_DEFAULT;
	}
	if (by_line)
		fprintf(stderr, "%s: --%s ", s->program->name, name);
	else if (s->of[i].source == BY_FILE)
		fprintf(stderr, "%s:%d: %s: ", source, s->of[i].entry->key_column, name);
	else
		fprintf(stderr, "%s: environment %s: ", s->program->name, source);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return by_line ? EX_USAGE : EX_CONFIG;
}

static const char *text_of(const struct settings *s, size_t i)
{
	return s->of[i].text != NULL ? s->of[i].text : s->program->table[i].fallback;
}

/* Elements of a list stand in lines of their own. */
static void print_value(FILE *to, const char *text)
{
	for (; *text != '\0'; text++) {
		fputc(*text, to);
		if (*text == '\n')
			fputs("    ", to);
	}
}

void settings_print(const struct settings *s, FILE *to)
{
	char source[512];

	for (size_t i = 0; i < s->files.n_files; i++)
		fprintf(to, "; read: %s\n", s->files.files[i]);
	fprintf(to, "[%s]\n", s->program->section);
	for (size_t i = 0; i < s->program->n; i++) {
		const struct opt *o = &s->program->table[i];
		const char *text = text_of(s, i);

		if (o->flags & OPT_LINE_ONLY)
			continue;
		say_source(s, i, source, sizeof source);
		fprintf(to, "%s%s =%s", text == NULL ? "; " : "", o->name, text != NULL ? " " : "");
		if (text != NULL)
			print_value(to, text);
		fprintf(to, " ; %s\n", text != NULL ? source : "not set");
	}
}

/* --- again --- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Its value stays what the process began with. */
static void take_over(const struct opt *o, const void *live, void *fresh)
{
	struct opt_list *to = (void *)((char *)fresh + o->offset);
	const struct opt_list *from = (const void *)((const char *)live + o->offset);
	char why[64];

	opt_clear(o, fresh);
	if (o->type != OPT_LIST)
		memcpy(to, from, opt_size_of(o->type));
	for (size_t k = 0; o->type == OPT_LIST && k < from->n; k++)
		opt_set(o, fresh, from->items[k], why, sizeof why);
}

unsigned settings_reload(const struct settings *live, const void *live_conf, struct settings *fresh, void *fresh_conf)
{
	const struct settings_program *p = live->program;
	unsigned n = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct opt *o = &p->table[i];
		const char *was = text_of(live, i), *is = text_of(fresh, i);
		AUTO_BUF quoted = BUF_INIT;

		if (!(o->flags & OPT_RELOADS))
			take_over(o, live_conf, fresh_conf);
		if (same_text(was, is))
			continue;
		log_quote(&quoted, is != NULL ? is : "", is != NULL ? strlen(is) : 0);
		if (o->flags & OPT_RELOADS)
			log_info("setting changed", "name=%s value=%s", o->name, buf_cstr(&quoted));
		else
			log_warn("setting changed, a restart is needed for it", "name=%s value=%s", o->name,
				 buf_cstr(&quoted));
		n += (o->flags & OPT_RELOADS) != 0;
	}
	return n;
}
