/* loop.c, deadline.c and the watchdog: posts from threads arrive in order, timers do
 * not fire early, what holds the loop is counted, also while it still does. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/deadline.h"
#include "service/loop.h"
#include "service/watchdog.h"

#define N_THREADS 4
#define N_POSTS 2000

static int setup(void **state)
{
	loop_init();
	return 0;
}

static int teardown(void **state)
{
	deadline_deinit();
	loop_deinit();
	return 0;
}

/* --- posting --- */

struct post {
	struct loop_job job;
	int thread, number;
};

static struct post posts[N_THREADS][N_POSTS];
static int next_number[N_THREADS], n_arrived;

static void on_post(struct loop_job *job)
{
	struct post *p = CONTAINER_OF(job, struct post, job);

	assert_true(loop_is_current());
	assert_int_equal(p->number, next_number[p->thread]++);
	if (++n_arrived == N_THREADS * N_POSTS)
		loop_stop();
}

static void *poster(void *arg)
{
	int t = (int)(intptr_t)arg;

	if (loop_is_current())
		abort();
	for (int i = 0; i < N_POSTS; i++) {
		posts[t][i] = (struct post){.job.run = on_post, .thread = t, .number = i};
		loop_post(&posts[t][i].job);
	}
	return NULL;
}

static void test_posts(void **state)
{
	pthread_t threads[N_THREADS];

	for (int i = 0; i < N_THREADS; i++)
		pthread_create(&threads[i], NULL, poster, (void *)(intptr_t)i);
	loop_run();
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(n_arrived, N_THREADS * N_POSTS);
}

/* A wake-up must not be lost when the loop is about to wait: one post at a time. */
static atomic_int pings;

static void on_ping(struct loop_job *job)
{
	atomic_fetch_add(&pings, 1);
}

static void *pinger(void *arg)
{
	static struct loop_job job = {.run = on_ping};
	struct timespec tick = {0, 20000};

	for (int i = 0; i < 500; i++) {
		int64_t until = clock_mono_ns() + 5 * NS_PER_S;

		loop_post(&job);
		while (atomic_load(&pings) == i && clock_mono_ns() < until)
			nanosleep(&tick, NULL);
		if (atomic_load(&pings) != i + 1)
			break;
	}
	loop_stop();
	return NULL;
}

static void test_no_lost_wakeup(void **state)
{
	pthread_t t;

	pthread_create(&t, NULL, pinger, NULL);
	loop_run();
	pthread_join(t, NULL);
	assert_int_equal(atomic_load(&pings), 500);
}

/* --- the order inside a turn --- */

static char order[32];

static void note(char c)
{
	size_t len = strlen(order);

	order[len] = c;
	order[len + 1] = '\0';
}

static void on_deferred(struct loop_job *job)
{
	note('d');
	loop_stop();
}

static void on_posted(struct loop_job *job)
{
	note('p');
}

static void on_first(struct loop_job *job)
{
	static struct loop_job deferred = {.run = on_deferred}, posted = {.run = on_posted};

	loop_defer(&deferred);
	loop_post(&posted);
	note('1');
}

static void on_second(struct loop_job *job)
{
	note('2');
}

static void test_turn(void **state)
{
	struct loop_job first = {.run = on_first}, second = {.run = on_second};

	loop_post(&first);
	loop_post(&second);
	loop_run();
	assert_memory_equal(order, "12", 2);
	assert_non_null(strchr(order, 'd'));
	loop_post(&second); /* whatever was left is run by the next loop */
}

/* --- timers --- */

static int64_t started;
static int fired;

static void on_timer(void *arg)
{
	assert_true(clock_mono_ns() - started >= 20 * NS_PER_MS);
	fired++;
	loop_stop();
}

static void test_timer(void **state)
{
	struct loop_timer t = {0}, never = {0};

	started = clock_mono_ns();
	loop_timer_start(&never, 5 * NS_PER_MS, on_timer, NULL);
	loop_timer_start(&t, 20 * NS_PER_MS, on_timer, NULL);
	loop_timer_cancel(&never);
	loop_timer_cancel(&never);
	loop_run();
	assert_int_equal(fired, 1);
	assert_null(t.event);
}

#define N_DEADLINES 500

static struct deadline deadlines[N_DEADLINES];
static int64_t last_at;
static int n_due;

static void on_due(struct deadline *d)
{
	assert_true(clock_mono_ns() >= d->at_ns);
	assert_true(d->at_ns >= last_at);
	assert_false(deadline_is_set(d));
	last_at = d->at_ns;
	if (++n_due == N_DEADLINES - N_DEADLINES / 5)
		loop_stop();
}

/* Set in any order, moved and dropped: those that are left come in order. */
static void test_deadlines(void **state)
{
	int64_t now = clock_mono_ns();
	unsigned seed = 7;

	for (int i = 0; i < N_DEADLINES; i++)
		deadline_set(&deadlines[i], now + (rand_r(&seed) % 50) * NS_PER_MS, on_due);
	for (int i = 0; i < N_DEADLINES; i += 3)
		deadline_set(&deadlines[i], now + (rand_r(&seed) % 50) * NS_PER_MS, on_due);
	for (int i = 0; i < N_DEADLINES; i += 5) {
		deadline_drop(&deadlines[i]);
		deadline_drop(&deadlines[i]);
	}
	loop_run();
	assert_int_equal(n_due, N_DEADLINES - N_DEADLINES / 5);
}

/* --- the watchdog --- */

static void hold(const char *name, _Atomic uint64_t *counter, int ms)
{
	struct timespec t = {0, ms * NS_PER_MS};

	loop_enter(name, counter);
	loop_enter("inside", NULL);
	nanosleep(&t, NULL);
	loop_leave();
	loop_leave();
}

static void test_watchdog(void **state)
{
	_Atomic uint64_t slow = 0, quick = 0;
	uint64_t before = watchdog_count();
	int64_t until;

	assert_int_equal(watchdog_start(20 * NS_PER_MS), 0);
	for (int i = 0; i < 100; i++)
		hold("pkg.Service/Quick", &quick, 0);
	hold("pkg.Service/Slow", &slow, 60);
	assert_int_equal(slow, 1);
	assert_int_equal(quick, 0);
	assert_int_equal(watchdog_count(), before + 1);
	/* counted while it is still stuck, by the watchdog's own thread */
	loop_enter("pkg.Service/Stuck", &slow);
	until = clock_mono_ns() + 5 * NS_PER_S;
	while (atomic_load(&slow) < 2 && clock_mono_ns() < until)
		nanosleep(&(struct timespec){0, NS_PER_MS}, NULL);
	assert_int_equal(slow, 2);
	loop_leave();
	assert_int_equal(slow, 2);
	watchdog_stop();
	hold("pkg.Service/Slow", &slow, 30); /* off: nobody counts */
	assert_int_equal(slow, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_posts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_lost_wakeup, setup, teardown),
		cmocka_unit_test_setup_teardown(test_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadlines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watchdog, setup, teardown),
	};

	log_init("test_loop", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
