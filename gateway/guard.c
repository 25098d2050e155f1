/* guard.c: the request line, and feeding. One function per state; each takes the
 * run of bytes it can and leaves the rest to the next state. guard_feed cuts what it shows them at the limits, so
 * the verdict does not depend on how the bytes were split into reads. */
#include "gateway/guard_private.h"

#include <string.h>
#include <strings.h>

#include "base/util.h"

enum { TLS_HANDSHAKE = 0x16 }; /* the first byte of a TLS connection */

#define ALL (TCHAR | PATH | QUERY | VALUE | HOST)
#define DELIM (PATH | QUERY | VALUE | HOST)

const uint8_t guard_classes[256] = {
	['\t'] = VALUE, [' '] = VALUE, ['!'] = ALL, ['"'] = QUERY | VALUE,
	['#'] = TCHAR | VALUE, ['$'] = ALL, ['%'] = ALL, ['&'] = ALL, ['\''] = ALL,
	['('] = DELIM, [')'] = DELIM, ['*'] = ALL, ['+'] = ALL, [','] = DELIM,
	['-'] = ALL, ['.'] = ALL, ['/'] = PATH | QUERY | VALUE, ['0' ... '9'] = ALL,
	[':'] = DELIM, [';'] = DELIM, ['<'] = QUERY | VALUE, ['='] = DELIM,
	['>'] = QUERY | VALUE, ['?'] = QUERY | VALUE, ['@'] = PATH | QUERY | VALUE,
	['A' ... 'Z'] = ALL, ['['] = DELIM, ['\\'] = QUERY | VALUE, [']'] = DELIM,
	['^'] = TCHAR | QUERY | VALUE, ['_'] = ALL, ['`'] = TCHAR | QUERY | VALUE,
	['a' ... 'z'] = ALL, ['{'] = QUERY | VALUE, ['|'] = TCHAR | PATH | QUERY | VALUE,
	['}'] = QUERY | VALUE, ['~'] = ALL, [0x80 ... 0xff] = VALUE,
};

void guard_init(struct guard_state *g, const struct guard_limits *limits)
{
	memset(g, 0, sizeof *g);
	g->limits = limits;
	g->state = START;
}

enum guard_phase guard_phase(const struct guard_state *g)
{
	return g->state < METHOD ? GUARD_IDLE : g->state < BODY ? GUARD_HEAD : GUARD_BODY;
}

void guard_refuse(struct guard_state *g, int status, const char *why)
{
	g->verdict = (struct guard_verdict){status, why};
}

const uint8_t *guard_expect(struct guard_state *g, const uint8_t *p, uint8_t want, int next,
				  const char *why)
{
	if (*p != want) {
		guard_refuse(g, 400, why);
		return p;
	}
	g->state = next;
	return p + 1;
}

const uint8_t *guard_run(const uint8_t *p, const uint8_t *end, uint8_t class)
{
	while (p < end && guard_classes[*p] & class)
		p++;
	return p;
}

/* --- the request line --- */

static const char NO_TARGET[] = "the request target must start with '/' or 'http://'";

static void request_begin(struct guard_state *g)
{
	g->line = g->head = g->head_shown = 0;
	g->n_headers = 0;
	g->body_left = g->body_seen = g->length = 0;
	g->has_length = g->has_te = g->has_host = g->has_connection = false;
	g->http10 = g->is_head = g->is_options = g->keep_alive = g->close = false;
	g->absolute = g->expects = g->waiting = false;
	g->ext_seen = g->trailers = 0;
	g->method_len = g->value_len = 0;
	g->state = METHOD;
}

static bool is_method(const struct guard_state *g, const char *name)
{
	return g->method_len == strlen(name) && memcmp(g->method, name, g->method_len) == 0;
}

