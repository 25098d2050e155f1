/* See stream.h. Back-pressure: while the client does not read, messages are still
 * passed on, but their credit is held back, so at most a window of them comes. A
 * plain ttrpc service has no window: its stream is cut at HELD_MAX. */
#define _GNU_SOURCE
/* Before ours: it has a LIST_ENTRY of its own for a while. */
#include <event2/event.h>
#include <event2/event_struct.h>

#include "gateway/stream.h"

#include "base/clock.h"
#include "base/err.h"
#include "gateway/auth.h"
#include "gateway/httpbody.h"
#include "gateway/problem.h"
#include "schema/transcode.h"

#define HEAD_NS (200 * NS_PER_MS) /* of silence, then the head goes out alone */
#define HELD_MAX (4u << 20)
#define AUTH_NS (2 * NS_PER_S) /* so often a stream is asked whether its client may still have it */

struct stream {
	struct list node; /* in thread->streams */
	struct stream_setup setup;
	struct upstream_call *call; /* of the last message */
	struct event timer;         /* head, then heartbeats */
	struct event auth;          /* where clients have to say who they are */
	struct buf record;          /* reused */
	size_t held;                /* bytes of messages whose credit is held back */
	char type[256];             /* of a raw one */
	bool begun;                 /* the head is out */
	bool first;                 /* no element yet (JSON array) */
	bool full;                  /* the client does not read */
	bool quiet;                 /* nothing written since the last heartbeat */
};

/* --- records --- */

static void put_text(struct buf *b, const char *text)
{
	buf_append_str(b, text);
}

/* "id: 7\n": a field's text, if it has one; line breaks would end the line. */
static void put_sse_field(struct buf *b, const char *name, const struct schema_field *f, struct bytes message)
{
	size_t start = b->len, at;

	if (f == NULL)
		return;
	put_text(b, name);
	at = b->len;
	if (!transcode_field_text(f, message, b)) {
		b->len = start;
		return;
	}
	for (; at < b->len; at++)
		if (b->data[at] == '\n' || b->data[at] == '\r' || b->data[at] == '\0')
			b->data[at] = ' ';
	put_text(b, "\n");
}

static int put_json(struct stream *s, struct bytes message)
{
	const struct transcode_write o = {.schema = s->setup.snapshot->schema};
	const struct route *route = s->setup.route;
	AUTO_BUF pieces = BUF_INIT;
	char why[128];

	if (route->response_body != NULL)
		return transcode_field_to_json(&o, route->response_body,
					       field_path_enter(&route->response_path, message, &pieces),
					       &s->record, why, sizeof why);
	return transcode_to_json(&o, route->method->output, message, &s->record, why, sizeof why);
}

/* The first message says what it is. */
static int put_raw(struct stream *s, struct bytes message)
{
	AUTO_BUF pieces = BUF_INIT;
	struct httpbody raw;

	if (!httpbody_read(s->setup.route, message, &pieces, &raw) ||
	    (!s->begun && !httpbody_type(&raw, s->type, sizeof s->type)))
		return -ERRAND_DATA_LOSS;
	buf_append(&s->record, raw.data.data, raw.data.len);
	return 0;
}

static int record_message(struct stream *s, struct bytes message)
{
	const struct schema_message *m = s->setup.route->method->output;
	struct buf *b = &s->record;
	int r;

	switch (s->setup.format) {
	case ACCEPT_SSE:
		put_sse_field(b, "id: ", m->sse_id, message);
		put_sse_field(b, "event: ", m->sse_event, message);
		put_text(b, "data: ");
		r = put_json(s, message);
		put_text(b, "\n\n");
		return r;
	case ACCEPT_NDJSON:
		r = put_json(s, message);
		put_text(b, "\n");
		return r;
	case ACCEPT_RAW:
		return put_raw(s, message);
	default:
		put_text(b, s->first ? "" : ",\n");
		return put_json(s, message);
	}
}

static void record_end(struct stream *s)
{
	switch (s->setup.format) {
	case ACCEPT_SSE:
		put_text(&s->record, "event: end\ndata: {}\n\n");
		break;
	case ACCEPT_NDJSON:
		put_text(&s->record, "{\"@end\":{}}\n");
		break;
	case ACCEPT_RAW:
		break;
	default:
		put_text(&s->record, "]\n");
		break;
	}
}

static void record_error(struct stream *s, const struct wire_response *w)
{
	static const char *const around[][2] = {
		[ACCEPT_SSE] = {"event: error\ndata: ", "\n\n"},
		[ACCEPT_NDJSON] = {"{\"@error\":", "}\n"},
		[ACCEPT_JSON] = {"{\"@error\":", "}]\n"},
	};
	const char *const *text = around[s->setup.format];

	if (s->setup.format == ACCEPT_JSON && !s->first)
		put_text(&s->record, ",\n");
	put_text(&s->record, text[0]);
	problem_write_status(&s->record, s->setup.snapshot, w, http_path(s->setup.http));
	put_text(&s->record, text[1]);
}

/* --- sending --- */

const char *stream_media_type(enum media_accept format)
{
	static const char *const types[] = {
		[ACCEPT_SSE] = "text/event-stream",
		[ACCEPT_NDJSON] = "application/x-ndjson",
		[ACCEPT_JSON] = "application/json",
		[ACCEPT_RAW] = NULL, /* not known before the first message */
	};

	return types[format];
}

