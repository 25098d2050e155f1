/* change.c: `errand cancel|retry|hold|release|run-now|delete` of tasks, and `errand purge`
 * of queues: for those that are named at once, for those that a filter or --all takes after
 * having said how many they are. One table has all of them. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/ask.h"
#include "cli/ids.h"
#include "cli/pages.h"
#include "cli/select.h"
#include "cli/show.h"
#include "cli/task_view.h"

#define BULK_REPLY "errand.v1.BulkReply"
#define ENDED "(state = SUCCEEDED OR state = FAILED OR state = CANCELLED OR state = EXPIRED)"
#define WAITING "(state = QUEUED OR state = SCHEDULED OR state = RETRYING OR state = BLOCKED OR state = HELD)"
enum { MOST = 100000 }; /* tasks of one bulk change that the service has no method for */

struct change_conf {
	struct cli_common common;
	struct select select;
	bool all, yes, dry_run;
};

#define O(field) offsetof(struct change_conf, field)
static const struct opt options[] = {
	SELECT_OPTIONS(struct change_conf),
	{"all", 'a', OPT_FLAG, O(all), NULL, 0, 0, NULL, "all that it makes sense for"},
	{"yes", 'y', OPT_FLAG, O(yes), NULL, 0, 0, NULL, "do not ask, for scripts"},
	{"dry-run", 'n', OPT_FLAG, O(dry_run), NULL, 0, 0, NULL, "only count them"},
	CLI_COMMON(struct change_conf),
};
#undef O

struct verb {
	const char *name, *method, *bulk; /* bulk: the service's own method for many; NULL */
	const char *ask, *done;           /* "Cancel", "cancelled" */
	const char *all;                  /* the filter of --all, and of all others unless bulk */
	const char *usage;
};

#define USAGE(name, does) \
	"errand " name " [options] TASK...\n" \
	"       errand " name " [--filter EXPRESSION | --state STATE | --queue QUEUE | ... | --all] [--yes]\n\n" \
	does "\n\nTASK is an id, its end or its beginning while one task has it; - reads ids from stdin."

static const struct verb cancel = {
	"cancel", "CancelTask", "CancelTasks", "Cancel", "cancelled", "NOT " ENDED,
	USAGE("cancel", "Asks tasks to stop. --all: all that have not ended."),
};
static const struct verb retry = {
	"retry", "RetryTask", "RetryTasks", "Retry", "queued again", "(state = FAILED OR state = EXPIRED)",
	USAGE("retry", "Queues tasks again that have ended. --all: all that failed or expired."),
};
static const struct verb hold = {
	"hold", "HoldTask", NULL, "Hold", "held", "(state = QUEUED OR state = SCHEDULED OR state = RETRYING OR state = BLOCKED)",
	USAGE("hold", "Keeps tasks from running that wait. --all: all that wait."),
};
static const struct verb release = {
	"release", "ReleaseTask", NULL, "Release", "released", "state = HELD",
	USAGE("release", "Lets tasks run after all. --all: all that are held."),
};
static const struct verb run_now = {
	"run-now", "RunTaskNow", NULL, "Queue", "queued now", "(state = SCHEDULED OR state = RETRYING)",
	USAGE("run-now", "Queues tasks whose time, or retry, has not come. --all: all of these."),
};
static const struct verb delete = {
	"delete", "DeleteTask", NULL, "Forget", "forgotten", ENDED,
	USAGE("delete", "Forgets tasks that have ended. --all: all of these."),
};
static const struct verb purge = {
	"purge", NULL, "CancelTasks", "Cancel", "cancelled", WAITING,
	"errand purge [options] QUEUE...\n\n"
	"Cancels every task of these queues that waits; what runs goes on.",
};

struct change {
	const struct verb *verb;
	const struct change_conf *conf;
	struct backend backend;
	struct buf filter;
};

/* --- one by one --- */

static int show_changed(struct change *c, const char *id, const struct errand_reply *reply)
{
	struct bytes wire = {reply->payload, reply->payload_len};
	const struct schema_message *m;
	struct task_view v = {0};
	int r;

	if (c->conf->common.json && wire.len > 0) {
		r = backend_schema(&c->backend);
		if (r != CLI_OK)
			return r;
		m = schema_message(c->backend.schema, "errand.v1.Task", 14);
		return m != NULL ? show_json(c->backend.schema, m, wire, false) : CLI_FAILED;
	}
	task_view_load(&v, wire);
	if (!c->conf->common.json)
		printf("%s %s\n", id, wire.len > 0 ? task_view_state_name(v.state) : c->verb->done);
	task_view_deinit(&v);
	return CLI_OK;
}

