/* test_lease.c: who runs a task, over both kinds of store and a clock that is set: what a
 * foreign owner runs is taken back when his lease is over and not before, and what he
 * writes after that is fenced; our own lease is renewed long before its end. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "task_rig.h"

#include "base/clock.h"
#include "errand/status.h"
#include "service/lease.h"
#include "service/task_clock.h"
#include "service/task_engine.h"

#define START_US 1800000000000000LL
#define FOREIGN 77

struct shop {
	const struct store_ops *ops;
	struct store *s;
	struct uuid id;
	struct task_changes changes;
	char dir[32];
};

static void at(int64_t seconds)
{
	int64_t us = START_US + seconds * 1000000;

	clock_set_fake(us * 1000, us);
}

static void read_task(struct shop *shop, struct task_row *row)
{
	assert_int_equal(shop->ops->get(shop->s, &shop->id, PART_ALL, row), 0);
}

/* A task that `owner` runs. */
static void claim_as(struct shop *shop, uint64_t owner)
{
	struct task_row row = {.method = xstrdup("t.T/Run"), .queue = xstrdup("q"), .parts = PART_ALL};
	struct task_move m = task_move_begin(shop->ops, shop->s, &row, &shop->changes);

	uuid_new(&row.id);
	shop->id = row.id;
	assert_int_equal(task_move_create(&m), 0);
	assert_int_equal(task_move_claim(&m, owner, "there/1"), 0);
	task_row_deinit(&row);
}

static void lease_until(struct shop *shop, int64_t seconds)
{
	struct record r = {.kind = RECORD_OWNER, .due_us = task_clock_us() + seconds * 1000000};

	buf_append(&r.key, (const uint8_t[]){0, 0, 0, 0, 0, 0, 0, FOREIGN}, 8);
	buf_append(&r.data, "there/1", 7);
	assert_int_equal(shop->ops->put_record(shop->s, &r), 0);
	record_deinit(&r);
}

static size_t lost(struct shop *shop)
{
	uint64_t owners[16];
	size_t n = 0;

	assert_int_equal(lease_lost(shop->ops, shop->s, owners, &n), 0);
	if (n > 0)
		assert_int_equal(owners[0], FOREIGN);
	return n;
}

static size_t take_back(struct shop *shop)
{
	size_t n = 0;

	assert_int_equal(task_take_back(shop->ops, shop->s, FOREIGN, false, &shop->changes, 10, &n), 0);
	return n;
}

static void a_lease_that_is_renewed_is_not_lost(void **state)
{
	struct shop *shop = *state;
	struct task_row row = {0};

	claim_as(shop, FOREIGN);
	for (int s = 0; s < 300; s += 10) { /* ten leases long */
		at(s);
		lease_until(shop, LEASE_US / 1000000);
		assert_int_equal(lost(shop), 0);
	}
	read_task(shop, &row);
	assert_int_equal(row.state, TASK_RUNNING);
	assert_int_equal(row.attempt, 1);
	task_row_deinit(&row);
}

static void a_foreign_lease_that_is_over_is_taken_back_once(void **state)
{
	struct shop *shop = *state;
	struct task_row row = {0};

	claim_as(shop, FOREIGN);
	lease_until(shop, 30);
	at(29);
	assert_int_equal(lost(shop), 0);
	at(30);
	assert_int_equal(lost(shop), 1);
	assert_int_equal(take_back(shop), 1);
	assert_int_equal(take_back(shop), 0);
	assert_int_equal(lease_forget(shop->ops, shop->s, FOREIGN), 0);
	assert_int_equal(lost(shop), 0);
	read_task(shop, &row);
	assert_int_equal(row.state, TASK_RETRYING);
	assert_int_equal(row.crash_count, 1);
	assert_int_equal(row.owner, 0);
	task_row_deinit(&row);
}

