#define _GNU_SOURCE
#include "edge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/list.h"
#include "gateway/access.h"

bool edge_keep_access;

struct edge {
	struct http_limits limits;
	struct event_base *base;
	struct http_server *server;
	struct event *command_ev;
	int listen_fd, port, command[2];
	pthread_t thread;
	struct list held; /* loop thread's */
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	long counts[EDGE_COUNTS];
	size_t n_conns, sent, streamed;
	int status;
};

/* A held request, an open stream. */
struct held {
	struct list link;
	struct edge *e;
	struct http_request *r;
	size_t left; /* of a stream */
	bool stream, held;
};

/* --- what happened --- */

static void bump(struct edge *e, enum edge_count which)
{
	pthread_mutex_lock(&e->lock);
	e->counts[which]++;
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

static struct timespec limit(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += WAIT_S;
	return t;
}

void edge_wait(struct edge *e, enum edge_count which, long n)
{
	struct timespec t = limit();
	int rc = 0;

	pthread_mutex_lock(&e->lock);
	while (e->counts[which] < n && rc == 0)
		rc = pthread_cond_timedwait(&e->changed, &e->lock, &t);
	pthread_mutex_unlock(&e->lock);
	if (rc != 0)
		print_error("waited for counter %d to be %ld: it is %ld\n", which, n, e->counts[which]);
	assert_int_equal(rc, 0);
}

long edge_get(struct edge *e, enum edge_count which)
{
	long n;

	pthread_mutex_lock(&e->lock);
	n = e->counts[which];
	pthread_mutex_unlock(&e->lock);
	return n;
}

static size_t get_size(struct edge *e, const size_t *p)
{
	size_t n;

	pthread_mutex_lock(&e->lock);
	n = *p;
	pthread_mutex_unlock(&e->lock);
	return n;
}

size_t edge_sent(struct edge *e)
{
	return get_size(e, &e->sent);
}

size_t edge_streamed(struct edge *e)
{
	return get_size(e, &e->streamed);
}

int edge_status(struct edge *e)
{
	int status;

	pthread_mutex_lock(&e->lock);
	status = e->status;
	pthread_mutex_unlock(&e->lock);
	return status;
}

/* --- the handler --- */

static void on_done(struct http_request *r, int status, size_t sent, void *arg)
{
	static const struct access_extra extra = {
		.request_id = "id-1", .route = "/{x}", .upstream_ns = 1500000};
	struct edge *e = arg;

	/* the request can still be read here, whatever has become of its client */
	assert_int_equal(http_path(r)[0], http_verb(r)[0] == 'O' ? http_path(r)[0] : '/');
	assert_true(http_header(r, "host") == NULL || strlen(http_header(r, "host")) < 300);
	assert_true(strlen(http_peer(r)) > 8);
	access_write(r, &extra, status, sent);
	pthread_mutex_lock(&e->lock);
	e->status = status;
	e->sent = sent;
	pthread_mutex_unlock(&e->lock);
	bump(e, EDGE_DONE);
}

static void held_finish(struct held *h)
{
	struct buf b = BUF_INIT;

	list_remove(&h->link);
	if (h->stream) {
		http_stream_end(h->r);
	} else {
		buf_append_str(&b, "held");
		http_reply(h->r, 200, "text/plain", &b);
	}
	free(h);
}

static void on_gone(struct http_request *r, void *arg)
{
	struct held *h = arg;

	bump(h->e, EDGE_GONE);
	if (h->stream)
		held_finish(h);
}

static struct held *hold(struct edge *e, struct http_request *r)
{
	struct held *h = xcalloc(1, sizeof *h);

	h->e = e;
	h->r = r;
	list_push_back(&e->held, &h->link);
	http_on_gone(r, on_gone, h);
	return h;
}

static void stream_some(struct http_request *r, struct held *h)
{
	static const uint8_t data[10000];
	bool full = false;

	while (h->left > 0 && !full) {
		size_t n = MIN(h->left, sizeof data);

		full = http_stream_write(r, (struct bytes){data, n});
		h->left -= n;
		pthread_mutex_lock(&h->e->lock);
		h->e->streamed += n;
		pthread_mutex_unlock(&h->e->lock);
	}
	if (full)
		bump(h->e, EDGE_FULL);
	else
		held_finish(h);
}

/* One byte more, although the stream is full. */
static void stream_poke(struct held *h)
{
	http_stream_write(h->r, (struct bytes){(const uint8_t *)"p", 1});
}

static void on_drained(struct http_request *r, void *arg)
{
	struct held *h = arg;

	bump(h->e, EDGE_DRAINED);
	stream_some(r, h);
}

static void do_stream(struct edge *e, struct http_request *r)
{
	struct held *h = hold(e, r);

	h->stream = true;
	h->left = (size_t)atol(http_query(r));
	http_stream_begin(r, 200, "application/octet-stream");
	http_stream_on_drained(r, on_drained, h);
	stream_some(r, h);
}

static void do_open(struct edge *e, struct http_request *r)
{
	struct held *h = hold(e, r);

	h->stream = true;
	http_set_header(r, "Cache-Control", "no-store");
	http_stream_begin(r, 200, "text/event-stream");
	http_stream_write(r, (struct bytes){(const uint8_t *)"data: 1\n\n", 9});
	bump(e, EDGE_HELD);
}

static void do_hold(struct edge *e, struct http_request *r)
{
	hold(e, r);
	bump(e, EDGE_HELD);
}

static void do_show(struct edge *e, struct http_request *r)
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "%s %s ?%s %s", http_verb(r), http_path(r), http_query(r),
		   http_is_head(r) ? "head" : "");
	http_reply(r, 200, "text/plain", &b);
}

