/* etag.h: entity tags (RFC 9110, 8.8.3 and 13.1.2). A service's own tags are passed on;
 * answers to GET that have none get a weak one, from the message's bytes, the schema
 * and the form. An answer that is packed is another representation, so a strong tag
 * of the service's says so: "7" is "7--gzip" then, and is read back as "7". Pure, but
 * for etag_known. */
#ifndef GATEWAY_ETAG_H
#define GATEWAY_ETAG_H

#include <stdbool.h>

#include "gateway/http.h"

#define ETAG_MAX 256 /* bytes of a tag with its quotes and its NUL */

/* W/"..." of a message: key tells schema and form apart. */
void etag_make(const uint64_t key[2], struct bytes message, char out[ETAG_MAX]);
/* The tag of the packed answer. False when it is too long. */
bool etag_packed(const char *tag, char out[ETAG_MAX]);
enum etag_match {
	ETAG_OTHER = 0,
	ETAG_SAME = 1,
	ETAG_PACKED = 2, /* the client has the packed answer */
};

/* Is the tag one of If-None-Match's? Weak comparison. */
enum etag_match etag_matches(const char *list, struct bytes tag);
/* The same, of all the request's If-None-Match. */
enum etag_match etag_known(const struct http_request *r, const char *tag);
/* Appends the list with the tags as the service made them. */
void etag_strip(const char *list, struct buf *out);

#endif
