/* client.c: errand/client.h: a conn (wire/conn.h) with a socket, deadlines and
 * poll(2) around it. Nothing here logs, exits or keeps state outside the client;
 * a failed allocation is an error like any other.
 *
 *   submit ─▶ conn ─▶ socket        dispatch: write, read, deadlines
 *   socket ─▶ conn ─▶ on_response ─▶ pending_finish ─▶ the caller's on_reply
 *
 * A blocking call is a submit whose callbacks keep a copy of the reply, and a
 * loop of poll and dispatch until it is there. */
#define _GNU_SOURCE
#include "config.h"

#include "errand/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/pbuf.h"
#include "base/sock.h"
#include "wire/conn.h"
#include "wire/conn_io.h"

enum {
	READ_SIZE = 32768,
	READS_AT_ONCE = 16,    /* then the caller's loop gets its turn */
	CONNECT_RETRY_MS = 20, /* the service's backlog is full: FAULTS 42 */
	MESSAGE_SIZE = 256,    /* a status' text up to this needs no malloc */
	PATH_SIZE = 108,       /* of sockaddr_un */
	ADDRESS_SIZE = 160,
};

#define CONNECT_TIMEOUT (5 * NS_PER_S)

struct errand_client {
	int fd;                  /* -1: not connected, or lost */
	struct conn *conn;       /* NULL until connected */
	bool greeted;            /* Hello was answered, or not asked for */
	bool write_failed;       /* reading will find out why */
	bool busy;               /* inside dispatch or close */
	bool local;              /* the reply being given was made here, not by the peer */
	struct list calls;       /* errand_pending, in the order of their submit */
	struct errand_pending *current; /* whose on_message runs; NULL once it has ended */
	int64_t next_deadline;   /* none is earlier (clock_mono_ns); INT64_MAX = none */
	char why[SOCK_WHY];
	uint8_t input[READ_SIZE];
};

struct errand_pending {
	struct list node;        /* in client->calls */
	struct conn_stream *stream;
	struct errand_callbacks cb;
	int64_t deadline;        /* clock_mono_ns; INT64_MAX = none */
};

static int client_fail(struct errand_client *c, int code, const char *why)
{
	snprintf(c->why, sizeof c->why, "%s", why);
	return -code;
}

static int64_t deadline_after(int64_t ns)
{
	int64_t now = clock_mono_ns();

	return ns > INT64_MAX - now ? INT64_MAX : now + ns;
}

/* Milliseconds for poll, rounded up so that it does not wake too early. */
static int poll_time(int64_t deadline)
{
	int64_t left;

	if (deadline == INT64_MAX)
		return -1;
	left = deadline - clock_mono_ns();
	if (left <= 0)
		return 0;
	return (int)MIN((left + NS_PER_MS - 1) / NS_PER_MS, 1000000);
}

/* --- the end of a call --- */

static const struct errand_reply *reply_from(struct errand_reply *out, const char *message,
					     const struct wire_response *r)
{
	static const char task[] = "errand.v1.Task";
	struct bytes name = wire_pair_get(r->metadata, r->n_metadata, "errand-message");

	out->code = r->code;
	out->message = message;
	out->problem = r->details.len > 0 ? r->details.data : NULL;
	out->problem_len = r->details.len;
	out->payload = r->payload.len > 0 ? r->payload.data : NULL;
	out->payload_len = r->payload.len;
	out->is_task = name.len == sizeof task - 1 && memcmp(name.data, task, name.len) == 0;
	return out;
}

/* Frees the pending; its stream must be gone. */
static void pending_finish(struct errand_client *c, struct errand_pending *p,
			   const struct wire_response *r)
{
	char small[MESSAGE_SIZE];
	AUTO_FREE char *large = NULL;
	struct errand_callbacks cb = p->cb;
	struct errand_reply reply;
	size_t len = r->message.len;

	if (c->current == p)
		c->current = NULL;
	list_remove(&p->node);
	free(p);
	if (cb.on_reply == NULL)
		return;
	if (len >= sizeof small) {
		large = malloc(len + 1);
		len = large != NULL ? len : sizeof small - 1; /* better cut than lost */
	}
	if (len > 0)
		memcpy(large != NULL ? large : small, r->message.data, len);
	(large != NULL ? large : small)[len] = '\0';
	cb.on_reply(reply_from(&reply, large != NULL ? large : small, r), cb.arg);
}

