#include "rig.h"

#include <stdio.h>

#include "base/util.h"

static void text(struct rig *r, const char *who, const char *what, uint32_t id, struct bytes b)
{
	buf_printf(&r->events, "%s %s %u", who, what, id);
	if (b.len > 32)
		buf_printf(&r->events, " [%zu]", b.len);
	else if (b.len > 0)
		buf_printf(&r->events, " %.*s", (int)b.len, (const char *)b.data);
	buf_append_byte(&r->events, '\n');
}

static struct bytes none(void)
{
	return (struct bytes){NULL, 0};
}

static const char *who(const struct rig *r, const struct conn *c)
{
	return c == r->client ? "client" : "server";
}

static void on_request(struct conn *c, struct conn_stream *s, const struct wire_request *q,
		       bool open, void *arg)
{
	struct rig *r = arg;

	buf_printf(&r->events, "server request %u %.*s/%.*s %.*s%s%s\n", conn_stream_id(s),
		   (int)q->service.len, (const char *)q->service.data, (int)q->method.len,
		   (const char *)q->method.data, (int)MIN(q->payload.len, 32u),
		   (const char *)q->payload.data, q->streaming ? " streaming" : "",
		   open ? " open" : "");
	if (r->n_requests == ARRAY_LEN(r->requests))
		return;
	r->ids[r->n_requests] = conn_stream_id(s);
	r->requests[r->n_requests++] = s;
}

static void on_response(struct conn *c, struct conn_stream *s, void *user,
			const struct wire_response *p, void *arg)
{
	struct rig *r = arg;
	struct bytes etag = wire_pair_get(p->metadata, p->n_metadata, "etag");

	buf_printf(&r->events, "client response %u code=%d", conn_stream_id(s), p->code);
	if (p->message.len > 0)
		buf_printf(&r->events, " (%.*s)", (int)p->message.len, (const char *)p->message.data);
	if (p->payload.len > 0)
		buf_printf(&r->events, " %.*s", (int)MIN(p->payload.len, 32u),
			   (const char *)p->payload.data);
	if (etag.len > 0)
		buf_printf(&r->events, " etag=%.*s", (int)etag.len, (const char *)etag.data);
	buf_append_byte(&r->events, '\n');
	conn_cancel(c, s); /* of a stream that is over: must do nothing */
}

static void on_data(struct conn *c, struct conn_stream *s, void *user, struct bytes m, void *arg)
{
	text(arg, who(arg, c), "data", conn_stream_id(s), m);
}

static void on_cancelled(struct conn *c, struct conn_stream *s, void *user, void *arg)
{
	struct rig *r = arg;

	for (size_t i = 0; i < r->n_requests; i++)
		if (r->ids[i] == conn_stream_id(s))
			r->requests[i] = NULL;
	text(r, "server", "cancelled", conn_stream_id(s), none());
}

static void on_writable(struct conn *c, struct conn_stream *s, void *user, void *arg)
{
	text(arg, "server", "writable", conn_stream_id(s), none());
}

static void on_goaway(struct conn *c, uint32_t last, void *arg)
{
	text(arg, "client", "goaway", last, none());
}

static void on_pong(struct conn *c, const uint8_t opaque[8], void *arg)
{
	text(arg, who(arg, c), "pong", 0, (struct bytes){opaque, 8});
}

static void on_hello(struct conn *c, bool extended, struct bytes payload, void *arg)
{
	text(arg, "client", extended ? "hello" : "plain", 0, payload);
}

static const struct conn_ops ops = {
	.request = on_request, .response = on_response, .data = on_data,
	.cancelled = on_cancelled, .writable = on_writable, .goaway = on_goaway,
	.pong = on_pong, .hello = on_hello,
};

void rig_init(struct rig *r, const struct conn_limits *limits, bool hello)
{
	*r = (struct rig){0};
	r->client = conn_new(CONN_CLIENT, &ops, limits, r);
	r->server = conn_new(CONN_SERVER, &ops, limits, r);
	if (r->client == NULL || r->server == NULL)
		abort();
	if (!hello)
		return;
	if (conn_hello(r->client, none()) < 0 || rig_run(r) < 0)
		abort();
	buf_reset(&r->events);
}

void rig_deinit(struct rig *r)
{
	conn_free(r->client);
	conn_free(r->server);
	buf_deinit(&r->events);
}

void rig_drain(struct conn *from, struct buf *b)
{
	struct iovec iov[2];
	int n;

	while ((n = conn_output(from, iov)) > 0) {
		size_t sent = 0;

		for (int i = 0; i < n; i++) {
			buf_append(b, iov[i].iov_base, iov[i].iov_len);
			sent += iov[i].iov_len;
		}
		conn_sent(from, sent);
	}
}

static int carry(struct rig *r, struct conn *from, struct conn *to, bool *movedp)
{
	AUTO_BUF b = BUF_INIT;
	size_t step;
	int err = 0;

	rig_drain(from, &b);
	*movedp |= b.len > 0;
	step = r->step ? r->step : MAX(b.len, 1u);
	for (size_t i = 0; i < b.len && err == 0; i += step)
		err = conn_feed(to, b.data + i, MIN(step, b.len - i));
	return err;
}

int rig_run(struct rig *r)
{
	bool moved = true;
	int err = 0;

	while (moved && err == 0) {
		moved = false;
		err = carry(r, r->client, r->server, &moved);
		if (err == 0)
			err = carry(r, r->server, r->client, &moved);
	}
	return err;
}

const char *rig_events(struct rig *r)
{
	const char *s = buf_cstr(&r->events);

	r->events.len = 0; /* the bytes stay until the next event is written */
	return s;
}

void rig_frame(struct buf *b, uint32_t stream, uint8_t type, uint8_t flags,
	       const void *payload, size_t len)
{
	struct frame f = {.length = (uint32_t)len, .stream = stream, .type = type, .flags = flags};
	uint8_t head[FRAME_HEADER];

	frame_pack(&f, head);
	buf_append(b, head, sizeof head);
	buf_append(b, payload, len);
}

struct bytes rig_text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

struct conn_stream *rig_call(struct rig *r, const char *method, const char *payload,
			     bool streaming)
{
	struct wire_request q = {.service = rig_text("a.B"), .method = rig_text(method),
				 .payload = rig_text(payload), .streaming = streaming};

	return conn_request(r->client, &q, r);
}

void rig_answer(struct rig *r, size_t i, int code, const char *payload)
{
	struct wire_response p = {.code = code, .payload = rig_text(payload)};

	if (code != 0)
		p.message = rig_text("no");
	wire_pair_add(p.metadata, &p.n_metadata, "etag", rig_text("7"));
	conn_respond(r->server, r->requests[i], &p);
	r->requests[i] = NULL;
}
