/* store_sqlite_open.c: the SQLite store's file, schema, statements, transactions
 * and errors. Store thread. */
#include "service/store_sqlite.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "service/fault.h"

#define SCHEMA_VERSION ((int)ARRAY_LEN(upgrades))
#define LOG_PAGES_MAX 1000           /* of the write-ahead log before a checkpoint */
#define CHECK_SIZE (4LL << 20)       /* files up to this are checked at each start */
#define CHECK_UNCLEAN_SIZE (64LL << 20) /* and up to this when not closed */

/* upgrades[n] takes a file from schema version n to n + 1. */
static const char *const upgrades[] = {
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
	" time_us INTEGER NOT NULL, data BLOB, PRIMARY KEY (task, seq)) WITHOUT ROWID;",

	/* 2: tasks that wait for more than their retry; records. cancel_asked becomes a flag
	 * (1); ended tasks are forgotten a week after their end. */
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
	"CREATE INDEX record_due ON record (kind, due_us) WHERE due_us > 0;",

	/* 3: what an attempt's program has used; older ones have not kept it. */
	"ALTER TABLE attempt ADD COLUMN usage BLOB;",

	/* 4: input and metadata of a new task are one row of task_data; older tasks keep two. */
	"",
};

#define HOT "id, method, queue, state, priority, version, attempt, failures, crash_count," \
	" create_us, start_us, end_us, run_at_us, progress, progress_message, flags," \
	" log_bytes, log_dropped, start_by_us, finish_by_us, ttl_us, wake_us, wake_wall," \
	" reason, blockers, owner, schedule"
/* One that runs has no wake_us, and those that have ended have an end. (By their states,
 * `IN (...)`, every change of a row would build four lists to look them up.) */
#define WAITS " wake_us > 0 AND end_us = 0"
#define ENDED " wake_us > 0 AND end_us > 0"

