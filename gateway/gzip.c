/* See gzip.h. Level 1: bodies are small and packed while the loop waits; it takes
 * half the time of level 6 for a tenth more bytes. */
#define _GNU_SOURCE
#include "gateway/gzip.h"

#include <stdlib.h>
#include <zlib.h>

enum {
	WINDOW_GZIP = 15 + 16, /* the largest window, gzip's header */
	LEVEL = 1,
	MEMORY = 8,
	STEP_MIN = 16 * 1024,
	RATIO_FREE = 1 << 20,  /* so much may come out at any ratio */
	RATIO_MAX = 100,
	PACK_MAX = 1 << 30,    /* zlib counts in 32 bits */
};

struct gzip {
	z_stream pack, unpack;
	bool can_pack, can_unpack; /* made at the first use */
};

struct gzip *gzip_new(void)
{
	return xcalloc(1, sizeof(struct gzip));
}

struct gzip *gzip_free(struct gzip *g)
{
	if (g == NULL)
		return NULL;
	if (g->can_pack)
		deflateEnd(&g->pack);
	if (g->can_unpack)
		inflateEnd(&g->unpack);
	free(g);
	return NULL;
}

/* --- unpacking --- */

static bool unpack_begin(struct gzip *g)
{
	if (g->can_unpack)
		return inflateReset(&g->unpack) == Z_OK;
	g->can_unpack = inflateInit2(&g->unpack, WINDOW_GZIP) == Z_OK;
	return g->can_unpack;
}

/* Room for the next step: as much as there is already, but never past max by more
 * than the byte that shows it. */
static bool unpack_room(z_stream *z, size_t done, size_t max, struct buf *out)
{
	size_t step = MIN(MAX(done, (size_t)STEP_MIN), max - done + 1);

	z->next_out = buf_reserve(out, step);
	z->avail_out = (uInt)MIN(step, (size_t)1 << 30);
	return z->next_out != NULL;
}

static enum gzip_verdict unpack_judge(const z_stream *z, size_t in, size_t done, size_t max)
{
	if (done > max)
		return GZIP_TOO_BIG;
	return done > RATIO_FREE && done / RATIO_MAX > in - z->avail_in ? GZIP_BOMB : GZIP_DONE;
}

enum gzip_verdict gzip_unpack(struct gzip *g, struct bytes in, size_t max, struct buf *out)
{
	const size_t start = out->len;
	enum gzip_verdict verdict;
	z_stream *z = &g->unpack;
	int r;

	if (in.len > UINT32_MAX || !unpack_begin(g))
		return GZIP_BROKEN;
	z->next_in = (Bytef *)(uintptr_t)in.data;
	z->avail_in = (uInt)in.len;
	do {
		if (!unpack_room(z, out->len - start, max, out))
			return GZIP_TOO_BIG;
		r = inflate(z, Z_NO_FLUSH);
		out->len = (size_t)(z->next_out - out->data);
		verdict = unpack_judge(z, in.len, out->len - start, max);
		if (verdict != GZIP_DONE)
			return verdict;
		if (r == Z_STREAM_END && z->avail_in != 0 && inflateReset(z) == Z_OK)
			r = Z_OK; /* the next member; what is none is broken */
	} while (r == Z_OK);
	return r == Z_STREAM_END ? GZIP_DONE : GZIP_BROKEN;
}

/* --- packing --- */

static bool pack_begin(struct gzip *g)
{
	if (g->can_pack)
		return deflateReset(&g->pack) == Z_OK;
	g->can_pack = deflateInit2(&g->pack, LEVEL, Z_DEFLATED, WINDOW_GZIP, MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
	return g->can_pack;
}

static bool pack_into(struct gzip *g, struct bytes in, size_t room, struct buf *out)
{
	z_stream *z = &g->pack;

	z->next_in = (Bytef *)(uintptr_t)in.data;
	z->avail_in = (uInt)in.len;
	z->next_out = buf_reserve(out, room);
	z->avail_out = (uInt)room;
	if (z->next_out == NULL || deflate(z, Z_FINISH) != Z_STREAM_END)
		return false;
	out->len += room - z->avail_out;
	return true;
}

bool gzip_pack(struct gzip *g, struct bytes in, struct buf *out)
{
	return in.len != 0 && in.len <= PACK_MAX && pack_begin(g) && pack_into(g, in, in.len - 1, out);
}

bool gzip_pack_anyhow(struct gzip *g, struct bytes in, struct buf *out)
{
	return in.len <= PACK_MAX && pack_begin(g) && pack_into(g, in, deflateBound(&g->pack, in.len), out);
}
