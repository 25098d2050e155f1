#define _GNU_SOURCE
#include "cli/complete.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/complete_live.h"
#include "cli/context.h"
#include "cli/task_view.h"

static const char *typed = "";  /* the word under the cursor, or what is behind its --option= */
static const char *before = ""; /* of it, to be kept: "--option=", "failed," */
static const char *word = "";   /* all of it */

/* What the words before the cursor say. */
struct asked {
	const struct opt *table;
	size_t n;
	int argc;
	char **argv;                    /* argv[0]: the command's name */
	const char *usage;
	struct cli_common common;       /* which service */
	const struct opt *open;         /* an option whose value is being typed; NULL */
	const char **operands;          /* those that are there */
	int n_operands;
	bool options_over;
};

static void put(const char *text, const char *what)
{
	if (strncasecmp(text, typed, strlen(typed)) != 0)
		return;
	printf("%s%s\t%.*s\n", before, text, what != NULL ? (int)strcspn(what, "\n\t") : 0, what != NULL ? what : "");
}

/* --- choices --- */

static void put_states(const struct asked *a)
{
	for (int i = 1; i < TASK_N_STATES; i++) {
		AUTO_FREE char *name = xstrdup(task_view_state_name(i));

		for (char *p = name; *p != '\0'; p++)
			*p = (char)tolower((unsigned char)*p);
		put(name, NULL);
	}
}

/* The command itself lists its columns. */
static void put_columns(const struct asked *a)
{
	AUTO_FREE char *folder = cli_folder();
	AUTO_FREE char *words = xasprintf("exec '%s/errand' %s --columns help", folder,
					  strncmp(a->argv[0], "errand ", 7) == 0 ? a->argv[0] + 7 : "list");
	FILE *f = popen(words, "re");
	char line[64];

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		put(line, NULL);
	}
	if (f != NULL)
		pclose(f);
}

static void put_tasks(const struct asked *a)
{
	complete_tasks(&a->common, typed, put);
}

static void put_methods(const struct asked *a)
{
	complete_methods(&a->common, typed, put);
}

static void put_queues(const struct asked *a)
{
	complete_names(&a->common, "errand.v1.Queues", "ListQueues", put);
}

static void put_schedules(const struct asked *a)
{
	complete_names(&a->common, "errand.v1.Schedules", "ListSchedules", put);
}

static void put_deliveries(const struct asked *a)
{
	complete_names(&a->common, "errand.v1.Deliveries", "ListDeliveries", put);
}

static void put_workers(const struct asked *a)
{
	complete_names(&a->common, "errand.v1.Workers", "ListWorkers", put);
}

static void put_contexts(const struct asked *a)
{
	struct contexts all;

	if (contexts_load(&all) == CLI_OK)
		for (size_t i = 0; i < all.n; i++)
			put(all.list[i].name, all.list[i].url != NULL ? all.list[i].url : all.list[i].socket);
	contexts_deinit(&all);
}

static void put_fields(const struct asked *a)
{
	for (int i = a->n_operands - 1; i >= 0; i--)
		if (strchr(a->operands[i], '=') == NULL)
			complete_fields(&a->common, a->operands[i], typed, put);
}

/* Of errand queue and its like: the lines below "Verbs" in the usage. */
static void put_verbs(const struct asked *a)
{
	const char *p = strstr(a->usage, "\nVerbs");

	for (p = p != NULL ? strchr(p + 1, '\n') : NULL; p != NULL && strncmp(p, "\n  ", 3) == 0; p = strchr(p + 1, '\n')) {
		size_t len = strcspn(p + 3, " \n");
		AUTO_FREE char *name = xstrndup(p + 3, len);

		if (len > 0)
			put(name, p + 3 + len + strspn(p + 3 + len, " "));
	}
}

static void put_files(const struct asked *a)
{
	puts(":files");
}

static void put_dirs(const struct asked *a)
{
	puts(":dirs");
}

static void put_commands(const struct asked *a)
{
	puts(":commands");
}

/* Words of usage lines, and of options' values. */
static const struct {
	const char *word;
	void (*put)(const struct asked *a);
} kinds[] = {
	{"TASK", put_tasks}, {"METHOD", put_methods}, {"QUEUE", put_queues}, {"SCHEDULE", put_schedules},
	{"DELIVERY", put_deliveries}, {"WORKER", put_workers}, {"VERB", put_verbs}, {"STATE", put_states},
	{"COLUMN", put_columns}, {"FIELD", put_fields}, {"FILE", put_files}, {"PATH", put_files},
	{"CONTEXT", put_contexts}, {"MODULE", put_files}, {"DIR", put_dirs}, {"PROGRAM", put_commands},
};

