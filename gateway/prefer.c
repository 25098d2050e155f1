/* See prefer.h. */
#define _GNU_SOURCE
#include "gateway/prefer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static void prefer_element(const char *p, const char *end, int64_t max_wait, struct prefer *out,
			   struct fault_list *faults)
{
	const char *params = memchr(p, ';', (size_t)(end - p));
	size_t len = headers_trimmed(p, params != NULL ? params : end), name;
	char digits[16];

	if (headers_word_is(p, len, "respond-async"))
		out->respond_async = true;
	name = strcspn(p, "= \t");
	if (!headers_word_is(p, MIN(name, len), "wait") || out->has_wait)
		return; /* unknown ones are ignored; of two the first counts (RFC 7240, 2) */
	out->has_wait = true;
	p += 4;
	len -= 4;
	while (len > 0 && (*p == ' ' || *p == '\t' || *p == '=' || *p == '"'))
		p++, len--;
	while (len > 0 && p[len - 1] == '"')
		len--;
	snprintf(digits, sizeof digits, "%.*s", (int)MIN(len, sizeof digits - 1), p);
	if (len == 0 || len > 9 || strspn(digits, "0123456789") != len) {
		headers_fault(faults, "Prefer", digits, "wait takes a number of seconds: wait=10");
		return;
	}
	out->wait_ns = MIN(strtoll(digits, NULL, 10) * NS_PER_S, max_wait);
}

void prefer_read(const struct request_source *src, int64_t max_wait, struct prefer *out,
		    struct fault_list *faults)
{
	struct headers_list l = {.src = src, .name = "Prefer"};

	*out = (struct prefer){0};
	while (headers_next(&l))
		prefer_element(l.at, l.end, max_wait, out, faults);
}