static void do_echo(struct edge *e, struct http_request *r)
{
	struct bytes in = http_body(r);
	struct buf b = BUF_INIT;

	buf_append(&b, in.data, in.len);
	http_reply(r, 200, "application/json", &b);
}

static void do_big(struct edge *e, struct http_request *r)
{
	struct buf b = BUF_INIT;
	size_t n = (size_t)atol(http_query(r));

	memset(buf_reserve(&b, n), 'b', n);
	b.len = n;
	http_reply(r, 200, "application/octet-stream", &b);
}

static void do_status(struct edge *e, struct http_request *r)
{
	struct buf b = BUF_INIT;

	buf_append_str(&b, "body");
	http_reply(r, atoi(http_query(r)), "text/plain", &b);
}

static void do_headers(struct edge *e, struct http_request *r)
{
	const char *second = http_header_nth(r, "x-list", 1);

	http_set_header(r, "X-Clean", "a b");
	http_set_header(r, "X-Dirty", "a\r\nSet-Cookie: evil=1");
	http_set_header(r, "X-Dirty", "a\nb");
	http_set_header(r, "X-Dirty: x\r\nY", "a");
	http_set_header(r, "X-First", http_header(r, "X-LIST") ? http_header(r, "X-LIST") : "none");
	http_set_header(r, "X-Second", second ? second : "none");
	http_set_header(r, "X-Third", http_header_nth(r, "x-list", 2) ? "some" : "none");
	http_set_header(r, "X-Peer", http_peer(r));
	http_reply(r, 200, NULL, NULL);
}

static void on_request(struct http_request *r, void *arg)
{
	static const struct {
		const char *path;
		void (*run)(struct edge *, struct http_request *);
	} handlers[] = {
		{"/echo", do_echo}, {"/hold", do_hold}, {"/stream", do_stream}, {"/open", do_open},
		{"/big", do_big}, {"/status", do_status}, {"/headers", do_headers},
	};
	struct edge *e = arg;

	http_on_done(r, on_done, e);
	bump(e, EDGE_REQUESTS);
	if (strstr(http_path(r), "SMUGGLED") != NULL)
		bump(e, EDGE_SMUGGLED);
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		if (strcmp(http_path(r), handlers[i].path) == 0) {
			handlers[i].run(e, r);
			return;
		}
	do_show(e, r);
}

static void on_refused(const char *peer, int status, const char *why, void *arg)
{
	struct edge *e = arg;

	access_refused(peer, status, why, NULL);
	pthread_mutex_lock(&e->lock);
	e->status = status;
	pthread_mutex_unlock(&e->lock);
	bump(e, EDGE_REFUSED);
}

static const struct http_ops ops = {.request = on_request, .refused = on_refused};

/* --- the server's thread --- */

static void publish_conns(struct edge *e)
{
	pthread_mutex_lock(&e->lock);
	e->n_conns = http_server_connections(e->server);
	pthread_cond_broadcast(&e->changed);
	pthread_mutex_unlock(&e->lock);
}

