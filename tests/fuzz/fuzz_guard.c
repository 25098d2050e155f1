/* fuzz_guard: the gate fed the same bytes whole and in pieces. Checked: verdict,
 * counts and what evhttp would see are the same; a refusal is final; what it lets
 * through has no byte that could mislead a parser behind it.
 *
 * Input: byte 0 chooses the pieces, the rest is the connection. */
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

static void feed(struct guard_state *g, const uint8_t *p, size_t n, size_t step, struct buf *seen)
{
	guard_init(g, &limits);
	while (n > 0 && !g->verdict.status) {
		size_t len = step > 0 && step < n ? step : n;

		take(g, p, len, seen);
		p += len;
		n -= len;
	}
	check(g->n_complete <= g->n_requests && g->body_seen <= limits.max_body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct guard_state whole, parts;
	AUTO_BUF seen_whole = BUF_INIT;
	AUTO_BUF seen_parts = BUF_INIT;

	if (size == 0)
		return 0;
	feed(&whole, data + 1, size - 1, 0, &seen_whole);
	feed(&parts, data + 1, size - 1, data[0] % 8 + 1, &seen_parts);
	check(whole.verdict.status == parts.verdict.status && whole.verdict.why == parts.verdict.why);
	check(whole.n_complete == parts.n_complete && whole.n_requests == parts.n_requests);
	check(whole.ended == parts.ended && whole.state == parts.state);
	check(seen_whole.len == seen_parts.len);
	check(seen_whole.len == 0 || memcmp(seen_whole.data, seen_parts.data, seen_whole.len) == 0);
	if (whole.verdict.status)
		check(guard_feed(&whole, data, size) == 0);
	return 0;
}
