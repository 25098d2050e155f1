/* process_output.c: see process_output.h. */
#define _GNU_SOURCE
#include "service/process_output.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

enum { LINE_BYTES = 64 * 1024 };

static void give(struct output *o, const uint8_t *line, size_t len)
{
	o->on_line(o->number, (const char *)line, len, o->arg);
}

/* Gives the whole lines of o->line, keeps the rest; a rest that fills the buffer
 * goes out as a piece. */
static void give_lines(struct output *o)
{
	size_t at = 0;
	const uint8_t *nl;

	while (at < o->line.len && (nl = memchr(o->line.data + at, '\n', o->line.len - at))) {
		size_t len = (size_t)(nl - (o->line.data + at));

		/* A newline right after a full piece ends that, it is no empty line. */
		if (len > 0 || !o->in_piece)
			give(o, o->line.data + at, len);
		o->in_piece = false;
		at += len + 1;
	}
	buf_consume(&o->line, at);
	if (o->line.len >= LINE_BYTES) {
		give(o, o->line.data, o->line.len);
		o->in_piece = true;
		buf_reset(&o->line);
	}
}

static void give_bytes(struct output *o)
{
	o->on_bytes(o->line.data, o->line.len, o->arg);
	buf_reset(&o->line);
}

static void end(struct output *o)
{
	output_close(o);
	o->on_end(o->owner);
}

/* One read a round, so that a child which floods does not starve the others. */
static void readable(evutil_socket_t fd, short what, void *arg)
{
	struct output *o = arg;
	size_t room = LINE_BYTES - o->line.len;
	uint8_t *to = buf_reserve(&o->line, room);
	ssize_t n;

	if (to == NULL) {
		log_error("no memory for a child's output", "fd=%d", o->number);
		end(o);
		return;
	}
	n = read(fd, to, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(o);
		return;
	}
	o->line.len += (size_t)n;
	if (o->on_bytes != NULL)
		give_bytes(o);
	else
		give_lines(o);
}

int output_open(struct output *o, struct event_base *base, int *child_endp)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	o->fd = ends[0];
	*child_endp = ends[1];
	o->event = event_new(base, ends[0], EV_READ | EV_PERSIST, readable, o);
	return o->event ? 0 : -ENOMEM;
}

void output_listen(struct output *o)
{
	if (o->event != NULL)
		event_add(o->event, NULL);
}

void output_close(struct output *o)
{
	if (o->fd >= 0 && o->line.len > 0)
		give(o, o->line.data, o->line.len);
	output_drop(o);
}

void output_drop(struct output *o)
{
	buf_deinit(&o->line);
	if (o->event != NULL)
		event_free(o->event);
	o->event = NULL;
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}
