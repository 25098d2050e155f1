/* test_command_config.c: configurations of programs as methods. Golden pairs of
 * tests/golden/commands: NAME.conf is read, NAME.txt has all its faults, or else what was made
 * of it and the schema of that. Then what no file of a repository can hold. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/conf.h"
#include "base/util.h"
#include "errand_v1.schema.h"
#include "schema/rules.h"
#include "schema/schema.h"
#include "service/command_config.h"
#include "service/landlock.h"

static char here[4096]; /* GOLDEN_DIR without links */
static char start[4096]; /* the directory we began in */

/* --- what was read, as text --- */

static void put_text(FILE *f, const char *name, const char *text)
{
	if (text != NULL)
		fprintf(f, "  %s %s\n", name, text);
}

static void put_list(FILE *f, const char *name, char *const *list)
{
	if (list == NULL)
		return;
	fprintf(f, "  %s", name);
	for (; *list != NULL; list++)
		fprintf(f, " <%s>", *list);
	fputc('\n', f);
}

static void put_number(FILE *f, const char *name, int64_t n, int64_t none)
{
	if (n != none)
		fprintf(f, "  %s %lld\n", name, (long long)n);
}

static void put_piece(FILE *f, const struct command_spec *s, const struct command_piece *p)
{
	static const char *const variables[] = {"", "@task", "@attempt", "@method", "@dir"};

	if (p->text != NULL)
		fputs(p->text, f);
	else if (p->param >= 0)
		fprintf(f, "{%s%s%s}", s->params[p->param].name, p->each ? "..." : "", p->test ? "?" : "");
	else
		fprintf(f, "{%s}", variables[p->variable]);
}

static void put_template(FILE *f, const struct command_spec *s, const struct command_template *t)
{
	for (size_t i = 0; i < t->n; i++) {
		fputs(" <", f);
		for (size_t k = 0; k < t->elements[i].n_pieces; k++)
			put_piece(f, s, &t->elements[i].pieces[k]);
		fputc('>', f);
		if (t->elements[i].group != 0)
			fprintf(f, "%u", t->elements[i].group);
	}
	fputc('\n', f);
}

static void put_param(FILE *f, const struct command_param *p)
{
	static const char *const musts[] = {"any", "file", "dir", "new"};

	fprintf(f, "  param %s %s%s%s%s%s%s", p->name, command_type_names[p->type], p->required ? " required" : "",
		p->repeated ? " repeated" : "", p->in_route ? " in_route" : "", p->dash_ok ? " dash" : "",
		p->atomic ? " atomic" : "");
	if (p->type == PARAM_PATH)
		fprintf(f, " must=%s", musts[p->must]);
	if (p->fallback != NULL)
		fprintf(f, " default=<%s>", p->fallback);
	fputc('\n', f);
	put_list(f, "  in", p->dirs);
	put_list(f, "  in as given", p->dirs_given);
	put_list(f, "  enum", p->choices);
	put_text(f, "  pattern", p->pattern);
	put_text(f, "  help", p->help);
	put_text(f, "  min", p->min);
	put_text(f, "  max", p->max);
	put_number(f, "  min_len", p->min_len, -1);
	put_number(f, "  max_len", p->max_len, -1);
	put_number(f, "  max_items", p->max_items, -1);
}

static void put_result(FILE *f, const struct command_spec *s, const struct command_result *r)
{
	static const char *const sources[] = {"stdout", "stdout_json", "exit", "file", "const"};

	fprintf(f, "  result.%s %s %s", r->name, command_type_names[r->type], sources[r->source]);
	if (r->arg != NULL)
		fprintf(f, "=<%s>", r->arg);
	put_template(f, s, &r->file);
}

static void put_exits(FILE *f, const char *name, const struct exit_range *e, size_t n)
{
	fprintf(f, "  %s", name);
	for (size_t i = 0; i < n; i++)
		fprintf(f, " %d-%d", e[i].from, e[i].to);
	fputc('\n', f);
}

