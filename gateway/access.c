/* access.c: one line, one write(2). Any thread; the fd is set before threads start
 * and only replaced by dup2. */
#define _GNU_SOURCE
#include "gateway/access.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/trace.h"

static int access_fd = STDERR_FILENO; /* -1 = off */
static char *access_path;             /* owned; NULL when it is not a file */

static int file_open(const char *path, char *why, size_t why_size)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

	if (fd < 0) {
		int error = errno;

		snprintf(why, why_size,
			 "cannot open the access log %s: %s: create its directory, or name "
			 "another file",
			 path, strerror(error));
		return -error;
	}
	return fd;
}

int access_open(const char *where, char *why, size_t why_size)
{
	int fd;

	access_close();
	if (where == NULL || *where == '\0') {
		access_fd = STDERR_FILENO;
	} else if (strcmp(where, "-") == 0) {
		access_fd = STDOUT_FILENO;
	} else if (strcmp(where, "off") == 0) {
		access_fd = -1;
	} else {
		fd = file_open(where, why, why_size);
		if (fd < 0)
			return fd;
		access_fd = fd;
		access_path = xstrdup(where);
	}
	return 0;
}

/* The number stays the same, so threads that write meanwhile need no lock. */
int access_reopen(char *why, size_t why_size)
{
	AUTO_CLOSE int fd = -1;

	if (access_path == NULL)
		return 0;
	fd = file_open(access_path, why, why_size);
	if (fd < 0)
		return fd;
	if (dup3(fd, access_fd, O_CLOEXEC) < 0)
		return -errno;
	return 0;
}

void access_close(void)
{
	if (access_path != NULL)
		close(access_fd);
	free(access_path);
	access_path = NULL;
	access_fd = STDERR_FILENO;
}

static void put_name(struct buf *b, const char *name)
{
	buf_append_byte(b, b->len > 1 ? ',' : '{');
	buf_append_byte(b, '"');
	buf_append_str(b, name);
	buf_append(b, "\":", 2);
}

/* At most max bytes of it: a line is one write, and a pipe takes 4096 at once. */
static void put_text(struct buf *b, const char *name, const char *value, size_t max)
{
	if (value == NULL || *value == '\0')
		return;
	put_name(b, name);
	json_put_string(b, value, strnlen(value, max));
}

static void put_number(struct buf *b, const char *name, int64_t value)
{
	put_name(b, name);
	json_put_int(b, value);
}

static void put_time(struct buf *b)
{
	char date[28];

	put_text(b, "time", clock_format(clock_wall_us(), date), sizeof date);
}

void access_write(const struct http_request *r, const struct access_extra *x, int status,
		  size_t bytes)
{
	AUTO_BUF line = BUF_INIT;
	char trace[TRACE_ID_SIZE];

	if (access_fd < 0)
		return;
	buf_reserve(&line, 512);
	put_time(&line);
	put_text(&line, "request_id", x->request_id, 128);
	put_text(&line, "peer", http_peer(r), 128);
	put_text(&line, "cert", http_peer_cert(r), 128);
	put_text(&line, "method", http_is_head(r) ? "HEAD" : http_verb(r), 16);
	put_text(&line, "path", http_path(r), 1024);
	put_text(&line, "route", x->route, 512);
	put_number(&line, "status", status);
	put_number(&line, "bytes", (int64_t)bytes);
	put_number(&line, "duration_us", (clock_mono_ns() - http_begun_ns(r)) / 1000);
	if (x->upstream_ns >= 0)
		put_number(&line, "upstream_us", x->upstream_ns / 1000);
	put_text(&line, "client", x->client, 256);
	put_text(&line, "trace_id", trace_id_of(x->traceparent, trace), sizeof trace);
	put_text(&line, "task", x->task, 64);
	buf_append_byte(&line, '}');
	log_line(access_fd, &line);
}

void access_refused(const char *peer, int status, const char *why, void *arg)
{
	AUTO_BUF line = BUF_INIT;

	if (access_fd < 0)
		return;
	put_time(&line);
	put_text(&line, "peer", peer, 128);
	put_number(&line, "status", status);
	put_text(&line, "refused", why, 256);
	buf_append_byte(&line, '}');
	log_line(access_fd, &line);
}
