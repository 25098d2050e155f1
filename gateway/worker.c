/* See worker.h. The loop's base is made without locks, so other threads only write
 * to its eventfd. While draining a timer looks whether the last connection has
 * gone. */
#define _GNU_SOURCE
#include <event2/event.h>

#include "gateway/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/access.h"
#include "gateway/metrics.h"
#include "gateway/snapshot.h"
#include "gateway/stream.h"

enum { DRAIN_LOOK_US = 10000 };

struct worker {
	struct gateway_thread t;
	bool up;                 /* counted there */
	pthread_t thread;
	bool started;
	int wake_fd;             /* eventfd, owned */
	_Atomic bool stop;       /* at once */
	const struct gateway_config *_Atomic next; /* another configuration to take; NULL once it is taken */
	_Atomic bool asked;      /* whether it lives; the loop takes it back */
	struct event *wake, *drain;
	int64_t drain_until;     /* clock_mono_ns */
};

/* --- stopping --- */

static void on_drain_look(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	stream_drain(&w->t);
	if (http_server_connections(w->t.http) != 0 && clock_mono_ns() < w->drain_until)
		return;
	event_base_loopbreak(w->t.base);
}

static void worker_begin_drain(struct worker *w)
{
	static const struct timeval look = {0, DRAIN_LOOK_US};

	w->drain_until = clock_mono_ns() + w->t.config->drain_timeout;
	exchange_wait_no_more(&w->t);
	http_server_drain(w->t.http);
	stream_drain(&w->t);
	event_add(w->drain, &look);
}

static struct http_limits worker_limits(const struct gateway_config *c)
{
	return (struct http_limits){
		.max_head = (size_t)c->max_head,
		.max_body = (size_t)c->max_body,
		.max_headers = (unsigned)c->max_headers,
		.max_connections = (unsigned)((c->max_connections + c->threads - 1) / c->threads),
		.head_timeout_ns = c->head_timeout,
		.body_timeout_ns = c->body_timeout,
		.idle_timeout_ns = c->idle_timeout,
		.write_timeout_ns = c->write_timeout,
		.max_stream_buffer = 64 * 1024,
	};
}

/* Between two events: nobody on this thread holds on to what the old one had. */
static void worker_take_config(struct worker *w)
{
	const struct gateway_config *next = atomic_load(&w->next);
	struct http_limits limits;

	if (next == NULL)
		return;
	w->t.config = next;
	limits = worker_limits(next);
	http_server_set_limits(w->t.http, &limits);
	atomic_store(&w->next, NULL);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	uint64_t n;

	if (read(fd, &n, sizeof n) != sizeof n)
		return;
	atomic_store(&w->asked, false);
	worker_take_config(w);
	if (atomic_load(&w->stop))
		event_base_loopbreak(w->t.base);
	else if (w->t.config->state->draining && !event_pending(w->drain, EV_TIMEOUT, NULL))
		worker_begin_drain(w);
}

static void worker_wake(struct worker *w)
{
	const uint64_t one = 1;
	ssize_t n UNUSED = write(w->wake_fd, &one, sizeof one);
}

void worker_drain(struct worker *w)
{
	worker_wake(w);
}

void worker_stop(struct worker *w)
{
	atomic_store(&w->stop, true);
	worker_wake(w);
}

void worker_reload(struct worker *w, const struct gateway_config *config)
{
	atomic_store(&w->next, config);
	worker_wake(w);
}

bool worker_has_reloaded(const struct worker *w)
{
	return atomic_load(&w->next) == NULL;
}

void worker_ask_alive(struct worker *w)
{
	atomic_store(&w->asked, true);
	worker_wake(w);
}

bool worker_is_alive(const struct worker *w)
{
	return !atomic_load(&w->asked);
}

/* --- the service's side --- */

static void on_state(struct upstream *u, bool up, const char *why, void *arg)
{
	struct worker *w = arg;
	AUTO_BUF quoted = BUF_INIT;

	if (up)
		snapshot_refresh(&w->t.snapshot);
	else
		metrics_upstream_lost(w->t.metrics);
	if (!up)
		w->t.trouble[0] = '\0'; /* of that service */
	if (!up)
		snapshot_unclaim(); /* should it be ours: after the next Hello it is asked for anyway */
	if (up != w->up)
		atomic_fetch_add(&w->t.config->state->n_up, up ? 1u : -1u);
	w->up = up;
	if (up)
		exchange_resume(&w->t);
	if (w->t.index != 0) /* all threads see the same */
		return;
	if (up) {
		log_info("service up", "socket=%s", w->t.config->socket);
		return;
	}
	log_quote(&quoted, why, strlen(why));
	log_warn("service down, trying again", "socket=%s why=%s", w->t.config->socket, buf_cstr(&quoted));
}

