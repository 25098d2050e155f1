/* top.c: `errand top`: queues, workers and running tasks, live in a terminal; one frame as
 * text where there is none. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/screen.h"
#include "cli/show.h"
#include "cli/top_impl.h"

struct top_conf {
	struct cli_common common;
	int64_t interval;
	bool once;
};

static const struct opt options[] = {
	CLI_COMMON(struct top_conf),
	{"interval", 'i', OPT_TIME, offsetof(struct top_conf, interval), "1s", 100 * NS_PER_MS, 3600 * NS_PER_S, "TIME",
	 "between two frames"},
	{"once", '1', OPT_FLAG, offsetof(struct top_conf, once), NULL, 0, 0, NULL, "one frame as text, and no more"},
};

static const char usage[] =
	"errand top [options]\n\n"
	"Keys: q quit, p pause, s sort by age, progress, queue or method, c cancel the selected task (asks),\n"
	"up and down (k, j), page up and down, home, end: select another.";

/* --- keys --- */

static void move(struct top *t, int64_t by)
{
	int64_t at = (int64_t)top_selected(t) + by;

	top_select(t, (size_t)MAX(at, 0));
}

static void answer_question(struct top *t, int key)
{
	t->asks = false;
	if (key == 'y' || key == 'Y')
		top_cancel(t);
	else
		snprintf(t->said, sizeof t->said, "not cancelled");
}

/* False: quit. */
static bool take_key(struct top *t, int key)
{
	if (key == KEY_NONE)
		return true;
	if (t->asks) {
		answer_question(t, key);
		return true;
	}
	t->said[0] = '\0';
	switch (key) {
	case 'q': case 'Q': case -1: case 4: /* end of input */ return false;
	case 'p': t->paused = !t->paused; break;
	case 's': t->sort = (t->sort + 1) % N_SORTS; top_order(t); break;
	case 'c': top_selected(t); t->asks = t->n_tasks > 0; break;
	case 'k': case KEY_UP: move(t, -1); break;
	case 'j': case KEY_DOWN: move(t, 1); break;
	case KEY_PAGE_UP: move(t, -10); break;
	case KEY_PAGE_DOWN: move(t, 10); break;
	case KEY_HOME: move(t, -TOP_TASKS); break;
	case KEY_END: move(t, TOP_TASKS); break;
	}
	return true;
}

/* --- frames --- */

static void draw(struct top *t)
{
	AUTO_BUF frame = BUF_INIT;
	int rows, columns;

	screen_size(&rows, &columns);
	top_draw(t, &frame, rows, columns, show_has_color(stdout), show_has_utf8());
	screen_draw(&frame);
}

/* The signal that ends it ends the program. */
static int live(struct top *t, int64_t interval)
{
	int64_t due = clock_mono_ns() + interval;
	bool more = true;

	while (more && backend_time_left(&t->backend) >= 0) {
		int64_t left;

		draw(t);
		left = due - clock_mono_ns();
		more = take_key(t, screen_key(left > 0 ? (int)(left / NS_PER_MS) + 1 : 0));
		if (clock_mono_ns() < due)
			continue;
		if (!t->paused && !t->asks)
			top_look(t);
		due = clock_mono_ns() + interval;
	}
	screen_close();
	return more ? CLI_TIMEOUT : CLI_OK;
}

static int once(struct top *t)
{
	AUTO_BUF frame = BUF_INIT;

	top_draw(t, &frame, 0, show_is_terminal(stdout) ? show_width(stdout) : 200, false, show_has_utf8());
	fwrite(frame.data, 1, frame.len, stdout);
	return CLI_OK;
}

int top_command(int argc, char **argv)
{
	struct top *t = xcalloc(1, sizeof *t);
	struct top_conf conf;
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage), r = CLI_USAGE;

	if (first != argc)
		cli_error("top: takes no operands");
	else if (conf.common.json)
		cli_error("top draws for people: errand status --json, errand list --json and errand events --json are for programs");
	else
		r = backend_open(&t->backend, &conf.common);
	if (r == CLI_OK) {
		t->name = target_name(&t->backend.target);
		if (!top_look(t)) {
			cli_error("%s: %s", t->name, t->trouble);
			r = CLI_UNREACHABLE;
		} else {
			r = !conf.once && screen_open() ? live(t, conf.interval) : once(t);
		}
		top_deinit(t);
		backend_close(&t->backend);
	}
	free(t);
	return r;
}