static void put_method(FILE *f, const struct command_spec *s)
{
	put_text(f, "queue", s->queue);
	put_number(f, "slots", s->slots, 0);
	put_number(f, "priority", s->priority, 0);
	put_number(f, "timeout", s->timeout_ns, 0);
	put_number(f, "start_deadline", s->start_deadline_ns, 0);
	put_number(f, "total_timeout", s->total_timeout_ns, 0);
	put_number(f, "progress_timeout", s->progress_timeout_ns, 0);
	put_number(f, "cancel_grace", s->cancel_grace_ns, 0);
	put_number(f, "result_ttl", s->result_ttl_ns, 0);
	put_number(f, "max_result", s->max_result, 0);
	put_number(f, "retry.max_attempts", s->retry.max_attempts, 0);
	put_number(f, "retry.base", s->retry.base_ns, 0);
	put_number(f, "retry.cap", s->retry.cap_ns, 0);
	if (s->retry.factor != 0)
		fprintf(f, "  retry.factor %g\n", s->retry.factor);
}

static void put_limits(FILE *f, const struct errand_limits *l)
{
	put_number(f, "memory", (int64_t)l->memory, 0);
	if (l->cpus != 0)
		fprintf(f, "  cpus %g\n", l->cpus);
	put_number(f, "cpu_time", l->cpu_time_ns, 0);
	put_number(f, "processes", l->processes, 0);
	put_number(f, "io_weight", l->io_weight, 0);
	put_number(f, "open_files", l->open_files, 0);
	put_number(f, "file_size", (int64_t)l->file_size, 0);
	put_number(f, "whole_tree", l->whole_tree, 0);
}

static void put_how(FILE *f, const struct command_spec *s)
{
	static const char *const stdins[] = {"none", "param", "body", "json"};
	static const char *const progress[] = {"percent", "done", "total", "message"};

	/* what PATH finds is elsewhere on each machine */
	if (strchr(s->argv.elements[0].pieces[0].text, '/') == NULL)
		assert_true(*s->program == '/' && access(s->program, X_OK) == 0);
	else
		fprintf(f, "  program %s\n", s->program);
	fputs("  argv", f);
	put_template(f, s, &s->argv);
	fprintf(f, "  stdin %s %s\n", stdins[s->stdin_from], s->stdin_param >= 0 ? s->params[s->stdin_param].name : "");
	for (size_t i = 0; i < s->n_env; i++) {
		fprintf(f, "  env %s", s->env[i].name);
		put_template(f, s, &s->env[i].value);
	}
	put_list(f, "keep_env", s->keep_env);
	put_text(f, "directory", s->temporary ? "(temporary)" : s->directory);
	put_number(f, "umask", s->umask, 0);
	put_text(f, "user", s->user);
	put_text(f, "group", s->group);
	for (size_t i = 0; i < N_PROGRESS; i++)
		if (s->progress[i].fd != 0)
			fprintf(f, "  progress.%s %d <%s>\n", progress[i], s->progress[i].fd, s->progress[i].pattern);
	put_number(f, "progress.fd3", s->progress_fd3, 0);
}

static void put_spec(FILE *f, const struct command_spec *s)
{
	static const char *const kinds[] = {"text", "json", "bytes", "file", "none", "fields"};

	fprintf(f, "%s:%d: %s = %s + %s\n", s->file, s->line, s->name, s->service, s->method);
	put_text(f, "summary", s->summary);
	put_text(f, "description", s->description);
	if (s->verb != NULL)
		fprintf(f, "  route <%s> <%s>\n", s->verb, s->path);
	fprintf(f, "  run %s\n", s->sync ? "sync" : "task");
	for (size_t i = 0; i < s->n_params; i++)
		put_param(f, &s->params[i]);
	put_how(f, s);
	fprintf(f, "  result %s", kinds[s->result]);
	put_template(f, s, &s->result_file);
	put_text(f, "content_type", s->content_type);
	for (size_t i = 0; i < s->n_results; i++)
		put_result(f, s, &s->results[i]);
	put_number(f, "max_output", s->max_output, 1 << 20);
	put_exits(f, "success", s->success, s->n_success);
	if (s->n_retryable > 0)
		put_exits(f, "retryable", s->retryable, s->n_retryable);
	put_method(f, s);
	put_limits(f, &s->limits);
}

