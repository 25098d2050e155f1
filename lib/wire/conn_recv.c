/* conn_recv.c: one function per frame type, found by a table. A callback may end
 * any stream, so after one a stream is looked up again by its id before it is
 * touched. */
#include "wire/conn_impl.h"

#include "base/pbuf.h"

#define CREDIT_MAX ((int64_t)1 << 40) /* no peer can add its way to an overflow */

static int broken(struct conn *c, const struct frame *f, const char *what)
{
	return CONN_BREAK(c, ERRAND_INVALID_ARGUMENT,
			  "broken protocol: %s (frame type 0x%02x, stream %u, %u bytes)", what,
			  f->type, f->stream, f->length);
}

/* --- server --- */

/* An answer of the conn's own to a Request that gets no stream. */
static int refuse(struct conn *c, uint32_t id, int code, const char *message)
{
	struct wire_response r;

	conn_status(&r, code, message);
	conn_put_response(c, &c->data, id, &r);
	return c->err;
}

static bool is_hello(const struct wire_request *r)
{
	return r->method.len == strlen(HELLO_METHOD) &&
	       r->service.len == strlen(HELLO_SERVICE) &&
	       memcmp(r->method.data, HELLO_METHOD, r->method.len) == 0 &&
	       memcmp(r->service.data, HELLO_SERVICE, r->service.len) == 0;
}

/* The answer goes with the control frames, so that none of them can reach the
 * client before it. */
static int answer_hello(struct conn *c, uint32_t id, struct bytes payload)
{
	static const uint8_t version_1[] = {0x08, 0x01};
	struct wire_response r;
	uint32_t window;
	bool bad;

	window = conn_hello_window(payload, &bad);
	if (bad)
		return refuse(c, id, ERRAND_INVALID_ARGUMENT,
			      "not an errand.wire.v1.HelloRequest");
	c->peer_window = window;
	c->hello = HELLO_DONE;
	conn_status(&r, ERRAND_OK, "");
	r.payload = c->reply.len > 0 ? buf_bytes(&c->reply) :
		    (struct bytes){version_1, sizeof version_1};
	conn_put_response(c, &c->control, id, &r);
	return c->err;
}

static int begin_call(struct conn *c, const struct frame *f, const struct wire_request *r)
{
	struct conn_stream *s = stream_add(&c->streams, f->stream);

	if (s == NULL)
		return conn_out_of_memory(c);
	s->credit = c->peer_window;
	s->allowed = c->limits.window;
	s->streaming = r->streaming;
	s->open = f->flags & FRAME_REMOTE_OPEN;
	if (c->ops->request != NULL)
		c->ops->request(c, s, r, s->open, c->arg);
	return c->err;
}

/* A stream id that is not new: reuse of a live one cannot be answered, since the
 * answer would end the call that has it; others are told, as ttrpc does. */
static int recv_old_id(struct conn *c, const struct frame *f)
{
	if (stream_get(&c->streams, f->stream) != NULL)
		return broken(c, f, "Request on a stream that is in use");
	return refuse(c, f->stream, ERRAND_INVALID_ARGUMENT, "stream ids must increase");
}

static int recv_request(struct conn *c, const struct frame *f, struct bytes payload)
{
	bool first = c->last_id == 0;
	struct wire_request r;

	if (c->role != CONN_SERVER)
		return broken(c, f, "Request from a server");
	if (f->stream % 2 == 0)
		return broken(c, f, "Request on an even stream id");
	if (f->stream <= c->last_id)
		return recv_old_id(c, f);
	c->last_id = f->stream;
	if (envelope_read_request(payload, &r) < 0)
		return refuse(c, f->stream, ERRAND_INVALID_ARGUMENT,
			      "the Request frame does not hold a ttrpc Request");
	if (is_hello(&r) && first)
		return answer_hello(c, f->stream, r.payload);
	if (is_hello(&r))
		return refuse(c, f->stream, ERRAND_FAILED_PRECONDITION,
			      "Hello must be the first call of a connection");
	if (c->draining)
		return refuse(c, f->stream, ERRAND_UNAVAILABLE, "the service is stopping");
	if (c->streams.n_used >= c->limits.max_streams)
		return refuse(c, f->stream, ERRAND_RESOURCE_EXHAUSTED,
			      "too many calls at once on this connection");
	r.streaming = f->flags & FRAME_REMOTE_CLOSED;
	return begin_call(c, f, &r);
}

