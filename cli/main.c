/* main.c: the errand command: finds the subcommand and runs it. Options that
 * commands share may stand before it as well. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "config.h"

static const struct command commands[] = {
	{"call", "call a method, by name or by HTTP path", call_command, "METHOD|PATH [field=value...]"},
	{"tasks", "list tasks", tasks_command, ""},
	{"task", "make, show, watch or change one task", task_command, "VERB ID"},
	{"queue", "list, change, pause or empty queues", queue_command, "VERB [NAME]"},
	{"schedule", "tasks made by the clock", schedule_command, "VERB"},
	{"store", "look at, check or copy the store", store_command, "VERB"},
	{"deliveries", "list callbacks on their way", deliveries_command, ""},
	{"delivery", "show or resend one of them", delivery_command, "VERB ID"},
	{"worker", "run a program for each task of a queue", worker_command, "--queue Q -- PROGRAM"},
	{"workers", "list who works for the service", workers_command, ""},
	{"events", "follow what happens to all tasks", events_command, ""},
	{"ping", "how long a call takes, again and again", ping_command, ""},
	{"status", "the whole service on one screen", status_command, ""},
	{"version", "the version of this command", version_command, ""},
	{"context", "services with names, and which one is in use", context_command, "VERB [NAME]"},
	{"dev", "run service and gateway in the foreground", dev_command, "[MODULE.so...]"},
	{"convert", "one message from JSON to binary, or back", convert_command,
	 "--schema FILE.pb|SOCKET --type pkg.Msg"},
	{"routes", "a schema's HTTP routes, or the one of a request", routes_command,
	 "--schema FILE.pb|SOCKET"},
	{"gen", "make C and the embedded schema from .proto files", gen_command, "FILE.proto..."},
};

/* Only --help, --version and the shared options come before the command. */
struct main_conf {
	struct cli_common common;
};
static const struct opt options[] = {CLI_COMMON(struct main_conf)};

static void help(FILE *f)
{
	fprintf(f, "Usage: errand COMMAND [options] [operands]\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(f, "  %-10s %-29s %s\n", commands[i].name, commands[i].usage,
			commands[i].summary);
	fprintf(f, "\n`errand COMMAND --help` shows its options, errand(1) tells the rest.\n");
}

/* "errand --json tasks" becomes "errand tasks --json". */
static int run(int first, int argc, char **argv)
{
	const struct command *c = cli_command(commands, ARRAY_LEN(commands), "command", argv[first]);
	AUTO_FREE char *name = NULL;

	if (c == NULL)
		return CLI_USAGE;
	name = xasprintf("errand %s", c->name);
	memmove(argv + 2, argv + 1, (size_t)(first - 1) * sizeof *argv);
	argv[1] = name;
	return c->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	struct main_conf conf;
	int first;

	signal(SIGPIPE, SIG_DFL); /* `errand tasks | head` ends quietly */
	if (argc < 2) {
		help(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		help(stdout);
		return CLI_OK;
	}
	first = opt_parse(options, ARRAY_LEN(options), &conf, argc, argv,
			  "errand COMMAND [options] [operands]");
	if (first < 0)
		return CLI_USAGE;
	if (first == argc) {
		help(stderr);
		return CLI_USAGE;
	}
	return run(first, argc, argv);
}
