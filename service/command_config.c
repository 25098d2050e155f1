/* command_config.c: sections [command PACKAGE.Service/Method] as struct command_spec: a
 * table of keys, and what is wrong with them together. Every fault is told with its place;
 * a command with one is left out, and so is never run half. */
#define _GNU_SOURCE
#include "service/command_config.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/opt.h"
#include "service/spawn.h"

#define DAYS(n) ((n) * 24 * 3600 * NS_PER_S)

struct config {
	struct conf conf;
	struct command_set *set;
	struct command_spec *spec; /* being read */
};

struct key {
	const char *name;
	void (*take)(struct config *g, const struct conf_entry *e, const struct key *k);
	size_t offset;
	int64_t min, max;
};

#define FAULT(g, e, ...) conf_fault(&(g)->conf, e, (e)->value, __VA_ARGS__)
#define FIELD(g, k, type) ((type *)(void *)((char *)(g)->spec + (k)->offset))

/* --- kinds of values --- */

static void take_text(struct config *g, const struct conf_entry *e, const struct key *k)
{
	char *text = xstrdup(e->value);

	for (char *p = text; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	*FIELD(g, k, char *) = text;
	if (*text == '\0')
		conf_fault(&g->conf, e, NULL, "%s is empty", e->key);
}

static void take_time(struct config *g, const struct conf_entry *e, const struct key *k)
{
	int64_t *to = FIELD(g, k, int64_t);

	if (!opt_time(e->value, to))
		FAULT(g, e, "%s is no time: write 500ms, 30s, 10m, 2h or 7d", e->value);
	else if (*to < k->min || *to > k->max)
		FAULT(g, e, "%s is out of range", e->value);
}

static void take_size(struct config *g, const struct conf_entry *e, const struct key *k)
{
	int64_t *to = FIELD(g, k, int64_t);

	if (!opt_size(e->value, to))
		FAULT(g, e, "%s is no size: write 65536, 64K, 512M or 2G", e->value);
	else if (*to < k->min || *to > k->max)
		FAULT(g, e, "%s is out of range: from %lld to %lld bytes", e->value, (long long)k->min,
		      (long long)k->max);
}

static bool read_int(struct config *g, const struct conf_entry *e, const struct key *k, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(e->value, &end, 10);
	if (errno == 0 && end != e->value && *end == '\0' && *out >= k->min && *out <= k->max)
		return true;
	FAULT(g, e, "%s is no number from %lld to %lld", e->value, (long long)k->min, (long long)k->max);
	return false;
}

static void take_uint(struct config *g, const struct conf_entry *e, const struct key *k)
{
	int64_t n;

	if (read_int(g, e, k, &n))
		*FIELD(g, k, uint32_t) = (uint32_t)n;
}

static void take_int(struct config *g, const struct conf_entry *e, const struct key *k)
{
	int64_t n;

	if (read_int(g, e, k, &n))
		*FIELD(g, k, int32_t) = (int32_t)n;
}

/* In thousandths of min and max. */
static void take_float(struct config *g, const struct conf_entry *e, const struct key *k)
{
	double *to = FIELD(g, k, double);
	char *end;

	*to = strtod(e->value, &end);
	if (end == e->value || *end != '\0' || !(*to * 1000 >= (double)k->min && *to * 1000 <= (double)k->max))
		FAULT(g, e, "%s is no number from %g to %g", e->value, (double)k->min / 1000, (double)k->max / 1000);
}

static void take_yes(struct config *g, const struct conf_entry *e, const struct key *k)
{
	if (strcmp(e->value, "yes") != 0 && strcmp(e->value, "no") != 0)
		FAULT(g, e, "write yes or no");
	*FIELD(g, k, bool) = strcmp(e->value, "yes") == 0;
}

/* Words separated by blanks, NULL-terminated; checked by each. */
static void take_words(struct config *g, const struct conf_entry *e, const struct key *k,
		       const char *(*wrong)(const char *))
{
	char ***to = FIELD(g, k, char **);
	const char *p = e->value;
	struct word w;
	size_t n = 0;

	while (word_next(&g->conf, e, &p, &w)) {
		const char *why = wrong(w.text);

		if (why != NULL)
			conf_fault(&g->conf, e, w.at, "%s %s", w.text, why);
		*to = xrealloc(*to, (n + 2) * sizeof(char *));
		(*to)[n++] = w.text;
		(*to)[n] = NULL;
	}
	if (n == 0)
		conf_fault(&g->conf, e, NULL, "%s is empty", e->key);
}

static const char *wrong_variable(const char *name)
{
	return isdigit((unsigned char)*name) ||
	       name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] != '\0' ?
	       "is no variable's name" : NULL;
}