static int recv_cancel(struct conn *c, const struct frame *f, struct bytes payload)
{
	struct conn_stream *s = stream_get(&c->streams, f->stream);

	if (c->role != CONN_SERVER)
		return broken(c, f, "CANCEL from a server");
	if (s == NULL) {
		c->n_dropped++;
		return 0;
	}
	if (s->ending) {
		conn_end_stream(c, s);
		return 0;
	}
	conn_drop_waiting(c, s);
	stream_remove(&c->streams, s);
	if (c->ops->cancelled != NULL)
		c->ops->cancelled(c, s, s->user, c->arg);
	stream_release(&c->streams, s);
	return c->err;
}

/* --- client --- */

static int recv_hello(struct conn *c, struct bytes payload)
{
	struct wire_response r;
	bool done = envelope_read_response(payload, &r) == 0 && r.code == ERRAND_OK;

	c->hello_id = 0;
	c->hello = done ? HELLO_DONE : HELLO_REFUSED;
	for (size_t i = 0; done && i < c->early.len; i += 4)
		conn_put_cancel(c, frame_unpack_u32(c->early.data + i), false);
	buf_deinit(&c->early);
	if (c->ops->hello != NULL)
		c->ops->hello(c, done, done ? r.payload : (struct bytes){NULL, 0}, c->arg);
	return c->err;
}

static int finish_call(struct conn *c, struct conn_stream *s, const struct wire_response *r)
{
	stream_remove(&c->streams, s);
	if (c->ops->response != NULL)
		c->ops->response(c, s, s->user, r, c->arg);
	stream_release(&c->streams, s);
	return c->err;
}

static int recv_response(struct conn *c, const struct frame *f, struct bytes payload)
{
	struct wire_response r;
	struct conn_stream *s;

	if (c->role != CONN_CLIENT)
		return broken(c, f, "Response from a client");
	if (c->hello_id != 0 && f->stream == c->hello_id)
		return recv_hello(c, payload);
	s = stream_get(&c->streams, f->stream);
	if (s == NULL) {
		c->n_dropped++;
		return 0;
	}
	if (envelope_read_response(payload, &r) < 0)
		conn_status(&r, ERRAND_INTERNAL, "the peer's answer is not a ttrpc Response");
	return finish_call(c, s, &r);
}

/* --- both sides --- */

/* A stream that has no such Data coming is a broken peer, one that has ended is
 * not: the frame was on its way. */
static int check_data(struct conn *c, const struct frame *f, struct conn_stream *s)
{
	if (c->role == CONN_SERVER && f->stream > c->last_id)
		return broken(c, f, "Data on a stream that was never begun");
	if (s == NULL || s->ending) {
		c->n_dropped++;
		return 1;
	}
	if (c->role == CONN_SERVER && !s->open)
		return broken(c, f, "Data on a stream its sender had closed");
	if (!conn_extended(c))
		return 0;
	if (s->allowed <= 0 && f->length > 0)
		return broken(c, f, "more Data than the window allows");
	s->allowed -= f->length;
	return 0;
}

static int recv_data(struct conn *c, const struct frame *f, struct bytes payload)
{
	struct conn_stream *s = stream_get(&c->streams, f->stream);
	struct wire_response ok;
	int err = check_data(c, f, s);

	if (err != 0)
		return MIN(err, 0);
	if (f->flags & FRAME_REMOTE_CLOSED)
		s->open = false;
	if (!(f->flags & FRAME_NO_DATA) && c->ops->data != NULL)
		c->ops->data(c, s, s->user, payload, c->arg);
	if (c->role == CONN_SERVER || !(f->flags & FRAME_REMOTE_CLOSED))
		return c->err;
	if (stream_get(&c->streams, f->stream) != s)
		return c->err; /* the owner has cancelled it */
	conn_status(&ok, ERRAND_OK, "");
	return finish_call(c, s, &ok);
}

