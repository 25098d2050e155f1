/* guard.c: one function per state; each takes the run of bytes it can and leaves
 * the rest to the next state. guard_feed cuts what it shows them at the limits, so
 * the verdict does not depend on how the bytes were split into reads. */
#include "gateway/guard.h"

#include <string.h>
#include <strings.h>

#include "base/util.h"

enum {
	TCHAR = 1,  /* RFC 9110 5.6.2 */
	PATH = 2,   /* RFC 3986 pchar and '/', also | [ ] as browsers send them */
	QUERY = 4,  /* visible ASCII but '#' */
	VALUE = 8,  /* visible, space, tab, obs-text */
	HOST = 16,  /* uri-host and port */
};
#define ALL (TCHAR | PATH | QUERY | VALUE | HOST)
#define DELIM (PATH | QUERY | VALUE | HOST)

static const uint8_t classes[256] = {
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

/* START and CLOSED are guard_feed's; the order of the rest matters to guard_phase
 * and to the limits: line states, other head states, body states. */
enum state {
	START, START_LF, CLOSED,
	METHOD, TARGET, PATH_FIRST, IN_PATH, IN_QUERY, STAR, VERSION, LINE_CR, LINE_LF,
	HEADER, NAME, VALUE_ANY, VALUE_READ, VALUE_LF, HEAD_LF,
	BODY, CHUNK_SIZE, CHUNK_SIZE_LF, CHUNK_DATA, CHUNK_CR, CHUNK_LF, LAST_CR, LAST_LF,
	N_STATES
};

/* Headers the gate reads. */
enum header { OTHER, HOST_NAME, LENGTH, CODING, EXPECT, CONNECTION };

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

static void refuse(struct guard_state *g, int status, const char *why)
{
	g->verdict = (struct guard_verdict){status, why};
}

/* Takes the byte `want` into `next`, or refuses. */
static const uint8_t *expect_byte(struct guard_state *g, const uint8_t *p, uint8_t want, int next,
				  const char *why)
{
	if (*p != want) {
		refuse(g, 400, why);
		return p;
	}
	g->state = next;
	return p + 1;
}

static const uint8_t *run(const uint8_t *p, const uint8_t *end, uint8_t class)
{
	while (p < end && classes[*p] & class)
		p++;
	return p;
}

/* --- the request line --- */

static void request_begin(struct guard_state *g)
{
	g->line = g->head = 0;
	g->n_headers = 0;
	g->body_left = g->body_seen = g->length = 0;
	g->has_length = g->has_te = g->has_host = g->has_connection = false;
	g->http10 = g->is_head = g->is_options = g->keep_alive = g->close = false;
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
		refuse(g, 405, "this method is not served");
	else if (is_method(g, "PRI"))
		refuse(g, 400, "HTTP/2 is not spoken here");
	else
		refuse(g, 501, "unknown method");
}

static const uint8_t *step_method(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && classes[*p] & TCHAR; p++) {
		if (g->method_len == sizeof g->method) {
			refuse(g, 501, "unknown method");
			return p;
		}
		g->method[g->method_len++] = (char)*p;
	}
	if (p == end)
		return p;
	if (*p != ' ' || g->method_len == 0)
		refuse(g, 400, "the request line is malformed");
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
	else
		refuse(g, 400, "the request target must start with '/'");
	return g->verdict.status ? p : p + 1;
}

/* evhttp takes what follows `//` for a host. */
static const uint8_t *step_path_first(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (*p == '/')
		refuse(g, 400, "the request target must not start with '//'");
	else
		g->state = IN_PATH;
	return p;
}

static const uint8_t *step_path(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	p = run(p, end, PATH);
	if (p == end)
		return p;
	if (*p == '?')
		g->state = IN_QUERY;
	else if (*p == ' ')
		g->state = VERSION;
	else
		refuse(g, 400, "illegal character in the path: percent-encode it");
	return g->verdict.status ? p : p + 1;
}

