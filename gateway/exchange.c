/* See exchange.h. An exchange lives from the request until its answer has left
 * (http_on_done, which may come from inside http_reply: nothing touches an exchange
 * after it has answered). It is in a pool of its thread, with its buffers, and holds
 * a reference to the snapshot it began with, so a schema that changes meanwhile does
 * not matter to it.
 *
 * It is answered exactly once: by the reply, by its stream, or, when the client has
 * gone, for nobody. */
#define _GNU_SOURCE
#include "gateway/exchange.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/trace.h"
#include "base/uuid.h"
#include "gateway/access.h"
#include "gateway/answer.h"
#include "gateway/auth.h"
#include "gateway/builtin.h"
#include "gateway/cors.h"
#include "gateway/connect.h"
#include "gateway/content.h"
#include "gateway/gzip.h"
#include "gateway/httpbody.h"
#include "gateway/metrics.h"
#include "gateway/park.h"
#include "gateway/problem.h"
#include "gateway/request.h"
#include "gateway/request_id.h"
#include "gateway/snapshot.h"
#include "gateway/stream.h"
#include "wire/frame.h"

enum {
	KEEP_PAYLOAD = 64 * 1024, /* of a pooled exchange's buffer */
	PAYLOAD_MAX = FRAME_MAX - 65536,
	AGAIN_MAX = 5, /* times a request that the service refused unseen is sent again */
};

struct exchange {
	struct gateway_thread *t;
	struct http_request *http;
	struct snapshot *snapshot;  /* reference; NULL before the first schema */
	const struct route *route;  /* of the snapshot; NULL when there is none */
	struct request request;     /* its buffers stay */
	struct upstream_call *call; /* NULL once it has ended */
	struct stream *stream;      /* of a streaming method */
	struct exchange *next;      /* in t->spare */
	int64_t called_ns;          /* clock_mono_ns of the call; then how long it took */
	struct content content;     /* its codings */
	bool ended;                 /* the call has */
	struct parked parked;       /* while it waits for the service */
	struct auth_client client;  /* who asks */
	int64_t begun_ns;           /* clock_mono_ns */
	int64_t deadline_ns;        /* of the call; 0 = none */
	unsigned n_again;           /* how often it was begun anew */
	char id[REQUEST_ID_MAX + 1];       /* x-request-id */
	char traceparent[TRACE_SIZE];      /* of the service: our span of it */
	char task[UUID_TEXT_SIZE];  /* made by it; or "" */
	struct log_ids log;         /* of these */
};

static bool exchange_park(struct exchange *x);
static bool exchange_again(struct exchange *x);
static void exchange_late(struct exchange *x);
static void on_resume(struct parked *p, bool late);

/* --- pool --- */

static struct exchange *exchange_new(struct gateway_thread *t, struct http_request *r)
{
	struct exchange *x = t->spare;

	if (x != NULL)
		t->spare = x->next;
	else
		x = xcalloc(1, sizeof *x);
	x->t = t;
	x->http = r;
	x->snapshot = t->snapshot != NULL ? snapshot_ref(t->snapshot) : NULL;
	x->route = NULL;
	x->call = NULL;
	x->stream = NULL;
	x->request.codec = CODEC_BY_HEADER;
	x->ended = false;
	list_init(&x->parked.node);
	x->begun_ns = clock_mono_ns();
	x->deadline_ns = 0;
	x->n_again = 0;
	return x;
}

static const char *route_name(const struct route *route)
{
	if (route == NULL)
		return NULL;
	return route->http != NULL ? route->http->path : route->method->full_name;
}