/* Ends a call by a decision of this side. */
static void pending_abort(struct errand_client *c, struct errand_pending *p, int code,
			  const char *message)
{
	struct wire_response r;

	if (p->stream != NULL)
		conn_cancel(c->conn, p->stream);
	r.code = code;
	r.message = (struct bytes){(const uint8_t *)message, strlen(message)};
	r.details = r.payload = (struct bytes){NULL, 0};
	r.n_metadata = 0;
	c->local = true;
	pending_finish(c, p, &r);
	c->local = false;
}

static void abort_all(struct errand_client *c, int code, const char *message)
{
	struct list *node;

	while ((node = c->calls.next) != &c->calls)
		pending_abort(c, LIST_ENTRY(node, struct errand_pending, node), code, message);
}

/* --- the conn's events --- */

static void on_hello(struct conn *conn, bool extended, struct bytes payload, void *arg)
{
	struct errand_client *c = arg;

	c->greeted = true;
}

static void on_response(struct conn *conn, struct conn_stream *s, void *user,
			const struct wire_response *r, void *arg)
{
	pending_finish(arg, user, r);
}

static void on_data(struct conn *conn, struct conn_stream *s, void *user, struct bytes message,
		    void *arg)
{
	struct errand_client *c = arg;
	struct errand_pending *p = user;
	int stop = 0;

	c->current = p;
	if (p->cb.on_message != NULL)
		stop = p->cb.on_message(message.data, message.len, p->cb.arg);
	if (c->current != p)
		return; /* cancelled from inside */
	c->current = NULL;
	conn_consumed(conn, s, message.len);
	if (stop)
		pending_abort(c, p, ERRAND_CANCELLED, "cancelled by the caller");
}

static const struct conn_ops client_ops = {
	.hello = on_hello, .response = on_response, .data = on_data,
};

/* --- the socket --- */

/* The connection is over: every call ends, and later ones fail at once. */
static int client_lose(struct errand_client *c, int code, const char *why)
{
	char text[SOCK_WHY];

	snprintf(text, sizeof text, "%s", why);
	close(c->fd);
	c->fd = -1;
	abort_all(c, ERRAND_UNAVAILABLE, text);
	return client_fail(c, code, text);
}

static void client_write(struct errand_client *c)
{
	if (!c->write_failed && conn_write(c->conn, c->fd, NULL) == CONN_IO_BROKEN)
		c->write_failed = true; /* answers may still be there to read */
}

static int client_read(struct errand_client *c)
{
	int r = conn_read(c->conn, c->fd, c->input, sizeof c->input, READS_AT_ONCE);

	if (r < 0)
		return client_lose(c, -r, conn_why(c->conn));
	if (r == CONN_IO_EOF)
		return client_lose(c, ERRAND_UNAVAILABLE, "the service closed the connection");
	if (r == CONN_IO_BROKEN)
		return client_lose(c, ERRAND_UNAVAILABLE, strerror(errno));
	return 0;
}

static void expire(struct errand_client *c)
{
	int64_t now = clock_mono_ns();

	if (now < c->next_deadline)
		return;
	for (struct list *node = c->calls.next; node != &c->calls;) {
		struct errand_pending *p = LIST_ENTRY(node, struct errand_pending, node);

		node = node->next;
		if (p->deadline > now)
			continue;
		pending_abort(c, p, ERRAND_DEADLINE_EXCEEDED,
			      "no answer before the call's deadline");
		node = c->calls.next; /* a callback may have ended any other call */
	}
	c->next_deadline = INT64_MAX;
	LIST_FOREACH(node, &c->calls)
		c->next_deadline = MIN(c->next_deadline,
				       LIST_ENTRY(node, struct errand_pending, node)->deadline);
}

