/* The whole service against the client library over a real socket: calls, errors,
 * deadlines, what happens when a client goes, after-work, streams, durable methods,
 * limits, garbage. */
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

/* --- calls --- */

static void test_unary(void **state)
{
	assert_text(call("Echo", "on the loop", 0, 0), "on the loop");
	assert_text(call("Later", "by a timer", 0, 5), "by a timer");
	assert_text(call("Elsewhere", "from a thread", 0, 5), "from a thread");
	assert_text(call("Work", "on the pool", 0, 5), "on the pool");
	assert_text(call("Keep", "kept", 0, 5), "kept");
	assert_text(call("Needs", "", 0, 0), "top");
	assert_text(call("Twice", "first", 0, 0), "first");
	assert_true(log_has("answered twice"));
	assert_non_null(strstr(read_log(), "probe.v1.Probe/Twice"));
}

static void test_plain_client(void **state)
{
	const struct errand_client_options plain = {.plain = 1};

	client = errand_client_close(client);
	assert_int_equal(errand_client_open(&client, socket_path, &plain), 0);
	assert_text(call("Echo", "plain ttrpc", 0, 0), "plain ttrpc");
	assert_error(call("Fail", "why", ERRAND_ABORTED, 0), ERRAND_ABORTED, "as asked: why");
	/* it knows no tasks: it gets the result */
	assert_text(call("Job", "waited for", 0, 5), "waited for");
}

static void test_errors(void **state)
{
	struct errand_reply *r = NULL;

	assert_error(call("Fail", "why", ERRAND_PERMISSION_DENIED, 0), ERRAND_PERMISSION_DENIED, "as asked: why");
	assert_error(call("Silent", "", 0, 0), ERRAND_INTERNAL, "without an answer");
	assert_error(call("Nothing", "", 0, 0), ERRAND_UNIMPLEMENTED, "no method Nothing");
	assert_error(call("Upload", "", 0, 0), ERRAND_UNIMPLEMENTED, "stream from the client");
	assert_int_equal(errand_client_call(client, "no.such.Service", "Echo", NULL, 0, NULL, &r), 0);
	assert_error(r, ERRAND_UNIMPLEMENTED, "no.such.Service");
	assert_int_equal(errand_client_call(client, "probe.v1.Probe", "Echo", "\x0a\x05x", 3, NULL, &r), 0);
	assert_int_equal(r->code, ERRAND_INVALID_ARGUMENT);
	errand_reply_free(r);
	/* a message of a peer's bytes is made valid UTF-8 */
	assert_error(call("Fail", "ok", ERRAND_ABORTED, 0), ERRAND_ABORTED, "ok");
}

static void test_deadline(void **state)
{
	const struct errand_call_options short_time = {.timeout_ns = 30 * MS};
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	struct errand_reply *r = NULL;
	uint8_t raw[256];
	struct bytes b = pack(&in, raw);
	int e = errand_client_call(client, "probe.v1.Probe", "Never", b.data, b.len, &short_time, &r);

	/* whoever notices first, service or client */
	assert_true((e == 0 && r->code == ERRAND_DEADLINE_EXCEEDED) || e == -ERRAND_DEADLINE_EXCEEDED);
	errand_reply_free(r);
	assert_true(trace_has("cancelled never"));
	assert_text(call("Echo", "still there", 0, 0), "still there");
}

/* --- many at once, cancel, disconnect --- */

/* 1,000 that wait 200 ms each take little more than that together. */
static void test_concurrent(void **state)
{
	struct waiter w = {0};
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 1000; i++)
		submit(client, "Later", 200, &w);
	dispatch_until(client, &w, 1000);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / MS < 2500);
	assert_int_equal(w.code, 0);
}

