/* worker_job.h: what `errand worker` makes of one piece of work: the program's input and
 * environment, and its end as an answer. Pure but for program.h. */
#ifndef CLI_WORKER_JOB_H
#define CLI_WORKER_JOB_H

#include "base/list.h"
#include "cli/program.h"
#include "schema/schema.h"

enum worker_form { FORM_JSON, FORM_TEXT, FORM_WIRE, FORM_NONE };

/* errand.v1.Work, as it came. */
struct worker_job {
	struct list node;
	uint64_t lease;
	char *method, *task, *queue;     /* owned; task "": a call */
	unsigned attempt;
	int64_t timeout_ns;              /* 0: none */
	struct buf input;
	struct schema *schema;           /* held, since rpc points into it */
	const struct schema_method *rpc; /* NULL: not in the schema we know */
	/* What it said and nobody was told yet: lines of stderr and of descriptor 3 as fields of a WorkerLogRequest, the
	 * last progress as a WorkerProgressRequest. */
	struct buf lines, notes, progress;
	struct program program;
	int64_t kill_ns;                 /* when SIGTERM becomes SIGKILL; 0: not */
	bool lost;                       /* its lease is gone: nothing is to be said */
	bool stopped;                    /* by an order */
	int stop_code;
	void *owner;
};

/* NULL: no such message. Gives. */
struct worker_job *worker_job_read(struct bytes work);
/* Which method it is. False: the schema has none of that name. */
bool worker_job_find(struct worker_job *j, struct schema *schema);
struct worker_job *worker_job_free(struct worker_job *j);

/* What stands on stdin; false with the reason in why. */
bool worker_job_input(const struct worker_job *j, enum worker_form form, struct buf *out, char *why, size_t size);
/* ERRAND_TASK=..., ...; NULL-terminated, owned. */
char **worker_job_env(const struct worker_job *j);

/* Its program is over: a CompleteRequest (true) or a FailRequest (false) without the worker's id. */
bool worker_job_answer(const struct worker_job *j, enum worker_form form, const char *program, struct buf *out);
/* A FailRequest of its own. */
void worker_job_fail(const struct worker_job *j, int code, bool final, const char *text, struct buf *out);

/* A line of the program (PROGRAM_ERR, PROGRAM_MESSAGE) becomes one of the three above. */
void worker_job_line(struct worker_job *j, int which, const char *line, size_t len);
size_t worker_job_unsaid(const struct worker_job *j); /* bytes */

#endif
