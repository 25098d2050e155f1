/* task_run.c: attempts under way: started as calls, listened to, ended in the
 * store. An end is fenced by the attempt's number: it is written only while the
 * row still says that this attempt runs. Loop thread, but for the ops' run().
 *
 *   started ─▶ [progress, lines: task_flush.c]* ─▶ answered ─▶ end op ─▶ freed
 *
 * An end that cannot be written (disk full) is tried again until it can: the task
 * stays RUNNING in the store meanwhile, and if we die, recovery sees to it. */
#include "service/task_run.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "errand/status.h"
#include "service/audit.h"
#include "service/call.h"
#include "service/enqueue.h"
#include "service/lease.h"
#include "service/metrics.h"
#include "service/pool.h"
#include "service/task_api.h"
#include "service/task_clock.h"
#include "service/task_engine.h"
#include "service/task_flush.h"
#include "service/task_metadata.h"
#include "service/task_pack.h"
#include "service/task_parent.h"
#include "service/task_settings.h"

#define END_AGAIN_NS NS_PER_S
#define END_TRIES_STOPPING 3           /* of an end that is INTERRUPTED */

int64_t task_stuck_margin_ns = 5 * NS_PER_S;
int64_t task_interrupt_wait_ns = NS_PER_S;

struct task_run {
	struct uuid id;
	uint32_t attempt;
	struct task_queue *queue;
	const struct method *method;
	struct list start_node;    /* in to_start, until it is started */
	struct task_row row;       /* until then */
	struct task_limits limits;
	struct log_ids *ids;       /* owned */
	struct errand_call *call;  /* NULL before it is started, once answered or abandoned */
	struct task_flush flush;   /* what it says on its way to the store */
	bool cancel_asked, interrupted;
	bool slot_free;            /* the slot is not counted (any more) */
	bool stuck;                /* it was given up: the pool has a thread more */
	bool stalled;              /* no progress for too long: it was told to stop */
	bool on_loop;              /* no thread of the queue's pool runs it */
	struct loop_timer stuck_timer, stall_timer;
	struct end *end;           /* the op under way, or to be tried again */
};

static struct list to_start = LIST_INIT(to_start); /* runs; start_job is deferred while there are */
static struct loop_job start_job;

struct end {
	struct store_op op;
	struct task_run *run;
	struct errand_call *held;  /* its work after the response waits for the record; NULL */
	struct feed_batch batch;   /* the last words */
	uint64_t dropped;
	struct task_ending ending;
	struct call_tasks *tasks;  /* to be made with it, when it is a success; NULL */
	char refused[320];         /* why they must not be; "" */
	struct task_changes changes;
	struct task_row row;       /* after it; without buffers but its error */
	bool fenced;               /* the row was no longer ours */
	unsigned tries;
	struct loop_timer timer;
};

/* --- the store's side --- */

static int write_dropped_note(struct task_move *m, uint64_t dropped)
{
	char text[64];
	int n = snprintf(text, sizeof text, "%llu bytes dropped", (unsigned long long)dropped);

	return task_move_line(m, "errand", (struct bytes){(uint8_t *)text, (size_t)n}, m->now_us);
}

static int end_run(struct store_op *op, const struct store_ops *ops, struct store *s)
{
	struct end *e = CONTAINER_OF(op, struct end, op);
	struct task_move m = task_move_begin(ops, s, &e->row, &e->changes);
	int r;

	task_row_deinit(&e->row);
	task_changes_reset(&e->changes);
	e->refused[0] = 0;
	r = task_flush_row(ops, s, &e->run->id, e->run->attempt, &e->row);
	e->fenced = r > 0;
	if (r != 0)
		return r < 0 ? r : 0;
	r = task_flush_write(&m, &e->batch);
	if (r == 0 && e->dropped > 0)
		r = write_dropped_note(&m, e->dropped);
	if (r == 0)
		r = task_move_end(&m, &e->ending);
	if (r == 0 && e->tasks != NULL && e->row.state == TASK_SUCCEEDED)
		r = enqueue_insert(e->tasks, ops, s, &e->changes, e->refused, sizeof e->refused);
	return r;
}

/* --- progress, checkpoints and lines --- */

static void on_progress(struct errand_call *call, double fraction, const char *message,
			struct bytes detail, void *arg)
{
	feed_progress((uintptr_t)arg, fraction, message, detail);
}

static void on_checkpoint(struct errand_call *call, struct bytes any, void *arg)
{
	feed_checkpoint((uintptr_t)arg, any);
}

