/* worker_job.c: see worker_job.h. */
#define _GNU_SOURCE
#include "cli/worker_job.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "errand/status.h"
#include "schema/transcode.h"

enum { TAIL = 2000 };

/* --- from Work --- */

static int64_t duration_ns(struct bytes b)
{
	struct pbuf_reader r = pbuf_reader(b.data, b.len);
	struct pbuf_field f;
	int64_t ns = 0;

	while (pbuf_next(&r, &f))
		ns += f.number == 1 ? (int64_t)f.value * NS_PER_S : f.number == 2 ? (int64_t)f.value : 0;
	return ns;
}

static void set_text(char **to, struct bytes b)
{
	free(*to);
	*to = xstrndup((const char *)b.data, b.len);
}

static void take_field(struct worker_job *j, const struct pbuf_field *f)
{
	switch (f->number) {
	case 1: j->lease = f->value; break;
	case 2: set_text(&j->method, f->bytes); break;
	case 3: buf_append(&j->input, f->bytes.data, f->bytes.len); break;
	case 4: j->timeout_ns = duration_ns(f->bytes); break;
	case 6: set_text(&j->task, f->bytes); break;
	case 7: j->attempt = (unsigned)f->value; break;
	case 8: set_text(&j->queue, f->bytes); break;
	default: break;
	}
}

struct worker_job *worker_job_read(struct bytes work)
{
	struct worker_job *j = xcalloc(1, sizeof *j);
	struct pbuf_reader r = pbuf_reader(work.data, work.len);
	struct pbuf_field f;

	j->program.pidfd = -1;
	for (int i = 0; i < PROGRAM_PIPES; i++)
		j->program.fds[i] = -1;
	j->method = xstrdup("");
	j->task = xstrdup("");
	j->queue = xstrdup("");
	while (pbuf_next(&r, &f))
		take_field(j, &f);
	return r.bad || j->lease == 0 ? worker_job_free(j) : j;
}

bool worker_job_find(struct worker_job *j, struct schema *schema)
{
	schema_unref(j->schema);
	j->schema = schema_ref(schema);
	j->rpc = schema_method(schema, j->method, strlen(j->method));
	return j->rpc != NULL;
}

struct worker_job *worker_job_free(struct worker_job *j)
{
	program_deinit(&j->program);
	schema_unref(j->schema);
	buf_deinit(&j->lines);
	buf_deinit(&j->notes);
	buf_deinit(&j->progress);
	buf_deinit(&j->input);
	free(j->method);
	free(j->task);
	free(j->queue);
	free(j);
	return NULL;
}

bool worker_job_input(const struct worker_job *j, enum worker_form form, struct buf *out, char *why, size_t size)
{
	const struct transcode_write o = {.schema = j->schema};

	if (form == FORM_NONE)
		return true;
	if (form == FORM_WIRE) {
		buf_append(out, j->input.data, j->input.len);
		return true;
	}
	if (j->rpc == NULL) {
		snprintf(why, size, "the service's schema has no method %s", j->method);
		return false;
	}
	if (transcode_to_json(&o, j->rpc->input, buf_bytes(&j->input), out, why, size) < 0)
		return false;
	buf_append_byte(out, '\n');
	return true;
}

char **worker_job_env(const struct worker_job *j)
{
	char **env = xcalloc(6, sizeof(char *));
	size_t n = 0;

	env[n++] = xasprintf("ERRAND_TASK=%s", j->task);
	env[n++] = xasprintf("ERRAND_METHOD=%s", j->method);
	env[n++] = xasprintf("ERRAND_QUEUE=%s", j->queue);
	env[n++] = xasprintf("ERRAND_ATTEMPT=%u", j->attempt);
	if (j->timeout_ns > 0)
		env[n++] = xasprintf("ERRAND_TIMEOUT=%.3f", (double)j->timeout_ns / (double)NS_PER_S);
	return env;
}

/* --- the answer --- */

void worker_job_fail(const struct worker_job *j, int code, bool final, const char *text, struct buf *out)
{
	pbuf_put_uint(out, 2, j->lease);
	pbuf_put_uint(out, 3, (uint64_t)code);
	pbuf_put_str(out, 4, text);
	if (final)
		pbuf_put_uint(out, 6, 1);
}

/* The statuses of sysexits.h that say whether another attempt makes sense. */
static void fail_exit(const struct worker_job *j, const char *program, struct buf *out)
{
	int status = j->program.status;
	AUTO_FREE char *text = NULL;

	if (j->stopped) {
		text = xasprintf("%s was stopped", program);
		worker_job_fail(j, j->stop_code, false, text, out);
	} else if (WIFSIGNALED(status)) {
		text = xasprintf("%s was killed by signal %d (%s)", program, WTERMSIG(status), strsignal(WTERMSIG(status)));
		worker_job_fail(j, ERRAND_INTERNAL, false, text, out);
		pbuf_put_uint(out, 9, (uint64_t)WTERMSIG(status));
	} else {
		int code = WEXITSTATUS(status);

		text = xasprintf("%s ended with exit status %d", program, code);
		worker_job_fail(j, code == EX_TEMPFAIL ? ERRAND_UNAVAILABLE : ERRAND_INTERNAL,
				code == EX_USAGE || code == EX_DATAERR, text, out);
		pbuf_put_uint(out, 8, (uint64_t)code);
	}
}

