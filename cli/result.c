/* result.c: `errand result`, and the answers of call and run. */
#define _GNU_SOURCE
#include "cli/result.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/ids.h"
#include "cli/show.h"
#include "cli/watch.h"

#define HTTP_BODY "google.api.HttpBody"

/* What is printed from here on goes there. */
static int redirect(const char *output)
{
	if (output == NULL || strcmp(output, "-") == 0)
		return CLI_OK;
	if (freopen(output, "we", stdout) != NULL)
		return CLI_OK;
	cli_error("--output %s: %s", output, strerror(errno));
	return CLI_FAILED;
}

static int show_bytes_of(struct bytes body)
{
	struct pbuf_reader r = pbuf_reader(body.data, body.len);
	struct bytes data = {NULL, 0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 2 && f.wire == PBUF_LEN)
			data = f.bytes;
	if (data.len > 0 && memchr(data.data, 0, data.len) != NULL && show_is_terminal(stdout)) {
		cli_error("the result is binary, %zu bytes: --output FILE keeps it, | takes it elsewhere", data.len);
		return CLI_FAILED;
	}
	if (data.len > 0)
		fwrite(data.data, 1, data.len, stdout);
	return cli_flush();
}

int result_show(struct backend *b, const struct schema_message *m, struct bytes wire,
		const struct result_options *o)
{
	bool pretty = !o->json && show_is_terminal(stdout);
	int r = redirect(o->output);

	if (r != CLI_OK)
		return r;
	if (!o->json && strcmp(m->name, HTTP_BODY) == 0)
		return show_bytes_of(wire);
	r = show_json(b->schema, m, wire, pretty);
	return r == CLI_OK ? cli_flush() : r;
}

/* errand.v1.TaskResult: an Any. NULL: of a type that is not HttpBody, *valuep is not set. */
static bool is_http_body(struct bytes result, struct bytes *valuep)
{
	struct pbuf_reader r = pbuf_reader(result.data, result.len), any;
	struct bytes url = {(const uint8_t *)"", 0}, value = url;
	size_t len = strlen(HTTP_BODY);
	struct pbuf_field f, part;

	while (pbuf_next(&r, &f)) {
		any = pbuf_reader(f.bytes.data, f.bytes.len);
		while (f.number == 1 && pbuf_next(&any, &part))
			*(part.number == 1 ? &url : &value) = part.bytes;
	}
	*valuep = value;
	return url.len > len && url.data[url.len - len - 1] == '/' &&
	       memcmp(url.data + url.len - len, HTTP_BODY, len) == 0;
}

/* What the task has answered, which must have succeeded. */
static int result_of_task(struct backend *b, const char *id, const struct result_options *o)
{
	const struct schema_message *m = schema_message(b->schema, "errand.v1.TaskResult", 20);
	const struct schema_field *f = m != NULL ? schema_field_by_number(m, 1) : NULL;
	struct errand_reply *reply;
	struct bytes wire, value;
	bool pretty = !o->json && show_is_terminal(stdout);
	int r;

	if (f == NULL) {
		cli_error("the service's schema has no errand.v1.TaskResult");
		return CLI_FAILED;
	}
	r = ids_call(b, "GetResult", id, &reply);
	if (r != CLI_OK)
		return r;
	wire = (struct bytes){reply->payload, reply->payload_len};
	r = redirect(o->output);
	if (r == CLI_OK && !o->json && is_http_body(wire, &value))
		r = show_bytes_of(value);
	else if (r == CLI_OK && (r = show_json_field(b->schema, f, wire, pretty && o->output == NULL)) == CLI_OK)
		r = cli_flush();
	errand_reply_free(reply);
	return r;
}

int result_follow(struct backend *b, struct task_view *v, bool quiet, const struct result_options *o)
{
	struct watch_options w = {.out = stderr, .quiet = true};
	FILE *none = NULL;
	int r;

	if (quiet)
		w.out = none = fopen("/dev/null", "we");
	else
		fprintf(stderr, "task %s\n", v->id);
	r = w.out != NULL ? watch_task(b, v, &w) : CLI_FAILED;
	if (r == CLI_OK)
		r = result_of_task(b, v->id, o);
	else if (v->state == TASK_CANCELLED || v->state == TASK_EXPIRED)
		cli_error("task %s %s", v->id, v->state == TASK_CANCELLED ? "was cancelled" : "has expired");
	else if (v->state == TASK_FAILED)
		cli_hint("`errand logs %s` shows what it wrote, `errand retry %s` queues it again", v->id, v->id);
	if (none != NULL)
		fclose(none);
	return r;
}

/* --- the command --- */

struct result_conf {
	struct cli_common common;
	const char *output;
};

static const struct opt options[] = {
	{"output", 'o', OPT_STRING, offsetof(struct result_conf, output), NULL, 0, 0, "FILE",
	 "there instead of the standard output"},
	CLI_COMMON(struct result_conf),
};

int result_command(int argc, char **argv)
{
	struct result_conf conf;
	struct backend b;
	int r, first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv,
				 "errand result [options] TASK...\n\n"
				 "What its method has answered: JSON, or as they are the bytes of a google.api.HttpBody.");
	struct result_options o = {.json = conf.common.json, .output = conf.output};
	struct ids ids = {0};

	r = ids_read(&ids, "result", argc - first, argv + first);
	if (r == CLI_OK && ids.n > 1 && conf.output != NULL) {
		cli_error("result: --output takes the result of one task");
		r = CLI_USAGE;
	}
	if (r != CLI_OK || (r = backend_open(&b, &conf.common)) != CLI_OK) {
		ids_deinit(&ids);
		return r;
	}
	r = ids_resolve_all(&b, &ids);
	if (r == CLI_OK)
		r = backend_schema(&b);
	for (size_t i = 0; r == CLI_OK && i < ids.n; i++)
		r = result_of_task(&b, ids.items[i], &o);
	backend_close(&b);
	ids_deinit(&ids);
	return r;
}
