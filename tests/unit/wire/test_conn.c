/* A client and a server conn back to back: what each side sees of calls, streams,
 * credit, cancel, ping and goaway, and that a broken peer (FAULTS 44, 48) costs
 * its own connection and nothing else. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "errand/status.h"
#include "rig.h"

static void test_unary(void **state)
{
	struct rig r;

	rig_init(&r, NULL, false);
	assert_non_null(rig_call(&r, "C", "hi", false));
	assert_non_null(rig_call(&r, "D", "", false));
	assert_int_equal(rig_run(&r), 0);
	assert_string_equal(rig_events(&r), "server request 1 a.B/C hi\n"
					    "server request 3 a.B/D \n");
	assert_int_equal(conn_n_streams(r.server), 2);
	rig_answer(&r, 1, 0, "two"); /* out of order */
	rig_answer(&r, 0, ERRAND_NOT_FOUND, "");
	assert_int_equal(rig_run(&r), 0);
	/* No metadata: the peer never said Hello. */
	assert_string_equal(rig_events(&r), "client response 3 code=0 two\n"
					    "client response 1 code=5 (no)\n");
	assert_int_equal(conn_n_streams(r.server), 0);
	assert_int_equal(conn_n_streams(r.client), 0);
	rig_deinit(&r);
}

static void test_hello(void **state)
{
	struct rig r;

	rig_init(&r, NULL, false);
	conn_set_hello(r.server, rig_text("\x08\x01"));
	assert_int_equal(conn_hello(r.client, rig_text("")), 0);
	assert_non_null(rig_call(&r, "C", "early", false)); /* without waiting */
	assert_int_equal(rig_run(&r), 0);
	assert_string_equal(rig_events(&r), "server request 3 a.B/C early\n"
					    "client hello 0 \x08\x01\n");
	assert_true(conn_extended(r.client));
	assert_true(conn_extended(r.server));
	rig_answer(&r, 0, 0, "x");
	assert_int_equal(rig_run(&r), 0);
	assert_string_equal(rig_events(&r), "client response 3 code=0 x etag=7\n");
	assert_int_equal(conn_hello(r.client, rig_text("")), -ERRAND_FAILED_PRECONDITION);
	rig_deinit(&r);
}

static void test_bytewise(void **state)
{
	struct rig r;
	char big[5000];

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	for (size_t step = 1; step < 24; step++) {
		rig_init(&r, NULL, false);
		r.step = step;
		assert_int_equal(conn_hello(r.client, rig_text("")), 0);
		rig_call(&r, "C", big, false);
		rig_call(&r, "D", "", true);
		assert_int_equal(rig_run(&r), 0);
		assert_int_equal(r.n_requests, 2);
		rig_events(&r);
		assert_int_equal(conn_send_data(r.server, r.requests[1], rig_text("")), 0);
		assert_int_equal(conn_send_data(r.server, r.requests[1], rig_text("m")), 0);
		rig_answer(&r, 1, 0, "");
		rig_answer(&r, 0, 0, "y");
		assert_int_equal(rig_run(&r), 0);
		assert_string_equal(rig_events(&r), "client data 5\n"
						    "client data 5 m\n"
						    "client response 5 code=0 etag=7\n"
						    "client response 3 code=0 y etag=7\n");
		rig_deinit(&r);
	}
}

/* The server's Hello is unknown to a plain peer: no frame of ours may follow. */
static void test_plain_server(void **state)
{
	AUTO_BUF out = BUF_INIT, in = BUF_INIT, status = BUF_INIT;
	struct wire_response no = {.code = ERRAND_UNIMPLEMENTED};
	struct conn_stream *s;
	struct rig r;

	rig_init(&r, NULL, false);
	assert_int_equal(conn_hello(r.client, rig_text("")), 0);
	s = rig_call(&r, "C", "", true);
	conn_cancel(r.client, rig_call(&r, "D", "", false)); /* Hello is not answered yet */
	envelope_write_response(&status, &no, false);
	rig_frame(&in, 1, FRAME_RESPONSE, 0, status.data, status.len);
	rig_frame(&in, 3, FRAME_DATA, 0, "abc", 3);
	assert_int_equal(conn_feed(r.client, in.data, in.len), 0);
	assert_string_equal(rig_events(&r), "client plain 0\nclient data 3 abc\n");
	assert_false(conn_extended(r.client));
	rig_drain(r.client, &out);
	buf_reset(&out);
	conn_consumed(r.client, s, 3);
	conn_ping(r.client, (const uint8_t *)"12345678");
	conn_cancel(r.client, s);
	rig_drain(r.client, &out);
	assert_int_equal(out.len, 0);
	rig_deinit(&r);
}

