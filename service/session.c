/* session.c: see session.h. Nothing here closes a session while the conn is at
 * work: faults are noted and the turn's end (flush) acts on them. */
#define _GNU_SOURCE
#include "service/session.h"

#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "config.h"
#include "errand/status.h"
#include "service/deadline.h"
#include "service/dispatch.h"
#include "service/loop.h"
#include "service/registry.h"
#include "service/service.h"
#include "wire/conn_io.h"

#define READ_SIZE (64u << 10)
#define READS_PER_TURN 4 /* of one connection, before the others have theirs */
/* Control frames may overtake an answer after it was queued; so many bytes more
 * than were queued must have gone before it counts as written. */
#define OVERTAKE (64u << 10)

/* All connections of one UID share its limits. */
struct user {
	uid_t uid;
	size_t n_sessions, n_calls;
	size_t n_queued; /* bytes */
};

/* Somebody to be told when the output up to `mark` is written. */
struct receipt {
	struct list node;
	uint64_t mark; /* of session.n_sent */
	void (*fn)(void *arg);
	void *arg;
};

struct session {
	struct list node;
	int fd;                /* owned */
	struct sock_peer peer;
	struct user *user;     /* shared; counts its sessions */
	struct conn *conn;     /* owned */
	struct event *readable, *writable; /* owned */
	struct list requests;
	size_t n_requests;
	struct list receipts;  /* by mark */
	uint64_t n_sent;       /* bytes written so far */
	size_t n_queued;       /* bytes waiting, as counted in user */
	struct loop_job flush;
	bool flush_due;        /* flush is on the loop's list */
	bool paused;           /* not read from: too much output waits */
	bool waiting;          /* for the socket to take more */
	bool eof;              /* the client is gone, or has broken the protocol */
	struct deadline frame; /* for the frame that has begun */
	uint64_t frame_number; /* which one that was */
};

static struct session_limits limits;
static struct list sessions;
static size_t n_sessions, n_requests;
static struct map users;
static uint8_t *read_buf; /* one for all: the loop reads from one at a time */
static struct buf hello;  /* what Hello is answered with */
static const uint8_t *hello_digest; /* of the view that it names */
static bool draining;

static void session_close(struct session *s);

/* --- requests --- */

static void flush_later(struct session *s)
{
	if (s->flush_due)
		return;
	s->flush_due = true;
	loop_defer(&s->flush);
}

static void request_free(struct request *r)
{
	struct session *s = r->session;

	s->n_requests--;
	s->user->n_calls--;
	n_requests--;
	deadline_drop(&r->stall);
	list_remove(&r->node);
	free(r);
}

/* Why a new call is refused, or NULL. */
static const char *over_limit(const struct session *s, size_t input)
{
	if (s->n_requests >= limits.max_calls)
		return "too many calls at once on this connection";
	if (s->user->n_calls >= limits.max_calls_user)
		return "too many calls at once of this user";
	if (s->user->n_queued >= limits.max_output_user)
		return "too much output waits for this user to read it";
	if (input > limits.max_input || dispatch_memory() > limits.max_input - input)
		return "the calls under way hold too much memory";
	return NULL;
}

static void refuse(struct conn *c, struct conn_stream *stream, int code, const char *text)
{
	struct wire_response w;

	w.code = code;
	w.message = (struct bytes){(const uint8_t *)text, strlen(text)};
	w.details = w.payload = (struct bytes){0};
	w.n_metadata = 0;
	wire_pair_add(w.metadata, &w.n_metadata, "retry-after", (struct bytes){(const uint8_t *)"1", 1});
	conn_respond(c, stream, &w);
}

static bool is_worker(const struct session *s)
{
	LIST_FOREACH(node, &s->requests)
		if (LIST_ENTRY(node, struct request, node)->works_for_us)
			return true;
	return false;
}

static void on_request(struct conn *c, struct conn_stream *stream, const struct wire_request *w,
		       bool open, void *arg)
{
	struct session *s = arg;
	const char *why = over_limit(s, w->payload.len);
	struct request *r;

	/* what workers have is still answered, on whatever connection */
	if (why != NULL || (draining && !dispatch_of_worker(w))) {
		refuse(c, stream, why == NULL ? ERRAND_UNAVAILABLE : ERRAND_RESOURCE_EXHAUSTED,
		       why == NULL ? "the service is stopping" : why);
		return;
	}
	r = xcalloc(1, sizeof *r);
	r->session = s;
	r->stream = stream;
	conn_stream_set_user(stream, r);
	list_push_back(&s->requests, &r->node);
	s->n_requests++;
	s->user->n_calls++;
	n_requests++;
	dispatch_request(r, w, open);
}

