/* fuzz_conn: a conn in either role, fed raw bytes and frames of the input's choice,
 * while its owner does what the input says, also from inside the callbacks.
 *
 * Input: byte 0 bit 0 the role, bit 1 Hello first; then operations, one byte each
 * with its operands (do_op). Checked: no crash, the books of the output queues
 * and of the streams are right, an error stays. */
#include <stdlib.h>
#include <string.h>

#include "wire/conn.h"
#include "wire/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p, *end;
	struct conn *c;
	int depth; /* of callbacks that act */
};

static uint8_t take(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static struct bytes take_bytes(struct input *in, size_t n)
{
	struct bytes b = {in->p, n};

	if (n > (size_t)(in->end - in->p))
		b.len = (size_t)(in->end - in->p);
	in->p += b.len;
	return b;
}

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void write_out(struct input *in, size_t max)
{
	struct iovec iov[2];
	size_t before = conn_pending(in->c), sum = 0;
	int n = conn_output(in->c, iov);
	volatile uint8_t sink = 0;

	for (int i = 0; i < n; i++) {
		check(iov[i].iov_len > 0);
		sum += iov[i].iov_len;
		for (size_t k = 0; k < iov[i].iov_len; k++)
			sink ^= ((uint8_t *)iov[i].iov_base)[k];
	}
	check(sum <= before && (sum > 0) == (before > 0));
	conn_sent(in->c, sum < max ? sum : max);
	check(conn_pending(in->c) == before - (sum < max ? sum : max));
}

static void feed_frame(struct input *in)
{
	static uint8_t raw[FRAME_HEADER + 255];
	struct frame f = {.stream = take(in), .type = take(in), .flags = take(in)};
	struct bytes b = take_bytes(in, take(in));

	f.length = (uint32_t)b.len;
	frame_pack(&f, raw);
	if (b.len > 0)
		memcpy(raw + FRAME_HEADER, b.data, b.len);
	conn_feed(in->c, raw, FRAME_HEADER + b.len);
}

static void request(struct input *in)
{
	struct wire_request r = {.service = {(const uint8_t *)"s", 1},
				 .method = {(const uint8_t *)"m", 1}};

	r.streaming = take(in) & 1;
	r.payload = take_bytes(in, take(in));
	conn_request(in->c, &r, NULL);
}

static void respond(struct input *in)
{
	struct conn_stream *s = conn_first_stream(in->c);
	struct wire_response r = {.code = take(in) % 3};

	r.payload = take_bytes(in, take(in));
	wire_pair_add(r.metadata, &r.n_metadata, "etag", r.payload);
	if (s != NULL)
		conn_respond(in->c, s, &r);
}

/* Operations that are safe inside a callback. */
static void do_owner_op(struct input *in, uint8_t op)
{
	struct conn_stream *s = conn_first_stream(in->c);

	switch (op % 8) {
	case 0:
		request(in);
		break;
	case 1:
		respond(in);
		break;
	case 2:
		if (s != NULL)
			conn_send_data(in->c, s, take_bytes(in, take(in)));
		break;
	case 3:
		if (s != NULL)
			conn_cancel(in->c, s);
		break;
	case 4:
		if (s != NULL)
			conn_consumed(in->c, s, (size_t)take(in) << (take(in) & 15));
		break;
	case 5:
		conn_ping(in->c, (const uint8_t *)"12345678");
		break;
	case 6:
		conn_goaway(in->c);
		break;
	case 7:
		break;
	}
}

static void act(struct input *in)
{
	if (in->depth++ < 4)
		do_owner_op(in, take(in));
	in->depth--;
}

static void on_request(struct conn *c, struct conn_stream *s, const struct wire_request *r,
		       bool open, void *arg)
{
	check(r->n_metadata <= ENVELOPE_METADATA_MAX);
	act(arg);
}

static void on_response(struct conn *c, struct conn_stream *s, void *user,
			const struct wire_response *r, void *arg)
{
	conn_cancel(c, s); /* must do nothing */
	act(arg);
	check(conn_stream_id(s) != 0); /* still there until we return */
}

static void on_data(struct conn *c, struct conn_stream *s, void *user, struct bytes m, void *arg)
{
	conn_consumed(c, s, m.len);
	act(arg);
}

static void on_stream(struct conn *c, struct conn_stream *s, void *user, void *arg)
{
	act(arg);
}

static void on_goaway(struct conn *c, uint32_t last, void *arg)
{
	act(arg);
}

static void on_pong(struct conn *c, const uint8_t opaque[8], void *arg)
{
	act(arg);
}

static void on_hello(struct conn *c, bool extended, struct bytes payload, void *arg)
{
	check(extended == conn_extended(c));
	act(arg);
}

static const struct conn_ops ops = {
	.request = on_request, .response = on_response, .data = on_data, .cancelled = on_stream,
	.writable = on_stream, .goaway = on_goaway, .pong = on_pong, .hello = on_hello,
};

static void do_op(struct input *in)
{
	uint8_t op = take(in);
	struct bytes b;

	if (op < 64) {
		b = take_bytes(in, op);
		conn_feed(in->c, b.data, b.len);
	} else if (op < 160) {
		feed_frame(in);
	} else if (op < 192) {
		write_out(in, op < 176 ? SIZE_MAX : take(in));
	} else {
		do_owner_op(in, op);
	}
}

static void say_hello(struct input *in, bool server)
{
	static const char request[] = "\x0a\x19" "errand.wire.v1.Connection\x12\x05Hello\x1a\x02\x10\x20";
	struct frame f = {.stream = 1, .type = server ? FRAME_REQUEST : FRAME_RESPONSE};
	uint8_t head[FRAME_HEADER];

	f.length = server ? sizeof request - 1 : 0;
	if (!server)
		conn_hello(in->c, (struct bytes){NULL, 0});
	frame_pack(&f, head);
	conn_feed(in->c, head, sizeof head);
	conn_feed(in->c, request, f.length);
	check(conn_extended(in->c));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conn_limits limits = {.max_output = 4096, .max_streams = 8, .window = 64};
	struct input in = {.p = data, .end = data + size};
	uint8_t mode = take(&in);
	int err = 0;

	in.c = conn_new(mode & 1 ? CONN_SERVER : CONN_CLIENT, &ops, &limits, &in);
	check(in.c != NULL);
	if (mode & 2)
		say_hello(&in, mode & 1);
	while (in.p < in.end) {
		do_op(&in);
		check(err == 0 || conn_feed(in.c, "", 0) == err);
		err = conn_feed(in.c, "", 0);
		check((err < 0) <= (conn_why(in.c)[0] != '\0'));
	}
	while (conn_pending(in.c) > 0)
		write_out(&in, 7);
	check((conn_first_stream(in.c) == NULL) == (conn_n_streams(in.c) == 0));
	conn_free(in.c);
	return 0;
}
