/* hook_flight.c: one attempt of a delivery: its task is read and becomes the body, the
 * transport sends it, the outcome is written. */
#define _GNU_SOURCE
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/trace.h"
#include "config.h"
#include "errand/status.h"
#include "schema/transcode.h"
#include "service/hook_engine.h"
#include "service/loop.h"
#include "service/metrics.h"
#include "service/registry.h"
#include "service/task_clock.h"
#include "service/task_run.h"

#define GONE 410
#define GONE_EXTRA_US (30 * 86400 * US_PER_S) /* a task's endpoint is remembered, beyond keep */

/* Flights the transport is done with, on their way to the loop. */
static struct {
	pthread_mutex_t lock; /* guards list, posted, closed */
	struct list list;
	bool posted, closed;
	struct loop_job job;
} finished = {.lock = PTHREAD_MUTEX_INITIALIZER};

void hook_flight_free(struct hook_flight *f)
{
	map_remove(&hooks.taken, f->d.key, sizeof f->d.key);
	hooks.n_taken--;
	if (f->begun) {
		f->host->n_flight--;
		hooks.n_flight--;
	}
	hook_delivery_deinit(&f->d);
	buf_deinit(&f->task);
	buf_deinit(&f->body);
	for (size_t i = 0; i < ARRAY_LEN(f->headers); i++)
		free(f->headers[i]);
	free(f);
}

void hook_flight_take(struct hook_delivery *d)
{
	struct hook_flight *f = xcalloc(1, sizeof *f);
	int r = hook_url_check(&hooks.rules, d->url, &f->where, f->why, sizeof f->why);

	f->d = *d;
	*d = (struct hook_delivery){0};
	if (r == 0)
		f->why[0] = 0;
	f->host = hook_host_get(&f->where);
	map_put(&hooks.taken, f->d.key, sizeof f->d.key, f);
	hooks.n_taken++;
	list_push_back(&f->host->waiting, &f->node);
	f->host->n_waiting++;
}

/* --- the outcome --- */

static bool delivered(const struct hook_flight *f)
{
	return f->send.status >= 200 && f->send.status <= 299;
}

static void set_error(struct hook_delivery *d, const struct hook_flight *f)
{
	const char *why = f->why[0] ? f->why : f->send.error;

	free(d->error);
	if (f->gone)
		d->error = xstrdup("the endpoint has said that it is gone (410)");
	else if (f->send.status >= 300 && f->send.status <= 399)
		d->error = xasprintf("answered %d: redirects are not followed", f->send.status);
	else if (f->send.status != 0)
		d->error = xasprintf("answered %d %s", f->send.status, err_http_reason(f->send.status));
	else
		d->error = xstrdup(why);
}

/* After a failed attempt: again, or never. */
static void set_next(struct hook_delivery *d, const struct hook_flight *f)
{
	int64_t wait = f->gone || f->send.status == GONE ? -1 :
		hook_schedule_wait(&hooks.config.schedule, d->attempt - d->before,
				   MIN(f->send.retry_after_s, 86400) * US_PER_S, task_run_random());

	if (wait >= 0) {
		d->due_us = task_clock_us() + wait;
		return;
	}
	d->state = HOOK_DEAD;
	d->end_us = clock_wall_us();
	d->due_us = task_clock_us() + hooks.config.keep_ns / 1000;
}

static int remember_endpoint(const struct store_ops *ops, struct store *s, struct hook_flight *f)
{
	int64_t until = f->d.queue != NULL ? 0 :
			task_clock_us() + hooks.config.keep_ns / 1000 + GONE_EXTRA_US;

	if (f->send.status == GONE)
		return hook_put_gone(ops, s, &f->d, until);
	return delivered(f) ? hook_remove_gone(ops, s, &f->d) : 0;
}

static int record_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct hook_flight *f = CONTAINER_OF(op, struct hook_flight, op);
	struct hook_delivery d;
	int r = hook_get(ops, s, f->d.key, &d);

	if (r < 0)
		return r == -ERRAND_NOT_FOUND ? 0 : r;
	d.status = f->send.status;
	if (!f->gone) {
		d.attempt++;
		d.last_us = f->begun_us;
	}
	if (delivered(f)) {
		d.state = HOOK_DELIVERED;
		d.end_us = clock_wall_us();
		d.due_us = task_clock_us() + hooks.config.keep_ns / 1000;
		free(d.error);
		d.error = NULL;
	} else {
		set_error(&d, f);
		set_next(&d, f);
	}
	r = hook_put(ops, s, &d);
	if (r == 0)
		r = remember_endpoint(ops, s, f);
	hook_delivery_deinit(&f->d);
	f->d = d;
	return r;
}