/* All of them, whatever becomes of each: the first failure is the exit status. */
static int change_each(struct change *c, const struct ids *ids)
{
	int first = CLI_OK;

	for (size_t i = 0; i < ids->n; i++) {
		struct errand_reply *reply;
		int r = ids_call(&c->backend, c->verb->method, ids->items[i], &reply);

		if (r == CLI_OK) {
			r = show_changed(c, ids->items[i], reply);
			errand_reply_free(reply);
		}
		first = first == CLI_OK ? r : first;
	}
	return first;
}

static int change_named(struct change *c, int n, char **operands)
{
	struct ids ids = {0};
	int r = ids_read(&ids, c->verb->name, n, operands);

	if (r == CLI_OK)
		r = ids_resolve_all(&c->backend, &ids);
	if (r == CLI_OK && c->conf->dry_run)
		printf("%zu task%s would be %s\n", ids.n, ids.n == 1 ? "" : "s", c->verb->done);
	else if (r == CLI_OK)
		r = change_each(c, &ids);
	ids_deinit(&ids);
	return r;
}

/* --- by filter, where the service has a method for it --- */

struct counts {
	uint64_t matched, changed;
	bool complete;
};

static int call_bulk(struct change *c, bool dry_run, bool json, struct counts *out)
{
	const struct schema_message *m = schema_message(c->backend.schema, BULK_REPLY, strlen(BULK_REPLY));
	struct errand_reply *reply;
	struct pbuf_reader r;
	struct pbuf_field f;
	AUTO_BUF in = BUF_INIT;
	int result;

	pbuf_put_str(&in, 1, buf_cstr(&c->filter));
	pbuf_put_uint(&in, 2, dry_run);
	result = backend_call(&c->backend, TASKS_SERVICE, c->verb->bulk, &in, &reply);
	if (result != CLI_OK)
		return result;
	out->complete = false;
	r = pbuf_reader(reply->payload, reply->payload_len);
	while (pbuf_next(&r, &f)) {
		if (f.number == 1)
			out->matched += f.value;
		else if (f.number == 2)
			out->changed += f.value;
		else if (f.number == 3)
			out->complete = f.value != 0;
	}
	if (json && m != NULL)
		result = show_json(c->backend.schema, m, (struct bytes){reply->payload, reply->payload_len}, false);
	errand_reply_free(reply);
	return result;
}

static int ask_for(struct change *c, uint64_t n)
{
	return ask(c->conf->yes, c->verb->name, "%s %llu task%s", c->verb->ask, (unsigned long long)n,
		   n == 1 ? "" : "s");
}

/* Of a dry run what is counted would be changed. */
static int change_bulk(struct change *c)
{
	struct counts n = {0}, done = {0};
	bool json = c->conf->common.json;
	int r = backend_schema(&c->backend);

	if (r == CLI_OK)
		r = call_bulk(c, true, json && c->conf->dry_run, &n);
	if (r != CLI_OK)
		return r;
	if (c->conf->dry_run && !json)
		printf("%llu matching, %llu would be %s\n", (unsigned long long)n.matched,
		       (unsigned long long)n.changed, c->verb->done);
	if (c->conf->dry_run)
		return CLI_OK;
	r = n.changed > 0 ? ask_for(c, n.changed) : CLI_OK;
	/* what it had no time for is left to the next call; one that changes nothing is the last */
	while (r == CLI_OK && !done.complete) {
		uint64_t before = done.changed;

		r = call_bulk(c, false, json, &done);
		if (done.changed == before)
			break;
	}
	if (r == CLI_OK && !json)
		printf("%llu matching, %llu %s\n", (unsigned long long)done.matched,
		       (unsigned long long)done.changed, c->verb->done);
	return r;
}

/* --- by filter, one by one --- */

static int change_listed(struct change *c)
{
	struct pages p = {.service = TASKS_SERVICE, .method = "ListTasks", .size_field = 4, .token_field = 5,
			  .limit = MOST};
	struct ids ids = {0};
	struct pbuf_reader reader;
	struct pbuf_field f;
	AUTO_BUF in = BUF_INIT;
	int r;

	pbuf_put_str(&in, 6, buf_cstr(&c->filter));
	r = pages_fetch(&c->backend, &p, &in);
	reader = pbuf_reader(p.all.data, p.all.len);
	while (r == CLI_OK && pbuf_next(&reader, &f)) {
		struct task_view v = {0};

		task_view_load(&v, f.bytes);
		ids_add(&ids, v.id, strlen(v.id));
		task_view_deinit(&v);
	}
	if (r == CLI_OK && c->conf->dry_run)
		printf("%zu matching, %zu would be %s\n", ids.n, ids.n, c->verb->done);
	else if (r == CLI_OK && ids.n > 0 && (r = ask_for(c, ids.n)) == CLI_OK)
		r = change_each(c, &ids);
	else if (r == CLI_OK)
		fprintf(stderr, "no tasks\n");
	ids_deinit(&ids);
	pages_deinit(&p);
	return r;
}

