/* media.h: which form a body has (Content-Type) and which form the answer may have
 * (Accept). The forms of messages are here; what is raw (google.api.HttpBody) is
 * request.c's and answer.c's to see. Pure. */
#ifndef GATEWAY_MEDIA_H
#define GATEWAY_MEDIA_H

#include "gateway/headers.h"

enum media_body { BODY_JSON, BODY_PROTOBUF, BODY_OTHER };

/* What the client accepts as an answer. */
enum media_accept {
	ACCEPT_JSON,
	ACCEPT_PROTOBUF,       /* application/x-protobuf */
	ACCEPT_PROTOBUF_PLAIN, /* application/protobuf */
	ACCEPT_PROTO,          /* application/proto */
	ACCEPT_SSE,            /* streams only, as the next */
	ACCEPT_NDJSON,
	ACCEPT_RAW,            /* google.api.HttpBody: whatever it holds */
	ACCEPT_NONE,           /* nothing that the method could answer: 406 */
};

/* A missing Content-Type, an unknown one, parameters that do not parse, a charset
 * that is not UTF-8: BODY_OTHER. */
enum media_body media_body(const struct request_source *src);
/* Which form of answer Accept asks for, of those a unary or a streaming method has. */
enum media_accept media_accept(const struct request_source *src, bool streaming);

#endif
