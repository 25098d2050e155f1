#define _GNU_SOURCE
#include "cli/remote.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "cli/carrier.h"
#include "cli/remote_reply.h"
#include "cli/sse.h"
#include "config.h"
#include "schema/transcode.h"

#define PROTOBUF "application/x-protobuf"
#define EVENTS "text/event-stream"
#define ANSWER_MAX ((size_t)256 << 20) /* of one that is kept whole */

struct remote {
	const struct target *target; /* borrowed */
	const struct carrier *carrier;
	void *handle;
	char why[512];
};

struct remote *remote_open(const struct target *target, char *why, size_t why_size)
{
	const struct carrier *carrier = carrier_load(why, why_size);
	struct remote *r;

	if (carrier == NULL)
		return NULL;
	r = xcalloc(1, sizeof *r);
	r->target = target;
	r->carrier = carrier;
	r->handle = carrier->open();
	if (r->handle != NULL)
		return r;
	snprintf(why, why_size, "out of memory");
	free(r);
	return NULL;
}

struct remote *remote_close(struct remote *r)
{
	if (r != NULL)
		r->carrier->close(r->handle);
	free(r);
	return NULL;
}

const char *remote_error(const struct remote *r)
{
	return r->why;
}

static int PRINTF(3, 4) fail(struct remote *r, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof r->why, fmt, ap);
	va_end(ap);
	return -code;
}

/* --- headers --- */

struct headers {
	char *items[20]; /* owned; NULL-terminated */
	size_t n;
};

static void PRINTF(2, 3) headers_add(struct headers *h, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (h->n == ARRAY_LEN(h->items) - 1)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) >= 0)
		h->items[h->n++] = text;
	va_end(ap);
}

static void headers_deinit(struct headers *h)
{
	for (size_t i = 0; i < h->n; i++) {
		explicit_bzero(h->items[i], strlen(h->items[i]));
		free(h->items[i]);
	}
}

/* A key in the quotes that RFC 8941 wants. */
static void add_key(struct headers *h, const char *key)
{
	AUTO_BUF quoted = BUF_INIT;

	for (; *key != '\0'; key++) {
		if (*key == '"' || *key == '\\')
			buf_append_byte(&quoted, '\\');
		buf_append_byte(&quoted, (uint8_t)*key);
	}
	headers_add(h, "Idempotency-Key: \"%s\"", buf_cstr(&quoted));
}

/* Metadata of ttrpc that has a header (ARCHITECTURE, metadata). */
static void add_pair(struct headers *h, const struct errand_pair *p)
{
	static const char *const same[] = {"If-Match", "If-None-Match", "Last-Event-ID", "traceparent"};

	if (strpbrk(p->value, "\r\n") != NULL)
		return;
	if (strcmp(p->key, "idempotency-key") == 0)
		add_key(h, p->value);
	if (strcmp(p->key, "prefer-async") == 0)
		headers_add(h, "Prefer: respond-async");
	if (strcmp(p->key, "prefer-wait") == 0)
		headers_add(h, "Prefer: wait=%lld", strtoll(p->value, NULL, 10) / (long long)NS_PER_S);
	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (strcasecmp(p->key, same[i]) == 0)
			headers_add(h, "%s: %s", same[i], p->value);
}

/* --- one request --- */

struct exchange {
	struct remote *remote;
	struct headers headers;
	char *path, *url;
	struct carrier_request request;
	struct buf body;   /* of an answer that is kept whole */
	struct stream *stream;
	bool too_large;
};

/* A stream's way from events to messages. */
struct stream {
	const struct schema *schema;
	const struct schema_message *output;
	const char *path;
	int (*on_message)(const void *message, size_t len, void *arg);
	void *arg;
	struct sse sse;
	struct errand_reply *reply; /* of the record that ends it */
	bool cancelled, bad;        /* by who reads; no message of its type */
};

static int keep_body(struct exchange *x, const void *data, size_t len)
{
	x->too_large = x->body.len + len > ANSWER_MAX;
	if (x->too_large)
		return -1;
	buf_append(&x->body, data, len);
	return buf_failed(&x->body) ? -1 : 0;
}

static bool is_stream(const struct exchange *x)
{
	AUTO_FREE char *type = carrier_header(&x->request, "Content-Type");

	return x->stream != NULL && x->request.status == 200 && type != NULL &&
		strncasecmp(type, EVENTS, strlen(EVENTS)) == 0;
}

static int on_body(struct carrier_request *request, const void *data, size_t len)
{
	struct exchange *x = request->arg;

	return is_stream(x) ? sse_feed(&x->stream->sse, data, len) : keep_body(x, data, len);
}