/* The host's name and the id only: URLs have secrets in them. */
static void tell(const struct hook_flight *f)
{
	char id[HOOK_ID_SIZE], task[UUID_TEXT_SIZE];
	struct uuid of;
	const struct log_ids ids = {.task = task, .traceparent = f->d.traceparent};

	hook_id_format(f->d.key, id);
	memcpy(of.b, f->d.key, sizeof of.b); /* hook_key's */
	uuid_format(&of, task);
	prom_count(&metrics.deliveries[f->d.state == HOOK_DELIVERED ? DELIVERY_OK :
				       f->d.state == HOOK_DEAD ? DELIVERY_GIVEN_UP : DELIVERY_FAILED]);
	log_ids_set(&ids);
	if (f->d.state == HOOK_DELIVERED)
		log_debug("callback delivered", "delivery=%s host=%s status=%d attempt=%u", id, f->host->name,
			  f->send.status, f->d.attempt);
	else if (f->d.state == HOOK_DEAD)
		log_warn("callback given up", "delivery=%s host=%s attempt=%u error=\"%s\"", id, f->host->name,
			 f->d.attempt, f->d.error ? f->d.error : "");
	else
		log_info("callback failed", "delivery=%s host=%s attempt=%u error=\"%s\"", id, f->host->name,
			 f->d.attempt, f->d.error ? f->d.error : "");
	log_ids_clear();
}

static void record_done(struct store_op *op, int code)
{
	struct hook_flight *f = CONTAINER_OF(op, struct hook_flight, op);

	int64_t due_us = code == 0 ? f->d.due_us : task_clock_us() + US_PER_S;

	if (code == 0)
		tell(f);
	hook_flight_free(f);
	hook_host_pump_all();
	if (due_us != 0)
		hook_look_at(due_us);
}

static void record(struct hook_flight *f)
{
	f->op = (struct store_op){.run = record_run, .done = record_done, .writes = true,
				  .finishes = true};
	store_thread_submit(&f->op);
}

/* A host that answers works, unless it says that it does not. */
static void mind_host(struct hook_flight *f)
{
	struct hook_host *h = f->host;
	bool works = f->gone || f->lost || f->send.refused || f->why[0] ||
		     (f->send.status != 0 && f->send.status < 500);

	if (f->send.done != NULL)
		h->takes_us += (clock_wall_us() - f->begun_us - h->takes_us) / 4;
	h->takes_us = MAX(MIN(h->takes_us, 60 * US_PER_S), 1000);
	if (hook_breaker_end(&h->breaker, &hooks.config.breaker, works, task_clock_us())) {
		prom_count(&metrics.delivery_pauses);
		log_warn("callbacks to a host pause: it does not work", "host=%s failures=%u seconds=%lld",
			 h->name, h->breaker.failures, (long long)(h->breaker.pause_us / US_PER_S));
	}
}

static void on_finished(struct loop_job *job)
{
	struct list list, *node;

	list_init(&list);
	pthread_mutex_lock(&finished.lock);
	list_splice(&list, &finished.list);
	finished.posted = false;
	pthread_mutex_unlock(&finished.lock);
	while ((node = list_pop_front(&list)) != NULL) {
		struct hook_flight *f = LIST_ENTRY(node, struct hook_flight, node);

		mind_host(f);
		record(f);
	}
}

/* The transport's thread. */
static void on_sent(struct hook_send *s)
{
	struct hook_flight *f = CONTAINER_OF(s, struct hook_flight, send);
	bool post;

	pthread_mutex_lock(&finished.lock);
	list_push_back(&finished.list, &f->node);
	post = !finished.posted && !finished.closed;
	finished.posted = finished.posted || post;
	pthread_mutex_unlock(&finished.lock);
	if (post)
		loop_post(&finished.job);
}

void hook_flight_init(void)
{
	list_init(&finished.list);
	finished.posted = finished.closed = false;
	finished.job.run = on_finished;
}

/* After the transport's end: what it brought is written, what it broke off comes again. */
void hook_flight_stop(void)
{
	struct list *node;

	pthread_mutex_lock(&finished.lock);
	finished.closed = true;
	pthread_mutex_unlock(&finished.lock);
	while ((node = list_pop_front(&finished.list)) != NULL) {
		struct hook_flight *f = LIST_ENTRY(node, struct hook_flight, node);

		if (f->send.status != 0)
			record(f);
		else
			hook_flight_free(f);
	}
}

/* --- sending --- */

