/* tasks_bulk.c: `errand tasks cancel|retry --filter EXPRESSION`: the same for many. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/show.h"

#define REPLY "errand.v1.BulkReply"

struct bulk_conf {
	struct cli_common common;
	const char *filter;
	bool dry_run;
};

static const struct opt options[] = {
	CLI_COMMON(struct bulk_conf),
	{"filter", 'f', OPT_STRING, offsetof(struct bulk_conf, filter), NULL, 0, 0, "EXPRESSION",
	 "which tasks: 'state = FAILED AND queue = \"media\"'"},
	{"dry-run", 'n', OPT_FLAG, offsetof(struct bulk_conf, dry_run), NULL, 0, 0, NULL,
	 "only count them"},
};

/* "12 tasks match, 11 cancelled" */
static void say(const struct bulk_conf *conf, const char *done, struct bytes reply)
{
	struct pbuf_reader r = pbuf_reader(reply.data, reply.len);
	unsigned long long matched = 0, changed = 0;
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1)
			matched = f.value;
		else if (f.number == 2)
			changed = f.value;
	}
	if (conf->dry_run)
		printf("%llu matching, %llu would be %s\n", matched, changed, done);
	else
		printf("%llu matching, %llu %s\n", matched, changed, done);
}

static int send_request(struct backend *b, const struct bulk_conf *conf, const char *method, const char *done)
{
	const struct schema_message *m;
	struct errand_reply *reply;
	struct bytes wire;
	AUTO_BUF in = BUF_INIT;
	int r;

	pbuf_put_str(&in, 1, conf->filter);
	if (conf->dry_run)
		pbuf_put_uint(&in, 2, 1);
	r = backend_call(b, TASKS_SERVICE, method, &in, &reply);
	if (r != CLI_OK)
		return r;
	wire = (struct bytes){reply->payload, reply->payload_len};
	m = conf->common.json ? schema_message(b->schema, REPLY, strlen(REPLY)) : NULL;
	if (m != NULL)
		r = show_json(b->schema, m, wire, false);
	else
		say(conf, done, wire);
	errand_reply_free(reply);
	return r;
}

static int bulk(int argc, char **argv, const char *method, const char *done)
{
	struct bulk_conf conf;
	struct backend b;
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv,
			      "errand tasks cancel|retry --filter EXPRESSION [--dry-run]");
	int r;

	if (first < argc || conf.filter == NULL) {
		cli_error("tasks: say which tasks: --filter EXPRESSION");
		return CLI_USAGE;
	}
	r = backend_open(&b, &conf.common);
	if (r != CLI_OK)
		return r;
	r = backend_schema(&b);
	if (r == CLI_OK)
		r = send_request(&b, &conf, method, done);
	backend_close(&b);
	return r;
}

int tasks_cancel_command(int argc, char **argv)
{
	return bulk(argc, argv, "CancelTasks", "cancelled");
}

int tasks_retry_command(int argc, char **argv)
{
	return bulk(argc, argv, "RetryTasks", "queued again");
}
