#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUF_MIN = 64 };

static bool fatal; /* written before there are threads */

void buf_failures_are_fatal(void)
{
	fatal = true;
}

void buf_deinit(struct buf *b)
{
	free(b->data);
	*b = BUF_INIT;
}

/* Doubles, so that n appends cost O(n). */
int buf_grow(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : BUF_MIN;
	uint8_t *p;

	if (b->failed || more > SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return -1;
	}
	while (cap < b->len + more)
		cap *= 2;
	p = fatal ? xrealloc(b->data, cap) : realloc(b->data, cap);
	if (p == NULL) {
		b->failed = true;
		return -1;
	}
	b->data = p;
	b->cap = cap;
	return 0;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || buf_reserve(b, (size_t)n + 1) == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

const char *buf_cstr(struct buf *b)
{
	uint8_t *p = buf_reserve(b, 1);

	if (p == NULL)
		return "";
	*p = 0;
	return (const char *)b->data;
}

uint8_t *buf_take(struct buf *b, size_t *lenp)
{
	uint8_t *data = b->data;

	*lenp = b->len;
	*b = BUF_INIT;
	return data;
}
