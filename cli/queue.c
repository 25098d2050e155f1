/* queue.c: `errand queue VERB`: the queues of the service: how they do, and what is set. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/call_input.h"
#include "cli/figures.h"
#include "cli/pages.h"
#include "cli/select.h"
#include "cli/show.h"
#include "cli/table.h"

#define QUEUES_SERVICE "errand.v1.Queues"
#define REQUEST "errand.v1.UpdateQueueRequest"

struct queue_conf {
	struct cli_common common;
};

struct list_conf {
	struct cli_common common;
	struct table_view view;
};

static const struct opt options[] = {CLI_COMMON(struct queue_conf)};

static const char usage[] =
	"errand queue VERB [options] QUEUE [FIELD=VALUE...]\n\n"
	"Verbs:\n"
	"  list     all of them: errand queues\n"
	"  show     one: its settings and figures\n"
	"  set      changes settings: concurrency=4 rate=10 burst=2 max_depth=1000\n"
	"           retry.max_attempts=3 retry.base=2s\n"
	"  pause    begins no more tasks of it\n"
	"  resume   goes on with it\n"
	"  purge    cancels every task of it that waits: errand purge";

struct verb {
	const char *name, *method, *reply;
};

static const struct verb verbs[] = {
	{"show", "GetQueue", "errand.v1.Queue"},
	{"set", "UpdateQueue", "errand.v1.Queue"},
	{"pause", "PauseQueue", "errand.v1.Queue"},
	{"resume", "ResumeQueue", "errand.v1.Queue"},
};

struct queue {
	const struct queue_conf *conf;
	struct backend backend;
	const struct verb *verb;
	const char *name;
	char **settings;
	size_t n_settings;
};

/* --- the table --- */

enum { COL_QUEUE, COL_QUEUED, COL_RUNNING, COL_OLDEST, COL_DONE, COL_SLOTS, COL_LIMIT, COL_STATE, N_COLUMNS };

static const struct table_column columns[] = {
	[COL_QUEUE] = {"QUEUE", 20, TABLE_CUT},
	[COL_QUEUED] = {"QUEUED", 7, TABLE_RIGHT},
	[COL_RUNNING] = {"RUNNING", 7, TABLE_RIGHT},
	[COL_OLDEST] = {"OLDEST", 8, TABLE_RIGHT},
	[COL_DONE] = {"DONE", 10, TABLE_RIGHT},
	[COL_SLOTS] = {"SLOTS", 5, TABLE_RIGHT},
	[COL_LIMIT] = {"LIMIT", 8, TABLE_RIGHT | TABLE_WIDE},
	[COL_STATE] = {"STATE", 6, 0},
};

static void put_row(struct table *t, struct bytes queue)
{
	char text[40] = "-";
	struct figures_queue q;

	figures_queue(queue, &q);
	table_row(t);
	table_text(t, COL_QUEUE, q.name, strlen(q.name));
	table_number(t, COL_QUEUED, q.queued);
	table_number(t, COL_RUNNING, q.running);
	table_cell(t, COL_OLDEST, q.age_us > 0 ? show_duration(q.age_us, text) : "-", (double)q.age_us);
	snprintf(text, sizeof text, "%.1f/s", q.done);
	table_cell(t, COL_DONE, text, q.done);
	table_number(t, COL_SLOTS, q.slots);
	snprintf(text, sizeof text, "%g/s", q.limit);
	table_cell(t, COL_LIMIT, q.limit > 0 ? text : "-", q.limit);
	table_cell(t, COL_STATE, q.paused ? "paused" : "open", q.paused);
	table_color(t, COL_STATE, q.paused ? "yellow" : NULL);
}

static int list(const struct list_conf *conf, struct table *t)
{
	struct pages p = {.service = QUEUES_SERVICE, .method = "ListQueues", .limit = INT64_MAX};
	struct backend b;
	int r = backend_open(&b, &conf->common);

	if (r == CLI_OK)
		r = pages_fetch(&b, &p, &BUF_INIT);
	if (r == CLI_OK)
		r = pages_show(&b, &p, "errand.v1.Queue", t, put_row);
	backend_close(&b);
	pages_deinit(&p);
	return r;
}

