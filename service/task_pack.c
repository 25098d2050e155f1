/* task_pack.c: errand.v1.Task and what is in it, written field by field over
 * base/pbuf.h: cheap enough for the store thread, and without a struct in between.
 * The numbers are those of proto/errand/v1/{tasks,problem}.proto. */
#include "service/task_pack.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/digits.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "service/task_api.h"
#include "service/task_clock.h"

#define ANY_PREFIX "type.googleapis.com/"

static void put_message(struct buf *out, uint32_t field, const struct buf *message)
{
	pbuf_put_bytes(out, field, message->data, message->len);
}

static void put_uint(struct buf *out, uint32_t field, uint64_t v)
{
	if (v != 0)
		pbuf_put_uint(out, field, v);
}

static void put_text(struct buf *out, uint32_t field, const char *text)
{
	if (text != NULL && *text != 0)
		pbuf_put_str(out, field, text);
}

static void put_time(struct buf *out, uint32_t field, int64_t us)
{
	AUTO_BUF t = BUF_INIT;

	if (us == 0)
		return;
	put_uint(&t, 1, (uint64_t)(us / US_PER_S));
	put_uint(&t, 2, (uint64_t)(us % US_PER_S * 1000));
	put_message(out, field, &t);
}

static void put_any(struct buf *out, uint32_t field, const char *message, const struct buf *value)
{
	AUTO_BUF any = BUF_INIT;
	size_t len = strlen(ANY_PREFIX) + strlen(message);

	pbuf_put_tag(&any, 1, PBUF_LEN);
	pbuf_put_varint(&any, len);
	buf_append_str(&any, ANY_PREFIX);
	buf_append_str(&any, message);
	if (value->len > 0)
		put_message(&any, 2, value);
	put_message(out, field, &any);
}

/* Text of a program may hold any bytes; a protobuf string may not. */
static void put_clean_text(struct buf *out, uint32_t field, const uint8_t *text, size_t len)
{
	AUTO_BUF clean = BUF_INIT;
	size_t good = json_utf8_valid(text, len);

	if (len > 0 && good == len) {
		pbuf_put_bytes(out, field, text, len);
		return;
	}
	for (; len > 0; good = json_utf8_valid(text, len)) {
		buf_append(&clean, text, good);
		if (good < len) {
			buf_append_str(&clean, "\xef\xbf\xbd");
			good++;
		}
		text += good;
		len -= good;
	}
	if (clean.len > 0)
		put_message(out, field, &clean);
}

static void put_progress(struct buf *out, uint32_t field, double fraction, const char *message,
			 struct bytes detail)
{
	AUTO_BUF p = BUF_INIT;

	if (fraction != 0)
		pbuf_put_double(&p, 1, fraction);
	if (message != NULL)
		put_clean_text(&p, 2, (const uint8_t *)message, strlen(message));
	if (detail.len > 0)
		pbuf_put_bytes(&p, 3, detail.data, detail.len);
	put_message(out, field, &p);
}

/* --- events --- */

void task_pack_state(enum task_state state, uint32_t attempt, const struct buf *error,
		     struct buf *out)
{
	put_uint(out, 5, state);
	put_uint(out, 6, attempt);
	if (error->len > 0)
		put_message(out, 10, error);
}

void task_pack_created(unsigned flags, struct buf *out)
{
	task_pack_state(flags & TASK_BORN_BLOCKED ? TASK_BLOCKED :
			flags & TASK_BORN_SCHEDULED ? TASK_SCHEDULED : TASK_QUEUED, 0, &BUF_INIT, out);
}

void task_pack_progress(double fraction, const char *message, struct bytes detail, uint32_t attempt,
			struct buf *out)
{
	put_uint(out, 6, attempt);
	put_progress(out, 7, fraction, message, detail);
}

void task_pack_line(const char *stream, struct bytes text, int64_t time_us, uint32_t attempt,
		    struct buf *out)
{
	AUTO_BUF line = BUF_INIT;

	put_uint(&line, 2, attempt);
	put_text(&line, 3, stream);
	put_time(&line, 4, time_us);
	put_clean_text(&line, 5, text.data, text.len);
	put_uint(out, 6, attempt);
	put_message(out, 8, &line);
}

bool task_pack_any_result(const struct task_row *row, uint32_t field, struct buf *out)
{
	const struct method *m = registry_method_by_name(row->method);

	if (m != NULL)
		put_any(out, field, m->schema->output->name, &row->result);
	return m != NULL;
}

/* --- the task --- */

static void put_attempt(const struct attempt_row *a, struct buf *out)
{
	put_uint(out, 1, a->number);
	put_uint(out, 2, a->outcome);
	put_time(out, 3, a->start_us);
	put_time(out, 4, a->end_us);
	if (a->error.len > 0)
		put_message(out, 5, &a->error);
	put_uint(out, 6, (uint64_t)(int64_t)a->exit_status);
	put_uint(out, 7, (uint64_t)(int64_t)a->signal);
	put_text(out, 8, a->owner);
	if (a->usage.len > 0)
		put_message(out, 9, &a->usage);
}

void task_pack_attempts(const struct attempt_row *rows, size_t n, uint32_t field, struct buf *out)
{
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF a = BUF_INIT;

		put_attempt(&rows[i], &a);
		put_message(out, field, &a);
	}
}

static void put_times(const struct task_row *row, struct buf *out)
{
	put_time(out, 9, row->create_us);
	put_time(out, 10, row->start_us);
	put_time(out, 11, row->end_us);
	if (row->state == TASK_RETRYING)
		put_time(out, 12, task_clock_to_wall(row->run_at_us));
	if (row->state == TASK_SCHEDULED)
		put_time(out, 19, row->flags & TASK_BY_WALL ? row->run_at_us :
			 task_clock_to_wall(row->run_at_us));
}