static void on_log(struct errand_call *call, const char *stream, const char *line, size_t len,
		   void *arg)
{
	feed_line((uintptr_t)arg, stream, line, len);
}

/* --- ending --- */

static void run_free(struct task_run *run)
{
	map_remove(&engine.runs, &run->id, sizeof run->id);
	if (--engine.n_runs == 0)
		lease_needed(false);
	loop_timer_cancel(&run->stuck_timer);
	loop_timer_cancel(&run->stall_timer);
	task_flush_deinit(&run->flush);
	list_remove(&run->start_node);
	task_row_deinit(&run->row);
	free(run->ids);
	free(run);
}

static void free_slot(struct task_run *run)
{
	if (!run->slot_free)
		run->queue->n_busy--;
	run->slot_free = true;
}

static void end_free(struct end *e)
{
	feed_batch_deinit(&e->batch);
	task_ending_deinit(&e->ending);
	call_tasks_free(e->tasks);
	task_changes_deinit(&e->changes);
	task_row_deinit(&e->row);
	loop_timer_cancel(&e->timer);
	free(e);
}

static void end_log(const struct end *e)
{
	const struct log_ids *before = log_ids_set(e->run->ids);
	char id[UUID_TEXT_SIZE];

	uuid_format(&e->run->id, id);
	if (e->fenced)
		log_warn("an attempt's end came too late and was dropped", "task=%s attempt=%u", id,
			 e->run->attempt);
	else if (e->row.state == TASK_FAILED || e->row.state == TASK_RETRYING) {
		AUTO_FREE char *detail = NULL;

		task_problem_read(buf_bytes(&e->ending.problem), &detail);
		log_write(e->row.state == TASK_FAILED ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "a task's attempt "
			  "failed", "task=%s method=%s attempt=%u outcome=%s state=%s error=\"%.200s\"", id,
			  e->run->method ? e->run->method->schema->full_name : "?", e->run->attempt,
			  task_outcome_name(e->ending.outcome), task_state_name(e->row.state), detail);
	}
	log_ids_set(before);
}

static void all_recorded(void)
{
	void (*done)(void *) = engine.interrupted;

	if (done == NULL || engine.n_runs > 0)
		return;
	engine.interrupted = NULL;
	loop_timer_cancel(&engine.interrupt_timer);
	done(engine.interrupted_arg);
}

static void end_submit(void *arg)
{
	struct end *e = arg;

	e->tries++;
	store_thread_submit(&e->op);
}

static bool end_try_again(struct end *e, int code)
{
	char why[256];

	if (e->run->interrupted && e->tries >= END_TRIES_STOPPING)
		return false;
	if (e->tries == 1) {
		store_thread_error(why, sizeof why);
		log_error("the end of an attempt could not be recorded, trying again", "error=\"%s\"", why);
	}
	loop_timer_start(&e->timer, END_AGAIN_NS, end_submit, e);
	return true;
}

/* What the handler wanted to be made with its success cannot be: so it is none. */
static void end_otherwise(struct end *e, int code)
{
	e->tasks = call_tasks_free(e->tasks);
	e->ending.outcome = OUTCOME_ERROR;
	e->ending.final = true;
	buf_deinit(&e->ending.result);
	task_problem_put(&e->ending.problem, -code, 0, e->refused);
	end_submit(e);
}

/* Who waits for the result need not read it back. */
static void end_tell(struct end *e)
{
	if (e->fenced || !task_state_terminal(e->row.state))
		return;
	e->row.result = e->ending.result; /* lent */
	e->row.parts = PART_RESULT | PART_ERROR;
	task_wait_ended(&e->row);
	e->row.result = BUF_INIT;
}

static void end_done(struct store_op *op, int code)
{
	struct end *e = CONTAINER_OF(op, struct end, op);
	struct task_run *run = e->run;
	struct task_queue *q = run->queue;

	if (code < 0 && e->refused[0] != 0) {
		end_otherwise(e, code);
		return;
	}
	if (code < 0 && end_try_again(e, code))
		return;
	if (code == 0) {
		prom_count(&metrics.attempts[e->ending.outcome]);
		end_log(e);
		end_tell(e);
		task_queue_ended(q);
		task_publish(&e->changes);
	}
	if (e->held != NULL)
		call_delivered(e->held);
	free_slot(run);
	end_free(e);
	run_free(run);
	task_queue_kick(q);
	all_recorded();
}

