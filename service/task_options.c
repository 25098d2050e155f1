/* task_options.c: see task_options.h. The numbers are those of TaskOptions in
 * proto/errand/v1/tasks.proto. */
#include "service/task_options.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "service/hook_move.h"

#define GRACE_DEFAULT_NS (10 * NS_PER_S)
#define KEY_MAX 255
#define LABEL_VALUE_MAX 1024

enum { QUEUE = 1, PRIORITY, RUN_AT, DELAY, LABELS, UNIQUE_KEY, UNIQUE_WINDOW, ON_CONFLICT, AFTER,
       AFTER_POLICY, START_DEADLINE, TIMEOUT, TOTAL_TIMEOUT, PROGRESS_TIMEOUT, CANCEL_GRACE,
       RETRY, RESULT_TTL, CALLBACK };

struct reader {
	struct task_options *o;
	struct fault_list *faults;
	bool bad;
};

static void PRINTF(5, 6) wrong(struct reader *r, const char *where, const char *rule, const char *value,
			       const char *fmt, ...)
{
	char detail[256];
	va_list args;

	r->bad = true;
	if (r->faults == NULL)
		return;
	va_start(args, fmt);
	vsnprintf(detail, sizeof detail, fmt, args);
	va_end(args);
	fault_add(r->faults, FAULT_SCHEMA, FAULT_POINTER, where, rule, value, value ? strlen(value) : 0,
		  "%s", detail);
}

static char *text_of(const struct pbuf_field *f)
{
	return xstrndup(f->bytes.data ? (const char *)f->bytes.data : "", f->bytes.len);
}

static void set_text(char **to, const struct pbuf_field *f)
{
	free(*to);
	*to = f->bytes.len ? text_of(f) : NULL;
}

/* --- times --- */

/* Seconds and nanos of a Timestamp or Duration. */
static void read_time(struct bytes raw, int64_t *s, int64_t *nanos)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	*s = *nanos = 0;
	while (pbuf_next(&r, &f))
		*(f.number == 1 ? s : nanos) = f.number == 1 ? (int64_t)f.value : (int32_t)f.value;
}

static int64_t read_duration(struct reader *r, const struct pbuf_field *f, const char *where)
{
	int64_t s, nanos;

	read_time(f->bytes, &s, &nanos);
	if (s < 0 || nanos < 0 || nanos > 999999999 || s > TASK_TIME_MAX_US / US_PER_S) {
		wrong(r, where, "range", NULL, "a duration from 0s to 100 years is expected");
		return 0;
	}
	return s * US_PER_S + (nanos + 999) / 1000;
}

static int64_t read_instant(struct reader *r, const struct pbuf_field *f, const char *where)
{
	int64_t s, nanos;

	read_time(f->bytes, &s, &nanos);
	if (s <= 0 || nanos < 0 || nanos > 999999999 || s > 253402300799) {
		wrong(r, where, "range", NULL, "a time after 1970 is expected");
		return 0;
	}
	return s * US_PER_S + nanos / 1000;
}

/* --- members --- */

static bool is_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > KEY_MAX)
		return false;
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && strchr("._-/", *p) == NULL)
			return false;
	return true;
}

bool task_queue_name_ok(const char *name)
{
	return is_name(name) && strlen(name) <= 100 && strchr(name, '/') == NULL;
}

static void read_queue(struct reader *r, const struct pbuf_field *f)
{
	set_text(&r->o->queue, f);
	if (r->o->queue != NULL && !task_queue_name_ok(r->o->queue))
		wrong(r, "#/queue", "name", r->o->queue,
		      "a queue's name has letters, digits, '.', '_' and '-', at most 100");
}

static void read_label(struct reader *r, const struct pbuf_field *f)
{
	struct pbuf_reader in = pbuf_reader(f->bytes.data, f->bytes.len);
	struct task_label l = {0};
	struct pbuf_field member;
	AUTO_BUF place = BUF_INIT;
	const char *where;

	while (pbuf_next(&in, &member))
		set_text(member.number == 1 ? &l.key : &l.value, &member);
	l.key = l.key ? l.key : xstrdup("");
	l.value = l.value ? l.value : xstrdup("");
	buf_append_str(&place, "#/labels/");
	fault_put_token(&place, l.key, MIN(strlen(l.key), KEY_MAX));
	where = buf_cstr(&place);
	if (!is_name(l.key))
		wrong(r, where, "name", l.key,
		      "a label's name has letters, digits, '.', '_', '-' and '/', at most 255");
	if (strlen(l.value) > LABEL_VALUE_MAX)
		wrong(r, where, "range", NULL, "a label has at most %d bytes", LABEL_VALUE_MAX);
	if (r->o->n_labels == TASK_LABELS_MAX)
		wrong(r, "#/labels", "range", NULL, "a task has at most %d labels", TASK_LABELS_MAX);
	r->o->labels = xrealloc(r->o->labels, (r->o->n_labels + 1) * sizeof l);
	r->o->labels[r->o->n_labels++] = l;
}

