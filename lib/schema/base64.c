/* base64.c: bytes fields. Any thread. */
#include "schema/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define ROW4(c, v) [c] = (v) + 1, [(c) + 1] = (v) + 2, [(c) + 2] = (v) + 3, [(c) + 3] = (v) + 4
#define ROW12(c, v) ROW4(c, v), ROW4((c) + 4, (v) + 4), ROW4((c) + 8, (v) + 8)
#define ROW26(c, v) ROW12(c, v), ROW12((c) + 12, (v) + 12), [(c) + 24] = (v) + 25, [(c) + 25] = (v) + 26

/* Value + 1; 0 = not base64. */
static const uint8_t values[256] = {
	ROW26('A', 0), ROW26('a', 26), ROW4('0', 52), ROW4('4', 56), ['8'] = 61, ['9'] = 62,
	['+'] = 63, ['-'] = 63, ['/'] = 64, ['_'] = 64,
};

/* Up to three characters at the end. */
static bool decode_tail(uint8_t **wp, const uint8_t *p, size_t n)
{
	uint32_t v = 0;

	for (size_t i = 0; i < n; i++) {
		if (values[p[i]] == 0)
			return false;
		v |= (uint32_t)(values[p[i]] - 1) << (18 - 6 * i);
	}
	if (n == 1)
		return false;
	if (n >= 2)
		*(*wp)++ = (uint8_t)(v >> 16);
	if (n >= 3)
		*(*wp)++ = (uint8_t)(v >> 8);
	return true;
}

bool base64_decode(struct buf *out, struct bytes text)
{
	const uint8_t *p = text.data;
	size_t n = text.len;
	uint8_t *w = buf_reserve(out, n / 4 * 3 + 3);

	if (w == NULL)
		return false;
	if (n > 0 && n % 4 == 0 && p[n - 1] == '=')
		n -= p[n - 2] == '=' ? 2 : 1;
	for (; n >= 4; n -= 4, p += 4) {
		uint8_t a = values[p[0]], b = values[p[1]], c = values[p[2]], d = values[p[3]];
		uint32_t v;

		if (a == 0 || b == 0 || c == 0 || d == 0)
			return false;
		v = (uint32_t)(a - 1) << 18 | (uint32_t)(b - 1) << 12 | (uint32_t)(c - 1) << 6 |
		    (uint32_t)(d - 1);
		*w++ = (uint8_t)(v >> 16);
		*w++ = (uint8_t)(v >> 8);
		*w++ = (uint8_t)v;
	}
	if (!decode_tail(&w, p, n))
		return false;
	out->len = (size_t)(w - out->data);
	return true;
}

void base64_encode(struct buf *out, struct bytes data)
{
	const uint8_t *p = data.data;
	size_t n = data.len;
	uint8_t *w = buf_reserve(out, (n + 2) / 3 * 4 + 1);

	if (w == NULL)
		return;
	for (; n >= 3; n -= 3, p += 3) {
		uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];

		*w++ = (uint8_t)alphabet[v >> 18];
		*w++ = (uint8_t)alphabet[v >> 12 & 63];
		*w++ = (uint8_t)alphabet[v >> 6 & 63];
		*w++ = (uint8_t)alphabet[v & 63];
	}
	if (n > 0) {
		uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0);

		*w++ = (uint8_t)alphabet[v >> 18];
		*w++ = (uint8_t)alphabet[v >> 12 & 63];
		*w++ = n > 1 ? (uint8_t)alphabet[v >> 6 & 63] : '=';
		*w++ = '=';
	}
	out->len = (size_t)(w - out->data);
}
