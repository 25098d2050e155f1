/* command_param.c: one param.NAME of a command (docs/COMMANDS.md). Words are found in one
 * table; what does not go with the type is a fault where it stands. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "service/command_config.h"

const char *const command_type_names[] = {"string", "path", "bytes", "int", "long", "number", "bool", "json", NULL};

struct reader {
	struct conf *conf;
	const struct conf_entry *entry;
	struct command_param *param;
	unsigned seen;       /* of the attributes, as bits */
	bool bad;
};

/* --- words --- */

bool word_next(struct conf *c, const struct conf_entry *e, const char **pp, struct word *w)
{
	AUTO_BUF text = BUF_INIT;
	const char *p = *pp, *open = NULL;

	while (isspace((unsigned char)*p))
		p++;
	w->at = p;
	while (*p != '\0' && (open != NULL || !isspace((unsigned char)*p))) {
		if (*p == '"') {
			open = open != NULL ? NULL : p;
			p++;
			continue;
		}
		if (open != NULL && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
			p++;
		buf_append_byte(&text, (uint8_t)*p++);
	}
	*pp = p;
	w->len = (size_t)(p - w->at);
	w->text = NULL;
	if (open != NULL)
		conf_fault(c, e, open, "a quote that is not closed (a \" ;\" begins a comment)");
	if (w->len == 0 || open != NULL)
		return false;
	w->text = xstrdup(buf_cstr(&text));
	return true;
}

bool command_type_read(const char *text, size_t len, bool result, enum param_type *out)
{
	for (size_t i = 0; command_type_names[i] != NULL; i++)
		if (strlen(command_type_names[i]) == len && memcmp(command_type_names[i], text, len) == 0) {
			*out = (enum param_type)i;
			return result ? i != PARAM_PATH : i != PARAM_JSON;
		}
	return false;
}

/* The next letter of a name in JSON; 0: its end. */
static int json_letter(const char **pp)
{
	const char *p = *pp;
	int c;

	while (*p == '_')
		p++;
	c = p > *pp ? toupper((unsigned char)*p) : (unsigned char)*p;
	*pp = *p != '\0' ? p + 1 : p;
	return c;
}

bool command_name_clash(const char *a, const char *b)
{
	int c, d;

	do {
		c = json_letter(&a);
		d = json_letter(&b);
	} while (c == d && c != '\0');
	return c == d;
}

int command_param_find(const struct command_spec *s, const char *name, size_t len)
{
	for (size_t i = 0; i < s->n_params; i++)
		if (strlen(s->params[i].name) == len && memcmp(s->params[i].name, name, len) == 0)
			return (int)i;
	return -1;
}

char *command_hint(const char *word, size_t len, const char *const *list)
{
	const char *meant = conf_meant(word, len, list);

	return meant != NULL ? xasprintf(" (did you mean %s?)", meant) : xstrdup("");
}

char *command_param_hint(const struct command_spec *s, const char *name, size_t len)
{
	const char **names = xcalloc(s->n_params + 1, sizeof(char *));
	char *hint;

	for (size_t i = 0; i < s->n_params; i++)
		names[i] = s->params[i].name;
	hint = command_hint(name, len, names);
	free(names);
	return hint;
}

/* --- values --- */

#define FAULT(r, at, ...) (conf_fault((r)->conf, (r)->entry, at, __VA_ARGS__), (r)->bad = true)

static bool is_number(const struct command_param *p)
{
	return p->type == PARAM_INT || p->type == PARAM_LONG || p->type == PARAM_NUMBER;
}

static bool is_text(const struct command_param *p)
{
	return p->type == PARAM_STRING || p->type == PARAM_PATH;
}

/* Is text a value of that type? */
static bool is_value(enum param_type type, const char *text)
{
	long long n;
	char *end;

	errno = 0;
	switch (type) {
	case PARAM_INT:
	case PARAM_LONG:
		n = strtoll(text, &end, 10);
		return errno == 0 && end > text && *end == '\0' && !isspace((unsigned char)*text) &&
		       (type == PARAM_LONG || (n >= INT32_MIN && n <= INT32_MAX));
	case PARAM_NUMBER:
		strtod(text, &end);
		return errno == 0 && end > text && *end == '\0' && strchr("-+.0123456789", *text) != NULL;
	case PARAM_BOOL:
		return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
	default:
		return true;
	}
}

static void take_number(struct reader *r, const char *value, const char *at, char **to)
{
	if (!is_number(r->param))
		FAULT(r, at, "min and max are for int, long and number; of texts min_len and max_len");
	else if (!is_value(r->param->type, value))
		FAULT(r, at, "%s is no %s", value, command_type_names[r->param->type]);
	else
		*to = xstrdup(value);
}

static void take_min(struct reader *r, const char *value, const char *at)
{
	take_number(r, value, at, &r->param->min);
}

static void take_max(struct reader *r, const char *value, const char *at)
{
	take_number(r, value, at, &r->param->max);
}

static int64_t take_count(struct reader *r, const char *value, const char *at)
{
	char *end;
	long long n = strtoll(value, &end, 10);

	if (*value >= '0' && *value <= '9' && *end == '\0' && n <= 4 << 20)
		return n;
	FAULT(r, at, "%s is no count from 0 to 4194304", value);
	return -1;
}

static int64_t take_len(struct reader *r, const char *value, const char *at)
{
	if (is_text(r->param) || r->param->type == PARAM_BYTES)
		return take_count(r, value, at);
	FAULT(r, at, "only texts and bytes have a length");
	return -1;
}

static void take_min_len(struct reader *r, const char *value, const char *at)
{
	r->param->min_len = take_len(r, value, at);
}

static void take_max_len(struct reader *r, const char *value, const char *at)
{
	r->param->max_len = take_len(r, value, at);
}

static void take_max_items(struct reader *r, const char *value, const char *at)
{
	if (!r->param->repeated)
		FAULT(r, at, "max_items is for a repeated parameter (say repeated before it)");
	else
		r->param->max_items = take_count(r, value, at);
}

static void take_pattern(struct reader *r, const char *value, const char *at)
{
	struct regex *x = NULL;
	char why[200];

	if (!is_text(r->param))
		FAULT(r, at, "a pattern is for texts");
	else if (regex_new(NULL, (struct bytes){(const uint8_t *)value, strlen(value)}, &x, why, sizeof why) < 0)
		FAULT(r, at, "pattern: %s", why);
	else
		r->param->pattern = xstrdup(value);
	regex_free(x);
}

/* NULL-terminated parts of a text. */
static char **split(const char *text, char by, size_t *np)
{
	char **list = NULL;
	size_t n = 0;

	for (const char *p = text;; p++) {
		const char *end = strchrnul(p, by);

		list = xrealloc(list, (n + 2) * sizeof(char *));
		list[n++] = strndup(p, (size_t)(end - p));
		p = end;
		if (*end == '\0')
			break;
	}
	list[n] = NULL;
	*np = n;
	return list;
}

static void take_choices(struct reader *r, const char *value, const char *at)
{
	struct command_param *p = r->param;
	size_t n;

	if (p->type == PARAM_BOOL || p->type == PARAM_BYTES || p->type == PARAM_PATH) {
		FAULT(r, at, "enum is for string, int, long and number");
		return;
	}
	p->choices = split(value, '|', &n);
	at += *at == '"';
	for (size_t i = 0; i < n; at += strlen(p->choices[i++]) + 1)
		if (!is_value(p->type, p->choices[i]) || *p->choices[i] == '\0')
			FAULT(r, at, "\"%s\" is no %s", p->choices[i], command_type_names[p->type]);
}

/* The directory of the configuration file, as it is found: with its links. Owned. */
static char *here(const char *file)
{
	AUTO_FREE char *copy = xstrdup(file), *cwd = getcwd(NULL, 0);
	const char *dir = dirname(copy);

	return *dir == '/' || cwd == NULL ? xstrdup(dir) : xasprintf("%s/%s", cwd, dir);
}

/* A directory as it is written, absolute; NULL when ".." makes that ambiguous. Owned. */
static char *as_given(const char *full)
{
	AUTO_BUF out = BUF_INIT;

	for (const char *p = full, *end; *p != '\0'; p = end) {
		size_t len;

		p += strspn(p, "/");
		end = strchrnul(p, '/');
		len = (size_t)(end - p);
		if (len == 2 && memcmp(p, "..", 2) == 0)
			return NULL;
		if (len == 0 || (len == 1 && *p == '.'))
			continue;
		buf_append_byte(&out, '/');
		buf_append(&out, p, len);
	}
	return xstrdup(out.len > 0 ? buf_cstr(&out) : "/");
}

/* One directory: absolute, without links, since what is below it is compared with it; and as
 * it was written, since clients write it so. */
static void take_dir(struct reader *r, const char *base, size_t i, const char *at)
{
	char *name = r->param->dirs[i], *given;
	AUTO_FREE char *full = *name == '/' ? xstrdup(name) : xasprintf("%s/%s", base, name);
	char *real = *name != '\0' ? realpath(full, NULL) : NULL;
	struct stat st;

	if (*name == '\0')
		FAULT(r, at, "in: an empty name; \".\" is the directory of this file");
	else if (real == NULL || stat(real, &st) < 0 || !S_ISDIR(st.st_mode))
		FAULT(r, at, "in: %s: %s", full, real != NULL ? "is no directory" : strerror(errno));
	given = real != NULL ? as_given(full) : NULL;
	r->param->dirs_given[i] = given != NULL ? given : xstrdup(real != NULL ? real : name);
	if (real == NULL)
		return;
	free(name);
	r->param->dirs[i] = real;
}

static void take_dirs(struct reader *r, const char *value, const char *at)
{
	AUTO_FREE char *base = here(r->entry->section->file);
	size_t n;

	if (r->param->type != PARAM_PATH) {
		FAULT(r, at, "in is for a path");
		return;
	}
	r->param->dirs = split(value, ':', &n);
	r->param->dirs_given = xcalloc(n + 1, sizeof(char *));
	at += *at == '"';
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(r->param->dirs[i]);

		take_dir(r, base, i, at);
		at += len + 1;
	}
}