static void on_cancelled(struct conn *c, struct conn_stream *stream, void *user, void *arg)
{
	struct request *r = user;

	if (r == NULL)
		return;
	if (r->op != NULL)
		r->cancelled(r);
	request_free(r);
}

/* Tells the request that it may send again, once nothing stands in its way. */
static void unblock(struct request *r)
{
	if (!r->blocked || r->no_credit || conn_over_limit(r->session->conn))
		return;
	r->blocked = false;
	if (r->writable != NULL)
		r->writable(r);
}

static void on_writable(struct conn *c, struct conn_stream *stream, void *user, void *arg)
{
	struct request *r = user;

	if (r == NULL)
		return;
	r->no_credit = false;
	unblock(r);
	flush_later(arg);
}

static const struct conn_ops ops = {
	.request = on_request,
	.cancelled = on_cancelled,
	.writable = on_writable,
};

void session_answer(struct request *r, const struct wire_response *response,
		    void (*delivered)(void *arg), void *arg)
{
	struct session *s = r->session;

	conn_stream_set_user(r->stream, NULL);
	conn_respond(s->conn, r->stream, response);
	if (delivered != NULL) {
		struct receipt *p = xcalloc(1, sizeof *p);

		p->mark = s->n_sent + conn_pending(s->conn);
		p->fn = delivered;
		p->arg = arg;
		list_push_back(&s->receipts, &p->node);
	}
	request_free(r);
	flush_later(s);
}

void session_answer_error(struct request *r, int code, const char *text)
{
	struct wire_response w;

	w.code = code;
	w.message = (struct bytes){(const uint8_t *)text, strlen(text)};
	w.details = w.payload = (struct bytes){0};
	w.n_metadata = 0;
	session_answer(r, &w, NULL, NULL);
}

/* The stream has waited for its client all that time: it ends here. */
static void cut_stalled(struct request *r)
{
	struct session *s = r->session;

	log_warn("a client takes nothing of its stream, cut off", "pid=%d uid=%u stall_ms=%lld",
		 (int)s->peer.pid, (unsigned)s->peer.uid, (long long)(limits.stall_ns / NS_PER_MS));
	if (r->op != NULL)
		r->cancelled(r);
	session_answer_error(r, ERRAND_RESOURCE_EXHAUSTED, "the stream was not read for too long");
}

static void on_stall(struct deadline *d)
{
	struct request *r = CONTAINER_OF(d, struct request, stall);

	if (!r->blocked)
		return;
	if (clock_mono_ns() - r->blocked_ns < limits.stall_ns)
		deadline_set(d, r->blocked_ns + limits.stall_ns, on_stall);
	else
		cut_stalled(r);
}

/* A fast stream is blocked and not many times a second: the deadline stays as it is
 * and looks at blocked_ns when it is due. */
static void watch_stall(struct request *r)
{
	r->blocked_ns = clock_mono_ns();
	if (!deadline_is_set(&r->stall))
		deadline_set(&r->stall, r->blocked_ns + limits.stall_ns, on_stall);
}

int session_send(struct request *r, struct bytes message)
{
	bool was_blocked = r->blocked;
	struct session *s = r->session;
	int n = conn_send_data(s->conn, r->stream, message);

	flush_later(s);
	if (n < 0)
		return n;
	r->no_credit = n == 1;
	r->blocked = n == 1 || conn_over_limit(s->conn);
	if (r->blocked && !was_blocked)
		watch_stall(r);
	return r->blocked;
}

/* --- output --- */

static void count_queued(struct session *s)
{
	size_t now = conn_pending(s->conn);

	s->user->n_queued += now - s->n_queued;
	s->n_queued = now;
}

/* Tells those whose output has gone; all of them when there will be no more. */
static void give_receipts(struct session *s, bool all)
{
	while (!list_empty(&s->receipts)) {
		struct receipt *p = LIST_ENTRY(s->receipts.next, struct receipt, node);

		if (!all && s->n_queued > 0 && s->n_sent < p->mark + OVERTAKE)
			return;
		list_remove(&p->node);
		p->fn(p->arg);
		free(p);
	}
}

