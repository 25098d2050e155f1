/* program_guard.c: see program_guard.h. What is written is one pid_t, whole, since it is
 * shorter than PIPE_BUF: a group to kill, or negative, one that has gone. */
#define _GNU_SOURCE
#include "cli/program_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/util.h"

static int to_guard = -1; /* close-on-exec; of the process */

struct groups {
	pid_t *list; /* owned */
	size_t n;
};

static void note(struct groups *g, pid_t told)
{
	size_t i = 0;

	while (i < g->n && g->list[i] != (told < 0 ? -told : told))
		i++;
	if (told < 0 && i < g->n) {
		g->list[i] = g->list[--g->n];
	} else if (told > 0 && i == g->n) {
		g->list = xrealloc(g->list, (g->n + 1) * sizeof *g->list);
		g->list[g->n++] = told;
	}
}

/* The guard's whole life. It hears no signal but SIGKILL, holds nothing but the pipe. */
static void watch(int fd)
{
	struct groups groups = {NULL, 0};
	sigset_t all;
	pid_t told;
	ssize_t n;

	setsid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "errand-guard");
	if (dup2(fd, 0) < 0 || close_range(1, ~0u, 0) < 0)
		_exit(1);
	while ((n = read(0, &told, sizeof told)) == sizeof told || (n < 0 && errno == EINTR))
		if (n > 0)
			note(&groups, told);
	for (size_t i = 0; i < groups.n; i++)
		kill(-groups.list[i], SIGKILL);
	_exit(0);
}

int program_guard_start(void)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		watch(fds[0]);
	close(fds[0]);
	if (pid > 0)
		to_guard = fds[1];
	else
		close(fds[1]);
	return pid > 0 ? 0 : -EAGAIN;
}

static void tell(pid_t pid)
{
	while (to_guard >= 0 && write(to_guard, &pid, sizeof pid) < 0 && errno == EINTR)
		;
}

void program_guard_add(pid_t group)
{
	tell(group);
}

void program_guard_remove(pid_t group)
{
	tell(-group);
}
