/* test_task_after.c: tasks that come after others, tasks that are made with another one's
 * success, and what an attempt saves for the next one. */
#include <stdio.h>
#include <string.h>

#include "service/enqueue.h"
#include "service/enqueue_options.h"
#include "service/loop.h"
#include "task_rig.h"

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"

#define HOUR_NS (3600LL * NS_PER_S)

static struct outcome make(const char *method, const struct errand_task_options *o)
{
	AUTO_BUF packed = BUF_INIT;
	struct outcome made;

	enqueue_pack_options(o, &packed);
	made = create_with(method, buf_bytes(&packed));
	assert_int_equal(made.code, 0);
	return made;
}

/* A child of up to two. */
static struct outcome child_of(const char *a, const char *b, enum errand_after_policy policy)
{
	const char *const after[] = {a, b};

	return make("t.T/Run", &(struct errand_task_options){.after = after, .n_after = b ? 2 : 1,
							     .after_policy = policy});
}

static struct outcome later(void)
{
	return make("t.T/Run", &(struct errand_task_options){.delay_ns = HOUR_NS});
}

static void assert_state(const char *id, enum task_state state)
{
	struct outcome o = get(id);

	assert_int_equal(o.code, 0);
	assert_string_equal(task_state_name(o.state), task_state_name(state));
}

/* --- after --- */

static void a_child_waits_for_all_its_parents(void **state)
{
	struct outcome a = create("t.T/Run"), b = create("t.T/Run"), c = child_of(a.id, b.id, 0);
	char id[UUID_TEXT_SIZE];

	assert_int_equal(c.state, TASK_BLOCKED);
	await_call(2);
	answer_ok(&calls[0], "of a");
	await_state(a.id, TASK_SUCCEEDED);
	assert_state(c.id, TASK_BLOCKED);
	answer_ok(&calls[1], "of b");
	assert_string_equal(await_call(3)->id, c.id);
	assert_int_equal(calls[2].p.n_parents, 2);
	assert_string_equal(uuid_format(&calls[2].parents[0], id), a.id);
	assert_string_equal(uuid_format(&calls[2].parents[1], id), b.id);
	answer_ok(&calls[2], "");
	await_state(c.id, TASK_SUCCEEDED);
	assert_string_equal(history(c.id), "1:BLOCKED 2:QUEUED 3:RUNNING 4:result 5:SUCCEEDED ");
}

static void a_child_of_parents_that_ended_runs_at_once(void **state)
{
	struct outcome a = create("t.T/Run"), c;

	answer_ok(await_call(1), "");
	await_state(a.id, TASK_SUCCEEDED);
	c = child_of(a.id, NULL, 0);
	assert_string_equal(await_call(2)->id, c.id);
	answer_ok(&calls[1], "");
	await_state(c.id, TASK_SUCCEEDED);
}

static void policies_say_what_a_failed_parent_means(void **state)
{
	struct outcome a = create("t.T/Run");
	struct outcome fails = child_of(a.id, NULL, ERRAND_AFTER_FAIL);
	struct outcome ends = child_of(a.id, NULL, ERRAND_AFTER_CANCEL);
	struct outcome runs = child_of(a.id, NULL, ERRAND_AFTER_RUN);
	struct outcome late;

	answer_error(await_call(1), ERRAND_INVALID_ARGUMENT, true);
	fails = await_state(fails.id, TASK_FAILED);
	assert_int_equal(fails.problem_code, ERRAND_FAILED_PRECONDITION);
	assert_non_null(strstr(fails.detail, a.id));
	assert_int_equal(fails.attempt, 0);
	assert_string_equal(history(fails.id), "1:BLOCKED 2:FAILED ");
	await_state(ends.id, TASK_CANCELLED);
	assert_string_equal(await_call(2)->id, runs.id);
	answer_ok(&calls[1], "");
	await_state(runs.id, TASK_SUCCEEDED);
	late = child_of(a.id, NULL, 0);
	assert_int_equal(late.state, TASK_FAILED);
	assert_string_equal(history(late.id), "1:QUEUED 2:FAILED ");
	assert_int_equal(child_of(a.id, NULL, ERRAND_AFTER_CANCEL).state, TASK_CANCELLED);
	assert_int_equal(n_calls, 2);
}

static void a_parent_may_have_very_many(void **state)
{
	struct outcome a = later(), c = {0};
	int64_t begin_ns;

	for (int i = 0; i < (is_sqlite ? 50 : 300); i++)
		c = child_of(a.id, NULL, ERRAND_AFTER_CANCEL);
	begin_ns = clock_mono_ns();
	op_with(task_cancel, a.id);
	assert_true(clock_mono_ns() - begin_ns < 5 * NS_PER_S);
	assert_state(c.id, TASK_CANCELLED);
	assert_string_equal(history(c.id), "1:BLOCKED 2:CANCELLED ");
}

