/* openapi.h: the schema as an OpenAPI 3.1 document: every route of google.api.http as
 * an operation, every message they reach as a JSON Schema, rules as its keywords. Pure
 * but for openapi_answer, which keeps the text with the snapshot it is of. */
#ifndef GATEWAY_OPENAPI_H
#define GATEWAY_OPENAPI_H

#include "gateway/exchange.h"
#include "schema/schema.h"

/* What the schema does not say; NULL = worked out, "/" for the URL. */
struct openapi_info {
	const char *title, *version, *url;
	bool secured; /* clients have to say who they are (auth.h) */
};

/* Appends the document. */
void openapi_write(const struct schema *s, const struct openapi_info *info, struct buf *out);

/* Is this what --public-url takes: http or https, a host, perhaps a path? */
bool openapi_url_good(const char *url);

/* GET /openapi.json (builtin.c). */
void openapi_answer(struct http_request *r, const struct gateway_thread *t);

#endif
