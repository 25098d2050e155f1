/* readiness.c: see readiness.h. */
#define _GNU_SOURCE
#include "service/readiness.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "service/loop.h"
#include "service/store.h"
#include "service/store_thread.h"

static struct {
	struct loop_timer timer;
	struct store_op op;
	bool trying;           /* op is the store's */
	char trouble[256];
	void (*changed)(void);
} r;

/* Written and gone again in one transaction: nobody ever sees it. */
static int try_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct record record = {.kind = RECORD_META};
	int code;

	buf_append_str(&record.key, "readiness");
	buf_append_str(&record.data, "?");
	code = ops->put_record(s, &record);
	if (code == 0)
		code = ops->remove_record(s, RECORD_META, buf_bytes(&record.key));
	record_deinit(&record);
	return code;
}

static void try_done(struct store_op *op, int code)
{
	r.trying = false;
}

static void try_write(void)
{
	if (r.trying)
		return;
	r.op = (struct store_op){.run = try_run, .done = try_done, .writes = true};
	r.trying = true;
	store_thread_submit(&r.op);
}

static void look(void *arg)
{
	bool ok = store_thread_ok(), was = r.trouble[0] == '\0';
	char why[200];

	loop_timer_start(&r.timer, NS_PER_S, look, NULL);
	if (!ok)
		try_write();
	if (ok == was)
		return;
	r.trouble[0] = '\0';
	if (!ok) {
		store_thread_error(why, sizeof why);
		snprintf(r.trouble, sizeof r.trouble, "the store takes no writes: %s", why);
	}
	if (r.changed != NULL)
		r.changed();
}

void readiness_start(void)
{
	loop_timer_start(&r.timer, NS_PER_S, look, NULL);
}

void readiness_on_change(void (*changed)(void))
{
	r.changed = changed;
}

void readiness_stop(void)
{
	loop_timer_cancel(&r.timer);
}

const char *readiness_trouble(void)
{
	return r.trouble;
}