static void test_pool_full(void **state)
{
	struct waiter w = {0};

	for (int i = 0; i < 5; i++)
		submit(client, "Work", 200, &w);
	dispatch_until(client, &w, 1);
	assert_int_equal(w.code, ERRAND_UNAVAILABLE); /* the fifth, at once */
	assert_text(call("Echo", "the loop is free", 0, 0), "the loop is free");
	dispatch_until(client, &w, 5);
	assert_int_equal(w.code, 0);
}

static void test_cancel(void **state)
{
	struct waiter w = {0};
	struct errand_pending *p = submit(client, "Never", 0, &w);

	assert_true(trace_has("waiting"));
	errand_client_cancel(client, p);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.code, ERRAND_CANCELLED);
	assert_true(trace_has("cancelled never"));
}

static void test_disconnect(void **state)
{
	struct errand_client *other;
	struct waiter w = {0};

	assert_int_equal(errand_client_open(&other, socket_path, NULL), 0);
	submit(other, "Never", 0, &w);
	submit(other, "Work", 5000, &w);
	errand_client_dispatch(other);
	assert_true(trace_has("waiting"));
	assert_true(trace_has("work "));
	errand_client_close(other);
	assert_true(trace_has("cancelled never"));
	assert_true(trace_has("work cancelled"));
}

/* The answer is here before the work begins; a failing job does not stop the next. */
static void test_after(void **state)
{
	char *t;

	assert_text(call("After", "queued", 0, 0), "queued");
	assert_true(trace_has("after three"));
	t = trace();
	assert_true(strstr(t, "answering") < strstr(t, "after one"));
	assert_true(strstr(t, "after two") < strstr(t, "after three"));
	assert_true(log_has("background work failed"));
	assert_non_null(strstr(read_log(), "name=job-two"));
}

static void test_watchdog(void **state)
{
	assert_text(call("Block", "held", 0, 200), "held");
	assert_true(log_has("held the event loop"));
	assert_non_null(strstr(read_log(), "probe.v1.Probe/Block"));
}

/* --- streams --- */

struct reader {
	int n, stop_at;
	size_t bytes;
};

static int on_message(const void *message, size_t len, void *arg)
{
	struct reader *r = arg;

	r->bytes += len;
	return ++r->n == r->stop_at;
}

static struct errand_reply *stream(const char *method, int number, int size, struct reader *reader)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	struct errand_reply *reply = NULL;
	uint8_t raw[256];
	struct bytes b;

	in.number = number;
	in.size = size;
	b = pack(&in, raw);
	errand_client_stream(client, "probe.v1.Probe", method, b.data, b.len, NULL, on_message, reader, &reply);
	return reply;
}

static void test_streams(void **state)
{
	struct reader count = {0}, pump = {0};
	struct errand_reply *r = stream("Count", 3000, 0, &count);

	assert_int_equal(r->code, 0);
	errand_reply_free(r);
	assert_int_equal(count.n, 3000);
	r = stream("Pump", 300, 20000, &pump);
	assert_int_equal(r->code, 0);
	errand_reply_free(r);
	assert_int_equal(pump.n, 300);
	assert_true(pump.bytes > 300 * 20000);
}

/* A client that does not read holds the handlers; its calls do not grow the service. */
static void test_slow_reader(void **state)
{
	struct errand_client *slow;
	struct waiter w = {0};
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	const struct errand_callbacks cb = {.on_reply = on_reply, .arg = &w};
	uint8_t raw[256];
	struct bytes b;

	assert_int_equal(errand_client_open(&slow, socket_path, NULL), 0);
	in.number = 100000;
	in.size = 10000;
	b = pack(&in, raw);
	errand_client_submit(slow, "probe.v1.Probe", "Count", b.data, b.len, NULL, &cb, NULL);
	errand_client_submit(slow, "probe.v1.Probe", "Pump", b.data, b.len, NULL, &cb, NULL);
	errand_client_dispatch(slow);
	assert_true(trace_has("paused"));
	assert_text(call("Work", "others go on", 0, 1), "others go on");
	errand_client_close(slow);
	assert_true(trace_has("count cancelled"));
	assert_true(trace_has("pump stopped"));
}

