/* task_set.c: `errand set TASK`: other priority, time or labels for a task that is
 * there. The change is made to the task as it was seen: with its ETag. */
#define _GNU_SOURCE
#include <string.h>

#include "base/json.h"
#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/call_input.h"
#include "cli/ids.h"
#include "cli/show.h"

#define REQUEST "errand.v1.UpdateTaskRequest"
#define TASK "errand.v1.Task"
enum { FIELD_ETAG = 18 }; /* of a task */

struct set_conf {
	struct cli_common common;
	const char *priority, *run_at, *if_match;
	struct opt_list labels, unlabels;
};

#define O(field) offsetof(struct set_conf, field)
static const struct opt options[] = {
	{"priority", 'p', OPT_STRING, O(priority), NULL, 0, 0, "N", "higher first"},
	{"run-at", 0, OPT_STRING, O(run_at), NULL, 0, 0, "TIMESTAMP", "not before 2026-01-31T12:00:00Z"},
	{"label", 'l', OPT_LIST, O(labels), NULL, 0, 0, "NAME=VALUE", "sets a label; several times"},
	{"unlabel", 0, OPT_LIST, O(unlabels), NULL, 0, 0, "NAME", "takes a label away; several times"},
	{"if-match", 0, OPT_STRING, O(if_match), NULL, 0, 0, "ETAG",
	 "only while the task is still this one; default: as it is now"},
	CLI_COMMON(struct set_conf),
};
#undef O

struct set {
	const struct set_conf *conf;
	struct backend backend;
	struct call_input request;
	char *etag; /* owned */
};

/* The labels as the field's JSON: {"set":"x","away":null}. */
static bool put_labels(struct set *s)
{
	AUTO_BUF json = BUF_INIT;

	buf_append_str(&json, "labels:={");
	for (size_t i = 0; i < s->conf->labels.n; i++) {
		const char *label = s->conf->labels.items[i], *equals = strchr(label, '=');

		if (equals == NULL || equals == label) {
			cli_error("set: --label %s: write NAME=VALUE", label);
			return false;
		}
		buf_append_str(&json, i > 0 ? "," : "");
		json_put_string(&json, label, (size_t)(equals - label));
		buf_append_byte(&json, ':');
		json_put_string(&json, equals + 1, strlen(equals + 1));
	}
	for (size_t i = 0; i < s->conf->unlabels.n; i++) {
		buf_append_str(&json, i + s->conf->labels.n > 0 ? "," : "");
		json_put_string(&json, s->conf->unlabels.items[i], strlen(s->conf->unlabels.items[i]));
		buf_append_str(&json, ":null");
	}
	buf_append_byte(&json, '}');
	return s->conf->labels.n + s->conf->unlabels.n == 0 || call_input_operand(&s->request, buf_cstr(&json));
}

static int build(struct set *s, const char *id)
{
	const struct schema *schema = s->backend.schema;

	s->request = (struct call_input){.schema = schema, .message = schema_message(schema, REQUEST, strlen(REQUEST))};
	if (s->request.message == NULL) {
		cli_error("the service's schema has no " REQUEST);
		return CLI_FAILED;
	}
	call_input_text(&s->request, "id", 2, id, strlen(id));
	if (s->conf->priority != NULL)
		call_input_text(&s->request, "priority", 8, s->conf->priority, strlen(s->conf->priority));
	if (s->conf->run_at != NULL)
		call_input_text(&s->request, "run_at", 6, s->conf->run_at, strlen(s->conf->run_at));
	if (!put_labels(s))
		return CLI_USAGE;
	if (s->request.faults.n == 0)
		return CLI_OK;
	show_faults("set", &s->request.faults, s->conf->common.json);
	return CLI_DATA;
}

/* The tag of the task as it is now. */
static int get_etag(struct set *s, const char *id)
{
	struct errand_reply *reply;
	struct pbuf_reader r;
	struct pbuf_field f;
	int result;

	if (s->conf->if_match != NULL) {
		s->etag = xstrdup(s->conf->if_match);
		return CLI_OK;
	}
	result = ids_call(&s->backend, "GetTask", id, &reply);
	if (result != CLI_OK)
		return result;
	r = pbuf_reader(reply->payload, reply->payload_len);
	while (pbuf_next(&r, &f))
		if (f.number == FIELD_ETAG && f.wire == PBUF_LEN && s->etag == NULL)
			s->etag = xstrndup((const char *)f.bytes.data, f.bytes.len);
	errand_reply_free(reply);
	return CLI_OK;
}

static int send_request(struct set *s)
{
	const struct errand_pair match = {"if-match", s->etag};
	const struct schema_message *m = schema_message(s->backend.schema, TASK, strlen(TASK));
	struct errand_reply *reply;
	int r = backend_call_with(&s->backend, TASKS_SERVICE, "UpdateTask", &s->request.wire, &match,
				  s->etag != NULL, &reply);

	if (r != CLI_OK)
		return r;
	r = m == NULL ? CLI_FAILED :
		show_json(s->backend.schema, m, (struct bytes){reply->payload, reply->payload_len},
			  !s->conf->common.json && show_is_terminal(stdout));
	errand_reply_free(reply);
	return r;
}

static int run(struct set *s, const char *text)
{
	AUTO_FREE char *id = NULL;
	int r = backend_open(&s->backend, &s->conf->common);

	if (r != CLI_OK)
		return r;
	r = ids_resolve(&s->backend, text, &id);
	if (r == CLI_OK)
		r = backend_schema(&s->backend);
	if (r == CLI_OK)
		r = build(s, id);
	if (r == CLI_OK)
		r = get_etag(s, id);
	if (r == CLI_OK)
		r = send_request(s);
	backend_close(&s->backend);
	return r;
}

int set_command(int argc, char **argv)
{
	struct set_conf conf;
	struct set s = {.conf = &conf};
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, "errand set [options] TASK\n\nOther priority, time or labels for a task that is there.");
	int r = CLI_USAGE;

	if (argc - first != 1)
		cli_error("set: give one task's ID");
	else
		r = run(&s, argv[first]);
	buf_deinit(&s.request.wire);
	fault_list_deinit(&s.request.faults);
	free(s.etag);
	opt_deinit(options, ARRAY_LEN(options), &conf);
	return r;
}
