/* worker_impl.h: `errand worker`, as its files share it: worker.c (the command, its loop) and
 * worker_tell.c (its calls). Private to them. */
#ifndef CLI_WORKER_IMPL_H
#define CLI_WORKER_IMPL_H

#include "cli/backend.h"
#include "cli/worker_job.h"

#define WORKERS_SERVICE "errand.v1.Workers"

struct worker_conf {
	struct cli_common common;
	struct opt_list queues;
	const char *name, *method, *route, *input, *output;
	int64_t tasks, lease;
};

struct worker {
	struct worker_conf conf;
	char **argv;
	char *name, *service;     /* owned; service: of --method, NULL */
	struct buf set;           /* its descriptor set */
	enum worker_form input, output;
	struct backend backend;
	char *id;                 /* owned; of this registration */
	int64_t lease_ns, beat_ns;
	struct list jobs;
	size_t n_jobs, n_calls;   /* n_calls: of ours that are not answered */
	bool over;                /* the Lease stream has ended */
	bool stale;               /* a method came that our schema does not have */
	bool leave;               /* for good: drained, replaced, or told by a signal */
	int code;                 /* of the stream's end */
	char *why;                /* its words; owned */
	int signals;
	int n_signals;
};

/* worker_tell.c. Calls that are made and not waited for. message: all but the worker's id. `ends`: it is an
 * answer. False: it cannot be sent. */
bool worker_tell(struct worker *w, const char *method, uint64_t lease, bool ends, const struct buf *message);
/* A sign of life; what the service no longer knows of is lost. */
void worker_beat(struct worker *w);
/* The Lease stream has ended, or might as well have: all that runs is lost. */
void worker_over(struct worker *w, int code, const char *why);
struct worker_job *worker_job_of(struct worker *w, uint64_t lease); /* NULL */

#endif