static int recv_credit(struct conn *c, const struct frame *f, struct bytes payload)
{
	struct conn_stream *s = stream_get(&c->streams, f->stream);
	bool was_out, ending;

	if (s == NULL || c->role == CONN_CLIENT) { /* who sends no Data */
		c->n_dropped++;
		return 0;
	}
	was_out = s->credit <= 0;
	ending = s->ending;
	s->credit = MIN(s->credit + frame_unpack_u32(payload.data), CREDIT_MAX);
	conn_move_waiting(c, s); /* may free it, if ending */
	if (!ending && was_out && s->credit > 0 && c->err == 0 && c->ops->writable != NULL)
		c->ops->writable(c, s, s->user, c->arg);
	return c->err;
}

static int recv_ping(struct conn *c, const struct frame *f, struct bytes payload)
{
	struct frame answer = {.type = FRAME_PING, .flags = FRAME_REMOTE_CLOSED};

	if (!(f->flags & FRAME_REMOTE_CLOSED))
		conn_put(c, &c->control, &answer, payload.data, payload.len);
	else if (c->ops->pong != NULL)
		c->ops->pong(c, payload.data, c->arg);
	return c->err;
}

static int recv_goaway(struct conn *c, const struct frame *f, struct bytes payload)
{
	if (c->role != CONN_CLIENT)
		return broken(c, f, "GOAWAY from a client");
	c->draining = true;
	if (c->ops->goaway != NULL)
		c->ops->goaway(c, frame_unpack_u32(payload.data), c->arg);
	return c->err;
}

/* --- the table --- */

static const struct recv {
	int (*fn)(struct conn *c, const struct frame *f, struct bytes payload);
	uint32_t size; /* the payload must have; FRAME_MAX = up to that */
	bool extended; /* known only after Hello */
	bool stream_0;
} receivers[] = {
	[FRAME_REQUEST] = {recv_request, FRAME_MAX, false, false},
	[FRAME_RESPONSE] = {recv_response, FRAME_MAX, false, false},
	[FRAME_DATA] = {recv_data, FRAME_MAX, false, false},
	[FRAME_CANCEL] = {recv_cancel, 0, true, false},
	[FRAME_CREDIT] = {recv_credit, 4, true, false},
	[FRAME_PING] = {recv_ping, 8, true, true},
	[FRAME_GOAWAY] = {recv_goaway, 4, true, true},
};

/* NULL: a frame we do not know; ttrpc says to ignore it. */
static const struct recv *receiver(const struct conn *c, const struct frame *f)
{
	const struct recv *r = f->type < ARRAY_LEN(receivers) ? &receivers[f->type] : NULL;

	if (r == NULL || r->fn == NULL || (r->extended && !conn_extended(c)))
		return NULL;
	return r;
}

int conn_check_header(struct conn *c, const struct frame *f)
{
	const struct recv *r = receiver(c, f);

	if (f->length > FRAME_MAX)
		return CONN_BREAK(c, ERRAND_RESOURCE_EXHAUSTED,
				  "a frame of %u bytes (type 0x%02x, stream %u): more than %u",
				  f->length, f->type, f->stream, FRAME_MAX);
	if (r == NULL)
		return 0;
	if (r->size != FRAME_MAX && f->length != r->size)
		return broken(c, f, "control frame of the wrong size");
	if (r->stream_0 != (f->stream == 0))
		return broken(c, f, "wrong stream id for this type");
	return 0;
}

int conn_recv_frame(struct conn *c, const struct frame *f, const uint8_t *payload)
{
	const struct recv *r = receiver(c, f);

	c->n_frames++;
	if (r == NULL) {
		c->n_dropped++;
		return 0;
	}
	return r->fn(c, f, (struct bytes){payload, f->length});
}

