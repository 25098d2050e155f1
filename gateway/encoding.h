/* encoding.h: content codings: which one a body has (Content-Encoding), which ones
 * an answer may have (Accept-Encoding; RFC 9110, 8.4 and 12.5.3). Pure. */
#ifndef GATEWAY_ENCODING_H
#define GATEWAY_ENCODING_H

#include "gateway/headers.h"

enum encoding { ENCODING_IDENTITY, ENCODING_GZIP, ENCODING_OTHER };

/* What Accept-Encoding leaves. */
struct encoding_choice {
	bool gzip;     /* liked at least as much as none */
	bool identity; /* allowed */
};

/* Of one coding's name, as in ?compression=gzip; "" and NULL: identity. */
enum encoding encoding_of(const char *name);
/* Of the request's body. Several codings, one over the other, are OTHER. */
enum encoding encoding_body(const struct request_source *src);
struct encoding_choice encoding_choose(const struct request_source *src);

#endif
