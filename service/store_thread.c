/* store_thread.c: group commit. The thread takes what waits and runs it in one
 * transaction, begun by the first op that writes. The usual op checks before it
 * writes, so there are no savepoints: when one fails after having written, the
 * transaction is undone and each of its ops is run again in one of its own.
 *
 * When the store itself fails (I/O), those who wait for it get its error, and for a
 * growing moment whoever wants to write is refused without trying. Reads go on.
 *
 * When the disk is full the store's reserve is given up, for ops that finish work;
 * others that write are refused until the reserve could be taken again, which is tried
 * once a second. When an fsync fails the store is dead: `died` sees to the rest. */
#define _GNU_SOURCE
#include "service/store_thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/fault.h"
#include "service/metrics.h"

#define BATCH_MAX 512
#define BATCH_NS (64 * NS_PER_MS)
#define BACKOFF_MIN_NS (50 * NS_PER_MS)
#define BACKOFF_MAX_NS NS_PER_S
#define ROOM_AGAIN_NS NS_PER_S

/* Brings finished ops to the loop; outlives the thread when it is still posted. */
struct completion {
	struct loop_job job;
	bool orphan;
};

static struct {
	const struct store_ops *ops;
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock; /* guards waiting, last, between, idle, stopping, done, posted, why */
	pthread_cond_t work;
	struct list waiting, last, between, done;
	bool idle, stopping;
	bool posted;          /* the completion is on its way to the loop */
	char why[256];
	struct completion *completion;
	struct loop_job wake; /* loop thread: wakes the store at the end of this turn */
	bool waking;          /* loop thread: it is deferred */
	atomic_bool ok;
	/* store thread */
	int refuse_code;      /* of the last failure */
	int64_t backoff_ns, refuse_until_ns;
	bool full;            /* the reserve is spent; set before the thread runs, too */
	int64_t room_ns;      /* when to try to take it again */
	void (*died)(void);
	struct loop_job death; /* its run is set once it is on its way */
} t = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

bool store_thread_ok(void)
{
	return atomic_load(&t.ok);
}

void store_thread_error(char *out, size_t size)
{
	pthread_mutex_lock(&t.lock);
	snprintf(out, size, "%s", t.why);
	pthread_mutex_unlock(&t.lock);
}

/* --- running ops --- */

static bool store_failed(int code)
{
	return code == -ERRAND_RESOURCE_EXHAUSTED || code == -ERRAND_UNAVAILABLE ||
	       code == -ERRAND_DATA_LOSS;
}

static void note_success(void)
{
	t.backoff_ns = t.refuse_until_ns = 0;
	if (!t.full && !atomic_exchange(&t.ok, true))
		log_info("store: writes work again", NULL);
}

static void note_full(void)
{
	t.full = true;
	t.room_ns = clock_mono_ns() + ROOM_AGAIN_NS;
}

/* False: there was nothing to give up (any more). */
static bool spend_reserve(int code)
{
	if (code != -ERRAND_RESOURCE_EXHAUSTED || t.ops->spend_reserve == NULL ||
	    !t.ops->spend_reserve(t.store))
		return false;
	log_warn("store: the disk is full; what was kept back is for what runs, new tasks are refused "
		 "until there is room", "error=\"%s\"", t.ops->error(t.store));
	t.refuse_until_ns = 0;
	note_full();
	return true;
}

static void note_failure(int code)
{
	pthread_mutex_lock(&t.lock);
	snprintf(t.why, sizeof t.why, "%s", t.ops->error(t.store));
	pthread_mutex_unlock(&t.lock);
	prom_count(&metrics.store_errors);
	if (atomic_exchange(&t.ok, false))
		log_error("store: cannot write; new work is refused until it can", "error=\"%s\"", t.why);
	t.backoff_ns = t.backoff_ns ? MIN(2 * t.backoff_ns, BACKOFF_MAX_NS) : BACKOFF_MIN_NS;
	t.refuse_until_ns = clock_mono_ns() + t.backoff_ns;
	t.refuse_code = code;
	spend_reserve(code);
}

static void look_for_room(void)
{
	if (!t.full || clock_mono_ns() < t.room_ns)
		return;
	if (!t.ops->take_reserve(t.store)) {
		note_full();
		return;
	}
	t.full = false;
	note_success();
}

/* Only what ends work is written on a full disk. */
static bool has_no_room(const struct store_op *op)
{
	return t.full && op->writes && !op->finishes;
}

static int commit(void)
{
	int64_t begin = clock_mono_ns();
	int code = t.ops->commit(t.store);

	prom_observe(&metrics.commit_time, clock_mono_ns() - begin);
	if (code < 0) {
		note_failure(code);
		t.ops->rollback(t.store);
	} else {
		note_success();
	}
	return code;
}

