/* test_store.c: what every kind of store promises (service/store.h), asked of each
 * kind by the same functions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_rig.h"

#include "base/log.h"
#include "errand/status.h"

/* --- the contract --- */

static void keeps_every_member(void **state)
{
	struct fixture *f = *state;
	ROW t = row_of(7);
	ROW got = {0};

	t.state = TASK_RETRYING;
	t.priority = -3;
	t.version = 1ULL << 40;
	t.attempt = 4000000000u;
	t.failures = 3;
	t.crash_count = 2;
	t.start_us = 1LL << 50;
	t.end_us = 5;
	t.progress = 0.25;
	t.progress_message = xstrdup("a 'quoted' \xc3\xa4");
	t.flags = TASK_CANCEL_ASKED | TASK_HAS_LABELS;
	t.log_bytes = 77;
	t.log_dropped = 88;
	buf_append(&t.result, "r\0r", 3);
	buf_append_str(&t.error, "problem");
	put(f, &t);
	assert_int_equal(f->ops->get(f->s, &t.id, PART_ALL, &got), 0);
	assert_memory_equal(&got.id, &t.id, sizeof t.id);
	assert_string_equal(got.method, "pkg.S/M");
	assert_string_equal(got.queue, "default");
	assert_int_equal(got.state, TASK_RETRYING);
	assert_int_equal(got.priority, -3);
	assert_true(got.version == 1ULL << 40 && got.attempt == 4000000000u);
	assert_true(got.failures == 3 && got.crash_count == 2);
	assert_true(got.create_us == 1007 && got.start_us == 1LL << 50 && got.end_us == 5);
	assert_true(got.run_at_us == 1007 && got.progress == 0.25 && got.flags == (TASK_CANCEL_ASKED | TASK_HAS_LABELS));
	assert_string_equal(got.progress_message, "a 'quoted' \xc3\xa4");
	assert_true(got.log_bytes == 77 && got.log_dropped == 88 && got.parts == PART_ALL);
	assert_buf(&got.input, "input");
	assert_buf(&got.metadata, "meta");
	assert_buf(&got.error, "problem");
	assert_int_equal(got.result.len, 3);
	assert_memory_equal(got.result.data, "r\0r", 3);
}

static void reads_only_the_parts_asked_for(void **state)
{
	struct fixture *f = *state;
	ROW t = row_of(1);
	ROW got = {0};

	put(f, &t);
	assert_int_equal(f->ops->get(f->s, &t.id, PART_METADATA, &got), 0);
	assert_int_equal(got.input.len, 0);
	assert_buf(&got.metadata, "meta");
	assert_int_equal(got.parts, PART_METADATA);
}

static void update_writes_what_may_change(void **state)
{
	struct fixture *f = *state;
	ROW t = row_of(1);
	ROW got = {0};

	buf_append_str(&t.error, "old error");
	put(f, &t);
	t.state = TASK_RUNNING;
	t.version = 2;
	t.attempt = 1;
	t.create_us = 99; /* is not written */
	buf_reset(&t.input);
	buf_append_str(&t.result, "result");
	buf_reset(&t.error);
	begin(f);
	assert_int_equal(f->ops->update(f->s, &t, PART_RESULT), 0);
	commit(f);
	assert_int_equal(f->ops->get(f->s, &t.id, PART_ALL, &got), 0);
	assert_true(got.state == TASK_RUNNING && got.version == 2 && got.attempt == 1);
	assert_int_equal(got.create_us, 1001);
	assert_buf(&got.input, "input");
	assert_buf(&got.result, "result");
	assert_buf(&got.error, "old error");
	begin(f);
	assert_int_equal(f->ops->update(f->s, &t, PART_ERROR | PARTS_OF_BIRTH), 0);
	commit(f);
	task_row_deinit(&got);
	assert_int_equal(f->ops->get(f->s, &t.id, PART_ALL, &got), 0);
	assert_int_equal(got.error.len, 0);
	assert_buf(&got.result, "result");
	assert_buf(&got.input, "input"); /* with it and its metadata it was made */
	assert_buf(&got.metadata, "meta");
}

static void fill(struct buf *b, size_t len, char c)
{
	buf_reset(b);
	memset(buf_reserve(b, len + 1), c, len);
	b->len = len;
}

