/* command_progress.c: see command_progress.h. */
#define _GNU_SOURCE
#include "service/command_progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pbuf.h"
#include "schema/transcode.h"
#include "service/call.h"

#define PROGRESS "errand.v1.Progress"

enum {
	LINE_MAX_KEPT = 64 << 10, /* a longer one is no progress */
	LOOK_MAX = 4096,          /* of a line, by patterns */
};

static bool result_has_stdout(const struct command_spec *spec)
{
	if (spec->result == RESULT_TEXT || spec->result == RESULT_JSON || spec->result == RESULT_BYTES)
		return true;
	for (size_t i = 0; spec->result == RESULT_FIELDS && i < spec->n_results; i++)
		if (spec->results[i].source == FROM_STDOUT || spec->results[i].source == FROM_STDOUT_JSON)
			return true;
	return false;
}

void command_watch_init(struct command_watch *w, const struct command_spec *spec,
			const struct schema *schema, struct errand_call *call)
{
	*w = (struct command_watch){.spec = spec, .schema = schema, .call = call};
	w->keeps = result_has_stdout(spec);
}

void command_watch_deinit(struct command_watch *w)
{
	free(w->text);
	buf_deinit(&w->output);
	buf_deinit(&w->line);
}

/* --- telling --- */

static void tell(struct command_watch *w)
{
	errand_progress(w->call, w->fraction, w->text);
}

static void set_text(struct command_watch *w, struct bytes text)
{
	free(w->text);
	w->text = xstrndup((const char *)text.data, text.len);
}

/* --- patterns --- */

static double number(struct bytes text)
{
	char copy[32], *end;
	double d;

	if (text.data == NULL || text.len == 0 || text.len >= sizeof copy)
		return -1;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	d = strtod(copy, &end);
	return *end == '\0' && d >= 0 && isfinite(d) ? d : -1;
}

double command_progress_number(const struct bytes *groups, unsigned n)
{
	double sum = 0;

	if (n < 3)
		return number(groups[0]);
	for (unsigned i = 0; i < 3; i++) {
		double d = number(groups[i]);

		if (d < 0)
			return -1;
		sum = sum * 60 + d;
	}
	return sum;
}

static void take_number(struct command_watch *w, enum progress_kind kind, double d)
{
	if (kind == PROGRESS_PERCENT)
		w->fraction = MIN(d / 100, 1);
	else if (kind == PROGRESS_DONE)
		w->done = d;
	else
		w->total = d;
	if (kind != PROGRESS_PERCENT && w->total > 0)
		w->fraction = MIN(w->done / w->total, 1);
}

static bool take_match(struct command_watch *w, enum progress_kind kind, const struct bytes groups[REGEX_GROUPS])
{
	const struct command_progress *p = &w->spec->progress[kind];
	double d;

	if (kind == PROGRESS_MESSAGE) {
		set_text(w, groups[1].data != NULL ? groups[1] : groups[0]);
		return true;
	}
	d = command_progress_number(groups + 1, regex_groups(p->regex));
	if (d >= 0)
		take_number(w, kind, d);
	return d >= 0;
}

/* True when a pattern of this descriptor took the line. */
static bool take_line(struct command_watch *w, int fd, const char *line, size_t len)
{
	const struct bytes text = {(const uint8_t *)line, MIN(len, (size_t)LOOK_MAX)};
	struct bytes groups[REGEX_GROUPS];
	bool taken = false, news = false;

	for (int kind = 0; kind < N_PROGRESS; kind++) {
		const struct command_progress *p = &w->spec->progress[kind];

		if (p->fd != fd || p->regex == NULL || !regex_find(p->regex, text, groups))
			continue;
		taken = true;
		news |= take_match(w, (enum progress_kind)kind, groups);
	}
	if (news)
		tell(w);
	return taken;
}

static bool has_pattern(const struct command_spec *spec, int fd)
{
	for (int kind = 0; kind < N_PROGRESS; kind++)
		if (spec->progress[kind].fd == fd)
			return true;
	return false;
}

/* --- stdout --- */