static void take_must(struct reader *r, const char *value, const char *at)
{
	static const char *const names[] = {"any", "file", "dir", "new", NULL};
	size_t i = 0;

	while (names[i] != NULL && strcmp(names[i], value) != 0)
		i++;
	if (r->param->type != PARAM_PATH)
		FAULT(r, at, "must is for a path");
	else if (names[i] == NULL)
		FAULT(r, at, "must=%s: write file, dir, new or any", value);
	else
		r->param->must = (enum path_must)i;
}

static void take_default(struct reader *r, const char *value, const char *at)
{
	if (r->param->type == PARAM_BYTES || r->param->repeated)
		FAULT(r, at, "bytes and repeated parameters have no default");
	else if (!is_value(r->param->type, value))
		FAULT(r, at, "%s is no %s", value, command_type_names[r->param->type]);
	else
		r->param->fallback = xstrdup(value);
}

static void take_help(struct reader *r, const char *value, const char *at)
{
	r->param->help = xstrdup(value);
}

static void take_dash(struct reader *r, const char *value, const char *at)
{
	if (strcmp(value, "allow") != 0)
		FAULT(r, at, "dash=%s: only dash=allow says anything", value);
	else
		r->param->dash_ok = true;
}

static const struct attribute {
	const char *name;
	void (*take)(struct reader *r, const char *value, const char *at);
} attributes[] = {
	{"dash", take_dash}, {"default", take_default}, {"enum", take_choices}, {"help", take_help}, {"in", take_dirs},
	{"max", take_max}, {"max_items", take_max_items}, {"max_len", take_max_len}, {"min", take_min},
	{"min_len", take_min_len}, {"must", take_must}, {"pattern", take_pattern},
};