/* The partial indexes' conditions are written out: a bound value would hide them. */
static const char *const sql[N_STATEMENTS] = {
	[S_BEGIN] = "BEGIN IMMEDIATE",
	[S_COMMIT] = "COMMIT",
	[S_ROLLBACK] = "ROLLBACK",
	[S_INSERT] = "INSERT INTO task (" HOT ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
		"?,?,?,?,?,?,?,?,?)",
	[S_GET] = "SELECT " HOT " FROM task WHERE id = ?",
	[S_UPDATE] = "UPDATE task SET state=?4, priority=?5, version=?6, attempt=?7, failures=?8,"
		" crash_count=?9, start_us=?11, end_us=?12, run_at_us=?13, progress=?14,"
		" progress_message=?15, flags=?16, log_bytes=?17, log_dropped=?18, start_by_us=?19,"
		" finish_by_us=?20, ttl_us=?21, wake_us=?22, wake_wall=?23, reason=?24, blockers=?25,"
		" owner=?26 WHERE id=?1",
	[S_REMOVE] = "DELETE FROM task WHERE id = ?",
	[S_REMOVE_DATA] = "DELETE FROM task_data WHERE task = ?",
	[S_REMOVE_ATTEMPTS] = "DELETE FROM attempt WHERE task = ?",
	[S_REMOVE_EVENTS] = "DELETE FROM event WHERE task = ?",
	[S_PUT_DATA] = "INSERT OR REPLACE INTO task_data (task, part, data) VALUES (?,?,?)",
	[S_DROP_DATA] = "DELETE FROM task_data WHERE task = ? AND part = ?",
	[S_GET_DATA] = "SELECT part, data FROM task_data WHERE task = ?",
	[S_TAIL] = "SELECT id FROM task INDEXED BY task_state WHERE substr(id, ?1) = ?2",
	[S_CLAIMABLE] = "SELECT " HOT " FROM task INDEXED BY task_claim WHERE state = 1 AND"
		" queue = ? ORDER BY priority DESC, run_at_us, id LIMIT ?",
	[S_WAKING] = "SELECT " HOT " FROM task INDEXED BY task_wake WHERE" WAITS
		" AND wake_wall = ? AND wake_us <= ? ORDER BY wake_us LIMIT ?",
	[S_NEXT_WAKE] = "SELECT min(wake_us) FROM task INDEXED BY task_wake WHERE" WAITS
		" AND wake_wall = ?",
	[S_FORGETTABLE] = "SELECT " HOT " FROM task INDEXED BY task_forget WHERE" ENDED
		" AND wake_us <= ? ORDER BY wake_us LIMIT ?",
	[S_NEXT_FORGET] = "SELECT min(wake_us) FROM task INDEXED BY task_forget WHERE" ENDED,
	[S_OWNED] = "SELECT " HOT " FROM task INDEXED BY task_state WHERE state IN (2, 4)"
		" AND (owner = ?1) <> ?2 LIMIT ?3",
	[S_QUEUES] = "SELECT min(queue) FROM task INDEXED BY task_claim WHERE state = 1 AND"
		" queue > ?",
	[S_SCAN_ID] = "SELECT " HOT " FROM task WHERE id > ?1 ORDER BY id",
	[S_SCAN_ID_BACK] = "SELECT " HOT " FROM task WHERE id < ?1 ORDER BY id DESC",
	[S_SCAN_STATE] = "SELECT " HOT " FROM task INDEXED BY task_state WHERE id > ?1 AND"
		" state = ?2 ORDER BY id",
	[S_SCAN_STATE_BACK] = "SELECT " HOT " FROM task INDEXED BY task_state WHERE id < ?1 AND"
		" state = ?2 ORDER BY id DESC",
	/* the rest of a priority, then the others */
	[S_SCAN_TURN] = "SELECT " HOT " FROM task INDEXED BY task_claim WHERE state = 1 AND"
		" queue = ?2 AND priority = ?3 AND (run_at_us, id) > (?4, ?1) ORDER BY run_at_us, id",
	[S_SCAN_TURN_REST] = "SELECT " HOT " FROM task INDEXED BY task_claim WHERE state = 1 AND"
		" queue = ?2 AND priority < ?3 ORDER BY priority DESC, run_at_us, id",
	[S_SCAN_TURN_BACK] = "SELECT " HOT " FROM task INDEXED BY task_claim WHERE state = 1 AND"
		" queue = ?2 AND priority = ?3 AND (run_at_us, id) < (?4, ?1)"
		" ORDER BY run_at_us DESC, id DESC",
	[S_SCAN_TURN_BACK_REST] = "SELECT " HOT " FROM task INDEXED BY task_claim WHERE state = 1 AND"
		" queue = ?2 AND priority > ?3 ORDER BY priority, run_at_us DESC, id DESC",
	[S_SCAN_RUN_AT] = "SELECT " HOT " FROM task INDEXED BY task_run_at WHERE state IN (3, 8) AND"
		" (run_at_us, id) > (?2, ?1) ORDER BY run_at_us, id",
	[S_SCAN_RUN_AT_BACK] = "SELECT " HOT " FROM task INDEXED BY task_run_at WHERE"
		" state IN (3, 8) AND (run_at_us, id) < (?2, ?1) ORDER BY run_at_us DESC, id DESC",
	[S_SCAN_END] = "SELECT " HOT " FROM task INDEXED BY task_end WHERE end_us > 0 AND"
		" (end_us, id) > (?2, ?1) ORDER BY end_us, id",
	[S_SCAN_END_BACK] = "SELECT " HOT " FROM task INDEXED BY task_end WHERE end_us > 0"
		" AND (end_us, id) < (?2, ?1) ORDER BY end_us DESC, id DESC",
	[S_COUNT] = "SELECT count(*) FROM task INDEXED BY task_state WHERE queue = ? AND state = ?",
	[S_COUNT_QUEUED] = "SELECT count(*) FROM task INDEXED BY task_claim WHERE queue = ? AND"
		" state = 1",
	[S_OLDEST] = "SELECT priority, run_at_us FROM task INDEXED BY task_claim WHERE state = 1"
		" AND queue = ? AND priority < ? ORDER BY priority DESC, run_at_us LIMIT 1",
	[S_PUT_ATTEMPT] = "INSERT OR REPLACE INTO attempt (task, number, outcome, start_us, end_us,"
		" exit_status, signal, error, owner, usage) VALUES (?,?,?,?,?,?,?,?,?,?)",
	[S_ATTEMPTS] = "SELECT number, outcome, start_us, end_us, exit_status, signal, error, owner, usage"
		" FROM attempt WHERE task = ? ORDER BY number",
	[S_ADD_EVENT] = "INSERT INTO event (task, seq, kind, time_us, data) VALUES (?,?,?,?,?)",
	[S_DROP_PROGRESS] = "DELETE FROM event WHERE task = ?1 AND kind = 2 AND seq ="
		" (SELECT max(seq) FROM event WHERE task = ?1 AND kind = 2)",
	[S_EVENTS] = "SELECT seq, kind, time_us, data FROM event WHERE task = ?1 AND seq > ?2 AND"
		" (?3 = 0 OR kind = ?3) ORDER BY seq LIMIT ?4",
	[S_PUT_RECORD] = "INSERT OR REPLACE INTO record (kind, key, due_us, data) VALUES (?,?,?,?)",
	[S_GET_RECORD] = "SELECT key, due_us, data FROM record WHERE kind = ? AND key = ?",
	[S_REMOVE_RECORD] = "DELETE FROM record WHERE kind = ? AND key = ?",
	[S_LIST_RECORDS] = "SELECT key, due_us, data FROM record WHERE kind = ?1 AND key > ?2 AND"
		" key >= ?3 AND (?4 IS NULL OR key < ?4) ORDER BY key LIMIT ?5",
	[S_DUE_RECORDS] = "SELECT key, due_us, data FROM record INDEXED BY record_due WHERE kind = ?"
		" AND due_us > 0 AND due_us <= ? ORDER BY due_us LIMIT ?",
	[S_NEXT_RECORD] = "SELECT min(due_us) FROM record INDEXED BY record_due WHERE kind = ? AND"
		" due_us > 0",
	[S_COUNT_RECORDS] = "SELECT count(*) FROM record WHERE kind = ?",
};

