/* test_run.c: errand_run with real programs; the call around it is played here. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/service.h"
#include "service/call.h"
#include "service/call_ids.h"
#include "service/loop.h"
#include "service/process.h"

/* --- the call's part, as call.h describes it --- */

struct errand_call {
	pthread_mutex_t lock;
	void (*hook)(void *arg);
	void *hook_arg;
	_Atomic int cancel_code;
	const char *cancel_at; /* cancel when this line is logged or seen */
	struct buf log;
	uint8_t usage[128];
	size_t usage_len;
	int code, status, signal;
	bool oom;
	char message[8192];
};

static bool on_loop;

bool loop_is_current(void)
{
	return on_loop;
}

/* The hook runs under the lock: after call_off_cancel it does not run any more. */
static void call_stop(struct errand_call *call, int code)
{
	pthread_mutex_lock(&call->lock);
	call->cancel_code = code;
	if (call->hook != NULL)
		call->hook(call->hook_arg);
	pthread_mutex_unlock(&call->lock);
}

struct call_hook *call_on_cancel_any(struct errand_call *call, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&call->lock);
	call->hook = fn;
	call->hook_arg = arg;
	if (call->cancel_code)
		fn(arg);
	pthread_mutex_unlock(&call->lock);
	return (struct call_hook *)call;
}

void call_off_cancel(struct errand_call *call, struct call_hook *hook)
{
	assert_ptr_equal(hook, call);
	pthread_mutex_lock(&call->lock);
	call->hook = NULL;
	pthread_mutex_unlock(&call->lock);
}

int call_cancel_code(const struct errand_call *call)
{
	return call->cancel_code;
}

const struct log_ids *call_ids(const struct errand_call *call)
{
	return NULL;
}

void call_env_init(struct call_env *e, const struct errand_call *call, const char *const *base)
{
	*e = (struct call_env){.list = (const char **)base};
}

void call_env_deinit(struct call_env *e)
{
}

int64_t call_grace_ns(const struct errand_call *call)
{
	return 0;
}

void call_set_exit(struct errand_call *call, int status, int sig, bool oom)
{
	call->status = status;
	call->signal = sig;
	call->oom = oom;
}

void call_set_usage(struct errand_call *call, struct bytes usage)
{
	assert_true(usage.len <= sizeof call->usage);
	memcpy(call->usage, usage.data, usage.len);
	call->usage_len = usage.len;
}

const char *errand_method_name(const struct errand_call *call)
{
	return "test.Test/Run";
}

void errand_fail(struct errand_call *call, int code, const char *fmt, ...)
{
	va_list ap;

	call->code = code;
	va_start(ap, fmt);
	vsnprintf(call->message, sizeof call->message, fmt, ap);
	va_end(ap);
}

void call_log(struct errand_call *call, const char *stream, const char *line, size_t len)
{
	buf_printf(&call->log, "%s:%.*s\n", stream, (int)len, line);
	if (call->cancel_at && len == strlen(call->cancel_at) && !memcmp(line, call->cancel_at, len))
		call_stop(call, ERRAND_CANCELLED);
}

/* --- tests --- */

#define CALL_INIT {.lock = PTHREAD_MUTEX_INITIALIZER, .status = -7, .signal = -7}

static int run_shell(struct errand_call *call, const char *script, struct errand_exit *out)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	struct errand_command command = {.argv = argv, .grace_ns = 5 * NS_PER_S};

	return errand_run(call, &command, out);
}

static void test_lines_go_to_the_log(void **state)
{
	struct errand_call call = CALL_INIT;
	struct errand_exit e;

	assert_int_equal(run_shell(&call, "echo out; exec >&2; echo err; exit 4", &e), 0);
	assert_int_equal(e.status, 4);
	assert_int_equal(e.signal, 0);
	assert_string_equal(e.tail, "err\n");
	assert_non_null(strstr(buf_cstr(&call.log), "stdout:out\n"));
	assert_non_null(strstr(buf_cstr(&call.log), "stderr:err\n"));
	errand_fail_exit(&call, "sh", &e);
	assert_int_equal(call.code, ERRAND_INTERNAL);
	assert_int_equal(call.status, 4);
	assert_string_equal(call.message, "sh ended with exit status 4:\nerr\n");
	buf_deinit(&call.log);
}

static void take_line(struct errand_call *call, const char *line, size_t len, void *arg)
{
	buf_append(arg, line, len);
	buf_append_byte(arg, '|');
}

