/* http_gate.c: the guard on a connection's input. evhttp's bufferevent is a plain
 * one; a callback on its input buffer runs before evhttp looks and takes out what it
 * must not see. evhttp is shown whole heads only: until the last byte of one is
 * there it is kept in `held`.
 *
 * Of a method that evhttp has no name for it is shown POST, which has a body or none
 * as its headers say; the true one waits in `verbs` for the request to arrive.
 *
 * Expect: 100-continue is answered here, and evhttp never hears of it: the head is
 * shown to the handler first, which answers it or lets the client go on.
 * Loop thread only. */
#define _GNU_SOURCE
#include "gateway/http_private.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/log.h"

enum { LINGER_BYTES = 64 << 20 }; /* thrown away after a refusal before it is cut off */

/* --- Expect --- */

/* Takes the Expect lines out of a head. */
static void head_forget_expect(struct buf *head)
{
	static const char name[] = "expect:";
	uint8_t *line = head->data, *end = head->data + head->len;

	while (line < end) {
		uint8_t *next = (uint8_t *)memchr(line, '\n', (size_t)(end - line)) + 1;

		if ((size_t)(end - line) > strlen(name) &&
		    strncasecmp((char *)line, name, strlen(name)) == 0) {
			memmove(line, next, (size_t)(end - next));
			end -= next - line;
		} else {
			line = next;
		}
	}
	head->len = (size_t)(end - head->data);
}

/* The head in c->held ends here and waits for 100 Continue. */
static void gate_expect(struct http_conn *c, bool content_follows)
{
	head_forget_expect(&c->held);
	if (content_follows) /* then it does not wait (RFC 9110 10.1.1) */
		return;
	if (request_expected(c, buf_bytes(&c->held)))
		c->state = CONN_REFUSED;
	else
		c->owes_continue = true;
}

void gate_continue(struct http_conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	c->owes_continue = false;
	if (c->state != CONN_OPEN || c->fd < 0)
		return;
	/* Nothing waits to be sent, so this goes out whole, or the client is not there. */
	if (send(c->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)strlen(text))
		http_count(&c->server->stats.bytes_out, strlen(text));
}

/* --- methods that evhttp does not know --- */

struct verb {
	struct list node; /* in conn->verbs */
	uint64_t n;       /* of the request, from 1 */
	char *name;       /* owned */
};

/* c->held ends in such a method, and its space. */
static void gate_rename(struct http_conn *c)
{
	struct verb *v = xmalloc(sizeof *v);

	v->n = c->guard.n_requests + 1;
	v->name = xstrndup(c->guard.method, c->guard.method_len);
	list_push_back(&c->verbs, &v->node);
	c->held.len -= c->guard.method_len + 1;
	buf_append(&c->held, "POST ", 5);
}

static void verb_free(struct verb *v)
{
	list_remove(&v->node);
	free(v->name);
	free(v);
}

char *gate_take_verb(struct http_conn *c, uint64_t n)
{
	char *name = NULL;

	while (name == NULL && !list_empty(&c->verbs)) {
		struct verb *v = LIST_ENTRY(c->verbs.next, struct verb, node);

		if (v->n > n)
			break;
		if (v->n == n) {
			name = v->name;
			v->name = NULL;
		}
		verb_free(v);
	}
	return name;
}

char *gate_last_verb(const struct http_conn *c)
{
	const struct verb *v = LIST_ENTRY(c->verbs.prev, struct verb, node);

	return list_empty(&c->verbs) || v->n != c->guard.n_requests ? NULL : xstrdup(v->name);
}

void gate_forget_verbs(struct http_conn *c)
{
	free(gate_take_verb(c, UINT64_MAX));
}

/* --- judging --- */

/* Shows the guard the last n bytes of the input; how many of them evhttp may see. */
static size_t gate_feed(struct http_conn *c, struct evbuffer *in, size_t n)
{
	size_t at = evbuffer_get_length(in) - n, good = 0;

	while (good < n) {
		struct evbuffer_ptr from;
		struct evbuffer_iovec v;
		size_t len, took;

		if (evbuffer_ptr_set(in, &from, at + good, EVBUFFER_PTR_SET) < 0 ||
		    evbuffer_peek(in, -1, &from, &v, 1) < 1)
			break;
		len = MIN(v.iov_len, n - good);
		took = guard_feed(&c->guard, v.iov_base, len);
		good += took;
		if (took < len || c->guard.waiting || c->guard.foreign)
			break;
	}
	return good;
}

