/* cron_parse.c: a line to sets of numbers. Every refusal names the field and the column,
 * and where it can what to write instead. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "errand/status.h"
#include "service/civil.h"
#include "service/cron.h"

#define N_FIELDS 5

static const char *const month_names[] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL",
					  "AUG", "SEP", "OCT", "NOV", "DEC", NULL};
static const char *const weekday_names[] = {"SUN", "MON", "TUE", "WED",
					    "THU", "FRI", "SAT", NULL};

static const struct field {
	const char *name;
	int min, max;
	const char *const *names; /* the first is min's */
} fields[N_FIELDS] = {
	{"minute", 0, 59, NULL},
	{"hour", 0, 23, NULL},
	{"day-of-month", 1, 31, NULL},
	{"month", 1, 12, month_names},
	{"day-of-week", 0, 7, weekday_names},
};

static const struct {
	const char *name, *line;
} macros[] = {
	{"@hourly", "0 * * * *"},   {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"},
	{"@weekly", "0 0 * * 0"},   {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
	{"@annually", "0 0 1 1 *"},
};

struct parse {
	const char *line, *p;
	const struct field *field;
	char *why;
	size_t why_size;
};

static int refuse(struct parse *s, const char *at, const char *fmt, ...) PRINTF(3, 4);
static int refuse(struct parse *s, const char *at, const char *fmt, ...)
{
	int n = snprintf(s->why, s->why_size, "%s field, column %d: ", s->field->name,
			 (int)(at - s->line) + 1);
	va_list ap;

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < s->why_size)
		vsnprintf(s->why + n, s->why_size - (size_t)n, fmt, ap);
	va_end(ap);
	return -ERRAND_INVALID_ARGUMENT;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A sign of another dialect, or no sign of any. */
static int refuse_sign(struct parse *s)
{
	char c = *s->p;

	if (c == '?')
		return refuse(s, s->p, "'?' is not of cron's five fields; write *");
	if (c == '#' || c == '~')
		return refuse(s, s->p, "'%c' is of another cron's dialect", c);
	if (c == '\0' || is_blank(c))
		return refuse(s, s->p, "a number or * is missing");
	if (c > ' ' && c < 0x7f)
		return refuse(s, s->p, "'%c' is not expected here", c);
	return refuse(s, s->p, "the byte 0x%02x is not expected here", (unsigned char)c);
}

static int read_name(struct parse *s, size_t len, int *out)
{
	const char *const *names = s->field->names;

	for (int i = 0; names != NULL && names[i] != NULL; i++) {
		if (len == 3 && strncasecmp(s->p, names[i], 3) == 0) {
			*out = s->field->min + i;
			s->p += len;
			return 0;
		}
	}
	if (len == 1 && strchr("LlWwHhRr", *s->p) != NULL)
		return refuse(s, s->p, "'%c' is of another cron's dialect", *s->p);
	if (names != NULL)
		return refuse(s, s->p, "'%.*s' is none of the names %s to %s", (int)MIN(len, 20),
			      s->p, names[0], names == month_names ? "DEC" : "SAT");
	return refuse(s, s->p, "'%.*s' is no number", (int)MIN(len, 20), s->p);
}

/* A number or a name; a number's range is the caller's to check. */
static int read_value(struct parse *s, int *out)
{
	size_t len = 0, digits = 0;

	for (; is_alnum(s->p[len]); len++)
		digits += s->p[len] >= '0' && s->p[len] <= '9';
	if (len == 0)
		return refuse_sign(s);
	if (digits == 0)
		return read_name(s, len, out);
	if (digits < len && strchr("LWlw", s->p[len - 1]) != NULL)
		return refuse(s, s->p + len - 1, "'%c' is of another cron's dialect",
			      s->p[len - 1]);
	if (digits < len || len > 4)
		return refuse(s, s->p, "'%.*s' is no number of at most 4 digits",
			      (int)MIN(len, 20), s->p);
	for (*out = 0; is_alnum(*s->p); s->p++)
		*out = *out * 10 + (*s->p - '0');
	return 0;
}

static int read_bound(struct parse *s, int *out)
{
	const char *at = s->p;
	int code = read_value(s, out);

	if (code < 0)
		return code;
	if (*out < s->field->min || *out > s->field->max)
		return refuse(s, at, "%d is not between %d and %d", *out, s->field->min,
			      s->field->max);
	return 0;
}

/* The n of /n, 1 without one. ranged: something to step through came before it. */
static int read_step(struct parse *s, bool ranged, int low, int *out)
{
	const char *at = s->p + 1;
	int span = s->field->max - s->field->min + 1, code;

	*out = 1;
	if (*s->p != '/')
		return 0;
	if (!ranged)
		return refuse(s, s->p, "a step needs a range: write %d-%d/...", low,
			      s->field->max);
	s->p++;
	code = read_value(s, out);
	if (code < 0)
		return code;
	if (*out < 1 || *out > span)
		return refuse(s, at, "the step %d is not between 1 and %d", *out, span);
	return 0;
}

/* One of the list's members: *, a, a-b, with /n. */
static int read_item(struct parse *s, uint64_t *set)
{
	const char *at = s->p;
	int low = s->field->min, high = s->field->max, step, code = 0;
	bool ranged = *s->p == '*';

	if (ranged) {
		s->p++;
	} else {
		code = read_bound(s, &low);
		high = low;
		if (code == 0 && *s->p == '-') {
			ranged = true;
			s->p++;
			code = read_bound(s, &high);
			/* SUN at the end of a range is the week's last day. */
			if (code == 0 && s->field->names == weekday_names && high == 0 &&
			    s->p[-1] != '0')
				high = low > 0 ? 7 : 0;
		}
	}
	if (code == 0)
		code = read_step(s, ranged, low, &step);
	if (code < 0)
		return code;
	if (low > high)
		return refuse(s, at, "the range begins after its end: %d-%d", low, high);
	for (; low <= high; low += step)
		*set |= UINT64_C(1) << low;
	return 0;
}

static int read_field(struct parse *s, uint64_t *set)
{
	*set = 0;
	for (;;) {
		int code = read_item(s, set);

		if (code < 0)
			return code;
		if (*s->p == '\0' || is_blank(*s->p))
			return 0;
		if (*s->p != ',')
			return refuse_sign(s);
		s->p++;
	}
}

static int count_fields(const char *p)
{
	int n = 0;

	while (*p != '\0') {
		while (is_blank(*p))
			p++;
		n += *p != '\0';
		while (*p != '\0' && !is_blank(*p))
			p++;
	}
	return n;
}

/* What has not the shape of five fields. */
static int check_shape(const char *line, char *why, size_t why_size)
{
	int n = count_fields(line);

	line += strspn(line, " \t");
	if (strncmp(line, "TZ=", 3) == 0 || strncmp(line, "CRON_TZ=", 8) == 0)
		snprintf(why, why_size, "a time zone is no part of the line: give it as time_zone");
	else if (n == 0)
		snprintf(why, why_size, "the line is empty; it has five fields: minute hour "
					"day-of-month month day-of-week");
	else if (n == N_FIELDS)
		return 0;
	else
		snprintf(why, why_size, "%d field%s, but a line has five: minute hour "
			 "day-of-month month day-of-week%s", n, n == 1 ? "" : "s",
			 n == 6 ? " (seconds and years are of other dialects)" : "");
	return -ERRAND_INVALID_ARGUMENT;
}

/* What of a wrong one is repeated: it may be anything. */
static size_t macro_len(const char *p)
{
	size_t len = 1;

	while (is_alnum(p[len]) && len < 30)
		len++;
	return len;
}

/* The line a macro stands for, the line itself, or NULL. */
static const char *expand(const char *line, char *why, size_t why_size)
{
	const char *p = line + strspn(line, " \t");
	size_t len = strcspn(p, " \t");

	if (*p != '@')
		return line;
	for (size_t i = 0; i < ARRAY_LEN(macros); i++)
		if (len == strlen(macros[i].name) && strncasecmp(p, macros[i].name, len) == 0 &&
		    p[len + strspn(p + len, " \t")] == '\0')
			return macros[i].line;
	snprintf(why, why_size, "'%.*s' is none of @hourly, @daily, @midnight, @weekly, "
				"@monthly, @yearly, @annually", (int)macro_len(p), p);
	return NULL;
}

/* The calendar repeats itself after 400 years, weekdays included. */
static bool comes_ever(const struct cron *c)
{
	for (int month = 1; month <= 12; month++)
		if ((c->months >> month & 1) != 0 &&
		    (c->days & ((UINT64_C(1) << (civil_month_days(2000, month) + 1)) - 1)) != 0)
			return true;
	return !c->days_star && !c->weekdays_star;
}

int cron_parse(const char *line, struct cron *out, char *why, size_t why_size)
{
	struct parse s = {.why = why, .why_size = why_size};
	uint64_t sets[N_FIELDS];
	int code;

	*out = (struct cron){0};
	if (strlen(line) > CRON_MAX) {
		snprintf(why, why_size, "the line is longer than %d bytes", CRON_MAX);
		return -ERRAND_INVALID_ARGUMENT;
	}
	line = expand(line, why, why_size);
	if (line == NULL)
		return -ERRAND_INVALID_ARGUMENT;
	code = check_shape(line, why, why_size);
	s.line = s.p = line;
	for (int i = 0; i < N_FIELDS && code == 0; i++) {
		s.p += strspn(s.p, " \t");
		s.field = &fields[i];
		out->days_star |= i == 2 && *s.p == '*';
		out->weekdays_star |= i == 4 && *s.p == '*';
		code = read_field(&s, &sets[i]);
	}
	if (code < 0)
		return code;
	out->minutes = sets[0];
	out->hours = (uint32_t)sets[1];
	out->days = (uint32_t)sets[2];
	out->months = (uint16_t)sets[3];
	out->weekdays = (uint8_t)((sets[4] | sets[4] >> 7) & 0x7f);
	if (!comes_ever(out)) {
		snprintf(why, why_size, "the line never comes due: none of its months has such a day");
		return -ERRAND_INVALID_ARGUMENT;
	}
	return 0;
}
