#define _GNU_SOURCE
#include "cli/select.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/call_find.h"
#include "cli/task_view.h"

bool select_any(const struct select *s)
{
	return s->filter != NULL || s->state != NULL || s->queue != NULL || s->method != NULL || s->since != NULL;
}

/* --- the parts --- */

static void put_and(struct buf *out)
{
	if (out->len > 0)
		buf_append_str(out, " AND ");
}

/* FIELD = "text", where nothing in text means more than itself. */
static void put_text(struct buf *out, const char *field, const char *text)
{
	put_and(out);
	buf_printf(out, "%s = \"", field);
	for (; *text != '\0'; text++) {
		if (strchr("\"\\*", *text) != NULL)
			buf_append_byte(out, '\\');
		buf_append_byte(out, (uint8_t)*text);
	}
	buf_append_byte(out, '"');
}

static int no_state(const char *name)
{
	const char *near = NULL;
	char lower[24] = "";
	size_t best = 3;

	for (int i = 1; i < TASK_N_STATES; i++) {
		size_t d;

		for (size_t k = 0; k < sizeof lower; k++)
			lower[k] = (char)tolower((unsigned char)task_view_state_name(i)[MIN(k, strlen(task_view_state_name(i)))]);
		d = opt_distance(name, strlen(name), lower);
		if (d < best) {
			best = d;
			near = task_view_state_name(i);
		}
	}
	if (near != NULL)
		cli_error("--state %s: there is no such state: did you mean %s?", name, near);
	else
		cli_error("--state %s: use queued, running, retrying, cancelling, succeeded, failed, cancelled, "
			  "scheduled, blocked, held or expired", name);
	return CLI_USAGE;
}

static int put_states(struct buf *out, const char *states)
{
	put_and(out);
	buf_append_byte(out, '(');
	for (const char *p = states; ; p++) {
		size_t len = strcspn(p, ",");
		AUTO_FREE char *name = xstrndup(p, len);
		int state = task_view_state_by_name(name);

		if (state < 0)
			return no_state(name);
		buf_printf(out, "%sstate = %s", p > states ? " OR " : "", task_view_state_name(state));
		p += len;
		if (*p == '\0')
			break;
	}
	buf_append_byte(out, ')');
	return CLI_OK;
}

/* A whole name may be one the service has no more. */
static int put_method(struct backend *b, struct buf *out, const char *name)
{
	const struct schema_method *m;
	int r;

	if (strchr(name, '.') != NULL || strchr(name, '*') != NULL) {
		put_and(out);
		buf_printf(out, "method = \"%s\"", name);
		return CLI_OK;
	}
	r = backend_schema(b);
	if (r != CLI_OK)
		return r;
	m = call_find_name(b->schema, name, &r);
	if (m != NULL)
		put_text(out, "method", m->full_name);
	return m != NULL ? CLI_OK : r;
}

/* 2h, 2026-01-31, 2026-01-31T12:00:00Z */
static int put_since(struct buf *out, const char *since)
{
	int64_t ago;
	char text[40];
	struct tm tm;
	time_t then;

	put_and(out);
	if (opt_time(since, &ago)) {
		then = (time_t)((clock_wall_us() - ago / 1000) / US_PER_S);
		strftime(text, sizeof text, "%FT%TZ", gmtime_r(&then, &tm));
		since = text;
	} else if (strlen(since) == 10 && strptime(since, "%Y-%m-%d", &(struct tm){0}) != NULL) {
		snprintf(text, sizeof text, "%sT00:00:00Z", since);
		since = text;
	} else if (strptime(since, "%Y-%m-%dT%H:%M:%S", &(struct tm){0}) == NULL) {
		cli_error("--since %s: write how long ago, as 2h or 3d, or a time, as 2026-01-31T12:00:00Z", since);
		return CLI_USAGE;
	}
	buf_printf(out, "create_time >= \"%s\"", since);
	return CLI_OK;
}

int select_filter(struct backend *b, const struct select *s, struct buf *out)
{
	int r = CLI_OK;

	if (s->filter != NULL && (s->state != NULL || s->queue != NULL || s->method != NULL || s->since != NULL))
		buf_printf(out, "(%s)", s->filter);
	else if (s->filter != NULL)
		buf_append_str(out, s->filter); /* alone: its columns are told as they were typed */
	if (s->state != NULL)
		r = put_states(out, s->state);
	if (r == CLI_OK && s->queue != NULL)
		put_text(out, "queue", s->queue);
	if (r == CLI_OK && s->since != NULL)
		r = put_since(out, s->since);
	if (r == CLI_OK && s->method != NULL)
		r = put_method(b, out, s->method);
	return r;
}

/* --- nothing was found --- */

void select_near_queue(struct backend *b, const char *name)
{
	struct errand_reply *reply = NULL;
	AUTO_FREE char *near = NULL;
	size_t best = MAX(strlen(name) / 2, 1) + 1;
	struct buf none = BUF_INIT;
	struct pbuf_reader r;
	struct pbuf_field f, part;

	if (backend_ask(b, "errand.v1.Queues", "ListQueues", &none, NULL, &reply) < 0 || reply->code != ERRAND_OK) {
		errand_reply_free(reply);
		return;
	}
	r = pbuf_reader(reply->payload, reply->payload_len);
	while (best > 0 && pbuf_next(&r, &f)) {
		struct pbuf_reader queue = pbuf_reader(f.bytes.data, f.bytes.len);

		if (!pbuf_next(&queue, &part) || part.number != 1)
			continue;
		AUTO_FREE char *other = xstrndup((const char *)part.bytes.data, part.bytes.len);
		size_t d = opt_distance(name, strlen(name), other);

		if (d < best) {
			best = d;
			free(near);
			near = xstrdup(other);
		}
	}
	errand_reply_free(reply);
	if (best == 0)
		return;
	if (near != NULL)
		cli_hint("no queue '%s' yet: did you mean '%s'?", name, near);
	else
		cli_hint("no queue '%s' yet: `errand queues` lists them", name);
}

void select_explain(struct backend *b, const struct select *s)
{
	int ignored = CLI_OK;

	if (s->queue != NULL)
		select_near_queue(b, s->queue);
	if (s->method != NULL && strchr(s->method, '*') == NULL && backend_schema(b) == CLI_OK)
		call_find_name(b->schema, s->method, &ignored); /* says what is wrong with it */
}
