/* guard.h: a byte-wise strict gate for HTTP/1.x requests (RFC 9112) in front of
 * evhttp: it sees every byte first; at the first illegal one the connection is
 * answered and closed, and evhttp never runs it. Pure: no I/O, no libevent; fuzzed.
 *
 * It counts heads and bodies (Content-Length and chunked), so what follows a body
 * is always judged as the next request and nothing ambiguous is ever executed. */
#ifndef GATEWAY_GUARD_H
#define GATEWAY_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_limits {
	size_t max_line, max_head, max_body, max_chunk_line;
	unsigned max_headers;
};

enum guard_phase { GUARD_IDLE, GUARD_HEAD, GUARD_BODY }; /* for the deadlines */

/* What the gate made of the bytes so far. */
struct guard_verdict {
	int status;      /* 0 = fine; else the HTTP status to refuse with */
	const char *why; /* static */
};

/* One per connection, embedded by http.c; guard_init before use. Members are
 * guard.c's own. */
struct guard_state {
	const struct guard_limits *limits;
	int state;
	size_t line, head;      /* bytes of this line, of this head */
	unsigned n_headers;
	uint64_t body_left, body_seen;
	bool has_length, has_te, chunked, has_host, http10, head_or_trace, expect, close;
	uint64_t length;
	char name[32];          /* header name so far, lower case, cut */
	size_t name_len;
	char value[64];         /* value so far of the headers the gate reads, cut */
	size_t value_len;
	char method[24];
	size_t method_len;
	uint64_t chunk;
	unsigned chunk_digits;
	uint64_t n_requests;    /* heads completed */
	struct guard_verdict verdict;
};

void guard_init(struct guard_state *g, const struct guard_limits *limits);
/* Looks at the next len bytes; returns how many of them are good (all, or up to
 * the first illegal one; then g->verdict is set and stays). */
size_t guard_feed(struct guard_state *g, const uint8_t *data, size_t len);
enum guard_phase guard_phase(const struct guard_state *g);

#endif
