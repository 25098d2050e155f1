#define _GNU_SOURCE
#include "cli/ids.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/pages.h"
#include "cli/task_view.h"

enum { UUID_LEN = 36, SHORTEST = 6, TIME_DIGITS = 12, SHOWN = 5 };

void ids_add(struct ids *ids, const char *text, size_t len)
{
	ids->items = xrealloc(ids->items, (ids->n + 1) * sizeof *ids->items);
	ids->items[ids->n++] = xstrndup(text, len);
}

void ids_deinit(struct ids *ids)
{
	for (size_t i = 0; i < ids->n; i++)
		free(ids->items[i]);
	free(ids->items);
	*ids = (struct ids){0};
}

/* The first word of each line: of `errand list` with its head, too. */
static void read_stdin(struct ids *ids)
{
	AUTO_FREE char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		const char *word = line + strspn(line, " \t");
		size_t len = strcspn(word, " \t\r\n");

		if (len > 0 && !(ids->n == 0 && len == 2 && strncmp(word, "ID", 2) == 0))
			ids_add(ids, word, len);
	}
}

int ids_read(struct ids *ids, const char *command, int n, char **operands)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(operands[i], "-") == 0)
			read_stdin(ids);
		else
			ids_add(ids, operands[i], strlen(operands[i]));
	}
	if (ids->n > 0)
		return CLI_OK;
	if (n > 0)
		cli_error("%s: there was no id on the standard input", command);
	else
		cli_error("%s: which task? Give its ID: `errand list` shows them", command);
	return CLI_USAGE;
}

/* --- beginnings --- */

/* A UUIDv7 begins with the milliseconds of its making, 12 digits: fewer of them are a span
 * of time. False: this is no beginning of one. */
static bool read_span(const char *text, int64_t *fromp, int64_t *top)
{
	int64_t from = 0, to = 0;
	int n = 0;

	for (const char *p = text; *p != '\0'; p++) {
		int digit = isdigit((unsigned char)*p) ? *p - '0' : (tolower((unsigned char)*p) - 'a') + 10;

		if (*p == '-')
			continue;
		if (!isxdigit((unsigned char)*p))
			return false;
		if (n++ >= TIME_DIGITS)
			continue;
		from = from * 16 + digit;
		to = to * 16 + digit;
	}
	for (int i = n; i < TIME_DIGITS; i++) {
		from *= 16;
		to = to * 16 + 15;
	}
	*fromp = from;
	*top = to;
	return n >= SHORTEST && strlen(text) < UUID_LEN;
}

static void put_time(struct buf *out, const char *test, int64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	char text[40];
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 8000)
		return; /* after all there are */
	strftime(text, sizeof text, "%FT%TZ", &tm);
	buf_printf(out, "%screate_time %s \"%s\"", out->len > 0 ? " AND " : "", test, text);
}

/* Tasks made then, two seconds more on each side: ids may be ahead of the clock. */
static int fetch_span(struct backend *b, int64_t from, int64_t to, struct pages *p)
{
	AUTO_BUF filter = BUF_INIT;
	AUTO_BUF in = BUF_INIT;

	put_time(&filter, ">=", MAX(from - 2000, 0));
	put_time(&filter, "<=", to + 2000);
	pbuf_put_str(&in, 6, buf_cstr(&filter));
	return pages_fetch(b, p, &in);
}

static int tell_several(const char *text, const struct ids *found)
{
	cli_error("'%s' is the beginning of several tasks' ids: give more of it, or the end of the one", text);
	for (size_t i = 0; i < MIN(found->n, SHOWN) && !cli_has_json_errors(); i++)
		fprintf(stderr, "  %s\n", found->items[i]);
	return CLI_USAGE;
}

static int resolve_beginning(struct backend *b, const char *text, char **idp)
{
	struct pages p = {.service = TASKS_SERVICE, .method = "ListTasks", .size_field = 4, .token_field = 5,
			  .limit = 1000};
	struct ids found = {0};
	struct pbuf_reader r;
	struct pbuf_field f;
	int64_t from, to;
	int result = CLI_NOT_FOUND;

	if (!read_span(text, &from, &to) || fetch_span(b, from, to, &p) != CLI_OK)
		goto out;
	r = pbuf_reader(p.all.data, p.all.len);
	while (pbuf_next(&r, &f)) {
		struct task_view v = {0};

		task_view_load(&v, f.bytes);
		if (strncasecmp(v.id, text, strlen(text)) == 0)
			ids_add(&found, v.id, strlen(v.id));
		task_view_deinit(&v);
	}
	if (found.n > 1)
		result = tell_several(text, &found);
	if (found.n == 1) {
		*idp = xstrdup(found.items[0]);
		result = CLI_OK;
	}
out:
	if (result == CLI_NOT_FOUND) {
		cli_error("there is no task %s", text);
		cli_hint("`errand list` shows the tasks there are");
	}
	ids_deinit(&found);
	pages_deinit(&p);
	return result;
}

/* --- all of them --- */

int ids_resolve(struct backend *b, const char *text, char **idp)
{
	struct errand_call_options o = {.timeout_ns = backend_time_left(b)};
	struct errand_reply *reply = NULL;
	struct task_view v = {0};
	AUTO_BUF in = BUF_INIT;
	int r;

	if (strlen(text) >= UUID_LEN) {
		*idp = xstrdup(text);
		return CLI_OK;
	}
	pbuf_put_str(&in, 1, text);
	r = o.timeout_ns < 0 ? -ERRAND_DEADLINE_EXCEEDED : backend_ask(b, TASKS_SERVICE, "GetTask", &in, &o, &reply);
	if (r < 0)
		return backend_failed(b, r);
	if (reply->code == ERRAND_NOT_FOUND) {
		r = resolve_beginning(b, text, idp);
	} else if (reply->code != ERRAND_OK) {
		r = backend_refused(b, NULL, reply);
	} else {
		task_view_load(&v, (struct bytes){reply->payload, reply->payload_len});
		*idp = xstrdup(v.id);
	}
	task_view_deinit(&v);
	errand_reply_free(reply);
	return r;
}

int ids_resolve_all(struct backend *b, struct ids *ids)
{
	for (size_t i = 0; i < ids->n; i++) {
		char *id;
		int r = ids_resolve(b, ids->items[i], &id);

		if (r != CLI_OK)
			return r;
		free(ids->items[i]);
		ids->items[i] = id;
	}
	return CLI_OK;
}

int ids_call(struct backend *b, const char *method, const char *id, struct errand_reply **replyp)
{
	AUTO_BUF in = BUF_INIT;
	int r;

	pbuf_put_str(&in, 1, id);
	r = backend_call(b, TASKS_SERVICE, method, &in, replyp);
	if (r == CLI_NOT_FOUND)
		cli_hint("%s`errand list` shows the tasks there are",
			 strcmp(method, "GetResult") == 0 ? "`errand watch` follows one that runs, " : "");
	return r;
}
