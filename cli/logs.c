/* logs.c: `errand logs`: what a task's attempts wrote, and go on writing. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/pbuf.h"
#include "cli/ids.h"
#include "cli/leave.h"
#include "cli/show.h"

struct logs_conf {
	struct cli_common common;
	bool follow;
	int64_t attempt, tail;
};

static const struct opt options[] = {
	{"follow", 'f', OPT_FLAG, offsetof(struct logs_conf, follow), NULL, 0, 0, NULL,
	 "go on until the task has ended"},
	{"attempt", 'a', OPT_INT, offsetof(struct logs_conf, attempt), "0", 0, UINT32_MAX, "N",
	 "of this attempt only; 0 is all"},
	{"tail", 'n', OPT_INT, offsetof(struct logs_conf, tail), "-1", -1, 1000000, "N",
	 "only the last N of the lines there are; -1 is all"},
	CLI_COMMON(struct logs_conf),
};

struct logs {
	const struct logs_conf *conf;
	struct backend backend;
	const char *id;
	const struct schema_message *line; /* errand.v1.LogLine */
	struct buf *last;                  /* the newest lines, a ring of conf->tail; NULL */
	size_t n;                          /* lines that came so far */
	uint64_t seq;                      /* of the newest one; those up to it are not shown again */
	uint64_t shown;
	int failed;                        /* a line could not be shown: what to exit with, said */
};

static int show_line(struct logs *l, struct bytes line)
{
	struct pbuf_reader r = pbuf_reader(line.data, line.len);
	struct bytes text = {NULL, 0};
	struct pbuf_field f;

	if (l->conf->common.json)
		return l->failed = show_json(l->backend.schema, l->line, line, false);
	while (pbuf_next(&r, &f))
		if (f.number == 5 && f.wire == PBUF_LEN)
			text = f.bytes;
	show_text(stdout, (const char *)text.data, text.len);
	putchar('\n');
	if (l->conf->follow || ferror(stdout))
		l->failed = cli_flush();
	return l->failed;
}

static uint64_t seq_of(struct bytes line)
{
	struct pbuf_reader r = pbuf_reader(line.data, line.len);
	uint64_t seq = 0;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 1)
			seq = f.value;
	return seq;
}

static int on_line(const void *message, size_t len, void *arg)
{
	struct bytes line = {message, len};
	uint64_t seq = seq_of(line);
	struct logs *l = arg;
	struct buf *place;

	if (seq != 0 && seq <= l->shown)
		return 0;
	l->seq = MAX(l->seq, seq);
	if (l->last == NULL)
		return show_line(l, line);
	if (l->conf->tail == 0)
		return 0;
	place = &l->last[l->n++ % (size_t)l->conf->tail];
	buf_reset(place);
	buf_append(place, message, len);
	return 0;
}

static int ask_for_lines(struct logs *l, bool follow)
{
	struct errand_call_options stream = {.timeout_ns = backend_time_left(&l->backend)};
	struct errand_reply *reply = NULL;
	AUTO_BUF in = BUF_INIT;
	int r;

	pbuf_put_str(&in, 1, l->id);
	if (l->conf->attempt > 0)
		pbuf_put_uint(&in, 2, (uint64_t)l->conf->attempt);
	if (follow)
		pbuf_put_uint(&in, 3, 1);
	r = stream.timeout_ns < 0 ? -ERRAND_DEADLINE_EXCEEDED :
		backend_stream(&l->backend, TASKS_SERVICE, "GetLogs", &in, &stream, on_line, l, &reply);
	if (l->failed != CLI_OK) {
		errand_reply_free(reply);
		return l->failed;
	}
	if (r < 0)
		return backend_failed(&l->backend, r);
	r = reply->code == ERRAND_OK ? CLI_OK : backend_refused(&l->backend, NULL, reply);
	if (reply->code == ERRAND_NOT_FOUND)
		cli_hint("`errand list` shows the tasks there are");
	errand_reply_free(reply);
	return r;
}

/* The newest lines first of all; what comes after them is new. */
static int show_tail(struct logs *l)
{
	size_t size = (size_t)MAX(l->conf->tail, 1);
	int r;

	l->last = xcalloc(size, sizeof *l->last);
	r = ask_for_lines(l, false);
	for (size_t i = 0; r == CLI_OK && l->failed == CLI_OK && i < MIN(l->n, size); i++)
		show_line(l, buf_bytes(&l->last[(l->n > size ? l->n + i : i) % size]));
	for (size_t i = 0; i < size; i++)
		buf_deinit(&l->last[i]);
	free(l->last);
	l->last = NULL;
	l->shown = l->seq;
	return r;
}

static int run(struct logs *l)
{
	int r = backend_schema(&l->backend);

	if (r != CLI_OK)
		return r;
	l->line = schema_message(l->backend.schema, "errand.v1.LogLine", 17);
	if (l->line == NULL) {
		cli_error("the service's schema has no errand.v1.LogLine");
		return CLI_FAILED;
	}
	if (l->conf->follow)
		leave_begin(l->id);
	if (l->conf->tail >= 0)
		r = show_tail(l);
	if (r == CLI_OK && l->failed == CLI_OK && (l->conf->tail < 0 || l->conf->follow))
		r = ask_for_lines(l, l->conf->follow);
	return r == CLI_OK ? l->failed : r;
}

int logs_command(int argc, char **argv)
{
	struct logs_conf conf;
	struct logs l = {.conf = &conf};
	AUTO_FREE char *id = NULL;
	struct ids ids = {0};
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv,
			      "errand logs [options] TASK\n\nWhat the attempts of a task wrote.");
	int r = ids_read(&ids, "logs", argc - first, argv + first);

	if (r == CLI_OK && ids.n > 1) {
		cli_error("logs: give one task");
		r = CLI_USAGE;
	}
	if (r == CLI_OK && (r = backend_open(&l.backend, &conf.common)) == CLI_OK) {
		r = ids_resolve(&l.backend, ids.items[0], &id);
		l.id = id;
		if (r == CLI_OK)
			r = run(&l);
		backend_close(&l.backend);
	}
	ids_deinit(&ids);
	return r;
}
