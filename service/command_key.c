/* command_key.c: the keys of a section [command ...], in one table; parameters and results
 * have their own files. What a value must be is told where it stands. */
#define _GNU_SOURCE
#include "service/command_config.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/opt.h"
#include "schema/template.h"
#include "service/spawn.h"

#define DAYS(n) ((n) * 24 * 3600 * NS_PER_S)

/* Where a value goes. */
struct config {
	struct conf *conf;
	struct command_spec *spec;
};

struct key {
	const char *name;
	void (*take)(struct config *g, const struct conf_entry *e, const struct key *k);
	size_t offset;
	int64_t min, max;
};

#define FAULT(g, e, ...) conf_fault((g)->conf, e, (e)->value, __VA_ARGS__)
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
		conf_fault(g->conf, e, NULL, "%s is empty", e->key);
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

	while (word_next(g->conf, e, &p, &w)) {
		const char *why = wrong(w.text);

		if (why != NULL)
			conf_fault(g->conf, e, w.at, "%s %s", w.text, why);
		*to = xrealloc(*to, (n + 2) * sizeof(char *));
		(*to)[n++] = w.text;
		(*to)[n] = NULL;
	}
	if (n == 0)
		conf_fault(g->conf, e, NULL, "%s is empty", e->key);
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

/* A template's fault says itself at which character it is. */
static void fault_template(struct config *g, const struct conf_entry *e, const char *path, const char *why)
{
	size_t at = 1;
	int text = 0;

	if (sscanf(why, "at character %zu: %n", &at, &text) != 1 || text == 0 || at > strlen(path) + 1)
		at = 1;
	conf_fault(g->conf, e, path + at - 1, "%s", why + text);
}

static void take_route(struct config *g, const struct conf_entry *e, const struct key *k)
{
	static const char *const verbs[] = {"GET", "POST", "PUT", "PATCH", "DELETE", NULL};
	const char *path = e->value + strcspn(e->value, " \t");
	struct template *t = NULL;
	size_t len = (size_t)(path - e->value), i = 0;
	char why[200];

	while (verbs[i] != NULL && (strlen(verbs[i]) != len || memcmp(verbs[i], e->value, len) != 0))
		i++;
	path += strspn(path, " \t");
	if (verbs[i] == NULL)
		FAULT(g, e, "write the verb first: GET, POST, PUT, PATCH or DELETE");
	else if (*path != '/' || strpbrk(path, " \t\n") != NULL)
		conf_fault(g->conf, e, path, "write a path behind the verb: %s /path/{parameter}", verbs[i]);
	else if (template_parse(path, NULL, &t, why, sizeof why) < 0)
		fault_template(g, e, path, why);
	template_free(t);
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
		FAULT(g, e, "there is no parameter %.*s: declare it", (int)len - 2, e->value + 1);
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

static void take_exits(struct config *g, const struct conf_entry *e, const struct key *k)
{
	struct exit_range **to = FIELD(g, k, struct exit_range *);
	size_t *n = (size_t *)(void *)((char *)g->spec + (size_t)k->max);
	const char *p = e->value;
	struct word w;

	while (word_next(g->conf, e, &p, &w)) {
		char *end;
		long from = strtol(w.text, &end, 10), last = from;

		if (*end == '-' && isdigit((unsigned char)end[1]))
			last = strtol(end + 1, &end, 10);
		if (!isdigit((unsigned char)*w.text) || *end != '\0' || from > last || last > 255)
			conf_fault(g->conf, e, w.at, "%s is no exit status or range: write 0 2 10-19", w.text);
		*to = xrealloc(*to, (*n + 1) * sizeof **to);
		(*to)[(*n)++] = (struct exit_range){(int)from, (int)last};
		free(w.text);
	}
	if (*n == 0)
		conf_fault(g->conf, e, NULL, "%s is empty", e->key);
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
		conf_fault(g->conf, e, pattern, "pattern: %s", why);
		p->fd = 0;
		return;
	}
	n = regex_groups(p->regex);
	if (n != 1 && (n != 3 || k->min == 0))
		conf_fault(g->conf, e, pattern, k->min ? "the pattern needs one group ( ), or three for hours, minutes "
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

	if (!command_template_argv(g->conf, e, s, &s->argv))
		return;
	first = s->argv.n > 0 ? &s->argv.elements[0] : NULL;
	if (first == NULL || first->group != 0 || first->n_pieces != 1 || first->pieces[0].text == NULL ||
	    first->pieces[0].text[0] == '\0') {
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
	{"user", take_text, AT(user), 0, 0},
	{"group", take_text, AT(group), 0, 0},
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

/* --- which key --- */

static bool begins(const char *key, const char *prefix)
{
	return strncmp(key, prefix, strlen(prefix)) == 0;
}

static void read_env(struct config *g, const struct conf_entry *e)
{
	struct command_spec *s = g->spec;
	const char *name = e->key + strlen("env.");
	struct command_env *v;

	if (wrong_variable(name) != NULL || *name == '\0')
		conf_fault(g->conf, e, NULL, "%s is no variable's name", name);
	s->env = xrealloc(s->env, (s->n_env + 1) * sizeof *s->env);
	v = &s->env[s->n_env++];
	*v = (struct command_env){.name = xstrdup(name)};
	command_template_one(g->conf, e, e->value, strlen(e->value), s, &v->value);
}

static void unknown_key(struct config *g, const struct conf_entry *e)
{
	const char *names[ARRAY_LEN(keys) + 2];
	AUTO_FREE char *hint = NULL;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		names[i] = keys[i].name;
	names[ARRAY_LEN(keys)] = "result";
	names[ARRAY_LEN(keys) + 1] = NULL;
	hint = command_hint(e->key, strlen(e->key), names);
	conf_fault(g->conf, e, NULL, "unknown key %s%s", e->key, hint);
}

void command_key_read(struct conf *c, const struct conf_entry *e, struct command_spec *s)
{
	struct config config = {c, s}, *g = &config;

	if (begins(e->key, "param."))
		return;
	if (begins(e->key, "env.")) {
		read_env(g, e);
		return;
	}
	if (strcmp(e->key, "result") == 0 || begins(e->key, "result.")) {
		command_results_read(g->conf, e, g->spec);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcmp(keys[i].name, e->key) == 0) {
			keys[i].take(g, e, &keys[i]);
			return;
		}
	unknown_key(g, e);
}
