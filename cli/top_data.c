/* top_data.c: what `errand top` shows: asked for in four calls, every time anew. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/top_impl.h"

#define PATIENCE (2 * NS_PER_S)

/* --- asking --- */

static struct errand_reply *ask(struct top *t, const char *service, const char *method, const struct buf *in)
{
	struct errand_call_options o = {.timeout_ns = PATIENCE};
	struct errand_reply *reply = NULL;
	int r = backend_ask(&t->backend, service, method, in, &o, &reply);

	if (r == 0 && reply->code == ERRAND_OK)
		return reply;
	if (r == -ERRAND_DEADLINE_EXCEEDED)
		snprintf(t->trouble, sizeof t->trouble, "no answer within %d s", (int)(PATIENCE / NS_PER_S));
	else
		snprintf(t->trouble, sizeof t->trouble, "%s", r < 0 ? backend_error(&t->backend) : reply->message);
	if (r == -ERRAND_UNAVAILABLE)
		backend_retry(&t->backend, PATIENCE);
	return errand_reply_free(reply);
}

static struct bytes payload(const struct errand_reply *r)
{
	return (struct bytes){r->payload, r->payload_len};
}

/* From the attempts that have ended since the frame before; the service's own mean at first. */
static void take_queues(struct top *t, struct bytes wire)
{
	struct figures_queue before[TOP_QUEUES];
	double s = (double)(clock_mono_ns() - t->looked_ns) / (double)NS_PER_S;
	size_t n = t->n_queues;

	memcpy(before, t->queues, sizeof before);
	t->n_queues = MIN(figures_queues(wire, t->queues, TOP_QUEUES), TOP_QUEUES);
	for (size_t i = 0; i < t->n_queues; i++) {
		t->rates[i] = t->queues[i].done;
		for (size_t k = 0; t->has_data && s > 0 && k < n; k++)
			if (strcmp(before[k].name, t->queues[i].name) == 0 && t->queues[i].ended >= before[k].ended)
				t->rates[i] = (double)(t->queues[i].ended - before[k].ended) / s;
	}
}

static void take_tasks(struct top *t, struct bytes wire)
{
	struct pbuf_reader r = pbuf_reader(wire.data, wire.len);
	struct pbuf_field f;
	size_t n = 0;

	t->more_tasks = false;
	while (pbuf_next(&r, &f))
		if (f.number == 1 && n < TOP_TASKS && task_view_load(&t->tasks[n], f.bytes))
			n++;
		else if (f.number == 2)
			t->more_tasks = f.bytes.len > 0;
	for (size_t i = n; i < t->n_tasks; i++)
		task_view_deinit(&t->tasks[i]);
	for (size_t i = n; i < t->n_tasks; i++)
		t->tasks[i] = (struct task_view){0};
	t->n_tasks = n;
}

bool top_look(struct top *t)
{
	struct errand_reply *server, *queues = NULL, *tasks = NULL, *workers = NULL;
	AUTO_BUF none = BUF_INIT, running = BUF_INIT;
	bool good;

	pbuf_put_str(&running, 6, "state = RUNNING OR state = CANCELLING");
	pbuf_put_uint(&running, 5, TOP_TASKS);
	server = ask(t, "errand.v1.Servers", "GetServer", &none);
	if (server != NULL)
		queues = ask(t, "errand.v1.Queues", "ListQueues", &none);
	if (queues != NULL)
		workers = ask(t, "errand.v1.Workers", "ListWorkers", &none);
	if (workers != NULL)
		tasks = ask(t, TASKS_SERVICE, "ListTasks", &running);
	good = tasks != NULL;
	if (good) {
		figures_server(payload(server), &t->server);
		take_queues(t, payload(queues));
		t->n_workers = MIN(figures_workers(payload(workers), t->workers, TOP_WORKERS), TOP_WORKERS);
		take_tasks(t, payload(tasks));
		t->has_data = true;
		t->trouble[0] = '\0';
		t->looked_ns = clock_mono_ns();
		t->looked_us = clock_wall_us();
	}
	errand_reply_free(server);
	errand_reply_free(queues);
	errand_reply_free(workers);
	errand_reply_free(tasks);
	top_order(t);
	return good;
}

void top_deinit(struct top *t)
{
	for (size_t i = 0; i < t->n_tasks; i++)
		task_view_deinit(&t->tasks[i]);
	t->n_tasks = 0;
}

/* --- order --- */

static int by_id(const struct task_view *a, const struct task_view *b)
{
	return strcmp(a->id, b->id);
}

static int by_age(const struct task_view *a, const struct task_view *b)
{
	return a->start_us != b->start_us ? (a->start_us > b->start_us) - (a->start_us < b->start_us) : by_id(a, b);
}

static int by_progress(const struct task_view *a, const struct task_view *b)
{
	return a->fraction > b->fraction ? -1 : a->fraction < b->fraction ? 1 : by_id(a, b);
}

static int by_queue(const struct task_view *a, const struct task_view *b)
{
	int r = strcmp(a->queue, b->queue);

	return r != 0 ? r : by_age(a, b);
}

static int by_method(const struct task_view *a, const struct task_view *b)
{
	int r = strcmp(a->method, b->method);

	return r != 0 ? r : by_age(a, b);
}

static const struct {
	const char *name;
	int (*compare)(const struct task_view *a, const struct task_view *b);
} sorts[N_SORTS] = {
	[SORT_AGE] = {"age", by_age},
	[SORT_PROGRESS] = {"progress", by_progress},
	[SORT_QUEUE] = {"queue", by_queue},
	[SORT_METHOD] = {"method", by_method},
};

static int compare(const void *a, const void *b, void *arg)
{
	const struct top *t = arg;

	return sorts[t->sort].compare(a, b);
}

void top_order(struct top *t)
{
	if (t->n_tasks > 0)
		qsort_r(t->tasks, t->n_tasks, sizeof t->tasks[0], compare, t);
}

const char *top_sort_name(enum top_sort sort)
{
	return sorts[sort].name;
}

/* --- the selected one --- */

size_t top_selected(struct top *t)
{
	for (size_t i = 0; i < t->n_tasks; i++)
		if (strcmp(t->tasks[i].id, t->selected) == 0)
			return i;
	top_select(t, 0);
	return 0;
}

void top_select(struct top *t, size_t index)
{
	if (t->n_tasks == 0)
		t->selected[0] = '\0';
	else
		snprintf(t->selected, sizeof t->selected, "%s", t->tasks[MIN(index, t->n_tasks - 1)].id);
}

void top_cancel(struct top *t)
{
	struct errand_call_options o = {.timeout_ns = PATIENCE};
	struct errand_reply *reply = NULL;
	AUTO_BUF in = BUF_INIT;
	int r;

	pbuf_put_str(&in, 1, t->selected);
	r = backend_ask(&t->backend, TASKS_SERVICE, "CancelTask", &in, &o, &reply);
	if (r == 0 && reply->code == ERRAND_OK)
		snprintf(t->said, sizeof t->said, "task %s was asked to stop", t->selected);
	else
		snprintf(t->said, sizeof t->said, "not cancelled: %.200s", r < 0 ? backend_error(&t->backend) : reply->message);
	errand_reply_free(reply);
}
