/* See uplink.h. Three events on one socket: connected, readable, writable after a
 * short write; and one without a socket, activated by hand, that writes what the
 * turn of the loop has produced. closed is only ever called from these, never from
 * inside the conn, so the owner may free the link there.
 *
 * A timer asks a silent service with PING whether it lives. A call it does not
 * answer is no proof: methods take what they take. */
#define _GNU_SOURCE
#include "gateway/uplink.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "base/sock.h"
#include "wire/conn_io.h"

enum {
	READ_SIZE = 65536,
	READS_PER_TURN = 4,    /* then the others get their turn */
	HELLO_SECONDS = 5,     /* a service that does not answer is tried again */
	FRAME_SECONDS = 5,     /* for a frame that has begun; a service out of step never ends one */
	STRAYS_SECONDS = 10,   /* between lines about frames that belong to no call */
	WINDOW = 256 * 1024,   /* of Data per stream, conn.h's default */
};

struct uplink {
	const struct uplink_ops *ops; /* borrowed */
	void *arg;
	struct conn *conn;            /* owned */
	int fd;                       /* owned */
	struct event readable, writable, flush, patience, ping;
	int64_t ping_ns, heard_ns;    /* clock_mono_ns of the last bytes */
	bool connected, retired;
	bool pinged, silent;          /* since heard_ns; and no answer to it */
	bool gone_away;               /* and the last stream it serves */
	uint32_t last;
	int64_t frame_ns;             /* for how long the frame that has begun is coming */
	uint64_t frame_number;        /* which one that is */
	bool flushing;                /* flush is active */
	uint64_t n_strays;            /* conn_dropped that have been told of */
	int64_t strays_ns;            /* when, clock_mono_ns */
	uint8_t input[READ_SIZE];
};

static void uplink_flush_soon(struct uplink *l)
{
	if (l->flushing || !l->connected)
		return;
	l->flushing = true;
	event_active(&l->flush, EV_TIMEOUT, 1);
}

/* --- the conn's events --- */

static void on_response(struct conn *c, struct conn_stream *s, void *user, const struct wire_response *w,
			void *arg)
{
	struct uplink *l = arg;

	l->ops->response(l, user, w, l->arg);
}

static void on_data(struct conn *c, struct conn_stream *s, void *user, struct bytes message, void *arg)
{
	struct uplink *l = arg;

	l->ops->message(l, user, message, l->arg);
}

static void on_goaway(struct conn *c, uint32_t last, void *arg)
{
	struct uplink *l = arg;

	l->gone_away = true;
	l->last = last;
	l->ops->goaway(l, l->arg);
}

static void uplink_ping_in(struct uplink *l, int64_t ns)
{
	const struct timeval tv = {ns / NS_PER_S, ns % NS_PER_S / 1000 + 1};

	event_add(&l->ping, &tv);
}

static void on_hello(struct conn *c, bool extended, struct bytes payload, void *arg)
{
	struct uplink *l = arg;

	event_del(&l->patience);
	l->heard_ns = clock_mono_ns();
	if (extended)
		uplink_ping_in(l, l->ping_ns);
	l->ops->ready(l, extended, payload, l->arg);
}

static const struct conn_ops conn_events = {
	.response = on_response,
	.data = on_data,
	.goaway = on_goaway,
	.hello = on_hello,
};

/* --- the socket's events --- */

/* True when the owner was told, and the link may be gone. */
static bool uplink_close_if_done(struct uplink *l)
{
	if (!l->retired || conn_n_streams(l->conn) != 0)
		return false;
	l->ops->closed(l, "drained", l->arg);
	return true;
}

/* Writes what waits. False when the connection was lost (the link may be gone). */
static bool uplink_write(struct uplink *l)
{
	bool was_full = conn_over_limit(l->conn);
	int r = conn_write(l->conn, l->fd, NULL);

	if (r == CONN_IO_FULL)
		event_add(&l->writable, NULL);
	if (r == CONN_IO_BROKEN)
		l->ops->closed(l, strerror(errno), l->arg);
	else if (was_full && !conn_over_limit(l->conn))
		l->ops->drained(l, l->arg);
	return r != CONN_IO_BROKEN;
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
	struct uplink *l = arg;

	l->flushing = false;
	if (!event_pending(&l->writable, EV_WRITE, NULL) && !uplink_write(l))
		return;
	uplink_close_if_done(l);
}

/* Something came: it lives. */
static void uplink_heard(struct uplink *l)
{
	bool was_silent = l->silent;

	l->heard_ns = clock_mono_ns();
	l->pinged = l->silent = false;
	if (!was_silent)
		return;
	uplink_ping_in(l, l->ping_ns);
	l->ops->silent(l, false, l->arg);
}

static void on_ping(evutil_socket_t fd, short what, void *arg)
{
	static const uint8_t opaque[8];
	struct uplink *l = arg;
	int64_t left = l->heard_ns + l->ping_ns - clock_mono_ns();

	if (left > 0) {
		uplink_ping_in(l, left);
	} else if (!l->pinged) {
		l->pinged = true;
		conn_ping(l->conn, opaque);
		uplink_flush_soon(l);
		uplink_ping_in(l, l->ping_ns);
	} else {
		l->silent = true;
		l->ops->silent(l, true, l->arg);
	}
}

/* Frames of calls that are over or never were: late answers, or a service that is
 * not in its right mind. One line now and then, however many there are. */
