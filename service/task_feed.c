/* task_feed.c: see task_feed.h. One lock for all feeds: it is held for a copy of a
 * line at most, and news of many feeds wake the loop once. */
#define _GNU_SOURCE
#include "service/task_feed.h"

#include <pthread.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/util.h"
#include "service/loop.h"

#define LINE_COST 32            /* counted for each line besides its bytes */
#define WAITING_MAX (1u << 20)  /* bytes of lines that may wait for the store */
#define MESSAGE_MAX 1024        /* bytes of a progress message */

struct feed {
	uintptr_t number;
	void (*on_news)(void *arg);
	void *arg;
	struct list node;    /* in with_news or telling, or linked to itself */
	struct feed_batch waiting;
	int64_t left;        /* bytes of log this attempt may still write */
};

/* Guards feeds, with_news, telling, posted and every feed's waiting and left. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map feeds; /* by number */
static struct list with_news = LIST_INIT(with_news);
static struct list telling = LIST_INIT(telling); /* of those, the ones this turn tells */
static uintptr_t last_number;
static struct loop_job job;
static bool posted;

static void feed_batch_init(struct feed_batch *b)
{
	*b = (struct feed_batch){0};
	list_init(&b->lines);
}

void feed_batch_deinit(struct feed_batch *b)
{
	struct list *node;

	while ((node = list_pop_front(&b->lines)) != NULL)
		free(LIST_ENTRY(node, struct task_line, node));
	free(b->message);
	buf_deinit(&b->detail);
	buf_deinit(&b->checkpoint);
	feed_batch_init(b);
}

static struct feed *pop_news(void)
{
	struct list *node;

	pthread_mutex_lock(&lock);
	node = list_pop_front(&telling);
	pthread_mutex_unlock(&lock);
	return node ? LIST_ENTRY(node, struct feed, node) : NULL;
}

/* Feeds are freed on this thread only, so f lives until on_news has returned. What
 * comes meanwhile is told in the next turn: a handler that writes without end must
 * not keep the loop here. */
static void run_news(struct loop_job *j)
{
	struct feed *f;

	pthread_mutex_lock(&lock);
	list_splice(&telling, &with_news);
	posted = false;
	pthread_mutex_unlock(&lock);
	while ((f = pop_news()) != NULL)
		f->on_news(f->arg);
}

/* With the lock held. True: the caller posts the job after it has let go. */
static bool tell(struct feed *f)
{
	bool post = !posted;

	if (list_empty(&f->node))
		list_push_back(&with_news, &f->node);
	posted = true;
	return post;
}

static void post_job(void)
{
	job.run = run_news;
	loop_post(&job);
}

struct feed *feed_new(int64_t max_bytes, void (*on_news)(void *arg), void *arg)
{
	struct feed *f = xcalloc(1, sizeof *f);

	f->on_news = on_news;
	f->arg = arg;
	f->left = max_bytes;
	list_init(&f->node);
	feed_batch_init(&f->waiting);
	pthread_mutex_lock(&lock);
	f->number = ++last_number;
	map_put(&feeds, &f->number, sizeof f->number, f);
	pthread_mutex_unlock(&lock);
	return f;
}

struct feed *feed_free(struct feed *f)
{
	if (f == NULL)
		return NULL;
	pthread_mutex_lock(&lock);
	map_remove(&feeds, &f->number, sizeof f->number);
	list_remove(&f->node);
	pthread_mutex_unlock(&lock);
	feed_batch_deinit(&f->waiting);
	free(f);
	return NULL;
}

uintptr_t feed_number(const struct feed *f)
{
	return f->number;
}

static void move_progress(struct feed_batch *to, struct feed_batch *from)
{
	if (!from->has_progress)
		return;
	free(to->message);
	buf_deinit(&to->detail);
	to->has_progress = true;
	to->fraction = from->fraction;
	to->message = from->message;
	to->detail = from->detail;
	from->has_progress = false;
	from->message = NULL;
	from->detail = BUF_INIT;
}

static void move_checkpoint(struct feed_batch *to, struct feed_batch *from)
{
	if (from->checkpoint.len == 0)
		return;
	buf_deinit(&to->checkpoint);
	to->checkpoint = from->checkpoint;
	from->checkpoint = BUF_INIT;
}

