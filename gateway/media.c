/* See media.h. */
#define _GNU_SOURCE
#include "gateway/media.h"

#include <ctype.h>
#include <strings.h>

/* --- Content-Type --- */

static enum media_body media_type(const char *p, size_t len)
{
	if (headers_word_is(p, len, "application/json"))
		return BODY_JSON;
	if (headers_word_is(p, len, "application/x-protobuf") || headers_word_is(p, len, "application/proto") ||
	    headers_word_is(p, len, "application/protobuf"))
		return BODY_PROTOBUF;
	return BODY_OTHER;
}

enum media_body media_body(const struct request_source *src)
{
	const char *p = headers_get(src, "Content-Type");
	const char *coding = headers_get(src, "Content-Encoding");
	const char *charset, *semicolon;
	enum media_body type;

	if (p == NULL || (coding != NULL && strcasecmp(coding, "identity") != 0))
		return BODY_OTHER;
	if (strcmp(p, "application/json") == 0)
		return BODY_JSON;
	p = headers_skip_space(p);
	semicolon = strchrnul(p, ';');
	type = media_type(p, headers_trimmed(p, semicolon));
	charset = strcasestr(semicolon, "charset=");
	if (charset == NULL)
		return type;
	charset += strlen("charset=");
	charset += *charset == '"';
	return strncasecmp(charset, "utf-8", 5) == 0 && !isalnum((unsigned char)charset[5]) &&
		charset[5] != '-' ? type : BODY_OTHER;
}

/* --- Accept --- */

struct offer {
	const char *type;
	enum media_accept form;
};

static const struct offer unary_offers[] = {
	{"application/json", ACCEPT_JSON},
	{"application/x-protobuf", ACCEPT_PROTOBUF},
	{"application/proto", ACCEPT_PROTOBUF},
	{"application/protobuf", ACCEPT_PROTOBUF},
	{NULL, ACCEPT_NONE},
};

static const struct offer stream_offers[] = {
	{"application/json", ACCEPT_JSON},
	{"text/event-stream", ACCEPT_SSE},
	{"application/x-ndjson", ACCEPT_NDJSON},
	{"application/jsonl", ACCEPT_NDJSON},
	{NULL, ACCEPT_NONE},
};

/* How well a range names an offer: 3 exactly, 2 `type` slash star, 1 any, 0 not. */
static int range_match(const char *range, size_t len, const char *type)
{
	const char *slash = strchr(type, '/');

	if (headers_word_is(range, len, type))
		return 3;
	if (len == (size_t)(slash - type) + 2 && strncasecmp(range, type, len - 1) == 0 &&
	    range[len - 1] == '*')
		return 2;
	return len == 3 && memcmp(range, "*/*", 3) == 0;
}

/* The best q x specificity an Accept has for one type; 0 = not acceptable. */
static int accept_score(const struct request_source *src, const char *type)
{
	int best = 0, score = 0;
	const char *p;

	for (unsigned n = 0; (p = src->header(src->from, "Accept", n)) != NULL; n++) {
		for (; *p != '\0'; p += *p == ',') {
			const char *end, *range_end;
			int match;

			p = headers_skip_space(p);
			end = headers_element_end(p);
			range_end = memchr(p, ';', (size_t)(end - p));
			match = range_match(p, headers_trimmed(p, range_end ? range_end : end), type);
			if (match > best) {
				int q = headers_quality(p, end);

				best = match;
				score = q == 0 ? 0 : q * 4 + match;
			}
			p = end;
		}
	}
	return score;
}

enum media_accept media_accept(const struct request_source *src, bool streaming)
{
	const char *first = headers_get(src, "Accept");
	enum media_accept form = ACCEPT_NONE;
	int best = 0;

	if (first == NULL || *first == '\0' || strcmp(first, "*/*") == 0 ||
	    strcmp(first, "application/json") == 0)
		return ACCEPT_JSON;
	for (const struct offer *o = streaming ? stream_offers : unary_offers; o->type != NULL; o++) {
		int score = accept_score(src, o->type);

		if (score > best) {
			best = score;
			form = o->form;
		}
	}
	return form;
}
