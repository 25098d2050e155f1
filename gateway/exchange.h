/* exchange.h: one HTTP request's way through the gateway: route, translate, call,
 * translate back, answer. The state of a request between http.c and upstream.c.
 *
 *   exchange_begin ─▶ [health] [route 404/405] [content type 415] [faults 400/422]
 *     ─▶ upstream_call ─▶ reply ─▶ JSON | problem | 202 Task | stream (sse.c)
 */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include "gateway/http.h"
#include "gateway/upstream.h"

/* What a loop thread has; one per thread. */
struct gateway_thread {
	struct event_base *base;
	struct http_server *http;
	struct upstream *upstream;
	struct snapshot *snapshot; /* reference to the newest this thread has seen */
	const struct gateway_config *config;
	unsigned index;
	uint64_t n_requests, n_errors;
};

struct gateway_config {
	const char *listen, *socket, *access_log;
	int64_t threads, max_connections, max_head, max_body, max_headers;
	int64_t head_timeout, body_timeout, idle_timeout, write_timeout;
	int64_t default_deadline, max_deadline, max_wait; /* ns */
	int64_t heartbeat; /* of event streams, ns */
	int64_t drain_timeout;
	bool draining;
};

/* http_ops.request; arg is the struct gateway_thread. */
void exchange_begin(struct http_request *r, void *arg);

#endif
