/* test_store_memory_fails.c: the Nth allocation SQLite makes fails, for each N of a
 * session of the store: what was committed is there, nothing else is, and the file is
 * sound. (Allocations of errand's own end the process by design: tests/crash does that.) */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "store_rig.h"

#define N_TASKS 6
#define LAST 4000 /* allocations; a session has fewer */

static sqlite3_mem_methods real;
static long left; /* allocations until the one that fails; 0: none */
static bool failed;

static bool is_turn(void)
{
	if (left <= 0 || --left != 0)
		return false;
	failed = true;
	return true;
}

static void *failing_malloc(int size)
{
	return is_turn() ? NULL : real.xMalloc(size);
}

static void *failing_realloc(void *old, int size)
{
	return is_turn() ? NULL : real.xRealloc(old, size);
}

/* One task in a transaction of its own: made, run, ended; true when COMMIT said so. */
static bool one(struct fixture *f, unsigned n)
{
	ROW row = row_of(n);
	struct attempt_row attempt = {.task = row.id, .number = 1, .outcome = OUTCOME_OK, .owner = (char *)"me"};
	struct event_row event = {.seq = 2, .kind = EVENT_STATE, .data = BUF_INIT};
	struct record record = {.kind = RECORD_IDEMPOTENCY};
	int r = f->ops->begin(f->s);

	buf_append(&record.key, row.id.b, sizeof row.id.b);
	if (r == 0)
		r = f->ops->insert(f->s, &row);
	row.state = TASK_SUCCEEDED;
	row.version = 2;
	if (r == 0)
		r = f->ops->put_attempt(f->s, &attempt);
	if (r == 0)
		r = f->ops->add_event(f->s, &row.id, &event);
	if (r == 0)
		r = f->ops->put_record(f->s, &record);
	if (r == 0)
		r = f->ops->update(f->s, &row, 0);
	if (r == 0)
		r = f->ops->commit(f->s);
	if (r < 0)
		f->ops->rollback(f->s);
	record_deinit(&record);
	return r == 0;
}

/* Which were acknowledged, as bits. */
static unsigned session(struct fixture *f)
{
	unsigned acked = 0;

	for (unsigned n = 1; n <= N_TASKS; n++)
		acked |= one(f, n) ? 1u << n : 0;
	if (f->ops->tidy != NULL)
		f->ops->tidy(f->s);
	return acked;
}

static void look(struct fixture *f, unsigned acked, long at)
{
	for (unsigned n = 1; n <= N_TASKS; n++) {
		ROW row = {0};
		struct uuid id = id_of(n);
		struct event_row *events = NULL;
		size_t n_events = 0;
		int r = f->ops->get(f->s, &id, PART_ALL, &row);

		if (acked & 1u << n && (r != 0 || row.state != TASK_SUCCEEDED))
			fail_msg("allocation %ld: task %u was acknowledged, and is not there (%d)", at, n, r);
		assert_int_equal(f->ops->events(f->s, &id, 0, 0, 10, &events, &n_events), 0);
		if (n_events != (r == 0))
			fail_msg("allocation %ld: task %u is there in part", at, n);
		event_rows_free(events, n_events);
	}
}

static void assert_sound(const char *file)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;

	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
	sqlite3_finalize(st);
	sqlite3_close(db);
}

static bool fail_at(long at)
{
	struct fixture *f = fixture_new(&store_sqlite);
	void *state = f;
	unsigned acked;
	bool reached;

	open_store(f);
	failed = false;
	left = at;
	acked = session(f);
	reached = failed;
	left = 0;
	if (!one(f, N_TASKS + 1))
		fail_msg("allocation %ld: the store does not work again", at);
	look(f, acked, at);
	close_store(f);
	open_store(f);
	look(f, acked, at);
	close_store(f);
	assert_sound(f->file);
	teardown(&state);
	return reached;
}

static void nth_allocation_fails(void **state)
{
	long step = getenv("ERRAND_EVERY_WRITE") != NULL ? 1 : 23;
	long at = 1;

	while (at < LAST && fail_at(at))
		at += step;
	assert_in_range(at, 50, LAST - 1); /* the last N was not reached: all were */
}

static void opening_fails(void **state)
{
	for (long at = 1; at < LAST; at += 61) {
		struct fixture *f = fixture_new(&store_sqlite);
		void *arg = f;

		failed = false;
		left = at;
		if (f->ops->open(f->file, &f->s, f->why, sizeof f->why) < 0)
			assert_true(f->why[0] != 0);
		else
			close_store(f);
		left = 0;
		f->s = NULL;
		open_store(f);
		teardown(&arg);
		if (!failed)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nth_allocation_fails),
		cmocka_unit_test(opening_fails),
	};
	sqlite3_mem_methods methods;

	sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real);
	methods = real;
	methods.xMalloc = failing_malloc;
	methods.xRealloc = failing_realloc;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