/* A client that takes nothing of a stream for long is cut: its threads are free again. */
static void test_stalled_reader(void **state)
{
	static const char *const more[] = {"--stall-timeout", "300ms", "--sync-queue", "0", NULL};
	const struct errand_call_options soon = {.timeout_ns = 5000 * MS};
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	struct errand_client *slow;
	struct errand_reply *reply;
	struct reader r = {0};
	struct waiter w = {0};
	const struct errand_callbacks cb = {.on_reply = on_reply, .arg = &w};
	uint8_t raw[256];
	struct bytes b;

	restart_with(more);
	assert_int_equal(errand_client_open(&slow, socket_path, NULL), 0);
	in.number = 100000;
	in.size = 10000;
	b = pack(&in, raw);
	for (int i = 0; i < 2; i++) /* both threads of the pool */
		errand_client_submit(slow, "probe.v1.Probe", "Pump", b.data, b.len, NULL, &cb, NULL);
	errand_client_submit(slow, "probe.v1.Probe", "Count", b.data, b.len, NULL, &cb, NULL);
	errand_client_dispatch(slow);
	assert_true(trace_has("paused"));
	assert_true(trace_has("count cancelled"));
	assert_true(trace_has_times("pump stopped", 2));
	assert_true(log_has("takes nothing of its stream"));
	in.text = "free again";
	assert_text(call_with("Work", &in, &soon), "free again");
	/* he hears of it when he reads on */
	dispatch_until(slow, &w, 3);
	assert_int_equal(w.code, ERRAND_RESOURCE_EXHAUSTED);
	errand_client_close(slow);
	reply = stream("Count", 3000, 1000, &r); /* one that reads is left alone */
	assert_int_equal(reply->code, 0);
	errand_reply_free(reply);
}

static void test_stream_stop(void **state)
{
	struct reader r = {.stop_at = 3};
	struct errand_reply *reply = stream("Count", 1000000, 0, &r);

	errand_reply_free(reply);
	assert_int_equal(r.n, 3);
	assert_true(trace_has("count cancelled"));
}

/* --- durable methods --- */

static void test_task(void **state)
{
	const struct errand_call_options as_task = {.as_task = 1};
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	struct errand_reply *r;

	assert_text(call("Job", "result", 0, 5), "result");
	assert_error(call("Job", "bad", ERRAND_INVALID_ARGUMENT, 0), ERRAND_INVALID_ARGUMENT, "as asked");
	in.text = "later";
	r = call_with("Job", &in, &as_task);
	assert_int_equal(r->code, 0);
	assert_true(r->is_task);
	errand_reply_free(r);
	assert_true(trace_has("job later attempt 1"));
	/* a method that is no task becomes one; other metadata is seen by the handler */
	const struct errand_pair async[] = {{"prefer-async", "1"}};
	const struct errand_call_options asked = {.as_task = 1, .metadata = async, .n_metadata = 1};

	r = call_with("Work", &in, &asked);
	assert_true(r->is_task);
	errand_reply_free(r);
	assert_true(trace_has("work later"));
	/* and with some patience the result itself comes */
	const struct errand_pair wait[] = {{"prefer-wait", "5000000000"}};
	const struct errand_call_options patient = {.as_task = 1, .metadata = wait, .n_metadata = 1};

	r = call_with("Job", &in, &patient);
	assert_false(r->is_task);
	assert_text(r, "later");
	/* but not more patience than there was */
	const struct errand_pair little[] = {{"prefer-wait", "20000000"}};
	const struct errand_call_options hasty = {.as_task = 1, .metadata = little, .n_metadata = 1};

	in.ms = 300;
	r = call_with("Job", &in, &hasty);
	assert_true(r->is_task);
	errand_reply_free(r);
}