static void the_total_time_ends_before_the_appointment(void **state)
{
	struct outcome o = make("t.T/Run", &(struct errand_task_options){
		.run_at_us = clock_wall_us() + HOUR_NS / 1000, .total_timeout_ns = 20 * NS_PER_MS});

	assert_int_equal(o.state, TASK_SCHEDULED);
	await_state(o.id, TASK_EXPIRED);
}

static void an_unknown_parent_is_refused(void **state)
{
	static const char *const after[] = {"01936b2c-0000-7000-8000-000000000000"};
	struct errand_task_options o = {.after = after, .n_after = 1, .unique_key = "key"};
	AUTO_BUF packed = BUF_INIT;
	struct outcome got;

	enqueue_pack_options(&o, &packed);
	got = create_with("t.T/Run", buf_bytes(&packed));
	assert_int_equal(got.code, ERRAND_INVALID_ARGUMENT);
	assert_non_null(strstr(got.why, after[0]));
	/* nothing was left behind: the key is free */
	make("t.T/Run", &(struct errand_task_options){.unique_key = "key"});
}

static void a_diamond_s_foot_ends_once(void **state)
{
	struct outcome top = later();
	struct outcome left = child_of(top.id, NULL, 0), right = child_of(top.id, NULL, 0);
	struct outcome foot = child_of(left.id, right.id, 0);

	op_with(task_cancel, top.id);
	assert_string_equal(history(foot.id), "1:BLOCKED 2:FAILED ");
	assert_state(left.id, TASK_FAILED);
	assert_state(right.id, TASK_FAILED);
}

static void a_parent_that_is_run_again_is_not_counted_twice(void **state)
{
	struct outcome a = create("t.T/Run"), b = later(), c = child_of(a.id, b.id, 0);

	answer_ok(await_call(1), "");
	await_state(a.id, TASK_SUCCEEDED);
	op_with(task_retry, a.id);
	answer_ok(await_call(2), "");
	await_state(a.id, TASK_SUCCEEDED);
	assert_state(c.id, TASK_BLOCKED);
	op_with(task_run_now, b.id);
	answer_ok(await_call(3), "");
	answer_ok(await_call(4), "");
	await_state(c.id, TASK_SUCCEEDED);
}

static void a_held_child_stays_held_and_a_cancelled_one_is_forgotten(void **state)
{
	struct outcome a = later(), held = child_of(a.id, NULL, 0), gone = child_of(a.id, NULL, 0);

	op_with(task_hold, held.id);
	op_with(task_cancel, gone.id);
	op_with(task_run_now, a.id);
	answer_ok(await_call(1), "");
	await_state(a.id, TASK_SUCCEEDED);
	assert_state(held.id, TASK_HELD);
	assert_state(gone.id, TASK_CANCELLED);
	op_with(task_release, held.id);
	assert_string_equal(await_call(2)->id, held.id);
	answer_ok(&calls[1], "");
	await_state(held.id, TASK_SUCCEEDED);
}

static void a_parent_is_kept_while_a_child_is_not_done(void **state)
{
	struct outcome a = create("t.T/Run"), c = child_of(a.id, NULL, 0), o;

	answer_ok(await_call(1), "");
	await_call(2);
	o = op_with(task_delete, a.id);
	assert_int_equal(o.code, TASK_NOT_ALLOWED);
	assert_non_null(strstr(o.why, c.id));
	answer_ok(&calls[1], "");
	await_state(c.id, TASK_SUCCEEDED);
	assert_int_equal(op_with(task_delete, a.id).code, 0);
}

static bool is_gone(void *arg)
{
	return ((struct outcome *)arg)->code == TASK_GONE;
}

/* The clock forgets what has ended, but not a parent that is still needed. */
static void the_clock_keeps_a_parent_as_well(void **state)
{
	struct errand_task_options brief = {.result_ttl_ns = 20 * NS_PER_MS};
	struct outcome a = make("t.T/Run", &brief), other = make("t.T/Run", &brief), c;
	int64_t end = clock_mono_ns() + 10 * NS_PER_S;

	c = child_of(a.id, NULL, 0);
	answer_ok(await_call(1), "");
	await_call(3);
	answer_ok(&calls[1], ""); /* the other one ends later, and is forgotten first */
	do
		other = get(other.id);
	while (!is_gone(&other) && clock_mono_ns() < end);
	assert_true(is_gone(&other));
	assert_state(a.id, TASK_SUCCEEDED);
	answer_ok(&calls[2], "");
	await_state(c.id, TASK_SUCCEEDED);
}

