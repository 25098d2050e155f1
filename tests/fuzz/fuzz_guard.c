/* fuzz_guard: the gate fed the same bytes whole and in pieces, of one size and of
 * many. Checked: verdict, counts and what evhttp would see are the same; a refusal is
 * final; what it lets through has no byte that could mislead a parser behind it, and is,
 * read by a second parser that knows RFC 9112 and takes nothing else, as many heads,
 * bodies and bytes of bodies as the gate has counted.
 *
 * Input: byte 0 chooses the pieces, the rest is the connection. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "gateway/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct guard_limits limits = {
	.max_line = 256, .max_head = 1024, .max_body = 4096, .max_chunk_line = 16, .max_headers = 16,
};

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* Bytes of a head can be of these only. */
static void check_seen(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check(p[i] >= ' ' ? p[i] != 0x7f : p[i] == '\t' || p[i] == '\r' || p[i] == '\n');
}

static void take(struct guard_state *g, const uint8_t *p, size_t n, struct buf *seen)
{
	bool body = guard_phase(g) == GUARD_BODY;
	uint64_t n_complete = g->n_complete;
	struct guard_state before = *g;

	if (body && guard_pass(&before, n)) { /* then showing the bytes must do the same */
		check(guard_feed(g, p, n) == n);
		check(g->n_complete == before.n_complete && g->state == before.state &&
		      g->body_left == before.body_left && g->chunk == before.chunk &&
		      g->body_seen == before.body_seen);
		buf_append(seen, p, n);
		return;
	}
	while (n > 0 && !g->verdict.status) {
		size_t good = guard_feed(g, p, n), skip;

		check(good <= n);
		buf_append(seen, p, good);
		if (!body && guard_phase(g) != GUARD_BODY && g->n_complete == n_complete)
			check_seen(p, good);
		skip = good < n && !g->verdict.status ? g->skip : 0;
		check(good == n || g->verdict.status || g->waiting || g->foreign || (skip > 0 && skip <= n - good));
		p += good + skip;
		n -= good + skip;
	}
	check(g->verdict.status == 0 || (g->verdict.why != NULL && g->verdict.status >= 400));
}

/* step 0: whole; negative: pieces of all sizes, by chance. */
static void feed(struct guard_state *g, const uint8_t *p, size_t n, int step, struct buf *seen)
{
	uint32_t chance = (uint32_t)-step * 2654435761u + 1;

	guard_init(g, &limits);
	while (n > 0 && !g->verdict.status) {
		size_t len = step == 0 ? n : step > 0 ? (size_t)step : (chance >> 16) % 61 + 1;

		len = len < n ? len : n;
		chance = chance * 1664525u + 1013904223u;

		take(g, p, len, seen);
		p += len;
		n -= len;
	}
	check(g->n_complete <= g->n_requests && g->body_seen <= limits.max_body);
}

/* --- the second parser --- */

struct model {
	const uint8_t *p, *end;
	uint64_t n_heads, n_complete;
	uint64_t length, body; /* of the last head; bytes of its body that are there */
	bool chunked, is_head;
};

struct text {
	const char *s;
	size_t n;
};

static bool text_is(struct text t, const char *name)
{
	return t.n == strlen(name) && strncasecmp(t.s, name, t.n) == 0;
}

/* The line that begins here, without its CRLF. False: it has no end. */
static bool line_next(struct model *m, struct text *line)
{
	const uint8_t *cr = m->p < m->end ? memmem(m->p, (size_t)(m->end - m->p), "\r\n", 2) : NULL;

	if (cr == NULL)
		return false;
	*line = (struct text){(const char *)m->p, (size_t)(cr - m->p)};
	m->p = cr + 2;
	return true;
}

static bool is_token(struct text t)
{
	for (size_t i = 0; i < t.n; i++)
		if (t.s[i] <= ' ' || t.s[i] >= 127 || strchr("\"(),/:;<=>?@[\\]{}", t.s[i]) != NULL)
			return false;
	return t.n > 0;
}

static struct text cut(struct text *t, char at)
{
	const char *found = memchr(t->s, at, t->n);
	struct text before = {t->s, found != NULL ? (size_t)(found - t->s) : 0};

	check(found != NULL);
	t->n -= before.n + 1;
	t->s = found + 1;
	return before;
}

