/* task.c: `errand task VERB ID`: one task. */
#define _GNU_SOURCE
#include <string.h>

#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/show.h"
#include "cli/task_view.h"
#include "cli/watch.h"

struct task_conf {
	struct cli_common common;
	bool follow, logs;
	int64_t attempt;
};

static const struct opt options[] = {
	CLI_COMMON(struct task_conf),
	{"follow", 'f', OPT_FLAG, offsetof(struct task_conf, follow), NULL, 0, 0, NULL,
	 "logs: go on until the task has ended"},
	{"attempt", 'a', OPT_INT, offsetof(struct task_conf, attempt), "0", 0, UINT32_MAX, "N",
	 "logs: of this attempt only; 0 is all"},
	{"logs", 'l', OPT_FLAG, offsetof(struct task_conf, logs), NULL, 0, 0, NULL,
	 "watch: show log lines as well"},
};

static const char usage[] =
	"errand task VERB [options] ID\n\n"
	"ID is a task's id or its last 6 or more characters while they are unique.\n\n"
	"Verbs:\n"
	"  get      show the task\n"
	"  watch    follow it to its end; the exit status tells how it ended\n"
	"  logs     what its attempts wrote\n"
	"  result   its method's answer\n"
	"  cancel   ask it to stop\n"
	"  retry    queue it again after it has ended\n"
	"  hold     keep it from running\n"
	"  release  let it run after all\n"
	"  run-now  do not wait for its time or its retry\n"
	"  delete   forget it after it has ended\n\n"
	"With options and operands of their own (--help):\n"
	"  create   make a task of a method\n"
	"  set      change a task's priority, time or labels";

/* One verb under way. */
struct task {
	const struct task_conf *conf;
	struct backend backend;
	const char *id;
};

/* A call that takes GetTaskRequest. */
static int call(struct task *t, const char *method, struct errand_reply **replyp)
{
	AUTO_BUF in = BUF_INIT;

	pbuf_put_str(&in, 1, t->id);
	return backend_call(&t->backend, TASKS_SERVICE, method, &in, replyp);
}

static const struct schema_message *find(const struct backend *b, const char *name)
{
	const struct schema_message *m = schema_message(b->schema, name, strlen(name));

	if (m == NULL)
		cli_error("the service's schema has no %s", name);
	return m;
}

static bool pretty(const struct task *t)
{
	return !t->conf->common.json && show_is_terminal(stdout);
}

/* Shows the errand.v1.Task that `method` answers with. */
static int call_and_show(struct task *t, const char *method)
{
	const struct schema_message *m = find(&t->backend, "errand.v1.Task");
	struct errand_reply *reply;
	int r;

	if (m == NULL)
		return CLI_FAILED;
	r = call(t, method, &reply);
	if (r != CLI_OK)
		return r;
	r = show_json(t->backend.schema, m, (struct bytes){reply->payload, reply->payload_len},
		      pretty(t));
	errand_reply_free(reply);
	return r;
}

static int task_get(struct task *t)
{
	return call_and_show(t, "GetTask");
}

static int task_cancel(struct task *t)
{
	return call_and_show(t, "CancelTask");
}

static int task_retry(struct task *t)
{
	return call_and_show(t, "RetryTask");
}

static int task_hold(struct task *t)
{
	return call_and_show(t, "HoldTask");
}

static int task_release(struct task *t)
{
	return call_and_show(t, "ReleaseTask");
}

static int task_run_now(struct task *t)
{
	return call_and_show(t, "RunTaskNow");
}

static int task_delete(struct task *t)
{
	struct errand_reply *reply;
	int r = call(t, "DeleteTask", &reply);

	if (r == CLI_OK)
		errand_reply_free(reply);
	return r;
}

static int task_result(struct task *t)
{
	const struct schema_message *m = find(&t->backend, "errand.v1.TaskResult");
	const struct schema_field *f = m != NULL ? schema_field_by_number(m, 1) : NULL;
	struct errand_reply *reply;
	int r;

	if (f == NULL)
		return CLI_FAILED;
	r = call(t, "GetResult", &reply);
	if (r != CLI_OK)
		return r;
	r = show_json_field(t->backend.schema, f,
			    (struct bytes){reply->payload, reply->payload_len}, pretty(t));
	errand_reply_free(reply);
	return r;
}

