/* test_store_upgrade.c: files of older schemas, made by the SQL they were made with, opened
 * by the store of today: rows of every state as they were, and killed or failed at any
 * write on the way: the old file or the new one, whole, never between. */
#define _GNU_SOURCE
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "store_rig.h"

#include "base/log.h"
#include "errand/status.h"
#include "faultvfs.h"
#include "service/store_check.h"

#define STATES 7 /* of version 1 */
#define TTL (7 * 24 * 3600 * 1000000LL) /* what version 2 gives tasks of before */

/* Version 1, as errand 0.1.0 made it. */
static const char version_1[] =
	"PRAGMA journal_mode = WAL;"
	"BEGIN IMMEDIATE;"
	"CREATE TABLE task ("
	" id BLOB NOT NULL PRIMARY KEY, method TEXT NOT NULL, queue TEXT NOT NULL,"
	" state INTEGER NOT NULL, priority INTEGER NOT NULL, version INTEGER NOT NULL,"
	" attempt INTEGER NOT NULL, failures INTEGER NOT NULL, crash_count INTEGER NOT NULL,"
	" create_us INTEGER NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,"
	" run_at_us INTEGER NOT NULL, progress REAL NOT NULL, progress_message TEXT,"
	" cancel_asked INTEGER NOT NULL, log_bytes INTEGER NOT NULL,"
	" log_dropped INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX task_claim ON task (queue, priority DESC, run_at_us) WHERE state = 1;"
	"CREATE INDEX task_retry ON task (queue, run_at_us) WHERE state = 3;"
	"CREATE INDEX task_state ON task (state, id);"
	"CREATE TABLE task_data (task BLOB NOT NULL, part INTEGER NOT NULL, data BLOB NOT NULL,"
	" PRIMARY KEY (task, part)) WITHOUT ROWID;"
	"CREATE TABLE attempt (task BLOB NOT NULL, number INTEGER NOT NULL,"
	" outcome INTEGER NOT NULL, start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,"
	" exit_status INTEGER NOT NULL, signal INTEGER NOT NULL, error BLOB, owner TEXT,"
	" PRIMARY KEY (task, number)) WITHOUT ROWID;"
	"CREATE TABLE event (task BLOB NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" time_us INTEGER NOT NULL, data BLOB, PRIMARY KEY (task, seq)) WITHOUT ROWID;"
	"PRAGMA application_id = 0x65727264; PRAGMA user_version = 1; COMMIT;";

/* Version 2 of that, which kept nothing of what programs had used. */
static const char version_2[] =
	"BEGIN IMMEDIATE;"
	"ALTER TABLE task RENAME COLUMN cancel_asked TO flags;"
	"ALTER TABLE task ADD COLUMN start_by_us INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN finish_by_us INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN ttl_us INTEGER NOT NULL DEFAULT 604800000000;"
	"ALTER TABLE task ADD COLUMN wake_us INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN wake_wall INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN reason INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN blockers INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN owner INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE task ADD COLUMN schedule TEXT;"
	"DROP INDEX task_retry;"
	"UPDATE task SET wake_us = run_at_us, flags = flags | 4 WHERE state = 3;"
	"UPDATE task SET wake_us = end_us + ttl_us WHERE state IN (5, 6, 7);"
	"CREATE INDEX task_wake ON task (wake_wall, wake_us) WHERE wake_us > 0 AND end_us = 0;"
	"CREATE INDEX task_forget ON task (wake_us) WHERE wake_us > 0 AND end_us > 0;"
	"CREATE INDEX task_run_at ON task (run_at_us) WHERE state IN (3, 8);"
	"CREATE INDEX task_end ON task (end_us) WHERE end_us > 0;"
	"CREATE TABLE record (kind INTEGER NOT NULL, key BLOB NOT NULL, due_us INTEGER NOT NULL,"
	" data BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID;"
	"CREATE INDEX record_due ON record (kind, due_us) WHERE due_us > 0;"
	"PRAGMA user_version = 2; COMMIT;";

/* Version 3 of that: of a task's two rows for input and metadata version 4 makes one. */
static const char version_3[] =
	"BEGIN IMMEDIATE; ALTER TABLE attempt ADD COLUMN usage BLOB; PRAGMA user_version = 3; COMMIT;";