/* The answer has left: the log line, and back to the pool. */
static void on_done(struct http_request *r, int status, size_t sent, void *arg)
{
	struct exchange *x = arg;
	const struct access_extra extra = {
		.request_id = x->id,
		.route = route_name(x->route),
		.traceparent = x->traceparent,
		.task = x->task,
		.upstream_ns = x->ended ? x->called_ns : -1,
		.client = x->client.name,
	};

	if (status != 100) { /* else it comes again with its body */
		access_write(r, &extra, status, sent);
		metrics_request(x->t->metrics, &(struct metrics_answer){
			.verb = http_is_head(r) ? "HEAD" : http_verb(r),
			.route = extra.route,
			.status = status,
			.ns = x->stream != NULL ? -1 : clock_mono_ns() - http_begun_ns(r),
			.upstream_ns = extra.upstream_ns,
		});
	}
	auth_client_deinit(&x->client);
	x->snapshot = snapshot_unref(x->snapshot);
	if (x->request.payload.cap > KEEP_PAYLOAD)
		buf_deinit(&x->request.payload);
	buf_deinit(&x->content.unpacked);
	x->next = x->t->spare;
	x->t->spare = x;
}

void exchange_thread_init(struct gateway_thread *t)
{
	list_init(&t->streams);
	t->park = park_new(t->base, on_resume);
	t->metrics = metrics_new(t); /* from now on other threads look at this one */
	t->spare = NULL;
	t->gzip = gzip_new();
	request_id_init(t->ids);
}

void exchange_thread_deinit(struct gateway_thread *t)
{
	while (t->spare != NULL) {
		struct exchange *x = t->spare;

		t->spare = x->next;
		request_deinit(&x->request);
		free(x);
	}
	t->snapshot = snapshot_unref(t->snapshot);
	t->park = park_free(t->park);
	t->gzip = gzip_free(t->gzip);
	t->metrics = metrics_free(t->metrics);
}

/* --- its ids --- */

/* W3C Trace Context: our own span of the client's trace, or of a new one. */
static void exchange_trace(struct exchange *x)
{
	const char *given = http_header(x->http, "traceparent");
	uint64_t *ids = x->t->ids, span = request_id_random(ids), high;
	struct trace t;

	x->request.keep_state = given != NULL && trace_read(given, strlen(given), &t) &&
				http_header_nth(x->http, "traceparent", 1) == NULL;
	if (x->request.keep_state) {
		t = trace_child(&t, span);
	} else {
		high = request_id_random(ids);
		t = trace_new(high, request_id_random(ids), span);
	}
	trace_write(&t, x->traceparent);
}

/* The ids of this request: x-request-id, echoed or made, and those of its trace. */
static void exchange_ids(struct exchange *x)
{
	const char *given = http_header(x->http, "X-Request-Id");

	if (given != NULL && request_id_is_good(given))
		memcpy(x->id, given, strlen(given) + 1);
	else
		request_id_make(x->t->ids, x->id);
	http_set_header(x->http, "X-Request-Id", x->id);
	exchange_trace(x);
	x->request.id = x->id;
	x->request.traceparent = x->traceparent;
	x->task[0] = '\0';
	x->log = (struct log_ids){.request = x->id, .traceparent = x->traceparent};
	log_ids_set(&x->log);
}

/* Location of a task is in the service's answer. */
static void exchange_note_task(struct exchange *x, const struct wire_response *w)
{
	static const char path[] = "/v1/tasks/";
	struct bytes at = wire_pair_get(w->metadata, w->n_metadata, "location");

	if (at.len == sizeof path - 1 + UUID_TEXT_SIZE - 1 && memcmp(at.data, path, sizeof path - 1) == 0)
		memcpy(x->task, at.data + sizeof path - 1, sizeof x->task - 1); /* its NUL is there */
}

/* --- the answer --- */

static void exchange_answer(struct exchange *x, const struct wire_response *w)
{
	const struct answer a = {
		.thread = x->t,
		.http = x->http,
		.snapshot = x->snapshot,
		.route = x->route,
		.form = x->request.accept,
		.must_pack = x->content.must_pack,
		.plain = x->request.codec != CODEC_BY_HEADER,
	};

	answer_send(&a, w);
}

