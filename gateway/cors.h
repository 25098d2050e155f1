/* cors.h: answers to pages of other origins (WHATWG Fetch), for those that
 * --cors-origin names; without that option nothing is said. Credentials (cookies,
 * the browser's passwords) are never allowed: a caller of errand shows who it is in
 * the Authorization header, which a page sets itself. */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include "gateway/origin.h"

/* The headers of any answer. */
void cors_headers(struct http_request *r, const struct origin_rules *o);
/* Does a browser ask, for a page that is allowed to, what it may send here? */
bool cors_is_preflight(const struct http_request *r, const struct origin_rules *o);
/* Answers it. allow: the path's verbs, "GET, HEAD, OPTIONS". */
void cors_preflight(struct http_request *r, const char *allow);

#endif
