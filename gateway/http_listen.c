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
 * the server. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER; /* guards registry */
static struct list registry = LIST_INIT(registry);

static const struct timeval RETRY = {0, 100000};

static struct http_server *server_of(const struct evconnlistener *listener)
{
	struct http_server *found = NULL;

	pthread_mutex_lock(&registry_lock);
	LIST_FOREACH(node, &registry) {
		struct http_server *s = LIST_ENTRY(node, struct http_server, registered);

		if (s->listener == listener)
			found = s;
	}
	pthread_mutex_unlock(&registry_lock);
	return found;
}

static int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void listen_adjust(struct http_server *s)
{
	bool on = !s->paused && s->n_conns < s->limits.max_connections;

	if (s->listener == NULL || on == s->listening)
		return;
	s->listening = on;
	if (!on && !s->paused)
		http_count(&s->stats.pauses_limit, 1);
	if (on)
		evconnlistener_enable(s->listener);
	else
		evconnlistener_disable(s->listener);
}

static void retry(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;

	s->paused = false;
	if (s->spare_fd < 0)
		s->spare_fd = spare_open();
	listen_adjust(s);
}

/* Answers and closes the one who has waited longest. */
static void shed_one(struct http_server *s)
{
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
	fd = accept4(evconnlistener_get_fd(s->listener), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		char drop[4096];

		s->n_shed++;
		http_count(&s->stats.turned_away, 1);
		if (recv(fd, drop, sizeof drop, 0) >= 0 || errno == EAGAIN)
			send(fd, answer, (size_t)n, MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
		close(fd);
	}
	s->spare_fd = spare_open();
}

static void accept_failed(struct evconnlistener *listener, void *evhttp)
{
	int error = errno;
	struct http_server *s = server_of(listener);
	int64_t now = clock_mono_ns();

	if (s == NULL)
		return;
	if (error == EMFILE || error == ENFILE)
		shed_one(s);
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

int listen_start(struct http_server *s, int fd)
{
	list_init(&s->registered);
	s->spare_fd = spare_open();
	s->retry_ev = event_new(s->base, -1, 0, retry, s);
	s->listener = evconnlistener_new(s->base, NULL, NULL,
					 LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (s->retry_ev == NULL || s->listener == NULL) {
		if (s->listener == NULL)
			close(fd);
		return -1;
	}
	evutil_make_socket_nonblocking(fd);
	s->bound = evhttp_bind_listener(s->http, s->listener);
	if (s->bound == NULL)
		return -1;
	evconnlistener_set_error_cb(s->listener, accept_failed);
	s->listening = true;
	pthread_mutex_lock(&registry_lock);
	list_push_back(&registry, &s->registered);
	pthread_mutex_unlock(&registry_lock);
	return 0;
}

void listen_stop(struct http_server *s)
{
	if (s->retry_ev != NULL)
		event_free(s->retry_ev);
	s->retry_ev = NULL;
	if (s->listener == NULL)
		return;
	pthread_mutex_lock(&registry_lock);
	list_remove(&s->registered);
	pthread_mutex_unlock(&registry_lock);
	if (s->bound != NULL)
		evhttp_del_accept_socket(s->http, s->bound);
	else
		evconnlistener_free(s->listener);
	s->listener = NULL;
	s->bound = NULL;
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	s->spare_fd = -1;
}
