/* test_list.c: pages of tasks (service/task_list.h) from every kind of store: random
 * rows and queries against a plain reading of all rows, walked page by page while rows
 * come, change and go; what is refused and how; tokens; what a page may cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_rig.h"

#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/task_list.h"
#include "service/task_page.h"

#define N 400
#define T0 1767225600000000LL /* 2026-01-01 */

static uint32_t seed;

static uint32_t pick(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* --- rows --- */

static void put_label(struct task_row *t, const char *key, const char *value)
{
	AUTO_BUF entry = BUF_INIT;

	pbuf_put_str(&entry, 1, key);
	pbuf_put_str(&entry, 2, value);
	pbuf_put_bytes(&t->options, 5, entry.data, entry.len);
	t->flags |= TASK_HAS_LABELS;
}

/* The n-th task, made n seconds after T0, its id as it is made then. */
static struct task_row make_row(unsigned n)
{
	static const char *const queues[] = {"default", "media"}, *const values[] = {"", "x", "xy"};
	struct task_row t = row_of(n);
	uint64_t ms;

	t.create_us = T0 + n * US_PER_S;
	ms = (uint64_t)t.create_us / 1000;
	for (int i = 0; i < 6; i++)
		t.id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	free(t.queue);
	t.queue = xstrdup(queues[pick(2)]);
	t.state = (enum task_state)(1 + pick(TASK_N_STATES - 1));
	t.priority = (int32_t)pick(5) - 2;
	t.run_at_us = T0 + pick(50);
	t.end_us = task_state_terminal(t.state) ? T0 + pick(50) : 0;
	t.attempt = pick(3);
	if (pick(2))
		put_label(&t, "customer", values[pick(3)]);
	if (pick(4) == 0)
		put_label(&t, "other", "y");
	return t;
}

struct rows {
	struct task_row row[N];
	bool there[N], touched[N]; /* touched: changed after the walk began */
	size_t n;
};

static void add_row(struct fixture *f, struct rows *all)
{
	struct task_row *t = &all->row[all->n];

	*t = make_row((unsigned)all->n);
	begin(f);
	assert_int_equal(f->ops->insert(f->s, t), 0);
	assert_int_equal(task_labels_put(f->ops, f->s, t), 0);
	commit(f);
	all->there[all->n++] = true;
}

static void remove_row(struct fixture *f, struct rows *all, size_t i)
{
	begin(f);
	assert_int_equal(task_labels_drop(f->ops, f->s, &all->row[i]), 0);
	assert_int_equal(f->ops->remove(f->s, &all->row[i].id), 0);
	commit(f);
	all->there[i] = false;
	all->touched[i] = true;
}

static void change_row(struct fixture *f, struct rows *all, size_t i)
{
	struct task_row *t = &all->row[i];

	t->state = (enum task_state)(1 + pick(TASK_N_STATES - 1));
	t->priority = (int32_t)pick(5) - 2;
	t->end_us = task_state_terminal(t->state) ? T0 + pick(50) : 0;
	begin(f);
	assert_int_equal(f->ops->update(f->s, t, 0), 0);
	commit(f);
	all->touched[i] = true;
}

static struct rows *rows_free(struct rows *all)
{
	for (size_t i = 0; i < all->n; i++)
		task_row_deinit(&all->row[i]);
	free(all);
	return NULL;
}

/* --- queries --- */

static const char *const filters[] = {
	"", "state = queued AND queue = media", "state = queued AND queue = default AND attempt < 2",
	"state = running OR state = failed", "NOT state = succeeded", "queue = media",
	"labels.customer = x", "labels.customer = \"\" AND state = failed", "labels:other",
	"labels.customer = x* AND priority > 0", "end_time:*", "end_time > \"2026-01-01T00:00:00.000020Z\"",
	"run_at:*", "state = scheduled", "create_time > 2026-01-01T00:01:00Z AND create_time <= "
	"2026-01-01T00:03:00Z", "create_time < 2026-01-01T00:02:00Z AND labels.customer = xy",
	"state = retrying AND state = queued", "attempt = 1 AND queue = default",
};

static const char *const orders[] = {"", "create_time", "create_time desc", "end_time",
				     "end_time desc", "priority", "priority desc", "run_at",
				     "run_at desc"};

static bool read_query(struct task_query *q, const char *filter, const char *order, size_t limit)
{
	struct task_query_words w = {.filter = filter, .order_by = order, .limit = limit};
	const char *word;
	char why[512];

	return task_query_read(&w, q, &word, why, sizeof why) == 0;
}

static const struct task_query *sorting;

/* As the query orders: what the order is by, then the id. */
static int by_query(const void *a, const void *b)
{
	const struct task_row *x = *(const struct task_row *const *)a;
	const struct task_row *y = *(const struct task_row *const *)b;
	int64_t p = 0, q = 0;
	int order;

	if (sorting->order == ORDER_PRIORITY) {
		order = task_row_turn(x, y);
		return sorting->desc ? order : -order;
	}
	if (sorting->order == ORDER_END)
		p = x->end_us, q = y->end_us;
	if (sorting->order == ORDER_RUN_AT)
		p = x->run_at_us, q = y->run_at_us;
	order = p != q ? (p < q ? -1 : 1) : memcmp(&x->id, &y->id, sizeof x->id);
	return sorting->desc ? -order : order;
}

/* The rows the query takes, in its order. */
static size_t expected(struct rows *all, const struct task_query *q, const struct task_row **out)
{
	size_t n = 0;

	for (size_t i = 0; i < all->n; i++)
		if (all->there[i] && task_filter_match(q->filter, &all->row[i]))
			out[n++] = &all->row[i];
	sorting = q;
	qsort(out, n, sizeof *out, by_query);
	return n;
}

/* False: it was the last. */
static bool next_page(struct fixture *f, struct task_query *q, struct store_page *page)
{
	char token[TASK_PAGE_TOKEN_SIZE];

	begin(f);
	assert_int_equal(task_query_page(q, f->ops, f->s, page), 0);
	commit(f);
	assert_true(page->n <= q->limit);
	if (!page->more)
		return false;
	task_page_token(q, &page->last, token);
	assert_true(task_page_parse(token, q));
	assert_memory_equal(&q->after, &page->last, sizeof q->after);
	return true;
}

static void walk(struct fixture *f, struct rows *all, struct task_query *q, const char *what)
{
	const struct task_row *want[N];
	size_t n = expected(all, q, want), at = 0, pages = 0;
	bool more;
	struct store_page page;

	do {
		more = next_page(f, q, &page);
		for (size_t i = 0; i < page.n; i++, at++) {
			if (at >= n || memcmp(&page.rows[i].id, &want[at]->id, sizeof(struct uuid)) != 0)
				fail_msg("%s: row %zu of %zu is another", what, at, n);
			assert_int_equal(page.rows[i].options.len, want[at]->options.len);
			assert_int_equal(page.rows[i].input.len, 0);
		}
		store_page_deinit(&page);
		assert_true(++pages < 2000);
	} while (more);
	if (at != n)
		fail_msg("%s: %zu rows of %zu", what, at, n);
}

static void gives_every_row_once_and_in_order(void **state)
{
	struct fixture *f = *state;
	struct rows *all = xcalloc(1, sizeof *all);
	size_t taken = 0;

	seed = 7;
	while (all->n < N)
		add_row(f, all);
	for (size_t i = 0; i < ARRAY_LEN(filters); i++)
		for (size_t j = 0; j < ARRAY_LEN(orders); j++) {
			struct task_query q;
			char what[256];

			snprintf(what, sizeof what, "%s: %s ORDER BY %s", f->ops->name, filters[i],
				 orders[j]);
			if (!read_query(&q, filters[i], orders[j], 1 + pick(30)))
				continue;
			walk(f, all, &q, what);
			task_query_deinit(&q);
			taken++;
		}
	assert_in_range(taken, 40, 120);
	rows_free(all);
}

/* What is there all the time and is not touched comes exactly once. */
static void stays_right_while_rows_change(void **state)
{
	struct fixture *f = *state;

	for (uint32_t round = 0; round < 24; round++) {
		struct rows *all = xcalloc(1, sizeof *all);
		unsigned seen[N] = {0};
		struct store_page page;
		struct task_query q;
		bool more;

		seed = round;
		while (all->n < 60)
			add_row(f, all);
		if (!read_query(&q, filters[round % ARRAY_LEN(filters)], round % 2 ? "create_time" : "",
				1 + pick(7)))
			fail();
		do {
			more = next_page(f, &q, &page);
			for (size_t i = 0; i < page.n; i++)
				for (size_t j = 0; j < all->n; j++)
					seen[j] += memcmp(&page.rows[i].id, &all->row[j].id, 16) == 0;
			store_page_deinit(&page);
			if (all->n < N)
				add_row(f, all);
			all->touched[all->n - 1] = true;
			change_row(f, all, pick(60));
			if (pick(3) == 0 && all->there[0])
				remove_row(f, all, 0);
		} while (more);
		for (size_t j = 0; j < all->n; j++) {
			assert_true(seen[j] <= 1);
			if (!all->touched[j])
				assert_int_equal(seen[j], task_filter_match(q.filter, &all->row[j]));
			if (all->there[j])
				remove_row(f, all, j);
		}
		task_query_deinit(&q);
		rows_free(all);
	}
}

static void labels_leave_no_record_behind(void **state)
{
	struct fixture *f = *state;
	struct rows *all = xcalloc(1, sizeof *all);
	uint64_t n = 0;

	seed = 3;
	while (all->n < 50)
		add_row(f, all);
	assert_int_equal(f->ops->count_records(f->s, RECORD_LABEL, &n), 0);
	assert_true(n > 20);
	for (size_t i = 0; i < 50; i++)
		remove_row(f, all, i);
	assert_int_equal(f->ops->count_records(f->s, RECORD_LABEL, &n), 0);
	assert_int_equal(n, 0);
	rows_free(all);
}

/* Nothing of what is asked for is near: many short pages, none of them long. */
static void a_page_looks_at_a_bounded_number(void **state)
{
	struct fixture *f = *state;
	struct store_page page;
	struct task_query q;
	size_t pages = 0, n = 0;
	bool more;

	begin(f);
	for (unsigned i = 0; i < 6000; i++) {
		ROW t = row_of(i);

		t.priority = i == 0;
		t.attempt = 1;
		assert_int_equal(f->ops->insert(f->s, &t), 0);
	}
	commit(f);
	assert_true(read_query(&q, "priority = 1", "", 10));
	do {
		more = next_page(f, &q, &page);
		n += page.n;
		pages++;
		store_page_deinit(&page);
	} while (more);
	assert_int_equal(n, 1);
	assert_in_range(pages, 3, 60);
	task_query_deinit(&q);
}

/* --- words --- */

static void test_refusals(void **state)
{
	static const struct {
		struct task_query_words w;
		const char *word, *why;
	} table[] = {
		{{.filter = "state = runing"}, "filter", NULL},
		{{.state = 99}, "state", "99 is no state of a task"},
		{{.state = -1}, "state", "-1 is no state of a task"},
		{{.order_by = "end_time"}, "order_by",
		 "end_time orders tasks that have ended: add end_time:* to the filter"},
		{{.order_by = "priority desc", .filter = "state = queued"}, "order_by",
		 "priority orders the waiting tasks of one queue: add state = queued AND queue = NAME to the "
		 "filter"},
		{{.order_by = "priority desc", .queue = "a"}, "order_by",
		 "priority orders the waiting tasks of one queue: add state = queued AND queue = NAME to the "
		 "filter"},
		{{.order_by = "run_at", .filter = "state = queued"}, "order_by",
		 "run_at orders tasks that wait for their time: add run_at:* to the filter"},
		{{.order_by = "attempt"}, "order_by", "no index orders tasks by attempt: there are "
		 "create_time, end_time, priority and run_at"},
		{{.order_by = "colour"}, "order_by", "a task has no field colour to be ordered by: there "
		 "are create_time, end_time, priority and run_at"},
		{{.order_by = "create_time, end_time"}, "order_by",
		 "tasks are ordered by one field, not by several"},
		{{.order_by = "create_time down"}, "order_by", "\"create_time down\" is not FIELD or FIELD desc"},
		{{.order_by = "create_time desc desc"}, "order_by",
		 "\"create_time desc desc\" is not FIELD or FIELD desc"},
		{{.order_by = "-create_time"}, "order_by", "\"-create_time\" is not FIELD or FIELD desc"},
		{{.page_token = "abc"}, "page_token", "it is not from a list with this filter and order; "
		 "leave it out to begin at the first page"},
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct task_query q;
		const char *word = NULL;
		char why[512] = "";

		assert_int_equal(task_query_read(&table[i].w, &q, &word, why, sizeof why),
				 -ERRAND_INVALID_ARGUMENT);
		assert_string_equal(word, table[i].word);
		if (table[i].why != NULL)
			assert_string_equal(why, table[i].why);
		assert_null(q.filter);
	}
}

static void test_words(void **state)
{
	struct task_query_words w = {.state = TASK_QUEUED, .queue = "a*", .method = "m",
				     .filter = "attempt = 1 OR attempt = 2", .order_by = " priority  desc"};
	struct task_row t = {.state = TASK_QUEUED, .queue = "a*", .method = "m", .attempt = 2};
	struct task_query q;
	const char *word;
	char why[512];

	assert_int_equal(task_query_read(&w, &q, &word, why, sizeof why), 0);
	assert_true(q.order == ORDER_PRIORITY && q.desc);
	assert_true(task_filter_match(q.filter, &t));
	t.queue = "ab";
	assert_false(task_filter_match(q.filter, &t));
	task_query_deinit(&q);
}

static void test_tokens(void **state)
{
	struct task_query_words w = {.filter = "state = failed", .limit = 5};
	struct store_place last = {.major = -5, .minor = INT64_MAX};
	char token[TASK_PAGE_TOKEN_SIZE];
	struct task_query q, other;
	const char *word;
	char why[512];

	memset(&last.id, 0xa5, sizeof last.id);
	assert_int_equal(task_query_read(&w, &q, &word, why, sizeof why), 0);
	task_page_token(&q, &last, token);
	w.page_token = token;
	w.filter = "state=FAILED"; /* says the same */
	assert_int_equal(task_query_read(&w, &other, &word, why, sizeof why), 0);
	assert_true(other.after_set);
	assert_memory_equal(&other.after, &last, sizeof last);
	task_query_deinit(&other);
	w.order_by = "create_time";
	assert_int_equal(task_query_read(&w, &other, &word, why, sizeof why), -ERRAND_INVALID_ARGUMENT);
	w.order_by = NULL;
	w.filter = "state = running";
	assert_int_equal(task_query_read(&w, &other, &word, why, sizeof why), -ERRAND_INVALID_ARGUMENT);
	for (size_t i = 0; i + 1 < sizeof token; i++) {
		char saved = token[i];

		token[i] = '!';
		assert_false(task_page_parse(token, &q));
		token[i] = saved;
	}
	task_query_deinit(&q);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		BOTH(gives_every_row_once_and_in_order), BOTH(stays_right_while_rows_change),
		BOTH(labels_leave_no_record_behind), BOTH(a_page_looks_at_a_bounded_number),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_words),
		cmocka_unit_test(test_tokens),
	};

	return cmocka_run_group_tests(all, NULL, NULL);
}