/* A plain client gets plain ttrpc: also at the end of a stream. */
static void test_plain_client(void **state)
{
	AUTO_BUF out = BUF_INIT;
	struct frame f;
	struct rig r;

	rig_init(&r, NULL, false);
	rig_call(&r, "C", "", true);
	rig_run(&r);
	conn_ping(r.server, (const uint8_t *)"12345678");
	for (int i = 0; i < 3; i++) /* no window either */
		assert_int_equal(conn_send_data(r.server, r.requests[0], rig_text("abc")), 0);
	rig_answer(&r, 0, 0, "");
	conn_goaway(r.server);
	rig_drain(r.server, &out);
	assert_int_equal(out.len, 3 * (FRAME_HEADER + 3) + FRAME_HEADER);
	frame_unpack(out.data + 3 * (FRAME_HEADER + 3), &f);
	assert_int_equal(f.type, FRAME_DATA);
	assert_int_equal(f.flags, FRAME_REMOTE_CLOSED | FRAME_NO_DATA);
	assert_int_equal(f.length, 0);
	rig_events(&r);
	assert_int_equal(conn_feed(r.client, out.data, out.len), 0);
	assert_string_equal(rig_events(&r), "client data 1 abc\nclient data 1 abc\n"
					    "client data 1 abc\nclient response 1 code=0\n");
	rig_call(&r, "D", "", false); /* after goaway, which it could not be told of */
	rig_run(&r);
	assert_string_equal(rig_events(&r),
			    "client response 3 code=14 (the service is stopping)\n");
	rig_deinit(&r);
}

/* Data that carries the end with it, as Go's servers may send it. */
static void test_data_closes(void **state)
{
	AUTO_BUF in = BUF_INIT;
	struct rig r;

	rig_init(&r, NULL, false);
	rig_call(&r, "C", "", true);
	rig_frame(&in, 1, FRAME_DATA, 0, "a", 1);
	rig_frame(&in, 1, FRAME_DATA, FRAME_REMOTE_CLOSED, "b", 1);
	rig_frame(&in, 1, FRAME_DATA, 0, "late", 4);
	assert_int_equal(conn_feed(r.client, in.data, in.len), 0);
	assert_string_equal(rig_events(&r),
			    "client data 1 a\nclient data 1 b\nclient response 1 code=0\n");
	assert_int_equal(conn_dropped(r.client), 1);
	rig_deinit(&r);
}

static void test_credit(void **state)
{
	struct conn_limits limits = {.window = 10};
	struct conn_stream *s;
	struct rig r;

	rig_init(&r, &limits, true);
	s = rig_call(&r, "C", "", true);
	rig_run(&r);
	rig_events(&r);
	assert_int_equal(conn_send_data(r.server, r.requests[0], rig_text("123456")), 0);
	assert_int_equal(conn_send_data(r.server, r.requests[0], rig_text("123456")), 1);
	assert_int_equal(conn_send_data(r.server, r.requests[0], rig_text("third")), 1);
	assert_int_equal(rig_run(&r), 0);
	assert_string_equal(rig_events(&r), "client data 3 123456\nclient data 3 123456\n");
	conn_consumed(r.client, s, 4); /* under half a window: kept back */
	rig_run(&r);
	assert_string_equal(rig_events(&r), "");
	conn_consumed(r.client, s, 8);
	rig_run(&r);
	assert_string_equal(rig_events(&r), "server writable 3\nclient data 3 third\n");
	conn_consumed(r.client, s, 5);
	rig_run(&r);
	assert_string_equal(rig_events(&r), ""); /* was not out of credit */
	rig_answer(&r, 0, 0, "");
	rig_run(&r);
	assert_string_equal(rig_events(&r), "client response 3 code=0 etag=7\n");
	rig_deinit(&r);
}