static void exchange_call_ended(struct exchange *x, int code, enum metrics_stream_end why)
{
	metrics_call_end(x->t->metrics, x->route->method->full_name, code);
	if (x->stream != NULL)
		metrics_stream_end(x->t->metrics, why);
	x->call = NULL;
	x->called_ns = clock_mono_ns() - x->called_ns;
	x->ended = true;
}

/* Nobody has seen the request yet: it may begin anew. */
static bool exchange_may_again(struct exchange *x, struct upstream_call *c)
{
	return upstream_call_untouched(c) && x->n_again < AGAIN_MAX &&
	       (x->stream == NULL || !stream_is_begun(x->stream));
}

static void on_reply(struct upstream_call *c, const struct wire_response *w, void *arg)
{
	struct exchange *x = arg;

	log_ids_set(&x->log);
	exchange_call_ended(x, w->code, STREAM_ENDED);
	if (!exchange_may_again(x, c) || !exchange_again(x)) {
		exchange_note_task(x, w);
		if (x->stream == NULL || !stream_finish(x->stream, w))
			exchange_answer(x, w);
	}
	log_ids_clear();
}

static void on_message(struct upstream_call *c, struct bytes message, void *arg)
{
	struct exchange *x = arg;

	log_ids_set(&x->log);
	if (x->stream != NULL)
		stream_message(x->stream, c, message);
	else
		upstream_consumed(c, message.len); /* a unary method does not stream: dropped */
	log_ids_clear();
}

static void exchange_cancel(struct exchange *x, enum metrics_stream_end why)
{
	if (x->call == NULL)
		return;
	upstream_cancel(x->call);
	exchange_call_ended(x, ERRAND_CANCELLED, why);
}

/* The stream is about to answer by itself. */
static void on_cut(void *arg)
{
	exchange_cancel(arg, STREAM_CUT);
}

static void on_gone(struct http_request *r, void *arg)
{
	struct exchange *x = arg;
	struct buf none = BUF_INIT;

	exchange_cancel(x, STREAM_GONE);
	park_remove(x->t->park, &x->parked);
	if (x->stream == NULL || !stream_close(x->stream))
		http_reply(r, 499, NULL, &none);
}

/* --- the request --- */

static const char *header_nth(const void *from, const char *name, unsigned n)
{
	return http_header_nth(from, name, n);
}

static struct request_source exchange_source(struct http_request *r)
{
	return (struct request_source){http_query(r), http_body(r), header_nth, r};
}

/* A page of another origin asks what it may do here. */
static void answer_preflight(struct exchange *x)
{
	AUTO_BUF allow = BUF_INIT;
	struct route_match m;

	if (builtin_find(http_path(x->http)) != NULL)
		buf_append_str(&allow, "GET, HEAD");
	else if (x->snapshot != NULL)
		route_find(x->snapshot->routes, NULL, http_path(x->http), &m, &allow);
	cors_preflight(x->http, buf_cstr(&allow));
}

/* No route: 404, 405, or the answer to OPTIONS. A method that no route has is 501
 * wherever it is sent (RFC 9110 9.1). */
