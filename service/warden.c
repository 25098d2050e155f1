/* warden.c: see warden.h. Everything below warden_main runs in the forked process
 * and uses system calls and static memory only. */
#define _GNU_SOURCE
#include "service/warden.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "service/cgroup.h"

/* More live children than this: the rest rely on PR_SET_PDEATHSIG alone. */
enum { WARDEN_MAX = 4096, STAT_MAX = 512, SCANS = 3 };

struct note {
	int32_t add; /* 1: born, 0: gone */
	int32_t session;
};

static int service_end = -1;
static _Atomic pid_t warden;

/* The warden's own memory, in its own process. */
static pid_t sessions[WARDEN_MAX];
static size_t n_sessions;

static bool send_note(int fd, int add, pid_t session)
{
	struct note note = {add, session};

	return send(fd, &note, sizeof note, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof note;
}

bool warden_add(int fd, pid_t session)
{
	return send_note(fd, 1, session);
}

bool warden_remove(int fd, pid_t session)
{
	return send_note(fd, 0, session);
}

static void note_take(const struct note *note)
{
	for (size_t i = 0; i < n_sessions; i++)
		if (sessions[i] == note->session) {
			sessions[i] = sessions[--n_sessions];
			break;
		}
	if (note->add && n_sessions < WARDEN_MAX)
		sessions[n_sessions++] = note->session;
}

static bool is_listed(long session)
{
	for (size_t i = 0; i < n_sessions; i++)
		if (sessions[i] == session)
			return true;
	return false;
}

/* The session in the text of /proc/PID/stat, which is
 * "pid (name) state ppid pgrp session ...", where the name may hold anything. */
static long stat_session(const char *text)
{
	const char *p = strrchr(text, ')');
	long value = 0;

	for (int field = 0; p != NULL && field < 4; field++)
		p = strchr(p + 1, ' ');
	for (p = p ? p + 1 : ""; *p >= '0' && *p <= '9'; p++)
		value = value * 10 + (*p - '0');
	return value;
}

static void kill_if_listed(int proc, const char *pid)
{
	char path[32], text[STAT_MAX];
	size_t len = strlen(pid);
	ssize_t n;
	int fd;

	if (len > 16 || pid[0] < '1' || pid[0] > '9')
		return;
	memcpy(path, pid, len);
	memcpy(path + len, "/stat", sizeof "/stat");
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof text - 1);
	close(fd);
	if (n <= 0)
		return;
	text[n] = 0;
	if (is_listed(stat_session(text)))
		kill((pid_t)atol(pid), SIGKILL);
}

/* Processes that made a group of their own but stayed in the session. */
static void kill_sessions(void)
{
	static char entries[32768];
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (proc < 0)
		return;
	while ((n = syscall(SYS_getdents64, proc, entries, sizeof entries)) > 0)
		for (long at = 0; at < n;) {
			const struct dirent64 *d = (const void *)(entries + at);

			kill_if_listed(proc, d->d_name);
			at += d->d_reclen;
		}
	close(proc);
}

static void detach(void)
{
	sigset_t all;

	/* A terminal's Ctrl-C and a supervisor's SIGTERM are for the service; the
	 * warden leaves when the service has left. */
	setsid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "errand-warden");
}

static void warden_main(int fd)
{
	struct note note;
	ssize_t n;

	detach();
	if (dup2(fd, 0) < 0 || close_range(1, ~0U, 0) < 0)
		_exit(1);
	while ((n = read(0, &note, sizeof note)) > 0 || (n < 0 && errno == EINTR))
		if (n == sizeof note)
			note_take(&note);
	for (size_t i = 0; i < n_sessions; i++)
		kill(-sessions[i], SIGKILL);
	/* The cgroups have those too that left their session. */
	cgroup_bury();
	/* Again, for what was born while we looked. */
	for (int i = 0; i < SCANS && n_sessions > 0; i++)
		kill_sessions();
	_exit(0);
}

int warden_start(void)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		warden_main(pair[1]);
	if (pid < 0) {
		int err = errno;

		close(pair[0]);
		close(pair[1]);
		return -err;
	}
	close(pair[1]);
	service_end = pair[0];
	warden = pid;
	return 0;
}

void warden_stop(void)
{
	if (warden == 0)
		return;
	close(service_end);
	service_end = -1;
	while (waitpid(warden, NULL, 0) < 0 && errno == EINTR)
		;
	warden = 0;
}

pid_t warden_pid(void)
{
	return warden;
}

int warden_fd(void)
{
	return service_end;
}
