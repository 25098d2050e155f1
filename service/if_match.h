/* if_match.h: does an If-Match name a resource's ETag? Pure; any thread. */
#ifndef SERVICE_IF_MATCH_H
#define SERVICE_IF_MATCH_H

#include <stdbool.h>

/* Strong comparison (RFC 9110, 13.1.1): W/"7" names nothing, "*" whatever there is.
 * etag with its quotes; tags is the header's text, not NULL. */
bool if_match_names(const char *tags, const char *etag);

#endif
