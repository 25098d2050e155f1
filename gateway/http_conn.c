/* http_conn.c: a connection around evhttp's: its deadlines, refusals with a
 * lingering close, and the news that the client has gone.
 *
 * evhttp hands out its connection only with a request, so it is taken from the
 * bufferevent's callback argument right after accept (conn_adopt), before any byte
 * of the connection can have been read. Ended is always by evhttp: conn_abort
 * reports an error to it as the bufferevent would, and its close callback tells us.
 * Loop thread only. */
#define _GNU_SOURCE
#include "gateway/http_private.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "errand/status.h"

static const int64_t LINGER_NS = 2 * NS_PER_S;
static const int64_t DRAIN_NS = NS_PER_S; /* idle, while stopping: see http_server_drain */
static const int64_t PROBE_NS = NS_PER_S / 2; /* twice as long after each byte */

/* --- deadlines --- */

void conn_disarm(struct http_conn *c)
{
	list_remove(&c->timed);
	c->wait = WAIT_NONE;
}

void conn_arm(struct http_conn *c, enum conn_wait wait)
{
	if (c->state >= CONN_KILLED)
		return;
	list_remove(&c->timed);
	c->wait = wait;
	c->armed_ns = clock_mono_ns();
	c->armed_sent = c->n_sent;
	list_push_back(&c->server->timed[wait], &c->timed);
}

static void conn_todo(struct http_conn *c)
{
	if (!list_empty(&c->todo))
		return;
	list_push_back(&c->server->todo, &c->todo);
	event_active(c->server->work_ev, EV_TIMEOUT, 1);
}

/* Nothing the client asked for is still to be answered. */
static bool is_quiet(const struct http_conn *c)
{
	return c->current == NULL && c->n_begun == c->guard.n_complete;
}

void conn_next(struct http_conn *c)
{
	static const enum conn_wait waits[] = {
		[GUARD_IDLE] = WAIT_IDLE, [GUARD_HEAD] = WAIT_HEAD, [GUARD_BODY] = WAIT_BODY,
	};
	enum conn_wait wait = waits[guard_phase(&c->guard)];

	if (!is_quiet(c))
		return;
	if (c->server->draining && wait == WAIT_IDLE)
		wait = WAIT_DRAIN;
	if (c->owes_continue)
		gate_continue(c);
	if (c->state == CONN_REFUSED)
		conn_todo(c);
	else if (c->state == CONN_OPEN && wait != c->wait)
		conn_arm(c, wait);
}

/* --- ending --- */

static void conn_adopt(struct http_conn *c);
static void conn_keep(struct http_conn *c, bool on);

void conn_release(struct http_conn *c)
{
	if (c->state != CONN_DEAD || c->current != NULL || c->busy > 0)
		return;
	list_remove(&c->node);
	buf_deinit(&c->held);
	gate_forget_verbs(c);
	buf_deinit(&c->answer);
	free(c->cert);
	free(c);
}

/* evhttp frees its connection; the fd is closed right after. */
static void conn_closed(struct evhttp_connection *evcon, void *arg)
{
	struct http_conn *c = arg;
	struct http_server *s = c->server;

	c->busy++;
	c->state = CONN_DEAD;
	if (c->fd >= 0)
		s->by_fd[c->fd] = NULL;
	conn_unclog(c);
	if (c->fd >= 0)
		conn_keep(c, false);
	conn_disarm(c);
	list_remove(&c->node);
	list_remove(&c->todo);
	list_remove(&c->half);
	s->n_conns--;
	http_count(&s->stats.closed, 1);
	listen_adjust(s);
	if (c->current != NULL)
		request_conn_lost(c->current);
	if (c->current != NULL)
		list_push_back(&s->orphans, &c->node);
	peer_leave(c);
	gate_detach(c);
	bufferevent_decref(c->bev);
	c->bev = NULL;
	c->busy--;
	conn_release(c);
}

