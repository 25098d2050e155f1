#define _GNU_SOURCE
#include "cli/task_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/cli.h"

static const char *const state_names[TASK_N_STATES] = {
	"STATE_UNSPECIFIED", "QUEUED", "RUNNING", "RETRYING", "CANCELLING",
	"SUCCEEDED", "FAILED", "CANCELLED", "SCHEDULED", "BLOCKED", "HELD", "EXPIRED",
};

const char *task_view_state_name(int state)
{
	return state > 0 && state < TASK_N_STATES ? state_names[state] : "?";
}

int task_view_state_by_name(const char *name)
{
	for (int i = 1; i < TASK_N_STATES; i++)
		if (strcasecmp(state_names[i], name) == 0)
			return i;
	return -1;
}

bool task_view_ended(int state)
{
	return state == TASK_SUCCEEDED || state == TASK_FAILED || state == TASK_CANCELLED ||
	       state == TASK_EXPIRED;
}

int task_view_exit(int state)
{
	return state == TASK_SUCCEEDED ? CLI_OK : state == TASK_CANCELLED ? CLI_CANCELLED :
									     CLI_FAILED;
}

int64_t task_view_time(struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;
	uint64_t us = 0;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1)
			us += f.value * (uint64_t)US_PER_S;
		else if (f.number == 2)
			us += (uint64_t)((int32_t)f.value / 1000);
	}
	return (int64_t)us;
}

/* errand.v1.Progress */
static struct bytes read_progress(struct bytes wire, double *fractionp)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct bytes message = {NULL, 0};
	struct pbuf_field f;

	*fractionp = 0;
	while (pbuf_next(&r, &f)) {
		if (f.number == 1 && f.wire == PBUF_I64)
			*fractionp = pbuf_double(f.value);
		else if (f.number == 2)
			message = f.bytes;
	}
	if (!(*fractionp >= 0 && *fractionp <= 1))
		*fractionp = *fractionp > 1;
	return message;
}

/* errand.v1.Usage */
static struct task_usage read_usage(struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct task_usage u = {.isolation = "?"};
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1)
			snprintf(u.isolation, sizeof u.isolation, "%.*s", (int)MIN(f.bytes.len, sizeof u.isolation),
				 (const char *)f.bytes.data);
		else if (f.number == 2)
			u.peak_memory = MAX((int64_t)f.value, 0);
		else if (f.number == 3)
			u.cpu_us = task_view_time(f.bytes);
	}
	return u;
}

/* errand.v1.Attempt: they come by number, so the last one stays. */
static struct task_usage read_attempt(struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct task_usage u = {.isolation = ""};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 9)
			u = read_usage(f.bytes);
	return u;
}

static void set(char **p, struct bytes text)
{
	free(*p);
	*p = xstrndup(text.len > 0 ? (const char *)text.data : "", text.len);
}

/* An entry of a map of texts: NAME=VALUE, behind those before it. */
static void add_label(char **labels, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct bytes key = {(const uint8_t *)"", 0}, value = key;
	char *before = *labels;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		*(f.number == 1 ? &key : &value) = f.bytes;
	*labels = xasprintf("%s%s%.*s=%.*s", before != NULL ? before : "", before != NULL ? "," : "", (int)key.len,
			    (const char *)key.data, (int)value.len, (const char *)value.data);
	free(before);
}

static void load_field(struct task_view *v, const struct pbuf_field *f)
{
	switch (f->number) {
	case 1: set(&v->id, f->bytes); break;
	case 2: set(&v->method, f->bytes); break;
	case 3: v->state = (int)f->value; break;
	case 4: set(&v->queue, f->bytes); break;
	case 5: v->priority = (int)(int64_t)f->value; break;
	case 6: v->attempt = (unsigned)f->value; break;
	case 8:
		v->has_progress = true;
		set(&v->message, read_progress(f->bytes, &v->fraction));
		break;
	case 9: v->create_us = task_view_time(f->bytes); break;
	case 10: v->start_us = task_view_time(f->bytes); break;
	case 11: v->end_us = task_view_time(f->bytes); break;
	case 12:
	case 19: v->next_us = task_view_time(f->bytes); break; /* of a retry, of its time: never both */
	case 13: add_label(&v->labels, f->bytes); break;
	case 16:
		buf_reset(&v->error);
		buf_append(&v->error, f->bytes.data, f->bytes.len);
		break;
	case 17: v->usage = read_attempt(f->bytes); break;
	case 20: set(&v->reason, f->bytes); break;
	case 22: set(&v->schedule, f->bytes); break;
	}
}

bool task_view_load(struct task_view *v, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct bytes none = {(const uint8_t *)"", 0};
	struct pbuf_field f;

	task_view_deinit(v);
	set(&v->id, none);
	set(&v->method, none);
	set(&v->queue, none);
	while (pbuf_next(&r, &f))
		load_field(v, &f);
	return !r.bad;
}

void task_view_deinit(struct task_view *v)
{
	free(v->id);
	free(v->method);
	free(v->queue);
	free(v->message);
	free(v->reason);
	free(v->schedule);
	free(v->labels);
	buf_deinit(&v->error);
	*v = (struct task_view){0};
}

char *task_view_error(const struct task_view *v)
{
	struct pbuf_reader r = pbuf_reader(v->error.data, v->error.len);
	struct bytes title = {NULL, 0}, detail = {NULL, 0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 2)
			title = f.bytes;
		else if (f.number == 4)
			detail = f.bytes;
	}
	if (detail.len == 0)
		detail = title;
	return detail.len > 0 ? xstrndup((const char *)detail.data, detail.len) : NULL;
}

/* errand.v1.LogLine */
static void read_log(struct task_event *e, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 3)
			e->log_stream = f.bytes;
		else if (f.number == 5)
			e->log_text = f.bytes;
	}
}

bool task_event_load(struct task_event *e, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;

	*e = (struct task_event){0};
	while (pbuf_next(&r, &f)) {
		switch (f.number) {
		case 1: e->seq = f.value; break;
		case 2: e->event = f.bytes; break;
		case 3: e->time_us = task_view_time(f.bytes); break;
		case 5: e->state = (int)f.value; break;
		case 6: e->attempt = (unsigned)f.value; break;
		case 7:
			e->has_progress = true;
			e->message = read_progress(f.bytes, &e->fraction);
			break;
		case 8: read_log(e, f.bytes); break;
		case 10: e->error = f.bytes; break;
		}
	}
	return !r.bad;
}

bool task_event_is(const struct task_event *e, const char *event)
{
	return e->event.len == strlen(event) && memcmp(e->event.data, event, e->event.len) == 0;
}
