/* See answer.h. */
#define _GNU_SOURCE
#include "gateway/answer.h"

#include <stdio.h>
#include <strings.h>

#include "base/err.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "gateway/encoding.h"
#include "gateway/etag.h"
#include "gateway/gzip.h"
#include "gateway/httpbody.h"
#include "gateway/link.h"
#include "gateway/problem.h"
#include "schema/transcode.h"

static const struct {
	const char *key, *header;
	bool of_errors; /* of an answer that is one, too */
} passed_on[] = {
	{"location", "Location", false},
	{"retry-after", "Retry-After", false}, /* problem.c's own */
	{"cache-control", "Cache-Control", false},
	{"idempotency-replayed", "Idempotency-Replayed", true},
	{"preference-applied", "Preference-Applied", false},
	{"ratelimit", "RateLimit", true},
	{"ratelimit-policy", "RateLimit-Policy", true},
};

static const char *answer_header_of(const void *from, const char *name, unsigned n)
{
	return http_header_nth(from, name, n);
}

static bool bytes_are(struct bytes b, const char *text)
{
	return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

static void answer_header(struct http_request *r, const struct wire_pair *pair, bool error)
{
	char value[1024];

	for (size_t i = 0; i < ARRAY_LEN(passed_on); i++) {
		if (!bytes_are(pair->key, passed_on[i].key) || (error && !passed_on[i].of_errors))
			continue;
		if (pair->value.len >= sizeof value || memchr(pair->value.data, '\0', pair->value.len) != NULL)
			return;
		memcpy(value, pair->value.data, pair->value.len);
		value[pair->value.len] = '\0';
		http_set_header(r, passed_on[i].header, value);
		return;
	}
}

/* errand-http-status, or 200. */
static int answer_status(const struct wire_response *w)
{
	struct bytes text = wire_pair_get(w->metadata, w->n_metadata, "errand-http-status");
	int status = 0;

	if (text.len != 3)
		return 200;
	for (size_t i = 0; i < 3; i++)
		status = status * 10 + (text.data[i] - '0');
	return status >= 200 && status <= 599 ? status : 200;
}

/* The payload as JSON. */
static int answer_json(const struct answer *a, const struct wire_response *w, struct buf *body, char *why,
		       size_t why_size)
{
	const struct transcode_write o = {.schema = a->snapshot->schema};
	const struct schema_message *m = a->route->method->output;
	struct bytes name = wire_pair_get(w->metadata, w->n_metadata, "errand-message");
	AUTO_BUF pieces = BUF_INIT;

	buf_reserve(body, 128 + w->payload.len * 2);
	if (name.len == 0 && a->route->response_body != NULL)
		return transcode_field_to_json(&o, a->route->response_body,
					       field_path_enter(&a->route->response_path, w->payload, &pieces),
					       body, why, why_size);
	if (name.len != 0)
		m = schema_message(a->snapshot->schema, (const char *)name.data, name.len);
	if (m == NULL) {
		snprintf(why, why_size, "unknown message %.*s", (int)name.len, (const char *)name.data);
		return -ERRAND_DATA_LOSS;
	}
	return transcode_to_json(&o, m, w->payload, body, why, why_size);
}

/* Exactly one message: what bare wire bytes can show of a response_body. */
static bool field_is_message(const struct schema_field *f)
{
	return f->type == FIELD_MESSAGE && !f->repeated && !f->map;
}

/* What came in several parts is one message still: parts merge by standing in a row. */
static int answer_protobuf(const struct answer *a, const struct wire_response *w, struct buf *body, char *why,
			   size_t why_size)
{
	const struct schema_field *f = a->route->response_body;
	struct pbuf_reader reader;
	struct pbuf_field part;
	AUTO_BUF pieces = BUF_INIT;
	struct bytes around;

	if (f == NULL || wire_pair_get(w->metadata, w->n_metadata, "errand-message").len != 0) {
		buf_append(body, w->payload.data, w->payload.len);
		return 0;
	}
	around = field_path_enter(&a->route->response_path, w->payload, &pieces);
	reader = pbuf_reader(around.data, around.len);
	while (pbuf_next(&reader, &part))
		if (part.number == f->number && part.wire == PBUF_LEN)
			buf_append(body, part.bytes.data, part.bytes.len);
	if (reader.bad)
		snprintf(why, why_size, "not a message");
	return reader.bad ? -ERRAND_DATA_LOSS : 0;
}

/* How each form is written. Raw answers are answer_raw's. */
static const struct {
	const char *type;
	int (*write)(const struct answer *a, const struct wire_response *w, struct buf *body, char *why,
		     size_t why_size);
} forms[] = {
	[ACCEPT_JSON] = {"application/json", answer_json},
	[ACCEPT_PROTOBUF] = {"application/x-protobuf", answer_protobuf},
	[ACCEPT_PROTOBUF_PLAIN] = {"application/protobuf", answer_protobuf},
	[ACCEPT_PROTO] = {"application/proto", answer_protobuf},
};

bool answer_has_form(const struct route *r, enum media_accept form)
{
	if (form == ACCEPT_NONE)
		return false;
	return form == ACCEPT_JSON || form >= ARRAY_LEN(forms) || r->response_body == NULL ||
		field_is_message(r->response_body);
}

static void answer_refuse(const struct answer *a, const char *why)
{
	a->thread->n_errors++;
	log_error("bad answer of the service", "method=%s why=\"%s\"", a->route->method->full_name, why);
	problem_reply(a->http, 500, ERRAND_DATA_LOSS, "the service's answer is not of its schema: %s", why);
}

/* --- codings --- */

/* Is it worth packing? */
static bool type_packs(const char *type)
{
	static const char *const types[] = {
		"text/", "application/json", "application/x-protobuf", "application/proto",
		"application/xml", "application/javascript", "application/x-ndjson", "image/svg",
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (strncasecmp(type, types[i], strlen(types[i])) == 0)
			return true;
	return strstr(type, "+json") != NULL || strstr(type, "+xml") != NULL;
}

/* What the answer hangs on besides the path: the same for all answers of a resource,
 * large and small, 200 and 304. */
static void answer_vary(const struct answer *a, bool tagged)
{
	bool packs = a->thread->config->gzip_min >= 0;

	if (tagged && a->form != ACCEPT_RAW)
		http_set_header(a->http, "Vary", packs ? "Accept, Accept-Encoding" : "Accept");
	else if (packs && tagged)
		http_set_header(a->http, "Vary", "Accept-Encoding");
}

static void answer_tag(const struct answer *a, const char *tag, bool packed)
{
	char other[ETAG_MAX];

	if (*tag != '\0' && packed && etag_packed(tag, other))
		tag = other;
	if (*tag != '\0')
		http_set_header(a->http, "ETag", tag);
}

/* Sends the body, packed when the client likes that and it gets smaller by it, or
 * when the client takes nothing else. */
static void answer_body(const struct answer *a, int status, const char *type, const char *tag, struct buf *body)
{
	const int64_t least = a->thread->config->gzip_min;
	const struct request_source src = {"", {NULL, 0}, answer_header_of, a->http};
	struct buf packed = BUF_INIT;
	struct encoding_choice choice;
	bool pack;

	if (!a->must_pack && (least < 0 || (int64_t)body->len < least || !type_packs(type))) {
		answer_tag(a, tag, false);
		http_reply(a->http, status, type, body);
		return;
	}
	choice = encoding_choose(&src);
	if (*tag == '\0')
		http_set_header(a->http, "Vary", "Accept-Encoding");
	if (a->must_pack)
		pack = gzip_pack_anyhow(a->thread->gzip, buf_bytes(body), &packed);
	else
		pack = choice.gzip && gzip_pack(a->thread->gzip, buf_bytes(body), &packed);
	answer_tag(a, tag, pack);
	if (pack) {
		http_set_header(a->http, "Content-Encoding", "gzip");
		buf_deinit(body);
		body = &packed;
	} else {
		buf_deinit(&packed);
	}
	http_reply(a->http, status, type, body);
}

/* --- the answer --- */

/* google.api.HttpBody: its bytes under its own name, which a browser may not guess
 * better. */
static void answer_raw(const struct answer *a, int status, const struct wire_response *w, const char *tag)
{
	struct buf body = BUF_INIT;
	AUTO_BUF pieces = BUF_INIT;
	struct httpbody raw;
	char type[256];

	if (!httpbody_read(a->route, w->payload, &pieces, &raw) || !httpbody_type(&raw, type, sizeof type)) {
		answer_refuse(a, "no google.api.HttpBody with a content type that can be sent");
		return;
	}
	http_set_header(a->http, "X-Content-Type-Options", "nosniff");
	buf_append(&body, raw.data.data, raw.data.len);
	answer_body(a, status, type, tag, &body);
}

static void answer_message(const struct answer *a, int status, const struct wire_response *w, const char *tag)
{
	enum media_accept form = a->form == ACCEPT_RAW ? ACCEPT_JSON : a->form;
	struct buf body = BUF_INIT;
	char why[256] = "";

	if (forms[form].write(a, w, &body, why, sizeof why) == 0 && !buf_failed(&body)) {
		answer_body(a, status, forms[form].type, tag, &body);
		return;
	}
	buf_deinit(&body);
	answer_refuse(a, why);
}

/* The service's tag, or for GET one of ours; "" = none. */
static void answer_find_tag(const struct answer *a, int status, const struct wire_response *w,
			    char out[ETAG_MAX])
{
	struct bytes tag = wire_pair_get(w->metadata, w->n_metadata, "etag");
	uint64_t key[2];

	*out = '\0';
	if (tag.len != 0 && tag.len < ETAG_MAX && memchr(tag.data, '\0', tag.len) == NULL) {
		memcpy(out, tag.data, tag.len);
		out[tag.len] = '\0';
	} else if (status == 200 && strcmp(http_verb(a->http), "GET") == 0) {
		memcpy(key, a->snapshot->digest, sizeof key);
		key[1] ^= (uint64_t)a->form;
		etag_make(key, w->payload, out);
	}
}

static enum etag_match answer_known(const struct answer *a, const char *tag)
{
	if (*tag == '\0' || strcmp(http_verb(a->http), "GET") != 0)
		return ETAG_OTHER;
	return etag_known(a->http, tag);
}

void answer_send(const struct answer *a, const struct wire_response *w)
{
	struct buf none = BUF_INIT;
	enum etag_match known;
	char tag[ETAG_MAX];
	int status;

	for (size_t i = 0; i < w->n_metadata; i++)
		answer_header(a->http, &w->metadata[i], w->code != ERRAND_OK);
	if (w->code != ERRAND_OK) {
		a->thread->n_errors++;
		problem_reply_status(a->http, a->snapshot, w);
		return;
	}
	status = a->plain ? 200 : answer_status(w);
	answer_find_tag(a, status, w, tag);
	answer_vary(a, *tag != '\0');
	if (!a->plain && status == 200 && strcmp(http_verb(a->http), "GET") == 0)
		link_next(a, w->payload);
	known = answer_known(a, tag);
	if (known != ETAG_OTHER) {
		answer_tag(a, tag, known == ETAG_PACKED);
		http_reply(a->http, 304, NULL, &none);
	} else if (status == 204) {
		answer_tag(a, tag, false);
		http_reply(a->http, 204, NULL, &none);
	} else if (a->form == ACCEPT_RAW && wire_pair_get(w->metadata, w->n_metadata, "errand-message").len == 0) {
		answer_raw(a, status, w, tag);
	} else {
		answer_message(a, status, w, tag);
	}
}