static void take_names(struct config *g, const struct conf_entry *e, const struct key *k)
{
	take_words(g, e, k, wrong_variable);
}

static const char *wrong_path(const char *path)
{
	return *path != '/' ? "is no absolute path" : access(path, F_OK) < 0 ? "does not exist" : NULL;
}

static void take_paths(struct config *g, const struct conf_entry *e, const struct key *k)
{
	take_words(g, e, k, wrong_path);
}

/* --- keys with an own form --- */

static void take_route(struct config *g, const struct conf_entry *e, const struct key *k)
{
	static const char *const verbs[] = {"GET", "POST", "PUT", "PATCH", "DELETE", NULL};
	const char *path = e->value + strcspn(e->value, " \t");
	size_t len = (size_t)(path - e->value), i = 0;

	while (verbs[i] != NULL && (strlen(verbs[i]) != len || memcmp(verbs[i], e->value, len) != 0))
		i++;
	path += strspn(path, " \t");
	if (verbs[i] == NULL)
		FAULT(g, e, "write the verb first: GET, POST, PUT, PATCH or DELETE");
	else if (*path != '/' || strpbrk(path, " \t\n") != NULL)
		conf_fault(&g->conf, e, path, "write a path behind the verb: %s /path/{parameter}", verbs[i]);
	g->spec->verb = verbs[i] ? xstrdup(verbs[i]) : NULL;
	g->spec->path = xstrdup(path);
}

static void take_run(struct config *g, const struct conf_entry *e, const struct key *k)
{
	g->spec->sync = strcmp(e->value, "sync") == 0;
	if (!g->spec->sync && strcmp(e->value, "task") != 0)
		FAULT(g, e, "write task or sync");
}

static void take_isolation(struct config *g, const struct conf_entry *e, const struct key *k)
{
	g->spec->limits.whole_tree = strcmp(e->value, "cgroup") == 0;
	if (!g->spec->limits.whole_tree && strcmp(e->value, "any") != 0)
		FAULT(g, e, "write any or cgroup");
}

static void take_stdin(struct config *g, const struct conf_entry *e, const struct key *k)
{
	struct command_spec *s = g->spec;
	size_t len = strlen(e->value);

	if (strcmp(e->value, "body") == 0) {
		s->stdin_from = STDIN_BODY;
		return;
	}
	if (strcmp(e->value, "json") == 0) {
		s->stdin_from = STDIN_JSON;
		return;
	}
	if (len < 3 || e->value[0] != '{' || e->value[len - 1] != '}') {
		FAULT(g, e, "write {PARAMETER}, body or json");
		return;
	}
	s->stdin_from = STDIN_PARAM;
	s->stdin_param = command_param_find(s, e->value + 1, len - 2);
	if (s->stdin_param < 0)
		FAULT(g, e, "there is no parameter %.*s", (int)len - 2, e->value + 1);
	else if ((s->params[s->stdin_param].type != PARAM_STRING && s->params[s->stdin_param].type != PARAM_BYTES) ||
		 s->params[s->stdin_param].repeated)
		FAULT(g, e, "stdin is one string or bytes");
}

