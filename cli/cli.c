#define _GNU_SOURCE
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "cli/show.h"
#include "errand/status.h"

static bool json_errors; /* set once, before the first of them */
static cli_asked *asked;  /* instead of parsing; NULL but for completion */

void cli_errors_as_json(bool on)
{
	json_errors = on;
}

bool cli_has_json_errors(void)
{
	return json_errors;
}

void cli_error(const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	AUTO_BUF line = BUF_INIT;
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	if (!json_errors) {
		fprintf(stderr, "errand: %s\n", text);
		return;
	}
	buf_printf(&line, "{\"detail\":");
	json_put_cstr(&line, text);
	fprintf(stderr, "%s}\n", buf_cstr(&line));
}

void cli_hint(const char *fmt, ...)
{
	va_list ap;

	if (json_errors)
		return;
	fputs("errand: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int cli_flush(void)
{
	static bool said;

	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CLI_OK;
	if (!said)
		cli_error("the output could not be written: %s", errno != 0 ? strerror(errno) : "some of it is missing");
	said = true;
	return CLI_FAILED;
}

char *cli_folder(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	if (n <= 0)
		return xstrdup(BINDIR);
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	return xstrdup(path);
}

enum cli_exit cli_exit_of(int code)
{
	switch (code) {
	case ERRAND_OK:
		return CLI_OK;
	case ERRAND_CANCELLED:
		return CLI_CANCELLED;
	case ERRAND_NOT_FOUND:
		return CLI_NOT_FOUND;
	case ERRAND_INVALID_ARGUMENT:
	case ERRAND_OUT_OF_RANGE:
		return CLI_DATA;
	case ERRAND_UNAVAILABLE:
		return CLI_UNREACHABLE;
	case ERRAND_DEADLINE_EXCEEDED:
		return CLI_TIMEOUT;
	default:
		return CLI_FAILED;
	}
}

bool cli_takes_next(const struct opt *table, size_t n, const char *arg)
{
	for (size_t i = 0; i < n; i++) {
		const struct opt *o = &table[i];

		if (o->type == OPT_FLAG)
			continue;
		if (arg[1] == '-' && strcmp(arg + 2, o->name) == 0)
			return true;
		if (arg[1] != '-' && o->letter != 0 && strchr(arg + 1, o->letter) != NULL)
			return arg[strlen(arg) - 1] == o->letter;
	}
	return false;
}

/* Moves options, with their values, in front of the operands. */
static void permute(const struct opt *table, size_t n, int argc, char **argv)
{
	AUTO_FREE char **operands = xcalloc((size_t)argc + 1, sizeof *operands);
	int n_operands = 0, end = 1, i;

	for (i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			break;
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			operands[n_operands++] = argv[i];
			continue;
		}
		argv[end++] = argv[i];
		if (cli_takes_next(table, n, argv[i]) && i + 1 < argc)
			argv[end++] = argv[++i];
	}
	/* What follows `--` are operands, also when they look like options. */
	if (i < argc) {
		for (int k = i + 1; k < argc; k++)
			operands[n_operands++] = argv[k];
		argv[end++] = argv[i];
	}
	memcpy(argv + end, operands, (size_t)n_operands * sizeof *operands);
}

void cli_ask(cli_asked *whom)
{
	asked = whom;
}

static const struct opt *option(const struct opt *table, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

/* --json and --color count for all that is printed, errors before the first call included. */
static void use_output_options(const struct opt *table, size_t n, const void *conf)
{
	const struct opt *json = option(table, n, "json"), *color = option(table, n, "color");
	const char *when = color != NULL ? *(const char *const *)(const void *)((const char *)conf + color->offset) : NULL;

	if (json != NULL && json->type == OPT_FLAG)
		cli_errors_as_json(*(const bool *)(const void *)((const char *)conf + json->offset));
	if (when != NULL && !show_color(when)) {
		cli_error("--color %s: write auto, always or never", when);
		exit(CLI_USAGE);
	}
}

int cli_parse_front(const struct opt *table, size_t n, void *conf, int argc, char **argv,
		    const char *usage)
{
	int first;

	if (asked != NULL)
		asked(table, n, argc, argv, usage);
	first = opt_parse(table, n, conf, argc, argv, usage);
	if (first < 0)
		exit(CLI_USAGE);
	use_output_options(table, n, conf);
	return first;
}

int cli_parse(const struct opt *table, size_t n, void *conf, int argc, char **argv,
	      const char *usage)
{
	if (asked == NULL)
		permute(table, n, argc, argv);
	return cli_parse_front(table, n, conf, argc, argv, usage);
}

const void *cli_find(const void *table, size_t n, size_t size, const char *what, const char *name)
{
	size_t best = MAX(strlen(name) / 2, 2) + 1;
	const char *near = NULL;

	for (size_t i = 0; i < n; i++) {
		const char *const *row = (const void *)((const char *)table + i * size);
		size_t d = opt_distance(name, strlen(name), *row);

		if (d == 0)
			return row;
		if (d < best) {
			best = d;
			near = *row;
		}
	}
	if (near != NULL)
		cli_error("unknown %s '%s': did you mean '%s'?", what, name, near);
	else
		cli_error("unknown %s '%s': see --help", what, name);
	return NULL;
}

/* The first operand behind options that commands share; argc when there is none. */
static int first_operand(int argc, char **argv)
{
	struct conf {
		struct cli_common common;
	};
	static const struct opt common[] = {CLI_COMMON(struct conf)};
	int i = 1;

	while (i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0)
		i += 1 + cli_takes_next(common, ARRAY_LEN(common), argv[i]);
	return MIN(i, argc);
}

bool cli_subcommand(const struct command *table, size_t n, int argc, char **argv, int *exitp)
{
	int at = first_operand(argc, argv);
	AUTO_FREE char *name = NULL;

	for (size_t i = 0; i < n && at < argc; i++) {
		if (strcmp(argv[at], table[i].name) != 0)
			continue;
		name = xasprintf("%s %s", argv[0], argv[at]);
		memmove(argv + at, argv + at + 1, (size_t)(argc - at) * sizeof *argv); /* with the NULL */
		argv[0] = name;
		*exitp = table[i].run(argc - 1, argv);
		return true;
	}
	return false;
}