void conn_kill(struct http_conn *c)
{
	if (c->state >= CONN_KILLED)
		return;
	c->state = CONN_KILLED;
	conn_disarm(c);
	if (c->fd < 0) /* conn_adopt does the rest */
		return;
	bufferevent_setcb(c->bev, NULL, NULL, c->on_event, c->evhttp_arg);
	bufferevent_disable(c->bev, EV_READ);
	conn_todo(c);
}

void conn_abort(struct http_conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_KILLED;
	conn_disarm(c);
	if (c->fd < 0)
		conn_adopt(c);
	if (c->state != CONN_DEAD)
		c->on_event(c->bev, BEV_EVENT_READING | BEV_EVENT_ERROR, c->evhttp_arg);
}

void conn_drain(struct http_conn *c)
{
	if (c->state == CONN_OPEN && c->wait == WAIT_IDLE)
		conn_arm(c, WAIT_DRAIN);
}

/* --- refusing --- */

static void linger_read(struct bufferevent *bev, void *arg)
{
}

/* The answer has left: say so, and let the client finish sending, for a close with
 * unread bytes would reset the connection and take the answer with it. */
static void linger_written(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	shutdown(c->fd, SHUT_WR);
	if (c->half_closed)
		conn_kill(c);
}

static void linger_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_conn *c = arg;

	if (!(what & BEV_EVENT_EOF) || evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		conn_kill(c);
	c->half_closed = true; /* when the answer has left it is over */
}

static enum errand_code refusal_code(int status)
{
	switch (status) {
	case 405:
	case 501:
	case 505:
		return ERRAND_UNIMPLEMENTED;
	case 408:
		return ERRAND_DEADLINE_EXCEEDED;
	case 413:
		return ERRAND_RESOURCE_EXHAUSTED;
	default:
		return ERRAND_INVALID_ARGUMENT;
	}
}

static void refusal_write(struct evbuffer *out, const struct guard_verdict *v, bool is_head)
{
	const char *reason = err_http_reason(v->status);
	char body[512];
	int n = snprintf(body, sizeof body,
			 "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\","
			 "\"code\":\"%s\"}",
			 reason, v->status, v->why, err_info(refusal_code(v->status))->name);

	evbuffer_add_printf(out,
			    "HTTP/1.1 %d %s\r\nServer: errand\r\n%sContent-Type: "
			    "application/problem+json\r\nContent-Length: %d\r\nConnection: "
			    "close\r\n\r\n%s",
			    v->status, reason,
			    v->status == 405 ? "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
					     : "",
			    n, is_head ? "" : body);
}

/* Takes the connection over from evhttp, which sees nothing more of it. */
static void conn_refuse(struct http_conn *c)
{
	struct http_server *s = c->server;
	struct evbuffer *in = bufferevent_get_input(c->bev);

	c->state = CONN_LINGER;
	evbuffer_drain(in, evbuffer_get_length(in));
	bufferevent_setcb(c->bev, linger_read, linger_written, linger_event, c);
	if (c->answer.len > 0)
		evbuffer_add(bufferevent_get_output(c->bev), c->answer.data, c->answer.len);
	else
		refusal_write(bufferevent_get_output(c->bev), &c->guard.verdict, c->guard.is_head);
	bufferevent_enable(c->bev, c->half_closed ? EV_WRITE : EV_READ | EV_WRITE);
	conn_arm(c, WAIT_LINGER);
	if (s->ops->refused != NULL && c->answer.len == 0)
		s->ops->refused(c->peer, c->guard.verdict.status, c->guard.verdict.why, s->arg);
}

/* --- reading ahead --- */

/* evhttp switches EV_READ off and on once a request, which would be an epoll_ctl
 * each time. A second event that stays keeps the kernel's interest as it is. It has
 * to go where nothing reads, or the loop would spin. */
static void keep_nothing(evutil_socket_t fd, short what, void *arg)
{
}