static void keep(struct command_watch *w, const void *data, size_t len)
{
	size_t room = (size_t)w->spec->max_output - w->output.len;

	if (len > room)
		w->too_much = true;
	buf_append(&w->output, data, MIN(len, room));
}

static void end_line(struct command_watch *w, bool newline)
{
	const char *line = w->line.data != NULL ? (const char *)w->line.data : "";
	size_t len = w->line.len;

	if (!take_line(w, STDOUT_FILENO, line, len - (len > 0 && line[len - 1] == '\r'))) {
		keep(w, line, len);
		if (newline)
			keep(w, "\n", 1);
	}
	buf_reset(&w->line);
}

/* Pieces of lines, or many at once. */
static void split(struct command_watch *w, const char *data, size_t len)
{
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t part = end != NULL ? (size_t)(end - data) : len;

		if (w->line.len + part > LINE_MAX_KEPT) {
			keep(w, w->line.data, w->line.len);
			keep(w, data, part + (end != NULL));
			buf_reset(&w->line);
		} else {
			buf_append(&w->line, data, part);
			if (end != NULL)
				end_line(w, true);
		}
		data += part + (end != NULL);
		len -= part + (end != NULL);
	}
}

static void on_output(struct errand_call *call, const void *data, size_t len, void *arg)
{
	struct command_watch *w = arg;

	if (has_pattern(w->spec, STDOUT_FILENO))
		split(w, data, len);
	else
		keep(w, data, len);
}

static void on_stdout(struct errand_call *call, const char *line, size_t len, void *arg)
{
	if (!take_line(arg, STDOUT_FILENO, line, len))
		call_log(call, "stdout", line, len);
}

static void on_stderr(struct errand_call *call, const char *line, size_t len, void *arg)
{
	take_line(arg, STDERR_FILENO, line, len);
}

/* --- descriptor 3 --- */

static bool read_object(const struct command_watch *w, const char *line, size_t len, bool loose, struct buf *wire)
{
	const struct schema_message *m = schema_message(w->schema, PROGRESS, strlen(PROGRESS));
	const struct transcode_read o = {.schema = w->schema, .ignore_unknown = loose, .keep_zero = true};
	struct fault_list faults = FAULT_LIST_INIT;
	int err;

	buf_reset(wire);
	err = m != NULL ? transcode_from_json(&o, m, line, len, "#", wire, &faults) : -ERRAND_UNIMPLEMENTED;
	fault_list_deinit(&faults);
	return err == 0;
}

/* The numbers are errand.v1.Progress's. */
static bool take_object(struct command_watch *w, const struct buf *wire)
{
	struct pbuf_reader r = pbuf_reader(wire->data, wire->len);
	struct pbuf_field f;
	bool any = false;

	while (pbuf_next(&r, &f)) {
		double d = f.wire == PBUF_I64 ? pbuf_double(f.value) : -1;

		any |= f.number == 1 || f.number == 2;
		if (f.number == 1 && d >= 0)
			w->fraction = MIN(d, 1);
		else if (f.number == 2 && f.wire == PBUF_LEN)
			set_text(w, f.bytes);
	}
	if (any)
		tell(w);
	return any;
}

/* {"fraction":0.4} alone is progress and nothing else. */
static void on_message(struct errand_call *call, const char *line, size_t len, void *arg)
{
	struct command_watch *w = arg;
	AUTO_BUF wire = BUF_INIT;

	if (read_object(w, line, len, false, &wire) && take_object(w, &wire))
		return;
	if (read_object(w, line, len, true, &wire))
		take_object(w, &wire);
	call_log(call, "handler", line, len);
}

/* --- all --- */

void command_watch_attach(struct command_watch *w, struct errand_command *c)
{
	c->arg = w;
	if (w->keeps)
		c->on_output = on_output;
	else if (has_pattern(w->spec, STDOUT_FILENO))
		c->on_stdout = on_stdout;
	if (has_pattern(w->spec, STDERR_FILENO))
		c->on_stderr = on_stderr;
	if (w->spec->progress_fd3)
		c->on_message = on_message;
}

void command_watch_end(struct command_watch *w)
{
	if (w->line.len > 0)
		end_line(w, false);
}