/* --- its schema --- */

static void put_value(FILE *f, const struct rules *rules, const union rule_value *v, bool count)
{
	enum field_type type = rules->about->type;

	if (count)
		fprintf(f, "%llu", (unsigned long long)v->u);
	else if (type == FIELD_STRING || type == FIELD_BYTES)
		fprintf(f, "<%.*s>", (int)v->text.len, (const char *)v->text.data);
	else if (type == FIELD_DOUBLE)
		fprintf(f, "%g", v->d);
	else
		fprintf(f, "%lld", (long long)v->i);
}

static void put_rules(FILE *f, const struct rules *rules)
{
	if (rules->required)
		fputs(" required", f);
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *r = &rules->list[i];

		fprintf(f, " %s", r->id != NULL ? r->id : "items:");
		if (r->kind == RULE_ITEMS) {
			put_rules(f, r->nested);
			continue;
		}
		for (size_t k = 0; k < (r->kind == RULE_IN ? r->n : 1); k++) {
			fputc(k == 0 ? '=' : ',', f);
			put_value(f, rules, r->kind == RULE_IN ? &r->list[k] : &r->value,
				  r->kind >= RULE_LEN && r->kind != RULE_PATTERN);
		}
	}
}

static void put_message(FILE *f, const struct schema_message *m)
{
	fprintf(f, "message %s\n", m->name);
	for (size_t i = 0; m->well_known == WK_NONE && i < m->n_fields; i++) {
		const struct schema_field *field = &m->fields[i];

		fprintf(f, "  %s%s %d %s %s = %u", field->repeated ? "repeated " : "", field->presence ? "optional" : "",
			field->type, field->message != NULL ? field->message->name : "", field->name, field->number);
		if (field->rules != NULL)
			put_rules(f, field->rules);
		if (field->comment != NULL)
			fprintf(f, " ; %s", field->comment);
		fputc('\n', f);
	}
}

static void put_service(FILE *f, const struct schema_service *s)
{
	static const char *const runs[] = {"?", "ASYNC", "SYNC", "TASK"};

	for (size_t i = 0; i < s->n_methods; i++) {
		const struct schema_method *m = &s->methods[i];

		fprintf(f, "method %s %s %s\n", m->full_name, runs[m->run], m->queue != NULL ? m->queue : "");
		for (size_t k = 0; k < m->n_http; k++)
			fprintf(f, "  %s %s body <%s>\n", m->http[k].verb, m->http[k].path, m->http[k].body);
		fprintf(f, "  %s\n", m->comment != NULL ? m->comment : "(no comment)");
		put_message(f, m->input);
		put_message(f, m->output);
	}
}

/* Its numbers must be those that were read. */
static void compare(const struct command_spec *s, const struct schema *schema)
{
	const struct schema_method *m = schema_method(schema, s->name, strlen(s->name));

	assert_non_null(m);
	assert_int_equal(m->timeout_ns, s->timeout_ns);
	assert_int_equal(m->start_deadline_ns, s->start_deadline_ns);
	assert_int_equal(m->total_timeout_ns, s->total_timeout_ns);
	assert_int_equal(m->progress_timeout_ns, s->progress_timeout_ns);
	assert_int_equal(m->cancel_grace_ns, s->cancel_grace_ns);
	assert_int_equal(m->result_ttl_ns, s->result_ttl_ns);
	assert_int_equal(m->priority, s->priority);
	assert_int_equal(m->max_result, s->max_result);
	assert_int_equal(m->retry.max_attempts, s->retry.max_attempts);
	assert_int_equal(m->retry.base_ns, s->retry.base_ns);
	assert_int_equal(m->retry.cap_ns, s->retry.cap_ns);
	assert_true(m->retry.factor == s->retry.factor);
	assert_int_equal(m->input->n_fields, s->n_params + (s->stdin_from == STDIN_BODY));
}

