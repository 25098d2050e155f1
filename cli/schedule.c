/* schedule.c: `errand schedule VERB`: tasks made by the clock. What a verb sends is a
 * message of errand.v1.Schedules, whose own schema reads the options' values. */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/call_find.h"
#include "cli/call_input.h"
#include "cli/show.h"

#define SCHEDULES "errand.v1.Schedules"
enum { FIELD_METHOD = 4, FIELD_INPUT = 5 };

struct schedule_conf {
	struct cli_common common;
	const char *id, *cron, *time_zone, *overlap, *missed, *queue, *priority, *if_match;
	bool paused;
};

#define O(field) offsetof(struct schedule_conf, field)
#define TEXT(name, field, value, help) {name, 0, OPT_STRING, O(field), NULL, 0, 0, value, help}
static const struct opt options[] = {
	TEXT("id", id, "ID", "create: its name; default a new UUID"),
	TEXT("cron", cron, "LINE", "set: minute hour day-of-month month day-of-week, or @daily ..."),
	{"time-zone", 'z', OPT_STRING, O(time_zone), NULL, 0, 0, "ZONE", "create, set: as Europe/Berlin; default UTC"},
	TEXT("overlap", overlap, "skip|allow|cancel-running", "when its last task has not ended"),
	TEXT("missed", missed, "skip|run-once|run-all", "when its time was missed"),
	{"paused", 0, OPT_FLAG, O(paused), NULL, 0, 0, NULL, "create: not before it is resumed"},
	{"queue", 'q', OPT_STRING, O(queue), NULL, 0, 0, "QUEUE", "create: of its tasks"},
	{"priority", 'p', OPT_STRING, O(priority), NULL, 0, 0, "N", "create: of its tasks"},
	TEXT("if-match", if_match, "ETAG", "set: only while this is its ETag"),
	CLI_COMMON(struct schedule_conf),
};
#undef O

static const char usage[] =
	"errand schedule VERB [options] SCHEDULE\n"
	"       errand schedule create [options] LINE METHOD [FIELD=VALUE...]\n"
	"       errand schedule set [options] SCHEDULE\n\n"
	"Verbs:\n"
	"  list     all of them: errand schedules\n"
	"  show     one\n"
	"  create   tasks of METHOD whenever the cron LINE says so; the input as errand call has it\n"
	"  set      change its line, zone or policies\n"
	"  pause    no more tasks\n"
	"  resume   from its next time on\n"
	"  trigger  a task now\n"
	"  delete   forget it; its tasks go on";

struct schedule {
	const struct schedule_conf *conf;
	struct backend backend;
	struct call_input request, input;
	char **operands; /* after the verb */
	int n;
};

/* One call, whose answer is shown when it is a message called reply. */
static int call(struct schedule *s, const char *method, const struct buf *in, const struct errand_pair *pair,
		const char *reply_name)
{
	const struct schema_message *m = reply_name ? schema_message(s->backend.schema, reply_name, strlen(reply_name)) : NULL;
	struct errand_reply *reply;
	int r = backend_call_with(&s->backend, SCHEDULES, method, in, pair, pair != NULL, &reply);

	if (r == CLI_NOT_FOUND)
		cli_hint("`errand schedules` shows those there are");
	if (r != CLI_OK)
		return r;
	if (m != NULL)
		r = show_json(s->backend.schema, m, (struct bytes){reply->payload, reply->payload_len},
			      !s->conf->common.json && show_is_terminal(stdout));
	errand_reply_free(reply);
	return r;
}

static int call_id(struct schedule *s, const char *method, const char *reply_name)
{
	AUTO_BUF in = BUF_INIT;

	pbuf_put_str(&in, 1, s->operands[0]);
	return call(s, method, &in, NULL, reply_name);
}

static int schedule_show(struct schedule *s)
{
	return call_id(s, "GetSchedule", "errand.v1.Schedule");
}

static int schedule_pause(struct schedule *s)
{
	return call_id(s, "PauseSchedule", "errand.v1.Schedule");
}

static int schedule_resume(struct schedule *s)
{
	return call_id(s, "ResumeSchedule", "errand.v1.Schedule");
}

static int schedule_trigger(struct schedule *s)
{
	return call_id(s, "TriggerSchedule", "errand.v1.Task");
}

static int schedule_delete(struct schedule *s)
{
	return call_id(s, "DeleteSchedule", NULL);
}

/* --- create, set --- */

static void put(struct schedule *s, const char *field, const char *value)
{
	if (value != NULL)
		call_input_text(&s->request, field, strlen(field), value, strlen(value));
}

/* "run-once" is RUN_ONCE. */
static void put_word(struct schedule *s, const char *field, const char *word)
{
	AUTO_FREE char *name = word != NULL ? xstrdup(word) : NULL;

	for (char *p = name; p != NULL && *p != '\0'; p++)
		*p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
	put(s, field, name);
}