static void read_after(struct reader *r, const struct pbuf_field *f)
{
	AUTO_FREE char *text = text_of(f);
	char where[40];
	struct uuid id;

	snprintf(where, sizeof where, "#/after/%zu", r->o->n_after);
	if (!uuid_parse(text, &id)) {
		wrong(r, where, "format", text, "the whole id of a task is expected");
		return;
	}
	for (size_t i = 0; i < r->o->n_after; i++)
		if (memcmp(&r->o->after[i], &id, sizeof id) == 0)
			return;
	if (r->o->n_after == TASK_AFTER_MAX)
		wrong(r, "#/after", "range", NULL, "a task comes after at most %d others", TASK_AFTER_MAX);
	r->o->after = xrealloc(r->o->after, (r->o->n_after + 1) * sizeof id);
	r->o->after[r->o->n_after++] = id;
}

static void read_retry(struct reader *r, const struct pbuf_field *f)
{
	struct pbuf_reader in = pbuf_reader(f->bytes.data, f->bytes.len);
	struct schema_retry *retry = &r->o->retry;
	struct pbuf_field m;

	while (pbuf_next(&in, &m))
		switch (m.number) {
		case 1: retry->max_attempts = (uint32_t)m.value; break;
		case 2: retry->base_ns = read_duration(r, &m, "#/retry/base") * 1000; break;
		case 3: retry->cap_ns = read_duration(r, &m, "#/retry/cap") * 1000; break;
		case 4: retry->factor = m.wire == PBUF_I64 ? pbuf_double(m.value) : 0; break;
		}
	if (retry->factor != 0 && !(retry->factor >= 1 && retry->factor <= 1000)) {
		wrong(r, "#/retry/factor", "range", NULL, "a factor from 1 to 1000 is expected");
		retry->factor = 0;
	}
}

/* Any state has its name in small letters: "succeeded". */
static unsigned state_bit(const char *name)
{
	for (int s = TASK_QUEUED; s < TASK_N_STATES; s++)
		if (strcasecmp(name, task_state_name((enum task_state)s)) == 0)
			return 1u << s;
	return 0;
}

static void read_callback(struct reader *r, const struct pbuf_field *f)
{
	struct pbuf_reader in = pbuf_reader(f->bytes.data, f->bytes.len);
	struct pbuf_field m;
	char why[400];
	size_t n = 0;

	while (pbuf_next(&in, &m)) {
		AUTO_FREE char *text = text_of(&m);
		char where[40];

		if (m.number == 1)
			set_text(&r->o->callback_url, &m);
		if (m.number != 2)
			continue;
		snprintf(where, sizeof where, "#/callback/events/%zu", n++);
		if (state_bit(text) == 0)
			wrong(r, where, "enum", text, "the name of a state is expected, as succeeded or failed");
		r->o->callback_events |= state_bit(text);
	}
	if (r->o->callback_url == NULL)
		wrong(r, "#/callback/url", "required", NULL, "a callback needs a url");
	else if (r->faults != NULL && hook_policy_check(r->o->callback_url, why, sizeof why) < 0)
		wrong(r, "#/callback/url", "address", r->o->callback_url, "%s", why);
}

static void read_key(struct reader *r, const struct pbuf_field *f)
{
	set_text(&r->o->unique_key, f);
	if (r->o->unique_key != NULL && strlen(r->o->unique_key) > KEY_MAX)
		wrong(r, "#/unique_key", "range", NULL, "a key has at most %d bytes", KEY_MAX);
}

static void read_enum(struct reader *r, const struct pbuf_field *f, const char *where, int *out)
{
	if (f->value > 3)
		wrong(r, where, "enum", NULL, "there is no such value");
	else if (f->value != 0)
		*out = (int)f->value;
}

static void read_times(struct reader *r, const struct pbuf_field *f)
{
	struct task_options *o = r->o;

	switch (f->number) {
	case RUN_AT: o->run_at_us = read_instant(r, f, "#/run_at"); break;
	case DELAY: o->delay_us = read_duration(r, f, "#/delay"); break;
	case UNIQUE_WINDOW: o->unique_window_us = read_duration(r, f, "#/unique_window"); break;
	case START_DEADLINE: o->start_deadline_us = read_duration(r, f, "#/start_deadline"); break;
	case TIMEOUT: o->timeout_us = read_duration(r, f, "#/timeout"); break;
	case TOTAL_TIMEOUT: o->total_timeout_us = read_duration(r, f, "#/total_timeout"); break;
	case PROGRESS_TIMEOUT: o->progress_timeout_us = read_duration(r, f, "#/progress_timeout"); break;
	case CANCEL_GRACE: o->cancel_grace_us = read_duration(r, f, "#/cancel_grace"); break;
	case RESULT_TTL: o->result_ttl_us = read_duration(r, f, "#/result_ttl"); break;
	}
}

