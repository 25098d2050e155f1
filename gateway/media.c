/* See media.h. */
#define _GNU_SOURCE
#include "gateway/media.h"

#include <ctype.h>
#include <strings.h>

/* --- Content-Type --- */

static const struct {
	const char *type;
	enum media_body form;
} bodies[] = {
	{"application/json", BODY_JSON},
	{"application/x-protobuf", BODY_PROTOBUF},
	{"application/protobuf", BODY_PROTOBUF},
	{"application/proto", BODY_PROTOBUF},
};

static enum media_body media_type(const char *p, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++)
		if (headers_word_is(p, len, bodies[i].type))
			return bodies[i].form;
	return BODY_OTHER;
}

static size_t token_length(const char *p)
{
	size_t n = 0;

	while (isalnum((unsigned char)p[n]) || (p[n] != '\0' && strchr("!#$%&'*+-.^_`|~", p[n]) != NULL))
		n++;
	return n;
}

/* A token or a quoted string; its inside in *value. The end of it, or NULL. */
static const char *parameter_value(const char *p, struct bytes *value)
{
	const char *from = p;

	if (*p != '"') {
		*value = (struct bytes){(const uint8_t *)p, token_length(p)};
		return value->len != 0 ? p + value->len : NULL;
	}
	for (p++; *p != '"'; p++)
		if (*p == '\0' || (*p == '\\' && *++p == '\0'))
			return NULL;
	*value = (struct bytes){(const uint8_t *)from + 1, (size_t)(p - from) - 1};
	return p + 1;
}

/* The parameters after a media type: do they parse, and is a charset UTF-8? */
static bool parameters_are_good(const char *p)
{
	while (*(p = headers_skip_space(p)) == ';') {
		const char *name = p = headers_skip_space(p + 1);
		size_t len = token_length(name);
		struct bytes value;

		if (len == 0) { /* "a/b;" and "a/b; ;c=d" (RFC 9110, 5.6.6) */
			if (*p != ';' && *p != '\0')
				return false;
			continue;
		}
		if (name[len] != '=' || (p = parameter_value(name + len + 1, &value)) == NULL)
			return false;
		if (headers_word_is(name, len, "charset") &&
		    !headers_word_is((const char *)value.data, value.len, "utf-8"))
			return false;
	}
	return *p == '\0';
}

enum media_body media_body(const struct request_source *src)
{
	const char *p = headers_get(src, "Content-Type");
	size_t len;

	if (p == NULL)
		return BODY_OTHER;
	if (strcmp(p, "application/json") == 0)
		return BODY_JSON;
	p = headers_skip_space(p);
	len = strcspn(p, "; \t");
	return parameters_are_good(p + len) ? media_type(p, len) : BODY_OTHER;
}

/* --- Accept --- */

struct offer {
	const char *type;
	enum media_accept form;
};

static const struct offer unary_offers[] = {
	{"application/json", ACCEPT_JSON},
	{"application/x-protobuf", ACCEPT_PROTOBUF},
	{"application/protobuf", ACCEPT_PROTOBUF_PLAIN},
	{"application/proto", ACCEPT_PROTO},
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
	struct headers_list l = {.src = src, .name = "Accept"};

	while (headers_next(&l)) {
		const char *range_end = memchr(l.at, ';', (size_t)(l.end - l.at));
		int match = range_match(l.at, headers_trimmed(l.at, range_end ? range_end : l.end), type);

		if (match > best) {
			int q = headers_quality(l.at, l.end);

			best = match;
			score = q == 0 ? 0 : q * 4 + match;
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
