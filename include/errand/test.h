/* errand/test.h: test the methods of an errand service in the process of the test: no
 * sockets, no gateway, a clock that stands still until it is told to move. Link with
 * `pkg-config --libs errand-service`; works below any test framework, and plain main().
 *
 *     errand_test_start((const struct errand_module *const[]){&errand_module, NULL}, NULL);
 *     struct errand_test_result *r = errand_test_call("shop.v1.Shop/Greet", &in.base, NULL);
 *     assert(r->code == ERRAND_OK);
 *     errand_test_result_free(r);
 *     errand_test_stop();
 *
 * What runs is what runs in production: inputs are checked by the rules of the schema,
 * dependencies are opened and closed, SYNC and TASK handlers have threads of their own,
 * durable methods are stored (in memory), claimed, retried. Not there: the socket,
 * callbacks over the network, workers, settings of files.
 *
 * The clock: all of errand's time (deadlines, errand_timer, retries, schedules, dates) is the
 * test's. It begins at 2030-01-01T00:00:00Z, and moves only by errand_test_advance, and in
 * errand_test_call where the call waits for nothing but time: then it jumps to the next
 * moment at which something is due. time(2), sleep(3) and child processes go by the real
 * one.
 *
 * Threads: all functions belong to the one thread that has called errand_test_start,
 * which is the loop thread of ASYNC handlers. One service at a time; after
 * errand_test_stop none of its threads is left, and another one may be started.
 *
 * Errors: functions that return int give 0 or a negative enum errand_code, in words in
 * errand_test_error. Used before errand_test_start, they say so and abort.
 */
#ifndef ERRAND_TEST_H
#define ERRAND_TEST_H

#include <errand/service.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All members may be 0. Borrowed until errand_test_start returns. */
struct errand_test_options {
	int64_t now_us;      /* where the clock begins: microseconds since 1970, UTC */
	/* How long, in nanoseconds of real time, a call may wait for a thread that errand does
	 * not know (errand_keep, an ASYNC handler that answers from elsewhere) before
	 * nothing is expected of it any more. 0: 2 s. */
	int64_t patience_ns;
	unsigned slots;      /* tasks of one queue that run at a time; 0: 4 */
	int verbose;         /* 1: log lines go to stderr as well */
};

/* Starts the service with these modules (NULL-terminated array; borrowed until
 * errand_test_stop): their `start` and the PROCESS dependencies are run. Negative: nothing
 * is started, errand_test_error has the reason as the daemon would log it. options: NULL,
 * or what is different. */
int errand_test_start(const struct errand_module *const *modules,
		      const struct errand_test_options *options);
/* Runs the background work that is left, interrupts tasks that run, closes dependencies,
 * stops modules, joins all threads. Overrides (errand_override) are forgotten, results stay
 * good. Does nothing when nothing is started. */
void errand_test_stop(void);
/* Why the last function failed; "" when none did. Good until the next one. */
const char *errand_test_error(void);

/* --- calls --- */

/* A fault of the input: of the schema's rules, or of the handler (errand_violation). */
struct errand_test_fault {
	const char *pointer; /* "#/note/title" */
	const char *rule;    /* "string.min_len" */
	const char *detail;  /* for people */
};

/* What a call or a task has come to. All that is in it is owned by it. */
struct errand_test_result {
	int code;             /* enum errand_code. Of a task that has not ended: UNKNOWN */
	const char *message;  /* of the error; "" */
	const struct errand_test_fault *faults;
	size_t n_faults;
	const ProtobufCMessage *output; /* the answer: the method's own message; NULL without one */
	const ProtobufCMessage *const *messages; /* of a server-streaming method, in order */
	size_t n_messages;
	const void *bytes;    /* output as it is on the wire (also where a method has no C type) */
	size_t n_bytes;

	/* of a task only: */
	const char *task_id;  /* NULL: it is none */
	const char *state;    /* "SUCCEEDED", "RETRYING", ... (errand-tasks(7)); NULL */
	unsigned attempts;    /* begun so far */
	double progress;      /* the last one kept, 0 to 1 */
	const char *progress_message; /* "" */
	const char *log;      /* lines of errand_log and of its programs, each with a newline, of all
			       * attempts; "" */
};
struct errand_test_result *errand_test_result_free(struct errand_test_result *r); /* NULL-safe; NULL */

/* All members may be 0. */
struct errand_test_call_options {
	int64_t timeout_ns; /* of the call; 0: none */
	const struct errand_label *metadata; /* of the request: lower-case keys; borrowed */
	size_t n_metadata;
	const struct errand_task_options *task; /* of a durable method; borrowed */
};

/* Calls "pkg.Service/Method" and waits for its end. A durable method (run: TASK) is made a
 * task and run to its end, over all its attempts: the clock jumps over the waits
 * between them. input: the method's message, borrowed; NULL: an empty one. options may be
 * NULL. Never NULL: what cannot even be called has a code that says so (NOT_FOUND: no such
 * method; INVALID_ARGUMENT: not its message, or its rules; DEADLINE_EXCEEDED: nobody
 * answered, see patience_ns; a task that did not end within a week is given as it is).
 * Work after the response (errand_after) may still be under way: errand_test_flush. */
struct errand_test_result *errand_test_call(const char *method, const ProtobufCMessage *input,
					    const struct errand_test_call_options *options);
/* Value of metadata that the answer of errand_test_call has ("etag"), or NULL. Not of
 * tasks. Owned by r. */
const char *errand_test_metadata(const struct errand_test_result *r, const char *key);
/* Runs the work after the responses to its end. How many of it have failed since the
 * start. */
size_t errand_test_flush(void);

/* --- tasks --- */

/* Makes a task of a method of any kind, and lets nothing run but what does so by itself: its
 * handler begins in one of the functions below. options may be NULL; id gets its name.
 * 0; -ERRAND_NOT_FOUND no such method; -ERRAND_INVALID_ARGUMENT input or options are wrong;
 * -ERRAND_ALREADY_EXISTS its unique key is taken; -ERRAND_FAILED_PRECONDITION a task of
 * `after` is not there; -ERRAND_RESOURCE_EXHAUSTED its queue is full. */
int errand_test_submit(const char *method, const ProtobufCMessage *input,
		       const struct errand_task_options *options, char id[ERRAND_TASK_ID_SIZE]);
/* The task as it is, which has the result or the error of an ended one; code NOT_FOUND when
 * there is none. Never NULL. */
struct errand_test_result *errand_test_task(const char *id);
/* Runs what is due, with all that comes of it, until nothing is under way but what waits
 * for a later moment. The clock moves only for errand_timer of tasks under way. */
void errand_test_run(void);
/* Asks a task to stop, as `errand task cancel` does, and runs what is due. 0;
 * -ERRAND_NOT_FOUND; -ERRAND_FAILED_PRECONDITION it has ended. */
int errand_test_cancel(const char *id);

/* --- the clock --- */

/* Moves it by ns (not negative), from one moment at which something is due to the next,
 * and runs what is due as errand_test_run does. */
void errand_test_advance(int64_t ns);
/* Microseconds since 1970. */
int64_t errand_test_now_us(void);

/* --- what was logged --- */

/* errand's own log since the start or errand_test_log_clear, one line per event (logfmt, as the
 * daemon writes it; debug lines too: errand_log of calls that are no tasks is among
 * them). Good until the next function. */
const char *errand_test_log(void);
void errand_test_log_clear(void);

#ifdef __cplusplus
}
#endif
#endif
