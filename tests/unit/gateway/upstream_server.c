#define _GNU_SOURCE
#include "upstream_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/pbuf.h"
#include "wire/frame.h"

void server_write(struct server *s)
{
	struct iovec iov[2];
	int n;

	while (s->fd >= 0 && (n = conn_output(s->conn, iov)) > 0) {
		ssize_t sent = writev(s->fd, iov, n);

		if (sent <= 0)
			return;
		conn_sent(s->conn, (size_t)sent);
	}
}

void server_hang_up(struct server *s)
{
	if (s->fd < 0)
		return;
	event_free(s->reading);
	s->conn = conn_free(s->conn);
	close(s->fd);
	s->fd = -1;
}

struct bytes server_text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static bool is(struct bytes b, const char *s)
{
	return b.len == strlen(s) && memcmp(b.data, s, b.len) == 0;
}

void server_respond(struct conn *c, struct conn_stream *st, int code, struct bytes payload)
{
	struct wire_response w = {.code = code, .payload = payload};

	conn_respond(c, st, &w);
}

static void stream_some(struct server *s)
{
	static uint8_t message[64 * 1024];

	while (s->to_send > 0) {
		s->to_send--;
		if (conn_send_data(s->conn, s->stream, (struct bytes){message, sizeof message}) == 1)
			return;
	}
	server_respond(s->conn, s->stream, ERRAND_OK, server_text(""));
	s->stream = NULL;
}

static void server_request(struct conn *c, struct conn_stream *st, const struct wire_request *r, bool open,
			   void *arg)
{
	struct server *s = arg;
	AUTO_BUF schema = BUF_INIT;

	s->n_calls++;
	if (is(r->method, "Watch")) {
		s->n_calls--;
		if (s->no_watch)
			server_respond(c, st, ERRAND_UNIMPLEMENTED, server_text(""));
		else
			s->watch = st;
	} else if (is(r->service, "errand.v1.Schema") && s->no_schema) {
		s->n_schema++;
		server_respond(c, st, ERRAND_RESOURCE_EXHAUSTED, server_text(""));
	} else if (is(r->service, "errand.v1.Schema")) {
		s->n_schema++;
		pbuf_put_str(&schema, 1, "0123456789abcdef0123456789abcdef");
		pbuf_put_str(&schema, 2, "the set");
		server_respond(c, st, ERRAND_OK, buf_bytes(&schema));
	} else if (is(r->method, "Echo")) {
		server_respond(c, st, ERRAND_OK, r->payload);
	} else if (is(r->method, "Fail")) {
		server_respond(c, st, ERRAND_NOT_FOUND, server_text(""));
	} else if (is(r->method, "Stream")) {
		s->stream = st;
		s->to_send = 64;
		stream_some(s);
	} else {
		s->silent = st;
	}
}

static void server_cancelled(struct conn *c, struct conn_stream *st, void *user, void *arg)
{
	struct server *s = arg;

	s->n_cancelled += st != s->watch;
	if (st == s->watch)
		s->watch = NULL;
	if (s->silent == st)
		s->silent = NULL;
}

static void server_writable(struct conn *c, struct conn_stream *st, void *user, void *arg)
{
	stream_some(arg);
}

static const struct conn_ops server_ops = {
	.request = server_request,
	.cancelled = server_cancelled,
	.writable = server_writable,
};

/* Plain ttrpc: every Hello is UNIMPLEMENTED, everything else is answered. */
static void plain_feed(struct server *s, const uint8_t *in, size_t len)
{
	while (len >= FRAME_HEADER) {
		struct frame f;
		struct wire_request r;
		struct wire_response w = {.code = 0};
		AUTO_BUF out = BUF_INIT;
		uint8_t head[FRAME_HEADER];

		frame_unpack(in, &f);
		s->n_frames++;
		assert_true(len >= FRAME_HEADER + f.length);
		assert_int_equal(envelope_read_request((struct bytes){in + FRAME_HEADER, f.length}, &r), 0);
		w.code = is(r.method, "Hello") ? ERRAND_UNIMPLEMENTED : ERRAND_OK;
		w.payload = r.payload;
		envelope_write_response(&out, &w, false);
		frame_pack(&(struct frame){(uint32_t)out.len, f.stream, FRAME_RESPONSE, 0}, head);
		assert_int_equal(write(s->fd, head, sizeof head), sizeof head);
		assert_int_equal(write(s->fd, out.data, out.len), out.len);
		in += FRAME_HEADER + f.length;
		len -= FRAME_HEADER + f.length;
	}
}

static void server_read(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	static uint8_t in[1 << 20];
	ssize_t n = read(fd, in, sizeof in);

	if (n <= 0) {
		server_hang_up(s);
	} else if (s->plain) {
		plain_feed(s, in, (size_t)n);
	} else if (!s->mute) {
		assert_int_equal(conn_feed(s->conn, in, (size_t)n), 0);
		server_write(s);
	}
}

static void server_accept(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	AUTO_BUF hello = BUF_INIT;

	s->n_accepted++;
	server_hang_up(s);
	s->fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(s->fd >= 0);
	s->conn = conn_new(CONN_SERVER, &server_ops, NULL, s);
	pbuf_put_uint(&hello, 1, 1);
	pbuf_put_uint(&hello, 2, 65536);
	pbuf_put_str(&hello, 4, "0123456789abcdef0123456789abcdef");
	conn_set_hello(s->conn, buf_bytes(&hello));
	s->reading = event_new(s->base, s->fd, EV_READ | EV_PERSIST, server_read, s);
	event_add(s->reading, NULL);
}

void server_listen(struct server *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof a.sun_path, "%s", s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(s->listener, 16), 0);
	s->accepting = event_new(s->base, s->listener, EV_READ | EV_PERSIST, server_accept, s);
	event_add(s->accepting, NULL);
}

void server_stop(struct server *s)
{
	if (s->listener < 0)
		return;
	server_hang_up(s);
	event_free(s->accepting);
	close(s->listener);
	unlink(s->path);
	s->listener = -1;
}