static void take_directory(struct config *g, const struct conf_entry *e, const struct key *k)
{
	struct stat st;

	if (strcmp(e->value, "temporary") == 0)
		g->spec->temporary = true;
	else if (*e->value != '/')
		FAULT(g, e, "write an absolute path, or temporary");
	else if (stat(e->value, &st) < 0 || !S_ISDIR(st.st_mode))
		FAULT(g, e, "%s is no directory", e->value);
	else
		g->spec->directory = xstrdup(e->value);
}

static void take_umask(struct config *g, const struct conf_entry *e, const struct key *k)
{
	char *end;
	long mask = strtol(e->value, &end, 8);

	if (end == e->value || *end != '\0' || mask < 0 || mask > 0777)
		FAULT(g, e, "%s is no umask: write octal, 022", e->value);
	g->spec->umask = mask == 0 ? -1 : (int)mask;
}

static bool is_id(const char *text)
{
	return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static void take_user(struct config *g, const struct conf_entry *e, const struct key *k)
{
	bool user = strcmp(e->key, "user") == 0;

	*FIELD(g, k, char *) = xstrdup(e->value);
	if (!is_id(e->value) && (user ? getpwnam(e->value) == NULL : getgrnam(e->value) == NULL))
		FAULT(g, e, "there is no %s %s", e->key, e->value);
	else if (geteuid() != 0)
		FAULT(g, e, "only a service that runs as root can switch to another %s", e->key);
}

static void take_exits(struct config *g, const struct conf_entry *e, const struct key *k)
{
	struct exit_range **to = FIELD(g, k, struct exit_range *);
	size_t *n = (size_t *)(void *)((char *)g->spec + (size_t)k->max);
	const char *p = e->value;
	struct word w;

	while (word_next(&g->conf, e, &p, &w)) {
		char *end;
		long from = strtol(w.text, &end, 10), last = from;

		if (*end == '-')
			last = strtol(end + 1, &end, 10);
		if (!isdigit((unsigned char)*w.text) || *end != '\0' || from > last || last > 255)
			conf_fault(&g->conf, e, w.at, "%s is no exit status or range: write 0 2 10-19", w.text);
		*to = xrealloc(*to, (*n + 1) * sizeof **to);
		(*to)[(*n)++] = (struct exit_range){(int)from, (int)last};
		free(w.text);
	}
	if (*n == 0)
		conf_fault(&g->conf, e, NULL, "%s is empty", e->key);
}

static void take_progress(struct config *g, const struct conf_entry *e, const struct key *k)
{
	struct command_progress *p = FIELD(g, k, struct command_progress);
	const char *pattern = e->value + strcspn(e->value, " \t");
	size_t len = (size_t)(pattern - e->value);
	unsigned n;
	char why[200];

	pattern += strspn(pattern, " \t");
	p->fd = len == 6 && memcmp(e->value, "stdout", 6) == 0 ? 1 : len == 6 && memcmp(e->value, "stderr", 6) == 0 ? 2 : 0;
	if (p->fd == 0 || *pattern == '\0') {
		FAULT(g, e, "write stdout or stderr, and a pattern: %s = stderr (\\d+)%%", e->key);
		p->fd = 0;
		return;
	}
	p->pattern = xstrdup(pattern);
	if (regex_new(NULL, (struct bytes){(const uint8_t *)pattern, strlen(pattern)}, &p->regex, why, sizeof why) < 0) {
		conf_fault(&g->conf, e, pattern, "pattern: %s", why);
		p->fd = 0;
		return;
	}
	n = regex_groups(p->regex);
	if (n != 1 && (n != 3 || k->min == 0))
		conf_fault(&g->conf, e, pattern, k->min ? "the pattern needs one group ( ), or three for hours, minutes "
			   "and seconds" : "the pattern needs one group ( )");
}

static void take_queue(struct config *g, const struct conf_entry *e, const struct key *k)
{
	take_text(g, e, k);
	if (!isalnum((unsigned char)*e->value) || strlen(e->value) > 100 ||
	    e->value[strspn(e->value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] != '\0')
		FAULT(g, e, "a queue's name has letters, digits, '.', '_' and '-', at most 100");
}

static void take_command(struct config *g, const struct conf_entry *e, const struct key *k)
{
	struct command_spec *s = g->spec;
	const struct command_element *first;
	int r;

	if (!command_template_argv(&g->conf, e, s, &s->argv))
		return;
	first = s->argv.n > 0 ? &s->argv.elements[0] : NULL;
	if (first == NULL || first->group != 0 || first->n_pieces != 1 || first->pieces[0].text == NULL) {
		FAULT(g, e, "write the program first, as it is: no parameter chooses it");
		return;
	}
	r = spawn_find(first->pieces[0].text, &s->program);
	if (r == 0 && (*s->program != '/' || access(s->program, X_OK) < 0)) {
		r = *s->program != '/' ? -EINVAL : -errno;
		free(s->program);
		s->program = NULL;
	}
	if (r == -EINVAL)
		FAULT(g, e, "%s: write its whole path, or its name alone", first->pieces[0].text);
	else if (r < 0)
		FAULT(g, e, "%s: %s", first->pieces[0].text, r == -ENOENT ? "there is no such program" : strerror(-r));
}

#define AT(member) offsetof(struct command_spec, member)

/* Sorted for nobody but readers; the parameters were read before. */
static const struct key keys[] = {
	{"summary", take_text, AT(summary), 0, 0},
	{"description", take_text, AT(description), 0, 0},
	{"route", take_route, 0, 0, 0},
	{"run", take_run, 0, 0, 0},
	{"command", take_command, 0, 0, 0},
	{"stdin", take_stdin, 0, 0, 0},
	{"keep_env", take_names, AT(keep_env), 0, 0},
	{"directory", take_directory, 0, 0, 0},
	{"umask", take_umask, 0, 0, 0},
	{"user", take_user, AT(user), 0, 0},
	{"group", take_user, AT(group), 0, 0},
	{"max_output", take_size, AT(max_output), 1, 4 << 20},
	{"success", take_exits, AT(success), 0, AT(n_success)},
	{"retryable", take_exits, AT(retryable), 0, AT(n_retryable)},
	{"progress.fd3", take_yes, AT(progress_fd3), 0, 0},
	{"progress.percent", take_progress, AT(progress[PROGRESS_PERCENT]), 0, 0},
	{"progress.done", take_progress, AT(progress[PROGRESS_DONE]), 1, 0},
	{"progress.total", take_progress, AT(progress[PROGRESS_TOTAL]), 1, 0},
	{"progress.message", take_progress, AT(progress[PROGRESS_MESSAGE]), 0, 0},
	{"queue", take_queue, AT(queue), 0, 0},
	{"slots", take_uint, AT(slots), 1, 10000},
	{"priority", take_int, AT(priority), -1000000000, 1000000000},
	{"timeout", take_time, AT(timeout_ns), NS_PER_MS, DAYS(3650)},
	{"start_deadline", take_time, AT(start_deadline_ns), NS_PER_MS, DAYS(3650)},
	{"total_timeout", take_time, AT(total_timeout_ns), NS_PER_MS, DAYS(3650)},
	{"progress_timeout", take_time, AT(progress_timeout_ns), NS_PER_MS, DAYS(3650)},
	{"cancel_grace", take_time, AT(cancel_grace_ns), NS_PER_MS, DAYS(1)},
	{"result_ttl", take_time, AT(result_ttl_ns), NS_PER_S, DAYS(3650)},
	{"max_result", take_size, AT(max_result), 1, 4 << 20},
	{"retry.max_attempts", take_uint, AT(retry.max_attempts), 1, 1000},
	{"retry.base", take_time, AT(retry.base_ns), NS_PER_MS, DAYS(365)},
	{"retry.cap", take_time, AT(retry.cap_ns), NS_PER_MS, DAYS(365)},
	{"retry.factor", take_float, AT(retry.factor), 1000, 100000},
	{"memory", take_size, AT(limits.memory), 1 << 20, INT64_MAX},
	{"cpus", take_float, AT(limits.cpus), 10, 1024000},
	{"cpu_time", take_time, AT(limits.cpu_time_ns), NS_PER_S, DAYS(3650)},
	{"processes", take_uint, AT(limits.processes), 1, 4194304},
	{"io_weight", take_uint, AT(limits.io_weight), 1, 10000},
	{"open_files", take_uint, AT(limits.open_files), 8, 1048576},
	{"file_size", take_size, AT(limits.file_size), 1, INT64_MAX},
	{"isolation", take_isolation, 0, 0, 0},
	{"read", take_paths, AT(read), 0, 0},
	{"write", take_paths, AT(write), 0, 0},
};

/* --- sections --- */

static bool begins(const char *key, const char *prefix)
{
	return strncmp(key, prefix, strlen(prefix)) == 0;
}

static void read_params(struct config *g, const struct conf_section *section)
{
	struct command_spec *s = g->spec;

	for (size_t i = 0; i < section->n_entries; i++) {
		const struct conf_entry *e = section->entries[i];

		if (!begins(e->key, "param."))
			continue;
		s->params = xrealloc(s->params, (s->n_params + 1) * sizeof *s->params);
		command_param_read(&g->conf, e, e->key + strlen("param."), &s->params[s->n_params++]);
	}
}

/* {a} and {a=...} of a path name parameters. */
static void mark_route(struct config *g, const struct conf_section *section)
{
	struct command_spec *s = g->spec;

	for (size_t i = 0; i < section->n_entries; i++) {
		const struct conf_entry *e = section->entries[i];

		if (strcmp(e->key, "route") != 0)
			continue;
		for (const char *p = strchr(e->value, '{'); p != NULL; p = strchr(p + 1, '{')) {
			size_t len = strcspn(p + 1, "=}");
			int param = command_param_find(s, p + 1, len);

			if (param < 0)
				conf_fault(&g->conf, e, p, "there is no parameter %.*s", (int)len, p + 1);
			else if (s->params[param].repeated || s->params[param].type == PARAM_BYTES)
				conf_fault(&g->conf, e, p, "%s has no place in a path", s->params[param].name);
			else
				s->params[param].in_route = true;
		}
	}
}

static void read_env(struct config *g, const struct conf_entry *e)
{
	struct command_spec *s = g->spec;
	const char *name = e->key + strlen("env.");
	struct command_env *v;

	if (wrong_variable(name) != NULL || *name == '\0')
		conf_fault(&g->conf, e, NULL, "%s is no variable's name", name);
	s->env = xrealloc(s->env, (s->n_env + 1) * sizeof *s->env);
	v = &s->env[s->n_env++];
	*v = (struct command_env){.name = xstrdup(name)};
	command_template_one(&g->conf, e, e->value, strlen(e->value), s, &v->value);
}

static void unknown_key(struct config *g, const struct conf_entry *e)
{
	const char *names[ARRAY_LEN(keys) + 2], *meant;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		names[i] = keys[i].name;
	names[ARRAY_LEN(keys)] = "result";
	names[ARRAY_LEN(keys) + 1] = NULL;
	meant = conf_meant(e->key, strlen(e->key), names);
	conf_fault(&g->conf, e, NULL, "unknown key %s%s%s%s", e->key, meant ? " (did you mean " : "",
		   meant ? meant : "", meant ? "?)" : "");
}

static void read_key(struct config *g, const struct conf_entry *e)
{
	if (begins(e->key, "param."))
		return;
	if (begins(e->key, "env.")) {
		read_env(g, e);
		return;
	}
	if (strcmp(e->key, "result") == 0 || begins(e->key, "result.")) {
		command_results_read(&g->conf, e, g->spec);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].name, e->key) == 0) {
			keys[i].take(g, e, &keys[i]);
			return;
		}
	unknown_key(g, e);
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
		conf_fault_section(&g->conf, section, "write [command PACKAGE.Service/Method], all of them words of "
				   "letters, digits and '_'");
		return false;
	}
	if (begins(name, "errand.v1.")) {
		conf_fault_section(&g->conf, section, "errand.v1 is errand's own package");
		return false;
	}
	for (size_t i = 0; i + 1 < g->set->n; i++)
		if (g->set->specs[i].name != NULL && strcmp(g->set->specs[i].name, name) == 0)
			conf_fault_section(&g->conf, section, "%s is declared in %s:%d already", name,
					   g->set->specs[i].file, g->set->specs[i].line);
	slash = strchr(name, '/');
	s->name = xstrdup(name);
	s->service = strndup(name, (size_t)(slash - name));
	s->method = xstrdup(slash + 1);
	return true;
}

