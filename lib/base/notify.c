/* notify.c: see notify.h. A socket for each datagram: there are few of them, and nothing is to be
 * kept over a fork. */
#define _GNU_SOURCE
#include "base/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

enum { LINE_MAX_BYTES = 512 };

/* A path, or a name of the abstract namespace after '@'. False: nobody to tell. */
static bool address_of(struct sockaddr_un *un, socklen_t *lenp)
{
	const char *name = getenv("NOTIFY_SOCKET");
	size_t len = name != NULL ? strlen(name) : 0;

	if (len < 2 || len >= sizeof un->sun_path || (*name != '/' && *name != '@'))
		return false;
	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(un->sun_path, name, len);
	if (*name == '@')
		un->sun_path[0] = '\0';
	*lenp = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*name == '/'));
	return true;
}

bool notify_wanted(void)
{
	struct sockaddr_un un;
	socklen_t len;

	return address_of(&un, &len);
}

/* flags: MSG_DONTWAIT, or 0 for what should not be lost because the supervisor is slow. */
static void tell(const char *text, int flags)
{
	const struct timeval limit = {.tv_sec = 2};
	struct sockaddr_un un;
	socklen_t len;
	int fd;

	if (!address_of(&un, &len))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	while (sendto(fd, text, strlen(text), flags | MSG_NOSIGNAL, (struct sockaddr *)&un, len) < 0 && errno == EINTR)
		;
	close(fd);
}

void notify_ready(void)
{
	tell("READY=1", 0);
}

/* The supervisor tells an old answer from a new one by the time: the kernel's clock, also in tests. */
void notify_reloading(void)
{
	struct timespec now;
	char text[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)now.tv_sec * US_PER_S + now.tv_nsec / 1000);
	tell(text, 0);
}

void notify_stopping(void)
{
	tell("STOPPING=1", 0);
}

void notify_status(const char *fmt, ...)
{
	char text[LINE_MAX_BYTES] = "STATUS=";
	const size_t at = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + at, sizeof text - at, fmt, ap);
	va_end(ap);
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	tell(text, MSG_DONTWAIT);
}

/* A decimal number > 0 in that variable, else 0. */
static long long number_of(const char *variable)
{
	const char *text = getenv(variable);
	char *end;
	long long n;

	if (text == NULL || *text < '0' || *text > '9')
		return 0;
	errno = 0;
	n = strtoll(text, &end, 10);
	return errno == 0 && *end == '\0' ? n : 0;
}

int64_t notify_watchdog_ns(void)
{
	long long us = number_of("WATCHDOG_USEC");

	if (us <= 0 || us > INT64_MAX / 1000 || !notify_wanted())
		return 0;
	if (getenv("WATCHDOG_PID") != NULL && number_of("WATCHDOG_PID") != getpid())
		return 0; /* somebody else's */
	return us * 1000;
}

void notify_watchdog(void)
{
	tell("WATCHDOG=1", MSG_DONTWAIT);
}