static void conn_keep(struct http_conn *c, bool on)
{
	if (on && !c->half_closed)
		event_add(&c->keep, NULL);
	else
		event_del(&c->keep);
}

/* The client sends no more. It may have left, or only listen: that looks the same,
 * until something is sent to it. So it is answered, and looked after meanwhile. */
static void conn_look_after(struct http_conn *c)
{
	if (!list_empty(&c->half))
		return;
	c->half_ns = clock_mono_ns();
	list_push_back(&c->server->halves, &c->half);
}

static void conn_half_closed(struct http_conn *c)
{
	c->half_closed = true;
	conn_keep(c, false);
	bufferevent_disable(c->bev, EV_READ);
	conn_look_after(c);
}

/* Both directions are closed, by RST that is. */
static bool conn_has_left(const struct http_conn *c)
{
	struct pollfd p = {.fd = c->fd};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP);
}

/* The client asks again and again without waiting for answers, and now it is done,
 * or gone. What it sent may not have been read yet. */
static void conn_closed_early(evutil_socket_t fd, short what, void *arg)
{
	if (conn_has_left(arg))
		conn_kill(arg);
	else
		conn_look_after(arg);
}

/* Sends a byte that comes next whatever the answer is: a client that has left, and
 * not only stopped sending, is found by the RST its system sends back. */
static void conn_probe(struct http_conn *c, int64_t waited_ns)
{
	struct http_request *r = c->current;
	const char *next = r->streaming ? LAST_CHUNK : ANSWER;
	size_t most = r->streaming ? r->chunked : strlen(ANSWER);

	if (r->n_ahead < most && waited_ns >= PROBE_NS << r->n_ahead &&
	    send(c->fd, next + r->n_ahead, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1)
		r->n_ahead++;
}

static void conn_look(struct http_conn *c, int64_t now)
{
	struct http_request *r = c->current;

	if (conn_has_left(c))
		conn_kill(c);
	else if (c->state < CONN_LINGER && r != NULL && !r->answered &&
		 evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
		conn_probe(c, now - MAX(c->half_ns, r->begun_ns));
}

void conn_resume(struct http_conn *c)
{
	if (c->state >= CONN_LINGER || c->current != NULL)
		return;
	if (c->half_closed || c->state == CONN_REFUSED || !is_quiet(c))
		bufferevent_disable(c->bev, EV_READ);
	if (c->half_closed && c->state == CONN_OPEN && is_quiet(c))
		conn_kill(c);
}

void conn_clog(struct http_conn *c)
{
	c->clogged = true;
	conn_keep(c, false);
	bufferevent_setwatermark(c->bev, EV_READ, 0, CLOG_BYTES);
	event_assign(&c->closed, c->server->base, c->fd, EV_CLOSED, conn_closed_early, c);
	event_add(&c->closed, NULL);
}

void conn_unclog(struct http_conn *c)
{
	if (!c->clogged)
		return;
	c->clogged = false;
	event_del(&c->closed);
	bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
	conn_keep(c, true);
}

/* --- opening --- */

struct http_conn *conn_of(const struct http_server *s, struct bufferevent *bev)
{
	evutil_socket_t fd = bufferevent_getfd(bev);
	struct http_conn *c = fd >= 0 && (size_t)fd < s->n_by_fd ? s->by_fd[fd] : NULL;

	return c != NULL && c->bev == bev ? c : NULL;
}

struct bufferevent *conn_open(struct event_base *base, void *listener)
{
	struct http_listener *l = listener;
	struct http_server *s = l->server;
	struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);
	struct http_conn *c;

	if (bev == NULL)
		return NULL;
	c = xcalloc(1, sizeof *c);
	c->server = s;
	c->listener = l;
	c->uid = -1;
	c->bev = bev;
	c->fd = -1;
	c->wait = WAIT_NONE;
	list_init(&c->timed);
	list_init(&c->verbs);
	list_init(&c->half);
	guard_init(&c->guard, &s->guard);
	bufferevent_incref(bev);
	gate_attach(c);
	list_push_back(&s->conns, &c->node);
	list_push_back(&s->adopting, &c->todo);
	s->n_conns++;
	http_count(&s->stats.accepted, 1);
	listen_adjust(s);
	event_active(s->work_ev, EV_TIMEOUT, 1);
	return bev;
}

static void by_fd_put(struct http_server *s, struct http_conn *c)
{
	size_t want = (size_t)c->fd + 1;

	if (want > s->n_by_fd) {
		want = MAX(want, s->n_by_fd * 2);
		s->by_fd = xrealloc(s->by_fd, want * sizeof(struct http_conn *));
		memset(s->by_fd + s->n_by_fd, 0, (want - s->n_by_fd) * sizeof(struct http_conn *));
		s->n_by_fd = want;
	}
	s->by_fd[c->fd] = c;
}

/* Whoever waits for an answer or a silent stream and has vanished without a FIN is found
 * by the kernel within two minutes. */
static void conn_keepalive(int fd)
{
	static const int on = 1, idle_s = 60, every_s = 15, times = 4;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof times);
}

