/* test_store_file.c: what only a store in a file can do wrong: its owners, damage,
 * strange files, a full disk. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_rig.h"

#include "base/log.h"
#include "errand/status.h"

/* --- files --- */

static void reopened_it_is_all_there(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	put_in(f, 1, "q", TASK_QUEUED, 0, 1);
	close_store(f);
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
	open_store(f);
	assert_string_equal(claim_list(f, "q", 2), "1 ");
}

static void assert_refused(struct fixture *f, int code, const char *word)
{
	struct store *s = NULL;
	int r = f->ops->open(f->file, &s, f->why, sizeof f->why);

	if (r == 0)
		f->ops->close(s);
	assert_int_equal(r, -code);
	if (strstr(f->why, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", f->why, word);
	assert_non_null(strstr(f->why, f->file));
}

static void write_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	close(fd);
}

static size_t read_file(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, out, size);

	assert_true(fd >= 0 && n >= 0);
	close(fd);
	return (size_t)n;
}

static void the_second_service_is_refused(void **state)
{
	struct fixture *f = *state;
	char mine[128], host[65] = "";

	gethostname(host, sizeof host - 1);
	snprintf(mine, sizeof mine, "in use by pid %d on %s;", (int)getpid(), host);
	assert_refused(f, ERRAND_ALREADY_EXISTS, mine);
	put_in(f, 1, "q", TASK_QUEUED, 0, 1); /* and the first one is not disturbed */
}

static void a_dead_owner_is_no_owner(void **state)
{
	struct fixture *f = *state;
	struct store *s;
	int status;
	pid_t pid;

	close_store(f);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		if (f->ops->open(f->file, &s, f->why, sizeof f->why) != 0)
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	open_store(f);
}

static void not_a_database_is_left_alone(void **state)
{
	struct fixture *f = *state;
	static const char text[] = "my diary, which is longer than the hundred bytes that a header "
				   "of an SQLite database has, so that all of it is looked at.";
	char got[256];

	close_store(f);
	write_file(f->file, text, sizeof text);
	assert_refused(f, ERRAND_DATA_LOSS, "not an SQLite database");
	assert_int_equal(read_file(f->file, got, sizeof got), sizeof text);
	assert_memory_equal(got, text, sizeof text);
	write_file(f->file, "short", 5);
	assert_refused(f, ERRAND_DATA_LOSS, "not an SQLite database");
}

