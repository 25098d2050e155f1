/* pool.c: bounds, order, lazy threads, drain, resize. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "errand/status.h"
#include "service/pool.h"

struct job {
	struct pool_job job;
	sem_t *begun, *go; /* NULL: runs through */
	_Atomic int *count;
	int number, *order;
};

static void run(struct pool_job *pj)
{
	struct job *j = CONTAINER_OF(pj, struct job, job);
	int n;

	if (j->begun != NULL)
		sem_post(j->begun);
	if (j->go != NULL)
		sem_wait(j->go);
	n = atomic_fetch_add(j->count, 1);
	if (j->order != NULL)
		j->order[n] = j->number;
}

static int64_t in_5s(void)
{
	return clock_mono_ns() + 5 * NS_PER_S;
}

/* Of the pool of that name: threads of one before may not have left yet. */
static int n_threads(const char *pool)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d)) != NULL) {
		char path[300], name[32] = "";
		FILE *f;

		snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (f == NULL)
			continue;
		n += fgets(name, sizeof name, f) != NULL && strncmp(name, pool, strlen(pool)) == 0;
		fclose(f);
	}
	closedir(d);
	return n;
}

static void test_bounds(void **state)
{
	struct pool *p = pool_new("test", 2, 3);
	struct job jobs[6];
	sem_t begun, go;
	_Atomic int count = 0;

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	for (int i = 0; i < 5; i++) {
		jobs[i] = (struct job){.job.run = run, .begun = &begun, .go = &go, .count = &count};
		assert_int_equal(pool_submit(p, &jobs[i].job), 0);
	}
	/* two run or are about to, three wait: one more is refused, also at once */
	jobs[5] = jobs[0];
	assert_int_equal(pool_submit(p, &jobs[5].job), -ERRAND_RESOURCE_EXHAUSTED);
	sem_wait(&begun);
	sem_wait(&begun);
	assert_int_equal(pool_submit(p, &jobs[5].job), -ERRAND_RESOURCE_EXHAUSTED);
	assert_int_equal(pool_busy(p), 5);
	assert_int_equal(pool_drain(p, clock_mono_ns() + 20 * NS_PER_MS), 5);
	for (int i = 0; i < 5; i++)
		sem_post(&go);
	assert_int_equal(pool_drain(p, in_5s()), 0);
	assert_int_equal(count, 5);
	assert_int_equal(pool_busy(p), 0);
	assert_null(pool_free(p));
	sem_destroy(&begun);
	sem_destroy(&go);
}

static void test_take(void **state)
{
	struct pool *p = pool_new("test", 1, 10);
	struct job stuck, next;
	sem_t begun, go;
	_Atomic int count = 0;

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	stuck = (struct job){.job.run = run, .begun = &begun, .go = &go, .count = &count};
	next = (struct job){.job.run = run, .count = &count};
	assert_null(pool_take(p));
	assert_int_equal(pool_submit(p, &stuck.job), 0);
	sem_wait(&begun);
	assert_int_equal(pool_submit(p, &next.job), 0);
	assert_ptr_equal(pool_take(p), &next.job);
	assert_null(pool_take(p));
	sem_post(&go);
	assert_int_equal(pool_drain(p, in_5s()), 0);
	assert_int_equal(count, 1);
	pool_free(p);
	sem_destroy(&begun);
	sem_destroy(&go);
}

static void test_order_and_reuse(void **state)
{
	struct pool *p = pool_new("test", 1, 1000);
	struct job jobs[100];
	int order[100];
	_Atomic int count = 0;

	for (int round = 0; round < 3; round++) {
		count = 0;
		for (int i = 0; i < 100; i++) {
			jobs[i] = (struct job){.job.run = run, .count = &count, .number = i, .order = order};
			assert_int_equal(pool_submit(p, &jobs[i].job), 0);
		}
		assert_int_equal(pool_drain(p, in_5s()), 0);
		for (int i = 0; i < 100; i++)
			assert_int_equal(order[i], i);
	}
	pool_free(p);
}

/* Threads are made when they are needed and not before: one is enough for one job at a time. */
static void test_lazy(void **state)
{
	struct pool *p = pool_new("lazy", 8, 8);
	struct job j = {.job.run = run};
	_Atomic int count = 0;

	j.count = &count;
	assert_int_equal(n_threads("lazy"), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pool_submit(p, &j.job), 0);
		assert_int_equal(pool_drain(p, in_5s()), 0);
		assert_int_equal(n_threads("lazy"), 1);
	}
	pool_free(p);
	assert_int_equal(count, 20);
}

/* A stuck job keeps its thread; the pool is given another in its place. */
static void test_resize(void **state)
{
	struct pool *p = pool_new("test", 1, 10);
	struct job stuck, next, last;
	sem_t begun, go;
	_Atomic int count = 0;

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	stuck = (struct job){.job.run = run, .begun = &begun, .go = &go, .count = &count};
	next = (struct job){.job.run = run, .begun = &begun, .count = &count};
	last = next;
	assert_int_equal(pool_submit(p, &stuck.job), 0);
	sem_wait(&begun);
	assert_int_equal(pool_submit(p, &next.job), 0);
	pool_resize(p, 1);
	sem_wait(&begun);
	assert_int_equal(pool_drain(p, clock_mono_ns() + 20 * NS_PER_MS), 1);
	assert_int_equal(count, 1);
	sem_post(&go);
	pool_resize(p, -1);
	assert_int_equal(pool_submit(p, &last.job), 0);
	assert_int_equal(pool_drain(p, in_5s()), 0);
	assert_int_equal(count, 3);
	pool_free(p);
	sem_destroy(&begun);
	sem_destroy(&go);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_take),
		cmocka_unit_test(test_order_and_reuse),
		cmocka_unit_test(test_lazy),
		cmocka_unit_test(test_resize),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