/* --- errors and statements --- */

/* SQLite knows ENOSPC of a write only; quota, file size limit and what comes out
 * at an fsync are told by errno. */
static bool disk_is_full(int rc, int err)
{
	rc &= 0xff;
	return rc == SQLITE_FULL ||
	       (rc == SQLITE_IOERR && (err == ENOSPC || err == EDQUOT || err == EFBIG));
}

static bool is_sync(int rc)
{
	return rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC;
}

int sqlite_failed(struct store *s, int rc)
{
	int err = errno, last = sqlite3_extended_errcode(s->db);

	rc = (last & 0xff) == (rc & 0xff) ? last : rc;
	if (disk_is_full(rc, err)) {
		snprintf(s->why, sizeof s->why, "store %s: the disk is full", s->file.path);
		return -ERRAND_RESOURCE_EXHAUSTED;
	}
	snprintf(s->why, sizeof s->why, "store %s: %s", s->file.path, sqlite3_errmsg(s->db));
	if (is_sync(rc) && !s->sync_failed) {
		s->sync_failed = true;
		log_error("store: fsync failed; nothing is accepted any more: check the disk, then "
			  "restart", "file=%s error=%s", s->file.path, strerror(err));
	}
	rc &= 0xff;
	return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB ? -ERRAND_DATA_LOSS : -ERRAND_UNAVAILABLE;
}

/* errno as the step leaves it: nothing of before. */
static int step(sqlite3_stmt *st)
{
	errno = 0;
	return st == NULL ? SQLITE_ERROR : sqlite3_step(st);
}

