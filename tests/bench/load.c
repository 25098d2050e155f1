/* load.c: see load.h. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define N_EVENTS 256

static int poller = -1;

int64_t load_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void load_die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* --- connections --- */

void load_connect(struct load_conn *c, int port, size_t (*on_input)(struct load_conn *))
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
	int one = 1;

	*c = (struct load_conn){.on_input = on_input};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
		load_die("connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (poller < 0)
		poller = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event) < 0)
		load_die("epoll");
}

void load_close(struct load_conn *c)
{
	close(c->fd);
	free(c->in);
}

void load_send(struct load_conn *c, const void *data, size_t len)
{
	if (send(c->fd, data, len, MSG_NOSIGNAL) != (ssize_t)len)
		load_die("send");
}

static void read_some(struct load_conn *c)
{
	size_t taken;
	ssize_t n;

	if (c->cap_in - c->n_in < 1024) {
		c->cap_in = c->cap_in ? 2 * c->cap_in : 2048;
		c->in = realloc(c->in, c->cap_in);
	}
	n = recv(c->fd, c->in + c->n_in, c->cap_in - c->n_in - 1, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		load_die("the server closed a connection");
	c->n_in += (size_t)n;
	c->in[c->n_in] = 0;
	while (c->n_in > 0 && (taken = c->on_input(c)) > 0) {
		c->n_in -= taken;
		memmove(c->in, c->in + taken, c->n_in + 1);
	}
	if (c->n_in == 0) { /* ten thousand idle connections hold nothing */
		free(c->in);
		c->in = NULL;
		c->cap_in = 0;
	}
}

void load_poll(int64_t timeout_ns)
{
	struct timespec t = {timeout_ns / 1000000000, timeout_ns % 1000000000};
	struct epoll_event events[N_EVENTS];
	int n = epoll_pwait2(poller, events, N_EVENTS, &t, NULL);

	if (n < 0 && errno != EINTR)
		load_die("epoll");
	for (int i = 0; i < n; i++)
		read_some(events[i].data.ptr);
}

/* --- samples --- */

void load_sample(struct load_samples *s, int64_t ns)
{
	if (s->n == s->cap)
		s->ns = realloc(s->ns, (s->cap = s->cap ? 2 * s->cap : 4096) * sizeof *s->ns);
	s->ns[s->n++] = ns;
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

double load_percentile_us(struct load_samples *s, double p)
{
	if (s->n == 0)
		return 0;
	qsort(s->ns, s->n, sizeof *s->ns, by_size);
	return (double)s->ns[(size_t)((double)(s->n - 1) * p / 100)] / 1000;
}

/* --- when requests are due --- */

void load_pace_begin(struct load_pace *p, double seconds, double rate)
{
	p->begin_ns = p->next_ns = load_now_ns();
	p->end_ns = p->begin_ns + (int64_t)(seconds * 1e9);
	p->step_ns = rate > 0 ? (int64_t)(1e9 / rate) : 0;
}

bool load_pace_over(const struct load_pace *p, int64_t now_ns)
{
	return now_ns >= p->end_ns;
}

bool load_pace_take(struct load_pace *p, int64_t now_ns, int64_t *due_ns)
{
	*due_ns = now_ns;
	if (load_pace_over(p, now_ns) || p->next_ns > now_ns)
		return false;
	if (p->step_ns == 0)
		return true;
	*due_ns = p->next_ns;
	p->next_ns += p->step_ns;
	return true;
}

int64_t load_pace_wait(const struct load_pace *p, int64_t now_ns, bool any_free)
{
	int64_t until = p->step_ns > 0 && any_free && p->next_ns < p->end_ns ? p->next_ns : p->end_ns;

	return until > now_ns ? until - now_ns : 0;
}
