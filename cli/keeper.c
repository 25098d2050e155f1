/* keeper.c: see keeper.h. One thread, forked from one: system calls only. */
#define _GNU_SOURCE
#include "cli/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 500, PAUSE_MS = 10 }; /* until what cannot be killed is left alone */

static pid_t program;
static int ended_as;  /* of waitpid */
static bool ended;

/* Takes whoever has ended; true while there are children. */
static bool reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == program) {
			ended_as = status;
			ended = true;
		}
	return pid == 0;
}

/* "12 34 56 " of our children, the adopted ones too; the kernel's own list. */
static void kill_children(void)
{
	static char text[65536];
	int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	for (char *p = text, *end; *p != 0; p = end) {
		long pid = strtol(p, &end, 10);

		if (end == p)
			break;
		if (pid > 1)
			kill((pid_t)pid, SIGKILL);
	}
	if (!ended)
		kill(-program, SIGKILL);
}

/* Each that dies leaves us its children. */
static void kill_all(void)
{
	static const struct timespec pause = {0, PAUSE_MS * 1000000L};
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (int i = 0; i < ROUNDS && reap(); i++) {
		kill_children();
		sigtimedwait(&child, NULL, &pause);
	}
}

static void __attribute__((noreturn)) end_as(int status)
{
	const struct rlimit no_core = {0, 0};
	sigset_t none;

	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	setrlimit(RLIMIT_CORE, &no_core);
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	raise(WTERMSIG(status));
	_exit(128 + WTERMSIG(status));
}

static void __attribute__((noreturn)) keep(const sigset_t *all)
{
	close_range(0, ~0U, 0);
	while (reap() && !ended)
		switch (sigwaitinfo(all, NULL)) {
		case KEEPER_STOP:
			kill(-program, SIGTERM);
			kill(-program, SIGCONT);
			break;
		case KEEPER_KILL: kill_all(); break;
		default: break;
		}
	kill(-program, SIGKILL); /* its group may have more than our children */
	kill_all();
	end_as(ended ? ended_as : SIGKILL);
}

int keeper_fork(pid_t parent)
{
	sigset_t all, none;
	pid_t self = getpid();

	setsid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);
	prctl(PR_SET_NAME, "errand-keeper");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || prctl(PR_SET_PDEATHSIG, KEEPER_KILL) < 0 || getppid() != parent)
		_exit(127);
	program = fork();
	if (program < 0)
		return -1;
	if (program > 0) {
		setpgid(program, program);
		keep(&all);
	}
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != self)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return 0;
}
