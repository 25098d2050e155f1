/* test_task_watch.c: what can be seen of a task: progress, lines of its log,
 * watches, waiting for its end, lists. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "task_rig.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/task_page.h"

/* --- progress and logs --- */

static void *report_progress(void *arg)
{
	struct errand_call *c = arg;

	for (int i = 1; i <= 1000; i++)
		c->p.source->progress(c, i / 1000.0, i == 1000 ? "all" : "some", (struct bytes){0},
				       c->p.arg);
	return NULL;
}

static void progress_is_coalesced_and_the_last_is_kept(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);
	struct seen *live = watch(o.id, 0, EVENT_PROGRESS, true);
	pthread_t thread;

	pthread_create(&thread, NULL, report_progress, c);
	pthread_join(thread, NULL);
	get(o.id);
	answer_ok(c, "");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_true(o.progress == 1.0);
	await(watch_over, live);
	assert_in_range(live->n, 1, 3);
	assert_in_range(o.version, 5, 7);
	free(live);
}

static void lines_are_kept_in_order_up_to_the_cap(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);
	struct seen *lines;
	uint64_t sent = 0;

	for (int i = 0; i < 500; i++) {
		char line[32];

		snprintf(line, sizeof line, "line %d", i);
		say(c, i % 2 ? "stderr" : "stdout", line);
		sent += strlen(line) + 1;
	}
	answer_ok(c, "");
	o = await_state(o.id, TASK_SUCCEEDED);
	assert_true(o.log_bytes > 0 && o.log_dropped > 0);
	assert_int_equal(o.log_bytes + o.log_dropped, sent);
	assert_true(o.log_bytes <= 4096);
	lines = watch(o.id, 0, EVENT_LOG, false);
	await(watch_over, lines);
	assert_true(lines->n > 50 && lines->n < 500);
	free(lines);
	say(c, "stdout", "too late: nobody is there any more");
}

static char last_log[128];

static bool keep_log(const struct uuid *id, const struct event_row *e, void *arg)
{
	struct pbuf_reader r = pbuf_reader(e->data.data, e->data.len), inner;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 8) {
			inner = pbuf_reader(f.bytes.data, f.bytes.len);
			last_log[0] = 0;
			while (pbuf_next(&inner, &f))
				if (f.number == 3 || f.number == 5)
					snprintf(last_log + strlen(last_log), sizeof last_log - strlen(last_log), "%.*s|",
						 (int)f.bytes.len, (char *)f.bytes.data);
		}
	return true;
}

static void flag_ended(int code, const char *why, void *arg)
{
	*(bool *)arg = true;
}

static void dropped_bytes_are_told_and_text_is_utf_8(void **state)
{
	static const struct task_watch_ops ops = {.event = keep_log, .ended = flag_ended};
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);
	char big[4097];
	bool ended = false;

	say(c, "handler", "caf\xe9 \xf0\x9f\x98\x80");
	task_watch(o.id, 0, EVENT_LOG, false, &ops, &ended);
	await(is_set, &ended);
	while (strcmp(last_log, "handler|caf\xef\xbf\xbd \xf0\x9f\x98\x80|") != 0) {
		ended = false;
		task_watch(o.id, 0, EVENT_LOG, false, &ops, &ended);
		await(is_set, &ended);
	}
	memset(big, 'x', 4096);
	big[4096] = 0;
	say(c, "stderr", big);
	answer_ok(c, "");
	await_state(o.id, TASK_SUCCEEDED);
	ended = false;
	task_watch(o.id, 0, EVENT_LOG, false, &ops, &ended);
	await(is_set, &ended);
	assert_string_equal(last_log, "errand|4097 bytes dropped|");
}

/* --- watching --- */

static void a_watch_of_no_task_ends_with_an_error(void **state)
{
	struct seen *s = watch("01936b2c-0000-7000-8000-000000000000", 0, 0, true);

	await(watch_over, s);
	assert_int_equal(s->code, ERRAND_NOT_FOUND);
	assert_int_equal(s->n, 0);
	free(s);
}