int errand_client_dispatch(struct errand_client *c)
{
	int err;

	if (c->fd < 0)
		return -ERRAND_UNAVAILABLE;
	if (c->busy)
		return client_fail(c, ERRAND_FAILED_PRECONDITION, "called from a callback");
	c->busy = true;
	client_write(c);
	err = client_read(c);
	if (err == 0) {
		expire(c);
		client_write(c); /* what the callbacks have queued */
		if (conn_feed(c->conn, NULL, 0) < 0) /* a frame was lost: no memory */
			err = client_lose(c, ERRAND_RESOURCE_EXHAUSTED, conn_why(c->conn));
	}
	c->busy = false;
	return err;
}

int errand_client_fd(const struct errand_client *c)
{
	return c->fd;
}

short errand_client_events(const struct errand_client *c)
{
	if (c->fd < 0)
		return 0;
	return conn_pending(c->conn) > 0 && !c->write_failed ? POLLIN | POLLOUT : POLLIN;
}

int errand_client_timeout(const struct errand_client *c)
{
	return poll_time(c->next_deadline);
}

/* Waits for the socket until `deadline` or that of a call, then dispatches. */
static int client_turn(struct errand_client *c, int64_t deadline)
{
	struct pollfd p = {.fd = c->fd, .events = errand_client_events(c)};

	if (poll(&p, 1, poll_time(MIN(deadline, c->next_deadline))) < 0 && errno != EINTR)
		return client_fail(c, ERRAND_INTERNAL, strerror(errno));
	return errand_client_dispatch(c);
}

/* --- opening --- */

static const char *default_address(char *out, size_t size)
{
	const char *dir, *env = secure_getenv("ERRAND_SOCKET");

	if (env != NULL && env[0] != '\0')
		return env;
	dir = geteuid() != 0 ? secure_getenv("XDG_RUNTIME_DIR") : NULL;
	if (dir != NULL && dir[0] == '/') {
		snprintf(out, size, "%s/errand/service.sock", dir);
		if (access(out, F_OK) == 0)
			return out;
	}
	return RUNDIR "/errand/service.sock";
}

/* A UNIX socket whose backlog is full says EAGAIN instead of waiting. */
static int connect_retry(struct errand_client *c, const char *address, int64_t deadline)
{
	int fd;

	while ((fd = sock_connect(address, c->why)) == -EAGAIN && clock_mono_ns() < deadline)
		poll(NULL, 0, CONNECT_RETRY_MS);
	return fd;
}

static int client_connect(struct errand_client *c, const char *address, int64_t deadline)
{
	struct pollfd p = {.events = POLLOUT};
	int err;

	c->fd = connect_retry(c, address, deadline);
	if (c->fd < 0) {
		c->fd = -1;
		return -ERRAND_UNAVAILABLE; /* why is sock_connect's */
	}
	p.fd = c->fd;
	while ((err = poll(&p, 1, poll_time(deadline))) < 0 && errno == EINTR)
		;
	if (err == 0)
		return client_fail(c, ERRAND_UNAVAILABLE, "nobody took the connection in time");
	err = sock_error(c->fd);
	return err < 0 ? client_fail(c, ERRAND_UNAVAILABLE, strerror(-err)) : 0;
}

static int client_hello(struct errand_client *c, int64_t deadline)
{
	AUTO_BUF hello = BUF_INIT;
	int err;

	pbuf_put_uint(&hello, 1, 1);
	pbuf_put_uint(&hello, 2, CONN_WINDOW);
	pbuf_put_str(&hello, 3, "liberrand " PACKAGE_VERSION);
	if (buf_failed(&hello) || conn_hello(c->conn, buf_bytes(&hello)) < 0)
		return client_fail(c, ERRAND_RESOURCE_EXHAUSTED, "out of memory");
	while (!c->greeted) {
		err = client_turn(c, deadline);
		if (err < 0)
			return err;
		if (!c->greeted && clock_mono_ns() >= deadline)
			return client_fail(c, ERRAND_UNAVAILABLE,
					   "the service did not answer in time");
	}
	return 0;
}

