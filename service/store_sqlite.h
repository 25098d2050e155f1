/* store_sqlite.h: what the files of the SQLite store share; sqlite3.h comes in by
 * this header and nowhere else. Store thread. */
#ifndef SERVICE_STORE_SQLITE_H
#define SERVICE_STORE_SQLITE_H

#include <sqlite3.h>

#include "errand/status.h"
#include "service/store.h"
#include "service/store_file.h"
#include "service/store_reserve.h"

#define SQLITE_APPLICATION_ID 0x65727264 /* "errd" */

enum statement {
	S_BEGIN, S_COMMIT, S_ROLLBACK, S_INSERT, S_GET, S_UPDATE, S_REMOVE, S_REMOVE_DATA,
	S_REMOVE_ATTEMPTS, S_REMOVE_EVENTS, S_PUT_DATA, S_DROP_DATA, S_GET_DATA, S_TAIL,
	S_CLAIMABLE, S_WAKING, S_NEXT_WAKE, S_FORGETTABLE, S_NEXT_FORGET, S_OWNED, S_QUEUES,
	S_SCAN_ID, S_SCAN_ID_BACK, S_SCAN_STATE, S_SCAN_STATE_BACK, S_SCAN_TURN, S_SCAN_TURN_REST,
	S_SCAN_TURN_BACK, S_SCAN_TURN_BACK_REST, S_SCAN_RUN_AT, S_SCAN_RUN_AT_BACK, S_SCAN_END,
	S_SCAN_END_BACK, S_COUNT, S_COUNT_QUEUED, S_OLDEST, S_PUT_ATTEMPT, S_ATTEMPTS,
	S_ADD_EVENT,
	S_DROP_PROGRESS, S_EVENTS, S_PUT_RECORD, S_GET_RECORD, S_REMOVE_RECORD, S_LIST_RECORDS,
	S_DUE_RECORDS, S_NEXT_RECORD, S_COUNT_RECORDS, N_STATEMENTS
};

struct store {
	sqlite3 *db;
	struct store_file file;
	struct store_reserve reserve;
	sqlite3_stmt *statements[N_STATEMENTS]; /* prepared at first use */
	struct buf joined; /* of store_sqlite.c */
	int log_pages;    /* in the write-ahead log after the last commit */
	bool sync_failed; /* an fsync failed: nothing it covered can be trusted, so
			   * nothing is acknowledged any more (fsync is not retried) */
	char why[256];    /* of the last error */
};

int sqlite_open(const char *arg, struct store **out, char *why, size_t why_size);
void sqlite_close(struct store *s);
const char *sqlite_error(struct store *s);
int sqlite_begin(struct store *s);
int sqlite_commit(struct store *s);
void sqlite_rollback(struct store *s);
uint64_t sqlite_changes(struct store *s);
void sqlite_tidy(struct store *s);
void sqlite_set_reserve(struct store *s, int64_t bytes);
bool sqlite_take_reserve(struct store *s);
bool sqlite_spend_reserve(struct store *s);
bool sqlite_is_dead(struct store *s);
/* Into the file, what the log holds of it. */
void sqlite_checkpoint(struct store *s);

/* store_sqlite_backup.c */
int sqlite_stat(struct store *s, struct store_stat *out);
int sqlite_backup_begin(struct store *s, const char *path, struct store_backup **out);
int sqlite_backup_step(struct store *s, struct store_backup *b, int n);
void sqlite_backup_end(struct store *s, struct store_backup *b);
int sqlite_vacuum_step(struct store *s, int n);

int sqlite_schema_version(void); /* the newest we know */
/* What a PRAGMA that gives a number gives; -1 when it fails. */
int64_t sqlite_pragma(struct store *s, const char *text);

/* SQLite's result as ours; the words are kept for ops->error. */
int sqlite_failed(struct store *s, int rc);
/* The statement, reset; NULL when it cannot be prepared (sqlite_failed says why). */
sqlite3_stmt *sqlite_statement(struct store *s, enum statement which);
/* Runs a statement that gives no rows. */
int sqlite_run(struct store *s, sqlite3_stmt *st);
/* 1: a row; 0: no more (and the statement is reset); negative: error, likewise. */
int sqlite_next(struct store *s, sqlite3_stmt *st);
/* Of a statement that gives one number; NULL is 0. */
int sqlite_number(struct store *s, sqlite3_stmt *st, int64_t *out);

void sqlite_bind_id(sqlite3_stmt *st, int at, const struct uuid *id);
void sqlite_bind_text(sqlite3_stmt *st, int at, const char *text); /* borrowed; NULL is NULL */
/* A row of the columns HOT, with none of its parts. */
void sqlite_read_task(sqlite3_stmt *st, struct task_row *t);
/* The same, its texts the statement's: good until that goes on. */
void sqlite_borrow_task(sqlite3_stmt *st, struct task_row *t);
int sqlite_read_parts(struct store *s, unsigned parts, struct task_row *t);
/* An empty buffer is NULL. */
void sqlite_bind_buf(sqlite3_stmt *st, int at, const struct buf *b);
void sqlite_column_buf(sqlite3_stmt *st, int at, struct buf *out);

/* store_sqlite_scan.c */
int sqlite_scan(struct store *s, const struct store_scan *scan, struct store_page *out);

/* store_sqlite_record.c */
int sqlite_put_record(struct store *s, const struct record *r);
int sqlite_get_record(struct store *s, enum record_kind kind, struct bytes key, struct record *out);
int sqlite_remove_record(struct store *s, enum record_kind kind, struct bytes key);
int sqlite_list_records(struct store *s, enum record_kind kind, struct bytes prefix,
			struct bytes after, size_t limit, struct record **out, size_t *n_out);
int sqlite_due_records(struct store *s, enum record_kind kind, int64_t now_us, size_t limit,
		       struct record **out, size_t *n_out);
int sqlite_next_record(struct store *s, enum record_kind kind, int64_t *due_us);
int sqlite_count_records(struct store *s, enum record_kind kind, uint64_t *out);

#endif
