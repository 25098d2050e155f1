/* watch.c: see watch.h. Events come from errand.v1.Tasks/WatchEvents, which is
 * asked again from the last event seen when the connection is lost; what the end
 * was is read from the task itself. */
#define _GNU_SOURCE
#include "cli/watch.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/bar.h"
#include "cli/ids.h"
#include "cli/leave.h"
#include "cli/show.h"

struct watch {
	struct backend *backend;
	const struct watch_options *options;
	const struct schema_message *event_message; /* for --json */
	struct task_view *view;
	struct bar bar;
	uint64_t seq;        /* of the last event seen */
	int state;           /* shown last */
	unsigned attempt;
	int64_t line_ns;     /* when the last progress line was written */
	bool tty, color, utf8;
	size_t drawn;        /* columns of the line under the cursor; 0 = none */
};

/* --- drawing --- */

/* Without NO_COLOR the rest of the line is erased by an escape sequence, with it
 * by spaces: then nothing but text and CR goes out. */
static void line_clear(struct watch *w)
{
	if (w->drawn == 0)
		return;
	if (w->color)
		fputs("\r\033[K", w->options->out);
	else
		fprintf(w->options->out, "\r%*s\r", (int)w->drawn, "");
	w->drawn = 0;
	leave_drawn(false);
}

static void line_draw(struct watch *w, const char *label, const struct task_event *e)
{
	AUTO_BUF line = BUF_INIT;
	AUTO_FREE char *message = xstrndup(e->message.len > 0 ? (const char *)e->message.data : "",
					   e->message.len);
	int64_t eta = bar_eta(&w->bar, e->fraction, clock_mono_ns());
	size_t columns;

	bar_draw(&line, label, e->fraction, eta, message, show_width(w->options->out), w->utf8);
	columns = bar_columns((const char *)line.data, line.len);
	fprintf(w->options->out, "\r%s", buf_cstr(&line));
	if (w->color)
		fputs("\033[K", w->options->out);
	else if (columns < w->drawn)
		fprintf(w->options->out, "%*s", (int)(w->drawn - columns), "");
	w->drawn = MAX(columns, w->color ? columns : w->drawn);
	leave_drawn(true);
	fflush(w->options->out);
}

/* "article.v1.Article/Encode" -> "Encode" */
static const char *short_method(const char *method)
{
	const char *slash = strrchr(method, '/');

	return slash != NULL ? slash + 1 : method;
}

static void show_state(struct watch *w, const struct task_event *e)
{
	char when[24];

	if (e->state == w->state && e->attempt == w->attempt)
		return;
	if (e->attempt != w->attempt)
		bar_restart(&w->bar);
	w->state = e->state;
	w->attempt = e->attempt;
	if (task_view_ended(e->state))
		return; /* told from the task itself */
	line_clear(w);
	fprintf(w->options->out, "%s %s", show_time(e->time_us, when),
		task_view_state_name(e->state));
	if (e->attempt > 0)
		fprintf(w->options->out, " attempt %u", e->attempt);
	fputc('\n', w->options->out);
	fflush(w->options->out);
}

static void show_progress(struct watch *w, const struct task_event *e)
{
	int64_t now = clock_mono_ns(), eta;
	char when[24];

	if (w->tty) {
		line_draw(w, short_method(w->view->method), e);
		return;
	}
	eta = bar_eta(&w->bar, e->fraction, now);
	if (now - w->line_ns < NS_PER_S && e->fraction < 1)
		return;
	w->line_ns = now;
	fprintf(w->options->out, "%s %3d%% ", show_time(e->time_us, when),
		(int)(e->fraction * 100));
	show_text(w->options->out, (const char *)e->message.data, e->message.len);
	if (eta > 0)
		fprintf(w->options->out, " ETA %d:%02d", (int)(eta / 60), (int)(eta % 60));
	fputc('\n', w->options->out);
	fflush(w->options->out);
}

static void show_log(struct watch *w, const struct task_event *e)
{
	line_clear(w);
	show_text(w->options->out, (const char *)e->log_text.data, e->log_text.len);
	fputc('\n', w->options->out);
	fflush(w->options->out);
}

static void show_usage(FILE *out, const struct task_usage *u)
{
	char peak[24], cpu[24];

	if (*u->isolation == 0)
		return;
	fprintf(out, ", peak %s, %s CPU (", show_bytes((uint64_t)u->peak_memory, peak),
		show_duration(u->cpu_us, cpu));
	show_text(out, u->isolation, strlen(u->isolation));
	fputc(')', out);
}

/* The end, for people. */
static void show_end(struct watch *w)
{
	const struct task_view *v = w->view;
	char took[24];

	line_clear(w);
	if (v->state == TASK_FAILED)
		show_problem(v->method, ERRAND_UNKNOWN, "the task failed", buf_bytes(&v->error),
			     w->backend->common->json ? w->backend->schema : NULL);
	if (w->options->quiet || w->options->events)
		return;
	fprintf(w->options->out, "%s after %s", task_view_state_name(v->state),
		show_duration(v->end_us - v->create_us, took));
	if (v->attempt > 1)
		fprintf(w->options->out, ", %u attempts", v->attempt);
	show_usage(w->options->out, &v->usage);
	fputc('\n', w->options->out);
	fflush(w->options->out);
}

