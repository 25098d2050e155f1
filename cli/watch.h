/* watch.h: follows a task to its end, on a terminal with a bar, elsewhere line by
 * line. Goes on over a restart of the service. SIGINT ends the command with exit
 * status 130 and leaves the task. */
#ifndef CLI_WATCH_H
#define CLI_WATCH_H

#include <stdio.h>

#include "cli/backend.h"
#include "cli/task_view.h"

struct watch_options {
	FILE *out;   /* where progress goes */
	bool logs;   /* show log lines as well */
	bool events; /* each event as JSON on stdout instead */
	bool quiet;  /* say nothing about how it ended; the caller does */
};

/* GetTask by whatever names one (ids.h). CLI_OK, or said. */
int watch_get(struct backend *b, const char *text, struct task_view *v);

/* Waits for the end of v, which is loaded, and loads it again; the exit status is
 * by its end state, the problem of a failed one on stderr. */
int watch_task(struct backend *b, struct task_view *v, const struct watch_options *o);

#endif