static int begin(struct schedule *s, const char *request)
{
	s->request = (struct call_input){
		.schema = s->backend.schema,
		.message = schema_message(s->backend.schema, request, strlen(request)),
	};
	if (s->request.message == NULL) {
		cli_error("the service's schema has no %s", request);
		return CLI_FAILED;
	}
	put(s, "time_zone", s->conf->time_zone);
	put_word(s, "overlap", s->conf->overlap);
	put_word(s, "missed", s->conf->missed);
	return CLI_OK;
}

static int check(const struct schedule *s)
{
	const struct fault_list *faults = s->input.faults.n > 0 ? &s->input.faults : &s->request.faults;

	if (faults->n == 0)
		return CLI_OK;
	show_faults("schedule", faults, s->conf->common.json);
	return CLI_DATA;
}

static void put_input(struct schedule *s, const struct schema_method *m)
{
	AUTO_FREE char *url = xasprintf("type.googleapis.com/%s", m->input->name);
	AUTO_BUF any = BUF_INIT;

	pbuf_put_str(&any, 1, url);
	if (s->input.wire.len > 0)
		pbuf_put_bytes(&any, 2, s->input.wire.data, s->input.wire.len);
	pbuf_put_str(&s->request.wire, FIELD_METHOD, m->full_name);
	pbuf_put_bytes(&s->request.wire, FIELD_INPUT, any.data, any.len);
}

static int schedule_create(struct schedule *s)
{
	const struct schema_method *m;
	int r = begin(s, "errand.v1.CreateScheduleRequest");

	if (r != CLI_OK)
		return r;
	m = call_find_name(s->backend.schema, s->operands[1], &r);
	if (m == NULL)
		return r;
	s->input = (struct call_input){.schema = s->backend.schema, .message = m->input};
	for (int i = 2; i < s->n; i++)
		if (!call_input_operand(&s->input, s->operands[i]))
			return CLI_USAGE;
	put(s, "id", s->conf->id);
	put(s, "cron", s->operands[0]);
	put(s, "paused", s->conf->paused ? "true" : NULL);
	put(s, "options.queue", s->conf->queue);
	put(s, "options.priority", s->conf->priority);
	r = check(s);
	if (r != CLI_OK)
		return r;
	put_input(s, m);
	return call(s, "CreateSchedule", &s->request.wire, NULL, "errand.v1.Schedule");
}

static int schedule_set(struct schedule *s)
{
	const struct errand_pair match = {"if-match", s->conf->if_match ? s->conf->if_match : "*"};
	int r = begin(s, "errand.v1.UpdateScheduleRequest");

	if (r != CLI_OK)
		return r;
	put(s, "id", s->operands[0]);
	put(s, "cron", s->conf->cron);
	r = check(s);
	return r != CLI_OK ? r : call(s, "UpdateSchedule", &s->request.wire, &match, "errand.v1.Schedule");
}

/* --- the command --- */

static const struct verb {
	const char *name;
	int (*run)(struct schedule *s);
	int min, max; /* operands */
	const char *takes;
} verbs[] = {
	{"show", schedule_show, 1, 1, "one schedule's ID"},
	{"create", schedule_create, 2, 1000, "a cron line (quoted) and a method"},
	{"set", schedule_set, 1, 1, "one schedule's ID"},
	{"pause", schedule_pause, 1, 1, "one schedule's ID"},
	{"resume", schedule_resume, 1, 1, "one schedule's ID"},
	{"trigger", schedule_trigger, 1, 1, "one schedule's ID"},
	{"delete", schedule_delete, 1, 1, "one schedule's ID"},
};

static int run(struct schedule *s, const struct verb *verb)
{
	int r = backend_open(&s->backend, &s->conf->common);

	if (r != CLI_OK)
		return r;
	r = backend_schema(&s->backend);
	if (r == CLI_OK)
		r = verb->run(s);
	backend_close(&s->backend);
	buf_deinit(&s->request.wire);
	buf_deinit(&s->input.wire);
	fault_list_deinit(&s->request.faults);
	fault_list_deinit(&s->input.faults);
	return r;
}

int schedule_command(int argc, char **argv)
{
	static const struct command own[] = {{.name = "list", .run = schedules_command}};
	struct schedule_conf conf;
	struct schedule s = {.conf = &conf};
	const struct verb *verb;
	int first;

	if (cli_subcommand(own, ARRAY_LEN(own), argc, argv, &first))
		return first;
	first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage);
	if (first == argc) {
		cli_error("schedule: no verb given: errand schedule list|show|create|set|pause|resume|"
			  "trigger|delete");
		return CLI_USAGE;
	}
	verb = CLI_FIND(verbs, "verb of errand schedule", argv[first]);
	if (verb == NULL)
		return CLI_USAGE;
	s.operands = argv + first + 1;
	s.n = argc - first - 1;
	if (s.n >= verb->min && s.n <= verb->max)
		return run(&s, verb);
	cli_error("schedule %s: give %s", verb->name, verb->takes);
	return CLI_USAGE;
}
