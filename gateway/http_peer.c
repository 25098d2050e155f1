/* http_peer.c: who is at the other end of a connection: an address, the user of a UNIX
 * socket's client, the name in a certificate.
 *
 * A TLS listener's connection is given its TLS here (tls_module.h): the accepted socket
 * moves to another descriptor, which is the link's, and one end of a socket pair takes its
 * place under the number evhttp knows. The two ends of such a connection are freed apart:
 * the link may still have bytes to send when the connection is over.
 * Loop thread only. */
#define _GNU_SOURCE
#include "gateway/http_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/sock.h"
#include "gateway/tls.h"

/* What joins a connection and its TLS; lives as long as the latter. */
struct http_tail {
	struct list node; /* in server->tls_links */
	struct http_server *server;
	struct http_conn *conn; /* NULL: over */
	struct tls *tls;        /* borrowed */
	struct tls_link *link;
	bool established;
	bool idle;              /* nothing is left to send */
};

/* --- TLS --- */

static void on_established(void *owner, const char *name)
{
	struct http_tail *t = owner;

	t->established = true;
	http_count(&t->server->stats.handshakes, 1);
	if (t->conn != NULL && name != NULL)
		t->conn->cert = xstrdup(name);
}

/* Once a second at most: anybody can make them fail. */
static void handshake_failed(struct http_server *s, const char *peer, const char *why)
{
	int64_t now = clock_mono_ns();
	AUTO_BUF quoted = BUF_INIT;

	http_count(&s->stats.handshakes_failed, 1);
	s->n_handshakes_unlogged++;
	if (s->handshake_logged_ns != 0 && now - s->handshake_logged_ns < NS_PER_S)
		return;
	log_quote(&quoted, why, strlen(why));
	log_warn("TLS handshake failed", "peer=%s why=%s n=%llu", peer, buf_cstr(&quoted),
		 (unsigned long long)s->n_handshakes_unlogged);
	s->handshake_logged_ns = now;
	s->n_handshakes_unlogged = 0;
}

static void on_sent(void *owner)
{
	struct http_tail *t = owner;

	if (t->conn == NULL && !t->idle)
		t->server->n_unsent--;
	t->idle = true;
}

static void on_failed(void *owner, const char *why)
{
	struct http_tail *t = owner;

	handshake_failed(t->server, t->conn != NULL ? t->conn->peer : "-", why);
	on_sent(t);
}

static void on_ended(void *owner)
{
	struct http_tail *t = owner;
	struct http_server *s = t->server;

	on_sent(t);
	list_remove(&t->node);
	if (t->conn != NULL)
		t->conn->tail = NULL;
	else
		s->n_tails--;
	free(t);
	listen_adjust(s);
}

static const struct tls_link_ops link_ops = {on_established, on_failed, on_sent, on_ended};

/* plain: the link's end of the pair, taken; as is tcp. */
static bool tail_begin(struct http_conn *c, int tcp, int plain)
{
	struct http_server *s = c->server;
	const struct tls_timeouts timeouts = {s->limits.head_timeout_ns, s->limits.write_timeout_ns};
	struct http_tail *t = xcalloc(1, sizeof *t);

	t->server = s;
	t->conn = c;
	t->tls = c->listener->tls;
	list_push_back(&s->tls_links, &t->node);
	c->tail = t;
	t->link = tls_link_new(t->tls, s->base, tcp, plain, &timeouts, &link_ops, t);
	if (t->link != NULL)
		return true;
	on_ended(t);
	return false;
}

/* evhttp wants to read c->fd already: not while that changes its meaning. */
static bool tls_between(struct http_conn *c)
{
	int pair[2] = {-1, -1}, tcp = fcntl(c->fd, F_DUPFD_CLOEXEC, 0);

	if (tcp < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
		handshake_failed(c->server, c->peer, "no file descriptor: raise the limit of open files");
		if (tcp >= 0)
			close(tcp);
		return false;
	}
	bufferevent_disable(c->bev, EV_READ);
	dup3(pair[0], c->fd, O_CLOEXEC);
	close(pair[0]);
	bufferevent_enable(c->bev, EV_READ);
	return tail_begin(c, tcp, pair[1]);
}

/* --- connections --- */

static bool peer_is_unix(const struct http_conn *c)
{
	int domain = 0;
	socklen_t len = sizeof domain;

	return getsockopt(c->fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

bool peer_adopt(struct http_conn *c, const char *address, unsigned port)
{
	struct sock_peer peer;

	if (port == 0 && peer_is_unix(c)) {
		if (sock_peer(c->fd, &peer) < 0)
			return false;
		c->uid = peer.uid;
		snprintf(c->peer, sizeof c->peer, "unix:uid=%u,pid=%d", (unsigned)peer.uid, (int)peer.pid);
		return true;
	}
	snprintf(c->peer, sizeof c->peer, strchr(address, ':') ? "[%s]:%u" : "%s:%u", address, port);
	return c->listener->tls == NULL || (c->state == CONN_OPEN && tls_between(c));
}

void peer_leave(struct http_conn *c)
{
	struct http_tail *t = c->tail;

	if (t == NULL)
		return;
	t->conn = NULL;
	c->tail = NULL;
	c->server->n_tails++;
	c->server->n_unsent += !t->idle;
	if (!t->established && !t->idle) /* still in its handshake */
		tls_link_end(t->tls, t->link);
}

void peer_server_init(struct http_server *s)
{
	list_init(&s->tls_links);
}

void peer_server_deinit(struct http_server *s)
{
	while (!list_empty(&s->tls_links)) {
		struct http_tail *t = LIST_ENTRY(s->tls_links.next, struct http_tail, node);

		tls_link_end(t->tls, t->link);
	}
}

/* --- for the rest of the gateway --- */

const char *http_peer(const struct http_request *r)
{
	return r->conn->peer;
}

int64_t http_peer_uid(const struct http_request *r)
{
	return r->conn->uid;
}

const char *http_peer_cert(const struct http_request *r)
{
	return r->conn->cert;
}
