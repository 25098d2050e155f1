/* test_store_thread.c: group commit: what goes together, what an error undoes,
 * what a store that fails does to those who wait, and what kill -9 leaves. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/store_thread.h"

/* A kind of store that counts, and fails when told to; rows are the memory kind's. */
static struct store_ops ops;
static _Atomic int n_commits, n_begins, fail_commit, fail_begin;
static int n_done, n_wanted;

static int counting_begin(struct store *s)
{
	n_begins++;
	return fail_begin ? -ERRAND_UNAVAILABLE : store_memory.begin(s);
}

static int counting_commit(struct store *s)
{
	n_commits++;
	return fail_commit ? -ERRAND_RESOURCE_EXHAUSTED : store_memory.commit(s);
}

static void start_memory(void)
{
	struct store *s;

	ops = store_memory;
	ops.begin = counting_begin;
	ops.commit = counting_commit;
	n_commits = n_begins = fail_commit = fail_begin = 0;
	n_done = n_wanted = 0;
	assert_int_equal(ops.open("", &s, NULL, 0), 0);
	loop_init();
	assert_int_equal(store_thread_start(&ops, s), 0);
}

static void quit(struct loop_job *job)
{
	loop_stop();
}

static void stop(void)
{
	struct loop_job last = {.run = quit};

	store_thread_stop();
	loop_post(&last);
	loop_run();
	loop_deinit();
}

struct test_op {
	struct store_op op;
	unsigned id;
	int fail_before, fail_after; /* before, after having written */
	int runs, code;
	bool was_there;              /* of a read */
};

static struct uuid id_of(unsigned n)
{
	struct uuid u = {{0}};

	memcpy(u.b, &n, sizeof n);
	return u;
}

static int insert(const struct store_ops *o, struct store *s, unsigned id)
{
	struct task_row row = {.id = id_of(id), .method = (char *)"m", .queue = (char *)"q",
			       .state = TASK_QUEUED, .version = 1};

	return o->insert(s, &row);
}

static int op_run(struct store_op *op, const struct store_ops *o, struct store *s)
{
	struct test_op *t = CONTAINER_OF(op, struct test_op, op);
	struct task_row row = {0};
	struct uuid id = id_of(t->id);
	int r;

	t->runs++;
	if (!op->writes) {
		t->was_there = o->get(s, &id, 0, &row) == 0;
		task_row_deinit(&row);
		return 0;
	}
	if (t->fail_before)
		return t->fail_before;
	r = insert(o, s, t->id);
	return r < 0 ? r : t->fail_after;
}

static void op_done(struct store_op *op, int code)
{
	CONTAINER_OF(op, struct test_op, op)->code = code;
	assert_true(loop_is_current());
	if (++n_done == n_wanted)
		loop_stop();
}

static void submit(struct test_op *t, unsigned id, bool writes)
{
	t->id = id;
	t->op = (struct store_op){.run = op_run, .done = op_done, .writes = writes};
	t->code = 99;
	n_wanted++;
	store_thread_submit(&t->op);
}

static bool there(unsigned id)
{
	struct test_op t = {0};

	submit(&t, id, false);
	loop_run();
	return t.was_there;
}

static void a_turn_of_the_loop_is_one_commit(void **state)
{
	struct test_op t[100];

	memset(t, 0, sizeof t);
	start_memory();
	for (unsigned i = 0; i < 100; i++)
		submit(&t[i], i, true);
	loop_run();
	assert_int_equal(n_commits, 1);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(t[i].code, 0);
	assert_true(there(99));
	stop();
}

static void reads_alone_commit_nothing(void **state)
{
	struct test_op t[10];

	memset(t, 0, sizeof t);
	start_memory();
	for (unsigned i = 0; i < 10; i++)
		submit(&t[i], i, false);
	loop_run();
	assert_int_equal(n_begins, 0);
	assert_int_equal(n_commits, 0);
	stop();
}

static void a_clean_refusal_disturbs_nobody(void **state)
{
	struct test_op t[3];

	memset(t, 0, sizeof t);
	start_memory();
	t[1].fail_before = -ERRAND_FAILED_PRECONDITION;
	for (unsigned i = 0; i < 3; i++)
		submit(&t[i], i, true);
	loop_run();
	assert_int_equal(n_commits, 1);
	assert_int_equal(t[0].code, 0);
	assert_int_equal(t[1].code, -ERRAND_FAILED_PRECONDITION);
	assert_int_equal(t[2].code, 0);
	assert_int_equal(t[0].runs, 1);
	stop();
}