static void test_schema(void **state)
{
	struct errand_reply *r = NULL;

	assert_int_equal(errand_client_call(client, "errand.v1.Schema", "Get", NULL, 0, NULL, &r), 0);
	assert_int_equal(r->code, 0);
	assert_true(memmem(r->payload, r->payload_len, "probe.v1", 8) != NULL);
	assert_true(memmem(r->payload, r->payload_len, "errand/v1/tasks.proto", 21) != NULL);
	errand_reply_free(r);
}

/* --- what breaks the protocol closes its own connection and nothing else --- */

/* True when the service closes it within ms. */
static bool closed_within(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char buf[4096];
	ssize_t n;

	while (poll(&p, 1, ms) > 0) {
		n = read(fd, buf, sizeof buf);
		if (n <= 0)
			return true;
	}
	return false;
}

static void test_garbage(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{"\x80\x00\x00\x00\x00\x00\x00\x01\x01\x00", 10},         /* 2^31 */
		{"\xff\xff\xff\xff\x00\x00\x00\x01\x01\x00", 10},         /* 2^32-1 */
		{"\x00\x00\x00\x00\x00\x00\x00\x02\x01\x00", 10},         /* an even stream */
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27},                /* another protocol */
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int fd = raw_connect();

		assert_int_equal(write(fd, bad[i].bytes, bad[i].len), (ssize_t)bad[i].len);
		assert_true(closed_within(fd, 5000));
		close(fd);
	}
	assert_true(log_has("broke the protocol"));
	assert_text(call("Echo", "untouched", 0, 0), "untouched");
}

/* Half a frame and then silence, or a byte now and then. */
static void test_slow_frame(void **state)
{
	static const char *const more[] = {"--frame-timeout", "150ms", NULL};
	int fd, drip;

	client = errand_client_close(client);
	assert_int_equal(stop(), 0);
	start_with(more);
	assert_int_equal(errand_client_open(&client, socket_path, NULL), 0);
	fd = raw_connect();
	drip = raw_connect();
	assert_int_equal(write(fd, "\x00\x00\x00\x10\x00", 5), 5);
	for (int i = 0; i < 40; i++) {
		if (send(drip, "\x00", 1, MSG_NOSIGNAL) < 0)
			break;
		nanosleep(&(struct timespec){0, 20 * MS}, NULL);
	}
	assert_true(closed_within(drip, 2000));
	assert_true(closed_within(fd, 2000));
	close(fd);
	close(drip);
	/* an idle connection is left alone */
	assert_text(call("Echo", "idle is fine", 0, 0), "idle is fine");
}

static void test_limits(void **state)
{
	static const char *const more[] = {"--max-calls", "3", "--max-connections", "2", NULL};
	struct waiter w = {0};
	int fd, fd2;

	client = errand_client_close(client);
	assert_int_equal(stop(), 0);
	start_with(more);
	assert_int_equal(errand_client_open(&client, socket_path, NULL), 0);
	for (int i = 0; i < 4; i++)
		submit(client, "Later", 150, &w);
	dispatch_until(client, &w, 1);
	assert_int_equal(w.code, ERRAND_RESOURCE_EXHAUSTED);
	dispatch_until(client, &w, 4);
	fd = raw_connect();
	fd2 = raw_connect();
	assert_true(closed_within(fd2, 2000));
	close(fd);
	close(fd2);
	assert_true(log_has("too many connections"));
}

