/* The client library when memory runs out: the Nth allocation fails, for every N
 * there is. Each function must return an error or do its work; nothing may crash,
 * leak (LeakSanitizer) or hang. The allocator is wrapped at link time. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "errand/client.h"
#include "peer.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static long countdown = -1; /* fails when it gets to 0; negative: never */
static int failed;

static int fails(void)
{
	if (countdown < 0 || countdown-- != 0)
		return 0;
	failed = 1;
	return 1;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

static char path[64];
static pid_t server;

static int setup(void **state)
{
	int fd, peer;

	snprintf(path, sizeof path, "/tmp/errand-oom-%d", (int)getpid());
	unlink(path);
	fd = peer_listen(path);
	if (fd < 0)
		return -1;
	server = fork();
	if (server == 0) {
		while ((peer = accept(fd, NULL, NULL)) >= 0)
			peer_serve(peer);
		_exit(0);
	}
	close(fd);
	return server < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return unlink(path);
}

static int on_message(const void *message, size_t len, void *arg)
{
	*(size_t *)arg += len;
	return 0;
}

static void on_reply(const struct errand_reply *r, void *arg)
{
	++*(int *)arg;
}

static void is_error(int err)
{
	assert_true(failed);
	assert_true(err == -ERRAND_RESOURCE_EXHAUSTED || err == -ERRAND_UNAVAILABLE ||
		    err == -ERRAND_INTERNAL);
}

static void one_call(struct errand_client *c, const char *method, const char *payload, size_t len)
{
	struct errand_reply *r;
	int err = errand_client_call(c, "test.v1.Peer", method, payload, len, NULL, &r);

	if (err < 0)
		is_error(err);
	else
		assert_int_equal(r->payload_len, len);
	assert_true((err == 0) == (r != NULL));
	errand_reply_free(r);
}

static void one_stream(struct errand_client *c)
{
	struct errand_reply *r;
	size_t sum = 0;
	int err = errand_client_stream(c, "test.v1.Peer", "Count", "5 100000", 8, NULL, on_message,
				       &sum, &r);

	if (err < 0)
		is_error(err);
	else
		assert_int_equal(sum, 500000);
	errand_reply_free(r);
}

/* Every on_reply that was promised comes, whatever fails. */
static void some_events(struct errand_client *c)
{
	int n_replies = 0, n_submitted = 0;
	struct errand_callbacks cb = {.on_reply = on_reply, .arg = &n_replies};

	for (int i = 0; i < 20; i++)
		n_submitted += errand_client_submit(c, "test.v1.Peer", "Echo", "x", 1, NULL, &cb,
						    NULL) == 0;
	while (n_replies < n_submitted) {
		struct pollfd p = {.fd = errand_client_fd(c), .events = errand_client_events(c)};

		poll(&p, 1, errand_client_timeout(c));
		if (errand_client_dispatch(c) < 0)
			break;
	}
	assert_int_equal(n_replies, n_submitted);
}

static void session(char *big, size_t size)
{
	struct errand_client *c;
	int err = errand_client_open(&c, path, NULL);

	if (err < 0) {
		is_error(err);
		assert_true(c == NULL || errand_client_error(c)[0] != '\0');
	} else {
		one_call(c, "Echo", "hi", 2);
		one_call(c, "Echo", big, size);
		one_stream(c);
		some_events(c);
	}
	errand_client_close(c);
}

static void test_every_allocation(void **state)
{
	enum { SIZE = 300000 };
	char *big = __real_malloc(SIZE);
	long n = 0;

	memset(big, 'b', SIZE);
	do {
		failed = 0;
		countdown = n++;
		session(big, SIZE);
		countdown = -1;
	} while (failed);
	assert_true(n > 20); /* the wrapping works at all */
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
