#include "wire/outq.h"

#include "base/util.h"
#include "errand/status.h"

enum {
	COMPACT_MIN = 4096,     /* smaller gaps in front are not worth a memmove */
	KEEP_MAX = 256 * 1024,  /* more memory than this is given back when empty */
};

void outq_deinit(struct outq *q)
{
	buf_deinit(&q->b);
	*q = (struct outq){0};
}

size_t frame_open(struct buf *b)
{
	size_t start = b->len;

	if (buf_reserve(b, FRAME_HEADER) != NULL)
		b->len += FRAME_HEADER;
	return start;
}

int frame_close(struct buf *b, size_t start, const struct frame *f)
{
	struct frame whole = *f;
	int err = 0;

	if (buf_failed(b))
		err = -ERRAND_INTERNAL;
	else if (b->len - start - FRAME_HEADER > FRAME_MAX)
		err = -ERRAND_RESOURCE_EXHAUSTED;
	if (err < 0) {
		b->len = start;
		b->failed = false;
		return err;
	}
	whole.length = (uint32_t)(b->len - start - FRAME_HEADER);
	frame_pack(&whole, b->data + start);
	return 0;
}

/* Each memmove is paid for by as many bytes written since the last one. */
void outq_compact(struct outq *q)
{
	if (q->head >= COMPACT_MIN && q->head >= q->b.len - q->head) {
		buf_consume(&q->b, q->head);
		q->head = 0;
	}
}

size_t outq_open(struct outq *q)
{
	outq_compact(q);
	return frame_open(&q->b);
}

int outq_close(struct outq *q, size_t start, const struct frame *f)
{
	int err = frame_close(&q->b, start, f);

	if (err == 0)
		q->n_taken += q->b.len - start;
	return err;
}

int outq_put(struct outq *q, const struct frame *f, const void *payload, size_t len)
{
	size_t start = outq_open(q);

	buf_append(&q->b, payload, len);
	return outq_close(q, start, f);
}

void outq_sent(struct outq *q, size_t n)
{
	struct frame f;

	q->n_sent += n;
	while (n > 0) {
		size_t take;

		if (q->partial == 0) {
			frame_unpack(q->b.data + q->head, &f);
			q->partial = FRAME_HEADER + (size_t)f.length;
		}
		take = MIN(n, q->partial);
		q->partial -= take;
		q->head += take;
		n -= take;
	}
	if (q->head < q->b.len)
		return;
	q->head = 0;
	if (q->b.cap > KEEP_MAX)
		buf_deinit(&q->b);
	else
		buf_reset(&q->b);
}
