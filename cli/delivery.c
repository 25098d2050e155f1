/* delivery.c: `errand deliveries` and `errand delivery VERB ID`: callbacks on their way
 * (errand.v1.Deliveries). */
#define _GNU_SOURCE
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/show.h"

#define SERVICE "errand.v1.Deliveries"
enum { PAGE = 500 };

/* errand.v1.Delivery.State */
static const char *const states[] = {"", "PENDING", "DELIVERED", "DEAD"};

/* --- deliveries --- */

struct list_conf {
	struct cli_common common;
	const char *state, *task;
	int64_t limit;
};

#define O(field) offsetof(struct list_conf, field)
static const struct opt list_options[] = {
	CLI_COMMON(struct list_conf),
	{"state", 0, OPT_STRING, O(state), NULL, 0, 0, "STATE", "only those: pending, delivered, dead"},
	{"task", 0, OPT_STRING, O(task), NULL, 0, 0, "ID", "only those of this task, by its whole id"},
	{"limit", 'n', OPT_INT, O(limit), "50", 1, 100000, "N", "at most so many"},
};
#undef O

/* Pages of a serialized ListDeliveriesReply, until `limit` deliveries are there. */
struct listing {
	struct buf all;
	int64_t n;
	char *token; /* owned; of the next page, NULL at the end */
};

static void take_page(struct listing *l, const struct errand_reply *reply, int64_t limit)
{
	struct pbuf_reader r = pbuf_reader(reply->payload, reply->payload_len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1 && l->n < limit) {
			buf_append(&l->all, f.start, (size_t)(r.p - f.start));
			l->n++;
		} else if (f.number == 2 && f.bytes.len > 0) {
			l->token = xstrndup((const char *)f.bytes.data, f.bytes.len);
		}
	}
}

static int fetch_page(struct backend *b, const struct list_conf *conf, unsigned state,
		      struct listing *l)
{
	struct errand_reply *reply;
	AUTO_BUF in = BUF_INIT;
	int r;

	if (state > 0)
		pbuf_put_uint(&in, 1, state);
	if (conf->task != NULL)
		pbuf_put_str(&in, 2, conf->task);
	pbuf_put_uint(&in, 3, (uint64_t)MIN(conf->limit - l->n, PAGE));
	if (l->token != NULL)
		pbuf_put_str(&in, 4, l->token);
	free(l->token);
	l->token = NULL;
	r = backend_call(b, SERVICE, "ListDeliveries", &in, &reply);
	if (r != CLI_OK)
		return r;
	take_page(l, reply, conf->limit);
	errand_reply_free(reply);
	return CLI_OK;
}

enum column { COL_ID, COL_STATE, COL_EVENT, COL_TRY, COL_STATUS, COL_URL, COL_ERROR, N_COLUMNS };

static const struct {
	const char *name;
	double width;
	int flags;
	uint32_t field; /* of errand.v1.Delivery */
} columns[] = {
	[COL_ID] = {"ID", 38, 0, 1},
	[COL_STATE] = {"STATE", 9, 0, 5},
	[COL_EVENT] = {"EVENT", 14, 0, 3},
	[COL_TRY] = {"TRY", 3, SCOLS_FL_RIGHT, 6},
	[COL_STATUS] = {"HTTP", 4, SCOLS_FL_RIGHT, 7},
	[COL_URL] = {"URL", 0.3, SCOLS_FL_TRUNC, 4},
	[COL_ERROR] = {"ERROR", 0.3, SCOLS_FL_TRUNC, 8},
};

static int add_row(struct libscols_table *table, struct bytes delivery)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	struct pbuf_reader r = pbuf_reader(delivery.data, delivery.len);
	struct pbuf_field f;

	if (line == NULL)
		return -1;
	while (pbuf_next(&r, &f))
		for (size_t i = 0; i < N_COLUMNS; i++) {
			AUTO_FREE char *text = NULL;

			if (columns[i].field != f.number)
				continue;
			text = f.wire == PBUF_LEN ? xstrndup((const char *)f.bytes.data, f.bytes.len) :
			       i == COL_STATE && f.value < ARRAY_LEN(states) ? xstrdup(states[f.value]) :
			       xasprintf("%llu", (unsigned long long)f.value);
			scols_line_set_data(line, i, text);
		}
	return 0;
}

static int fill(struct libscols_table *table, struct bytes all)
{
	struct pbuf_reader r = pbuf_reader(all.data, all.len);
	struct pbuf_field f;
	int failed = 0;

	for (size_t i = 0; i < N_COLUMNS; i++)
		if (scols_table_new_column(table, columns[i].name, columns[i].width, columns[i].flags) == NULL)
			return -1;
	while (failed == 0 && pbuf_next(&r, &f))
		failed = add_row(table, f.bytes);
	return failed;
}

static int show_table(struct bytes all)
{
	struct libscols_table *table;
	int r = -1;

	scols_init_debug(0);
	table = scols_new_table();
	if (table != NULL) {
		if (!isatty(fileno(stdout)))
			scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
		r = fill(table, all);
	}
	if (r == 0)
		r = scols_print_table(table);
	scols_unref_table(table);
	if (r == 0)
		return CLI_OK;
	cli_error("out of memory");
	return CLI_FAILED;
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

static int show_listing(struct backend *b, const struct list_conf *conf, const struct listing *l)
{
	int r;

	if (conf->common.json)
		return show_message(b, "errand.v1.ListDeliveriesReply", buf_bytes(&l->all), false);
	r = l->n > 0 ? show_table(buf_bytes(&l->all)) : CLI_OK;
	if (l->n == 0)
		fprintf(stderr, "no deliveries\n");
	else if (l->token != NULL)
		fprintf(stderr, "... there are more: --limit\n");
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
	struct listing l = {0};
	struct list_conf conf;
	struct backend b;
	int state, r;
	int first = cli_parse(list_options, ARRAY_LEN(list_options), &conf, argc, argv,
			      "errand deliveries [options]");

	state = state_by_name(conf.state);
	if (state < 0)
		return CLI_USAGE;
	if (first < argc) {
		cli_error("errand deliveries takes no operand, and %s is one", argv[first]);
		return CLI_USAGE;
	}
	r = backend_open(&b, &conf.common);
	if (r != CLI_OK)
		return r;
	do
		r = fetch_page(&b, &conf, (unsigned)state, &l);
	while (r == CLI_OK && l.token != NULL && l.n < conf.limit);
	if (r == CLI_OK)
		r = show_listing(&b, &conf, &l);
	buf_deinit(&l.all);
	free(l.token);
	backend_close(&b);
	return r;
}

/* --- delivery VERB ID --- */

struct one_conf {
	struct cli_common common;
};
static const struct opt one_options[] = {CLI_COMMON(struct one_conf)};

static const struct {
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
	}
	backend_close(&b);
	return r;
}

int delivery_command(int argc, char **argv)
{
	struct one_conf conf;
	int first = cli_parse(one_options, ARRAY_LEN(one_options), &conf, argc, argv,
			      "errand delivery VERB [options] ID\n\n"
			      "Verbs:\n"
			      "  show       show the delivery\n"
			      "  redeliver  send it (again) now");

	for (size_t i = 0; i < ARRAY_LEN(verbs) && first + 2 == argc; i++)
		if (strcmp(argv[first], verbs[i].name) == 0)
			return call_and_show(&conf, verbs[i].method, argv[first + 1]);
	cli_error("write errand delivery show ID or errand delivery redeliver ID");
	return CLI_USAGE;
}
