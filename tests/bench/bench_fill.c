/* bench_fill.c: a store with many tasks in it, written as fast as it goes.
 *
 *   bench_fill FILE QUEUED PARKED DONE
 *
 * QUEUED tasks of bench.v1.Bench/Task to do, PARKED ones of Bench/Parked that wait
 * in its queue, and DONE ones that have succeeded, with attempt, events and result. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "service/registry.h"
#include "service/store.h"
#include "service/task_pack.h"

#define BATCH 10000
#define WEEK_US (7 * 86400 * 1000000LL)

static struct store *store;
static const uint8_t echo[] = "\x0a\x0chello, world\x10\x2a"; /* text and number */

/* No method is served here. */
const struct method *registry_method_by_name(const char *name)
{
	return NULL;
}

static void must(int code)
{
	if (code >= 0)
		return;
	fprintf(stderr, "bench_fill: %s\n", store_sqlite.error(store));
	exit(1);
}

static void add_event(const struct task_row *row, uint64_t seq, enum event_kind kind,
		      enum task_state state)
{
	struct event_row e = {.seq = seq, .kind = kind, .time_us = row->create_us};

	if (kind == EVENT_STATE)
		task_pack_state(state, 1, &BUF_INIT, &e.data);
	must(store_sqlite.add_event(store, &row->id, &e));
	event_row_deinit(&e);
}

static void add_history(const struct task_row *row)
{
	struct attempt_row a = {.task = row->id, .number = 1, .outcome = OUTCOME_OK,
				.start_us = row->start_us, .end_us = row->end_us,
				.owner = (char *)"bench/1"};

	must(store_sqlite.put_attempt(store, &a));
	add_event(row, 2, EVENT_STATE, TASK_RUNNING);
	add_event(row, 3, EVENT_RESULT, 0);
	add_event(row, 4, EVENT_STATE, TASK_SUCCEEDED);
}

static void add(const char *method, const char *queue, bool done)
{
	struct task_row row = {.method = (char *)method, .queue = (char *)queue, .version = 1,
			       .state = done ? TASK_SUCCEEDED : TASK_QUEUED, .create_us = clock_wall_us(),
			       .input = {.data = (uint8_t *)echo, .len = sizeof echo - 1}};

	uuid_new(&row.id);
	row.run_at_us = row.create_us;
	row.ttl_us = WEEK_US;
	if (done) {
		row.version = 4;
		row.attempt = 1;
		row.start_us = row.end_us = row.create_us;
		row.wake_us = row.create_us + WEEK_US;
		row.result = row.input;
	}
	must(store_sqlite.insert(store, &row));
	if (done)
		add_history(&row);
}

static void add_many(const char *method, const char *queue, bool done, long n)
{
	for (long i = 0; i < n; i += BATCH) {
		must(store_sqlite.begin(store));
		for (long j = i; j < n && j < i + BATCH; j++)
			add(method, queue, done);
		must(store_sqlite.commit(store));
		store_sqlite.tidy(store);
	}
}

int main(int argc, char **argv)
{
	char why[256];

	if (argc < 5) {
		fprintf(stderr, "usage: bench_fill FILE QUEUED PARKED DONE\n");
		return 64;
	}
	log_init("bench_fill", LOG_LEVEL_ERROR);
	if (store_sqlite.open(argv[1], &store, why, sizeof why) < 0) {
		fprintf(stderr, "bench_fill: %s\n", why);
		return 1;
	}
	add_many("bench.v1.Bench/Task", "default", true, atol(argv[4]));
	add_many("bench.v1.Bench/Parked", "parked", false, atol(argv[3]));
	add_many("bench.v1.Bench/Task", "default", false, atol(argv[2]));
	store_sqlite.close(store);
	return 0;
}