static bool take_flag(struct command_param *p, const char *word)
{
	bool *flag = strcmp(word, "required") == 0 ? &p->required :
		     strcmp(word, "repeated") == 0 ? &p->repeated :
		     strcmp(word, "atomic") == 0 ? &p->atomic : NULL;

	if (flag == NULL)
		return false;
	*flag = true;
	return true;
}

static void take_word(struct reader *r, const struct word *w)
{
	static const char *const words[] = {
		"required", "repeated", "atomic", "dash", "default", "enum", "help", "in", "max", "max_items",
		"max_len", "min", "min_len", "must", "pattern", NULL,
	};
	const char *equals = strchr(w->text, '=');
	AUTO_FREE char *hint = NULL;
	size_t len = equals != NULL ? (size_t)(equals - w->text) : strlen(w->text);

	if (equals == NULL && take_flag(r->param, w->text))
		return;
	for (size_t i = 0; equals != NULL && i < ARRAY_LEN(attributes); i++)
		if (strlen(attributes[i].name) == len && memcmp(attributes[i].name, w->text, len) == 0) {
			if (r->seen & 1U << i)
				FAULT(r, w->at, "a second %s", attributes[i].name);
			else
				attributes[i].take(r, equals + 1, w->at + len + 1);
			r->seen |= 1U << i;
			return;
		}
	hint = command_hint(w->text, len, words);
	FAULT(r, w->at, "unknown word %.*s%s", (int)len, w->text, hint);
}

