/* Problem details, written by hand: one flat object whose members come in a fixed
 * order. A problem the service made (errand.v1.Problem in the status' details) is
 * transcoded as it is. */
#include "gateway/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/transcode.h"

#define PROBLEM_TYPE "application/problem+json"

enum { PROBLEM_STATUS = 3, PROBLEM_INSTANCE = 5, PROBLEM_RETRY_AFTER = 9 }; /* fields of errand.v1.Problem */
enum { FAILED_DEPENDENCY = 424 };

/* Whoever is told to come again later is told when. */
static void problem_retry_default(struct http_request *r, int status, int code)
{
	if (status == 413) /* stays too large */
		return;
	if (code == ERRAND_UNAVAILABLE || code == ERRAND_RESOURCE_EXHAUSTED)
		http_set_header(r, "Retry-After", "1");
}

void problem_set_form(struct http_request *r, const struct problem_form *form)
{
	http_set_user(r, (void *)(uintptr_t)form);
}

/* As RFC 9457 has it, unless the client speaks something else. */
static void problem_send(struct http_request *r, const struct problem *p)
{
	const struct problem_form *form = http_user(r);
	struct buf body = BUF_INIT;

	if (form != NULL) {
		form->reply(r, p);
		return;
	}
	if (p->answer != NULL)
		problem_write_status(&body, p->snapshot, p->answer, http_path(r));
	else
		problem_write(&body, p->status, p->code, p->detail, http_path(r), p->faults);
	http_reply(r, p->status, PROBLEM_TYPE, &body);
}

void problem_reply(struct http_request *r, int status, int code, const char *detail_fmt, ...)
{
	char detail[512];
	va_list ap;

	va_start(ap, detail_fmt);
	vsnprintf(detail, sizeof detail, detail_fmt, ap);
	va_end(ap);
	problem_retry_default(r, status, code);
	problem_send(r, &(struct problem){.status = status, .code = code, .detail = detail});
}

void problem_reply_later(struct http_request *r, int status, int code, uint64_t seconds, const char *detail)
{
	char text[32];

	snprintf(text, sizeof text, "%llu", (unsigned long long)MAX(seconds, 1));
	http_set_header(r, "Retry-After", text);
	problem_send(r, &(struct problem){.status = status, .code = code, .detail = detail});
}

void problem_reply_faults(struct http_request *r, const struct fault_list *faults)
{
	size_t n = faults->n + faults->n_dropped;
	char detail[64];

	snprintf(detail, sizeof detail, "%zu faults in the request", n);
	problem_send(r, &(struct problem){
		.status = fault_http_status(faults),
		.code = ERRAND_INVALID_ARGUMENT,
		.detail = n == 1 ? faults->items[0].detail : detail,
		.faults = faults,
	});
}

/* What the gateway needs to know of a service's problem. */
struct problem_facts {
	int status;         /* 0 = not said */
	double retry_after; /* seconds; 0 = not said */
};

static struct problem_facts problem_read(struct bytes details)
{
	struct problem_facts facts = {0, 0};
	struct pbuf_reader reader = pbuf_reader(details.data, details.len);
	struct pbuf_field f;

	while (pbuf_next(&reader, &f)) {
		if (f.number == PROBLEM_STATUS && f.wire == PBUF_VARINT)
			facts.status = (int)f.value;
		else if (f.number == PROBLEM_RETRY_AFTER && f.wire == PBUF_I64)
			facts.retry_after = pbuf_double(f.value);
	}
	if (facts.status < 400 || facts.status > 599)
		facts.status = 0;
	return facts;
}

/* The problem with the place it happened at, which the service does not know. 424 is a
 * problem of something else, told as it was. */
static struct bytes problem_at(struct bytes details, const char *instance, struct buf *out)
{
	struct pbuf_reader reader = pbuf_reader(details.data, details.len);
	struct pbuf_field f;

	while (pbuf_next(&reader, &f))
		if ((f.number == PROBLEM_INSTANCE && f.wire == PBUF_LEN && f.bytes.len > 0) ||
		    (f.number == PROBLEM_STATUS && f.value == FAILED_DEPENDENCY))
			return details;
	if (instance == NULL || reader.bad)
		return details;
	buf_append(out, details.data, details.len);
	pbuf_put_str(out, PROBLEM_INSTANCE, instance);
	return buf_bytes(out);
}

void problem_write_status(struct buf *b, const struct snapshot *s, const struct wire_response *w,
			  const char *instance)
{
	const struct transcode_write o = {.schema = s != NULL ? s->schema : NULL, .skip_zero = true};
	AUTO_BUF placed = BUF_INIT;
	size_t start = b->len;
	char detail[1024], why[128];

	if (w->details.len != 0 && s != NULL && s->problem != NULL) {
		if (transcode_to_json(&o, s->problem, problem_at(w->details, instance, &placed), b, why, sizeof why) == 0)
			return;
		b->len = start;
	}
	snprintf(detail, sizeof detail, "%.*s", (int)MIN(w->message.len, sizeof detail - 1),
		 w->message.len != 0 ? (const char *)w->message.data : "");
	problem_write(b, err_info(w->code)->http, w->code, detail, instance, NULL);
}

static void problem_retry(struct http_request *r, int status, const struct problem_facts *facts,
			  const struct wire_response *w)
{
	struct bytes given = wire_pair_get(w->metadata, w->n_metadata, "retry-after");
	char text[32];

	if (given.len != 0)
		snprintf(text, sizeof text, "%.*s", (int)MIN(given.len, sizeof text - 1), (const char *)given.data);
	else if (facts->retry_after > 0 && facts->retry_after < 1e9)
		snprintf(text, sizeof text, "%.0f", facts->retry_after + 0.499);
	else {
		problem_retry_default(r, status, w->code);
		return;
	}
	http_set_header(r, "Retry-After", text);
}

void problem_reply_status(struct http_request *r, const struct snapshot *s,
			  const struct wire_response *w)
{
	const struct problem_facts facts = problem_read(w->details);
	int status = facts.status != 0 ? facts.status : err_info(w->code)->http;

	problem_retry(r, status, &facts, w);
	problem_send(r, &(struct problem){.status = status, .code = w->code, .answer = w, .snapshot = s});
}