static void read_member(struct reader *r, const struct pbuf_field *f)
{
	struct task_options *o = r->o;
	int value = 0;

	switch (f->number) {
	case QUEUE: read_queue(r, f); break;
	case PRIORITY: o->priority = (int32_t)f->value; break;
	case LABELS: read_label(r, f); break;
	case UNIQUE_KEY: read_key(r, f); break;
	case ON_CONFLICT:
		read_enum(r, f, "#/on_conflict", &value);
		o->on_conflict = value ? (enum on_conflict)value : CONFLICT_REFUSE;
		break;
	case AFTER: read_after(r, f); break;
	case AFTER_POLICY:
		read_enum(r, f, "#/after_policy", &value);
		o->after_policy = value ? (enum after_policy)value : AFTER_FAIL;
		break;
	case RETRY: read_retry(r, f); break;
	case CALLBACK: read_callback(r, f); break;
	default: read_times(r, f);
	}
}

static void check_whole(struct reader *r)
{
	const struct task_options *o = r->o;

	if (o->priority > TASK_PRIORITY_MAX || o->priority < -TASK_PRIORITY_MAX)
		wrong(r, "#/priority", "range", NULL, "a priority is from -%d to %d", TASK_PRIORITY_MAX,
		      TASK_PRIORITY_MAX);
	if (o->run_at_us != 0 && o->delay_us != 0)
		wrong(r, "#/delay", "oneof", NULL, "of run_at and delay only one can be given");
	if (o->unique_window_us != 0 && o->unique_key == NULL)
		wrong(r, "#/unique_window", "required", NULL, "a window needs a unique_key");
}

bool task_options_read(struct bytes options, struct task_options *out, struct fault_list *faults)
{
	struct reader r = {.o = out, .faults = faults};
	struct pbuf_reader in = pbuf_reader(options.data, options.len);
	struct pbuf_field f;

	*out = (struct task_options){.on_conflict = CONFLICT_REFUSE, .after_policy = AFTER_FAIL};
	while (pbuf_next(&in, &f))
		read_member(&r, &f);
	check_whole(&r);
	return !r.bad && !in.bad;
}

void task_options_deinit(struct task_options *o)
{
	for (size_t i = 0; i < o->n_labels; i++) {
		free(o->labels[i].key);
		free(o->labels[i].value);
	}
	free(o->labels);
	free(o->queue);
	free(o->unique_key);
	free(o->after);
	free(o->callback_url);
	*o = (struct task_options){0};
}

void task_options_put_labels(struct bytes options, const struct task_label *labels, size_t n,
			     struct buf *out)
{
	struct pbuf_reader in = pbuf_reader(options.data, options.len);
	struct pbuf_field f;

	while (pbuf_next(&in, &f))
		if (f.number != LABELS)
			buf_append(out, f.start, (size_t)(in.p - f.start));
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF entry = BUF_INIT;

		pbuf_put_str(&entry, 1, labels[i].key);
		pbuf_put_str(&entry, 2, labels[i].value);
		pbuf_put_bytes(out, LABELS, entry.data, entry.len);
	}
}

/* --- what follows --- */

static int64_t first_of(int64_t a, int64_t b)
{
	return a != 0 ? a : b;
}

/* Member by member: who gives only max_attempts keeps the others' pace. */
static void add_retry(struct task_retry *to, const struct schema_retry *from)
{
	if (from->max_attempts != 0)
		to->max_attempts = from->max_attempts;
	if (from->base_ns != 0)
		to->base_us = from->base_ns / 1000;
	if (from->cap_ns != 0)
		to->cap_us = from->cap_ns / 1000;
	if (from->factor != 0)
		to->factor = from->factor;
}

struct task_limits task_limits_of(const struct task_options *o, const struct schema_method *m,
				  const struct schema_retry *queue)
{
	struct task_limits l = {
		.timeout_ns = first_of(o->timeout_us * 1000, m ? m->timeout_ns : 0),
		.progress_timeout_ns = first_of(o->progress_timeout_us * 1000,
						m ? m->progress_timeout_ns : 0),
		.cancel_grace_ns = first_of(first_of(o->cancel_grace_us * 1000, m ? m->cancel_grace_ns : 0),
					    GRACE_DEFAULT_NS),
		.retry = {.max_attempts = 5, .base_us = US_PER_S, .cap_us = 300 * US_PER_S, .factor = 2},
	};

	if (queue != NULL)
		add_retry(&l.retry, queue);
	if (m != NULL)
		add_retry(&l.retry, &m->retry);
	add_retry(&l.retry, &o->retry);
	return l;
}