static void conn_adopt(struct http_conn *c)
{
	struct evhttp_connection *evcon;
	char *address;
	ev_uint16_t port;
	int on = 1;

	bufferevent_getcb(c->bev, &c->on_read, &c->on_write, &c->on_event, &c->evhttp_arg);
	evcon = c->evhttp_arg;
	c->fd = bufferevent_getfd(c->bev);
	if (evcon == NULL || c->fd < 0) { /* evhttp ran out of memory in between */
		c->fd = -1;
		conn_closed(NULL, c);
		return;
	}
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	conn_keepalive(c->fd);
	evhttp_connection_get_peer(evcon, &address, &port);
	if (!peer_adopt(c, address, port))
		conn_kill(c);
	by_fd_put(c->server, c);
	event_assign(&c->keep, c->server->base, c->fd, EV_READ | EV_PERSIST, keep_nothing, NULL);
	conn_keep(c, true);
	evhttp_connection_set_closecb(evcon, conn_closed, c);
	conn_arm(c, c->server->draining ? WAIT_DRAIN : WAIT_IDLE);
	if (c->state == CONN_KILLED)
		conn_todo(c);
	if (!event_pending(c->server->tick_ev, EV_TIMEOUT, NULL))
		event_add(c->server->tick_ev, &c->server->tick_period);
}

static void hold_written(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	c->busy++;
	c->on_write(bev, c->evhttp_arg);
	conn_resume(c);
	c->busy--;
	conn_release(c);
}

static void hold_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_conn *c = arg;

	if (what & BEV_EVENT_EOF && c->current != NULL)
		conn_half_closed(c);
	else
		c->on_event(bev, what, c->evhttp_arg);
}

void conn_hold_reading(struct http_conn *c)
{
	bufferevent_setcb(c->bev, NULL, hold_written, hold_event, c);
	if (!c->half_closed)
		bufferevent_enable(c->bev, EV_READ);
}

static void stream_written(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	if (c->current != NULL)
		request_drained(c->current);
}

/* evhttp's write callback would end the request when its output drains: it still
 * has the one of the request before. */
void conn_stream(struct http_conn *c)
{
	bufferevent_setcb(c->bev, NULL, stream_written, hold_event, c);
	if (!c->half_closed)
		bufferevent_enable(c->bev, EV_READ);
	conn_arm(c, WAIT_WRITE);
}

/* --- the loop's work: new connections, refusals, deadlines --- */

