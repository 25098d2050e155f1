#define _GNU_SOURCE
#include "cli/dev_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "cli/cli.h"

enum { PAUSE_FIRST_MS = 100, PAUSE_MOST_S = 5, STEADY_S = 10 };

void dev_child_init(struct dev_child *c, const char *name, const char *program)
{
	*c = (struct dev_child){.name = name, .ready_fd = -1};
	dev_child_arg(c, program);
	dev_child_arg(c, "--ready-fd");
	c->fd_at = c->n_argv;
	dev_child_arg(c, "-1");
}

void dev_child_arg(struct dev_child *c, const char *text)
{
	c->argv = xrealloc(c->argv, (c->n_argv + 2) * sizeof *c->argv);
	c->argv[c->n_argv++] = text;
	c->argv[c->n_argv] = NULL;
}

void dev_child_deinit(struct dev_child *c)
{
	util_closep(&c->ready_fd);
	c->ready_fd = -1;
	free(c->argv);
	c->argv = NULL;
}

void dev_child_begin(pid_t parent)
{
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
}

/* In the child, between fork and exec. */
static void become(const struct dev_child *c, pid_t parent, int fd)
{
	char number[16];

	snprintf(number, sizeof number, "%d", fd);
	c->argv[c->fd_at] = number;
	dev_child_begin(parent);
	/* stdout is for our own lines */
	if (fcntl(fd, F_SETFD, 0) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(127);
	execv(c->argv[0], (char *const *)(uintptr_t)c->argv);
	_exit(127);
}

int dev_child_start(struct dev_child *c)
{
	pid_t parent = getpid(), pid;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		become(c, parent, fds[1]);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return -errno;
	}
	util_closep(&c->ready_fd);
	c->ready_fd = fds[0];
	c->pid = pid;
	c->ready = false;
	c->n_said = 0;
	c->restart_ns = 0;
	c->started_ns = clock_mono_ns();
	return 0;
}

void dev_child_read(struct dev_child *c)
{
	ssize_t n = read(c->ready_fd, c->said + c->n_said, sizeof c->said - 1 - c->n_said);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		char *newline;

		c->n_said += (size_t)n;
		c->said[c->n_said] = '\0';
		newline = strchr(c->said, '\n');
		if (newline == NULL && c->n_said < sizeof c->said - 1)
			return;
		if (newline != NULL)
			*newline = '\0';
		c->ready = c->was_ready = true;
	}
	close(c->ready_fd);
	c->ready_fd = -1;
}

void dev_child_ended(struct dev_child *c, int status, char *how, size_t size)
{
	int64_t now = clock_mono_ns();

	c->pid = 0;
	c->ready = false;
	util_closep(&c->ready_fd);
	c->ready_fd = -1;
	if (WIFSIGNALED(status))
		snprintf(how, size, "was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	else
		snprintf(how, size, "ended with status %d", WEXITSTATUS(status));
	if (now - c->started_ns > STEADY_S * NS_PER_S || c->pause_ns == 0)
		c->pause_ns = PAUSE_FIRST_MS * NS_PER_MS;
	c->restart_ns = now + c->pause_ns;
	c->pause_ns = MIN(c->pause_ns * 2, PAUSE_MOST_S * NS_PER_S);
	c->n_restarts++;
}
