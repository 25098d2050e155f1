/* guard_body.c: the end of a head and what it means; bodies, chunks with their
 * extensions, trailers. Extensions and trailers are judged and thrown away: evhttp
 * has no idea of the first and would make headers of the second. */
#include "gateway/guard_private.h"

#include <string.h>

#include "base/util.h"

/* Of what is thrown away: more is nothing a client needs, and each of its bytes
 * costs time without being content. */
enum { EXT_LINE_MAX = 256, EXT_BODY_MAX = 4096, TRAILERS_MAX = 4096 };

/* Where in a chunk's extensions. */
enum ext {
	EXT_SIZE = 1, EXT_SPACE, EXT_NAME_FIRST, EXT_NAME, EXT_NAME_SPACE, EXT_VALUE_FIRST, EXT_VALUE,
	EXT_QUOTED, EXT_ESCAPED, EXT_QUOTED_END, N_EXT
};

static void request_complete(struct guard_state *g)
{
	g->n_complete++;
	g->blank = false;
	g->ended = g->close;
	g->state = g->close ? CLOSED : START;
}

static void judge_head(struct guard_state *g)
{
	if (!g->http10 && !g->has_host)
		guard_refuse(g, 400, "Host is missing");
	else if (g->has_length && g->has_te)
		guard_refuse(g, 400, "both Content-Length and Transfer-Encoding");
	else if (g->is_head && (g->length > 0 || g->has_te))
		guard_refuse(g, 400, "HEAD with a body");
	else if (g->length > g->limits->max_body)
		guard_refuse(g, 413, "the body is larger than this server takes");
	g->close = g->close || (g->http10 && !g->keep_alive);
}

const uint8_t *guard_head_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (*p != '\n')
		guard_refuse(g, 400, "a CR without LF");
	else
		judge_head(g);
	if (g->verdict.status)
		return p;
	g->n_requests++;
	g->chunk = 0;
	g->chunk_digits = 0;
	g->body_left = g->length;
	g->waiting = g->expects && (g->has_te || g->body_left > 0);
	if (g->has_te)
		g->state = CHUNK_SIZE;
	else if (g->body_left > 0)
		g->state = BODY;
	else
		request_complete(g);
	return p + 1;
}

void guard_body_take(struct guard_state *g, uint64_t n)
{
	g->body_left -= n;
	if (g->body_left == 0)
		request_complete(g);
}

void guard_chunk_take(struct guard_state *g, uint64_t n)
{
	g->chunk -= n;
	g->body_seen += n;
	if (g->chunk == 0)
		g->state = CHUNK_CR;
}

const uint8_t *guard_body(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	size_t n = (size_t)MIN((uint64_t)(end - p), g->body_left);

	guard_body_take(g, n);
	return p + n;
}