/* What waits for credit comes before the OK, and never after an error. */
static void test_answer_behind_credit(void **state)
{
	struct conn_limits limits = {.window = 4};
	struct conn_stream *s;
	struct rig r;

	rig_init(&r, &limits, true);
	s = rig_call(&r, "C", "", true);
	rig_call(&r, "D", "", true);
	rig_run(&r);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(conn_send_data(r.server, r.requests[i], rig_text("1234")), 1);
		assert_int_equal(conn_send_data(r.server, r.requests[i], rig_text("5678")), 1);
	}
	rig_events(&r);
	rig_answer(&r, 0, 0, "");
	rig_answer(&r, 1, ERRAND_ABORTED, "");
	assert_int_equal(conn_n_streams(r.server), 0); /* for the owner both are over */
	rig_run(&r);
	assert_string_equal(rig_events(&r), "client data 3 1234\nclient data 5 1234\n"
					    "client response 5 code=10 (no) etag=7\n");
	conn_consumed(r.client, s, 4);
	rig_run(&r);
	assert_string_equal(rig_events(&r),
			    "client data 3 5678\nclient response 3 code=0 etag=7\n");
	/* Cancelled while it waited: nobody is told, nothing is left. */
	s = rig_call(&r, "E", "", true);
	rig_run(&r);
	conn_send_data(r.server, r.requests[2], rig_text("1234"));
	conn_send_data(r.server, r.requests[2], rig_text("5678"));
	rig_answer(&r, 2, 0, "");
	rig_run(&r);
	rig_events(&r);
	conn_cancel(r.client, s);
	rig_run(&r);
	assert_string_equal(rig_events(&r), "");
	assert_int_equal(conn_pending(r.server), 0);
	rig_deinit(&r);
}

static void test_window_is_kept(void **state)
{
	struct conn_limits limits = {.window = 4};
	AUTO_BUF in = BUF_INIT;
	struct rig r;

	rig_init(&r, &limits, true);
	rig_call(&r, "C", "", true);
	rig_frame(&in, 3, FRAME_DATA, 0, "12345", 5);
	rig_frame(&in, 3, FRAME_DATA, 0, "6", 1);
	assert_int_equal(conn_feed(r.client, in.data, in.len), -ERRAND_INVALID_ARGUMENT);
	assert_string_equal(rig_events(&r), "client data 3 12345\n");
	assert_non_null(strstr(conn_why(r.client), "window"));
	rig_deinit(&r);
}

static void test_cancel(void **state)
{
	struct conn_stream *s, *other;
	struct rig r;

	rig_init(&r, NULL, true);
	s = rig_call(&r, "C", "", false);
	other = rig_call(&r, "D", "", false);
	rig_run(&r);
	rig_events(&r);
	conn_cancel(r.client, s);
	assert_int_equal(conn_n_streams(r.client), 1);
	rig_run(&r);
	assert_string_equal(rig_events(&r), "server cancelled 3\n");
	rig_answer(&r, 1, 0, "");
	conn_cancel(r.client, other); /* crosses the answer */
	rig_run(&r);
	assert_string_equal(rig_events(&r), "");
	assert_int_equal(conn_dropped(r.client), 1);
	assert_int_equal(conn_dropped(r.server), 1);
	/* A CANCEL must not overtake its own Request in the queue. */
	conn_cancel(r.client, rig_call(&r, "E", "", false));
	rig_run(&r);
	assert_string_equal(rig_events(&r), "server request 7 a.B/E \nserver cancelled 7\n");
	rig_deinit(&r);
}