static void on_command(evutil_socket_t fd, short what, void *arg)
{
	struct edge *e = arg;
	char c;

	while (read(fd, &c, 1) == 1) {
		if (c == 'a')
			LIST_FOREACH(node, &e->held)
				held_finish(LIST_ENTRY(node, struct held, link));
		if (c == 'p')
			LIST_FOREACH(node, &e->held)
				stream_poke(LIST_ENTRY(node, struct held, link));
		if (c == 'd')
			http_server_drain(e->server);
		if (c == 'c')
			publish_conns(e);
		if (c == 'q')
			event_base_loopbreak(e->base);
	}
}

static struct event_base *base_new(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static void *serve(void *arg)
{
	struct edge *e = arg;

	event_base_dispatch(e->base);
	e->server = http_server_free(e->server);
	while (!list_empty(&e->held))
		free(LIST_ENTRY(list_pop_front(&e->held), struct held, link));
	event_free(e->command_ev);
	event_base_free(e->base);
	return NULL;
}

static void command(struct edge *e, char c)
{
	assert_int_equal(write(e->command[1], &c, 1), 1);
}

void edge_answer(struct edge *e)
{
	command(e, 'a');
}

void edge_poke(struct edge *e)
{
	command(e, 'p');
}

void edge_drain(struct edge *e)
{
	command(e, 'd');
}

void edge_wait_conns(struct edge *e, size_t n)
{
	int64_t until = clock_mono_ns() + WAIT_S * NS_PER_S;

	for (;;) {
		size_t now;
		struct timespec t = limit();

		pthread_mutex_lock(&e->lock);
		e->n_conns = SIZE_MAX;
		command(e, 'c');
		while (e->n_conns == SIZE_MAX)
			assert_int_equal(pthread_cond_timedwait(&e->changed, &e->lock, &t), 0);
		now = e->n_conns;
		pthread_mutex_unlock(&e->lock);
		if (now == n)
			return;
		assert_true(clock_mono_ns() < until);
		poll(NULL, 0, 2);
	}
}

struct http_limits edge_limits(void)
{
	return (struct http_limits){
		.max_head = 16384, .max_body = 1 << 20, .max_headers = 64, .max_connections = 1000,
		.head_timeout_ns = 20 * NS_PER_S, .body_timeout_ns = 20 * NS_PER_S,
		.idle_timeout_ns = 20 * NS_PER_S, .write_timeout_ns = 20 * NS_PER_S,
		.max_stream_buffer = 65536,
	};
}

int edge_listen(int *portp)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1024) == 0);
	getsockname(fd, (struct sockaddr *)&a, &len);
	*portp = ntohs(a.sin_port);
	return fd;
}

static struct edge *edge_new(const struct http_limits *limits, int fd)
{
	struct edge *e = xcalloc(1, sizeof *e);

	signal(SIGPIPE, SIG_IGN);
	e->limits = *limits;
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->changed, NULL);
	list_init(&e->held);
	e->base = base_new();
	e->server = http_server_new(e->base, fd, &e->limits, &ops, e);
	assert_non_null(e->server);
	return e;
}

struct edge *edge_start(const struct http_limits *limits)
{
	int port, fd = edge_listen(&port);
	struct edge *e = edge_new(limits, fd);
	char why[256];

	if (!edge_keep_access)
		assert_int_equal(access_open("off", why, sizeof why), 0);
	e->port = port;
	assert_int_equal(pipe2(e->command, O_CLOEXEC), 0);
	evutil_make_socket_nonblocking(e->command[0]);
	e->command_ev = event_new(e->base, e->command[0], EV_READ | EV_PERSIST, on_command, e);
	event_add(e->command_ev, NULL);
	assert_int_equal(pthread_create(&e->thread, NULL, serve, e), 0);
	return e;
}

struct edge *edge_stop(struct edge *e)
{
	command(e, 'q');
	pthread_join(e->thread, NULL);
	close(e->command[0]);
	close(e->command[1]);
	pthread_mutex_destroy(&e->lock);
	pthread_cond_destroy(&e->changed);
	free(e);
	return NULL;
}

void edge_serve(int fd, const struct http_limits *limits)
{
	struct edge *e = edge_new(limits, fd);

	event_base_dispatch(e->base);
}

