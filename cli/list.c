/* list.c: `errand list` (and `errand tasks`): a table of tasks, newest first if nothing
 * else is said. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/pages.h"
#include "cli/select.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/task_view.h"

struct list_conf {
	struct cli_common common;
	struct select select;
	struct table_view view;
	const char *order_by;
	int64_t limit;
};

#define O(field) offsetof(struct list_conf, field)
static const struct opt options[] = {
	SELECT_OPTIONS(struct list_conf),
	{"order-by", 'o', OPT_STRING, O(order_by), NULL, 0, 0, "FIELD [desc]",
	 "which come first: create_time, end_time, priority or run_at; default 'create_time desc'"},
	{"limit", 'n', OPT_INT, O(limit), "50", 1, 100000, "N", "at most so many"},
	TABLE_OPTIONS(struct list_conf),
	CLI_COMMON(struct list_conf),
};
#undef O

static const char usage[] =
	"errand list [options]\n\n"
	"The tasks of the service, newest first. A pipe gets the same table, uncut:\n"
	"  errand list --state failed --columns id --no-header | errand retry -";

/* --- the table --- */

enum column {
	COL_ID, COL_STATE, COL_METHOD, COL_QUEUE, COL_TRY, COL_DONE, COL_AGE, COL_TOOK, COL_PRIORITY, COL_CREATED,
	COL_STARTED, COL_ENDED, COL_NEXT, COL_LABELS, COL_MESSAGE, COL_REASON, COL_ERROR, COL_SCHEDULE, N_COLUMNS,
};

static const struct table_column columns[] = {
	[COL_ID] = {"ID", 12, 0},
	[COL_STATE] = {"STATE", 10, 0},
	[COL_METHOD] = {"METHOD", 0.4, TABLE_CUT},
	[COL_QUEUE] = {"QUEUE", 0.1, TABLE_CUT | TABLE_WIDE},
	[COL_TRY] = {"TRY", 3, TABLE_RIGHT | TABLE_WIDE},
	[COL_DONE] = {"DONE", 4, TABLE_RIGHT},
	[COL_AGE] = {"AGE", 6, TABLE_RIGHT | TABLE_WIDE},
	[COL_TOOK] = {"TOOK", 6, TABLE_RIGHT | TABLE_WIDE},
	[COL_PRIORITY] = {"PRIORITY", 3, TABLE_RIGHT | TABLE_MORE},
	[COL_CREATED] = {"CREATED", 19, TABLE_MORE},
	[COL_STARTED] = {"STARTED", 19, TABLE_MORE},
	[COL_ENDED] = {"ENDED", 19, TABLE_MORE},
	[COL_NEXT] = {"NEXT", 19, TABLE_MORE},
	[COL_LABELS] = {"LABELS", 0.2, TABLE_CUT | TABLE_MORE},
	[COL_MESSAGE] = {"MESSAGE", 0.3, TABLE_CUT | TABLE_MORE},
	[COL_REASON] = {"REASON", 0.2, TABLE_CUT | TABLE_MORE},
	[COL_ERROR] = {"ERROR", 0.4, TABLE_CUT | TABLE_MORE},
	[COL_SCHEDULE] = {"SCHEDULE", 0.2, TABLE_CUT | TABLE_MORE},
};

static const char *state_color(int state)
{
	switch (state) {
	case TASK_RUNNING: return "cyan";
	case TASK_SUCCEEDED: return "green";
	case TASK_FAILED: return "red";
	case TASK_RETRYING:
	case TASK_CANCELLING: return "yellow";
	default: return NULL;
	}
}

/* In a narrow terminal the tail of the id is enough to name a task by. */
static const char *shown_id(const char *id, bool whole)
{
	size_t len = strlen(id);

	return whole || len <= 12 ? id : id + len - 12;
}

static void put_text(struct table *t, enum column column, const char *text)
{
	if (text != NULL)
		table_text(t, column, text, strlen(text));
}

