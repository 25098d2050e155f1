/* task_live.c: see task_live.h. Publishing only appends to the ring; a job of the loop
 * then walks the watchers that have something to read, a bounded number of events a
 * turn, so that neither a burst nor many watchers keep the loop. */
#include "service/task_live.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/pbuf.h"
#include "service/loop.h"
#include "service/task_engine.h"
#include "service/task_pack.h"

#define LINGER_NS (300 * NS_PER_S) /* the ring is kept after the last watcher has left */
#define TURN_EVENTS 1024           /* looked at in one turn of the loop, by all watchers */
#define WATCHER_EVENTS 64          /* and by one of them in its turn */

/* A task as a move left it; shared by the events of that move. */
struct live_row {
	unsigned refs;
	struct task_row *row;
};

struct live_event {
	struct live_row *row;
	struct buf wire;
};

struct task_live {
	struct list node;     /* in ready, waiting or paused */
	struct task_filter *filter;
	uint64_t seen;        /* number of the last event looked at */
	bool lost;            /* a reset is due */
	bool calling, dead;   /* inside a callback; let go there */
	const struct task_live_ops *ops;
	void *arg;
};

static struct live {
	struct live_event *ring; /* TASK_LIVE_EVENTS of them while it is kept */
	uint64_t base, head;  /* the ring has the numbers base + 1 to head */
	size_t bytes;
	uint32_t boot;
	struct list ready;    /* watchers that may read */
	struct list waiting;  /* watchers that have read everything */
	struct list paused;   /* watchers whose clients do not read */
	size_t n_watchers;
	struct loop_job job;
	bool posted;
	struct loop_timer linger;
} live = {.ready = LIST_INIT(live.ready), .waiting = LIST_INIT(live.waiting),
	  .paused = LIST_INIT(live.paused)};

atomic_bool task_live_on;

/* --- the ring --- */

static void row_unref(struct live_row *r)
{
	if (--r->refs > 0)
		return;
	task_live_row_free(r->row);
	free(r);
}

static struct live_event *slot(uint64_t number)
{
	return &live.ring[number % TASK_LIVE_EVENTS];
}

static size_t event_bytes(const struct live_event *e)
{
	return e->wire.cap + sizeof *e + sizeof *e->row + e->row->row->options.cap;
}

static void drop_oldest(void)
{
	struct live_event *e = slot(++live.base);

	live.bytes -= event_bytes(e);
	buf_deinit(&e->wire);
	row_unref(e->row);
	*e = (struct live_event){0};
}

/* A number is left out, so that nobody who comes back with the last one believes that
 * nothing happened while no ring was kept. */
static void ring_start(void)
{
	struct uuid random;

	if (live.boot == 0) {
		uuid_new(&random);
		memcpy(&live.boot, random.b + 12, sizeof live.boot);
	}
	live.ring = xcalloc(TASK_LIVE_EVENTS, sizeof *live.ring);
	live.base = ++live.head;
	atomic_store(&task_live_on, true);
}

static void ring_stop(void *arg)
{
	atomic_store(&task_live_on, false);
	while (live.base < live.head)
		drop_oldest();
	free(live.ring);
	live.ring = NULL;
}

static char *format_id(uint64_t number, char out[TASK_LIVE_ID_SIZE])
{
	snprintf(out, TASK_LIVE_ID_SIZE, "%08x-%llu", live.boot, (unsigned long long)number);
	return out;
}

/* False: it is none of the ring's. */
static bool parse_id(const char *text, uint64_t *out)
{
	unsigned long long number = 0;
	char id[TASK_LIVE_ID_SIZE];

	if (sscanf(text, "%*8[0-9a-f]-%20llu", &number) != 1)
		return false;
	*out = number;
	return strcmp(format_id(number, id), text) == 0 && number >= live.base && number <= live.head;
}

/* --- what happened --- */

