#define _GNU_SOURCE
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log_pairs.h"
#include "base/trace.h"

enum {
	LINE_MAX_BYTES = 3900, /* so that a line is one write, also to a pipe */
	VALUE_MAX = 2048,
};

static const char *log_name = "errand";
static _Atomic int log_max = LOG_LEVEL_INFO;
static _Atomic int format = LOG_LOGFMT;
static _Atomic uint64_t dropped;
static _Thread_local const struct log_ids *current_ids;
static const char *const words[] = {"error", "warn", "info", "debug"};
static const int priorities[] = {3, 4, 6, 7}; /* syslog's; sd-daemon(3) */
static const char *const formats[] = {"auto", "logfmt", "json", "journal"};

bool (*log_tap)(const struct buf *line);

void log_init(const char *name, enum log_level level)
{
	if (strcmp(log_name, name) != 0) /* again, after SIGHUP: other threads read it */
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

int log_format_by_name(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (strcmp(formats[i], word) == 0)
			return (int)i;
	return -1;
}

/* systemd.exec(5): device and inode of the stream it has connected to the journal. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_format_set(enum log_format to)
{
	if (to == LOG_AUTO)
		to = stderr_is_journal() ? LOG_JOURNAL : LOG_LOGFMT;
	atomic_store(&format, (int)to);
}

/* --- ids --- */

const struct log_ids *log_ids_set(const struct log_ids *ids)
{
	const struct log_ids *before = current_ids;

	current_ids = ids;
	return before;
}

const struct log_ids *log_ids(void)
{
	return current_ids;
}

static size_t size_of(const char *s)
{
	return s != NULL ? strlen(s) + 1 : 0;
}

static const char *copy_to(char **at, const char *s)
{
	char *copy = *at;

	if (s == NULL)
		return NULL;
	*at = stpcpy(copy, s) + 1;
	return copy;
}

struct log_ids *log_ids_copy(const struct log_ids *ids)
{
	struct log_ids *copy;
	char *at;

	if (ids == NULL || (ids->request == NULL && ids->task == NULL && ids->traceparent == NULL))
		return NULL;
	copy = xmalloc(sizeof *copy + size_of(ids->request) + size_of(ids->task) + size_of(ids->traceparent));
	at = (char *)(copy + 1);
	copy->request = copy_to(&at, ids->request);
	copy->task = copy_to(&at, ids->task);
	copy->traceparent = copy_to(&at, ids->traceparent);
	copy->attempt = ids->attempt;
	return copy;
}

/* --- the sink --- */

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

/* The text that log_quote has quoted. */
static void unquote(const char *s, size_t len, struct buf *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned byte;

		if (s[i] != '\\' || i + 1 == len) {
			buf_append_byte(out, (uint8_t)s[i]);
		} else if (s[++i] == 'n') {
			buf_append_byte(out, '\n');
		} else if (s[i] == 'x' && i + 2 < len && sscanf(s + i + 1, "%2x", &byte) == 1) {
			buf_append_byte(out, (uint8_t)byte);
			i += 2;
		} else {
			buf_append_byte(out, (uint8_t)s[i]);
		}
	}
}

/* --- a line, as logfmt or as JSON --- */

struct line {
	struct buf text;
	size_t n; /* pairs in it */
	bool json, full;
};

/* A pair that does not fit any more is left out, and those behind it. */
static void line_put(struct line *l, const char *key, size_t key_len, const char *value, size_t len, bool quote)
{
	AUTO_BUF one = BUF_INIT;

	if (l->json) {
		buf_append_byte(&one, l->text.len > 1 ? ',' : '{');
		json_put_string(&one, key, key_len);
		buf_append_byte(&one, ':');
		json_put_string(&one, value, MIN(len, VALUE_MAX));
	} else {
		if (l->n > 0)
			buf_append_byte(&one, ' ');
		buf_append(&one, key, key_len);
		buf_append_byte(&one, '=');
		if (quote && is_plain(value, len))
			buf_printf(&one, "\"%.*s\"", (int)MIN(len, VALUE_MAX), value);
		else
			log_quote(&one, value, MIN(len, VALUE_MAX));
	}
	l->full = l->full || l->text.len + one.len > LINE_MAX_BYTES;
	if (!l->full) {
		buf_append(&l->text, one.data, one.len);
		l->n++;
	}
}

static void line_word(struct line *l, const char *key, const char *value)
{
	if (value != NULL && *value != '\0')
		line_put(l, key, strlen(key), value, strlen(value), false);
}

static void line_pair(struct line *l, const struct log_pairs *p)
{
	const char *value = p->value.len > 0 ? (const char *)p->value.data : "";
	size_t len = p->value.len;
	AUTO_BUF plain = BUF_INIT;

	if (!p->quoted && len >= 2 && value[0] == '"' && value[len - 1] == '"') {
		unquote(value + 1, len - 2, &plain);
		value = plain.len > 0 ? (const char *)plain.data : "";
		len = plain.len;
	}
	line_put(l, p->key, p->key_len, value, len, p->quoted);
}

static bool is_key(const struct log_pairs *p, const char *key)
{
	return p->key_len == strlen(key) && memcmp(p->key, key, p->key_len) == 0;
}

/* The ids the pairs have not named go behind them. */
static void line_pairs(struct line *l, struct log_pairs *p)
{
	struct log_ids ids = current_ids != NULL ? *current_ids : (struct log_ids){0};
	char attempt[12], trace[TRACE_ID_SIZE];

	while (log_pairs_next(p)) {
		line_pair(l, p);
		if (is_key(p, "task"))
			ids.task = NULL;
		else if (is_key(p, "attempt"))
			ids.attempt = 0;
	}
	snprintf(attempt, sizeof attempt, "%u", ids.attempt);
	line_word(l, "request_id", ids.request);
	line_word(l, "task", ids.task);
	if (ids.attempt > 0)
		line_word(l, "attempt", attempt);
	line_word(l, "trace_id", trace_id_of(ids.traceparent, trace));
}

static void line_begin(struct line *l, enum log_level level)
{
	char date[28];

	if (atomic_load_explicit(&format, memory_order_relaxed) == LOG_JOURNAL) {
		buf_printf(&l->text, "<%d>", priorities[level]);
	} else {
		line_word(l, "time", clock_format(clock_wall_us(), date));
		line_word(l, "level", words[level]);
		line_word(l, "prog", log_name);
	}
}

void log_write(enum log_level level, const char *msg, const char *fmt, ...)
{
	int saved = errno;
	struct line l = {.json = atomic_load_explicit(&format, memory_order_relaxed) == LOG_JSON};
	struct log_pairs p = {.at = fmt != NULL ? fmt : ""};

	if ((int)level > atomic_load_explicit(&log_max, memory_order_relaxed))
		return;
	line_begin(&l, level);
	line_word(&l, "msg", msg);
	va_start(p.args, fmt);
	line_pairs(&l, &p);
	va_end(p.args);
	if (l.json)
		buf_append_byte(&l.text, '}');
	if (log_tap == NULL || !log_tap(&l.text))
		log_line(STDERR_FILENO, &l.text);
	buf_deinit(&l.text);
	buf_deinit(&p.value);
	errno = saved;
}
