/* workers.c: `errand workers`: who works for the service (errand.v1.Workers). */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/pages.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/task_view.h"

#define SERVICE "errand.v1.Workers"

struct workers_conf {
	struct cli_common common;
	struct table_view view;
};

static const struct opt options[] = {
	TABLE_OPTIONS(struct workers_conf),
	CLI_COMMON(struct workers_conf),
};

static const char usage[] =
	"errand workers [options] [VERB WORKER]\n\n"
	"Lists the workers of the service, and those that are away but known.\n\n"
	"Verbs:\n"
	"  forget   its methods and queues are no longer the service's";

/* What a row shows. */
struct row {
	struct bytes name, queues;
	uint64_t n_queues, tasks, calls, running_tasks, running_calls, pid, draining;
	int64_t since_us;
	bool connected;
};

static void read_row(struct bytes worker, struct row *row)
{
	struct pbuf_reader r = pbuf_reader(worker.data, worker.len);
	struct pbuf_field f;

	*row = (struct row){0};
	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: row->name = f.bytes; break;
		case 2: row->connected = f.bytes.len > 0; break;
		case 4: row->queues = row->n_queues++ == 0 ? f.bytes : row->queues; break;
		case 5: row->tasks = f.value; break;
		case 6: row->calls = f.value; break;
		case 7: row->running_tasks = f.value; break;
		case 8: row->running_calls = f.value; break;
		case 9: row->pid = f.value; break;
		case 10: row->since_us = task_view_time(f.bytes); break;
		case 12: row->draining = f.value; break;
		default: break;
		}
}

enum { COL_WORKER, COL_PID, COL_FOR, COL_TASKS, COL_CALLS, COL_STATE, COL_QUEUES, N_COLUMNS };

static const struct table_column columns[] = {
	[COL_WORKER] = {"WORKER", 20, TABLE_CUT},
	[COL_PID] = {"PID", 8, TABLE_RIGHT},
	[COL_FOR] = {"FOR", 8, TABLE_RIGHT},
	[COL_TASKS] = {"TASKS", 7, TABLE_RIGHT},
	[COL_CALLS] = {"CALLS", 7, TABLE_RIGHT},
	[COL_STATE] = {"STATE", 7, 0},
	[COL_QUEUES] = {"QUEUES", 0.3, TABLE_CUT},
};

static void show_ratio(struct table *t, size_t column, bool connected, uint64_t running, uint64_t of)
{
	char text[48];

	snprintf(text, sizeof text, "%llu/%llu", (unsigned long long)running, (unsigned long long)of);
	table_cell(t, column, connected ? text : "-", (double)running);
}

static void put_row(struct table *t, struct bytes worker)
{
	AUTO_FREE char *queues = NULL;
	char text[24];
	struct row row;
	int64_t since;

	read_row(worker, &row);
	since = row.since_us > 0 ? clock_wall_us() - row.since_us : 0;
	table_row(t);
	table_text(t, COL_WORKER, (const char *)row.name.data, row.name.len);
	table_number(t, COL_PID, row.pid);
	table_cell(t, COL_FOR, since > 0 ? show_duration(since, text) : "-", (double)since);
	show_ratio(t, COL_TASKS, row.connected, row.running_tasks, row.tasks);
	show_ratio(t, COL_CALLS, row.connected, row.running_calls, row.calls);
	table_cell(t, COL_STATE, !row.connected ? "away" : row.draining ? "leaving" : "here", row.connected);
	if (row.n_queues > 1)
		queues = xasprintf("%.*s and %llu more", (int)row.queues.len, (const char *)row.queues.data,
				   (unsigned long long)row.n_queues - 1);
	else
		queues = xstrndup(row.queues.len > 0 ? (const char *)row.queues.data : "", row.queues.len);
	table_text(t, COL_QUEUES, queues, strlen(queues));
}

static int list(struct backend *b, struct table *t)
{
	struct pages p = {.service = SERVICE, .method = "ListWorkers", .limit = INT64_MAX};
	int r = pages_fetch(b, &p, &BUF_INIT);

	if (r == CLI_OK)
		r = pages_show(b, &p, "errand.v1.Worker", t, put_row);
	pages_deinit(&p);
	return r;
}

static int forget(struct backend *b, const char *name)
{
	struct errand_reply *reply;
	AUTO_BUF in = BUF_INIT;
	int r;

	pbuf_put_str(&in, 1, name);
	r = backend_call(b, SERVICE, "ForgetWorker", &in, &reply);
	if (r == CLI_OK)
		errand_reply_free(reply);
	return r;
}

int workers_command(int argc, char **argv)
{
	struct workers_conf conf;
	struct table *t = NULL;
	struct backend b;
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage), n = argc - first, r;

	if (n != 0 && (n != 2 || strcmp(argv[first], "forget") != 0)) {
		cli_error("workers: write errand workers, or errand workers forget NAME");
		return CLI_USAGE;
	}
	r = table_new(&t, columns, N_COLUMNS, &conf.view, "workers");
	if (r == CLI_OK && (r = backend_open(&b, &conf.common)) == CLI_OK) {
		r = n == 0 ? list(&b, t) : forget(&b, argv[first + 1]);
		backend_close(&b);
	}
	table_free(t);
	return r;
}
