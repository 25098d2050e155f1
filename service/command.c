/* command.c: methods that are programs (docs/COMMANDS.md): from the input of a call to
 * errand_run, and from what that left to the answer. A thread of the call's, which waits
 * for the program; check() is on the loop. Specs are immutable and read by all. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "base/util.h"
#include "base/uuid.h"
#include "service/call.h"
#include "service/command_argv.h"
#include "service/command_dir.h"
#include "service/command_path.h"
#include "service/command_progress.h"
#include "service/command_result.h"
#include "service/command_spec.h"
#include "service/payload.h"

/* One attempt; on the stack. */
struct attempt {
	struct errand_call *call;
	const struct command_spec *spec;
	struct command_input in;
	struct command_targets targets;
	struct command_scope scope;
	struct command_watch watch;
	char *dir;           /* the temporary one; NULL */
	char **argv, **env, **write;
	struct buf json;     /* of stdin = json */
	struct bytes input;  /* stdin; data NULL: none */
};

/* The commands of one configuration: a method's runner_arg, so that a call and its input go by the configuration of
 * the schema they came with. All live until the end. */
struct table {
	struct command_set set;
	struct map by_name;
	struct table *older;
};

static struct table *newest;

static const struct command_spec *table_find(const struct table *t, const char *method)
{
	return map_get_str(&t->by_name, method);
}

/* --- before it runs --- */

static void refuse(struct attempt *a, const struct fault_list *faults)
{
	AUTO_BUF problem = BUF_INIT;
	char why[256];

	payload_problem(faults, &problem);
	payload_say(faults, why, sizeof why);
	call_fail_problem(a->call, ERRAND_INVALID_ARGUMENT, why, buf_bytes(&problem));
}

/* All that is wrong with the input at once; false: the call has been answered. */
static bool check_input(struct attempt *a)
{
	struct fault_list faults = FAULT_LIST_INIT;
	char unique[UUID_TEXT_SIZE];
	struct uuid id;
	int err = 0;

	uuid_new(&id);
	uuid_format(&id, unique);
	command_paths_check(&a->in, &faults);
	command_argv_free(command_argv_make(&a->scope, &faults));
	command_result_names_check(&a->in, &faults);
	if (faults.n == 0)
		err = command_paths_resolve(&a->in, *a->scope.task != '\0' ? a->scope.task : unique, &a->targets,
					    &faults);
	if (faults.n > 0)
		refuse(a, &faults);
	else if (err < 0)
		errand_fail(a->call, ERRAND_UNAVAILABLE, "a path could not be looked up: %s", strerror(-err));
	err = faults.n > 0 ? -ERRAND_INVALID_ARGUMENT : err;
	fault_list_deinit(&faults);
	return err == 0;
}

static bool make_dir(struct attempt *a)
{
	int err = a->spec->temporary ? command_dir_make(a->spec->user, a->spec->group, &a->dir) : 0;

	if (err < 0) {
		errand_fail(a->call, ERRAND_UNAVAILABLE, "no temporary directory could be made: %s", strerror(-err));
		return false;
	}
	if (a->dir != NULL)
		a->scope.dir = a->dir;
	return true;
}

static void env_put(char **env, size_t *np, const char *name, const char *value)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < *np; i++)
		if (strncmp(env[i], name, len) == 0 && env[i][len] == '=') {
			free(env[i]);
			env[i] = env[--*np];
		}
	env[(*np)++] = xasprintf("%s=%s", name, value);
	env[*np] = NULL;
}