static void judge_method(struct guard_state *g)
{
	static const char *const known[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

	g->state = TARGET;
	g->is_head = is_method(g, "HEAD");
	g->is_options = is_method(g, "OPTIONS");
	if (g->is_head || g->is_options)
		return;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (is_method(g, known[i]))
			return;
	if (is_method(g, "TRACE") || is_method(g, "CONNECT"))
		guard_refuse(g, 405, "this method is not served");
	else if (is_method(g, "PRI"))
		guard_refuse(g, 400, "HTTP/2 is not spoken here");
	else
		g->foreign = true; /* which of these there are, the routes know */
}

static const uint8_t *step_method(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && guard_classes[*p] & TCHAR; p++) {
		if (g->method_len == sizeof g->method) {
			guard_refuse(g, 501, "unknown method");
			return p;
		}
		g->method[g->method_len++] = (char)*p;
	}
	if (p == end)
		return p;
	if (*p == TLS_HANDSHAKE && g->method_len == 0)
		guard_refuse(g, 400, "this port speaks HTTP, not TLS: use http://");
	else if (*p != ' ' || g->method_len == 0)
		guard_refuse(g, 400, "the request line is malformed");
	else
		judge_method(g);
	return g->verdict.status ? p : p + 1;
}

static const uint8_t *step_target(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (*p == '/')
		g->state = PATH_FIRST;
	else if (*p == '*' && g->is_options)
		g->state = STAR;
	else if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'))
		g->state = SCHEME;
	else
		guard_refuse(g, 400, NO_TARGET);
	return g->verdict.status || g->state == SCHEME ? p : p + 1;
}

static bool value_is_scheme(const struct guard_state *g, const char *scheme)
{
	return g->value_len == strlen(scheme) && strncasecmp(g->value, scheme, g->value_len) == 0;
}

/* The absolute form, which a server must take from any client (RFC 9112 3.2.2). */
static const uint8_t *step_scheme(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	for (; p < end; p++) {
		if (!(guard_classes[*p] & PATH) || g->value_len == strlen("https://")) {
			guard_refuse(g, 400, NO_TARGET);
			return p;
		}
		g->value[g->value_len++] = (char)*p;
		if (value_is_scheme(g, "http://")) {
			g->value_len = 0;
			g->state = AUTHORITY;
			return p + 1;
		}
		if (value_is_scheme(g, "https://")) { /* RFC 9110 7.4 */
			guard_refuse(g, 421, "https is not spoken here");
			return p;
		}
	}
	return p;
}

static const uint8_t *authority_end(struct guard_state *g, const uint8_t *p)
{
	if (*p != '/' && *p != '?' && *p != ' ')
		guard_refuse(g, 400, "illegal character in the target's host");
	else if (g->value_len == 0 || g->value[0] == ':' || !guard_is_host(g->value, g->value_len))
		guard_refuse(g, 400, "the target's host is malformed");
	g->value_len = 0;
	g->absolute = true;
	g->state = *p == '/' ? IN_PATH : *p == '?' ? IN_QUERY : VERSION;
	return g->verdict.status ? p : p + 1;
}

static const uint8_t *step_authority(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && guard_classes[*p] & HOST; p++) {
		if (g->value_len == sizeof g->value) {
			guard_refuse(g, 414, "the target's host is too long");
			return p;
		}
		g->value[g->value_len++] = (char)*p;
	}
	return p == end ? p : authority_end(g, p);
}

/* evhttp takes what follows `//` for a host. */
static const uint8_t *step_path_first(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (*p == '/')
		guard_refuse(g, 400, "the request target must not start with '//'");
	else
		g->state = IN_PATH;
	return p;
}

static const uint8_t *step_path(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	p = guard_run(p, end, PATH);
	if (p == end)
		return p;
	if (*p == '?')
		g->state = IN_QUERY;
	else if (*p == ' ')
		g->state = VERSION;
	else
		guard_refuse(g, 400, "illegal character in the path: percent-encode it");
	return g->verdict.status ? p : p + 1;
}

static const uint8_t *step_query(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	p = guard_run(p, end, QUERY);
	if (p == end)
		return p;
	return guard_expect(g, p, ' ', VERSION, "illegal character in the query: percent-encode it");
}

static const uint8_t *step_star(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return guard_expect(g, p, ' ', VERSION, "the request line is malformed");
}

