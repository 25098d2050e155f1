/* task.c: `errand show` and `errand watch`, and `errand task VERB`: the verbs of tasks under
 * the name they had first. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "cli/ids.h"
#include "cli/show.h"
#include "cli/task_view.h"
#include "cli/watch.h"

struct task_conf {
	struct cli_common common;
	bool logs;
};

static const struct opt show_options[] = {CLI_COMMON(struct task_conf)};
static const struct opt watch_options[] = {
	{"logs", 'l', OPT_FLAG, offsetof(struct task_conf, logs), NULL, 0, 0, NULL, "show log lines as well"},
	CLI_COMMON(struct task_conf),
};

/* A verb's work with one task. */
typedef int for_task(struct backend *b, const struct task_conf *conf, const char *id, bool many);

static int for_tasks(const struct task_conf *conf, const char *name, int n, char **operands, for_task *one)
{
	struct ids ids = {0};
	struct backend b;
	int r = ids_read(&ids, name, n, operands), first = CLI_OK;

	if (r == CLI_OK && (r = backend_open(&b, &conf->common)) == CLI_OK) {
		r = ids_resolve_all(&b, &ids);
		if (r == CLI_OK)
			r = backend_schema(&b);
		for (size_t i = 0; r == CLI_OK && i < ids.n; i++) {
			int one_r = one(&b, conf, ids.items[i], ids.n > 1);

			first = first == CLI_OK ? one_r : first;
		}
		backend_close(&b);
	}
	ids_deinit(&ids);
	return r == CLI_OK ? first : r;
}

static int show_one(struct backend *b, const struct task_conf *conf, const char *id, bool many)
{
	const struct schema_message *m = schema_message(b->schema, "errand.v1.Task", 14);
	struct errand_reply *reply;
	int r;

	if (m == NULL) {
		cli_error("the service's schema has no errand.v1.Task");
		return CLI_FAILED;
	}
	r = ids_call(b, "GetTask", id, &reply);
	if (r != CLI_OK)
		return r;
	r = show_json(b->schema, m, (struct bytes){reply->payload, reply->payload_len},
		      !conf->common.json && show_is_terminal(stdout));
	errand_reply_free(reply);
	return r;
}

static int watch_one(struct backend *b, const struct task_conf *conf, const char *id, bool many)
{
	struct watch_options o = {.out = stdout, .logs = conf->logs, .events = conf->common.json};
	struct task_view v = {0};
	int r;

	if (many && !conf->common.json)
		printf("==> %s <==\n", id);
	r = watch_get(b, id, &v);
	if (r == CLI_OK)
		r = watch_task(b, &v, &o);
	task_view_deinit(&v);
	return r;
}

int show_command(int argc, char **argv)
{
	struct task_conf conf;
	int first = cli_parse(show_options, ARRAY_LEN(show_options), &conf, argc, argv,
			      "errand show [options] TASK...\n\nTasks with all there is to know of them, as JSON.");

	return for_tasks(&conf, "show", argc - first, argv + first, show_one);
}

int watch_command(int argc, char **argv)
{
	struct task_conf conf;
	int first = cli_parse(watch_options, ARRAY_LEN(watch_options), &conf, argc, argv,
			      "errand watch [options] TASK...\n\n"
			      "Follows a task to its end, several one after the other; the exit status tells how\n"
			      "the first one that did not succeed ended. Interrupted, the task goes on.");

	return for_tasks(&conf, "watch", argc - first, argv + first, watch_one);
}

/* --- errand task VERB --- */

static const struct command verbs[] = {
	{.name = "get", .run = show_command}, {.name = "show", .run = show_command},
	{.name = "watch", .run = watch_command}, {.name = "wait", .run = wait_command},
	{.name = "logs", .run = logs_command}, {.name = "result", .run = result_command},
	{.name = "cancel", .run = cancel_command}, {.name = "retry", .run = retry_command},
	{.name = "hold", .run = hold_command}, {.name = "release", .run = release_command},
	{.name = "run-now", .run = run_now_command}, {.name = "delete", .run = delete_command},
	{.name = "set", .run = set_command}, {.name = "create", .run = task_create_command},
	{.name = "list", .run = list_command},
};

static const char usage[] =
	"errand task VERB [options] TASK...\n\n"
	"Verbs, which are commands of their own as well (errand VERB --help):\n"
	"  get      errand show\n"
	"  watch    errand watch\n"
	"  wait     errand wait\n"
	"  logs     errand logs\n"
	"  result   errand result\n"
	"  cancel   errand cancel\n"
	"  retry    errand retry\n"
	"  hold     errand hold\n"
	"  release  errand release\n"
	"  run-now  errand run-now\n"
	"  delete   errand delete\n"
	"  set      errand set\n"
	"  create   errand submit, but prints the whole task";

int task_command(int argc, char **argv)
{
	static const struct opt options[] = {CLI_COMMON(struct task_conf)};
	struct task_conf conf;
	int r, first;

	if (cli_subcommand(verbs, ARRAY_LEN(verbs), argc, argv, &r))
		return r;
	first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage);
	if (first == argc)
		cli_error("task: no verb given: errand task get|watch|wait|logs|result|cancel|retry|hold|"
			  "release|run-now|delete|set ID");
	else
		(void)CLI_FIND(verbs, "verb of errand task", argv[first]);
	return CLI_USAGE;
}

/* errand tasks [cancel|retry] */
int tasks_command(int argc, char **argv)
{
	static const struct command own[] = {
		{.name = "cancel", .run = cancel_command}, {.name = "retry", .run = retry_command},
	};
	int r;

	return cli_subcommand(own, ARRAY_LEN(own), argc, argv, &r) ? r : list_command(argc, argv);
}
