/* complete.h: what a shell's completion asks: `errand __complete PROGRAM WORD... CURRENT`.
 * A line for each candidate, with a tab and what it is; `:files`, `:dirs`, `:commands` leave
 * the rest to the shell. Options are those of the commands' own tables (cli_ask) and of
 * the daemons' (`--__options`), operands those that their usage lines name; tasks, methods
 * and queues come from the service, when it answers at once. Nothing is ever said on stderr. */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include "cli/cli.h"

int complete(const struct command *commands, size_t n, int argc, char **argv);

#endif
