/* task_rig.h: the task engine over the real loop, store thread and both kinds of
 * store; calls and methods are made up here, so a test decides what a handler does
 * and when. Everything belongs to the thread of the test. */
#ifndef TESTS_TASK_RIG_H
#define TESTS_TASK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/call.h"
#include "service/task.h"
#include "service/task_api.h"
#include "service/task_run.h"

/* --- methods: t.T/Run (three attempts, short pauses), t.T/Slow (a queue of one
 * slot, an hour's pause), t.T/Timed (an hour at most, one attempt) --- */

extern bool unserved; /* as if the module were gone */

/* --- calls, in the order they were started --- */

struct errand_call {
	struct call_params p;
	char id[UUID_TEXT_SIZE];
	struct buf payload, checkpoint;
	struct uuid parents[4]; /* the first ones */
	int cancel_code;
	bool abandoned, over;
};

#define MAX_CALLS 4096
extern struct errand_call calls[MAX_CALLS];
extern size_t n_calls;
extern int n_pool_threads; /* what pool_resize was asked for in sum */

/* What the handler of c returns. answer takes what a holds. */
void answer(struct errand_call *c, struct answer *a);
void answer_ok(struct errand_call *c, const char *result);
void answer_error(struct errand_call *c, int code, bool final);

/* A line of the handler's log. */
void say(struct errand_call *c, const char *stream, const char *line);

/* --- running the loop: until the condition holds; fails after ten seconds --- */

#define await(condition, arg) await_at(condition, arg, __LINE__)
void await_at(bool (*condition)(void *arg), void *arg, int line);

/* Condition: the bool at arg. */
bool is_set(void *arg);

/* Until n calls have been started; gives the last of them. */
struct errand_call *await_call(size_t n);

/* --- operations --- */

/* The outcome of an op. */
struct outcome {
	bool done;
	int code;
	char why[256], id[UUID_TEXT_SIZE];
	enum task_state state;
	uint64_t version;
	uint32_t attempt, failures, crash_count;
	double progress;
	char result[64], detail[256];
	int problem_code;
	uint64_t log_bytes, log_dropped;
	int64_t run_at_us;
};

/* Condition: the outcome at arg is there. */
bool outcome_done(void *arg);

/* The task_done that fills the outcome at arg. */
void on_done(int code, const char *why, const struct task_row *row, void *arg);

struct outcome op_with(task_action op, const char *id);
struct outcome get(const char *id);
struct outcome create_input(const char *method, const char *input);
struct outcome create(const char *method);
/* With serialized errand.v1.TaskOptions; borrowed. */
struct outcome create_with(const char *method, struct bytes options);

/* Until the task is in that state. */
struct outcome await_state(const char *id, enum task_state state);

/* The attempts as "1ERROR 2OK ", with what they have used, "1OOM(much) "; valid until the next call. */
const char *attempts(const char *id);

/* --- watching --- */

#define MAX_SEEN 4096
struct seen {
	uint64_t seqs[MAX_SEEN];
	size_t n;
	char text[65536]; /* "1:QUEUED 2:RUNNING ..." */
	size_t at;
	bool ended;
	int code;
	unsigned pause_every; /* of events: says false, then goes on; 0 = never */
	bool paused;
	struct task_watch *watch;
};

extern const struct task_watch_ops watch_ops; /* arg is a struct seen */

/* Gives a watch that notes what it sees; the caller frees it once it has ended. */
struct seen *watch(const char *id, uint64_t after, enum event_kind kind, bool follow);

/* Condition: the struct seen at arg has ended; lets a paused one go on. */
bool watch_over(void *arg);

/* All events of an ended task; valid until the next call. */
const char *history(const char *id);

/* --- fixture --- */

extern struct task_config config;
extern bool is_sqlite;

int setup_memory(void **state);
int setup_sqlite(void **state);
int teardown(void **state);

/* The engine, after task_deinit. */
void start(void);

/* What a service that died and started again has before it. */
void restart(void);

#define BOTH(fn) \
	{"memory: " #fn, fn, setup_memory, teardown, NULL}, \
	{"sqlite: " #fn, fn, setup_sqlite, teardown, NULL}

#endif