static void a_restart_forgets_no_edge(void **state)
{
	struct outcome a, c, d;

	if (!is_sqlite)
		return;
	a = later();
	c = child_of(a.id, NULL, 0);
	d = child_of(c.id, NULL, ERRAND_AFTER_RUN);
	restart();
	assert_state(c.id, TASK_BLOCKED);
	op_with(task_cancel, a.id);
	assert_state(c.id, TASK_FAILED);
	assert_string_equal(await_call(1)->id, d.id);
	answer_ok(&calls[0], "");
	await_state(d.id, TASK_SUCCEEDED);
}

/* --- tasks made with a success --- */

static void free_one(struct list *node)
{
	struct enqueued *e = LIST_ENTRY(node, struct enqueued, node);

	task_new_deinit(&e->task);
	free(e);
}

static void add(struct call_tasks *t, const struct errand_task_options *o, char id[UUID_TEXT_SIZE])
{
	struct enqueued *e = xcalloc(1, sizeof *e);
	struct task_spec spec = {.method = registry_method_by_name("t.T/Run")};
	AUTO_BUF packed = BUF_INIT;

	enqueue_pack_options(o, &packed);
	spec.options = buf_bytes(&packed);
	task_new_init(&e->task, &spec);
	uuid_format(&e->task.row.id, id);
	list_push_back(&t->list, &e->node);
	t->n++;
}

static struct call_tasks *to_make(const struct errand_task_options *o, char ids[][UUID_TEXT_SIZE], size_t n)
{
	struct call_tasks *t = xcalloc(1, sizeof *t);

	list_init(&t->list);
	t->free_one = free_one;
	for (size_t i = 0; i < n; i++)
		add(t, o, ids[i]);
	return t;
}

static void a_success_makes_what_its_handler_wanted(void **state)
{
	struct outcome o = create("t.T/Run");
	struct answer a = {0};
	char ids[3][UUID_TEXT_SIZE];

	a.tasks = to_make(NULL, ids, 3);
	answer(await_call(1), &a);
	await_call(4);
	await_state(o.id, TASK_SUCCEEDED);
	/* Those of one microsecond have no order. */
	for (size_t i = 1; i <= 3; i++) {
		assert_true(strcmp(calls[i].id, ids[0]) == 0 || strcmp(calls[i].id, ids[1]) == 0 ||
			    strcmp(calls[i].id, ids[2]) == 0);
		answer_ok(&calls[i], "");
	}
	for (size_t i = 0; i < 3; i++)
		await_state(ids[i], TASK_SUCCEEDED);
}

static void a_failure_makes_nothing(void **state)
{
	struct outcome o = create("t.T/Run");
	struct answer a = {.code = ERRAND_INTERNAL, .final = true, .message = xstrdup("no")};
	char ids[1][UUID_TEXT_SIZE];

	a.tasks = to_make(NULL, ids, 1);
	answer(await_call(1), &a);
	await_state(o.id, TASK_FAILED);
	assert_int_equal(get(ids[0]).code, ERRAND_NOT_FOUND);
}

/* Two of one key: the second one cannot be, so the first one is not either. */
static void what_cannot_be_made_is_no_success(void **state)
{
	struct errand_task_options one = {.unique_key = "only", .delay_ns = HOUR_NS};
	struct outcome o = create("t.T/Run");
	struct answer a = {0};
	char ids[2][UUID_TEXT_SIZE];

	a.tasks = to_make(&one, ids, 2);
	answer(await_call(1), &a);
	o = await_state(o.id, TASK_FAILED);
	assert_int_equal(o.problem_code, ERRAND_ALREADY_EXISTS);
	assert_non_null(strstr(o.detail, "only"));
	assert_string_equal(o.result, "");
	assert_string_equal(history(o.id), "1:QUEUED 2:RUNNING 3:FAILED ");
	assert_int_equal(get(ids[0]).code, ERRAND_NOT_FOUND);
	make("t.T/Run", &one); /* the key is free */
}

static void one_that_is_there_will_do(void **state)
{
	struct errand_task_options one = {.unique_key = "only", .delay_ns = HOUR_NS,
					  .on_conflict = ERRAND_CONFLICT_USE_EXISTING};
	struct outcome o = create("t.T/Run");
	struct answer a = {0};
	char ids[2][UUID_TEXT_SIZE];

	a.tasks = to_make(&one, ids, 2);
	answer(await_call(1), &a);
	await_state(o.id, TASK_SUCCEEDED);
	assert_state(ids[0], TASK_SCHEDULED);
	assert_int_equal(get(ids[1]).code, ERRAND_NOT_FOUND);
}

static void committed(int code, const char *why, void *arg)
{
	assert_int_equal(code, 0);
	*(bool *)arg = true;
}

