#define _GNU_SOURCE
#include "cli/leave.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static char words[256]; /* made before the signal: the handler only writes */
static bool drawn;
static struct sigaction before;

/* Only async-signal-safe calls. */
static void on_interrupt(int signal)
{
	if (drawn && write(STDERR_FILENO, "\n", 1) < 0)
		_exit(CLI_FAILED);
	if (write(STDERR_FILENO, words, strlen(words)) < 0)
		_exit(CLI_FAILED);
	_exit(CLI_INTERRUPTED);
}

void leave_begin(const char *id)
{
	struct sigaction sa = {.sa_handler = on_interrupt};

	*words = '\0';
	if (id == NULL)
		snprintf(words, sizeof words, "errand: interrupted: the tasks go on\n");
	else if (!cli_has_json_errors())
		snprintf(words, sizeof words, "errand: task %s goes on: `errand watch %s` follows it, "
			 "`errand cancel %s` stops it\n", id, id, id);
	else
		snprintf(words, sizeof words, "{\"detail\":\"interrupted: task %s goes on\"}\n", id);
	sigaction(SIGINT, &sa, &before);
}

void leave_end(void)
{
	sigaction(SIGINT, &before, NULL);
}

void leave_drawn(bool is)
{
	drawn = is;
}
