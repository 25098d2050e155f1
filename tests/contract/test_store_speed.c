/* test_store_speed.c: what SQLite does for the store must not depend on how many
 * tasks there are: no statement looks at every row or sorts, and the same work costs
 * as many steps of SQLite's machine over twenty thousand rows as over two hundred. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "service/store_sqlite.h"
#include "store_rig.h"

#define FEW 200
#define MANY 20000

/* --- plans --- */

/* Looks at every id, for people who type the end of one. */
static bool may_scan(enum statement which)
{
	return which == S_TAIL;
}

static void check_plan(struct store *s, enum statement which)
{
	sqlite3_stmt *st = sqlite_statement(s, which), *plan = NULL;
	char *sql = NULL;

	assert_non_null(st);
	sql = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sqlite3_sql(st));
	assert_int_equal(sqlite3_prepare_v2(s->db, sql, -1, &plan, NULL), SQLITE_OK);
	while (sqlite3_step(plan) == SQLITE_ROW) {
		const char *detail = (const char *)sqlite3_column_text(plan, 3);

		if (strncmp(detail, "SCAN", 4) == 0 && !may_scan(which))
			fail_msg("%s: %s", sqlite3_sql(st), detail);
		if (strstr(detail, "TEMP B-TREE") != NULL)
			fail_msg("%s sorts: %s", sqlite3_sql(st), detail);
	}
	sqlite3_finalize(plan);
	sqlite3_free(sql);
}

static void test_plans(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < N_STATEMENTS; i++)
		check_plan(f->s, (enum statement)i);
}

/* --- steps --- */

static unsigned n_rows;

/* Half of them queued, half done. */
static void fill(struct fixture *f, unsigned upto)
{
	begin(f);
	for (; n_rows < upto; n_rows++) {
		ROW t = row_of(n_rows);
		struct attempt_row a = {.task = t.id, .number = 1, .outcome = OUTCOME_OK};
		struct event_row e = {.seq = 2, .kind = EVENT_STATE};

		t.state = n_rows % 2 ? TASK_SUCCEEDED : TASK_QUEUED;
		assert_int_equal(f->ops->insert(f->s, &t), 0);
		if (t.state == TASK_QUEUED)
			continue;
		assert_int_equal(f->ops->put_attempt(f->s, &a), 0);
		assert_int_equal(f->ops->add_event(f->s, &t.id, &e), 0);
	}
	commit(f);
}

static void claim(struct fixture *f)
{
	struct task_row rows[8];
	size_t n = 0;

	assert_int_equal(f->ops->claimable(f->s, "default", 8, rows, &n), 0);
	assert_int_equal(n, 8);
	begin(f);
	for (size_t i = 0; i < n; i++) {
		struct attempt_row a = {.task = rows[i].id, .number = 1};
		struct event_row e = {.seq = 2, .kind = EVENT_STATE};

		rows[i].state = TASK_RUNNING;
		assert_int_equal(f->ops->put_attempt(f->s, &a), 0);
		assert_int_equal(f->ops->add_event(f->s, &rows[i].id, &e), 0);
		assert_int_equal(f->ops->update(f->s, &rows[i], 0), 0);
		task_row_deinit(&rows[i]);
	}
	commit(f);
}

static void insert(struct fixture *f)
{
	ROW t = row_of(n_rows++);

	put(f, &t);
}

static void get(struct fixture *f)
{
	ROW t = {0};
	struct uuid id = id_of(n_rows / 2);

	assert_int_equal(f->ops->get(f->s, &id, PART_ALL, &t), 0);
}

static void events(struct fixture *f)
{
	struct uuid id = id_of(n_rows / 2 | 1);
	struct event_row *rows;
	size_t n;

	assert_int_equal(f->ops->events(f->s, &id, 1, 0, 64, &rows, &n), 0);
	assert_int_equal(n, 1);
	event_rows_free(rows, n);
}

static void page_of(struct fixture *f, enum task_state state, bool middle)
{
	struct store_scan scan = {.index = state ? INDEX_STATE : INDEX_ID, .backward = true,
				  .state = state, .limit = 50, .look = 1000, .after_set = middle,
				  .after.id = id_of(n_rows * 3 / 4)};
	struct store_page page;

	assert_int_equal(f->ops->scan(f->s, &scan, &page), 0);
	assert_int_equal(page.n, 50);
	store_page_deinit(&page);
}

static void first_page(struct fixture *f)
{
	page_of(f, 0, false);
}

static void later_page(struct fixture *f)
{
	page_of(f, 0, true);
}

static void page_by_state(struct fixture *f)
{
	page_of(f, TASK_SUCCEEDED, true);
}

static void remove_one(struct fixture *f)
{
	struct uuid id = id_of(n_rows / 2 | 1);

	begin(f);
	assert_int_equal(f->ops->remove(f->s, &id), 0);
	commit(f);
}

static const struct work {
	const char *name;
	void (*run)(struct fixture *f);
} works[] = {
	{"claim of 8", claim},
	{"insert", insert},
	{"get", get},
	{"events", events},
	{"first page", first_page},
	{"later page", later_page},
	{"page by state", page_by_state},
	{"remove", remove_one},
};

/* Of SQLite's machine, by all statements since the last time; rows it passed in a scan
 * are in scannedp. */
static int steps(struct store *s, int *scannedp)
{
	int n = 0;

	*scannedp = 0;
	for (int i = 0; i < N_STATEMENTS; i++) {
		sqlite3_stmt *st = s->statements[i];

		if (st == NULL)
			continue;
		n += sqlite3_stmt_status(st, SQLITE_STMTSTATUS_VM_STEP, 1);
		*scannedp += sqlite3_stmt_status(st, SQLITE_STMTSTATUS_FULLSCAN_STEP, 1);
	}
	return n;
}

static void test_steps(void **state)
{
	struct fixture *f = *state;
	int few[ARRAY_LEN(works)], scanned, n;

	n_rows = 0;
	fill(f, FEW);
	for (size_t i = 0; i < ARRAY_LEN(works); i++) {
		steps(f->s, &scanned);
		works[i].run(f);
		few[i] = steps(f->s, &scanned);
		assert_int_equal(scanned, 0);
	}
	fill(f, MANY);
	for (size_t i = 0; i < ARRAY_LEN(works); i++) {
		steps(f->s, &scanned);
		works[i].run(f);
		n = steps(f->s, &scanned);
		if (n > few[i] * 5 / 4 || scanned > 0)
			fail_msg("%s: %d steps over %d rows, %d over %d; %d rows scanned", works[i].name,
				 n, MANY, few[i], FEW, scanned);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SQLITE(test_plans),
		SQLITE(test_steps),
	};

	return cmocka_run_group_tests_name("what the store does not grow with", tests, NULL, NULL);
}
