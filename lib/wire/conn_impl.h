/* conn_impl.h: the inside of a conn, shared by conn.c (its life, what is fed and
 * what is written), conn_send.c and conn_recv.c, and by nobody else.
 *
 * The first error sticks (c->err): a connection whose bytes are wrong once, or
 * that has lost a frame for want of memory, is over. */
#ifndef WIRE_CONN_IMPL_H
#define WIRE_CONN_IMPL_H

#include <string.h>

#include "errand/status.h"
#include "wire/conn.h"
#include "wire/outq.h"
#include "wire/stream.h"

#define HELLO_SERVICE "errand.wire.v1.Connection"
#define HELLO_METHOD "Hello"

enum { CONN_WHY_SIZE = 160 };

enum hello { HELLO_NONE, HELLO_ASKED, HELLO_DONE, HELLO_REFUSED };

struct plan { /* a run conn_output gave and conn_sent has not yet taken back */
	struct outq *q;
	size_t len;
};

struct conn {
	enum conn_role role;
	const struct conn_ops *ops; /* borrowed */
	void *arg;                  /* the owner's, for ops */
	struct conn_limits limits;
	struct stream_table streams;
	struct outq control, data;
	struct plan plan[2];
	size_t n_waiting;    /* bytes in streams' `wait` */
	struct buf in;       /* a frame of which only the front has come */
	enum hello hello;
	uint32_t next_id;    /* client: of the next Request; 0 = none left */
	uint32_t hello_id;   /* client: the stream Hello went out on; 0 = none */
	uint32_t last_id;    /* server: highest id the client has used */
	bool draining;       /* server: conn_goaway called; client: GOAWAY came */
	int64_t peer_window; /* server: Data the client takes ahead, per stream */
	struct buf reply;    /* server: payload of the answer to Hello */
	struct buf early;    /* client: ids (u32be) cancelled before Hello was answered */
	uint64_t n_dropped, n_frames; /* frames dropped; frames received */
	int err;             /* negative: the connection is over */
	char why[CONN_WHY_SIZE]; /* of the last failure, "" at first */
};

/* Sets conn_why(). */
void conn_say(struct conn *c, const char *fmt, ...) PRINTF(2, 3);

/* Ends the connection with a reason; gives c->err. The first one is kept. */
#define CONN_BREAK(c, code, ...) \
	((c)->err < 0 ? (c)->err : (conn_say((c), __VA_ARGS__), (c)->err = -(code)))
int conn_out_of_memory(struct conn *c);

static inline struct bytes conn_text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* --- conn_send.c --- */

/* A small frame at the end of a queue. */
void conn_put(struct conn *c, struct outq *q, const struct frame *f, const void *payload,
	      size_t len);
/* A Response; one that is too large becomes a small error. */
void conn_put_response(struct conn *c, struct outq *q, uint32_t id,
		       const struct wire_response *r);
/* A Response without payload; sets every member the envelope looks at. */
void conn_status(struct wire_response *r, int code, const char *message);
/* CANCEL; overtaking what is queued, or behind it. */
void conn_put_cancel(struct conn *c, uint32_t id, bool overtake);
/* The stream is over: everything of it goes, without an event. */
void conn_end_stream(struct conn *c, struct conn_stream *s);
void conn_drop_waiting(struct conn *c, struct conn_stream *s);
/* Moves what the stream's credit now allows to the queue; frees a stream that was
 * only waiting for that. */
void conn_move_waiting(struct conn *c, struct conn_stream *s);
/* The window a HelloRequest speaks of; CONN_WINDOW when it names none. */
uint32_t conn_hello_window(struct bytes payload, bool *badp);

/* --- conn_recv.c --- */

/* By the header alone, before anything of the payload is kept. */
int conn_check_header(struct conn *c, const struct frame *f);
/* One whole frame whose header was found good. */
int conn_recv_frame(struct conn *c, const struct frame *f, const uint8_t *payload);

#endif
