/* log.h: one line per event on stderr, as logfmt (time, level, program, message and
 * key=value pairs), as a JSON object, or for the journal (a priority in front, no time).
 * Each line is one write(2); control bytes of a peer's text are escaped and its quotes
 * too, so a client cannot forge lines or pairs. A sink that is full or blocked never
 * blocks the caller: the line is dropped and counted. Thread-safe. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/util.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
/* AUTO: JOURNAL when JOURNAL_STREAM names our stderr, else LOGFMT. */
enum log_format { LOG_AUTO, LOG_LOGFMT, LOG_JSON, LOG_JOURNAL };

/* name is borrowed for ever. Lines above `level` are not written. */
void log_init(const char *name, enum log_level level);
/* LOGFMT until it is called. */
void log_format_set(enum log_format format);
/* "error", "warn", "info", "debug"; -1 for another word. */
int log_level_by_name(const char *word);
/* "auto", "logfmt", "json", "journal"; -1 for another word. */
int log_format_by_name(const char *word);

/* What the work at hand belongs to; each may be NULL, attempt 0. A traceparent (base/trace.h) is
 * looked at when a line is written, and one that is none is left out. */
struct log_ids {
	const char *request, *task, *traceparent;
	unsigned attempt;
};
/* From now on each line of this thread carries them, as request_id, task, attempt and
 * trace_id, unless its own pairs have that key. Borrowed until it is called again; NULL:
 * none. Returns those before, to be put back when the work is done. */
const struct log_ids *log_ids_set(const struct log_ids *ids);
const struct log_ids *log_ids(void);
static inline void log_ids_clear(void)
{
	log_ids_set(NULL);
}
/* In one piece of memory, to be freed with free(); NULL when there are none. */
struct log_ids *log_ids_copy(const struct log_ids *ids);

/* log_info("task finished", "task=%s why=\"%s\"", id, why): msg is a fixed phrase, fmt
 * has pairs parted by blanks (may be NULL); quotes for values that may have blanks. A value
 * that log_quote has quoted already is written without quotes around its %s. Conversions:
 * d i u x c s p f g with l, ll, z, j, t and a precision; no widths. */
void log_write(enum log_level level, const char *msg, const char *fmt, ...) PRINTF(3, 4);

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Sees each line first, on whatever thread; true: it goes nowhere else. NULL, or a test's. */
extern bool (*log_tap)(const struct buf *line);

/* One whole line of the caller's own format (the access log) to fd, the newline
 * added here; dropped and counted when it would block. */
void log_line(int fd, struct buf *line);

/* Appends s as a logfmt value: bare when it is plain, else quoted and escaped. */
void log_quote(struct buf *b, const char *s, size_t len);

/* Lines dropped so far because the sink was full. */
uint64_t log_dropped(void);

#endif
