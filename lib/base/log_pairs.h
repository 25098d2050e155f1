/* log_pairs.h: the pairs of a log line, read from its format: what is a key, a value and
 * where it ends is said by the format alone, never by what is printed into it. */
#ifndef BASE_LOG_PAIRS_H
#define BASE_LOG_PAIRS_H

#include <stdarg.h>

#include "base/buf.h"

struct log_pairs {
	const char *at;    /* of the format: what is left */
	va_list args;
	/* The pair that log_pairs_next has found: */
	const char *key;   /* in the format */
	size_t key_len;
	struct buf value;  /* owned */
	bool quoted;       /* it may have any byte; else it was quoted by log_quote, or is plain */
};

/* False at the end. The caller sets at and args, and ends value. */
bool log_pairs_next(struct log_pairs *p);

#endif
