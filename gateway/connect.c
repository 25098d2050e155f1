/* See connect.h. The checks come in the order in which Connect's own servers make
 * them: codec (415), version, message, compression; so the same wrong request gets
 * the same error everywhere. */
#define _GNU_SOURCE
#include "gateway/connect.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/err.h"
#include "base/json.h"
#include "base/pbuf.h"
#include "gateway/problem.h"
#include "schema/base64.h"
#include "schema/transcode.h"

#define CODECS "application/json, application/proto"

static const struct {
	const char *type, *name; /* of Content-Type, of ?encoding= */
	enum request_codec codec;
} codecs[] = {
	{"application/json", "json", CODEC_JSON},
	{"application/proto", "proto", CODEC_PROTO},
};

/* --- errors --- */

/* Connect's name and HTTP status of a code. */
static const struct {
	const char *name;
	int status;
} codes[] = {
	[ERRAND_OK] = {"unknown", 500},
	[ERRAND_CANCELLED] = {"canceled", 499},
	[ERRAND_UNKNOWN] = {"unknown", 500},
	[ERRAND_INVALID_ARGUMENT] = {"invalid_argument", 400},
	[ERRAND_DEADLINE_EXCEEDED] = {"deadline_exceeded", 504},
	[ERRAND_NOT_FOUND] = {"not_found", 404},
	[ERRAND_ALREADY_EXISTS] = {"already_exists", 409},
	[ERRAND_PERMISSION_DENIED] = {"permission_denied", 403},
	[ERRAND_RESOURCE_EXHAUSTED] = {"resource_exhausted", 429},
	[ERRAND_FAILED_PRECONDITION] = {"failed_precondition", 400},
	[ERRAND_ABORTED] = {"aborted", 409},
	[ERRAND_OUT_OF_RANGE] = {"out_of_range", 400},
	[ERRAND_UNIMPLEMENTED] = {"unimplemented", 501},
	[ERRAND_INTERNAL] = {"internal", 500},
	[ERRAND_UNAVAILABLE] = {"unavailable", 503},
	[ERRAND_DATA_LOSS] = {"data_loss", 500},
	[ERRAND_UNAUTHENTICATED] = {"unauthenticated", 401},
};

static size_t code_index(int code)
{
	return code < 0 || (size_t)code >= ARRAY_LEN(codes) ? ERRAND_UNKNOWN : (size_t)code;
}

/* base64 without padding, as Connect writes it. */
static void put_base64(struct buf *b, struct bytes data)
{
	buf_append_byte(b, '"');
	base64_encode(b, data);
	while (b->len != 0 && b->data[b->len - 1] == '=')
		b->len--;
	buf_append_byte(b, '"');
}

/* "#/note/title" is note.title to google.rpc.BadRequest. */
static void put_field_name(struct buf *b, const struct fault *f)
{
	const char *p = f->where;

	if (f->place == FAULT_POINTER) {
		p += *p == '#';
		p += *p == '/';
	}
	for (; *p != '\0'; p++)
		buf_append_byte(b, *p == '/' && f->place == FAULT_POINTER ? '.' : (uint8_t)*p);
}

enum { VIOLATIONS = 1, FIELD = 1, DESCRIPTION = 2, REASON = 3 }; /* of BadRequest */

static void put_violation(struct buf *wire, const struct fault *f)
{
	AUTO_BUF inner = BUF_INIT;
	AUTO_BUF name = BUF_INIT;

	put_field_name(&name, f);
	pbuf_put_bytes(&inner, FIELD, name.data, name.len);
	pbuf_put_str(&inner, DESCRIPTION, f->detail);
	pbuf_put_str(&inner, REASON, f->rule);
	pbuf_put_bytes(wire, VIOLATIONS, inner.data, inner.len);
}

/* The same for people. */
static void put_debug(struct buf *b, const struct fault_list *faults)
{
	buf_append_str(b, "{\"fieldViolations\":[");
	for (size_t i = 0; i < faults->n; i++) {
		AUTO_BUF name = BUF_INIT;

		put_field_name(&name, &faults->items[i]);
		buf_append_str(b, i != 0 ? ",{\"field\":" : "{\"field\":");
		json_put_string(b, (const char *)name.data, name.len);
		buf_append_str(b, ",\"description\":");
		json_put_cstr(b, faults->items[i].detail);
		buf_append_str(b, ",\"reason\":");
		json_put_cstr(b, faults->items[i].rule);
		buf_append_byte(b, '}');
	}
	buf_append_str(b, "]}");
}

