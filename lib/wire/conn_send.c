/* conn_send.c: the calls of a conn that queue something: credit and ping by both
 * sides, requests and cancels by the client, answers and Data by the server. */
#include "wire/conn_impl.h"

#include "base/pbuf.h"

/* --- both sides --- */

void conn_put(struct conn *c, struct outq *q, const struct frame *f, const void *payload,
	      size_t len)
{
	if (outq_put(q, f, payload, len) < 0)
		conn_out_of_memory(c);
}

bool conn_extended(const struct conn *c)
{
	return c->hello == HELLO_DONE;
}

void conn_end_stream(struct conn *c, struct conn_stream *s)
{
	c->n_waiting -= s->wait.len - s->wait_head;
	stream_remove(&c->streams, s);
	stream_release(&c->streams, s);
}

void conn_ping(struct conn *c, const uint8_t opaque[8])
{
	struct frame f = {.type = FRAME_PING};

	if (conn_extended(c))
		conn_put(c, &c->control, &f, opaque, 8);
}

void conn_consumed(struct conn *c, struct conn_stream *s, size_t n)
{
	struct frame f = {.stream = s->id, .type = FRAME_CREDIT};
	uint8_t payload[4];

	if (!conn_extended(c) || s->ended || n == 0)
		return;
	s->consumed += (uint32_t)MIN(n, UINT32_MAX - s->consumed);
	if (s->consumed < c->limits.window / 2)
		return; /* half a window at a time: few frames, and no stall */
	s->allowed += s->consumed;
	frame_pack_u32(s->consumed, payload);
	s->consumed = 0;
	conn_put(c, &c->control, &f, payload, sizeof payload);
}

/* --- client --- */

/* The id of the Request that was queued, or 0 with why set. */
static uint32_t send_request(struct conn *c, const struct wire_request *r)
{
	struct frame f = {.stream = c->next_id, .type = FRAME_REQUEST,
			  .flags = r->streaming ? FRAME_REMOTE_CLOSED : 0};
	int err = -ERRAND_RESOURCE_EXHAUSTED;
	size_t start;

	if (r->payload.len <= FRAME_MAX) { /* else not even copied */
		start = outq_open(&c->data);
		envelope_write_request(&c->data.b, r);
		err = outq_close(&c->data, start, &f);
	}
	if (err < 0) {
		conn_say(c, err == -ERRAND_INTERNAL ? "out of memory" :
			 "the request is larger than 4 MiB");
		return 0;
	}
	c->next_id = c->next_id == UINT32_MAX ? 0 : c->next_id + 2;
	return f.stream;
}

struct conn_stream *conn_request(struct conn *c, const struct wire_request *r, void *user)
{
	struct conn_stream *s;

	if (c->role != CONN_CLIENT || c->err < 0)
		return NULL;
	if (c->draining || c->next_id == 0) {
		conn_say(c, c->draining ? "the peer is stopping" : "no stream ids left");
		return NULL;
	}
	/* The stream first: a Request that is queued cannot be taken back. */
	s = stream_add(&c->streams, c->next_id);
	if (s == NULL) {
		conn_say(c, "out of memory");
		return NULL;
	}
	if (send_request(c, r) == 0) {
		conn_end_stream(c, s);
		return NULL;
	}
	s->user = user;
	s->streaming = r->streaming;
	s->allowed = c->limits.window;
	s->sent_at = c->data.n_taken;
	return s;
}

uint32_t conn_hello_window(struct bytes payload, bool *badp)
{
	struct pbuf_reader r = pbuf_reader(payload.data, payload.len);
	struct pbuf_field f;
	uint64_t window = 0;

	while (pbuf_next(&r, &f))
		if (f.number == 2 && f.wire == PBUF_VARINT)
			window = f.value;
	*badp = r.bad;
	return window == 0 ? CONN_WINDOW : (uint32_t)MIN(window, INT32_MAX);
}

int conn_hello(struct conn *c, struct bytes payload)
{
	AUTO_BUF own = BUF_INIT;
	struct wire_request r;
	bool bad;

	if (c->role != CONN_CLIENT || c->next_id != 1) {
		conn_say(c, "Hello must be the first call of a client");
		return -ERRAND_FAILED_PRECONDITION;
	}
	if (payload.len == 0) {
		pbuf_put_uint(&own, 1, 1);
		pbuf_put_uint(&own, 2, c->limits.window);
		if (buf_failed(&own))
			return conn_out_of_memory(c);
		payload = buf_bytes(&own);
	}
	c->limits.window = conn_hello_window(payload, &bad);
	r.service = conn_text(HELLO_SERVICE);
	r.method = conn_text(HELLO_METHOD);
	r.payload = payload;
	r.timeout_ns = 0;
	r.streaming = false;
	r.n_metadata = 0;
	c->hello_id = send_request(c, &r);
	if (c->hello_id == 0)
		return conn_out_of_memory(c);
	c->hello = HELLO_ASKED;
	return 0;
}

void conn_put_cancel(struct conn *c, uint32_t id, bool overtake)
{
	struct frame f = {.stream = id, .type = FRAME_CANCEL};

	conn_put(c, overtake ? &c->control : &c->data, &f, NULL, 0);
}

void conn_cancel(struct conn *c, struct conn_stream *s)
{
	uint8_t id[4];

	if (c->role != CONN_CLIENT || s->ended)
		return;
	if (c->hello == HELLO_DONE) {
		/* It overtakes what is queued, but not its own Request. */
		conn_put_cancel(c, s->id, s->sent_at <= c->data.n_sent);
	} else if (c->hello == HELLO_ASKED) {
		frame_pack_u32(s->id, id);
		buf_append(&c->early, id, sizeof id);
	}
	conn_end_stream(c, s);
}