static void run_sql(sqlite3 *db, const char *sql)
{
	char *why = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %.200s", why, sql);
}

static const char *hex_id(unsigned n, char out[33])
{
	struct uuid id = id_of(n);

	for (size_t i = 0; i < sizeof id.b; i++)
		sprintf(out + 2 * i, "%02x", id.b[i]);
	return out;
}

static bool ended(unsigned state)
{
	return state >= TASK_SUCCEEDED;
}

static bool is_running(unsigned state)
{
	return state == TASK_RUNNING || state == TASK_CANCELLING;
}

/* The task n of this state, with what such a task has: version 2 after its one event,
 * or 1 while nothing has happened to it. */
static void put_old_task(sqlite3 *db, unsigned n, unsigned state)
{
	char id[33];
	AUTO_FREE char *sql = NULL;
	bool begun = state != TASK_QUEUED;

	hex_id(n, id);
	sql = xasprintf("INSERT INTO task VALUES (x'%s', 'pkg.S/M', 'q%u', %u, %u, %u, %u, %u, 1, %u, %u,"
			" %u, %u, 0.5, 'half', %u, 70, 7);"
			"INSERT INTO task_data VALUES (x'%s', 1, x'696e707574'), (x'%s', 8, x'6d657461')",
			id, state, state, n % 5, begun ? 2 : 1, begun, state == TASK_RETRYING, 1000 + n,
			begun ? 2000 + n : 0, ended(state) ? 3000 + n : 0, 1000 + n,
			state == TASK_CANCELLING, id, id);
	run_sql(db, sql);
	if (!begun)
		return;
	free(sql);
	sql = xasprintf("INSERT INTO attempt VALUES (x'%s', 1, %u, 5, %u, 0, 0, %s, 'host/12');"
			"INSERT INTO event VALUES (x'%s', 2, 1, 9, x'28%02x3001')",
			id, is_running(state) ? 0 : state == TASK_SUCCEEDED ? 1 : 2, is_running(state) ? 0 : 6,
			state == TASK_FAILED ? "x'70'" : "NULL", id, state);
	run_sql(db, sql);
	if (state == TASK_SUCCEEDED || state == TASK_FAILED) {
		free(sql);
		sql = xasprintf("INSERT INTO task_data VALUES (x'%s', %u, x'64617461')", id,
				state == TASK_SUCCEEDED ? PART_RESULT : PART_ERROR);
		run_sql(db, sql);
	}
}

/* n tasks of each state; a log is left beside the file or not. */
static void make_old_file(struct fixture *f, int version, unsigned n, bool log)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->file, &db), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, log, NULL);
	run_sql(db, "PRAGMA locking_mode = EXCLUSIVE");
	run_sql(db, version_1);
	run_sql(db, "BEGIN");
	for (unsigned i = 0; i < n * STATES; i++)
		put_old_task(db, i + 1, i % STATES + 1);
	run_sql(db, "COMMIT");
	if (version >= 2)
		run_sql(db, version_2);
	if (version >= 3)
		run_sql(db, version_3);
	sqlite3_close(db);
}

static void remove_files(struct fixture *f)
{
	static const char *const ends[] = {"", "-wal", "-journal", "-shm", ".lock"};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		AUTO_FREE char *path = xasprintf("%s%s", f->file, ends[i]);

		unlink(path);
	}
}

/* --- what must have come through --- */

static void assert_attempts(struct fixture *f, const struct uuid *id, unsigned state)
{
	struct attempt_row *rows;
	size_t n;

	assert_int_equal(f->ops->attempts(f->s, id, &rows, &n), 0);
	assert_int_equal(n, state != TASK_QUEUED);
	if (n > 0) {
		assert_int_equal(rows[0].number, 1);
		assert_int_equal(rows[0].outcome == OUTCOME_NONE, is_running(state));
		assert_string_equal(rows[0].owner, "host/12");
		assert_int_equal(rows[0].error.len, state == TASK_FAILED);
		assert_int_equal(rows[0].usage.len, 0);
	}
	attempt_rows_free(rows, n);
}

