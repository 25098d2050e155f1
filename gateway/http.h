/* http.h: the only file that knows evhttp. It owns each request from arrival to
 * the last byte of the answer; the rest of the gateway sees struct http_request.
 * One http_server per loop thread; nothing here is shared between threads.
 *
 * A handler answers exactly once: http_reply, or http_stream_begin ...
 * http_stream_end. Until then on_gone may tell that the client went away (the
 * request lives on until it is answered; the answer is then dropped).
 *
 * A client that closes its own direction may still listen, or have left: both look
 * the same (RFC 9112 9.6). It gets the answers to all it asked for, then the end. One
 * that is silent for half a second is sent the first byte of the answer ahead,
 * which is always the same: who has left refuses it (RST) and is gone, within a
 * second; a stream's is the zero its next chunk's size may begin with.
 *
 * Refused without a handler, as problem+json and with the end of the connection:
 * what the guard refuses (guard.h) and heads or bodies that take too long (408).
 * Answers to requests sent before those come first. The process must ignore
 * SIGPIPE. */
#ifndef GATEWAY_HTTP_H
#define GATEWAY_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct event_base;
struct http_server;
struct http_request;
struct tls;

struct http_limits {
	size_t max_head, max_body;     /* bytes; 431 or 414, 413 */
	unsigned max_headers;          /* lines; 431 */
	unsigned max_connections;      /* of this thread; beyond: not accepted */
	int64_t head_timeout_ns;       /* first byte of a request to its empty line: 408 */
	int64_t body_timeout_ns;       /* the empty line to the body's end: 408 */
	int64_t idle_timeout_ns;       /* between requests: closed */
	int64_t write_timeout_ns;      /* no progress in sending: closed */
	size_t max_stream_buffer;      /* bytes of a stream queued before http_stream_full */
};

/* on_request runs for every request that passed the guard. on_refused is told of
 * the ones that did not (for the log): status and reason. */
struct http_ops {
	void (*request)(struct http_request *r, void *arg);
	/* A request whose client waits for `100 Continue` before it sends the body, so
	 * far its head alone: to be answered by http_reply before this returns, which
	 * ends the connection, or by http_continue; then it comes again, whole. NULL:
	 * all go on. */
	void (*expect)(struct http_request *r, void *arg);
	void (*refused)(const char *peer, int status, const char *why, void *arg);
};

/* Listens on fd (taken) as http_server_listen does without TLS; on nothing if it is -1. */
struct http_server *http_server_new(struct event_base *base, int fd, const struct http_limits *limits,
				    const struct http_ops *ops, void *arg);
/* From now on. */
void http_server_set_limits(struct http_server *s, const struct http_limits *limits);
/* One more socket (taken, listening; of TCP or UNIX), which other threads may share. tls is
 * borrowed for the server's life; NULL: plain. 0, or -1. */
int http_server_listen(struct http_server *s, int fd, struct tls *tls);
/* Stops accepting. A connection ends with its next answer, or after a second without a
 * request: who has just sent one when it is idle would lose it. */
void http_server_drain(struct http_server *s);
/* Those too of which TLS has still something to send. */
size_t http_server_connections(const struct http_server *s);
struct http_server *http_server_free(struct http_server *s);

/* What it has counted since its start. Any thread may read it. */
struct http_stats {
	_Atomic uint64_t accepted, closed;    /* connections */
	_Atomic uint64_t turned_away;         /* with 503, for want of a descriptor */
	_Atomic uint64_t pauses_limit, pauses_files; /* of accepting: connection cap, EMFILE */
	_Atomic uint64_t handshakes, handshakes_failed; /* of TLS */
	_Atomic uint64_t timeouts_idle, timeouts_head, timeouts_body, timeouts_write;
	_Atomic uint64_t bytes_in, bytes_out; /* of the sockets */
};

const struct http_stats *http_server_stats(const struct http_server *s);

/* --- the request; borrowed strings live until it is answered --- */
const char *http_verb(const struct http_request *r);
const char *http_path(const struct http_request *r);  /* raw, still percent-encoded, without the query */
const char *http_query(const struct http_request *r); /* raw, after '?'; "" */
const char *http_header(const struct http_request *r, const char *name); /* first; NULL */
/* The n-th (from 0) header of that name, or NULL: for lists over several lines. */
const char *http_header_nth(const struct http_request *r, const char *name, unsigned n);
struct bytes http_body(struct http_request *r); /* contiguous */
const char *http_peer(const struct http_request *r); /* "127.0.0.1:51234", "unix:uid=0,pid=7" */
/* Who is at the other end, as far as the connection says: */
int64_t http_peer_uid(const struct http_request *r);     /* the user of a UNIX socket's client; -1 over TCP */
const char *http_peer_cert(const struct http_request *r); /* its checked certificate's name; NULL: none */
int64_t http_begun_ns(const struct http_request *r);  /* clock_mono_ns at the head's end */
bool http_is_custom(const struct http_request *r); /* any other method: has a route it? */
bool http_is_head(const struct http_request *r); /* HEAD; http_verb says GET then */
bool http_awaits_body(const struct http_request *r); /* is ops.expect's: it has no body yet */

void http_set_user(struct http_request *r, void *user);
void *http_user(const struct http_request *r);
/* Once, when the client has gone before the answer was whole. */
void http_on_gone(struct http_request *r, void (*fn)(struct http_request *, void *), void *arg);
/* Runs fn when the answer has been handed to the socket whole, or dropped: the
 * access log. sent = body bytes. */
void http_on_done(struct http_request *r,
		  void (*fn)(struct http_request *, int status, size_t sent, void *), void *arg);

/* --- the answer --- */
/* The client may send the body (http_awaits_body only): on_done is told status 100,
 * and r is gone. */
void http_continue(struct http_request *r);
/* A value with CR, LF or NUL is refused (logged, left out). */
void http_set_header(struct http_request *r, const char *name, const char *value);
/* body is taken (its memory goes to the socket, emptied). HEAD: length without body. */
void http_reply(struct http_request *r, int status, const char *content_type, struct buf *body);
/* The same with bytes that stay where they are until the server is freed. */
void http_reply_kept(struct http_request *r, int status, const char *content_type, struct bytes body);

void http_stream_begin(struct http_request *r, int status, const char *content_type);
/* body copied. True: full, wait for on_drained before more. */
bool http_stream_write(struct http_request *r, struct bytes chunk);
void http_stream_on_drained(struct http_request *r, void (*fn)(struct http_request *, void *), void *arg);
/* The answer is whole. */
void http_stream_end(struct http_request *r);
/* It is not, and never will be: the connection ends without the last chunk, so that
 * the client cannot take it for whole. */
void http_stream_break(struct http_request *r);

#endif
