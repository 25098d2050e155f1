/* http_listen.c: accepting. evhttp accepts by itself; this file gives it a
 * listener and switches that off at the connection cap, and for 100 ms when the
 * process is out of file descriptors: otherwise the loop would spin on a socket
 * that stays readable. A spare descriptor lets one client at a time be told 503
 * instead of being left hanging. */
#define _GNU_SOURCE
#include <errno.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/http_private.h"

/* The listener's error callback is given evhttp's argument, not ours: this finds
 * ours. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; /* guards registry */
static struct list registry = LIST_INIT(registry);

static const struct timeval RETRY = {0, 100000};

static struct http_listener *listener_of(const struct evconnlistener *accepting)
{
	struct http_listener *found = NULL;

	pthread_mutex_lock(&registry_lock);
	LIST_FOREACH(node, &registry) {
		struct http_listener *l = LIST_ENTRY(node, struct http_listener, registered);

		if (l->accepting == accepting)
			found = l;
	}
	pthread_mutex_unlock(&registry_lock);
	return found;
}

static int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listeners_switch(struct http_server *s, bool on)
{
	LIST_FOREACH(node, &s->listeners) {
		struct http_listener *l = LIST_ENTRY(node, struct http_listener, node);

		if (l->accepting == NULL)
			continue;
		if (on)
			evconnlistener_enable(l->accepting);
		else
			evconnlistener_disable(l->accepting);
	}
}

void listen_adjust(struct http_server *s)
{
	bool on = !s->paused && s->n_conns + s->n_tails < s->limits.max_connections;

	if (on == s->listening)
		return;
	s->listening = on;
	if (!on && !s->paused)
		http_count(&s->stats.pauses_limit, 1);
	listeners_switch(s, on);
}

static void retry(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;

	s->paused = false;
	if (s->spare_fd < 0)
		s->spare_fd = spare_open();
	listen_adjust(s);
}

/* Answers and closes the one who has waited longest; TLS has no words for him. */
static void shed_one(struct http_listener *l)
{
	struct http_server *s = l->server;
	static const char body[] = "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\","
				   "\"status\":503,\"detail\":\"too many connections: try again soon\","
				   "\"code\":\"UNAVAILABLE\"}";
	char answer[512];
	int fd, n;

	if (s->spare_fd < 0)
		return;
	n = snprintf(answer, sizeof answer,
		     "HTTP/1.1 503 Service Unavailable\r\nServer: errand\r\nRetry-After: 1\r\n"
		     "Content-Type: application/problem+json\r\nContent-Length: %zu\r\n"
		     "Connection: close\r\n\r\n%s", sizeof body - 1, body);
	close(s->spare_fd);
	fd = accept4(evconnlistener_get_fd(l->accepting), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		char drop[4096];

		s->n_shed++;
		http_count(&s->stats.turned_away, 1);
		if (l->tls == NULL && (recv(fd, drop, sizeof drop, 0) >= 0 || errno == EAGAIN))
			send(fd, answer, (size_t)n, MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		close(fd);
	}
	s->spare_fd = spare_open();
}

static void accept_failed(struct evconnlistener *listener, void *evhttp)
{
	int error = errno;
	struct http_listener *l = listener_of(listener);
	struct http_server *s = l != NULL ? l->server : NULL;
	int64_t now = clock_mono_ns();

	if (s == NULL)
		return;
	if (error == EMFILE || error == ENFILE)
		shed_one(l);
	if (s->logged_ns == 0 || now - s->logged_ns >= NS_PER_S) {
		log_error("cannot accept connections, trying again: raise the limit of open files",
			  "error=\"%s\" connections=%zu turned_away=%llu", strerror(error),
			  s->n_conns, (unsigned long long)s->n_shed);
		s->logged_ns = now;
	}
	s->paused = true;
	http_count(&s->stats.pauses_files, 1);
	listen_adjust(s);
	event_add(s->retry_ev, &RETRY);
}

/* --- their life --- */

void listen_init(struct http_server *s)
{
	list_init(&s->listeners);
	s->spare_fd = spare_open();
	s->retry_ev = event_new(s->base, -1, 0, retry, s);
	s->listening = true;
	if (s->retry_ev == NULL)
		abort();
}

static void listener_limits(struct http_listener *l)
{
	const struct http_server *s = l->server;

	evhttp_set_max_headers_size(l->http, (ev_ssize_t)s->limits.max_head + 64);
	evhttp_set_max_body_size(l->http, (ev_ssize_t)s->guard.max_body + 64);
}

void listen_limits(struct http_server *s)
{
	LIST_FOREACH(node, &s->listeners)
		listener_limits(LIST_ENTRY(node, struct http_listener, node));
}

static void listener_stop(struct http_listener *l)
{
	if (l->accepting == NULL)
		return;
	pthread_mutex_lock(&registry_lock);
	list_remove(&l->registered);
	pthread_mutex_unlock(&registry_lock);
	if (l->bound != NULL)
		evhttp_del_accept_socket(l->http, l->bound);
	else
		evconnlistener_free(l->accepting);
	l->accepting = NULL;
	l->bound = NULL;
}

/* Threads may share the socket of fd: the one that comes late finds nobody to accept,
 * which costs it a system call and no more. */
int http_server_listen(struct http_server *s, int fd, struct tls *tls)
{
	struct http_listener *l = xcalloc(1, sizeof *l);

	l->server = s;
	l->tls = tls;
	l->http = server_evhttp(s);
	listener_limits(l);
	list_init(&l->registered);
	list_push_back(&s->listeners, &l->node);
	evhttp_set_bevcb(l->http, conn_open, l);
	evutil_make_socket_nonblocking(fd);
	l->accepting = evconnlistener_new(s->base, NULL, NULL,
					  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (l->accepting == NULL) {
		close(fd);
		return -1;
	}
	l->bound = evhttp_bind_listener(l->http, l->accepting);
	evconnlistener_set_error_cb(l->accepting, accept_failed);
	pthread_mutex_lock(&registry_lock);
	list_push_back(&registry, &l->registered);
	pthread_mutex_unlock(&registry_lock);
	if (l->bound == NULL)
		listener_stop(l);
	return l->accepting != NULL ? 0 : -1;
}

void listen_stop(struct http_server *s)
{
	if (s->retry_ev != NULL)
		event_free(s->retry_ev);
	s->retry_ev = NULL;
	LIST_FOREACH(node, &s->listeners)
		listener_stop(LIST_ENTRY(node, struct http_listener, node));
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	s->spare_fd = -1;
}

void listen_deinit(struct http_server *s)
{
	struct list *node;

	while ((node = list_pop_front(&s->listeners)) != NULL) {
		struct http_listener *l = LIST_ENTRY(node, struct http_listener, node);

		evhttp_free(l->http);
		free(l);
	}
}