static void what_a_failed_op_wrote_is_undone(void **state)
{
	struct test_op t[4];

	memset(t, 0, sizeof t);
	start_memory();
	t[1].fail_after = -ERRAND_ABORTED;
	submit(&t[0], 0, true);
	submit(&t[1], 1, true);
	submit(&t[2], 2, true);
	submit(&t[3], 0, false);
	loop_run();
	assert_int_equal(t[0].code, 0);
	assert_int_equal(t[1].code, -ERRAND_ABORTED);
	assert_int_equal(t[2].code, 0);
	assert_true(t[3].was_there);
	assert_true(there(0));
	assert_false(there(1));
	assert_true(there(2));
	assert_true(store_thread_ok());
	stop();
}

static void a_failed_commit_acknowledges_nothing(void **state)
{
	struct test_op t[3];
	int64_t begun;

	memset(t, 0, sizeof t);
	start_memory();
	fail_commit = 1;
	submit(&t[0], 0, true);
	submit(&t[1], 1, true);
	submit(&t[2], 0, false);
	loop_run();
	assert_int_equal(t[0].code, -ERRAND_RESOURCE_EXHAUSTED);
	assert_int_equal(t[1].code, -ERRAND_RESOURCE_EXHAUSTED);
	assert_int_equal(t[2].code, 0);
	assert_false(t[2].was_there);
	assert_false(store_thread_ok());
	assert_int_equal(n_commits, 1); /* the second did not even try: backing off */
	/* It works again by itself, soon after the store does. */
	fail_commit = 0;
	begun = clock_mono_ns();
	do {
		memset(t, 0, sizeof t);
		submit(&t[0], 5, true);
		loop_run();
		usleep(1000);
	} while (t[0].code < 0 && clock_mono_ns() - begun < 2 * NS_PER_S);
	assert_int_equal(t[0].code, 0);
	assert_true(store_thread_ok());
	assert_true(there(5));
	stop();
}

static void a_transaction_that_cannot_begin(void **state)
{
	struct test_op t[2];

	memset(t, 0, sizeof t);
	start_memory();
	fail_begin = 1;
	submit(&t[0], 0, true);
	submit(&t[1], 1, false);
	loop_run();
	assert_int_equal(t[0].code, -ERRAND_UNAVAILABLE);
	assert_int_equal(t[0].runs, 0);
	assert_int_equal(t[1].code, 0);
	stop();
}

static void stopping_finishes_what_waits(void **state)
{
	struct test_op t[20];

	memset(t, 0, sizeof t);
	start_memory();
	for (unsigned i = 0; i < 20; i++)
		submit(&t[i], i, true);
	stop();
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(t[i].code, 0);
}

/* --- a full disk, a dead store, ops between transactions --- */

static _Atomic int reserve_held, has_room, n_spent, in_transaction, is_dead, n_died;

static bool fake_take(struct store *s)
{
	reserve_held = has_room;
	return reserve_held;
}

static bool fake_spend(struct store *s)
{
	int held = atomic_exchange(&reserve_held, 0);

	n_spent += held;
	return held;
}

/* What was kept back is enough. */
static int small_commit(struct store *s)
{
	n_commits++;
	return reserve_held && !has_room ? -ERRAND_RESOURCE_EXHAUSTED : store_memory.commit(s);
}

static void start_small(void)
{
	start_memory();
	ops.commit = small_commit;
	ops.take_reserve = fake_take;
	ops.spend_reserve = fake_spend;
	n_spent = 0;
	reserve_held = 1;
	has_room = 0;
}

