/* json_scan.h: the inner loops that reading and writing JSON share: runs of
 * plain bytes, one UTF-8 sequence, digits. Sixteen or eight bytes a step where
 * the machine allows it; never reads past `end`. */
#ifndef BASE_JSON_SCAN_H
#define BASE_JSON_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define JSON_ONES 0x0101010101010101ULL
#define JSON_HIGH 0x8080808080808080ULL

/* Plain: stands for itself inside a JSON string and is one byte of UTF-8. */
static inline int json_is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The first byte in p .. end that is not plain, or end. */
static inline const uint8_t *json_skip_plain(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
	while (end - p >= 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* signed: bytes from 0x80 are below 0x20 as well */
		__m128i bad = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
			_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
				     _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
		unsigned mask = (unsigned)_mm_movemask_epi8(bad);

		if (mask != 0)
			return p + __builtin_ctz(mask);
		p += 16;
	}
#endif
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	while (end - p >= 8) {
		uint64_t v, mask;

		memcpy(&v, p, 8);
		/* A borrow can only spoil bytes after the first hit. */
		mask = ((v - JSON_ONES * 0x20) | ((v ^ JSON_ONES * '"') - JSON_ONES) |
			((v ^ JSON_ONES * '\\') - JSON_ONES) | v) & JSON_HIGH;
		if (mask != 0)
			return p + __builtin_ctzll(mask) / 8;
		p += 8;
	}
#endif
	while (p < end && json_is_plain(*p))
		p++;
	return p;
}

/* Bytes of the UTF-8 sequence at p (p < end, *p >= 0x80), or 0 when it is not
 * one: table 3-7 of the Unicode standard. */
static inline size_t json_utf8_sequence(const uint8_t *p, const uint8_t *end)
{
	uint8_t c = p[0];
	size_t left = (size_t)(end - p);

	if (c < 0xc2 || c > 0xf4 || left < 2)
		return 0;
	if (c < 0xe0)
		return (p[1] & 0xc0) == 0x80 ? 2 : 0;
	if (c < 0xf0) {
		if (left < 3 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80)
			return 0;
		if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f))
			return 0;
		return 3;
	}
	if (left < 4 || (p[1] & 0xc0) != 0x80 || (p[2] & 0xc0) != 0x80 ||
	    (p[3] & 0xc0) != 0x80)
		return 0;
	if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f))
		return 0;
	return 4;
}

/* Decimal digits of v at p (room for 20); returns the end. */
uint8_t *json_write_uint(uint8_t *p, uint64_t v);

#endif
