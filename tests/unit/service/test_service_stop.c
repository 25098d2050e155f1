/* How the service ends: drain, signals, options and neighbours it refuses. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/pbuf.h"
#include "base/util.h"
#include "service_rig.h"

/* --- drain --- */

/* Calls and background work under way are finished, new ones refused, exit 0. */
static void test_drain(void **state)
{
	struct waiter w = {0};

	submit(client, "Later", 300, &w);
	submit(client, "Work", 300, &w);
	errand_client_dispatch(client);
	assert_true(trace_has("work "));
	kill(service, SIGTERM);
	assert_true(log_has("msg=stopping"));
	assert_int_equal(access(socket_path, F_OK), -1);
	dispatch_until(client, &w, 2);
	assert_int_equal(w.code, 0);
	assert_int_equal(wait_end(), 0);
	assert_true(log_has("msg=stopped"));
}

/* A call that does not end by itself is stopped at the end of the drain. */
static void test_drain_timeout(void **state)
{
	static const char *const more[] = {"--drain-timeout", "100ms", NULL};
	struct waiter w = {0};

	client = errand_client_close(client);
	assert_int_equal(stop(), 0);
	start_with(more);
	assert_int_equal(errand_client_open(&client, socket_path, NULL), 0);
	submit(client, "Never", 0, &w);
	submit(client, "Work", 60000, &w);
	errand_client_dispatch(client);
	assert_true(trace_has("waiting"));
	kill(service, SIGTERM);
	dispatch_until(client, &w, 2);
	assert_int_equal(w.code, ERRAND_UNAVAILABLE);
	assert_int_equal(wait_end(), 0);
}

static void test_second_signal(void **state)
{
	struct waiter w = {0};

	submit(client, "Never", 0, &w);
	errand_client_dispatch(client);
	assert_true(trace_has("waiting"));
	kill(service, SIGTERM);
	assert_true(log_has("msg=stopping"));
	kill(service, SIGINT);
	assert_int_equal(wait_end(), 0);
	dispatch_until(client, &w, 1);
}

static void raw_request(int fd, uint32_t id, const char *method, size_t size)
{
	AUTO_BUF note = BUF_INIT;
	AUTO_BUF request = BUF_INIT;
	AUTO_FREE char *text = xcalloc(1, size + 1);
	uint8_t head[10] = {0, 0, 0, 0, 0, 0, 0, (uint8_t)id, 1, 0};

	memset(text, 'x', size);
	pbuf_put_str(&note, 1, text);
	pbuf_put_str(&request, 1, "probe.v1.Probe");
	pbuf_put_str(&request, 2, method);
	pbuf_put_bytes(&request, 3, note.data, note.len);
	head[1] = (uint8_t)(request.len >> 16);
	head[2] = (uint8_t)(request.len >> 8);
	head[3] = (uint8_t)request.len;
	assert_int_equal(write(fd, head, sizeof head), sizeof head);
	assert_int_equal(write(fd, request.data, request.len), request.len);
}

/* A client that does not read its answers does not hold a service that is told twice. */
static void test_second_signal_unread(void **state)
{
	int fd = raw_connect();

	for (uint32_t id = 1; id < 20; id += 2)
		raw_request(fd, id, "Echo", 100000);
	submit(client, "Never", 0, &(struct waiter){0});
	errand_client_dispatch(client);
	assert_true(trace_has("waiting"));
	kill(service, SIGTERM);
	assert_true(log_has("msg=stopping"));
	kill(service, SIGTERM);
	assert_int_equal(wait_end(), 0);
	close(fd);
}

static void test_signals(void **state)
{
	struct waiter w = {0};

	for (int i = 0; i < 200; i++)
		submit(client, "Elsewhere", 20, &w);
	for (int i = 0; i < 5000; i++)
		kill(service, i % 2 ? SIGHUP : SIGPIPE);
	dispatch_until(client, &w, 200);
	assert_int_equal(w.code, 0);
	kill(service, SIGHUP);
	kill(service, SIGPIPE);
	assert_true(log_has("SIGHUP"));
	assert_text(call("Echo", "alive", 0, 0), "alive");
}

/* The second one on the same socket is refused with the first one's pid. */
static void test_second_service(void **state)
{
	char pid[16];
	pid_t first = service;
	int status;

	service = fork();
	if (service == 0)
		child(NULL, -1);
	assert_int_equal(waitpid(service, &status, 0), service);
	service = first;
	assert_int_equal(WEXITSTATUS(status), 69);
	snprintf(pid, sizeof pid, "process %d", first);
	assert_non_null(strstr(read_log(), pid));
	assert_text(call("Echo", "the first serves on", 0, 0), "the first serves on");
}

static void test_usage(void **state)
{
	static const struct {
		const char *args[4];
		int status;
	} bad[] = {
		{{"--mode", "rw"}, 64}, {{"--queue", "x"}, 64}, {{"--queue", "x=0"}, 64},
		{{"--allow-uid", "no-such-user"}, 64}, {{"--log-level", "loud"}, 64},
		{{"operand"}, 64}, {{"--no-such-option"}, 64}, {{"--module", "/nowhere.so"}, 78},
		{{"--store", "paper:x"}, 64}, {{"--socket", "/nowhere/s"}, 69},
	};
	pid_t first = service;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int status;

		service = fork();
		if (service == 0) {
			strcat(socket_path, "2");
			child(bad[i].args, -1);
		}
		assert_int_equal(waitpid(service, &status, 0), service);
		if (WEXITSTATUS(status) != bad[i].status)
			fail_msg("%s: %d, not %d", bad[i].args[0], WEXITSTATUS(status), bad[i].status);
	}
	service = first;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_drain), TEST(test_drain_timeout), TEST(test_second_signal),
		TEST(test_second_signal_unread), TEST(test_signals), TEST(test_second_service),
		TEST(test_usage),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
