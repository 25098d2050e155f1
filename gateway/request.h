/* request.h: what an HTTP request asks for, as a ttrpc request: body, path and
 * query become the wire bytes of the method's input, headers become deadline,
 * preferences and metadata. Pure: no I/O, no libevent. */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

#include "gateway/media.h"
#include "gateway/prefer.h"
#include "schema/route.h"
#include "wire/envelope.h"

/* Times in ns. */
struct request_limits {
	int64_t default_deadline, max_deadline, max_wait;
};

/* Why request_build refused. */
enum request_refusal {
	REQUEST_OK = 0,
	REQUEST_FAULTS,      /* see the faults: 400 or 422 */
	REQUEST_MEDIA_TYPE,  /* 415 */
};

/* Whose rules the request follows. */
enum request_codec {
	CODEC_BY_HEADER, /* Content-Type, Accept, Prefer and the query say it */
	CODEC_JSON,      /* Connect: the same both ways, no query, no tasks */
	CODEC_PROTO,
};

struct request {
	enum request_codec codec; /* set before request_build, as are the next three */
	const char *id, *traceparent; /* borrowed; NULL: none */
	bool keep_state;     /* its tracestate belongs to traceparent */
	struct buf payload;  /* owned; kept from request to request */
	struct prefer prefer;
	int64_t timeout_ns;  /* 0 = none */
	enum media_accept accept;
	char wait_text[24];  /* behind the metadata, as the next */
	struct buf tags, match, key, state; /* owned; kept as payload is */
};

void request_deinit(struct request *q);

/* Fills q and out; out borrows from q, src and the route until the next build. */
enum request_refusal request_build(struct request *q, const struct request_source *src,
				   const struct route_match *m, const struct schema *schema,
				   const struct request_limits *limits, struct wire_request *out,
				   struct fault_list *faults);

#endif
