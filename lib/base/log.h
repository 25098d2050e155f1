/* log.h: one logfmt line per event on stderr: time, level, program, message and
 * key=value pairs. Each line is one write(2); control bytes of a peer's text are
 * escaped, so a client cannot forge lines. A sink that is full or blocked never
 * blocks the caller: the line is dropped and counted. Thread-safe. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/util.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* name is borrowed for ever. Lines above `level` are not written. */
void log_init(const char *name, enum log_level level);
/* "error", "warn", "info", "debug"; -1 for another word. */
int log_level_by_name(const char *word);

/* log_info("task finished", "task=%s outcome=%s", id, outcome): msg is a fixed
 * phrase, fmt builds the pairs (may be NULL). */
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