/* --- the whole --- */

static bool is_choice(const struct command_param *p)
{
	char **c = p->choices;

	while (*c != NULL && strcmp(*c, p->fallback) != 0)
		c++;
	return *c != NULL;
}

static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static bool matches(const char *pattern, const char *text)
{
	struct regex *x = NULL;
	char why[200];
	bool ok = regex_new(NULL, (struct bytes){(const uint8_t *)pattern, strlen(pattern)}, &x, why, sizeof why) < 0 ||
		  regex_match(x, (struct bytes){(const uint8_t *)text, strlen(text)}) == 1;

	regex_free(x);
	return ok;
}

/* It has to keep the rules that what is given has to. */
static void check_default(struct reader *r)
{
	const struct command_param *p = r->param;
	const char *text = p->fallback;

	if (p->choices != NULL && !is_choice(p))
		FAULT(r, r->entry->value, "the default %s is none of its enum", text);
	if ((p->min != NULL && strtod(text, NULL) < strtod(p->min, NULL)) ||
	    (p->max != NULL && strtod(text, NULL) > strtod(p->max, NULL)))
		FAULT(r, r->entry->value, "the default %s is not from min to max", text);
	if (p->pattern != NULL && !matches(p->pattern, text))
		FAULT(r, r->entry->value, "the default %s does not match the pattern", text);
	if ((p->min_len > 0 && characters(text) < (size_t)p->min_len) ||
	    (p->max_len >= 0 && characters(text) > (size_t)p->max_len))
		FAULT(r, r->entry->value, "the default %s does not have min_len to max_len characters", text);
}

static void check(struct reader *r)
{
	const struct command_param *p = r->param;

	if (p->type == PARAM_PATH && p->dirs == NULL)
		FAULT(r, r->entry->value, "a path needs in=DIRECTORY: nothing outside of it is reachable then");
	if (p->atomic && (p->type != PARAM_PATH || p->must != PATH_NEW || p->repeated))
		FAULT(r, r->entry->value, "atomic is for a path with must=new");
	if (p->required && p->fallback != NULL)
		FAULT(r, r->entry->value, "a required parameter needs no default");
	if (p->type == PARAM_BOOL && p->repeated)
		FAULT(r, r->entry->value, "a bool is not repeated");
	if (p->fallback != NULL)
		check_default(r);
	if (p->min != NULL && p->max != NULL && strtod(p->min, NULL) > strtod(p->max, NULL))
		FAULT(r, r->entry->value, "min is more than max");
	if (p->min_len > 0 && p->max_len >= 0 && p->min_len > p->max_len)
		FAULT(r, r->entry->value, "min_len is more than max_len");
}

/* What protobuf takes for a field's name, in the form JSON shows it. */
static bool name_ok(const char *name)
{
	if (!islower((unsigned char)*name))
		return false;
	for (const char *p = name; *p != '\0'; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_')
			return false;
	return strlen(name) <= 60;
}

bool command_param_read(struct conf *c, const struct conf_entry *e, const char *name, struct command_param *out)
{
	struct reader r = {.conf = c, .entry = e, .param = out};
	const char *p = e->value;
	struct word w;

	*out = (struct command_param){.name = xstrdup(name), .min_len = -1, .max_len = -1, .max_items = -1};
	if (!name_ok(name))
		FAULT(&r, NULL, "a parameter's name has small letters, digits and '_', and begins with a letter");
	if (!word_next(c, e, &p, &w)) {
		FAULT(&r, NULL, "write its type first: string, path, bytes, int, long, number or bool");
		return false;
	}
	if (!command_type_read(w.text, strlen(w.text), false, &out->type)) {
		FAULT(&r, w.at, "%s is none of string, path, bytes, int, long, number, bool", w.text);
		free(w.text);
		return false;
	}
	free(w.text);
	while (word_next(c, e, &p, &w)) {
		take_word(&r, &w);
		free(w.text);
	}
	if (!r.bad)
		check(&r);
	return !r.bad;
}

static void free_list(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

void command_param_deinit(struct command_param *p)
{
	free_list(p->dirs);
	free_list(p->dirs_given);
	free_list(p->choices);
	free(p->name);
	free(p->fallback);
	free(p->pattern);
	free(p->help);
	free(p->min);
	free(p->max);
	*p = (struct command_param){0};
}