static void assert_events(struct fixture *f, const struct uuid *id, unsigned state)
{
	struct event_row *rows;
	size_t n;
	uint8_t data[] = {0x28, (uint8_t)state, 0x30, 1};

	assert_int_equal(f->ops->events(f->s, id, 0, 0, 10, &rows, &n), 0);
	assert_int_equal(n, state != TASK_QUEUED);
	if (n > 0) {
		assert_true(rows[0].seq == 2 && rows[0].kind == EVENT_STATE && rows[0].time_us == 9);
		assert_int_equal(rows[0].data.len, sizeof data);
		assert_memory_equal(rows[0].data.data, data, sizeof data);
	}
	event_rows_free(rows, n);
}

static void assert_task(struct fixture *f, unsigned n, unsigned state)
{
	struct uuid id = id_of(n);
	ROW t = {0};
	char queue[8];
	bool begun = state != TASK_QUEUED;

	snprintf(queue, sizeof queue, "q%u", state);
	assert_int_equal(f->ops->get(f->s, &id, PART_ALL, &t), 0);
	assert_string_equal(t.method, "pkg.S/M");
	assert_string_equal(t.queue, queue);
	assert_int_equal(t.state, state);
	assert_int_equal(t.priority, n % 5);
	assert_int_equal(t.version, begun ? 2 : 1);
	assert_true(t.attempt == begun && t.failures == (state == TASK_RETRYING) && t.crash_count == 1);
	assert_true(t.create_us == 1000 + n && t.start_us == (begun ? 2000 + n : 0) &&
		    t.end_us == (ended(state) ? 3000 + n : 0));
	assert_true(t.progress == 0.5 && t.log_bytes == 70 && t.log_dropped == 7);
	assert_string_equal(t.progress_message, "half");
	assert_int_equal(t.flags, state == TASK_CANCELLING ? TASK_CANCEL_ASKED :
			 state == TASK_RETRYING ? TASK_BACKING_OFF : 0);
	assert_int_equal(t.wake_us, state == TASK_RETRYING ? 1000 + n : ended(state) ? 3000 + n + TTL : 0);
	assert_true(t.ttl_us == TTL && !t.wake_wall && t.blockers == 0 && t.owner == 0 && t.schedule == NULL);
	assert_buf(&t.input, "input");
	assert_buf(&t.metadata, "meta");
	assert_buf(&t.result, state == TASK_SUCCEEDED ? "data" : "");
	assert_buf(&t.error, state == TASK_FAILED ? "data" : "");
	assert_attempts(f, &id, state);
	assert_events(f, &id, state);
}

static void assert_sound(struct fixture *f)
{
	struct store_report report;

	if (store_check_file(f->file, &report, f->why, sizeof f->why) != 0)
		fail_msg("%s", f->why);
	if (report.n > 0)
		fail_msg("after the upgrade: %s", report.faults[0]);
	store_report_deinit(&report);
}

/* Opened, all there, of use, and sound. */
static void assert_upgraded(struct fixture *f, unsigned n)
{
	struct store_stat stat;
	uint64_t count;

	open_store(f);
	for (unsigned i = 0; i < n * STATES; i++)
		assert_task(f, i + 1, i % STATES + 1);
	for (unsigned state = 1; state <= STATES; state++) {
		char queue[8];

		snprintf(queue, sizeof queue, "q%u", state);
		assert_int_equal(f->ops->count(f->s, queue, (enum task_state)state, &count), 0);
		assert_int_equal(count, n);
	}
	assert_int_equal(f->ops->stat(f->s, &stat), 0);
	assert_true(stat.version >= 1);
	free(stat.path);
	put_in(f, 5000, "new", TASK_QUEUED, 0, 1);
	assert_string_equal(claim_list(f, "new", 10), "136 ");
	close_store(f);
	assert_sound(f);
}

static void an_old_file_is_brought_up_to_date(void **state)
{
	struct fixture *f = *state;

	for (int version = 1; version <= 3; version++)
		for (int log = 0; log < 2; log++) {
			make_old_file(f, version, 20, log);
			assert_upgraded(f, 20);
			remove_files(f);
		}
}

