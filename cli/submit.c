/* submit.c: `errand submit METHOD ...`: a task of any method, with every option there is;
 * `errand run` does that, follows the task and prints its answer. An option is a field of
 * errand.v1.CreateTaskRequest, and that message's own schema reads its value. */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/call_find.h"
#include "cli/call_input.h"
#include "cli/ids.h"
#include "cli/result.h"
#include "cli/show.h"
#include "cli/watch.h"

#define REQUEST "errand.v1.CreateTaskRequest"
enum { FIELD_METHOD_NAME = 31, FIELD_INPUT = 32 }; /* of it */

struct create_conf {
	struct cli_common common;
	const char *key;
	const char *queue, *priority, *run_at, *unique_key, *on_conflict, *after_policy, *max_attempts, *callback;
	int64_t delay, unique_window, start_deadline, attempt_timeout, total_timeout, progress_timeout,
		cancel_grace, result_ttl;
	struct opt_list labels, after, events;
	const char *output;
	bool wait, quiet;
};

#define O(field) offsetof(struct create_conf, field)
#define TEXT(name, field, value, help) {name, 0, OPT_STRING, O(field), NULL, 0, 0, value, help}
#define TIME(name, field, help) {name, 0, OPT_TIME, O(field), NULL, 0, 0, "TIME", help}
#define TASK_OPTIONS \
	{"key", 'k', OPT_STRING, O(key), NULL, 0, 0, "KEY", \
	 "Idempotency-Key: the same one again gives the same task"}, \
	{"queue", 'q', OPT_STRING, O(queue), NULL, 0, 0, "QUEUE", "not the method's own"}, \
	{"priority", 'p', OPT_STRING, O(priority), NULL, 0, 0, "N", "higher first"}, \
	TEXT("run-at", run_at, "TIMESTAMP", "not before 2026-01-31T12:00:00Z"), \
	TIME("delay", delay, "not before so long from now"), \
	{"label", 'l', OPT_LIST, O(labels), NULL, 0, 0, "NAME=VALUE", "a label; several times"}, \
	TEXT("unique-key", unique_key, "KEY", "no other live task has it"), \
	TIME("unique-window", unique_window, "... nor any other of so long from now"), \
	TEXT("on-conflict", on_conflict, "refuse|use-existing|wait", "when one has it"), \
	{"after", 0, OPT_LIST, O(after), NULL, 0, 0, "TASK", "when that task has ended; several times"}, \
	TEXT("after-policy", after_policy, "fail|cancel|run", "when it did not succeed"), \
	TIME("start-deadline", start_deadline, "expires when it has not begun by then"), \
	TIME("attempt-timeout", attempt_timeout, "of one attempt"), \
	TIME("total-timeout", total_timeout, "of all attempts"), \
	TIME("progress-timeout", progress_timeout, "of an attempt that says nothing"), \
	TIME("cancel-grace", cancel_grace, "between SIGTERM and SIGKILL"), \
	TEXT("max-attempts", max_attempts, "N", "the first included"), \
	TIME("result-ttl", result_ttl, "kept so long after its end"), \
	TEXT("callback", callback, "URL", "told what becomes of it"), \
	{"event", 0, OPT_LIST, O(events), NULL, 0, 0, "STATE", "... when it is this; several times"}

static const struct opt run_options[] = {
	{"output", 'o', OPT_STRING, O(output), NULL, 0, 0, "FILE", "the answer goes there"},
	{"quiet", 0, OPT_FLAG, O(quiet), NULL, 0, 0, NULL, "no progress on stderr"},
	TASK_OPTIONS,
	CLI_COMMON(struct create_conf),
};
static const struct opt submit_options[] = {
	{"wait", 'w', OPT_FLAG, O(wait), NULL, 0, 0, NULL, "until it has ended; the exit status tells how"},
	TASK_OPTIONS,
	CLI_COMMON(struct create_conf),
};
static const struct opt create_options[] = {TASK_OPTIONS, CLI_COMMON(struct create_conf)};
#undef O

#define INPUT \
	"METHOD is pkg.Service/Method or its end while that is unique; PATH an HTTP route.\n\n" \
	"The method's input, as errand call has it:\n" \
	"  FIELD=VALUE, FIELD:=JSON, @FILE, - (stdin), or {...} as JSON"

static const char run_usage[] =
	"errand run [options] METHOD|PATH [FIELD=VALUE...]\n\n"
	"Calls a method as a task and follows it to its end: progress on stderr, the answer on\n"
	"stdout, the exit status is the task's. Interrupted, the task goes on.\n\n" INPUT;
