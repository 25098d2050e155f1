/* schema_options.c: the options errand reads, known by number, so any copy of
 * the .proto files that declare them will do. An option may come in several
 * entries, one per line of the .proto: protobuf says that together they are
 * the concatenation, so the readers below accumulate. */
#include <stdio.h>

#include "base/err.h"
#include "base/grants.h"
#include "base/pbuf.h"
#include "schema/tables.h"

enum {
	OPTION_HTTP = 72295728,       /* google.api.http */
	OPTION_ERRAND = 51717,        /* errand.v1.method, field, message */
	OPTION_FIELD_BEHAVIOR = 1052, /* google.api.field_behavior */
	BEHAVIOR_MAX = 8,
	FIELD_DEPRECATED = 3, MESSAGE_DEPRECATED = 3,
	METHOD_DEPRECATED = 33, METHOD_IDEMPOTENCY = 34,
	FIELD_PACKED = 2,
	DURATION_MAX_S = 315576000000LL / 100, /* 100 years: as ns in an int64 */
};

static int bad(char *why, size_t why_size, const char *what)
{
	snprintf(why, why_size, "%s", what);
	return -ERRAND_INVALID_ARGUMENT;
}

/* Text of an option; NULL when it has a NUL. */
static const char *text(struct schema *s, const struct pbuf_field *f)
{
	if (f->wire != PBUF_LEN || memchr(f->bytes.data, 0, f->bytes.len) != NULL)
		return NULL;
	return schema_strndup(s, f->bytes.data, f->bytes.len);
}

/* --- google.api.http --- */

enum { HTTP_GET = 2, HTTP_PUT, HTTP_POST, HTTP_DELETE, HTTP_PATCH, HTTP_BODY, HTTP_CUSTOM,
       HTTP_ADDITIONAL = 11, HTTP_RESPONSE_BODY = 12 };

static int read_custom(struct schema *s, struct schema_http *h, struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1)
			h->verb = text(s, &f);
		else if (f.number == 2)
			h->path = text(s, &f);
	}
	return r.bad ? -ERRAND_INVALID_ARGUMENT : 0;
}

/* A token of RFC 9110, which "*" (any method) is as well. */
static bool is_verb(const char *verb)
{
	static const char more[] = "!#$%&'*+-.^_`|~";

	for (; *verb != '\0'; verb++)
		if ((*verb < '0' || *verb > '9') && ((*verb | 0x20) < 'a' || (*verb | 0x20) > 'z') &&
		    strchr(more, *verb) == NULL)
			return false;
	return true;
}

/* One rule without its additional bindings. */
static int read_http(struct schema *s, struct schema_http *h, struct bytes raw, char *why,
		     size_t why_size)
{
	static const char *const verbs[] = {[HTTP_GET] = "GET", [HTTP_PUT] = "PUT",
		[HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE", [HTTP_PATCH] = "PATCH"};
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	*h = (struct schema_http){.body = "", .response_body = ""};
	while (pbuf_next(&r, &f)) {
		if (f.number >= HTTP_GET && f.number <= HTTP_PATCH) {
			h->verb = verbs[f.number];
			h->path = text(s, &f);
		} else if (f.number == HTTP_CUSTOM && read_custom(s, h, f.bytes) < 0) {
			return bad(why, why_size, "google.api.http.custom does not parse");
		} else if (f.number == HTTP_BODY) {
			h->body = text(s, &f);
		} else if (f.number == HTTP_RESPONSE_BODY) {
			h->response_body = text(s, &f);
		}
	}
	if (r.bad || h->body == NULL || h->response_body == NULL)
		return bad(why, why_size, "google.api.http does not parse");
	if (h->verb == NULL || *h->verb == '\0' || h->path == NULL)
		return bad(why, why_size, "google.api.http names no verb and path");
	if (!is_verb(h->verb))
		return bad(why, why_size, "google.api.http.custom.kind is no HTTP method");
	return 0;
}

/* The main binding first, then the additional ones. */
static int read_bindings(struct schema *s, struct schema_method *m, struct bytes raw, char *why,
			 size_t why_size)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f, in;
	size_t n = 1;
	int err;

	while (pbuf_next(&r, &f))
		n += f.number == HTTP_ADDITIONAL && f.wire == PBUF_LEN;
	m->http = schema_alloc(s, n * sizeof *m->http);
	err = read_http(s, &m->http[m->n_http++], raw, why, why_size);
	r = pbuf_reader(raw.data, raw.len);
	while (err == 0 && pbuf_next(&r, &f)) {
		struct pbuf_reader nested = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.number != HTTP_ADDITIONAL || f.wire != PBUF_LEN)
			continue;
		while (pbuf_next(&nested, &in))
			if (in.number == HTTP_ADDITIONAL)
				return bad(why, why_size, "additional_bindings inside additional_bindings");
		err = read_http(s, &m->http[m->n_http++], f.bytes, why, why_size);
	}
	return err;
}

