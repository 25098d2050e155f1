/* metrics.h: what the service counts, for GET /v1/metrics (errand.v1.Servers/GetMetrics).
 * Counting takes no lock; a scrape reads nothing from the store, so it is answered while
 * that is down. How many series there are does not depend on what clients send: labels are
 * of fixed tables, of the schema's methods and of queues (the first METRICS_QUEUES_MAX).
 * man/errand-service.8 describes each metric. */
#ifndef SERVICE_METRICS_H
#define SERVICE_METRICS_H

#include "base/buf.h"
#include "base/prom.h"

enum { METRICS_QUEUES_MAX = 200, METRICS_CODES = 17, METRICS_RUNS = 3, METRICS_OUTCOMES = 10, METRICS_STATES = 16 };
enum metrics_delivery { DELIVERY_OK, DELIVERY_FAILED, DELIVERY_GIVEN_UP, N_DELIVERY_ENDS };
enum metrics_program { PROGRAM_OK, PROGRAM_FAILED, PROGRAM_OOM, PROGRAM_STOPPED, PROGRAM_NOT_STARTED, N_PROGRAM_ENDS };

/* Zero at the start; written where things happen, by prom_count and prom_observe. */
extern struct metrics {
	_Atomic uint64_t calls[METRICS_RUNS][METRICS_CODES]; /* run - 1; code */
	struct prom_histogram call_time[METRICS_RUNS];
	_Atomic uint64_t attempts[METRICS_OUTCOMES];
	_Atomic uint64_t moves[METRICS_STATES];       /* tasks that came into a state */
	struct prom_histogram commit_time;
	_Atomic uint64_t commit_ops, store_errors;
	_Atomic uint64_t deliveries[N_DELIVERY_ENDS], delivery_pauses;
	_Atomic uint64_t programs[N_PROGRAM_ENDS], programs_begun;
	struct prom_histogram loop_time;
} metrics;

struct errand_call;

/* A call was answered. Loop thread. */
void metrics_call(int run, int code, int64_t ns);
/* The page. Loop thread. */
void metrics_write(struct buf *out);

#endif
