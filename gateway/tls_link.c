/* tls_link.c: one client's TLS (tls_module.h has the picture). Each direction holds at most
 * one record that its other side has not taken; while it does, it reads no more. So an
 * idle link has no buffers, and who is slow is felt by who sends.
 *
 *   HANDSHAKE ─▶ OPEN ─ our end is sent ─▶ the client's end, or 3 s ─▶ freed
 *       └─ refused ─▶ LINGER: the alert may reach him ─▶ his end, or 3 s ─▶ freed
 *
 * Loop thread only. */
#define _GNU_SOURCE
#include "gateway/tls_private.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/err.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/util.h"

enum {
	RECORD = 16384,  /* bytes of a TLS record: none is left in libssl after a read */
	TURNS = 8,       /* records each way before the others of this thread have their turn */
};
static const int64_t LINGER_NS = 3 * NS_PER_S;

enum link_state { LINK_HANDSHAKE, LINK_OPEN, LINK_LINGER };
enum link_timer { TIMER_NONE, TIMER_HANDSHAKE, TIMER_WRITE, TIMER_LINGER };
/* What a try at a direction came to. */
enum step { STEP_MOVED, STEP_WAITS, STEP_BROKEN };

/* Bytes that wait for the other side. */
struct piece {
	uint8_t *data; /* owned; NULL: none */
	size_t at, len;
};

struct tls_link {
	struct tls_context *context; /* reference */
	SSL *ssl;
	int tcp, plain;              /* owned; plain is -1 in LINGER */
	struct tls_timeouts timeouts;
	const struct tls_link_ops *ops;
	void *owner;
	struct event tcp_read, tcp_write, plain_read, plain_write, timer;
	enum link_state state;
	enum link_timer timing;      /* what the timer is for */
	struct piece in, out;        /* to the gateway; to the client */
	bool in_done;                /* the client's end was passed on */
	bool out_eof;                /* the gateway's end was read ... */
	bool out_done;               /* ... and passed on */
	bool moved_out;              /* since the timer was set */
	bool wants_read, wants_write; /* libssl, for what it does now */
};

/* --- pieces --- */

static void piece_keep(struct piece *p, const uint8_t *data, size_t len)
{
	p->data = xmalloc(len);
	memcpy(p->data, data, len);
	p->at = 0;
	p->len = len;
}

static void piece_drop(struct piece *p)
{
	free(p->data);
	*p = (struct piece){0};
}

/* The first n bytes have been taken. */
static void piece_take(struct piece *p, size_t n)
{
	p->at += n;
	if (p->at == p->len)
		piece_drop(p);
}

/* --- its end --- */

void tls_module_link_end(struct tls_link *l)
{
	event_del(&l->tcp_read);
	event_del(&l->tcp_write);
	event_del(&l->plain_read);
	event_del(&l->plain_write);
	event_del(&l->timer);
	l->ops->ended(l->owner);
	piece_drop(&l->in);
	piece_drop(&l->out);
	SSL_free(l->ssl);
	ERR_clear_error();
	close(l->tcp);
	if (l->plain >= 0)
		close(l->plain);
	tls_context_unref(l->context);
	free(l);
}

/* --- waiting --- */

static void wait_for(struct event *e, bool on)
{
	if (on != (event_pending(e, EV_READ | EV_WRITE, NULL) != 0)) {
		if (on)
			event_add(e, NULL);
		else
			event_del(e);
	}
}

static void set_timer(struct tls_link *l, enum link_timer what)
{
	const int64_t ns[] = {
		[TIMER_HANDSHAKE] = l->timeouts.handshake_ns, [TIMER_WRITE] = l->timeouts.write_ns,
		[TIMER_LINGER] = LINGER_NS,
	};

	if (what == l->timing && !(what == TIMER_WRITE && l->moved_out))
		return;
	l->timing = what;
	l->moved_out = false;
	event_del(&l->timer);
	if (what != TIMER_NONE) {
		struct timeval tv = {ns[what] / NS_PER_S, ns[what] % NS_PER_S / 1000};

		event_add(&l->timer, &tv);
	}
}