static const uint8_t *step_query(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	p = run(p, end, QUERY);
	if (p == end)
		return p;
	return expect_byte(g, p, ' ', VERSION, "illegal character in the query: percent-encode it");
}

static const uint8_t *step_star(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return expect_byte(g, p, ' ', VERSION, "the request line is malformed");
}

static void judge_version(struct guard_state *g)
{
	g->state = LINE_CR;
	g->http10 = memcmp(g->value, "HTTP/1.0", 8) == 0;
	if (!g->http10 && memcmp(g->value, "HTTP/1.1", 8) != 0)
		refuse(g, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
}

static const uint8_t *step_version(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	static const char form[] = "HTTP/0.0";

	for (; p < end && g->state == VERSION; p++) {
		char want = form[g->value_len];

		if (want == '0' ? *p < '0' || *p > '9' : *p != want)
			refuse(g, 400, "the HTTP version is malformed");
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
	return expect_byte(g, p, '\r', LINE_LF, "the request line is malformed");
}

static const uint8_t *step_line_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return expect_byte(g, p, '\n', HEADER, "a CR without LF");
}

/* --- headers --- */

static const uint8_t *step_header(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (*p == '\r') {
		g->state = HEAD_LF;
		return p + 1;
	}
	if (*p == ' ' || *p == '\t')
		refuse(g, 400, "a folded or indented header line");
	else if (!(classes[*p] & TCHAR))
		refuse(g, 400, "a malformed header name");
	else if (g->n_headers == g->limits->max_headers)
		refuse(g, 431, "too many header lines");
	else
		g->state = NAME;
	g->n_headers++;
	g->name_len = 0;
	return p;
}

static enum header header_kind(const struct guard_state *g)
{
	static const struct {
		const char *name;
		enum header kind;
	} known[] = {
		{"host", HOST_NAME}, {"content-length", LENGTH}, {"transfer-encoding", CODING},
		{"expect", EXPECT}, {"connection", CONNECTION},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (g->name_len == strlen(known[i].name) &&
		    memcmp(g->name, known[i].name, g->name_len) == 0)
			return known[i].kind;
	return OTHER;
}

static const uint8_t *step_name(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && classes[*p] & TCHAR; p++) {
		if (g->name_len < sizeof g->name)
			g->name[g->name_len] = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
		g->name_len += g->name_len <= sizeof g->name;
	}
	if (p == end)
		return p;
	if (*p != ':') {
		refuse(g, 400, "a malformed header name");
		return p;
	}
	g->header = header_kind(g);
	g->state = g->header == OTHER ? VALUE_ANY : VALUE_READ;
	g->value_len = 0;
	return p + 1;
}

static const uint8_t *step_value_any(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	p = run(p, end, VALUE);
	if (p == end)
		return p;
	return expect_byte(g, p, '\r', VALUE_LF, "a control character in a header value");
}

static bool value_is(const struct guard_state *g, const char *word)
{
	return g->value_len == strlen(word) && strncasecmp(g->value, word, g->value_len) == 0;
}

static void judge_host(struct guard_state *g)
{
	const uint8_t *v = (const uint8_t *)g->value, *end = v + g->value_len;

	if (g->has_host)
		refuse(g, 400, "Host is given twice");
	else if (run(v, end, HOST) != end)
		refuse(g, 400, "Host is malformed");
	g->has_host = true;
}

static void judge_length(struct guard_state *g)
{
	uint64_t n = 0;

	if (g->has_length)
		refuse(g, 400, "Content-Length is given twice");
	else if (g->value_len == 0 || g->value_len > 18)
		refuse(g, 400, "Content-Length is malformed");
	for (size_t i = 0; i < g->value_len && !g->verdict.status; i++) {
		if (g->value[i] < '0' || g->value[i] > '9')
			refuse(g, 400, "Content-Length is malformed");
		n = n * 10 + (uint64_t)(g->value[i] - '0');
	}
	g->has_length = true;
	g->length = n;
}

static void judge_coding(struct guard_state *g)
{
	if (g->http10)
		refuse(g, 400, "Transfer-Encoding in HTTP/1.0");
	else if (g->has_te)
		refuse(g, 400, "Transfer-Encoding is given twice");
	else if (!value_is(g, "chunked"))
		refuse(g, 501, "only the transfer coding `chunked` is known");
	g->has_te = true;
}

static void judge_expect(struct guard_state *g)
{
	if (!g->http10 && !value_is(g, "100-continue"))
		refuse(g, 417, "only `100-continue` can be expected");
}

/* One list element after the other; a list too long to be kept ends the
 * connection, which is always allowed. `keep-alive` counts where evhttp sees it. */
static void judge_connection(struct guard_state *g)
{
	const char *p = g->value, *end = p + g->value_len;

	if (g->value_len == sizeof g->value)
		g->close = true;
	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end, *last = stop;

		while (p < last && *p == ' ')
			p++;
		while (last > p && last[-1] == ' ')
			last--;
		if (last - p == 5 && strncasecmp(p, "close", 5) == 0)
			g->close = true;
		if (p == g->value && last - p == 10 && strncasecmp(p, "keep-alive", 10) == 0)
			g->keep_alive = !g->has_connection;
		p = stop + 1;
	}
	g->has_connection = true;
}