/* --- errand.v1.method --- */

enum { RULE_RUN = 1, RULE_QUEUE, RULE_TIMEOUT, RULE_RETRY, RULE_CANCEL_GRACE,
       RULE_START_DEADLINE, RULE_TOTAL_TIMEOUT, RULE_PROGRESS_TIMEOUT, RULE_RESULT_TTL,
       RULE_PRIORITY, RULE_MAX_RESULT, RULE_LOCAL, RULE_SCOPE,
       RETRY_MAX_ATTEMPTS = 1, RETRY_BASE, RETRY_CAP, RETRY_FACTOR };

/* google.protobuf.Duration; the parts of one given twice merge. */
static int read_duration(struct bytes raw, int64_t *ns)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	int64_t s = *ns / 1000000000, nanos = *ns % 1000000000;
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1)
			s = (int64_t)f.value;
		else if (f.number == 2)
			nanos = (int64_t)f.value;
	}
	if (r.bad || s < 0 || s > DURATION_MAX_S || nanos < 0 || nanos > 999999999)
		return -ERRAND_INVALID_ARGUMENT;
	*ns = s * 1000000000 + nanos;
	return 0;
}

static int read_retry(struct bytes raw, struct schema_retry *retry, char *why, size_t why_size)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;
	int err = 0;

	while (err == 0 && pbuf_next(&r, &f)) {
		if (f.number == RETRY_MAX_ATTEMPTS)
			retry->max_attempts = (uint32_t)f.value;
		else if (f.number == RETRY_BASE)
			err = read_duration(f.bytes, &retry->base_ns);
		else if (f.number == RETRY_CAP)
			err = read_duration(f.bytes, &retry->cap_ns);
		else if (f.number == RETRY_FACTOR && f.wire == PBUF_I64)
			retry->factor = pbuf_double(f.value);
	}
	if (r.bad || err < 0)
		return bad(why, why_size, "(errand.v1.method).retry: a duration must be from 0 to 100 years");
	/* not a number fails the comparison as well */
	if (retry->factor != 0 && !(retry->factor >= 1 && retry->factor <= 1000))
		return bad(why, why_size, "(errand.v1.method).retry.factor must be from 1 to 1000");
	return 0;
}

/* One, or several packed; adds their bits. */
static bool read_scopes(const struct pbuf_field *f, unsigned *scopes)
{
	struct pbuf_reader r = pbuf_reader(f->bytes.data, f->bytes.len);
	uint64_t value = f->value;

	do {
		if (f->wire == PBUF_LEN && !pbuf_read_varint(&r, &value))
			return false;
		if (value == 0 || value >= N_SCOPES)
			return false;
		*scopes |= SCOPE_BIT(value);
	} while (f->wire == PBUF_LEN && r.p < r.end);
	return true;
}

static int read_rule(struct schema *s, struct schema_method *m, struct bytes raw, char *why,
		     size_t why_size)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;
	int err = 0;

	while (err == 0 && pbuf_next(&r, &f)) {
		switch (f.number) {
		case RULE_RUN:
			if (f.value > RUN_TASK)
				return bad(why, why_size, "(errand.v1.method).run is none of ASYNC, SYNC, TASK");
			m->run = (enum method_run)f.value;
			break;
		case RULE_QUEUE:
			m->queue = text(s, &f);
			break;
		case RULE_TIMEOUT:
			err = read_duration(f.bytes, &m->timeout_ns);
			break;
		case RULE_RETRY:
			err = read_retry(f.bytes, &m->retry, why, why_size);
			if (err < 0)
				return err;
			break;
		case RULE_CANCEL_GRACE:
			err = read_duration(f.bytes, &m->cancel_grace_ns);
			break;
		case RULE_START_DEADLINE:
			err = read_duration(f.bytes, &m->start_deadline_ns);
			break;
		case RULE_TOTAL_TIMEOUT:
			err = read_duration(f.bytes, &m->total_timeout_ns);
			break;
		case RULE_PROGRESS_TIMEOUT:
			err = read_duration(f.bytes, &m->progress_timeout_ns);
			break;
		case RULE_RESULT_TTL:
			err = read_duration(f.bytes, &m->result_ttl_ns);
			break;
		case RULE_PRIORITY:
			m->priority = (int32_t)f.value;
			break;
		case RULE_MAX_RESULT:
			m->max_result = (int64_t)f.value;
			break;
		case RULE_LOCAL:
			m->local = f.value != 0;
			break;
		case RULE_SCOPE:
			if (!read_scopes(&f, &m->scopes))
				return bad(why, why_size, "(errand.v1.method).scope: READ, CALL, OPERATE or KNOWN_TASK");
			break;
		}
	}
	if (err < 0)
		return bad(why, why_size, "(errand.v1.method): a duration must be from 0 to 100 years");
	if (r.bad || m->queue == NULL)
		return bad(why, why_size, "(errand.v1.method) does not parse");
	return 0;
}