/* What the link can go on with, and until when. */
static void link_wait(struct tls_link *l)
{
	bool open = l->state == LINK_OPEN, sending = l->out.len > 0 || (l->out_eof && !l->out_done);

	wait_for(&l->tcp_write, l->wants_write);
	wait_for(&l->tcp_read, l->wants_read || l->state == LINK_LINGER ||
				       (open && !l->in_done && l->in.len == 0));
	wait_for(&l->plain_read, open && !l->out_eof && l->out.len == 0);
	wait_for(&l->plain_write, open && l->in.len > 0);
	if (l->state == LINK_HANDSHAKE)
		set_timer(l, TIMER_HANDSHAKE);
	else if (l->state == LINK_LINGER || l->out_done)
		set_timer(l, TIMER_LINGER);
	else
		set_timer(l, sending ? TIMER_WRITE : TIMER_NONE);
}

/* libssl could not go on: n is what it returned. */
static enum step link_stuck(struct tls_link *l, int n)
{
	switch (SSL_get_error(l->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		l->wants_read = true;
		return STEP_WAITS;
	case SSL_ERROR_WANT_WRITE:
		l->wants_write = true;
		return STEP_WAITS;
	default:
		return STEP_BROKEN;
	}
}

/* --- the handshake --- */

static const char *handshake_why(const struct tls_link *l, unsigned long error)
{
	long verified = SSL_get_verify_result(l->ssl);
	const char *text;

	switch (ERR_GET_REASON(error)) {
	case SSL_R_HTTP_REQUEST:
		return "plain HTTP on a TLS port: use https";
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return X509_verify_cert_error_string(verified);
	}
	text = error != 0 ? ERR_reason_error_string(error) : NULL;
	return text != NULL ? text : "the client has gone";
}

/* The gateway's side sees the end; the client may read what libssl has told it. */
static void link_refuse(struct tls_link *l, const char *why)
{
	l->ops->failed(l->owner, why);
	l->state = LINK_LINGER;
	l->wants_read = l->wants_write = false;
	event_del(&l->plain_read);
	event_del(&l->plain_write);
	close(l->plain);
	l->plain = -1;
	shutdown(l->tcp, SHUT_WR);
	link_wait(l);
}

/* True: it is done. */
static bool link_handshake(struct tls_link *l)
{
	char name[TLS_NAME_MAX + 1];
	int r, named;

	ERR_clear_error();
	l->wants_read = l->wants_write = false;
	r = SSL_accept(l->ssl);
	if (r != 1) {
		if (link_stuck(l, r) == STEP_BROKEN)
			link_refuse(l, handshake_why(l, ERR_peek_error()));
		else
			link_wait(l);
		return false;
	}
	named = tls_client_name(l->ssl, name);
	if (named < 0) {
		link_refuse(l, "the client's certificate has no name of up to 128 printable characters");
		return false;
	}
	l->state = LINK_OPEN;
	l->ops->established(l->owner, named > 0 ? name : NULL);
	return true;
}

/* --- the client to the gateway --- */

/* What the gateway does not take now is kept; when it is gone nothing is. */
static void in_pass(struct tls_link *l, const uint8_t *data, size_t len)
{
	ssize_t n = send(l->plain, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN)
		return;
	if ((size_t)MAX(n, 0) < len)
		piece_keep(&l->in, data + MAX(n, 0), len - (size_t)MAX(n, 0));
}

static enum step in_flush(struct tls_link *l)
{
	ssize_t n = send(l->plain, l->in.data + l->in.at, l->in.len - l->in.at, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return STEP_WAITS;
	piece_take(&l->in, n < 0 ? l->in.len - l->in.at : (size_t)n);
	return STEP_MOVED;
}

static enum step link_in(struct tls_link *l)
{
	uint8_t data[RECORD];
	int n;

	if (l->in_done)
		return STEP_WAITS;
	if (l->in.len > 0)
		return in_flush(l);
	ERR_clear_error();
	n = SSL_read(l->ssl, data, sizeof data);
	if (n > 0) {
		in_pass(l, data, (size_t)n);
		return STEP_MOVED;
	}
	if (SSL_get_error(l->ssl, n) != SSL_ERROR_ZERO_RETURN)
		return link_stuck(l, n);
	l->in_done = true;
	shutdown(l->plain, SHUT_WR);
	return STEP_MOVED;
}

/* --- the gateway to the client --- */

static enum step out_end(struct tls_link *l)
{
	int r;

	ERR_clear_error();
	r = SSL_shutdown(l->ssl);
	if (r < 0)
		return link_stuck(l, r);
	l->out_done = true;
	shutdown(l->tcp, SHUT_WR);
	l->ops->sent(l->owner);
	return STEP_MOVED;
}

static enum step out_send(struct tls_link *l, const uint8_t *data, size_t len, size_t *sentp)
{
	int n;

