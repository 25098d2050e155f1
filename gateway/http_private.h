/* http_private.h: what http.c (requests and answers), http_conn.c (connections),
 * http_gate.c (their input), http_listen.c (accepting), http_peer.c (who is there) and
 * http_send.c share; nobody else includes it.
 *
 *   listener ─▶ evhttp ─bevcb─▶ conn_open ... conn_adopt (evhttp knows the fd now)
 *   bytes ─▶ gate (guard) ─▶ evhttp ─gencb─▶ request ─▶ handler ─▶ answer
 *
 *   OPEN ─ illegal byte, deadline, unmet expectation ─▶ REFUSED ─ earlier answers sent ─▶ LINGER ─▶ DEAD
 *   OPEN ─ peer or answer closes ─▶ DEAD (evhttp has freed its half)
 */
#ifndef GATEWAY_HTTP_PRIVATE_H
#define GATEWAY_HTTP_PRIVATE_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/http.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <time.h>

#include "base/list.h"
#include "gateway/guard.h"
#include "gateway/http.h"

enum conn_state { CONN_OPEN, CONN_REFUSED, CONN_LINGER, CONN_KILLED, CONN_DEAD };

/* What a connection is waiting for. Each has one timeout, so a list in the order
 * of arming is a list in the order of expiry. */
enum conn_wait {
	WAIT_IDLE, WAIT_HEAD, WAIT_BODY, WAIT_WRITE, WAIT_LINGER, WAIT_DRAIN, WAIT_KINDS, WAIT_NONE
};

struct tls;
struct tls_link;

/* One listening socket. Each has an evhttp of its own, so that a connection's is known. */
struct http_listener {
	struct http_server *server;
	struct list node;             /* in server->listeners */
	struct list registered;       /* for its error callback */
	struct evhttp *http;          /* owned */
	struct evconnlistener *accepting; /* evhttp's once bound; NULL: stopped */
	struct evhttp_bound_socket *bound;
	struct tls *tls;              /* borrowed; NULL: plain */
};

struct http_conn {
	struct http_server *server;
	struct http_listener *listener; /* where it came in */
	struct list node;             /* in server->conns or ->orphans */
	struct list timed;            /* in server->timed[wait] */
	struct list todo;             /* in server->todo or server->adopting */
	struct list half;             /* in server->halves */
	struct bufferevent *bev;      /* a reference of our own */
	int fd;                       /* evhttp's; -1 before adoption */
	enum conn_state state;
	enum conn_wait wait;
	int64_t armed_ns;             /* when `wait` began */
	uint64_t n_sent, armed_sent;  /* bytes the socket took from the output buffer; then */
	struct http_request *current; /* the request a handler has, or whose answer leaves */
	uint64_t n_lingered;          /* bytes thrown away after a refusal */
	uint64_t n_begun;             /* requests given to the handler */
	unsigned busy;                /* callbacks on the stack that need this struct */
	bool gate_busy;               /* the gate itself is changing the input */
	bool owes_continue;           /* 100, as soon as all before it is answered */
	struct buf held;              /* the head so far, while it is not whole */
	struct list verbs;            /* of requests that evhttp takes for a POST, in their order */
	struct buf answer;            /* REFUSED: by the handler, with this; else by the verdict */
	bool half_closed;             /* the client's end was read */
	int64_t half_ns;              /* when it was seen first */
	bool clogged;                 /* reading is paused, too much was sent ahead */
	struct event closed;          /* EV_CLOSED while clogged */
	struct event keep;            /* EV_READ, does nothing: see conn_keep */
	/* evhttp's own callbacks on bev */
	bufferevent_data_cb on_read, on_write;
	bufferevent_event_cb on_event;
	void *evhttp_arg;
	struct guard_state guard;
	/* http_peer.c */
	char peer[64];
	int64_t uid;                  /* of a UNIX socket's client; -1 */
	char *cert;                   /* owned: the name in the client's certificate; NULL */
	struct http_tail *tail;       /* its TLS; NULL: plain, or over already */
};

