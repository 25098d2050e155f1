/* link.h: the header Link (RFC 8288) of a page of a list: rel="next" is the request's
 * own path and query with the token of the page after it (AIP-158). Loop thread. */
#ifndef GATEWAY_LINK_H
#define GATEWAY_LINK_H

#include "gateway/answer.h"

/* Sets it when the answer's message has a next_page_token, and its method takes a
 * page_token. */
void link_next(const struct answer *a, struct bytes message);
/* The same query with that token instead of what page_token it has, in a form that can
 * stand between < and >. Pure. */
void link_query(const char *query, struct bytes token, struct buf *out);

#endif
