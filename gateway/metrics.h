/* metrics.h: what the gateway counts, for /metrics (Prometheus text 0.0.4). Each
 * thread has counters of its own that only it writes, without locked instructions;
 * a scrape sums them up. The one lock, of the table of methods, is a thread's own
 * and taken by others only while they are scraped.
 *
 * How many series there are does not depend on what clients send: labels come from
 * fixed tables and from the schema. man/errand-gateway.8 describes each metric. */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

#include "gateway/http.h"

struct gateway_thread;
struct metrics;

/* Of thread t (borrowed), whose members are read by scrapes from then on. */
struct metrics *metrics_new(const struct gateway_thread *t);
/* Scrapes leave it alone from now on: before the thread's parts are freed. */
void metrics_hide(struct metrics *m);
struct metrics *metrics_free(struct metrics *m); /* NULL-safe; NULL */

/* --- by the thread itself --- */
/* An answer has left. */
struct metrics_answer {
	const char *verb, *route;  /* the template; NULL: none */
	int status;
	int64_t ns, upstream_ns;   /* < 0: not for the histogram (streams); the service was not asked */
};
void metrics_request(struct metrics *m, const struct metrics_answer *a);
/* The guard's, or a deadline's. */
void metrics_refused(struct metrics *m, int status);
/* The service is not there any more, or not at all. */
void metrics_upstream_lost(struct metrics *m);
void metrics_call_begin(struct metrics *m);
void metrics_call_end(struct metrics *m, const char *method, int code);

enum metrics_stream_end { STREAM_ENDED, STREAM_GONE, STREAM_CUT, N_STREAM_ENDS };
void metrics_stream_begin(struct metrics *m);
void metrics_stream_end(struct metrics *m, enum metrics_stream_end why);

/* --- /metrics --- */
void metrics_answer(struct http_request *r, const struct gateway_thread *t);

#endif