static void put_time(struct table *t, enum column column, int64_t us)
{
	char text[24];

	if (us > 0)
		table_cell(t, column, show_time(us, text), (double)us);
}

static void put_times(struct table *t, const struct task_view *v)
{
	int64_t now = clock_wall_us();
	int64_t took = (v->end_us > 0 ? v->end_us : now) - v->start_us;
	char text[24];

	table_cell(t, COL_AGE, show_duration(now - v->create_us, text), (double)(now - v->create_us));
	if (v->start_us > 0)
		table_cell(t, COL_TOOK, show_duration(took, text), (double)took);
	put_time(t, COL_CREATED, v->create_us);
	put_time(t, COL_STARTED, v->start_us);
	put_time(t, COL_ENDED, v->end_us);
	put_time(t, COL_NEXT, v->next_us);
}

static void put_task(struct table *t, const struct task_view *v)
{
	AUTO_FREE char *error = task_view_error(v);
	char text[24];

	table_row(t);
	put_text(t, COL_ID, shown_id(v->id, table_whole_ids(t)));
	put_text(t, COL_STATE, task_view_state_name(v->state));
	table_color(t, COL_STATE, state_color(v->state));
	put_text(t, COL_METHOD, v->method);
	put_text(t, COL_QUEUE, v->queue);
	table_number(t, COL_TRY, v->attempt);
	if (v->has_progress) {
		snprintf(text, sizeof text, "%d%%", (int)(v->fraction * 100));
		table_cell(t, COL_DONE, text, v->fraction);
	}
	put_times(t, v);
	snprintf(text, sizeof text, "%d", v->priority);
	table_cell(t, COL_PRIORITY, text, v->priority);
	put_text(t, COL_LABELS, v->labels);
	put_text(t, COL_MESSAGE, v->message);
	put_text(t, COL_REASON, v->reason);
	put_text(t, COL_ERROR, error);
	put_text(t, COL_SCHEDULE, v->schedule);
}

static void put_row(struct table *t, struct bytes task)
{
	struct task_view v = {0};

	task_view_load(&v, task);
	put_task(t, &v);
	task_view_deinit(&v);
}

/* --- the command --- */

static int show_listing(struct backend *b, const struct list_conf *conf, const struct pages *p, struct table *t)
{
	if (conf->common.json || p->n > 0)
		return pages_show(b, p, "errand.v1.Task", t, put_row);
	fprintf(stderr, "no tasks\n");
	select_explain(b, &conf->select);
	return CLI_OK;
}

static int run(const struct list_conf *conf, struct table *t)
{
	struct pages p = {.service = TASKS_SERVICE, .method = "ListTasks", .size_field = 4, .token_field = 5,
			  .limit = conf->limit};
	AUTO_BUF filter = BUF_INIT;
	AUTO_BUF in = BUF_INIT;
	struct backend b;
	int r = backend_open(&b, &conf->common);

	if (r != CLI_OK)
		return r;
	r = select_filter(&b, &conf->select, &filter);
	if (filter.len > 0)
		pbuf_put_str(&in, 6, buf_cstr(&filter));
	if (conf->order_by != NULL)
		pbuf_put_str(&in, 7, conf->order_by);
	if (r == CLI_OK)
		r = pages_fetch(&b, &p, &in);
	if (r == CLI_OK)
		r = show_listing(&b, conf, &p, t);
	backend_close(&b);
	pages_deinit(&p);
	return r;
}

int list_command(int argc, char **argv)
{
	struct list_conf conf;
	struct table *t = NULL;
	int r, first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage);

	if (first < argc) {
		cli_error("list: '%s': takes options only; `errand show ID` shows one task", argv[first]);
		return CLI_USAGE;
	}
	r = table_new(&t, columns, N_COLUMNS, &conf.view, "list");
	if (r == CLI_OK)
		r = run(&conf, t);
	table_free(t);
	return r;
}
