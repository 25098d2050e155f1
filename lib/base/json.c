/* json.c: JSON text out. Strings are copied run by run; integers come from a
 * table of digit pairs; doubles try the few-decimal forms that people write
 * before asking printf. Any thread. */
#define _GNU_SOURCE
#include "base/json.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include "base/json_scan.h"

enum { NUMBER_MAX = 32 }; /* longest number text: -1.2345678901234567e-308 */

static const char pairs[201] =
	"00010203040506070809101112131415161718192021222324252627282930313233343536373839"
	"40414243444546474849505152535455565758596061626364656667686970717273747576777879"
	"8081828384858687888990919293949596979899";

static const char hex[] = "0123456789abcdef";

uint8_t *json_write_uint(uint8_t *p, uint64_t v)
{
	uint8_t tmp[20], *q = tmp + sizeof tmp;

	while (v >= 100) {
		q -= 2;
		memcpy(q, pairs + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10) {
		q -= 2;
		memcpy(q, pairs + v * 2, 2);
	} else {
		*--q = (uint8_t)('0' + v);
	}
	memcpy(p, q, (size_t)(tmp + sizeof tmp - q));
	return p + (tmp + sizeof tmp - q);
}

/* One byte that is not plain and not the start of a sequence. At most 6 bytes. */
static uint8_t *write_escape(uint8_t *w, uint8_t c)
{
	static const char named[0x20] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n',
					 ['\f'] = 'f', ['\r'] = 'r'};

	if (c >= 0x80) {
		memcpy(w, "\xef\xbf\xbd", 3); /* U+FFFD */
		return w + 3;
	}
	*w++ = '\\';
	if (c >= 0x20) {
		*w++ = c;
	} else if (named[c]) {
		*w++ = (uint8_t)named[c];
	} else {
		memcpy(w, "u00", 3);
		w[3] = (uint8_t)hex[c >> 4];
		w[4] = (uint8_t)hex[c & 15];
		w += 5;
	}
	return w;
}

/* Invariant: what is reserved holds the rest of the input as it is, and 8 bytes. */
void json_put_string(struct buf *b, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s, *end = len ? p + len : p;
	uint8_t *w = buf_reserve(b, len + 8);

	if (w == NULL)
		return;
	*w++ = '"';
	while (p < end) {
		const uint8_t *q = json_skip_plain(p, end);
		size_t n;

		memcpy(w, p, (size_t)(q - p));
		w += q - p;
		p = q;
		while (p < end && *p >= 0x80 && (n = json_utf8_sequence(p, end)) != 0)
			while (n-- > 0)
				*w++ = *p++;
		if (p == end)
			break;
		if (json_is_plain(*p))
			continue;
		w = write_escape(w, *p++);
		b->len = (size_t)(w - b->data);
		w = buf_reserve(b, (size_t)(end - p) + 8);
		if (w == NULL)
			return;
	}
	*w++ = '"';
	b->len = (size_t)(w - b->data);
}

void json_put_cstr(struct buf *b, const char *s)
{
	json_put_string(b, s, strlen(s));
}

void json_put_uint(struct buf *b, uint64_t v)
{
	uint8_t *p = buf_reserve(b, 20);

	if (p != NULL)
		b->len += (size_t)(json_write_uint(p, v) - p);
}

