/* content.h: the codings of one request before it is read: which ones its answer may
 * have, and its body without its own. Loop thread only. */
#ifndef GATEWAY_CONTENT_H
#define GATEWAY_CONTENT_H

#include "gateway/encoding.h"
#include "gateway/exchange.h"

struct content {
	struct http_request *http;
	struct gateway_thread *thread;
	bool streams;        /* the answer does: it is never packed */
	bool connect;        /* refuse as Connect says */
	bool must_pack;      /* out: the client takes no answer as it is (identity;q=0) */
	struct buf unpacked; /* owned: what src->body points into afterwards */
};

/* Reads Accept-Encoding. False: answered with 406. */
bool content_negotiate(struct content *c, const struct request_source *src);
/* Undoes the coding of src->body. False: answered with 400, 413 or 415. */
bool content_unpack(struct content *c, enum encoding encoding, struct request_source *src);

#endif
