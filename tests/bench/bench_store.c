/* bench_store.c: what the stores and the task engine cost, without sockets.
 *
 *   bench_store DIR [SECONDS [BACKLOG [ONLY]]]
 *
 * bare:   64 inserts and a commit, in a loop (the store itself)
 * thread: 64 producers, each waiting for its commit (group commit)
 * create: the same through task_create, nothing claimed
 * no-op:  64 producers, each waiting for its task's end; handlers answer at once
 * idle:   one producer, submit to end, median
 * claim:  8 at a time, with few tasks stored and then over BACKLOG of them
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/call.h"
#include "service/lease.h"
#include "service/loop.h"
#include "service/pool.h"
#include "service/store_thread.h"
#include "service/task.h"
#include "service/task_move.h"

#define N_PRODUCERS 64

static const char *dir;
static int64_t seconds = 2;
static int64_t end_ns;
static uint64_t n_done;
static unsigned n_left;
static const uint8_t input[200] = "{\"input\": \"two hundred bytes\"}";

static char *file_named(const char *name)
{
	return xasprintf("%s/%s.db", dir, name);
}

static void report(const char *what, int64_t begin_ns)
{
	double s = (double)(clock_mono_ns() - begin_ns) / (double)NS_PER_S;

	printf("%-8s %10.0f /s  %8.2f us each, %llu of them\n", what, (double)n_done / s,
	       s * 1e6 / (double)n_done, (unsigned long long)n_done);
	fflush(stdout);
}

static void fill(struct task_row *row)
{
	*row = (struct task_row){.method = (char *)"bench.v1.Bench/NoOp", .queue = (char *)"default",
				 .state = TASK_QUEUED, .version = 1, .create_us = clock_wall_us()};
	uuid_new(&row->id);
	row->run_at_us = row->create_us;
	row->input = (struct buf){.data = (uint8_t *)input, .len = sizeof input};
}

/* --- bare --- */

static struct store *open_store(const char *name)
{
	AUTO_FREE char *file = file_named(name);
	struct store *s;
	char why[256];

	if (store_sqlite.open(file, &s, why, sizeof why) < 0) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	return s;
}

static void bench_bare(void)
{
	struct store *s = open_store("bare");
	int64_t begin = clock_mono_ns();
	struct task_row row;

	n_done = 0;
	while (clock_mono_ns() < begin + seconds * NS_PER_S) {
		store_sqlite.begin(s);
		for (int i = 0; i < N_PRODUCERS; i++, n_done++) {
			fill(&row);
			store_sqlite.insert(s, &row);
		}
		store_sqlite.commit(s);
		store_sqlite.tidy(s);
	}
	report("bare", begin);
	store_sqlite.close(s);
}

/* --- thread --- */

struct producer {
	struct store_op op;
	struct task_row row;
	int64_t begun_ns;
};

static int insert_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	return ops->insert(s, &CONTAINER_OF(op, struct producer, op)->row);
}

static void insert_done(struct store_op *op, int code)
{
	if (code < 0)
		abort();
	n_done++;
	if (clock_mono_ns() < end_ns) {
		fill(&CONTAINER_OF(op, struct producer, op)->row);
		store_thread_submit(op);
	} else if (--n_left == 0) {
		loop_stop();
	}
}

static void bench_thread(void)
{
	struct producer p[N_PRODUCERS];
	int64_t begin = clock_mono_ns();

	loop_init();
	store_thread_start(&store_sqlite, open_store("thread"));
	end_ns = begin + seconds * NS_PER_S;
	n_done = 0;
	n_left = N_PRODUCERS;
	for (int i = 0; i < N_PRODUCERS; i++) {
		p[i].op = (struct store_op){.run = insert_run, .done = insert_done, .writes = true};
		fill(&p[i].row);
		store_thread_submit(&p[i].op);
	}
	loop_run();
	report("thread", begin);
	store_thread_stop();
	loop_deinit();
}

/* --- the engine, over a method that answers at once --- */

static const struct schema_message message = {.name = "bench.v1.Empty"};
static const struct schema_method schema = {.full_name = "bench.v1.Bench/NoOp", .queue = "default",
					    .run = RUN_ASYNC, .input = &message, .output = &message};
static struct method method = {.schema = &schema, .run = RUN_ASYNC, .queue = "default"};
static unsigned slots;

struct errand_call {
	struct loop_job job;
	const struct call_source *source;
	void *arg;
};

const struct method *registry_method_by_name(const char *name)
{
	return &method;
}

static void call_end(struct loop_job *job)
{
	struct errand_call *c = CONTAINER_OF(job, struct errand_call, job);
	struct answer a = {0};

	c->source->answered(c, &a, c->arg);
	free(c);
}

struct errand_call *call_start(const struct call_params *p)
{
	struct errand_call *c = xcalloc(1, sizeof *c);

	c->source = p->source;
	c->arg = p->arg;
	c->job.run = call_end;
	loop_post(&c->job);
	return c;
}

void call_cancel(struct errand_call *c, int code, bool abandon)
{
}

int call_cancel_code(const struct errand_call *c)
{
	return 0;
}

bool call_has_after(struct errand_call *c)
{
	return false;
}

void call_hold(struct errand_call *c)
{
}