const uint8_t *guard_chunk_data(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	size_t n = (size_t)MIN((uint64_t)(end - p), g->chunk);

	guard_chunk_take(g, n);
	return p + n;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The CR after a chunk's size and its extensions. */
static const uint8_t *size_end(struct guard_state *g, const uint8_t *p)
{
	if (g->chunk > g->limits->max_body - g->body_seen)
		guard_refuse(g, 413, "the body is larger than this server takes");
	g->state = CHUNK_SIZE_LF;
	return g->verdict.status ? p : p + 1;
}

const uint8_t *guard_chunk_size(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	int digit = hex_digit(*p);

	if (digit >= 0 && g->chunk_digits < MIN(g->limits->max_chunk_line, 16U)) {
		g->chunk = g->chunk << 4 | (uint64_t)digit;
		g->chunk_digits++;
		return p + 1;
	}
	if (g->chunk_digits > 0 && *p == '\r')
		return size_end(g, p);
	if (digit >= 0)
		guard_refuse(g, 400, "a chunk size is too long");
	else if (g->chunk_digits == 0 || (*p != ';' && *p != ' ' && *p != '\t'))
		guard_refuse(g, 400, "a malformed chunk size");
	g->ext = EXT_SIZE;
	g->ext_line = 0;
	g->state = CHUNK_EXT;
	return p;
}

/* --- chunk extensions: ignored, but not whatever they are --- */

enum ext_class { C_BAD, C_SPACE, C_SEMICOLON, C_EQUALS, C_QUOTE, C_ESCAPE, C_TCHAR, C_TEXT, N_CLASSES };

/* RFC 9112 7.1.1; 0 is not allowed. */
static const uint8_t ext_next[N_EXT][N_CLASSES] = {
	[EXT_SIZE] = {[C_SPACE] = EXT_SPACE, [C_SEMICOLON] = EXT_NAME_FIRST},
	[EXT_SPACE] = {[C_SPACE] = EXT_SPACE, [C_SEMICOLON] = EXT_NAME_FIRST},
	[EXT_NAME_FIRST] = {[C_SPACE] = EXT_NAME_FIRST, [C_TCHAR] = EXT_NAME},
	[EXT_NAME] = {[C_TCHAR] = EXT_NAME, [C_SPACE] = EXT_NAME_SPACE,
		      [C_SEMICOLON] = EXT_NAME_FIRST, [C_EQUALS] = EXT_VALUE_FIRST},
	[EXT_NAME_SPACE] = {[C_SPACE] = EXT_NAME_SPACE, [C_SEMICOLON] = EXT_NAME_FIRST,
			    [C_EQUALS] = EXT_VALUE_FIRST},
	[EXT_VALUE_FIRST] = {[C_SPACE] = EXT_VALUE_FIRST, [C_TCHAR] = EXT_VALUE,
			     [C_QUOTE] = EXT_QUOTED},
	[EXT_VALUE] = {[C_TCHAR] = EXT_VALUE, [C_SPACE] = EXT_SPACE, [C_SEMICOLON] = EXT_NAME_FIRST},
	[EXT_QUOTED] = {[C_SPACE] = EXT_QUOTED, [C_SEMICOLON] = EXT_QUOTED, [C_EQUALS] = EXT_QUOTED,
			[C_TCHAR] = EXT_QUOTED, [C_TEXT] = EXT_QUOTED, [C_QUOTE] = EXT_QUOTED_END,
			[C_ESCAPE] = EXT_ESCAPED},
	[EXT_ESCAPED] = {[C_SPACE] = EXT_QUOTED, [C_SEMICOLON] = EXT_QUOTED, [C_EQUALS] = EXT_QUOTED,
			 [C_TCHAR] = EXT_QUOTED, [C_TEXT] = EXT_QUOTED, [C_QUOTE] = EXT_QUOTED,
			 [C_ESCAPE] = EXT_QUOTED},
	[EXT_QUOTED_END] = {[C_SPACE] = EXT_SPACE, [C_SEMICOLON] = EXT_NAME_FIRST},
};

static enum ext_class ext_class(uint8_t c)
{
	switch (c) {
	case ' ':
	case '\t':
		return C_SPACE;
	case ';':
		return C_SEMICOLON;
	case '=':
		return C_EQUALS;
	case '"':
		return C_QUOTE;
	case '\\':
		return C_ESCAPE;
	default:
		return guard_classes[c] & TCHAR ? C_TCHAR : guard_classes[c] & VALUE ? C_TEXT : C_BAD;
	}
}

static bool ext_take(struct guard_state *g, uint8_t c)
{
	uint8_t next = ext_next[g->ext][ext_class(c)];

	if (next == 0)
		guard_refuse(g, 400, "a malformed chunk extension");
	else if (g->ext_line++ == EXT_LINE_MAX || g->ext_seen++ == EXT_BODY_MAX)
		guard_refuse(g, 400, "chunk extensions are too long");
	g->ext = next;
	return !g->verdict.status;
}

const uint8_t *guard_chunk_ext(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *from = p;

	while (p < end && *p != '\r' && ext_take(g, *p))
		p++;
	g->skip = (size_t)(p - from);
	if (p > from || g->verdict.status)
		return from;
	if (g->ext == EXT_NAME || g->ext == EXT_VALUE || g->ext == EXT_QUOTED_END)
		return size_end(g, p);
	guard_refuse(g, 400, "a malformed chunk extension");
	return p;
}

/* --- the rest of a chunk --- */

const uint8_t *guard_chunk_size_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return guard_expect(g, p, '\n', g->chunk == 0 ? LAST_CR : CHUNK_DATA, "a CR without LF");
}

const uint8_t *guard_chunk_cr(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return guard_expect(g, p, '\r', CHUNK_LF, "a chunk is longer than its size");
}

const uint8_t *guard_chunk_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	g->chunk_digits = 0;
	return guard_expect(g, p, '\n', CHUNK_SIZE, "a chunk is longer than its size");
}

/* The end of the body, or a trailer's first byte. */
const uint8_t *guard_last_cr(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (*p == '\r') {
		g->state = LAST_LF;
		return p + 1;
	}
	if (*p == ' ' || *p == '\t')
		guard_refuse(g, 400, "a folded or indented trailer line");
	else if (!(guard_classes[*p] & TCHAR))
		guard_refuse(g, 400, "a malformed trailer name");
	g->state = TRAILER_NAME;
	return p;
}

const uint8_t *guard_last_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	p = guard_expect(g, p, '\n', START, "a CR without LF");
	if (!g->verdict.status)
		request_complete(g);
	return p;
}

/* --- trailers: judged, then dropped --- */

/* The bytes before stop are a trailer's. */
static const uint8_t *trailer_take(struct guard_state *g, const uint8_t *p, const uint8_t *stop)
{
	g->skip = (size_t)(stop - p);
	g->trailers += (unsigned)g->skip;
	return p;
}

/* Where the bytes end that a trailer may still have. */
static const uint8_t *trailer_end(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	size_t room = TRAILERS_MAX - g->trailers;

	if (room == 0)
		guard_refuse(g, 431, "the trailers are too long");
	return (size_t)(end - p) > room ? p + room : end;
}

const uint8_t *guard_trailer_name(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *limit = trailer_end(g, p, end), *stop = guard_run(p, limit, TCHAR);

	if (stop == limit)
		return trailer_take(g, p, limit);
	if (*stop != ':') {
		guard_refuse(g, 400, "a malformed trailer name");
		return p;
	}
	g->state = TRAILER_VALUE;
	return trailer_take(g, p, stop + 1);
}

const uint8_t *guard_trailer_value(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *limit = trailer_end(g, p, end), *stop = guard_run(p, limit, VALUE);

	if (stop == limit)
		return trailer_take(g, p, limit);
	if (*stop != '\r') {
		guard_refuse(g, 400, "a control character in a trailer");
		return p;
	}
	g->state = TRAILER_LF;
	return trailer_take(g, p, stop + 1);
}

const uint8_t *guard_trailer_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	trailer_end(g, p, end);
	if (*p != '\n' && !g->verdict.status)
		guard_refuse(g, 400, "a CR without LF");
	g->state = LAST_CR;
	return g->verdict.status ? p : trailer_take(g, p, p + 1);
}