/* --- what is wrong together --- */

static bool has_key(const struct conf_section *section, const char *key)
{
	for (size_t i = 0; i < section->n_entries; i++)
		if (strcmp(section->entries[i]->key, key) == 0)
			return true;
	return false;
}

static void check(struct config *g, const struct conf_section *section)
{
	struct command_spec *s = g->spec;
	struct conf *c = &g->conf;
	bool body = s->verb != NULL && strcmp(s->verb, "GET") != 0 && strcmp(s->verb, "DELETE") != 0;

	if (!has_key(section, "command"))
		conf_fault_section(c, section, "a command needs its key command = PROGRAM ...");
	if (s->n_results > 0 && has_key(section, "result"))
		conf_fault_section(c, section, "result and result.NAME do not go together");
	if (s->stdin_from == STDIN_BODY && !body)
		conf_fault_section(c, section, "stdin = body needs a route with POST, PUT or PATCH");
	if (s->slots > 0 && s->queue == NULL)
		conf_fault_section(c, section, "slots is of a queue: name it with queue = NAME");
	if (s->sync && (s->queue != NULL || s->slots > 0))
		conf_fault_section(c, section, "a sync method has no queue");
	if ((s->progress[PROGRESS_DONE].fd != 0) != (s->progress[PROGRESS_TOTAL].fd != 0))
		conf_fault_section(c, section, "progress.done and progress.total go together");
	if (s->progress[PROGRESS_DONE].fd != 0 && s->progress[PROGRESS_PERCENT].fd != 0)
		conf_fault_section(c, section, "write progress.percent, or progress.done and progress.total");
}

