/* number.c: numbers in one look: digits go into 64 bits as they are scanned,
 * and most doubles are then one exact multiplication or division (Clinger's
 * fast path); the rest is strtod's, in the C locale. */
#define _GNU_SOURCE
#include "schema/number.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { EXP_MAX = 100000000 }; /* any larger exponent means the same */

static bool is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') <= 9;
}

/* More than 19 digits: only those from the first to the last that is not zero
 * count. n_int is the number of digits before the point. */
static void scan_long(struct number *n, const uint8_t *p, const uint8_t *end, int64_t n_int)
{
	int64_t at = 0, last = -1;
	uint64_t pending = 0;

	n->mant = 0;
	n->lossy = false;
	for (; p < end && (is_digit(*p) || *p == '.'); p++) {
		if (*p == '.')
			continue;
		if (*p == '0') {
			pending++;
		} else {
			if (n->mant == 0)
				pending = 0;
			for (uint64_t i = 0; i <= pending && !n->lossy; i++)
				n->lossy = __builtin_mul_overflow(n->mant, 10, &n->mant);
			n->lossy |= __builtin_add_overflow(n->mant, (uint64_t)(*p - '0'), &n->mant);
			if (n->lossy)
				n->mant = 1; /* anything but zero */
			pending = 0;
			last = at;
		}
		at++;
	}
	n->exp10 = last < 0 ? 0 : n_int - 1 - last;
}

/* The part after 'e'; NULL when there is no digit. */
static const uint8_t *scan_exponent(const uint8_t *p, const uint8_t *end, int64_t *out)
{
	bool negative = false;
	int64_t e = 0;

	if (p < end && (*p == '+' || *p == '-'))
		negative = *p++ == '-';
	if (p == end || !is_digit(*p))
		return NULL;
	for (; p < end && is_digit(*p); p++)
		if (e < EXP_MAX)
			e = e * 10 + (*p - '0');
	*out = negative ? -e : e;
	return p;
}

const uint8_t *number_scan(const uint8_t *p, const uint8_t *end, struct number *n)
{
	const uint8_t *digits, *start = p;
	int64_t n_int, n_frac = 0, e = 0;
	uint64_t mant = 0;

	n->negative = p < end && *p == '-';
	p += n->negative;
	digits = p;
	while (p < end && is_digit(*p))
		mant = mant * 10 + (uint64_t)(*p++ - '0');
	n_int = p - digits;
	if (n_int == 0 || (n_int > 1 && *digits == '0'))
		return NULL;
	if (p < end && *p == '.') {
		const uint8_t *frac = ++p;

		while (p < end && is_digit(*p))
			mant = mant * 10 + (uint64_t)(*p++ - '0');
		n_frac = p - frac;
		if (n_frac == 0)
			return NULL;
	}
	n->mant = mant;
	n->lossy = false;
	n->exp10 = -n_frac;
	if (n_int + n_frac > 19)
		scan_long(n, digits, p, n_int);
	if (p < end && (*p | 0x20) == 'e') {
		p = scan_exponent(p + 1, end, &e);
		if (p == NULL)
			return NULL;
		n->exp10 += e;
	}
	n->text = (struct bytes){start, (size_t)(p - start)};
	return p;
}

/* The magnitude, when it is a whole number. */
static enum number_result to_magnitude(const struct number *n, uint64_t *out)
{
	uint64_t v = n->mant;
	int64_t e = n->exp10;

	if (v == 0) {
		*out = 0;
		return NUMBER_OK;
	}
	if (n->lossy)
		return e < 0 ? NUMBER_NOT_INTEGER : NUMBER_OUT_OF_RANGE;
	for (; e < 0; e++) {
		if (v % 10 != 0)
			return NUMBER_NOT_INTEGER;
		v /= 10;
	}
	for (; e > 0; e--)
		if (__builtin_mul_overflow(v, 10, &v))
			return NUMBER_OUT_OF_RANGE;
	*out = v;
	return NUMBER_OK;
}

enum number_result number_to_int(const struct number *n, int64_t min, int64_t max, int64_t *out)
{
	uint64_t v;
	enum number_result res = to_magnitude(n, &v);

	if (res != NUMBER_OK)
		return res;
	if (v > (n->negative ? 0 - (uint64_t)min : (uint64_t)max))
		return NUMBER_OUT_OF_RANGE;
	*out = (int64_t)(n->negative ? 0 - v : v);
	return NUMBER_OK;
}

enum number_result number_to_uint(const struct number *n, uint64_t max, uint64_t *out)
{
	enum number_result res = to_magnitude(n, out);

	if (res == NUMBER_OK && (*out > max || (n->negative && *out != 0)))
		return NUMBER_OUT_OF_RANGE;
	return res;
}

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* By the C library, on a copy that ends in NUL. */
static double by_library(const struct number *n, bool single)
{
	char small[64], *text = small;
	double d;

	pthread_once(&c_locale_once, make_c_locale);
	if (n->text.len >= sizeof small)
		text = xmalloc(n->text.len + 1);
	memcpy(text, n->text.data, n->text.len);
	text[n->text.len] = '\0';
	d = single ? (double)strtof_l(text, NULL, c_locale) : strtod_l(text, NULL, c_locale);
	if (text != small)
		free(text);
	return d;
}

enum number_result number_to_double(const struct number *n, double *out)
{
	static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
					1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

	if (!n->lossy && n->mant <= 1ULL << 53 && n->exp10 >= -22 && n->exp10 <= 22) {
		double d = (double)n->mant;

		d = n->exp10 < 0 ? d / powers[-n->exp10] : d * powers[n->exp10];
		*out = n->negative ? -d : d;
		return NUMBER_OK;
	}
	*out = by_library(n, false);
	return isinf(*out) ? NUMBER_OUT_OF_RANGE : NUMBER_OK;
}

enum number_result number_to_float(const struct number *n, float *out)
{
	static const float powers[] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f, 1e8f, 1e9f, 1e10f};

	if (!n->lossy && n->mant <= 1ULL << 24 && n->exp10 >= -10 && n->exp10 <= 10) {
		float f = (float)n->mant;

		f = n->exp10 < 0 ? f / powers[-n->exp10] : f * powers[n->exp10];
		*out = n->negative ? -f : f;
		return NUMBER_OK;
	}
	*out = (float)by_library(n, true);
	return isinf(*out) ? NUMBER_OUT_OF_RANGE : NUMBER_OK;
}