static void a_call_s_tasks_are_stored_at_once(void **state)
{
	char ids[2][UUID_TEXT_SIZE];
	bool done = false;

	enqueue_commit(to_make(NULL, ids, 2), committed, &done);
	await(is_set, &done);
	await_call(2);
	assert_state(ids[1], TASK_RUNNING);
}

/* A long chain ends in one go, and not on the stack. */
static void a_chain_of_thousands_fails_from_its_head(void **state)
{
	struct outcome head = later(), tail;
	struct call_tasks *chain = to_make(NULL, NULL, 0);
	char id[UUID_TEXT_SIZE];
	const char *const after[] = {id};
	bool done = false;

	strcpy(id, head.id);
	for (int i = 0; i < 1500; i++)
		add(chain, &(struct errand_task_options){.after = after, .n_after = 1}, id);
	enqueue_commit(chain, committed, &done);
	await(is_set, &done);
	assert_state(id, TASK_BLOCKED);
	op_with(task_cancel, head.id);
	tail = get(id);
	assert_int_equal(tail.state, TASK_FAILED);
	assert_non_null(strstr(tail.detail, "ended FAILED"));
	assert_int_equal(n_calls, 0);
}

/* --- checkpoints --- */

static void save(struct errand_call *c, const char *text)
{
	c->p.source->checkpoint(c, (struct bytes){(const uint8_t *)text, strlen(text)}, c->p.arg);
}

static void assert_given(size_t n, const char *text)
{
	struct errand_call *c = await_call(n);

	assert_int_equal(c->checkpoint.len, strlen(text));
	assert_memory_equal(c->checkpoint.data ? c->checkpoint.data : (uint8_t *)"", text, strlen(text));
}

static void the_last_checkpoint_goes_to_the_next_attempt(void **state)
{
	struct outcome o = create("t.T/Run");

	assert_given(1, "");
	save(&calls[0], "one");
	save(&calls[0], "two");
	answer_error(&calls[0], ERRAND_UNAVAILABLE, false);
	assert_given(2, "two");
	answer_error(&calls[1], ERRAND_UNAVAILABLE, false); /* says nothing new */
	assert_given(3, "two");
	answer_ok(&calls[2], "");
	await_state(o.id, TASK_SUCCEEDED);
	op_with(task_retry, o.id);
	assert_given(4, "");
}

static void what_failed_for_good_goes_on_when_it_is_retried(void **state)
{
	struct outcome o = create("t.T/Run");

	save(await_call(1), "here");
	answer_error(&calls[0], ERRAND_INVALID_ARGUMENT, true);
	await_state(o.id, TASK_FAILED);
	op_with(task_retry, o.id);
	assert_given(2, "here");
}

static bool has_checkpoint_stored(void *arg)
{
	return get(arg).version > 2;
}

/* Progress is written with it, so its version tells that the flush is done. */
static void a_checkpoint_outlives_a_crash(void **state)
{
	struct outcome o;

	if (!is_sqlite)
		return;
	o = create("t.T/Run");
	await_call(1);
	save(&calls[0], "before the crash");
	calls[0].p.source->progress(&calls[0], 0.5, NULL, (struct bytes){0}, calls[0].p.arg);
	for (int i = 0; i < 1000 && !has_checkpoint_stored(o.id); i++)
		;
	assert_true(has_checkpoint_stored(o.id));
	restart();
	assert_given(1, "before the crash");
	assert_int_equal(calls[0].p.attempt, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(a_child_waits_for_all_its_parents),
		BOTH(a_child_of_parents_that_ended_runs_at_once),
		BOTH(policies_say_what_a_failed_parent_means),
		BOTH(a_parent_may_have_very_many),
		BOTH(the_total_time_ends_before_the_appointment),
		BOTH(an_unknown_parent_is_refused),
		BOTH(a_chain_of_thousands_fails_from_its_head),
		BOTH(a_diamond_s_foot_ends_once),
		BOTH(a_parent_that_is_run_again_is_not_counted_twice),
		BOTH(a_held_child_stays_held_and_a_cancelled_one_is_forgotten),
		BOTH(a_parent_is_kept_while_a_child_is_not_done),
		BOTH(the_clock_keeps_a_parent_as_well),
		BOTH(a_restart_forgets_no_edge),
		BOTH(a_success_makes_what_its_handler_wanted),
		BOTH(a_failure_makes_nothing),
		BOTH(what_cannot_be_made_is_no_success),
		BOTH(one_that_is_there_will_do),
		BOTH(a_call_s_tasks_are_stored_at_once),
		BOTH(the_last_checkpoint_goes_to_the_next_attempt),
		BOTH(what_failed_for_good_goes_on_when_it_is_retried),
		BOTH(a_checkpoint_outlives_a_crash),
	};

	log_init("test_task_after", LOG_LEVEL_ERROR + (getenv("V") ? 3 : 0));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