struct http_request {
	struct http_server *server;
	struct http_conn *conn;     /* lives as long as the request */
	struct evhttp_request *req; /* evhttp's; ours to free once `gone` */
	struct http_request *next;  /* in server->spare */
	int64_t begun_ns;
	void *user;
	void (*on_gone)(struct http_request *, void *);
	void *gone_arg;
	void (*on_done)(struct http_request *, int, size_t, void *);
	void *done_arg;
	void (*on_drained)(struct http_request *, void *);
	void *drained_arg;
	struct buf headers; /* "Name: value\r\n"... of the answer */
	uint64_t names;     /* name_bit of each header that came, or-ed */
	int status;
	size_t n_body;      /* body bytes handed over so far */
	const char *verb;   /* owned; NULL: req's type says it */
	unsigned n_ahead;   /* bytes that were sent before it was time: conn_probe */
	bool head;          /* HEAD */
	bool awaits;        /* its head alone; its client waits for 100 Continue */
	bool gone;          /* the client is; evhttp has let go of req */
	bool close;         /* the connection ends with this answer */
	bool streaming, chunked, full;
	bool answered;      /* the whole answer is handed over */
};

struct http_server {
	struct event_base *base;
	struct http_limits limits;
	struct guard_limits guard;
	const struct http_ops *ops;
	void *arg;
	struct list conns;
	struct list orphans; /* connections gone while a handler has their request */
	struct list timed[WAIT_KINDS];
	int64_t timeout_ns[WAIT_KINDS]; /* <= 0: none */
	struct list adopting, todo;     /* for work_ev */
	struct list halves;             /* connections whose client sends no more */
	struct event *work_ev, *tick_ev;
	struct timeval tick_period;
	struct http_conn **by_fd;       /* owned array */
	size_t n_by_fd, n_conns;
	bool draining;
	struct http_request *spare;     /* free requests */
	struct buf head;                /* scratch: the head of an answer */
	struct buf raw;                 /* scratch: bytes being sifted */
	struct http_stats stats;
	char date[64];                  /* "Date: ...\r\n" of date_s */
	time_t date_s;
	/* http_peer.c */
	struct list tls_links;          /* of struct http_tail */
	size_t n_tails;                 /* of them, those whose connection is over ... */
	size_t n_unsent;                /* ... and that have still something to send */
	int64_t handshake_logged_ns;    /* of the last handshake that failed */
	uint64_t n_handshakes_unlogged; /* since */
	/* http_listen.c */
	struct list listeners;          /* of struct http_listener */
	struct event *retry_ev;
	int spare_fd;
	int64_t logged_ns;              /* of the last "out of file descriptors" */
	uint64_t n_shed;
	bool paused;                    /* out of descriptors: off for a while */
	bool listening;
};

enum { CLOG_BYTES = 65536 };        /* sent ahead of an answer before reading pauses */

/* How every answer, and the end of a chunked one, begins. */
#define ANSWER "HTTP/1.1 "
#define LAST_CHUNK "0\r\n\r\n"

/* One writer, so no locked instruction. */
static inline void http_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

/* --- http_listen.c --- */
void listen_init(struct http_server *s);
void listen_stop(struct http_server *s);
/* Those of server->limits that evhttp has to know. */
void listen_limits(struct http_server *s);
/* After listen_stop, when no connection is left. */
void listen_deinit(struct http_server *s);
/* A connection came or went: off at the cap, on below it. */
void listen_adjust(struct http_server *s);