static void put_schema(FILE *f, const struct command_set *set)
{
	AUTO_BUF made = BUF_INIT, all = BUF_INIT;
	struct schema *schema;
	char why[400] = "";
	char **services;

	command_schema_make(set, &made, &services);
	assert_int_equal(schema_merge(&all, (struct bytes[]){{errand_v1_schema, errand_v1_schema_len}, buf_bytes(&made)}, 2,
				      why, sizeof why), 0);
	if (schema_load(all.data, all.len, &schema, why, sizeof why) < 0)
		fail_msg("the schema that was made: %s", why);
	for (char **name = services; *name != NULL; name++) {
		const struct schema_service *s = schema_service(schema, *name, strlen(*name));

		assert_non_null(s);
		put_service(f, s);
		free(*name);
	}
	free(services);
	for (size_t i = 0; i < set->n; i++)
		compare(&set->specs[i], schema);
	schema_unref(schema);
}

/* --- reading --- */

/* command_config_read, and what it says. */
static int read_files(const char *const *files, struct command_set *set, char **saidp)
{
	struct conf c = CONF_INIT;
	int fd = memfd_create("stderr", MFD_CLOEXEC), old = dup(STDERR_FILENO), n;
	off_t len;

	assert_true(fd >= 0 && old >= 0);
	fflush(stderr);
	dup2(fd, STDERR_FILENO);
	for (; *files != NULL; files++)
		conf_read(&c, *files);
	command_config_read(&c, set);
	n = (int)conf_report(&c, stderr);
	conf_deinit(&c);
	fflush(stderr);
	dup2(old, STDERR_FILENO);
	close(old);
	len = lseek(fd, 0, SEEK_END);
	*saidp = xcalloc(1, (size_t)len + 1);
	assert_int_equal(pread(fd, *saidp, (size_t)len, 0), len);
	close(fd);
	return n;
}

/* The directory of the golden files is another one on each machine. */
static char *without_here(const char *text)
{
	AUTO_BUF out = BUF_INIT;

	for (const char *p; (p = strstr(text, here)) != NULL; text = p + strlen(here)) {
		buf_append(&out, text, (size_t)(p - text));
		buf_append_str(&out, "HERE");
	}
	buf_append_str(&out, text);
	return xstrdup(buf_cstr(&out));
}

static char *read_golden(const char *name)
{
	char *text = xcalloc(1, 1 << 20);
	FILE *f = fopen(name, "r");

	if (f != NULL) {
		assert_true(fread(text, 1, (1 << 20) - 1, f) < (1 << 20) - 1);
		fclose(f);
	}
	return text;
}

static int compare_golden(const char *name, const char *got)
{
	AUTO_FREE char *file = xasprintf("%s.txt", name), *expected = read_golden(file);
	AUTO_FREE char *new = xasprintf("%s/%s.txt.new", start, name);
	FILE *f;

	if (strcmp(got, expected) == 0)
		return 0;
	f = fopen(new, "w");
	assert_non_null(f);
	fputs(got, f);
	fclose(f);
	print_error("%s is not what came out: see %s\n", file, new);
	return 1;
}