/* Field 5 of the options as field 13 of the task: both map<string, string>. */
static void put_labels(const struct task_row *row, struct buf *out)
{
	struct pbuf_reader r = pbuf_reader(row->options.data, row->options.len);
	struct pbuf_field f;

	while (row->flags & TASK_HAS_LABELS && pbuf_next(&r, &f))
		if (f.number == 5)
			pbuf_put_bytes(out, 13, f.bytes.data, f.bytes.len);
}

void task_pack(const struct task_row *row, const struct attempt_row *attempts, size_t n_attempts,
	       struct buf *out)
{
	const struct method *m = registry_method_by_name(row->method);
	char text[UUID_TEXT_SIZE], etag[TASK_ETAG_SIZE];

	pbuf_put_str(out, 1, uuid_format(&row->id, text));
	put_text(out, 2, row->method);
	put_uint(out, 3, row->state);
	put_text(out, 4, row->queue);
	put_uint(out, 5, (uint64_t)(int64_t)row->priority);
	put_uint(out, 6, row->attempt);
	put_uint(out, 7, row->crash_count);
	if (row->progress != 0 || row->progress_message != NULL || row->detail.len > 0)
		put_progress(out, 8, row->progress, row->progress_message,
			     m != NULL ? buf_bytes(&row->detail) : (struct bytes){0});
	put_times(row, out);
	put_labels(row, out);
	if (row->parts & PART_INPUT && m != NULL)
		put_any(out, 14, m->schema->input->name, &row->input);
	if (row->parts & PART_RESULT && row->state == TASK_SUCCEEDED && m != NULL)
		put_any(out, 15, m->schema->output->name, &row->result);
	if (row->error.len > 0)
		put_message(out, 16, &row->error);
	task_pack_attempts(attempts, n_attempts, 17, out);
	pbuf_put_str(out, 18, task_etag(row, etag));
	put_text(out, 20, task_reason_text(row->reason));
	if (row->parts & PART_OPTIONS && row->options.len > 0)
		put_message(out, 21, &row->options);
	put_text(out, 22, row->schedule);
}

char *task_etag(const struct task_row *row, char out[TASK_ETAG_SIZE])
{
	char *end = out;

	*end++ = '"';
	end = decimal_put(end, row->version);
	*end++ = '"';
	*end = '\0';
	return out;
}

char *task_location(const struct uuid *id, char out[TASK_LOCATION_SIZE])
{
	memcpy(out, TASK_PATH, strlen(TASK_PATH));
	uuid_format(id, out + strlen(TASK_PATH));
	return out;
}

/* A poll a second is soon enough; a task that waits for its retry says when. */
unsigned task_retry_after_s(const struct task_row *row)
{
	int64_t left_us = row->state == TASK_RETRYING || row->state == TASK_SCHEDULED ?
		row->run_at_us - (row->flags & TASK_BY_WALL ? clock_wall_us() : task_clock_us()) : 0;

	return left_us <= US_PER_S ? 1 : (unsigned)MIN(left_us / US_PER_S + 1, 60);
}

/* --- problems --- */

void task_problem_put(struct buf *out, int code, int http, const char *detail)
{
	const struct err_info *info = err_info(code);
	int status = http ? http : info->http;

	pbuf_put_str(out, 1, "about:blank");
	pbuf_put_str(out, 2, http ? err_http_reason(http) : info->text);
	pbuf_put_uint(out, 3, (uint64_t)status);
	put_text(out, 4, detail);
	pbuf_put_str(out, 6, info->name);
}

int task_failure(int code, const char *why, struct buf *problem)
{
	static const struct {
		int code, as, http;
	} ours[] = {
		{TASK_STORE_FULL, ERRAND_UNAVAILABLE, 507},
		{TASK_GONE, ERRAND_NOT_FOUND, 410},
		{TASK_STALE, ERRAND_FAILED_PRECONDITION, 412},
		{TASK_NOT_ALLOWED, ERRAND_FAILED_PRECONDITION, 409},
	};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (ours[i].code == code) {
			task_problem_put(problem, ours[i].as, ours[i].http, why);
			return ours[i].as;
		}
	return code;
}

int task_problem_read(struct bytes problem, char **detailp)
{
	struct pbuf_reader r = pbuf_reader(problem.data, problem.len);
	struct bytes detail = {0};
	int code = ERRAND_UNKNOWN;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 4 && f.wire == PBUF_LEN) {
			detail = f.bytes;
		} else if (f.number == 6 && f.wire == PBUF_LEN) {
			AUTO_FREE char *name = xstrndup((const char *)f.bytes.data, f.bytes.len);

			code = err_code_by_name(name);
		}
	if (detailp != NULL)
		*detailp = xstrndup(detail.len ? (const char *)detail.data : "", detail.len);
	return code > 0 ? code : ERRAND_UNKNOWN;
}

/* Of a field given twice the last counts, so what is to be said is appended. */
void task_problem_verdict(struct buf *problem, bool final, int64_t delay_us, const char *reason)
{
	if (problem->len == 0)
		return;
	if (final)
		pbuf_put_uint(problem, 8, 1);
	if (delay_us > 0)
		pbuf_put_double(problem, 9, (double)delay_us / US_PER_S);
	if (reason != NULL) {
		AUTO_FREE char *detail = NULL;
		AUTO_BUF text = BUF_INIT;

		task_problem_read(buf_bytes(problem), &detail);
		buf_printf(&text, "%s%s(%s)", detail, *detail ? " " : "", reason);
		put_message(problem, 4, &text);
	}
}