	ERR_clear_error();
	n = SSL_write(l->ssl, data, (int)len);
	*sentp = n > 0 ? (size_t)n : 0;
	if (n <= 0)
		return link_stuck(l, n);
	l->moved_out = true;
	return STEP_MOVED;
}

static enum step link_out(struct tls_link *l)
{
	uint8_t data[RECORD];
	enum step step;
	size_t sent;
	ssize_t n;

	if (l->out_done)
		return STEP_WAITS;
	if (l->out.len > 0) {
		step = out_send(l, l->out.data + l->out.at, l->out.len - l->out.at, &sent);
		piece_take(&l->out, sent);
		return step;
	}
	if (l->out_eof)
		return out_end(l);
	n = recv(l->plain, data, sizeof data, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return STEP_WAITS;
	if (n <= 0) { /* ECONNRESET: the gateway left something unread */
		l->out_eof = true;
		return STEP_MOVED;
	}
	step = out_send(l, data, (size_t)n, &sent);
	if (sent < (size_t)n)
		piece_keep(&l->out, data + sent, (size_t)n - sent);
	return step;
}

/* --- the loop --- */

/* Both ways, until neither can go on or others should have their turn. */
static void link_move(struct tls_link *l)
{
	for (int i = 0; i < TURNS; i++) {
		enum step in, out;

		l->wants_read = l->wants_write = false;
		in = link_in(l);
		out = link_out(l);
		if (in == STEP_BROKEN || out == STEP_BROKEN || (l->in_done && l->out_done)) {
			tls_module_link_end(l);
			return;
		}
		if (in != STEP_MOVED && out != STEP_MOVED)
			break;
	}
	link_wait(l);
	if (l->in.len == 0 && SSL_has_pending(l->ssl) && !l->in_done)
		event_active(&l->tcp_read, EV_READ, 1); /* in libssl, where no poll sees it */
}

static void link_discard(struct tls_link *l)
{
	uint8_t data[RECORD];
	ssize_t n = recv(l->tcp, data, sizeof data, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		tls_module_link_end(l);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct tls_link *l = arg;

	if (l->state == LINK_LINGER)
		link_discard(l);
	else if (l->state == LINK_OPEN || link_handshake(l))
		link_move(l);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tls_link *l = arg;

	if (l->state == LINK_HANDSHAKE)
		l->ops->failed(l->owner, "it took too long");
	tls_module_link_end(l);
}

static struct tls_link *link_alloc(struct tls_context *c, int tcp, int plain)
{
	struct tls_link *l = xcalloc(1, sizeof *l);

	l->ssl = tls_context_session(c);
	if (l->ssl == NULL || SSL_set_fd(l->ssl, tcp) != 1) {
		SSL_free(l->ssl);
		free(l);
		close(tcp);
		close(plain);
		return NULL;
	}
	return l;
}

struct tls_link *tls_module_link_new(struct tls_context *c, struct event_base *base, int tcp, int plain,
				     const struct tls_timeouts *timeouts, const struct tls_link_ops *ops,
				     void *owner)
{
	struct tls_link *l = link_alloc(c, tcp, plain);

	if (l == NULL)
		return NULL;
	l->context = tls_context_ref(c);
	l->tcp = tcp;
	l->plain = plain;
	l->timeouts = *timeouts;
	l->ops = ops;
	l->owner = owner;
	l->wants_read = true;
	event_assign(&l->tcp_read, base, tcp, EV_READ | EV_PERSIST, on_ready, l);
	event_assign(&l->tcp_write, base, tcp, EV_WRITE | EV_PERSIST, on_ready, l);
	event_assign(&l->plain_read, base, plain, EV_READ | EV_PERSIST, on_ready, l);
	event_assign(&l->plain_write, base, plain, EV_WRITE | EV_PERSIST, on_ready, l);
	event_assign(&l->timer, base, -1, 0, on_timer, l);
	link_wait(l);
	return l;
}

/* --- the module --- */

extern const struct tls_module errand_tls_module;
const struct tls_module errand_tls_module = {
	.abi = TLS_MODULE_ABI,
	.context_new = tls_context_new,
	.context_free = tls_context_unref,
	.link_new = tls_module_link_new,
	.link_end = tls_module_link_end,
};