int queues_command(int argc, char **argv)
{
	static const struct opt list_options[] = {
		TABLE_OPTIONS(struct list_conf),
		CLI_COMMON(struct list_conf),
	};
	struct table *t = NULL;
	struct list_conf conf;
	int r, first = cli_parse(list_options, ARRAY_LEN(list_options), &conf, argc, argv,
				 "errand queues [options]\n\nThe queues of the service and how they do.");

	if (first < argc) {
		cli_error("queues: takes options only; `errand queue show %s` shows one", argv[first]);
		return CLI_USAGE;
	}
	r = table_new(&t, columns, N_COLUMNS, &conf.view, "queues");
	if (r == CLI_OK)
		r = list(&conf, t);
	table_free(t);
	return r;
}

/* --- the call --- */

static int build(struct queue *q, struct call_input *in)
{
	const struct schema *s = q->backend.schema;

	*in = (struct call_input){.schema = s, .message = schema_message(s, REQUEST, strlen(REQUEST))};
	if (in->message == NULL) {
		cli_error("the service's schema has no " REQUEST);
		return CLI_FAILED;
	}
	if (q->name != NULL)
		call_input_text(in, "name", 4, q->name, strlen(q->name));
	for (size_t i = 0; i < q->n_settings; i++)
		if (!call_input_operand(in, q->settings[i]))
			return CLI_USAGE;
	if (in->faults.n == 0)
		return CLI_OK;
	show_faults("queue", &in->faults, q->conf->common.json);
	return CLI_DATA;
}

static int show_reply(struct queue *q, const struct errand_reply *reply)
{
	const char *name = q->verb->reply;
	const struct schema_message *m = schema_message(q->backend.schema, name, strlen(name));
	struct bytes payload = {reply->payload, reply->payload_len};

	if (m == NULL) {
		cli_error("the service's schema has no %s", name);
		return CLI_FAILED;
	}
	return show_json(q->backend.schema, m, payload,
			 !q->conf->common.json && show_is_terminal(stdout));
}

static int run(struct queue *q)
{
	struct call_input in = {0};
	struct errand_reply *reply = NULL;
	int r = backend_open(&q->backend, &q->conf->common);

	if (r != CLI_OK)
		return r;
	r = backend_schema(&q->backend);
	if (r == CLI_OK)
		r = build(q, &in);
	if (r == CLI_OK)
		r = backend_call(&q->backend, QUEUES_SERVICE, q->verb->method, &in.wire, &reply);
	if (r == CLI_NOT_FOUND)
		select_near_queue(&q->backend, q->name);
	if (r == CLI_OK)
		r = show_reply(q, reply);
	errand_reply_free(reply);
	buf_deinit(&in.wire);
	fault_list_deinit(&in.faults);
	backend_close(&q->backend);
	return r;
}

/* False: it is said what is missing or too much. */
static bool read_operands(struct queue *q, char **operands, size_t n)
{
	bool set = strcmp(q->verb->name, "set") == 0;

	if (set ? n < 2 : n != 1) {
		cli_error("queue %s: %s", q->verb->name, set ?
			  "name a queue and what to set of it: concurrency=4" : "name one queue");
		return false;
	}
	q->name = operands[0];
	q->settings = operands + 1;
	q->n_settings = n - 1;
	return true;
}

int queue_command(int argc, char **argv)
{
	static const struct command own[] = {
		{.name = "list", .run = queues_command}, {.name = "purge", .run = purge_command},
	};
	struct queue_conf conf;
	struct queue q = {.conf = &conf};
	int r, first;

	if (cli_subcommand(own, ARRAY_LEN(own), argc, argv, &r))
		return r;
	first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage);
	if (first == argc) {
		cli_error("queue: no verb given: errand queue list|show|set|pause|resume|purge");
		return CLI_USAGE;
	}
	q.verb = CLI_FIND(verbs, "verb of errand queue", argv[first]);
	if (q.verb == NULL || !read_operands(&q, argv + first + 1, (size_t)(argc - first - 1)))
		return CLI_USAGE;
	return run(&q);
}
