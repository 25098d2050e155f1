/* HTTP request to ttrpc request. The body is transcoded first; path variables and
 * query parameters are appended as more fields of the same message, since wire
 * bytes of one message may be concatenated. A path variable whose field is in the
 * body as well must say the same: the two encodings are compared.
 *
 * Pure; one struct request per exchange, its buffer reused. */
#define _GNU_SOURCE
#include "gateway/request.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/pbuf.h"
#include "schema/query.h"
#include "schema/transcode.h"
#include "schema/variables.h"

enum body_type { BODY_JSON, BODY_PROTOBUF, BODY_OTHER };

void request_deinit(struct request *q)
{
	buf_deinit(&q->payload);
}

static const char *source_header(const struct request_source *src, const char *name)
{
	return src->header(src->from, name, 0);
}

/* --- lists of header values --- */

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t");
}

/* Is the text up to `len` this word (any case)? */
static bool word_is(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(p, word, len) == 0;
}

/* The end of a list element: the next comma outside quotes. */
static const char *element_end(const char *p)
{
	bool quoted = false;

	for (; *p != '\0' && (quoted || *p != ','); p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (quoted && *p == '\\' && p[1] != '\0')
			p++;
	}
	return p;
}

static size_t trimmed(const char *p, const char *end)
{
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return (size_t)(end - p);
}

static void header_fault(struct fault_list *faults, const char *name, const char *value, const char *detail)
{
	fault_add(faults, FAULT_SYNTAX, FAULT_HEADER, name, "syntax", value, strlen(value), "%s", detail);
}

/* --- Content-Type --- */

static enum body_type media_type(const char *p, size_t len)
{
	if (word_is(p, len, "application/json"))
		return BODY_JSON;
	if (word_is(p, len, "application/x-protobuf") || word_is(p, len, "application/proto") ||
	    word_is(p, len, "application/protobuf"))
		return BODY_PROTOBUF;
	return BODY_OTHER;
}

static enum body_type body_type(const struct request_source *src)
{
	const char *p = source_header(src, "Content-Type");
	const char *coding = source_header(src, "Content-Encoding");
	const char *charset, *semicolon;
	enum body_type type;

	if (p == NULL || (coding != NULL && strcasecmp(coding, "identity") != 0))
		return BODY_OTHER;
	if (strcmp(p, "application/json") == 0)
		return BODY_JSON;
	p = skip_space(p);
	semicolon = strchrnul(p, ';');
	type = media_type(p, trimmed(p, semicolon));
	charset = strcasestr(semicolon, "charset=");
	if (charset == NULL)
		return type;
	charset += strlen("charset=");
	charset += *charset == '"';
	return strncasecmp(charset, "utf-8", 5) == 0 && !isalnum((unsigned char)charset[5]) &&
		charset[5] != '-' ? type : BODY_OTHER;
}

/* --- Accept --- */

/* q of an element's parameters, in thousandths. */
static int element_quality(const char *p, const char *end)
{
	for (; p < end; p++) {
		const char *v;
		int q = 0, scale = 1000;

		if (*p != ';')
			continue;
		v = skip_space(p + 1);
		if (v + 2 > end || (v[0] | 0x20) != 'q' || v[1] != '=')
			continue;
		for (v += 2; v < end && (isdigit((unsigned char)*v) || *v == '.'); v++) {
			if (*v == '.')
				continue;
			q += (*v - '0') * scale;
			scale /= 10;
		}
		return MIN(q, 1000);
	}
	return 1000;
}

struct offer {
	const char *type;
	enum request_accept form;
};

static const struct offer unary_offers[] = {
	{"application/json", ACCEPT_JSON},
	{"application/x-protobuf", ACCEPT_PROTOBUF},
	{"application/proto", ACCEPT_PROTOBUF},
	{"application/protobuf", ACCEPT_PROTOBUF},
	{NULL, ACCEPT_NONE},
};

