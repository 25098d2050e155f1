/* http.c: requests and answers. evhttp parses (what the gate let through) and keeps
 * the connection's state; the answer is made here and written by http_send.c.
 *
 * A request is evhttp's until the client goes away; then evhttp lets go of it (it
 * has no connection any more) and it is ours to free when it is answered.
 * Loop thread only; one server per loop. */
#define _GNU_SOURCE
#include "gateway/http.h"

#include <assert.h>
#include <errno.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "gateway/http_private.h"

enum {
	MAX_LINE = 8192,   /* request line, at most (RFC 9112 3: 8000 at least) */
	CHUNK_DIGITS = 16,
	KEEP_HEADERS = 4096, /* memory a spare request may keep */
};

/* --- a request's life --- */

struct http_request *request_new(struct http_server *s)
{
	struct http_request *r = s->spare;
	struct buf headers;

	if (r == NULL)
		return xcalloc(1, sizeof *r);
	s->spare = r->next;
	headers = r->headers;
	memset(r, 0, sizeof *r);
	r->headers = headers;
	return r;
}

void request_free(struct http_request *r)
{
	struct http_server *s = r->server;

	free((char *)(uintptr_t)r->verb);
	if (r->headers.cap > KEEP_HEADERS)
		buf_deinit(&r->headers);
	buf_reset(&r->headers);
	r->next = s->spare;
	s->spare = r;
}

/* The answer has left or never will: the log, and the connection is free for the
 * next request. */
static void request_done(struct http_request *r)
{
	struct http_conn *c = r->conn;
	size_t unsent = 0;

	if (c->bev != NULL && !r->gone)
		unsent = evbuffer_get_length(bufferevent_get_output(c->bev));
	if (r->on_done != NULL)
		r->on_done(r, r->status, r->n_body > unsent ? r->n_body - unsent : 0, r->done_arg);
	c->current = NULL;
	request_free(r);
	conn_release(c);
}

/* evhttp: the answer has left. It reads the next request, or closes. */
static void request_complete(struct evhttp_request *req, void *arg)
{
	struct http_request *r = arg;
	struct http_conn *c = r->conn;

	c->busy++;
	conn_unclog(c);
	conn_disarm(c);
	request_done(r);
	conn_next(c);
	c->busy--;
}

void request_conn_lost(struct http_request *r)
{
	if (r->answered) { /* evhttp frees req itself */
		request_done(r);
		return;
	}
	r->gone = true;
	if (r->on_gone != NULL)
		r->on_gone(r, r->gone_arg);
}

/* Answered after the client had gone. */
static void request_drop(struct http_request *r)
{
	struct evhttp_request *req = r->req; /* on_done still reads it */

	request_done(r);
	evhttp_request_free(req);
}

void request_drained(struct http_request *r)
{
	if (!r->full)
		return;
	r->full = false;
	if (r->on_drained != NULL)
		r->on_drained(r, r->drained_arg);
}

static uint64_t name_bit(const char *name)
{
	return (uint64_t)1 << ((((unsigned)*name | 0x20) * 7 + strlen(name)) & 63);
}

static uint64_t name_bits(const struct evkeyvalq *headers)
{
	uint64_t bits = 0;

	for (const struct evkeyval *h = headers->tqh_first; h != NULL; h = h->next.tqe_next)
		bits |= name_bit(h->key);
	return bits;
}

void request_normalise(struct http_request *r)
{
	request_take_host(r->req);
	r->names = name_bits(r->req->input_headers);
}

/* evhttp's callback: the request is whole. */
static void request_arrived(struct evhttp_request *req, void *arg)
{
	struct http_server *s = arg;
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	struct http_conn *c = conn_of(s, evhttp_connection_get_bufferevent(evcon));
	struct http_request *r = request_new(s);

	assert(c != NULL && c->current == NULL);
	c->busy++;
	c->current = r;
	c->n_begun++;
	conn_disarm(c);
	r->server = s;
	r->conn = c;
	r->req = req;
	r->begun_ns = clock_mono_ns();
	r->verb = gate_take_verb(c, c->n_begun);
	r->head = req->type == EVHTTP_REQ_HEAD;
	r->close = s->draining || (c->guard.ended && c->n_begun == c->guard.n_complete);
	request_normalise(r);
	evhttp_request_set_on_complete_cb(req, request_complete, r);
	s->ops->request(r, s->arg);
	if (c->current == r && !r->answered && !r->streaming && !r->gone)
		conn_hold_reading(c);
	c->busy--;
	conn_release(c);
}