void json_put_int(struct buf *b, int64_t v)
{
	uint8_t *p = buf_reserve(b, 21), *w = p;

	if (p == NULL)
		return;
	if (v < 0)
		*w++ = '-';
	w = json_write_uint(w, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
	b->len += (size_t)(w - p);
}

/* --- floating point --- */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* n / 10^decimals as plain text, without trailing zeros being possible: the
 * caller takes the smallest number of decimals that works. */
static uint8_t *write_decimal(uint8_t *w, uint64_t n, unsigned decimals)
{
	uint8_t tmp[24];
	size_t len = (size_t)(json_write_uint(tmp, n) - tmp);

	if (decimals == 0) {
		memcpy(w, tmp, len);
		return w + len;
	}
	if (len <= decimals) {
		*w++ = '0';
		*w++ = '.';
		memset(w, '0', decimals - len);
		w += decimals - len;
		memcpy(w, tmp, len);
		return w + len;
	}
	memcpy(w, tmp, len - decimals);
	w += len - decimals;
	*w++ = '.';
	memcpy(w, tmp + len - decimals, decimals);
	return w + decimals;
}

/* By printf, with the fewest digits that read back as v. */
static uint8_t *write_probing(uint8_t *w, double v, bool single)
{
	int n = 0, digits = single ? 6 : 15;
	locale_t old;

	pthread_once(&c_locale_once, make_c_locale);
	old = uselocale(c_locale);
	/* subnormal numbers have few digits */
	if (v < (single ? (double)FLT_MIN : DBL_MIN))
		digits = 1;
	for (; digits <= (single ? 9 : 17); digits++) {
		n = snprintf((char *)w, NUMBER_MAX, "%.*g", digits, v);
		if (single ? strtof((char *)w, NULL) == (float)v
			   : strtod((char *)w, NULL) == v)
			break;
	}
	uselocale(old);
	return w + n;
}

static bool put_special(struct buf *b, double v)
{
	if (isfinite(v))
		return false;
	buf_append_str(b, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	return true;
}

/* A quotient of two exact numbers is rounded once, as reading the text would be:
 * so n / 10^k == v proves that the text n, k reads back as v. The first k that
 * does has the fewest digits. */
static uint8_t *write_double(uint8_t *w, double v)
{
	static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8,
					1e9, 1e10, 1e11, 1e12};

	for (unsigned k = 0; k < ARRAY_LEN(powers); k++) {
		double scaled = v * powers[k];
		uint64_t n;

		if (scaled >= 1e15)
			break;
		n = (uint64_t)(scaled + 0.5);
		if (n != 0 && (double)n / powers[k] == v)
			return write_decimal(w, n, k);
	}
	return write_probing(w, v, false);
}

static uint8_t *write_float(uint8_t *w, float v)
{
	static const float powers[] = {1, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f};

	for (unsigned k = 0; k < ARRAY_LEN(powers); k++) {
		double scaled = (double)v * (double)powers[k];
		uint32_t n;

		if (scaled >= 16777216)
			break;
		n = (uint32_t)(scaled + 0.5);
		if (n != 0 && (float)n / powers[k] == v)
			return write_decimal(w, n, k);
	}
	return write_probing(w, (double)v, true);
}

void json_put_double(struct buf *b, double v)
{
	uint8_t *p, *w;

	if (put_special(b, v) || (p = buf_reserve(b, NUMBER_MAX)) == NULL)
		return;
	w = p;
	if (signbit(v))
		*w++ = '-';
	if (v == 0)
		*w++ = '0';
	else
		w = write_double(w, fabs(v));
	b->len += (size_t)(w - p);
}

void json_put_float(struct buf *b, float v)
{
	uint8_t *p, *w;

	if (put_special(b, (double)v) || (p = buf_reserve(b, NUMBER_MAX)) == NULL)
		return;
	w = p;
	if (signbit(v))
		*w++ = '-';
	if (v == 0)
		*w++ = '0';
	else
		w = write_float(w, fabsf(v));
	b->len += (size_t)(w - p);
}

size_t json_utf8_valid(const uint8_t *s, size_t len)
{
	const uint8_t *p = s, *end = len ? s + len : s;

	while (p < end) {
		uint64_t v;
		size_t n;

		if (end - p >= 8) {
			memcpy(&v, p, 8);
			if ((v & JSON_HIGH) == 0) {
				p += 8;
				continue;
			}
		}
		if (*p < 0x80) {
			p++;
			continue;
		}
		n = json_utf8_sequence(p, end);
		if (n == 0)
			break;
		p += n;
	}
	return (size_t)(p - s);
}
