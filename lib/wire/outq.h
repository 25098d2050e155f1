/* outq.h: a queue of whole frames waiting to be written. Frames are built in
 * place; what has been written is dropped from the front without moving the rest
 * each time. It knows how much of a begun frame is left, so that the conn can
 * finish it before another queue has its turn. One thread. Private to conn.c. */
#ifndef WIRE_OUTQ_H
#define WIRE_OUTQ_H

#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "wire/frame.h"

struct outq {
	struct buf b;     /* frames; those before head have been written */
	size_t head;      /* offset in b of the first byte not yet written */
	size_t partial;   /* bytes left of a frame that was written in part */
	uint64_t n_taken; /* bytes ever queued */
	uint64_t n_sent;  /* bytes ever written */
};

void outq_deinit(struct outq *q);

static inline size_t outq_pending(const struct outq *q)
{
	return q->b.len - q->head;
}

/* Builds a frame at the end of b: open, append the payload to b, close with the
 * value open gave. close takes the frame back on failure: -ERRAND_INTERNAL out of
 * memory, -ERRAND_RESOURCE_EXHAUSTED over FRAME_MAX. f->length is ignored. */
size_t frame_open(struct buf *b);
int frame_close(struct buf *b, size_t start, const struct frame *f);

/* Drops what has been written when that is worth it; before anything is queued. */
void outq_compact(struct outq *q);
/* open and close for a queue. */
size_t outq_open(struct outq *q);
int outq_close(struct outq *q, size_t start, const struct frame *f);
/* Both at once, with a payload that is there already (copied). */
int outq_put(struct outq *q, const struct frame *f, const void *payload, size_t len);

/* n <= outq_pending bytes from the front have been written. */
void outq_sent(struct outq *q, size_t n);

#endif