static int task_watch(struct task *t)
{
	struct watch_options o = {.out = stdout, .logs = t->conf->logs,
				  .events = t->conf->common.json};
	struct task_view v = {0};
	int r = watch_get(&t->backend, t->id, &v);

	if (r == CLI_OK)
		r = watch_task(&t->backend, &v, &o);
	task_view_deinit(&v);
	return r;
}

/* --- logs --- */

struct logs {
	const struct task *task;
	const struct schema_message *line; /* errand.v1.LogLine */
};

static int on_line(const void *message, size_t len, void *arg)
{
	const struct logs *l = arg;
	struct pbuf_reader r = pbuf_reader(message, len);
	struct bytes text = {NULL, 0};
	struct pbuf_field f;

	if (l->task->conf->common.json)
		return show_json(l->task->backend.schema, l->line, (struct bytes){message, len},
				 false);
	while (pbuf_next(&r, &f))
		if (f.number == 5 && f.wire == PBUF_LEN)
			text = f.bytes;
	show_text(stdout, (const char *)text.data, text.len);
	putchar('\n');
	if (l->task->conf->follow)
		fflush(stdout);
	return 0;
}

static int task_logs(struct task *t)
{
	struct errand_call_options stream = {.timeout_ns = backend_time_left(&t->backend)};
	struct logs l = {t, find(&t->backend, "errand.v1.LogLine")};
	struct errand_reply *reply;
	AUTO_BUF in = BUF_INIT;
	int r;

	if (l.line == NULL)
		return CLI_FAILED;
	pbuf_put_str(&in, 1, t->id);
	if (t->conf->attempt > 0)
		pbuf_put_uint(&in, 2, (uint64_t)t->conf->attempt);
	if (t->conf->follow)
		pbuf_put_uint(&in, 3, 1);
	r = stream.timeout_ns < 0 ? -ERRAND_DEADLINE_EXCEEDED :
		backend_stream(&t->backend, TASKS_SERVICE, "GetLogs", &in, &stream, on_line, &l, &reply);
	fflush(stdout);
	if (r < 0)
		return backend_failed(&t->backend, r);
	r = reply->code == ERRAND_OK ? CLI_OK : backend_refused(&t->backend, NULL, reply);
	errand_reply_free(reply);
	return r;
}

/* --- the command --- */

static const struct verb {
	struct command command; /* only its name is used */
	int (*run)(struct task *t);
} verbs[] = {
	{{.name = "get"}, task_get}, {{.name = "watch"}, task_watch},
	{{.name = "logs"}, task_logs}, {{.name = "result"}, task_result},
	{{.name = "cancel"}, task_cancel}, {{.name = "retry"}, task_retry},
	{{.name = "hold"}, task_hold}, {{.name = "release"}, task_release},
	{{.name = "run-now"}, task_run_now}, {{.name = "delete"}, task_delete},
};

static const struct verb *find_verb(const char *name)
{
	struct command names[ARRAY_LEN(verbs)];
	const struct command *found;

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		names[i] = verbs[i].command;
	found = cli_command(names, ARRAY_LEN(names), "verb of errand task", name);
	return found != NULL ? &verbs[found - names] : NULL;
}

int task_command(int argc, char **argv)
{
	static const struct command own[] = {
		{.name = "create", .run = task_create_command}, {.name = "set", .run = task_set_command},
	};
	struct task_conf conf;
	struct task t = {.conf = &conf};
	const struct verb *verb;
	int r, first;

	if (cli_subcommand(own, ARRAY_LEN(own), argc, argv, &r))
		return r;
	first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage);
	if (first == argc) {
		cli_error("task: no verb given: errand task get|watch|logs|result|cancel|retry|hold|"
			  "release|run-now|delete ID");
		return CLI_USAGE;
	}
	verb = find_verb(argv[first]);
	if (verb == NULL)
		return CLI_USAGE;
	if (argc - first != 2) {
		cli_error("task %s: give one task's ID", argv[first]);
		return CLI_USAGE;
	}
	t.id = argv[first + 1];
	r = backend_open(&t.backend, &conf.common);
	if (r != CLI_OK)
		return r;
	r = backend_schema(&t.backend);
	if (r == CLI_OK)
		r = verb->run(&t);
	backend_close(&t.backend);
	return r;
}
