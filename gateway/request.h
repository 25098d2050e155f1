/* request.h: what an HTTP request asks for, as a ttrpc request: body, path and
 * query become the wire bytes of the method's input, headers become deadline,
 * preferences and metadata. Pure: no I/O, no libevent. */
#ifndef GATEWAY_REQUEST_H
#define GATEWAY_REQUEST_H

#include "schema/route.h"
#include "wire/envelope.h"

/* Times in ns. */
struct request_limits {
	int64_t default_deadline, max_deadline, max_wait;
};

/* The HTTP side; all borrowed. */
struct request_source {
	const char *query;  /* raw */
	struct bytes body;
	/* The n-th header of that name, or NULL. */
	const char *(*header)(const void *from, const char *name, unsigned n);
	const void *from;
};

/* What the client accepts as an answer. */
enum request_accept {
	ACCEPT_JSON,
	ACCEPT_PROTOBUF,
	ACCEPT_SSE,    /* streams only, as the next */
	ACCEPT_NDJSON,
	ACCEPT_NONE,   /* nothing that the method could answer: 406 */
};

struct request_prefer {
	bool respond_async;
	bool has_wait;
	int64_t wait_ns; /* 0 = not asked for; clamped to max_wait */
};

/* Why request_build refused. */
enum request_refusal {
	REQUEST_OK = 0,
	REQUEST_FAULTS,      /* see the faults: 400 or 422 */
	REQUEST_MEDIA_TYPE,  /* 415 */
};

struct request {
	struct buf payload;  /* owned; kept from request to request */
	struct request_prefer prefer;
	int64_t timeout_ns;  /* 0 = none */
	enum request_accept accept;
	char wait_text[24];  /* behind the metadata */
};

void request_deinit(struct request *q);

/* Which form of answer Accept asks for, of those a unary or a streaming method has. */
enum request_accept request_accept(const struct request_source *src, bool streaming);

/* Fills q and out; out borrows from q, src and the route until the next build. */
enum request_refusal request_build(struct request *q, const struct request_source *src,
				   const struct route_match *m, const struct schema *schema,
				   const struct request_limits *limits, struct wire_request *out,
				   struct fault_list *faults);

/* Prefer (RFC 7240) and the three deadline headers; faults name the header. */
void request_prefer(const struct request_source *src, int64_t max_wait, struct request_prefer *out,
		    struct fault_list *faults);
/* The smallest that was asked for, at most max; 0 when none was. */
int64_t request_deadline(const struct request_source *src, int64_t max, struct fault_list *faults);

#endif