/* fn for each request there is now; a handler it reaches may end any of them. */
static void each_request(struct session *s, void (*fn)(struct request *r))
{
	struct list todo, *node;

	list_init(&todo);
	list_splice(&todo, &s->requests);
	while ((node = list_pop_front(&todo)) != NULL) {
		list_push_back(&s->requests, node);
		fn(LIST_ENTRY(node, struct request, node));
	}
}

/* Reads again, and lets streams go on, once there is room for their output. */
static void resume(struct session *s)
{
	if (conn_over_limit(s->conn))
		return;
	if (s->paused) {
		s->paused = false;
		event_add(s->readable, NULL);
	}
	each_request(s, unblock);
}

static void flush(struct loop_job *job)
{
	struct session *s = CONTAINER_OF(job, struct session, flush);
	bool was_full = conn_over_limit(s->conn);

	s->flush_due = false;
	if (conn_write(s->conn, s->fd, &s->n_sent) == CONN_IO_BROKEN)
		s->eof = true;
	count_queued(s);
	give_receipts(s, false);
	if (s->eof) {
		session_close(s);
		return;
	}
	if (s->n_queued > 0 && !s->waiting) {
		s->waiting = true;
		event_add(s->writable, NULL);
	}
	if (conn_over_limit(s->conn) && !s->paused) {
		s->paused = true;
		event_del(s->readable);
	} else if (was_full || s->paused) {
		resume(s);
	}
}

static void on_writable_fd(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	s->waiting = false;
	flush_later(s);
}

/* --- input --- */

static void end(struct session *s)
{
	s->eof = true;
	flush_later(s);
}

static void on_frame_late(struct deadline *d)
{
	struct session *s = CONTAINER_OF(d, struct session, frame);

	/* While it is paused it is us who do not read. */
	if (s->paused) {
		deadline_set(&s->frame, clock_mono_ns() + limits.frame_ns, on_frame_late);
		return;
	}
	log_warn("a client's frame was not whole in time, connection closed", "pid=%d uid=%u",
		 (int)s->peer.pid, (unsigned)s->peer.uid);
	end(s);
}

static void watch_frame(struct session *s)
{
	if (!conn_in_frame(s->conn)) {
		deadline_drop(&s->frame);
		return;
	}
	if (deadline_is_set(&s->frame) && s->frame_number == conn_n_frames(s->conn))
		return;
	s->frame_number = conn_n_frames(s->conn);
	deadline_set(&s->frame, clock_mono_ns() + limits.frame_ns, on_frame_late);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	int r = 0;

	if (!s->eof && !s->paused)
		r = conn_read(s->conn, fd, read_buf, READ_SIZE, READS_PER_TURN);
	if (r < 0)
		log_warn("a client broke the protocol, connection closed", "pid=%d uid=%u reason=\"%s\"",
			 (int)s->peer.pid, (unsigned)s->peer.uid, conn_why(s->conn));
	if (r != 0)
		s->eof = true;
	watch_frame(s);
	flush_later(s);
}

/* --- life --- */

static struct user *user_get(uid_t uid)
{
	struct user *u = map_get(&users, &uid, sizeof uid);

	if (u == NULL) {
		u = xcalloc(1, sizeof *u);
		u->uid = uid;
		map_put(&users, &uid, sizeof uid, u);
	}
	u->n_sessions++;
	return u;
}

static void user_put(struct user *u)
{
	if (--u->n_sessions > 0)
		return;
	map_remove(&users, &u->uid, sizeof u->uid);
	free(u);
}

/* errand.wire.v1.HelloReply, made anew when the methods have changed. */
static void make_hello(void)
{
	if (hello.len > 0 && hello_digest == registry_digest())
		return;
	hello_digest = registry_digest();
	buf_reset(&hello);
	pbuf_put_uint(&hello, 1, 1);
	pbuf_put_uint(&hello, 2, CONN_WINDOW);
	pbuf_put_str(&hello, 3, "errand-service " VERSION);
	pbuf_put_bytes(&hello, 4, hello_digest, 32);
	pbuf_put_str(&hello, 5, service_instance());
}

