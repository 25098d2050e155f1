/* errand/service.h: write the methods of an errand service in C.
 *
 * A handler is protobuf-c's own generated service function:
 *
 *     static void shop__order(Shop_Service *svc, const OrderRequest *in,
 *                             OrderReply_Closure done, void *closure_data);
 *
 * closure_data is the errand_call; `in` lives until the call is answered. A call
 * is answered exactly once: by done(&reply, call), by errand_fail(), or, on a
 * server-streaming method, by errand_stream_end(). A second answer is logged as
 * an error by the method's name and dropped; a SYNC or TASK handler that returns
 * without answering and without having kept the call (errand_keep) fails it with
 * INTERNAL.
 *
 * Threads: an ASYNC handler runs on the loop thread and must not block; it may
 * answer later, from any thread. A SYNC handler runs on the `sync` pool, a TASK
 * handler on a slot of its queue; both may block. Functions below may be called
 * from any thread unless they say otherwise.
 *
 * Memory: handlers own nothing errand gives them; strings and messages given to
 * errand are copied before the function returns.
 */
#ifndef ERRAND_SERVICE_H
#define ERRAND_SERVICE_H

#include <stddef.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>

#include <errand/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct errand_call;

/* --- answering --- */

/* Answers with an error. code is an enum errand_code other than OK. For a task
 * this ends the attempt; it is retried by the method's rules unless code is
 * INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED,
 * FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED or UNAUTHENTICATED, or
 * errand_final() was called. */
