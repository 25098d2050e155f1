/* program.h: one program of `errand worker`: an argv below a keeper (keeper.h), its
 * input on stdin, lines from stderr and descriptor 3, all of its stdout. The owner polls
 * its descriptors. One thread. */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

enum { PROGRAM_OUT, PROGRAM_ERR, PROGRAM_MESSAGE, PROGRAM_PIPES };
#define PROGRAM_FDS (PROGRAM_PIPES + 1) /* and its end */

struct program {
	pid_t pid;              /* of its keeper; 0: not running */
	int pidfd;
	int fds[PROGRAM_PIPES]; /* our ends; -1 when they have ended */
	struct buf out;         /* stdout, at most `max` */
	size_t max;
	bool too_much;          /* there was more */
	struct buf lines[PROGRAM_PIPES]; /* what came of a line that has not ended */
	bool ended;
	int status;             /* of waitpid, once it has */
	/* A line of stderr (PROGRAM_ERR) or descriptor 3 (PROGRAM_MESSAGE), without its
	 * newline. */
	void (*on_line)(int which, const char *line, size_t len, void *arg);
	void *arg;
};

/* env: more variables, "NAME=value", NULL-terminated. The members of the last two lines are set before.
 * 0 or -errno; input is copied. */
int program_start(struct program *p, char *const *argv, char *const *env, struct bytes input);
/* What to poll for: PROGRAM_FDS entries; fds that have ended are -1. */
void program_poll(const struct program *p, struct pollfd *to);
/* True when it is over: it has ended, and so have its pipes (or it was given a second for that). */
bool program_ready(struct program *p, const struct pollfd *polled);
void program_signal(const struct program *p, int signal); /* SIGTERM: to its group; SIGKILL: to all it has started */
void program_deinit(struct program *p); /* kills what is left */

#endif
