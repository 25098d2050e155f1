/* command_config.c: sections [command PACKAGE.Service/Method] as struct command_spec: their
 * names, and what is wrong with keys together. Every fault is told with its place;
 * a command with one is left out, and so is never run half. */
#define _GNU_SOURCE
#include "service/command_config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "service/account.h"
#include "service/landlock.h"

struct config {
	struct conf *conf;
	struct command_set *set;
	struct command_spec *spec; /* being read */
};

/* --- sections --- */

static bool begins(const char *key, const char *prefix)
{
	return strncmp(key, prefix, strlen(prefix)) == 0;
}

static const struct conf_entry *entry_of(const struct conf_section *section, const char *key)
{
	for (size_t i = 0; i < section->n_entries; i++)
		if (strcmp(section->entries[i]->key, key) == 0)
			return section->entries[i];
	return NULL;
}

/* Are they one in JSON, as a_b and a__b are? */
static void check_clash(struct config *g, const struct conf_entry *e, const char *name, const char *other)
{
	if (command_name_clash(name, other))
		conf_fault(g->conf, e, NULL, "%s and %s have the same name in JSON", other, name);
}

static void read_params(struct config *g, const struct conf_section *section)
{
	struct command_spec *s = g->spec;

	for (size_t i = 0; i < section->n_entries; i++) {
		const struct conf_entry *e = section->entries[i];

		if (!begins(e->key, "param."))
			continue;
		s->params = xrealloc(s->params, (s->n_params + 1) * sizeof *s->params);
		command_param_read(g->conf, e, e->key + strlen("param."), &s->params[s->n_params++]);
		for (size_t k = 0; k + 1 < s->n_params; k++)
			check_clash(g, e, e->key + strlen("param."), s->params[k].name);
	}
}

/* {a} and {a=...} of a path name parameters. */
static void mark_route(struct config *g, const struct conf_section *section)
{
	const struct conf_entry *e = entry_of(section, "route");
	struct command_spec *s = g->spec;

	for (const char *p = e != NULL ? strchr(e->value, '{') : NULL; p != NULL; p = strchr(p + 1, '{')) {
		size_t len = strcspn(p + 1, "=}");
		int i = command_param_find(s, p + 1, len);

		if (i < 0) {
			AUTO_FREE char *hint = command_param_hint(s, p + 1, len);

			conf_fault(g->conf, e, p, "there is no parameter %.*s%s", (int)len, p + 1, hint);
			continue;
		}
		s->params[i].in_route = true;
		if (s->params[i].repeated || s->params[i].type == PARAM_BYTES)
			conf_fault(g->conf, e, p, "%s has no place in a path", s->params[i].name);
		else if (s->params[i].fallback != NULL)
			conf_fault(g->conf, e, p, "%s is always given here: it needs no default", s->params[i].name);
	}
}

/* --- the name --- */

static bool is_ident(const char *p, size_t len)
{
	if (len == 0 || isdigit((unsigned char)*p))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)p[i]) && p[i] != '_')
			return false;
	return true;
}

static bool name_ok(const char *name)
{
	const char *slash = strchr(name, '/'), *p = name;

	if (slash == NULL || memchr(name, '.', (size_t)(slash - name)) == NULL || !is_ident(slash + 1, strlen(slash + 1)))
		return false;
	for (;;) {
		size_t len = strcspn(p, "./");

		if (!is_ident(p, len))
			return false;
		if (p[len] == '/')
			return strlen(name) <= 200;
		p += len + 1;
	}
}

static bool read_name(struct config *g, const struct conf_section *section)
{
	struct command_spec *s = g->spec;
	const char *name = section->name + strlen("command"), *slash;

	name += strspn(name, " \t");
	if (!name_ok(name)) {
		conf_fault_section(g->conf, section, "write [command PACKAGE.Service/Method], all of them words of "
				   "letters, digits and '_'");
		return false;
	}
	if (begins(name, "errand.v1.")) {
		conf_fault_section(g->conf, section, "errand.v1 is errand's own package");
		return false;
	}
	for (size_t i = 0; i + 1 < g->set->n; i++)
		if (g->set->specs[i].name != NULL && strcmp(g->set->specs[i].name, name) == 0)
			conf_fault_section(g->conf, section, "%s is declared in %s:%d already", name,
					   g->set->specs[i].file, g->set->specs[i].line);
	slash = strchr(name, '/');
	s->name = xstrdup(name);
	s->service = strndup(name, (size_t)(slash - name));
	s->method = xstrdup(slash + 1);
	return true;
}

/* --- what is wrong together --- */

static void check_account(struct config *g, const struct conf_section *section)
{
	const struct conf_entry *e = entry_of(section, g->spec->user != NULL ? "user" : "group");
	AUTO_FREE char *why = NULL;
	struct account account;

	if (e == NULL || *e->value == '\0')
		return;
	if (account_find(g->spec->user, g->spec->group, &account, &why) < 0)
		conf_fault(g->conf, e, e->value, "%s", why);
	account_deinit(&account);
}

static void check_landlock(struct config *g, const struct conf_section *section)
{
	const struct conf_entry *e = entry_of(section, g->spec->read != NULL ? "read" : "write");

	if (e != NULL && !landlock_available())
		conf_fault(g->conf, e, NULL, "%s needs Landlock, and this kernel has none or does not use it "
			   "(/sys/kernel/security/lsm)", e->key);
}

static void check_results(struct config *g, const struct conf_section *section)
{
	const struct command_spec *s = g->spec;
	const struct conf_entry *whole = entry_of(section, "result");

	if (s->n_results > 0 && whole != NULL)
		conf_fault(g->conf, whole, NULL, "result and result.NAME do not go together");
	for (size_t i = 0; i < s->n_results; i++)
		for (size_t k = 0; k < i; k++)
			if (command_name_clash(s->results[i].name, s->results[k].name))
				conf_fault_section(g->conf, section, "result.%s and result.%s have the same name in "
						   "JSON", s->results[k].name, s->results[i].name);
}