/* "[-]COLUMN", "STATE,...", "METHOD|PATH", "auto|always|never" */
static void put_kind(const struct asked *a, const char *value)
{
	size_t len;

	if (strncmp(value, "[-]", 3) == 0)
		value += 3;
	len = strcspn(value, "|,.=[]: ");
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strlen(kinds[i].word) == len && strncmp(kinds[i].word, value, len) == 0) {
			kinds[i].put(a);
			return;
		}
	if (!islower((unsigned char)*value) || strchr(value, '|') == NULL)
		return;
	for (const char *p = value; *p != '\0'; p += len + (p[len] == '|')) {
		len = strcspn(p, "|");
		AUTO_FREE char *choice = xstrndup(p, len);
		put(choice, NULL);
	}
}

/* --- options --- */

static void put_options(const struct asked *a)
{
	for (size_t i = 0; i < a->n; i++) {
		AUTO_FREE char *name = xasprintf("--%s", a->table[i].name);

		put(name, a->table[i].help);
	}
	put("--help", "show this and exit");
	put("--version", "show the version and exit");
}

static const struct opt *find_option(const struct asked *a, const char *arg)
{
	size_t len = strcspn(arg, "=");

	for (size_t i = 0; i < a->n; i++) {
		const struct opt *o = &a->table[i];

		if (strncmp(arg, "--", 2) == 0 ? strncmp(o->name, arg + 2, len - 2) == 0 && o->name[len - 2] == '\0' :
						 o->letter != 0 && o->letter == arg[strlen(arg) - 1])
			return o;
	}
	return NULL;
}

/* A value that is a list goes on behind its last comma. */
static void put_value(const struct asked *a, const struct opt *o)
{
	const char *comma = strrchr(typed, ',');
	AUTO_FREE char *kept = NULL;

	if (o->value == NULL)
		return;
	if (strstr(o->value, ",...") != NULL && comma != NULL) {
		kept = xasprintf("%s%.*s", before, (int)(comma + 1 - typed), typed);
		before = kept;
		typed = comma + 1;
	}
	put_kind(a, o->value);
}

/* --- the words before the cursor --- */

/* Which service they name: the options of CLI_COMMON, by their names. */
static void read_common(struct asked *a)
{
	struct conf {
		struct cli_common common;
	} conf;
	static const struct opt common[] = {CLI_COMMON(struct conf)};

	opt_defaults(common, ARRAY_LEN(common), &conf);
	for (int i = 1; i < a->argc; i++) {
		const struct opt *o = a->argv[i][0] == '-' ? find_option(a, a->argv[i]) : NULL;
		const char *equals = strchr(a->argv[i], '=');
		bool next = o != NULL && o->type != OPT_FLAG && equals == NULL && i + 1 < a->argc;

		for (size_t k = 0; o != NULL && k < ARRAY_LEN(common); k++)
			if (strcmp(common[k].name, o->name) == 0 && o->type == OPT_STRING && (next || equals != NULL))
				opt_set(&common[k], &conf, next ? a->argv[i + 1] : equals + 1, (char[64]){0}, 64);
		i += next;
	}
	a->common = conf.common;
}

static void read_words(struct asked *a)
{
	a->operands = xcalloc((size_t)a->argc + 1, sizeof *a->operands);
	for (int i = 1; i < a->argc; i++) {
		const char *arg = a->argv[i];

		if (a->options_over || arg[0] != '-' || arg[1] == '\0') {
			a->operands[a->n_operands++] = arg;
		} else if (strcmp(arg, "--") == 0) {
			a->options_over = true;
		} else if (cli_takes_next(a->table, a->n, arg) && ++i == a->argc) {
			a->open = find_option(a, arg);
		}
	}
}

/* The operand under the cursor: the word of the usage's first line that stands for it; one
 * with ... is the rest. */
