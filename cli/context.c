#define _GNU_SOURCE
#include "cli/context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "cli/cli.h"

/* --- where --- */

static char *folder(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	if (xdg != NULL && *xdg == '/')
		return xasprintf("%s/errand", xdg);
	return home != NULL && *home == '/' ? xasprintf("%s/.config/errand", home) : NULL;
}

/* "~/x" is below the home directory. */
static char *expanded(const char *value)
{
	const char *home = getenv("HOME");

	if (strncmp(value, "~/", 2) == 0 && home != NULL)
		return xasprintf("%s%s", home, value + 1);
	return xstrdup(value);
}

/* --- the file --- */

static bool is_yes(const char *value)
{
	return strcmp(value, "yes") == 0 || strcmp(value, "true") == 0;
}

static const struct {
	const char *key;
	size_t offset;
	bool is_path;
} keys[] = {
	{"url", offsetof(struct context, url), false},
	{"socket", offsetof(struct context, socket), true},
	{"token-file", offsetof(struct context, token_file), true},
	{"ca", offsetof(struct context, ca), true},
	{"cert", offsetof(struct context, cert), true},
	{"key", offsetof(struct context, key), true},
};

static const char *const key_words[] = {"url", "socket", "token-file", "ca", "cert", "key", "insecure", NULL};

static void read_entry(struct conf *f, const struct conf_entry *e, struct context *c)
{
	const char *near;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(e->key, keys[i].key) == 0) {
			*(char **)((char *)c + keys[i].offset) = keys[i].is_path ? expanded(e->value) : xstrdup(e->value);
			return;
		}
	if (strcmp(e->key, "insecure") == 0) {
		c->insecure = is_yes(e->value);
		if (!c->insecure && strcmp(e->value, "no") != 0 && strcmp(e->value, "false") != 0)
			conf_fault(f, e, e->value, "insecure is yes or no");
		return;
	}
	if (strcmp(e->key, "token") == 0) {
		conf_fault(f, e, NULL, "a token does not stand here: put it into a file of mode 0600 and name that: token-file");
		return;
	}
	near = conf_meant(e->key, strlen(e->key), key_words);
	conf_fault(f, e, NULL, near != NULL ? "unknown key '%s': did you mean '%s'?" : "unknown key '%s'", e->key, near);
}

static void read_section(struct contexts *c, struct conf *f, const struct conf_section *s)
{
	struct context one = {.line = s->line};
	const char *name = s->name + 8;

	if (strncmp(s->name, "context ", 8) != 0 || *name == '\0') {
		conf_fault_section(f, s, "a section here is [context NAME]");
		return;
	}
	if (contexts_find(c, name) != NULL) {
		conf_fault_section(f, s, "there is a context '%s' already", name);
		return;
	}
	one.name = xstrdup(name);
	for (size_t i = 0; i < s->n_entries; i++)
		read_entry(f, s->entries[i], &one);
	if ((one.url == NULL) == (one.socket == NULL))
		conf_fault_section(f, s, "a context has either url or socket");
	c->list = xrealloc(c->list, (c->n + 1) * sizeof *c->list);
	c->list[c->n++] = one;
}

static void read_current(struct contexts *c)
{
	FILE *f = fopen(c->current_path, "re");
	char line[256];

	if (f == NULL)
		return;
	if (fgets(line, sizeof line, f) != NULL && line[strcspn(line, "\n")] == '\n')
		c->current = xstrndup(line, strcspn(line, "\n"));
	fclose(f);
}

int contexts_load(struct contexts *c)
{
	struct conf f = CONF_INIT;
	AUTO_FREE char *dir = folder();
	size_t faults;

	*c = (struct contexts){0};
	if (dir == NULL)
		return CLI_OK;
	c->path = xasprintf("%s/contexts.conf", dir);
	c->current_path = xasprintf("%s/context", dir);
	read_current(c);
	if (access(c->path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
		return CLI_OK;
	conf_read(&f, c->path);
	for (size_t i = 0; i < f.n_sections; i++)
		read_section(c, &f, f.sections[i]);
	faults = conf_report(&f, stderr);
	conf_deinit(&f);
	return faults == 0 ? CLI_OK : CLI_DATA;
}

void contexts_deinit(struct contexts *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->list[i].name);
		for (size_t k = 0; k < ARRAY_LEN(keys); k++)
			free(*(char **)((char *)&c->list[i] + keys[k].offset));
	}
	free(c->list);
	free(c->path);
	free(c->current_path);
	free(c->current);
	*c = (struct contexts){0};
}

const struct context *contexts_find(const struct contexts *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->list[i].name, name) == 0)
			return &c->list[i];
	return NULL;
}

const struct context *contexts_need(const struct contexts *c, const char *name)
{
	const struct context *found = contexts_find(c, name);
	AUTO_FREE const char **names = xcalloc(c->n + 1, sizeof *names);
	const char *near;

	if (found != NULL)
		return found;
	for (size_t i = 0; i < c->n; i++)
		names[i] = c->list[i].name;
	near = conf_meant(name, strlen(name), names);
	if (near != NULL)
		cli_error("there is no context '%s': did you mean '%s'?", name, near);
	else
		cli_error("there is no context '%s': `errand context list` shows them, "
			  "`errand context add %s --url URL` makes one", name, name);
	return NULL;
}
