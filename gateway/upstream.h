/* upstream.h: one loop thread's connection to one service: connects, says Hello,
 * multiplexes calls, reconnects with back-off. Loop thread only.
 *
 *   DOWN ─ connect ─▶ CONNECTING ─▶ HELLO ─▶ SCHEMA ─▶ UP ─ EOF, goaway ─▶ DOWN
 *
 *                                                            UP ◀─▶ SILENT (PING)
 *
 * While it is UP, errand.v1.Schema/Watch tells of changes: a schema that has changed is fetched
 * beside the calls. While it is not UP, upstream_call answers UNAVAILABLE at once. Calls under way when
 * it falls silent stay: they have begun, and may be answered yet. */
#ifndef GATEWAY_UPSTREAM_H
#define GATEWAY_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/schema.h"
#include "wire/envelope.h"

struct event_base;
struct upstream;
struct upstream_call;

struct upstream_ops {
	/* UP or not any more (or not at all: the first failed attempt), with the reason. */
	void (*state)(struct upstream *u, bool up, const char *why, void *arg);
	/* It was full and takes calls again. NULL: not wanted. */
	void (*drained)(struct upstream *u, void *arg);
	/* After Hello: is the schema of this digest the one in use? Else it is fetched. */
	bool (*has_schema)(struct upstream *u, struct bytes digest, void *arg);
	/* It has another schema now: shall this thread fetch it? NULL: changes are not watched. */
	bool (*wants_schema)(struct upstream *u, struct bytes digest, void *arg);
	/* What keeps the service from durable work, in words; empty: nothing. NULL: not wanted. */
	void (*trouble)(struct upstream *u, struct bytes why, void *arg);
	/* The schema set the service sent. */
	void (*schema)(struct upstream *u, struct bytes digest, struct bytes set, void *arg);
};

/* Starts to connect. path is `unix:/path` or `/path` (borrowed), ops too; ping_ns:
 * uplink_new. */
struct upstream *upstream_new(struct event_base *base, const char *path, int64_t ping_ns,
			      const struct upstream_ops *ops, void *arg);
/* Calls under way end without a callback. NULL-safe; NULL. */
struct upstream *upstream_free(struct upstream *u);
bool upstream_is_up(const struct upstream *u);
/* Too much waits to be written to the service: calls are answered UNAVAILABLE. */
bool upstream_is_full(const struct upstream *u);
/* clock_mono_ns since when it is not (the start counts); 0 while it is. */
int64_t upstream_down_since(const struct upstream *u);
size_t upstream_n_calls(const struct upstream *u); /* under way */

/* Callbacks of a call; reply comes exactly once unless cancelled. */
struct upstream_callbacks {
	void (*message)(struct upstream_call *c, struct bytes message, void *arg); /* streams */
	void (*reply)(struct upstream_call *c, const struct wire_response *r, void *arg);
	void *arg;
};

/* Never NULL; when it fails at once reply() runs from the loop, not from inside.
 * A deadline (r->timeout_ns) is also kept here: DEADLINE_EXCEEDED when the
 * service is silent. */
struct upstream_call *upstream_call(struct upstream *u, const struct wire_request *r,
				    const struct upstream_callbacks *cb);
/* In reply(): UNAVAILABLE, and no handler has seen it: it may be sent again. */
bool upstream_call_untouched(const struct upstream_call *c);
void upstream_cancel(struct upstream_call *c); /* no reply() after it */
/* The owner has passed n bytes of messages on: credit goes back. */
void upstream_consumed(struct upstream_call *c, size_t n);

#endif