/* Its slots are the queue's. */
static void check_slots(struct config *g, const struct conf_section *section)
{
	const struct command_spec *s = g->spec;

	for (size_t i = 0; i + 1 < g->set->n; i++) {
		const struct command_spec *o = &g->set->specs[i];

		if (s->slots > 0 && o->slots > 0 && s->queue != NULL && o->queue != NULL && s->slots != o->slots &&
		    strcmp(s->queue, o->queue) == 0)
			conf_fault_section(&g->conf, section, "queue %s has %u slots by %s:%d and %u by this", s->queue,
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
	for (size_t i = 0; i < s->n_params; i++) {
		struct command_param *p = &s->params[i];

		p->required = p->required || p->in_route;
		if ((p->type == PARAM_STRING || p->type == PARAM_PATH) && p->max_len < 0)
			p->max_len = 64 << 10;
	}
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
		read_key(g, section->entries[i]);
	check(g, section);
	check_slots(g, section);
	set_defaults(g->spec);
}

int command_config_read(const char *const *files, struct command_set *out)
{
	struct config g = {.set = out};
	size_t n_faults;

	*out = (struct command_set){0};
	for (; *files != NULL; files++)
		conf_read(&g.conf, *files);
	for (size_t i = 0; i < g.conf.n_sections; i++) {
		const struct conf_section *s = g.conf.sections[i];

		if (begins(s->name, "command") && (s->name[7] == ' ' || s->name[7] == '\t' || s->name[7] == '\0'))
			read_command(&g, s);
		else
			conf_fault_section(&g.conf, s, "unknown section [%s]: write [command PACKAGE.Service/Method]",
					   s->name);
	}
	n_faults = conf_report(&g.conf, stderr);
	conf_deinit(&g.conf);
	if (n_faults > 0)
		command_set_deinit(out);
	return (int)n_faults;
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
	*set = (struct command_set){0};
}