static void test_cancel_before_hello_is_answered(void **state)
{
	struct rig r;

	rig_init(&r, NULL, false);
	conn_hello(r.client, rig_text(""));
	conn_cancel(r.client, rig_call(&r, "C", "", false));
	rig_run(&r);
	assert_string_equal(rig_events(&r),
			    "server request 3 a.B/C \nclient hello 0 \x08\x01\nserver cancelled 3\n");
	rig_deinit(&r);
}

static void test_control_first(void **state)
{
	char *big = calloc(1, 100001);
	struct iovec iov[2];
	struct conn_stream *s;
	struct frame f;
	struct rig r;

	rig_init(&r, NULL, true);
	s = rig_call(&r, "C", "", false);
	rig_run(&r);
	memset(big, 'b', 100000);
	rig_call(&r, "D", big, false);
	rig_call(&r, "E", big, false);
	assert_int_equal(conn_output(r.client, iov), 1);
	conn_sent(r.client, 1000); /* the first is begun */
	conn_cancel(r.client, s);
	assert_int_equal(conn_output(r.client, iov), 2);
	assert_true(iov[0].iov_len < 100100 && iov[0].iov_len > 99000); /* the rest of it */
	assert_int_equal(iov[1].iov_len, FRAME_HEADER);
	frame_unpack(iov[1].iov_base, &f);
	assert_int_equal(f.type, FRAME_CANCEL);
	assert_int_equal(f.stream, 3);
	conn_sent(r.client, iov[0].iov_len + 4); /* now the CANCEL is begun */
	conn_ping(r.client, (const uint8_t *)"12345678");
	assert_int_equal(conn_output(r.client, iov), 2);
	assert_int_equal(iov[0].iov_len, FRAME_HEADER - 4 + FRAME_HEADER + 8);
	frame_unpack(iov[1].iov_base, &f);
	assert_int_equal(f.type, FRAME_REQUEST);
	free(big);
	rig_deinit(&r);
}

static void test_ping_goaway(void **state)
{
	struct rig r;

	rig_init(&r, NULL, true);
	conn_ping(r.client, (const uint8_t *)"12345678");
	rig_run(&r);
	assert_string_equal(rig_events(&r), "client pong 0 12345678\n");
	conn_ping(r.server, (const uint8_t *)"abcdefgh");
	rig_run(&r);
	assert_string_equal(rig_events(&r), "server pong 0 abcdefgh\n");
	rig_call(&r, "C", "", false);
	rig_run(&r);
	rig_call(&r, "D", "", false); /* on its way when the server stops */
	conn_goaway(r.server);
	rig_events(&r);
	rig_run(&r);
	assert_string_equal(rig_events(&r),
			    "client goaway 3\n"
			    "client response 5 code=14 (the service is stopping)\n");
	assert_null(rig_call(&r, "E", "", false));
	assert_non_null(strstr(conn_why(r.client), "stopping"));
	rig_answer(&r, 0, 0, "done"); /* what was under way ends well */
	rig_run(&r);
	assert_string_equal(rig_events(&r), "client response 3 code=0 done etag=7\n");
	rig_deinit(&r);
}

static void test_too_large(void **state)
{
	char *big = calloc(1, FRAME_MAX + 2);
	struct wire_response p = {0};
	struct rig r;

	memset(big, 'b', FRAME_MAX + 1);
	rig_init(&r, NULL, true);
	assert_null(rig_call(&r, "C", big, false));
	assert_non_null(strstr(conn_why(r.client), "4 MiB"));
	big[FRAME_MAX - 5] = '\0'; /* the envelope takes it over the edge */
	assert_null(rig_call(&r, "C", big, false));
	assert_int_equal(conn_n_streams(r.client), 0);
	big[FRAME_MAX - 100] = '\0';
	assert_non_null(rig_call(&r, "C", big, false));
	assert_int_equal(rig_run(&r), 0);
	rig_events(&r);
	p.payload = (struct bytes){(const uint8_t *)big, FRAME_MAX - 2};
	assert_int_equal(conn_send_data(r.server, r.requests[0],
					(struct bytes){p.payload.data, FRAME_MAX + 1}),
			 -ERRAND_RESOURCE_EXHAUSTED);
	conn_respond(r.server, r.requests[0], &p);
	rig_run(&r);
	assert_string_equal(rig_events(&r),
			    "client response 3 code=8 (the answer is larger than 4 MiB)\n");
	free(big);
	rig_deinit(&r);
}