static int check_golden(const char *name)
{
	AUTO_FREE char *file = xasprintf("%s.conf", name), *said = NULL, *text = NULL, *got = NULL;
	struct command_set set;
	size_t len, lines = 0;
	FILE *f = open_memstream(&text, &len);
	int n = read_files((const char *[]){file, NULL}, &set, &said);

	for (const char *p = said; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(n, lines);
	fputs(said, f);
	assert_true(n == 0 || set.n == 0);
	for (size_t i = 0; i < set.n; i++)
		put_spec(f, &set.specs[i]);
	if (n == 0)
		put_schema(f, &set);
	fclose(f);
	command_set_deinit(&set);
	got = without_here(text);
	return compare_golden(name, got);
}

static void golden_pairs(void **state)
{
	static const char *const names[] = {"all", "keys", "params", "results", "sections", "template"};

	int n_bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		n_bad += check_golden(names[i]);
	assert_int_equal(n_bad, 0);
}

/* --- what is not in one file --- */

static void faults_of_all_files_are_told(void **state)
{
	AUTO_FREE char *said = NULL;
	struct command_set set;

	assert_int_equal(read_files((const char *[]){"all.conf", "none.conf", "all.conf", NULL}, &set, &said), 7);
	assert_non_null(strstr(said, "none.conf: cannot be read: No such file or directory\nall.conf:"));
	assert_non_null(strstr(said, "golden.v1.All/Convert is declared in all.conf:"));
	command_set_deinit(&set);
}

static int read_text(const char *text, char **saidp, struct command_set *set)
{
	char file[] = "/tmp/test_command.XXXXXX";
	int fd = mkstemp(file), n;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	n = read_files((const char *[]){file, NULL}, set, saidp);
	unlink(file);
	return n;
}

static void rules_of_the_kernel_are_asked_for(void **state)
{
	AUTO_FREE char *said = NULL;
	struct command_set set;
	int n = read_text("[command a.v1.B/C]\ncommand = /bin/true\nwrite = /tmp\nread = /usr /\n", &said, &set);

	if (landlock_available()) {
		assert_int_equal(n, 0);
		assert_string_equal(set.specs[0].read[1], "/");
		assert_null(set.specs[0].read[2]);
	} else {
		assert_int_equal(n, 1);
		assert_non_null(strstr(said, ":4:1: read needs Landlock"));
	}
	command_set_deinit(&set);
}

static void users_need_root(void **state)
{
	AUTO_FREE char *said = NULL;
	struct command_set set;
	int n = read_text("[command a.v1.B/C]\ncommand = /bin/true\nuser = daemon\n", &said, &set);

	assert_int_equal(n, geteuid() == 0 ? 0 : 1);
	if (n == 0)
		assert_string_equal(set.specs[0].user, "daemon");
	else
		assert_non_null(strstr(said, ":3:8: to run a program as daemon the service must be root"));
	command_set_deinit(&set);
}

/* Two names of one directory: clients may use either. */
static void directories_may_be_links(void **state)
{
	char dir[] = "/tmp/test_command_dir.XXXXXX";
	AUTO_FREE char *link = NULL, *text = NULL, *said = NULL;
	struct command_set set;

	assert_non_null(mkdtemp(dir));
	link = xasprintf("%s/link", dir);
	assert_int_equal(symlink("/usr", link), 0);
	text = xasprintf("[command a.v1.B/C]\ncommand = /bin/true {p}\nparam.p = path required in=%s/./link//lib:%s/link/..\n",
			 dir, dir);
	assert_int_equal(read_text(text, &said, &set), 0);
	assert_string_equal(set.specs[0].params[0].dirs[0], "/usr/lib");
	assert_string_equal(set.specs[0].params[0].dirs_given[0] + strlen(dir), "/link/lib");
	assert_string_equal(set.specs[0].params[0].dirs[1], "/");
	assert_string_equal(set.specs[0].params[0].dirs_given[1], "/");
	command_set_deinit(&set);
	unlink(link);
	rmdir(dir);
}

static int setup(void **state)
{
	return getcwd(start, sizeof start) == NULL || realpath(GOLDEN_DIR, here) == NULL || chdir(here) < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_pairs),
		cmocka_unit_test(faults_of_all_files_are_told),
		cmocka_unit_test(rules_of_the_kernel_are_asked_for),
		cmocka_unit_test(users_need_root),
		cmocka_unit_test(directories_may_be_links),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
