/* task_list.h: pages of tasks: which (task_filter.h), in which order, from where on. A
 * query is read from the words of a request, then run page by page on the store
 * thread; a page costs a bounded look through one index, so it may have few rows or
 * none and still not be the last. The place a page ends at is a key of its index:
 * what comes, goes or changes meanwhile moves no other row from page to page. */
#ifndef SERVICE_TASK_LIST_H
#define SERVICE_TASK_LIST_H

#include "service/task_filter.h"

enum task_order { ORDER_CREATE, ORDER_END, ORDER_PRIORITY, ORDER_RUN_AT };

struct task_query {
	struct task_filter *filter; /* owned */
	enum task_order order;
	bool desc;
	size_t limit;               /* rows of a page at most */
	bool after_set;
	struct store_place after;   /* where the page before ended */
};

/* As a request says it; NULL, "" and 0 where it says nothing. state, method and queue
 * are tests of the filter, too. */
struct task_query_words {
	int state;
	const char *method, *queue, *filter, *order_by, *page_token;
	size_t limit;
};
/* 0, or -ERRAND_INVALID_ARGUMENT with the name of the word in *wordp and what is wrong
 * with it in why. out needs no deinit then. */
int task_query_read(const struct task_query_words *words, struct task_query *out,
		    const char **wordp, char *why, size_t why_size);
void task_query_deinit(struct task_query *q);

/* Store thread: the next page: rows with PART_ERROR, and with PART_OPTIONS where they
 * have labels. To go on put out->last into q->after. 0 or what the store said. */
int task_query_page(const struct task_query *q, const struct store_ops *ops, struct store *s,
		    struct store_page *out);

/* The records by which labels are found (RECORD_LABEL): put when a row (which has
 * PART_OPTIONS) is made, dropped before its labels change or it goes. */
int task_labels_put(const struct store_ops *ops, struct store *s, const struct task_row *row);
int task_labels_drop(const struct store_ops *ops, struct store *s, const struct task_row *row);

#endif