static void a_watch_that_has_seen_all_ends_empty(void **state)
{
	struct outcome o = create("t.T/Run");
	struct seen *s;

	answer_ok(await_call(1), "");
	o = await_state(o.id, TASK_SUCCEEDED);
	s = watch(o.id, o.version, 0, true);
	await(watch_over, s);
	assert_int_equal(s->code, 0);
	assert_int_equal(s->n, 0);
	free(s);
}

static void unwatching_is_silent(void **state)
{
	struct outcome o = create("t.T/Run");
	struct seen *at_once = watch(o.id, 0, 0, true), *later = watch(o.id, 0, 0, true);

	task_unwatch(at_once->watch);
	await_call(1);
	get(o.id);
	task_unwatch(later->watch);
	later->n = 0;
	answer_ok(&calls[0], "");
	await_state(o.id, TASK_SUCCEEDED);
	assert_int_equal(at_once->n + later->n, 0);
	assert_false(at_once->ended || later->ended);
	free(at_once);
	free(later);
}

#define N_WATCHERS 12

/* Watchers that leave and come back with their last id, pause and go on, while a
 * task writes: each of them sees every line and state once and in order. */
static void every_event_once_and_in_order(void **state)
{
	struct outcome o = create("t.T/Run");
	struct errand_call *c = await_call(1);
	struct seen *s[N_WATCHERS];
	const char *whole;
	size_t n_lines = 0;

	for (unsigned i = 0; i < N_WATCHERS; i++) {
		s[i] = watch(o.id, 0, 0, true);
		s[i]->pause_every = i % 4;
	}
	srandom(3);
	for (int round = 0; round < 60; round++) {
		for (int k = random() % 3; k > 0 && n_lines < 100; k--, n_lines++)
			say(c, "stdout", "l");
		get(o.id);
		for (unsigned i = 0; i < N_WATCHERS; i++) {
			watch_over(s[i]);
			if (s[i]->watch != NULL && random() % 4 == 0) {
				task_unwatch(s[i]->watch);
				s[i]->paused = false;
				s[i]->watch = task_watch(o.id, s[i]->n ? s[i]->seqs[s[i]->n - 1] : 0, 0, true,
							 &watch_ops, s[i]);
			}
		}
		if (round == 30)
			answer_error(c, ERRAND_UNAVAILABLE, false);
		if (round == 31)
			c = await_call(2);
		if (round % 16 == 7)
			usleep(60000); /* for more than one flush of lines */
	}
	answer_ok(c, "end");
	await_state(o.id, TASK_SUCCEEDED);
	whole = history(o.id);
	assert_non_null(strstr(whole, "log"));
	for (unsigned i = 0; i < N_WATCHERS; i++) {
		await(watch_over, s[i]);
		assert_int_equal(s[i]->code, 0);
		assert_string_equal(s[i]->text, whole);
		for (size_t k = 1; k < s[i]->n; k++)
			assert_true(s[i]->seqs[k] > s[i]->seqs[k - 1]);
		free(s[i]);
	}
}

/* --- waiting and lists --- */

static void waiting_for_the_end(void **state)
{
	struct outcome o = create("t.T/Run"), end = {0}, change = {0}, late = {0}, none = {0};
	struct errand_call *c = await_call(1);

	o = get(o.id);
	task_wait(o.id, 0, 10 * NS_PER_S, on_done, &end);
	task_wait(o.id, o.version, -1, on_done, &change);
	task_wait(o.id, 0, NS_PER_MS, on_done, &late);
	task_wait("123456", 0, NS_PER_S, on_done, &none);
	await(outcome_done, &late);
	assert_int_equal(late.state, TASK_RUNNING);
	await(outcome_done, &none);
	assert_int_equal(none.code, ERRAND_NOT_FOUND);
	assert_false(end.done || change.done);
	say(c, "stdout", "a change");
	await(outcome_done, &change);
	assert_true(change.version > o.version);
	assert_int_equal(change.state, TASK_RUNNING);
	answer_ok(c, "r");
	await(outcome_done, &end);
	assert_int_equal(end.state, TASK_SUCCEEDED);
	assert_string_equal(end.result, "r");
	memset(&end, 0, sizeof end);
	task_wait(o.id, 0, -1, on_done, &end); /* has ended already */
	await(outcome_done, &end);
	task_unwait(task_wait(o.id, 0, -1, on_done, &end));
}