static void run_sql(const char *file, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void a_foreign_database_is_left_alone(void **state)
{
	struct fixture *f = *state;
	char before[16384], after[16384];
	size_t n;

	close_store(f);
	unlink(f->file);
	run_sql(f->file, "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)");
	n = read_file(f->file, before, sizeof before);
	assert_refused(f, ERRAND_FAILED_PRECONDITION, "another program");
	assert_int_equal(read_file(f->file, after, sizeof after), n);
	assert_memory_equal(before, after, n);
}

static void a_newer_file_is_refused(void **state)
{
	struct fixture *f = *state;

	close_store(f);
	run_sql(f->file, "PRAGMA user_version = 99");
	assert_refused(f, ERRAND_FAILED_PRECONDITION, "upgrade errand");
}

static void a_file_locked_by_another_program_is_refused(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db;

	close_store(f);
	assert_int_equal(sqlite3_open(f->file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "BEGIN EXCLUSIVE; SELECT * FROM task", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_refused(f, ERRAND_UNAVAILABLE, "locked by another program");
	sqlite3_close(db);
	open_store(f);
}

static void links_and_directories_are_refused(void **state)
{
	struct fixture *f = *state;
	char other[128];

	close_store(f);
	snprintf(other, sizeof other, "%s/other.db", f->dir);
	assert_int_equal(link(f->file, other), 0);
	assert_refused(f, ERRAND_FAILED_PRECONDITION, "hard links");
	unlink(f->file);
	assert_int_equal(symlink(other, f->file), 0);
	assert_refused(f, ERRAND_FAILED_PRECONDITION, "symbolic link");
	unlink(f->file);
	assert_int_equal(mkdir(f->file, 0700), 0);
	assert_refused(f, ERRAND_FAILED_PRECONDITION, "no regular file");
	snprintf(f->file, sizeof f->file, "%s/nowhere/tasks.db", f->dir);
	assert_refused(f, ERRAND_UNAVAILABLE, "must exist");
}

static void a_log_without_its_file_is_refused(void **state)
{
	struct fixture *f = *state;
	char log[128];

	close_store(f);
	snprintf(log, sizeof log, "%s-wal", f->file);
	write_file(log, "log", 3);
	write_file(f->file, "", 0);
	assert_refused(f, ERRAND_DATA_LOSS, "empty but its log");
	unlink(f->file);
	assert_refused(f, ERRAND_DATA_LOSS, "missing but its log");
}

/* A store whose owner died in the middle: its log is there. */
static void leave_by_death(struct fixture *f, unsigned n)
{
	struct store *s;
	int status;
	pid_t pid;

	close_store(f);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		ROW t = row_of(n);

		if (f->ops->open(f->file, &s, f->why, sizeof f->why) != 0 || f->ops->begin(s) != 0 ||
		    f->ops->insert(s, &t) != 0 || f->ops->commit(s) != 0)
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void a_log_that_was_taken_away_is_missed(void **state)
{
	struct fixture *f = *state;
	char log[128], aside[128], lock[128];
	struct task_row row = {0};
	struct uuid id = id_of(77);

	leave_by_death(f, 77);
	snprintf(log, sizeof log, "%s-wal", f->file);
	snprintf(aside, sizeof aside, "%s.aside", f->file);
	snprintf(lock, sizeof lock, "%s.lock", f->file);
	assert_int_equal(rename(log, aside), 0);
	assert_refused(f, ERRAND_DATA_LOSS, "missing or empty");
	assert_refused(f, ERRAND_DATA_LOSS, "remove"); /* looking does not make it forget */
	write_file(log, "", 0);
	assert_refused(f, ERRAND_DATA_LOSS, "missing or empty");
	assert_int_equal(rename(aside, log), 0);
	open_store(f);
	assert_int_equal(f->ops->get(f->s, &id, 0, &row), 0);
	task_row_deinit(&row);
	close_store(f);
	open_store(f); /* closed well, without a log */
	leave_by_death(f, 78);
	unlink(log);
	unlink(lock); /* as the advice says */
	open_store(f);
}

/* The log of a file is not applied to the copy that took the file's place. */
static void a_log_of_another_file_is_refused(void **state)
{
	struct fixture *f = *state;
	static char whole[1 << 20], after[1 << 20];
	char copy[128], log[128];
	size_t n;

	close_store(f);
	n = read_file(f->file, whole, sizeof whole);
	leave_by_death(f, 77);
	snprintf(copy, sizeof copy, "%s.copy", f->file);
	snprintf(log, sizeof log, "%s-wal", f->file);
	write_file(copy, whole, n);
	assert_int_equal(rename(copy, f->file), 0);
	assert_refused(f, ERRAND_DATA_LOSS, "another file's");
	assert_int_equal(read_file(f->file, after, sizeof after), n);
	assert_memory_equal(whole, after, n);
	unlink(log);
	open_store(f);
}

/* What is refused is left as it is, its log too. */
static void a_damaged_file_keeps_its_log(void **state)
{
	struct fixture *f = *state;
	static char before[1 << 20], after[1 << 20];
	char log[128];
	size_t n;

	leave_by_death(f, 77);
	snprintf(log, sizeof log, "%s-wal", f->file);
	n = read_file(log, before, sizeof before);
	assert_true(n > 0);
	before[n - 2000] ^= 1; /* the last commit's checksum is wrong: it is not taken */
	write_file(log, before, n);
	n = read_file(f->file, after, sizeof after);
	for (size_t at = 4096 + 100; at < n; at += 4096)
		memset(after + at - 100, 0x5a, 300); /* the heads of all pages but the first */
	write_file(f->file, after, n);
	assert_refused(f, ERRAND_DATA_LOSS, "copy");
	assert_int_equal(read_file(log, after, sizeof after), read_file(log, before, sizeof before));
	assert_true(read_file(log, after, sizeof after) > 0);
}

/* One byte of each page in turn: opened and right, or refused; never wrong. */
static void a_flipped_byte_is_seen_or_harmless(void **state)
{
	struct fixture *f = *state;
	static char whole[1 << 20], bad[1 << 20];
	size_t n, n_refused = 0;

	begin(f);
	for (unsigned i = 1; i <= 200; i++) {
		ROW t = row_of(i);

		assert_int_equal(f->ops->insert(f->s, &t), 0);
	}
	commit(f);
	close_store(f);
	n = read_file(f->file, whole, sizeof whole);
	assert_true(n > 8 * 4096 && n < sizeof whole);
	for (size_t at = 5; at < n; at += 4096) {
		struct store *s = NULL;

		memcpy(bad, whole, n);
		bad[at] ^= 0x41;
		write_file(f->file, bad, n);
		if (f->ops->open(f->file, &s, f->why, sizeof f->why) < 0) {
			n_refused++;
			assert_int_equal(read_file(f->file, bad + n, sizeof bad - n), n);
			assert_memory_equal(bad, bad + n, n);
		} else {
			f->ops->close(s);
		}
	}
	assert_true(n_refused > 3);
	write_file(f->file, whole, n / 2 / 4096 * 4096);
	assert_refused(f, ERRAND_DATA_LOSS, "copy");
	write_file(f->file, whole, n);
	open_store(f);
}

static int insert_many(struct fixture *f, unsigned from, unsigned n)
{
	int r = f->ops->begin(f->s);

	for (unsigned i = from; i < from + n && r == 0; i++) {
		ROW t = row_of(i);

		for (int k = 0; k < 100; k++)
			buf_append_str(&t.input, "0123456789abcdef");
		r = f->ops->insert(f->s, &t);
	}
	if (r == 0)
		r = f->ops->commit(f->s);
	if (r < 0)
		f->ops->rollback(f->s);
	return r;
}

static void a_full_disk_refuses_and_recovers(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, small;
	unsigned n = 0;
	uint64_t count;
	int r = 0;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 512 << 10;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	while (r == 0 && n < 2000) {
		r = insert_many(f, n, 10);
		n += r == 0 ? 10 : 0;
	}
	if (r != -ERRAND_RESOURCE_EXHAUSTED)
		fail_msg("%d: %s", r, f->ops->error(f->s));
	assert_non_null(strstr(f->ops->error(f->s), "full"));
	assert_true(n >= 10);
	assert_int_equal(f->ops->count(f->s, "default", TASK_QUEUED, &count), 0);
	assert_int_equal(count, n);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(insert_many(f, n, 10), 0);
	close_store(f);
	open_store(f);
	assert_int_equal(f->ops->count(f->s, "default", TASK_QUEUED, &count), 0);
	assert_int_equal(count, n + 10);
}

static int no_open(void **state)
{
	*state = fixture_new(&store_sqlite);
	return 0;
}

static void no_file_named(void **state)
{
	struct fixture *f = *state;
	struct store *s;
	const char *arg;

	assert_int_equal(f->ops->open("", &s, f->why, sizeof f->why), -ERRAND_INVALID_ARGUMENT);
	assert_ptr_equal(store_kind("sqlite:/a:b", &arg), &store_sqlite);
	assert_string_equal(arg, "/a:b");
	assert_ptr_equal(store_kind("memory", &arg), &store_memory);
	assert_null(store_kind("mem", &arg));
	assert_null(store_kind("postgres:x", &arg));
}

static void upgrading_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;

	/* As if the first start had been killed before its first commit. */
	run_sql(f->file, "PRAGMA journal_mode = WAL");
	open_store(f);
	put_in(f, 1, "q", TASK_QUEUED, 0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SQLITE(reopened_it_is_all_there),
		SQLITE(the_second_service_is_refused),
		SQLITE(a_dead_owner_is_no_owner),
		SQLITE(not_a_database_is_left_alone),
		SQLITE(a_foreign_database_is_left_alone),
		SQLITE(a_newer_file_is_refused),
		SQLITE(a_file_locked_by_another_program_is_refused),
		SQLITE(links_and_directories_are_refused),
		SQLITE(a_log_without_its_file_is_refused),
		SQLITE(a_log_that_was_taken_away_is_missed),
		SQLITE(a_log_of_another_file_is_refused),
		SQLITE(a_damaged_file_keeps_its_log),
		SQLITE(a_flipped_byte_is_seen_or_harmless),
		SQLITE(a_full_disk_refuses_and_recovers),
		{"sqlite: no_file_named", no_file_named, no_open, teardown, NULL},
		{"sqlite: upgrading_is_all_or_nothing", upgrading_is_all_or_nothing, no_open, teardown,
		 NULL},
	};

	log_init("test_store_file", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