static long cpu_ticks(void)
{
	char path[64], text[512] = "";
	unsigned long user, system;
	char *p;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", service);
	fd = open(path, O_RDONLY);
	assert_true(read(fd, text, sizeof text - 1) > 0);
	close(fd);
	p = strrchr(text, ')');
	assert_int_equal(sscanf(p, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
	return (long)(user + system);
}

/* No descriptors left: it waits instead of spinning, and recovers by itself. */
static void test_no_descriptors(void **state)
{
	struct rlimit few = {40, 40}, old;
	int fds[60];
	long ticks;

	client = errand_client_close(client);
	assert_int_equal(stop(), 0);
	getrlimit(RLIMIT_NOFILE, &old);
	few.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	start_with(NULL);
	setrlimit(RLIMIT_NOFILE, &old);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = raw_connect();
	assert_true(log_has("cannot accept connections"));
	ticks = cpu_ticks();
	nanosleep(&(struct timespec){0, 500 * MS}, NULL); /* the time over which it must not spin */
	assert_true(cpu_ticks() - ticks < sysconf(_SC_CLK_TCK) / 10);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	assert_int_equal(errand_client_open(&client, socket_path, NULL), 0);
	assert_text(call("Echo", "recovered", 0, 0), "recovered");
}

static struct errand_pending *submit_large(const char *method, size_t size, struct waiter *w)
{
	const struct errand_callbacks cb = {.on_reply = on_reply, .arg = w};
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	struct errand_pending *p = NULL;
	AUTO_FREE uint8_t *raw = xmalloc(size + 64);
	AUTO_FREE char *text = xcalloc(1, size + 1);

	memset(text, 'x', size);
	in.text = text;
	assert_int_equal(errand_client_submit(client, "probe.v1.Probe", method, raw,
					      probe__v1__note__pack(&in, raw), NULL, &cb, &p), 0);
	return p;
}

/* The inputs of all calls together are bounded, and the memory is there again when
 * they end. */
static void test_input_memory(void **state)
{
	static const char *const more[] = {"--max-input", "8M", NULL};
	struct waiter kept = {0}, over = {0}, again = {0};

	restart_with(more);
	submit_large("Never", 3 << 20, &kept);
	submit_large("Never", 3 << 20, &kept);
	submit_large("Never", 3 << 20, &over);
	dispatch_until(client, &over, 1);
	assert_int_equal(over.code, ERRAND_RESOURCE_EXHAUSTED);
	assert_text(call("Echo", "small ones go on", 0, 0), "small ones go on");
	client = errand_client_close(client);
	assert_int_equal(errand_client_open(&client, socket_path, NULL), 0);
	assert_true(trace_has("cancelled never"));
	for (int i = 0; i < 500 && (again.n == 0 || again.code != 0); i++) {
		again.n = 0;
		submit_large("Echo", 3 << 20, &again);
		dispatch_until(client, &again, 1);
	}
	assert_int_equal(again.code, 0);
}

/* Background work that cannot end in time is dropped by name, and never in silence. */
static void test_drop(void **state)
{
	static const char *const more[] = {"--drain-timeout", "50ms", "--background-threads", "1", NULL};

	restart_with(more);
	assert_text(call("After", "", 0, 300), "");
	assert_text(call("After", "", 0, 0), "");
	assert_true(trace_has("after one"));
	assert_int_equal(stop(), 0);
	assert_true(log_has("background work was dropped"));
	assert_non_null(strstr(read_log(), "name=job-one"));
}

/* Another user is refused before a byte of his is read (needs root to become one). */
static void test_peer(void **state)
{
	pid_t pid;
	int status;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(dir, 0711), 0);
	assert_int_equal(chmod(socket_path, 0666), 0);
	pid = fork();
	if (pid == 0) {
		int fd;

		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		fd = raw_connect();
		_exit(closed_within(fd, 2000) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(log_has("may not connect"));
	assert_non_null(strstr(read_log(), "uid=65534"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unary), TEST(test_plain_client), TEST(test_errors),
		TEST(test_deadline), TEST(test_concurrent), TEST(test_pool_full),
		TEST(test_cancel), TEST(test_disconnect), TEST(test_after), TEST(test_watchdog),
		TEST(test_streams), TEST(test_slow_reader), TEST(test_stalled_reader),
		TEST(test_stream_stop),
		TEST(test_task), TEST(test_schema), TEST(test_garbage), TEST(test_slow_frame),
		TEST(test_limits), TEST(test_no_descriptors), TEST(test_drop), TEST(test_peer),
		TEST(test_input_memory),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