void errand_fail(struct errand_call *call, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A fault of the input, for the failure that follows: it shows all of them in its
 * `errors`, as it does those the schema's rules find. pointer: a JSON Pointer into the
 * body as a fragment ("#/note/title", also "#" and, without the fragment, "/note/title");
 * rule: a short name for programs ("range", "shop.stock"); both copied. At most 64 are
 * kept. */
void errand_violation(struct errand_call *call, const char *pointer, const char *rule,
		      const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* That, and errand_fail with INVALID_ARGUMENT and the same text. */
void errand_fail_field(struct errand_call *call, const char *pointer, const char *rule,
		       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The failure that follows is final (not retried), whatever its code. */
void errand_final(struct errand_call *call);
/* The failure that follows is retried no sooner than this. */
void errand_retry_after(struct errand_call *call, int64_t ns);
/* A SYNC or TASK handler will answer later, from another thread. */
void errand_keep(struct errand_call *call);

/* One message of a server-streaming method. 0: sent or queued; 1: queued, but the
 * client's window is used up (an ASYNC handler waits for errand_stream_on_ready,
 * a SYNC handler is blocked here until there is room and never sees 1);
 * -ERRAND_CANCELLED: the client is gone or the call has ended, stop and end the
 * stream; also for a message that is not the method's (logged). */
int errand_stream_send(struct errand_call *call, const ProtobufCMessage *message);
void errand_stream_on_ready(struct errand_call *call, void (*fn)(struct errand_call *, void *),
			    void *arg);
void errand_stream_end(struct errand_call *call);

/* --- the call --- */

const ProtobufCMessage *errand_input(const struct errand_call *call);
const char *errand_method_name(const struct errand_call *call); /* "pkg.Service/Method" */
/* Who asks: `uid:N`, the user of this machine who is connected to the socket; or whom the gateway names, when it asks its
 * clients who they are: `token:NAME`, `cert:NAME`, `uid:N`, `anonymous`. In a task whoever has made it; "" where
 * nobody has, as of a schedule. Never NULL; lives as long as the call. */
const char *errand_identity(const struct errand_call *call);
/* Metadata of the request by lower-case key, or NULL; lives as long as the call. */
const char *errand_metadata(const struct errand_call *call, const char *key);
/* The id by which its request is found in the logs (x-request-id), and its place in a
 * trace (W3C traceparent, checked; its span is the gateway's): those of the request that
 * made a task, too, hours later. NULL when there is none; they live as long as the call. */
const char *errand_request_id(const struct errand_call *call);
const char *errand_traceparent(const struct errand_call *call);
/* Metadata of the answer: the gateway sends etag, location, retry-after and
 * cache-control on as headers. Ignored after the answer. */
void errand_set_metadata(struct errand_call *call, const char *key, const char *value);
/* Nanoseconds left until the deadline, INT64_MAX when there is none. */
int64_t errand_time_left(const struct errand_call *call);
/* Non-zero once the client went away, the deadline passed or a cancel was asked. */
int errand_cancelled(const struct errand_call *call);
/* fn runs once, on the loop thread, when that becomes true (soon when it is). */
void errand_on_cancel(struct errand_call *call, void (*fn)(struct errand_call *, void *), void *arg);

/* fn runs on the loop thread after ns. Dropped when the call ends first. */
void errand_timer(struct errand_call *call, int64_t ns, void (*fn)(struct errand_call *, void *),
		  void *arg);

/* --- after the response --- */

/* fn(arg) runs on the `background` pool once the answer is on its way, also when
 * that is an error. Returning non-zero is a failure, logged with `name` and
 * counted; the next one runs all the same. The work of one call runs in the order it
 * was given, one at a time. 0, or -ERRAND_RESOURCE_EXHAUSTED when
 * the pool's queue is full (nothing is kept; answer UNAVAILABLE). A process that
 * is killed loses it: work that must happen is a task. */
int errand_after(struct errand_call *call, const char *name, int (*fn)(void *arg), void *arg);

/* --- tasks --- */

/* On a call that is no task: NULL, 0, nothing, a log line. */
const char *errand_task_id(const struct errand_call *call); /* NULL when it is no task */
unsigned errand_attempt(const struct errand_call *call);    /* 1 for the first; 0 */
/* fraction 0 to 1 (clamped); message may be NULL. Never blocks; at most 2 a
 * second are kept, the last one always. */
void errand_progress(struct errand_call *call, double fraction, const char *message);
/* With a message of the method's own beside it (NULL: none), shown as `detail`: any
 * message type of this service's modules, at most ERRAND_DETAIL_MAX bytes packed; one
 * that is not is left out, with a log line. */
#define ERRAND_DETAIL_MAX (16 << 10)
void errand_progress_detail(struct errand_call *call, double fraction, const char *message,
			    const ProtobufCMessage *detail);
/* Saves where the task has got to, for its next attempt: after a crash, a stop of the
 * service, a failure that is retried. It replaces the one before; forgotten when the
 * task succeeds. Never blocks: it is stored with the next write of progress, so after a
 * crash the next attempt may see one that is half a second old; the last one before the
 * attempt's end is always kept. 0; -ERRAND_RESOURCE_EXHAUSTED more than
 * ERRAND_CHECKPOINT_MAX bytes packed (the one before stays); -ERRAND_FAILED_PRECONDITION
 * no task. */
#define ERRAND_CHECKPOINT_MAX (256 << 10)
int errand_checkpoint(struct errand_call *call, const ProtobufCMessage *state);
/* What the attempts before this one saved last; NULL when there is nothing, or when it
 * is no `type` (logged). It lives as long as the call. */
const ProtobufCMessage *errand_checkpoint_get(struct errand_call *call,
					      const ProtobufCMessageDescriptor *type);
/* A line of the task's log, stream "handler". On other calls a debug log line. */
void errand_log(struct errand_call *call, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The tasks this one came after (TaskOptions.after), in the order they were given. */
size_t errand_parent_count(const struct errand_call *call);
const char *errand_parent_id(const struct errand_call *call, size_t i); /* NULL: no such one */
/* What that parent answered, unpacked; it lives as long as the call. Reads the store and
 * waits for it, so not on the loop thread. 0; -ERRAND_OUT_OF_RANGE no such parent;
 * -ERRAND_FAILED_PRECONDITION it did not succeed, or this is the loop thread;
 * -ERRAND_NOT_FOUND its record is gone; -ERRAND_INVALID_ARGUMENT it answered with another
 * type; -ERRAND_UNAVAILABLE the store cannot be read. */
int errand_parent_result(struct errand_call *call, size_t i,
			 const ProtobufCMessageDescriptor *type, const ProtobufCMessage **resultp);

/* --- making tasks --- */

struct errand_label {
	const char *key, *value;
};

enum errand_conflict {
	ERRAND_CONFLICT_REFUSE = 1,   /* ALREADY_EXISTS: the call fails; 0 is the same */
	ERRAND_CONFLICT_USE_EXISTING, /* no new task: the other one will do */
	ERRAND_CONFLICT_WAIT,         /* BLOCKED until the key is free */
};

enum errand_after_policy {
	ERRAND_AFTER_FAIL = 1, /* a parent that did not succeed fails it; 0 is the same */
	ERRAND_AFTER_CANCEL,   /* ... cancels it */
	ERRAND_AFTER_RUN,      /* it runs however its parents ended */
};

/* As errand.v1.TaskOptions; what is zero is not given: then the method's own option
 * counts, then its queue's, then the default. */
struct errand_task_options {
	const char *queue;
	int32_t priority;           /* higher first */
	int64_t run_at_us;          /* not before; microseconds since 1970; or delay_ns */
	int64_t delay_ns;
	const struct errand_label *labels;
	size_t n_labels;
	const char *unique_key;     /* no other live task has it */
	int64_t unique_window_ns;   /* or none made within that time */
	enum errand_conflict on_conflict;
	const char *const *after;   /* ids of tasks that must have ended first */
	size_t n_after;
	enum errand_after_policy after_policy;
	int64_t start_deadline_ns, timeout_ns, total_timeout_ns, progress_timeout_ns;
	int64_t cancel_grace_ns, result_ttl_ns;
	uint32_t max_attempts;      /* of its retries */
	int64_t retry_base_ns, retry_cap_ns;
	double retry_factor;
	const char *callback_url;
	const char *const *callback_events; /* NULL-terminated; NULL: every end */
};

#define ERRAND_TASK_ID_SIZE 37
#define ERRAND_ENQUEUE_MAX 1000 /* tasks of one call */

/* Makes a task of "pkg.Service/Method" (of any kind but streams) with this input. It
 * commits with the answer: of an ASYNC or SYNC call the answer is sent only once the
 * task is stored (if that fails, the caller gets UNAVAILABLE instead); inside a task it
 * is inserted in the very transaction that records its success. When the call fails, or
 * its client has gone, or the attempt was lost to another one, nothing is made; so a
 * task that is retried makes it once. Its id is known at once, also for `after` of the
 * next one. The depth limit of its queue does not count: who is at work must be able to
 * end. 0; -ERRAND_NOT_FOUND no such method; -ERRAND_INVALID_ARGUMENT the input is not the
 * method's or breaks its rules, or an option is wrong (a log line says which);
 * -ERRAND_RESOURCE_EXHAUSTED too many; -ERRAND_FAILED_PRECONDITION the call has been
 * answered. options may be NULL, id too. */
int errand_enqueue(struct errand_call *call, const char *method, const ProtobufCMessage *input,
		   const struct errand_task_options *options, char id[ERRAND_TASK_ID_SIZE]);

/* --- child processes --- */

/* Of a program with all it starts; 0 = none. Where the service has a cgroup to itself they
 * hold for the whole tree; else for each process (setrlimit), `cpus` and `io_weight` not
 * at all. */
struct errand_limits {
	int64_t memory;          /* bytes, swap included; of one process: its address space */
	double cpus;             /* processors' worth of time: 0.5 */
	int64_t cpu_time_ns;
	uint32_t processes;      /* and threads; setrlimit counts those of the user, not for root */
	uint32_t io_weight;      /* 1 to 10000, 100 is everybody's */
	uint32_t open_files;     /* of each process, always */
	int64_t file_size;       /* bytes of each file, always */
	int whole_tree;          /* not 0: refuse to start it where they would not hold for all */
};

struct errand_command {
	const char *const *argv;  /* argv[0] is looked up in PATH; never a shell */
	const char *const *env;   /* NULL: PATH, HOME, LANG, TMPDIR of the service only; what there is of
				   * TRACEPARENT, ERRAND_TASK_ID, ERRAND_REQUEST_ID is added to either */
	const char *dir;          /* NULL: the service's */
	/* Lines of stdout, without the newline, at most 64 KiB each; on a thread of
	 * errand's, not at the same time as another. NULL: they go to the log. */
	void (*on_stdout)(struct errand_call *call, const char *line, size_t len, void *arg);
	void *arg;                /* of all these functions */
	int64_t grace_ns;         /* SIGTERM to SIGKILL on cancel or timeout; 0: the method's */
	/* stdout as it comes instead of in lines; same thread. NULL: on_stdout counts. */
	void (*on_output)(struct errand_call *call, const void *data, size_t len, void *arg);
	/* The same lines of stderr as go to the log; they go there all the same. */
	void (*on_stderr)(struct errand_call *call, const char *line, size_t len, void *arg);
	/* Lines it writes to descriptor 3, which it has only if this is given. */
	void (*on_message)(struct errand_call *call, const char *line, size_t len, void *arg);
	const void *input;        /* its stdin, as a file it may seek in; NULL: /dev/null */
	size_t input_len;
	const struct errand_limits *limits; /* NULL: none */
	/* Absolute paths it may read and execute, or read and write, with all below; NULL-terminated. Both
	 * NULL: no such rule. Needs Landlock (Linux 5.13). */
	const char *const *read, *const *write;
	const char *user, *group; /* names or numbers; NULL: the service's. user brings its groups */
	int umask;                /* 0: 022; -1: 0 */
};

struct errand_exit {
	int status;      /* exit status, or -1 when a signal ended it */
	int signal;      /* that signal, or 0 */
	char tail[4096]; /* the last of stderr, whole lines, NUL-terminated */
	int oom;         /* not 0: something of it was killed for memory: over limits->memory, or,
			  * without, the machine's. Cannot be told from a failure where isolation is
			  * "rlimit" */
	int64_t peak_memory, cpu_ns; /* of the whole tree with a cgroup, else as wait4 has it */
	const char *isolation; /* "cgroup2", "cgroup1", "rlimit" */
	int64_t memory_limit;  /* limits->memory */
};

/* Runs a program in its own process group and waits for it (SYNC and TASK only):
 * stderr goes to the task's log. Cancel and timeout kill the whole tree; the service's death kills it too. 0 when it was started and has
 * ended (see *out); -ERRAND_NOT_FOUND no such program; -ERRAND_CANCELLED or
 * -ERRAND_DEADLINE_EXCEEDED when it was killed for that (*out is filled);
 * -ERRAND_FAILED_PRECONDITION a limit, rule or user that cannot be had here (a log line says
 * which); -ERRAND_UNAVAILABLE when it could not be started (errno; EDEADLK: on the loop).
 * What it used is kept with the attempt. */
int errand_run(struct errand_call *call, const struct errand_command *command,
	       struct errand_exit *out);
/* The usual end of a handler whose program failed: errand_fail with stderr's
 * tail, recorded with outcome EXIT, SIGNAL or OOM. */
void errand_fail_exit(struct errand_call *call, const char *program, const struct errand_exit *e);

/* --- dependencies --- */

enum errand_scope {
	ERRAND_SCOPE_CALL,    /* opened for each call that needs it, closed after its answer */
	ERRAND_SCOPE_PROCESS, /* opened at start, closed at stop (lifespan) */
};

/* open gives a value (*valuep, may be NULL) or a negative errand_code, which fails
 * the call (errand_fail may say more first) or, for PROCESS, the start; call is
 * NULL for PROCESS. It runs where the handler runs: on the loop thread before an
 * ASYNC handler, so it must not block there. close gets the value and the call's
 * code (0 = ok); dependencies close in reverse order of opening. `needs` names
 * others (NULL-terminated), opened first; a value is opened once per call however
 * many need it. A PROCESS dependency must not need a CALL one. */
struct errand_dependency {
	const char *name;
	enum errand_scope scope;
	const char *const *needs;
	int (*open)(struct errand_call *call, void **valuep);
	void (*close)(void *value, int code);
};

/* The value of a dependency the method declared (or one of its needs); with call NULL
 * that of a PROCESS one. A name that is not among them, or not open yet, is a bug:
 * it is logged and ends the process. */
void *errand_value(struct errand_call *call, const char *name);

/* --- modules --- */

#define ERRAND_MODULE_ABI 2

/* Which dependencies a method opens before its handler runs. */
struct errand_method_needs {
	const char *method; /* "pkg.Service/Method" */
	const char *const *needs; /* NULL-terminated */
};

/* A module exports `const struct errand_module errand_module`. */
struct errand_module {
	unsigned abi; /* ERRAND_MODULE_ABI */
	const char *name;
	ProtobufCService *const *services; /* NULL-terminated; protobuf-c's, e.g. &svc.base */
	const uint8_t *descriptor_set; /* as `errand gen` embeds it */
	size_t descriptor_set_len;
	const struct errand_dependency *dependencies; /* ends with .name = NULL; or NULL */
	const struct errand_method_needs *needs;      /* ends with .method = NULL; or NULL */
	int (*start)(void); /* before any call; negative = refuse to start; or NULL */
	void (*stop)(void);  /* after the last call; or NULL */
};

/* The whole daemon, for a program that carries its methods itself: parses the
 * options of errand-service(8), serves until SIGTERM, returns the exit status.
 * modules is NULL-terminated and may be empty (--module adds others). */
int errand_service_main(int argc, char **argv, const struct errand_module *const *modules);

/* Replaces the opening of a dependency from now on, for tests; value is given as
 * it is and never closed. Before errand_service_main. */
void errand_override(const char *dependency, void *value);

#ifdef __cplusplus
}
#endif
#endif