/* What the conn answers by itself, without an event. */
static void test_refused_requests(void **state)
{
	struct conn_limits limits = {.max_streams = 1};
	AUTO_BUF in = BUF_INIT;
	struct rig r;

	rig_init(&r, &limits, false);
	rig_call(&r, "C", "", false);
	rig_call(&r, "D", "", false);
	rig_run(&r);
	assert_string_equal(rig_events(&r),
			    "server request 1 a.B/C \nclient response 3 code=8 "
			    "(too many calls at once on this connection)\n");
	rig_frame(&in, 9, FRAME_REQUEST, 0, "\xff\xff", 2);
	rig_frame(&in, 7, FRAME_REQUEST, 0, "", 0); /* lower than one before, not live */
	assert_int_equal(conn_feed(r.server, in.data, in.len), 0);
	assert_string_equal(rig_events(&r), "");
	buf_reset(&in);
	rig_drain(r.server, &in);
	assert_int_equal(in.data[7], 9);
	assert_non_null(memmem(in.data, in.len, "does not hold a ttrpc Request", 29));
	assert_non_null(memmem(in.data, in.len, "stream ids must increase", 24));
	assert_int_equal(conn_feed(r.client, in.data, in.len), 0);
	assert_int_equal(conn_dropped(r.client), 2);
	rig_deinit(&r);
}

/* A late or second Hello changes nothing: calls begun before it have no window. */
static void test_late_hello(void **state)
{
	AUTO_BUF m = BUF_INIT, in = BUF_INIT;
	struct wire_request q = {.service = rig_text("errand.wire.v1.Connection"),
				 .method = rig_text("Hello")};
	struct rig r;

	rig_init(&r, NULL, false);
	rig_call(&r, "C", "", false);
	rig_run(&r);
	rig_events(&r);
	envelope_write_request(&m, &q);
	rig_frame(&in, 3, FRAME_REQUEST, 0, m.data, m.len);
	assert_int_equal(conn_feed(r.server, in.data, in.len), 0);
	assert_false(conn_extended(r.server));
	assert_string_equal(rig_events(&r), "");
	rig_deinit(&r);
}

struct bad {
	const char *what; /* in conn_why */
	enum conn_role role;
	int err;
	uint32_t length; /* of the header; the payload is as long as there is */
	uint32_t stream;
	uint8_t type, flags;
};

/* Each after Hello, one live call on stream 3. */
static const struct bad bad_frames[] = {
	{"4194305 bytes", CONN_SERVER, ERRAND_RESOURCE_EXHAUSTED, FRAME_MAX + 1, 5, 1, 0},
	{"2147483648 bytes", CONN_SERVER, ERRAND_RESOURCE_EXHAUSTED, 1u << 31, 5, 1, 0},
	{"4294967295 bytes", CONN_CLIENT, ERRAND_RESOURCE_EXHAUSTED, UINT32_MAX, 3, 2, 0},
	{"4294967295 bytes", CONN_SERVER, ERRAND_RESOURCE_EXHAUSTED, UINT32_MAX, 9, 0x77, 0},
	{"even", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 0, 4, FRAME_REQUEST, 0},
	{"stream id", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 0, 0, FRAME_REQUEST, 0},
	{"in use", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 0, 3, FRAME_REQUEST, 0},
	{"Response from a client", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 0, 3, FRAME_RESPONSE, 0},
	{"Request from a server", CONN_CLIENT, ERRAND_INVALID_ARGUMENT, 0, 3, FRAME_REQUEST, 0},
	{"never begun", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 0, 5, FRAME_DATA, 0},
	{"had closed", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 0, 3, FRAME_DATA, 0},
	{"wrong size", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 1, 3, FRAME_CANCEL, 0},
	{"wrong size", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 8, 3, FRAME_CREDIT, 0},
	{"wrong size", CONN_SERVER, ERRAND_INVALID_ARGUMENT, FRAME_MAX, 0, FRAME_PING, 0},
	{"wrong size", CONN_CLIENT, ERRAND_INVALID_ARGUMENT, 0, 0, FRAME_GOAWAY, 0},
	{"stream id", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 8, 3, FRAME_PING, 0},
	{"stream id", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 4, 0, FRAME_CREDIT, 0},
	{"CANCEL from a server", CONN_CLIENT, ERRAND_INVALID_ARGUMENT, 0, 3, FRAME_CANCEL, 0},
	{"GOAWAY from a client", CONN_SERVER, ERRAND_INVALID_ARGUMENT, 4, 0, FRAME_GOAWAY, 0},
};