/* However long they are: some stores keep short ones together. */
static void keeps_what_it_was_made_with(void **state)
{
	static const size_t lengths[] = {0, 1, 127, 128, 4000, 4096, 5000, 1 << 20};
	struct fixture *f = *state;
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		for (size_t j = 0; j < ARRAY_LEN(lengths); j++) {
			ROW t = row_of(++n);
			ROW all = {0}, input = {0}, metadata = {0};

			fill(&t.input, lengths[i], 'i');
			fill(&t.metadata, lengths[j], 'm');
			put(f, &t);
			assert_int_equal(f->ops->get(f->s, &t.id, PART_ALL, &all), 0);
			assert_true(all.input.len == lengths[i] && all.metadata.len == lengths[j]);
			assert_memory_equal(all.input.data, t.input.data, lengths[i]);
			assert_memory_equal(all.metadata.data, t.metadata.data, lengths[j]);
			assert_int_equal(f->ops->get(f->s, &t.id, PART_INPUT, &input), 0);
			assert_true(input.input.len == lengths[i] && input.metadata.len == 0);
			assert_int_equal(f->ops->get(f->s, &t.id, PART_METADATA, &metadata), 0);
			assert_true(metadata.metadata.len == lengths[j] && metadata.input.len == 0);
			task_row_deinit(&all);
			task_row_deinit(&input);
			task_row_deinit(&metadata);
		}
}

static void what_is_not_there_is_not_found(void **state)
{
	struct fixture *f = *state;
	struct uuid id = id_of(9);
	ROW got = {0};
	struct event_row *events;
	size_t n;

	assert_int_equal(f->ops->get(f->s, &id, PART_ALL, &got), -ERRAND_NOT_FOUND);
	assert_int_equal(f->ops->events(f->s, &id, 0, 0, 10, &events, &n), 0);
	assert_int_equal(n, 0);
	event_rows_free(events, n);
}

static void the_same_id_twice_is_refused(void **state)
{
	struct fixture *f = *state;
	ROW t = row_of(1);

	put(f, &t);
	begin(f);
	assert_true(f->ops->insert(f->s, &t) < 0);
	f->ops->rollback(f->s);
}

static struct event_row event_of(uint64_t seq, enum event_kind kind, const char *text)
{
	struct event_row e = {.seq = seq, .kind = kind, .time_us = (int64_t)(100 + seq)};

	buf_append_str(&e.data, text);
	return e;
}

static void add_event(struct fixture *f, const struct uuid *id, uint64_t seq, enum event_kind kind,
		      const char *text)
{
	struct event_row e = event_of(seq, kind, text);

	assert_int_equal(f->ops->add_event(f->s, id, &e), 0);
	event_row_deinit(&e);
}

/* The seqs and kinds of events after `after`, as "2s 3p ". */
static const char *event_list(struct fixture *f, const struct uuid *id, uint64_t after,
			      enum event_kind kind, size_t limit)
{
	static char text[512];
	struct event_row *rows;
	size_t n, at = 0;

	assert_int_equal(f->ops->events(f->s, id, after, kind, limit, &rows, &n), 0);
	text[0] = 0;
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%d%c ", (int)rows[i].seq,
				       "?splr"[rows[i].kind]);
	event_rows_free(rows, n);
	return text;
}

