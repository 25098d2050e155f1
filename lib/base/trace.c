/* trace.c: see trace.h. */
#define _GNU_SOURCE
#include "base/trace.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { VERSION_AT = 0, TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, LENGTH = 55 };
enum { SAMPLED = 1, RANDOM = 2 };

static bool is_hex(const char *s, size_t n)
{
	return strspn(s, "0123456789abcdef") >= n;
}

static bool is_zero(const char *s, size_t n)
{
	return strspn(s, "0") >= n;
}

bool trace_is_good(const char *s)
{
	if (s == NULL || strlen(s) < LENGTH)
		return false;
	if (!is_hex(s, 2) || s[2] != '-' || !is_hex(s + TRACE_AT, 32) || s[35] != '-' ||
	    !is_hex(s + SPAN_AT, 16) || s[52] != '-' || !is_hex(s + FLAGS_AT, 2))
		return false;
	if (is_zero(s + TRACE_AT, 32) || is_zero(s + SPAN_AT, 16) || memcmp(s, "ff", 2) == 0)
		return false;
	return s[LENGTH] == '\0' || (s[LENGTH] == '-' && memcmp(s, "00", 2) != 0);
}

const char *trace_id_of(const char *traceparent, char out[TRACE_ID_SIZE])
{
	out[0] = '\0';
	if (trace_is_good(traceparent))
		snprintf(out, TRACE_ID_SIZE, "%.32s", traceparent + TRACE_AT);
	return out;
}

static unsigned digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

void trace_child(const char *parent, uint64_t span, char out[TRACE_SIZE])
{
	unsigned flags = digit(parent[FLAGS_AT + 1]) & (SAMPLED | RANDOM);

	snprintf(out, TRACE_SIZE, "00-%.32s-%016" PRIx64 "-%02x", parent + TRACE_AT, span != 0 ? span : 1, flags);
}

void trace_new(uint64_t high, uint64_t low, uint64_t span, char out[TRACE_SIZE])
{
	snprintf(out, TRACE_SIZE, "00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-%02x", high,
		 low != 0 ? low : 1, span != 0 ? span : 1, SAMPLED | RANDOM);
}
