/* guard_header.c: header lines, and what those say that frame a message. */
#define _GNU_SOURCE
#include "gateway/guard_private.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"

/* Headers the gate reads. */
enum header { OTHER, HOST_NAME, LENGTH, CODING, EXPECT, CONNECTION };

const uint8_t *guard_header(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (*p == '\r') {
		g->state = HEAD_LF;
		return p + 1;
	}
	if (*p == ' ' || *p == '\t')
		guard_refuse(g, 400, "a folded or indented header line");
	else if (!(guard_classes[*p] & TCHAR))
		guard_refuse(g, 400, "a malformed header name");
	else if (g->n_headers == g->limits->max_headers)
		guard_refuse(g, 431, "too many header lines");
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

const uint8_t *guard_name(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && guard_classes[*p] & TCHAR; p++) {
		if (g->name_len < sizeof g->name)
			g->name[g->name_len] = (char)(*p >= 'A' && *p <= 'Z' ? *p | 0x20 : *p);
		g->name_len += g->name_len <= sizeof g->name;
	}
	if (p == end)
		return p;
	if (*p != ':') {
		guard_refuse(g, 400, "a malformed header name");
		return p;
	}
	g->header = header_kind(g);
	g->state = VALUE_FIRST;
	g->value_len = 0;
	return p + 1;
}

const uint8_t *guard_value_any(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	p = guard_run(p, end, VALUE);
	if (p == end)
		return p;
	return guard_expect(g, p, '\r', VALUE_LF, "a control character in a header value");
}

static bool value_is(const struct guard_state *g, const char *word)
{
	return g->value_len == strlen(word) && strncasecmp(g->value, word, g->value_len) == 0;
}

/* --- Host --- */

/* The literal in brackets at the start of v: its length, or 0. */
static size_t ipv6_length(const char *v, size_t n)
{
	const char *end = memchr(v, ']', n);
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	size_t len = end != NULL ? (size_t)(end - v) - 1 : 0;

	if (len == 0 || len >= sizeof text)
		return 0;
	memcpy(text, v + 1, len);
	text[len] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1 ? len + 2 : 0;
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* A registered name or an IPv4 address: its length. */
static size_t name_length(const char *v, size_t n)
{
	size_t i = 0;

	while (i < n && guard_classes[(uint8_t)v[i]] & HOST && strchr(":[]", v[i]) == NULL)
		if (v[i] != '%')
			i++;
		else if (n - i >= 3 && is_hex(v[i + 1]) && is_hex(v[i + 2]))
			i += 3;
		else
			break;
	return i;
}

bool guard_is_host(const char *v, size_t n)
{
	size_t i = n > 0 && v[0] == '[' ? ipv6_length(v, n) : name_length(v, n);
	unsigned port = 0;

	if (i == n)
		return true;
	if (v[i++] != ':')
		return false;
	for (; i < n && v[i] >= '0' && v[i] <= '9' && port <= 65535; i++)
		port = port * 10 + (unsigned)(v[i] - '0');
	return i == n && port <= 65535;
}

static void judge_host(struct guard_state *g)
{
	if (g->has_host)
		guard_refuse(g, 400, "Host is given twice");
	else if (!guard_is_host(g->value, g->value_len))
		guard_refuse(g, 400, "Host is malformed");
	g->has_host = true;
}

/* --- framing --- */

/* More digits than a number here can have are a length nobody takes: 413. */
static void judge_length(struct guard_state *g)
{
	uint64_t n = 0;

	if (g->has_length)
		guard_refuse(g, 400, "Content-Length is given twice");
	else if (g->value_len == 0)
		guard_refuse(g, 400, "Content-Length is malformed");
	for (size_t i = 0; i < g->value_len && !g->verdict.status; i++) {
		if (g->value[i] < '0' || g->value[i] > '9')
			guard_refuse(g, 400, "Content-Length is malformed");
		n = MIN(n, (uint64_t)1 << 59) * 10 + (uint64_t)(g->value[i] - '0');
	}
	g->has_length = true;
	g->length = n;
}

/* The last coding must be `chunked`, or nobody knows where the body ends: 400
 * (RFC 9112 6.3). What is before it is not known here: 501. Elements that are empty
 * are legal in a list, but evhttp would see another word: refused. */
static void judge_coding(struct guard_state *g)
{
	static const char chunked[] = "chunked";
	const char *end = g->value + g->value_len, *last = memrchr(g->value, ',', g->value_len);

	last = last != NULL ? last + 1 : g->value;
	while (last < end && *last == ' ')
		last++;
	if (g->http10)
		guard_refuse(g, 400, "Transfer-Encoding in HTTP/1.0");
	else if (g->has_te)
		guard_refuse(g, 400, "Transfer-Encoding is given twice");
	else if ((size_t)(end - last) != strlen(chunked) || strncasecmp(last, chunked, strlen(chunked)) != 0)
		guard_refuse(g, 400, "the last transfer coding is not `chunked`");
	else if (last != g->value && (g->value[0] == ',' || strncasecmp(g->value, chunked, strlen(chunked)) == 0))
		guard_refuse(g, 400, "Transfer-Encoding is malformed");
	else if (last != g->value)
		guard_refuse(g, 501, "only the transfer coding `chunked` is known");
	g->has_te = true;
}

/* --- the others --- */

static void judge_expect(struct guard_state *g)
{
	if (!g->http10 && !value_is(g, "100-continue"))
		guard_refuse(g, 417, "only `100-continue` can be expected");
	g->expects = !g->http10;
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

/* evhttp does not take a tab for white space before a value: it is not shown any. */
const uint8_t *guard_value_first(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	if (*p == ' ')
		return p + 1;
	if (*p == '\t')
		g->skip = 1;
	else
		g->state = g->header == OTHER ? VALUE_ANY : VALUE_READ;
	return p;
}

const uint8_t *guard_value_read(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	for (; p < end && guard_classes[*p] & VALUE; p++) {
		if (g->value_len < sizeof g->value)
			g->value[g->value_len++] = *p == '\t' ? ' ' : (char)*p;
		else if (g->header != CONNECTION && *p != ' ' && *p != '\t') {
			guard_refuse(g, 400, "a header value is too long");
			return p;
		}
	}
	if (p == end)
		return p;
	if (*p != '\r') {
		guard_refuse(g, 400, "a control character in a header value");
		return p;
	}
	judge_header(g);
	g->state = VALUE_LF;
	return g->verdict.status ? p : p + 1;
}

const uint8_t *guard_value_lf(struct guard_state *g, const uint8_t *p, const uint8_t *end)
{
	return guard_expect(g, p, '\n', HEADER, "a CR without LF");
}