static void what_is_kept_back_is_for_what_ends(void **state)
{
	struct test_op t[4];
	int64_t begun;

	memset(t, 0, sizeof t);
	start_small();
	submit(&t[0], 0, true);
	submit(&t[1], 1, true);
	t[1].op.finishes = true;
	submit(&t[2], 0, false);
	loop_run();
	assert_int_equal(t[0].code, -ERRAND_RESOURCE_EXHAUSTED);
	assert_int_equal(t[1].code, 0);
	assert_int_equal(t[2].code, 0);
	assert_int_equal(n_spent, 1);
	assert_false(store_thread_ok());
	assert_true(there(1) && !there(0));
	memset(t, 0, sizeof t);
	submit(&t[0], 2, true);
	submit(&t[1], 3, true);
	t[1].op.finishes = true;
	loop_run();
	assert_int_equal(t[0].code, -ERRAND_RESOURCE_EXHAUSTED);
	assert_int_equal(t[0].runs, 0);
	assert_int_equal(t[1].code, 0);
	/* With room it goes on by itself, though nobody asks. */
	has_room = 1;
	for (begun = clock_mono_ns(); !store_thread_ok() && clock_mono_ns() - begun < 5 * NS_PER_S;)
		usleep(1000);
	assert_true(store_thread_ok() && reserve_held);
	submit(&t[0], 4, true);
	loop_run();
	assert_int_equal(t[0].code, 0);
	stop();
}

static int tracked_begin(struct store *s)
{
	in_transaction = 1;
	return store_memory.begin(s);
}

static int tracked_commit(struct store *s)
{
	in_transaction = 0;
	return is_dead ? -ERRAND_UNAVAILABLE : store_memory.commit(s);
}

static int between_run(struct store_op *op, const struct store_ops *o, struct store *s)
{
	assert_int_equal(in_transaction, 0);
	return -ERRAND_ABORTED; /* nobody else minds */
}

static void ops_between_are_in_no_transaction(void **state)
{
	struct test_op t[40];

	memset(t, 0, sizeof t);
	start_memory();
	ops.begin = tracked_begin;
	ops.commit = tracked_commit;
	for (unsigned i = 0; i < 40; i++) {
		t[i].id = i;
		t[i].op = (struct store_op){.run = i % 4 ? op_run : between_run, .done = op_done,
					    .writes = true, .between = i % 4 == 0};
		n_wanted++;
		store_thread_submit(&t[i].op);
	}
	loop_run();
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(t[i].code, i % 4 ? 0 : -ERRAND_ABORTED);
	stop();
}

static bool fake_is_dead(struct store *s)
{
	return is_dead;
}

static void on_death(void)
{
	assert_true(loop_is_current());
	assert_int_equal(n_done, n_wanted); /* who waited has heard */
	n_died++;
	loop_stop();
}

static void a_store_that_died_says_so_once(void **state)
{
	struct test_op t[2];

	memset(t, 0, sizeof t);
	store_thread_on_death(on_death);
	start_memory();
	ops.begin = tracked_begin;
	ops.commit = tracked_commit;
	ops.is_dead = fake_is_dead;
	is_dead = 1;
	submit(&t[0], 0, true);
	loop_run();
	if (n_died == 0)
		loop_run();
	assert_int_equal(t[0].code, -ERRAND_UNAVAILABLE);
	assert_int_equal(n_died, 1);
	submit(&t[1], 1, true);
	loop_run();
	assert_int_equal(t[1].code, -ERRAND_UNAVAILABLE);
	is_dead = 0;
	stop();
	assert_int_equal(n_died, 1);
	store_thread_on_death(NULL);
}

/* --- many threads --- */

#define N_THREADS 4
#define N_EACH 500

static void *submit_many(void *arg)
{
	struct test_op *t = arg;

	for (unsigned i = 0; i < N_EACH; i++)
		store_thread_submit(&t[i].op);
	return NULL;
}

static void all_threads_are_served(void **state)
{
	struct test_op *t = xcalloc(N_THREADS * N_EACH, sizeof *t);
	pthread_t threads[N_THREADS];

	start_memory();
	n_wanted = N_THREADS * N_EACH;
	for (unsigned i = 0; i < N_THREADS * N_EACH; i++) {
		t[i].id = i;
		t[i].op = (struct store_op){.run = op_run, .done = op_done, .writes = true};
	}
	for (unsigned i = 0; i < N_THREADS; i++)
		pthread_create(&threads[i], NULL, submit_many, t + i * N_EACH);
	loop_run();
	for (unsigned i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < N_THREADS * N_EACH; i++)
		assert_int_equal(t[i].code, 0);
	stop();
	free(t);
}