static const struct offer stream_offers[] = {
	{"application/json", ACCEPT_JSON},
	{"text/event-stream", ACCEPT_SSE},
	{"application/x-ndjson", ACCEPT_NDJSON},
	{"application/jsonl", ACCEPT_NDJSON},
	{NULL, ACCEPT_NONE},
};

/* How well a range names an offer: 3 exactly, 2 `type` slash star, 1 any, 0 not. */
static int range_match(const char *range, size_t len, const char *type)
{
	const char *slash = strchr(type, '/');

	if (word_is(range, len, type))
		return 3;
	if (len == (size_t)(slash - type) + 2 && strncasecmp(range, type, len - 1) == 0 &&
	    range[len - 1] == '*')
		return 2;
	return len == 3 && memcmp(range, "*/*", 3) == 0;
}

/* The best q x specificity an Accept has for one type; 0 = not acceptable. */
static int accept_score(const struct request_source *src, const char *type)
{
	int best = 0, score = 0;
	const char *p;

	for (unsigned n = 0; (p = src->header(src->from, "Accept", n)) != NULL; n++) {
		for (; *p != '\0'; p += *p == ',') {
			const char *end, *range_end;
			int match;

			p = skip_space(p);
			end = element_end(p);
			range_end = memchr(p, ';', (size_t)(end - p));
			match = range_match(p, trimmed(p, range_end ? range_end : end), type);
			if (match > best) {
				int q = element_quality(p, end);

				best = match;
				score = q == 0 ? 0 : q * 4 + match;
			}
			p = end;
		}
	}
	return score;
}

enum request_accept request_accept(const struct request_source *src, bool streaming)
{
	const char *first = source_header(src, "Accept");
	enum request_accept form = ACCEPT_NONE;
	int best = 0;

	if (first == NULL || *first == '\0' || strcmp(first, "*/*") == 0 ||
	    strcmp(first, "application/json") == 0)
		return ACCEPT_JSON;
	for (const struct offer *o = streaming ? stream_offers : unary_offers; o->type != NULL; o++) {
		int score = accept_score(src, o->type);

		if (score > best) {
			best = score;
			form = o->form;
		}
	}
	return form;
}

/* --- Prefer --- */

static void prefer_element(const char *p, const char *end, int64_t max_wait, struct request_prefer *out,
			   struct fault_list *faults)
{
	const char *params = memchr(p, ';', (size_t)(end - p));
	size_t len = trimmed(p, params != NULL ? params : end), name;
	char digits[16];

	if (word_is(p, len, "respond-async"))
		out->respond_async = true;
	name = strcspn(p, "= \t");
	if (!word_is(p, MIN(name, len), "wait") || out->has_wait)
		return; /* unknown ones are ignored; of two the first counts (RFC 7240, 2) */
	out->has_wait = true;
	p += 4;
	len -= 4;
	while (len > 0 && (*p == ' ' || *p == '\t' || *p == '=' || *p == '"'))
		p++, len--;
	while (len > 0 && p[len - 1] == '"')
		len--;
	snprintf(digits, sizeof digits, "%.*s", (int)MIN(len, sizeof digits - 1), p);
	if (len == 0 || len > 9 || strspn(digits, "0123456789") != len) {
		header_fault(faults, "Prefer", digits, "wait takes a number of seconds: wait=10");
		return;
	}
	out->wait_ns = MIN(strtoll(digits, NULL, 10) * NS_PER_S, max_wait);
}

void request_prefer(const struct request_source *src, int64_t max_wait, struct request_prefer *out,
		    struct fault_list *faults)
{
	const char *p;

	*out = (struct request_prefer){0};
	for (unsigned n = 0; (p = src->header(src->from, "Prefer", n)) != NULL; n++) {
		for (; *p != '\0'; p += *p == ',') {
			const char *end;

			p = skip_space(p);
			end = element_end(p);
			prefer_element(p, end, max_wait, out, faults);
			p = end;
		}
	}
}

/* --- deadlines --- */

