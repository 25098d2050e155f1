/* The calls of one loop thread to its service. One uplink is current; one that
 * said goaway is retired: its calls end on it while a new one connects.
 *
 * Deadlines are in a wheel with one timer for all calls: a call that ends in time
 * costs no timer. */
#define _GNU_SOURCE
#include "gateway/upstream.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "gateway/uplink.h"
#include "gateway/wheel.h"

#define RETRY_MIN_NS (20 * NS_PER_MS)
#define RETRY_MAX_NS (500 * NS_PER_MS)

enum upstream_state { UPSTREAM_DOWN, UPSTREAM_CONNECTING, UPSTREAM_SCHEMA, UPSTREAM_UP, UPSTREAM_SILENT };

struct upstream {
	struct event_base *base;        /* borrowed */
	const char *path;               /* borrowed */
	int64_t ping_ns;
	const struct upstream_ops *ops; /* borrowed */
	void *arg;
	enum upstream_state state;
	struct uplink *link;            /* the current one; NULL while DOWN */
	struct list calls;              /* of struct upstream_call: on a link */
	struct list failed;             /* to be ended by the loop */
	struct list spare;              /* free ones */
	size_t n_calls;                 /* on calls and failed */
	struct wheel wheel;
	int64_t wake_at;                /* when timer is due; INT64_MAX = not set */
	int64_t delay;                  /* before the next attempt to connect, ns */
	int64_t down_since;             /* clock_mono_ns; while not UP */
	bool told;                      /* the owner knows that it is down */
	struct conn_stream *watch;      /* errand.v1.Schema/Watch on link; NULL: none */
	struct event timer, retry, fail;
};

/* One call. Lives in a list of u until its end, then in u->spare. */
struct upstream_call {
	struct upstream *u;
	struct uplink *link;        /* NULL: on u->failed */
	struct conn_stream *stream; /* NULL once it has ended */
	uint32_t id;                /* of the stream */
	bool untouched;             /* the service has not begun it, and will not */
	struct upstream_callbacks cb;
	struct list node;
	struct wheel_node deadline;
	int code;                   /* why it failed, and the sentence */
	const char *why;
};

static void upstream_connect(struct upstream *u);
static void upstream_watch_schema(struct upstream *u);
static void upstream_ask_changed(struct upstream *u, struct bytes change);

static struct timeval ns_timeval(int64_t ns)
{
	if (ns < 0)
		ns = 0;
	return (struct timeval){ns / NS_PER_S, ns % NS_PER_S / 1000 + 1};
}

/* --- calls --- */

static struct upstream_call *call_new(struct upstream *u, const struct upstream_callbacks *cb)
{
	struct list *node = list_pop_front(&u->spare);
	struct upstream_call *c = node != NULL ? LIST_ENTRY(node, struct upstream_call, node) :
		xmalloc(sizeof *c);

	c->u = u;
	c->link = NULL;
	c->stream = NULL;
	c->untouched = false;
	c->cb = *cb;
	list_init(&c->node);
	list_init(&c->deadline.link);
	u->n_calls++;
	return c;
}

static void call_release(struct upstream_call *c)
{
	struct upstream *u = c->u;

	wheel_remove(&c->deadline);
	list_remove(&c->node);
	list_push_front(&u->spare, &c->node);
	u->n_calls--;
}

static void call_end(struct upstream_call *c, const struct wire_response *w)
{
	c->stream = NULL;
	wheel_remove(&c->deadline);
	list_remove(&c->node);
	c->cb.reply(c, w, c->cb.arg);
	call_release(c);
}

static void call_fail(struct upstream_call *c, int code, const char *why)
{
	struct wire_response w;

	w.code = code;
	w.message = (struct bytes){(const uint8_t *)why, strlen(why)};
	w.details = w.payload = (struct bytes){NULL, 0};
	w.n_metadata = 0;
	call_end(c, &w);
}

/* Fails it from the loop, since upstream_call must have returned before. */
static void call_fail_soon(struct upstream_call *c, int code, const char *why)
{
	struct upstream *u = c->u;

	c->code = code;
	c->why = why;
	list_push_back(&u->failed, &c->node);
	event_active(&u->fail, EV_TIMEOUT, 1);
}

static void on_fail(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *u = arg;

	while (!list_empty(&u->failed)) {
		struct upstream_call *c = LIST_ENTRY(u->failed.next, struct upstream_call, node);

		call_fail(c, c->code, c->why);
	}
}

/* --- deadlines --- */

