/* test_task.c: what becomes of a task: attempts, queues, cancel, retry, delete. */
#include <string.h>

#include "service/loop.h"
#include "service/task_feed.h"
#include "task_rig.h"

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"

/* --- the way through --- */

static void runs_and_succeeds(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);

	assert_string_equal(c->id, o.id);
	assert_int_equal(c->p.attempt, 1);
	assert_int_equal(c->payload.len, 2);
	assert_non_null(c->p.pool);
	o = get(o.id);
	assert_int_equal(o.state, TASK_RUNNING);
	assert_int_equal(o.version, 2);
	assert_string_equal(attempts(o.id), "1OUTCOME_UNSPECIFIED ");
	assert_int_equal(task_running(), 1);
	answer_ok(c, "out");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_string_equal(o.result, "out");
	assert_string_equal(attempts(o.id), "1OK ");
	assert_string_equal(history(o.id), "1:QUEUED 2:RUNNING 3:result 4:SUCCEEDED ");
	assert_int_equal(o.version, 4);
	assert_int_equal(task_running(), 0);
	assert_int_equal(get(o.id + 30).code, 0); /* by its tail */
	assert_int_equal(get("no-such-task").code, ERRAND_NOT_FOUND);
}

static void an_error_is_retried_until_it_is_enough(void **state)
{
	struct outcome o = create("t.T/Run");

	for (size_t i = 1; i <= 3; i++)
		answer_error(await_call(i), ERRAND_INTERNAL, false);
	o = await_state(o.id, TASK_FAILED);
	assert_int_equal(o.failures, 3);
	assert_int_equal(o.problem_code, ERRAND_INTERNAL);
	assert_string_equal(o.detail, "it broke (attempts exhausted)");
	assert_string_equal(attempts(o.id), "1ERROR 2ERROR 3ERROR ");
	assert_string_equal(history(o.id), "1:QUEUED 2:RUNNING 3:RETRYING 4:QUEUED 5:RUNNING "
			    "6:RETRYING 7:QUEUED 8:RUNNING 9:FAILED ");
	assert_int_equal(n_calls, 3);
}

static void a_success_after_errors_forgets_them(void **state)
{
	struct outcome o = create("t.T/Run");

	answer_error(await_call(1), ERRAND_UNAVAILABLE, false);
	answer_ok(await_call(2), "2nd");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_string_equal(o.result, "2nd");
	assert_string_equal(o.detail, "");
}

static void a_final_error_is_not_retried(void **state)
{
	struct outcome o = create("t.T/Run");

	answer_error(await_call(1), ERRAND_INVALID_ARGUMENT, true);
	o = await_state(o.id, TASK_FAILED);
	assert_string_equal(o.detail, "it broke (not retryable)");
}

static void the_handler_s_own_delay_is_honoured(void **state)
{
	struct answer a = {.code = ERRAND_UNAVAILABLE, .retry_after_ns = 60 * NS_PER_S};
	struct outcome o = create("t.T/Run");

	answer(await_call(1), &a);
	o = await_state(o.id, TASK_RETRYING);
	assert_in_range(o.run_at_us - clock_wall_us(), 55 * US_PER_S, 61 * US_PER_S);
}

static void a_result_too_large_fails_the_task(void **state)
{
	struct outcome o = create("t.T/Run");

	answer_ok(await_call(1), "a result of more than the thirty-two bytes allowed");
	o = await_state(o.id, TASK_FAILED);
	assert_int_equal(o.problem_code, ERRAND_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(o.detail, "the limit is 32"));
	assert_string_equal(attempts(o.id), "1ERROR ");
}

static void time_over_is_a_timeout(void **state)
{
	struct outcome o = create("t.T/Timed");
	struct errand_call *c = await_call(1);

	assert_in_range(c->p.deadline_ns - clock_mono_ns(), 3590 * NS_PER_S, 3600 * NS_PER_S);
	call_cancel(c, ERRAND_DEADLINE_EXCEEDED, false); /* as the call does itself */
	answer_error(c, ERRAND_CANCELLED, false);
	o = await_state(o.id, TASK_FAILED);
	assert_int_equal(o.problem_code, ERRAND_DEADLINE_EXCEEDED);
	assert_string_equal(attempts(o.id), "1TIMEOUT ");
}

static void how_a_program_ended_is_recorded(void **state)
{
	struct answer exit = {.code = ERRAND_INTERNAL, .from_exit = true, .exit_status = 3};
	struct answer sig = {.code = ERRAND_INTERNAL, .from_exit = true, .exit_signal = 11};
	struct outcome o = create("t.T/Run");

	answer(await_call(1), &exit);
	answer(await_call(2), &sig);
	answer_ok(await_call(3), "");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_string_equal(attempts(o.id), "1EXIT 2SIGNAL 3OK ");
	assert_int_equal(o.failures, 1);
	assert_int_equal(o.crash_count, 1);
}

static struct answer answer_of(int code, const char *usage)
{
	struct answer a = {.code = code};

	buf_append_str(&a.usage, usage);
	return a;
}

