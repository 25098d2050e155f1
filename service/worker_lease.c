/* worker_lease.c: one piece of work, from the call that is to be answered to its answer.
 *
 *   waiting ─▶ given ─▶ answered by its worker ─▶ gone
 *                 ├──▶ the worker is lost: so is the work
 *                 └──▶ told to stop ─ not within the grace ─▶ taken away ─▶ late answer: gone
 *
 * What was taken away has no call any more, so no answer of it counts; but the worker
 * is still busy with it, and is given nothing in its place until it says so. */
#define _GNU_SOURCE
#include "service/worker_impl.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "service/task_api.h"
#include "wire/frame.h"

#define GRACE_NS (10 * NS_PER_S)      /* of calls, as of tasks */
#define MARGIN_NS (2 * NS_PER_S)      /* after the grace, for the worker to say so */
#define FRAME_ROOM 64                 /* for the head of the frame that carries an Order */
enum { BAD_GATEWAY = 502 };

static uint64_t last_number;
static struct map given = MAP_INIT; /* those that a worker has, by number */

static uint64_t new_number(void)
{
	if (last_number == 0)
		last_number = (uint64_t)clock_wall_us(); /* beyond those of a former process */
	return ++last_number;
}

/* --- the order --- */

static Google__Protobuf__Duration duration(int64_t ns)
{
	Google__Protobuf__Duration d = GOOGLE__PROTOBUF__DURATION__INIT;

	d.seconds = ns / NS_PER_S;
	d.nanos = (int32_t)(ns % NS_PER_S);
	return d;
}

/* What an Order's Work points to. */
struct work {
	Errand__V1__Work m;
	Google__Protobuf__Duration timeout;
	Errand__V1__Work__MetadataEntry *entries, **entry_list;
	char **parents;
};

static bool is_text(const char *s)
{
	return json_utf8_valid((const uint8_t *)s, strlen(s)) == strlen(s);
}

/* A client's bytes, which a worker's library would refuse with all the rest. */
static void put_metadata(struct work *w, const struct errand_call *call)
{
	size_t n;
	const struct call_metadata *pairs = call_metadata(call, &n);

	w->entries = xcalloc(n + 1, sizeof *w->entries);
	w->entry_list = xcalloc(n + 1, sizeof *w->entry_list);
	for (size_t i = 0; i < n; i++) {
		Errand__V1__Work__MetadataEntry *e = &w->entries[w->m.n_metadata];

		if (!is_text(pairs[i].key) || !is_text(pairs[i].value))
			continue;
		errand__v1__work__metadata_entry__init(e);
		e->key = (char *)pairs[i].key;
		e->value = (char *)pairs[i].value;
		w->entry_list[w->m.n_metadata++] = e;
	}
	w->m.metadata = w->entry_list;
}

static void put_task(struct work *w, const struct worker_lease *l)
{
	struct bytes checkpoint = call_checkpoint(l->call);
	size_t n = errand_parent_count(l->call);

	w->m.task = (char *)errand_task_id(l->call);
	w->m.attempt = errand_attempt(l->call);
	if (l->use != NULL)
		w->m.queue = l->use->queue->name;
	if (checkpoint.len > 0)
		w->m.checkpoint = google__protobuf__any__unpack(NULL, checkpoint.len, checkpoint.data);
	w->parents = xcalloc(n + 1, sizeof *w->parents);
	for (size_t i = 0; i < n; i++)
		w->parents[i] = (char *)errand_parent_id(l->call, i);
	w->m.n_parents = n;
	w->m.parents = w->parents;
}

static void work_init(struct work *w, const struct worker_lease *l)
{
	int64_t left = errand_time_left(l->call);

	*w = (struct work){.timeout = duration(left)};
	errand__v1__work__init(&w->m);
	w->m.lease = l->number;
	w->m.method = (char *)errand_method_name(l->call);
	w->m.input = (ProtobufCBinaryData){l->input.len, (uint8_t *)l->input.data};
	if (left != INT64_MAX)
		w->m.timeout = &w->timeout;
	put_metadata(w, l->call);
	if (errand_task_id(l->call) != NULL)
		put_task(w, l);
}

static void work_deinit(struct work *w)
{
	if (w->m.checkpoint != NULL)
		google__protobuf__any__free_unpacked(w->m.checkpoint, NULL);
	free(w->entries);
	free(w->entry_list);
	free(w->parents);
}

/* False: it is too large for a frame. */
static bool send_work(struct worker_lease *l)
{
	Errand__V1__Order order = ERRAND__V1__ORDER__INIT;
	struct work w;
	bool fits;

	work_init(&w, l);
	order.order_case = ERRAND__V1__ORDER__ORDER_WORK;
	order.work = &w.m;
	fits = errand__v1__order__get_packed_size(&order) <= FRAME_MAX - FRAME_ROOM;
	if (fits)
		worker_send(l->worker, &order);
	work_deinit(&w);
	return fits;
}