static void put_event(struct buf *wire, const struct task_change *c, const struct event_row *e)
{
	static const char *const kinds[] = {
		[EVENT_STATE] = "state", [EVENT_PROGRESS] = "progress",
		[EVENT_LOG] = "log", [EVENT_RESULT] = "result",
	};
	AUTO_BUF time = BUF_INIT;
	char id[UUID_TEXT_SIZE];

	pbuf_put_uint(wire, 1, e->seq);
	pbuf_put_str(wire, 2, kinds[e->kind]);
	pbuf_put_uint(&time, 1, (uint64_t)(e->time_us / US_PER_S));
	pbuf_put_uint(&time, 2, (uint64_t)(e->time_us % US_PER_S * 1000));
	pbuf_put_bytes(wire, 3, time.data, time.len);
	pbuf_put_str(wire, 4, uuid_format(&c->id, id));
	buf_append(wire, e->data.data, e->data.len);
	pbuf_put_str(wire, 12, c->method);
	pbuf_put_str(wire, 13, c->queue);
}

int task_live_row(const struct store_ops *ops, struct store *s, const struct task_row *row,
		  struct task_row **out)
{
	struct task_row *copy = xcalloc(1, sizeof *copy);
	int r = 0;

	*copy = *row;
	copy->method = xstrdup(row->method);
	copy->queue = xstrdup(row->queue);
	copy->schedule = row->schedule ? xstrdup(row->schedule) : NULL;
	copy->progress_message = NULL;
	copy->input = copy->result = copy->error = copy->metadata = BUF_INIT;
	copy->options = copy->checkpoint = copy->detail = BUF_INIT;
	if (row->flags & TASK_HAS_LABELS && row->options.len > 0) {
		buf_append(&copy->options, row->options.data, row->options.len);
	} else if (row->flags & TASK_HAS_LABELS) {
		struct task_row whole = {0};

		r = ops->get(s, &row->id, PART_OPTIONS, &whole);
		buf_append(&copy->options, whole.options.data, whole.options.len);
		task_row_deinit(&whole);
	}
	*out = copy;
	return r;
}

struct task_row *task_live_row_free(struct task_row *row)
{
	if (row != NULL)
		task_row_deinit(row);
	free(row);
	return NULL;
}

/* What the change knows itself, when it was made before the ring was. */
static struct live_row *row_of(struct task_change *c)
{
	struct task_row bare = {.id = c->id, .method = c->method, .queue = c->queue, .state = c->is};
	struct live_row *r = xcalloc(1, sizeof *r);

	r->refs = 1;
	if (c->row == NULL)
		task_live_row(NULL, NULL, &bare, &c->row);
	r->row = c->row;
	c->row = NULL;
	return r;
}

static void add_event(const struct task_change *c, const struct event_row *event,
		      struct live_row *row)
{
	struct live_event *e;

	if (live.head - live.base == TASK_LIVE_EVENTS)
		drop_oldest();
	e = slot(++live.head);
	row->refs++;
	e->row = row;
	put_event(&e->wire, c, event);
	live.bytes += event_bytes(e);
	while (live.bytes > TASK_LIVE_BYTES && live.head - live.base > 1)
		drop_oldest();
}

/* It is not among the rows: the store does not keep it. */
static void add_creation(const struct task_change *c, struct live_row *row)
{
	struct event_row e = {.seq = 1, .kind = EVENT_STATE, .time_us = row->row->create_us};

	if (e.time_us == 0)
		e.time_us = clock_wall_us();
	task_pack_created(c->flags, &e.data);
	add_event(c, &e, row);
	event_row_deinit(&e);
}

static void pump_post(void)
{
	if (!live.posted)
		loop_post(&live.job);
	live.posted = true;
}

static void wake_all(void)
{
	if (list_empty(&live.waiting))
		return;
	list_splice(&live.ready, &live.waiting);
	pump_post();
}

