/* tasks.c: `errand tasks`: a table of tasks, newest first if nothing else is said. */
#define _GNU_SOURCE
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/show.h"
#include "cli/task_view.h"

struct tasks_conf {
	struct cli_common common;
	const char *state, *queue, *method, *filter, *order_by;
	int64_t limit;
};

#define O(field) offsetof(struct tasks_conf, field)
static const struct opt options[] = {
	CLI_COMMON(struct tasks_conf),
	{"state", 0, OPT_STRING, O(state), NULL, 0, 0, "STATE",
	 "only those: queued, running, retrying, cancelling, succeeded, failed, cancelled, scheduled, "
	 "blocked, held, expired"},
	{"queue", 'q', OPT_STRING, O(queue), NULL, 0, 0, "QUEUE", "only those of this queue"},
	{"method", 'm', OPT_STRING, O(method), NULL, 0, 0, "METHOD",
	 "only those of this method, pkg.Service/Method"},
	{"filter", 'f', OPT_STRING, O(filter), NULL, 0, 0, "EXPRESSION",
	 "only those that it takes, such as 'state = FAILED AND labels.customer = x'"},
	{"order-by", 'o', OPT_STRING, O(order_by), NULL, 0, 0, "FIELD [desc]",
	 "create_time, end_time, priority or run_at; default 'create_time desc'"},
	{"limit", 'n', OPT_INT, O(limit), "50", 1, 100000, "N", "at most so many"},
};
#undef O

enum { PAGE = 500 };

/* Appends pages to `all`, a serialized ListTasksReply, until `limit` tasks are
 * there. */
struct listing {
	struct buf all;
	int64_t n;
	char *token; /* owned; of the next page, NULL at the end */
};

static int fetch_page(struct backend *b, const struct tasks_conf *conf, int state,
		      struct listing *l)
{
	struct errand_reply *reply;
	struct pbuf_reader r;
	struct pbuf_field f;
	AUTO_BUF in = BUF_INIT;
	int result;

	if (state > 0)
		pbuf_put_uint(&in, 1, (uint64_t)state);
	if (conf->method != NULL)
		pbuf_put_str(&in, 2, conf->method);
	if (conf->queue != NULL)
		pbuf_put_str(&in, 3, conf->queue);
	pbuf_put_uint(&in, 4, (uint64_t)MIN(conf->limit - l->n, PAGE));
	if (l->token != NULL)
		pbuf_put_str(&in, 5, l->token);
	if (conf->filter != NULL)
		pbuf_put_str(&in, 6, conf->filter);
	if (conf->order_by != NULL)
		pbuf_put_str(&in, 7, conf->order_by);
	free(l->token);
	l->token = NULL;
	result = backend_call(b, TASKS_SERVICE, "ListTasks", &in, &reply);
	if (result != CLI_OK)
		return result;
	r = pbuf_reader(reply->payload, reply->payload_len);
	while (pbuf_next(&r, &f)) {
		if (f.number == 1 && l->n < conf->limit) {
			buf_append(&l->all, f.start, (size_t)(r.p - f.start));
			l->n++;
		} else if (f.number == 2 && f.bytes.len > 0) {
			free(l->token);
			l->token = xstrndup((const char *)f.bytes.data, f.bytes.len);
		}
	}
	errand_reply_free(reply);
	return CLI_OK;
}

/* --- the table --- */

enum column { COL_ID, COL_STATE, COL_METHOD, COL_QUEUE, COL_TRY, COL_PROGRESS, COL_AGE, COL_TOOK };

static const struct {
	const char *name;
	double width; /* hint, as scols_table_new_column has it */
	int flags;
} columns[] = {
	[COL_ID] = {"ID", 12, 0},
	[COL_STATE] = {"STATE", 10, 0},
	[COL_METHOD] = {"METHOD", 0.4, SCOLS_FL_TRUNC},
	[COL_QUEUE] = {"QUEUE", 0.1, SCOLS_FL_TRUNC},
	[COL_TRY] = {"TRY", 3, SCOLS_FL_RIGHT},
	[COL_PROGRESS] = {"DONE", 4, SCOLS_FL_RIGHT},
	[COL_AGE] = {"AGE", 6, SCOLS_FL_RIGHT},
	[COL_TOOK] = {"TOOK", 6, SCOLS_FL_RIGHT},
};

/* Below this many columns of a terminal, what cannot be read anyway is left out. */
enum { NARROW = 72, WHOLE_IDS = 130 };

static int flags_of(enum column i, bool narrow)
{
	bool left_out = i == COL_QUEUE || i == COL_TRY || i == COL_AGE || i == COL_TOOK;

	return columns[i].flags | (narrow && left_out ? SCOLS_FL_HIDDEN : 0);
}

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

