#define _GNU_SOURCE
#include "cli/ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

int ask(bool yes, const char *command, const char *fmt, ...)
{
	AUTO_FREE char *what = NULL;
	char answer[16] = "";
	va_list ap;

	if (yes)
		return CLI_OK;
	va_start(ap, fmt);
	what = xvasprintf(fmt, ap);
	va_end(ap);
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		cli_error("%s: %s? There is no terminal to ask on: --yes does it, --dry-run only counts",
			  command, what);
		return CLI_USAGE;
	}
	fprintf(stderr, "%s? [y/N] ", what);
	fflush(stderr);
	if (fgets(answer, sizeof answer, stdin) != NULL &&
	    (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0))
		return CLI_OK;
	cli_error("nothing was done");
	return CLI_FAILED;
}