/* The last n bytes of the input are moved to raw. */
static void gate_take(struct evbuffer *in, size_t n, struct buf *raw)
{
	struct evbuffer *before = evbuffer_new();

	if (before == NULL)
		abort();
	evbuffer_remove_buffer(in, before, evbuffer_get_length(in) - n);
	buf_reset(raw);
	evbuffer_remove(in, buf_reserve(raw, n), n);
	raw->len = n;
	evbuffer_add_buffer(in, before);
	evbuffer_free(before);
}

static void gate_show_held(struct http_conn *c, struct evbuffer *in)
{
	evbuffer_add(in, c->held.data, c->held.len);
	buf_deinit(&c->held);
}

/* These bytes are good: a head that is not whole is kept, the rest evhttp sees. */
static void gate_show(struct http_conn *c, struct evbuffer *in, const uint8_t *p, size_t n)
{
	bool in_head = guard_phase(&c->guard) == GUARD_HEAD || c->guard.waiting;
	size_t head = in_head ? MIN(n, c->guard.head_shown) : 0;

	if (n > head) {
		gate_show_held(c, in);
		evbuffer_add(in, p, n - head);
	}
	buf_append(&c->held, p + n - head, head);
}

/* Takes the last n bytes out of the input and puts back what evhttp may see of
 * them. The first `good` have been judged. */
static void gate_sift(struct http_conn *c, struct evbuffer *in, size_t n, size_t good)
{
	struct buf *raw = &c->server->raw;
	size_t at = 0;

	c->gate_busy = true;
	gate_take(in, n, raw);
	for (;;) {
		gate_show(c, in, raw->data + at, good);
		at += good;
		if (c->guard.verdict.status)
			break;
		at += c->guard.skip;
		if (c->guard.foreign)
			gate_rename(c);
		if (c->guard.waiting) {
			gate_expect(c, at < n);
			if (c->state != CONN_OPEN)
				break;
			gate_show_held(c, in);
		}
		if (at == n)
			break;
		good = guard_feed(&c->guard, raw->data + at, n - at);
	}
	if (c->state != CONN_OPEN || c->guard.verdict.status)
		buf_deinit(&c->held);
	c->gate_busy = false;
}

static void gate_judge(struct http_conn *c, struct evbuffer *in, size_t n)
{
	size_t good = gate_feed(c, in, n);

	if (good < n || c->guard.waiting || c->held.len > 0 || guard_phase(&c->guard) == GUARD_HEAD)
		gate_sift(c, in, n, good);
	if (c->guard.verdict.status)
		c->state = CONN_REFUSED;
}

/* --- the callbacks --- */

/* Nothing is read any more: the last n bytes of the input are dropped. */
static void gate_drop(struct http_conn *c, struct evbuffer *in, size_t n)
{
	c->gate_busy = true;
	gate_take(in, n, &c->server->raw);
	c->gate_busy = false;
}

/* Runs inside evbuffer_read, so before evhttp looks at the bytes. */
static void gate_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg)
{
	struct http_conn *c = arg;

	if (info->n_added == 0 || c->gate_busy)
		return;
	http_count(&c->server->stats.bytes_in, info->n_added);
	if (c->state == CONN_OPEN) {
		c->owes_continue = false; /* content is here: it did not wait */
		if (!guard_pass(&c->guard, info->n_added))
			gate_judge(c, in, info->n_added);
		conn_next(c);
		if (c->current != NULL && !c->clogged && evbuffer_get_length(in) > CLOG_BYTES)
			conn_clog(c);
	} else if (c->state == CONN_REFUSED) {
		gate_drop(c, in, info->n_added);
	} else {
		c->n_lingered += info->n_added;
		evbuffer_drain(in, evbuffer_get_length(in));
		if (c->n_lingered > LINGER_BYTES)
			conn_kill(c);
	}
}

static void gate_output(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg)
{
	struct http_conn *c = arg;

	c->n_sent += info->n_deleted;
	http_count(&c->server->stats.bytes_out, info->n_deleted);
}

void gate_attach(struct http_conn *c)
{
	evbuffer_add_cb(bufferevent_get_input(c->bev), gate_input, c);
	evbuffer_add_cb(bufferevent_get_output(c->bev), gate_output, c);
}

void gate_detach(struct http_conn *c)
{
	evbuffer_remove_cb(bufferevent_get_input(c->bev), gate_input, c);
	evbuffer_remove_cb(bufferevent_get_output(c->bev), gate_output, c);
}
