/* events.c: `errand events`: what happens to all tasks, as it happens, from
 * errand.v1.Tasks/WatchAll; asked again from the last event seen when the connection
 * is lost. Ends with --timeout or an interrupt only. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/select.h"
#include "cli/show.h"
#include "cli/task_view.h"

struct events_conf {
	struct cli_common common;
	struct select select;
	const char *after;
	bool logs;
};

#define O(field) offsetof(struct events_conf, field)
static const struct opt options[] = {
	SELECT_OPTIONS(struct events_conf),
	{"after", 0, OPT_STRING, O(after), NULL, 0, 0, "ID",
	 "go on after the event with this id, as --json shows it"},
	{"logs", 'l', OPT_FLAG, O(logs), NULL, 0, 0, NULL, "log lines as well"},
	CLI_COMMON(struct events_conf),
};
#undef O

struct events {
	struct backend *backend;
	const struct events_conf *conf;
	struct buf filter;
	const struct schema_message *message; /* for --json */
	char *id;                             /* of the last event; owned */
	int failed;                           /* it could not be shown: what to exit with, said */
};

/* What errand.v1.Event has besides TaskEvent's. */
struct names {
	struct bytes task, id, method;
};

static void load_names(struct names *n, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	*n = (struct names){0};
	while (pbuf_next(&r, &f)) {
		if (f.number == 4)
			n->task = f.bytes;
		else if (f.number == 11)
			n->id = f.bytes;
		else if (f.number == 12)
			n->method = f.bytes;
	}
}

static void show(const struct task_event *e, const struct names *n)
{
	size_t tail = MIN(n->task.len, 12);
	char when[24];

	printf("%s ", show_time(e->time_us, when));
	if (task_event_is(e, "reset")) {
		printf("events were missed here: see `errand list`\n");
		return;
	}
	show_text(stdout, (const char *)n->task.data + n->task.len - tail, tail);
	printf(" ");
	show_text(stdout, (const char *)n->method.data, n->method.len);
	if (task_event_is(e, "state"))
		printf(" %s", task_view_state_name(e->state));
	else if (task_event_is(e, "result"))
		printf(" result");
	else if (e->has_progress)
		printf(" %d%% ", (int)(e->fraction * 100));
	else
		printf(" | ");
	show_text(stdout, (const char *)e->message.data, e->message.len);
	show_text(stdout, (const char *)e->log_text.data, e->log_text.len);
	if (task_event_is(e, "state") && e->attempt > 0)
		printf(" attempt %u", e->attempt);
	printf("\n");
}

static int on_event(const void *message, size_t len, void *arg)
{
	struct bytes wire = {message, len};
	struct events *x = arg;
	struct task_event e;
	struct names n;
	int r;

	if (!task_event_load(&e, wire)) {
		cli_error("the service sent an event that cannot be read");
		return x->failed = CLI_FAILED;
	}
	load_names(&n, wire);
	free(x->id);
	x->id = xstrndup((const char *)n.id.data, n.id.len);
	if (x->conf->common.json) {
		r = show_json(x->backend->schema, x->message, wire, false);
	} else {
		if (x->conf->logs || !task_event_is(&e, "log"))
			show(&e, &n);
		r = cli_flush();
	}
	return x->failed = r;
}

static void put_request(struct events *x, struct buf *in)
{
	if (x->filter.len > 0)
		pbuf_put_str(in, 4, buf_cstr(&x->filter));
	if (x->id != NULL)
		pbuf_put_str(in, 5, x->id);
}

/* One WatchAll call. CLI_OK: it was cut off; another: give up, said. */
static int follow_once(struct events *x)
{
	struct errand_call_options o = {.timeout_ns = backend_time_left(x->backend)};
	struct errand_reply *reply = NULL;
	AUTO_BUF in = BUF_INIT;
	int r = -ERRAND_DEADLINE_EXCEEDED;

	put_request(x, &in);
	if (o.timeout_ns >= 0)
		r = backend_stream(x->backend, TASKS_SERVICE, "WatchAll", &in, &o, on_event, x, &reply);
	if (r == 0 && reply->code != ERRAND_OK)
		r = -reply->code;
	if (x->failed != CLI_OK)
		r = x->failed;
	else if (r == 0 || r == -ERRAND_UNAVAILABLE || r == -ERRAND_CANCELLED)
		r = CLI_OK;
	else if (r == -ERRAND_DEADLINE_EXCEEDED)
		r = CLI_TIMEOUT;
	else if (reply != NULL)
		r = backend_refused(x->backend, NULL, reply);
	else
		r = backend_failed(x->backend, r);
	errand_reply_free(reply);
	return r;
}

static int follow(struct events *x)
{
	int r = CLI_OK;

	if (x->conf->common.json)
		r = backend_schema(x->backend);
	if (r == CLI_OK && x->conf->common.json)
		x->message = schema_message(x->backend->schema, "errand.v1.Event", 15);
	if (r == CLI_OK && x->conf->common.json && x->message == NULL) {
		cli_error("the service's schema has no errand.v1.Event");
		return CLI_FAILED;
	}
	while (r == CLI_OK) {
		int64_t begin = clock_mono_ns();

		r = follow_once(x);
		/* A stream that ends at once, time after time, is not asked for in a loop. */
		if (r == CLI_OK && clock_mono_ns() - begin < NS_PER_S / 5)
			nanosleep(&(struct timespec){0, 200 * NS_PER_MS}, NULL);
		if (r == CLI_OK)
			r = backend_reopen(x->backend);
	}
	return r;
}

int events_command(int argc, char **argv)
{
	struct events_conf conf;
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv,
			      "errand events [options]\n\nFollows what happens to all tasks, one event a line.");
	struct events x = {.conf = &conf};
	struct backend b;
	int r;

	if (first < argc) {
		cli_error("events: '%s': takes options only; `errand watch ID` follows one task",
			  argv[first]);
		return CLI_USAGE;
	}
	r = backend_open(&b, &conf.common);
	if (r != CLI_OK)
		return r;
	x.backend = &b;
	x.id = conf.after != NULL ? xstrdup(conf.after) : NULL;
	r = select_filter(&b, &conf.select, &x.filter);
	if (r == CLI_OK)
		r = follow(&x);
	buf_deinit(&x.filter);
	free(x.id);
	backend_close(&b);
	return r;
}
