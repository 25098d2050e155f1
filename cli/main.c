/* main.c: the errand command: finds the subcommand and runs it. Options that
 * commands share may stand before it as well. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/complete.h"
#include "config.h"

static const struct command commands[] = {
	{"call", "call a method, by name or by HTTP path", call_command, "METHOD|PATH [FIELD=VALUE...]", GROUP_CALL},
	{"run", "call a method as a task and follow it to its end", run_command, "METHOD|PATH [FIELD=VALUE...]",
	 GROUP_CALL},
	{"submit", "make a task, print its id", submit_command, "METHOD|PATH [FIELD=VALUE...]", GROUP_CALL},
	{"list", "list tasks", list_command, "", GROUP_CALL},
	{"show", "show tasks", show_command, "TASK...", GROUP_TASKS},
	{"watch", "follow tasks to their end", watch_command, "TASK...", GROUP_TASKS},
	{"wait", "wait until tasks have ended", wait_command, "TASK...", GROUP_TASKS},
	{"logs", "what a task has written", logs_command, "TASK", GROUP_TASKS},
	{"result", "what its method has answered", result_command, "TASK...", GROUP_TASKS},
	{"cancel", "ask tasks to stop", cancel_command, "TASK...", GROUP_TASKS},
	{"retry", "queue ended tasks again", retry_command, "TASK...", GROUP_TASKS},
	{"hold", "keep tasks from running", hold_command, "TASK...", GROUP_TASKS},
	{"release", "let them run after all", release_command, "TASK...", GROUP_TASKS},
	{"run-now", "do not wait for their time or retry", run_now_command, "TASK...", GROUP_TASKS},
	{"set", "other priority, time or labels", set_command, "TASK", GROUP_TASKS},
	{"delete", "forget ended tasks", delete_command, "TASK...", GROUP_TASKS},
	{"events", "follow what happens to all tasks", events_command, "", GROUP_TASKS},
	{"task", "the same verbs behind a noun", task_command, "VERB TASK...", GROUP_TASKS},
	{"tasks", "errand list by its other name", tasks_command, "", GROUP_TASKS},
	{"queues", "list queues", queues_command, "", GROUP_QUEUES},
	{"queue", "show, change, pause or resume one", queue_command, "VERB QUEUE", GROUP_QUEUES},
	{"purge", "cancel all that waits in queues", purge_command, "QUEUE...", GROUP_QUEUES},
	{"schedules", "list schedules", schedules_command, "", GROUP_QUEUES},
	{"schedule", "tasks made by the clock", schedule_command, "VERB SCHEDULE", GROUP_QUEUES},
	{"deliveries", "list callbacks on their way", deliveries_command, "", GROUP_QUEUES},
	{"delivery", "show or resend one of them", delivery_command, "VERB DELIVERY", GROUP_QUEUES},
	{"status", "the whole service on one screen", status_command, "", GROUP_SERVICE},
	{"doctor", "what is wrong, and what to do about it", doctor_command, "", GROUP_SERVICE},
	{"top", "queues and tasks, live in a terminal", top_command, "", GROUP_SERVICE},
	{"ping", "how long a call takes, again and again", ping_command, "", GROUP_SERVICE},
	{"token", "make, list, rotate or revoke tokens of a gateway", token_command, "VERB [NAME]", GROUP_SERVICE},
	{"context", "services with names, and which one is in use", context_command, "VERB [NAME]", GROUP_SERVICE},
	{"store", "look at, check or copy the store", store_command, "VERB", GROUP_SERVICE},
	{"worker", "run a program for each task of a queue", worker_command, "--queue QUEUE -- PROGRAM", GROUP_SERVICE},
	{"workers", "list who works for the service", workers_command, "", GROUP_SERVICE},
	{"version", "the version of this command", version_command, "", GROUP_SERVICE},
	{"new", "make a service in C that builds at once", new_command, "NAME", GROUP_AUTHOR},
	{"dev", "run service and gateway in the foreground", dev_command, "[DIR | MODULE.so...]", GROUP_AUTHOR},
	{"routes", "methods and HTTP routes", routes_command, "", GROUP_AUTHOR},
	{"convert", "one message from JSON to binary, or back", convert_command, "--type pkg.Msg", GROUP_AUTHOR},
	{"gen", "make C and the embedded schema from .proto files", gen_command, "FILE.proto...", GROUP_AUTHOR},
};

/* Only --help, --version and the shared options come before the command. */
struct main_conf {
	struct cli_common common;
};
static const struct opt options[] = {CLI_COMMON(struct main_conf)};

/* Newcomers find what they need first. */
static const struct {
	enum command_group group;
	const char *title;
} groups[] = {
	{GROUP_CALL, "Call and run"},
	{GROUP_TASKS, "Tasks"},
	{GROUP_QUEUES, "Queues, schedules, callbacks"},
	{GROUP_SERVICE, "The service"},
	{GROUP_AUTHOR, "For those who write services"},
};

static void help(FILE *f)
{
	fprintf(f, "Usage: errand COMMAND [options] [operands]\n");
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		fprintf(f, "\n%s:\n", groups[g].title);
		for (size_t i = 0; i < ARRAY_LEN(commands); i++)
			if (commands[i].group == groups[g].group)
				fprintf(f, "  %-10s %-30s %s\n", commands[i].name, commands[i].usage,
					commands[i].summary);
	}
	fprintf(f, "\n`errand help COMMAND` shows its options, errand(1) tells the rest.\n");
}

/* `errand help task get` is `errand task get --help`. */
static int help_of(int argc, char **argv)
{
	AUTO_FREE char *name = NULL;
	char *words[4] = {NULL};
	const struct command *c;
	int n = 1;

	if (argc == 0) {
		help(stdout);
		return CLI_OK;
	}
	c = CLI_FIND(commands, "command", argv[0]);
	if (c == NULL)
		return CLI_USAGE;
	name = xasprintf("errand %s", c->name);
	words[0] = name;
	if (argc > 1)
		words[n++] = argv[1];
	words[n++] = (char *)"--help";
	return c->run(n, words);
}

/* "errand --json tasks" becomes "errand tasks --json". */
static int run(int first, int argc, char **argv)
{
	const struct command *c = CLI_FIND(commands, "command", argv[first]);
	AUTO_FREE char *name = NULL;

	if (c == NULL)
		return CLI_USAGE;
	name = xasprintf("errand %s", c->name);
	memmove(argv + 2, argv + 1, (size_t)(first - 1) * sizeof *argv);
	argv[1] = name;
	return c->run(argc - 1, argv + 1);
}

/* What is opened later must not become stdin, stdout or stderr because the caller has closed them: using them is to
 * fail, as it would. */
static void keep_standard_closed(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* What has not been printed is an error, whatever else went well. */
static void end(void)
{
	if (cli_flush() != CLI_OK)
		_exit(CLI_FAILED);
}

int main(int argc, char **argv)
{
	struct main_conf conf;
	int first;

	keep_standard_closed();
	atexit(end);
	signal(SIGPIPE, SIG_DFL); /* `errand tasks | head` ends quietly */
	if (argc < 2) {
		help(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return help_of(0, NULL);
	if (strcmp(argv[1], "help") == 0)
		return help_of(argc - 2, argv + 2);
	if (strcmp(argv[1], "__complete") == 0)
		return complete(commands, ARRAY_LEN(commands), argc - 2, argv + 2);
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