void task_live_publish(struct task_change *c)
{
	struct live_row *row;

	if (live.ring == NULL || (c->n == 0 && c->was != 0))
		return;
	row = row_of(c);
	if (c->was == 0)
		add_creation(c, row);
	for (size_t i = 0; i < c->n; i++)
		add_event(c, &c->rows[i], row);
	row_unref(row);
	wake_all();
}

/* --- watchers --- */

/* False: it is gone or paused. */
static bool called(struct task_live *w, bool more)
{
	w->calling = false;
	if (w->dead) {
		free(w);
		return false;
	}
	if (!more)
		list_push_back(&live.paused, &w->node);
	return more;
}

static bool give_reset(struct task_live *w)
{
	char id[TASK_LIVE_ID_SIZE];

	w->lost = false;
	w->seen = live.head;
	w->calling = true;
	return called(w, w->ops->reset(format_id(live.head, id), w->arg));
}

static bool give_event(struct task_live *w, uint64_t number)
{
	const struct live_event *e = slot(number);
	char id[TASK_LIVE_ID_SIZE];

	w->seen = number;
	if (!task_filter_match(w->filter, e->row->row))
		return true;
	w->calling = true;
	return called(w, w->ops->event(format_id(number, id), buf_bytes(&e->wire), w->arg));
}

/* At most n events; how many were looked at, at least 1 (a watcher costs, too). It goes
 * where it belongs. */
static size_t pump_one(struct task_live *w, size_t n)
{
	size_t looked = 0;
	bool more = true;

	w->lost = w->lost || w->seen < live.base;
	if (w->lost)
		more = give_reset(w);
	for (; more && looked < n && w->seen < live.head; looked++)
		more = give_event(w, w->seen + 1);
	if (more)
		list_push_back(w->seen < live.head ? &live.ready : &live.waiting, &w->node);
	return MAX(looked, 1);
}

static void pump(struct loop_job *job)
{
	size_t left = TURN_EVENTS;

	live.posted = false;
	while (left > 0 && !list_empty(&live.ready)) {
		struct task_live *w = LIST_ENTRY(list_pop_front(&live.ready), struct task_live, node);

		left -= pump_one(w, MIN(left, WATCHER_EVENTS));
	}
	if (!list_empty(&live.ready))
		pump_post();
}

struct task_live *task_live_watch(const char *after, struct task_filter *filter,
				  const struct task_live_ops *ops, void *arg)
{
	struct task_live *w = xcalloc(1, sizeof *w);

	live.job.run = pump;
	loop_timer_cancel(&live.linger);
	if (live.ring == NULL)
		ring_start();
	live.n_watchers++;
	w->filter = filter;
	w->ops = ops;
	w->arg = arg;
	w->seen = live.head;
	w->lost = after != NULL && *after != 0 && !parse_id(after, &w->seen);
	list_push_back(&live.ready, &w->node);
	pump_post();
	return w;
}

void task_live_more(struct task_live *w)
{
	list_remove(&w->node);
	list_push_back(&live.ready, &w->node);
	pump_post();
}

void task_live_unwatch(struct task_live *w)
{
	list_remove(&w->node);
	w->filter = task_filter_free(w->filter);
	if (--live.n_watchers == 0)
		loop_timer_start(&live.linger, LINGER_NS, ring_stop, NULL);
	if (w->calling)
		w->dead = true;
	else
		free(w);
}

static void end_list(struct list *watchers)
{
	while (!list_empty(watchers)) {
		struct task_live *w = LIST_ENTRY(watchers->next, struct task_live, node);
		const struct task_live_ops *ops = w->ops;
		void *arg = w->arg;

		task_live_unwatch(w);
		ops->ended(arg);
	}
}

void task_live_end_all(void)
{
	end_list(&live.ready);
	end_list(&live.waiting);
	end_list(&live.paused);
	loop_timer_cancel(&live.linger);
	if (live.ring != NULL)
		ring_stop(NULL);
}