int options_method(struct schema *s, struct schema_method *m, struct bytes options, char *why,
		   size_t why_size)
{
	struct pbuf_reader r = pbuf_reader(options.data, options.len);
	AUTO_BUF http = BUF_INIT;
	AUTO_BUF rule = BUF_INIT;
	struct pbuf_field f;
	bool has_http = false;
	int err;

	m->queue = "";
	while (pbuf_next(&r, &f)) {
		if (f.number == OPTION_HTTP && f.wire == PBUF_LEN) {
			buf_append(&http, f.bytes.data, f.bytes.len);
			has_http = true;
		} else if (f.number == OPTION_ERRAND && f.wire == PBUF_LEN) {
			buf_append(&rule, f.bytes.data, f.bytes.len);
		} else if (f.number == METHOD_DEPRECATED) {
			m->deprecated = f.value != 0;
		} else if (f.number == METHOD_IDEMPOTENCY) {
			m->idempotency_level = (int)(f.value & 3);
		}
	}
	if (r.bad)
		return bad(why, why_size, "its options do not parse");
	err = has_http ? read_bindings(s, m, buf_bytes(&http), why, why_size) : 0;
	return err < 0 ? err : read_rule(s, m, buf_bytes(&rule), why, why_size);
}

/* --- fields and messages --- */

static void add_behavior(struct schema_field *field, uint64_t v)
{
	if (v >= 1 && v <= BEHAVIOR_MAX)
		field->behavior |= (uint16_t)(1 << v);
}

/* repeated enum, packed or not */
static void read_behavior(struct schema_field *field, const struct pbuf_field *f)
{
	struct pbuf_reader r = pbuf_reader(f->bytes.data, f->bytes.len);
	uint64_t v;

	if (f->wire == PBUF_VARINT)
		add_behavior(field, f->value);
	while (f->wire == PBUF_LEN && r.p < r.end && pbuf_read_varint(&r, &v))
		add_behavior(field, v);
	field->out_only = (field->behavior & BEHAVIOR_OUTPUT_ONLY) != 0;
}

static bool read_bare(struct bytes raw, struct schema_field *field)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 1)
			field->bare = f.value != 0;
	return !r.bad;
}

int options_field(struct schema_field *field, struct bytes options, char *why, size_t why_size)
{
	struct pbuf_reader r = pbuf_reader(options.data, options.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == FIELD_PACKED)
			field->packed = f.value != 0;
		else if (f.number == OPTION_FIELD_BEHAVIOR)
			read_behavior(field, &f);
		else if (f.number == FIELD_DEPRECATED)
			field->deprecated = f.value != 0;
		else if (f.number == OPTION_ERRAND && !read_bare(f.bytes, field))
			return bad(why, why_size, "(errand.v1.field) does not parse");
	}
	if (r.bad)
		return bad(why, why_size, "its options do not parse");
	if (field->bare && (field->message == NULL || field->message->well_known != WK_ANY))
		return bad(why, why_size, "(errand.v1.field).bare is for google.protobuf.Any");
	return 0;
}

/* A field an SSE line is made of: one line, so a string, integer or enum. */
static const struct schema_field *sse_field(const struct schema_message *m, struct bytes name)
{
	const struct schema_field *f = schema_field(m, (const char *)name.data, name.len);

	if (f == NULL || f->repeated || f->message != NULL || f->type == FIELD_BYTES ||
	    f->type == FIELD_DOUBLE || f->type == FIELD_FLOAT)
		return NULL;
	return f;
}

int options_message(struct schema_message *m, struct bytes options,
		    char *why, size_t why_size)
{
	struct pbuf_reader r = pbuf_reader(options.data, options.len);
	struct pbuf_field f, in;

	while (pbuf_next(&r, &f)) {
		struct pbuf_reader nested = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.number == MESSAGE_DEPRECATED && f.wire == PBUF_VARINT)
			m->deprecated = f.value != 0;
		if (f.number != OPTION_ERRAND || f.wire != PBUF_LEN)
			continue;
		while (pbuf_next(&nested, &in)) {
			const struct schema_field **p = in.number == 1 ? &m->sse_id :
				in.number == 2 ? &m->sse_event : NULL;

			if (p == NULL || in.wire != PBUF_LEN)
				continue;
			*p = sse_field(m, in.bytes);
			if (*p == NULL)
				return bad(why, why_size, "(errand.v1.message) names no string, integer or enum field");
		}
		if (nested.bad)
			return bad(why, why_size, "(errand.v1.message) does not parse");
	}
	return r.bad ? bad(why, why_size, "its options do not parse") : 0;
}
