/* task_feed.h: progress, checkpoints and log lines on their way from any thread to the
 * store. The last of the first two waits under a lock, lines in a list; all are taken in
 * batches. A source that is gone is known by its number, so a late word from a
 * thread that outlived its attempt is dropped. */
#ifndef SERVICE_TASK_FEED_H
#define SERVICE_TASK_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"

struct task_line {
	struct list node;
	const char *stream; /* "stdout", "stderr", "handler", "errand" */
	int64_t time_us;
	size_t len;
	char text[];
};

/* What has come since it was last taken. */
struct feed_batch {
	struct list lines; /* of struct task_line, owned */
	size_t n_bytes;    /* of them */
	uint64_t dropped;  /* bytes of lines that were not taken in, since the last batch */
	bool has_progress;
	double fraction;
	char *message;     /* owned, may be NULL */
	struct buf detail; /* a packed Any; may be empty */
	struct buf checkpoint; /* the same; empty: none has come */
};
void feed_batch_deinit(struct feed_batch *b);
static inline bool feed_batch_empty(const struct feed_batch *b)
{
	return list_empty(&b->lines) && !b->has_progress && b->checkpoint.len == 0 && b->dropped == 0;
}

/* One running attempt's feed. Loop thread but for the two calls below. on_news:
 * runs on the loop thread when something has come to an empty feed. */
struct feed;
struct feed *feed_new(int64_t max_bytes, void (*on_news)(void *arg), void *arg);
struct feed *feed_free(struct feed *f); /* what was not taken is gone; NULL-safe; NULL */
uintptr_t feed_number(const struct feed *f); /* never 0, never used twice */
/* What waits; progress and checkpoint only with with_progress. out is initialized. */
void feed_take(struct feed *f, bool with_progress, struct feed_batch *out);
enum feed_news { FEED_NOTHING, FEED_PROGRESS, FEED_LINES }; /* LINES: perhaps progress too */
enum feed_news feed_news(struct feed *f);
void *feed_owner(uintptr_t number); /* its arg, or NULL when it is gone */

/* Any thread. */
void feed_progress(uintptr_t number, double fraction, const char *message, struct bytes detail);
void feed_checkpoint(uintptr_t number, struct bytes any);
/* What could not be stored comes back, unless there is something newer. */
void feed_again(uintptr_t number, struct feed_batch *failed);
void feed_line(uintptr_t number, const char *stream, const char *line, size_t len);

#endif