/* --- the commands --- */

static int build_filter(struct change *c)
{
	int r = select_filter(&c->backend, &c->conf->select, &c->filter);

	if (r != CLI_OK)
		return r;
	if (c->filter.len == 0) {
		buf_append_str(&c->filter, c->verb->all);
	} else if (c->verb->bulk == NULL) {
		AUTO_BUF both = BUF_INIT;

		buf_printf(&both, "(%s) AND %s", buf_cstr(&c->filter), c->verb->all);
		buf_reset(&c->filter);
		buf_append(&c->filter, both.data, both.len);
	}
	return CLI_OK;
}

static int purge_queues(struct change *c, int n, char **queues)
{
	for (int i = 0; i < n; i++) {
		AUTO_BUF one = BUF_INIT;
		int r = select_filter(&c->backend, &(struct select){.queue = queues[i]}, &one);

		if (r != CLI_OK)
			return r;
		buf_printf(&c->filter, "%s%s", i > 0 ? " OR " : "", buf_cstr(&one));
		select_near_queue(&c->backend, queues[i]);
	}
	AUTO_BUF both = BUF_INIT;
	buf_printf(&both, "(%s) AND %s", buf_cstr(&c->filter), c->verb->all);
	buf_reset(&c->filter);
	buf_append(&c->filter, both.data, both.len);
	return change_bulk(c);
}

static int run(struct change *c, int n, char **operands)
{
	bool many = c->conf->all || select_any(&c->conf->select);
	int r = backend_open(&c->backend, &c->conf->common);

	if (r != CLI_OK)
		return r;
	if (c->verb == &purge)
		r = purge_queues(c, n, operands);
	else if (!many)
		r = change_named(c, n, operands);
	else if ((r = build_filter(c)) == CLI_OK)
		r = c->verb->bulk != NULL ? change_bulk(c) : change_listed(c);
	backend_close(&c->backend);
	buf_deinit(&c->filter);
	return r;
}

static int change_tasks(const struct verb *verb, int argc, char **argv)
{
	struct change_conf conf;
	struct change c = {.verb = verb, .conf = &conf};
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, verb->usage), n = argc - first;
	bool some = select_any(&conf.select);

	if (n > 0 && (some || conf.all)) {
		cli_error("%s: '%s' names a task: give tasks, or a filter or --all", verb->name, argv[first]);
		return CLI_USAGE;
	}
	if (some && conf.all) {
		cli_error("%s: --all takes all: leave it out to choose", verb->name);
		return CLI_USAGE;
	}
	if (n == 0 && !some && !conf.all) {
		cli_error("%s: which tasks? Give their IDs (`errand list` shows them), --filter or --all", verb->name);
		return CLI_USAGE;
	}
	return run(&c, n, argv + first);
}

int cancel_command(int argc, char **argv)
{
	return change_tasks(&cancel, argc, argv);
}

int retry_command(int argc, char **argv)
{
	return change_tasks(&retry, argc, argv);
}

int hold_command(int argc, char **argv)
{
	return change_tasks(&hold, argc, argv);
}

int release_command(int argc, char **argv)
{
	return change_tasks(&release, argc, argv);
}

int run_now_command(int argc, char **argv)
{
	return change_tasks(&run_now, argc, argv);
}

int delete_command(int argc, char **argv)
{
	return change_tasks(&delete, argc, argv);
}

int purge_command(int argc, char **argv)
{
	static const struct opt own[] = {
		{"yes", 'y', OPT_FLAG, offsetof(struct change_conf, yes), NULL, 0, 0, NULL, "do not ask, for scripts"},
		{"dry-run", 'n', OPT_FLAG, offsetof(struct change_conf, dry_run), NULL, 0, 0, NULL, "only count them"},
		CLI_COMMON(struct change_conf),
	};
	struct change_conf conf = {.all = false};
	struct change c = {.verb = &purge, .conf = &conf};
	int first = cli_parse(own, ARRAY_LEN(own), &conf, argc, argv, purge.usage);

	if (first == argc) {
		cli_error("purge: which queue? `errand queues` lists them");
		return CLI_USAGE;
	}
	return run(&c, argc - first, argv + first);
}
