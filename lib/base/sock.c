/* sock.c: sockets, with every refusal in words. The rules for a UNIX listener
 * (FAULTS 41, 42): who decides is who holds flock on `path.lock`, so that of two
 * services started at once exactly one touches the name; the socket is made
 * under a temporary name with its mode already set and then renamed, so that no
 * client ever finds one it may open too freely or one nobody listens on. */
#define _GNU_SOURCE
#include "base/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"

#define NEW_SUFFIX ".new" /* of the temporary name */
#define SOCK_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

static int PRINTF(3, 4) refuse(char *why, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, SOCK_WHY, fmt, ap);
	va_end(ap);
	return -err;
}

/* The path of a UNIX address, or NULL for a TCP one. */
static const char *unix_path(const char *address)
{
	if (strncmp(address, "unix:", 5) == 0)
		return address + 5;
	return strchr(address, '/') != NULL ? address : NULL;
}

static int fill_un(const char *path, struct sockaddr_un *un, char why[SOCK_WHY])
{
	size_t len = strlen(path);

	if (len == 0)
		return refuse(why, EINVAL, "the socket's path is empty: give one");
	if (len >= sizeof un->sun_path)
		return refuse(why, ENAMETOOLONG,
			      "%.100s...: a socket's path has at most %zu bytes, this has %zu", path,
			      sizeof un->sun_path - 1, len);
	memset(un, 0, sizeof *un);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len + 1);
	return 0;
}

/* --- TCP --- */

/* Splits HOST:PORT or [v6]:PORT; host is "" for all addresses. */
static int split_tcp(const char *address, char host[256], char port[16], char why[SOCK_WHY])
{
	const char *colon = strrchr(address, ':');
	const char *end = colon;
	char *stop;
	unsigned long n;

	if (colon == NULL)
		return refuse(why, EINVAL, "%.100s: no port; write HOST:PORT, [v6]:PORT or a path", address);
	if (address[0] == '[') {
		address++;
		end = colon - 1;
		if (*end != ']')
			return refuse(why, EINVAL, "[%.100s: write an IPv6 address as [v6]:PORT", address);
	} else if (memchr(address, ':', (size_t)(colon - address)) != NULL) {
		return refuse(why, EINVAL, "%.100s: write an IPv6 address as [v6]:PORT", address);
	}
	if (end - address >= 256)
		return refuse(why, EINVAL, "%.40s...: the host's name is too long", address);
	errno = 0;
	n = strtoul(colon + 1, &stop, 10);
	if (colon[1] < '0' || colon[1] > '9' || *stop != '\0' || errno != 0 || n > 65535)
		return refuse(why, EINVAL, "%.100s: the port must be a number from 0 to 65535", colon + 1);
	snprintf(host, 256, "%.*s", (int)(end - address), address);
	if (strcmp(host, "*") == 0)
		host[0] = '\0';
	snprintf(port, 16, "%lu", n);
	return 0;
}

static int resolve(const char *address, int flags, struct addrinfo **out, char why[SOCK_WHY])
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
	char host[256], port[16];
	int r = split_tcp(address, host, port, why);

	if (r < 0)
		return r;
	r = getaddrinfo(host[0] ? host : NULL, port, &hints, out);
	if (r != 0)
		return refuse(why, EADDRNOTAVAIL, "%.100s: %s", address,
			      r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
	return 0;
}

static int listen_addr(const struct addrinfo *ai, bool shared)
{
	AUTO_CLOSE int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_FLAGS, 0);
	int on = 1, out;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	out = fd;
	fd = -1;
	return out;
}

int sock_listen_tcp(const char *address, bool shared, char why[SOCK_WHY])
{
	struct addrinfo *list;
	int fd = -EADDRNOTAVAIL;
	int r = resolve(address, AI_PASSIVE, &list, why);

	if (r < 0)
		return r;
	for (struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next)
		fd = listen_addr(ai, shared);
	freeaddrinfo(list);
	if (fd < 0)
		return refuse(why, -fd, "cannot listen on %.100s: %s%s", address, strerror(-fd),
			      fd == -EADDRINUSE ? "; stop what uses it or choose another port" : "");
	return fd;
}

/* --- a UNIX listener --- */

/* The directory must not let others put their own file in the socket's place. */
static int check_parent(const char *path, char why[SOCK_WHY])
{
	char dir[sizeof((struct sockaddr_un *)0)->sun_path];
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (slash == NULL)
		strcpy(dir, ".");
	else if (slash == path)
		strcpy(dir, "/");
	else
		snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
	if (stat(dir, &st) < 0)
		return refuse(why, errno, "%s: %s; the socket's directory must exist", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return refuse(why, ENOTDIR, "%s is no directory; the socket cannot be put there", dir);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return refuse(why, EPERM, "%s belongs to user %u: use a directory of your own or root's", dir,
			      (unsigned)st.st_uid);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))
		return refuse(why, EPERM,
			      "others may write in %s (mode %03o) and could replace the socket: chmod go-w it",
			      dir, (unsigned)(st.st_mode & 0777));
	return 0;
}

/* The fd of the lock, held; who loses is told the winner's pid. */
static int take_lock(const char *path, char why[SOCK_WHY])
{
	AUTO_FREE char *name = NULL;
	AUTO_CLOSE int fd = -1;
	struct stat st;
	char pid[24] = "";
	int out, n;

	if (asprintf(&name, "%s.lock", path) < 0)
		return refuse(why, ENOMEM, "out of memory");
	fd = open(name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
	if (fd < 0)
		return refuse(why, errno, "%s: %s", name, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return refuse(why, EPERM, "%s is not a regular file of ours: remove it", name);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return refuse(why, errno, "%s: %s", name, strerror(errno));
		if (read(fd, pid, sizeof pid - 1) > 0)
			pid[strcspn(pid, "\n")] = '\0';
		return refuse(why, EADDRINUSE, "%s is already in use by process %s: stop it first", path,
			      pid[0] ? pid : "(unknown)");
	}
	n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || write(fd, pid, (size_t)n) != n)
		return refuse(why, errno ? errno : EIO, "%s: %s", name, strerror(errno));
	out = fd;
	fd = -1;
	return out;
}