/* A higher minor version is taken as 1.1 (RFC 9110 2.5). */
static void judge_version(struct guard_state *g)
{
	g->state = LINE_CR;
	g->http10 = memcmp(g->value, "HTTP/1.0", 8) == 0;
	if (memcmp(g->value, "HTTP/1.", 7) != 0)
		guard_refuse(g, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
}

static const uint8_t *step_version(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	static const char form[] = "HTTP/0.0";

	for (; p < end && g->state == VERSION; p++) {
		char want = form[g->value_len];

		if (want == '0' ? *p < '0' || *p > '9' : *p != want)
			guard_refuse(g, 400, "the HTTP version is malformed");
		g->value[g->value_len++] = (char)*p;
		if (g->value_len == 8 && !g->verdict.status)
			judge_version(g);
		if (g->verdict.status)
			return p;
	}
	return p;
}

static const uint8_t *step_line_cr(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return guard_expect(g, p, '\r', LINE_LF, "the request line is malformed");
}

static const uint8_t *step_line_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return guard_expect(g, p, '\n', HEADER, "a CR without LF");
}

/* --- feeding --- */

static guard_step *const steps[N_STATES] = {
	[METHOD] = step_method, [TARGET] = step_target, [PATH_FIRST] = step_path_first,
	[IN_PATH] = step_path, [IN_QUERY] = step_query, [STAR] = step_star, [SCHEME] = step_scheme,
	[AUTHORITY] = step_authority, [VERSION] = step_version, [LINE_CR] = step_line_cr,
	[LINE_LF] = step_line_lf,
	[HEADER] = guard_header, [NAME] = guard_name, [VALUE_FIRST] = guard_value_first,
	[VALUE_ANY] = guard_value_any, [VALUE_READ] = guard_value_read,
	[VALUE_LF] = guard_value_lf, [HEAD_LF] = guard_head_lf,
	[BODY] = guard_body, [CHUNK_SIZE] = guard_chunk_size, [CHUNK_EXT] = guard_chunk_ext,
	[CHUNK_SIZE_LF] = guard_chunk_size_lf, [CHUNK_DATA] = guard_chunk_data,
	[CHUNK_CR] = guard_chunk_cr, [CHUNK_LF] = guard_chunk_lf, [LAST_CR] = guard_last_cr,
	[LAST_LF] = guard_last_lf, [TRAILER_NAME] = guard_trailer_name,
	[TRAILER_VALUE] = guard_trailer_value, [TRAILER_LF] = guard_trailer_lf,
};

/* How many bytes the head may still have in this state. */
static size_t head_room(struct guard_state *g)
{
	size_t room = g->limits->max_head - g->head;

	if (g->state < HEADER && g->limits->max_line - g->line < room) {
		room = g->limits->max_line - g->line;
		if (room == 0)
			guard_refuse(g, 414, "the request line is too long");
	} else if (room == 0) {
		guard_refuse(g, 431, "the request head is too large");
	}
	return room;
}

static const uint8_t *head_step(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	size_t room = head_room(g);
	bool in_line = g->state < HEADER;
	const uint8_t *next;

	if (room == 0)
		return p;
	next = steps[g->state](g, p, (size_t)(end - p) > room ? p + room : end);
	g->head += (size_t)(next - p) + g->skip;
	g->head_shown += (size_t)(next - p);
	if (in_line)
		g->line += (size_t)(next - p);
	return next;
}

/* Between requests: begins the next one, or finds bytes that are not evhttp's. */
static void between(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (g->state == CLOSED) {
		g->skip = (size_t)(end - p);
	} else if (g->state == START_LF) {
		g->state = START;
		g->skip = *p == '\n';
		if (!g->skip)
			guard_refuse(g, 400, "a CR without LF");
	} else if (*p == '\r' && !g->blank) {
		g->state = START_LF;
		g->blank = true;
		g->skip = 1;
	} else {
		request_begin(g);
	}
}

size_t guard_feed(struct guard_state *g, const uint8_t *data, size_t len)
{
	const uint8_t *p = data, *end = data + len;

	g->skip = 0;
	g->waiting = g->foreign = false;
	while (p < end && !g->verdict.status && !g->skip && !g->waiting && !g->foreign) {
		if (g->state < METHOD) {
			between(g, p, end);
		} else if (g->state < BODY) {
			p = head_step(g, p, end);
		} else {
			p = steps[g->state](g, p, end);
		}
	}
	return (size_t)(p - data);
}

bool guard_pass(struct guard_state *g, size_t n)
{
	if (g->verdict.status)
		return false;
	if (g->state == BODY && n <= g->body_left)
		guard_body_take(g, n);
	else if (g->state == CHUNK_DATA && n <= g->chunk)
		guard_chunk_take(g, n);
	else
		return false;
	return true;
}
