/* HTTP request to ttrpc request. The body is transcoded first; path variables and
 * query parameters are appended as more fields of the same message, since wire
 * bytes of one message may be concatenated. A path variable whose field is in the
 * body as well must say the same: the two encodings are compared.
 *
 * Pure; one struct request per exchange, its buffer reused. */
#define _GNU_SOURCE
#include "gateway/request.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "gateway/body.h"
#include "gateway/deadline.h"
#include "gateway/etag.h"
#include "gateway/httpbody.h"
#include "gateway/idempotency.h"
#include "schema/query.h"
#include "schema/validate.h"
#include "schema/variables.h"

enum { TRACESTATE_MAX = 512 };

void request_deinit(struct request *q)
{
	buf_deinit(&q->payload);
	buf_deinit(&q->tags);
	buf_deinit(&q->match);
	buf_deinit(&q->key);
	buf_deinit(&q->state);
}

/* --- body --- */

static enum request_refusal request_body(const struct request *q, const struct request_source *src,
					 const struct route *r, const struct schema *schema,
					 struct buf *out, struct fault_list *faults)
{
	static const enum media_body forms[] = {
		[CODEC_JSON] = BODY_JSON, [CODEC_PROTO] = BODY_PROTOBUF,
	};

	if (src->body.len == 0 && q->codec != CODEC_JSON)
		return REQUEST_OK;
	return body_to_wire(q->codec == CODEC_BY_HEADER ? media_body(src) : forms[q->codec], src, r, schema,
			    out, faults);
}

/* --- metadata --- */

static struct bytes text_bytes(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void request_pass_header(const struct request_source *src, const char *name, const char *key,
				struct wire_request *out)
{
	const char *value = headers_get(src, name);
	struct bytes text;

	if (value == NULL || *value == '\0')
		return;
	text = text_bytes(value);
	if (json_utf8_valid(text.data, text.len) == text.len) /* metadata are strings */
		wire_pair_add(out->metadata, &out->n_metadata, key, text);
}

/* Tags as the service knows them: without what etag.c adds. */
static void request_pass_tags(const struct request_source *src, const char *name, const char *key,
			      struct buf *tags, struct wire_request *out)
{
	const char *given = headers_get(src, name);

	if (given == NULL || *given == '\0' || json_utf8_valid((const uint8_t *)given, strlen(given)) != strlen(given))
		return;
	buf_reset(tags);
	etag_strip(given, tags);
	wire_pair_add(out->metadata, &out->n_metadata, key, buf_bytes(tags));
}

/* All headers of that name are one list (W3C Trace Context). It is passed on as it is, or not at all. */
static void request_pass_state(struct request *q, const struct request_source *src, struct wire_request *out)
{
	const char *value;

	buf_reset(&q->state);
	for (unsigned n = 0; (value = src->header(src->from, "tracestate", n)) != NULL; n++) {
		if (q->state.len > 0)
			buf_append_byte(&q->state, ',');
		buf_append_str(&q->state, value);
	}
	if (q->state.len == 0 || q->state.len > TRACESTATE_MAX)
		return;
	for (size_t i = 0; i < q->state.len; i++)
		if (q->state.data[i] < ' ' || q->state.data[i] > '~')
			return;
	wire_pair_add(out->metadata, &out->n_metadata, "tracestate", buf_bytes(&q->state));
}

static void request_metadata(struct request *q, const struct request_source *src,
			     const struct schema_method *m, struct wire_request *out)
{
	/* who speaks Connect knows no tasks: the call waits for the result */
	if (q->codec == CODEC_BY_HEADER && (m->run == RUN_TASK || q->prefer.respond_async))
		wire_pair_add(out->metadata, &out->n_metadata, "errand-task", text_bytes("accept"));
	if (q->prefer.respond_async)
		wire_pair_add(out->metadata, &out->n_metadata, "prefer-async", text_bytes("1"));
	if (q->prefer.wait_ns > 0) {
		snprintf(q->wait_text, sizeof q->wait_text, "%" PRId64, q->prefer.wait_ns);
		wire_pair_add(out->metadata, &out->n_metadata, "prefer-wait", text_bytes(q->wait_text));
	}
	if (q->accept == ACCEPT_SSE)
		wire_pair_add(out->metadata, &out->n_metadata, "accept", text_bytes("text/event-stream"));
	request_pass_tags(src, "If-None-Match", "if-none-match", &q->tags, out);
	request_pass_tags(src, "If-Match", "if-match", &q->match, out);
	if (q->key.len > 0)
		wire_pair_add(out->metadata, &out->n_metadata, "idempotency-key", buf_bytes(&q->key));
	request_pass_header(src, "Last-Event-ID", "last-event-id", out);
	if (q->id != NULL)
		wire_pair_add(out->metadata, &out->n_metadata, "x-request-id", text_bytes(q->id));
	if (q->traceparent != NULL)
		wire_pair_add(out->metadata, &out->n_metadata, "traceparent", text_bytes(q->traceparent));
	if (q->keep_state)
		request_pass_state(q, src, out);
}

/* A stream has no deadline unless the client sets one; a wait comes on top. */
static int64_t request_timeout(const struct request *q, const struct schema_method *m,
			       const struct request_limits *limits, int64_t asked)
{
	if (m->server_streaming)
		return asked;
	return (asked != 0 ? asked : limits->default_deadline) + q->prefer.wait_ns;
}

/* What is wanted back, and how. */
static void request_forms(struct request *q, const struct request_source *src, const struct route *r,
			  const struct request_limits *limits, struct fault_list *faults)
{
	static const enum media_accept forms[] = {
		[CODEC_JSON] = ACCEPT_JSON, [CODEC_PROTO] = ACCEPT_PROTO,
	};

	q->prefer = (struct prefer){0};
	if (q->codec != CODEC_BY_HEADER) {
		q->accept = forms[q->codec];
		return;
	}
	q->accept = httpbody_out(r) ? ACCEPT_RAW : media_accept(src, r->method->server_streaming);
	prefer_read(src, limits->max_wait, &q->prefer, faults);
}

enum request_refusal request_build(struct request *q, const struct request_source *src,
				   const struct route_match *m, const struct schema *schema,
				   const struct request_limits *limits, struct wire_request *out,
				   struct fault_list *faults)
{
	const struct schema_method *method = m->route->method;
	enum request_refusal refusal;
	int64_t asked;

	buf_reset(&q->payload);
	request_forms(q, src, m->route, limits, faults);
	asked = deadline_read(src, method->server_streaming ? INT64_MAX : limits->max_deadline, faults);
	idempotency_read(src, &q->key, faults);
	refusal = request_body(q, src, m->route, schema, &q->payload, faults);
	if (refusal == REQUEST_MEDIA_TYPE)
		return refusal;
	variables_to_wire(m, &q->payload, faults);
	if (q->codec == CODEC_BY_HEADER)
		query_to_wire(m->route, src->query, &q->payload, faults);
	if (faults->n != 0 || validate_message(method->input, buf_bytes(&q->payload), m->route, faults) < 0)
		return REQUEST_FAULTS;
	q->timeout_ns = request_timeout(q, method, limits, asked);
	out->service = text_bytes(method->service->name);
	out->method = text_bytes(method->name);
	out->payload = buf_bytes(&q->payload);
	out->timeout_ns = q->timeout_ns;
	out->streaming = method->server_streaming;
	out->n_metadata = 0;
	request_metadata(q, src, method, out);
	return REQUEST_OK;
}
