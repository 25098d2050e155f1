/* main.c: the errand command: finds the subcommand and runs it. Options that all
 * share may stand before it as well. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "config.h"

static const struct command commands[] = {
	{"gen", "C and the embedded schema from .proto files", gen_command, "FILE.proto..."},
};

static void help(void)
{
	printf("Usage: errand COMMAND [options] [operands]\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-7s %-26s %s\n", commands[i].name, commands[i].usage,
		       commands[i].summary);
	printf("\n`errand COMMAND --help` shows its options; errand(1) tells the rest.\n");
}

int main(int argc, char **argv)
{
	const struct command *command;
	AUTO_FREE char *name = NULL;

	if (argc < 2) {
		help();
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		help();
		return CLI_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("errand %s\n", PACKAGE_VERSION);
		return CLI_OK;
	}
	command = cli_command(commands, ARRAY_LEN(commands), "command", argv[1]);
	if (command == NULL)
		return CLI_USAGE;
	name = xasprintf("errand %s", command->name);
	argv[1] = name;
	return command->run(argc - 1, argv + 1);
}