static void uplink_tell_strays(struct uplink *l, bool last)
{
	uint64_t n = conn_dropped(l->conn);
	int64_t now;

	if (n == l->n_strays)
		return;
	now = clock_mono_ns();
	if (!last && l->strays_ns != 0 && now - l->strays_ns < STRAYS_SECONDS * NS_PER_S)
		return;
	log_info("frames that belong to no call were dropped", "frames=%llu since_connect=%llu",
		 (unsigned long long)(n - l->n_strays), (unsigned long long)n);
	l->n_strays = n;
	l->strays_ns = now;
}

/* A pause counts as a second at most: one of the two may have been stopped. */
static bool uplink_frame_late(struct uplink *l)
{
	int64_t since = clock_mono_ns() - l->heard_ns;

	if (!conn_in_frame(l->conn) || l->frame_number != conn_n_frames(l->conn)) {
		l->frame_number = conn_n_frames(l->conn);
		l->frame_ns = 0;
		return false;
	}
	l->frame_ns += MIN(since, NS_PER_S);
	return l->frame_ns > FRAME_SECONDS * NS_PER_S;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct uplink *l = arg;
	int r = conn_read(l->conn, fd, l->input, sizeof l->input, READS_PER_TURN);

	uplink_tell_strays(l, r != 0);
	if (r == 0 && uplink_frame_late(l)) {
		l->ops->closed(l, "a frame of the service's was not whole in time", l->arg);
		return;
	}
	if (r != 0) {
		l->ops->closed(l, r < 0 ? conn_why(l->conn) : r == CONN_IO_EOF ? "closed by the service" :
			       strerror(errno), l->arg);
		return;
	}
	uplink_heard(l);
	if (conn_pending(l->conn) != 0) /* credit, cancels */
		uplink_flush_soon(l);
	uplink_close_if_done(l);
}

static void uplink_hello(struct uplink *l)
{
	AUTO_BUF hello = BUF_INIT;

	pbuf_put_uint(&hello, 1, 1);
	pbuf_put_uint(&hello, 2, WINDOW);
	pbuf_put_str(&hello, 3, "errand-gateway");
	conn_hello(l->conn, buf_bytes(&hello));
	uplink_flush_soon(l);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct uplink *l = arg;
	int error;

	if (l->connected) {
		uplink_write(l);
		return;
	}
	error = sock_error(fd);
	if (error < 0) {
		l->ops->closed(l, strerror(-error), l->arg);
		return;
	}
	l->connected = true;
	event_add(&l->readable, NULL);
	uplink_hello(l);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
	struct uplink *l = arg;

	l->ops->closed(l, "no answer to Hello", l->arg);
}

/* --- from outside --- */

struct uplink *uplink_new(struct event_base *base, const char *path, int64_t ping_ns,
			  const struct uplink_ops *ops, void *arg, char why[256])
{
	const struct timeval patience = {HELLO_SECONDS, 0};
	const struct conn_limits limits = {.max_output = 8u << 20, .window = WINDOW, .max_streams = 65536};
	int fd = sock_connect(path, why);
	struct uplink *l;

	if (fd < 0)
		return NULL;
	l = xcalloc(1, sizeof *l);
	l->fd = fd;
	l->ping_ns = ping_ns;
	l->ops = ops;
	l->arg = arg;
	l->conn = conn_new(CONN_CLIENT, &conn_events, &limits, l);
	if (l->conn == NULL)
		abort(); /* as xmalloc: no memory for a connection */
	event_assign(&l->readable, base, fd, EV_READ | EV_PERSIST, on_readable, l);
	event_assign(&l->writable, base, fd, EV_WRITE, on_writable, l);
	event_assign(&l->flush, base, -1, EV_PERSIST, on_flush, l);
	event_assign(&l->patience, base, -1, 0, on_patience, l);
	event_assign(&l->ping, base, -1, 0, on_ping, l);
	event_add(&l->writable, NULL);
	event_add(&l->patience, &patience);
	return l;
}

struct uplink *uplink_free(struct uplink *l)
{
	if (l == NULL)
		return NULL;
	event_del(&l->readable);
	event_del(&l->writable);
	event_del(&l->flush);
	event_del(&l->patience);
	event_del(&l->ping);
	conn_free(l->conn);
	close(l->fd);
	free(l);
	return NULL;
}

struct conn_stream *uplink_request(struct uplink *l, const struct wire_request *r, void *user)
{
	struct conn_stream *s = l->retired ? NULL : conn_request(l->conn, r, user);

	if (s != NULL)
		uplink_flush_soon(l);
	return s;
}

void uplink_cancel(struct uplink *l, struct conn_stream *s)
{
	conn_cancel(l->conn, s);
	uplink_flush_soon(l);
}

void uplink_consumed(struct uplink *l, struct conn_stream *s, size_t n)
{
	conn_consumed(l->conn, s, n);
	if (conn_pending(l->conn) != 0)
		uplink_flush_soon(l);
}

bool uplink_unserved(const struct uplink *l, uint32_t id)
{
	return l->gone_away && id > l->last;
}

uint32_t uplink_stream_id(const struct conn_stream *s)
{
	return conn_stream_id(s);
}

bool uplink_full(const struct uplink *l)
{
	return conn_over_limit(l->conn);
}

void uplink_retire(struct uplink *l)
{
	l->retired = true;
	uplink_flush_soon(l);
}
