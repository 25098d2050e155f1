/* tz_rule.c: reads the rule, and applies it: two changes a year. */
#include "service/tz_rule.h"

#include "service/civil.h"

struct text {
	const uint8_t *p, *end;
};

static int peek(const struct text *t)
{
	return t->p < t->end ? *t->p : -1;
}

static bool skip(struct text *t, int c)
{
	if (peek(t) != c)
		return false;
	t->p++;
	return true;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool read_int(struct text *t, int min, int max, int *out)
{
	int n = 0;

	if (!is_digit(peek(t)))
		return false;
	for (; is_digit(peek(t)); t->p++) {
		n = n * 10 + (*t->p - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return n >= min;
}

/* CET or <+0330>; nobody asks for it. */
static bool skip_name(struct text *t)
{
	const uint8_t *begin = t->p;

	if (skip(t, '<')) {
		while (is_alpha(peek(t)) || is_digit(peek(t)) || peek(t) == '+' || peek(t) == '-')
			t->p++;
		return t->p - begin > 3 && skip(t, '>');
	}
	while (is_alpha(peek(t)))
		t->p++;
	return t->p - begin >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool read_time(struct text *t, int max_hours, int32_t *out)
{
	int sign = 1, h, m = 0, s = 0;

	if (skip(t, '-'))
		sign = -1;
	else
		skip(t, '+');
	if (!read_int(t, 0, max_hours, &h))
		return false;
	if (skip(t, ':')) {
		if (!read_int(t, 0, 59, &m))
			return false;
		if (skip(t, ':') && !read_int(t, 0, 59, &s))
			return false;
	}
	*out = sign * (h * 3600 + m * 60 + s);
	return true;
}

static bool read_day(struct text *t, struct tz_day *out)
{
	bool ok;

	*out = (struct tz_day){.time = 2 * 3600};
	if (skip(t, 'M')) {
		out->kind = TZ_DAY_MONTH;
		ok = read_int(t, 1, 12, &out->month) && skip(t, '.') &&
		     read_int(t, 1, 5, &out->week) && skip(t, '.') &&
		     read_int(t, 0, 6, &out->weekday);
	} else if (skip(t, 'J')) {
		out->kind = TZ_DAY_JULIAN;
		ok = read_int(t, 1, 365, &out->day);
	} else {
		out->kind = TZ_DAY_ZERO;
		ok = read_int(t, 0, 365, &out->day);
	}
	return ok && (!skip(t, '/') || read_time(t, 167, &out->time));
}

bool tz_rule_parse(struct bytes text, struct tz_rule *out)
{
	struct text t = {text.data, text.data + text.len};
	int32_t west;

	*out = (struct tz_rule){0};
	if (!skip_name(&t) || !read_time(&t, 24, &west))
		return false;
	out->std = out->dst = -west;
	if (t.p == t.end)
		return true;
	out->has_dst = true;
	out->dst = out->std + 3600;
	if (!skip_name(&t))
		return false;
	if (peek(&t) != ',') {
		if (!read_time(&t, 24, &west))
			return false;
		out->dst = -west;
	}
	/* What a rule without days means is up to the system; zones always say it. */
	return skip(&t, ',') && read_day(&t, &out->start) && skip(&t, ',') &&
	       read_day(&t, &out->end) && t.p == t.end;
}

/* The day's number in that year. */
static int64_t day_in(const struct tz_day *d, int64_t year)
{
	int64_t first = civil_days(year, 1, 1);
	int last, day;

	switch (d->kind) {
	case TZ_DAY_JULIAN: /* 60 is always 1 March */
		return first + d->day - 1 + (d->day >= 60 && civil_leap(year));
	case TZ_DAY_ZERO:
		return first + d->day;
	case TZ_DAY_MONTH:
		break;
	}
	first = civil_days(year, d->month, 1);
	last = civil_month_days(year, d->month);
	day = (d->weekday - civil_weekday(first) + 7) % 7 + (d->week - 1) * 7;
	while (day >= last)
		day -= 7; /* week 5: the last one */
	return first + day;
}

struct change {
	int64_t at;
	int32_t to;
};

/* The changes of `year`, by time. */
static void changes_of(const struct tz_rule *r, int64_t year, struct change out[2])
{
	struct change start = {day_in(&r->start, year) * S_PER_DAY + r->start.time - r->std,
			       r->dst};
	struct change end = {day_in(&r->end, year) * S_PER_DAY + r->end.time - r->dst, r->std};
	bool start_first = start.at < end.at;

	out[0] = start_first ? start : end;
	out[1] = start_first ? end : start;
}

#define N_YEARS 5 /* looked at around a time */
#define N_CHANGES (2 * N_YEARS)

static void changes_around(const struct tz_rule *r, int64_t year, struct change out[N_CHANGES])
{
	for (int i = 0; i < N_YEARS; i++)
		changes_of(r, year - N_YEARS / 2 + i, &out[2 * i]);
	/* A change of one year may lie behind one of the next. Of two at one moment the
	 * later year's stays last, and counts: so a dst of a whole year goes on. */
	for (int i = 1; i < N_CHANGES; i++) {
		struct change c = out[i];
		int k = i;

		for (; k > 0 && out[k - 1].at > c.at; k--)
			out[k] = out[k - 1];
		out[k] = c;
	}
}

struct tz_span tz_rule_span(const struct tz_rule *r, int64_t t)
{
	struct tz_span span = {INT64_MIN, INT64_MAX, r->std};
	struct change c[N_CHANGES];
	int i;

	if (!r->has_dst || r->dst == r->std)
		return span;
	changes_around(r, civil_date(floor_div(t, S_PER_DAY)).year, c);
	for (i = 1; i < N_CHANGES - 1 && c[i].at <= t; i++)
		;
	span.begin = c[i - 1].at;
	span.offset = c[i - 1].to;
	span.end = c[i].at;
	return span;
}