static void check(struct config *g, const struct conf_section *section)
{
	struct command_spec *s = g->spec;
	struct conf *c = g->conf;
	bool body = s->verb != NULL && strcmp(s->verb, "GET") != 0 && strcmp(s->verb, "DELETE") != 0;

	if (entry_of(section, "command") == NULL)
		conf_fault_section(c, section, "a command needs its key command = PROGRAM ...");
	if (s->stdin_from == STDIN_BODY && !body)
		conf_fault(c, entry_of(section, "stdin"), NULL, "stdin = body needs a route with POST, PUT or PATCH");
	if (s->stdin_from == STDIN_BODY && entry_of(section, "param.body") != NULL)
		conf_fault(c, entry_of(section, "param.body"), NULL, "with stdin = body, body is the raw one's name");
	if (s->slots > 0 && s->queue == NULL)
		conf_fault(c, entry_of(section, "slots"), NULL, "slots is of a queue: name it with queue = NAME");
	if (s->sync && s->queue != NULL)
		conf_fault(c, entry_of(section, "queue"), NULL, "a sync method has no queue");
	if ((s->progress[PROGRESS_DONE].fd != 0) != (s->progress[PROGRESS_TOTAL].fd != 0))
		conf_fault_section(c, section, "progress.done and progress.total go together");
	if (s->progress[PROGRESS_DONE].fd != 0 && s->progress[PROGRESS_PERCENT].fd != 0)
		conf_fault_section(c, section, "write progress.percent, or progress.done and progress.total");
	check_results(g, section);
	check_account(g, section);
	check_landlock(g, section);
}

/* Its slots are the queue's. */
static void check_slots(struct config *g, const struct conf_section *section)
{
	const struct command_spec *s = g->spec;

	for (size_t i = 0; i + 1 < g->set->n; i++) {
		const struct command_spec *o = &g->set->specs[i];

		if (s->slots > 0 && o->slots > 0 && s->queue != NULL && o->queue != NULL && s->slots != o->slots &&
		    strcmp(s->queue, o->queue) == 0)
			conf_fault_section(g->conf, section, "queue %s has %u slots by %s:%d and %u by this", s->queue,
					   o->slots, o->file, o->line, s->slots);
	}
}

static void set_defaults(struct command_spec *s)
{
	if (s->max_output == 0)
		s->max_output = 1 << 20;
	if (s->n_success == 0) {
		s->success = xcalloc(1, sizeof *s->success);
		s->n_success = 1;
	}
	for (size_t i = 0; i < s->n_params; i++)
		s->params[i].required |= s->params[i].in_route;
}

static void read_command(struct config *g, const struct conf_section *section)
{
	struct command_set *set = g->set;

	set->specs = xrealloc(set->specs, (set->n + 1) * sizeof *set->specs);
	g->spec = &set->specs[set->n++];
	*g->spec = (struct command_spec){.file = xstrdup(section->file), .line = section->line, .stdin_param = -1};
	if (!read_name(g, section))
		return;
	read_params(g, section);
	mark_route(g, section);
	for (size_t i = 0; i < section->n_entries; i++)
		command_key_read(g->conf, section->entries[i], g->spec);
	check(g, section);
	check_slots(g, section);
	set_defaults(g->spec);
}

static void put_text(struct buf *b, const struct conf_section *s)
{
	buf_printf(b, "[%s]\n", s->name);
	for (size_t i = 0; i < s->n_entries; i++)
		buf_printf(b, "%s = %s\n", s->entries[i]->key, s->entries[i]->value);
}

static bool is_command(const struct conf_section *section)
{
	return strcspn(section->name, " \t") == strlen("command") && begins(section->name, "command");
}

void command_config_read(struct conf *c, struct command_set *out)
{
	struct config g = {.conf = c, .set = out};
	AUTO_BUF text = BUF_INIT;

	*out = (struct command_set){0};
	for (size_t i = 0; i < c->n_sections; i++) {
		if (!is_command(c->sections[i]))
			continue;
		read_command(&g, c->sections[i]);
		put_text(&text, c->sections[i]);
	}
	out->text = xstrdup(buf_cstr(&text));
	if (c->n_faults > 0)
		command_set_deinit(out);
}

/* --- the end --- */

static void free_list(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

static void spec_deinit(struct command_spec *s)
{
	char *const texts[] = {s->file, s->name, s->service, s->method, s->summary, s->description, s->verb, s->path,
			       s->program, s->directory, s->user, s->group, s->content_type, s->queue};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		free(texts[i]);
	for (size_t i = 0; i < s->n_params; i++)
		command_param_deinit(&s->params[i]);
	for (size_t i = 0; i < s->n_env; i++) {
		free(s->env[i].name);
		command_template_deinit(&s->env[i].value);
	}
	for (size_t i = 0; i < s->n_results; i++) {
		free(s->results[i].name);
		free(s->results[i].arg);
		command_template_deinit(&s->results[i].file);
	}
	for (size_t i = 0; i < N_PROGRESS; i++) {
		free(s->progress[i].pattern);
		regex_free(s->progress[i].regex);
	}
	command_template_deinit(&s->argv);
	command_template_deinit(&s->result_file);
	free_list(s->keep_env);
	free_list(s->read);
	free_list(s->write);
	free(s->params);
	free(s->env);
	free(s->results);
	free(s->success);
	free(s->retryable);
}

void command_set_deinit(struct command_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		spec_deinit(&set->specs[i]);
	free(set->specs);
	free(set->text);
	*set = (struct command_set){0};
}