static void send_stop(struct worker_lease *l, int code, int64_t grace_ns)
{
	Errand__V1__Order order = ERRAND__V1__ORDER__INIT;
	Errand__V1__Stop stop = ERRAND__V1__STOP__INIT;
	Google__Protobuf__Duration grace = duration(grace_ns);

	stop.lease = l->number;
	stop.code = code;
	stop.grace = &grace;
	order.order_case = ERRAND__V1__ORDER__ORDER_STOP;
	order.stop = &stop;
	worker_send(l->worker, &order);
}

/* --- stopping --- */

static void log_taken(const struct worker_lease *l)
{
	log_warn("a worker does not stop, its work was taken away", "name=%s worker=%s lease=%llu method=%s task=%s",
		 l->worker->set->name, l->worker->id, (unsigned long long)l->number,
		 errand_method_name(l->call), errand_task_id(l->call) ? errand_task_id(l->call) : "-");
}

/* The grace is over. Its capacity goes first: nobody may claim for it. */
static void take_away(struct deadline *d)
{
	struct worker_lease *l = CONTAINER_OF(d, struct worker_lease, grace);
	struct errand_call *call = l->call;

	log_taken(l);
	l->call = NULL;
	l->worker->n_live--;
	if (l->use != NULL) {
		l->use->n_taken++;
		worker_queue_update(l->use->queue);
	}
	errand_fail(call, call_cancel_code(call), "the worker did not stop within its grace");
	worker_changed(l->worker);
}

void worker_lease_stop(struct worker_lease *l, int code, int64_t grace_ns)
{
	send_stop(l, code, grace_ns);
	if (!deadline_is_set(&l->grace))
		deadline_set(&l->grace, clock_mono_ns() + grace_ns + MARGIN_NS, take_away);
}

static void cancel_waiting(struct worker_lease *l)
{
	int code = call_cancel_code(l->call);

	errand_fail(l->call, code, "%s", code == ERRAND_CANCELLED ? "cancelled before a worker had it" :
		    "no worker was free in time");
	worker_lease_end(l);
}

static void on_cancel(struct errand_call *call, void *arg)
{
	struct worker_lease *l = arg;
	int64_t grace = call_grace_ns(call);

	if (l->worker == NULL)
		cancel_waiting(l);
	else
		worker_lease_stop(l, call_cancel_code(call), grace > 0 ? grace : GRACE_NS);
}

/* --- life --- */

struct worker_lease *worker_lease_new(struct errand_call *call, struct bytes input, struct worker_set *set)
{
	struct worker_lease *l = xcalloc(1, sizeof *l);

	l->number = new_number();
	l->call = call;
	l->input = input;
	l->set = set;
	list_init(&l->node);
	errand_on_cancel(call, on_cancel, l);
	return l;
}

void worker_lease_give(struct worker_lease *l, struct worker *w, struct worker_use *use)
{
	l->worker = w;
	l->set = NULL;
	l->use = use;
	list_push_back(&w->leases, &l->node);
	map_put(&given, &l->number, sizeof l->number, l);
	w->n_live++;
	if (use != NULL)
		use->n_busy++;
	else
		w->n_calls++;
	if (send_work(l))
		return;
	errand_final(l->call);
	errand_fail(l->call, ERRAND_RESOURCE_EXHAUSTED, "the input is too large to be given to a worker");
	worker_lease_end(l);
	worker_changed(w);
}

struct worker_lease *worker_lease_find(const struct worker *w, uint64_t number)
{
	struct worker_lease *l = map_get(&given, &number, sizeof number);

	return l != NULL && l->worker == w ? l : NULL;
}

void worker_lease_end(struct worker_lease *l)
{
	struct worker *w = l->worker;

	deadline_drop(&l->grace);
	list_remove(&l->node);
	if (w == NULL && l->set != NULL)
		l->set->n_waiting--;
	if (w != NULL) {
		map_remove(&given, &l->number, sizeof l->number);
		w->n_live -= l->call != NULL;
	}
	if (w != NULL && l->use == NULL)
		w->n_calls--;
	if (l->use != NULL) {
		l->use->n_busy--;
		l->use->n_taken -= l->call == NULL;
	}
	free(l);
}

/* A call's effects may be there: to HTTP it is 502, which nobody repeats by himself. */
static void fail_call(struct errand_call *call, const char *why)
{
	AUTO_FREE char *text = xasprintf("the worker that ran it is gone: %s", why);
	AUTO_BUF problem = BUF_INIT;

	task_problem_put(&problem, ERRAND_UNAVAILABLE, BAD_GATEWAY, text);
	call_fail_problem(call, ERRAND_UNAVAILABLE, text, buf_bytes(&problem));
}

void worker_lease_lose(struct worker_lease *l, const char *why)
{
	struct errand_call *call = l->call;

	if (call != NULL && errand_task_id(call) != NULL) {
		call_set_lease_lost(call);
		errand_fail(call, ERRAND_UNAVAILABLE, "the worker that ran it is gone: %s", why);
	} else if (call != NULL) {
		fail_call(call, why);
	}
	worker_lease_end(l);
}

void worker_lease_deinit(void)
{
	map_deinit(&given);
}
