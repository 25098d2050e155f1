/* The upstream against a service that runs in the same loop, around wire/conn.h,
 * on a UNIX socket in a private directory. */
#define _GNU_SOURCE
#include <event2/event.h>

#include "fixture.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "gateway/upstream.h"
#include "upstream_server.h"
#include "wire/conn.h"

#define PING_NS (50 * NS_PER_MS)

/* --- the upstream and its owner --- */

struct world {
	struct server server;
	struct upstream *u;
	bool up, known, not_mine;
	unsigned n_heard;       /* of changes */
	unsigned n_ups, n_downs;
	int64_t ping_ns;
	struct buf set;
};

/* One call's outcome. */
struct outcome {
	unsigned n;
	int code;
	char payload[64];
	size_t n_messages, n_bytes, n_consumed;
	bool hold; /* do not give credit back */
};

static void on_state(struct upstream *u, bool up, const char *why, void *arg)
{
	struct world *w = arg;

	w->up = up;
	w->n_ups += up;
	w->n_downs += !up;
	assert_true(up || why != NULL);
}

static bool has_schema(struct upstream *u, struct bytes digest, void *arg)
{
	struct world *w = arg;

	assert_int_equal(digest.len, 32);
	return w->known;
}

static void on_schema(struct upstream *u, struct bytes digest, struct bytes set, void *arg)
{
	struct world *w = arg;

	w->known = true;
	buf_append(&w->set, set.data, set.len);
}

static bool wants_schema(struct upstream *u, struct bytes digest, void *arg)
{
	struct world *w = arg;

	assert_int_equal(digest.len, 32);
	w->n_heard++;
	return !w->not_mine;
}

static const struct upstream_ops ops = {
	.state = on_state, .has_schema = has_schema, .wants_schema = wants_schema, .schema = on_schema,
};

static void on_reply(struct upstream_call *c, const struct wire_response *r, void *arg)
{
	struct outcome *o = arg;

	o->n++;
	o->code = r->code;
	snprintf(o->payload, sizeof o->payload, "%.*s", (int)r->payload.len, (const char *)r->payload.data);
}

static void on_message(struct upstream_call *c, struct bytes message, void *arg)
{
	struct outcome *o = arg;

	o->n_messages++;
	o->n_bytes += message.len;
	if (!o->hold)
		upstream_consumed(c, message.len);
}

static struct upstream_call *call(struct world *w, const char *method, const char *payload, int64_t timeout,
				  struct outcome *o)
{
	struct wire_request r = {
		.service = server_text("test.Service"),
		.method = server_text(method),
		.payload = server_text(payload),
		.timeout_ns = timeout,
		.streaming = strcmp(method, "Stream") == 0,
	};
	const struct upstream_callbacks cb = {on_message, on_reply, o};

	return upstream_call(w->u, &r, &cb);
}

static void out_of_time(evutil_socket_t fd, short what, void *arg)
{
	fail_msg("waited too long for %s", (const char *)arg);
}