void feed_take(struct feed *f, bool with_progress, struct feed_batch *out)
{
	feed_batch_init(out);
	pthread_mutex_lock(&lock);
	list_splice(&out->lines, &f->waiting.lines);
	out->n_bytes = f->waiting.n_bytes;
	out->dropped = f->waiting.dropped;
	f->waiting.n_bytes = 0;
	f->waiting.dropped = 0;
	if (with_progress) {
		move_progress(out, &f->waiting);
		move_checkpoint(out, &f->waiting);
	}
	pthread_mutex_unlock(&lock);
}

enum feed_news feed_news(struct feed *f)
{
	enum feed_news news = FEED_NOTHING;

	pthread_mutex_lock(&lock);
	if (!list_empty(&f->waiting.lines) || f->waiting.dropped > 0)
		news = FEED_LINES;
	else if (f->waiting.has_progress || f->waiting.checkpoint.len > 0)
		news = FEED_PROGRESS;
	pthread_mutex_unlock(&lock);
	return news;
}

void *feed_owner(uintptr_t number)
{
	struct feed *f;

	pthread_mutex_lock(&lock);
	f = map_get(&feeds, &number, sizeof number);
	pthread_mutex_unlock(&lock);
	return f ? f->arg : NULL;
}

/* Moves what `new` has to the feed: it replaces what waits there. */
static void put(uintptr_t number, struct feed_batch *new)
{
	bool post = false;
	struct feed *f;

	pthread_mutex_lock(&lock);
	f = map_get(&feeds, &number, sizeof number);
	if (f != NULL) {
		move_progress(&f->waiting, new);
		move_checkpoint(&f->waiting, new);
		post = tell(f);
	}
	pthread_mutex_unlock(&lock);
	if (post)
		post_job();
}

void feed_progress(uintptr_t number, double fraction, const char *message, struct bytes detail)
{
	struct feed_batch new;

	feed_batch_init(&new);
	new.has_progress = true;
	new.fraction = fraction >= 0 ? MIN(fraction, 1.0) : 0;
	new.message = message ? xstrndup(message, strnlen(message, MESSAGE_MAX)) : NULL;
	buf_append(&new.detail, detail.data, detail.len);
	put(number, &new);
	feed_batch_deinit(&new);
}

void feed_checkpoint(uintptr_t number, struct bytes any)
{
	struct feed_batch new;

	feed_batch_init(&new);
	buf_append(&new.checkpoint, any.data, any.len);
	put(number, &new);
	feed_batch_deinit(&new);
}

void feed_again(uintptr_t number, struct feed_batch *failed)
{
	struct feed *f;

	pthread_mutex_lock(&lock);
	f = map_get(&feeds, &number, sizeof number);
	if (f != NULL && !f->waiting.has_progress)
		move_progress(&f->waiting, failed);
	if (f != NULL && f->waiting.checkpoint.len == 0)
		move_checkpoint(&f->waiting, failed);
	pthread_mutex_unlock(&lock);
}

/* The name as a string that lives for ever. */
static const char *stream_name(const char *name)
{
	static const char *const names[] = {"stdout", "stderr", "errand"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return names[i];
	return "handler";
}

/* Once the log is full it stays full, so that it has one end and not holes. */
static bool fits(struct feed *f, size_t len)
{
	if (f->left < (int64_t)len + LINE_COST) {
		f->left = 0;
		return false;
	}
	return f->waiting.n_bytes + len <= WAITING_MAX;
}

void feed_line(uintptr_t number, const char *stream, const char *line, size_t len)
{
	struct task_line *copy = xmalloc(sizeof *copy + len);
	bool post = false;
	struct feed *f;

	*copy = (struct task_line){.stream = stream_name(stream), .time_us = clock_wall_us(),
				    .len = len};
	memcpy(copy->text, line, len);
	pthread_mutex_lock(&lock);
	f = map_get(&feeds, &number, sizeof number);
	if (f != NULL && fits(f, len)) {
		f->left -= (int64_t)len + LINE_COST;
		f->waiting.n_bytes += len + 1;
		list_push_back(&f->waiting.lines, &copy->node);
		copy = NULL;
	} else if (f != NULL) {
		f->waiting.dropped += len + 1;
	}
	if (f != NULL)
		post = tell(f);
	pthread_mutex_unlock(&lock);
	free(copy);
	if (post)
		post_job();
}
