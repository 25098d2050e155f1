/* buf.h: a growable run of bytes.
 *
 * Appends never report an error by themselves: a failed allocation sets
 * `failed`, later appends do nothing, and the one who finishes the buffer asks
 * buf_failed() once. So building code has no error branches and the client
 * library can still return ENOMEM. Not thread-safe. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>

#include "base/util.h"

struct buf {
	uint8_t *data; /* owned; NULL while empty */
	size_t len;    /* bytes in use */
	size_t cap;    /* bytes allocated */
	bool failed;   /* an allocation failed; the content is not whole */
};

#define BUF_INIT ((struct buf){0})
#define AUTO_BUF __attribute__((cleanup(buf_deinit))) struct buf

void buf_deinit(struct buf *b);

/* Empties the buffer and keeps its memory; clears `failed`. */
static inline void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

static inline bool buf_failed(const struct buf *b)
{
	return b->failed;
}

int buf_grow(struct buf *b, size_t more);
/* From now on a failed allocation ends the process, as xmalloc's: for daemons, which
 * would store or send what is not whole. Before there are threads. */
void buf_failures_are_fatal(void);

/* Room for `more` bytes at data + len, or NULL (failed is set). The caller
 * writes there and adds to len itself. */
static inline uint8_t *buf_reserve(struct buf *b, size_t more)
{
	if (b->cap - b->len < more && buf_grow(b, more) < 0)
		return NULL;
	return b->data + b->len;
}

static inline void buf_append(struct buf *b, const void *data, size_t len)
{
	uint8_t *p;

	if (len == 0 || (p = buf_reserve(b, len)) == NULL)
		return;
	memcpy(p, data, len);
	b->len += len;
}

static inline void buf_append_byte(struct buf *b, uint8_t byte)
{
	uint8_t *p = buf_reserve(b, 1);

	if (p == NULL)
		return;
	*p = byte;
	b->len++;
}

static inline void buf_append_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/* Drops the first n bytes (n <= len) by moving the rest down. */
void buf_consume(struct buf *b, size_t n);

/* NUL-terminates without counting the NUL in len; "" when failed. */
const char *buf_cstr(struct buf *b);

/* Gives the bytes to the caller (free() them) and empties the buffer. */
uint8_t *buf_take(struct buf *b, size_t *lenp);

static inline struct bytes buf_bytes(const struct buf *b)
{
	return (struct bytes){b->data, b->len};
}

#endif