static void on_service_drained(struct upstream *u, void *arg)
{
	struct worker *w = arg;

	exchange_resume(&w->t);
}

static bool has_schema(struct upstream *u, struct bytes digest, void *arg)
{
	return snapshot_is_current(digest);
}

static void on_trouble(struct upstream *u, struct bytes why, void *arg)
{
	struct worker *w = arg;

	snprintf(w->t.trouble, sizeof w->t.trouble, "%.*s", (int)MIN(why.len, sizeof w->t.trouble - 1),
		 (const char *)why.data);
	if (w->t.index == 0 && why.len > 0)
		log_warn("the service is in trouble, /readyz says so", "why=\"%s\"", w->t.trouble);
}

static void on_schema(struct upstream *u, struct bytes digest, struct bytes set, void *arg)
{
	char why[512] = "";

	snapshot_publish(digest, set, why, sizeof why); /* logs a refusal itself */
}

static bool wants_schema(struct upstream *u, struct bytes digest, void *arg)
{
	return snapshot_claim(digest);
}

static const struct upstream_ops service_events = {
	.state = on_state,
	.drained = on_service_drained,
	.has_schema = has_schema,
	.wants_schema = wants_schema,
	.trouble = on_trouble,
	.schema = on_schema,
};

/* --- the HTTP side --- */

static void on_refused(const char *peer, int status, const char *why, void *arg)
{
	const struct gateway_thread *t = arg;

	metrics_refused(t->metrics, status);
	access_refused(peer, status, why, NULL);
}

static const struct http_ops http_events = {exchange_begin, exchange_begin, on_refused};

/* --- its life --- */

static struct event_base *worker_base(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;

	if (cfg != NULL) {
		event_config_set_flag(cfg, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST | EVENT_BASE_FLAG_NOLOCK);
		base = event_base_new_with_config(cfg);
		event_config_free(cfg);
	}
	return base;
}

struct worker *worker_new(const struct gateway_config *config, unsigned index)
{
	const struct http_limits limits = worker_limits(config);
	struct worker *w = xcalloc(1, sizeof *w);

	w->t.config = config;
	w->t.index = index;
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->t.base = worker_base();
	if (w->t.base == NULL || w->wake_fd < 0) {
		log_error("no event loop", "why=\"%s\"", strerror(errno));
		return worker_free(w);
	}
	exchange_thread_init(&w->t);
	w->wake = event_new(w->t.base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
	w->drain = event_new(w->t.base, -1, EV_PERSIST, on_drain_look, w);
	event_add(w->wake, NULL);
	w->t.http = http_server_new(w->t.base, -1, &limits, &http_events, &w->t);
	if (w->t.http == NULL)
		return worker_free(w);
	w->t.upstream = upstream_new(w->t.base, config->socket, config->ping_interval, &service_events, w);
	return w;
}

int worker_listen(struct worker *w, int fd, struct tls *tls)
{
	return http_server_listen(w->t.http, fd, tls);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof name, "loop-%u", w->t.index);
	pthread_setname_np(pthread_self(), name);
	event_base_dispatch(w->t.base);
	return NULL;
}

int worker_start(struct worker *w)
{
	int r = pthread_create(&w->thread, NULL, worker_run, w);

	w->started = r == 0;
	return -r;
}

void worker_join(struct worker *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	w->started = false;
}

/* HTTP first: requests still there cancel their calls. */
struct worker *worker_free(struct worker *w)
{
	if (w == NULL)
		return NULL;
	metrics_hide(w->t.metrics);
	http_server_free(w->t.http);
	upstream_free(w->t.upstream);
	exchange_thread_deinit(&w->t);
	if (w->wake != NULL)
		event_free(w->wake);
	if (w->drain != NULL)
		event_free(w->drain);
	if (w->t.base != NULL)
		event_base_free(w->t.base);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	free(w);
	return NULL;
}