static void put_faults(struct buf *b, const struct fault_list *faults)
{
	AUTO_BUF wire = BUF_INIT;

	for (size_t i = 0; i < faults->n; i++)
		put_violation(&wire, &faults->items[i]);
	buf_append_str(b, ",\"details\":[{\"type\":\"google.rpc.BadRequest\",\"value\":");
	put_base64(b, buf_bytes(&wire));
	buf_append_str(b, ",\"debug\":");
	put_debug(b, faults);
	buf_append_str(b, "}]");
}

/* What the service said of it. */
static void put_service_problem(struct buf *b, const struct problem *p)
{
	const struct transcode_write o = {.schema = p->snapshot->schema, .skip_zero = true};
	size_t before;
	char why[64];

	buf_append_str(b, ",\"details\":[{\"type\":\"errand.v1.Problem\",\"value\":");
	put_base64(b, p->answer->details);
	before = b->len;
	buf_append_str(b, ",\"debug\":");
	if (transcode_to_json(&o, p->snapshot->problem, p->answer->details, b, why, sizeof why) < 0)
		b->len = before;
	buf_append_str(b, "}]");
}

static void put_error(struct buf *b, const struct problem *p)
{
	buf_append_str(b, "{\"code\":");
	json_put_cstr(b, codes[code_index(p->code)].name);
	buf_append_str(b, ",\"message\":");
	if (p->answer != NULL)
		json_put_string(b, (const char *)p->answer->message.data, p->answer->message.len);
	else
		json_put_cstr(b, p->detail);
	if (p->faults != NULL && p->faults->n != 0)
		put_faults(b, p->faults);
	else if (p->answer != NULL && p->answer->details.len != 0 && p->snapshot != NULL &&
		 p->snapshot->problem != NULL)
		put_service_problem(b, p);
	buf_append_byte(b, '}');
}

static void connect_error(struct http_request *r, const struct problem *p)
{
	/* these are HTTP's own; every other code has one status */
	bool own = p->status == 405 || p->status == 406 || p->status == 415;
	struct buf body = BUF_INIT;

	put_error(&body, p);
	http_reply(r, own ? p->status : codes[code_index(p->code)].status, "application/json", &body);
}

static const struct problem_form form = {connect_error};

void connect_begin(struct http_request *r)
{
	problem_set_form(r, &form);
}

/* --- the query of GET --- */

static bool put_percent(struct buf *out, const char *p, const char *end)
{
	for (; p < end; p++) {
		unsigned byte = (unsigned char)*p;

		if (byte == '%') {
			if (end - p < 3 || !isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]) ||
			    sscanf(p + 1, "%2x", &byte) != 1)
				return false;
			p += 2;
		} else if (byte == '+') {
			byte = ' ';
		}
		buf_append_byte(out, (uint8_t)byte);
	}
	return true;
}

/* The first parameter of that name, decoded, appended: 1, 0 when there is none, or -1
 * when it does not decode. */
static int query_get(const char *query, const char *name, struct buf *out)
{
	size_t len = strlen(name);

	while (*query != '\0') {
		const char *end = strchrnul(query, '&');

		if (strncmp(query, name, len) == 0 && (query[len] == '=' || query + len == end))
			return put_percent(out, query + len + (query + len != end), end) ? 1 : -1;
		query = *end == '&' ? end + 1 : end;
	}
	return 0;
}

static bool query_is(const char *query, const char *name, const char *value)
{
	AUTO_BUF text = BUF_INIT;

	return query_get(query, name, &text) == 1 && strcmp(buf_cstr(&text), value) == 0;
}

/* --- the request --- */

bool connect_is_post(const struct http_request *r)
{
	return strcmp(http_verb(r), "POST") == 0 && http_header(r, "Connect-Protocol-Version") != NULL;
}

bool connect_is_get(const struct http_request *r)
{
	AUTO_BUF version = BUF_INIT;

	return strcmp(http_verb(r), "GET") == 0 && strstr(http_query(r), "connect=") != NULL &&
		query_get(http_query(r), "connect", &version) != 0;
}

static void refuse_codec(struct http_request *r)
{
	http_set_header(r, "Accept-Post", CODECS);
	problem_reply(r, 415, ERRAND_UNIMPLEMENTED, "codecs: %s", CODECS);
}

