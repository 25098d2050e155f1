/* test_store_disk.c: the SQLite store on a disk that fails: at every write, sync and
 * truncate in turn, with errors, by death, by power cuts. A script of transactions is
 * run beside a model of what was acknowledged; what is found afterwards is the model,
 * or the model with the one transaction more whose outcome nobody heard.
 * ERRAND_EVERY_WRITE=1: really every one (half a minute), not every 13th. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store_rig.h"

#include "base/log.h"
#include "errand/status.h"
#include "faultvfs.h"

#define TASKS 64
#define MANY 40 /* transactions of a short script */

/* What is in the store: version 0 = no such task. */
struct model {
	uint64_t version[TASKS];
	enum task_state state[TASKS];
};

static unsigned input_size = 3000;

static long stride(void)
{
	return getenv("ERRAND_EVERY_WRITE") != NULL ? 1 : 13;
}

/* --- the script: transaction n, as a function of what is there --- */

static int put_new(struct fixture *f, struct model *m, unsigned at)
{
	ROW t = row_of(at + 1);

	for (unsigned i = 0; i < input_size; i += 16)
		buf_append(&t.input, "0123456789abcdef", 16);
	m->version[at] = 1;
	m->state[at] = TASK_QUEUED;
	return f->ops->insert(f->s, &t);
}

static int move(struct fixture *f, struct model *m, unsigned at, enum task_state to)
{
	ROW t = {0};
	struct event_row e = {.kind = EVENT_STATE, .time_us = 5};
	struct uuid id = id_of(at + 1);
	int r = f->ops->get(f->s, &id, 0, &t);

	if (r < 0)
		return r;
	e.seq = ++t.version;
	t.state = to;
	m->version[at] = t.version;
	m->state[at] = to;
	buf_append_str(&e.data, to == TASK_SUCCEEDED ? "ended" : "began");
	if (to == TASK_SUCCEEDED)
		for (unsigned i = 0; i < input_size; i += 8)
			buf_append(&t.result, "a result", 8);
	r = f->ops->add_event(f->s, &id, &e);
	if (r == 0)
		r = f->ops->update(f->s, &t, to == TASK_SUCCEEDED ? PART_RESULT : 0);
	event_row_deinit(&e);
	return r;
}

static int take_away(struct fixture *f, struct model *m, unsigned at)
{
	struct uuid id = id_of(at + 1);

	m->version[at] = 0;
	return f->ops->remove(f->s, &id);
}

/* Every task there makes its next move, in turn; one that is not there is made. */
static int step(struct fixture *f, struct model *m, unsigned at)
{
	if (m->version[at] == 0)
		return put_new(f, m, at);
	if (m->state[at] == TASK_QUEUED)
		return move(f, m, at, TASK_RUNNING);
	if (m->state[at] == TASK_RUNNING)
		return move(f, m, at, TASK_SUCCEEDED);
	return take_away(f, m, at);
}

/* *next: the model if it is committed. */
static int transaction(struct fixture *f, const struct model *m, struct model *next, unsigned n)
{
	int r = f->ops->begin(f->s);

	*next = *m;
	for (unsigned i = 0; i < 3 && r == 0; i++)
		r = step(f, next, (n * 5 + i * 7) % TASKS);
	if (r == 0)
		r = f->ops->commit(f->s);
	if (r < 0) {
		f->ops->rollback(f->s);
		return r;
	}
	f->ops->tidy(f->s);
	if (n % 16 == 5) /* if it fails, what comes next does or does not: the model is the same */
		f->ops->vacuum_step(f->s, 8);
	return 0;
}

/* --- what is found --- */

static bool agrees(struct fixture *f, const struct model *m)
{
	for (unsigned i = 0; i < TASKS; i++) {
		ROW t = {0};
		struct uuid id = id_of(i + 1);
		int r = f->ops->get(f->s, &id, PART_ALL, &t);

		if (r == -ERRAND_NOT_FOUND && m->version[i] == 0)
			continue;
		if (r != 0 || t.version != m->version[i] || t.state != m->state[i] ||
		    t.input.len < input_size || (t.state == TASK_SUCCEEDED) != (t.result.len > 0))
			return false;
	}
	return true;
}

