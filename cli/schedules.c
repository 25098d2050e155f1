/* schedules.c: `errand schedules`: the list of them (schedule.c has their verbs). */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/pages.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/task_view.h"

struct schedules_conf {
	struct cli_common common;
	struct table_view view;
};

static const struct opt options[] = {
	TABLE_OPTIONS(struct schedules_conf),
	CLI_COMMON(struct schedules_conf),
};

enum column {
	COL_ID, COL_STATE, COL_CRON, COL_ZONE, COL_METHOD, COL_NEXT, COL_LAST, COL_MADE, COL_SKIPPED, COL_MISSED,
	COL_ERROR, N_COLUMNS,
};

static const struct table_column columns[] = {
	[COL_ID] = {"ID", 12, 0},
	[COL_STATE] = {"STATE", 6, 0},
	[COL_CRON] = {"CRON", 14, 0},
	[COL_ZONE] = {"ZONE", 8, TABLE_CUT | TABLE_WIDE},
	[COL_METHOD] = {"METHOD", 0.3, TABLE_CUT},
	[COL_NEXT] = {"NEXT", 19, 0},
	[COL_LAST] = {"LAST", 19, TABLE_WIDE},
	[COL_MADE] = {"MADE", 5, TABLE_RIGHT | TABLE_WIDE},
	[COL_SKIPPED] = {"SKIPPED", 5, TABLE_RIGHT | TABLE_MORE},
	[COL_MISSED] = {"MISSED", 5, TABLE_RIGHT | TABLE_MORE},
	[COL_ERROR] = {"ERROR", 0.3, TABLE_CUT | TABLE_MORE},
};

/* The columns of errand.v1.Schedule's fields, by their numbers; those that are missing are not
 * shown. */
static const struct {
	uint32_t field;
	enum column column;
	enum { TEXT, NUMBER, TIME } is;
} parts[] = {
	{1, COL_ID, TEXT}, {2, COL_CRON, TEXT}, {3, COL_ZONE, TEXT}, {4, COL_METHOD, TEXT}, {10, COL_NEXT, TIME},
	{11, COL_LAST, TIME}, {14, COL_MADE, NUMBER}, {15, COL_SKIPPED, NUMBER}, {16, COL_MISSED, NUMBER},
	{17, COL_ERROR, TEXT},
};

static void put_time(struct table *t, enum column column, struct bytes time)
{
	int64_t us = task_view_time(time);
	char text[24];

	table_cell(t, column, show_time(us, text), (double)us);
}

static void put_row(struct table *t, struct bytes schedule)
{
	struct pbuf_reader r = pbuf_reader(schedule.data, schedule.len);
	bool paused = false;
	struct pbuf_field f;

	table_row(t);
	while (pbuf_next(&r, &f)) {
		paused |= f.number == 9 && f.value != 0;
		for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
			if (parts[i].field != f.number)
				continue;
			if (parts[i].is == TEXT)
				table_text(t, parts[i].column, (const char *)f.bytes.data, f.bytes.len);
			else if (parts[i].is == TIME)
				put_time(t, parts[i].column, f.bytes);
			else
				table_number(t, parts[i].column, f.value);
		}
	}
	table_cell(t, COL_STATE, paused ? "paused" : "on", paused);
	table_color(t, COL_STATE, paused ? "yellow" : NULL);
}

static int run(const struct schedules_conf *conf, struct table *t)
{
	struct pages p = {.service = "errand.v1.Schedules", .method = "ListSchedules", .size_field = 1,
			  .token_field = 2, .limit = INT64_MAX};
	struct backend b;
	int r = backend_open(&b, &conf->common);

	if (r != CLI_OK)
		return r;
	r = pages_fetch(&b, &p, &BUF_INIT);
	if (r == CLI_OK)
		r = pages_show(&b, &p, "errand.v1.Schedule", t, put_row);
	if (r == CLI_OK && p.n == 0)
		cli_hint("`errand schedule create LINE METHOD` makes one");
	backend_close(&b);
	pages_deinit(&p);
	return r;
}

int schedules_command(int argc, char **argv)
{
	struct schedules_conf conf;
	struct table *t = NULL;
	int r, first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv,
				 "errand schedules [options]\n\nTasks made by the clock.");

	if (first < argc) {
		cli_error("schedules: takes options only; `errand schedule show %s` shows one", argv[first]);
		return CLI_USAGE;
	}
	r = table_new(&t, columns, N_COLUMNS, &conf.view, "schedules");
	if (r == CLI_OK)
		r = run(&conf, t);
	table_free(t);
	return r;
}
