/* call.c: `errand call`: one call of a method, its request from the command line,
 * its answer as JSON. The service's own schema says how to read both, so there is
 * nothing to generate. */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/call_find.h"
#include "cli/call_input.h"
#include "cli/show.h"
#include "cli/watch.h"

struct call_conf {
	struct cli_common common;
	bool async, quiet;
};

static const struct opt options[] = {
	CLI_COMMON(struct call_conf),
	{"async", 'a', OPT_FLAG, offsetof(struct call_conf, async), NULL, 0, 0, NULL,
	 "make a task of it and show that, without waiting"},
	{"quiet", 'q', OPT_FLAG, offsetof(struct call_conf, quiet), NULL, 0, 0, NULL,
	 "no progress on stderr"},
};

static const char usage[] =
	"errand call [options] METHOD|PATH [field=value...]\n\n"
	"METHOD is pkg.Service/Method or its end while that is unique; PATH an HTTP route,\n"
	"like /items/1 or \"GET /items/1?x=y\".\n\n"
	"The request:\n"
	"  field=value      text as the field's type reads it; a.b=c for nested ones, again\n"
	"                   for repeated ones, labels[k]=v for maps\n"
	"  field:=JSON      the field as JSON\n"
	"  {...}, @FILE, -  the whole request as JSON: here, from a file or stdin";

struct call {
	const struct call_conf *conf;
	struct backend backend;
	const struct schema_method *method;
	struct call_input input;
};

/* --- the request --- */

static bool is_verb(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isupper((unsigned char)word[i]))
			return false;
	return len > 0;
}

/* METHOD, PATH, "VERB PATH" or VERB PATH. Returns how many operands that took; 0
 * after an error, with *exitp. */
static int find_method(struct call *c, int n, char **operands, int *exitp)
{
	const char *space = strchr(operands[0], ' '), *target = operands[0];
	AUTO_FREE char *verb = NULL;
	int used = 1;

	if (space != NULL && is_verb(operands[0], (size_t)(space - operands[0]))) {
		verb = xstrndup(operands[0], (size_t)(space - operands[0]));
		target = space + strspn(space, " ");
	} else if (n > 1 && operands[1][0] == '/' &&
		   is_verb(operands[0], strlen(operands[0]))) {
		verb = xstrdup(operands[0]);
		target = operands[1];
		used = 2;
	}
	if (*target == '/')
		c->method = call_find_route(c->backend.schema, verb, target, n > used, &c->input,
					    exitp);
	else
		c->method = call_find_name(c->backend.schema, operands[0], exitp);
	if (c->method == NULL)
		return 0;
	c->input.message = c->method->input;
	if (!c->method->client_streaming)
		return used;
	cli_error("%s takes a stream of requests, which errand call cannot send",
		  c->method->full_name);
	*exitp = CLI_USAGE;
	return 0;
}

static int build(struct call *c, int n, char **operands)
{
	int r = CLI_OK, used;

	c->input.schema = c->backend.schema;
	used = find_method(c, n, operands, &r);
	if (used == 0)
		return r;
	for (int i = used; i < n; i++)
		if (!call_input_operand(&c->input, operands[i]))
			return CLI_USAGE;
	if (c->input.faults.n == 0)
		return CLI_OK;
	show_faults(c->method->full_name, &c->input.faults, c->conf->common.json);
	return CLI_DATA;
}

/* --- the answer --- */

static bool pretty(const struct call *c)
{
	return !c->conf->common.json && show_is_terminal(stdout);
}