static void stream_begin(struct stream *s)
{
	if (s->begun)
		return;
	s->begun = true;
	http_set_header(s->setup.http, "Cache-Control", "no-store");
	if (s->setup.format == ACCEPT_RAW)
		http_set_header(s->setup.http, "X-Content-Type-Options", "nosniff");
	http_stream_begin(s->setup.http, 200, s->setup.format == ACCEPT_RAW ? s->type :
			  stream_media_type(s->setup.format));
	if (s->setup.format == ACCEPT_JSON)
		http_stream_write(s->setup.http, (struct bytes){(const uint8_t *)"[", 1});
}

static void stream_write(struct stream *s)
{
	s->quiet = false;
	if (http_stream_write(s->setup.http, buf_bytes(&s->record)))
		s->full = true;
	buf_reset(&s->record);
}

static void on_drained(struct http_request *r, void *arg)
{
	struct stream *s = arg;
	size_t n = s->held;

	s->full = false;
	s->held = 0;
	if (n != 0 && s->call != NULL)
		upstream_consumed(s->call, n);
}

static void start_timer(struct event *timer, int64_t ns)
{
	const struct timeval tv = {ns / NS_PER_S, ns % NS_PER_S / 1000};

	event_add(timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	if (!s->begun || s->quiet) {
		stream_begin(s);
		if (s->setup.format == ACCEPT_SSE) {
			put_text(&s->record, ":\n\n");
			stream_write(s);
		}
	}
	s->quiet = true;
	if (s->setup.format == ACCEPT_SSE)
		start_timer(&s->timer, s->setup.thread->config->heartbeat);
}

/* --- its life --- */

static void on_auth(evutil_socket_t fd, short what, void *arg);

struct stream *stream_new(const struct stream_setup *setup)
{
	struct stream *s = xcalloc(1, sizeof *s);

	s->setup = *setup;
	s->first = true;
	list_push_back(&setup->thread->streams, &s->node);
	event_assign(&s->timer, setup->thread->base, -1, 0, on_timer, s);
	event_assign(&s->auth, setup->thread->base, -1, 0, on_auth, s);
	http_stream_on_drained(setup->http, on_drained, s);
	strcpy(s->type, "application/octet-stream"); /* of no message at all */
	if (setup->format == ACCEPT_SSE || setup->format == ACCEPT_NDJSON)
		start_timer(&s->timer, HEAD_NS);
	if (setup->client->grants != NULL)
		start_timer(&s->auth, AUTH_NS);
	return s;
}

static void stream_free(struct stream *s)
{
	event_del(&s->timer);
	event_del(&s->auth);
	list_remove(&s->node);
	buf_deinit(&s->record);
	free(s);
}

static void stream_terminate(struct stream *s, const struct wire_response *w)
{
	if (w->code != ERRAND_OK && s->setup.format == ACCEPT_RAW) {
		http_stream_break(s->setup.http);
		return;
	}
	if (w->code == ERRAND_OK)
		record_end(s);
	else
		record_error(s, w);
	stream_write(s);
	http_stream_end(s->setup.http);
}

/* Ends the stream from here. Frees s. */
static void stream_abort(struct stream *s, int code, const char *why)
{
	struct wire_response w;

	w.code = code;
	w.message = (struct bytes){(const uint8_t *)why, strlen(why)};
	w.details = w.payload = (struct bytes){NULL, 0};
	w.n_metadata = 0;
	buf_reset(&s->record);
	s->setup.cut(s->setup.arg);
	if (s->begun)
		stream_terminate(s, &w);
	else
		problem_reply_status(s->setup.http, s->setup.snapshot, &w);
	stream_free(s);
}

static void on_auth(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;
	const struct schema_method *m = s->setup.route->method;
	const char *why = auth_ended(s->setup.client, s->setup.thread->config, m->scopes, m->service->name);

	if (why == NULL) {
		start_timer(&s->auth, AUTH_NS);
		return;
	}
	if (!s->begun)
		http_set_header(s->setup.http, "WWW-Authenticate", "Bearer realm=\"errand\", error=\"invalid_token\"");
	stream_abort(s, ERRAND_UNAUTHENTICATED, why);
}

void stream_message(struct stream *s, struct upstream_call *c, struct bytes message)
{
	s->call = c;
	if (record_message(s, message) < 0) {
		stream_abort(s, ERRAND_DATA_LOSS, "the service sent a message that is not of its schema");
		return;
	}
	stream_begin(s);
	stream_write(s);
	s->first = false;
	if (!s->full) {
		upstream_consumed(c, message.len);
		return;
	}
	s->held += message.len;
	if (s->held > HELD_MAX)
		stream_abort(s, ERRAND_RESOURCE_EXHAUSTED, "the client does not read fast enough");
}

bool stream_finish(struct stream *s, const struct wire_response *w)
{
	bool plain = !s->begun && (w->code != ERRAND_OK || wire_pair_get(w->metadata, w->n_metadata,
									 "errand-http-status").len != 0);

	if (!plain) {
		stream_begin(s);
		stream_terminate(s, w);
	}
	stream_free(s);
	return !plain;
}

bool stream_is_begun(const struct stream *s)
{
	return s->begun;
}

bool stream_close(struct stream *s)
{
	bool begun = s->begun;

	if (begun)
		http_stream_end(s->setup.http);
	stream_free(s);
	return begun;
}

void stream_drain(struct gateway_thread *t)
{
	while (!list_empty(&t->streams)) {
		struct stream *s = LIST_ENTRY(t->streams.next, struct stream, node);

		stream_abort(s, ERRAND_UNAVAILABLE, "the gateway is stopping: connect again");
	}
}