/* --- following --- */

static int on_event(const void *message, size_t len, void *arg)
{
	struct watch *w = arg;
	struct task_event e;

	if (!task_event_load(&e, (struct bytes){message, len}))
		return -1;
	w->seq = MAX(w->seq, e.seq);
	if (w->options->events)
		return show_json(w->backend->schema, w->event_message,
				 (struct bytes){message, len}, false);
	if (e.state != TASK_NONE)
		show_state(w, &e);
	if (task_event_is(&e, "progress") && e.has_progress)
		show_progress(w, &e);
	else if (task_event_is(&e, "log") && w->options->logs)
		show_log(w, &e);
	return 0;
}

/* One WatchEvents call. CLI_OK: it ended or was cut off, look at the task;
 * another: give up, said. */
static int follow_once(struct watch *w)
{
	struct errand_call_options options = {.timeout_ns = backend_time_left(w->backend)};
	struct errand_reply *reply = NULL;
	AUTO_BUF in = BUF_INIT;
	int r = -ERRAND_DEADLINE_EXCEEDED;

	pbuf_put_str(&in, 1, w->view->id);
	pbuf_put_uint(&in, 2, w->seq);
	if (options.timeout_ns >= 0)
		r = backend_stream(w->backend, TASKS_SERVICE, "WatchEvents", &in, &options, on_event, w, &reply);
	if (r == 0 && reply->code != ERRAND_OK)
		r = -reply->code;
	if (r == 0 || r == -ERRAND_UNAVAILABLE || r == -ERRAND_CANCELLED) {
		errand_reply_free(reply);
		return CLI_OK;
	}
	line_clear(w);
	if (r == -ERRAND_DEADLINE_EXCEEDED) {
		cli_error("task %s goes on: --timeout is over", w->view->id);
		r = CLI_TIMEOUT;
	} else if (reply != NULL) {
		r = backend_refused(w->backend, NULL, reply);
	} else {
		r = backend_failed(w->backend, r);
	}
	errand_reply_free(reply);
	return r;
}

/* GetTask, connecting again while nobody answers. */
static int look(struct watch *w)
{
	struct errand_call_options options = {0};
	AUTO_FREE char *id = xstrdup(w->view->id);
	AUTO_BUF in = BUF_INIT;

	pbuf_put_str(&in, 1, id);
	for (;;) {
		struct errand_reply *reply = NULL;
		int r;

		options.timeout_ns = backend_time_left(w->backend);
		r = options.timeout_ns < 0 ? -ERRAND_DEADLINE_EXCEEDED :
			backend_ask(w->backend, TASKS_SERVICE, "GetTask", &in, &options, &reply);
		if (r == -ERRAND_UNAVAILABLE || (r == 0 && reply->code == ERRAND_UNAVAILABLE)) {
			errand_reply_free(reply);
			line_clear(w);
			r = backend_reopen(w->backend);
			if (r != CLI_OK)
				return r;
			continue;
		}
		if (r < 0) {
			r = backend_failed(w->backend, r);
		} else if (reply->code != ERRAND_OK) {
			r = backend_refused(w->backend, NULL, reply);
		} else {
			task_view_load(w->view, (struct bytes){reply->payload, reply->payload_len});
			r = CLI_OK;
		}
		errand_reply_free(reply);
		return r;
	}
}

static int follow(struct watch *w)
{
	int r;

	while (!task_view_ended(w->view->state)) {
		int64_t begin = clock_mono_ns();

		r = follow_once(w);
		if (r == CLI_OK)
			r = look(w);
		if (r != CLI_OK)
			return r;
		/* A stream that ends at once, time after time, is not asked for in a loop. */
		if (!task_view_ended(w->view->state) && clock_mono_ns() - begin < NS_PER_S / 5)
			nanosleep(&(struct timespec){0, 200 * NS_PER_MS}, NULL);
	}
	return CLI_OK;
}

int watch_task(struct backend *b, struct task_view *v, const struct watch_options *o)
{
	struct watch w = {
		.backend = b, .options = o, .view = v,
		.tty = show_is_terminal(o->out), .color = show_has_color(o->out),
		.utf8 = show_has_utf8(),
	};
	int r;

	if (o->events) {
		w.event_message = schema_message(b->schema, "errand.v1.TaskEvent", 19);
		if (w.event_message == NULL) {
			cli_error("the service's schema has no errand.v1.TaskEvent");
			return CLI_FAILED;
		}
	}
	leave_begin(v->id);
	r = follow(&w);
	line_clear(&w);
	leave_end();
	if (r != CLI_OK)
		return r;
	show_end(&w);
	return task_view_exit(v->state);
}

int watch_get(struct backend *b, const char *text, struct task_view *v)
{
	AUTO_FREE char *id = NULL;
	struct errand_reply *reply;
	int r = ids_resolve(b, text, &id);

	if (r == CLI_OK)
		r = ids_call(b, "GetTask", id, &reply);
	if (r != CLI_OK)
		return r;
	if (!task_view_load(v, (struct bytes){reply->payload, reply->payload_len})) {
		cli_error("the service's answer is no task");
		r = CLI_FAILED;
	}
	errand_reply_free(reply);
	return r;
}
