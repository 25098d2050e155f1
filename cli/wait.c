/* wait.c: `errand wait`: until tasks have ended, all or the first of them. One connection
 * has the events of all tasks, a second one looks at ours once the first is being served, so
 * no end falls between the two. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/ids.h"
#include "cli/leave.h"
#include "cli/show.h"
#include "cli/task_view.h"

struct wait_conf {
	struct cli_common common;
	bool any, all;
};

static const struct opt options[] = {
	{"all", 'a', OPT_FLAG, offsetof(struct wait_conf, all), NULL, 0, 0, NULL, "for all of them; the default"},
	{"any", 0, OPT_FLAG, offsetof(struct wait_conf, any), NULL, 0, 0, NULL, "for the first that ends"},
	CLI_COMMON(struct wait_conf),
};

struct wait {
	const struct wait_conf *conf;
	struct backend events, looks;
	struct ids ids; /* those that are waited for */
	int exit;       /* of the first that did not succeed */
	int failed;     /* looking failed: what to exit with, said */
	bool over;
};

static int show_end(struct wait *w, const struct task_view *v, struct bytes wire)
{
	const struct schema_message *m;
	int r;

	if (!w->conf->common.json) {
		printf("%s %s\n", v->id, task_view_state_name(v->state));
		return cli_flush();
	}
	r = backend_schema(&w->looks);
	m = r == CLI_OK ? schema_message(w->looks.schema, "errand.v1.Task", 14) : NULL;
	return m != NULL ? show_json(w->looks.schema, m, wire, false) : r == CLI_OK ? CLI_FAILED : r;
}

static void forget(struct wait *w, size_t i)
{
	free(w->ids.items[i]);
	w->ids.items[i] = w->ids.items[--w->ids.n];
	w->over = w->ids.n == 0 || w->conf->any;
}

/* True: it has ended, and is out of the list. */
static bool look(struct wait *w, size_t i)
{
	struct errand_reply *reply;
	struct task_view v = {0};
	struct bytes wire;
	bool ended;

	w->failed = ids_call(&w->looks, "GetTask", w->ids.items[i], &reply);
	if (w->failed != CLI_OK)
		return false;
	wire = (struct bytes){reply->payload, reply->payload_len};
	task_view_load(&v, wire);
	ended = task_view_ended(v.state);
	if (ended) {
		w->failed = show_end(w, &v, wire);
		w->exit = w->exit == CLI_OK ? task_view_exit(v.state) : w->exit;
		forget(w, i);
	}
	task_view_deinit(&v);
	errand_reply_free(reply);
	return ended;
}

static void look_at_all(struct wait *w)
{
	for (size_t i = 0; i < w->ids.n && !w->over && w->failed == CLI_OK; )
		i += !look(w, i);
}

static int on_event(const void *message, size_t len, void *arg)
{
	struct pbuf_reader r = pbuf_reader(message, len);
	struct bytes task = {NULL, 0};
	struct task_event e;
	struct wait *w = arg;
	struct pbuf_field f;

	if (!task_event_load(&e, (struct bytes){message, len}))
		return -1;
	if (task_event_is(&e, "reset")) /* the first, and when events were missed */
		look_at_all(w);
	if (task_event_is(&e, "state") && task_view_ended(e.state)) {
		while (pbuf_next(&r, &f))
			if (f.number == 4)
				task = f.bytes;
		for (size_t i = 0; i < w->ids.n; i++)
			if (strlen(w->ids.items[i]) == task.len && memcmp(w->ids.items[i], task.data, task.len) == 0) {
				look(w, i);
				break;
			}
	}
	return w->over || w->failed != CLI_OK;
}

/* One WatchAll call. CLI_OK: it is over, or was cut off. */
static int follow_once(struct wait *w)
{
	struct errand_call_options o = {.timeout_ns = backend_time_left(&w->events)};
	struct errand_reply *reply = NULL;
	AUTO_BUF in = BUF_INIT;
	int r = -ERRAND_DEADLINE_EXCEEDED;

	pbuf_put_str(&in, 5, "now"); /* no event's id: the stream begins with a reset */
	if (o.timeout_ns >= 0)
		r = backend_stream(&w->events, TASKS_SERVICE, "WatchAll", &in, &o, on_event, w, &reply);
	if (r == 0 && reply->code != ERRAND_OK)
		r = -reply->code;
	if (w->over || w->failed != CLI_OK) {
		r = w->failed;
	} else if (r == 0 || r == -ERRAND_UNAVAILABLE || r == -ERRAND_CANCELLED) {
		r = CLI_OK;
	} else if (r == -ERRAND_DEADLINE_EXCEEDED) {
		cli_error("--timeout is over: %zu task%s %s on", w->ids.n, w->ids.n == 1 ? "" : "s",
			  w->ids.n == 1 ? "goes" : "go");
		r = CLI_TIMEOUT;
	} else {
		r = reply != NULL ? backend_refused(&w->events, NULL, reply) : backend_failed(&w->events, r);
	}
	errand_reply_free(reply);
	return r;
}

static int wait_for(struct wait *w)
{
	int r = ids_resolve_all(&w->looks, &w->ids);

	if (r == CLI_OK)
		leave_begin(w->ids.n == 1 ? w->ids.items[0] : NULL);
	while (r == CLI_OK && !w->over) {
		int64_t begin = clock_mono_ns();

		r = follow_once(w);
		if (r != CLI_OK || w->over)
			break;
		/* A stream that ends at once, time after time, is not asked for in a loop. */
		if (clock_mono_ns() - begin < NS_PER_S / 5)
			nanosleep(&(struct timespec){0, 200 * NS_PER_MS}, NULL);
		r = backend_reopen(&w->events);
		if (r == CLI_OK)
			r = backend_reopen(&w->looks);
	}
	return r == CLI_OK ? w->exit : r;
}

int wait_command(int argc, char **argv)
{
	struct wait_conf conf;
	struct wait w = {.conf = &conf};
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv,
			      "errand wait [options] TASK...\n\n"
			      "Waits until tasks have ended and prints how each did. The exit status is that of the\n"
			      "first that did not succeed, 124 when --timeout is over.");
	int r;

	if (conf.any && conf.all) {
		cli_error("wait: --any or --all, not both");
		return CLI_USAGE;
	}
	r = ids_read(&w.ids, "wait", argc - first, argv + first);
	if (r == CLI_OK && (r = backend_open(&w.looks, &conf.common)) == CLI_OK) {
		r = backend_open(&w.events, &conf.common);
		if (r == CLI_OK)
			r = wait_for(&w);
		backend_close(&w.events);
		backend_close(&w.looks);
	}
	ids_deinit(&w.ids);
	return r;
}
