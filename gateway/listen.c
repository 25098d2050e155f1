/* listen.c: see listen.h. */
#define _GNU_SOURCE
#include "gateway/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/activation.h"
#include "base/sock.h"
#include "base/util.h"

/* --- reading --- */

static struct listener *set_add(struct listen_set *set, const char *text, enum listen_kind kind, bool tls)
{
	struct listener *l = &set->items[set->n++];

	*l = (struct listener){.kind = kind, .tls = tls, .mode = LISTEN_UNIX_MODE, .gid = (gid_t)-1,
			       .fd = -1, .lock = -1, .shared = kind != LISTEN_TCP};
	l->text = xstrdup(text);
	return l;
}

static bool read_mode(const char *text, mode_t *out)
{
	char *end;
	unsigned long n = strtoul(text, &end, 8);

	*out = (mode_t)n;
	return *text >= '0' && *text <= '7' && *end == '\0' && n <= 0777 && (n & 0600) == 0600;
}

static bool read_group(const char *text, gid_t *out)
{
	const struct group *g = getgrnam(text);
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	*out = g != NULL ? g->gr_gid : (gid_t)n;
	return g != NULL || (*text >= '0' && *text <= '9' && *end == '\0' && n < (gid_t)-1);
}

/* PATH[,mode=M][,group=G]; words is cut up. */
static int read_unix(struct listener *l, char *words, char *why, size_t size)
{
	char *path = strsep(&words, ","), *word;

	if (*path != '/')
		return util_refuse(why, size, "%.100s: give the socket's whole path, as unix:/run/errand/http.sock",
			      l->text);
	l->address = xstrdup(path);
	while ((word = strsep(&words, ",")) != NULL) {
		if (strncmp(word, "mode=", 5) == 0 && !read_mode(word + 5, &l->mode))
			return util_refuse(why, size, "%.100s: mode is octal and has rw for the owner, as mode=0660",
				      l->text);
		if (strncmp(word, "group=", 6) == 0 && !read_group(word + 6, &l->gid))
			return util_refuse(why, size, "%.100s: there is no group %.64s", l->text, word + 6);
		if (strncmp(word, "mode=", 5) != 0 && strncmp(word, "group=", 6) != 0)
			return util_refuse(why, size, "%.100s: %.64s is neither mode=OCTAL nor group=NAME", l->text, word);
	}
	return 0;
}

/* One of the sockets that were given under a name. */
static int add_given(struct listen_set *set, const char *text, const char *name, bool tls, int fd,
		     char *why, size_t size)
{
	struct listener *l = set_add(set, text, LISTEN_GIVEN, tls);
	int listening = 0, type = 0;
	socklen_t len = sizeof listening;

	l->address = xstrdup(name);
	l->fd = fd;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening ||
	    sock_name(fd, l->name, sizeof l->name) < 0)
		return util_refuse(why, size, "%.100s: descriptor %d is no listening stream socket: use ListenStream= and "
			      "Accept=no in its .socket unit", text, fd);
	if (tls && *l->name == '/')
		return util_refuse(why, size, "%.100s is the UNIX socket %.100s: TLS is for TCP", text, l->name);
	return 0;
}

static int add_all_given(struct listen_set *set, const char *text, const char *name, bool tls, char *why,
			 size_t size)
{
	int fds[LISTEN_MAX], n = activation_take(name, fds, (int)(LISTEN_MAX - set->n)), r = 0;

	for (int i = 0; i < n; i++) /* the others are to be closed too */
		if (add_given(set, text, name != NULL ? name : "", tls, fds[i], r == 0 ? why : (char[1]){0},
			      r == 0 ? size : 1) < 0)
			r = -1;
	return r < 0 ? r : n;
}

static int read_one(struct listen_set *set, const char *text, char *why, size_t size)
{
	AUTO_FREE char *words = xstrdup(text);
	bool tls = strncmp(text, "tls:", 4) == 0;
	char *rest = words + (tls ? 4 : 0);
	int n;

	if (set->n == LISTEN_MAX)
		return util_refuse(why, size, "%.100s: at most %d addresses", text, LISTEN_MAX);
	if (strncmp(rest, "systemd:", 8) == 0) {
		n = add_all_given(set, text, rest + 8, tls, why, size);
		if (n == 0)
			return util_refuse(why, size, "%.100s: no socket of that name was given at the start: is it "
				      "FileDescriptorName= of a .socket unit of this service?", text);
		return n < 0 ? n : 0;
	}
	if (strncmp(rest, "unix:", 5) == 0 || *rest == '/') {
		if (tls)
			return util_refuse(why, size, "%.100s: TLS is for TCP; who may use a UNIX socket says its mode", text);
		return read_unix(set_add(set, text, LISTEN_UNIX, false), rest + (*rest == '/' ? 0 : 5), why, size);
	}
	set_add(set, text, LISTEN_TCP, tls)->address = xstrdup(rest);
	return 0;
}

int listen_read(struct listen_set *set, const struct opt_list *given, char *why, size_t size)
{
	int n;

	*set = (struct listen_set){.n = 0};
	for (size_t i = 0; i < given->n; i++)
		if (read_one(set, given->items[i], why, size) < 0)
			return -1;
	if (given->n > 0)
		return 0;
	n = add_all_given(set, "systemd", NULL, false, why, size);
	return n != 0 ? MIN(n, 0) : read_one(set, LISTEN_DEFAULT, why, size);
}

void listen_deinit_set(struct listen_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		struct listener *l = &set->items[i];

		if (l->lock >= 0) {
			unlink(l->address); /* ours, as long as we hold the lock */
			close(l->lock);
		}
		if (l->fd >= 0 && l->kind != LISTEN_GIVEN)
			close(l->fd);
		free(l->text);
		free(l->address);
	}
	set->n = 0;
}