/* Without faults: sound, and the model or the next one; written to again. */
static void assert_found(struct fixture *f, const struct model *m, const struct model *next, long n)
{
	struct model after;

	faultvfs_reset();
	open_store(f);
	if (!agrees(f, m) && !agrees(f, next))
		fail_msg("at %ld: what is there is neither the acknowledged nor one more", n);
	assert_int_equal(transaction(f, agrees(f, m) ? m : next, &after, 1000), 0);
	assert_true(agrees(f, &after));
	close_store(f);
}

static void remove_files(struct fixture *f)
{
	static const char *const ends[] = {"", "-wal", "-journal", "-shm", ".lock"};

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		AUTO_FREE char *path = xasprintf("%s%s", f->file, ends[i]);

		unlink(path);
	}
}

/* How many ops the script has, so that each can be failed in turn. */
static long count_ops(struct fixture *f, unsigned ops)
{
	struct model m = {0}, next;
	long n;

	faultvfs_reset();
	open_store(f);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(transaction(f, &m, &next, i), 0);
		m = next;
	}
	n = faultvfs_count(ops);
	close_store(f);
	remove_files(f);
	return n;
}

/* --- errors --- */

/* The store lives through it: what failed is not there, what comes after is. */
static void one_error_loses_that_transaction(void **state)
{
	struct fixture *f = *state;
	long n_ops, n_failed = 0;
	enum faultvfs_action actions[] = {FVFS_EIO, FVFS_FULL};

	close_store(f);
	remove_files(f);
	n_ops = count_ops(f, FVFS_WRITE);
	for (long n = 1; n <= n_ops; n += stride()) {
		struct model m = {0}, next = {0};

		faultvfs_reset();
		faultvfs_arm(FVFS_WRITE, n, 1, actions[n % 2]);
		if (f->ops->open(f->file, &f->s, f->why, sizeof f->why) == 0) {
			for (unsigned i = 0; i < MANY; i++) {
				int r = transaction(f, &m, &next, i);

				if (r == 0)
					m = next;
				else
					n_failed++;
				assert_true(r == 0 || r == (n % 2 ? -ERRAND_RESOURCE_EXHAUSTED :
							    -ERRAND_UNAVAILABLE));
				if (r < 0)
					assert_true(agrees(f, &m));
			}
		}
		close_store(f);
		assert_found(f, &m, &m, n);
		remove_files(f);
	}
	assert_true(n_failed > n_ops / stride() / 2);
}

/* After a sync that failed nothing is acknowledged; the next start reads what is there. */
static void after_a_failed_sync_nothing_is_acknowledged(void **state)
{
	struct fixture *f = *state;
	long n_ops;

	close_store(f);
	remove_files(f);
	n_ops = count_ops(f, FVFS_SYNC);
	for (long n = 1; n <= n_ops; n++) {
		struct model m = {0}, next = {0}, unheard;
		bool failed = false;

		faultvfs_reset();
		faultvfs_arm(FVFS_SYNC, n, 1, FVFS_EIO); /* one alone: later ones would "work" */
		if (f->ops->open(f->file, &f->s, f->why, sizeof f->why) == 0) {
			for (unsigned i = 0; i < MANY; i++) {
				int r = transaction(f, &m, failed ? &unheard : &next, i);

				assert_true(!failed || r == -ERRAND_UNAVAILABLE);
				failed = failed || r < 0;
				if (!failed)
					m = next;
			}
			if (!failed)
				fail_msg("sync %ld of %ld failed, and nobody noticed", n, n_ops);
		}
		close_store(f);
		assert_found(f, &m, &next, n);
		remove_files(f);
	}
}

/* --- death --- */

/* In the child: runs the script and writes a byte for every commit. */
static void run_and_tell(struct fixture *f, int fd)
{
	struct model m = {0}, next;

	if (f->ops->open(f->file, &f->s, f->why, sizeof f->why) != 0)
		_exit(1);
	for (unsigned i = 0; i < MANY; i++) {
		if (transaction(f, &m, &next, i) != 0 || write(fd, "", 1) != 1)
			_exit(1);
		m = next;
	}
	close_store(f);
	_exit(0);
}

