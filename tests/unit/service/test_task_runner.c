/* Queues whose tasks somebody else runs (task_queue_run_by): what is claimed for him, how
 * his attempts end, and that a queue can become his and ours again while tasks run. */
#include "task_rig.h"

#include "base/clock.h"
#include "errand/status.h"

static void run(struct errand_call *call, struct bytes input, void *arg)
{
}

static const struct runner runner = {.name = "other", .on_loop = true, .run = run};
static int owner;

static void give(const char *queue, unsigned room)
{
	task_queue_run_by(queue, &runner, &owner, room);
}

/* All that was asked of the store has been done. */
static void settle(const char *id)
{
	get(id);
	get(id);
}

static void test_as_many_as_there_is_room_for(void **state)
{
	char id[UUID_TEXT_SIZE];

	give("default", 2);
	for (int i = 0; i < 4; i++)
		strcpy(id, create("t.T/Run").id);
	await_call(2);
	settle(id);
	assert_int_equal(n_calls, 2);
	for (size_t i = 0; i < n_calls; i++) {
		assert_ptr_equal(calls[i].p.runner, &runner);
		assert_ptr_equal(calls[i].p.runner_arg, &owner);
		assert_null(calls[i].p.pool);
	}
	give("default", 0);
	answer_ok(&calls[0], "a");
	await_state(calls[0].id, TASK_SUCCEEDED);
	settle(id);
	assert_int_equal(n_calls, 2); /* nobody has room */
	give("default", 3);
	await_call(4);
	assert_int_equal(n_pool_threads, 0);
	for (size_t i = 1; i < 4; i++)
		answer_ok(&calls[i], "b");
	await_state(id, TASK_SUCCEEDED);
}

static void test_slots_that_are_set_bound_it(void **state)
{
	char first[UUID_TEXT_SIZE], second[UUID_TEXT_SIZE];

	give("slow", 8); /* --queue slow=1 */
	strcpy(first, create("t.T/Slow").id);
	strcpy(second, create("t.T/Slow").id);
	await_call(1);
	settle(second);
	assert_int_equal(n_calls, 1);
	answer_ok(&calls[0], "");
	await_call(2);
	answer_ok(&calls[1], "");
	await_state(second, TASK_SUCCEEDED);
}

static void test_given_back_is_as_if_not_claimed(void **state)
{
	struct answer back = {.code = ERRAND_UNAVAILABLE, .given_back = true, .message = xstrdup("nobody")};
	struct outcome o;

	give("default", 1);
	o = create("t.T/Run");
	answer(await_call(1), &back);
	answer_ok(await_call(2), "ok");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_int_equal(o.failures, 0);
	assert_int_equal(o.crash_count, 0);
	assert_string_equal(attempts(o.id), "1INTERRUPTED 2OK ");
}

static void test_a_lost_worker_is_a_lost_lease(void **state)
{
	struct answer lost = {.code = ERRAND_UNAVAILABLE, .lease_lost = true, .message = xstrdup("gone")};
	struct outcome o;

	give("default", 1);
	o = create("t.T/Run");
	answer(await_call(1), &lost);
	answer_ok(await_call(2), "ok");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_int_equal(o.crash_count, 1);
	assert_string_equal(attempts(o.id), "1LEASE_LOST 2OK ");
}

/* A handler here may run while the queue is somebody else's: its threads stay. */
static void test_a_queue_changes_hands_while_tasks_run(void **state)
{
	char id[UUID_TEXT_SIZE];

	create("t.T/Run");
	assert_null(await_call(1)->p.runner);
	give("default", 1); /* the one that runs fills it */
	strcpy(id, create("t.T/Run").id);
	settle(id);
	assert_int_equal(n_calls, 1);
	answer_ok(&calls[0], "");
	assert_ptr_equal(await_call(2)->p.runner, &runner);
	task_queue_run_by("default", NULL, NULL, 0);
	strcpy(id, create("t.T/Run").id);
	assert_null(await_call(3)->p.runner);
	assert_non_null(calls[2].p.pool);
	assert_int_equal(n_pool_threads, 0); /* as many as when it was made */
	answer_ok(&calls[1], "");
	answer_ok(&calls[2], "");
	await_state(id, TASK_SUCCEEDED);
}

static bool timer_due(void *arg)
{
	return clock_mono_ns() > *(int64_t *)arg;
}

/* Here a handler that does not stop costs a thread more; there is none of a runner's. */
static void test_who_does_not_stop_costs_no_thread(void **state)
{
	int64_t until = clock_mono_ns() + 40 * NS_PER_MS;
	struct outcome o;

	task_stuck_margin_ns = NS_PER_MS;
	give("slow", 1);
	o = create("t.T/Slow");
	await_call(1);
	op_with(task_cancel, o.id);
	await(timer_due, &until);
	assert_int_equal(calls[0].cancel_code, ERRAND_CANCELLED);
	assert_int_equal(n_pool_threads, 0);
	answer_error(&calls[0], ERRAND_CANCELLED, false);
	await_state(o.id, TASK_CANCELLED);
	task_stuck_margin_ns = 5 * NS_PER_S;
}

static int load(const struct store_ops *ops, struct store *s)
{
	give("default", 1);
	return 0;
}

static void test_known_before_the_first_claim(void **state)
{
	char id[UUID_TEXT_SIZE];

	give("default", 0);
	strcpy(id, create("t.T/Run").id);
	config.load = load;
	restart();
	assert_ptr_equal(await_call(1)->p.runner, &runner);
	assert_string_equal(calls[0].id, id);
	answer_ok(&calls[0], "");
	await_state(id, TASK_SUCCEEDED);
}

int main(void)
{
#define EACH(test, setup) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		EACH(test_as_many_as_there_is_room_for, setup_memory),
		EACH(test_slots_that_are_set_bound_it, setup_memory),
		EACH(test_given_back_is_as_if_not_claimed, setup_memory),
		EACH(test_a_lost_worker_is_a_lost_lease, setup_sqlite),
		EACH(test_a_queue_changes_hands_while_tasks_run, setup_memory),
		EACH(test_who_does_not_stop_costs_no_thread, setup_memory),
		EACH(test_known_before_the_first_claim, setup_sqlite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
