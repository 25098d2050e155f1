/* uplink.h: one connection to a service: the socket and libevent around
 * wire/conn.h. Output of all calls made in one turn of the loop leaves in one
 * write at the turn's end. Loop thread only. */
#ifndef GATEWAY_UPLINK_H
#define GATEWAY_UPLINK_H

#include <stdbool.h>

#include "wire/conn.h"

struct event_base;
struct uplink;

/* user is what uplink_request was given; borrowed bytes live until the callback
 * returns. None of them may free the link but closed. */
struct uplink_ops {
	/* Connected and Hello answered; not extended: plain ttrpc. */
	void (*ready)(struct uplink *l, bool extended, struct bytes hello, void *arg);
	void (*message)(struct uplink *l, void *user, struct bytes message, void *arg);
	/* The stream is gone after it. */
	void (*response)(struct uplink *l, void *user, const struct wire_response *w, void *arg);
	/* It was full and is not any more. */
	void (*drained)(struct uplink *l, void *arg);
	/* It does not answer PING; or something has come from it again. */
	void (*silent)(struct uplink *l, bool silent, void *arg);
	/* No new calls; those under way go on. */
	void (*goaway)(struct uplink *l, void *arg);
	/* Lost, or retired and empty: the owner ends its calls and frees the link. */
	void (*closed)(struct uplink *l, const char *why, void *arg);
};

/* Begins to connect and says Hello; ready or closed follows. NULL when it failed
 * at once, with the reason. After ping_ns without a byte a service that knows Hello
 * gets a PING, and has as long to answer it. ops and arg borrowed. */
struct uplink *uplink_new(struct event_base *base, const char *path, int64_t ping_ns,
			  const struct uplink_ops *ops, void *arg, char why[256]);
struct uplink *uplink_free(struct uplink *l); /* NULL-safe; no events; NULL */

/* NULL: no more calls here (goaway, ids used up, payload over a frame). */
struct conn_stream *uplink_request(struct uplink *l, const struct wire_request *r, void *user);
void uplink_cancel(struct uplink *l, struct conn_stream *s);
void uplink_consumed(struct uplink *l, struct conn_stream *s, size_t n);
/* After a goaway: will this stream of the link never have been begun by the service? */
bool uplink_unserved(const struct uplink *l, uint32_t id);
uint32_t uplink_stream_id(const struct conn_stream *s);
/* Too many bytes wait to be written: the service does not read. */
bool uplink_full(const struct uplink *l);
/* No new calls: closed comes when the last one has ended. */
void uplink_retire(struct uplink *l);

#endif