static const char submit_usage[] =
	"errand submit [options] METHOD|PATH [FIELD=VALUE...]\n\n"
	"Makes a task of a method and prints its id.\n\n" INPUT;
static const char create_usage[] =
	"errand task create [options] METHOD|PATH [FIELD=VALUE...]\n\n"
	"As errand submit, but prints the whole task.\n\n" INPUT;

struct create;

/* What becomes of the task that was made. */
typedef int after_create(struct create *c, struct bytes task);

struct create {
	const struct create_conf *conf;
	const char *name; /* of the command, for errors */
	after_create *then;
	struct backend backend;
	struct call_input request, input; /* the task; what its method is given */
};

/* --- options as fields --- */

static void put(struct create *c, const char *field, const char *value)
{
	call_input_text(&c->request, field, strlen(field), value, strlen(value));
}

static void put_texts(struct create *c)
{
	const struct create_conf *conf = c->conf;
	const struct {
		const char *field, *value;
	} of[] = {
		{"queue", conf->queue}, {"priority", conf->priority}, {"run_at", conf->run_at},
		{"unique_key", conf->unique_key}, {"retry.max_attempts", conf->max_attempts},
		{"callback.url", conf->callback},
	};

	for (size_t i = 0; i < ARRAY_LEN(of); i++)
		if (of[i].value != NULL)
			put(c, of[i].field, of[i].value);
}

static void put_times(struct create *c)
{
	const struct create_conf *conf = c->conf;
	const struct {
		const char *field;
		int64_t ns;
	} of[] = {
		{"delay", conf->delay}, {"unique_window", conf->unique_window},
		{"start_deadline", conf->start_deadline}, {"timeout", conf->attempt_timeout},
		{"total_timeout", conf->total_timeout}, {"progress_timeout", conf->progress_timeout},
		{"cancel_grace", conf->cancel_grace}, {"result_ttl", conf->result_ttl},
	};
	char text[40];

	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		if (of[i].ns == 0)
			continue;
		snprintf(text, sizeof text, "%lld.%09llds", (long long)(of[i].ns / NS_PER_S),
			 (long long)(of[i].ns % NS_PER_S));
		put(c, of[i].field, text);
	}
}

