/* digits.c: see digits.h. */
#include "base/digits.h"

char *decimal_put(char *to, uint64_t v)
{
	char digits[DECIMAL_MAX];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	while (n > 0)
		*to++ = digits[--n];
	return to;
}

char *hex_put(char *to, const uint8_t *from, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++, to += 2) {
		to[0] = digits[from[i] >> 4];
		to[1] = digits[from[i] & 15];
	}
	return to;
}

/* 16 for what is none. */
static unsigned digit(char c)
{
	return c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

bool hex_read(const char *from, uint8_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned high = digit(from[2 * i]), low;

		if (high > 15 || (low = digit(from[2 * i + 1])) > 15)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