static void upstream_wake_at(struct upstream *u, int64_t when)
{
	struct timeval tv;

	if (when >= u->wake_at)
		return;
	u->wake_at = when;
	tv = ns_timeval(when - clock_mono_ns());
	event_add(&u->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *u = arg;
	struct list due;
	int64_t next;

	list_init(&due);
	u->wake_at = INT64_MAX;
	wheel_expire(&u->wheel, clock_mono_ns(), &due);
	while (!list_empty(&due)) {
		struct wheel_node *n = LIST_ENTRY(due.next, struct wheel_node, link);
		struct upstream_call *c = LIST_ENTRY(n, struct upstream_call, deadline);

		uplink_cancel(c->link, c->stream);
		call_fail(c, ERRAND_DEADLINE_EXCEEDED, "the service did not answer before the deadline");
	}
	next = wheel_next(&u->wheel);
	if (next >= 0)
		upstream_wake_at(u, next);
}

static void call_set_deadline(struct upstream_call *c, int64_t timeout_ns)
{
	if (timeout_ns <= 0)
		return;
	wheel_add(&c->u->wheel, &c->deadline, clock_mono_ns() + timeout_ns);
	upstream_wake_at(c->u, wheel_when(&c->deadline));
}

/* --- the link --- */

/* Half of the delay is chance: threads and gateways do not come in step. */
static void upstream_retry(struct upstream *u)
{
	uint32_t chance;
	struct timeval tv;

	evutil_secure_rng_get_bytes(&chance, sizeof chance);
	tv = ns_timeval(u->delay / 2 + (int64_t)(chance % 1024) * u->delay / 2048);
	u->delay = MIN(u->delay * 2, RETRY_MAX_NS);
	event_add(&u->retry, &tv);
}

/* The owner is told of the first failure, not of each attempt. */
static void upstream_leave_up(struct upstream *u, enum upstream_state state, const char *why)
{
	if (u->state == UPSTREAM_UP)
		u->down_since = clock_mono_ns();
	u->state = state;
	if (!u->told)
		u->ops->state(u, false, why, u->arg);
	u->told = true;
}

static void upstream_down(struct upstream *u, const char *why)
{
	u->link = NULL;
	u->watch = NULL;
	upstream_retry(u);
	upstream_leave_up(u, UPSTREAM_DOWN, why);
}

static void upstream_up(struct upstream *u)
{
	u->delay = RETRY_MIN_NS;
	u->told = false;
	event_del(&u->retry);
	u->state = UPSTREAM_UP;
	u->ops->state(u, true, NULL, u->arg);
}

/* Whatever was under way on a lost link has no answer. */
static void link_end_calls(struct upstream *u, struct uplink *l, const char *why)
{
	struct list mine;

	list_init(&mine);
	LIST_FOREACH(it, &u->calls) {
		struct upstream_call *c = LIST_ENTRY(it, struct upstream_call, node);

		if (c->link != l)
			continue;
		c->stream = NULL;
		c->untouched = uplink_unserved(l, c->id);
		list_remove(it);
		list_push_back(&mine, it);
	}
	while (!list_empty(&mine))
		call_fail(LIST_ENTRY(mine.next, struct upstream_call, node), ERRAND_UNAVAILABLE, why);
}

static void on_closed(struct uplink *l, const char *why, void *arg)
{
	struct upstream *u = arg;
	char reason[128];

	snprintf(reason, sizeof reason, "%s", why); /* it may belong to the link */
	if (u->link == l)
		upstream_down(u, reason);
	link_end_calls(u, l, "the connection to the service was lost");
	uplink_free(l);
}

/* Its calls go on; new ones wait for the next link. */
static void upstream_retire_link(struct upstream *u, const char *why)
{
	struct uplink *l = u->link;

	u->delay = RETRY_MIN_NS;
	if (u->watch != NULL)
		uplink_cancel(l, u->watch);
	upstream_down(u, why);
	uplink_retire(l);
}

static void on_goaway(struct uplink *l, void *arg)
{
	struct upstream *u = arg;

	if (u->link == l)
		upstream_retire_link(u, "the service is stopping");
}

/* New calls would only wait for their deadlines. */
static void on_silent(struct uplink *l, bool silent, void *arg)
{
	struct upstream *u = arg;

	if (u->link != l)
		return;
	if (silent && u->state == UPSTREAM_UP) {
		upstream_leave_up(u, UPSTREAM_SILENT, "no answer to PING");
		u->down_since -= 2 * u->ping_ns; /* it was gone before we knew */
	} else if (!silent && u->state == UPSTREAM_SILENT) {
		upstream_up(u);
	}
}

static void on_message(struct uplink *l, void *user, struct bytes message, void *arg)
{
	struct upstream *u = arg;
	struct upstream_call *c = user;

	if (user == u) {
		upstream_ask_changed(u, message);
		if (u->watch != NULL)
			uplink_consumed(l, u->watch, message.len);
	} else if (c != NULL && c->cb.message != NULL) {
		c->cb.message(c, message, c->cb.arg);
	}
}

/* --- Hello and schema --- */

static bool upstream_take_schema(struct upstream *u, const struct wire_response *w)
{
	struct pbuf_reader r = pbuf_reader(w->payload.data, w->payload.len);
	struct bytes digest = {NULL, 0}, set = {NULL, 0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1 && f.wire == PBUF_LEN)
			digest = f.bytes;
		else if (f.number == 2 && f.wire == PBUF_LEN)
			set = f.bytes;
	}
	if (w->code != ERRAND_OK || r.bad) {
		log_error("the service did not give its schema", "socket=%s code=%s", u->path,
			  err_info(w->code)->name);
		return false;
	}
	u->ops->schema(u, digest, set, u->arg);
	return true;
}

