/* guard_private.h: what guard.c (request line, feeding), guard_header.c (header
 * lines) and guard_body.c (the head's end, bodies, chunks, trailers) share; nobody
 * else includes it. */
#ifndef GATEWAY_GUARD_PRIVATE_H
#define GATEWAY_GUARD_PRIVATE_H

#include "gateway/guard.h"

/* Classes of bytes. */
enum {
	TCHAR = 1,  /* RFC 9110 5.6.2 */
	PATH = 2,   /* RFC 3986 pchar and '/', also | [ ] as browsers send them */
	QUERY = 4,  /* visible ASCII but '#' */
	VALUE = 8,  /* visible, space, tab, obs-text */
	HOST = 16,  /* uri-host and port */
};
extern const uint8_t guard_classes[256];

/* START and CLOSED are guard_feed's; the order of the rest matters to guard_phase
 * and to the limits: line states, other head states, body states. */
enum state {
	START, START_LF, CLOSED,
	METHOD, TARGET, PATH_FIRST, IN_PATH, IN_QUERY, STAR, SCHEME, AUTHORITY, VERSION, LINE_CR,
	LINE_LF,
	HEADER, NAME, VALUE_FIRST, VALUE_ANY, VALUE_READ, VALUE_LF, HEAD_LF,
	BODY, CHUNK_SIZE, CHUNK_EXT, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_CR, CHUNK_LF, LAST_CR, LAST_LF,
	TRAILER_NAME, TRAILER_VALUE, TRAILER_LF,
	N_STATES
};

/* Takes bytes of [p, end) and gives what comes after them; p when it has only
 * changed the state, refused, or set g->skip: then those bytes are taken but not
 * for evhttp. */
typedef const uint8_t *guard_step(struct guard_state *g, const uint8_t *p, const uint8_t *end);

guard_step guard_header, guard_name, guard_value_first, guard_value_any, guard_value_read,
	guard_value_lf;
guard_step guard_head_lf, guard_body, guard_chunk_size, guard_chunk_ext, guard_chunk_size_lf,
	guard_chunk_data, guard_chunk_cr, guard_chunk_lf, guard_last_cr, guard_last_lf,
	guard_trailer_name, guard_trailer_value, guard_trailer_lf;

void guard_refuse(struct guard_state *g, int status, const char *why);
/* Takes the byte `want` into `next`, or refuses. */
const uint8_t *guard_expect(struct guard_state *g, const uint8_t *p, uint8_t want, int next,
			    const char *why);
const uint8_t *guard_run(const uint8_t *p, const uint8_t *end, uint8_t class);

/* uri-host [":" port] (RFC 3986 3.2.2); the host may be empty. */
bool guard_is_host(const char *v, size_t n);

/* n bytes of content, or of a chunk's, are here. */
void guard_body_take(struct guard_state *g, uint64_t n);
void guard_chunk_take(struct guard_state *g, uint64_t n);

#endif