/* Who calls with Connect's framing of streams hears it in the same. */
static bool answer_enveloped(struct http_request *r)
{
	const char *type = http_header(r, "Content-Type");
	const struct problem p = {
		.code = ERRAND_UNIMPLEMENTED,
		.detail = "streams are not served by Connect here: see Accept: text/event-stream",
	};
	uint8_t head[5] = {2}; /* the end of the stream */
	AUTO_BUF error = BUF_INIT;
	struct buf body = BUF_INIT;

	if (type == NULL || strncasecmp(type, "application/connect+", 20) != 0 || strlen(type) > 64)
		return false;
	buf_append_str(&error, "{\"error\":");
	put_error(&error, &p);
	buf_append_byte(&error, '}');
	for (int i = 0; i < 4; i++)
		head[4 - i] = (uint8_t)(error.len >> (8 * i));
	buf_append(&body, head, sizeof head);
	buf_append(&body, error.data, error.len);
	http_reply(r, 200, type, &body);
	return true;
}

static bool codec_of_type(const struct request_source *src, enum request_codec *out)
{
	const char *p = headers_get(src, "Content-Type");
	size_t len;

	if (p == NULL || src->header(src->from, "Content-Type", 1) != NULL || media_body(src) == BODY_OTHER)
		return false;
	p = headers_skip_space(p);
	len = strcspn(p, "; \t");
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		if (!headers_word_is(p, len, codecs[i].type))
			continue;
		*out = codecs[i].codec;
		return true;
	}
	return false;
}

static bool codec_of_query(const char *query, enum request_codec *out)
{
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		if (!query_is(query, "encoding", codecs[i].name))
			continue;
		*out = codecs[i].codec;
		return true;
	}
	return false;
}

static bool invalid(struct http_request *r, const char *why)
{
	problem_reply(r, 400, ERRAND_INVALID_ARGUMENT, "%s", why);
	return false;
}

static bool open_post(struct http_request *r, struct request_source *src, struct connect_call *out)
{
	if (!codec_of_type(src, &out->codec)) {
		refuse_codec(r);
		return false;
	}
	if (strcmp(http_header(r, "Connect-Protocol-Version"), "1") != 0)
		return invalid(r, "Connect-Protocol-Version must be 1");
	out->encoding = encoding_body(src);
	return true;
}

/* The parameters of GET besides the message. */
static bool open_query(struct http_request *r, const char *query, struct connect_call *out)
{
	AUTO_BUF compression = BUF_INIT;

	if (!codec_of_query(query, &out->codec)) {
		refuse_codec(r);
		return false;
	}
	if (!query_is(query, "connect", "v1"))
		return invalid(r, "connect must be v1");
	if (query_get(query, "compression", &compression) < 0)
		return invalid(r, "compression is not percent-encoded");
	out->encoding = encoding_of(buf_cstr(&compression));
	return true;
}

static bool open_get(struct http_request *r, struct request_source *src, struct buf *message,
		     struct connect_call *out)
{
	const char *query = http_query(r);
	AUTO_BUF text = BUF_INIT;
	int found;

	if (!open_query(r, query, out))
		return false;
	if (src->body.len != 0)
		return invalid(r, "GET takes its message in the query, not in a body");
	found = query_get(query, "message", &text);
	if (found <= 0)
		return invalid(r, found == 0 ? "the message parameter is missing" :
			       "the message is not percent-encoded");
	if (!query_is(query, "base64", "1"))
		buf_append(message, text.data, text.len);
	else if (!base64_decode(message, buf_bytes(&text)))
		return invalid(r, "the message is not base64");
	src->body = buf_bytes(message);
	return true;
}

bool connect_open(struct http_request *r, const struct schema_method *m, struct request_source *src,
		  struct buf *message, struct connect_call *out)
{
	bool good;

	if (answer_enveloped(r))
		return false;
	if (m->server_streaming || m->client_streaming) {
		problem_reply(r, 415, ERRAND_UNIMPLEMENTED, "%s streams: not by a unary call", m->full_name);
		return false;
	}
	good = strcmp(http_verb(r), "GET") == 0 ? open_get(r, src, message, out) : open_post(r, src, out);
	return good;
}

void connect_refuse_get(struct http_request *r)
{
	http_set_header(r, "Allow", "POST");
	problem_reply(r, 405, ERRAND_UNIMPLEMENTED, "this method may have side effects: call it with POST");
}