void call_delivered(struct errand_call *c)
{
}

static void engine_start(const char *name)
{
	AUTO_FREE char *file = file_named(name), *spec = xasprintf("sqlite:%s", file);
	struct task_config config = {.store = spec, .slots = slots};
	char why[256];

	loop_init();
	if (task_init(&config, why, sizeof why) < 0) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
}

static void engine_stop(void)
{
	task_deinit();
	loop_deinit();
}

static void create_again(void);
static bool wait_for_end;
static int64_t latencies[1 << 20];
static size_t n_latencies;

static void on_end(int code, const char *why, const struct task_row *row, void *arg)
{
	int64_t *begun = arg;

	if (code != 0)
		abort();
	if (n_latencies < ARRAY_LEN(latencies))
		latencies[n_latencies++] = clock_mono_ns() - *begun;
	free(begun);
	n_done++;
	create_again();
}

static void on_created(int code, enum task_found found, const char *why,
		       const struct task_row *row, void *arg)
{
	if (code != 0)
		abort();
	if (wait_for_end)
		task_wait_made(row, -1, on_end, arg);
	else
		on_end(0, NULL, row, arg);
}

static void create_again(void)
{
	struct task_spec spec = {.method = &method, .input = {input, sizeof input}};
	int64_t *begun;

	if (clock_mono_ns() >= end_ns) {
		if (--n_left == 0)
			loop_stop();
		return;
	}
	begun = xmalloc(sizeof *begun);
	*begun = clock_mono_ns();
	task_create(&spec, on_created, begun);
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void bench_engine(const char *name, unsigned n_slots, unsigned n_producers, bool wait)
{
	int64_t begin;

	slots = n_slots;
	wait_for_end = wait;
	engine_start(name);
	begin = clock_mono_ns();
	end_ns = begin + seconds * NS_PER_S;
	n_done = n_latencies = 0;
	n_left = n_producers;
	for (unsigned i = 0; i < n_producers; i++)
		create_again();
	loop_run();
	report(name, begin);
	qsort(latencies, n_latencies, sizeof *latencies, by_size);
	printf("%8s p50 %.0f us, p99 %.0f us\n", "", (double)latencies[n_latencies / 2] / 1000,
	       (double)latencies[n_latencies * 99 / 100] / 1000);
	engine_stop();
}

/* --- claims over a backlog --- */

static void preload(struct store *s, long n)
{
	struct task_row row;

	for (long i = 0; i < n; i++) {
		if (i % 10000 == 0)
			store_sqlite.begin(s);
		fill(&row);
		store_sqlite.insert(s, &row);
		if (i % 10000 == 9999 || i == n - 1) {
			store_sqlite.commit(s);
			store_sqlite.tidy(s);
		}
	}
}

static size_t claim_some(struct store *s)
{
	struct task_row rows[8];
	size_t n = 0;

	store_sqlite.begin(s);
	store_sqlite.claimable(s, "default", ARRAY_LEN(rows), rows, &n);
	for (size_t i = 0; i < n; i++) {
		struct task_changes changes = {0};
		struct task_move m = task_move_begin(&store_sqlite, s, &rows[i], &changes);

		task_move_claim(&m, lease_owner(), lease_name());
		task_changes_deinit(&changes);
		task_row_deinit(&rows[i]);
	}
	store_sqlite.commit(s);
	store_sqlite.tidy(s);
	return n;
}

static void bench_claim(const char *name, long backlog)
{
	struct store *s = open_store(name);
	int64_t begin = clock_mono_ns();

	preload(s, backlog);
	store_sqlite.close(s);
	printf("%8s %ld tasks stored in %.1f s\n", "", backlog,
	       (double)(clock_mono_ns() - begin) / (double)NS_PER_S);
	begin = clock_mono_ns();
	s = open_store(name);
	printf("%8s opened in %.1f ms\n", "", (double)(clock_mono_ns() - begin) / 1e6);
	begin = clock_mono_ns();
	for (n_done = 0; n_done < 10000;)
		n_done += claim_some(s);
	report("claim", begin);
	store_sqlite.close(s);
}

static const char *only; /* the one that is asked for; NULL = all */

static bool wanted(const char *name)
{
	return only == NULL || strcmp(only, name) == 0;
}

static void bench_all(long backlog)
{
	if (wanted("bare"))
		bench_bare();
	if (wanted("thread"))
		bench_thread();
	if (wanted("create"))
		bench_engine("create", 0, N_PRODUCERS, false);
	if (wanted("no-op"))
		bench_engine("no-op", 8, N_PRODUCERS, true);
	if (wanted("idle"))
		bench_engine("idle", 8, 1, true);
	if (wanted("claim"))
		bench_claim("few", 10008);
	if (wanted("claim") && backlog > 0)
		bench_claim("many", backlog);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: bench_store DIR [SECONDS [BACKLOG [ONLY]]]\n");
		return 64;
	}
	dir = argv[1];
	if (argc > 2)
		seconds = atoi(argv[2]);
	only = argc > 4 ? argv[4] : NULL;
	log_init("bench_store", LOG_LEVEL_ERROR);
	lease_init();
	bench_all(argc > 3 ? atol(argv[3]) : 0);
	return 0;
}