/* "use-existing" is USE_EXISTING. */
static void put_word(struct create *c, const char *field, const char *word)
{
	AUTO_FREE char *name = word != NULL ? xstrdup(word) : NULL;

	if (name == NULL)
		return;
	for (char *p = name; *p != '\0'; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	put(c, field, name);
}

static bool put_labels(struct create *c)
{
	for (size_t i = 0; i < c->conf->labels.n; i++) {
		const char *label = c->conf->labels.items[i], *equals = strchr(label, '=');
		AUTO_FREE char *field = NULL;

		if (equals == NULL || equals == label) {
			cli_error("%s: --label %s: write NAME=VALUE", c->name, label);
			return false;
		}
		field = xasprintf("labels[%.*s]", (int)(equals - label), label);
		put(c, field, equals + 1);
	}
	return true;
}

static int put_lists(struct create *c)
{
	for (size_t i = 0; i < c->conf->after.n; i++) {
		AUTO_FREE char *id = NULL;
		int r = ids_resolve(&c->backend, c->conf->after.items[i], &id);

		if (r != CLI_OK)
			return r;
		put(c, "after", id);
	}
	for (size_t i = 0; i < c->conf->events.n; i++)
		put(c, "callback.events", c->conf->events.items[i]);
	return CLI_OK;
}

/* --- the request --- */

static void put_any(struct buf *out, const char *message, const struct buf *value)
{
	AUTO_FREE char *url = xasprintf("type.googleapis.com/%s", message);
	AUTO_BUF any = BUF_INIT;

	pbuf_put_str(&any, 1, url);
	if (value->len > 0)
		pbuf_put_bytes(&any, 2, value->data, value->len);
	pbuf_put_bytes(out, FIELD_INPUT, any.data, any.len);
}

static int build(struct create *c, int n, char **operands)
{
	const struct schema *s = c->backend.schema;
	const struct schema_method *m;
	int r = CLI_OK, used;

	c->request = (struct call_input){.schema = s, .message = schema_message(s, REQUEST, strlen(REQUEST))};
	if (c->request.message == NULL) {
		cli_error("the service's schema has no " REQUEST);
		return CLI_FAILED;
	}
	m = call_find(s, n, operands, &c->input, &used, &r);
	if (m == NULL)
		return r;
	for (int i = used; i < n; i++)
		if (!call_input_operand(&c->input, operands[i]))
			return CLI_USAGE;
	put_texts(c);
	put_times(c);
	put_word(c, "on_conflict", c->conf->on_conflict);
	put_word(c, "after_policy", c->conf->after_policy);
	r = put_lists(c);
	if (r != CLI_OK)
		return r;
	if (!put_labels(c))
		return CLI_USAGE;
	pbuf_put_str(&c->request.wire, FIELD_METHOD_NAME, m->full_name);
	put_any(&c->request.wire, m->input->name, &c->input.wire);
	return CLI_OK;
}

static int check(const struct create *c)
{
	const struct fault_list *faults = c->input.faults.n > 0 ? &c->input.faults : &c->request.faults;

	if (faults->n == 0)
		return CLI_OK;
	show_faults(c->name, faults, c->conf->common.json);
	return CLI_DATA;
}

static int send_request(struct create *c)
{
	const struct errand_pair key = {"idempotency-key", c->conf->key};
	struct errand_reply *reply;
	int r = backend_call_with(&c->backend, TASKS_SERVICE, "CreateTask", &c->request.wire, &key,
				  c->conf->key != NULL, &reply);

	if (r != CLI_OK)
		return r;
	r = c->then(c, (struct bytes){reply->payload, reply->payload_len});
	errand_reply_free(reply);
	return r;
}

/* --- what becomes of it --- */

static int show_task(struct create *c, struct bytes task)
{
	const struct schema_message *m = schema_message(c->backend.schema, "errand.v1.Task", 14);

	return m == NULL ? CLI_FAILED : show_json(c->backend.schema, m, task,
						  !c->conf->common.json && show_is_terminal(stdout));
}

static int show_id(struct create *c, struct bytes task)
{
	struct task_view v = {0};
	FILE *none = NULL;
	int r = CLI_OK;

	task_view_load(&v, task);
	if (c->conf->common.json)
		r = show_task(c, task);
	else
		printf("%s\n", v.id);
	if (r == CLI_OK)
		r = cli_flush();
	if (r == CLI_OK && c->conf->wait && (none = fopen("/dev/null", "we")) != NULL) {
		r = watch_task(&c->backend, &v, &(struct watch_options){.out = none, .quiet = true});
		fclose(none);
	}
	task_view_deinit(&v);
	return r;
}

static int follow(struct create *c, struct bytes task)
{
	const struct result_options o = {.json = c->conf->common.json, .output = c->conf->output};
	struct task_view v = {0};
	int r;

	task_view_load(&v, task);
	r = result_follow(&c->backend, &v, c->conf->quiet || c->conf->common.json, &o);
	task_view_deinit(&v);
	return r;
}

/* --- the commands --- */

static int create(struct create *c, int n, char **operands)
{
	int r;

	if (n == 0) {
		cli_error("%s: no METHOD given: `errand routes` lists them", c->name);
		return CLI_USAGE;
	}
	r = backend_open(&c->backend, &c->conf->common);
	if (r != CLI_OK)
		return r;
	r = backend_schema(&c->backend);
	if (r == CLI_OK)
		r = build(c, n, operands);
	if (r == CLI_OK)
		r = check(c);
	if (r == CLI_OK)
		r = send_request(c);
	backend_close(&c->backend);
	buf_deinit(&c->request.wire);
	buf_deinit(&c->input.wire);
	fault_list_deinit(&c->request.faults);
	fault_list_deinit(&c->input.faults);
	return r;
}

int run_command(int argc, char **argv)
{
	struct create_conf conf;
	struct create c = {.conf = &conf, .name = "run", .then = follow};
	int first = cli_parse(run_options, ARRAY_LEN(run_options), &conf, argc, argv, run_usage);
	int r = create(&c, argc - first, argv + first);

	opt_deinit(run_options, ARRAY_LEN(run_options), &conf);
	return r;
}

int submit_command(int argc, char **argv)
{
	struct create_conf conf;
	struct create c = {.conf = &conf, .name = "submit", .then = show_id};
	int first = cli_parse(submit_options, ARRAY_LEN(submit_options), &conf, argc, argv, submit_usage);
	int r = create(&c, argc - first, argv + first);

	opt_deinit(submit_options, ARRAY_LEN(submit_options), &conf);
	return r;
}

int task_create_command(int argc, char **argv)
{
	struct create_conf conf;
	struct create c = {.conf = &conf, .name = "task create", .then = show_task};
	int first = cli_parse(create_options, ARRAY_LEN(create_options), &conf, argc, argv, create_usage);
	int r = create(&c, argc - first, argv + first);

	opt_deinit(create_options, ARRAY_LEN(create_options), &conf);
	return r;
}