/* --- who can reach them --- */

bool listen_has_tls(const struct listen_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].tls)
			return true;
	return false;
}

static const char *tcp_address(const struct listener *l)
{
	if (l->kind == LISTEN_TCP)
		return l->address;
	return l->kind == LISTEN_GIVEN && *l->name != '/' ? l->name : NULL;
}

struct opt_list listen_hosts(const struct listen_set *set)
{
	struct opt_list hosts = {xcalloc(set->n + 1, sizeof *hosts.items), 0};

	for (size_t i = 0; i < set->n; i++)
		if (tcp_address(&set->items[i]) != NULL)
			hosts.items[hosts.n++] = tcp_address(&set->items[i]);
	return hosts;
}

static bool is_loopback(const struct sockaddr *addr)
{
	const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;
	uint32_t v4 = ntohl(((const struct sockaddr_in *)(const void *)addr)->sin_addr.s_addr);

	if (addr->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6))
		return v6->s6_addr[12] == 127;
	return addr->sa_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(v6) : v4 >> 24 == 127;
}

/* Any of what a name stands for counts; what stands for nothing may do so later, and is asked again when it is bound. */
bool listen_is_open(const struct listener *l)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	const char *address = l->kind == LISTEN_TCP && *l->name != '\0' ? l->name : tcp_address(l), *colon = address != NULL ? strrchr(address, ':') : NULL;
	AUTO_FREE char *host = NULL;
	struct addrinfo *list = NULL;
	bool open = false;
	size_t len;

	if (colon == NULL)
		return false;
	len = (size_t)(colon - address);
	host = *address == '[' && len > 2 ? xstrndup(address + 1, len - 2) : xstrndup(address, len);
	if (*host == '\0' || strcmp(host, "*") == 0)
		return true;
	if (getaddrinfo(host, NULL, &hints, &list) != 0)
		return false;
	for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
		open = open || !is_loopback(ai->ai_addr);
	freeaddrinfo(list);
	return open;
}

int listen_check(const struct listen_set *set, bool has_tokens, bool has_certs, char *why, size_t size)
{
	static const char authentication[] = "authentication (--tokens FILE, or --tls-client-ca FILE for client "
					     "certificates)";

	for (size_t i = 0; i < set->n; i++) {
		const struct listener *l = &set->items[i];
		bool knows_who = has_tokens || (l->tls && has_certs);

		if (!listen_is_open(l) || (knows_who && l->tls))
			continue;
		return util_refuse(why, size, "%.100s: others can reach this address, and it lacks %s%s%s%.100s%s; give that, or "
			      "listen on 127.0.0.1 or a UNIX socket, or say --insecure-listen", l->text,
			      knows_who ? "" : authentication, knows_who || l->tls ? "" : ", and ",
			      l->tls ? "" : "TLS (tls:", l->tls ? "" : l->text, l->tls ? "" : ", --tls-cert and --tls-key)");
	}
	return 0;
}

/* --- opening --- */

static int say_which(const struct listener *l, const char *reason, char *why, size_t size)
{
	return util_refuse(why, size, "%.100s: %s", l->text, reason);
}

/* The name appears with the owner's rights alone; those of others come with the group. */
static int open_unix(struct listener *l, char *why, size_t size)
{
	bool others = l->gid != (gid_t)-1;
	char reason[SOCK_WHY];

	l->fd = sock_listen_unix(l->address, others ? l->mode & 0700 : l->mode, &l->lock, reason);
	if (l->fd < 0)
		return say_which(l, reason, why, size);
	if (others && (lchown(l->address, (uid_t)-1, l->gid) < 0 || chmod(l->address, l->mode) < 0))
		return util_refuse(why, size, "%.100s: cannot give it to the group: %s; is this user in it?", l->text,
			      strerror(errno));
	snprintf(l->name, sizeof l->name, "%s", l->address);
	return 0;
}

/* With several threads each has its own on the same port; the first one is made alone, so
 * that a port somebody else shares is seen. */
static int open_tcp(struct listener *l, unsigned n_threads, char *why, size_t size)
{
	char reason[SOCK_WHY] = "";

	l->fd = sock_listen_tcp(l->address, false, reason);
	if (l->fd < 0 || sock_name(l->fd, l->name, sizeof l->name) < 0)
		return say_which(l, reason, why, size);
	if (n_threads == 1)
		return 0;
	close(l->fd);
	l->fd = sock_listen_tcp(l->name, true, reason);
	return l->fd < 0 ? say_which(l, reason, why, size) : 0;
}

int listen_open(struct listen_set *set, unsigned n_threads, char *why, size_t size)
{
	for (size_t i = 0; i < set->n; i++) {
		struct listener *l = &set->items[i];
		int r = 0;

		if (l->kind == LISTEN_TCP)
			r = open_tcp(l, n_threads, why, size);
		else if (l->kind == LISTEN_UNIX)
			r = open_unix(l, why, size);
		if (r < 0)
			return r;
	}
	return 0;
}

int listen_take(struct listener *l, unsigned index, unsigned n_threads, char *why, size_t size)
{
	char reason[SOCK_WHY] = "";
	int fd;

	if (!l->shared && index == 0) {
		fd = l->fd;
		l->fd = -1;
		return fd;
	}
	fd = l->shared ? fcntl(l->fd, F_DUPFD_CLOEXEC, 0) : sock_listen_tcp(l->name, true, reason);
	if (fd < 0)
		return say_which(l, *reason != '\0' ? reason : strerror(errno), why, size);
	return fd;
}

const char *listen_ready(const struct listen_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (tcp_address(&set->items[i]) != NULL)
			return strrchr(set->items[i].name, ':') + 1;
	return set->items[0].name;
}
