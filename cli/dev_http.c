#define _GNU_SOURCE
#include "cli/dev_http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/sock.h"
#include "base/util.h"

static bool wait_for(int fd, short events, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, timeout_ms) == 1;
}

bool dev_http_ready(const char *address, int timeout_ms)
{
	static const char request[] =
		"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
	char why[SOCK_WHY], status[16];
	AUTO_CLOSE int fd = sock_connect(address, why);
	ssize_t n;

	if (fd < 0 || !wait_for(fd, POLLOUT, timeout_ms) || sock_error(fd) != 0)
		return false;
	if (write(fd, request, sizeof request - 1) != sizeof request - 1)
		return false;
	if (!wait_for(fd, POLLIN, timeout_ms))
		return false;
	n = read(fd, status, sizeof status - 1);
	if (n < 12)
		return false;
	status[n] = '\0';
	return strncmp(status, "HTTP/1.1 200", 12) == 0;
}