static struct task_limits limits_of(const struct task_row *row)
{
	const struct method *m = registry_method_by_name(row->method);
	struct schema_retry queue = task_settings_retry(row->queue);
	struct task_options o;
	struct task_limits l;

	task_options_read(buf_bytes(&row->options), &o, NULL);
	l = task_limits_of(&o, m ? m->schema : NULL, &queue);
	task_options_deinit(&o);
	return l;
}

struct task_retry task_run_retry_of(const struct task_row *row)
{
	return limits_of(row).retry;
}

double task_run_random(void)
{
	struct uuid u;
	uint64_t v;

	uuid_new(&u);
	memcpy(&v, u.b + 8, sizeof v);
	return (double)(v >> 11 & ((1ULL << 48) - 1)) / (double)(1ULL << 48);
}

/* Takes the ending's buffers, and tasks. The slot is free from here on: its thread is. */
static struct end *run_end(struct task_run *run, struct task_ending *ending,
			   struct call_tasks *tasks)
{
	struct end *e = xcalloc(1, sizeof *e);

	e->run = run;
	e->ending = *ending;
	e->tasks = tasks;
	e->ending.retry = run->limits.retry;
	e->ending.random01 = task_run_random();
	*ending = (struct task_ending){0};
	e->dropped = task_flush_end(&run->flush, &e->batch);
	e->op = (struct store_op){.run = end_run, .done = end_done, .writes = true, .finishes = true};
	run->end = e;
	run->call = NULL;
	loop_timer_cancel(&run->stuck_timer);
	loop_timer_cancel(&run->stall_timer);
	end_submit(e);
	free_slot(run);
	task_queue_kick(run->queue);
	return e;
}

static void end_with(struct task_run *run, enum task_outcome outcome, int code, const char *detail)
{
	struct task_ending ending = {.outcome = outcome, .final = outcome == OUTCOME_ERROR};

	task_problem_put(&ending.problem, code, 0, detail);
	run_end(run, &ending, NULL);
}

static enum task_outcome outcome_of(const struct task_run *run, const struct answer *a,
				    int cancel_code)
{
	if (a->code == ERRAND_OK)
		return OUTCOME_OK;
	if (run->interrupted)
		return OUTCOME_INTERRUPTED;
	if (run->cancel_asked)
		return OUTCOME_CANCELLED;
	if (cancel_code == ERRAND_DEADLINE_EXCEEDED)
		return OUTCOME_TIMEOUT;
	if (a->lease_lost)
		return OUTCOME_LEASE_LOST;
	if (a->given_back)
		return OUTCOME_INTERRUPTED;
	if (a->from_exit && a->oom)
		return OUTCOME_OOM;
	if (a->from_exit)
		return a->exit_signal ? OUTCOME_SIGNAL : OUTCOME_EXIT;
	return OUTCOME_ERROR;
}

static void take_result(const struct task_run *run, struct task_ending *ending, struct answer *a)
{
	int64_t own = run->method->schema->max_result;
	int64_t max = own > 0 ? own : engine.config.max_result;
	char detail[128];

	if (max > 0 && a->payload.len > (size_t)max) {
		snprintf(detail, sizeof detail, "the result has %zu bytes, the limit is %lld (%s)",
			 a->payload.len, (long long)max, own > 0 ? "its method's" : "--max-result");
		ending->outcome = OUTCOME_ERROR;
		ending->final = true;
		task_problem_put(&ending->problem, ERRAND_RESOURCE_EXHAUSTED, 0, detail);
		return;
	}
	ending->result = a->payload;
	a->payload = BUF_INIT;
}

static void take_problem(const struct task_run *run, struct task_ending *ending, struct answer *a)
{
	if (ending->outcome == OUTCOME_TIMEOUT) {
		task_problem_put(&ending->problem, ERRAND_DEADLINE_EXCEEDED, 0,
				 run->stalled ? "the attempt made no progress for too long" :
				 a->message && *a->message ? a->message : "the attempt's time was over");
	} else if (a->problem.len > 0) {
		ending->problem = a->problem;
		a->problem = BUF_INIT;
	} else {
		task_problem_put(&ending->problem, a->code, 0, a->message);
	}
}

static void run_audit(const struct task_run *run, struct errand_call *call, int code)
{
	const struct log_ids *before = log_ids_set(run->ids);

	audit_call(call, code);
	log_ids_set(before);
}