static void test_on_stdout(void **state)
{
	const char *argv[] = {"printf", "a\\nb\\n", NULL};
	struct buf seen = BUF_INIT;
	struct errand_command command = {.argv = argv, .on_stdout = take_line, .arg = &seen};
	struct errand_call call = CALL_INIT;
	struct errand_exit e;

	assert_int_equal(errand_run(&call, &command, &e), 0);
	assert_string_equal(buf_cstr(&seen), "a|b|");
	assert_int_equal(call.log.len, 0);
	buf_deinit(&seen);
}

static void take_bytes(struct errand_call *call, const void *data, size_t len, void *arg)
{
	buf_append(arg, data, len);
}

static void take_message(struct errand_call *call, const char *line, size_t len, void *arg)
{
	buf_printf(arg, "<%.*s>", (int)len, line);
}

/* stderr goes to the log all the same. */
static void test_all_that_comes_and_goes(void **state)
{
	const char *argv[] = {"sh", "-c", "cat; echo err >&2; sleep 0.1; echo m1 >&3", NULL};
	struct buf seen = BUF_INIT;
	struct errand_command command = {.argv = argv, .input = "a\0\nb", .input_len = 4, .arg = &seen,
					 .on_output = take_bytes, .on_stderr = take_line,
					 .on_message = take_message};
	struct errand_call call = CALL_INIT;
	struct errand_exit e;

	assert_int_equal(errand_run(&call, &command, &e), 0);
	assert_int_equal(seen.len, 4 + 4 + 4);
	assert_non_null(memmem(seen.data, seen.len, "a\0\nb", 4));
	assert_non_null(memmem(seen.data, seen.len, "err|", 4));
	assert_memory_equal(seen.data + 8, "<m1>", 4);
	assert_string_equal(buf_cstr(&call.log), "stderr:err\n");
	buf_deinit(&seen);
	buf_deinit(&call.log);
}

/* errand.v1.Usage: isolation 1, peak_memory 2, cpu_time 3, memory_limit 4. */
static void test_usage_is_told(void **state)
{
	const char *argv[] = {"true", NULL};
	const struct errand_limits limits = {.memory = 1LL << 30};
	struct errand_command command = {.argv = argv, .limits = &limits};
	struct errand_call call = CALL_INIT;
	struct errand_exit e;
	struct pbuf_reader r;
	struct pbuf_field f;
	uint64_t values[5] = {0};

	assert_int_equal(errand_run(&call, &command, &e), 0);
	assert_string_equal(e.isolation, "rlimit");
	assert_true(e.peak_memory > 0);
	r = pbuf_reader(call.usage, call.usage_len);
	while (pbuf_next(&r, &f)) {
		assert_true(f.number >= 1 && f.number <= 4);
		values[f.number] = f.wire == PBUF_VARINT ? f.value : f.bytes.len;
	}
	assert_false(r.bad);
	assert_int_equal(values[1], strlen("rlimit"));
	assert_int_equal(values[2], e.peak_memory);
	assert_true(values[3] > 0);
	assert_int_equal(values[4], 1LL << 30);
}

static void test_oom_is_told(void **state)
{
	struct errand_exit e = {.status = -1, .signal = SIGKILL, .oom = 1, .memory_limit = 1LL << 30,
				.peak_memory = 3LL << 29, .tail = "help\n"};
	struct errand_call call = CALL_INIT;

	errand_fail_exit(&call, "ffmpeg", &e);
	assert_true(call.oom);
	assert_string_equal(call.message, "ffmpeg was over its memory limit of 1 GiB (peak 1.5 GiB):\nhelp\n");
	e.memory_limit = 0;
	e.tail[0] = 0;
	errand_fail_exit(&call, "ffmpeg", &e);
	assert_string_equal(call.message, "ffmpeg was killed since there was no more memory (peak 1.5 GiB)");
}

static void test_limits_that_cannot_be_had(void **state)
{
	const char *argv[] = {"true", NULL};
	const struct errand_limits limits = {.whole_tree = 1};
	struct errand_call call = CALL_INIT;
	struct errand_exit e;

	assert_int_equal(errand_run(&call, &(struct errand_command){.argv = argv, .limits = &limits}, &e),
			 -ERRAND_FAILED_PRECONDITION);
}

static void test_tail_is_the_last_whole_lines(void **state)
{
	struct errand_call call = CALL_INIT;
	struct errand_exit e;
	size_t len;

	assert_int_equal(run_shell(&call, "seq 1 5000 >&2; printf 'a\\0b\\377c\\n' >&2", &e), 0);
	len = strlen(e.tail);
	assert_true(len < sizeof e.tail && len > sizeof e.tail - 10);
	assert_string_equal(e.tail + len - 11, "5000\na b?c\n");
	assert_true(e.tail[4] == '\n'); /* begins with a whole number */
	buf_deinit(&call.log);

	call.log = BUF_INIT;
	assert_int_equal(run_shell(&call, "head -c 100000 /dev/zero | tr '\\0' y >&2; echo >&2; echo z >&2", &e), 0);
	assert_int_equal(strlen(e.tail), 2);
	buf_deinit(&call.log);
}

