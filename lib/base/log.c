#define _GNU_SOURCE
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static const char *log_name = "errand";
static _Atomic int log_max = LOG_LEVEL_INFO;
static _Atomic uint64_t dropped;
static const char *const words[] = {"error", "warn", "info", "debug"};

bool (*log_tap)(const struct buf *line);

void log_init(const char *name, enum log_level level)
{
	log_name = name;
	atomic_store(&log_max, (int)level);
}

int log_level_by_name(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], word) == 0)
			return (int)i;
	return -1;
}

uint64_t log_dropped(void)
{
	return atomic_load(&dropped);
}

/* O_NONBLOCK is shared with whoever else holds the file, so it is asked for
 * per line with poll instead of being switched on for good. A pipe that polls
 * writable has PIPE_BUF free, which bounds the length written at once. */
void log_line(int fd, struct buf *line)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	size_t len;

	buf_append_byte(line, '\n');
	if (buf_failed(line) || poll(&p, 1, 0) <= 0 || !(p.revents & POLLOUT)) {
		atomic_fetch_add(&dropped, 1);
		return;
	}
	len = line->len;
	if (len > 4096) {
		len = 4096;
		line->data[len - 1] = '\n';
	}
	while (write(fd, line->data, len) < 0)
		if (errno != EINTR) {
			atomic_fetch_add(&dropped, 1);
			return;
		}
}

static int is_plain(const char *s, size_t len)
{
	if (len == 0)
		return 0;
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '=' ||
		    s[i] == '\\')
			return 0;
	return 1;
}

void log_quote(struct buf *b, const char *s, size_t len)
{
	if (is_plain(s, len)) {
		buf_append(b, s, len);
		return;
	}
	buf_append_byte(b, '"');
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\')
			buf_printf(b, "\\%c", c);
		else if (c == '\n')
			buf_append_str(b, "\\n");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(b, "\\x%02x", c);
		else
			buf_append_byte(b, c);
	}
	buf_append_byte(b, '"');
}

/* The pairs were built by a format, so only control bytes can be wrong in them. */
static void append_pairs(struct buf *line, const char *fmt, va_list ap)
{
	AUTO_FREE char *pairs = NULL;

	if (vasprintf(&pairs, fmt, ap) < 0) {
		pairs = NULL;
		return;
	}
	buf_append_byte(line, ' ');
	for (const char *p = pairs; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f)
			buf_printf(line, "\\x%02x", c);
		else
			buf_append_byte(line, c);
	}
}

void log_write(enum log_level level, const char *msg, const char *fmt, ...)
{
	int saved = errno;
	char date[28];
	AUTO_BUF line = BUF_INIT;
	va_list ap;

	if ((int)level > atomic_load_explicit(&log_max, memory_order_relaxed))
		return;
	buf_printf(&line, "time=%s level=%s prog=%s msg=",
		   clock_format(clock_wall_us(), date), words[level], log_name);
	log_quote(&line, msg, strlen(msg));
	if (fmt != NULL) {
		va_start(ap, fmt);
		append_pairs(&line, fmt, ap);
		va_end(ap);
	}
	if (log_tap == NULL || !log_tap(&line))
		log_line(STDERR_FILENO, &line);
	errno = saved;
}