static void exchange_init(struct exchange *x, struct remote *r, const char *path)
{
	const struct target *t = r->target;

	*x = (struct exchange){.remote = r, .path = xstrdup(path), .url = xasprintf("%s%s", t->url, path)};
	x->request = (struct carrier_request){
		.url = x->url, .unix_path = t->unix_path, .ca = t->ca, .cert = t->cert, .key = t->key,
		.headers = (const char *const *)x->headers.items, .on_body = on_body, .arg = x,
	};
	headers_add(&x->headers, "User-Agent: errand/%s", PACKAGE_VERSION);
	if (t->token != NULL)
		headers_add(&x->headers, "Authorization: Bearer %s", t->token);
}

static void exchange_deinit(struct exchange *x)
{
	headers_deinit(&x->headers);
	buf_deinit(&x->request.head);
	buf_deinit(&x->body);
	free(x->path);
	free(x->url);
}

/* What was given for the method, as headers. */
static void put_options(struct exchange *x, const struct errand_call_options *o)
{
	if (o == NULL)
		return;
	for (size_t i = 0; i < o->n_metadata; i++)
		add_pair(&x->headers, &o->metadata[i]);
	x->request.timeout_ns = o->timeout_ns;
	if (o->timeout_ns > 0) /* ours ends first: two would say two things */
		headers_add(&x->headers, "X-Server-Timeout: %lld", (long long)(o->timeout_ns / NS_PER_S + 2));
}

static const struct schema_method *method_of(const struct remote_call *c)
{
	AUTO_FREE char *name = xasprintf("%s/%s", c->service, c->method);

	return c->schema != NULL ? schema_method(c->schema, name, strlen(name)) : NULL;
}

static bool only_reads(const char *method)
{
	return strncmp(method, "Get", 3) == 0 || strncmp(method, "List", 4) == 0 || strncmp(method, "Watch", 5) == 0;
}

static void exchange_call(struct exchange *x, struct remote *r, const struct remote_call *c, const char *accept)
{
	AUTO_FREE char *path = xasprintf("/%s/%s", c->service, c->method);

	exchange_init(x, r, path);
	headers_add(&x->headers, "Accept: %s", accept);
	headers_add(&x->headers, "Expect:");
	x->request.once = !only_reads(c->method);
	headers_add(&x->headers, "Content-Type: " PROTOBUF);
	x->request.body = c->in;
	put_options(x, c->options);
}

/* 0 with an answer, or how the transport failed. */
static int exchange_run(struct exchange *x)
{
	struct remote *r = x->remote;
	const char *name = target_name(r->target);

	switch (r->carrier->run(r->handle, &x->request)) {
	case CARRIER_DONE:
		return 0;
	case CARRIER_STOPPED:
		return x->stream != NULL && is_stream(x) ? 0 :
			fail(r, ERRAND_RESOURCE_EXHAUSTED, "%s: %s", name, x->too_large ? "the answer is too large" : "out of memory");
	case CARRIER_TIMEOUT:
		return fail(r, ERRAND_DEADLINE_EXCEEDED, "%s: no answer in time", name);
	default:
		return fail(r, ERRAND_UNAVAILABLE, "%s: %s", name, x->request.why);
	}
}

/* --- its answer --- */

static int give(struct remote *r, struct errand_reply *reply, struct errand_reply **replyp)
{
	*replyp = reply;
	return reply != NULL ? 0 : fail(r, ERRAND_RESOURCE_EXHAUSTED, "out of memory");
}

static bool type_is(const struct exchange *x, const char *want)
{
	AUTO_FREE char *type = carrier_header(&x->request, "Content-Type");

	return type != NULL && strncasecmp(type, want, strlen(want)) == 0 && strchr(";, ", type[strlen(want)]) != NULL;
}

/* Whatever answers there is not our gateway, or somebody between has answered. */
static int answer_foreign(struct exchange *x, struct errand_reply **replyp)
{
	AUTO_FREE char *type = carrier_header(&x->request, "Content-Type"), *to = carrier_header(&x->request, "Location");
	int status = x->request.status;
	char why[400];

	if (status >= 300 && status < 400 && to != NULL)
		return fail(x->remote, ERRAND_INVALID_ARGUMENT, "%s redirects to %s: give that as the URL", x->url, to);
	if (status < 300)
		return fail(x->remote, ERRAND_INVALID_ARGUMENT, "%s is no errand gateway: it answers with %s", x->url,
			    type != NULL ? type : "nothing");
	snprintf(why, sizeof why, "HTTP %d from %s, not by errand itself", status, x->url);
	return give(x->remote, remote_reply(remote_reply_code(status), why, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}, false),
		    replyp);
}

static int answer_problem(struct exchange *x, struct errand_reply **replyp)
{
	struct errand_reply *reply = NULL;

	if (x->request.status >= 400 && type_is(x, "application/problem+json"))
		reply = remote_reply_problem(buf_bytes(&x->body), x->path);
	if (reply == NULL)
		return answer_foreign(x, replyp);
	*replyp = reply;
	return 0;
}

