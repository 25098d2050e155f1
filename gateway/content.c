/* See content.h. */
#define _GNU_SOURCE
#include "gateway/content.h"

#include "errand/status.h"
#include "gateway/gzip.h"
#include "gateway/problem.h"
#include "wire/frame.h"

static bool has_gzip(const struct content *c)
{
	return c->thread->config->gzip_min >= 0;
}

bool content_negotiate(struct content *c, const struct request_source *src)
{
	bool packs = has_gzip(c) && !c->streams;
	struct encoding_choice choice;

	c->must_pack = false;
	if (c->connect || headers_get(src, "Accept-Encoding") == NULL)
		return true; /* Connect's clients always take identity */
	choice = encoding_choose(src);
	c->must_pack = !choice.identity;
	if (choice.identity || (choice.gzip && packs))
		return true;
	problem_reply(c->http, 406, ERRAND_INVALID_ARGUMENT, "Accept-Encoding: %s",
		      packs ? "gzip or identity" : "identity");
	return false;
}

/* A coding that is not undone here. */
static void refuse_encoding(const struct content *c)
{
	const char *known = has_gzip(c) ? "gzip, identity" : "identity";

	http_set_header(c->http, "Accept-Encoding", known);
	if (c->connect)
		problem_reply(c->http, 501, ERRAND_UNIMPLEMENTED, "supported compressions: %s", known);
	else
		problem_reply(c->http, 415, ERRAND_INVALID_ARGUMENT, "Content-Encoding: %s", known);
}

bool content_unpack(struct content *c, enum encoding encoding, struct request_source *src)
{
	const size_t max = (size_t)MIN(c->thread->config->max_body, (int64_t)FRAME_MAX);
	struct buf out = BUF_INIT;
	enum gzip_verdict verdict;

	if (src->body.len == 0 || encoding == ENCODING_IDENTITY)
		return true;
	if (encoding == ENCODING_OTHER || !has_gzip(c)) {
		refuse_encoding(c);
		return false;
	}
	verdict = gzip_unpack(c->thread->gzip, src->body, max, &out);
	buf_deinit(&c->unpacked); /* the body may have been in it */
	c->unpacked = out;
	src->body = buf_bytes(&c->unpacked);
	if (verdict == GZIP_BROKEN)
		problem_reply(c->http, 400, ERRAND_INVALID_ARGUMENT,
			      "the body is not gzip, or cut off, or something follows it");
	else if (verdict == GZIP_TOO_BIG)
		problem_reply(c->http, 413, ERRAND_RESOURCE_EXHAUSTED, "the body is over %zu bytes unpacked", max);
	else if (verdict == GZIP_BOMB)
		problem_reply(c->http, 413, ERRAND_RESOURCE_EXHAUSTED,
			      "the body is over 100 times as large unpacked");
	return verdict == GZIP_DONE;
}
