/* conn.h: one ttrpc connection as a machine without I/O: bytes in, events and
 * bytes out. It knows frames, streams, Hello, credit, cancel, ping and goaway;
 * it does not know files, loops, threads or time. The service's session, the
 * gateway's uplink and the client library put a socket (conn_io.h) and their loop
 * around it, tests and fuzz targets nothing.
 *
 *            conn_feed() ─▶ frames ─▶ struct conn_ops callbacks
 *   conn_request() / conn_respond() / conn_send_data() ... ─▶ conn_output()
 *
 * Output: one queue for control frames (CANCEL, CREDIT, PING, GOAWAY), which
 * goes first, and one for the rest in order; so a queue of data never holds a
 * cancel back. Data frames of a stream beyond the peer's credit wait in the
 * stream (conn_send_data says so).
 *
 * Bytes of a peer never assert: what breaks the protocol makes conn_feed return
 * an error with a reason, and the owner closes. Frames for a stream that has
 * ended are dropped and counted.
 *
 * Not thread-safe; one thread owns a conn. */
#ifndef WIRE_CONN_H
#define WIRE_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "wire/envelope.h"
#include "wire/frame.h"

struct conn;
struct conn_stream; /* one call on the connection; freed when it has ended */

/* Events; any may be NULL. `user` is what the owner set on the stream
 * (conn_stream_set_user); borrowed bytes live until the callback returns. A callback may send, and may
 * end any stream, but must not free the conn. */
struct conn_ops {
	/* Server: a call begins. `open` = the client will send Data on it
	 * (client streaming: refused with UNIMPLEMENTED by errand's service).
	 * Hello, broken Requests and those after conn_goaway are answered by the
	 * conn itself and do not come here. */
	void (*request)(struct conn *c, struct conn_stream *s, const struct wire_request *r,
			bool open, void *arg);
	/* Client: the call has ended with this; the stream is gone after it. */
	void (*response)(struct conn *c, struct conn_stream *s, void *user,
			 const struct wire_response *r, void *arg);
	/* A message of a stream (client: from a streaming method). */
	void (*data)(struct conn *c, struct conn_stream *s, void *user, struct bytes message,
		     void *arg);
	/* Server: the client cancelled; the stream is gone after it. */
	void (*cancelled)(struct conn *c, struct conn_stream *s, void *user, void *arg);
	/* The peer gave credit to a stream that was out of it: sending may go on. */
	void (*writable)(struct conn *c, struct conn_stream *s, void *user, void *arg);
	/* The peer drains: no stream above `last` will be served. */
	void (*goaway)(struct conn *c, uint32_t last, void *arg);
	/* The answer to our conn_ping with these 8 bytes. */
	void (*pong)(struct conn *c, const uint8_t opaque[8], void *arg);
	/* Client: Hello was answered; or the peer does not know it (plain ttrpc). */
	void (*hello)(struct conn *c, bool extended, struct bytes payload, void *arg);
};

enum conn_role { CONN_CLIENT, CONN_SERVER };

#define CONN_WINDOW (256u << 10) /* also what a Hello without a window means */

struct conn_limits {
	size_t max_output;    /* bytes queued before conn_over_limit(); default 8 MiB */
	uint32_t max_streams; /* live at once, server side; a call above it is answered
			       * RESOURCE_EXHAUSTED by the conn; default 65536 */
	uint32_t window;      /* bytes of Data per stream we let the peer send ahead; default
			       * CONN_WINDOW */
};

/* ops and arg are borrowed; limits copied (NULL, or a member 0 = default). NULL on
 * ENOMEM. */
struct conn *conn_new(enum conn_role role, const struct conn_ops *ops,
		      const struct conn_limits *limits, void *arg);
/* Frees streams without events: the owner walks them first (conn_each_stream)
 * when it has to tell somebody. NULL-safe; returns NULL. */
struct conn *conn_free(struct conn *c);

/* Takes what was read. 0; or a negative error (-ERRAND_INVALID_ARGUMENT broken
 * protocol, -ERRAND_RESOURCE_EXHAUSTED over-long frame, -ERRAND_INTERNAL out of
 * memory): close the connection; conn_why() says why. */
int conn_feed(struct conn *c, const void *data, size_t len);
const char *conn_why(const struct conn *c);
/* For an owner who wants a frame that has begun to be whole in time: is there a
 * front of one, and how many were whole so far (so that he sees it is another). */
bool conn_in_frame(const struct conn *c);
uint64_t conn_n_frames(const struct conn *c);

/* What waits to be written: up to two runs, control first (a frame already begun
 * is finished before control). Gives their number: 0, 1 or 2. The runs are valid
 * until the next call on c; after a write: conn_sent. */
int conn_output(struct conn *c, struct iovec iov[2]);
void conn_sent(struct conn *c, size_t n);
size_t conn_pending(const struct conn *c); /* bytes waiting */
bool conn_over_limit(const struct conn *c);

/* --- client --- */
/* Sends Hello as the first call; ops->hello reports. Payload: an
 * errand.wire.v1.HelloRequest, whose window takes the place of limits.window;
 * empty: the conn makes one. Calls may be made without waiting for the answer.
 * Negative when it is not the first call or memory ran out. */
int conn_hello(struct conn *c, struct bytes payload);
bool conn_extended(const struct conn *c); /* Hello done on this connection */
/* Begins a call; NULL when out of stream ids, after GOAWAY, for a message over
 * FRAME_MAX or without memory; conn_why() says which. Set r->streaming when the
 * answer comes as Data then Response (plain ttrpc servers may look at it). */
struct conn_stream *conn_request(struct conn *c, const struct wire_request *r, void *user);
bool conn_draining(const struct conn *c); /* GOAWAY came (client) or went (server) */
/* Ends the call here: CANCEL is sent when the peer is extended; what still comes
 * is dropped. The stream is gone after it. */
void conn_cancel(struct conn *c, struct conn_stream *s);
/* The owner has consumed n bytes of Data: credit goes back to the sender. */
void conn_consumed(struct conn *c, struct conn_stream *s, size_t n);

/* --- server --- */
/* Hello is answered by the conn itself with this payload (copied). */
void conn_set_hello(struct conn *c, struct bytes payload);
/* Ends the call. The stream is gone after it (messages that wait for credit are
 * still sent before an OK; an error drops them). An answer over FRAME_MAX becomes
 * RESOURCE_EXHAUSTED. */
void conn_respond(struct conn *c, struct conn_stream *s, const struct wire_response *r);
/* One message of a streaming answer. 0 taken; 1 taken, but the window is used up:
 * wait for ops->writable before the next (a peer that never said Hello has no
 * window; conn_over_limit is its bound); negative: too large, not taken. */
int conn_send_data(struct conn *c, struct conn_stream *s, struct bytes message);
void conn_goaway(struct conn *c);

/* --- both --- */
void conn_ping(struct conn *c, const uint8_t opaque[8]);
void conn_stream_set_user(struct conn_stream *s, void *user);
void *conn_stream_user(const struct conn_stream *s);
uint32_t conn_stream_id(const struct conn_stream *s);
size_t conn_n_streams(const struct conn *c);
/* The live streams, in no order; ending the current one is allowed. */
struct conn_stream *conn_first_stream(struct conn *c);
/* Frames dropped because their stream had ended. */
uint64_t conn_dropped(const struct conn *c);

#endif
