/* nthwrite.c: preloaded into a daemon, counts its writes to files at an offset and
 * its syncs (what SQLite writes with), and at the Nth does what is asked: in
 * NTHWRITE_KILL dies, a write half done; in NTHWRITE_EIO_WRITE, NTHWRITE_EIO_SYNC
 * that call fails, and all of its kind after it. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long n_all, n_writes, n_syncs;

static long asked(const char *name)
{
	const char *text = getenv(name);

	return text != NULL ? atol(text) : 0;
}

static bool is_turn(atomic_long *n, const char *name)
{
	return atomic_fetch_add(n, 1) + 1 == asked(name);
}

static bool is_broken(atomic_long *n, const char *name)
{
	long at = asked(name);

	return atomic_fetch_add(n, 1) + 1 >= at && at > 0;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at)
{
	if (is_turn(&n_all, "NTHWRITE_KILL")) {
		syscall(SYS_pwrite64, fd, data, len / 2, at);
		kill(getpid(), SIGKILL);
	}
	if (is_broken(&n_writes, "NTHWRITE_EIO_WRITE")) {
		errno = EIO;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, data, len, at);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	return pwrite64(fd, data, len, at);
}

static int sync_file(long call, int fd)
{
	if (is_turn(&n_all, "NTHWRITE_KILL"))
		kill(getpid(), SIGKILL);
	if (is_broken(&n_syncs, "NTHWRITE_EIO_SYNC")) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(call, fd);
}

int fdatasync(int fd)
{
	return sync_file(SYS_fdatasync, fd);
}

int fsync(int fd)
{
	return sync_file(SYS_fsync, fd);
}
