/* dev_project.h: a directory with sources, for `errand dev DIR`: built by make, watched, and
 * which modules come of it. A build is a child process; what it prints is shown when it
 * has failed. Main thread. */
#ifndef CLI_DEV_PROJECT_H
#define CLI_DEV_PROJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/dev_watch.h"

struct dev_project {
	char *dir;            /* owned; NULL: there is no project */
	struct dev_watch watch;
	pid_t pid;            /* of make; 0: it does not run */
	int output;           /* a file of memory with what it prints; -1 */
	int64_t build_ns;     /* when the next build begins; 0: none is due */
	uint64_t print;       /* of the modules as they were loaded */
	char changed[256];    /* a file that was */
	char **modules;       /* n_modules, owned */
	size_t n_modules;
};

/* Builds it and waits for that, finds its modules, begins to watch. False after an error. */
bool dev_project_open(struct dev_project *p, const char *dir);
void dev_project_close(struct dev_project *p); /* ends a build */
/* The watch has something: a build is due in a moment, when no more comes. */
void dev_project_changed(struct dev_project *p);
/* Starts make when it is due and none runs. True: it was started. */
bool dev_project_due(struct dev_project *p);
/* make has ended. 0: its modules are new; 1: they are as they were; -1: it failed, and what it printed
 * is on stderr. */
int dev_project_built(struct dev_project *p, int status);

#endif
