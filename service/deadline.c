/* deadline.c: see deadline.h. A binary heap, root at 1. Loop thread. */
#include "service/deadline.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "service/loop.h"

static struct deadline **heap; /* owned; [0] unused */
static size_t n_heap, cap_heap;
static struct loop_timer timer;
static int64_t timer_ns = INT64_MAX; /* when the timer fires */

static void place(struct deadline *d, size_t i)
{
	heap[i] = d;
	d->place = i;
}

static void sift_up(size_t i)
{
	struct deadline *d = heap[i];

	for (; i > 1 && heap[i / 2]->at_ns > d->at_ns; i /= 2)
		place(heap[i / 2], i);
	place(d, i);
}

static void sift_down(size_t i)
{
	struct deadline *d = heap[i];

	for (size_t child; (child = i * 2) <= n_heap; i = child) {
		if (child < n_heap && heap[child + 1]->at_ns < heap[child]->at_ns)
			child++;
		if (heap[child]->at_ns >= d->at_ns)
			break;
		place(heap[child], i);
	}
	place(d, i);
}

static void on_timer(void *arg);

static void arm(void)
{
	int64_t at;

	if (n_heap == 0 || heap[1]->at_ns >= timer_ns)
		return;
	at = timer_ns = heap[1]->at_ns;
	loop_timer_start(&timer, at - clock_mono_ns(), on_timer, NULL);
}

static void on_timer(void *arg)
{
	int64_t now = clock_mono_ns();

	timer_ns = INT64_MAX;
	while (n_heap > 0 && heap[1]->at_ns <= now) {
		struct deadline *d = heap[1];

		deadline_drop(d);
		d->fn(d);
	}
	arm();
}

void deadline_set(struct deadline *d, int64_t at_ns, void (*fn)(struct deadline *d))
{
	deadline_drop(d);
	if (n_heap + 2 > cap_heap) {
		cap_heap = cap_heap ? cap_heap * 2 : 64;
		heap = xrealloc(heap, cap_heap * sizeof(struct deadline *));
	}
	d->at_ns = at_ns;
	d->fn = fn;
	place(d, ++n_heap);
	sift_up(n_heap);
	arm();
}

void deadline_drop(struct deadline *d)
{
	size_t i = d->place;
	struct deadline *last;

	if (i == 0)
		return;
	d->place = 0;
	last = heap[n_heap--];
	if (last == d)
		return;
	place(last, i);
	if (i > 1 && heap[i / 2]->at_ns > last->at_ns)
		sift_up(i);
	else
		sift_down(i);
}

int64_t deadline_next(void)
{
	return n_heap > 0 ? heap[1]->at_ns : INT64_MAX;
}

void deadline_deinit(void)
{
	loop_timer_cancel(&timer);
	timer_ns = INT64_MAX;
	for (size_t i = 1; i <= n_heap; i++)
		heap[i]->place = 0;
	free(heap);
	heap = NULL;
	n_heap = cap_heap = 0;
}