static int add_row(struct libscols_table *table, const struct task_view *v, bool whole)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	int64_t now = clock_wall_us();
	char text[24];

	if (line == NULL)
		return -1;
	scols_line_set_data(line, COL_ID, shown_id(v->id, whole));
	scols_line_set_data(line, COL_STATE, task_view_state_name(v->state));
	if (scols_table_colors_wanted(table) && state_color(v->state) != NULL)
		scols_cell_set_color(scols_line_get_cell(line, COL_STATE), state_color(v->state));
	scols_line_set_data(line, COL_METHOD, v->method);
	scols_line_set_data(line, COL_QUEUE, v->queue);
	snprintf(text, sizeof text, "%u", v->attempt);
	scols_line_set_data(line, COL_TRY, text);
	if (v->has_progress) {
		snprintf(text, sizeof text, "%d%%", (int)(v->fraction * 100));
		scols_line_set_data(line, COL_PROGRESS, text);
	}
	scols_line_set_data(line, COL_AGE, show_duration(now - v->create_us, text));
	if (v->start_us > 0)
		scols_line_set_data(line, COL_TOOK,
			show_duration((v->end_us > 0 ? v->end_us : now) - v->start_us, text));
	return 0;
}

static int fill(struct libscols_table *table, struct bytes all, bool whole, bool narrow)
{
	struct pbuf_reader r = pbuf_reader(all.data, all.len);
	struct task_view v = {0};
	struct pbuf_field f;
	int failed = 0;

	for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
		bool wide = whole && i == COL_ID;

		if (scols_table_new_column(table, columns[i].name, wide ? 36 : columns[i].width,
					   flags_of((enum column)i, narrow)) == NULL)
			return -1;
	}
	while (failed == 0 && pbuf_next(&r, &f)) {
		task_view_load(&v, f.bytes);
		failed = add_row(table, &v, whole);
	}
	task_view_deinit(&v);
	return failed;
}

static int show_table(struct bytes all)
{
	bool tty = isatty(fileno(stdout)); /* a dumb one has a width, too */
	struct libscols_table *table;
	int r = -1;

	scols_init_debug(0);
	table = scols_new_table();
	if (table != NULL) {
		scols_table_enable_colors(table, show_has_color(stdout));
		if (!tty)
			scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
		r = fill(table, all, !tty || show_width(stdout) >= WHOLE_IDS,
			 tty && show_width(stdout) < NARROW);
	}
	if (r == 0)
		r = scols_print_table(table);
	scols_unref_table(table);
	if (r == 0)
		return CLI_OK;
	cli_error("out of memory");
	return CLI_FAILED;
}

/* --- the command --- */

static int show_listing(struct backend *b, const struct tasks_conf *conf, const struct listing *l)
{
	const struct schema_message *m;
	int r;

	if (!conf->common.json) {
		r = l->n > 0 ? show_table(buf_bytes(&l->all)) : CLI_OK;
		if (l->n == 0)
			fprintf(stderr, "no tasks\n");
		else if (l->token != NULL)
			fprintf(stderr, "... there are more: --limit\n");
		return r;
	}
	r = backend_schema(b);
	if (r != CLI_OK)
		return r;
	m = schema_message(b->schema, "errand.v1.ListTasksReply", 24);
	if (m == NULL) {
		cli_error("the service's schema has no errand.v1.ListTasksReply");
		return CLI_FAILED;
	}
	return show_json(b->schema, m, buf_bytes(&l->all), false);
}

int tasks_command(int argc, char **argv)
{
	static const struct command own[] = {
		{.name = "cancel", .run = tasks_cancel_command}, {.name = "retry", .run = tasks_retry_command},
	};
	struct tasks_conf conf;
	struct listing l = {0};
	struct backend b;
	int r, first, state = 0;

	if (cli_subcommand(own, ARRAY_LEN(own), argc, argv, &r))
		return r;
	first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv,
			  "errand tasks [options]\n       errand tasks cancel|retry --filter EXPRESSION [--dry-run]");
	if (first < argc) {
		cli_error("tasks: '%s': takes options only; `errand task get ID` shows one",
			  argv[first]);
		return CLI_USAGE;
	}
	if (conf.state != NULL && (state = task_view_state_by_name(conf.state)) < 0) {
		cli_error("tasks: --state %s: use queued, running, retrying, cancelling, succeeded, "
			  "failed, cancelled, scheduled, blocked, held or expired", conf.state);
		return CLI_USAGE;
	}
	r = backend_open(&b, &conf.common);
	if (r != CLI_OK)
		return r;
	do {
		r = fetch_page(&b, &conf, state, &l);
	} while (r == CLI_OK && l.token != NULL && l.n < conf.limit);
	if (r == CLI_OK)
		r = show_listing(&b, &conf, &l);
	backend_close(&b);
	buf_deinit(&l.all);
	free(l.token);
	return r;
}