/* --- reading it --- */

const char *http_verb(const struct http_request *r)
{
	if (r->verb != NULL)
		return r->verb;
	switch (r->req->type) {
	case EVHTTP_REQ_GET:
	case EVHTTP_REQ_HEAD:
		return "GET";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	case EVHTTP_REQ_OPTIONS:
		return "OPTIONS";
	default:
		return "";
	}
}

bool http_is_custom(const struct http_request *r)
{
	return r->verb != NULL;
}

const char *http_path(const struct http_request *r)
{
	const char *path = evhttp_uri_get_path(r->req->uri_elems);

	if (path != NULL && *path != '\0')
		return path;
	return r->req->type == EVHTTP_REQ_OPTIONS ? "*" : "/"; /* http://host (RFC 9112 3.2.4) */
}

const char *http_query(const struct http_request *r)
{
	const char *query = evhttp_uri_get_query(r->req->uri_elems);

	return query != NULL ? query : "";
}

const char *http_header(const struct http_request *r, const char *name)
{
	return http_header_nth(r, name, 0);
}

/* Two dozen names are asked for with each request, and most are not there. */
const char *http_header_nth(const struct http_request *r, const char *name, unsigned n)
{
	const struct evkeyvalq *headers = r->req->input_headers;

	if ((r->names & name_bit(name)) == 0)
		return NULL;
	for (const struct evkeyval *h = headers->tqh_first; h != NULL; h = h->next.tqe_next)
		if ((h->key[0] | 0x20) == (*name | 0x20) && evutil_ascii_strcasecmp(h->key, name) == 0 &&
		    n-- == 0)
			return h->value;
	return NULL;
}

struct bytes http_body(struct http_request *r)
{
	struct evbuffer *body = r->req->input_buffer;

	return (struct bytes){evbuffer_pullup(body, -1), evbuffer_get_length(body)};
}

int64_t http_begun_ns(const struct http_request *r)
{
	return r->begun_ns;
}

bool http_is_head(const struct http_request *r)
{
	return r->head;
}

bool http_awaits_body(const struct http_request *r)
{
	return r->awaits;
}

void http_set_user(struct http_request *r, void *user)
{
	r->user = user;
}

void *http_user(const struct http_request *r)
{
	return r->user;
}

void http_on_gone(struct http_request *r, void (*fn)(struct http_request *, void *), void *arg)
{
	r->on_gone = fn;
	r->gone_arg = arg;
}

void http_on_done(struct http_request *r,
		  void (*fn)(struct http_request *, int status, size_t sent, void *), void *arg)
{
	r->on_done = fn;
	r->done_arg = arg;
}

/* --- the answer's head --- */

