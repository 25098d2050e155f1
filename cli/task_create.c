/* task_create.c: `errand task create METHOD ...`: a task of any method, with every
 * option there is. An option is a field of errand.v1.CreateTaskRequest, and that
 * message's own schema reads its value. */
#define _GNU_SOURCE
#include <ctype.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/call_find.h"
#include "cli/call_input.h"
#include "cli/show.h"

#define REQUEST "errand.v1.CreateTaskRequest"
enum { FIELD_METHOD_NAME = 31, FIELD_INPUT = 32 }; /* of it */

struct create_conf {
	struct cli_common common;
	const char *key;
	const char *queue, *priority, *run_at, *unique_key, *on_conflict, *after_policy, *max_attempts, *callback;
	int64_t delay, unique_window, start_deadline, attempt_timeout, total_timeout, progress_timeout,
		cancel_grace, result_ttl;
	struct opt_list labels, after, events;
};

#define O(field) offsetof(struct create_conf, field)
#define TEXT(name, field, value, help) {name, 0, OPT_STRING, O(field), NULL, 0, 0, value, help}
#define TIME(name, field, help) {name, 0, OPT_TIME, O(field), NULL, 0, 0, "TIME", help}
static const struct opt options[] = {
	CLI_COMMON(struct create_conf),
	{"key", 'k', OPT_STRING, O(key), NULL, 0, 0, "KEY",
	 "Idempotency-Key: the same one again gives the same task"},
	{"queue", 'q', OPT_STRING, O(queue), NULL, 0, 0, "QUEUE", "not the method's own"},
	{"priority", 'p', OPT_STRING, O(priority), NULL, 0, 0, "N", "higher first"},
	TEXT("run-at", run_at, "TIMESTAMP", "not before 2026-01-31T12:00:00Z"),
	TIME("delay", delay, "not before so long from now"),
	{"label", 'l', OPT_LIST, O(labels), NULL, 0, 0, "NAME=VALUE", "a label; several times"},
	TEXT("unique-key", unique_key, "KEY", "no other live task has it"),
	TIME("unique-window", unique_window, "... nor any other of so long from now"),
	TEXT("on-conflict", on_conflict, "WHAT", "when one has it: refuse, use-existing or wait"),
	{"after", 0, OPT_LIST, O(after), NULL, 0, 0, "ID", "when that task has ended; several times"},
	TEXT("after-policy", after_policy, "WHAT", "when it did not succeed: fail, cancel or run"),
	TIME("start-deadline", start_deadline, "expires when it has not begun by then"),
	TIME("attempt-timeout", attempt_timeout, "of one attempt"),
	TIME("total-timeout", total_timeout, "of all attempts"),
	TIME("progress-timeout", progress_timeout, "of an attempt that says nothing"),
	TIME("cancel-grace", cancel_grace, "between SIGTERM and SIGKILL"),
	TEXT("max-attempts", max_attempts, "N", "the first included"),
	TIME("result-ttl", result_ttl, "kept so long after its end"),
	TEXT("callback", callback, "URL", "told what becomes of it"),
	{"event", 0, OPT_LIST, O(events), NULL, 0, 0, "STATE", "... when it is this; several times"},
};
#undef O

static const char usage[] =
	"errand task create [options] METHOD [field=value...]\n\n"
	"METHOD is pkg.Service/Method or its end while that is unique.\n\n"
	"The method's input, as errand call has it:\n"
	"  field=value, field:=JSON, @FILE, -, or {...} as JSON";

struct create {
	const struct create_conf *conf;
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
			cli_error("task create: --label %s: write NAME=VALUE", label);
			return false;
		}
		field = xasprintf("labels[%.*s]", (int)(equals - label), label);
		put(c, field, equals + 1);
	}
	return true;
}

static void put_lists(struct create *c)
{
	for (size_t i = 0; i < c->conf->after.n; i++)
		put(c, "after", c->conf->after.items[i]);
	for (size_t i = 0; i < c->conf->events.n; i++)
		put(c, "callback.events", c->conf->events.items[i]);
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
	int r = CLI_OK;

	c->request = (struct call_input){.schema = s, .message = schema_message(s, REQUEST, strlen(REQUEST))};
	if (c->request.message == NULL) {
		cli_error("the service's schema has no " REQUEST);
		return CLI_FAILED;
	}
	m = call_find_name(s, operands[0], &r);
	if (m == NULL)
		return r;
	c->input = (struct call_input){.schema = s, .message = m->input};
	for (int i = 1; i < n; i++)
		if (!call_input_operand(&c->input, operands[i]))
			return CLI_USAGE;
	put_texts(c);
	put_times(c);
	put_word(c, "on_conflict", c->conf->on_conflict);
	put_word(c, "after_policy", c->conf->after_policy);
	put_lists(c);
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
	show_faults("task create", faults, c->conf->common.json);
	return CLI_DATA;
}

static int send_request(struct create *c)
{
	const struct errand_pair key = {"idempotency-key", c->conf->key};
	const struct schema_message *m = schema_message(c->backend.schema, "errand.v1.Task", 14);
	struct errand_reply *reply;
	int r = backend_call_with(&c->backend, TASKS_SERVICE, "CreateTask", &c->request.wire, &key,
				  c->conf->key != NULL, &reply);

	if (r != CLI_OK)
		return r;
	r = m == NULL ? CLI_FAILED :
		show_json(c->backend.schema, m, (struct bytes){reply->payload, reply->payload_len},
			  !c->conf->common.json && show_is_terminal(stdout));
	errand_reply_free(reply);
	return r;
}

int task_create_command(int argc, char **argv)
{
	struct create_conf conf;
	struct create c = {.conf = &conf};
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage);
	int r;

	if (first == argc) {
		cli_error("task create: no METHOD given: see errand task create --help");
		opt_deinit(options, ARRAY_LEN(options), &conf);
		return CLI_USAGE;
	}
	r = backend_open(&c.backend, &conf.common);
	if (r == CLI_OK) {
		r = backend_schema(&c.backend);
		if (r == CLI_OK)
			r = build(&c, argc - first, argv + first);
		if (r == CLI_OK)
			r = check(&c);
		if (r == CLI_OK)
			r = send_request(&c);
		backend_close(&c.backend);
	}
	buf_deinit(&c.request.wire);
	buf_deinit(&c.input.wire);
	fault_list_deinit(&c.request.faults);
	fault_list_deinit(&c.input.faults);
	opt_deinit(options, ARRAY_LEN(options), &conf);
	return r;
}
