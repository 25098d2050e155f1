/* errand/client.h against servers in threads of this program: calls, errors,
 * deadlines with a silent server, cancel, streams with credit, lost connections,
 * and the event-driven use. Only the public header and the shared library. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "errand/client.h"
#include "peer.h"

#define SERVICE "test.v1.Peer"
#define MS 1000000LL

static char dir[64], path[96];

/* A server for one connection at a time, in its own thread. */
struct server {
	int fd;
	pthread_t thread;
	void (*serve)(int fd);
};

static void *run(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->fd, NULL, NULL)) >= 0)
		s->serve(fd);
	return NULL;
}

static void start(struct server *s, void (*serve)(int fd))
{
	unlink(path);
	s->serve = serve;
	s->fd = peer_listen(path);
	assert_true(s->fd >= 0);
	assert_int_equal(pthread_create(&s->thread, NULL, run, s), 0);
}

static void stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR); /* wakes accept */
	pthread_join(s->thread, NULL);
	close(s->fd);
}

static int setup(void **state)
{
	strcpy(dir, "/tmp/errand-client-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof path, "%s/s", dir);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static struct errand_client *open_client(const struct errand_client_options *o)
{
	struct errand_client *c;
	int err = errand_client_open(&c, path, o);

	if (err != 0)
		fail_msg("open: %d %s", err, errand_client_error(c));
	return c;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Calls and expects an OK with this payload. */
static void expect(struct errand_client *c, const char *method, const char *payload,
		   const struct errand_call_options *o, const char *want)
{
	struct errand_reply *r;
	int err = errand_client_call(c, SERVICE, method, payload, strlen(payload), o, &r);

	if (err != 0)
		fail_msg("%s: %d %s", method, err, errand_client_error(c));
	assert_int_equal(r->code, 0);
	assert_string_equal(r->message, "");
	assert_int_equal(r->payload_len, strlen(want));
	if (r->payload_len > 0)
		assert_memory_equal(r->payload, want, r->payload_len);
	else
		assert_null(r->payload);
	assert_null(errand_reply_free(r));
}

static void test_calls(void **state)
{
	struct server s;
	struct errand_client *c;
	struct errand_reply *r;
	char *big = malloc(3000001);

	start(&s, peer_serve);
	c = open_client(NULL);
	expect(c, "Echo", "hi", NULL, "hi");
	expect(c, "Echo", "", NULL, "");
	memset(big, 'z', 3000000);
	big[3000000] = '\0';
	expect(c, "Echo", big, NULL, big);
	expect(c, "Ping", "", NULL, "pingpong");
	assert_int_equal(errand_client_call(c, SERVICE, "Fail", NULL, 0, NULL, &r), 0);
	assert_int_equal(r->code, ERRAND_NOT_FOUND);
	assert_string_equal(r->message, "no such thing");
	assert_int_equal(r->problem_len, 7);
	assert_memory_equal(r->problem, "PROBLEM", 7);
	assert_null(r->payload);
	errand_reply_free(r);
	assert_int_equal(errand_client_call(c, SERVICE, "None", NULL, 0, NULL, &r), 0);
	assert_int_equal(r->code, ERRAND_UNIMPLEMENTED);
	errand_reply_free(r);
	errand_reply_free(NULL);
	free(big);
	assert_null(errand_client_close(c));
	assert_null(errand_client_close(NULL));
	stop(&s);
}

static void test_options(void **state)
{
	static const struct errand_pair pairs[] = {{"traceparent", "00-1"}, {"k", ""}};
	struct errand_call_options o = {.metadata = pairs, .n_metadata = 2};
	struct errand_client_options plain = {.plain = 1};
	struct errand_pair many[64];
	struct errand_client *c;
	struct errand_reply *r;
	struct server s;

	start(&s, peer_serve);
	c = open_client(NULL);
	expect(c, "Show", "", NULL, "no timeout");
	expect(c, "Show", "", &o, "no timeout traceparent=00-1 k=");
	o = (struct errand_call_options){.timeout_ns = 5000 * MS, .as_task = 1};
	expect(c, "Show", "", &o, "timeout errand-task=accept");
	assert_int_equal(errand_client_call(c, SERVICE, "Task", "", 0, &o, &r), 0);
	assert_true(r->is_task);
	errand_reply_free(r);
	assert_int_equal(errand_client_call(c, SERVICE, "Task", "", 0, NULL, &r), 0);
	assert_false(r->is_task);
	errand_reply_free(r);
	o = (struct errand_call_options){.timeout_ns = -1};
	assert_int_equal(errand_client_call(c, SERVICE, "Echo", "", 0, &o, &r),
			 -ERRAND_INVALID_ARGUMENT);
	assert_null(r);
	assert_non_null(strstr(errand_client_error(c), "timeout"));
	assert_int_equal(errand_client_call(c, SERVICE, "", "", 0, NULL, &r), -ERRAND_INVALID_ARGUMENT);
	for (size_t i = 0; i < 64; i++)
		many[i] = pairs[0];
	o = (struct errand_call_options){.metadata = many, .n_metadata = 64};
	assert_int_equal(errand_client_call(c, SERVICE, "Echo", "", 0, &o, &r), -ERRAND_INVALID_ARGUMENT);
	expect(c, "Echo", "still", NULL, "still");
	errand_client_close(c);
	c = open_client(&plain); /* no Hello: nothing could say it is a task */
	o = (struct errand_call_options){.as_task = 1};
	expect(c, "Task", "", &o, "");
	errand_client_close(c);
	stop(&s);
}

static void test_too_large(void **state)
{
	struct errand_client *c;
	struct errand_reply *r;
	struct server s;
	char *big = calloc(1, (4 << 20) + 1);

	start(&s, peer_serve);
	c = open_client(NULL);
	assert_int_equal(errand_client_call(c, SERVICE, "Echo", big, (4 << 20) + 1, NULL, &r),
			 -ERRAND_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(errand_client_error(c), "4 MiB"));
	expect(c, "Echo", "hi", NULL, "hi");
	free(big);
	errand_client_close(c);
	stop(&s);
}

static void test_deadline(void **state)
{
	struct errand_call_options o = {.timeout_ns = 60 * MS};
	int64_t begin = now_ms(), took;
	struct errand_client *c;
	struct errand_reply *r;
	struct server s;

	start(&s, peer_serve);
	c = open_client(NULL);
	assert_int_equal(errand_client_call(c, SERVICE, "Silent", "", 0, &o, &r),
			 -ERRAND_DEADLINE_EXCEEDED);
	took = now_ms() - begin;
	assert_true(took >= 60 && took < 2000);
	assert_null(r);
	assert_non_null(strstr(errand_client_error(c), "deadline"));
	expect(c, "Cancelled", "", NULL, "1"); /* the server was told */
	errand_client_close(c);
	stop(&s);
}

/* --- streams --- */

struct messages {
	unsigned n, stop_at;
	size_t bytes;
	char first;
};

static int on_message(const void *message, size_t len, void *arg)
{
	struct messages *m = arg;

	m->n++;
	m->bytes += len;
	m->first = len > 0 ? *(const char *)message : '-';
	return m->n == m->stop_at;
}

static void test_stream(void **state)
{
	struct messages m = {0};
	struct errand_client *c;
	struct errand_reply *r;
	struct server s;

	start(&s, peer_serve);
	c = open_client(NULL);
	/* Forty windows: credit must come back all the way. */
	assert_int_equal(errand_client_stream(c, SERVICE, "Count", "100 100000", 10, NULL,
					      on_message, &m, &r), 0);
	assert_int_equal(r->code, 0);
	errand_reply_free(r);
	assert_int_equal(m.n, 100);
	assert_int_equal(m.bytes, 10000000);
	assert_int_equal(m.first, 'b'); /* the last one counts 1 */
	m = (struct messages){0};
	assert_int_equal(errand_client_stream(c, SERVICE, "Count", "3 0", 3, NULL, on_message, &m,
					      &r), 0);
	errand_reply_free(r);
	assert_int_equal(m.n, 3);
	assert_int_equal(m.bytes, 0);
	m = (struct messages){.stop_at = 5};
	assert_int_equal(errand_client_stream(c, SERVICE, "Count", "100 100000", 10, NULL,
					      on_message, &m, &r), 0);
	assert_int_equal(r->code, ERRAND_CANCELLED);
	errand_reply_free(r);
	assert_int_equal(m.n, 5);
	expect(c, "Cancelled", "", NULL, "1");
	errand_client_close(c);
	stop(&s);
}

/* --- lost connections --- */

static void test_lost(void **state)
{
	static const char *const ways[] = {"Die", "Garbage"};
	struct errand_client *c;
	struct errand_reply *r;
	struct server s;

	start(&s, peer_serve);
	for (size_t i = 0; i < 2; i++) {
		c = open_client(NULL);
		assert_int_equal(errand_client_call(c, SERVICE, ways[i], "", 0, NULL, &r),
				 -ERRAND_UNAVAILABLE);
		assert_null(r);
		assert_int_equal(errand_client_fd(c), -1);
		assert_int_equal(errand_client_events(c), 0);
		assert_int_equal(errand_client_call(c, SERVICE, "Echo", "", 0, NULL, &r),
				 -ERRAND_UNAVAILABLE);
		assert_int_equal(errand_client_dispatch(c), -ERRAND_UNAVAILABLE);
		assert_true(strlen(errand_client_error(c)) > 5);
		errand_client_close(c);
	}
	stop(&s);
}

static void test_goaway(void **state)
{
	struct errand_client *c;
	struct errand_reply *r;
	struct server s;

	start(&s, peer_serve);
	c = open_client(NULL);
	expect(c, "Goaway", "", NULL, "bye");
	assert_int_equal(errand_client_call(c, SERVICE, "Echo", "", 0, NULL, &r), -ERRAND_UNAVAILABLE);
	assert_non_null(strstr(errand_client_error(c), "stopping"));
	errand_client_close(c);
	stop(&s);
}

static void test_open_fails(void **state)
{
	struct errand_client_options o = {.connect_timeout_ns = 80 * MS};
	struct errand_client *c;
	int64_t begin;
	int fd;

	unlink(path);
	assert_int_equal(errand_client_open(&c, path, NULL), -ERRAND_UNAVAILABLE);
	assert_non_null(strstr(errand_client_error(c), path));
	assert_int_equal(errand_client_fd(c), -1);
	errand_client_close(c);
	setenv("ERRAND_SOCKET", path, 1);
	assert_int_equal(errand_client_open(&c, NULL, NULL), -ERRAND_UNAVAILABLE);
	assert_non_null(strstr(errand_client_error(c), path));
	unsetenv("ERRAND_SOCKET");
	errand_client_close(c);
	fd = peer_listen(path); /* takes connections and says nothing */
	begin = now_ms();
	assert_int_equal(errand_client_open(&c, path, &o), -ERRAND_UNAVAILABLE);
	assert_true(now_ms() - begin >= 80 && now_ms() - begin < 2000);
	assert_non_null(strstr(errand_client_error(c), "in time"));
	errand_client_close(c);
	close(fd);
}

static void test_addresses(void **state)
{
	struct errand_client *c;
	char address[128], *cwd = getcwd(NULL, 0);
	struct server s;

	start(&s, peer_serve);
	snprintf(address, sizeof address, "unix:%s", path);
	assert_int_equal(errand_client_open(&c, address, NULL), 0);
	errand_client_close(c);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(errand_client_open(&c, "s", NULL), 0);
	assert_int_equal(chdir(cwd), 0);
	expect(c, "Echo", "x", NULL, "x");
	errand_client_close(c);
	memset(address, 'x', sizeof address - 1);
	address[sizeof address - 1] = '\0';
	assert_int_equal(errand_client_open(&c, address, NULL), -ERRAND_INVALID_ARGUMENT);
	errand_client_close(c);
	free(cwd);
	stop(&s);
}

static void test_plain_server(void **state)
{
	struct errand_call_options o = {.timeout_ns = 3000 * MS, .as_task = 1};
	struct errand_client *c;
	struct server s;

	start(&s, peer_serve_plain);
	c = open_client(NULL); /* says Hello, is told UNIMPLEMENTED */
	expect(c, "Any", "hi", &o, "hi");
	expect(c, "Any", "", NULL, "");
	errand_client_close(c);
	stop(&s);
}

/* --- event-driven --- */

struct events {
	struct errand_client *c;
	char text[1024]; /* "name=code:payload " in the order of the replies */
	unsigned n;
	struct errand_pending *other; /* cancelled by the first reply */
};

struct call {
	struct events *e;
	const char *name;
};

static void on_reply(const struct errand_reply *r, void *arg)
{
	struct call *call = arg;
	struct events *e = call->e;
	struct errand_pending *other = e->other;
	size_t len = strlen(e->text);

	snprintf(e->text + len, sizeof e->text - len, "%s=%d:%.*s ", call->name, r->code,
		 (int)r->payload_len, r->payload_len ? (const char *)r->payload : "");
	e->n++;
	e->other = NULL;
	if (other != NULL)
		errand_client_cancel(e->c, other);
}

static void submit(struct events *e, struct call *call, const char *method, const char *name,
		   int64_t timeout_ms, struct errand_pending **p)
{
	struct errand_call_options o = {.timeout_ns = timeout_ms * MS};
	struct errand_callbacks cb = {.on_reply = on_reply, .arg = call};

	*call = (struct call){e, name};
	assert_int_equal(errand_client_submit(e->c, SERVICE, method, name, strlen(name), &o, &cb, p), 0);
}

static void loop_until(struct events *e, unsigned n)
{
	while (e->n < n) {
		struct pollfd p = {.fd = errand_client_fd(e->c), .events = errand_client_events(e->c)};

		assert_true(poll(&p, 1, errand_client_timeout(e->c)) >= 0 || errno == EINTR);
		if (errand_client_dispatch(e->c) < 0)
			return;
	}
}

static void test_events(void **state)
{
	struct call calls[5];
	struct events e = {0};
	struct errand_pending *p;
	struct server s;

	start(&s, peer_serve);
	e.c = open_client(NULL);
	assert_int_equal(errand_client_timeout(e.c), -1);
	assert_int_equal(errand_client_events(e.c), POLLIN);
	submit(&e, &calls[0], "Silent", "a", 0, &e.other);
	submit(&e, &calls[1], "Silent", "b", 50, NULL);
	submit(&e, &calls[2], "Echo", "c", 0, NULL);
	submit(&e, &calls[3], "Silent", "d", 0, &p);
	assert_int_equal(errand_client_events(e.c), POLLIN | POLLOUT);
	assert_true(errand_client_timeout(e.c) > 0 && errand_client_timeout(e.c) <= 50);
	loop_until(&e, 3);
	/* c's reply cancels a; b meets its deadline. */
	assert_string_equal(e.text, "c=0:c a=1: b=4: ");
	assert_int_equal(errand_client_timeout(e.c), -1);
	errand_client_cancel(e.c, p);
	assert_string_equal(e.text, "c=0:c a=1: b=4: d=1: ");
	e.text[0] = '\0';
	submit(&e, &calls[0], "Silent", "e", 0, NULL);
	submit(&e, &calls[1], "Die", "f", 0, NULL);
	loop_until(&e, 100);
	assert_string_equal(e.text, "e=14: f=14: ");
	errand_client_close(e.c);
	/* close ends what is under way */
	e.text[0] = '\0';
	e.c = open_client(NULL);
	submit(&e, &calls[0], "Silent", "g", 1000, NULL);
	errand_client_close(e.c);
	assert_string_equal(e.text, "g=1: ");
	stop(&s);
}

static void nested_reply(const struct errand_reply *r, void *arg)
{
	struct events *e = arg;
	struct errand_reply *none;

	e->n++;
	assert_int_equal(errand_client_call(e->c, SERVICE, "Echo", "", 0, NULL, &none),
			 -ERRAND_FAILED_PRECONDITION);
	assert_int_equal(errand_client_dispatch(e->c), -ERRAND_FAILED_PRECONDITION);
}

static int cancel_self(const void *message, size_t len, void *arg)
{
	struct events *e = arg;

	errand_client_cancel(e->c, e->other);
	return 1;
}

static void count_reply(const struct errand_reply *r, void *arg)
{
	struct events *e = arg;

	e->n += r->code == ERRAND_CANCELLED ? 100 : 1;
}

/* What a callback may not do is refused, what it may do is safe. */
static void test_callbacks(void **state)
{
	struct events e = {0};
	struct errand_callbacks cb = {.on_reply = nested_reply, .arg = &e};
	struct server s;

	start(&s, peer_serve);
	e.c = open_client(NULL);
	assert_int_equal(errand_client_submit(e.c, SERVICE, "Echo", "x", 1, NULL, &cb, NULL), 0);
	loop_until(&e, 1);
	cb = (struct errand_callbacks){cancel_self, count_reply, &e};
	assert_int_equal(errand_client_submit(e.c, SERVICE, "Count", "9 9", 3, NULL, &cb, &e.other), 0);
	loop_until(&e, 101);
	assert_int_equal(e.n, 101);
	expect(e.c, "Echo", "fine", NULL, "fine");
	errand_client_close(e.c);
	stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calls),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_goaway),
		cmocka_unit_test(test_open_fails),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_plain_server),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_callbacks),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
