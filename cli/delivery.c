/* delivery.c: `errand deliveries` and `errand delivery VERB ID`: callbacks on their way
 * (errand.v1.Deliveries). */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/pbuf.h"
#include "cli/ids.h"
#include "cli/pages.h"
#include "cli/show.h"
#include "cli/table.h"

#define SERVICE "errand.v1.Deliveries"

/* errand.v1.Delivery.State */
static const char *const states[] = {"", "PENDING", "DELIVERED", "DEAD"};

/* --- deliveries --- */

struct list_conf {
	struct cli_common common;
	struct table_view view;
	const char *state, *task;
	int64_t limit;
};

#define O(field) offsetof(struct list_conf, field)
static const struct opt list_options[] = {
	{"state", 0, OPT_STRING, O(state), NULL, 0, 0, "pending|delivered|dead", "only those in this state"},
	{"task", 0, OPT_STRING, O(task), NULL, 0, 0, "TASK", "only those of this task"},
	{"limit", 'n', OPT_INT, O(limit), "50", 1, 100000, "N", "at most so many"},
	TABLE_OPTIONS(struct list_conf),
	CLI_COMMON(struct list_conf),
};
#undef O

enum column { COL_ID, COL_STATE, COL_EVENT, COL_TRY, COL_STATUS, COL_URL, COL_ERROR, COL_TASK, COL_QUEUE, N_COLUMNS };

static const struct table_column columns[] = {
	[COL_ID] = {"ID", 38, 0},
	[COL_STATE] = {"STATE", 9, 0},
	[COL_EVENT] = {"EVENT", 14, 0},
	[COL_TRY] = {"TRY", 3, TABLE_RIGHT},
	[COL_STATUS] = {"HTTP", 4, TABLE_RIGHT},
	[COL_URL] = {"URL", 0.3, TABLE_CUT},
	[COL_ERROR] = {"ERROR", 0.3, TABLE_CUT | TABLE_WIDE},
	[COL_TASK] = {"TASK", 36, TABLE_MORE},
	[COL_QUEUE] = {"QUEUE", 10, TABLE_CUT | TABLE_MORE},
};

/* Their fields in errand.v1.Delivery. */
static const uint32_t fields[N_COLUMNS] = {1, 5, 3, 6, 7, 4, 8, 2, 13};

static void put_row(struct table *t, struct bytes delivery)
{
	struct pbuf_reader r = pbuf_reader(delivery.data, delivery.len);
	struct pbuf_field f;

	table_row(t);
	while (pbuf_next(&r, &f))
		for (size_t i = 0; i < N_COLUMNS; i++) {
			if (fields[i] != f.number)
				continue;
			if (f.wire == PBUF_LEN)
				table_text(t, i, (const char *)f.bytes.data, f.bytes.len);
			else if (i == COL_STATE)
				table_text(t, i, states[f.value % ARRAY_LEN(states)], strlen(states[f.value % ARRAY_LEN(states)]));
			else
				table_number(t, i, f.value);
		}
}

static int show_message(struct backend *b, const char *name, struct bytes wire, bool pretty)
{
	const struct schema_message *m;
	int r = backend_schema(b);

	if (r != CLI_OK)
		return r;
	m = schema_message(b->schema, name, strlen(name));
	if (m != NULL)
		return show_json(b->schema, m, wire, pretty);
	cli_error("the service's schema has no %s", name);
	return CLI_FAILED;
}

static int list(const struct list_conf *conf, unsigned state, struct table *t)
{
	struct pages p = {.service = SERVICE, .method = "ListDeliveries", .size_field = 3, .token_field = 4,
			  .limit = conf->limit};
	AUTO_FREE char *task = NULL;
	AUTO_BUF in = BUF_INIT;
	struct backend b;
	int r = backend_open(&b, &conf->common);

	if (r != CLI_OK)
		return r;
	if (state > 0)
		pbuf_put_uint(&in, 1, state);
	if (conf->task != NULL && (r = ids_resolve(&b, conf->task, &task)) == CLI_OK)
		pbuf_put_str(&in, 2, task);
	if (r == CLI_OK)
		r = pages_fetch(&b, &p, &in);
	if (r == CLI_OK)
		r = pages_show(&b, &p, "errand.v1.Delivery", t, put_row);
	backend_close(&b);
	pages_deinit(&p);
	return r;
}

/* 0 = none given, -1 = no such state. */
static int state_by_name(const char *name)
{
	if (name == NULL)
		return 0;
	for (int i = 1; i < (int)ARRAY_LEN(states); i++)
		if (strcasecmp(states[i], name) == 0)
			return i;
	cli_error("--state %s: pending, delivered or dead", name);
	return -1;
}

int deliveries_command(int argc, char **argv)
{
	struct table *t = NULL;
	struct list_conf conf;
	int r, state, first = cli_parse(list_options, ARRAY_LEN(list_options), &conf, argc, argv,
					"errand deliveries [options]\n\nCallbacks on their way.");

	state = state_by_name(conf.state);
	if (state < 0)
		return CLI_USAGE;
	if (first < argc) {
		cli_error("deliveries: takes options only; `errand delivery show %s` shows one", argv[first]);
		return CLI_USAGE;
	}
	r = table_new(&t, columns, N_COLUMNS, &conf.view, "deliveries");
	if (r == CLI_OK)
		r = list(&conf, (unsigned)state, t);
	table_free(t);
	return r;
}

/* --- delivery VERB ID --- */

struct one_conf {
	struct cli_common common;
};
static const struct opt one_options[] = {CLI_COMMON(struct one_conf)};

static const struct verb {
	const char *name, *method;
} verbs[] = {{"show", "GetDelivery"}, {"redeliver", "Redeliver"}};

static int call_and_show(const struct one_conf *conf, const char *method, const char *id)
{
	struct errand_reply *reply;
	AUTO_BUF in = BUF_INIT;
	struct backend b;
	int r = backend_open(&b, &conf->common);

	if (r != CLI_OK)
		return r;
	pbuf_put_str(&in, 1, id);
	r = backend_call(&b, SERVICE, method, &in, &reply);
	if (r == CLI_OK) {
		r = show_message(&b, "errand.v1.Delivery", (struct bytes){reply->payload, reply->payload_len},
				 !conf->common.json && show_is_terminal(stdout));
		errand_reply_free(reply);
	} else if (r == CLI_NOT_FOUND) {
		cli_hint("`errand deliveries` shows those there are");
	}
	backend_close(&b);
	return r;
}

int delivery_command(int argc, char **argv)
{
	struct one_conf conf;
	int first = cli_parse(one_options, ARRAY_LEN(one_options), &conf, argc, argv,
			      "errand delivery VERB [options] DELIVERY\n\n"
			      "Verbs:\n"
			      "  show       show the delivery\n"
			      "  redeliver  send it (again) now");
	const struct verb *verb;

	if (first == argc) {
		cli_error("delivery: no verb given: errand delivery show|redeliver ID");
		return CLI_USAGE;
	}
	verb = CLI_FIND(verbs, "verb of errand delivery", argv[first]);
	if (verb == NULL)
		return CLI_USAGE;
	if (first + 2 == argc)
		return call_and_show(&conf, verb->method, argv[first + 1]);
	cli_error("delivery %s: give one delivery's ID", verb->name);
	return CLI_USAGE;
}