static void judge_header(struct guard_state *g)
{
	static void (*const judges[])(struct guard_state *) = {
		[HOST_NAME] = judge_host, [LENGTH] = judge_length, [CODING] = judge_coding,
		[EXPECT] = judge_expect, [CONNECTION] = judge_connection,
	};

	while (g->value_len > 0 && g->value[g->value_len - 1] == ' ')
		g->value_len--;
	judges[g->header](g);
}

/* evhttp does not take a tab for white space before a value: refused here. */
static const uint8_t *step_value_read(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && classes[*p] & VALUE && *p != '\t'; p++) {
		if (*p == ' ' && g->value_len == 0)
			continue;
		if (g->value_len < sizeof g->value)
			g->value[g->value_len++] = (char)*p;
		else if (g->header != CONNECTION && *p != ' ') {
			refuse(g, 400, "a header value is too long");
			return p;
		}
	}
	if (p == end)
		return p;
	if (*p != '\r') {
		refuse(g, 400, "a control character in a header value");
		return p;
	}
	judge_header(g);
	g->state = VALUE_LF;
	return g->verdict.status ? p : p + 1;
}

static const uint8_t *step_value_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return expect_byte(g, p, '\n', HEADER, "a CR without LF");
}

/* --- the head's end and the body --- */

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
		refuse(g, 400, "Host is missing");
	else if (g->has_length && g->has_te)
		refuse(g, 400, "both Content-Length and Transfer-Encoding");
	else if (g->is_head && (g->length > 0 || g->has_te))
		refuse(g, 400, "HEAD with a body");
	else if (g->length > g->limits->max_body)
		refuse(g, 413, "the body is larger than this server takes");
	g->close = g->close || (g->http10 && !g->keep_alive);
}

static const uint8_t *step_head_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (*p != '\n')
		refuse(g, 400, "a CR without LF");
	else
		judge_head(g);
	if (g->verdict.status)
		return p;
	g->n_requests++;
	g->chunk = 0;
	g->chunk_digits = 0;
	g->body_left = g->length;
	if (g->has_te)
		g->state = CHUNK_SIZE;
	else if (g->body_left > 0)
		g->state = BODY;
	else
		request_complete(g);
	return p + 1;
}

static void body_take(struct guard_state *g, uint64_t n)
{
	g->body_left -= n;
	if (g->body_left == 0)
		request_complete(g);
}

static void chunk_take(struct guard_state *g, uint64_t n)
{
	g->chunk -= n;
	g->body_seen += n;
	if (g->chunk == 0)
		g->state = CHUNK_CR;
}

