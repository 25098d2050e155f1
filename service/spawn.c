/* spawn.c: see spawn.h. child_* run in the vforked child: async-signal-safe calls
 * only, no write to memory of the service but the child's own stack frames. What
 * went wrong there comes back through a close-on-exec pipe. */
#define _GNU_SOURCE
#include "service/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "service/warden.h"

enum { FAILURE_FD = 3, FIRST_FREE_FD = 10 };

enum step { STEP_SPAWN, STEP_JOIN, STEP_SETSID, STEP_PRCTL, STEP_FDS, STEP_CHDIR, STEP_EXEC };
static const char *const step_names[] = {"spawn", "cgroup", "setsid", "prctl", "fds", "chdir", "exec"};

struct failure {
	int step, err;
};

/* --- where the program is --- */

static bool is_program(const char *path, int *errp)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0) {
		*errp = -EACCES;
		return false;
	}
	return true;
}

int spawn_find(const char *name, char **pathp)
{
	const char *dirs = getenv("PATH");
	int err = -ENOENT;

	*pathp = NULL;
	if (strchr(name, '/') != NULL) {
		*pathp = xstrdup(name);
		return 0;
	}
	if (*name == 0)
		return -ENOENT;
	if (dirs == NULL || *dirs == 0)
		dirs = "/usr/local/bin:/usr/bin:/bin";
	for (size_t len; *dirs; dirs += len + (dirs[len] == ':')) {
		AUTO_FREE char *path = NULL;

		len = strcspn(dirs, ":");
		if (*dirs != '/')
			continue; /* the working directory is nobody's bin */
		path = xasprintf("%.*s/%s", (int)len, dirs, name);
		if (is_program(path, &err)) {
			*pathp = path;
			path = NULL;
			return 0;
		}
	}
	return err;
}

/* --- the child --- */

static void __attribute__((noreturn)) child_fail(int fd, enum step step)
{
	struct failure f = {step, errno};
	ssize_t n UNUSED = write(fd, &f, sizeof f);

	_exit(127);
}

/* 0, 1 and 2 as given, the failure pipe at 3, nothing else. Sources are moved
 * out of the way first: any of them may be 0 to 3 itself. Returns FAILURE_FD. */
static int child_fds(const struct spawn *s, int failure)
{
	int from[] = {s->stdin_fd, s->stdout_fd, s->stderr_fd, failure};

	for (size_t i = 0; i < ARRAY_LEN(from); i++) {
		from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
		if (from[i] < 0)
			child_fail(failure, STEP_FDS);
	}
	for (int fd = 0; fd < FAILURE_FD; fd++)
		if (dup2(from[fd], fd) < 0)
			child_fail(from[FAILURE_FD], STEP_FDS);
	if (dup3(from[FAILURE_FD], FAILURE_FD, O_CLOEXEC) < 0 ||
	    close_range(FAILURE_FD + 1, ~0U, 0) < 0)
		child_fail(from[FAILURE_FD], STEP_FDS);
	return FAILURE_FD;
}

/* Default handlers before the mask is lifted: the service's own must not run here,
 * where its memory is shared. By the system call, since sigaction(3) refuses the
 * numbers the C library keeps to itself, which may have come ignored from whoever
 * started the service; all zeros is SIG_DFL in each machine's layout. */
static void child_signals(void)
{
	static const char zeros[64];
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		syscall(SYS_rt_sigaction, sig, zeros, NULL, (size_t)8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* "0" is whoever writes. First of all, so that nothing it does is missed. */
static void child_join(const struct spawn *s, int failure)
{
	for (size_t i = 0; i < s->n_join; i++)
		if (write(s->join_fds[i], "0", 1) < 0)
			child_fail(failure, STEP_JOIN);
}

static void __attribute__((noreturn)) child_main(const struct spawn *s, int failure)
{
	child_join(s, failure);
	if (setsid() < 0)
		child_fail(failure, STEP_SETSID);
	/* Reaper of its own descendants: none escapes to another parent while it
	 * lives (process.c, "What is left behind"). */
	if (setrlimit(RLIMIT_MSGQUEUE, s->mark) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		child_fail(failure, STEP_PRCTL);
	if (getppid() != s->parent)
		_exit(127); /* the service died before PDEATHSIG was set */
	if (s->warden_fd >= 0)
		warden_add(s->warden_fd, getpid());
	failure = child_fds(s, failure);
	if (s->dir != NULL && chdir(s->dir) < 0)
		child_fail(failure, STEP_CHDIR);
	umask(022);
	child_signals();
	execve(s->path, (char *const *)s->argv, (char *const *)s->env);
	child_fail(failure, STEP_EXEC);
}

/* A frame of its own: nothing of the caller's is live in registers across vfork. */
static pid_t __attribute__((noinline)) vfork_child(const struct spawn *s, int failure)
{
	pid_t pid = vfork();

	if (pid == 0)
		child_main(s, failure);
	return pid;
}

int spawn_start(const struct spawn *s, pid_t *pidp, const char **stepp)
{
	struct failure f = {STEP_SPAWN, 0};
	sigset_t all, old;
	int failure[2], err;
	ssize_t n;

	*stepp = step_names[STEP_SPAWN];
	if (pipe2(failure, O_CLOEXEC) < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	*pidp = vfork_child(s, failure[1]);
	err = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	close(failure[1]);
	if (*pidp < 0) {
		close(failure[0]);
		return -err;
	}
	while ((n = read(failure[0], &f, sizeof f)) < 0 && errno == EINTR)
		;
	close(failure[0]);
	if (n == 0)
		return 0; /* closed by exec */
	if (s->warden_fd >= 0)
		warden_remove(s->warden_fd, *pidp);
	while (waitpid(*pidp, NULL, 0) < 0 && errno == EINTR)
		;
	*stepp = step_names[f.step];
	return n == sizeof f && f.err > 0 ? -f.err : -EIO;
}