static void rollback_undoes_everything(void **state)
{
	struct fixture *f = *state;
	ROW t = row_of(1);
	ROW other = row_of(2);
	ROW got = {0};
	struct attempt_row a = {.task = t.id, .number = 1, .start_us = 5, .owner = (char *)"me"};
	struct attempt_row *attempts;
	struct uuid id1 = t.id;
	uint64_t n, changes;
	size_t n_attempts;

	put(f, &t);
	begin(f);
	assert_int_equal(f->ops->put_attempt(f->s, &a), 0);
	add_event(f, &t.id, 2, EVENT_PROGRESS, "half");
	commit(f);
	changes = f->ops->changes(f->s);

	begin(f);
	t.state = TASK_RUNNING;
	t.version = 3;
	assert_int_equal(f->ops->insert(f->s, &other), 0);
	assert_int_equal(f->ops->update(f->s, &t, 0), 0);
	a.outcome = OUTCOME_OK;
	buf_append_str(&a.usage, "much");
	assert_int_equal(f->ops->put_attempt(f->s, &a), 0);
	a.number = 2;
	assert_int_equal(f->ops->put_attempt(f->s, &a), 0);
	buf_deinit(&a.usage);
	assert_int_equal(f->ops->drop_progress(f->s, &t.id), 0);
	add_event(f, &t.id, 3, EVENT_STATE, "x");
	assert_int_equal(f->ops->remove(f->s, &t.id), 0);
	f->ops->rollback(f->s);

	assert_true(f->ops->changes(f->s) > changes);
	assert_int_equal(f->ops->get(f->s, &other.id, 0, &got), -ERRAND_NOT_FOUND);
	assert_int_equal(f->ops->get(f->s, &id1, PART_ALL, &got), 0);
	assert_int_equal(got.state, TASK_QUEUED);
	assert_buf(&got.input, "input");
	assert_string_equal(event_list(f, &id1, 0, 0, 10), "2p ");
	assert_int_equal(f->ops->attempts(f->s, &id1, &attempts, &n_attempts), 0);
	assert_int_equal(n_attempts, 1);
	assert_int_equal(attempts[0].outcome, OUTCOME_NONE);
	assert_int_equal(attempts[0].usage.len, 0);
	attempt_rows_free(attempts, n_attempts);
	assert_int_equal(f->ops->count(f->s, "default", TASK_QUEUED, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(f->ops->count(f->s, "default", TASK_RUNNING, &n), 0);
	assert_int_equal(n, 0);
}

static void claims_go_by_priority_then_age(void **state)
{
	struct fixture *f = *state;

	put_in(f, 1, "q", TASK_QUEUED, 0, 10);
	put_in(f, 2, "q", TASK_QUEUED, 5, 30);
	put_in(f, 3, "q", TASK_QUEUED, 5, 20);
	put_in(f, 4, "q", TASK_RETRYING, 1, 50);
	put_in(f, 5, "q", TASK_RETRYING, 9, 60);
	put_in(f, 6, "other", TASK_QUEUED, 99, 1);
	put_in(f, 7, "q", TASK_RUNNING, 99, 1);
	put_in(f, 9, "q", TASK_QUEUED, 0, 10);
	assert_string_equal(claim_list(f, "q", 10), "3 2 1 9 ");
	assert_string_equal(claim_list(f, "q", 2), "3 2 ");
	assert_string_equal(claim_list(f, "nobody", 2), "");
}

static void put_waking(struct fixture *f, int n, enum task_state state, int64_t wake_us, bool wall)
{
	ROW t = row_of(n);

	t.state = state;
	t.wake_us = wake_us;
	t.wake_wall = wall;
	t.end_us = task_state_terminal(state) ? 50 : 0;
	put(f, &t);
}

/* The last byte of each id, in order. */
static const char *ids_of(struct task_row *rows, size_t n)
{
	static char text[128];
	size_t at = 0;

	text[0] = 0;
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(text + at, sizeof text - at, "%d ", rows[i].id.b[15]);
		task_row_deinit(&rows[i]);
	}
	return text;
}

static void the_clock_wakes_who_waits(void **state)
{
	struct fixture *f = *state;
	struct task_row rows[8];
	int64_t at = -1;
	size_t n;

	assert_int_equal(f->ops->next_wake(f->s, false, &at), 0);
	assert_int_equal(at, 0);
	put_waking(f, 1, TASK_RETRYING, 500, false);
	put_waking(f, 2, TASK_SCHEDULED, 400, false);
	put_waking(f, 3, TASK_SCHEDULED, 300, true);
	put_waking(f, 4, TASK_QUEUED, 450, false);
	put_waking(f, 5, TASK_QUEUED, 0, false);
	put_waking(f, 6, TASK_SUCCEEDED, 100, false);
	put_waking(f, 7, TASK_EXPIRED, 90, false);
	put_waking(f, 8, TASK_HELD, 460, false);
	put_waking(f, 9, TASK_RUNNING, 0, false);
	assert_int_equal(f->ops->next_wake(f->s, false, &at), 0);
	assert_int_equal(at, 400);
	assert_int_equal(f->ops->next_wake(f->s, true, &at), 0);
	assert_int_equal(at, 300);
	assert_int_equal(f->ops->next_forget(f->s, &at), 0);
	assert_int_equal(at, 90);
	assert_int_equal(f->ops->waking(f->s, false, 460, 8, rows, &n), 0);
	assert_string_equal(ids_of(rows, n), "2 4 8 ");
	assert_int_equal(f->ops->waking(f->s, false, 1000, 2, rows, &n), 0);
	assert_string_equal(ids_of(rows, n), "2 4 ");
	assert_int_equal(f->ops->waking(f->s, true, 299, 8, rows, &n), 0);
	assert_string_equal(ids_of(rows, n), "");
	assert_int_equal(f->ops->forgettable(f->s, 99, 8, rows, &n), 0);
	assert_string_equal(ids_of(rows, n), "7 ");
}

/* --- records --- */

static void put_key(struct fixture *f, enum record_kind kind, const char *key, int64_t due_us)
{
	struct record r = {.kind = kind, .due_us = due_us};

	buf_append(&r.key, key, strlen(key));
	buf_append(&r.data, "d", 1);
	buf_append(&r.data, key, strlen(key));
	assert_int_equal(f->ops->put_record(f->s, &r), 0);
	record_deinit(&r);
}

static struct bytes key_of(const char *key)
{
	return (struct bytes){(const uint8_t *)key, strlen(key)};
}

static const char *keys_of(struct record *rows, size_t n)
{
	static char text[128];
	size_t at = 0;

	text[0] = 0;
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof text - at, "%.*s ", (int)rows[i].key.len,
				       (const char *)rows[i].key.data);
	records_free(rows, n);
	return text;
}

