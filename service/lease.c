/* lease.c: see lease.h. Record OWNER: the owner's number -> its name, due at the end of
 * its lease. */
#define _GNU_SOURCE
#include "service/lease.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/store_thread.h"
#include "service/task_clock.h"

#define RENEW_S (LEASE_US / 3 / 1000000)
#define LOST_MAX 16

static struct {
	uint64_t owner;
	char name[320];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool started, stopping, needed, busy; /* busy: the op is under way */
	struct store_op op;
	int64_t until_us; /* store thread's: the end of the lease, as it was written */
} l = {.lock = PTHREAD_MUTEX_INITIALIZER};

void lease_init(void)
{
	char host[256] = "";
	struct uuid u;

	uuid_new(&u);
	memcpy(&l.owner, u.b + 8, sizeof l.owner);
	l.owner = l.owner >> 1 | 1;
	gethostname(host, sizeof host - 1);
	snprintf(l.name, sizeof l.name, "%s/%ld/%llx", host, (long)getpid(),
		 (unsigned long long)l.owner);
	l.until_us = 0;
}

uint64_t lease_owner(void)
{
	return l.owner;
}

const char *lease_name(void)
{
	return l.name;
}

/* --- the store's side --- */

static void owner_key(struct buf *out, uint64_t owner)
{
	for (int shift = 56; shift >= 0; shift -= 8) {
		uint8_t byte = (uint8_t)(owner >> shift);

		buf_append(out, &byte, 1);
	}
}

static int renew(const struct store_ops *ops, struct store *s)
{
	struct record r = {.kind = RECORD_OWNER, .due_us = task_clock_us() + LEASE_US};
	int code;

	owner_key(&r.key, l.owner);
	buf_append(&r.data, l.name, strlen(l.name));
	code = ops->put_record(s, &r);
	if (code == 0)
		l.until_us = r.due_us;
	record_deinit(&r);
	return code;
}

/* After a rollback until_us says too much, for one lease at most: it is only looked at
 * while it is far from its end. */
int lease_hold(const struct store_ops *ops, struct store *s)
{
	return l.until_us - task_clock_us() > LEASE_US / 2 ? 0 : renew(ops, s);
}

int lease_lost(const struct store_ops *ops, struct store *s, uint64_t *out, size_t *n_out)
{
	struct record *rows = NULL;
	size_t n = 0;
	int r = ops->due_records(s, RECORD_OWNER, task_clock_us(), LOST_MAX, &rows, &n);

	*n_out = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t owner = 0;

		for (size_t j = 0; j < rows[i].key.len; j++)
			owner = owner << 8 | rows[i].key.data[j];
		if (owner != l.owner)
			out[(*n_out)++] = owner;
	}
	records_free(rows, n);
	return r;
}

int lease_forget(const struct store_ops *ops, struct store *s, uint64_t owner)
{
	AUTO_BUF key = BUF_INIT;

	owner_key(&key, owner);
	return ops->remove_record(s, RECORD_OWNER, buf_bytes(&key));
}

/* --- the thread --- */

static int renew_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	return renew(ops, s);
}

static void renew_done(struct store_op *op, int code)
{
	pthread_mutex_lock(&l.lock);
	l.busy = false;
	pthread_mutex_unlock(&l.lock);
	if (code < 0)
		log_error("the lease on running tasks could not be renewed", "owner=%s", l.name);
}

static void *lease_main(void *arg)
{
	struct timespec at;

	pthread_setname_np(pthread_self(), "lease");
	pthread_mutex_lock(&l.lock);
	while (!l.stopping) {
		clock_gettime(CLOCK_MONOTONIC, &at);
		at.tv_sec += RENEW_S;
		if (!l.needed)
			pthread_cond_wait(&l.change, &l.lock);
		else if (pthread_cond_timedwait(&l.change, &l.lock, &at) == ETIMEDOUT && !l.busy &&
			 l.needed && !l.stopping) {
			l.busy = true;
			l.op = (struct store_op){.run = renew_run, .done = renew_done, .writes = true,
						 .finishes = true};
			store_thread_submit(&l.op);
		}
	}
	pthread_mutex_unlock(&l.lock);
	return NULL;
}

int lease_start(void)
{
	pthread_condattr_t attr;
	sigset_t all, old;
	int r;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l.change, &attr);
	pthread_condattr_destroy(&attr);
	l.stopping = l.needed = l.busy = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&l.thread, NULL, lease_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	l.started = r == 0;
	return r == 0 ? 0 : -ERRAND_UNAVAILABLE;
}

void lease_needed(bool needed)
{
	pthread_mutex_lock(&l.lock);
	if (needed && !l.needed)
		pthread_cond_signal(&l.change);
	l.needed = needed;
	pthread_mutex_unlock(&l.lock);
}

void lease_stop(void)
{
	if (!l.started)
		return;
	pthread_mutex_lock(&l.lock);
	l.stopping = true;
	pthread_cond_signal(&l.change);
	pthread_mutex_unlock(&l.lock);
	pthread_join(l.thread, NULL);
	pthread_cond_destroy(&l.change);
	l.started = false;
}