static void on_response(struct uplink *l, void *user, const struct wire_response *w, void *arg)
{
	struct upstream *u = arg;

	if (user == u) {
		if (u->link == l)
			u->watch = NULL; /* it has none, or it stops: goaway comes */
	} else if (user != NULL) {
		struct upstream_call *c = user;

		c->untouched = w->code == ERRAND_UNAVAILABLE && uplink_unserved(l, c->id);
		call_end(c, w);
	} else if (u->link == l && u->state == UPSTREAM_SCHEMA) { /* Get */
		event_del(&u->retry);
		upstream_take_schema(u, w);
		upstream_up(u);
		upstream_watch_schema(u);
	} else if (u->link == l && !upstream_take_schema(u, w)) { /* Get, of a change */
		upstream_retire_link(u, "no schema"); /* the next Hello asks again */
	}
}

static struct conn_stream *schema_request(struct upstream *u, const char *method, void *user)
{
	struct wire_request r;

	r.service = (struct bytes){(const uint8_t *)"errand.v1.Schema", strlen("errand.v1.Schema")};
	r.method = (struct bytes){(const uint8_t *)method, strlen(method)};
	r.payload = (struct bytes){NULL, 0};
	r.timeout_ns = 0;
	r.streaming = user != NULL;
	r.n_metadata = 0;
	return uplink_request(u->link, &r, user);
}

/* A service without it says so, and that is that. */
static void upstream_watch_schema(struct upstream *u)
{
	if (u->ops->wants_schema != NULL && u->link != NULL)
		u->watch = schema_request(u, "Watch", u);
}

static void upstream_ask_changed(struct upstream *u, struct bytes change)
{
	struct pbuf_reader r = pbuf_reader(change.data, change.len);
	struct bytes digest = {NULL, 0}, trouble = {NULL, 0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 1 && f.wire == PBUF_LEN)
			digest = f.bytes;
		else if (f.number == 2 && f.wire == PBUF_LEN)
			trouble = f.bytes;
	if (u->ops->trouble != NULL)
		u->ops->trouble(u, trouble, u->arg);
	if (u->watch != NULL && u->ops->wants_schema(u, digest, u->arg) && schema_request(u, "Get", NULL) == NULL)
		upstream_retire_link(u, "stream ids used up");
}

static void upstream_ask_schema(struct upstream *u)
{
	static const struct timeval patience = {5, 0};

	if (schema_request(u, "Get", NULL) == NULL) {
		upstream_up(u);
		return;
	}
	u->state = UPSTREAM_SCHEMA;
	event_add(&u->retry, &patience);
}

static void on_ready(struct uplink *l, bool extended, struct bytes hello, void *arg)
{
	struct upstream *u = arg;
	struct pbuf_reader r = pbuf_reader(hello.data, hello.len);
	struct bytes digest = {NULL, 0};
	struct pbuf_field f;

	if (u->link != l)
		return;
	while (extended && pbuf_next(&r, &f))
		if (f.number == 4 && f.wire == PBUF_LEN)
			digest = f.bytes;
	if (digest.len != 0 && !u->ops->has_schema(u, digest, u->arg)) {
		upstream_ask_schema(u);
		return;
	}
	upstream_up(u);
	if (digest.len != 0)
		upstream_watch_schema(u);
}

static void on_drained(struct uplink *l, void *arg)
{
	struct upstream *u = arg;

	if (u->link == l && u->state == UPSTREAM_UP && u->ops->drained != NULL)
		u->ops->drained(u, u->arg);
}

static const struct uplink_ops link_events = {
	.ready = on_ready,
	.message = on_message,
	.response = on_response,
	.drained = on_drained,
	.silent = on_silent,
	.goaway = on_goaway,
	.closed = on_closed,
};

static void upstream_connect(struct upstream *u)
{
	char why[256] = "";

	assert(u->link == NULL);
	u->state = UPSTREAM_CONNECTING;
	u->link = uplink_new(u->base, u->path, u->ping_ns, &link_events, u, why);
	if (u->link == NULL)
		upstream_down(u, why);
}