static void read_request_line(struct model *m, struct text line)
{
	struct text method = cut(&line, ' '), target = cut(&line, ' ');

	check(is_token(method));
	check(target.n > 0 && memchr(target.s, '#', target.n) == NULL);
	for (size_t i = 0; i < target.n; i++)
		check(target.s[i] > ' ' && target.s[i] < 127);
	check(*target.s == '/' ? target.n == 1 || target.s[1] != '/' :
	      text_is(target, "*") || (target.n > 7 && strncasecmp(target.s, "http://", 7) == 0));
	check(line.n == 8 && memcmp(line.s, "HTTP/1.", 7) == 0 && line.s[7] >= '0' && line.s[7] <= '9');
	m->is_head = method.n == 4 && memcmp(method.s, "HEAD", 4) == 0; /* HEAd is another one */
}

static uint64_t read_number(struct text t, unsigned base)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t n = 0;

	check(t.n > 0);
	for (size_t i = 0; i < t.n; i++) {
		char c = (char)(t.s[i] >= 'A' && t.s[i] <= 'F' ? t.s[i] + 32 : t.s[i]);
		const char *digit = c != '\0' ? strchr(digits, c) : NULL;

		check(digit != NULL && digit < digits + base);
		n = n * base + (uint64_t)(digit - digits);
		check(n <= limits.max_body);
	}
	return n;
}

/* A whole head, or nothing. */
static bool read_head(struct model *m)
{
	const uint8_t *begin = m->p;
	unsigned n_lengths = 0, n_codings = 0;
	struct text line;

	m->chunked = false;
	m->length = m->body = 0;
	if (memmem(m->p, (size_t)(m->end - m->p), "\r\n\r\n", 4) == NULL || !line_next(m, &line))
		return false;
	read_request_line(m, line);
	while (line_next(m, &line) && line.n > 0) {
		struct text name = cut(&line, ':');

		check(is_token(name));
		for (; line.n > 0 && (*line.s == ' ' || *line.s == '\t'); line.n--)
			line.s++;
		while (line.n > 0 && (line.s[line.n - 1] == ' ' || line.s[line.n - 1] == '\t'))
			line.n--;
		if (text_is(name, "Content-Length")) {
			n_lengths++;
			m->length = read_number(line, 10);
		} else if (text_is(name, "Transfer-Encoding")) {
			n_codings++;
			m->chunked = text_is(line, "chunked");
			check(m->chunked);
		}
	}
	check(n_lengths + n_codings <= 1 && !(m->is_head && (m->chunked || m->length > 0)));
	check((size_t)(m->p - begin) <= limits.max_head);
	return true;
}

static bool read_bytes(struct model *m, uint64_t n)
{
	uint64_t there = (uint64_t)(m->end - m->p) < n ? (uint64_t)(m->end - m->p) : n;

	m->body += there;
	m->p += there;
	return there == n;
}

static bool read_chunks(struct model *m)
{
	struct text line;
	uint64_t n;

	do {
		if (!line_next(m, &line))
			return false;
		n = read_number(line, 16);
		if (!read_bytes(m, n) || m->end - m->p < 2)
			return false;
		check(memcmp(m->p, "\r\n", 2) == 0); /* no trailers: the gate drops them */
		m->p += 2;
	} while (n > 0);
	return true;
}

static void check_model(const struct guard_state *g, const struct buf *seen)
{
	struct model m = {.p = seen->data, .end = seen->data + seen->len};

	while (m.p < m.end && read_head(&m)) {
		m.n_heads++;
		if (!(m.chunked ? read_chunks(&m) : read_bytes(&m, m.length)))
			break;
		m.n_complete++;
	}
	check(m.n_heads == g->n_requests && m.n_complete == g->n_complete);
	if (m.n_heads > m.n_complete)
		check(m.body == g->body_seen || !m.chunked);
	if (g->ended)
		check(m.p == m.end); /* nothing is shown after the last one */
}

static void check_same(const struct guard_state *whole, const struct buf *seen_whole, const uint8_t *data,
		       size_t size, int step)
{
	struct guard_state parts;
	AUTO_BUF seen = BUF_INIT;

	feed(&parts, data, size, step, &seen);
	check(whole->verdict.status == parts.verdict.status && whole->verdict.why == parts.verdict.why);
	check(whole->n_complete == parts.n_complete && whole->n_requests == parts.n_requests);
	check(whole->ended == parts.ended && whole->state == parts.state);
	check(seen_whole->len == seen.len);
	check(seen.len == 0 || memcmp(seen_whole->data, seen.data, seen.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guard_state whole;
	AUTO_BUF seen = BUF_INIT;

	if (size == 0)
		return 0;
	feed(&whole, data + 1, size - 1, 0, &seen);
	check_same(&whole, &seen, data + 1, size - 1, data[0] % 8 + 1);
	check_same(&whole, &seen, data + 1, size - 1, -(int)data[0] - 1);
	if (seen.len > 0)
		check_model(&whole, &seen);
	if (whole.verdict.status)
		check(guard_feed(&whole, data, size) == 0);
	return 0;
}