/* The field that plain text is: the only one that is a string. */
static const struct schema_field *text_field(const struct schema_message *m)
{
	const struct schema_field *found = NULL;

	for (size_t i = 0; i < m->n_fields; i++)
		if (m->fields[i].type == FIELD_STRING && !m->fields[i].repeated) {
			if (found != NULL)
				return NULL;
			found = &m->fields[i];
		}
	return found;
}

static bool output_text(const struct worker_job *j, struct buf *out, char *why, size_t size)
{
	const struct schema_field *f = text_field(j->rpc->output);
	size_t len = j->program.out.len;

	if (f == NULL) {
		snprintf(why, size, "%s has not one string field that could take the text", j->rpc->output->name);
		return false;
	}
	if (json_utf8_valid(j->program.out.data, len) != len) {
		snprintf(why, size, "the output is not UTF-8");
		return false;
	}
	pbuf_put_bytes(out, f->number, j->program.out.data, len);
	return true;
}

static bool is_blank(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (!isspace(b->data[i]))
			return false;
	return true;
}

static bool output_json(const struct worker_job *j, struct buf *out, char *why, size_t size)
{
	const struct transcode_read o = {.schema = j->schema, .allow_nul = true};
	struct fault_list faults = FAULT_LIST_INIT;
	bool ok;

	if (is_blank(&j->program.out))
		return true;
	ok = transcode_from_json(&o, j->rpc->output, (const char *)j->program.out.data, j->program.out.len, "#", out,
				 &faults) == 0;
	if (!ok)
		snprintf(why, size, "the output is no %s: %.100s: %.200s", j->rpc->output->name, faults.items[0].where,
			 faults.items[0].detail);
	fault_list_deinit(&faults);
	return ok;
}

static bool make_output(const struct worker_job *j, enum worker_form form, struct buf *out, char *why, size_t size)
{
	if (j->program.too_much) {
		snprintf(why, size, "the output has more than %zu bytes", j->program.max);
		return false;
	}
	switch (form) {
	case FORM_NONE: return true;
	case FORM_WIRE: buf_append(out, j->program.out.data, j->program.out.len); return true;
	case FORM_TEXT: return output_text(j, out, why, size);
	default: return output_json(j, out, why, size);
	}
}

bool worker_job_answer(const struct worker_job *j, enum worker_form form, const char *program, struct buf *out)
{
	AUTO_BUF output = BUF_INIT;
	char why[400];

	if (!WIFEXITED(j->program.status) || WEXITSTATUS(j->program.status) != 0) {
		fail_exit(j, program, out);
		return false;
	}
	if (!make_output(j, form, &output, why, sizeof why)) {
		worker_job_fail(j, ERRAND_INTERNAL, true, why, out);
		return false;
	}
	pbuf_put_uint(out, 2, j->lease);
	pbuf_put_bytes(out, 3, output.data, output.len);
	return true;
}

/* --- what it says --- */

/* False: it is no {"fraction":..,"message":..}. */
static bool take_progress(struct worker_job *j, const char *line, size_t len)
{
	static const char name[] = "errand.v1.WorkerProgressRequest";
	const struct schema_message *m = j->schema ? schema_message(j->schema, name, sizeof name - 1) : NULL;
	const struct transcode_read o = {.schema = j->schema, .ignore_unknown = true};
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF wire = BUF_INIT;
	bool ok = len > 0 && line[0] == '{' && m != NULL &&
		  transcode_from_json(&o, m, line, len, "#", &wire, &faults) == 0;

	fault_list_deinit(&faults);
	if (!ok)
		return false;
	buf_reset(&j->progress);
	buf_append(&j->progress, wire.data, wire.len);
	pbuf_put_uint(&j->progress, 2, j->lease);
	return true;
}

/* What is no UTF-8 in it becomes "?". */
static void put_line(struct buf *to, const char *line, size_t len)
{
	AUTO_FREE char *text = xstrndup(line, len);
	size_t n = strlen(text), at = 0;

	while ((at += json_utf8_valid((const uint8_t *)text + at, n - at)) < n)
		text[at] = '?';
	pbuf_put_bytes(to, 4, text, n);
}

void worker_job_line(struct worker_job *j, int which, const char *line, size_t len)
{
	if (which != PROGRAM_MESSAGE)
		put_line(&j->lines, line, len);
	else if (!take_progress(j, line, len))
		put_line(&j->notes, line, len);
}

size_t worker_job_unsaid(const struct worker_job *j)
{
	return j->lines.len + j->notes.len + j->progress.len;
}
