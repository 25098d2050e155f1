/* worker.c: see worker.h: one worker, from RegisterWorker to the end of its stream.
 *
 *   REGISTERED ─ Lease ─▶ READY ─ Drain, a newer one, our own stop ─▶ LEAVING ─ all answered ─▶ gone
 *        └─ no stream in time      └─ stream ended, no sign of life ─────┴──────────────────▶ lost */
#define _GNU_SOURCE
#include "service/worker_impl.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

#define STREAM_NS (10 * NS_PER_S)      /* from RegisterWorker to Lease */
#define LEASE_NS (30 * NS_PER_S)       /* if it asks for nothing else */
#define LATE_NS (NS_PER_S / 2)         /* so late is a clock that we have slept through */

static const bool moves[3][3] = {
	[WORKER_REGISTERED] = {[WORKER_READY] = true},
	[WORKER_READY] = {[WORKER_LEAVING] = true},
};

static struct map workers = MAP_INIT;  /* by id */
static size_t n_workers;
bool worker_draining;

size_t worker_count(void)
{
	struct worker *w;
	size_t n = 0;

	for (size_t pos = 0; (w = map_next(&workers, &pos)) != NULL;)
		n += w->stream != NULL;
	return n;
}

size_t worker_n_leases(void)
{
	struct worker *w;
	size_t n = 0;

	for (size_t pos = 0; (w = map_next(&workers, &pos)) != NULL;)
		n += w->n_live;
	return n;
}

struct worker *worker_find(const char *id)
{
	return map_get_str(&workers, id);
}

/* Anything but REGISTERED has a stream. */
static void set_state(struct worker *w, enum worker_state next)
{
	assert(moves[w->state][next] && w->stream != NULL);
	w->state = next;
}

void worker_seen(struct worker *w)
{
	w->seen_ns = clock_mono_ns();
	w->seen_us = clock_wall_us();
}

/* --- signs of life --- */

static void on_deadline(struct deadline *d);

static void watch(struct worker *w)
{
	deadline_set(&w->deadline, w->seen_ns + w->lease_ns, on_deadline);
}

/* If we were stopped ourselves, what it has sent meanwhile is still to be read. */
static void on_deadline(struct deadline *d)
{
	struct worker *w = CONTAINER_OF(d, struct worker, deadline);
	int64_t now = clock_mono_ns();

	if (w->state == WORKER_REGISTERED)
		worker_lose(w, ERRAND_DEADLINE_EXCEEDED, "it did not open its Lease stream");
	else if (now - w->seen_ns < w->lease_ns)
		watch(w);
	else if (now - d->at_ns > LATE_NS)
		deadline_set(d, now + w->lease_ns / 4, on_deadline);
	else
		worker_lose(w, ERRAND_DEADLINE_EXCEEDED, "it gave no sign of life for its lease_duration");
}

/* --- coming --- */

static int64_t duration_ns(const Google__Protobuf__Duration *d)
{
	return d == NULL ? 0 : d->seconds * NS_PER_S + d->nanos;
}

static bool has_use(const struct worker *w, const struct worker_queue *q)
{
	for (size_t i = 0; i < w->n_uses; i++)
		if (w->uses[i].queue == q)
			return true;
	return false;
}

static void add_use(struct worker *w, const char *queue)
{
	struct worker_queue *q = worker_queue_get(queue);
	struct worker_use *u = &w->uses[w->n_uses];

	if (has_use(w, q))
		return;
	*u = (struct worker_use){.worker = w, .queue = q};
	list_push_back(&q->uses, &u->node);
	w->n_uses++;
}

/* Those of its services, and its own: others of its name may take from others. */
static void add_uses(struct worker *w, const Errand__V1__RegisterWorkerRequest *in)
{
	const struct worker_queues *all = &w->set->queues;

	w->uses = xcalloc(all->n_services + in->n_queues + 1, sizeof *w->uses);
	for (size_t i = 0; i < all->n_services; i++)
		add_use(w, all->names[i]);
	for (size_t i = 0; i < in->n_queues; i++)
		add_use(w, in->queues[i]);
}

struct worker *worker_new(struct worker_set *set, unsigned version,
			  const Errand__V1__RegisterWorkerRequest *in)
{
	struct worker *w;
	struct uuid id;

	if (n_workers >= WORKER_MAX)
		return NULL;
	w = xcalloc(1, sizeof *w);
	uuid_new(&id);
	uuid_format(&id, w->id);
	w->set = set;
	w->version = version;
	w->tasks = in->tasks ? in->tasks : 1;
	w->calls = in->calls ? in->calls : 16;
	w->pid = in->pid;
	w->lease_ns = in->lease_duration ? duration_ns(in->lease_duration) : LEASE_NS;
	w->connect_us = clock_wall_us();
	list_init(&w->leases);
	list_push_back(&set->workers, &w->node);
	map_put_str(&workers, w->id, w);
	n_workers++;
	add_uses(w, in);
	worker_seen(w);
	deadline_set(&w->deadline, w->seen_ns + STREAM_NS, on_deadline);
	return w;
}

static void on_gone(struct errand_call *call, void *arg)
{
	worker_lose(arg, ERRAND_CANCELLED, "its Lease stream ended");
}

/* Those of its name that brought something else make room for it. */
static void replace_others(struct worker *w)
{
	struct worker_set *set = w->set;

	LIST_FOREACH(node, &set->workers) {
		struct worker *other = LIST_ENTRY(node, struct worker, node);

		if (other->version != set->version && other->state != WORKER_LEAVING)
			worker_leave(other, "a newer worker of this name has registered", false);
	}
}

