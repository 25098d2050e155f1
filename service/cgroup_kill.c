/* cgroup_kill.c: everybody in a cgroup is killed. cgroup.kill does it at once where
 * there is one; else the freezer holds them still, so that none forks away, while each
 * of cgroup.procs gets its signal; without that either, those that are seen do, and the
 * caller comes again. Here are system calls and the stack only: the warden, forked off
 * a process with threads, uses this too. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "service/cgroup_engine.h"

enum { FROZEN_TRIES = 20, CLEAR_TRIES = 100, LIST_BYTES = 4096, PATH_BYTES = 64, DEPTH = 4 };

int cgroup_write(int dir, const char *file, const char *text)
{
	AUTO_CLOSE int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int cgroup_read(int dir, const char *file, char *text, size_t size)
{
	AUTO_CLOSE int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	text[MAX(n, 0)] = 0;
	return n < 0 ? -errno : 0;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){0, ms * 1000000}, NULL);
}

/* "/proc/PID/cgroup" */
static void proc_path(pid_t pid, char out[PATH_BYTES])
{
	char digits[16];
	size_t n = sizeof digits;

	digits[--n] = 0;
	for (; pid > 0 && n > 0; pid /= 10)
		digits[--n] = (char)('0' + pid % 10);
	strcpy(stpcpy(stpcpy(out, "/proc/"), digits + n), "/cgroup");
}

/* Is it in a cgroup of that name, or below it? "/errand.1" is not in "/errand.12/7". */
static bool is_in(pid_t pid, const char *mark)
{
	char path[PATH_BYTES], text[LIST_BYTES];
	size_t len = strlen(mark);

	proc_path(pid, path);
	if (cgroup_read(AT_FDCWD, path, text, sizeof text) < 0)
		return false;
	for (const char *at = text; (at = strstr(at, mark)) != NULL; at += len)
		if (at[len] == '/' || at[len] == '\n')
			return true;
	return false;
}

/* The pid is held fast before it is asked where it is. */
static void kill_one(pid_t pid, const char *mark)
{
	AUTO_CLOSE int fd = pidfd_open(pid, 0);

	if (fd >= 0 && is_in(pid, mark))
		pidfd_send_signal(fd, SIGKILL, NULL, 0);
}

static void kill_listed(int dir, const char *mark)
{
	AUTO_CLOSE int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char text[LIST_BYTES];
	pid_t pid = 0;
	ssize_t n;

	while (fd >= 0 && (n = read(fd, text, sizeof text)) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				pid = pid * 10 + (text[i] - '0');
				continue;
			}
			if (pid > 0)
				kill_one(pid, mark);
			pid = 0;
		}
}

/* They are stopped one by one; what has not been for so long is killed as it is. */
static bool freeze(int dir)
{
	char state[CGROUP_TEXT];

	if (cgroup_write(dir, "freezer.state", "FROZEN") < 0)
		return false;
	for (int i = 0; i < FROZEN_TRIES; i++) {
		if (cgroup_read(dir, "freezer.state", state, sizeof state) < 0 ||
		    strncmp(state, "FROZEN", 6) == 0)
			break;
		pause_ms(1);
	}
	return true;
}

void cgroup_kill_in(int dir, const char *name, const char *mark)
{
	AUTO_CLOSE int own = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool frozen;

	if (own < 0 || cgroup_write(own, "cgroup.kill", "1") == 0)
		return;
	frozen = freeze(own);
	kill_listed(own, mark);
	if (frozen)
		cgroup_write(own, "freezer.state", "THAWED");
}

static bool remove_below(int dir, const char *name, const char *mark, int depth);

/* One pass over the children of dir; how many are left. */
static int clear_children(int dir, const char *mark, int depth)
{
	_Alignas(struct dirent64) char entries[LIST_BYTES];
	int n_left = 0;
	long n;

	lseek(dir, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, dir, entries, sizeof entries)) > 0)
		for (long at = 0; at < n;) {
			const struct dirent64 *d = (const void *)(entries + at);

			at += d->d_reclen;
			if (d->d_type == DT_DIR && d->d_name[0] != '.')
				n_left += !remove_below(dir, d->d_name, mark, depth);
		}
	return n_left;
}

/* What a program of root's has made in its own goes first. */
static bool remove_below(int dir, const char *name, const char *mark, int depth)
{
	AUTO_CLOSE int own = -1;

	cgroup_kill_in(dir, name, mark);
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return true;
	own = depth > 0 ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (own >= 0)
		clear_children(own, mark, depth - 1);
	return unlinkat(dir, name, AT_REMOVEDIR) == 0;
}

bool cgroup_remove_in(int dir, const char *name, const char *mark)
{
	return remove_below(dir, name, mark, DEPTH);
}

bool cgroup_clear(const char *path)
{
	AUTO_CLOSE int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return errno == ENOENT;
	for (int i = 0; i < CLEAR_TRIES && clear_children(dir, strrchr(path, '/'), DEPTH) > 0; i++)
		pause_ms(10);
	return rmdir(path) == 0 || errno == ENOENT;
}
