/* connect.h: unary calls as Connect has them (connectrpc.com/docs/protocol), so that
 * its own clients work: POST /pkg.Service/Method with Connect-Protocol-Version: 1, and
 * GET with ?connect=v1 for methods without side effects. What differs from a call
 * of ours: the codec of the request is the answer's; errors are Connect's JSON; a
 * task's result is waited for, since there is no word for 202. Streams are refused
 * with its code `unimplemented`. Loop thread only. */
#ifndef GATEWAY_CONNECT_H
#define GATEWAY_CONNECT_H

#include "gateway/encoding.h"
#include "gateway/http.h"
#include "gateway/request.h"
#include "schema/route.h"

/* Does r speak Connect, as far as its head tells? */
bool connect_is_post(const struct http_request *r);
bool connect_is_get(const struct http_request *r);

/* Errors of r are Connect's from now on. */
void connect_begin(struct http_request *r);

/* What the head says of the call. */
struct connect_call {
	enum request_codec codec;
	enum encoding encoding; /* of the message */
};

/* Reads it; for GET the message is put into *message (empty before), which src->body
 * then is. False: r is answered. */
bool connect_open(struct http_request *r, const struct schema_method *m, struct request_source *src,
		  struct buf *message, struct connect_call *out);
/* GET of a method that may have side effects. */
void connect_refuse_get(struct http_request *r);

#endif