/* However the attempt ends; and it is there after a restart. */
static void what_a_program_used_is_kept(void **state)
{
	struct answer oom = answer_of(ERRAND_INTERNAL, "much"), err = answer_of(ERRAND_INTERNAL, "some");
	struct answer ok = answer_of(ERRAND_OK, "little");
	struct outcome o = create("t.T/Run");

	oom.from_exit = oom.oom = true;
	oom.exit_signal = 9;
	answer(await_call(1), &oom);
	answer(await_call(2), &err);
	answer(await_call(3), &ok);
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_string_equal(attempts(o.id), "1OOM(much) 2ERROR(some) 3OK(little) ");
	assert_int_equal(o.crash_count, 1);
	if (!is_sqlite)
		return;
	restart();
	assert_string_equal(attempts(o.id), "1OOM(much) 2ERROR(some) 3OK(little) ");
}

static void a_method_that_is_gone_fails_its_tasks(void **state)
{
	struct outcome first = create("t.T/Slow"), o = create("t.T/Slow");

	await_call(1);
	unserved = true;
	answer_ok(&calls[0], "");
	o = await_state(o.id, TASK_FAILED);
	assert_int_equal(o.problem_code, ERRAND_UNIMPLEMENTED);
	assert_non_null(strstr(o.detail, "t.T/Slow"));
	assert_int_equal(get(first.id).state, TASK_SUCCEEDED);
}

/* --- queues --- */

static size_t n_open_calls(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_calls; i++)
		n += !calls[i].over;
	return n;
}

static void slots_bound_what_runs_and_turns_are_kept(void **state)
{
	struct outcome o[8];

	for (int i = 0; i < 8; i++)
		o[i] = create("t.T/Run");
	await_call(4);
	assert_int_equal(get(o[7].id).state, TASK_QUEUED);
	assert_int_equal(n_calls, 4);
	for (size_t i = 0; i < 8; i++) {
		struct errand_call *c = await_call(i + 1);

		assert_string_equal(c->id, o[i].id);
		assert_true(n_open_calls() <= 4);
		answer_ok(c, "");
	}
	await_state(o[7].id, TASK_SUCCEEDED);
}

static void a_full_queue_says_so(void **state)
{
	struct outcome o, last;

	task_deinit();
	config.max_depth = 3;
	start();
	o = create("t.T/Slow"); /* runs */
	await_call(1);
	for (int i = 0; i < 3; i++)
		last = create("t.T/Slow");
	assert_int_equal(create_input("t.T/Slow", "x").code, ERRAND_RESOURCE_EXHAUSTED);
	assert_int_equal(op_with(task_cancel, last.id).code, 0);
	assert_int_equal(create_input("t.T/Slow", "x").code, 0);
	assert_int_equal(create_input("t.T/Slow", "x").code, ERRAND_RESOURCE_EXHAUSTED);
	answer_ok(&calls[0], "");
	await_state(o.id, TASK_SUCCEEDED);
	await_call(2);
	assert_int_equal(create_input("t.T/Slow", "x").code, 0);
	assert_int_equal(create_input("t.T/Run", "x").code, 0); /* another queue */
}

/* --- cancel, retry, delete --- */

static void a_queued_task_is_cancelled_at_once(void **state)
{
	struct outcome running = create("t.T/Slow"), o = create("t.T/Slow");

	await_call(1);
	o = op_with(task_cancel, o.id);
	assert_int_equal(o.state, TASK_CANCELLED);
	assert_int_equal(o.problem_code, ERRAND_CANCELLED);
	answer_ok(&calls[0], "");
	await_state(running.id, TASK_SUCCEEDED);
	assert_int_equal(n_calls, 1);
	assert_string_equal(history(o.id), "1:QUEUED 2:CANCELLED ");
}

static void a_retrying_task_is_cancelled_at_once(void **state)
{
	struct outcome o = create("t.T/Slow");

	answer_error(await_call(1), ERRAND_INTERNAL, false);
	await_state(o.id, TASK_RETRYING);
	assert_int_equal(op_with(task_cancel, o.id).state, TASK_CANCELLED);
}

static void a_running_task_is_told_to_stop(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);

	o = op_with(task_cancel, o.id);
	assert_int_equal(o.state, TASK_CANCELLING);
	assert_int_equal(c->cancel_code, ERRAND_CANCELLED);
	assert_int_equal(op_with(task_cancel, o.id).version, o.version); /* twice is once */
	answer_error(c, ERRAND_CANCELLED, false);
	o = await_state(o.id, TASK_CANCELLED);
	assert_string_equal(attempts(o.id), "1CANCELLED ");
	assert_string_equal(history(o.id), "1:QUEUED 2:RUNNING 3:CANCELLING 4:CANCELLED ");
	assert_int_equal(op_with(task_cancel, o.id).state, TASK_CANCELLED);
}

static void a_handler_may_succeed_after_cancel(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);

	op_with(task_cancel, o.id);
	answer_ok(c, "done");
	assert_string_equal(await_state(o.id, TASK_SUCCEEDED).result, "done");
}

