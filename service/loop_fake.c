/* loop_fake.c: timers of the loop by a clock that only moves when it is told to, for tests
 * of services (test.c). A list: a test has few. Loop thread. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "service/loop.h"

struct fake {
	struct list node;
	struct loop_timer *timer; /* whose `event` this is */
	int64_t at_ns;
};

static struct list all;

static void drop(struct fake *f)
{
	list_remove(&f->node);
	f->timer->event = NULL;
	free(f);
}

/* An armed one is set anew, behind those of the same moment. */
static void set(struct loop_timer *t, int64_t ns, void (*fn)(void *), void *arg)
{
	struct fake *f;

	if (t->event != NULL)
		drop(t->event);
	if (ns < 0)
		return;
	f = xcalloc(1, sizeof *f);
	f->timer = t;
	if (__builtin_add_overflow(clock_mono_ns(), ns, &f->at_ns))
		f->at_ns = INT64_MAX;
	t->event = f;
	t->fn = fn;
	t->arg = arg;
	list_push_back(&all, &f->node);
}

void loop_fake(bool on)
{
	if (on)
		list_init(&all);
	loop_timer_fake = on ? set : NULL;
}

static struct fake *first(void)
{
	struct fake *best = NULL;

	LIST_FOREACH(node, &all) {
		struct fake *f = LIST_ENTRY(node, struct fake, node);

		if (best == NULL || f->at_ns < best->at_ns)
			best = f;
	}
	return best;
}

int64_t loop_fake_next(void)
{
	const struct fake *f = first();

	return f != NULL ? f->at_ns : INT64_MAX;
}

void loop_fake_fire(void)
{
	struct fake *f;

	while ((f = first()) != NULL && f->at_ns <= clock_mono_ns()) {
		struct loop_timer *t = f->timer;

		drop(f);
		t->fn(t->arg);
	}
}