/* The result of a task that has succeeded. */
static int show_result(struct call *c, const struct task_view *v)
{
	const struct schema_message *m = schema_message(c->backend.schema,
							"errand.v1.TaskResult", 20);
	const struct schema_field *f = m != NULL ? schema_field_by_number(m, 1) : NULL;
	struct errand_reply *reply;
	AUTO_BUF in = BUF_INIT;
	int r;

	pbuf_put_str(&in, 1, v->id);
	r = backend_call(&c->backend, TASKS_SERVICE, "GetResult", &in, &reply);
	if (r != CLI_OK)
		return r;
	if (f == NULL) {
		cli_error("the service's schema has no errand.v1.TaskResult");
		r = CLI_FAILED;
	} else {
		r = show_json_field(c->backend.schema, f,
				    (struct bytes){reply->payload, reply->payload_len}, pretty(c));
	}
	errand_reply_free(reply);
	return r;
}

/* The service made a task of the call: show it, or wait for its end. */
static int answer_task(struct call *c, struct bytes wire)
{
	const struct schema_message *m = schema_message(c->backend.schema, "errand.v1.Task", 14);
	FILE *none = NULL;
	struct watch_options o = {.out = stderr, .quiet = true};
	struct task_view v = {0};
	int r;

	if (c->conf->async)
		return m != NULL ? show_json(c->backend.schema, m, wire, pretty(c)) : CLI_FAILED;
	if (!task_view_load(&v, wire) || v.id == NULL || *v.id == '\0') {
		cli_error("the service's answer is no task");
		task_view_deinit(&v);
		return CLI_FAILED;
	}
	if (c->conf->quiet || c->conf->common.json)
		o.out = none = fopen("/dev/null", "we");
	else
		fprintf(stderr, "task %s\n", v.id);
	r = o.out != NULL ? watch_task(&c->backend, &v, &o) : CLI_FAILED;
	if (r == CLI_OK)
		r = show_result(c, &v);
	else if (r == CLI_CANCELLED)
		cli_error("task %s was cancelled", v.id);
	if (none != NULL)
		fclose(none);
	task_view_deinit(&v);
	return r;
}

static int on_message(const void *message, size_t len, void *arg)
{
	struct call *c = arg;

	return show_json(c->backend.schema, c->method->output, (struct bytes){message, len}, false);
}

static int answer(struct call *c, const struct errand_reply *reply)
{
	struct bytes wire = {reply->payload, reply->payload_len};

	if (reply->code != ERRAND_OK)
		return backend_refused(&c->backend, c->method->full_name, reply);
	if (reply->is_task)
		return answer_task(c, wire);
	if (c->method->server_streaming)
		return CLI_OK;
	return show_json(c->backend.schema, c->method->output, wire, pretty(c));
}

static int run(struct call *c)
{
	static const struct errand_pair async = {"prefer-async", "1"};
	struct errand_call_options o = {
		.timeout_ns = backend_time_left(&c->backend), .as_task = 1,
		.metadata = &async, .n_metadata = c->conf->async,
	};
	const char *service = c->method->service->name, *method = c->method->name;
	struct buf *in = &c->input.wire;
	struct errand_reply *reply = NULL;
	int r = -ERRAND_DEADLINE_EXCEEDED;

	if (o.timeout_ns >= 0 && c->method->server_streaming)
		r = backend_stream(&c->backend, service, method, in, &o, on_message, c, &reply);
	else if (o.timeout_ns >= 0)
		r = backend_ask(&c->backend, service, method, in, &o, &reply);
	if (r < 0)
		return backend_failed(&c->backend, r);
	r = answer(c, reply);
	errand_reply_free(reply);
	return r;
}

int call_command(int argc, char **argv)
{
	struct call_conf conf;
	struct call c = {.conf = &conf};
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage);
	int r;

	if (first == argc) {
		cli_error("call: no METHOD or PATH given: see errand call --help");
		return CLI_USAGE;
	}
	r = backend_open(&c.backend, &conf.common);
	if (r != CLI_OK)
		return r;
	r = backend_schema(&c.backend);
	if (r == CLI_OK)
		r = build(&c, argc - first, argv + first);
	if (r == CLI_OK)
		r = run(&c);
	backend_close(&c.backend);
	buf_deinit(&c.input.wire);
	fault_list_deinit(&c.input.faults);
	return r;
}