static void work(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	struct list *node;

	while ((node = list_pop_front(&s->adopting)) != NULL)
		conn_adopt(LIST_ENTRY(node, struct http_conn, todo));
	while ((node = list_pop_front(&s->todo)) != NULL) {
		struct http_conn *c = LIST_ENTRY(node, struct http_conn, todo);

		if (c->state == CONN_KILLED)
			conn_abort(c);
		else if (c->state == CONN_REFUSED && is_quiet(c))
			conn_refuse(c);
	}
}

static void conn_expire(struct http_conn *c)
{
	struct http_stats *stats = &c->server->stats;

	switch (c->wait) {
	case WAIT_HEAD:
		http_count(&stats->timeouts_head, 1);
		c->guard.verdict = (struct guard_verdict){408, "the request head took too long"};
		conn_refuse(c);
		break;
	case WAIT_BODY:
		http_count(&stats->timeouts_body, 1);
		c->guard.verdict = (struct guard_verdict){408, "the request body took too long"};
		conn_refuse(c);
		break;
	case WAIT_WRITE:
		if (c->n_sent != c->armed_sent ||
		    evbuffer_get_length(bufferevent_get_output(c->bev)) == 0) {
			conn_arm(c, WAIT_WRITE);
			break;
		}
		http_count(&stats->timeouts_write, 1);
		conn_kill(c);
		break;
	case WAIT_IDLE:
		http_count(&stats->timeouts_idle, 1);
		conn_kill(c);
		break;
	default:
		conn_kill(c);
	}
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	int64_t now = clock_mono_ns();

	for (int i = 0; i < WAIT_KINDS; i++) {
		if (s->timeout_ns[i] <= 0)
			continue;
		while (!list_empty(&s->timed[i])) {
			struct http_conn *c = LIST_ENTRY(s->timed[i].next, struct http_conn, timed);

			if (now - c->armed_ns < s->timeout_ns[i])
				break;
			conn_expire(c);
		}
	}
	LIST_FOREACH(node, &s->halves)
		conn_look(LIST_ENTRY(node, struct http_conn, half), now);
	if (s->n_conns == 0)
		event_del(s->tick_ev);
}

/* A quarter of the shortest timeout: no deadline is late by more. */
static struct timeval tick_period(const struct http_server *s)
{
	int64_t ns = NS_PER_S;

	for (int i = 0; i < WAIT_KINDS; i++)
		if (s->timeout_ns[i] > 0)
			ns = MIN(ns, s->timeout_ns[i]);
	ns = MAX(ns / 4, 5 * NS_PER_MS);
	return (struct timeval){0, (suseconds_t)(ns / 1000)};
}

void conn_server_limits(struct http_server *s)
{
	const struct http_limits *l = &s->limits;

	s->timeout_ns[WAIT_IDLE] = l->idle_timeout_ns;
	s->timeout_ns[WAIT_HEAD] = l->head_timeout_ns;
	s->timeout_ns[WAIT_BODY] = l->body_timeout_ns;
	s->timeout_ns[WAIT_WRITE] = l->write_timeout_ns;
	s->timeout_ns[WAIT_LINGER] = LINGER_NS;
	s->timeout_ns[WAIT_DRAIN] = DRAIN_NS;
	s->tick_period = tick_period(s);
	if (event_pending(s->tick_ev, EV_TIMEOUT, NULL))
		event_add(s->tick_ev, &s->tick_period);
}

void conn_server_init(struct http_server *s)
{
	list_init(&s->conns);
	list_init(&s->orphans);
	list_init(&s->adopting);
	list_init(&s->todo);
	list_init(&s->halves);
	for (int i = 0; i < WAIT_KINDS; i++)
		list_init(&s->timed[i]);
	peer_server_init(s);
	s->work_ev = event_new(s->base, -1, 0, work, s);
	s->tick_ev = event_new(s->base, -1, EV_PERSIST, tick, s);
	if (s->work_ev == NULL || s->tick_ev == NULL)
		abort();
}

void conn_server_deinit(struct http_server *s)
{
	event_free(s->work_ev);
	event_free(s->tick_ev);
	free(s->by_fd);
}
