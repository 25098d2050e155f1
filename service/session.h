/* session.h: one connection of a client: the conn (wire/conn.h) with its socket
 * around it, and the requests that live on it. Loop thread.
 *
 * The output of a turn of the loop is written once, at its end. A client that does
 * not read is not read from; one whose frame is not whole in time is closed; a stream
 * of which nothing is taken for too long is cut, lest it holds a thread for ever. When
 * the connection is lost its requests are cancelled. */
#ifndef SERVICE_SESSION_H
#define SERVICE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/sock.h"
#include "service/deadline.h"
#include "wire/conn.h"

struct session;

struct session_limits {
	size_t max_output;      /* bytes queued for one connection */
	size_t max_output_user; /* and for all of one UID: then new calls are refused */
	size_t max_calls;       /* live on one connection */
	size_t max_calls_user;  /* and of one UID */
	size_t max_input;       /* bytes held by all calls under way with their input */
	size_t max_sessions;    /* connections; more are closed at once */
	size_t max_sessions_user; /* and of one UID */
	int64_t frame_ns;       /* for a frame that has begun */
	int64_t stall_ns;       /* for a client to take more of a stream that waits for him */
};

/* One request, from the Request frame to its Response; owned by the session. The
 * three members below belong to whoever serves it (dispatch.c). */
struct request {
	struct list node;           /* of the session */
	struct session *session;
	struct conn_stream *stream;
	bool no_credit;             /* the client's window is used up */
	bool blocked;               /* that, or our output is full: `writable` is owed */
	int64_t blocked_ns;         /* since when (clock_mono_ns) */
	bool works_for_us;          /* a worker's stream: its connection goes on while we drain */
	struct deadline stall;      /* looks whether it still is; stays set while it is not */

	void *op;                   /* the serving side's own; not NULL while it is busy */
	/* The client has gone or has cancelled: op is to be dropped, nothing is to be
	 * answered. */
	void (*cancelled)(struct request *r);
	/* There is room for messages again. NULL: not wanted. */
	void (*writable)(struct request *r);
};

void session_init(const struct session_limits *limits);
/* Counts for what happens from now on. */
void session_set_limits(const struct session_limits *limits);
void session_deinit(void);

/* Takes fd. */
void session_new(int fd, const struct sock_peer *peer);
size_t session_count(void);
size_t session_most(void); /* that there may be */
const struct sock_peer *session_peer(const struct request *r);
size_t session_n_requests(void); /* of all sessions */
size_t session_n_unsent(void);   /* bytes of theirs that are not written yet */

/* Ends the request: the response is queued (borrowed until the return). With
 * `delivered` (may be NULL), delivered(arg) is called once when it was written to
 * the socket, or can never be; not from inside. The request is gone after it. */
void session_answer(struct request *r, const struct wire_response *response,
		    void (*delivered)(void *arg), void *arg);
/* An error without more; text is borrowed. */
void session_answer_error(struct request *r, int code, const char *text);
/* One message of a stream. 0; 1: taken, but wait for writable; negative: refused. */
int session_send(struct request *r, struct bytes message);

/* Drain: GOAWAY to all but workers, who still answer what they have; from now on other
 * new requests are refused. */
void session_goaway_all(void);
/* Calls fn for every live request; it may end it. */
void session_each_request(void (*fn)(struct request *r));
/* Is anything queued that could still be written? */
bool session_flushed(void);

#endif