sqlite3_stmt *sqlite_statement(struct store *s, enum statement which)
{
	sqlite3_stmt **st = &s->statements[which];

	if (*st == NULL)
		sqlite3_prepare_v3(s->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
	return *st;
}

int sqlite_run(struct store *s, sqlite3_stmt *st)
{
	int rc, code;

	fault_point("statement", NULL);
	rc = step(st);
	code = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : sqlite_failed(s, rc);
	sqlite3_reset(st);
	return code;
}

int sqlite_next(struct store *s, sqlite3_stmt *st)
{
	int rc = step(st);
	int code;

	if (rc == SQLITE_ROW)
		return 1;
	code = rc == SQLITE_DONE ? 0 : sqlite_failed(s, rc);
	sqlite3_reset(st);
	return code;
}

/* --- opening --- */

static int refuse(struct store *s, char *why, size_t size, int code, const char *text)
{
	snprintf(why, size, "store %s: %s", s->file.path, text);
	return -code;
}

static int exec(struct store *s, const char *text, char *why, size_t size)
{
	int rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		return 0;
	if ((rc & 0xff) == SQLITE_BUSY)
		return refuse(s, why, size, ERRAND_UNAVAILABLE, "locked by another program; close it");
	rc = sqlite_failed(s, rc);
	snprintf(why, size, "%s%s", s->why, rc != -ERRAND_DATA_LOSS ? "" :
		 "; the file was not changed: see errand-service --check-store, move it aside and "
		 "restore a copy, or see what `sqlite3 FILE .recover` can save");
	return rc;
}

int64_t sqlite_pragma(struct store *s, const char *text)
{
	sqlite3_stmt *st = NULL;
	int64_t value = -1;

	if (sqlite3_prepare_v2(s->db, text, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		value = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return value;
}

int sqlite_schema_version(void)
{
	return SCHEMA_VERSION;
}

/* Whose is it? Asked before anything is written. */
static int check_owner(struct store *s, char *why, size_t size)
{
	int64_t id, version, tables;
	char text[160];
	int r = exec(s, "SELECT count(*) FROM sqlite_schema", why, size);

	if (r < 0)
		return r;
	id = sqlite_pragma(s, "PRAGMA application_id");
	version = sqlite_pragma(s, "PRAGMA user_version");
	tables = sqlite_pragma(s, "SELECT count(*) FROM sqlite_schema");
	if (id != SQLITE_APPLICATION_ID && (id != 0 || version != 0 || tables != 0))
		return refuse(s, why, size, ERRAND_FAILED_PRECONDITION,
			      "a database of another program; it was not touched: name another file");
	if (version <= SCHEMA_VERSION)
		return 0;
	snprintf(text, sizeof text, "written by a newer errand (schema %lld, this one knows %d); "
		 "it was not touched: upgrade errand", (long long)version, SCHEMA_VERSION);
	return refuse(s, why, size, ERRAND_FAILED_PRECONDITION, text);
}

static int check_content(struct store *s, char *why, size_t size)
{
	sqlite3_stmt *st = NULL;
	const char *said = NULL;
	int code = 0;

	if (s->file.size > (s->file.unclean ? CHECK_UNCLEAN_SIZE : CHECK_SIZE))
		return 0;
	if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		said = (const char *)sqlite3_column_text(st, 0);
	if (said == NULL && sqlite3_errcode(s->db) == SQLITE_NOMEM)
		code = refuse(s, why, size, ERRAND_UNAVAILABLE, "there is no memory to check it");
	else if (said == NULL || strcmp(said, "ok") != 0)
		code = refuse(s, why, size, ERRAND_DATA_LOSS, "damaged (PRAGMA quick_check); it was not "
			      "changed: see errand-service --check-store, move it aside and restore a "
			      "copy, or see what `sqlite3 FILE .recover` can save");
	sqlite3_finalize(st);
	return code;
}

/* Each step and its number are one transaction: old or new, never between. */
static int upgrade(struct store *s, char *why, size_t size)
{
	int version = (int)sqlite_pragma(s, "PRAGMA user_version");

	if (version < 0) /* it could not be read: no memory, no disk */
		return refuse(s, why, size, ERRAND_UNAVAILABLE, sqlite3_errmsg(s->db));
	for (int r; version < SCHEMA_VERSION; version++) {
		AUTO_FREE char *step = xasprintf(
			"BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
			upgrades[version], SQLITE_APPLICATION_ID, version + 1);

		fault_point("upgrade", NULL);
		r = exec(s, step, why, size);
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	((struct store *)arg)->log_pages = pages;
	return SQLITE_OK;
}

/* Is the log left beside the file when that is closed? */
static void keep_log(struct store *s, bool keep)
{
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep, NULL);
}

static int set_up(struct store *s, char *why, size_t size)
{
	int rc = sqlite3_open_v2(s->file.path, &s->db, SQLITE_OPEN_READWRITE |
				 SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	int r;

	if (rc != SQLITE_OK)
		return sqlite_failed(s, rc), refuse(s, why, size, ERRAND_UNAVAILABLE, sqlite3_errstr(rc));
	sqlite3_extended_result_codes(s->db, 1);
	keep_log(s, true); /* what is refused is not changed by closing it either */
	sqlite3_busy_timeout(s->db, 1000);
	r = exec(s, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY;"
		 "PRAGMA cache_size = -2000; PRAGMA trusted_schema = OFF", why, size);
	if (r == 0)
		r = check_owner(s, why, size);
	if (r == 0)
		r = check_content(s, why, size);
	if (r == 0 && s->file.is_new)
		r = exec(s, "PRAGMA auto_vacuum = INCREMENTAL", why, size);
	if (r == 0)
		r = exec(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
			 "PRAGMA journal_size_limit = 16777216", why, size);
	if (r == 0)
		r = upgrade(s, why, size);
	if (r == 0)
		keep_log(s, false);
	sqlite3_wal_hook(s->db, on_commit, s);
	return r;
}

void sqlite_close(struct store *s)
{
	for (size_t i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(s->statements[i]);
	/* Closing would copy the log, of which nobody knows what is on the disk. */
	if (s->sync_failed)
		keep_log(s, true);
	sqlite3_close(s->db);
	store_reserve_deinit(&s->reserve);
	store_file_release(&s->file);
	buf_deinit(&s->joined);
	free(s);
}

/* SQLite's own account of its memory costs every allocation a lock. Before anything else
 * of SQLite; later on it is refused, which does no harm. */
static void count_no_memory(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

int sqlite_open(const char *arg, struct store **out, char *why, size_t why_size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct store *s = xcalloc(1, sizeof *s);
	int r;

	pthread_once(&once, count_no_memory);
	r = store_file_claim(&s->file, arg, why, why_size);
	if (r < 0) {
		free(s);
		return r;
	}
	r = set_up(s, why, why_size);
	if (r < 0) {
		sqlite_close(s);
		return r;
	}
	*out = s;
	return 0;
}

const char *sqlite_error(struct store *s)
{
	return s->why;
}

/* --- transactions --- */

int sqlite_begin(struct store *s)
{
	if (!s->sync_failed)
		return sqlite_run(s, sqlite_statement(s, S_BEGIN));
	snprintf(s->why, sizeof s->why, "store %s: closed for writing since an fsync failed; check "
		 "the disk and restart the service", s->file.path);
	return -ERRAND_UNAVAILABLE;
}

int sqlite_commit(struct store *s)
{
	int r;

	fault_point("before-commit", NULL);
	r = sqlite_run(s, sqlite_statement(s, S_COMMIT));
	if (r == 0) {
		if (s->log_pages > 0) /* a commit of nothing writes nothing */
			store_file_mark(&s->file);
		fault_point("after-commit", NULL);
	}
	return r;
}

void sqlite_rollback(struct store *s)
{
	if (!sqlite3_get_autocommit(s->db))
		sqlite_run(s, sqlite_statement(s, S_ROLLBACK));
}

uint64_t sqlite_changes(struct store *s)
{
	return (uint64_t)sqlite3_total_changes64(s->db);
}

/* On a full disk at once: the log's place is then used again instead of a new one. */
static bool wants_checkpoint(const struct store *s)
{
	bool is_full = s->reserve.path != NULL && !s->reserve.held;

	return !s->sync_failed && s->log_pages >= (is_full ? 1 : LOG_PAGES_MAX);
}

void sqlite_checkpoint(struct store *s)
{
	int rc;

	fault_point("checkpoint", NULL);
	errno = 0;
	rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	s->log_pages = 0;
	if (rc != SQLITE_OK) {
		sqlite_failed(s, rc);
		log_warn("store: checkpoint failed", "error=\"%s\"", s->why);
	}
}

/* Between transactions, so that nobody who waits for a commit pays for it. */
void sqlite_tidy(struct store *s)
{
	if (wants_checkpoint(s))
		sqlite_checkpoint(s);
}

/* --- a full disk, a broken one --- */

void sqlite_set_reserve(struct store *s, int64_t bytes)
{
	store_reserve_init(&s->reserve, s->file.path, bytes);
}

bool sqlite_take_reserve(struct store *s)
{
	return store_reserve_take(&s->reserve);
}

bool sqlite_spend_reserve(struct store *s)
{
	return store_reserve_spend(&s->reserve);
}

bool sqlite_is_dead(struct store *s)
{
	return s->sync_failed;
}
