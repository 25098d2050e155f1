/* store_sqlite_check.c: see store_check.h. Each rule is a query for the rows that break
 * it. Opened without a checkpoint at the end, so that a log that is there stays. */
#define _GNU_SOURCE
#include "service/store_check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "service/store_sqlite.h"

#define LIVE "(1, 2, 3, 4, 8, 9, 10)"
#define ENDED "(5, 6, 7, 11)"

/* Each: what is wrong, and the ids of the tasks it is wrong with. */
static const struct rule {
	const char *what, *sql;
} rules[] = {
	{"tasks in no state there is", "SELECT id FROM task WHERE state NOT IN " LIVE
	 " AND state NOT IN " ENDED},
	{"tasks that have ended without an end time", "SELECT id FROM task WHERE state IN " ENDED
	 " AND end_us = 0"},
	{"tasks with an end time that have not ended", "SELECT id FROM task WHERE state IN " LIVE
	 " AND end_us <> 0"},
	{"tasks with an id that is none", "SELECT id FROM task WHERE length(id) <> 16"},
	{"tasks without a method or a queue", "SELECT id FROM task WHERE method = '' OR queue = ''"},
	{"tasks whose last state event tells another state", "SELECT id FROM task t WHERE"
	 " coalesce((SELECT errand_state(data) FROM event e WHERE e.task = t.id AND e.kind = 1"
	 " ORDER BY seq DESC LIMIT 1), t.state) <> t.state"},
	{"tasks that have ended without an event that says so", "SELECT id FROM task t WHERE"
	 " state IN " ENDED " AND NOT EXISTS (SELECT 1 FROM event e WHERE e.task = t.id AND e.kind = 1)"},
	{"tasks with events of a later version than their own", "SELECT id FROM task t WHERE"
	 " (SELECT max(seq) FROM event e WHERE e.task = t.id) > t.version"},
	{"tasks with attempts they do not count", "SELECT id FROM task t WHERE"
	 " (SELECT max(number) FROM attempt a WHERE a.task = t.id) > t.attempt"},
	{"tasks that run without an attempt that does", "SELECT id FROM task t WHERE state IN (2, 4)"
	 " AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.task = t.id AND a.number = t.attempt"
	 " AND a.outcome = 0)"},
	{"tasks that do not run with an attempt that does", "SELECT id FROM task t WHERE"
	 " state NOT IN (2, 4) AND EXISTS (SELECT 1 FROM attempt a WHERE a.task = t.id AND"
	 " a.outcome = 0)"},
	{"tasks that do not run and have an owner", "SELECT id FROM task WHERE state NOT IN (2, 4) AND"
	 " owner <> 0"},
	{"tasks that run and would be woken", "SELECT id FROM task WHERE state IN (2, 4) AND wake_us <> 0"},
	{"tasks that wait for their time and never wake", "SELECT id FROM task WHERE state IN (3, 8) AND"
	 " wake_us = 0"},
	{"records of a kind there is not, or without a key", "SELECT key AS id FROM record WHERE"
	 " kind < 1 OR kind > 31 OR length(key) = 0"},
	{"events of tasks that are not there", "SELECT DISTINCT task AS id FROM event e WHERE NOT EXISTS"
	 " (SELECT 1 FROM task t WHERE t.id = e.task)"},
	{"attempts of tasks that are not there", "SELECT DISTINCT task AS id FROM attempt a WHERE NOT EXISTS"
	 " (SELECT 1 FROM task t WHERE t.id = a.task)"},
	{"inputs or results of tasks that are not there", "SELECT DISTINCT task AS id FROM task_data d WHERE"
	 " NOT EXISTS (SELECT 1 FROM task t WHERE t.id = d.task)"},
};

void store_report_deinit(struct store_report *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->faults[i]);
	free(r->faults);
	*r = (struct store_report){0};
}

/* Takes the text. */
static void add_fault(struct store_report *r, char *text)
{
	if (r->n == STORE_FAULTS_MAX) {
		free(text);
		return;
	}
	if (r->faults == NULL)
		r->faults = xcalloc(STORE_FAULTS_MAX, sizeof *r->faults);
	r->faults[r->n++] = text;
}