void worker_open(struct worker *w, struct errand_call *stream)
{
	w->stream = stream;
	set_state(w, WORKER_READY);
	worker_seen(w);
	watch(w);
	log_info("worker connected", "name=%s worker=%s pid=%d queues=%zu", w->set->name, w->id, w->pid,
		 w->n_uses);
	errand_on_cancel(stream, on_gone, w);
	if (w->version != w->set->version) {
		worker_leave(w, "a newer worker of this name has registered", false);
		return;
	}
	replace_others(w);
	worker_changed(w);
}

/* --- orders --- */

static void update_queues(struct worker *w)
{
	for (size_t i = 0; i < w->n_uses; i++)
		worker_queue_update(w->uses[i].queue);
}

static void on_ready(struct errand_call *call, void *arg)
{
	struct worker *w = arg;

	w->blocked = false;
	worker_changed(w);
}

bool worker_send(struct worker *w, const Errand__V1__Order *order)
{
	int r = errand_stream_send(w->stream, &order->base);

	if (r == 0)
		return true;
	w->blocked = true; /* for good if r < 0: its end follows */
	if (r == 1)
		errand_stream_on_ready(w->stream, on_ready, w);
	update_queues(w);
	return false;
}

/* --- going --- */

/* Out of all lists; w itself lives on. */
static void take_out(struct worker *w)
{
	deadline_drop(&w->deadline);
	list_remove(&w->node);
	map_remove_str(&workers, w->id);
	n_workers--;
	for (size_t i = 0; i < w->n_uses; i++)
		list_remove(&w->uses[i].node);
}

static void worker_free(struct worker *w)
{
	free(w->uses);
	free(w);
}

static bool any_left(const struct worker_set *set)
{
	LIST_FOREACH(node, &set->workers)
		if (LIST_ENTRY(node, struct worker, node)->state == WORKER_READY)
			return true;
	return false;
}

static void say_nobody(struct worker_set *set)
{
	AUTO_FREE char *why = xasprintf("no worker %s is connected", set->name);

	if (!any_left(set))
		worker_run_refuse(set, why);
}

/* Slots first: what is given back by the calls that end must not be claimed for it. */
void worker_lose(struct worker *w, int code, const char *why)
{
	struct worker_set *set = w->set;
	unsigned n = w->n_live;

	take_out(w);
	update_queues(w);
	while (!list_empty(&w->leases))
		worker_lease_lose(LIST_ENTRY(w->leases.next, struct worker_lease, node), why);
	if (w->stream != NULL)
		errand_fail(w->stream, code, "the worker is gone: %s", why);
	log_write(n > 0 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "worker gone", "name=%s worker=%s lost=%u reason=\"%s\"",
		  set->name, w->id, n, why);
	worker_free(w);
	say_nobody(set);
}

/* It has answered all it had. */
static void go(struct worker *w)
{
	struct worker_set *set = w->set;

	take_out(w);
	update_queues(w);
	while (!list_empty(&w->leases))
		worker_lease_end(LIST_ENTRY(w->leases.next, struct worker_lease, node));
	errand_stream_end(w->stream);
	log_info("worker has left", "name=%s worker=%s", set->name, w->id);
	worker_free(w);
	say_nobody(set);
}

void worker_leave(struct worker *w, const char *reason, bool again)
{
	Errand__V1__Order order = ERRAND__V1__ORDER__INIT;
	Errand__V1__Leave leave = ERRAND__V1__LEAVE__INIT;

	if (w->state != WORKER_READY)
		return; /* told when its stream is there, or told before */
	leave.reason = (char *)reason;
	leave.again = again;
	order.order_case = ERRAND__V1__ORDER__ORDER_LEAVE;
	order.leave = &leave;
	worker_send(w, &order);
	set_state(w, WORKER_LEAVING);
	worker_changed(w);
}

void worker_changed(struct worker *w)
{
	if (w->state == WORKER_LEAVING && w->n_live == 0) {
		go(w);
		return;
	}
	update_queues(w);
	if (worker_takes(w))
		worker_run_waiting(w->set);
}

/* --- our own end --- */

static void each_worker(void (*fn)(struct worker *w))
{
	struct worker_set *set;

	for (size_t pos = 0; (set = worker_set_next(&pos)) != NULL;) {
		LIST_FOREACH(node, &set->workers)
			fn(LIST_ENTRY(node, struct worker, node));
	}
}

static void drain_one(struct worker *w)
{
	if (w->state == WORKER_REGISTERED)
		worker_lose(w, ERRAND_UNAVAILABLE, "the service is stopping");
	else
		worker_leave(w, "the service is stopping", true);
}

void worker_drain_begin(void)
{
	struct worker_set *set;

	worker_draining = true;
	each_worker(drain_one);
	for (size_t pos = 0; (set = worker_set_next(&pos)) != NULL;)
		worker_run_refuse(set, "the service is stopping");
}

static void stop_one(struct worker *w)
{
	LIST_FOREACH(node, &w->leases) {
		struct worker_lease *l = LIST_ENTRY(node, struct worker_lease, node);

		if (l->call != NULL)
			worker_lease_stop(l, ERRAND_CANCELLED, 0);
	}
}

void worker_stop_all(void)
{
	each_worker(stop_one);
}

static void end_one(struct worker *w)
{
	worker_lose(w, ERRAND_UNAVAILABLE, "the service has stopped");
}

void worker_deinit(void)
{
	each_worker(end_one);
	worker_set_deinit();
	worker_queue_deinit();
	worker_lease_deinit();
	map_deinit(&workers);
	worker_draining = false;
}
