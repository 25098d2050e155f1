/* See cors.h. A preflight's answer lists what the path has, not what was asked for,
 * but for the headers: of those it asks for the ones that mean something here. */
#define _GNU_SOURCE
#include "gateway/cors.h"

#include <string.h>

#include "gateway/headers.h"

#define MAX_AGE "7200" /* seconds; browsers keep it no longer */

/* What a page may read of an answer, beyond what it always may. */
#define EXPOSED "Location, Retry-After, ETag, Link, X-Request-Id, Preference-Applied, " \
	"Idempotency-Replayed, RateLimit, RateLimit-Policy, WWW-Authenticate"

/* What a page may set, beyond what it always may. */
static const char *const request_headers[] = {
	"accept", "authorization", "content-encoding", "content-type", "connect-protocol-version",
	"connect-timeout-ms", "grpc-timeout", "idempotency-key", "if-match", "if-none-match",
	"last-event-id", "prefer", "traceparent", "tracestate", "x-api-key", "x-request-id",
	"x-requested-with", "x-server-timeout", "x-user-agent",
};

void cors_headers(struct http_request *r, const struct origin_rules *o)
{
	const char *origin;

	if (o->any_origin) {
		http_set_header(r, "Access-Control-Allow-Origin", "*");
		http_set_header(r, "Access-Control-Expose-Headers", EXPOSED);
		return;
	}
	if (o->origins.n == 0)
		return;
	http_set_header(r, "Vary", "Origin");
	origin = http_header(r, "Origin");
	if (!origin_allowed(o, origin))
		return;
	http_set_header(r, "Access-Control-Allow-Origin", origin);
	http_set_header(r, "Access-Control-Expose-Headers", EXPOSED);
}

bool cors_is_preflight(const struct http_request *r, const struct origin_rules *o)
{
	return (o->any_origin || o->origins.n != 0) && strcmp(http_verb(r), "OPTIONS") == 0 &&
		http_header(r, "Access-Control-Request-Method") != NULL &&
		origin_allowed(o, http_header(r, "Origin"));
}

/* Those of the asked ones that a page may set. */
static void put_headers(struct buf *b, const char *asked)
{
	while (*asked != '\0') {
		const char *end;
		size_t n;

		asked += strspn(asked, ", \t");
		end = asked + strcspn(asked, ",");
		n = headers_trimmed(asked, end);
		for (size_t i = 0; i < ARRAY_LEN(request_headers); i++)
			if (headers_word_is(asked, n, request_headers[i]))
				buf_printf(b, "%s%s", b->len != 0 ? ", " : "", request_headers[i]);
		asked = end;
	}
}

void cors_preflight(struct http_request *r, const char *allow)
{
	const char *asked = http_header(r, "Access-Control-Request-Headers");
	AUTO_BUF headers = BUF_INIT;
	struct buf none = BUF_INIT;

	if (asked != NULL)
		put_headers(&headers, asked);
	http_set_header(r, "Allow", allow);
	http_set_header(r, "Access-Control-Allow-Methods", allow);
	if (headers.len != 0)
		http_set_header(r, "Access-Control-Allow-Headers", buf_cstr(&headers));
	http_set_header(r, "Access-Control-Max-Age", MAX_AGE);
	http_set_header(r, "Vary", "Access-Control-Request-Method, Access-Control-Request-Headers");
	http_reply(r, 204, NULL, &none);
}
