#define _GNU_SOURCE
#include "peer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "errand/status.h"
#include "wire/conn_io.h"

struct peer {
	int fd;
	struct conn *conn;
	unsigned n_cancelled;
	struct conn_stream *pinger; /* waits for a pong */
	bool die, garbage;
};

struct count { /* a Count under way */
	unsigned left;
	size_t size;
};

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void answer(struct peer *p, struct conn_stream *s, int code, struct bytes payload)
{
	struct wire_response r = {.code = code, .payload = payload};

	conn_respond(p->conn, s, &r);
}

static void echo(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	answer(p, s, 0, r->payload);
}

static void do_fail(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	struct wire_response w = {.code = ERRAND_NOT_FOUND, .message = text("no such thing"),
				  .details = text("PROBLEM")};

	conn_respond(p->conn, s, &w);
}

static void silent(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
}

static void cancelled(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	char out[16];

	snprintf(out, sizeof out, "%u", p->n_cancelled);
	answer(p, s, 0, text(out));
}

static void count_on(struct peer *p, struct conn_stream *s)
{
	struct count *n = conn_stream_user(s);
	int r = 0;

	while (n->left > 0 && r == 0) {
		uint8_t *m = malloc(n->size + 1);

		if (m == NULL)
			abort();
		memset(m, (int)('a' + n->left-- % 26), n->size);
		r = conn_send_data(p->conn, s, (struct bytes){m, n->size});
		free(m);
	}
	if (n->left > 0)
		return;
	free(n);
	conn_stream_set_user(s, NULL);
	answer(p, s, 0, text(""));
}

static void count(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	struct count *n = calloc(1, sizeof *n);
	char in[32];

	snprintf(in, sizeof in, "%.*s", (int)r->payload.len, (const char *)r->payload.data);
	if (n == NULL || sscanf(in, "%u %zu", &n->left, &n->size) != 2)
		abort();
	conn_stream_set_user(s, n);
	count_on(p, s);
}

static void task(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	struct wire_response w = {0};
	struct bytes accept = wire_pair_get(r->metadata, r->n_metadata, "errand-task");

	w.payload = accept;
	if (accept.len > 0)
		wire_pair_add(w.metadata, &w.n_metadata, "errand-message", text("errand.v1.Task"));
	conn_respond(p->conn, s, &w);
}

static void show(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	AUTO_BUF b = BUF_INIT;

	buf_printf(&b, "%s", r->timeout_ns > 0 ? "timeout" : "no timeout");
	for (size_t i = 0; i < r->n_metadata; i++)
		buf_printf(&b, " %.*s=%.*s", (int)r->metadata[i].key.len,
			   (const char *)r->metadata[i].key.data, (int)r->metadata[i].value.len,
			   (const char *)r->metadata[i].value.data);
	answer(p, s, 0, buf_bytes(&b));
}

static void ping(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	p->pinger = s;
	conn_ping(p->conn, (const uint8_t *)"pingpong");
}

static void go_away(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	conn_goaway(p->conn);
	answer(p, s, 0, text("bye"));
}

static void die(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	p->die = true;
}

static void garbage(struct peer *p, struct conn_stream *s, const struct wire_request *r)
{
	p->garbage = true;
}

static const struct {
	const char *name;
	void (*fn)(struct peer *p, struct conn_stream *s, const struct wire_request *r);
} methods[] = {
	{"Echo", echo}, {"Fail", do_fail}, {"Silent", silent}, {"Cancelled", cancelled},
	{"Count", count}, {"Task", task}, {"Show", show}, {"Ping", ping},
	{"Goaway", go_away}, {"Die", die}, {"Garbage", garbage},
};

static bool is(struct bytes b, const char *s)
{
	return b.len == strlen(s) && memcmp(b.data, s, b.len) == 0;
}

static void on_request(struct conn *c, struct conn_stream *s, const struct wire_request *r,
		       bool open, void *arg)
{
	struct wire_response no = {.code = ERRAND_UNIMPLEMENTED, .message = text("no such method")};

	for (size_t i = 0; i < ARRAY_LEN(methods) && is(r->service, "test.v1.Peer"); i++) {
		if (!is(r->method, methods[i].name))
			continue;
		methods[i].fn(arg, s, r);
		return;
	}
	conn_respond(c, s, &no);
}

static void on_cancelled(struct conn *c, struct conn_stream *s, void *user, void *arg)
{
	struct peer *p = arg;

	p->n_cancelled++;
	free(user);
}

static void on_writable(struct conn *c, struct conn_stream *s, void *user, void *arg)
{
	if (user != NULL)
		count_on(arg, s);
}

static void on_pong(struct conn *c, const uint8_t opaque[8], void *arg)
{
	struct peer *p = arg;

	answer(p, p->pinger, 0, (struct bytes){opaque, 8});
}

static const struct conn_ops ops = {
	.request = on_request, .cancelled = on_cancelled, .writable = on_writable,
	.pong = on_pong,
};

/* One turn of poll, read, answer; false when the connection is over. */
static bool turn(struct peer *p)
{
	struct pollfd fd = {.fd = p->fd, .events = POLLIN};
	uint8_t in[4096];

	if (conn_pending(p->conn) > 0)
		fd.events |= POLLOUT;
	if (poll(&fd, 1, -1) < 0)
		return false;
	if ((fd.revents & ~POLLOUT) != 0 && conn_read(p->conn, p->fd, in, sizeof in, 1) != 0)
		return false;
	if (p->garbage)
		return send(p->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL) < 0;
	return !p->die && conn_write(p->conn, p->fd, NULL) != CONN_IO_BROKEN;
}

void peer_serve(int fd)
{
	struct peer p = {.fd = fd};

	p.conn = conn_new(CONN_SERVER, &ops, NULL, &p);
	if (p.conn == NULL)
		abort();
	while (turn(&p))
		;
	for (struct conn_stream *s; (s = conn_first_stream(p.conn)) != NULL;) {
		free(conn_stream_user(s));
		answer(&p, s, ERRAND_UNAVAILABLE, text(""));
	}
	conn_free(p.conn);
	close(fd);
}

static bool read_all(int fd, void *out, size_t len)
{
	return len == 0 || recv(fd, out, len, MSG_WAITALL) == (ssize_t)len;
}

void peer_serve_plain(int fd)
{
	static const char hello[] = "Hello";
	uint8_t head[FRAME_HEADER];
	static _Thread_local uint8_t in[65536];
	struct frame f;

	while (read_all(fd, head, sizeof head)) {
		AUTO_BUF out = BUF_INIT;
		struct wire_response w = {0};
		struct wire_request r;

		frame_unpack(head, &f);
		if (f.length > sizeof in || f.type != FRAME_REQUEST || !read_all(fd, in, f.length) ||
		    envelope_read_request((struct bytes){in, f.length}, &r) < 0)
			break; /* anything else was never to be sent to us */
		if (is(r.method, hello))
			w.code = ERRAND_UNIMPLEMENTED;
		else
			w.payload = r.payload;
		buf_append(&out, head, sizeof head);
		envelope_write_response(&out, &w, false);
		f.length = (uint32_t)(out.len - FRAME_HEADER);
		f.type = FRAME_RESPONSE;
		frame_pack(&f, out.data);
		if (send(fd, out.data, out.len, MSG_NOSIGNAL) != (ssize_t)out.len)
			break;
	}
	close(fd);
}

int peer_listen(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un) < 0 || listen(fd, 64) < 0)
		return -1;
	return fd;
}
