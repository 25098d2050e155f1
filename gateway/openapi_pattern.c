/* openapi_pattern.c: a text that a regular expression matches, for examples: the first
 * alternative, each repetition as seldom as it may be. Of RE2's syntax what people write
 * in rules; for the rest, and for what goes too deep, there is none. Pure. */
#include <ctype.h>
#include <stdlib.h>

#include "gateway/openapi_private.h"

enum { PATTERN_DEPTH = 16, PATTERN_LENGTH = 200 };

struct pattern {
	const char *p, *end;
	struct buf *out;
	int depth;
	bool bad;
};

/* --- sets of characters: ASCII --- */

static void add_range(bool set[128], int from, int to)
{
	for (int c = from; c <= to && c < 128; c++)
		set[c] = true;
}

/* \d \w \s and other letters; false for those that mean something else. */
static bool add_escape(bool set[128], char c)
{
	switch (c) {
	case 'd':
		add_range(set, '0', '9');
		return true;
	case 'w':
		add_range(set, 'a', 'z');
		add_range(set, 'A', 'Z');
		add_range(set, '0', '9');
		set['_'] = true;
		return true;
	case 's':
		set[' '] = true;
		return true;
	default:
		if (isalnum((unsigned char)c) || (unsigned char)c >= 128)
			return false;
		set[(unsigned char)c] = true;
		return true;
	}
}

/* Letters look better than digits, and these than the rest. */
static void put_one_of(struct pattern *r, const bool set[128])
{
	static const char order[] = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-";

	for (const char *c = order; *c != '\0'; c++)
		if (set[(unsigned char)*c]) {
			buf_append_byte(r->out, (uint8_t)*c);
			return;
		}
	for (int c = ' '; c < 127; c++)
		if (set[c]) {
			buf_append_byte(r->out, (uint8_t)c);
			return;
		}
	r->bad = true;
}

/* Behind the '['. */
static void put_class(struct pattern *r)
{
	bool set[128] = {false}, negated = r->p < r->end && *r->p == '^';
	const char *first;

	r->p += negated;
	first = r->p;
	while (r->p < r->end && (*r->p != ']' || r->p == first)) {
		unsigned char c = (unsigned char)*r->p++, to = c;

		if (c >= 128 || (c == '[' && r->p < r->end && *r->p == ':'))
			r->bad = true;
		if (c == '\\' && r->p < r->end) {
			if (!add_escape(set, *r->p++))
				r->bad = true;
			continue;
		}
		if (r->end - r->p >= 2 && r->p[0] == '-' && r->p[1] != ']' && r->p[1] != '\\') {
			to = (unsigned char)r->p[1];
			r->p += 2;
		}
		add_range(set, c, to);
	}
	if (r->p == r->end)
		r->bad = true;
	r->p++;
	for (int c = 0; c < 128 && negated; c++)
		set[c] = !set[c];
	if (!r->bad)
		put_one_of(r, set);
}

/* --- repetitions --- */

/* How often at least; -1: there is no repetition here. */
static long read_times(struct pattern *r)
{
	long times = -1;

	if (r->p == r->end)
		return -1;
	if (*r->p == '*' || *r->p == '?' || *r->p == '+') {
		times = *r->p++ == '+';
	} else if (*r->p == '{' && r->p + 1 < r->end && isdigit((unsigned char)r->p[1])) {
		times = strtol(r->p + 1, NULL, 10); /* a pattern ends in NUL */
		while (r->p < r->end && *r->p != '}')
			r->p++;
		r->p += r->p < r->end;
	}
	if (times >= 0 && r->p < r->end && *r->p == '?')
		r->p++; /* lazy */
	return times;
}

/* What was put since `start`, so often. */
static void repeat(struct pattern *r, size_t start, long times)
{
	size_t len = r->out->len - start;

	if (times < 0)
		return;
	r->out->len = start;
	for (long i = 0; i < times && len > 0; i++) {
		if (r->out->len > PATTERN_LENGTH || buf_reserve(r->out, len) == NULL) {
			r->bad = true;
			return;
		}
		memmove(r->out->data + r->out->len, r->out->data + start, len);
		r->out->len += len;
	}
}

/* --- the expression --- */

static void put_alternatives(struct pattern *r);

/* Behind the '('. */
static void put_group(struct pattern *r)
{
	if (r->p < r->end && *r->p == '?') {
		if (r->end - r->p < 2 || r->p[1] != ':') {
			r->bad = true;
			return;
		}
		r->p += 2;
	}
	put_alternatives(r);
	if (r->p == r->end)
		r->bad = true;
	r->p++;
}

static void put_atom(struct pattern *r)
{
	bool set[128] = {false};
	char c = *r->p++;

	if (c == '(') {
		put_group(r);
	} else if (c == '[') {
		put_class(r);
	} else if (c == '\\') {
		if (r->p == r->end || !add_escape(set, *r->p++))
			r->bad = true;
		else
			put_one_of(r, set);
	} else if (c == '.') {
		buf_append_byte(r->out, 'a');
	} else if (c != '^' && c != '$') {
		buf_append_byte(r->out, (uint8_t)c);
	}
}

/* Up to the ')' or the end: the first alternative's text stays. */
static void put_alternatives(struct pattern *r)
{
	size_t first_end = SIZE_MAX;

	if (++r->depth > PATTERN_DEPTH)
		r->bad = true;
	while (!r->bad && r->p < r->end && *r->p != ')') {
		size_t start = r->out->len;

		if (*r->p == '|') {
			if (first_end == SIZE_MAX)
				first_end = start;
			r->p++;
			continue;
		}
		put_atom(r);
		if (!r->bad)
			repeat(r, start, read_times(r));
		if (r->out->len > PATTERN_LENGTH)
			r->bad = true;
	}
	if (first_end != SIZE_MAX)
		r->out->len = first_end;
	r->depth--;
}

bool openapi_pattern_example(struct bytes pattern, struct buf *out)
{
	AUTO_BUF text = BUF_INIT;
	struct pattern r = {.out = out};

	buf_append(&text, pattern.data, pattern.len);
	r.p = buf_cstr(&text);
	r.end = r.p + text.len;
	put_alternatives(&r);
	return !r.bad && r.p >= r.end;
}
