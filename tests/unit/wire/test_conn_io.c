/* test_conn_io.c: a conn and a socket: short writes, bounded reads, and every way
 * a connection can end. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "errand/status.h"
#include "rig.h"
#include "wire/conn_io.h"

struct ends {
	struct rig r;
	int client, server; /* a pair of sockets that block, as no caller's do */
};

static int setup(void **state)
{
	struct ends *e = *state = xcalloc(1, sizeof *e);
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return -1;
	e->client = fds[0];
	e->server = fds[1];
	rig_init(&e->r, NULL, false);
	return 0;
}

static int teardown(void **state)
{
	struct ends *e = *state;

	close(e->client);
	close(e->server);
	rig_deinit(&e->r);
	free(e);
	return 0;
}

static int server_read(struct ends *e, size_t size, int n_reads)
{
	uint8_t buf[65536];

	return conn_read(e->r.server, e->server, buf, size, n_reads);
}

static void what_waits_goes_over(void **state)
{
	struct ends *e = *state;
	uint64_t sent = 100;
	size_t waits;

	assert_int_equal(server_read(e, 4096, 4), 0); /* nothing there: no waiting */
	assert_int_equal(conn_write(e->r.client, e->client, &sent), 0);
	assert_int_equal(sent, 100);
	rig_call(&e->r, "C", "hi", false);
	waits = conn_pending(e->r.client);
	assert_int_equal(conn_write(e->r.client, e->client, &sent), 0);
	assert_int_equal(sent, 100 + waits);
	assert_int_equal(conn_pending(e->r.client), 0);
	assert_int_equal(server_read(e, 4096, 4), 0);
	assert_string_equal(rig_events(&e->r), "server request 1 a.B/C hi\n");
}

static void reads_are_bounded(void **state)
{
	struct ends *e = *state;
	char left[4096];
	ssize_t n;

	rig_call(&e->r, "C", "hi", false);
	assert_int_equal(conn_write(e->r.client, e->client, NULL), 0);
	assert_int_equal(server_read(e, 3, 2), 0);
	assert_string_equal(rig_events(&e->r), "");
	n = recv(e->server, left, sizeof left, MSG_PEEK);
	assert_int_equal(server_read(e, 3, 1), 0);
	assert_int_equal(recv(e->server, left, sizeof left, MSG_PEEK), n - 3);
	assert_int_equal(server_read(e, 3, 100), 0);
	assert_string_equal(rig_events(&e->r), "server request 1 a.B/C hi\n");
}

/* Far more than a socket holds: what fits goes, the rest waits and comes whole. */
static void a_full_socket_says_so(void **state)
{
	struct ends *e = *state;
	AUTO_FREE char *big = xmalloc((1 << 20) + 1);
	uint64_t sent = 0;
	size_t all;
	int r;

	memset(big, 'x', 1 << 20);
	big[1 << 20] = '\0';
	for (int i = 0; i < 3; i++)
		rig_call(&e->r, "C", big, false);
	all = conn_pending(e->r.client);
	assert_int_equal(conn_write(e->r.client, e->client, &sent), CONN_IO_FULL);
	assert_true(sent > 0 && sent < all);
	assert_int_equal(conn_pending(e->r.client), all - sent);
	do {
		r = conn_write(e->r.client, e->client, &sent);
		assert_int_equal(server_read(e, 65536, 4), 0);
	} while (r == CONN_IO_FULL);
	assert_int_equal(r, 0);
	assert_int_equal(sent, all);
	assert_int_equal(server_read(e, 65536, 1000), 0);
	assert_int_equal(e->r.n_requests, 3);
}

static void a_peer_that_has_gone(void **state)
{
	struct ends *e = *state;

	signal(SIGPIPE, SIG_DFL); /* it must not come at all */
	rig_call(&e->r, "C", "hi", false);
	assert_int_equal(conn_write(e->r.client, e->client, NULL), 0);
	shutdown(e->client, SHUT_RDWR);
	assert_int_equal(server_read(e, 65536, 4), 0); /* what it said comes first */
	assert_string_equal(rig_events(&e->r), "server request 1 a.B/C hi\n");
	assert_int_equal(server_read(e, 65536, 4), CONN_IO_EOF);
	rig_answer(&e->r, 0, 0, "too late");
	assert_int_equal(conn_write(e->r.server, e->server, NULL), CONN_IO_BROKEN);
	assert_true(conn_pending(e->r.server) > 0);
	assert_int_equal(conn_read(e->r.server, -1, (uint8_t[1]){0}, 1, 1), CONN_IO_BROKEN);
}

static void a_peer_that_talks_nonsense(void **state)
{
	struct ends *e = *state;
	int r;

	assert_int_equal(send(e->client, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	r = server_read(e, 65536, 4);
	assert_true(r < 0);
	assert_true(strlen(conn_why(e->r.server)) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_waits_goes_over, setup, teardown),
		cmocka_unit_test_setup_teardown(reads_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_socket_says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(a_peer_that_has_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(a_peer_that_talks_nonsense, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