static void on_answered(struct errand_call *call, struct answer *a, void *arg)
{
	struct task_flush *flush = feed_owner((uintptr_t)arg);
	struct task_run *run = flush ? CONTAINER_OF(flush, struct task_run, flush) : NULL;
	struct task_ending ending = {.final = a->final, .exit_status = a->exit_status,
				     .signal = a->exit_signal,
				     .retry_after_us = a->retry_after_ns / 1000};
	struct end *e;

	if (run == NULL)
		return;
	run_audit(run, call, a->code);
	ending.usage = a->usage;
	a->usage = BUF_INIT;
	ending.outcome = outcome_of(run, a, call_cancel_code(call));
	if (ending.outcome == OUTCOME_OK)
		take_result(run, &ending, a);
	else
		take_problem(run, &ending, a);
	if (ending.outcome == OUTCOME_TIMEOUT)
		ending.final = false;
	if (run->stuck)
		pool_resize(run->queue->pool, -1);
	e = run_end(run, &ending, a->tasks);
	a->tasks = NULL;
	if (call_has_after(call)) {
		call_hold(call);
		e->held = call;
	}
}

/* --- starting and stopping --- */

static const struct call_source source = {
	.name = "task",
	.answered = on_answered,
	.progress = on_progress,
	.checkpoint = on_checkpoint,
	.log = on_log,
	.parent = task_parent_result,
};

/* The handler was told and does not stop. It cannot be killed; its slot can be
 * given to somebody else. */
static void on_stuck(void *arg)
{
	struct task_run *run = arg;
	const struct log_ids *before = log_ids_set(run->ids);
	char id[UUID_TEXT_SIZE];

	log_warn("a task does not stop: its handler ignores that it was cancelled or is over its time; "
		 "it is waited for", "task=%s attempt=%u method=%s", uuid_format(&run->id, id),
		 run->attempt, run->method->schema->full_name);
	log_ids_set(before);
	if (run->on_loop || run->slot_free)
		return;
	run->stuck = true;
	pool_resize(run->queue->pool, 1);
	free_slot(run);
	task_queue_kick(run->queue);
}

static void give_up_after(struct task_run *run, int64_t ns)
{
	if (!run->stuck)
		loop_timer_start(&run->stuck_timer, ns + run->limits.cancel_grace_ns + task_stuck_margin_ns, on_stuck,
				 run);
}

/* Progress and lines are flushed as they come, so the last flush is the last sign of
 * life; what waits to be flushed is one too. */
static void on_stall(void *arg)
{
	struct task_run *run = arg;
	int64_t left = run->flush.flush_ns + run->limits.progress_timeout_ns - clock_mono_ns();

	if (run->call == NULL)
		return;
	if (left <= 0 && !task_flush_busy(&run->flush)) {
		run->stalled = true;
		give_up_after(run, 0);
		call_cancel(run->call, ERRAND_DEADLINE_EXCEEDED, false);
		return;
	}
	loop_timer_start(&run->stall_timer, MAX(left, 100 * NS_PER_MS), on_stall, run);
}

/* Of this attempt: its own time, or what is left of the task's. 0: no limit. */
static int64_t time_of(const struct task_run *run, const struct task_row *row)
{
	int64_t own = run->limits.timeout_ns, left;

	if (row->finish_by_us == 0)
		return own;
	left = MAX(row->finish_by_us - task_clock_us(), 1) * 1000;
	return own == 0 ? left : MIN(own, left);
}

static void start_timers(struct task_run *run, int64_t timeout_ns)
{
	if (timeout_ns)
		give_up_after(run, timeout_ns);
	if (run->limits.progress_timeout_ns == 0)
		return;
	run->flush.flush_ns = clock_mono_ns();
	loop_timer_start(&run->stall_timer, run->limits.progress_timeout_ns, on_stall, run);
}

static bool is_on_loop(const struct method *m, const struct runner *of_queue)
{
	const struct runner *r = of_queue != NULL ? of_queue : m->runner;

	return r != NULL ? r->on_loop : m->run == RUN_ASYNC;
}