/* FAULTS 37: the wall clock alone ends no lease and prolongs none. */
static void the_wall_clock_moves_no_lease(void **state)
{
	static const int64_t hours[] = {1, -1, -240};
	struct shop *shop = *state;

	lease_until(shop, 30);
	for (size_t i = 0; i < ARRAY_LEN(hours); i++) {
		clock_set_fake((START_US + 10000000) * 1000, START_US + hours[i] * 3600 * 1000000);
		assert_int_equal(lost(shop), 0);
		clock_set_fake((START_US + 31000000) * 1000, START_US + hours[i] * 3600 * 1000000);
		assert_int_equal(lost(shop), 1);
	}
}

static void our_own_is_renewed_when_it_is_half_over(void **state)
{
	struct shop *shop = *state;
	struct record *rows = NULL;
	int64_t due[3];
	size_t n;

	for (int i = 0; i < 3; i++) {
		at(i * 10);
		assert_int_equal(lease_hold(shop->ops, shop->s), 0);
		assert_int_equal(shop->ops->list_records(shop->s, RECORD_OWNER, (struct bytes){0},
							 (struct bytes){0}, 10, &rows, &n), 0);
		assert_int_equal(n, 1);
		due[i] = rows[0].due_us;
		records_free(rows, n);
	}
	assert_int_equal(due[0] - task_clock_us() + 20000000, LEASE_US);
	assert_int_equal(due[1], due[0]);
	assert_int_equal(due[2], due[0] + 20000000);
	at(3600);
	assert_int_equal(lost(shop), 0); /* we are never lost to ourselves */
}

static struct shop shops[2];

static int open_shop(void **state, struct shop *shop, const struct store_ops *ops)
{
	char why[256], file[64];

	at(0);
	lease_init();
	*shop = (struct shop){.ops = ops, .dir = "/tmp/errand-lease-XXXXXX"};
	assert_non_null(mkdtemp(shop->dir));
	snprintf(file, sizeof file, "%s/tasks.db", shop->dir);
	if (ops->open(file, &shop->s, why, sizeof why) < 0)
		fail_msg("%s", why);
	assert_int_equal(ops->begin(shop->s), 0);
	*state = shop;
	return 0;
}

static int open_memory(void **state)
{
	return open_shop(state, &shops[0], &store_memory);
}

static int open_sqlite(void **state)
{
	return open_shop(state, &shops[1], &store_sqlite);
}

static int close_shop(void **state)
{
	struct shop *shop = *state;
	char command[64];

	task_changes_deinit(&shop->changes);
	shop->ops->rollback(shop->s);
	shop->ops->close(shop->s);
	clock_set_fake(-1, 0);
	snprintf(command, sizeof command, "rm -r '%s'", shop->dir);
	return system(command) == 0 ? 0 : -1;
}

static int64_t stored_steps(struct shop *shop)
{
	struct record r = {0};
	int64_t steps = 0;

	if (shop->ops->get_record(shop->s, RECORD_META, (struct bytes){(const uint8_t *)"clock", 5}, &r) == 0)
		memcpy(&steps, r.data.data, sizeof steps);
	record_deinit(&r);
	return steps;
}

static void a_step_of_the_clock_that_was_undone_is_written_again(void **state)
{
	struct shop *shop = *state;

	assert_int_equal(shop->ops->commit(shop->s), 0);
	clock_set_fake(START_US * 1000, START_US + 3600000000LL);
	assert_int_equal(shop->ops->begin(shop->s), 0);
	assert_int_equal(task_clock_check(shop->ops, shop->s), 0);
	shop->ops->rollback(shop->s);
	assert_int_equal(shop->ops->begin(shop->s), 0);
	assert_int_equal(stored_steps(shop), 0);
	assert_int_equal(task_clock_check(shop->ops, shop->s), 0);
	assert_int_equal(stored_steps(shop), 3600000000LL);
}

#define EACH(fn) \
	{"memory: " #fn, fn, open_memory, close_shop, NULL}, \
	{"sqlite: " #fn, fn, open_sqlite, close_shop, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(a_lease_that_is_renewed_is_not_lost),
		EACH(a_foreign_lease_that_is_over_is_taken_back_once),
		EACH(the_wall_clock_moves_no_lease),
		EACH(our_own_is_renewed_when_it_is_half_over),
		EACH(a_step_of_the_clock_that_was_undone_is_written_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
