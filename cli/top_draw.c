/* top_draw.c: a frame of `errand top` as lines of text. Pure. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/bar.h"
#include "cli/show.h"
#include "cli/top_impl.h"

enum { NAME = 16, METHOD = 24, BAR = 20 };

struct drawing {
	struct buf *out;
	int columns, left; /* of lines; left < 0: as many as there are */
	bool color, utf8;
};

/* --- lines --- */

/* A line, cut at the right edge; control bytes of what others have said become '?'. */
static void put_line(struct drawing *d, const char *style, const char *text)
{
	int n = 0;

	if (d->left == 0)
		return;
	d->left--;
	if (d->color && *style != '\0')
		buf_append_str(d->out, style);
	for (const char *p = text; *p != '\0'; p++) {
		n += ((unsigned char)*p & 0xc0) != 0x80;
		if (n > d->columns)
			break;
		buf_append_byte(d->out, (uint8_t)((unsigned char)*p < ' ' || *p == 0x7f ? '?' : *p));
	}
	if (d->color && *style != '\0')
		buf_append_str(d->out, "\033[m");
	buf_append_byte(d->out, '\n');
}

static void PRINTF(3, 4) line(struct drawing *d, const char *style, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	put_line(d, style, text);
}

static const char bold[] = "\033[1m", reverse[] = "\033[7m", red[] = "\033[31m", faint[] = "\033[2m";

/* --- its parts --- */

static void draw_head(struct drawing *d, const struct top *t)
{
	const struct figures_server *s = &t->server;
	char up[24];
	size_t here = 0, busy = 0;

	for (size_t i = 0; i < t->n_workers; i++) {
		here += t->workers[i].connected;
		busy += t->workers[i].running > 0;
	}
	line(d, bold, "errand top  %s  %s  up %s%s%s", t->name, s->version, show_duration(s->uptime_us, up),
	     s->draining ? "  STOPPING" : "", t->paused ? "  [paused]" : "");
	if (s->store_ok || !t->has_data)
		line(d, "", "calls %llu  tasks %llu waiting, %llu running  workers %zu, %zu busy  store %s",
		     (unsigned long long)s->calls, (unsigned long long)s->queued, (unsigned long long)s->running, here, busy,
		     s->store_kind);
	else
		line(d, red, "the store is down: %s", s->store_error);
	if (t->trouble[0] != '\0')
		line(d, red, "no news: %s", t->trouble);
}

static void draw_queues(struct drawing *d, const struct top *t, size_t most)
{
	line(d, "", "%s", "");
	line(d, faint, "%-*s %9s %9s %9s %8s", NAME, "QUEUE", "WAITING", "RUNNING", "DONE", "OLDEST");
	for (size_t i = 0; i < MIN(t->n_queues, most); i++) {
		const struct figures_queue *q = &t->queues[i];
		char age[24] = "-", running[32];

		if (q->age_us > 0)
			show_duration(q->age_us, age);
		snprintf(running, sizeof running, "%llu/%llu", (unsigned long long)q->running, (unsigned long long)q->slots);
		line(d, "", "%-*s %9llu %9s %7.1f/s %8s%s", NAME, q->name, (unsigned long long)q->queued, running, t->rates[i], age,
		     q->paused ? "  paused" : "");
	}
	if (t->n_queues > most)
		line(d, faint, "and %zu more queues", t->n_queues - most);
}

static void draw_workers(struct drawing *d, const struct top *t, size_t most)
{
	size_t shown = 0;

	for (size_t i = 0; i < t->n_workers; i++) {
		const struct figures_worker *w = &t->workers[i];

		if (!w->connected || shown == most)
			continue;
		if (shown++ == 0) {
			line(d, "", "%s", "");
			line(d, faint, "%-*s %9s", NAME, "WORKER", "AT WORK");
		}
		line(d, "", "%-*s %4llu/%-4llu%s", NAME, w->name, (unsigned long long)w->running, (unsigned long long)w->places,
		     w->draining ? "  leaving" : "");
	}
}

static const char *short_method(const char *method)
{
	const char *slash = strrchr(method, '/');

	return slash != NULL ? slash + 1 : method;
}

/* The end of an id is what differs; a wide terminal has room for all of it. */
static const char *shown_id(const struct drawing *d, const char *id)
{
	return d->columns >= 120 || strlen(id) <= 12 ? id : id + strlen(id) - 12;
}

static void draw_task(struct drawing *d, const struct task_view *v, bool selected, int64_t now_us)
{
	int wide = d->columns >= 120 ? 36 : 12, rest = d->columns - wide - NAME - METHOD - 20;
	AUTO_BUF bar = BUF_INIT;
	char age[24] = "-";

	if (v->start_us > 0 && now_us > v->start_us)
		show_duration(now_us - v->start_us, age);
	if (v->state == TASK_CANCELLING)
		buf_append_str(&bar, " cancelling");
	else if (v->has_progress)
		bar_draw(&bar, "", v->fraction, -1, v->message, MIN(MAX(rest, BAR), 72), d->utf8);
	line(d, selected ? reverse : "", "%c %-*s %-*.*s %-*.*s %3u %7s%s", selected ? '>' : ' ', wide, shown_id(d, v->id),
	     METHOD, METHOD, short_method(v->method), NAME - 4, NAME - 4, v->queue, v->attempt, age, buf_cstr(&bar));
}

static void draw_tasks(struct drawing *d, struct top *t, size_t most, bool live)
{
	size_t selected = top_selected(t), from = selected >= most && most > 0 ? selected - most + 1 : 0;
	int wide = d->columns >= 120 ? 36 : 12;

	line(d, "", "%s", "");
	line(d, faint, "  %-*s %-*s %-*s %3s %7s PROGRESS", wide, "TASK", METHOD, "METHOD", NAME - 4, "QUEUE", "TRY", "FOR");
	for (size_t i = from; i < MIN(t->n_tasks, from + most); i++)
		draw_task(d, &t->tasks[i], live && i == selected, t->looked_us);
	if (t->n_tasks == 0 && t->has_data)
		line(d, faint, "  nothing runs");
	else if (t->n_tasks > from + most || t->more_tasks)
		line(d, faint, "  and %s more", t->more_tasks ? "many" : "some");
}

static void draw_foot(struct drawing *d, const struct top *t)
{
	while (d->left > 1)
		line(d, "", "%s", "");
	if (t->asks)
		line(d, reverse, "cancel task %s? y: yes, any other key: no", t->selected);
	else if (t->said[0] != '\0')
		line(d, reverse, "%s", t->said);
	else
		line(d, faint, "q quit  p %s  s sort: %s  c cancel  up, down: select", t->paused ? "go on" : "pause",
		     top_sort_name(t->sort));
}

void top_draw(struct top *t, struct buf *out, int rows, int columns, bool color, bool utf8)
{
	struct drawing d = {out, columns, rows > 0 ? rows : -1, color, utf8};
	size_t queues = rows > 0 ? (size_t)MAX(rows / 4, 1) : TOP_QUEUES, workers = rows > 0 ? (size_t)MAX(rows / 6, 1) : TOP_WORKERS;

	draw_head(&d, t);
	draw_queues(&d, t, queues);
	draw_workers(&d, t, workers);
	if (rows == 0) {
		draw_tasks(&d, t, TOP_TASKS, false);
		return;
	}
	if (d.left > 4)
		draw_tasks(&d, t, (size_t)d.left - 4, true);
	if (d.left > 0)
		draw_foot(&d, t);
}