/* Does somebody answer there? A full backlog (EAGAIN) is an answer too. */
static bool is_live(const struct sockaddr_un *un)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_FLAGS, 0);

	return fd < 0 || connect(fd, (const struct sockaddr *)un, sizeof *un) == 0 ||
	       (errno != ECONNREFUSED && errno != ENOENT);
}

/* What is at path now: nothing, or a stale socket of ours, else a refusal. */
static int check_old(const struct sockaddr_un *un, char why[SOCK_WHY])
{
	const char *path = un->sun_path;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : refuse(why, errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return refuse(why, EEXIST, "%s is %s, not a socket: remove it or choose another path", path,
			      S_ISLNK(st.st_mode)   ? "a symbolic link"
			      : S_ISDIR(st.st_mode) ? "a directory"
						    : "a file");
	if (st.st_uid != geteuid())
		return refuse(why, EPERM, "the socket %s belongs to user %u: remove it or choose another path",
			      path, (unsigned)st.st_uid);
	if (is_live(un))
		return refuse(why, EADDRINUSE, "somebody answers on %s: stop him or choose another path", path);
	return 0;
}

/* Listens on a temporary name and gives it the real one. */
static int bind_renamed(const struct sockaddr_un *un, mode_t mode, char why[SOCK_WHY])
{
	AUTO_CLOSE int fd = -1;
	AUTO_FREE char *name = NULL;
	struct sockaddr_un tmp;
	int out, r;

	if (asprintf(&name, "%s" NEW_SUFFIX, un->sun_path) < 0)
		return refuse(why, ENOMEM, "out of memory");
	r = fill_un(name, &tmp, why);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_FLAGS, 0);
	if (fd < 0 || (unlink(name) < 0 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&tmp, sizeof tmp) < 0)
		return refuse(why, errno, "%s: %s", name, strerror(errno));
	if (chmod(name, mode) < 0 || listen(fd, SOMAXCONN) < 0 || rename(name, un->sun_path) < 0) {
		r = refuse(why, errno, "%s: %s", un->sun_path, strerror(errno));
		unlink(name);
		return r;
	}
	out = fd;
	fd = -1;
	return out;
}

int sock_listen_unix(const char *path, mode_t mode, int *lockp, char why[SOCK_WHY])
{
	AUTO_CLOSE int lock = -1;
	struct sockaddr_un un;
	int fd, r;

	*lockp = -1;
	path = strncmp(path, "unix:", 5) == 0 ? path + 5 : path;
	r = fill_un(path, &un, why);
	if (r < 0 || (r = check_parent(path, why)) < 0)
		return r;
	lock = take_lock(path, why);
	if (lock < 0)
		return lock;
	r = check_old(&un, why);
	if (r < 0)
		return r;
	fd = bind_renamed(&un, mode, why);
	if (fd < 0)
		return fd;
	*lockp = lock;
	lock = -1;
	return fd;
}

/* --- connecting --- */

static int connect_addr(const struct sockaddr *addr, socklen_t len)
{
	AUTO_CLOSE int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_FLAGS, 0);
	int on = 1, out;

	if (fd < 0 || (connect(fd, addr, len) < 0 && errno != EINPROGRESS))
		return -errno;
	if (addr->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	out = fd;
	fd = -1;
	return out;
}

int sock_connect(const char *address, char why[SOCK_WHY])
{
	const char *path = unix_path(address);
	struct addrinfo *list;
	struct sockaddr_un un;
	int fd = -EADDRNOTAVAIL, r;

	if (path != NULL) {
		r = fill_un(path, &un, why);
		if (r < 0)
			return r;
		fd = connect_addr((struct sockaddr *)&un, sizeof un);
	} else {
		r = resolve(address, 0, &list, why);
		if (r < 0)
			return r;
		for (struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next)
			fd = connect_addr(ai->ai_addr, ai->ai_addrlen);
		freeaddrinfo(list);
	}
	if (fd < 0)
		return refuse(why, -fd, "cannot connect to %.120s: %s%s", address, strerror(-fd),
			      fd == -ENOENT || fd == -ECONNREFUSED ? "; is the service running?" : "");
	return fd;
}

int sock_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof err;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		return -errno;
	return -err;
}

int sock_peer(int fd, struct sock_peer *out)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	*out = (struct sock_peer){cred.pid, cred.uid, cred.gid};
	return 0;
}

int sock_name(int fd, char *out, size_t size)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof ss;
	char host[INET6_ADDRSTRLEN], port[8];
	int n;

	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
		return -errno;
	if (ss.ss_family == AF_UNIX) {
		const char *path = ((struct sockaddr_un *)&ss)->sun_path;
		const char *end = strstr(path, NEW_SUFFIX);

		/* The kernel remembers the name it was bound under. */
		if (end == NULL || end[strlen(NEW_SUFFIX)] != '\0')
			end = path + strlen(path);
		n = snprintf(out, size, "%.*s", (int)(end - path), path);
	} else {
		if (getnameinfo((struct sockaddr *)&ss, len, host, sizeof host, port, sizeof port,
				NI_NUMERICHOST | NI_NUMERICSERV) != 0)
			return -EINVAL;
		n = snprintf(out, size, ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	}
	return n >= 0 && (size_t)n < size ? 0 : -ENOSPC;
}
