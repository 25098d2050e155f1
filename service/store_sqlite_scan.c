/* store_sqlite_scan.c: walks through the indexes of the tasks. A row that is looked at
 * is not copied before the filter has taken it. Store thread. */
#include "service/store_sqlite.h"

#include <string.h>

#include "service/task_filter.h"

/* The statements by index and direction, and the one that goes on after the first. */
static const struct walk {
	enum statement st, rest;
} walks[][2] = {
	[INDEX_ID] = {{S_SCAN_ID, N_STATEMENTS}, {S_SCAN_ID_BACK, N_STATEMENTS}},
	[INDEX_STATE] = {{S_SCAN_STATE, N_STATEMENTS}, {S_SCAN_STATE_BACK, N_STATEMENTS}},
	[INDEX_TURN] = {{S_SCAN_TURN, S_SCAN_TURN_REST}, {S_SCAN_TURN_BACK, S_SCAN_TURN_BACK_REST}},
	[INDEX_RUN_AT] = {{S_SCAN_RUN_AT, N_STATEMENTS}, {S_SCAN_RUN_AT_BACK, N_STATEMENTS}},
	[INDEX_END] = {{S_SCAN_END, N_STATEMENTS}, {S_SCAN_END_BACK, N_STATEMENTS}},
};

/* Where it begins: behind the place, or before everything: an id that is shorter or
 * longer than all, numbers that no row has. */
static void bind_place(sqlite3_stmt *st, const struct store_scan *scan)
{
	static const uint8_t ends[17] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	int64_t before_all = scan->backward ? INT64_MAX : INT64_MIN;

	if (scan->index == INDEX_TURN) /* the highest priority is first */
		before_all = scan->backward ? INT64_MIN : INT64_MAX;
	if (scan->after_set)
		sqlite_bind_id(st, 1, &scan->after.id);
	else
		sqlite3_bind_blob(st, 1, ends, scan->backward ? sizeof ends : 0, SQLITE_STATIC);
	if (scan->index == INDEX_STATE)
		sqlite3_bind_int(st, 2, scan->state);
	else if (scan->index == INDEX_TURN)
		sqlite_bind_text(st, 2, scan->queue);
	else if (scan->index != INDEX_ID)
		sqlite3_bind_int64(st, 2, scan->after_set ? scan->after.major : before_all);
	if (scan->index == INDEX_TURN) {
		sqlite3_bind_int64(st, 3, scan->after_set ? scan->after.major : before_all);
		sqlite3_bind_int64(st, 4, scan->after.minor);
	}
}

static bool is_beyond(const struct store_scan *scan, const struct uuid *id)
{
	int order = memcmp(id->b, scan->stop.b, sizeof id->b);

	return scan->stop_set && (scan->backward ? order < 0 : order > 0);
}

/* Does the filter take the row where the statement stands? Then it is copied. */
static int take_row(struct store *s, const struct store_scan *scan, sqlite3_stmt *st,
		    struct task_row *seen, struct store_page *out)
{
	unsigned early = seen->flags & TASK_HAS_LABELS ? task_filter_parts(scan->filter) : 0;
	unsigned parts = PART_ERROR | (seen->flags & TASK_HAS_LABELS ? PART_OPTIONS : 0);
	bool takes;
	int r = sqlite_read_parts(s, early, seen);

	takes = r == 0 && task_filter_match(scan->filter, seen);
	buf_deinit(&seen->options);
	if (!takes)
		return r;
	out->rows = out->n % 64 == 0 ? xrealloc(out->rows, (out->n + 64) * sizeof *out->rows) :
				       out->rows;
	sqlite_read_task(st, &out->rows[out->n]);
	return sqlite_read_parts(s, parts, &out->rows[out->n++]);
}

/* Rows of one statement; *lookedp counts those of the whole scan. */
static int scan_rows(struct store *s, const struct store_scan *scan, sqlite3_stmt *st,
		     size_t *lookedp, struct store_page *out)
{
	int r = 0;

	while (!out->more && (r = sqlite_next(s, st)) > 0) {
		struct task_row seen;

		sqlite_borrow_task(st, &seen);
		if (is_beyond(scan, &seen.id)) {
			r = 0;
			break;
		}
		out->last = store_place_of(scan->index, &seen);
		r = take_row(s, scan, st, &seen, out);
		if (r < 0)
			break;
		out->more = out->n == scan->limit || ++*lookedp == scan->look;
	}
	sqlite3_reset(st);
	return MIN(r, 0);
}

int sqlite_scan(struct store *s, const struct store_scan *scan, struct store_page *out)
{
	const struct walk *w = &walks[scan->index][scan->backward];
	size_t looked = 0;
	int r = 0;

	*out = (struct store_page){0};
	if (scan->index != INDEX_TURN || scan->after_set) {
		sqlite3_stmt *st = sqlite_statement(s, w->st);

		bind_place(st, scan);
		r = scan_rows(s, scan, st, &looked, out);
	}
	if (r == 0 && !out->more && w->rest != N_STATEMENTS) {
		sqlite3_stmt *st = sqlite_statement(s, w->rest);

		bind_place(st, scan);
		r = scan_rows(s, scan, st, &looked, out);
	}
	if (r < 0)
		store_page_deinit(out);
	return r;
}