static const uint8_t *step_body(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	size_t n = (size_t)MIN((uint64_t)(end - p), g->body_left);

	body_take(g, n);
	return p + n;
}

static const uint8_t *step_chunk_data(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	size_t n = (size_t)MIN((uint64_t)(end - p), g->chunk);

	chunk_take(g, n);
	return p + n;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const uint8_t *step_chunk_size(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	int digit = hex_digit(*p);

	if (digit >= 0 && g->chunk_digits < MIN(g->limits->max_chunk_line, 16U)) {
		g->chunk = g->chunk << 4 | (uint64_t)digit;
		g->chunk_digits++;
		return p + 1;
	}
	if (digit >= 0)
		refuse(g, 400, "a chunk size is too long");
	else if (g->chunk_digits > 0 && (*p == ';' || *p == ' ' || *p == '\t'))
		refuse(g, 400, "chunk extensions are not taken");
	else if (g->chunk_digits == 0 || *p != '\r')
		refuse(g, 400, "a malformed chunk size");
	else if (g->chunk > g->limits->max_body - g->body_seen)
		refuse(g, 413, "the body is larger than this server takes");
	g->state = CHUNK_SIZE_LF;
	return g->verdict.status ? p : p + 1;
}

static const uint8_t *step_chunk_size_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return expect_byte(g, p, '\n', g->chunk == 0 ? LAST_CR : CHUNK_DATA, "a CR without LF");
}

static const uint8_t *step_chunk_cr(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return expect_byte(g, p, '\r', CHUNK_LF, "a chunk is longer than its size");
}

static const uint8_t *step_chunk_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	g->chunk_digits = 0;
	return expect_byte(g, p, '\n', CHUNK_SIZE, "a chunk is longer than its size");
}

/* evhttp would add trailers to the headers. */
static const uint8_t *step_last_cr(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return expect_byte(g, p, '\r', LAST_LF, "trailers are not taken");
}

static const uint8_t *step_last_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	p = expect_byte(g, p, '\n', START, "a CR without LF");
	if (!g->verdict.status)
		request_complete(g);
	return p;
}

/* --- feeding --- */

typedef const uint8_t *step(struct guard_state *g, const uint8_t *p, const uint8_t *end);

static step *const steps[N_STATES] = {
	[METHOD] = step_method, [TARGET] = step_target, [PATH_FIRST] = step_path_first,
	[IN_PATH] = step_path, [IN_QUERY] = step_query, [STAR] = step_star,
	[VERSION] = step_version, [LINE_CR] = step_line_cr, [LINE_LF] = step_line_lf,
	[HEADER] = step_header, [NAME] = step_name, [VALUE_ANY] = step_value_any,
	[VALUE_READ] = step_value_read, [VALUE_LF] = step_value_lf, [HEAD_LF] = step_head_lf,
	[BODY] = step_body, [CHUNK_SIZE] = step_chunk_size,
	[CHUNK_SIZE_LF] = step_chunk_size_lf, [CHUNK_DATA] = step_chunk_data,
	[CHUNK_CR] = step_chunk_cr, [CHUNK_LF] = step_chunk_lf, [LAST_CR] = step_last_cr,
	[LAST_LF] = step_last_lf,
};

/* How many bytes the head may still have in this state. */
static size_t head_room(struct guard_state *g)
{
	size_t room = g->limits->max_head - g->head;

	if (g->state < HEADER && g->limits->max_line - g->line < room) {
		room = g->limits->max_line - g->line;
		if (room == 0)
			refuse(g, 414, "the request line is too long");
	} else if (room == 0) {
		refuse(g, 431, "the request head is too large");
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
	g->head += (size_t)(next - p);
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
			refuse(g, 400, "a CR without LF");
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
	while (p < end && !g->verdict.status) {
		if (g->state < METHOD) {
			between(g, p, end);
			if (g->skip)
				break;
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
		body_take(g, n);
	else if (g->state == CHUNK_DATA && n <= g->chunk)
		chunk_take(g, n);
	else
		return false;
	return true;
}