struct maker {
	struct outcome made, end;
	struct task_wait *wait;
};

static void on_made(int code, enum task_found found, const char *why, const struct task_row *row,
		    void *arg)
{
	struct maker *m = arg;

	on_done(code, why, row, &m->made);
	m->wait = task_wait_made(row, -1, on_done, &m->end);
}

static void make(struct maker *m)
{
	struct task_spec spec = {.method = registry_method_by_name("t.T/Run"),
				 .input = {(const uint8_t *)"in", 2}};

	*m = (struct maker){0};
	task_create(&spec, on_made, m);
	await(outcome_done, &m->made);
	assert_false(m->end.done);
}

/* Beside others who wait for the same, with an error, and when he has let go. */
static void the_maker_waits_for_the_end(void **state)
{
	struct maker m, left;
	struct outcome other = {0};

	make(&m);
	task_wait(m.made.id, 0, -1, on_done, &other);
	answer_ok(await_call(1), "r");
	await(outcome_done, &m.end);
	assert_int_equal(m.end.state, TASK_SUCCEEDED);
	assert_string_equal(m.end.result, "r");
	assert_string_equal(m.end.id, m.made.id);
	await(outcome_done, &other);
	assert_string_equal(other.result, "r");

	make(&m);
	answer_error(await_call(2), ERRAND_FAILED_PRECONDITION, true);
	await(outcome_done, &m.end);
	assert_int_equal(m.end.state, TASK_FAILED);
	assert_int_equal(m.end.problem_code, ERRAND_FAILED_PRECONDITION);

	make(&m);
	await_call(3);
	make(&left);
	task_unwait(left.wait);
	answer_ok(await_call(4), "to nobody");
	answer_ok(await_call(3), "last");
	await(outcome_done, &m.end);
	assert_string_equal(m.end.result, "last");
}

static char list_ids[2048];
static char list_next[TASK_PAGE_TOKEN_SIZE];

static void on_list(int code, const char *why, const struct task_row *rows, size_t n,
		    const char *next, void *arg)
{
	char id[UUID_TEXT_SIZE];

	assert_int_equal(code, 0);
	for (size_t i = 0; i < n; i++)
		strcat(list_ids, uuid_format(&rows[i].id, id));
	*(bool *)arg = true;
	if (next != NULL)
		strcpy(list_next, next);
}

static void list(const struct task_query_words *words)
{
	struct task_query query;
	bool done = false;
	const char *word;
	char why[256];

	assert_int_equal(task_query_read(words, &query, &word, why, sizeof why), 0);
	task_list(&query, on_list, &done);
	await(is_set, &done);
}

static void lists_come_in_pages(void **state)
{
	struct task_query_words w = {.limit = 2, .method = "t.T/Slow"};
	struct outcome o[4];

	for (int i = 0; i < 4; i++)
		o[i] = create(i == 1 ? "t.T/Run" : "t.T/Slow");
	/* Ids of one millisecond are in no order: the list's is by id. */
	list_ids[0] = 0;
	list(&w);
	w.page_token = list_next;
	list(&w);
	for (int i = 0; i < 4; i++)
		assert_true((strstr(list_ids, o[i].id) != NULL) == (i != 1));
	assert_int_equal(strlen(list_ids), 3 * 36);
	for (int i = 0; i < 2; i++)
		assert_true(memcmp(list_ids + 36 * i, list_ids + 36 * (i + 1), 36) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(progress_is_coalesced_and_the_last_is_kept),
		BOTH(lines_are_kept_in_order_up_to_the_cap),
		BOTH(dropped_bytes_are_told_and_text_is_utf_8),
		BOTH(a_watch_of_no_task_ends_with_an_error),
		BOTH(a_watch_that_has_seen_all_ends_empty),
		BOTH(unwatching_is_silent),
		BOTH(every_event_once_and_in_order),
		BOTH(waiting_for_the_end),
		BOTH(the_maker_waits_for_the_end),
		BOTH(lists_come_in_pages),
	};

	log_init("test_task_watch", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