static void answer_no_route(struct exchange *x, int why, struct buf *allow)
{
	struct http_request *r = x->http;
	struct buf none = BUF_INIT;

	if (http_is_custom(r) && !route_has_verb(x->snapshot->routes, http_verb(r))) {
		problem_reply(r, 501, ERRAND_UNIMPLEMENTED, "no path has the method %s", http_verb(r));
	} else if (why == -ERRAND_INVALID_ARGUMENT) {
		problem_reply(r, 400, ERRAND_INVALID_ARGUMENT, "the path is not percent-encoded UTF-8");
	} else if (why == -ERRAND_NOT_FOUND && strcmp(http_path(r), "*") == 0) { /* the server itself */
		http_set_header(r, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
		http_reply(r, 204, NULL, &none);
	} else if (why == -ERRAND_NOT_FOUND) {
		problem_reply(r, 404, ERRAND_NOT_FOUND, "no method has this path");
	} else {
		http_set_header(r, "Allow", buf_cstr(allow));
		if (strcmp(http_verb(r), "OPTIONS") == 0)
			http_reply(r, 204, NULL, &none);
		else
			problem_reply(r, 405, ERRAND_UNIMPLEMENTED, "this path has no %s: it has %s",
				      http_verb(r), buf_cstr(allow));
	}
}

/* HEAD of a stream: the head alone, of unknown length. */
static void answer_stream_head(struct exchange *x)
{
	http_set_header(x->http, "Cache-Control", "no-store");
	http_stream_begin(x->http, 200, stream_media_type(x->request.accept));
	http_stream_end(x->http);
}

/* What can be refused, or answered, without the service. True when it was. */
static bool exchange_refuse(struct exchange *x)
{
	const struct schema_method *m = x->route->method;

	if (!answer_has_form(x->route, x->request.accept))
		problem_reply(x->http, 406, ERRAND_INVALID_ARGUMENT, m->server_streaming ?
			      "Accept: text/event-stream, application/x-ndjson or application/json" :
			      "Accept: application/json or application/x-protobuf");
	else if (x->request.payload.len > PAYLOAD_MAX)
		problem_reply(x->http, 413, ERRAND_RESOURCE_EXHAUSTED, "the request is over %u bytes as a message",
			      (unsigned)PAYLOAD_MAX);
	else if (m->server_streaming && http_is_head(x->http))
		answer_stream_head(x);
	else
		return false;
	return true;
}

static void exchange_stream(struct exchange *x)
{
	const struct stream_setup setup = {
		.thread = x->t,
		.http = x->http,
		.snapshot = x->snapshot,
		.route = x->route,
		.client = &x->client,
		.format = x->request.accept,
		.cut = on_cut,
		.arg = x,
	};

	x->stream = stream_new(&setup);
	metrics_stream_begin(x->t->metrics);
}

static void exchange_call(struct exchange *x, const struct wire_request *w)
{
	const struct upstream_callbacks cb = {on_message, on_reply, x};

	if ((!upstream_is_up(x->t->upstream) || upstream_is_full(x->t->upstream)) && exchange_park(x))
		return;
	if (x->route->method->server_streaming)
		exchange_stream(x);
	http_on_gone(x->http, on_gone, x);
	x->ended = false;
	x->called_ns = clock_mono_ns();
	metrics_call_begin(x->t->metrics);
	x->call = upstream_call(x->t->upstream, w, &cb);
}

/* What the client allows is counted from the request's arrival, also when it had to
 * wait. False: it is over, and was answered. */
static bool exchange_deadline(struct exchange *x, struct wire_request *w)
{
	if (w->timeout_ns <= 0)
		return true;
	if (x->deadline_ns == 0)
		x->deadline_ns = x->begun_ns + w->timeout_ns;
	if (x->n_again == 0)
		return true;
	w->timeout_ns = x->deadline_ns - clock_mono_ns();
	if (w->timeout_ns > 0)
		return true;
	exchange_late(x);
	return false;
}

static void answer_media_type(struct exchange *x)
{
	problem_reply(x->http, 415, ERRAND_INVALID_ARGUMENT,
		      "Content-Type: application/json (charset=utf-8) or application/x-protobuf");
}

/* The client asks whether to send its body: yes, unless its type is refused anyway. */
static void exchange_expect(struct exchange *x, const struct route_match *m)
{
	const struct request_source source = exchange_source(x->http);

	if (!x->content.connect && (m->route->body_all || m->route->body != NULL) &&
	    !httpbody_in(m->route) && media_body(&source) == BODY_OTHER)
		answer_media_type(x);
	else
		http_continue(x->http);
}

/* Whose rules the request follows; its body without its coding. False: answered. */
static bool exchange_open(struct exchange *x, struct request_source *src)
{
	struct connect_call call = {CODEC_BY_HEADER, ENCODING_IDENTITY};

	x->content.http = x->http;
	x->content.thread = x->t;
	x->content.streams = x->route->method->server_streaming;
	buf_reset(&x->content.unpacked);
	if (!x->content.connect)
		call.encoding = encoding_body(src);
	else if (!connect_open(x->http, x->route->method, src, &x->content.unpacked, &call))
		return false;
	x->request.codec = call.codec;
	return content_negotiate(&x->content, src) && content_unpack(&x->content, call.encoding, src);
}

/* The service is told who asks, when anybody has asked that. */
static void exchange_identity(struct exchange *x, struct wire_request *w)
{
	const char *name = x->client.name;

	if (*name != '\0')
		wire_pair_add(w->metadata, &w->n_metadata, "errand-identity",
			      (struct bytes){(const uint8_t *)name, strlen(name)});
}

static void exchange_run(struct exchange *x, const struct route_match *m)
{
	const struct gateway_config *c = x->t->config;
	const struct request_limits limits = {c->default_deadline, c->max_deadline, c->max_wait};
	struct request_source source = exchange_source(x->http);
	struct fault_list faults = FAULT_LIST_INIT;
	struct wire_request w;
	enum request_refusal refusal;

	if (!exchange_open(x, &source))
		return;
	refusal = request_build(&x->request, &source, m, x->snapshot->schema, &limits, &w, &faults);
	if (refusal == REQUEST_FAULTS)
		problem_reply_faults(x->http, &faults);
	else if (refusal == REQUEST_MEDIA_TYPE)
		answer_media_type(x);
	else if (!exchange_refuse(x) && exchange_deadline(x, &w) &&
		 auth_permit_tasks(&x->client, x->http, x->snapshot->schema, x->route->method, w.payload)) {
		exchange_identity(x, &w);
		exchange_call(x, &w);
	}
	fault_list_deinit(&faults);
}

/* Connect's GET is for the paths that have POST only, and does not show in Allow. */
static int exchange_find(struct exchange *x, struct route_match *m, struct buf *allow)
{
	const struct route_table *routes = x->snapshot->routes;
	struct http_request *r = x->http;
	AUTO_BUF other = BUF_INIT;
	int found = route_find(routes, http_is_head(r) ? "HEAD" : http_verb(r), http_path(r), m, allow);

	x->content.connect = false;
	if (found == 0)
		x->content.connect = m->route->http == NULL && connect_is_post(r);
	else if (found == -ERRAND_UNIMPLEMENTED && connect_is_get(r))
		x->content.connect = route_find(routes, "POST", http_path(r), m, &other) == 0 &&
			m->route->http == NULL;
	return x->content.connect ? 0 : found;
}

static void exchange_route(struct exchange *x)
{
	struct http_request *r = x->http;
	struct route_match m;
	AUTO_BUF allow = BUF_INIT;
	int found = exchange_find(x, &m, &allow);

	if (found < 0) {
		answer_no_route(x, found, &allow);
		return;
	}
	x->route = m.route;
	if (x->content.connect)
		connect_begin(r);
	if (!auth_permit(&x->client, r, m.route->method->scopes, m.route->method->service->name))
		return;
	if (x->content.connect && strcmp(http_verb(r), "GET") == 0 && m.route->method->idempotency_level != 1)
		connect_refuse_get(r);
	else if (m.route->method->client_streaming && !x->content.connect)
		problem_reply(r, 501, ERRAND_UNIMPLEMENTED, "%s takes a stream: not over HTTP",
			      m.route->method->full_name);
	else if (http_awaits_body(r))
		exchange_expect(x, &m);
	else
		exchange_run(x, &m);
}

/* --- waiting for the service --- */

/* It waits for a service that has not been gone for long, or has much to read. */
static bool exchange_park(struct exchange *x)
{
	const struct gateway_config *c = x->t->config;
	int64_t down = upstream_down_since(x->t->upstream), now = clock_mono_ns();
	int64_t until = MIN(x->begun_ns, down != 0 ? down : now) + c->reconnect_wait;
	size_t n_bytes = http_body(x->http).len + x->content.unpacked.len + x->request.payload.len;

	if (x->deadline_ns != 0)
		until = MIN(until, x->deadline_ns);
	if (until <= now || c->state->draining || !park_add(x->t->park, &x->parked, n_bytes, until))
		return false;
	http_on_gone(x->http, on_gone, x);
	return true;
}

static void exchange_late(struct exchange *x)
{
	if (x->deadline_ns != 0 && clock_mono_ns() >= x->deadline_ns)
		problem_reply(x->http, 504, ERRAND_DEADLINE_EXCEEDED,
			      "the service was not there before the deadline");
	else
		problem_reply(x->http, 503, ERRAND_UNAVAILABLE, "the service is not there: try again soon");
}

/* By what is the newest schema now: the service that comes may be another one. */
static void exchange_begin_anew(struct exchange *x)
{
	snapshot_refresh(&x->t->snapshot);
	snapshot_unref(x->snapshot);
	x->snapshot = x->t->snapshot != NULL ? snapshot_ref(x->t->snapshot) : NULL;
	x->route = NULL;
	x->n_again++;
	if (x->snapshot != NULL)
		exchange_route(x);
	else
		exchange_late(x);
}

/* The service has refused the call unseen, since it is stopping. */
static bool exchange_again(struct exchange *x)
{
	if (!upstream_is_up(x->t->upstream) && !exchange_park(x))
		return false;
	if (x->stream != NULL)
		stream_close(x->stream);
	x->stream = NULL;
	if (upstream_is_up(x->t->upstream))
		exchange_begin_anew(x);
	return true;
}

static void on_resume(struct parked *p, bool late)
{
	struct exchange *x = CONTAINER_OF(p, struct exchange, parked);

	log_ids_set(&x->log);
	if (late)
		exchange_late(x);
	else
		exchange_begin_anew(x);
	log_ids_clear();
}

void exchange_resume(struct gateway_thread *t)
{
	while (upstream_is_up(t->upstream) && !upstream_is_full(t->upstream))
		if (!park_resume_first(t->park))
			return;
}

void exchange_wait_no_more(struct gateway_thread *t)
{
	park_end(t->park);
}

/* Who asks, may he, and not too often? Of methods exchange_route asks again. False: it is answered. */
static bool exchange_admit(struct exchange *x)
{
	const struct builtin *b = builtin_find(http_path(x->http));
	const struct gateway_config *c = x->t->config;

	if (b != NULL && b->open)
		return true;
	if (b != NULL && b->docs && c->open_docs)
		return rate_admit(x->http, &c->rate, "");
	return auth_identify(&x->client, x->http, c) && rate_admit(x->http, &c->rate, x->client.name) &&
	       (b == NULL || auth_permit(&x->client, x->http, SCOPE_BIT(SCOPE_READ), ""));
}

static void exchange_start(struct exchange *x)
{
	struct gateway_thread *t = x->t;
	struct http_request *r = x->http;

	cors_headers(r, &t->config->origin);
	if (origin_refuse(r, &t->config->origin))
		return;
	if (cors_is_preflight(r, &t->config->origin))
		answer_preflight(x);
	else if (!exchange_admit(x))
		return;
	else if (builtin_handle(r, t))
		return;
	else if (x->snapshot != NULL)
		exchange_route(x);
	else if (http_awaits_body(r))
		http_continue(r);
	else if (upstream_is_up(t->upstream) || !exchange_park(x))
		exchange_late(x);
}

void exchange_begin(struct http_request *r, void *arg)
{
	struct gateway_thread *t = arg;
	struct exchange *x;

	t->n_requests++;
	snapshot_refresh(&t->snapshot);
	x = exchange_new(t, r);
	http_on_done(r, on_done, x);
	exchange_ids(x);
	exchange_start(x);
	log_ids_clear();
}