static void start_call(struct task_run *run, const struct task_row *row)
{
	struct task_queue *q = run->queue;
	struct task_metadata metadata;
	int64_t timeout_ns = time_of(run, row);
	struct task_options o = {0};
	char id[UUID_TEXT_SIZE];
	struct call_params p = {
		.method = run->method,
		.source = &source,
		.arg = (void *)feed_number(run->flush.feed),
		.payload = buf_bytes(&row->input),
		.metadata = metadata.pairs,
		.deadline_ns = timeout_ns ? clock_mono_ns() + timeout_ns : 0,
		.task_id = uuid_format(&run->id, id),
		.attempt = run->attempt,
		.grace_ns = run->limits.cancel_grace_ns,
		.checkpoint = buf_bytes(&row->checkpoint),
		.runner = q->runner,
		.runner_arg = q->runner_arg,
	};

	task_metadata_read(&row->metadata, &metadata);
	p.n_metadata = metadata.n;
	run->on_loop = is_on_loop(run->method, p.runner);
	if (!run->on_loop)
		p.pool = task_queue_pool(q);
	if (row->flags & TASK_HAS_PARENTS)
		task_options_read(buf_bytes(&row->options), &o, NULL);
	p.parents = o.after;
	p.n_parents = o.n_after;
	run->call = call_start(&p);
	task_options_deinit(&o);
	start_timers(run, timeout_ns);
}

static void run_start(struct task_run *run)
{
	if (engine.draining) {
		run->interrupted = true;
		end_with(run, OUTCOME_INTERRUPTED, ERRAND_UNAVAILABLE, "the service was stopping");
	} else if (run->cancel_asked) {
		end_with(run, OUTCOME_CANCELLED, ERRAND_CANCELLED, "cancelled before it ran");
	} else if (run->method == NULL) {
		AUTO_FREE char *detail = xasprintf("method %s is not served here: start the service with "
						   "the module that has it, then retry the task",
						   run->row.method);

		end_with(run, OUTCOME_ERROR, ERRAND_UNIMPLEMENTED, detail);
	} else {
		start_call(run, &run->row);
	}
	task_row_deinit(&run->row);
}

static void start_all(struct loop_job *job)
{
	struct list *node;

	while ((node = list_pop_front(&to_start)) != NULL)
		run_start(LIST_ENTRY(node, struct task_run, start_node));
}

/* Started at the end of the turn: the caller of a task that was created in the same
 * commit has his answer first, whatever the handler does then. */
void task_run_start(struct task_queue *q, struct task_row *row)
{
	struct task_run *run = xcalloc(1, sizeof *run);

	run->id = row->id;
	run->attempt = row->attempt;
	run->queue = q;
	run->method = registry_method_by_name(row->method);
	task_flush_init(&run->flush, &run->id, run->attempt);
	run->limits = limits_of(row);
	run->ids = task_metadata_ids(&row->metadata, &row->id, row->attempt);
	run->row = *row;
	*row = (struct task_row){0};
	map_put(&engine.runs, &run->id, sizeof run->id, run);
	if (engine.n_runs++ == 0)
		lease_needed(true);
	start_job.run = start_all;
	if (list_empty(&to_start))
		loop_defer(&start_job);
	list_push_back(&to_start, &run->start_node);
}

void task_run_cancel(const struct uuid *id)
{
	struct task_run *run = map_get(&engine.runs, id, sizeof *id);

	if (run == NULL)
		return;
	run->cancel_asked = true;
	if (run->call == NULL)
		return;
	give_up_after(run, 0);
	call_cancel(run->call, ERRAND_CANCELLED, false);
}

size_t task_running(void)
{
	return engine.n_runs;
}

static void interrupt_rest(void *arg)
{
	struct task_run *run;

	for (size_t pos = 0; (run = map_next(&engine.runs, &pos)) != NULL;)
		if (run->call != NULL) {
			run_audit(run, run->call, ERRAND_UNAVAILABLE);
			call_cancel(run->call, ERRAND_CANCELLED, true);
			end_with(run, OUTCOME_INTERRUPTED, ERRAND_UNAVAILABLE,
				 "the service stopped while the attempt ran");
		}
	all_recorded();
}

void task_interrupt_all(void (*done)(void *arg), void *arg)
{
	struct task_run *run;

	engine.draining = true;
	engine.interrupted = done;
	engine.interrupted_arg = arg;
	for (size_t pos = 0; (run = map_next(&engine.runs, &pos)) != NULL;)
		if (run->call != NULL) {
			run->interrupted = true;
			call_cancel(run->call, ERRAND_CANCELLED, false);
		}
	loop_timer_start(&engine.interrupt_timer, engine.n_runs ? task_interrupt_wait_ns : 0, interrupt_rest, NULL);
}

void task_run_free_all(void)
{
	struct task_run *run;

	if (!list_empty(&to_start))
		list_remove(&start_job.node);
	for (size_t pos = 0; (run = map_next(&engine.runs, &pos)) != NULL;) {
		if (run->call != NULL)
			call_cancel(run->call, ERRAND_CANCELLED, true);
		if (run->end != NULL)
			end_free(run->end);
		run_free(run);
	}
}
