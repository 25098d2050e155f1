/* pool.c: see pool.h. One mutex guards everything in struct pool; jobs run
 * outside it. A thread is made when a job finds nobody idle, so a service that
 * is idle has none. */
#define _GNU_SOURCE
#include "service/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "errand/status.h"

/* Of a pool's threads: handlers are other people's code, so not the smallest. */
#define STACK_SIZE (1u << 20)

static atomic_size_t n_busy; /* jobs of all pools that wait or run */

struct pool {
	const char *name;
	pthread_mutex_t lock;
	pthread_cond_t work;   /* a job was queued, or stopping */
	pthread_cond_t idle;   /* a job has run, or a thread has ended */
	struct list jobs;
	size_t n_waiting;      /* in jobs */
	size_t n_running;
	size_t max_queue;
	unsigned max_threads;
	unsigned n_threads;    /* alive */
	unsigned n_idle;       /* waiting for work, or just made and about to look for it */
	unsigned serial;       /* names threads */
	uint64_t n_refused;
	bool stopping;
};

struct pool *pool_new(const char *name, unsigned n_threads, size_t max_queue)
{
	struct pool *p = xcalloc(1, sizeof *p);
	pthread_condattr_t attr;

	p->name = name;
	p->max_threads = n_threads ? n_threads : 1;
	p->max_queue = max_queue;
	list_init(&p->jobs);
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->idle, &attr);
	pthread_condattr_destroy(&attr);
	return p;
}

/* Called and returns with the lock held. */
static void run_one(struct pool *p)
{
	struct list *node = list_pop_front(&p->jobs);
	struct pool_job *job = LIST_ENTRY(node, struct pool_job, node);

	p->n_waiting--;
	p->n_running++;
	pthread_mutex_unlock(&p->lock);
	job->run(job);
	atomic_fetch_sub(&n_busy, 1);
	pthread_mutex_lock(&p->lock);
	p->n_running--;
	pthread_cond_broadcast(&p->idle);
}

static void *thread_main(void *arg)
{
	struct pool *p = arg;
	char name[16];

	pthread_mutex_lock(&p->lock);
	snprintf(name, sizeof name, "%.10s-%u", p->name, p->serial++ % 10000);
	pthread_setname_np(pthread_self(), name);
	p->n_idle--;
	/* More threads than allowed: the pool was made smaller (pool_resize). */
	while (!p->stopping && p->n_threads <= p->max_threads) {
		if (p->n_waiting > 0) {
			run_one(p);
			continue;
		}
		p->n_idle++;
		pthread_cond_wait(&p->work, &p->lock);
		p->n_idle--;
	}
	p->n_threads--;
	pthread_cond_broadcast(&p->idle);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* With the lock held. Signals are the loop's: the thread has all blocked.
 * Detached, since threads come and go (pool_resize); pool_free counts them. */
static int add_thread(struct pool *p)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, thread_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r != 0) {
		log_warn("cannot make a thread", "pool=%s threads=%u error=\"%s\"", p->name, p->n_threads,
			 strerror(r));
		return -ERRAND_RESOURCE_EXHAUSTED;
	}
	p->n_threads++;
	p->n_idle++;
	return 0;
}

int pool_submit(struct pool *p, struct pool_job *job)
{
	int r = 0;

	pthread_mutex_lock(&p->lock);
	if (p->n_waiting >= p->n_idle && p->n_threads < p->max_threads)
		r = add_thread(p);
	else if (p->n_waiting >= p->max_queue + p->n_idle)
		r = -ERRAND_RESOURCE_EXHAUSTED;
	/* Without a new thread the old ones will come to it, if there is any. */
	if (r == 0 || (p->n_threads > 0 && p->n_waiting < p->max_queue)) {
		list_push_back(&p->jobs, &job->node);
		atomic_fetch_add(&n_busy, 1);
		p->n_waiting++;
		r = 0;
		if (p->n_idle > 0)
			pthread_cond_signal(&p->work);
	}
	p->n_refused += r < 0;
	pthread_mutex_unlock(&p->lock);
	return r;
}

void pool_resize(struct pool *p, int more)
{
	pthread_mutex_lock(&p->lock);
	p->max_threads = (unsigned)((int)p->max_threads + more);
	if (more > 0 && p->n_waiting > p->n_idle && p->n_threads < p->max_threads)
		add_thread(p);
	if (more < 0)
		pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
}

size_t pool_busy_all(void)
{
	return atomic_load(&n_busy);
}

struct pool_stat pool_stat(struct pool *p)
{
	struct pool_stat s;

	pthread_mutex_lock(&p->lock);
	s = (struct pool_stat){p->n_threads, p->max_threads, p->n_running, p->n_waiting, p->max_queue, p->n_refused};
	pthread_mutex_unlock(&p->lock);
	return s;
}

size_t pool_busy(struct pool *p)
{
	size_t n;

	pthread_mutex_lock(&p->lock);
	n = p->n_running + p->n_waiting;
	pthread_mutex_unlock(&p->lock);
	return n;
}

struct pool_job *pool_take(struct pool *p)
{
	struct list *node;

	pthread_mutex_lock(&p->lock);
	node = list_pop_front(&p->jobs);
	if (node != NULL) {
		p->n_waiting--;
		atomic_fetch_sub(&n_busy, 1);
	}
	pthread_mutex_unlock(&p->lock);
	return node != NULL ? LIST_ENTRY(node, struct pool_job, node) : NULL;
}

size_t pool_drain(struct pool *p, int64_t deadline_ns)
{
	struct timespec ts = {deadline_ns / NS_PER_S, deadline_ns % NS_PER_S};
	size_t left;

	pthread_mutex_lock(&p->lock);
	while (p->n_running + p->n_waiting > 0)
		if (pthread_cond_timedwait(&p->idle, &p->lock, &ts) == ETIMEDOUT)
			break;
	left = p->n_running + p->n_waiting;
	pthread_mutex_unlock(&p->lock);
	return left;
}

struct pool *pool_free(struct pool *p)
{
	if (p == NULL)
		return NULL;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->work);
	while (p->n_threads > 0)
		pthread_cond_wait(&p->idle, &p->lock);
	pthread_mutex_unlock(&p->lock);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->idle);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}
