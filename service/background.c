/* background.c: see background.h. */
#include "service/background.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/pool.h"

struct background_job {
	struct list link;
	char *name; /* owned */
	int (*fn)(void *arg);
	void *arg;
	struct log_ids *ids; /* owned; NULL: none */
};

struct background_line {
	struct pool_job job;
	struct list links;              /* under lock: of those that have not begun */
	struct background_line **owner; /* under lock: where it is kept; NULL: nowhere */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pool *pool;
static size_t max_pending;
static _Atomic size_t n_pending;
static _Atomic uint64_t n_done, n_failed;

void background_init(unsigned n_threads, size_t max_queue)
{
	max_pending = n_threads + max_queue;
	pool = pool_new("background", n_threads, SIZE_MAX / 2);
}

size_t background_drain(int64_t deadline_ns)
{
	return pool_drain(pool, deadline_ns);
}

void background_deinit(void)
{
	pool = pool_free(pool);
	atomic_store(&n_pending, 0);
}

struct background_job *background_new(const char *name, int (*fn)(void *arg), void *arg)
{
	struct background_job *b;

	if (atomic_fetch_add(&n_pending, 1) >= max_pending) {
		atomic_fetch_sub(&n_pending, 1);
		return NULL;
	}
	b = xcalloc(1, sizeof *b);
	list_init(&b->link);
	b->name = xstrdup(name);
	b->fn = fn;
	b->arg = arg;
	return b;
}

void background_mark(struct background_job *b, const struct log_ids *ids)
{
	b->ids = log_ids_copy(ids);
}

/* The last that is said of it was said. */
static void end(struct background_job *b)
{
	log_ids_clear();
	free(b->ids);
	free(b->name);
	free(b);
	atomic_fetch_sub(&n_pending, 1);
}

static void run_one(struct background_job *b)
{
	int64_t begin = clock_mono_ns();
	int r;

	log_ids_set(b->ids);
	r = b->fn(b->arg);

	atomic_fetch_add(&n_done, 1);
	if (r != 0) {
		atomic_fetch_add(&n_failed, 1);
		log_error("background work failed", "name=%s result=%d ms=%lld", b->name, r,
			  (long long)((clock_mono_ns() - begin) / NS_PER_MS));
	}
	end(b);
}

static void fail(struct background_job *b)
{
	atomic_fetch_add(&n_failed, 1);
	log_ids_set(b->ids);
	log_error("background work could not be started", "name=%s", b->name);
	end(b);
}

static void drop(struct background_job *b)
{
	atomic_fetch_add(&n_failed, 1);
	log_ids_set(b->ids);
	log_error("background work was dropped at stop", "name=%s", b->name);
	end(b);
}

/* The next of a line; NULL: there was none, and the line is gone. */
static struct background_job *next_job(struct background_line *line)
{
	struct list *node;

	pthread_mutex_lock(&lock);
	node = list_pop_front(&line->links);
	if (node == NULL && line->owner != NULL)
		*line->owner = NULL;
	pthread_mutex_unlock(&lock);
	if (node != NULL)
		return LIST_ENTRY(node, struct background_job, link);
	free(line);
	return NULL;
}

/* A failure does not stop the next. */
static void for_line(struct background_line *line, void (*fn)(struct background_job *b))
{
	struct background_job *b;

	while ((b = next_job(line)) != NULL)
		fn(b);
}

void background_drop(void)
{
	struct pool_job *job;

	while ((job = pool_take(pool)) != NULL)
		for_line(CONTAINER_OF(job, struct background_line, job), drop);
}

static void run(struct pool_job *job)
{
	for_line(CONTAINER_OF(job, struct background_line, job), run_one);
}

void background_start(struct list *links, struct background_line **owner)
{
	struct background_line *fresh = NULL;

	if (list_empty(links))
		return;
	pthread_mutex_lock(&lock);
	if (*owner == NULL) {
		fresh = *owner = xcalloc(1, sizeof *fresh);
		list_init(&fresh->links);
		fresh->job.run = run;
		fresh->owner = owner;
	}
	list_splice(&(*owner)->links, links);
	pthread_mutex_unlock(&lock);
	/* Refused only when not even one thread can be made. */
	if (fresh != NULL && pool_submit(pool, &fresh->job) < 0)
		for_line(fresh, fail);
}

void background_leave(struct background_line **owner)
{
	pthread_mutex_lock(&lock);
	if (*owner != NULL)
		(*owner)->owner = NULL;
	*owner = NULL;
	pthread_mutex_unlock(&lock);
}

struct list *background_link(struct background_job *b)
{
	return &b->link;
}

size_t background_pending(void)
{
	return atomic_load(&n_pending);
}

uint64_t background_done(void)
{
	return atomic_load(&n_done);
}

uint64_t background_failed(void)
{
	return atomic_load(&n_failed);
}