/* --- http_conn.c --- */
void conn_server_init(struct http_server *s);
void conn_server_deinit(struct http_server *s);
/* Takes the timeouts of s->limits. */
void conn_server_limits(struct http_server *s);
/* evhttp's bevcb */
struct bufferevent *conn_open(struct event_base *base, void *listener);
struct http_conn *conn_of(const struct http_server *s, struct bufferevent *bev);
void conn_arm(struct http_conn *c, enum conn_wait wait);
void conn_disarm(struct http_conn *c);
/* The next bytes are the peer's to send: which deadline holds? And: is a refusal due? */
void conn_next(struct http_conn *c);
/* Ends the connection from the loop, through evhttp. */
void conn_kill(struct http_conn *c);
/* The same, now. */
void conn_abort(struct http_conn *c);
void conn_drain(struct http_conn *c);
/* Frees c when nobody needs it any more. */
void conn_release(struct http_conn *c);
/* While a handler runs, and while its answer leaves, evhttp must not read: its read
 * callback is taken off, so that EV_READ can stay on and tell when the client goes
 * away. */
void conn_hold_reading(struct http_conn *c);
/* The same for a stream: output that drains is told to request_drained. */
void conn_stream(struct http_conn *c);
/* evhttp has let go of a request and reads again. It must not see the client's end
 * while there is still something before it. */
void conn_resume(struct http_conn *c);
void conn_clog(struct http_conn *c);
void conn_unclog(struct http_conn *c);

/* --- http_gate.c --- */
void gate_attach(struct http_conn *c);
void gate_detach(struct http_conn *c);
/* Sends the 100 that c owes. */
void gate_continue(struct http_conn *c);
/* The method of the connection's n-th request (from 1) when evhttp has no name for
 * it, else NULL. What was noted of it, and of those before it, goes. Gives. */
char *gate_take_verb(struct http_conn *c, uint64_t n);
/* Of the head that has just come. It stays noted. Gives. */
char *gate_last_verb(const struct http_conn *c);
void gate_forget_verbs(struct http_conn *c);

/* --- http_peer.c --- */
void peer_server_init(struct http_server *s);
/* Ends what TLS has still to send. */
void peer_server_deinit(struct http_server *s);
/* evhttp knows the fd now: who is there? A TLS listener's connection gets its TLS put
 * between. False: it cannot be served. */
bool peer_adopt(struct http_conn *c, const char *address, unsigned port);
/* c is over; what TLS has of it goes on by itself. */
void peer_leave(struct http_conn *c);

/* --- http_send.c --- */
/* Copies what the socket does not take now. */
void conn_send(struct http_conn *c, const struct iovec *v, int n);
/* A head and its body, the body without a copy. kept: its memory stays the caller's,
 * else the rest of it is taken. */
void conn_send_answer(struct http_conn *c, const struct buf *head, struct buf *body, bool kept);

/* --- http.c --- */
/* An evhttp with the server's limits, whose requests come to it. */
struct evhttp *server_evhttp(struct http_server *s);
/* evhttp let go of the connection while r was on it. */
void request_conn_lost(struct http_request *r);
struct http_request *request_new(struct http_server *s);
void request_free(struct http_request *r);
/* The absolute form of a target: its host is what counts, whatever Host says
 * (RFC 9112 3.2.2). evhttp takes it for a proxy's request, which it closes after.
 * No header is found before this. */
void request_normalise(struct http_request *r);
/* Its first part: the absolute form's host is the one that counts. */
void request_take_host(struct evhttp_request *req);
/* An answer's head, in a scratch buffer. length < 0: unknown, a stream. */
struct buf *answer_head(struct http_request *r, const char *content_type, int64_t length);
bool answer_has_content(int status);

/* --- http_expect.c --- */
/* Shows the handler a head that waits for 100 Continue. True: it has answered it,
 * with c->answer. */
bool request_expected(struct http_conn *c, struct bytes head);
/* Keeps its answer until all that was asked before is answered; then the connection
 * ends. r is gone. */
void request_expected_answer(struct http_request *r, const char *content_type, const struct buf *body);

/* The output has drained while r streams. */
void request_drained(struct http_request *r);

#endif