static void cancel_and_end_at_the_same_time(void **state)
{
	struct outcome o = create("t.T/Run"), cancelled = {0};
	struct errand_call *c = await_call(1);

	task_cancel(o.id, NULL, on_done, &cancelled);
	answer_error(c, ERRAND_INTERNAL, false);
	await(outcome_done, &cancelled);
	assert_int_equal(cancelled.state, TASK_CANCELLING);
	await_state(o.id, TASK_CANCELLED);
}

static bool pool_grew(void *arg)
{
	return n_pool_threads == 1;
}

static void a_handler_that_ignores_cancel_loses_its_slot(void **state)
{
	struct outcome o = create("t.T/Slow"), next = create("t.T/Slow");

	await_call(1);
	task_stuck_margin_ns = 0;
	op_with(task_cancel, o.id);
	await(pool_grew, NULL);
	await_call(2); /* the next one runs meanwhile */
	assert_int_equal(get(o.id).state, TASK_CANCELLING);
	answer_error(&calls[0], ERRAND_CANCELLED, false);
	await_state(o.id, TASK_CANCELLED);
	assert_int_equal(n_pool_threads, 0);
	answer_ok(&calls[1], "");
	await_state(next.id, TASK_SUCCEEDED);
}

static void an_operator_s_retry_begins_again(void **state)
{
	struct outcome o = create("t.T/Run");

	assert_int_equal(op_with(task_retry, o.id).code, TASK_NOT_ALLOWED);
	answer_error(await_call(1), ERRAND_INVALID_ARGUMENT, true);
	await_state(o.id, TASK_FAILED);
	o = op_with(task_retry, o.id);
	assert_int_equal(o.state, TASK_QUEUED);
	assert_int_equal(o.failures, 0);
	assert_string_equal(o.detail, "");
	assert_int_equal(await_call(2)->p.attempt, 2);
	answer_ok(&calls[1], "now");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_string_equal(attempts(o.id), "1ERROR 2OK ");
	assert_string_equal(history(o.id), "1:QUEUED 2:RUNNING 3:FAILED 4:QUEUED 5:RUNNING 6:result "
			    "7:SUCCEEDED ");
}

static void delete_forgets_what_has_ended(void **state)
{
	struct outcome o = create("t.T/Run"), refused;

	refused = op_with(task_delete, o.id);
	assert_int_equal(refused.code, TASK_NOT_ALLOWED);
	assert_non_null(strstr(refused.why, "only an ended one can be deleted"));
	answer_ok(await_call(1), "");
	await_state(o.id, TASK_SUCCEEDED);
	assert_int_equal(op_with(task_delete, o.id).code, 0);
	assert_int_equal(get(o.id).code, ERRAND_NOT_FOUND);
	assert_int_equal(op_with(task_delete, o.id).code, ERRAND_NOT_FOUND);
}

/* --- the feed --- */

static struct feed *endless;
static int n_news;

/* As a thread does that writes faster than the loop reads. */
static void on_endless_news(void *arg)
{
	struct feed_batch b;

	feed_take(endless, true, &b);
	feed_batch_deinit(&b);
	if (++n_news < 1000000)
		feed_line(feed_number(endless), "stdout", "x", 1);
}

static bool others_ran;

static void set_true(struct loop_job *job)
{
	others_ran = true;
}

static void a_flood_leaves_the_loop_to_others(void **state)
{
	struct loop_job job = {.run = set_true};

	endless = feed_new(INT64_MAX, on_endless_news, NULL);
	n_news = 0;
	others_ran = false;
	feed_line(feed_number(endless), "stdout", "x", 1);
	loop_post(&job);
	await(is_set, &others_ran);
	assert_true(n_news < 1000);
	endless = feed_free(endless);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(runs_and_succeeds),
		BOTH(an_error_is_retried_until_it_is_enough),
		BOTH(a_success_after_errors_forgets_them),
		BOTH(a_final_error_is_not_retried),
		BOTH(the_handler_s_own_delay_is_honoured),
		BOTH(a_result_too_large_fails_the_task),
		BOTH(time_over_is_a_timeout),
		BOTH(how_a_program_ended_is_recorded),
		BOTH(what_a_program_used_is_kept),
		BOTH(a_method_that_is_gone_fails_its_tasks),
		BOTH(slots_bound_what_runs_and_turns_are_kept),
		BOTH(a_full_queue_says_so),
		BOTH(a_queued_task_is_cancelled_at_once),
		BOTH(a_retrying_task_is_cancelled_at_once),
		BOTH(a_running_task_is_told_to_stop),
		BOTH(a_handler_may_succeed_after_cancel),
		BOTH(cancel_and_end_at_the_same_time),
		BOTH(a_handler_that_ignores_cancel_loses_its_slot),
		BOTH(an_operator_s_retry_begins_again),
		BOTH(delete_forgets_what_has_ended),
		BOTH(a_flood_leaves_the_loop_to_others),
	};

	log_init("test_task", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