static int client_start(struct errand_client *c, const char *address,
			const struct errand_client_options *o)
{
	int64_t timeout = o->connect_timeout_ns > 0 ? o->connect_timeout_ns : CONNECT_TIMEOUT;
	int64_t deadline = deadline_after(timeout);
	char fallback[ADDRESS_SIZE], full[ADDRESS_SIZE];
	int err;

	if (address == NULL)
		address = default_address(fallback, sizeof fallback);
	if (strncmp(address, "unix:", 5) == 0)
		address += 5;
	if (strlen(address) >= PATH_SIZE)
		return client_fail(c, ERRAND_INVALID_ARGUMENT, "the socket's path is too long");
	snprintf(full, sizeof full, "unix:%s", address);
	err = client_connect(c, full, deadline);
	if (err < 0)
		return err;
	c->conn = conn_new(CONN_CLIENT, &client_ops, NULL, c);
	if (c->conn == NULL)
		return client_fail(c, ERRAND_RESOURCE_EXHAUSTED, "out of memory");
	return o->plain ? 0 : client_hello(c, deadline);
}

int errand_client_open(struct errand_client **clientp, const char *address,
		       const struct errand_client_options *options)
{
	static const struct errand_client_options defaults;
	struct errand_client *c = malloc(sizeof *c);
	int err;

	*clientp = c;
	if (c == NULL)
		return -ERRAND_RESOURCE_EXHAUSTED;
	memset(c, 0, offsetof(struct errand_client, input));
	c->fd = -1;
	c->next_deadline = INT64_MAX;
	list_init(&c->calls);
	err = client_start(c, address, options != NULL ? options : &defaults);
	if (err < 0 && c->fd >= 0) {
		close(c->fd);
		c->fd = -1;
	}
	return err;
}

struct errand_client *errand_client_close(struct errand_client *c)
{
	if (c == NULL)
		return NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1; /* so callbacks can submit nothing any more */
	c->busy = true;
	abort_all(c, ERRAND_CANCELLED, "the connection is being closed");
	conn_free(c->conn);
	free(c);
	return NULL;
}

const char *errand_client_error(const struct errand_client *c)
{
	return c->why;
}

/* --- calls --- */

static struct bytes text(const char *s)
{
	return (struct bytes){(const uint8_t *)s, strlen(s)};
}

/* as_task asks only where the answer can say what it is. */
static int fill_request(struct errand_client *c, struct wire_request *r,
			const struct errand_call_options *o)
{
	if (r->service.len == 0 || r->method.len == 0 || o->timeout_ns < 0)
		return client_fail(c, ERRAND_INVALID_ARGUMENT,
				   "a call needs a service, a method and no negative timeout");
	if (o->n_metadata >= ENVELOPE_METADATA_MAX)
		return client_fail(c, ERRAND_INVALID_ARGUMENT, "too many metadata pairs");
	r->timeout_ns = o->timeout_ns;
	r->n_metadata = 0;
	for (size_t i = 0; i < o->n_metadata; i++)
		wire_pair_add(r->metadata, &r->n_metadata, o->metadata[i].key,
			      text(o->metadata[i].value));
	if (o->as_task && conn_extended(c->conn))
		wire_pair_add(r->metadata, &r->n_metadata, "errand-task", text("accept"));
	return 0;
}

static int submit_request(struct errand_client *c, const struct wire_request *r,
			  struct errand_pending *p)
{
	if (conn_over_limit(c->conn))
		return client_fail(c, ERRAND_RESOURCE_EXHAUSTED,
				   "too much is waiting to be sent already");
	p->stream = conn_request(c->conn, r, p);
	if (p->stream == NULL)
		return client_fail(c, conn_draining(c->conn) ? ERRAND_UNAVAILABLE :
				   ERRAND_RESOURCE_EXHAUSTED, conn_why(c->conn));
	return 0;
}

int errand_client_submit(struct errand_client *c, const char *service, const char *method,
			 const void *payload, size_t len, const struct errand_call_options *options,
			 const struct errand_callbacks *callbacks, struct errand_pending **pendingp)
{
	static const struct errand_call_options defaults;
	const struct errand_call_options *o = options != NULL ? options : &defaults;
	struct wire_request r;
	struct errand_pending *p;
	int err;

	if (c->fd < 0)
		return -ERRAND_UNAVAILABLE; /* why says since when */
	r.service = text(service);
	r.method = text(method);
	r.payload = (struct bytes){payload, len};
	r.streaming = callbacks->on_message != NULL;
	err = fill_request(c, &r, o);
	if (err < 0)
		return err;
	p = calloc(1, sizeof *p);
	if (p == NULL)
		return client_fail(c, ERRAND_RESOURCE_EXHAUSTED, "out of memory");
	p->cb = *callbacks;
	p->deadline = o->timeout_ns > 0 ? deadline_after(o->timeout_ns) : INT64_MAX;
	err = submit_request(c, &r, p);
	if (err < 0) {
		free(p);
		return err;
	}
	list_push_back(&c->calls, &p->node);
	c->next_deadline = MIN(c->next_deadline, p->deadline);
	if (pendingp != NULL)
		*pendingp = p;
	return 0;
}

