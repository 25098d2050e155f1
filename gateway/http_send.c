/* http_send.c: bytes to a connection's socket: straight to it when nothing is queued
 * before them (one writev, no poll for writability, no evbuffer); what it does not
 * take goes through evhttp's bufferevent. Loop thread only. */
#define _GNU_SOURCE
#include "gateway/http_private.h"

#include <stdlib.h>
#include <sys/uio.h>

/* As much as the socket takes now, when nothing waits before it. */
static size_t send_now(struct http_conn *c, const struct iovec *v, int n)
{
	ssize_t sent;

	if (evbuffer_get_length(bufferevent_get_output(c->bev)) > 0)
		return 0;
	sent = writev(c->fd, v, n);
	if (sent <= 0)
		return 0; /* errors come back when it is polled */
	http_count(&c->server->stats.bytes_out, (uint64_t)sent);
	return (size_t)sent;
}

/* The rest of what send_now did not take is copied to the output. */
static void send_later(struct http_conn *c, const struct iovec *v, int n, size_t sent)
{
	struct evbuffer *out = bufferevent_get_output(c->bev);

	for (int i = 0; i < n; i++) {
		size_t skip = MIN(sent, v[i].iov_len);

		sent -= skip;
		if (skip < v[i].iov_len)
			evbuffer_add(out, (char *)v[i].iov_base + skip, v[i].iov_len - skip);
	}
	bufferevent_enable(c->bev, EV_WRITE);
}

void conn_send(struct http_conn *c, const struct iovec *v, int n)
{
	size_t total = 0, sent = send_now(c, v, n);

	for (int i = 0; i < n; i++)
		total += v[i].iov_len;
	if (sent < total)
		send_later(c, v, n, sent);
}

static void body_cleanup(const void *data, size_t len, void *memory)
{
	free(memory);
}

/* head and body, the body without a copy. kept: its memory stays the caller's. */
void conn_send_answer(struct http_conn *c, const struct buf *head, struct buf *body, bool kept)
{
	struct iovec v[2] = {{head->data, head->len}, {body->data, body->len}};
	size_t sent = send_now(c, v, body->len > 0 ? 2 : 1);
	size_t from = sent > head->len ? sent - head->len : 0;

	if (sent == head->len + body->len)
		return;
	send_later(c, v, 1, sent);
	if (from < body->len && kept) {
		evbuffer_add_reference(bufferevent_get_output(c->bev), body->data + from, body->len - from,
				       NULL, NULL);
	} else if (from < body->len) {
		size_t len;
		uint8_t *data = buf_take(body, &len);

		evbuffer_add_reference(bufferevent_get_output(c->bev), data + from, len - from,
				       body_cleanup, data);
	}
}
