/* store_sqlite_backup.c: the SQLite store as a file: its figures, a copy of it while it
 * is used, its unused pages given back. Each in steps between transactions. SQLite keeps
 * a copy under way up to date with what this connection, the only one, writes
 * meanwhile. Store thread. */
#define _GNU_SOURCE
#include "service/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "service/fault.h"

struct store_backup {
	sqlite3 *to;
	sqlite3_backup *copy;
};

/* --- figures --- */

static int64_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : st.st_size;
}

static int count_tasks(struct store *s, struct store_stat *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, "SELECT state, count(*) FROM task GROUP BY state", -1, &st, NULL);

	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		int state = sqlite3_column_int(st, 0);

		if (state > 0 && state < TASK_STATES_MAX)
			out->tasks[state] = (uint64_t)sqlite3_column_int64(st, 1);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : sqlite_failed(s, rc);
}

int sqlite_stat(struct store *s, struct store_stat *out)
{
	AUTO_FREE char *log = xasprintf("%s-wal", s->file.path);

	*out = (struct store_stat){
		.path = xstrdup(s->file.path),
		.version = (int)sqlite_pragma(s, "PRAGMA user_version"),
		.size = file_size(s->file.path),
		.log_size = file_size(log),
		.reserve = s->reserve.held ? s->reserve.bytes : 0,
		.page_size = sqlite_pragma(s, "PRAGMA page_size"),
		.pages = sqlite_pragma(s, "PRAGMA page_count"),
		.free_pages = sqlite_pragma(s, "PRAGMA freelist_count"),
	};
	return count_tasks(s, out);
}

/* --- a copy --- */

static int make_file(struct store *s, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	snprintf(s->why, sizeof s->why, "%s cannot be made: %s", path, strerror(errno));
	return errno == EEXIST ? -ERRAND_ALREADY_EXISTS : -ERRAND_FAILED_PRECONDITION;
}

/* What went wrong is the copy's: the store itself goes on. */
static int copy_failed(struct store *s, const struct store_backup *b, int rc)
{
	const char *path = sqlite3_db_filename(b->to, "main");

	snprintf(s->why, sizeof s->why, "%s: %s", path != NULL ? path : "the copy",
		 sqlite3_errstr(rc));
	return (rc & 0xff) == SQLITE_FULL ? -ERRAND_RESOURCE_EXHAUSTED : -ERRAND_UNAVAILABLE;
}

int sqlite_backup_begin(struct store *s, const char *path, struct store_backup **out)
{
	struct store_backup *b;
	int r = make_file(s, path), rc;

	if (r < 0)
		return r;
	b = xcalloc(1, sizeof *b);
	rc = sqlite3_open_v2(path, &b->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	/* A copy that is not whole is thrown away: it needs no journal, and one sync at its end. */
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(b->to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL,
				  NULL);
	if (rc == SQLITE_OK && (b->copy = sqlite3_backup_init(b->to, "main", s->db, "main")) == NULL)
		rc = sqlite3_errcode(b->to);
	if (rc != SQLITE_OK) {
		r = copy_failed(s, b, rc);
		sqlite_backup_end(s, b);
		unlink(path);
		return r;
	}
	*out = b;
	return 0;
}

int sqlite_backup_step(struct store *s, struct store_backup *b, int n)
{
	int rc;

	fault_point("backup", NULL);
	rc = sqlite3_backup_step(b->copy, n);
	if (rc == SQLITE_DONE)
		return 0;
	return rc == SQLITE_OK ? 1 : copy_failed(s, b, rc);
}

void sqlite_backup_end(struct store *s, struct store_backup *b)
{
	sqlite3_backup_finish(b->copy);
	sqlite3_close(b->to);
	free(b);
}

/* --- unused pages --- */

int sqlite_vacuum_step(struct store *s, int n)
{
	char text[64];
	int rc;

	if (sqlite_pragma(s, "PRAGMA auto_vacuum") != 2) {
		snprintf(s->why, sizeof s->why, "store %s was made by an errand that kept no account for it; "
			 "stop the service and run: sqlite3 FILE 'PRAGMA auto_vacuum=2; VACUUM'",
			 s->file.path);
		return -ERRAND_FAILED_PRECONDITION;
	}
	if (s->sync_failed)
		return sqlite_begin(s);
	snprintf(text, sizeof text, "PRAGMA incremental_vacuum(%d)", n);
	errno = 0;
	rc = sqlite3_exec(s->db, text, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return sqlite_failed(s, rc);
	if (sqlite_pragma(s, "PRAGMA freelist_count") > 0)
		return 1;
	sqlite_checkpoint(s); /* the file is cut there */
	return 0;
}
