/* wellknown.c: see wellknown.h. Dates are proleptic Gregorian, by the day-count
 * arithmetic of 400-year eras. */
#include "schema/wellknown.h"

#include "base/json_scan.h"

#define TIMESTAMP_MIN (-62135596800LL) /* 0001-01-01 */
#define TIMESTAMP_MAX 253402300799LL   /* 9999-12-31T23:59:59 */
#define DURATION_MAX 315576000000LL    /* 10,000 years */

enum { DAY_S = 86400, DAYS_PER_ERA = 146097, EPOCH_DAY = 719468 };

/* Days since 1970-01-01; years begin in March here, so that leap days come last. */
static int64_t days_of(int64_t y, int64_t m, int64_t d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = y / 400;
	yoe = y - era * 400;
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	return era * DAYS_PER_ERA + yoe * 365 + yoe / 4 - yoe / 100 + doy - EPOCH_DAY;
}

static void date_of(int64_t days, int64_t *y, int64_t *m, int64_t *d)
{
	int64_t z = days + EPOCH_DAY, era = z / DAYS_PER_ERA, doe = z - era * DAYS_PER_ERA;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = yoe + era * 400 + (*m <= 2);
}

static bool is_digit(uint8_t c)
{
	return (uint8_t)(c - '0') <= 9;
}

/* Exactly n digits; -1 when there are none. */
static int64_t take_digits(struct bytes *t, size_t n)
{
	int64_t v = 0;

	if (t->len < n)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(t->data[i]))
			return -1;
		v = v * 10 + (t->data[i] - '0');
	}
	t->data += n;
	t->len -= n;
	return v;
}

static bool take(struct bytes *t, char c)
{
	if (t->len == 0 || t->data[0] != (uint8_t)c)
		return false;
	t->data++;
	t->len--;
	return true;
}

/* ".123" as nanoseconds; nothing is 0; -1 for no digit or more than nine. */
static int64_t take_fraction(struct bytes *t)
{
	int64_t v = 0;
	size_t n = 0;

	if (!take(t, '.'))
		return 0;
	for (; t->len > 0 && is_digit(t->data[0]); n++, t->data++, t->len--)
		v = n < 9 ? v * 10 + (t->data[0] - '0') : v;
	if (n == 0 || n > 9)
		return -1;
	for (; n < 9; n++)
		v *= 10;
	return v;
}

/* "Z" or "+01:30" in seconds east; false when it is neither. */
static bool take_offset(struct bytes *t, int64_t *s)
{
	bool west;
	int64_t h, m;

	*s = 0;
	if (take(t, 'Z'))
		return true;
	west = take(t, '-');
	if (!west && !take(t, '+'))
		return false;
	h = take_digits(t, 2);
	if (!take(t, ':'))
		return false;
	m = take_digits(t, 2);
	if (h < 0 || h > 23 || m < 0 || m > 59)
		return false;
	*s = (h * 60 + m) * 60 * (west ? -1 : 1);
	return true;
}

static int64_t month_days(int64_t y, int64_t m)
{
	static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);

	return m == 2 && leap ? 29 : days[m - 1];
}

const char *timestamp_parse(struct bytes t, int64_t *s, int32_t *nanos)
{
	static const char form[] = "a time like 2026-01-31T12:00:00Z";
	int64_t y, mon, d, h, min, sec, frac, offset;
	bool whole;

	y = take_digits(&t, 4);
	whole = take(&t, '-');
	mon = take_digits(&t, 2);
	whole = take(&t, '-') && whole;
	d = take_digits(&t, 2);
	whole = take(&t, 'T') && whole;
	h = take_digits(&t, 2);
	whole = take(&t, ':') && whole;
	min = take_digits(&t, 2);
	whole = take(&t, ':') && whole;
	sec = take_digits(&t, 2);
	frac = take_fraction(&t);
	whole = take_offset(&t, &offset) && t.len == 0 && whole;
	if (!whole || y < 0 || mon < 0 || d < 0 || h < 0 || min < 0 || sec < 0 || frac < 0)
		return form;
	if (mon < 1 || mon > 12 || d < 1 || d > month_days(y, mon) || h > 23 || min > 59 || sec > 59)
		return "a date and time that exist";
	*s = days_of(y, mon, d) * DAY_S + h * 3600 + min * 60 + sec - offset;
	*nanos = (int32_t)frac;
	if (y < 1 || *s < TIMESTAMP_MIN || *s > TIMESTAMP_MAX)
		return "a time of the years 1 to 9999";
	return NULL;
}