/* --- kill -9 --- */

struct writer {
	struct store_op op;
	uint32_t id;
};

static uint32_t next_id;
static int ack_fd;

static int writer_run(struct store_op *op, const struct store_ops *o, struct store *s)
{
	return insert(o, s, CONTAINER_OF(op, struct writer, op)->id);
}

static void writer_done(struct store_op *op, int code)
{
	struct writer *w = CONTAINER_OF(op, struct writer, op);

	if (code == 0 && write(ack_fd, &w->id, sizeof w->id) != sizeof w->id)
		_exit(2);
	w->id = next_id++;
	store_thread_submit(op);
}

/* The child: 16 writers without end, telling each id once it is committed. */
static void write_for_ever(const char *file, uint32_t first_id, int fd)
{
	struct writer writers[16];
	struct store *s;
	char why[256];

	ack_fd = fd;
	next_id = first_id;
	if (store_sqlite.open(file, &s, why, sizeof why) != 0)
		_exit(1);
	loop_init();
	store_thread_start(&store_sqlite, s);
	for (int i = 0; i < 16; i++) {
		writers[i] = (struct writer){.op = {.run = writer_run, .done = writer_done,
						    .writes = true}, .id = next_id++};
		store_thread_submit(&writers[i].op);
	}
	loop_run();
}

/* Kills it after it has acknowledged `acks` ids; appends them to ids. */
static size_t kill_round(const char *file, uint32_t first_id, size_t acks, uint32_t *ids)
{
	int fds[2], status;
	size_t n = 0;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		write_for_ever(file, first_id, fds[1]);
	}
	close(fds[1]);
	while (n < acks && read(fds[0], &ids[n], sizeof *ids) == sizeof *ids)
		n++;
	usleep((useconds_t)(random() % 3000)); /* the moment is meant to be random */
	kill(pid, SIGKILL);
	while (read(fds[0], &ids[n], sizeof *ids) == sizeof *ids)
		n++;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	return n;
}

static void check_acknowledged(const char *file, const uint32_t *ids, size_t n)
{
	struct task_row row = {0};
	struct store *s;
	char why[256] = "";

	/* Opening runs quick_check on a file of this size. */
	if (store_sqlite.open(file, &s, why, sizeof why) != 0)
		fail_msg("%s", why);
	for (size_t i = 0; i < n; i++) {
		struct uuid id = id_of(ids[i]);

		if (store_sqlite.get(s, &id, 0, &row) != 0)
			fail_msg("acknowledged task %u of %zu is lost", ids[i], n);
		task_row_deinit(&row);
	}
	store_sqlite.close(s);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void kill_9_loses_nothing_acknowledged(void **state)
{
	const char *text = getenv("ERRAND_KILL_ROUNDS");
	int rounds = text ? atoi(text) : 10;
	char dir[] = "/tmp/errand-kill-XXXXXX", file[64];
	uint32_t *ids = xcalloc(1 << 20, sizeof *ids);
	size_t n = 0;

	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof file, "%s/tasks.db", dir);
	srandom((unsigned)getpid());
	for (int i = 0; i < rounds; i++) {
		if (n > 500000)
			n = 0; /* checked by the rounds before */
		n += kill_round(file, (uint32_t)(i + 1) << 20, (size_t)(random() % 200), ids + n);
		check_acknowledged(file, ids, n);
	}
	assert_true(n > 0);
	free(ids);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_turn_of_the_loop_is_one_commit),
		cmocka_unit_test(reads_alone_commit_nothing),
		cmocka_unit_test(a_clean_refusal_disturbs_nobody),
		cmocka_unit_test(what_a_failed_op_wrote_is_undone),
		cmocka_unit_test(a_failed_commit_acknowledges_nothing),
		cmocka_unit_test(a_transaction_that_cannot_begin),
		cmocka_unit_test(stopping_finishes_what_waits),
		cmocka_unit_test(what_is_kept_back_is_for_what_ends),
		cmocka_unit_test(ops_between_are_in_no_transaction),
		cmocka_unit_test(a_store_that_died_says_so_once),
		cmocka_unit_test(all_threads_are_served),
		cmocka_unit_test(kill_9_loses_nothing_acknowledged),
	};

	log_init("test_store_thread", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
