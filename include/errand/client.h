/* errand/client.h: call methods of an errand service (or any ttrpc server) over
 * its UNIX socket.
 *
 * Payloads are serialized protobuf messages: pack and unpack them with
 * protobuf-c's generated functions. Link with `pkg-config --libs errand`.
 *
 * The library never logs, exits, changes signal handling or starts a thread;
 * every failure is returned. An errand_client is one connection and belongs to
 * one thread at a time; several clients may be used in several threads.
 *
 * Errors: functions that return int give 0 or a negative errand_code
 * (-ERRAND_UNAVAILABLE: nobody answers on the socket or the connection was lost;
 * -ERRAND_DEADLINE_EXCEEDED; -ERRAND_RESOURCE_EXHAUSTED: out of memory or over a
 * limit; -ERRAND_INVALID_ARGUMENT: the caller's arguments, or a peer that does
 * not speak ttrpc; -ERRAND_FAILED_PRECONDITION: blocking, dispatching from inside a
 * callback; -ERRAND_INTERNAL: poll failed). errand_client_error() says it in words.
 */
#ifndef ERRAND_CLIENT_H
#define ERRAND_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <errand/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct errand_client;
struct errand_pending; /* a call under way; owned by the client */

struct errand_pair {
	const char *key, *value;
};

/* All members may be 0. Borrowed for the length of the call that takes it. */
struct errand_client_options {
	int64_t connect_timeout_ns; /* 0: 5 s */
	int plain;                  /* 1: do not say Hello; pure ttrpc */
};

struct errand_call_options {
	int64_t timeout_ns;                 /* 0: none; sent to the server as well */
	const struct errand_pair *metadata; /* borrowed */
	size_t n_metadata;
	/* A durable method answers at once with its errand.v1.Task instead of
	 * waiting for its result; see errand_reply.is_task. Without Hello (a plain
	 * ttrpc server, or options.plain) it is not asked for. */
	int as_task;
};

/* What a call ended with. Everything in it is owned by the reply. */
struct errand_reply {
	int code;            /* enum errand_code; 0 = ok */
	const char *message; /* of the status; "" when ok */
	const void *problem; /* serialized errand.v1.Problem, or NULL */
	size_t problem_len;
	const void *payload; /* the output message; NULL with length 0 when empty */
	size_t payload_len;
	int is_task;         /* payload is an errand.v1.Task */
};

/* Connects and says Hello, blocking up to connect_timeout_ns. `address` is a
 * socket's path, with or without `unix:`; NULL is $ERRAND_SOCKET, or else the
 * socket's standard place. *clientp is given also on failure (for
 * errand_client_error), unless memory ran out (then NULL). */
int errand_client_open(struct errand_client **clientp, const char *address,
		       const struct errand_client_options *options);
/* Cancels what is under way (on_reply runs with ERRAND_CANCELLED); not from a
 * callback; NULL-safe; returns NULL. */
struct errand_client *errand_client_close(struct errand_client *client);
const char *errand_client_error(const struct errand_client *client);

/* --- blocking --- */

/* One call of a unary method, waiting for its end. The return value tells of this
 * side and the connection only: 0 also when the method answered an error (see
 * reply->code); -ERRAND_DEADLINE_EXCEEDED when no answer came in time.
 * *replyp is given on 0 (errand_reply_free), NULL otherwise. */
int errand_client_call(struct errand_client *client, const char *service, const char *method,
		       const void *payload, size_t len, const struct errand_call_options *options,
		       struct errand_reply **replyp);
struct errand_reply *errand_reply_free(struct errand_reply *reply); /* NULL-safe; NULL */

/* A server-streaming method: on_message for each message (borrowed until it
 * returns; non-zero return cancels the call), then *replyp as above. */
int errand_client_stream(struct errand_client *client, const char *service, const char *method,
			 const void *payload, size_t len, const struct errand_call_options *options,
			 int (*on_message)(const void *message, size_t len, void *arg), void *arg,
			 struct errand_reply **replyp);

/* --- event-driven --- */

/* The callbacks run inside errand_client_dispatch (or _cancel, _close). on_message
 * is NULL for a unary method; non-zero from it cancels the call. In on_reply, reply
 * is borrowed until it returns. They may submit and cancel, but not block, dispatch
 * or close. */
struct errand_callbacks {
	int (*on_message)(const void *message, size_t len, void *arg);
	void (*on_reply)(const struct errand_reply *reply, void *arg);
	void *arg;
};

/* Starts a call. *pendingp (may be NULL) is valid until on_reply has begun. */
int errand_client_submit(struct errand_client *client, const char *service, const char *method,
			 const void *payload, size_t len, const struct errand_call_options *options,
			 const struct errand_callbacks *callbacks,
			 struct errand_pending **pendingp);
/* Cancels one call: on_reply runs with ERRAND_CANCELLED before this returns. */
void errand_client_cancel(struct errand_client *client, struct errand_pending *pending);

/* For a loop of the caller's: wait until errand_client_fd() is ready for
 * errand_client_events() (POLLIN, POLLOUT of poll.h) or errand_client_timeout()
 * milliseconds have passed (-1: no limit), then dispatch. */
int errand_client_fd(const struct errand_client *client);
short errand_client_events(const struct errand_client *client);
int errand_client_timeout(const struct errand_client *client);
/* Reads, writes, runs callbacks and deadlines; never blocks. Negative when the
 * connection is gone: all calls have ended with ERRAND_UNAVAILABLE. */
int errand_client_dispatch(struct errand_client *client);

#ifdef __cplusplus
}
#endif
#endif