static bool is_clean(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

void http_set_header(struct http_request *r, const char *name, const char *value)
{
	if (*name == '\0' || strpbrk(name, " :\t") != NULL || !is_clean(name) || !is_clean(value)) {
		log_warn("left a header out of an answer: it has control characters",
			 "header=%.64s path=%.128s", name, http_path(r));
		return;
	}
	buf_append_str(&r->headers, name);
	buf_append(&r->headers, ": ", 2);
	buf_append_str(&r->headers, value);
	buf_append(&r->headers, "\r\n", 2);
}

/* Formatted once a second. */
static const char *server_date(struct http_server *s)
{
	time_t now = (time_t)(clock_wall_us() / US_PER_S);
	struct tm tm;

	if (now != s->date_s) {
		s->date_s = now;
		gmtime_r(&now, &tm);
		strftime(s->date, sizeof s->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
	}
	return s->date;
}

static void put_number(struct buf *b, uint64_t n)
{
	char digits[20];
	size_t at = sizeof digits;

	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	buf_append(b, digits + at, sizeof digits - at);
}

bool answer_has_content(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

struct buf *answer_head(struct http_request *r, const char *content_type, int64_t length)
{
	struct buf *b = &r->server->head;

	buf_reset(b);
	buf_append_str(b, ANSWER + r->n_ahead);
	r->n_ahead = 0;
	put_number(b, (uint64_t)r->status);
	buf_append_byte(b, ' ');
	buf_append_str(b, err_http_reason(r->status));
	buf_append_str(b, "\r\nServer: errand\r\n");
	buf_append_str(b, server_date(r->server));
	if (answer_has_content(r->status) && content_type != NULL) {
		buf_append_str(b, "Content-Type: ");
		buf_append_str(b, content_type);
		buf_append(b, "\r\n", 2);
	}
	if (answer_has_content(r->status) && length >= 0) {
		buf_append_str(b, "Content-Length: ");
		put_number(b, (uint64_t)length);
		buf_append(b, "\r\n", 2);
	}
	buf_append(b, r->headers.data, r->headers.len);
	if (r->chunked)
		buf_append_str(b, "Transfer-Encoding: chunked\r\n");
	if (r->close)
		buf_append_str(b, "Connection: close\r\n");
	else if (r->req->minor == 0)
		buf_append_str(b, "Connection: keep-alive\r\n");
	buf_append(b, "\r\n", 2);
	return b;
}

/* --- the answer --- */

/* Tells evhttp that the answer is whole: at once when all has been sent, else when
 * the output has drained. r may be freed by it. */
static void answer_finish(struct http_request *r)
{
	struct evhttp_request *req = r->req;
	struct http_conn *c = r->conn;

	r->answered = true;
	req->chunked = 0; /* it was about the request's body */
	if (r->close) {
		evhttp_remove_header(req->input_headers, "Connection");
		evhttp_add_header(req->output_headers, "Connection", "close");
	}
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) > 0 && c->wait != WAIT_WRITE)
		conn_arm(c, WAIT_WRITE);
	c->busy++;
	evhttp_send_reply_end(req);
	if (c->state != CONN_DEAD && c->current == r)
		conn_hold_reading(c); /* evhttp has taken its callbacks back */
	conn_resume(c);
	c->busy--;
	conn_release(c);
}

static void reply(struct http_request *r, int status, const char *content_type, struct buf *body, bool kept)
{
	struct buf none = BUF_INIT;
	size_t length = body != NULL ? body->len : 0;
	struct buf *head;

	assert(!r->answered && !r->streaming);
	r->status = status;
	r->close = r->close || r->server->draining;
	if (r->gone) {
		request_drop(r);
	} else if (r->awaits) {
		request_expected_answer(r, content_type, body);
	} else {
		head = answer_head(r, content_type, (int64_t)length);
		if (body == NULL || r->head || !answer_has_content(status))
			body = &none;
		r->n_body = body->len;
		conn_send_answer(r->conn, head, body, kept);
		answer_finish(r);
	}
}

void http_reply(struct http_request *r, int status, const char *content_type, struct buf *body)
{
	reply(r, status, content_type, body, false);
	if (body != NULL)
		buf_deinit(body);
}

void http_reply_kept(struct http_request *r, int status, const char *content_type, struct bytes body)
{
	struct buf view = {(uint8_t *)(uintptr_t)body.data, body.len, body.len, false}, copy = BUF_INIT;

	if (!r->awaits) {
		reply(r, status, content_type, &view, true);
		return;
	}
	buf_append(&copy, body.data, body.len);
	http_reply(r, status, content_type, &copy);
}

/* --- streams --- */

void http_stream_begin(struct http_request *r, int status, const char *content_type)
{
	struct iovec v;
	struct buf *head;

	assert(!r->answered && !r->streaming);
	r->status = status;
	r->streaming = true;
	if (r->gone)
		return;
	r->close = r->close || r->server->draining;
	r->chunked = r->req->minor > 0 && !r->head && answer_has_content(status);
	if (!r->chunked && !r->head && answer_has_content(status))
		r->close = true;
	conn_stream(r->conn);
	head = answer_head(r, content_type, -1);
	v = (struct iovec){head->data, head->len};
	conn_send(r->conn, &v, 1);
}

bool http_stream_write(struct http_request *r, struct bytes chunk)
{
	char size[20], line_end[] = "\r\n";
	struct iovec v[3];
	int n = 0;

	assert(r->streaming && !r->answered);
	if (r->gone || r->head || !answer_has_content(r->status) || chunk.len == 0)
		return false;
	if (r->chunked) /* a zero that was sent ahead is part of the size */
		v[n++] = (struct iovec){
			size, (size_t)snprintf(size, sizeof size, "%zx\r\n", chunk.len)};
	v[n++] = (struct iovec){(void *)(uintptr_t)chunk.data, chunk.len};
	if (r->chunked)
		v[n++] = (struct iovec){line_end, 2};
	r->n_ahead = 0;
	conn_send(r->conn, v, n);
	r->n_body += chunk.len;
	/* full until it has drained: who was told so waits for on_drained */
	if (evbuffer_get_length(bufferevent_get_output(r->conn->bev)) >
	    r->server->limits.max_stream_buffer)
		r->full = true;
	return r->full;
}

void http_stream_on_drained(struct http_request *r, void (*fn)(struct http_request *, void *),
			    void *arg)
{
	r->on_drained = fn;
	r->drained_arg = arg;
}

void http_stream_end(struct http_request *r)
{
	char last[] = LAST_CHUNK;
	struct iovec v = {last + r->n_ahead, strlen(last) - r->n_ahead};

	assert(r->streaming && !r->answered);
	if (r->gone) {
		request_drop(r);
		return;
	}
	if (r->chunked)
		conn_send(r->conn, &v, 1);
	conn_hold_reading(r->conn);
	answer_finish(r);
}

void http_stream_break(struct http_request *r)
{
	r->close = true;
	r->chunked = false;
	http_stream_end(r);
}

/* --- the server --- */

/* The gate decides; evhttp's own limits stand a little behind it. */
void http_server_set_limits(struct http_server *s, const struct http_limits *limits)
{
	s->limits = *limits;
	s->guard = (struct guard_limits){
		.max_line = MIN(limits->max_head, (size_t)MAX_LINE),
		.max_head = limits->max_head,
		.max_body = MIN(limits->max_body, (size_t)1 << 62),
		.max_chunk_line = CHUNK_DIGITS,
		.max_headers = limits->max_headers,
	};
	conn_server_limits(s);
	listen_limits(s);
	listen_adjust(s);
}

struct evhttp *server_evhttp(struct http_server *s)
{
	struct evhttp *http = evhttp_new(s->base);

	if (http == NULL)
		abort();
	evhttp_set_default_content_type(http, NULL);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
						 EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH | EVHTTP_REQ_DELETE |
						 EVHTTP_REQ_OPTIONS);
	evhttp_set_gencb(http, request_arrived, s);
	return http;
}

