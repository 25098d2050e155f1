/* See encoding.h. */
#define _GNU_SOURCE
#include "gateway/encoding.h"

#include <string.h>

static enum encoding encoding_word(const char *p, size_t len)
{
	if (len == 0 || headers_word_is(p, len, "identity"))
		return ENCODING_IDENTITY;
	if (headers_word_is(p, len, "gzip") || headers_word_is(p, len, "x-gzip"))
		return ENCODING_GZIP;
	return ENCODING_OTHER;
}

enum encoding encoding_of(const char *name)
{
	return name == NULL ? ENCODING_IDENTITY : encoding_word(name, strlen(name));
}

enum encoding encoding_body(const struct request_source *src)
{
	const char *p = headers_get(src, "Content-Encoding");

	if (p == NULL)
		return ENCODING_IDENTITY;
	if (src->header(src->from, "Content-Encoding", 1) != NULL)
		return ENCODING_OTHER;
	p = headers_skip_space(p);
	return encoding_word(p, headers_trimmed(p, p + strlen(p)));
}

/* What is said of each coding: thousandths, -1 = nothing. */
struct qualities {
	int gzip, identity, any;
};

static void read_element(const char *p, const char *end, struct qualities *q)
{
	const char *params = memchr(p, ';', (size_t)(end - p));
	size_t len = headers_trimmed(p, params != NULL ? params : end);

	if (len == 0)
		return;
	if (len == 1 && *p == '*')
		q->any = headers_quality(p, end);
	else if (encoding_word(p, len) == ENCODING_GZIP)
		q->gzip = headers_quality(p, end);
	else if (encoding_word(p, len) == ENCODING_IDENTITY)
		q->identity = headers_quality(p, end);
}

struct encoding_choice encoding_choose(const struct request_source *src)
{
	struct qualities q = {-1, -1, -1};
	struct headers_list l = {.src = src, .name = "Accept-Encoding"};

	while (headers_next(&l))
		read_element(l.at, l.end, &q);
	if (q.gzip < 0)
		q.gzip = MAX(q.any, 0);
	if (q.identity < 0) /* allowed unless `*` forbids it; liked least */
		q.identity = q.any == 0 ? 0 : 1;
	return (struct encoding_choice){q.gzip > 0 && q.gzip >= q.identity, q.identity > 0};
}
