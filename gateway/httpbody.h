/* httpbody.h: google.api.HttpBody: bytes of any type, which cross the gateway as
 * they are. On annotated routes only; POST /pkg.Service/Method has its ProtoJSON and
 * its wire form like any message's. Pure. */
#ifndef GATEWAY_HTTPBODY_H
#define GATEWAY_HTTPBODY_H

#include "schema/route.h"

struct httpbody {
	struct bytes content_type, data; /* borrowed */
};

/* Is the request's body, or the answer's, raw? */
bool httpbody_in(const struct route *r);
bool httpbody_out(const struct route *r);

/* Appends the message. */
void httpbody_write(struct buf *out, const struct httpbody *body);
/* Reads what the route's response shows of the wire bytes of the method's output; it
 * lies in them or in scratch. False when they are not such a message. */
bool httpbody_read(const struct route *r, struct bytes wire, struct buf *scratch, struct httpbody *body);
/* The content type as a header's value: application/octet-stream when there is none.
 * False when it holds what no header may. */
bool httpbody_type(const struct httpbody *body, char *out, size_t size);

#endif
