/* answer.h: what the service answered to a call that is not a stream, as HTTP: its
 * metadata as headers, its message in the form the client accepts, 304 for what the
 * client has already, a problem for a status. Loop thread only. */
#ifndef GATEWAY_ANSWER_H
#define GATEWAY_ANSWER_H

#include "gateway/exchange.h"
#include "gateway/media.h"
#include "gateway/snapshot.h"
#include "wire/envelope.h"

struct answer {
	struct gateway_thread *thread;
	struct http_request *http;
	const struct snapshot *snapshot;
	const struct route *route;
	enum media_accept form;
	bool must_pack; /* the client takes no answer as it is (identity;q=0) */
	bool plain;     /* always 200: who speaks Connect knows no other success */
};

/* Can the route's answer be in that form at all? Otherwise 406. */
bool answer_has_form(const struct route *r, enum media_accept form);

/* Answers a->http. */
void answer_send(const struct answer *a, const struct wire_response *w);

#endif
