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

#include "base/log.h"
#include "base/util.h"
#include "service/landlock.h"
#include "service/warden.h"

/* In the child: 0, 1, 2, what it may write messages to, and two that exec closes. */
enum { MESSAGE_FD = 3, FAILURE_FD, RULESET_FD, N_FDS, FIRST_FREE_FD = 10 };

enum step { STEP_SPAWN, STEP_JOIN, STEP_SETSID, STEP_PRCTL, STEP_FDS, STEP_USER, STEP_LIMITS, STEP_CHDIR,
	    STEP_LANDLOCK, STEP_EXEC };
static const char *const step_names[] = {"spawn", "cgroup", "setsid", "prctl", "fds", "user", "limits", "chdir",
					 "landlock", "exec"};

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

/* --- what is looked up before --- */

/* What a moment later may be otherwise stays what it is. */
static int rules_refuse(struct spawn_rules *r, const char *path, int rc, const char *why)
{
	static const int momentary[] = {EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR, EIO};

	log_warn("program refused", "program=%s reason=\"%s\"", path, why);
	spawn_rules_deinit(r);
	for (size_t i = 0; i < ARRAY_LEN(momentary); i++)
		if (rc == -momentary[i])
			return rc;
	return -EOPNOTSUPP;
}

static int rules_landlock(struct spawn_rules *r, const struct landlock_paths *paths)
{
	const char *bad;
	AUTO_FREE char *why = NULL;
	int rc = landlock_rules(paths, &r->ruleset_fd, &bad);

	if (rc == 0)
		return 0;
	if (rc == -EOPNOTSUPP)
		why = xstrdup("the kernel has no Landlock (or it is not in its list of security modules), "
			      "so read and write paths cannot be kept");
	else if (bad != NULL)
		why = xasprintf("path %s of its rules: %s", bad, strerrorname_np(-rc));
	else
		why = xasprintf("Landlock: %s", strerrorname_np(-rc));
	return rules_refuse(r, paths->program, rc, why);
}

int spawn_rules_make(struct spawn_rules *r, const char *path, const char *user, const char *group,
		     const char *const *read, const char *const *write)
{
	const struct landlock_paths paths = {path, read, write};
	AUTO_FREE char *why = NULL;
	int rc;

	*r = (struct spawn_rules){.ruleset_fd = -1};
	rc = account_find(user, group, &r->account, &why);
	if (rc < 0)
		return rules_refuse(r, path, rc, why);
	return read != NULL || write != NULL ? rules_landlock(r, &paths) : 0;
}

void spawn_rules_deinit(struct spawn_rules *r)
{
	account_deinit(&r->account);
	if (r->ruleset_fd >= 0)
		close(r->ruleset_fd);
	r->ruleset_fd = -1;
}

/* --- the child --- */

static void __attribute__((noreturn)) child_fail(int fd, enum step step)
{
	struct failure f = {step, errno};
	ssize_t n UNUSED = write(fd, &f, sizeof f);

	_exit(127);
}

/* 0 to RULESET_FD as given or closed, nothing else. Sources are moved out of the way
 * first: any of them may be one of these itself. Returns FAILURE_FD. */
static int child_fds(const struct spawn *s, int failure)
{
	int from[N_FDS] = {s->stdin_fd, s->stdout_fd, s->stderr_fd, s->message_fd, failure,
			   s->rules != NULL ? s->rules->ruleset_fd : -1};

	for (int fd = 0; fd < N_FDS; fd++)
		if (from[fd] >= 0 && (from[fd] = fcntl(from[fd], F_DUPFD_CLOEXEC, FIRST_FREE_FD)) < 0)
			child_fail(failure, STEP_FDS);
	for (int fd = 0; fd < N_FDS; fd++) {
		if (from[fd] < 0)
			close(fd);
		else if ((fd <= MESSAGE_FD ? dup2(from[fd], fd) : dup3(from[fd], fd, O_CLOEXEC)) < 0)
			child_fail(from[FAILURE_FD], STEP_FDS);
	}
	if (close_range(N_FDS, ~0U, 0) < 0)
		child_fail(FAILURE_FD, STEP_FDS);
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

static void child_die_with_parent(const struct spawn *s, int failure)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		child_fail(failure, STEP_PRCTL);
	if (getppid() != s->parent)
		_exit(127); /* the service died before PDEATHSIG was set */
}

/* Reaper of its own descendants: none escapes to another parent while it lives
 * (process.c, "What is left behind"). */
static void child_lead(const struct spawn *s, int failure)
{
	if (setsid() < 0)
		child_fail(failure, STEP_SETSID);
	if (setrlimit(RLIMIT_MSGQUEUE, s->mark) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		child_fail(failure, STEP_PRCTL);
	child_die_with_parent(s, failure);
	if (s->warden_fd >= 0)
		warden_add(s->warden_fd, getpid());
}

/* No core files: they would hold what the program was given. 1 instead of 0, where it may
 * be had, since the kernel starts no collector of them for it either (core_pattern). */
static bool child_no_core(void)
{
	struct rlimit core;

	if (getrlimit(RLIMIT_CORE, &core) < 0)
		return false;
	core.rlim_cur = core.rlim_max = MIN(core.rlim_max, 1);
	return setrlimit(RLIMIT_CORE, &core) == 0;
}

/* Last, since little may be done any more after it. */
static void child_confine(const struct spawn *s, int failure)
{
	if (!child_no_core())
		child_fail(failure, STEP_LIMITS);
	for (size_t i = 0; i < s->n_rlimits; i++)
		if (setrlimit(s->rlimits[i].resource, &s->rlimits[i].value) < 0)
			child_fail(failure, STEP_LIMITS);
	if (s->dir != NULL && chdir(s->dir) < 0)
		child_fail(failure, STEP_CHDIR);
	if (s->rules != NULL && s->rules->ruleset_fd >= 0 && landlock_restrict(RULESET_FD) < 0)
		child_fail(failure, STEP_LANDLOCK);
	umask(s->umask == 0 ? 022 : s->umask < 0 ? 0 : (mode_t)s->umask);
}

static void __attribute__((noreturn)) child_main(const struct spawn *s, int failure)
{
	child_join(s, failure);
	child_lead(s, failure);
	failure = child_fds(s, failure);
	if (s->rules != NULL && s->rules->account.switches) {
		if (account_become(&s->rules->account) < 0)
			child_fail(failure, STEP_USER);
		child_die_with_parent(s, failure); /* the kernel forgets it with the user */
	}
	child_confine(s, failure);
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

/* ENOENT is the program's, and EOPNOTSUPP no error of the moment: what was asked for is
 * not to be had. */
static int error_of(const struct failure *f, bool whole)
{
	if (!whole || f->err <= 0)
		return -EIO;
	if (f->step == STEP_CHDIR && f->err == ENOENT)
		return -ENOTDIR;
	if (f->step == STEP_USER || f->step == STEP_LANDLOCK || (f->step == STEP_LIMITS && f->err != EAGAIN))
		return -EOPNOTSUPP;
	return -f->err;
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
	*stepp = f.step == STEP_EXEC && f.err == EACCES && s->rules != NULL && s->rules->ruleset_fd >= 0
		 ? "exec-under-landlock" : step_names[f.step]; /* of a script: its interpreter */
	return error_of(&f, n == sizeof f);
}