void errand_client_cancel(struct errand_client *c, struct errand_pending *p)
{
	pending_abort(c, p, ERRAND_CANCELLED, "cancelled by the caller");
}

/* --- blocking --- */

struct waiter { /* of one blocking call */
	struct errand_client *c;
	int (*on_message)(const void *message, size_t len, void *arg);
	void *arg;
	bool done;
	int err;                    /* of the transport */
	struct errand_reply *reply; /* owned */
};

struct errand_reply *errand_reply_free(struct errand_reply *reply)
{
	free(reply);
	return NULL;
}

static const void *put(char **pp, const void *data, size_t len)
{
	char *p = *pp;

	if (data == NULL)
		return NULL;
	memcpy(p, data, len);
	*pp += len;
	return p;
}

/* One allocation: the struct, then what it points to. */
static struct errand_reply *reply_copy(const struct errand_reply *r)
{
	size_t message = strlen(r->message) + 1;
	struct errand_reply *copy = malloc(sizeof *copy + message + r->problem_len +
					   r->payload_len);
	char *p;

	if (copy == NULL)
		return NULL;
	*copy = *r;
	p = (char *)(copy + 1);
	copy->payload = put(&p, r->payload, r->payload_len);
	copy->problem = put(&p, r->problem, r->problem_len);
	copy->message = put(&p, r->message, message);
	return copy;
}

static int wait_message(const void *message, size_t len, void *arg)
{
	struct waiter *w = arg;

	return w->on_message(message, len, w->arg);
}

/* What the peer said is a reply; what was decided here is an error, but for the
 * cancel the caller asked for himself. */
static void wait_reply(const struct errand_reply *reply, void *arg)
{
	struct waiter *w = arg;

	w->done = true;
	if (w->c->local && reply->code != ERRAND_CANCELLED) {
		w->err = client_fail(w->c, reply->code, reply->message);
		return;
	}
	w->reply = reply_copy(reply);
	if (w->reply == NULL)
		w->err = client_fail(w->c, ERRAND_RESOURCE_EXHAUSTED, "out of memory");
}

int errand_client_stream(struct errand_client *c, const char *service, const char *method,
			 const void *payload, size_t len, const struct errand_call_options *options,
			 int (*on_message)(const void *message, size_t len, void *arg), void *arg,
			 struct errand_reply **replyp)
{
	struct waiter w = {.c = c, .on_message = on_message, .arg = arg};
	struct errand_callbacks cb = {.on_message = on_message != NULL ? wait_message : NULL,
				      .on_reply = wait_reply, .arg = &w};
	struct errand_pending *p;
	int err;

	*replyp = NULL;
	if (c->busy)
		return client_fail(c, ERRAND_FAILED_PRECONDITION,
				   "a blocking call from inside a callback");
	err = errand_client_submit(c, service, method, payload, len, options, &cb, &p);
	if (err < 0)
		return err;
	err = errand_client_dispatch(c); /* sends it */
	while (!w.done && err == 0)
		err = client_turn(c, INT64_MAX);
	if (!w.done) { /* poll failed: the call must not outlive its waiter */
		errand_client_cancel(c, p);
		errand_reply_free(w.reply);
		return err;
	}
	*replyp = w.reply;
	return w.err;
}

int errand_client_call(struct errand_client *c, const char *service, const char *method,
		       const void *payload, size_t len, const struct errand_call_options *options,
		       struct errand_reply **replyp)
{
	return errand_client_stream(c, service, method, payload, len, options, NULL, NULL, replyp);
}