/* Time for another attempt; or the service does not give its schema. */
static void on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct upstream *u = arg;

	if (u->link == NULL)
		upstream_connect(u);
	else if (u->state == UPSTREAM_SCHEMA)
		on_closed(u->link, "no answer to errand.v1.Schema/Get", u);
}

/* --- from outside --- */

struct upstream *upstream_new(struct event_base *base, const char *path, int64_t ping_ns,
			      const struct upstream_ops *ops, void *arg)
{
	struct upstream *u = xcalloc(1, sizeof *u);

	u->base = base;
	u->path = path;
	u->ping_ns = ping_ns;
	u->ops = ops;
	u->arg = arg;
	u->delay = RETRY_MIN_NS;
	u->wake_at = INT64_MAX;
	u->down_since = clock_mono_ns();
	list_init(&u->calls);
	list_init(&u->failed);
	list_init(&u->spare);
	wheel_init(&u->wheel, clock_mono_ns());
	event_assign(&u->timer, base, -1, 0, on_timer, u);
	event_assign(&u->retry, base, -1, 0, on_retry, u);
	event_assign(&u->fail, base, -1, 0, on_fail, u);
	upstream_connect(u);
	return u;
}

static void list_free_calls(struct list *l)
{
	struct list *node;

	while ((node = list_pop_front(l)) != NULL)
		free(LIST_ENTRY(node, struct upstream_call, node));
}

/* Links with calls are found by their calls; an idle retired one closes itself in
 * the turn it was retired. */
static void upstream_free_links(struct upstream *u)
{
	while (!list_empty(&u->calls)) {
		struct uplink *l = LIST_ENTRY(u->calls.next, struct upstream_call, node)->link;

		LIST_FOREACH(it, &u->calls) {
			struct upstream_call *c = LIST_ENTRY(it, struct upstream_call, node);

			if (c->link == l)
				call_release(c);
		}
		if (u->link == l)
			u->link = NULL;
		uplink_free(l);
	}
	u->link = uplink_free(u->link);
}

struct upstream *upstream_free(struct upstream *u)
{
	if (u == NULL)
		return NULL;
	upstream_free_links(u);
	list_free_calls(&u->failed);
	list_free_calls(&u->spare);
	event_del(&u->timer);
	event_del(&u->retry);
	event_del(&u->fail);
	free(u);
	return NULL;
}

bool upstream_is_up(const struct upstream *u)
{
	return u->state == UPSTREAM_UP;
}

bool upstream_is_full(const struct upstream *u)
{
	return u->state == UPSTREAM_UP && uplink_full(u->link);
}

int64_t upstream_down_since(const struct upstream *u)
{
	return u->state == UPSTREAM_UP ? 0 : u->down_since;
}

size_t upstream_n_calls(const struct upstream *u)
{
	return u->n_calls;
}

/* At least what its frame will have. */
static size_t request_size(const struct wire_request *r)
{
	size_t n = r->service.len + r->method.len + r->payload.len + 64;

	for (size_t i = 0; i < r->n_metadata; i++)
		n += r->metadata[i].key.len + r->metadata[i].value.len + 24;
	return n;
}

struct upstream_call *upstream_call(struct upstream *u, const struct wire_request *r,
				    const struct upstream_callbacks *cb)
{
	struct upstream_call *c = call_new(u, cb);

	if (u->state != UPSTREAM_UP) {
		c->untouched = true;
		call_fail_soon(c, ERRAND_UNAVAILABLE, "the service is not there: try again soon");
		return c;
	}
	if (request_size(r) > FRAME_MAX) {
		call_fail_soon(c, ERRAND_RESOURCE_EXHAUSTED, "the request is over 4 MiB on the socket");
		return c;
	}
	if (uplink_full(u->link)) {
		call_fail_soon(c, ERRAND_UNAVAILABLE, "the service does not keep up: try again soon");
		return c;
	}
	c->stream = uplink_request(u->link, r, c);
	if (c->stream == NULL) { /* stream ids used up: a new connection has new ones */
		upstream_retire_link(u, "stream ids used up");
		c->untouched = true;
		call_fail_soon(c, ERRAND_UNAVAILABLE, "the connection is being renewed: try again");
		return c;
	}
	c->link = u->link;
	c->id = uplink_stream_id(c->stream);
	list_push_back(&u->calls, &c->node);
	call_set_deadline(c, r->timeout_ns);
	return c;
}

bool upstream_call_untouched(const struct upstream_call *c)
{
	return c->untouched;
}

void upstream_cancel(struct upstream_call *c)
{
	if (c->stream != NULL)
		uplink_cancel(c->link, c->stream);
	call_release(c);
}

void upstream_consumed(struct upstream_call *c, size_t n)
{
	if (c->stream != NULL)
		uplink_consumed(c->link, c->stream, n);
}