/* Turns the loop until the condition holds. */
#define UNTIL(w, condition)                                                                     \
	do {                                                                                    \
		struct event *guard = event_new((w)->server.base, -1, 0, out_of_time, #condition); \
		const struct timeval limit = {5, 0};                                            \
		event_add(guard, &limit);                                                       \
		while (!(condition))                                                            \
			event_base_loop((w)->server.base, EVLOOP_ONCE);                         \
		event_free(guard);                                                              \
	} while (0)

static void turn_for(struct world *w, int64_t ns)
{
	const struct timeval tv = {ns / NS_PER_S, ns % NS_PER_S / 1000};

	event_base_loopexit(w->server.base, &tv);
	event_base_dispatch(w->server.base);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	log_init("test_upstream", LOG_LEVEL_ERROR);
	w->server.base = event_base_new();
	w->server.fd = -1;
	snprintf(w->server.dir, sizeof w->server.dir, "/tmp/errand-test-XXXXXX");
	assert_non_null(mkdtemp(w->server.dir));
	snprintf(w->server.path, sizeof w->server.path, "%s/s", w->server.dir);
	server_listen(&w->server);
	w->ping_ns = 3600 * NS_PER_S;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	upstream_free(w->u);
	server_stop(&w->server);
	rmdir(w->server.dir);
	event_base_free(w->server.base);
	buf_deinit(&w->set);
	free(w);
	return 0;
}

static void start(struct world *w)
{
	w->u = upstream_new(w->server.base, w->server.path, w->ping_ns, &ops, w);
	UNTIL(w, w->up);
}

static void test_schema_then_calls(void **state)
{
	struct world *w = *state;
	struct outcome early = {0}, o[100] = {{0}};

	w->u = upstream_new(w->server.base, w->server.path, w->ping_ns, &ops, w);
	call(w, "Echo", "x", 0, &early);
	assert_int_equal(early.n, 0); /* never from inside */
	UNTIL(w, early.n == 1);
	assert_int_equal(early.code, ERRAND_UNAVAILABLE);
	UNTIL(w, w->up);
	assert_string_equal(buf_cstr(&w->set), "the set");
	for (size_t i = 0; i < ARRAY_LEN(o); i++) {
		char payload[8];

		snprintf(payload, sizeof payload, "%zu", i);
		call(w, "Echo", payload, 30 * NS_PER_S, &o[i]);
	}
	assert_int_equal(upstream_n_calls(w->u), 100);
	UNTIL(w, upstream_n_calls(w->u) == 0);
	for (size_t i = 0; i < ARRAY_LEN(o); i++) {
		assert_int_equal(o[i].n, 1);
		assert_int_equal(o[i].code, ERRAND_OK);
		assert_int_equal(atoi(o[i].payload), i);
	}
}

static void test_known_schema_is_not_fetched(void **state)
{
	struct world *w = *state;

	w->known = true;
	start(w);
	assert_int_equal(w->server.n_schema, 0);
	assert_int_equal(w->set.len, 0);
}

static void say_changed(struct world *w)
{
	AUTO_BUF change = BUF_INIT;

	UNTIL(w, w->server.watch != NULL);
	pbuf_put_str(&change, 1, "fedcba9876543210fedcba9876543210");
	conn_send_data(w->server.conn, w->server.watch, buf_bytes(&change));
	server_write(&w->server);
}

/* Whoever shall fetch it does, beside calls; again after the connection was lost. */
static void test_schema_changes(void **state)
{
	struct world *w = *state;
	struct outcome o = {0};

	w->known = true;
	start(w);
	w->not_mine = true;
	say_changed(w);
	UNTIL(w, w->n_heard == 1);
	w->not_mine = false;
	call(w, "Silent", "", 0, &o);
	for (unsigned i = 1; i <= 3; i++) {
		say_changed(w);
		UNTIL(w, w->set.len == i * strlen("the set"));
	}
	assert_int_equal(w->server.n_schema, 3);
	assert_int_equal(w->n_ups, 1);
	assert_int_equal(w->n_downs, 0);
	assert_int_equal(o.n, 0);
	assert_int_equal(upstream_n_calls(w->u), 1);
	server_hang_up(&w->server);
	w->server.watch = NULL;
	UNTIL(w, w->n_ups == 2);
	say_changed(w);
	UNTIL(w, w->server.n_schema == 4);
}

/* A change that cannot be had is asked for again, by a new connection. */
static void test_schema_change_refused(void **state)
{
	struct world *w = *state;
	unsigned accepted;

	w->known = true;
	start(w);
	accepted = w->server.n_accepted;
	w->server.no_schema = true;
	say_changed(w);
	UNTIL(w, w->server.n_schema == 1 && !w->up);
	w->server.no_schema = w->known = false;
	UNTIL(w, w->up && w->set.len == strlen("the set"));
	assert_int_equal(w->server.n_accepted, accepted + 1);
}

/* A service of before goes on without; and one that says goaway is left at once. */
static void test_schema_not_watched(void **state)
{
	struct world *w = *state;
	struct outcome o = {0};

	w->server.no_watch = true;
	start(w);
	call(w, "Echo", "x", 0, &o);
	UNTIL(w, o.n == 1);
	assert_int_equal(o.code, ERRAND_OK);
	assert_int_equal(w->n_heard, 0);
	assert_int_equal(w->n_downs, 0);
}

static void test_error(void **state)
{
	struct world *w = *state;
	struct outcome o = {0};

	start(w);
	call(w, "Fail", "", 0, &o);
	UNTIL(w, o.n == 1);
	assert_int_equal(o.code, ERRAND_NOT_FOUND);
}

static void test_deadline(void **state)
{
	struct world *w = *state;
	struct outcome slow = {0}, echo = {0};
	int64_t begun;

	start(w);
	begun = clock_mono_ns();
	call(w, "Silent", "", 50 * NS_PER_MS, &slow);
	UNTIL(w, slow.n == 1);
	assert_int_equal(slow.code, ERRAND_DEADLINE_EXCEEDED);
	assert_in_range(clock_mono_ns() - begun, 50 * NS_PER_MS, 2 * NS_PER_S);
	UNTIL(w, w->server.n_cancelled == 1); /* the service was told */
	call(w, "Echo", "after", NS_PER_S, &echo);
	UNTIL(w, echo.n == 1);
	assert_string_equal(echo.payload, "after");
	assert_int_equal(slow.n, 1);
}

static void test_cancel(void **state)
{
	struct world *w = *state;
	struct outcome o = {0};
	struct upstream_call *c;

	start(w);
	c = call(w, "Silent", "", NS_PER_S, &o);
	UNTIL(w, w->server.silent != NULL);
	upstream_cancel(c);
	UNTIL(w, w->server.n_cancelled == 1);
	assert_int_equal(o.n, 0);
	assert_int_equal(upstream_n_calls(w->u), 0);
}

static void test_lost_and_back(void **state)
{
	struct world *w = *state;
	struct outcome o = {0}, down = {0}, back = {0};
	int64_t begun;

	start(w);
	call(w, "Silent", "", 0, &o);
	UNTIL(w, w->server.silent != NULL);
	server_stop(&w->server);
	UNTIL(w, o.n == 1);
	assert_int_equal(o.code, ERRAND_UNAVAILABLE);
	assert_false(w->up);
	call(w, "Echo", "", 0, &down);
	UNTIL(w, down.n == 1);
	assert_int_equal(down.code, ERRAND_UNAVAILABLE);
	server_listen(&w->server);
	begun = clock_mono_ns();
	UNTIL(w, w->up);
	assert_in_range(clock_mono_ns() - begun, 0, NS_PER_S);
	call(w, "Echo", "again", 0, &back);
	UNTIL(w, back.n == 1);
	assert_string_equal(back.payload, "again");
	assert_int_equal(w->n_downs, 1); /* not one for each attempt */
}

/* A service that stops finishes what it has; new calls go to the next one. */
static void test_goaway(void **state)
{
	struct world *w = *state;
	struct outcome o = {0}, refused = {0};
	struct conn *old;

	start(w);
	call(w, "Silent", "", 0, &o);
	UNTIL(w, w->server.silent != NULL);
	old = w->server.conn;
	event_del(w->server.accepting); /* nobody takes the next connection yet */
	conn_goaway(old);
	server_write(&w->server);
	UNTIL(w, !w->up);
	assert_int_equal(o.n, 0);
	call(w, "Echo", "", 0, &refused);
	UNTIL(w, refused.n == 1);
	assert_int_equal(refused.code, ERRAND_UNAVAILABLE);
	server_respond(old, w->server.silent, ERRAND_OK, server_text("late"));
	server_write(&w->server);
	UNTIL(w, o.n == 1);
	assert_string_equal(o.payload, "late");
	UNTIL(w, w->server.fd == -1); /* the old one is closed when it is empty */
	event_add(w->server.accepting, NULL);
	UNTIL(w, w->up);
}

static void test_plain_ttrpc(void **state)
{
	struct world *w = *state;
	struct outcome o = {0};

	w->server.plain = true;
	w->ping_ns = PING_NS;
	start(w);
	assert_int_equal(w->set.len, 0);
	call(w, "Echo", "plain", 0, &o);
	UNTIL(w, o.n == 1);
	assert_string_equal(o.payload, "plain");
	turn_for(w, 3 * PING_NS); /* it would not know what PING is */
	assert_true(w->up);
	assert_int_equal(w->server.n_frames, 2); /* Hello, Echo */
}

/* What was under way is answered when it lives again; what came meanwhile was refused. */
static void test_silent(void **state)
{
	struct world *w = *state;
	struct outcome under_way = {0}, meanwhile = {0}, again = {0};
	unsigned n_downs;

	w->ping_ns = PING_NS;
	start(w);
	call(w, "Silent", "", 0, &under_way);
	UNTIL(w, w->server.silent != NULL);
	event_del(w->server.reading); /* it stops */
	UNTIL(w, !w->up);
	assert_true(upstream_down_since(w->u) <= clock_mono_ns() - 2 * PING_NS);
	call(w, "Echo", "", 0, &meanwhile);
	UNTIL(w, meanwhile.n == 1);
	assert_int_equal(meanwhile.code, ERRAND_UNAVAILABLE);
	event_add(w->server.reading, NULL);
	UNTIL(w, w->up);
	assert_int_equal(upstream_down_since(w->u), 0);
	assert_int_equal(under_way.n, 0);
	server_respond(w->server.conn, w->server.silent, ERRAND_OK, server_text("late"));
	server_write(&w->server);
	UNTIL(w, under_way.n == 1);
	assert_string_equal(under_way.payload, "late");
	call(w, "Echo", "again", 0, &again);
	UNTIL(w, again.n == 1);
	assert_int_equal(w->server.n_calls, 3); /* schema, Silent, Echo: each once */
	assert_int_equal(w->server.n_accepted, 1);
	event_del(w->server.reading); /* and it is noticed again; then it dies */
	UNTIL(w, !w->up);
	n_downs = w->n_downs;
	server_stop(&w->server);
	server_listen(&w->server);
	UNTIL(w, w->up);
	assert_int_equal(w->n_downs, n_downs); /* not told twice */
}

/* 64 messages of 64 KiB are 16 windows: they come as fast as credit goes back. */
static void test_stream_credit(void **state)
{
	struct world *w = *state;
	struct outcome o = {.hold = true};
	struct upstream_call *c;

	start(w);
	c = call(w, "Stream", "", 0, &o);
	UNTIL(w, w->server.to_send > 0 && w->server.to_send < 64 && o.n_messages + 1 >= 64 - w->server.to_send);
	assert_in_range(o.n_bytes, 1, 512 * 1024); /* no more than the window and one */
	assert_int_equal(o.n, 0);
	o.hold = false;
	upstream_consumed(c, o.n_bytes);
	UNTIL(w, o.n == 1);
	assert_int_equal(o.n_messages, 64);
	assert_int_equal(o.n_bytes, 64 * 64 * 1024);
	assert_int_equal(o.code, ERRAND_OK);
}

static void test_too_large(void **state)
{
	struct world *w = *state;
	struct outcome o = {0}, echo = {0};
	struct wire_request r = {.service = server_text("test.Service"), .method = server_text("Echo")};
	const struct upstream_callbacks cb = {on_message, on_reply, &o};
	AUTO_BUF big = BUF_INIT;

	start(w);
	buf_reserve(&big, 5u << 20);
	memset(big.data, 0, 5u << 20);
	r.payload = (struct bytes){big.data, 5u << 20};
	upstream_call(w->u, &r, &cb);
	UNTIL(w, o.n == 1);
	assert_int_equal(o.code, ERRAND_RESOURCE_EXHAUSTED);
	call(w, "Echo", "still", 0, &echo); /* on the same connection */
	UNTIL(w, echo.n == 1);
	assert_int_equal(w->server.n_accepted, 1);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_schema_then_calls),
		WORLD_TEST(test_known_schema_is_not_fetched),
		WORLD_TEST(test_schema_changes),
		WORLD_TEST(test_schema_change_refused),
		WORLD_TEST(test_schema_not_watched),
		WORLD_TEST(test_error),
		WORLD_TEST(test_deadline),
		WORLD_TEST(test_cancel),
		WORLD_TEST(test_lost_and_back),
		WORLD_TEST(test_goaway),
		WORLD_TEST(test_plain_ttrpc),
		WORLD_TEST(test_silent),
		WORLD_TEST(test_stream_credit),
		WORLD_TEST(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