static void feed_bad(const struct bad *b, size_t step)
{
	struct frame f = {.length = b->length, .stream = b->stream, .type = b->type,
			  .flags = b->flags};
	uint8_t raw[FRAME_HEADER + 8] = {0};
	size_t len = FRAME_HEADER + MIN(b->length, 8u);
	struct conn *c;
	struct rig r;
	int err = 0;

	rig_init(&r, NULL, true);
	rig_call(&r, "C", "", false);
	rig_run(&r);
	rig_events(&r);
	c = b->role == CONN_SERVER ? r.server : r.client;
	frame_pack(&f, raw);
	for (size_t i = 0; i < len && err == 0; i += step)
		err = conn_feed(c, raw + i, MIN(step, len - i));
	if (err != -b->err || strstr(conn_why(c), b->what) == NULL)
		fail_msg("type 0x%02x stream %u length %u: %d \"%s\", not \"%s\"", b->type,
			 b->stream, b->length, err, conn_why(c), b->what);
	assert_string_equal(rig_events(&r), "");
	assert_int_equal(conn_feed(c, "x", 1), -b->err); /* it stays broken */
	rig_deinit(&r);
}

static void test_broken_peers(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(bad_frames); i++) {
		feed_bad(&bad_frames[i], 1);
		feed_bad(&bad_frames[i], 64);
	}
}

/* What is merely unknown or late is dropped and counted. */
static void test_dropped(void **state)
{
	AUTO_BUF in = BUF_INIT;
	struct rig r;

	rig_init(&r, NULL, true);
	rig_frame(&in, 99, FRAME_RESPONSE, 0, "", 0);
	rig_frame(&in, 99, FRAME_DATA, 0, "abc", 3);
	rig_frame(&in, 3, FRAME_CREDIT, 0, "\0\0\0\1", 4);
	rig_frame(&in, 3, 0x44, 0, "abc", 3); /* a type of a later version */
	rig_frame(&in, 0, 0xff, 0, "", 0);
	assert_int_equal(conn_feed(r.client, in.data, in.len), 0);
	assert_int_equal(conn_dropped(r.client), 5);
	rig_deinit(&r);
	rig_init(&r, NULL, false);
	buf_reset(&in); /* before Hello ours are unknown types too */
	rig_frame(&in, 3, FRAME_CANCEL, 0, "", 0);
	rig_frame(&in, 0, FRAME_PING, 0, "12345678", 8);
	assert_int_equal(conn_feed(r.server, in.data, in.len), 0);
	assert_int_equal(conn_dropped(r.server), 2);
	assert_int_equal(conn_pending(r.server), 0);
	rig_deinit(&r);
}

static void test_bad_response(void **state)
{
	AUTO_BUF in = BUF_INIT;
	struct rig r;

	rig_init(&r, NULL, true);
	rig_call(&r, "C", "", false);
	rig_call(&r, "D", "", false);
	rig_frame(&in, 3, FRAME_RESPONSE, 0, "\xff", 1);
	assert_int_equal(conn_feed(r.client, in.data, in.len), 0);
	assert_string_equal(rig_events(&r), "client response 3 code=13 "
			    "(the peer's answer is not a ttrpc Response)\n");
	assert_int_equal(conn_n_streams(r.client), 1); /* the other one goes on */
	rig_deinit(&r);
}