/* --- clients --- */

int edge_connect_port(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {WAIT_S, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int edge_connect(struct edge *e)
{
	int fd = edge_connect_port(e->port);

	assert_true(fd >= 0);
	return fd;
}

bool edge_refuses(struct edge *e)
{
	int fd = edge_connect_port(e->port);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

void put_bytes(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		assert_true(n > 0);
		p += n;
		len -= (size_t)n;
	}
}

void put(int fd, const char *text)
{
	put_bytes(fd, text, strlen(text));
}

/* One byte, or -1 at the end; a timeout fails the test. */
static int get_byte(int fd)
{
	uint8_t c;
	ssize_t n = recv(fd, &c, 1, 0);

	if (n < 0 && errno != ECONNRESET)
		fail_msg("nothing arrived within %d s: %s", WAIT_S, strerror(errno));
	return n == 1 ? c : -1;
}

static bool get_bytes(int fd, struct buf *b, size_t n)
{
	uint8_t *p = buf_reserve(b, n);
	ssize_t got = n > 0 ? recv(fd, p, n, MSG_WAITALL) : 0;

	b->len += got > 0 ? (size_t)got : 0;
	return got == (ssize_t)n;
}

static bool get_line(int fd, struct buf *b)
{
	int c;

	while ((c = get_byte(fd)) >= 0) {
		buf_append_byte(b, (uint8_t)c);
		if (c == '\n')
			return true;
	}
	return false;
}

static void get_chunks(int fd, struct buf *body)
{
	for (;;) {
		AUTO_BUF line = BUF_INIT;
		AUTO_BUF end = BUF_INIT;
		size_t n;

		assert_true(get_line(fd, &line));
		n = strtoul(buf_cstr(&line), NULL, 16);
		assert_true(get_bytes(fd, body, n));
		assert_true(get_line(fd, &end));
		assert_int_equal(end.len, 2);
		if (n == 0)
			return;
	}
}

void answer_deinit(struct answer *a)
{
	buf_deinit(&a->head);
	buf_deinit(&a->body);
}

bool answer_has(const struct answer *a, const char *line)
{
	AUTO_BUF text = BUF_INIT;

	buf_printf(&text, "\r\n%s\r\n", line);
	return memmem(a->head.data, a->head.len, text.data, text.len) != NULL;
}

static long head_number(const struct answer *a, const char *name)
{
	const char *p = memmem(a->head.data, a->head.len, name, strlen(name));

	return p != NULL ? atol(p + strlen(name)) : -1;
}

void answer_read(int fd, struct answer *a, bool no_body)
{
	long length;

	answer_deinit(a);
	*a = (struct answer){0};
	do {
		size_t from = a->head.len;

		if (!get_line(fd, &a->head))
			return;
		if (a->head.len - from == 2)
			break;
	} while (true);
	buf_cstr(&a->head);
	a->status = (int)head_number(a, "HTTP/1.1 ");
	a->chunked = answer_has(a, "Transfer-Encoding: chunked");
	a->close = answer_has(a, "Connection: close");
	length = head_number(a, "\r\nContent-Length: ");
	if (no_body || a->status == 100 || a->status == 204 || a->status == 304)
		return;
	if (a->chunked)
		get_chunks(fd, &a->body);
	else if (length >= 0)
		get_bytes(fd, &a->body, (size_t)length);
	else
		while (get_bytes(fd, &a->body, 1))
			;
	buf_cstr(&a->body);
}

void expect_eof(int fd)
{
	assert_int_equal(get_byte(fd), -1);
}

void read_all(int fd, struct buf *out)
{
	char chunk[65536];
	ssize_t n;

	while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0)
		buf_append(out, chunk, (size_t)n);
	if (n < 0 && errno != ECONNRESET)
		fail_msg("no end within %d s: %s", WAIT_S, strerror(errno));
}

void ask(struct edge *e, const char *text, struct answer *a)
{
	int fd = edge_connect(e);

	put(fd, text);
	answer_read(fd, a, false);
	close(fd);
}
int64_t edge_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

void edge_check_at_rest(void)
{
	int64_t begin = edge_cpu_ns();

	poll(NULL, 0, 100); /* the time is what is measured */
	assert_true(edge_cpu_ns() - begin < 30 * NS_PER_MS);
}

