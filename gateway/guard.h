/* guard.h: a byte-wise strict gate for HTTP/1.x requests (RFC 9112) in front of
 * evhttp: it sees every byte first; at the first illegal one the connection is
 * answered and closed, and evhttp never runs it. Pure: no I/O, no libevent; fuzzed.
 *
 * It counts heads and bodies (Content-Length and chunked), so what follows a body
 * is always judged as the next request and nothing ambiguous is ever executed.
 * What evhttp reads in another way than RFC 9112 does is refused (the body of HEAD,
 * `//` at the start of a target) or not shown to it (a tab before a value, chunk
 * extensions, trailers), so both always see the same requests. */
#ifndef GATEWAY_GUARD_H
#define GATEWAY_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct guard_limits {
	size_t max_line;       /* request line, bytes: 414 */
	size_t max_head;       /* request line and headers, bytes: 431 */
	size_t max_body;       /* 413; at most 2^62 */
	size_t max_chunk_line; /* digits of a chunk's size: 400 */
	unsigned max_headers;  /* lines: 431 */
};

enum guard_phase { GUARD_IDLE, GUARD_HEAD, GUARD_BODY }; /* for the deadlines */

/* What the gate made of the bytes so far. */
struct guard_verdict {
	int status;      /* 0 = fine; else the HTTP status to refuse with */
	const char *why; /* static */
};

/* One per connection, embedded by http.c; guard_init before use. Members are
 * guard.c's own, but for those marked public (read only). */
struct guard_state {
	const struct guard_limits *limits; /* borrowed */
	int state, header;
	size_t line, head;      /* bytes of the request line, of this head */
	size_t head_shown;      /* public: of this head, bytes that were not skipped */
	unsigned n_headers;
	uint64_t body_left, body_seen;
	bool has_length, has_te, has_host, has_connection, http10, is_head, is_options;
	bool keep_alive, close, blank;
	bool absolute, expects; /* absolute form of the target; Expect: 100-continue */
	uint64_t length;
	char name[20];          /* header name so far, lower case; longer ones do not matter */
	size_t name_len;
	char value[256];        /* so far, of the headers the gate reads; scheme, host, version */
	size_t value_len;
	char method[20];        /* public: of this request; longer ones are refused */
	size_t method_len;      /* public */
	uint64_t chunk;
	unsigned chunk_digits;
	uint8_t ext;            /* where in a chunk's extensions */
	unsigned ext_line, ext_seen, trailers; /* bytes thrown away of this line, of this body */
	bool waiting, foreign;  /* public: see guard_feed */
	bool ended;             /* public: the last completed request ends the connection */
	uint64_t n_requests;    /* public: heads completed */
	uint64_t n_complete;    /* public: requests completed, body and all */
	size_t skip;            /* public: see guard_feed */
	struct guard_verdict verdict; /* public */
};

void guard_init(struct guard_state *g, const struct guard_limits *limits);
/* Judges the next len bytes; returns how many of them evhttp may see. When that
 * is less than len, either
 *  - verdict.status is set (and stays): the next byte is the first illegal one;
 *  - or the `skip` bytes after them are legal but not for evhttp (the one empty
 *    line allowed before a request; what follows a request that ends the
 *    connection; tabs before a value; chunk extensions; trailers): drop them and call
 *    again with the rest;
 *  - or `waiting` is set, also when it is all of them: these bytes end a head whose
 *    client waits for `100 Continue` before it sends its body; call again;
 *  - or `foreign` is set, also when it is all of them: these bytes end in a method
 *    that evhttp has no name for, and its space; call again. */
size_t guard_feed(struct guard_state *g, const uint8_t *data, size_t len);
/* True when the next n bytes are body content whatever they are: they are counted
 * then, and need not be shown. */
bool guard_pass(struct guard_state *g, size_t n);
enum guard_phase guard_phase(const struct guard_state *g);

#endif