/* errand_state(data): of a serialized state event (TaskEvent.state). */
static void event_state(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct pbuf_reader r = pbuf_reader(sqlite3_value_blob(v[0]), (size_t)sqlite3_value_bytes(v[0]));
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 5)
			sqlite3_result_int64(c, (int64_t)f.value);
}

/* --- the file --- */

static int open_to_read(const char *path, sqlite3 **out)
{
	int rc = sqlite3_open_v2(path, out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_extended_result_codes(*out, 1);
	sqlite3_db_config(*out, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	rc = sqlite3_create_function(*out, "errand_state", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
				     event_state, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(*out, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA query_only = ON;"
				  "PRAGMA trusted_schema = OFF; SELECT count(*) FROM sqlite_schema",
				  NULL, NULL, NULL);
	return rc;
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int64_t value = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		value = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return value;
}

static void check_database(sqlite3 *db, struct store_report *r)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL);

	while (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(st, 0);

		if (text != NULL && strcmp(text, "ok") != 0)
			add_fault(r, xasprintf("database: %s", text));
	}
	rc = sqlite3_finalize(st);
	if (rc != SQLITE_OK)
		add_fault(r, xasprintf("database: %s", sqlite3_errstr(rc)));
}

static char *rule_broken(const struct rule *rule, sqlite3_stmt *st)
{
	struct uuid id = {0};
	char text[UUID_TEXT_SIZE];

	if (sqlite3_column_bytes(st, 1) == sizeof id.b)
		memcpy(id.b, sqlite3_column_blob(st, 1), sizeof id.b);
	return xasprintf("%lld %s, as %s", (long long)sqlite3_column_int64(st, 0), rule->what,
			 uuid_format(&id, text));
}

static void check_rule(sqlite3 *db, const struct rule *rule, struct store_report *r)
{
	AUTO_FREE char *sql = xasprintf("SELECT count(*), max(id) FROM (%s)", rule->sql);
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW && sqlite3_column_int64(st, 0) > 0)
		add_fault(r, rule_broken(rule, st));
	rc = sqlite3_finalize(st);
	if (rc != SQLITE_OK)
		add_fault(r, xasprintf("%s: cannot be looked for: %s", rule->what, sqlite3_errmsg(db)));
}

static int check_owner(sqlite3 *db, const char *path, struct store_report *r, char *why, size_t size)
{
	int64_t id = number(db, "PRAGMA application_id");

	r->version = (int)number(db, "PRAGMA user_version");
	if (id != SQLITE_APPLICATION_ID) {
		snprintf(why, size, "store %s: a database of another program, or an empty one", path);
		return -ERRAND_FAILED_PRECONDITION;
	}
	if (r->version > sqlite_schema_version()) {
		snprintf(why, size, "store %s: written by a newer errand (schema %d, this one knows %d): "
			 "check it with that one", path, r->version, sqlite_schema_version());
		return -ERRAND_FAILED_PRECONDITION;
	}
	return 0;
}

int store_check_file(const char *path, struct store_report *out, char *why, size_t why_size)
{
	sqlite3 *db = NULL;
	int rc, r;

	*out = (struct store_report){0};
	rc = open_to_read(path, &db);
	if ((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB) {
		add_fault(out, xasprintf("database: %s", sqlite3_errmsg(db)));
		r = 0;
	} else if (rc != SQLITE_OK) {
		snprintf(why, why_size, "store %s: %s", path, sqlite3_errmsg(db));
		r = -ERRAND_UNAVAILABLE;
	} else if ((r = check_owner(db, path, out, why, why_size)) == 0) {
		check_database(db, out);
		out->tasks = (uint64_t)MAX(number(db, "SELECT count(*) FROM task"), 0);
		/* An older file's rows are another form's; starting the service renews it. */
		for (size_t i = 0; i < ARRAY_LEN(rules) && out->version == sqlite_schema_version(); i++)
			check_rule(db, &rules[i], out);
	}
	sqlite3_close(db);
	return r;
}