static void put_operand(const struct asked *a)
{
	AUTO_FREE char *line = xstrndup(a->usage, strcspn(a->usage, "\n"));
	char *place, *last = NULL;
	int n = 0;

	for (char *w = strtok_r(line, " ", &place); w != NULL; w = strtok_r(NULL, " ", &place)) {
		w += strspn(w, "[");
		if (!isupper((unsigned char)*w))
			continue;
		last = w;
		if (n++ == a->n_operands)
			break;
	}
	if (last != NULL && (n > a->n_operands || strstr(last, "...") != NULL))
		put_kind(a, last);
}

static void on_asked(const struct opt *table, size_t n, int argc, char **argv, const char *usage)
{
	struct asked a = {.table = table, .n = n, .argc = argc, .argv = argv, .usage = usage};
	const struct opt *o;

	read_common(&a);
	read_words(&a);
	if (a.open != NULL) {
		put_value(&a, a.open);
	} else if (!a.options_over && strncmp(word, "--", 2) == 0 && strchr(word, '=') != NULL) {
		o = find_option(&a, word);
		typed = strchr(word, '=') + 1;
		before = xstrndup(word, (size_t)(typed - word));
		if (o != NULL)
			put_value(&a, o);
	} else if (!a.options_over && *word == '-') {
		put_options(&a);
	} else {
		put_operand(&a);
	}
	fflush(stdout);
	_exit(CLI_OK);
}

/* --- which command --- */

static int put_command_names(const struct command *commands, size_t n)
{
	for (size_t i = 0; i < n; i++)
		put(commands[i].name, commands[i].summary);
	put("help", "what a command does");
	return CLI_OK;
}

static int of_errand(const struct command *commands, size_t n, int argc, char **argv)
{
	struct conf {
		struct cli_common common;
	};
	static const struct opt common[] = {CLI_COMMON(struct conf)};
	AUTO_FREE char *name = NULL;
	int at = 1;

	while (at < argc && argv[at][0] == '-')
		at += 1 + cli_takes_next(common, ARRAY_LEN(common), argv[at]);
	if (at > argc || (at == argc && *word == '-')) /* before any command */
		on_asked(common, ARRAY_LEN(common), argc, argv, "errand");
	if (at == argc || strcmp(argv[at], "help") == 0)
		return put_command_names(commands, n);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(commands[i].name, argv[at]) != 0)
			continue;
		name = xasprintf("errand %s", commands[i].name);
		memmove(argv + 2, argv + 1, (size_t)(at - 1) * sizeof *argv);
		argv[1] = name;
		cli_ask(on_asked);
		return commands[i].run(argc - 1, argv + 1);
	}
	return CLI_USAGE;
}

/* A line of `--__options`: NAME LETTER TYPE VALUE HELP, between tabs. */
static bool read_option(char *line, struct opt *o)
{
	char *fields[5], *p = line;

	line[strcspn(line, "\n")] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		fields[i] = p != NULL ? strsep(&p, "\t") : NULL;
	if (fields[4] == NULL)
		return false;
	*o = (struct opt){.name = xstrdup(fields[0]), .letter = *fields[1], .type = (enum opt_type)atoi(fields[2]),
			  .value = *fields[3] != '\0' ? xstrdup(fields[3]) : NULL, .help = xstrdup(fields[4])};
	return true;
}

/* A daemon says itself what it knows. */
static int of_daemon(int argc, char **argv)
{
	AUTO_FREE char *words = NULL;
	AUTO_FREE char *line = NULL;
	struct opt *table = NULL;
	size_t n = 0, size = 0;
	FILE *f;

	if (strchr(argv[0], '\'') != NULL)
		return CLI_USAGE;
	words = xasprintf("exec '%s' --__options", argv[0]);
	f = popen(words, "re");
	while (f != NULL && getline(&line, &size, f) > 0) {
		table = xrealloc(table, (n + 1) * sizeof *table);
		n += read_option(line, &table[n]);
	}
	if (f != NULL)
		pclose(f);
	on_asked(table, n, argc, argv, argv[0]);
	return CLI_OK;
}

int complete(const struct command *commands, size_t n, int argc, char **argv)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const char *name;

	if (argc < 2)
		return CLI_USAGE;
	if (null >= 0) {
		dup2(null, STDERR_FILENO);
		dup2(null, STDIN_FILENO);
	}
	name = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
	word = typed = argv[argc - 1];
	argv[argc - 1] = NULL;
	return strncmp(name, "errand-", 7) == 0 ? of_daemon(argc - 1, argv) : of_errand(commands, n, argc - 1, argv);
}
