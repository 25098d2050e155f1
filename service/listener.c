/* listener.c: see listener.h. When there are no descriptors left the listener is
 * switched off for a while instead of waking for the same connection for ever. */
#define _GNU_SOURCE
#include "service/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/activation.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/loop.h"
#include "service/session.h"

#define ACCEPTS_PER_TURN 16
#define BACK_OFF (200 * NS_PER_MS)
#define MAX_GROUPS 64

static struct listener_config conf;
static int fd = -1, lock_fd = -1; /* without a lock it was given */
static char name[128];
static struct event *readable;
static struct loop_timer back_off;

static bool has_gid(gid_t gid)
{
	for (size_t i = 0; i < conf.n_gids; i++)
		if (conf.gids[i] == gid)
			return true;
	return false;
}

/* Supplementary groups count as well; they are the peer's at connect. */
static bool has_group(int peer_fd)
{
	gid_t groups[MAX_GROUPS];
	socklen_t len = sizeof groups;

	if (conf.n_gids == 0 || getsockopt(peer_fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof *groups; i++)
		if (has_gid(groups[i]))
			return true;
	return false;
}

static bool is_allowed(int peer_fd, const struct sock_peer *peer)
{
	if (peer->uid == 0 || peer->uid == geteuid() || has_gid(peer->gid))
		return true;
	for (size_t i = 0; i < conf.n_uids; i++)
		if (conf.uids[i] == peer->uid)
			return true;
	return has_group(peer_fd);
}

static void take(int peer_fd)
{
	struct sock_peer peer;

	if (sock_peer(peer_fd, &peer) < 0 || !is_allowed(peer_fd, &peer)) {
		log_warn("connection refused: this user may not connect",
			 "pid=%d uid=%u gid=%u advice=\"--allow-uid or --allow-gid\"", (int)peer.pid,
			 (unsigned)peer.uid, (unsigned)peer.gid);
		close(peer_fd);
		return;
	}
	session_new(peer_fd, &peer);
}

static void on_back_off(void *arg)
{
	if (readable != NULL)
		event_add(readable, NULL);
}

static void on_readable(evutil_socket_t listen_fd, short what, void *arg)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int peer_fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (peer_fd >= 0) {
			take(peer_fd);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		log_error("cannot accept connections, trying again soon", "error=\"%s\"", strerror(errno));
		event_del(readable);
		loop_timer_start(&back_off, BACK_OFF, on_back_off, NULL);
		return;
	}
}

void listener_set_allowed(const struct listener_config *config)
{
	conf.uids = config->uids;
	conf.n_uids = config->n_uids;
	conf.gids = config->gids;
	conf.n_gids = config->n_gids;
}

/* The socket that was given for us; -1: none was; else -errno. */
static int given_fd(char why[SOCK_WHY])
{
	int fds[2], n = activation_take("service", fds, 2);

	if (n == 0)
		n = activation_take(NULL, fds, 2);
	if (n <= 1)
		return n == 1 ? fds[0] : -1;
	snprintf(why, SOCK_WHY, "several sockets were given: name one of them service (FileDescriptorName= in its "
		 ".socket unit)");
	return -EINVAL;
}

static int take_given(int given, char why[SOCK_WHY])
{
	int listening = 0, domain = 0, type = 0;
	socklen_t len = sizeof listening;

	if (getsockopt(given, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX ||
	    getsockopt(given, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM ||
	    getsockopt(given, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening) {
		snprintf(why, SOCK_WHY, "descriptor %d, which was given at the start, is no listening UNIX stream socket: "
			 "use ListenStream=/PATH and Accept=no in its .socket unit", given);
		return -EINVAL;
	}
	fcntl(given, F_SETFL, fcntl(given, F_GETFL) | O_NONBLOCK);
	if (sock_name(given, name, sizeof name) < 0)
		snprintf(name, sizeof name, "descriptor %d", given);
	fd = given;
	return 0;
}

const char *listener_name(void)
{
	return name;
}

int listener_open(const struct listener_config *config, char why[SOCK_WHY])
{
	int given;

	conf = *config;
	given = given_fd(why);
	if (given != -1)
		return given < 0 ? given : take_given(given, why);
	if (strncmp(conf.path, "unix:", 5) == 0)
		conf.path += 5;
	snprintf(name, sizeof name, "%s", conf.path);
	fd = sock_listen_unix(conf.path, conf.mode, &lock_fd, why);
	if (fd < 0)
		return fd;
	if (conf.group != (gid_t)-1 && lchown(conf.path, (uid_t)-1, conf.group) < 0) {
		int r = -errno;

		snprintf(why, SOCK_WHY, "%s: cannot give it to group %u: %s", conf.path, (unsigned)conf.group,
			 strerror(-r));
		listener_close();
		return r;
	}
	return 0;
}

void listener_start(void)
{
	readable = event_new(loop_base(), fd, EV_READ | EV_PERSIST, on_readable, NULL);
	if (readable == NULL || event_add(readable, NULL) < 0) {
		log_error("out of memory for the listener", NULL);
		_exit(71);
	}
}

/* The lock goes last: who has it may take the name away. */
void listener_close(void)
{
	if (fd < 0)
		return;
	loop_timer_cancel(&back_off);
	if (readable != NULL)
		event_free(readable);
	readable = NULL;
	if (lock_fd >= 0)
		unlink(conf.path);
	close(fd);
	if (lock_fd >= 0)
		close(lock_fd);
	fd = lock_fd = -1;
}