/* Random frames after a good start, and random bytes: never a crash (ASan). */
static void test_garbage(void **state)
{
	uint32_t x = 12345;
	struct rig r;

	for (int round = 0; round < 3000; round++) {
		AUTO_BUF in = BUF_INIT;
		uint8_t payload[8];

		rig_init(&r, NULL, round % 4 != 0);
		rig_call(&r, "C", "", true);
		rig_run(&r);
		for (int i = 0; i < 12; i++) {
			static const uint8_t types[] = {1, 2, 3, 0x40, 0x41, 0x42, 0x43, 9};

			x = x * 1664525 + 1013904223;
			for (size_t k = 0; k < sizeof payload; k++)
				payload[k] = (uint8_t)(x >> (3 * k));
			rig_frame(&in, x >> 9 & 7, types[x >> 20 & 7], (uint8_t)(x >> 24 & 7),
				  payload, x >> 13 & 1 ? 4 : x >> 14 & 8);
		}
		if (round % 8 == 7)
			in.data[x % in.len] ^= (uint8_t)(x >> 5);
		conn_feed(round % 2 ? r.server : r.client, in.data, in.len);
		rig_deinit(&r);
	}
}

/* Many live streams, ended in another order: the table finds each. */
static void test_many_streams(void **state)
{
	static struct conn_stream *s[5000];
	struct rig r;
	uint32_t x = 1;

	rig_init(&r, NULL, true);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		assert_non_null(s[i] = rig_call(&r, "C", "", false));
	rig_run(&r);
	assert_int_equal(conn_n_streams(r.server), ARRAY_LEN(s));
	for (size_t i = ARRAY_LEN(s) - 1; i > 0; i--) {
		size_t k = (x = x * 1664525 + 1013904223) % (i + 1);
		struct conn_stream *t = s[k];

		s[k] = s[i];
		s[i] = t;
	}
	for (size_t i = 0; i < ARRAY_LEN(s); i++) {
		conn_cancel(r.client, s[i]);
		if (i % 100 == 0)
			rig_run(&r);
	}
	rig_run(&r);
	assert_int_equal(conn_n_streams(r.client), 0);
	assert_int_equal(conn_n_streams(r.server), 0);
	assert_int_equal(conn_dropped(r.server), 0);
	assert_null(conn_first_stream(r.server));
	rig_deinit(&r);
}

static void test_over_limit(void **state)
{
	struct conn_limits limits = {.max_output = 100, .window = 10};
	struct conn_stream *s;
	struct rig r;

	rig_init(&r, &limits, true);
	s = rig_call(&r, "C", "", true);
	rig_run(&r);
	assert_false(conn_over_limit(r.server));
	for (int i = 0; i < 8; i++)
		conn_send_data(r.server, r.requests[0], rig_text("1234567890"));
	assert_true(conn_over_limit(r.server)); /* also what waits for credit */
	rig_run(&r);
	assert_true(conn_over_limit(r.server));
	conn_consumed(r.client, s, 10);
	conn_cancel(r.client, s);
	rig_run(&r);
	assert_false(conn_over_limit(r.server));
	rig_deinit(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unary),
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_bytewise),
		cmocka_unit_test(test_plain_server),
		cmocka_unit_test(test_plain_client),
		cmocka_unit_test(test_data_closes),
		cmocka_unit_test(test_credit),
		cmocka_unit_test(test_answer_behind_credit),
		cmocka_unit_test(test_window_is_kept),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cancel_before_hello_is_answered),
		cmocka_unit_test(test_control_first),
		cmocka_unit_test(test_ping_goaway),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_refused_requests),
		cmocka_unit_test(test_late_hello),
		cmocka_unit_test(test_broken_peers),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_bad_response),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_many_streams),
		cmocka_unit_test(test_over_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
