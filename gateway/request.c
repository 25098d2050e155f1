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
#include "base/pbuf.h"
#include "gateway/deadline.h"
#include "schema/query.h"
#include "schema/transcode.h"
#include "schema/validate.h"
#include "schema/variables.h"

void request_deinit(struct request *q)
{
	buf_deinit(&q->payload);
}

/* --- body --- */

static void body_wrap(const struct schema_field *f, struct bytes body, struct buf *out)
{
	pbuf_put_bytes(out, f->number, body.data, body.len);
}

static enum request_refusal body_protobuf(const struct route *r, struct bytes body, struct buf *out)
{
	if (r->body_all) {
		buf_append(out, body.data, body.len);
		return REQUEST_OK;
	}
	if (r->body->type != FIELD_MESSAGE || r->body->repeated || r->body->map)
		return REQUEST_MEDIA_TYPE;
	body_wrap(r->body, body, out);
	return REQUEST_OK;
}

static enum request_refusal body_json(const struct route *r, struct bytes body, const struct schema *schema,
				      struct buf *out, struct fault_list *faults)
{
	const struct transcode_read o = {
		.schema = schema,
		.keep_zero = r->template != NULL && r->template->n_variables != 0, /* the path may say 5 */
	};
	const char *text = (const char *)body.data;
	int rc;

	if (r->body_all)
		rc = transcode_from_json(&o, r->method->input, text, body.len, "#", out, faults);
	else
		rc = transcode_field_from_json(&o, r->body, text, body.len, "#", out, faults);
	return rc < 0 ? REQUEST_FAULTS : REQUEST_OK;
}

static enum request_refusal request_body(const struct request_source *src, const struct route *r,
					 const struct schema *schema, struct buf *out,
					 struct fault_list *faults)
{
	enum request_refusal refusal;
	enum media_body type;

	if (src->body.len == 0)
		return REQUEST_OK;
	if (!r->body_all && r->body == NULL) {
		fault_add(faults, FAULT_SYNTAX, FAULT_POINTER, "#", "body", NULL, 0,
			  "this method takes no body: its parameters go into the path and the query");
		return REQUEST_FAULTS;
	}
	type = media_body(src);
	if (type == BODY_OTHER)
		return REQUEST_MEDIA_TYPE;
	refusal = type == BODY_PROTOBUF ? body_protobuf(r, src->body, out) :
		body_json(r, src->body, schema, out, faults);
	field_path_wrap(&r->body_path, out, 0);
	return refusal;
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

static void request_metadata(struct request *q, const struct request_source *src,
			     const struct schema_method *m, struct wire_request *out)
{
	if (m->run == RUN_TASK || q->prefer.respond_async)
		wire_pair_add(out->metadata, &out->n_metadata, "errand-task", text_bytes("accept"));
	if (q->prefer.respond_async)
		wire_pair_add(out->metadata, &out->n_metadata, "prefer-async", text_bytes("1"));
	if (q->prefer.wait_ns > 0) {
		snprintf(q->wait_text, sizeof q->wait_text, "%" PRId64, q->prefer.wait_ns);
		wire_pair_add(out->metadata, &out->n_metadata, "prefer-wait", text_bytes(q->wait_text));
	}
	if (q->accept == ACCEPT_SSE)
		wire_pair_add(out->metadata, &out->n_metadata, "accept", text_bytes("text/event-stream"));
	request_pass_header(src, "If-None-Match", "if-none-match", out);
	request_pass_header(src, "Last-Event-ID", "last-event-id", out);
	request_pass_header(src, "traceparent", "traceparent", out);
}

/* A stream has no deadline unless the client sets one; a wait comes on top. */
static int64_t request_timeout(const struct request *q, const struct schema_method *m,
			       const struct request_limits *limits, int64_t asked)
{
	if (m->server_streaming)
		return asked;
	return (asked != 0 ? asked : limits->default_deadline) + q->prefer.wait_ns;
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
	q->accept = media_accept(src, method->server_streaming);
	prefer_read(src, limits->max_wait, &q->prefer, faults);
	asked = deadline_read(src, method->server_streaming ? INT64_MAX : limits->max_deadline, faults);
	refusal = request_body(src, m->route, schema, &q->payload, faults);
	if (refusal == REQUEST_MEDIA_TYPE)
		return refusal;
	variables_to_wire(m, &q->payload, faults);
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