/* The short list, what the configuration keeps of the service's, and what it sets. */
static char **make_env(const struct attempt *a)
{
	static const char *const always[][2] = {
		{"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"HOME", "/"}, {"LANG", "C.UTF-8"}, {"TMPDIR", "/tmp"},
	};
	size_t n = 0, n_keep = 0;
	char **env;

	while (a->spec->keep_env != NULL && a->spec->keep_env[n_keep] != NULL)
		n_keep++;
	env = xcalloc(ARRAY_LEN(always) + n_keep + a->spec->n_env + 1, sizeof *env);
	for (size_t i = 0; i < ARRAY_LEN(always); i++) {
		const char *value = getenv(always[i][0]);

		env_put(env, &n, always[i][0], value != NULL && *value != '\0' ? value : always[i][1]);
	}
	for (size_t i = 0; i < n_keep; i++)
		if (getenv(a->spec->keep_env[i]) != NULL)
			env_put(env, &n, a->spec->keep_env[i], getenv(a->spec->keep_env[i]));
	for (size_t i = 0; i < a->spec->n_env; i++) {
		AUTO_FREE char *value = command_template_text(&a->scope, &a->spec->env[i].value);

		if (value != NULL)
			env_put(env, &n, a->spec->env[i].name, value);
	}
	return env;
}

/* With rules for paths, its own directory is one it may write. */
static char **make_write(const struct attempt *a)
{
	size_t n = 0;
	char **list;

	if (a->dir == NULL || (a->spec->read == NULL && a->spec->write == NULL))
		return NULL;
	while (a->spec->write != NULL && a->spec->write[n] != NULL)
		n++;
	list = xcalloc(n + 2, sizeof *list);
	if (n > 0)
		memcpy(list, a->spec->write, n * sizeof *list);
	list[n] = a->dir;
	return list;
}

static struct bytes make_input(struct attempt *a)
{
	const struct command_text *t;

	switch (a->spec->stdin_from) {
	case STDIN_BODY:
		return a->in.body;
	case STDIN_JSON:
		command_input_json(&a->in, &a->json);
		return buf_bytes(&a->json);
	case STDIN_PARAM:
		t = a->in.values[a->spec->stdin_param].items;
		if (t != NULL)
			return (struct bytes){(const uint8_t *)t->data, t->len};
		break;
	case STDIN_NONE:
		break;
	}
	return (struct bytes){NULL, 0};
}

static bool prepare(struct attempt *a)
{
	if (!check_input(a) || !make_dir(a))
		return false;
	a->argv = command_argv_make(&a->scope, NULL);
	if (a->argv != NULL && a->spec->program != NULL) {
		free(a->argv[0]);
		a->argv[0] = xstrdup(a->spec->program);
	}
	a->env = make_env(a);
	a->write = make_write(a);
	a->input = make_input(a);
	return true;
}

/* --- it has ended --- */

static bool in_ranges(const struct exit_range *r, size_t n, int status)
{
	for (size_t i = 0; i < n; i++)
		if (status >= r[i].from && status <= r[i].to)
			return true;
	return false;
}

/* Before the answer: who has that finds nothing half. */
static void tidy(struct attempt *a)
{
	command_targets_deinit(&a->targets);
	if (a->dir != NULL)
		command_dir_remove(a->dir);
	free(a->dir);
	a->dir = NULL;
}

static void fail_output(struct attempt *a, const char *why)
{
	tidy(a);
	errand_final(a->call);
	errand_fail(a->call, ERRAND_INTERNAL, "%s", why);
}

static bool keep_targets(struct attempt *a)
{
	const char *which;
	int err = command_targets_keep(&a->targets, &which);
	AUTO_FREE char *name = err < 0 ? xstrdup(which) : NULL;

	tidy(a);
	if (err == -ENOENT || err == -ELOOP || err == -EINVAL) {
		errand_final(a->call);
		errand_fail(a->call, ERRAND_INTERNAL, "the program ended well, but did not write %s", name);
	} else if (err < 0) {
		errand_fail(a->call, ERRAND_UNAVAILABLE, "%s could not be kept: %s", name, strerror(-err));
	}
	return err == 0;
}

static void succeeded(struct attempt *a, const struct errand_exit *e)
{
	const struct command_output o = {
		.scope = &a->scope,
		.schema = registry_schema(),
		.message = call_method(a->call)->schema->output,
		.text = buf_bytes(&a->watch.output),
		.status = e->status,
	};
	AUTO_BUF out = BUF_INIT;
	char why[512];

	if (a->watch.too_much) {
		snprintf(why, sizeof why, "stdout has more than %lld bytes (max_output)",
			 (long long)a->spec->max_output);
		fail_output(a, why);
	} else if (command_result_make(&o, &out, why, sizeof why) < 0) {
		fail_output(a, why);
	} else if (keep_targets(a)) {
		call_answer_bytes(a->call, buf_bytes(&out));
	}
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void ended(struct attempt *a, const struct errand_exit *e)
{
	const struct command_spec *s = a->spec;

	if (e->signal == 0 && in_ranges(s->success, s->n_success, e->status)) {
		succeeded(a, e);
		return;
	}
	tidy(a);
	if (e->signal == 0 && s->n_retryable > 0 && !in_ranges(s->retryable, s->n_retryable, e->status))
		errand_final(a->call);
	errand_fail_exit(a->call, base_name(a->argv[0]), e);
}

static void not_started(struct attempt *a, int rc, int err)
{
	const char *program = base_name(a->argv[0]);

	tidy(a);
	if (rc == -ERRAND_NOT_FOUND) {
		errand_fail(a->call, ERRAND_UNAVAILABLE, "%s is not there", a->argv[0]);
	} else if (rc == -ERRAND_FAILED_PRECONDITION) {
		errand_fail(a->call, ERRAND_UNAVAILABLE,
			    "%s cannot have the limits, the user or the rules its configuration asks for here "
			    "(the service's log says which)", program);
	} else if (err == E2BIG) {
		errand_final(a->call);
		errand_fail(a->call, ERRAND_INVALID_ARGUMENT, "the arguments of %s are too long together", program);
	} else {
		errand_fail(a->call, ERRAND_UNAVAILABLE, "%s could not be started: %s", program, strerror(err));
	}
}

static void run_program(struct attempt *a)
{
	const struct command_spec *s = a->spec;
	struct errand_command c = {
		.argv = (const char *const *)a->argv,
		.env = (const char *const *)a->env,
		.dir = a->scope.dir,
		.input = a->input.data,
		.input_len = a->input.len,
		.limits = &s->limits,
		.read = (const char *const *)s->read,
		.write = (const char *const *)(a->write != NULL ? a->write : s->write),
		.user = s->user,
		.group = s->group,
		.umask = s->umask,
	};
	struct errand_exit e;
	int rc;

	command_watch_attach(&a->watch, &c);
	rc = errand_run(a->call, &c, &e);
	if (rc == 0) {
		command_watch_end(&a->watch);
		ended(a, &e);
	} else if (rc == -ERRAND_CANCELLED || rc == -ERRAND_DEADLINE_EXCEEDED) {
		tidy(a);
		errand_fail_exit(a->call, base_name(a->argv[0]), &e);
	} else {
		not_started(a, rc, errno);
	}
}

static void attempt_free(struct attempt *a)
{
	tidy(a);
	command_argv_free(a->argv);
	command_argv_free(a->env);
	free(a->write);
	buf_deinit(&a->json);
	command_watch_deinit(&a->watch);
	command_input_deinit(&a->in);
}

/* --- the runner --- */

static void command_run(struct errand_call *call, struct bytes input, void *arg)
{
	const struct schema_method *m = call_method(call)->schema;
	struct attempt a = {.call = call, .spec = table_find(arg, m->full_name)};
	const char *task = errand_task_id(call);

	command_input_read(&a.in, a.spec, m->input, input);
	a.scope = (struct command_scope){
		.in = &a.in,
		.task = task != NULL ? task : "",
		.attempt = errand_attempt(call),
		.method = m->full_name,
		.dir = a.spec->directory != NULL ? a.spec->directory : "/",
	};
	command_watch_init(&a.watch, a.spec, registry_schema(), call);
	if (prepare(&a))
		run_program(&a);
	attempt_free(&a);
}

/* What the text alone shows. */
static void command_check(const struct method *method, struct bytes input, struct fault_list *faults)
{
	const struct command_spec *spec = table_find(method->runner_arg, method->schema->full_name);
	struct command_input in;
	struct command_scope scope = {.in = &in, .task = "", .method = "", .dir = "/"};

	command_input_read(&in, spec, method->schema->input, input);
	command_paths_check(&in, faults);
	command_argv_free(command_argv_make(&scope, faults));
	command_result_names_check(&in, faults);
	command_input_deinit(&in);
}

#define SOURCE "configuration"
static const struct runner runner = {.name = "command", .run = command_run, .check = command_check};

/* Takes the set. */
static struct table *table_new(struct command_set *set)
{
	struct table *t = xcalloc(1, sizeof *t);

	t->set = *set;
	*set = (struct command_set){0};
	for (size_t i = 0; i < t->set.n; i++)
		map_put_str(&t->by_name, t->set.specs[i].name, &t->set.specs[i]);
	return t;
}

static struct table *table_free(struct table *t)
{
	map_deinit(&t->by_name);
	command_set_deinit(&t->set);
	free(t);
	return NULL;
}

/* Their methods become the registry's by `give`. */
static int table_give(struct table *t, int (*give)(const struct method_source *, char *, size_t), char *why,
		      size_t why_size)
{
	AUTO_BUF descriptors = BUF_INIT;
	char **services;
	struct method_source source = {.name = SOURCE, .runner = &runner, .arg = t};
	int err;

	command_schema_make(&t->set, &descriptors, &services);
	source.services = (const char *const *)services;
	source.descriptor_set = buf_bytes(&descriptors);
	err = give(&source, why, why_size);
	command_argv_free(services);
	return err;
}

int command_init(struct command_set *set, char *why, size_t why_size)
{
	newest = table_new(set);
	return newest->set.n > 0 ? table_give(newest, registry_add_source, why, why_size) : 0;
}

static bool has_temporary(const struct command_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->specs[i].temporary)
			return true;
	return false;
}

static bool is_same(const struct command_set *a, const struct command_set *b)
{
	return a->n == b->n && (a->n == 0 || strcmp(a->text, b->text) == 0);
}

int command_reload(struct command_set *set, char *why, size_t why_size)
{
	struct table *t;
	int err = 0;

	if (is_same(set, &newest->set))
		return 0;
	if (has_temporary(set) && !has_temporary(&newest->set) && command_dir_init(why, why_size) < 0)
		return -ERRAND_FAILED_PRECONDITION;
	t = table_new(set);
	t->older = newest;
	newest = t; /* for command_mentioned */
	if (t->set.n > 0)
		err = table_give(t, registry_set_source, why, why_size);
	else
		registry_remove_source(SOURCE);
	if (err == 0) {
		log_info("programs changed", "methods=%zu", t->set.n);
		return 0;
	}
	newest = t->older;
	table_free(t);
	return err;
}

static bool names(const char *text, const char *name)
{
	for (const char *p = strstr(text, name); p != NULL; p = strstr(p + 1, name)) {
		unsigned char next = (unsigned char)p[strlen(name)];

		if (!isalnum(next) && next != '_')
			return true;
	}
	return false;
}

const struct command_spec *command_mentioned(const char *text)
{
	const struct command_set *set = newest != NULL ? &newest->set : NULL;

	for (size_t i = 0; set != NULL && i < set->n; i++)
		if (names(text, set->specs[i].name))
			return &set->specs[i];
	for (size_t i = 0; set != NULL && i < set->n; i++)
		if (names(text, set->specs[i].service))
			return &set->specs[i];
	return NULL;
}

int command_start(char *why, size_t why_size)
{
	return newest != NULL && has_temporary(&newest->set) ? command_dir_init(why, why_size) : 0;
}

void command_stop(void)
{
	command_dir_deinit();
}

void command_deinit(void)
{
	while (newest != NULL) {
		struct table *t = newest;

		newest = t->older;
		table_free(t);
	}
}