/* The number of commits the child told of. */
static unsigned count_told(int fd)
{
	char byte;
	unsigned n = 0;

	while (read(fd, &byte, 1) == 1)
		n++;
	return n;
}

/* What n commits make, with no store. */
static void foresee(struct model *m, unsigned n)
{
	*m = (struct model){0};
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < 3; k++) {
			unsigned at = (i * 5 + k * 7) % TASKS;

			if (m->version[at] == 0) {
				m->version[at] = 1;
				m->state[at] = TASK_QUEUED;
			} else if (m->state[at] == TASK_SUCCEEDED) {
				m->version[at] = 0;
			} else {
				m->version[at]++;
				m->state[at] = m->state[at] == TASK_QUEUED ? TASK_RUNNING : TASK_SUCCEEDED;
			}
		}
}

static void killed_in_the_middle_of_every_write(void **state)
{
	struct fixture *f = *state;
	bool killed = true;
	long n = 1;

	close_store(f);
	for (; killed; n += stride()) {
		struct model m, next;
		int pipes[2], status;
		unsigned told;
		pid_t pid;

		remove_files(f);
		assert_int_equal(pipe(pipes), 0);
		fflush(NULL);
		pid = fork();
		if (pid == 0) {
			close(pipes[0]);
			faultvfs_reset();
			faultvfs_arm(FVFS_ALL, n, 1, FVFS_KILL);
			run_and_tell(f, pipes[1]);
		}
		close(pipes[1]);
		told = count_told(pipes[0]);
		close(pipes[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		killed = WIFSIGNALED(status);
		assert_true(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
		foresee(&m, told);
		foresee(&next, told + 1);
		assert_found(f, &m, &next, n);
	}
	assert_true(n > 100);
}

/* --- power --- */

/* What was committed at which moment of the record. */
struct acked {
	size_t moment;
	struct model m;
};

static void power_is_cut(void **state)
{
	struct fixture *f = *state;
	unsigned n_transactions = 360, n_cuts = stride() == 1 ? 2000 : 60;
	struct acked *acked = xcalloc(n_transactions + 1, sizeof *acked);
	struct fixture *g = fixture_new(f->ops);
	unsigned seed = 4711;
	size_t end;

	close_store(f);
	remove_files(f);
	faultvfs_reset();
	faultvfs_record();
	input_size = 14000; /* enough for several checkpoints */
	open_store(f);
	acked[0].moment = faultvfs_now();
	for (unsigned i = 0; i < n_transactions; i++) {
		assert_int_equal(transaction(f, &acked[i].m, &acked[i + 1].m, i), 0);
		acked[i + 1].moment = faultvfs_now();
	}
	close_store(f);
	end = faultvfs_now();
	for (unsigned cut = 0; cut < n_cuts; cut++) {
		size_t moment = (size_t)(((uint64_t)(seed = seed * 1103515245u + 12345u) * end) >> 32);
		unsigned i = n_transactions;
		struct model none = {0};

		while (i > 0 && acked[i].moment > moment)
			i--;
		remove_files(g);
		faultvfs_power_cut(moment, cut, g->dir);
		open_store(g);
		if (!agrees(g, acked[i].moment <= moment ? &acked[i].m : &none) &&
		    (i == n_transactions || !agrees(g, &acked[i + 1].m)))
			fail_msg("power cut at %zu of %zu (dice %u): after commit %u it is not there", moment,
				 end, cut, i);
		close_store(g);
	}
	free(acked);
	*state = g;
	teardown(state);
	*state = f;
	faultvfs_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SQLITE(one_error_loses_that_transaction),
		SQLITE(after_a_failed_sync_nothing_is_acknowledged),
		SQLITE(killed_in_the_middle_of_every_write),
		SQLITE(power_is_cut),
	};

	log_init("test_store_disk", (enum log_level)-1);
	faultvfs_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