/* Seconds with a fraction: "1.5". */
static bool seconds_parse(const char *text, int64_t *out)
{
	int64_t whole = 0, fraction = 0, scale = NS_PER_S;
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 9)
		return false;
	whole = strtoll(text, NULL, 10);
	if (text[n] == '.') {
		for (text += n + 1, n = 0; isdigit((unsigned char)text[n]); n++) {
			scale /= 10;
			fraction += (text[n] - '0') * scale;
		}
		if (n == 0)
			return false;
	}
	*out = whole * NS_PER_S + fraction;
	return text[n] == '\0';
}

/* Connect-Timeout-Ms: at most 10 digits. */
static bool milliseconds_parse(const char *text, int64_t *out)
{
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n > 10 || text[n] != '\0')
		return false;
	*out = strtoll(text, NULL, 10) * NS_PER_MS;
	return true;
}

/* Grpc-Timeout: at most 8 digits and a unit. */
static bool grpc_parse(const char *text, int64_t *out)
{
	static const char units[] = "HMSmun";
	static const int64_t ns[] = {3600 * NS_PER_S, 60 * NS_PER_S, NS_PER_S, NS_PER_MS, 1000, 1};
	size_t n = strspn(text, "0123456789");
	const char *unit;

	if (n == 0 || n > 8 || text[n] == '\0' || text[n + 1] != '\0')
		return false;
	unit = strchr(units, text[n]);
	if (unit == NULL)
		return false;
	*out = strtoll(text, NULL, 10);
	if (*out > INT64_MAX / ns[unit - units])
		*out = INT64_MAX;
	else
		*out *= ns[unit - units];
	return true;
}

static const struct {
	const char *name, *advice;
	bool (*parse)(const char *text, int64_t *out);
} deadlines[] = {
	{"X-Server-Timeout", "takes seconds: 2.5", seconds_parse},
	{"Connect-Timeout-Ms", "takes milliseconds, at most 10 digits", milliseconds_parse},
	{"Grpc-Timeout", "takes at most 8 digits and one of H M S m u n: 500m", grpc_parse},
};

int64_t request_deadline(const struct request_source *src, int64_t max, struct fault_list *faults)
{
	int64_t least = 0, ns;

	for (size_t i = 0; i < ARRAY_LEN(deadlines); i++) {
		const char *text = source_header(src, deadlines[i].name);

		if (text == NULL)
			continue;
		if (!deadlines[i].parse(text, &ns) || ns <= 0)
			header_fault(faults, deadlines[i].name, text, deadlines[i].advice);
		else if (least == 0 || ns < least)
			least = ns;
	}
	return MIN(least, max);
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
	const struct transcode_read o = {.schema = schema};
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
	enum body_type type;

	if (src->body.len == 0)
		return REQUEST_OK;
	if (!r->body_all && r->body == NULL) {
		fault_add(faults, FAULT_SYNTAX, FAULT_POINTER, "#", "body", NULL, 0,
			  "this method takes no body: its parameters go into the path and the query");
		return REQUEST_FAULTS;
	}
	type = body_type(src);
	if (type == BODY_OTHER)
		return REQUEST_MEDIA_TYPE;
	if (type == BODY_PROTOBUF)
		return body_protobuf(r, src->body, out);
	return body_json(r, src->body, schema, out, faults);
}

/* --- metadata --- */

static struct bytes text_bytes(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void request_pass_header(const struct request_source *src, const char *name, const char *key,
				struct wire_request *out)
{
	const char *value = source_header(src, name);
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
	q->accept = request_accept(src, method->server_streaming);
	request_prefer(src, limits->max_wait, &q->prefer, faults);
	asked = request_deadline(src, method->server_streaming ? INT64_MAX : limits->max_deadline, faults);
	refusal = request_body(src, m->route, schema, &q->payload, faults);
	if (refusal == REQUEST_MEDIA_TYPE)
		return refusal;
	variables_to_wire(m, &q->payload, faults);
	query_to_wire(m->route, src->query, &q->payload, faults);
	if (faults->n != 0)
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