/* Else a task would run with an input that nobody gave. */
static void a_damaged_input_is_told(void **state)
{
	static const char *const damaged[] = {"x''", "x'ff'", "x'7f6d'", "x'05696e7075'"};
	struct fixture *f = *state;
	struct uuid id = id_of(1);

	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		AUTO_FREE char *sql = xasprintf("UPDATE task_data SET data = %s WHERE part = %d", damaged[i],
						PARTS_OF_BIRTH);
		ROW t = {0};
		sqlite3 *db;

		open_store(f);
		put_in(f, 1, "q", TASK_QUEUED, 0, 1);
		close_store(f);
		assert_int_equal(sqlite3_open(f->file, &db), SQLITE_OK);
		run_sql(db, sql);
		assert_int_equal(sqlite3_changes(db), 1);
		sqlite3_close(db);
		open_store(f);
		assert_int_equal(f->ops->get(f->s, &id, PART_ALL, &t), -ERRAND_DATA_LOSS);
		assert_non_null(strstr(f->ops->error(f->s), "damaged"));
		assert_int_equal(f->ops->get(f->s, &id, PART_RESULT, &t), 0);
		close_store(f);
		remove_files(f);
	}
}

/* --- on the way --- */

static long writes_of_an_upgrade(struct fixture *f, int from)
{
	long n;

	make_old_file(f, from, 20, false);
	faultvfs_reset();
	open_store(f);
	n = faultvfs_count(FVFS_ALL);
	close_store(f);
	remove_files(f);
	return n;
}

/* In the child: dies in the middle of the nth change. */
static bool is_killed_at(struct fixture *f, long n)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		faultvfs_reset();
		faultvfs_arm(FVFS_ALL, n, 1, FVFS_KILL);
		_exit(f->ops->open(f->file, &f->s, f->why, sizeof f->why) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

/* Without looking at more than the file itself. */
static int schema_on_disk(struct fixture *f)
{
	sqlite3_stmt *st = NULL;
	sqlite3 *db;
	int version = -1;

	assert_int_equal(sqlite3_open(f->file, &db), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	run_sql(db, "PRAGMA locking_mode = EXCLUSIVE");
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT user_version, (SELECT count(*) FROM task) FROM"
					    " pragma_user_version", -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	version = sqlite3_column_int(st, 0);
	assert_int_equal(sqlite3_column_int(st, 1), 20 * STATES);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return version;
}

static void killed_from(struct fixture *f, int from)
{
	bool killed = true;
	int was = from, version;

	for (long n = 1; killed; n++) {
		remove_files(f);
		make_old_file(f, from, 20, n % 2);
		faultvfs_reset();
		killed = is_killed_at(f, n);
		version = schema_on_disk(f);
		assert_true(version >= from);
		was = MAX(was, version);
		assert_upgraded(f, 20);
	}
	faultvfs_reset();
	remove_files(f);
	make_old_file(f, from, 20, false);
	open_store(f); /* the newest is what the last of them had */
	close_store(f);
	assert_int_equal(schema_on_disk(f), was);
	assert_true(was > from);
	remove_files(f);
}

static void killed_at_every_write_it_is_old_or_new(void **state)
{
	killed_from(*state, 1);
	killed_from(*state, 2);
	killed_from(*state, 3);
}

static void failed_from(struct fixture *f, int from)
{
	enum faultvfs_action actions[] = {FVFS_EIO, FVFS_FULL};
	long n_writes = writes_of_an_upgrade(f, from);

	for (long n = 1; n <= n_writes; n++) {
		make_old_file(f, from, 20, false);
		faultvfs_reset();
		faultvfs_arm(FVFS_ALL, n, 0, actions[n % 2]);
		if (f->ops->open(f->file, &f->s, f->why, sizeof f->why) == 0)
			close_store(f);
		faultvfs_reset();
		assert_true(schema_on_disk(f) >= from);
		assert_upgraded(f, 20);
		remove_files(f);
	}
}

static void failed_at_every_write_it_is_whole(void **state)
{
	failed_from(*state, 1);
	failed_from(*state, 2);
	failed_from(*state, 3);
}

static int no_open(void **state)
{
	*state = fixture_new(&store_sqlite);
	return 0;
}

#define UPGRADE(fn) {#fn, fn, no_open, teardown, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		UPGRADE(an_old_file_is_brought_up_to_date),
		UPGRADE(a_damaged_input_is_told),
		UPGRADE(killed_at_every_write_it_is_old_or_new),
		UPGRADE(failed_at_every_write_it_is_whole),
	};

	log_init("test_store_upgrade", (enum log_level)-1);
	faultvfs_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