static bool may_dial(struct hook_send *s, const struct sockaddr *address, char *why, size_t why_size)
{
	const struct hook_flight *f = CONTAINER_OF(s, struct hook_flight, send);

	return hook_address_check(&hooks.rules, &f->where, address, why, why_size);
}

/* {"type": "task.succeeded", "timestamp": "...", "data": {the task}} */
static bool make_body(struct hook_flight *f)
{
	static const char task[] = "errand.v1.Task";
	const struct schema *schema = registry_schema();
	const struct schema_message *m = schema_message(schema, task, strlen(task));
	struct transcode_write how = {.schema = schema};
	char time[28];

	buf_append_str(&f->body, "{\"type\":");
	json_put_cstr(&f->body, f->d.event);
	buf_append_str(&f->body, ",\"timestamp\":");
	json_put_cstr(&f->body, clock_format(f->d.event_us, time));
	buf_append_str(&f->body, ",\"data\":");
	if (m == NULL || transcode_to_json(&how, m, buf_bytes(&f->task), &f->body, f->why, sizeof f->why) < 0)
		return false;
	buf_append_byte(&f->body, '}');
	return !buf_failed(&f->body);
}

static void make_headers(struct hook_flight *f)
{
	AUTO_BUF signature = BUF_INIT;
	int64_t now_s = clock_wall_us() / US_PER_S;
	char id[HOOK_ID_SIZE];
	size_t n = 0;

	hook_id_format(f->d.key, id);
	hook_sign(hooks.keys, id, now_s, buf_bytes(&f->body), &signature);
	f->headers[n++] = xstrdup("content-type: application/json");
	f->headers[n++] = xstrdup("user-agent: errand/" PACKAGE_VERSION);
	f->headers[n++] = xstrdup("expect:"); /* libcurl's own is not wanted */
	f->headers[n++] = xasprintf("webhook-id: %s", id);
	f->headers[n++] = xasprintf("webhook-timestamp: %lld", (long long)now_s);
	f->headers[n++] = xasprintf("webhook-signature: %s", buf_cstr(&signature));
	if (trace_is_good(f->d.traceparent)) /* a task of before may have any text */
		f->headers[n++] = xasprintf("traceparent: %s", f->d.traceparent);
}

static bool have_transport(char *why, size_t why_size)
{
	const struct hook_transport *t = hooks.config.transport;
	struct hook_transport_options o = {.ca = hooks.ca, .max_idle = hooks.config.max_flight};

	if (hooks.transport != NULL)
		return true;
	if ((t == NULL && hook_plugin_load(&t, why, why_size) < 0) || t->start(&o, why, why_size) < 0)
		return false;
	hooks.transport = t;
	return true;
}

static void send(struct hook_flight *f)
{
	f->send.url = f->d.url;
	f->send.headers = (const char *const *)f->headers;
	f->send.body = buf_bytes(&f->body);
	f->send.connect_ms = MAX(hooks.config.connect_ns / NS_PER_MS, 1);
	f->send.total_ms = MAX(hooks.config.total_ns / NS_PER_MS, 1);
	f->send.may_dial = may_dial;
	f->send.done = on_sent;
	hooks.transport->send(&f->send);
}

static int read_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct hook_flight *f = CONTAINER_OF(op, struct hook_flight, op);
	struct hook_delivery now = {0};
	int r = hook_get(ops, s, f->d.key, &now);

	f->lost = r == -ERRAND_NOT_FOUND || (r == 0 && now.state != HOOK_PENDING);
	hook_delivery_deinit(&now);
	buf_reset(&f->task);
	if (r == 0)
		r = hook_is_gone(ops, s, &f->d, &f->gone);
	/* Whoever sends it again by hand knows better. */
	f->gone = f->gone && !f->d.forced;
	if (r == 0)
		r = hook_get_task(ops, s, f->d.key, &f->task);
	return r == -ERRAND_NOT_FOUND ? 0 : r;
}

static void read_done(struct store_op *op, int code)
{
	struct hook_flight *f = CONTAINER_OF(op, struct hook_flight, op);

	if (code < 0 || f->lost || !hooks.started || hooks.draining) {
		f->lost = true;
		mind_host(f);
		hook_flight_free(f);
		return;
	}
	if (f->gone || f->why[0] || !make_body(f) || !have_transport(f->why, sizeof f->why)) {
		mind_host(f);
		record(f);
		return;
	}
	make_headers(f);
	send(f);
}

void hook_flight_begin(struct hook_flight *f)
{
	f->begun = true;
	f->host->n_flight++;
	hooks.n_flight++;
	f->begun_us = clock_wall_us();
	f->op = (struct store_op){.run = read_run, .done = read_done};
	store_thread_submit(&f->op);
}