static const char *listed(struct fixture *f, const char *prefix, const char *after, size_t limit)
{
	struct record *rows;
	size_t n;

	assert_int_equal(f->ops->list_records(f->s, RECORD_META, key_of(prefix), key_of(after), limit,
					      &rows, &n), 0);
	return keys_of(rows, n);
}

static void records_by_key(void **state)
{
	struct fixture *f = *state;
	struct record one;
	uint64_t count;

	begin(f);
	put_key(f, RECORD_META, "b", 0);
	put_key(f, RECORD_META, "ab", 7);
	put_key(f, RECORD_META, "aa", 0);
	put_key(f, RECORD_QUEUE, "a", 0);
	commit(f);
	assert_int_equal(f->ops->get_record(f->s, RECORD_META, key_of("ab"), &one), 0);
	assert_buf(&one.data, "dab");
	assert_int_equal(one.due_us, 7);
	record_deinit(&one);
	assert_int_equal(f->ops->get_record(f->s, RECORD_META, key_of("a"), &one), -ERRAND_NOT_FOUND);
	assert_string_equal(listed(f, "", "", 9), "aa ab b ");
	assert_string_equal(listed(f, "a", "aa", 9), "ab ");
	assert_string_equal(listed(f, "", "aa", 1), "ab ");
	begin(f);
	put_key(f, RECORD_META, "ab", 0);
	assert_int_equal(f->ops->remove_record(f->s, RECORD_META, key_of("aa")), 0);
	assert_int_equal(f->ops->remove_record(f->s, RECORD_META, key_of("none")), 0);
	f->ops->rollback(f->s);
	assert_int_equal(f->ops->count_records(f->s, RECORD_META, &count), 0);
	assert_int_equal(count, 3);
	assert_int_equal(f->ops->get_record(f->s, RECORD_META, key_of("ab"), &one), 0);
	assert_int_equal(one.due_us, 7);
	record_deinit(&one);
}

static void records_by_time(void **state)
{
	struct fixture *f = *state;
	struct record *rows;
	int64_t at;
	size_t n;

	begin(f);
	put_key(f, RECORD_SCHEDULE, "x", 50);
	put_key(f, RECORD_SCHEDULE, "y", 0);
	put_key(f, RECORD_SCHEDULE, "z", 40);
	put_key(f, RECORD_DELIVERY, "w", 10);
	commit(f);
	assert_int_equal(f->ops->next_record(f->s, RECORD_SCHEDULE, &at), 0);
	assert_int_equal(at, 40);
	assert_int_equal(f->ops->next_record(f->s, RECORD_UNIQUE, &at), 0);
	assert_int_equal(at, 0);
	assert_int_equal(f->ops->due_records(f->s, RECORD_SCHEDULE, 50, 9, &rows, &n), 0);
	assert_string_equal(keys_of(rows, n), "z x ");
	assert_int_equal(f->ops->due_records(f->s, RECORD_SCHEDULE, 49, 9, &rows, &n), 0);
	assert_string_equal(keys_of(rows, n), "z ");
}

