/* test_task_recovery.c: tasks over the death, the stop and the full disk of their
 * service. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "task_rig.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/task_engine.h"

/* --- death and recovery --- */

static void what_a_dead_service_ran_is_run_again(void **state)
{
	struct outcome o = create("t.T/Run");

	if (!is_sqlite)
		return;
	for (uint32_t n = 1; n <= 3; n++) {
		assert_int_equal(await_call(1)->p.attempt, n);
		restart();
		assert_int_equal(get(o.id).crash_count, n);
	}
	o = get(o.id);
	assert_int_equal(o.state, TASK_FAILED);
	assert_string_equal(o.detail, "the service died while the attempt ran (quarantined)");
	assert_string_equal(attempts(o.id), "1LEASE_LOST 2LEASE_LOST 3LEASE_LOST ");
	assert_int_equal(n_calls, 0);
}

static void recovery_keeps_what_was_asked(void **state)
{
	struct outcome cancelling = create("t.T/Run"), queued, running = create("t.T/Slow");

	if (!is_sqlite)
		return;
	queued = create("t.T/Slow");
	await_call(2);
	op_with(task_cancel, cancelling.id);
	restart();
	assert_int_equal(get(cancelling.id).state, TASK_CANCELLED);
	assert_int_equal(get(running.id).state, TASK_RETRYING);
	assert_string_equal(await_call(1)->id, queued.id);
	assert_int_equal(n_calls, 1);
}

static void on_flag(void *arg)
{
	*(bool *)arg = true;
}

static void stopping_hands_back_what_still_runs(void **state)
{
	struct outcome deaf = create("t.T/Run"), hears = create("t.T/Run"), done = create("t.T/Run");
	bool all = false;

	await_call(3);
	task_drain_begin();
	create("t.T/Run");
	task_interrupt_all(on_flag, &all);
	assert_int_equal(calls[0].cancel_code, ERRAND_CANCELLED);
	answer_error(&calls[1], ERRAND_CANCELLED, false);
	answer_ok(&calls[2], "in time");
	await(is_set, &all);
	assert_true(calls[0].abandoned);
	assert_int_equal(task_running(), 0);
	assert_int_equal(get(deaf.id).state, TASK_QUEUED);
	assert_int_equal(get(hears.id).state, TASK_QUEUED);
	assert_int_equal(get(hears.id).failures, 0);
	assert_string_equal(attempts(hears.id), "1INTERRUPTED ");
	assert_int_equal(get(done.id).state, TASK_SUCCEEDED);
	assert_int_equal(n_calls, 3);
	if (!is_sqlite)
		return;
	restart();
	await_call(3);
	assert_int_equal(get(deaf.id).crash_count, 0);
}

static void interrupting_nothing_is_done_at_once(void **state)
{
	bool all = false;

	task_interrupt_all(on_flag, &all);
	assert_false(all);
	await(is_set, &all);
}

static void an_end_that_cannot_be_written_is_tried_again(void **state)
{
	struct rlimit old, none;
	struct outcome o = create("t.T/Run");

	await_call(1);
	if (!is_sqlite)
		return;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	none = old;
	none.rlim_cur = 1;
	setrlimit(RLIMIT_FSIZE, &none);
	answer_ok(&calls[0], "kept");
	assert_int_equal(create_input("t.T/Run", "x").code, TASK_STORE_FULL);
	assert_int_equal(get(o.id).state, TASK_RUNNING);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_string_equal(await_state(o.id, TASK_SUCCEEDED).result, "kept");
	assert_int_equal(create_input("t.T/Run", "x").code, 0);
}

#define START_DEADLINE 11 /* of errand.v1.TaskOptions */

/* With a Duration of some milliseconds in this field of the options. */
static struct outcome create_timed(const char *method, uint32_t field, unsigned ms)
{
	AUTO_BUF duration = BUF_INIT;
	AUTO_BUF options = BUF_INIT;

	pbuf_put_uint(&duration, 2, (uint64_t)ms * 1000000);
	pbuf_put_bytes(&options, field, duration.data, duration.len);
	return create_with(method, buf_bytes(&options));
}

static void a_claim_keeps_a_deadline_that_the_clock_missed(void **state)
{
	struct outcome first = create("t.T/Slow"), late, next;
	int64_t end_ns;

	await_call(1);
	late = create_timed("t.T/Slow", START_DEADLINE, 20);
	next = create("t.T/Slow");
	task_tick_stop();
	for (end_ns = clock_mono_ns() + 30 * NS_PER_MS; clock_mono_ns() < end_ns;)
		usleep(1000);
	answer_ok(&calls[0], "");
	assert_string_equal(await_call(2)->id, next.id);
	assert_int_equal(get(first.id).state, TASK_SUCCEEDED);
	assert_int_equal(get(late.id).state, TASK_EXPIRED);
	assert_string_equal(history(late.id), "1:QUEUED 2:EXPIRED ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(what_a_dead_service_ran_is_run_again),
		BOTH(recovery_keeps_what_was_asked),
		BOTH(stopping_hands_back_what_still_runs),
		BOTH(interrupting_nothing_is_done_at_once),
		BOTH(an_end_that_cannot_be_written_is_tried_again),
		BOTH(a_claim_keeps_a_deadline_that_the_clock_missed),
	};

	log_init("test_task_recovery", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