/* A write in a transaction of its own. */
static int run_write(struct store_op *op)
{
	int code;

	if (has_no_room(op))
		return -ERRAND_RESOURCE_EXHAUSTED;
	if (t.refuse_until_ns != 0 && clock_mono_ns() < t.refuse_until_ns)
		return t.refuse_code;
	code = t.ops->begin(t.store);
	if (code == 0)
		code = op->run(op, t.ops, t.store);
	if (code == 0)
		return commit();
	if (store_failed(code))
		note_failure(code);
	t.ops->rollback(t.store);
	return code;
}

static void run_alone(struct store_op *op)
{
	op->code = op->writes && !op->between ? run_write(op) : op->run(op, t.ops, t.store);
}

/* Runs ops of `pending` together and moves them to `ran`; false: they were undone
 * and have no outcome yet. */
static bool run_together(struct list *pending, struct list *ran)
{
	int64_t end_ns = clock_mono_ns() + BATCH_NS;
	bool begun = false;
	struct list *node;

	for (int n = 0; n < BATCH_MAX && (node = list_pop_front(pending)) != NULL; n++) {
		struct store_op *op = LIST_ENTRY(node, struct store_op, node);
		uint64_t changes = t.ops->changes(t.store);

		list_push_back(ran, node);
		if (has_no_room(op)) {
			op->code = -ERRAND_RESOURCE_EXHAUSTED;
			continue;
		}
		if (op->writes && !begun && t.ops->begin(t.store) < 0)
			return false;
		begun = begun || op->writes;
		op->code = op->run(op, t.ops, t.store);
		if (op->code < 0 && (store_failed(op->code) || t.ops->changes(t.store) != changes)) {
			t.ops->rollback(t.store);
			return false;
		}
		if (n % 16 == 15 && clock_mono_ns() >= end_ns)
			break;
	}
	/* After a commit that failed all of it runs again: what was read may have been
	 * what was not committed, and the writers meet the refusal that begins now. */
	return !begun || commit() == 0;
}

static void run_batch(struct list *pending, struct list *ran)
{
	if (list_empty(pending))
		return;
	if (t.refuse_until_ns == 0 && run_together(pending, ran))
		return;
	if (list_empty(ran))
		list_splice(ran, pending);
	LIST_FOREACH(node, ran)
		run_alone(LIST_ENTRY(node, struct store_op, node));
}

/* --- to the loop and back --- */

static atomic_size_t n_pending;

size_t store_thread_pending(void)
{
	return atomic_load(&n_pending);
}

static void run_done(struct list *done)
{
	struct list *node;

	while ((node = list_pop_front(done)) != NULL) {
		struct store_op *op = LIST_ENTRY(node, struct store_op, node);

		fault_point("before-done", NULL);
		if (op->writes && op->code == 0)
			prom_count(&metrics.commit_ops);
		op->done(op, op->code);
		atomic_fetch_sub(&n_pending, 1);
	}
}

static void complete(struct loop_job *job)
{
	struct completion *c = CONTAINER_OF(job, struct completion, job);
	struct list done;

	if (c->orphan) {
		free(c);
		return;
	}
	list_init(&done);
	pthread_mutex_lock(&t.lock);
	list_splice(&done, &t.done);
	t.posted = false;
	pthread_mutex_unlock(&t.lock);
	run_done(&done);
}

static void give_back(struct list *ran)
{
	bool post;

	if (list_empty(ran))
		return;
	pthread_mutex_lock(&t.lock);
	list_splice(&t.done, ran);
	post = !t.posted;
	t.posted = true;
	pthread_mutex_unlock(&t.lock);
	if (post)
		loop_post(&t.completion->job);
}

static bool has_work(void)
{
	return !list_empty(&t.waiting) || !list_empty(&t.last) || !list_empty(&t.between);
}

/* Waits for a signal, on a full disk not for long. */
static void wait_for_work(void)
{
	struct timespec at = {.tv_sec = t.room_ns / NS_PER_S, .tv_nsec = t.room_ns % NS_PER_S};

	if (!t.full) {
		pthread_cond_wait(&t.work, &t.lock);
	} else if (pthread_cond_clockwait(&t.work, &t.lock, CLOCK_MONOTONIC, &at) == ETIMEDOUT) {
		pthread_mutex_unlock(&t.lock);
		look_for_room();
		pthread_mutex_lock(&t.lock);
	}
}

