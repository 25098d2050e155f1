/* conn.c: the life of a conn, what is fed to it and what it has to write. Sending
 * is in conn_send.c, receiving in conn_recv.c. */
#include "wire/conn_impl.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	MAX_OUTPUT = 8 << 20,
	MAX_STREAMS = 65536,
	INPUT_KEEP = 256 * 1024, /* a larger input buffer is given back after its frame */
};

void conn_say(struct conn *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, sizeof c->why, fmt, ap);
	va_end(ap);
}

int conn_out_of_memory(struct conn *c)
{
	return CONN_BREAK(c, ERRAND_INTERNAL, "out of memory");
}

static void set_limits(struct conn *c, const struct conn_limits *l)
{
	c->limits = l != NULL ? *l : (struct conn_limits){0};
	if (c->limits.max_output == 0)
		c->limits.max_output = MAX_OUTPUT;
	if (c->limits.max_streams == 0)
		c->limits.max_streams = MAX_STREAMS;
	if (c->limits.window == 0)
		c->limits.window = CONN_WINDOW;
}

struct conn *conn_new(enum conn_role role, const struct conn_ops *ops,
		      const struct conn_limits *limits, void *arg)
{
	struct conn *c = calloc(1, sizeof *c);

	if (c == NULL)
		return NULL;
	c->role = role;
	c->ops = ops;
	c->arg = arg;
	c->next_id = 1;
	set_limits(c, limits);
	stream_table_init(&c->streams);
	return c;
}

struct conn *conn_free(struct conn *c)
{
	if (c == NULL)
		return NULL;
	stream_table_deinit(&c->streams);
	outq_deinit(&c->control);
	outq_deinit(&c->data);
	buf_deinit(&c->in);
	buf_deinit(&c->reply);
	buf_deinit(&c->early);
	free(c);
	return NULL;
}

/* --- feeding --- */

static void empty_input(struct conn *c)
{
	if (c->in.cap > INPUT_KEEP)
		buf_deinit(&c->in);
	else
		buf_reset(&c->in);
}

/* Adds to the frame in c->in up to its end; how much was taken goes to *takenp. */
static int feed_partial(struct conn *c, const uint8_t *p, size_t len, size_t *takenp)
{
	struct frame f = {0};
	size_t want = FRAME_HEADER;
	int err;

	if (c->in.len >= FRAME_HEADER) {
		frame_unpack(c->in.data, &f);
		want += f.length;
	}
	*takenp = MIN(len, want - c->in.len);
	buf_append(&c->in, p, *takenp);
	if (buf_failed(&c->in))
		return conn_out_of_memory(c);
	if (c->in.len < want)
		return 0;
	if (want == FRAME_HEADER) { /* the header is whole only now */
		frame_unpack(c->in.data, &f);
		err = conn_check_header(c, &f);
		if (err < 0 || f.length > 0)
			return err;
	}
	err = conn_recv_frame(c, &f, c->in.data + FRAME_HEADER);
	empty_input(c);
	return err;
}

int conn_feed(struct conn *c, const void *data, size_t len)
{
	const uint8_t *p = data;
	struct frame f;
	size_t taken;

	while (len > 0 && c->err == 0) {
		taken = 0;
		if (c->in.len == 0 && len >= FRAME_HEADER) {
			frame_unpack(p, &f);
			if (conn_check_header(c, &f) < 0)
				break;
			if (len - FRAME_HEADER >= f.length) {
				taken = FRAME_HEADER + (size_t)f.length;
				conn_recv_frame(c, &f, p + FRAME_HEADER);
			}
		}
		if (taken == 0)
			feed_partial(c, p, len, &taken);
		p += taken;
		len -= taken;
	}
	return c->err;
}

const char *conn_why(const struct conn *c)
{
	return c->why;
}

/* --- output --- */

static int add_run(struct conn *c, struct iovec *iov, int n, struct outq *q, size_t len)
{
	if (len == 0)
		return n;
	iov[n].iov_base = q->b.data + q->head;
	iov[n].iov_len = len;
	c->plan[n] = (struct plan){q, len};
	return n + 1;
}

int conn_output(struct conn *c, struct iovec iov[2])
{
	size_t control = outq_pending(&c->control);
	int n = 0;

	c->plan[0].len = c->plan[1].len = 0;
	if (c->data.partial > 0 && control > 0) {
		n = add_run(c, iov, n, &c->data, c->data.partial);
		return add_run(c, iov, n, &c->control, control);
	}
	n = add_run(c, iov, n, &c->control, control);
	return add_run(c, iov, n, &c->data, outq_pending(&c->data));
}

void conn_sent(struct conn *c, size_t n)
{
	for (size_t i = 0; i < ARRAY_LEN(c->plan); i++) {
		size_t take = MIN(n, c->plan[i].len);

		if (take == 0)
			continue;
		outq_sent(c->plan[i].q, take);
		c->plan[i].len -= take;
		n -= take;
	}
}

size_t conn_pending(const struct conn *c)
{
	return outq_pending(&c->control) + outq_pending(&c->data);
}

bool conn_over_limit(const struct conn *c)
{
	return conn_pending(c) + c->n_waiting > c->limits.max_output;
}

/* --- the rest --- */

void conn_stream_set_user(struct conn_stream *s, void *user)
{
	s->user = user;
}

void *conn_stream_user(const struct conn_stream *s)
{
	return s->user;
}

uint32_t conn_stream_id(const struct conn_stream *s)
{
	return s->id;
}

size_t conn_n_streams(const struct conn *c)
{
	return c->streams.n_live;
}

struct conn_stream *conn_first_stream(struct conn *c)
{
	if (list_empty(&c->streams.live))
		return NULL;
	return LIST_ENTRY(c->streams.live.next, struct conn_stream, node);
}

bool conn_in_frame(const struct conn *c)
{
	return c->in.len > 0;
}

uint64_t conn_n_frames(const struct conn *c)
{
	return c->n_frames;
}

bool conn_draining(const struct conn *c)
{
	return c->draining;
}

uint64_t conn_dropped(const struct conn *c)
{
	return c->n_dropped;
}