const char *duration_parse(struct bytes t, int64_t *s, int32_t *nanos)
{
	static const char form[] = "a duration like 1.5s";
	bool negative = take(&t, '-');
	int64_t v = 0, frac;
	size_t n = 0;

	for (; t.len > 0 && is_digit(t.data[0]); n++, t.data++, t.len--)
		v = v > DURATION_MAX ? v : v * 10 + (t.data[0] - '0');
	frac = take_fraction(&t);
	if (n == 0 || frac < 0 || !take(&t, 's') || t.len > 0)
		return form;
	if (v > DURATION_MAX)
		return "a duration of at most 10,000 years";
	*s = negative ? -v : v;
	*nanos = (int32_t)(negative ? -frac : frac);
	return NULL;
}

/* At least n digits. */
static uint8_t *put_digits(uint8_t *w, int64_t v, int n)
{
	for (int i = n - 1; i >= 0; i--, v /= 10)
		w[i] = (uint8_t)('0' + v % 10);
	return w + n;
}

/* 0, 3, 6 or 9 digits. */
static uint8_t *put_fraction(uint8_t *w, int32_t nanos)
{
	if (nanos == 0)
		return w;
	*w++ = '.';
	if (nanos % 1000000 == 0)
		return put_digits(w, nanos / 1000000, 3);
	if (nanos % 1000 == 0)
		return put_digits(w, nanos / 1000, 6);
	return put_digits(w, nanos, 9);
}

bool timestamp_format(struct buf *b, int64_t s, int32_t nanos)
{
	int64_t days, rest, y, m, d;
	uint8_t *w;

	if (s < TIMESTAMP_MIN || s > TIMESTAMP_MAX || nanos < 0 || nanos > 999999999)
		return false;
	w = buf_reserve(b, 40);
	if (w == NULL)
		return true;
	days = (s - TIMESTAMP_MIN) / DAY_S + TIMESTAMP_MIN / DAY_S;
	rest = s - days * DAY_S;
	date_of(days, &y, &m, &d);
	w = put_digits(w, y, 4);
	*w++ = '-';
	w = put_digits(w, m, 2);
	*w++ = '-';
	w = put_digits(w, d, 2);
	*w++ = 'T';
	w = put_digits(w, rest / 3600, 2);
	*w++ = ':';
	w = put_digits(w, rest / 60 % 60, 2);
	*w++ = ':';
	w = put_digits(w, rest % 60, 2);
	w = put_fraction(w, nanos);
	*w++ = 'Z';
	b->len = (size_t)(w - b->data);
	return true;
}

bool duration_format(struct buf *b, int64_t s, int32_t nanos)
{
	uint8_t *w;

	if (s < -DURATION_MAX || s > DURATION_MAX || nanos < -999999999 || nanos > 999999999 ||
	    (s > 0 && nanos < 0) || (s < 0 && nanos > 0))
		return false;
	w = buf_reserve(b, 40);
	if (w == NULL)
		return true;
	if (s < 0 || nanos < 0)
		*w++ = '-';
	w = json_write_uint(w, (uint64_t)(s < 0 ? -s : s));
	w = put_fraction(w, nanos < 0 ? -nanos : nanos);
	*w++ = 's';
	b->len = (size_t)(w - b->data);
	return true;
}

bool mask_path_parse(struct buf *b, struct bytes path)
{
	for (size_t i = 0; i < path.len; i++) {
		uint8_t c = path.data[i];

		if (c == '_')
			return false;
		if (c >= 'A' && c <= 'Z') {
			buf_append_byte(b, '_');
			c |= 0x20;
		}
		buf_append_byte(b, c);
	}
	return path.len > 0;
}

bool mask_path_format(struct buf *b, struct bytes path)
{
	for (size_t i = 0; i < path.len; i++) {
		uint8_t c = path.data[i];

		if ((c >= 'A' && c <= 'Z') || c == ',')
			return false;
		if (c == '_') {
			if (++i == path.len || path.data[i] < 'a' || path.data[i] > 'z')
				return false;
			c = path.data[i] & 0xdf;
		}
		buf_append_byte(b, c);
	}
	return path.len > 0;
}
