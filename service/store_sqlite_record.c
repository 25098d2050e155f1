/* store_sqlite_record.c: the records of the SQLite store. Store thread. */
#include "service/store_sqlite.h"

static void bind_key(sqlite3_stmt *st, int at, struct bytes key)
{
	sqlite3_bind_blob64(st, at, key.data != NULL ? (const void *)key.data : "", key.len,
			    SQLITE_STATIC);
}

static sqlite3_stmt *with_key(struct store *s, enum statement which, enum record_kind kind,
			      struct bytes key)
{
	sqlite3_stmt *st = sqlite_statement(s, which);

	sqlite3_bind_int(st, 1, kind);
	bind_key(st, 2, key);
	return st;
}

int sqlite_put_record(struct store *s, const struct record *r)
{
	sqlite3_stmt *st = with_key(s, S_PUT_RECORD, r->kind, buf_bytes(&r->key));

	sqlite3_bind_int64(st, 3, r->due_us);
	sqlite_bind_buf(st, 4, &r->data);
	return sqlite_run(s, st);
}

static void read_record(sqlite3_stmt *st, enum record_kind kind, struct record *out)
{
	*out = (struct record){.kind = kind, .due_us = sqlite3_column_int64(st, 1)};
	sqlite_column_buf(st, 0, &out->key);
	sqlite_column_buf(st, 2, &out->data);
}

int sqlite_get_record(struct store *s, enum record_kind kind, struct bytes key, struct record *out)
{
	sqlite3_stmt *st = with_key(s, S_GET_RECORD, kind, key);
	int r = sqlite_next(s, st);

	if (r > 0)
		read_record(st, kind, out);
	sqlite3_reset(st);
	return r > 0 ? 0 : r < 0 ? r : -ERRAND_NOT_FOUND;
}

int sqlite_remove_record(struct store *s, enum record_kind kind, struct bytes key)
{
	return sqlite_run(s, with_key(s, S_REMOVE_RECORD, kind, key));
}

static int read_records(struct store *s, sqlite3_stmt *st, enum record_kind kind,
			struct record **out, size_t *n_out)
{
	size_t cap = 0;
	int r;

	*out = NULL;
	*n_out = 0;
	while ((r = sqlite_next(s, st)) > 0) {
		if (*n_out == cap)
			*out = xrealloc(*out, (cap = cap ? 2 * cap : 8) * sizeof **out);
		read_record(st, kind, &(*out)[(*n_out)++]);
	}
	if (r < 0) {
		records_free(*out, *n_out);
		*out = NULL;
		*n_out = 0;
	}
	return r;
}

/* The first key behind all that begin with prefix; false: there is none. */
static bool prefix_end(struct bytes prefix, struct buf *out)
{
	buf_append(out, prefix.data, prefix.len);
	while (out->len > 0 && out->data[out->len - 1] == 0xff)
		out->len--;
	if (out->len > 0)
		out->data[out->len - 1]++;
	return out->len > 0;
}

int sqlite_list_records(struct store *s, enum record_kind kind, struct bytes prefix,
			struct bytes after, size_t limit, struct record **out, size_t *n_out)
{
	sqlite3_stmt *st = with_key(s, S_LIST_RECORDS, kind, after);
	AUTO_BUF end = BUF_INIT;

	bind_key(st, 3, prefix);
	if (prefix_end(prefix, &end))
		bind_key(st, 4, buf_bytes(&end));
	else
		sqlite3_bind_null(st, 4);
	sqlite3_bind_int64(st, 5, (int64_t)limit);
	return read_records(s, st, kind, out, n_out);
}

int sqlite_due_records(struct store *s, enum record_kind kind, int64_t now_us, size_t limit,
		       struct record **out, size_t *n_out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_DUE_RECORDS);

	sqlite3_bind_int(st, 1, kind);
	sqlite3_bind_int64(st, 2, now_us);
	sqlite3_bind_int64(st, 3, (int64_t)limit);
	return read_records(s, st, kind, out, n_out);
}

int sqlite_next_record(struct store *s, enum record_kind kind, int64_t *due_us)
{
	sqlite3_stmt *st = sqlite_statement(s, S_NEXT_RECORD);

	sqlite3_bind_int(st, 1, kind);
	return sqlite_number(s, st, due_us);
}

int sqlite_count_records(struct store *s, enum record_kind kind, uint64_t *out)
{
	sqlite3_stmt *st = sqlite_statement(s, S_COUNT_RECORDS);
	int64_t n = 0;
	int r;

	sqlite3_bind_int(st, 1, kind);
	r = sqlite_number(s, st, &n);
	*out = (uint64_t)n;
	return r;
}