/* A task instead of the method's output: 202, and where it is. */
static bool answer_is_task(const struct exchange *x, const struct remote_call *c)
{
	const struct schema_method *m = method_of(c);
	AUTO_FREE char *location = carrier_header(&x->request, "Location");

	return c->options != NULL && c->options->as_task && x->request.status == 202 && location != NULL &&
		(m == NULL || strcmp(m->output->name, "errand.v1.Task") != 0);
}

static int answer(struct exchange *x, const struct remote_call *c, struct errand_reply **replyp)
{
	int status = x->request.status;

	if (status < 200 || status >= 300)
		return answer_problem(x, replyp);
	if (status != 204 && !type_is(x, PROTOBUF))
		return answer_foreign(x, replyp);
	return give(x->remote, remote_reply(ERRAND_OK, "", (struct bytes){NULL, 0}, buf_bytes(&x->body), answer_is_task(x, c)),
		    replyp);
}

int remote_call(struct remote *r, const struct remote_call *c, struct errand_reply **replyp)
{
	struct exchange x;
	int err;

	*replyp = NULL;
	exchange_call(&x, r, c, PROTOBUF);
	err = exchange_run(&x);
	if (err == 0)
		err = answer(&x, c, replyp);
	exchange_deinit(&x);
	return err;
}

/* --- streams --- */

static int stream_message(struct stream *s, struct bytes json)
{
	const struct transcode_read o = {.schema = s->schema, .ignore_unknown = true, .allow_nul = true};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;

	s->bad = transcode_from_json(&o, s->output, (const char *)json.data, json.len, "#", &wire, &faults) < 0;
	fault_list_deinit(&faults);
	if (s->bad)
		return -1;
	s->cancelled = s->on_message != NULL && s->on_message(wire.data, wire.len, s->arg) != 0;
	return s->cancelled ? -1 : 0;
}

static int on_event(const char *event, struct bytes data, void *arg)
{
	const struct bytes none = {NULL, 0};
	struct stream *s = arg;
	bool last = s->output->sse_event == NULL || data.len <= 2; /* "end" may be a name of the method's own */

	if (strcmp(event, "error") == 0) {
		s->reply = remote_reply_problem(data, s->path);
		if (s->reply != NULL)
			return -1;
	}
	if (strcmp(event, "end") != 0 || !last)
		return stream_message(s, data);
	s->reply = remote_reply(ERRAND_OK, "", none, none, false);
	return -1;
}

/* What became of a stream whose head was one. */
static int stream_end(struct exchange *x, struct errand_reply **replyp)
{
	const struct bytes none = {NULL, 0};
	struct stream *s = x->stream;

	if (s->cancelled)
		return give(x->remote, remote_reply(ERRAND_CANCELLED, "cancelled by the caller", none, none, false), replyp);
	if (s->bad)
		return fail(x->remote, ERRAND_INTERNAL, "%s: an event that is no %s", x->url, s->output->name);
	if (s->reply == NULL)
		return fail(x->remote, ERRAND_UNAVAILABLE, "%s: the stream was cut off", target_name(x->remote->target));
	*replyp = s->reply;
	s->reply = NULL;
	return 0;
}

int remote_stream(struct remote *r, const struct remote_call *c,
		  int (*on_message)(const void *message, size_t len, void *arg), void *arg,
		  struct errand_reply **replyp)
{
	const struct schema_method *m = method_of(c);
	struct stream s = {.schema = c->schema, .on_message = on_message, .arg = arg, .sse = {.on_event = on_event, .arg = &s}};
	struct exchange x;
	int err;

	*replyp = NULL;
	if (m == NULL)
		return fail(r, ERRAND_UNIMPLEMENTED, "the service has no method %s/%s", c->service, c->method);
	s.output = m->output;
	exchange_call(&x, r, c, EVENTS);
	s.path = x.path;
	x.stream = &s;
	err = exchange_run(&x);
	if (is_stream(&x) && err != -ERRAND_DEADLINE_EXCEEDED)
		err = stream_end(&x, replyp);
	else if (err == 0 && x.request.status == 204) /* nothing more will come */
		err = give(r, remote_reply(ERRAND_OK, "", (struct bytes){NULL, 0}, (struct bytes){NULL, 0}, false), replyp);
	else if (err == 0)
		err = answer_problem(&x, replyp);
	errand_reply_free(s.reply);
	sse_deinit(&s.sse);
	exchange_deinit(&x);
	return err;
}

int remote_get(struct remote *r, const char *path, int64_t timeout_ns, struct buf *body)
{
	struct exchange x;
	int err;

	exchange_init(&x, r, path);
	x.request.get = true;
	x.request.timeout_ns = timeout_ns;
	err = exchange_run(&x);
	if (err == 0 && body != NULL)
		buf_append(body, x.body.data, x.body.len);
	if (err == 0)
		err = x.request.status;
	exchange_deinit(&x);
	return err;
}