/* Why one more connection is refused, or NULL. */
static const char *refuse_session(const struct sock_peer *peer)
{
	const struct user *u = map_get(&users, &peer->uid, sizeof peer->uid);

	if (draining)
		return "stopping";
	if (n_sessions >= limits.max_sessions)
		return "too many connections";
	return u != NULL && u->n_sessions >= limits.max_sessions_user ? "too many connections of this user" : NULL;
}

void session_new(int fd, const struct sock_peer *peer)
{
	const char *why = refuse_session(peer);
	struct conn_limits l = {.max_output = limits.max_output};
	struct session *s;

	if (why != NULL) {
		log_warn("connection refused", "pid=%d uid=%u reason=\"%s\"", (int)peer->pid, (unsigned)peer->uid, why);
		close(fd);
		return;
	}
	s = xcalloc(1, sizeof *s);
	s->fd = fd;
	s->peer = *peer;
	s->user = user_get(peer->uid);
	s->conn = conn_new(CONN_SERVER, &ops, &l, s);
	s->readable = event_new(loop_base(), fd, EV_READ | EV_PERSIST, on_readable, s);
	s->writable = event_new(loop_base(), fd, EV_WRITE, on_writable_fd, s);
	s->flush.run = flush;
	list_init(&s->requests);
	list_init(&s->receipts);
	list_push_back(&sessions, &s->node);
	n_sessions++;
	if (s->conn == NULL || s->readable == NULL || s->writable == NULL ||
	    event_add(s->readable, NULL) < 0) {
		log_error("out of memory for a connection", NULL);
		_exit(71);
	}
	make_hello();
	conn_set_hello(s->conn, buf_bytes(&hello));
	log_debug("client connected", "pid=%d uid=%u", (int)peer->pid, (unsigned)peer->uid);
}

static void abandon(struct request *r)
{
	if (r->op != NULL)
		r->cancelled(r);
	request_free(r);
}

static void session_close(struct session *s)
{
	log_debug("client disconnected", "pid=%d uid=%u calls=%zu", (int)s->peer.pid,
		  (unsigned)s->peer.uid, s->n_requests);
	each_request(s, abandon);
	deadline_drop(&s->frame);
	event_free(s->readable);
	event_free(s->writable);
	close(s->fd);
	if (s->flush_due)
		list_remove(&s->flush.node);
	s->user->n_queued -= s->n_queued;
	user_put(s->user);
	conn_free(s->conn);
	list_remove(&s->node);
	n_sessions--;
	give_receipts(s, true);
	free(s);
}

void session_set_limits(const struct session_limits *l)
{
	limits = *l;
}

void session_init(const struct session_limits *l)
{
	limits = *l;
	draining = false;
	list_init(&sessions);
	read_buf = xmalloc(READ_SIZE);
}

void session_deinit(void)
{
	LIST_FOREACH(node, &sessions)
		session_close(LIST_ENTRY(node, struct session, node));
	map_deinit(&users);
	users = MAP_INIT;
	free(read_buf);
	read_buf = NULL;
	buf_deinit(&hello);
}

const struct sock_peer *session_peer(const struct request *r)
{
	return &r->session->peer;
}

size_t session_count(void)
{
	return n_sessions;
}

size_t session_most(void)
{
	return limits.max_sessions;
}

size_t session_n_requests(void)
{
	return n_requests;
}

size_t session_n_unsent(void)
{
	size_t n = 0;

	LIST_FOREACH(node, &sessions)
		n += conn_pending(LIST_ENTRY(node, struct session, node)->conn);
	return n;
}

/* --- stopping --- */

void session_goaway_all(void)
{
	draining = true;
	LIST_FOREACH(node, &sessions) {
		struct session *s = LIST_ENTRY(node, struct session, node);

		if (is_worker(s))
			continue;
		conn_goaway(s->conn);
		flush_later(s);
	}
}

void session_each_request(void (*fn)(struct request *r))
{
	LIST_FOREACH(node, &sessions)
		each_request(LIST_ENTRY(node, struct session, node), fn);
}

bool session_flushed(void)
{
	LIST_FOREACH(node, &sessions) {
		struct session *s = LIST_ENTRY(node, struct session, node);

		if (conn_pending(s->conn) > 0 || s->flush_due)
			return false;
	}
	return true;
}