static void test_one_line_longer_than_the_tail(void **state)
{
	struct errand_call call = CALL_INIT;
	struct errand_exit e;

	assert_int_equal(run_shell(&call, "head -c 10000 /dev/zero | tr '\\0' y >&2", &e), 0);
	assert_int_equal(strlen(e.tail), sizeof e.tail - 1);
	assert_int_equal(e.tail[0], 'y');
	buf_deinit(&call.log);
}

static void test_signal(void **state)
{
	struct errand_call call = CALL_INIT;
	struct errand_exit e;

	assert_int_equal(run_shell(&call, "kill -SEGV $$", &e), 0);
	assert_int_equal(e.status, -1);
	assert_int_equal(e.signal, SIGSEGV);
	errand_fail_exit(&call, "sh", &e);
	assert_int_equal(call.signal, SIGSEGV);
	buf_deinit(&call.log);
}

static void test_not_there(void **state)
{
	const char *missing[] = {"no-such-program-anywhere", NULL}, *data[] = {"/etc/passwd", NULL};
	struct errand_call call = CALL_INIT;
	struct errand_exit e;

	assert_int_equal(errand_run(&call, &(struct errand_command){.argv = missing}, &e),
			 -ERRAND_NOT_FOUND);
	assert_int_equal(errand_run(&call, &(struct errand_command){.argv = data}, &e),
			 -ERRAND_UNAVAILABLE);
	assert_int_equal(errno, EACCES);
	on_loop = true;
	assert_int_equal(run_shell(&call, "true", &e), -ERRAND_UNAVAILABLE);
	on_loop = false;
}

static void test_cancel_kills(void **state)
{
	struct errand_call call = CALL_INIT;
	struct errand_exit e;

	call.cancel_at = "ready";
	assert_int_equal(run_shell(&call, "echo ready; exec sleep 1000", &e), -ERRAND_CANCELLED);
	assert_int_equal(e.signal, SIGTERM);
	errand_fail_exit(&call, "sh", &e);
	assert_int_equal(call.code, ERRAND_CANCELLED);
	assert_int_equal(call.signal, -7); /* not recorded as a crash */
	buf_deinit(&call.log);
}

static void test_cancelled_before(void **state)
{
	struct errand_call call = CALL_INIT;
	struct errand_exit e;

	call.cancel_code = ERRAND_DEADLINE_EXCEEDED;
	assert_int_equal(run_shell(&call, "echo never", &e), -ERRAND_DEADLINE_EXCEEDED);
	assert_int_equal(call.log.len, 0);
}

/* From another thread, at a moment that is each time another. */
static void *stop_thread(void *arg)
{
	static unsigned round;
	struct timespec t = {0, (long)(round++ % 10) * 300000};

	nanosleep(&t, NULL);
	call_stop(arg, ERRAND_CANCELLED);
	return NULL;
}

static void test_cancel_at_any_moment(void **state)
{
	for (int i = 0; i < 40; i++) {
		struct errand_call call = CALL_INIT;
		struct errand_exit e;
		pthread_t thread;
		int rc;

		pthread_create(&thread, NULL, stop_thread, &call);
		rc = run_shell(&call, i % 2 ? "true" : "exec sleep 1000", &e);
		pthread_join(thread, NULL);
		if (i % 2 == 0)
			assert_int_equal(rc, -ERRAND_CANCELLED);
		else
			assert_true(rc == 0 || rc == -ERRAND_CANCELLED);
		buf_deinit(&call.log);
	}
	assert_int_equal(process_count(), 0);
}

static int setup(void **state)
{
	return process_init();
}

static int teardown(void **state)
{
	process_deinit();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_go_to_the_log),
		cmocka_unit_test(test_on_stdout),
		cmocka_unit_test(test_all_that_comes_and_goes),
		cmocka_unit_test(test_usage_is_told),
		cmocka_unit_test(test_oom_is_told),
		cmocka_unit_test(test_limits_that_cannot_be_had),
		cmocka_unit_test(test_tail_is_the_last_whole_lines),
		cmocka_unit_test(test_one_line_longer_than_the_tail),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_cancel_kills),
		cmocka_unit_test(test_cancelled_before),
		cmocka_unit_test(test_cancel_at_any_moment),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