static void owned_and_queues_and_count(void **state)
{
	struct fixture *f = *state;
	struct task_row rows[8];
	char **names;
	size_t n;
	uint64_t count;

	put_in(f, 1, "a", TASK_RUNNING, 0, 1);
	put_in(f, 2, "a", TASK_CANCELLING, 0, 1);
	put_in(f, 3, "b", TASK_QUEUED, 0, 1);
	put_in(f, 4, "c", TASK_RETRYING, 0, 1);
	put_in(f, 5, "d", TASK_SUCCEEDED, 0, 1);
	put_in(f, 6, "b", TASK_QUEUED, 0, 1);
	assert_int_equal(f->ops->owned(f->s, 5, true, 8, rows, &n), 0);
	assert_string_equal(ids_of(rows, n), "1 2 ");
	assert_int_equal(f->ops->owned(f->s, 5, true, 1, rows, &n), 0);
	assert_string_equal(ids_of(rows, n), "1 ");
	assert_int_equal(f->ops->owned(f->s, 0, false, 8, rows, &n), 0);
	assert_string_equal(ids_of(rows, n), "1 2 ");
	assert_int_equal(f->ops->owned(f->s, 5, false, 8, rows, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(f->ops->queues(f->s, &names, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(names[0], "b");
	store_queues_free(names, n);
	assert_int_equal(f->ops->count(f->s, "b", TASK_QUEUED, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(f->ops->count(f->s, "d", TASK_SUCCEEDED, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(f->ops->count(f->s, "c", TASK_RETRYING, &count), 0);
	assert_int_equal(count, 1);
}

/* The page's ids as "3 2 ", and "+" when there may be more. */
static const char *scan_text(struct fixture *f, struct store_scan *scan)
{
	static char text[256];
	struct store_page page;
	size_t at = 0;

	assert_int_equal(f->ops->scan(f->s, scan, &page), 0);
	text[0] = 0;
	for (size_t i = 0; i < page.n; i++) {
		assert_int_equal(page.rows[i].input.len, 0);
		at += (size_t)snprintf(text + at, sizeof text - at, "%d ", page.rows[i].id.b[15]);
	}
	if (page.more)
		snprintf(text + at, sizeof text - at, "+");
	scan->after = page.last;
	scan->after_set = page.more;
	store_page_deinit(&page);
	return text;
}

/* What it is used for is tests/contract/test_list.c's. */
static void walks_each_index_both_ways(void **state)
{
	static const struct {
		enum store_index index;
		const char *there, *back;
	} table[] = {
		{INDEX_ID, "1 2 3 4 5 6 ", "6 5 4 3 2 1 "},
		{INDEX_STATE, "1 4 6 ", "6 4 1 "},
		{INDEX_TURN, "4 6 ", "6 4 "},
		{INDEX_RUN_AT, "3 5 ", "5 3 "},
		{INDEX_END, "2 ", "2 "},
	};
	struct fixture *f = *state;
	ROW ended = row_of(2);

	put_in(f, 1, "a", TASK_QUEUED, 0, 1);
	ended.state = TASK_SUCCEEDED;
	ended.end_us = 7;
	put(f, &ended);
	put_in(f, 3, "a", TASK_RETRYING, 0, 1);
	put_in(f, 4, "b", TASK_QUEUED, 5, 9);
	put_in(f, 5, "a", TASK_SCHEDULED, 0, 2);
	put_in(f, 6, "b", TASK_QUEUED, 0, 1);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct store_scan scan = {.index = table[i].index, .state = TASK_QUEUED, .queue = "b",
					  .limit = 10, .look = 10};

		assert_string_equal(scan_text(f, &scan), table[i].there);
		scan.backward = true;
		assert_string_equal(scan_text(f, &scan), table[i].back);
	}
}

static void a_walk_has_bounds(void **state)
{
	struct fixture *f = *state;
	struct store_scan two = {.limit = 2, .look = 10, .backward = true};
	struct store_scan look = {.limit = 10, .look = 3};
	struct store_scan stop = {.limit = 10, .look = 10, .stop_set = true, .stop = id_of(3)};

	for (unsigned i = 1; i <= 4; i++)
		put_in(f, i, "a", TASK_QUEUED, 0, 1);
	assert_string_equal(scan_text(f, &two), "4 3 +");
	put_in(f, 5, "b", TASK_QUEUED, 0, 1); /* newer: not on a page after */
	assert_string_equal(scan_text(f, &two), "2 1 +");
	assert_string_equal(scan_text(f, &two), "");
	assert_string_equal(scan_text(f, &look), "1 2 3 +");
	assert_string_equal(scan_text(f, &look), "4 5 ");
	assert_string_equal(scan_text(f, &stop), "1 2 3 ");
}

static void attempts_come_by_number(void **state)
{
	struct fixture *f = *state;
	ROW t = row_of(1);
	struct attempt_row a = {.task = t.id, .number = 2, .start_us = 7, .owner = (char *)"host/1"};
	struct attempt_row *rows;
	size_t n;

	put(f, &t);
	begin(f);
	a.number = 1;
	assert_int_equal(f->ops->put_attempt(f->s, &a), 0);
	a.number = 2;
	buf_append_str(&a.usage, "old");
	assert_int_equal(f->ops->put_attempt(f->s, &a), 0);
	buf_reset(&a.usage);
	buf_append(&a.usage, "pe\0ak", 5); /* bytes, not text */
	a.outcome = OUTCOME_EXIT;
	a.exit_status = 3;
	a.end_us = 9;
	buf_append_str(&a.error, "why");
	assert_int_equal(f->ops->put_attempt(f->s, &a), 0);
	commit(f);
	buf_deinit(&a.error);
	buf_deinit(&a.usage);
	assert_int_equal(f->ops->attempts(f->s, &t.id, &rows, &n), 0);
	assert_int_equal(n, 2);
	assert_true(rows[0].number == 1 && rows[0].outcome == OUTCOME_NONE && rows[0].end_us == 0);
	assert_true(rows[1].number == 2 && rows[1].outcome == OUTCOME_EXIT &&
		    rows[1].exit_status == 3 && rows[1].start_us == 7 && rows[1].end_us == 9);
	assert_buf(&rows[1].error, "why");
	assert_int_equal(rows[0].usage.len, 0);
	assert_int_equal(rows[1].usage.len, 5);
	assert_memory_equal(rows[1].usage.data, "pe\0ak", 5);
	assert_string_equal(rows[1].owner, "host/1");
	attempt_rows_free(rows, n);
}

static void events_come_in_order(void **state)
{
	struct fixture *f = *state;
	ROW t = row_of(1);
	ROW other = row_of(2);
	struct event_row *rows;
	size_t n;

	put(f, &t);
	put(f, &other);
	begin(f);
	add_event(f, &t.id, 2, EVENT_STATE, "run");
	add_event(f, &t.id, 3, EVENT_PROGRESS, "1");
	add_event(f, &t.id, 4, EVENT_LOG, "line");
	add_event(f, &other.id, 2, EVENT_STATE, "run");
	commit(f);
	assert_string_equal(event_list(f, &t.id, 0, 0, 10), "2s 3p 4l ");
	assert_string_equal(event_list(f, &t.id, 2, 0, 1), "3p ");
	assert_string_equal(event_list(f, &t.id, 0, EVENT_LOG, 10), "4l ");
	assert_string_equal(event_list(f, &t.id, UINT64_MAX, 0, 10), "");
	begin(f);
	assert_int_equal(f->ops->drop_progress(f->s, &t.id), 0);
	add_event(f, &t.id, 5, EVENT_PROGRESS, "2");
	add_event(f, &t.id, 6, EVENT_RESULT, "");
	commit(f);
	assert_string_equal(event_list(f, &t.id, 0, 0, 10), "2s 4l 5p 6r ");
	assert_int_equal(f->ops->events(f->s, &t.id, 4, 0, 10, &rows, &n), 0);
	assert_int_equal(n, 2);
	assert_buf(&rows[0].data, "2");
	assert_int_equal(rows[0].time_us, 105);
	event_rows_free(rows, n);
}

static void remove_takes_all_of_it(void **state)
{
	struct fixture *f = *state;
	ROW t = row_of(1);
	ROW got = {0};
	struct attempt_row a = {.task = t.id, .number = 1}, *rows;
	size_t n;

	put(f, &t);
	begin(f);
	assert_int_equal(f->ops->put_attempt(f->s, &a), 0);
	add_event(f, &t.id, 2, EVENT_STATE, "x");
	commit(f);
	begin(f);
	assert_int_equal(f->ops->remove(f->s, &t.id), 0);
	commit(f);
	assert_int_equal(f->ops->get(f->s, &t.id, 0, &got), -ERRAND_NOT_FOUND);
	assert_string_equal(event_list(f, &t.id, 0, 0, 10), "");
	assert_int_equal(f->ops->attempts(f->s, &t.id, &rows, &n), 0);
	assert_int_equal(n, 0);
	assert_string_equal(claim_list(f, "default", 8), "");
	put(f, &t); /* nothing of the former one is left */
	assert_int_equal(f->ops->get(f->s, &t.id, PART_ALL, &got), 0);
	assert_int_equal(got.result.len, 0);
}

static void tails_find_one_or_none(void **state)
{
	struct fixture *f = *state;
	struct uuid id;

	put_in(f, 0x00abcdef, "q", TASK_QUEUED, 0, 1);
	put_in(f, 0x01abcdef, "q", TASK_QUEUED, 0, 1);
	put_in(f, 0x00abcde0, "q", TASK_QUEUED, 0, 1);
	assert_int_equal(f->ops->find_tail(f->s, "abcde0", &id), 0);
	assert_int_equal(id.b[15], 0xe0);
	assert_int_equal(f->ops->find_tail(f->s, "ABCDE0", &id), 0);
	assert_int_equal(f->ops->find_tail(f->s, "abcdef", &id), -ERRAND_FAILED_PRECONDITION);
	assert_int_equal(f->ops->find_tail(f->s, "1abcdef", &id), 0);
	assert_int_equal(id.b[12], 1);
	assert_int_equal(f->ops->find_tail(f->s, "8000-000000abcdef", &id), 0);
	assert_int_equal(id.b[12], 0);
	assert_int_equal(f->ops->find_tail(f->s, "bcdef", &id), -ERRAND_NOT_FOUND);
	assert_int_equal(f->ops->find_tail(f->s, "99999999", &id), -ERRAND_NOT_FOUND);
	assert_int_equal(f->ops->find_tail(f->s, "' OR 1=1", &id), -ERRAND_NOT_FOUND);
	assert_int_equal(f->ops->find_tail(f->s, "", &id), -ERRAND_NOT_FOUND);
}

static void large_buffers_come_back_whole(void **state)
{
	struct fixture *f = *state;
	ROW t = row_of(1);
	ROW got = {0};

	for (int i = 0; i < 1 << 20; i++)
		buf_append_byte(&t.input, (uint8_t)(i * 7));
	put(f, &t);
	assert_int_equal(f->ops->get(f->s, &t.id, PART_INPUT, &got), 0);
	assert_int_equal(got.input.len, t.input.len);
	assert_memory_equal(got.input.data, t.input.data, t.input.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(keeps_every_member),
		BOTH(reads_only_the_parts_asked_for),
		BOTH(update_writes_what_may_change),
		BOTH(keeps_what_it_was_made_with),
		BOTH(what_is_not_there_is_not_found),
		BOTH(the_same_id_twice_is_refused),
		BOTH(rollback_undoes_everything),
		BOTH(claims_go_by_priority_then_age),
		BOTH(the_clock_wakes_who_waits),
		BOTH(records_by_key),
		BOTH(records_by_time),
		BOTH(owned_and_queues_and_count),
		BOTH(walks_each_index_both_ways),
		BOTH(a_walk_has_bounds),
		BOTH(attempts_come_by_number),
		BOTH(events_come_in_order),
		BOTH(remove_takes_all_of_it),
		BOTH(tails_find_one_or_none),
		BOTH(large_buffers_come_back_whole),
	};

	log_init("test_store", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
