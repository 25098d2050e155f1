/* problem.h: RFC 9457 problem details, the body of every error. */
#ifndef GATEWAY_PROBLEM_H
#define GATEWAY_PROBLEM_H

#include "gateway/http.h"
#include "gateway/snapshot.h"
#include "schema/problem.h"
#include "wire/envelope.h"

/* One error, before it has a form. */
struct problem {
	int status, code;                   /* HTTP's; enum errand_code */
	const char *detail;                 /* a sentence */
	const struct fault_list *faults;    /* or NULL */
	const struct wire_response *answer; /* of a service; or NULL */
	const struct snapshot *snapshot;    /* of that service's schema; or NULL */
};

/* How a client that speaks another protocol (Connect) wants its errors. */
struct problem_form {
	void (*reply)(struct http_request *r, const struct problem *p);
};
/* All problems of r are written like that from now on; it is kept as r's user. */
void problem_set_form(struct http_request *r, const struct problem_form *form);

/* Answers r with status, code (enum errand_code) and a sentence. */
void problem_reply(struct http_request *r, int status, int code, const char *detail_fmt, ...)
	PRINTF(4, 5);
/* The same to a client that may come again in so many seconds. */
void problem_reply_later(struct http_request *r, int status, int code, uint64_t seconds, const char *detail);
/* 400 or 422 with all faults. */
void problem_reply_faults(struct http_request *r, const struct fault_list *faults);
/* What a service answered: its problem (details) when there is one, else from code
 * and message. */
void problem_reply_status(struct http_request *r, const struct snapshot *s,
			  const struct wire_response *w);

/* The JSON alone, for streams that fail after their head; problem_write is in
 * schema/problem.h. */
void problem_write_status(struct buf *b, const struct snapshot *s, const struct wire_response *w,
			  const char *instance);

#endif
