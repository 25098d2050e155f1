/* activation.c: see activation.h. Before there are threads, since it reads the environment. */
#define _GNU_SOURCE
#include "base/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST = 3, MOST = 1024 };

/* The number in that variable; -1: none. */
static long number_of(const char *variable)
{
	const char *text = getenv(variable);
	char *end;
	long n;

	if (text == NULL || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	return errno == 0 && *end == '\0' ? n : -1;
}

/* Is the i-th element of `names` this one? */
static bool has_name(const char *names, long i, const char *name)
{
	size_t len;

	if (names == NULL)
		return strcmp(name, "unknown") == 0;
	for (; i > 0; i--) {
		names = strchr(names, ':');
		if (names == NULL)
			return false;
		names++;
	}
	len = strcspn(names, ":");
	return strlen(name) == len && memcmp(names, name, len) == 0;
}

int activation_take(const char *name, int *fds, int max)
{
	const char *names = getenv("LISTEN_FDNAMES");
	long n = number_of("LISTEN_FDS");
	int taken = 0;

	if (number_of("LISTEN_PID") != (long)getpid() || n > MOST)
		return 0;
	for (long i = 0; i < n; i++) {
		int fd = FIRST + (int)i, flags = fcntl(fd, F_GETFD);

		if (flags < 0)
			continue;
		fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
		if (taken < max && (name == NULL || has_name(names, i, name)))
			fds[taken++] = fd;
	}
	return taken;
}
