/* top_impl.h: what `errand top` knows at a moment, and how it is drawn. */
#ifndef CLI_TOP_IMPL_H
#define CLI_TOP_IMPL_H

#include "cli/backend.h"
#include "cli/figures.h"

#define TOP_QUEUES 100
#define TOP_TASKS 200 /* running ones that are looked at */
#define TOP_WORKERS 100

enum top_sort { SORT_AGE, SORT_PROGRESS, SORT_QUEUE, SORT_METHOD, N_SORTS };

struct top {
	struct backend backend;
	const char *name;           /* of the target */

	struct figures_server server;
	struct figures_queue queues[TOP_QUEUES];
	double rates[TOP_QUEUES];   /* attempts ended a second */
	struct figures_worker workers[TOP_WORKERS];
	struct task_view tasks[TOP_TASKS];
	size_t n_queues, n_workers, n_tasks;
	bool has_data, more_tasks;
	int64_t looked_ns, looked_us;
	char trouble[256];          /* why there is nothing newer; "" */

	enum top_sort sort;
	bool paused, asks;          /* asks: to cancel the selected one */
	char selected[40];          /* id of a task */
	char said[256];             /* the last line: what came of a key */
};

/* --- top_data.c --- */

/* Asks for everything. False: trouble says why, what was known before stays. */
bool top_look(struct top *t);
/* Cancels the selected task; what came of it into said. */
void top_cancel(struct top *t);
void top_deinit(struct top *t);
/* By t->sort; the selected one stays selected. */
void top_order(struct top *t);
/* Its index; of none the first one is selected. */
size_t top_selected(struct top *t);
void top_select(struct top *t, size_t index);
const char *top_sort_name(enum top_sort sort);

/* --- top_draw.c --- */

/* rows 0: all that is known, no footer. */
void top_draw(struct top *t, struct buf *out, int rows, int columns, bool color, bool utf8);

#endif
