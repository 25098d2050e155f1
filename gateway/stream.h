/* stream.h: the answer of a server-streaming method as server-sent events,
 * newline-delimited JSON or a JSON array. The head goes out with the first
 * message, or for SSE after a moment's silence, so a method that fails at once is
 * answered with a plain problem and its status. Every form ends with a record
 * that says so:
 *
 *   SSE     event: end | data: {}          event: error | data: {problem}
 *   NDJSON  {"@end":{}}                    {"@error":{problem}}
 *   JSON    ]                              ,{"@error":{problem}}]
 *   raw     the last chunk                 the connection ends without it
 *
 * Who may not ask any more, since his token was revoked or has expired, gets such an error within AUTH_NS.
 *
 * ("@" cannot begin a field's name.) Raw is a stream of google.api.HttpBody: their data,
 * as the content type of the first. Loop thread only. */
#ifndef GATEWAY_STREAM_H
#define GATEWAY_STREAM_H

#include "gateway/exchange.h"
#include "gateway/request.h"
#include "gateway/snapshot.h"

struct stream;

struct stream_setup {
	struct gateway_thread *thread;
	struct http_request *http;
	const struct snapshot *snapshot; /* borrowed; outlives the stream */
	const struct route *route;
	const struct auth_client *client; /* who asked; borrowed; outlives the stream */
	enum media_accept format;
	/* The stream is about to end and answer by itself (too slow a reader, drain, a
	 * bad message): cancel the call; the stream is freed after it. */
	void (*cut)(void *arg);
	void *arg;
};

const char *stream_media_type(enum media_accept format);
struct stream *stream_new(const struct stream_setup *setup);
/* One message of the method. */
void stream_message(struct stream *s, struct upstream_call *c, struct bytes message);
/* Takes s: the terminal record; or, while nothing was sent, false: the caller
 * answers with a plain status. */
bool stream_finish(struct stream *s, const struct wire_response *w);
bool stream_is_begun(const struct stream *s); /* the head is out */
/* The client is gone. Takes s; false while nothing was sent, as above. */
bool stream_close(struct stream *s);
/* Ends all streams of a thread with UNAVAILABLE. */
void stream_drain(struct gateway_thread *t);

#endif
