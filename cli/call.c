/* call.c: `errand call`: one call of a method, its request from the command line,
 * its answer as JSON. The service's own schema says how to read both, so there is
 * nothing to generate. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/call_find.h"
#include "cli/call_input.h"
#include "cli/result.h"
#include "cli/show.h"

struct call_conf {
	struct cli_common common;
	const char *output;
	bool async, quiet;
};

static const struct opt options[] = {
	{"async", 'a', OPT_FLAG, offsetof(struct call_conf, async), NULL, 0, 0, NULL,
	 "make a task of it and show that, without waiting"},
	{"quiet", 'q', OPT_FLAG, offsetof(struct call_conf, quiet), NULL, 0, 0, NULL,
	 "no progress on stderr"},
	{"output", 'o', OPT_STRING, offsetof(struct call_conf, output), NULL, 0, 0, "FILE",
	 "the answer goes there"},
	CLI_COMMON(struct call_conf),
};

static const char usage[] =
	"errand call [options] METHOD|PATH [FIELD=VALUE...]\n\n"
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
	struct result_options result;
};

/* --- the request --- */

static int build(struct call *c, int n, char **operands)
{
	int r = CLI_OK, used;

	c->method = call_find(c->backend.schema, n, operands, &c->input, &used, &r);
	if (c->method == NULL)
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

/* The service made a task of the call: show it, or wait for its end. */
static int answer_task(struct call *c, struct bytes wire)
{
	const struct schema_message *m = schema_message(c->backend.schema, "errand.v1.Task", 14);
	struct task_view v = {0};
	int r = CLI_FAILED;

	if (c->conf->async)
		return m != NULL ? show_json(c->backend.schema, m, wire,
					     !c->conf->common.json && show_is_terminal(stdout)) : CLI_FAILED;
	if (task_view_load(&v, wire) && *v.id != '\0')
		r = result_follow(&c->backend, &v, c->conf->quiet || c->conf->common.json, &c->result);
	else
		cli_error("the service's answer is no task");
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
	return result_show(&c->backend, c->method->output, wire, &c->result);
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

	c.result = (struct result_options){.json = conf.common.json, .output = conf.output};
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