/* --- server --- */

void conn_set_hello(struct conn *c, struct bytes payload)
{
	buf_reset(&c->reply);
	buf_append(&c->reply, payload.data, payload.len);
	if (buf_failed(&c->reply))
		conn_out_of_memory(c);
}

void conn_status(struct wire_response *r, int code, const char *message)
{
	r->code = code;
	r->message = conn_text(message);
	r->details = r->payload = (struct bytes){NULL, 0};
	r->n_metadata = 0;
}

static int write_response(struct conn *c, struct buf *b, uint32_t id,
			  const struct wire_response *r)
{
	struct frame f = {.stream = id, .type = FRAME_RESPONSE};
	size_t start;

	if (r->payload.len > FRAME_MAX)
		return -ERRAND_RESOURCE_EXHAUSTED;
	start = frame_open(b);
	envelope_write_response(b, r, conn_extended(c));
	return frame_close(b, start, &f);
}

/* Gives the bytes that were added to b. */
static size_t add_response(struct conn *c, struct buf *b, uint32_t id,
			   const struct wire_response *r)
{
	size_t before = b->len;
	struct wire_response small;
	int err = write_response(c, b, id, r);

	if (err == -ERRAND_RESOURCE_EXHAUSTED) {
		conn_status(&small, ERRAND_RESOURCE_EXHAUSTED,
			    "the answer is larger than 4 MiB");
		err = write_response(c, b, id, &small);
	}
	if (err < 0)
		conn_out_of_memory(c);
	return b->len - before;
}

void conn_put_response(struct conn *c, struct outq *q, uint32_t id,
		       const struct wire_response *r)
{
	outq_compact(q);
	q->n_taken += add_response(c, &q->b, id, r);
}

void conn_drop_waiting(struct conn *c, struct conn_stream *s)
{
	c->n_waiting -= s->wait.len - s->wait_head;
	buf_deinit(&s->wait);
	s->wait_head = 0;
}

/* ttrpc's own clients take an OK Response at the end of a stream for one more
 * message; what they know as the end is an empty Data. */
static bool ends_by_data(const struct conn *c, const struct conn_stream *s,
			 const struct wire_response *r)
{
	return s->streaming && !conn_extended(c) && r->code == ERRAND_OK && r->payload.len == 0;
}

void conn_respond(struct conn *c, struct conn_stream *s, const struct wire_response *r)
{
	struct frame end = {.stream = s->id, .type = FRAME_DATA,
			    .flags = FRAME_REMOTE_CLOSED | FRAME_NO_DATA};

	if (c->role != CONN_SERVER || s->ended || s->ending)
		return;
	if (r->code != ERRAND_OK)
		conn_drop_waiting(c, s);
	if (s->wait.len > 0) {
		c->n_waiting += add_response(c, &s->wait, s->id, r);
		s->ending = true;
		stream_retire(&c->streams, s);
		return;
	}
	if (ends_by_data(c, s, r))
		conn_put(c, &c->data, &end, NULL, 0);
	else
		conn_put_response(c, &c->data, s->id, r);
	conn_end_stream(c, s);
}

static int wait_for_credit(struct conn *c, struct conn_stream *s, const struct frame *f,
			   struct bytes message)
{
	size_t start = frame_open(&s->wait);

	buf_append(&s->wait, message.data, message.len);
	if (frame_close(&s->wait, start, f) < 0)
		return conn_out_of_memory(c);
	c->n_waiting += s->wait.len - start;
	return 1;
}

int conn_send_data(struct conn *c, struct conn_stream *s, struct bytes message)
{
	struct frame f = {.stream = s->id, .type = FRAME_DATA};

	if (c->role != CONN_SERVER || s->ended || s->ending)
		return -ERRAND_FAILED_PRECONDITION;
	if (message.len > FRAME_MAX)
		return -ERRAND_RESOURCE_EXHAUSTED;
	s->streaming = true;
	if (conn_extended(c) && (s->credit <= 0 || s->wait.len > 0))
		return wait_for_credit(c, s, &f, message);
	if (outq_put(&c->data, &f, message.data, message.len) < 0)
		return conn_out_of_memory(c);
	if (!conn_extended(c))
		return 0;
	s->credit -= (int64_t)message.len;
	return s->credit > 0 ? 0 : 1;
}

void conn_move_waiting(struct conn *c, struct conn_stream *s)
{
	struct frame f;

	while (s->wait_head < s->wait.len) {
		const uint8_t *p = s->wait.data + s->wait_head;

		frame_unpack(p, &f);
		if (f.type == FRAME_DATA && s->credit <= 0)
			return;
		if (outq_put(&c->data, &f, p + FRAME_HEADER, f.length) < 0) {
			conn_out_of_memory(c);
			return;
		}
		if (f.type == FRAME_DATA)
			s->credit -= f.length;
		s->wait_head += FRAME_HEADER + (size_t)f.length;
		c->n_waiting -= FRAME_HEADER + (size_t)f.length;
	}
	conn_drop_waiting(c, s);
	if (s->ending)
		conn_end_stream(c, s);
}

void conn_goaway(struct conn *c)
{
	struct frame f = {.type = FRAME_GOAWAY};
	uint8_t payload[4];

	if (c->role != CONN_SERVER || c->draining)
		return;
	c->draining = true;
	if (!conn_extended(c))
		return; /* later calls are answered UNAVAILABLE, that must do */
	frame_pack_u32(c->last_id, payload);
	conn_put(c, &c->control, &f, payload, sizeof payload);
}
