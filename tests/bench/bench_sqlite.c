/* bench_sqlite.c: what SQLite itself gives: rows of 200 bytes inserted PRODUCERS at
 * a time, each batch committed with fsync (WAL, synchronous=FULL), as if that many
 * waited for each commit. No engine, no threads, no second statement: an upper bound.
 *
 *   bench_sqlite FILE PRODUCERS SECONDS      one line of JSON */
#define _GNU_SOURCE
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static sqlite3 *db;

static void check(int rc)
{
	if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
		return;
	fprintf(stderr, "bench_sqlite: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *st = NULL;

	check(sqlite3_prepare_v2(db, sql, -1, &st, NULL));
	return st;
}

static void run(sqlite3_stmt *st)
{
	check(sqlite3_step(st));
	sqlite3_reset(st);
}

static void open_file(const char *file)
{
	check(sqlite3_open(file, &db));
	check(sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
			   "PRAGMA synchronous = FULL;"
			   "CREATE TABLE task (id INTEGER PRIMARY KEY, queue TEXT, state INTEGER, data BLOB)",
			   NULL, NULL, NULL));
}

int main(int argc, char **argv)
{
	struct load_samples commits = {0};
	sqlite3_stmt *begin, *insert, *commit;
	int64_t begin_ns, end_ns, now;
	uint64_t n = 0;
	char data[200];

	if (argc < 4) {
		fprintf(stderr, "usage: bench_sqlite FILE PRODUCERS SECONDS\n");
		return 64;
	}
	open_file(argv[1]);
	begin = prepare("BEGIN IMMEDIATE");
	insert = prepare("INSERT INTO task (queue, state, data) VALUES ('default', 1, ?)");
	commit = prepare("COMMIT");
	memset(data, 'x', sizeof data);
	sqlite3_bind_blob(insert, 1, data, sizeof data, SQLITE_STATIC);
	begin_ns = now = load_now_ns();
	end_ns = begin_ns + (int64_t)(atof(argv[3]) * 1e9);
	while (now < end_ns) {
		int64_t from = now;

		run(begin);
		for (int i = 0; i < atoi(argv[2]); i++, n++)
			run(insert);
		run(commit);
		now = load_now_ns();
		load_sample(&commits, now - from);
	}
	printf("{\"rate\": %.1f, \"n\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
	       (double)n * 1e9 / (double)(now - begin_ns), (unsigned long long)n,
	       load_percentile_us(&commits, 50), load_percentile_us(&commits, 99));
	return 0;
}