struct http_server *http_server_new(struct event_base *base, int fd, const struct http_limits *limits,
				    const struct http_ops *ops, void *arg)
{
	struct http_server *s = xcalloc(1, sizeof *s);

	s->base = base;
	s->ops = ops;
	s->arg = arg;
	conn_server_init(s);
	listen_init(s);
	http_server_set_limits(s, limits);
	if (fd >= 0 && http_server_listen(s, fd, NULL) < 0)
		return http_server_free(s);
	return s;
}

const struct http_stats *http_server_stats(const struct http_server *s)
{
	return &s->stats;
}

void http_server_drain(struct http_server *s)
{
	s->draining = true;
	listen_stop(s);
	LIST_FOREACH(node, &s->conns)
		conn_drain(LIST_ENTRY(node, struct http_conn, node));
}

size_t http_server_connections(const struct http_server *s)
{
	return s->n_conns + s->n_unsent;
}

/* Requests that are still unanswered are told that their client has gone; those
 * whose handler does not answer even then are freed. */
static void server_drop_conns(struct http_server *s)
{
	LIST_FOREACH(node, &s->conns)
		conn_abort(LIST_ENTRY(node, struct http_conn, node));
	LIST_FOREACH(node, &s->orphans)
		request_drop(LIST_ENTRY(node, struct http_conn, node)->current);
}

struct http_server *http_server_free(struct http_server *s)
{
	struct http_request *r;

	if (s == NULL)
		return NULL;
	listen_stop(s);
	server_drop_conns(s);
	peer_server_deinit(s);
	listen_deinit(s);
	conn_server_deinit(s);
	while ((r = s->spare) != NULL) {
		s->spare = r->next;
		buf_deinit(&r->headers);
		free(r);
	}
	buf_deinit(&s->head);
	buf_deinit(&s->raw);
	free(s);
	return NULL;
}