/* Waits for work; false: there is none and there will be none. */
static bool take_work(struct list *pending)
{
	bool some;

	pthread_mutex_lock(&t.lock);
	t.idle = true;
	while (!has_work() && !t.stopping && list_empty(pending))
		wait_for_work();
	t.idle = false;
	list_splice(pending, &t.waiting);
	list_splice(pending, &t.last);
	some = !list_empty(pending) || !list_empty(&t.between);
	pthread_mutex_unlock(&t.lock);
	return some;
}

static void tell_death(struct loop_job *job)
{
	t.died();
}

/* Posted behind the ops that met it. */
static void look_for_death(void)
{
	if (t.died == NULL || t.death.run != NULL || t.ops->is_dead == NULL || !t.ops->is_dead(t.store))
		return;
	t.death.run = tell_death;
	loop_post(&t.death);
}

/* One of them, so that the others wait for no more. */
static void run_between(struct list *ran)
{
	struct list *node;

	pthread_mutex_lock(&t.lock);
	node = list_pop_front(&t.between);
	pthread_mutex_unlock(&t.lock);
	if (node == NULL)
		return;
	run_alone(LIST_ENTRY(node, struct store_op, node));
	list_push_back(ran, node);
	give_back(ran);
}

static void *store_main(void *arg)
{
	struct list pending, ran;

	pthread_setname_np(pthread_self(), "store");
	list_init(&pending);
	list_init(&ran);
	while (take_work(&pending)) {
		look_for_room();
		run_batch(&pending, &ran);
		give_back(&ran);
		if (t.ops->tidy != NULL)
			t.ops->tidy(t.store);
		run_between(&ran);
		look_for_death();
	}
	return NULL;
}

static void wake_store(struct loop_job *job)
{
	bool signal;

	t.waking = false;
	pthread_mutex_lock(&t.lock);
	signal = t.idle && has_work();
	pthread_mutex_unlock(&t.lock);
	if (signal)
		pthread_cond_signal(&t.work);
}

/* The loop's ops wake the thread at the end of the turn, all at once: the first
 * one alone would have an fsync to itself. */
void store_thread_submit(struct store_op *op)
{
	bool on_loop = loop_is_current();

	atomic_fetch_add(&n_pending, 1);
	pthread_mutex_lock(&t.lock);
	list_push_back(op->between ? &t.between : op->last ? &t.last : &t.waiting, &op->node);
	if (!on_loop && t.idle)
		pthread_cond_signal(&t.work);
	pthread_mutex_unlock(&t.lock);
	if (on_loop && !t.waking) {
		t.waking = true;
		loop_defer(&t.wake);
	}
}

/* --- start and stop --- */

/* Not even the reserve could be had: new tasks have to wait for room. */
static void begin_full(void)
{
	t.full = t.ops->take_reserve != NULL && !t.ops->take_reserve(t.store);
	if (!t.full)
		return;
	log_warn("store: no room on the disk to keep some back (--store-reserve); new tasks are refused "
		 "until there is", NULL);
	snprintf(t.why, sizeof t.why, "the disk is full");
	note_full();
}

void store_thread_on_death(void (*died)(void))
{
	t.died = died;
}

int store_thread_start(const struct store_ops *ops, struct store *s)
{
	sigset_t all, old;
	int r;

	t.ops = ops;
	t.store = s;
	t.idle = t.stopping = t.posted = t.waking = false;
	t.backoff_ns = t.refuse_until_ns = 0;
	t.why[0] = 0;
	t.death.run = NULL;
	t.wake.run = wake_store;
	list_init(&t.waiting);
	list_init(&t.last);
	list_init(&t.between);
	list_init(&t.done);
	t.completion = xcalloc(1, sizeof *t.completion);
	t.completion->job.run = complete;
	begin_full();
	atomic_store(&t.ok, !t.full);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&t.thread, NULL, store_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r == 0 ? 0 : -ERRAND_UNAVAILABLE;
}

/* done() may submit again, so until nothing waits any more. */
static void finish_all(void)
{
	struct list done;

	list_init(&done);
	for (;;) {
		pthread_mutex_lock(&t.lock);
		t.stopping = true;
		pthread_cond_signal(&t.work);
		pthread_mutex_unlock(&t.lock);
		pthread_join(t.thread, NULL);
		list_splice(&done, &t.done);
		run_done(&done);
		if (!has_work())
			return;
		t.stopping = false;
		if (pthread_create(&t.thread, NULL, store_main, NULL) != 0)
			return;
	}
}

void store_thread_stop(void)
{
	finish_all();
	if (t.waking)
		list_remove(&t.wake.node);
	t.waking = false;
	t.ops->close(t.store);
	t.store = NULL;
	t.ops = NULL;
	if (t.posted)
		t.completion->orphan = true;
	else
		free(t.completion);
	t.completion = NULL;
}
