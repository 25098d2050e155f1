/* worker.c: `errand worker`: a program for each task of a queue (docs/WORKERS.md). One
 * thread, one poll: the connection, signals, and the pipes of the programs that run.
 *
 *   register ─▶ Lease stream ─▶ [work ─▶ program ─▶ Complete | Fail]* ─▶ its end ─▶ again, or out
 *
 * What runs when the connection is lost is killed: somebody else may do it by then. */
#define _GNU_SOURCE
#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/pbuf.h"
#include "cli/worker_impl.h"
#include "cli/worker_set.h"

enum { OUTPUT_MAX = (4 << 20) - 8192, UNSAID_MAX = 64 << 10, CALLS_MAX = 16, AGAIN_MS = 1000 }; /* with what is around it, a frame */

#define O(field) offsetof(struct worker_conf, field)
static const struct opt options[] = {
	CLI_COMMON(struct worker_conf),
	{"queue", 'q', OPT_LIST, O(queues), NULL, 0, 0, "QUEUE", "take its tasks; may be given several times"},
	{"tasks", 'n', OPT_INT, O(tasks), "1", 1, 1000, "N", "programs at a time, for each queue"},
	{"name", 0, OPT_STRING, O(name), NULL, 0, 0, "NAME", "of the worker; default the program's"},
	{"method", 'm', OPT_STRING, O(method), NULL, 0, 0, "METHOD",
	 "serve pkg.Service/Method, which takes and answers any JSON"},
	{"route", 0, OPT_STRING, O(route), NULL, 0, 0, "ROUTE", "of --method: \"POST /path\""},
	{"input", 0, OPT_STRING, O(input), "json", 0, 0, "json|wire|none", "what stdin is"},
	{"output", 0, OPT_STRING, O(output), "json", 0, 0, "json|text|wire|none", "what stdout is"},
	{"lease", 0, OPT_TIME, O(lease), "30s", NS_PER_S, 3600 * NS_PER_S, "TIME",
	 "the service gives its tasks to others when nothing is heard of it for so long"},
};
#undef O

static const char usage[] =
	"errand worker [options] -- PROGRAM [ARGUMENT...]\n\n"
	"Runs PROGRAM for each task: its input on stdin, its answer from stdout, lines of\n"
	"{\"fraction\":0.4,\"message\":\"...\"} on descriptor 3, its log from stderr. Exit status 0\n"
	"is success, 64 and 65 are final, any other is tried again by the task's own rules.";

/* --- one job --- */

static void on_line(int which, const char *line, size_t len, void *arg)
{
	worker_job_line(arg, which, line, len);
}

static void tell_lines(struct worker *w, struct worker_job *j, struct buf *lines, const char *stream)
{
	AUTO_BUF m = BUF_INIT;

	if (lines->len == 0)
		return;
	buf_append(&m, lines->data, lines->len);
	buf_reset(lines);
	pbuf_put_uint(&m, 2, j->lease);
	pbuf_put_str(&m, 3, stream);
	worker_tell(w, "Log", j->lease, false, &m);
}

/* All it has said since the last turn, in a call each. */
static void tell_said(struct worker *w, struct worker_job *j)
{
	if (j->lost || w->over)
		return;
	tell_lines(w, j, &j->lines, "stderr");
	tell_lines(w, j, &j->notes, "handler");
	if (j->progress.len > 0)
		worker_tell(w, "Progress", j->lease, false, &j->progress);
	buf_reset(&j->progress);
}

static void job_end(struct worker *w, struct worker_job *j)
{
	list_remove(&j->node);
	w->n_jobs--;
	worker_job_free(j);
}

static void job_fail(struct worker *w, struct worker_job *j, int code, bool final, const char *why)
{
	AUTO_BUF m = BUF_INIT;

	worker_job_fail(j, code, final, why, &m);
	worker_tell(w, "Fail", 0, true, &m);
	job_end(w, j);
}

static void job_over(struct worker *w, struct worker_job *j)
{
	AUTO_BUF m = BUF_INIT;

	if (!j->lost && !w->over) {
		bool ok = worker_job_answer(j, w->output, basename(w->argv[0]), &m);

		tell_said(w, j);

		if (!worker_tell(w, ok ? "Complete" : "Fail", 0, true, &m)) {
			job_fail(w, j, ERRAND_RESOURCE_EXHAUSTED, true, "the answer is too large for the socket");
			return;
		}
	}
	job_end(w, j);
}

static void job_start(struct worker *w, struct worker_job *j)
{
	AUTO_BUF input = BUF_INIT;
	char why[300], **env;
	int r;

	if (!worker_job_input(j, w->input, &input, why, sizeof why)) {
		job_fail(w, j, ERRAND_UNIMPLEMENTED, true, why);
		return;
	}
	j->program.max = OUTPUT_MAX;
	j->program.on_line = on_line;
	j->program.arg = j;
	env = worker_job_env(j);
	r = program_start(&j->program, w->argv, env, buf_bytes(&input));
	for (char **e = env; *e != NULL; e++)
		free(*e);
	free(env);
	if (r == 0)
		return;
	snprintf(why, sizeof why, "%.200s: %s", w->argv[0], strerror(-r));
	job_fail(w, j, ERRAND_UNAVAILABLE, false, why);
}

/* A method that came after we had read the schema: it is read again outside of the callbacks. */
static void job_begin(struct worker *w, struct bytes work)
{
	struct worker_job *j = worker_job_read(work);

	if (j == NULL)
		return;
	j->owner = w;
	list_push_back(&w->jobs, &j->node);
	w->n_jobs++;
	if (worker_job_find(j, w->backend.schema))
		job_start(w, j);
	else
		w->stale = true;
}

/* Those that wait for it start, with a method or without. */
static int read_schema_again(struct worker *w)
{
	int r;

	if (!w->stale || w->over)
		return 0;
	w->stale = false;
	w->backend.schema = schema_unref(w->backend.schema);
	r = backend_schema(&w->backend);
	if (r != CLI_OK)
		return -ERRAND_UNAVAILABLE;
	LIST_FOREACH(node, &w->jobs) {
		struct worker_job *j = LIST_ENTRY(node, struct worker_job, node);

		if (j->program.pid != 0)
			continue;
		worker_job_find(j, w->backend.schema);
		if (j->stopped)
			job_fail(w, j, j->stop_code, false, "stopped before it began");
		else
			job_start(w, j);
	}
	return 0;
}

static void job_stop(struct worker *w, struct bytes stop)
{
	struct pbuf_reader r = pbuf_reader(stop.data, stop.len);
	struct worker_job *j = NULL;
	struct pbuf_field f, part;
	int code = ERRAND_CANCELLED;
	int64_t grace = 0;

	while (pbuf_next(&r, &f)) {
		struct pbuf_reader d = pbuf_reader(f.bytes.data, f.number == 3 && f.wire == PBUF_LEN ? f.bytes.len : 0);

		if (f.number == 1)
			j = worker_job_of(w, f.value);
		else if (f.number == 2)
			code = (int)f.value;
		while (pbuf_next(&d, &part))
			grace += part.number == 1 ? (int64_t)part.value * NS_PER_S : (int64_t)part.value;
	}
	if (j == NULL || j->stopped)
		return;
	j->stopped = true;
	j->stop_code = code;
	j->kill_ns = clock_mono_ns() + grace;
	program_signal(&j->program, SIGTERM);
}

/* --- orders --- */

static void take_leave(struct worker *w, struct bytes leave)
{
	struct pbuf_reader r = pbuf_reader(leave.data, leave.len);
	struct pbuf_field f;
	bool again = false;

	while (pbuf_next(&r, &f))
		again |= f.number == 2 && f.value != 0;
	w->leave |= !again;
}

static int on_order(const void *message, size_t len, void *arg)
{
	struct pbuf_reader r = pbuf_reader(message, len);
	struct worker *w = arg;
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: job_begin(w, f.bytes); break;
		case 2: job_stop(w, f.bytes); break;
		case 3: take_leave(w, f.bytes); break;
		default: break;
		}
	return 0;
}

static void on_over(const struct errand_reply *reply, void *arg)
{
	struct worker *w = arg;

	if (!w->over)
		worker_over(w, reply->code, reply->message);
}

/* --- one registration --- */

static void registration(const struct worker *w, struct buf *out)
{
	AUTO_BUF lease = BUF_INIT;

	pbuf_put_str(out, 1, w->name);
	if (w->service != NULL) {
		AUTO_BUF set = BUF_INIT;

		worker_set_copy(schema_set(w->backend.schema), WORKER_SET_IMPORT, &set);
		buf_append(&set, w->set.data, w->set.len);
		pbuf_put_str(out, 2, w->service);
		pbuf_put_bytes(out, 3, set.data, set.len);
	}
	for (size_t i = 0; i < w->conf.queues.n; i++)
		pbuf_put_str(out, 4, w->conf.queues.items[i]);
	pbuf_put_uint(out, 5, (uint64_t)w->conf.tasks);
	pbuf_put_uint(&lease, 1, (uint64_t)(w->conf.lease / NS_PER_S));
	pbuf_put_uint(&lease, 2, (uint64_t)(w->conf.lease % NS_PER_S));
	pbuf_put_bytes(out, 7, lease.data, lease.len);
	pbuf_put_uint(out, 8, (uint64_t)getpid());
}

static void take_registered(struct worker *w, const struct errand_reply *reply)
{
	struct pbuf_reader r = pbuf_reader(reply->payload, reply->payload_len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 1) {
			free(w->id);
			w->id = xstrndup((const char *)f.bytes.data, f.bytes.len);
		}
	w->lease_ns = w->conf.lease;
	w->beat_ns = clock_mono_ns() + w->lease_ns / 3;
}

static bool passes(int code)
{
	return code == ERRAND_UNAVAILABLE || code == ERRAND_RESOURCE_EXHAUSTED || code == ERRAND_ABORTED;
}

/* A service that has no room for it now, or stops, may have some in a moment. */
static int register_worker(struct worker *w)
{
	AUTO_BUF in = BUF_INIT;

	registration(w, &in);
	for (bool said = false;; said = true) {
		struct pollfd signals = {.fd = w->signals, .events = POLLIN};
		struct errand_reply *reply = NULL;
		int r = errand_client_call(w->backend.client, WORKERS_SERVICE, "RegisterWorker", in.data, in.len, NULL, &reply);
		bool again;

		if (r < 0)
			return backend_failed(&w->backend, r);
		again = passes(reply->code);
		if (reply->code == ERRAND_OK)
			take_registered(w, reply);
		else if (!again)
			r = backend_refused(&w->backend, NULL, reply);
		else if (!said)
			cli_error("worker: %s; trying again", reply->message);
		errand_reply_free(reply);
		if (!again)
			return r;
		if (poll(&signals, 1, AGAIN_MS) > 0)
			return CLI_INTERRUPTED;
	}
}

static int open_session(struct worker *w)
{
	const struct errand_callbacks callbacks = {.on_message = on_order, .on_reply = on_over, .arg = w};
	AUTO_BUF lease = BUF_INIT;
	int r;

	r = backend_schema(&w->backend);
	if (r == CLI_OK)
		r = register_worker(w);
	if (r != CLI_OK)
		return r;
	w->backend.schema = schema_unref(w->backend.schema); /* now with our own method */
	r = backend_schema(&w->backend);
	if (r != CLI_OK)
		return r;
	pbuf_put_str(&lease, 1, w->id);
	w->over = false;
	r = errand_client_submit(w->backend.client, WORKERS_SERVICE, "Lease", lease.data, lease.len, NULL, &callbacks, NULL);
	return r < 0 ? backend_failed(&w->backend, r) : CLI_OK;
}

/* --- signals and time --- */

static void drain(struct worker *w)
{
	AUTO_BUF m = BUF_INIT;

	w->leave = true;
	if (!w->over)
		worker_tell(w, "Drain", 0, false, &m);
}

/* The first one waits for what runs, the second one does not. */
static void on_signal(struct worker *w)
{
	struct signalfd_siginfo info;

	if (read(w->signals, &info, sizeof info) != sizeof info)
		return;
	if (w->n_signals++ == 0) {
		drain(w);
		return;
	}
	LIST_FOREACH(node, &w->jobs)
		program_signal(&LIST_ENTRY(node, struct worker_job, node)->program, w->n_signals == 2 ? SIGTERM : SIGKILL);
}

static void look_at_clock(struct worker *w)
{
	int64_t now = clock_mono_ns();
	AUTO_BUF m = BUF_INIT;

	if (now >= w->beat_ns) {
		w->beat_ns = now + w->lease_ns / 3;
		worker_beat(w);
	}
	LIST_FOREACH(node, &w->jobs) {
		struct worker_job *j = LIST_ENTRY(node, struct worker_job, node);

		if (j->kill_ns != 0 && now >= j->kill_ns)
			program_signal(&j->program, SIGKILL);
	}
}

static int wait_ms(const struct worker *w)
{
	int64_t at = w->beat_ns, left;
	int ms = errand_client_timeout(w->backend.client);

	LIST_FOREACH(node, &w->jobs) {
		const struct worker_job *j = LIST_ENTRY(node, struct worker_job, node);

		if (j->kill_ns != 0)
			at = MIN(at, j->kill_ns);
	}
	left = MAX((at - clock_mono_ns()) / NS_PER_MS + 1, 0);
	return ms >= 0 ? (int)MIN(ms, left) : (int)left;
}

/* A program that says more than the service takes waits until that has caught up. */
static void poll_job(const struct worker *w, const struct worker_job *j, struct pollfd *to)
{
	program_poll(&j->program, to);
	if (w->n_calls >= CALLS_MAX || worker_job_unsaid(j) > UNSAID_MAX)
		to[PROGRAM_ERR].fd = to[PROGRAM_MESSAGE].fd = -1;
}

static void serve_job(struct worker *w, struct worker_job *j, const struct pollfd *polled)
{
	if (program_ready(&j->program, polled) || (j->program.pid == 0 && (j->lost || w->over)))
		job_over(w, j);
	else if (w->n_calls < CALLS_MAX)
		tell_said(w, j);
}

/* One turn: waits, then does what is due. Negative: the connection is gone. */
static int turn(struct worker *w)
{
	size_t n = 2 + w->n_jobs * PROGRAM_FDS, i = 2;
	AUTO_FREE struct pollfd *fds = xcalloc(n, sizeof *fds);
	int r;

	fds[0] = (struct pollfd){errand_client_fd(w->backend.client), errand_client_events(w->backend.client), 0};
	fds[1] = (struct pollfd){w->signals, POLLIN, 0};
	LIST_FOREACH(node, &w->jobs) {
		poll_job(w, LIST_ENTRY(node, struct worker_job, node), &fds[i]);
		i += PROGRAM_FDS;
	}
	if (poll(fds, (nfds_t)n, wait_ms(w)) < 0 && errno != EINTR)
		return -ERRAND_INTERNAL;
	if (fds[1].revents != 0)
		on_signal(w);
	i = 2;
	LIST_FOREACH(node, &w->jobs) {
		serve_job(w, LIST_ENTRY(node, struct worker_job, node), &fds[i]);
		i += PROGRAM_FDS;
	}
	r = errand_client_dispatch(w->backend.client);
	if (r == 0)
		r = read_schema_again(w);
	if (r == 0 && !w->over)
		look_at_clock(w);
	return r;
}

/* Until the stream has ended and all it was told is said. */
static int serve(struct worker *w)
{
	int r = 0;

	while (r == 0 && (!w->over || w->n_jobs > 0 || (w->n_calls > 0 && w->code == ERRAND_OK)))
		r = turn(w);
	while (!list_empty(&w->jobs))
		job_end(w, LIST_ENTRY(w->jobs.next, struct worker_job, node));
	return r;
}

/* Nothing runs then: a signal may simply end us. */
static int reopen(struct worker *w)
{
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	r = backend_reopen(&w->backend);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return r;
}

static int run(struct worker *w)
{
	for (;;) {
		int r = open_session(w);

		if (r != CLI_OK)
			return r;
		if (!w->backend.common->json)
			fprintf(stderr, "errand worker: %s is ready\n", w->name);
		r = serve(w);
		if (w->leave)
			return CLI_OK;
		if (r == 0 && w->code != ERRAND_OK && w->code != ERRAND_UNAVAILABLE && w->code != ERRAND_NOT_FOUND) {
			cli_error("worker: %s", w->why);
			return cli_exit_of(w->code);
		}
		r = reopen(w);
		if (r != CLI_OK)
			return r;
	}
}

/* --- the command line --- */

static bool read_form(const char *what, const char *text, bool may_be_text, enum worker_form *out)
{
	static const char *const names[] = {"json", "text", "wire", "none"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], text) == 0 && (may_be_text || i != FORM_TEXT)) {
			*out = (enum worker_form)i;
			return true;
		}
	cli_error("worker: --%s %s: write json, %swire or none", what, text, may_be_text ? "text, " : "");
	return false;
}

static bool make_set(struct worker *w)
{
	static const char *const verbs[] = {"POST", "PUT", "PATCH", NULL};
	const char *route = w->conf.route, *path = route ? strchr(route, ' ') : NULL;
	AUTO_FREE char *verb = path ? xstrndup(route, (size_t)(path - route)) : NULL;
	size_t i = 0;

	if (w->conf.method == NULL) {
		if (route != NULL)
			cli_error("worker: --route is of --method, which is not given");
		return route == NULL;
	}
	while (verb != NULL && verbs[i] != NULL && strcmp(verbs[i], verb) != 0)
		i++;
	if (route != NULL && (path == NULL || path[1] != '/' || verbs[i] == NULL)) {
		cli_error("worker: --route %s: write \"POST /path\" (or PUT, PATCH)", route);
		return false;
	}
	if (worker_set_make(w->conf.method, verb, path ? path + 1 : NULL, NULL, &w->set, &w->service))
		return true;
	cli_error("worker: --method %s: write pkg.Service/Method", w->conf.method);
	return false;
}

/* letters, digits, '.', '_' and '-' of the program's name. */
static char *default_name(const char *program)
{
	AUTO_FREE char *copy = xstrdup(program);
	char *name = xstrdup(basename(copy));

	for (char *p = name; *p != '\0'; p++)
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *p) == NULL)
			*p = '-';
	return name;
}

static bool prepare(struct worker *w, int n, char **operands)
{
	if (n == 0) {
		cli_error("worker: no program is given: errand worker --queue QUEUE -- ./program");
		return false;
	}
	if (w->conf.queues.n == 0 && w->conf.method == NULL) {
		cli_error("worker: name what it is to do: --queue QUEUE, or --method pkg.Service/Method");
		return false;
	}
	w->argv = operands;
	w->name = w->conf.name != NULL ? xstrdup(w->conf.name) : default_name(operands[0]);
	return read_form("input", w->conf.input, false, &w->input) &&
	       read_form("output", w->conf.output, true, &w->output) && make_set(w);
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int worker_command(int argc, char **argv)
{
	struct worker w = {.signals = -1};
	int first, r = CLI_USAGE;

	list_init(&w.jobs);
	first = cli_parse_front(options, ARRAY_LEN(options), &w.conf, argc, argv, usage);
	if (prepare(&w, argc - first, argv + first)) {
		r = backend_open_socket(&w.backend, &w.conf.common, "errand worker");
		w.signals = open_signals();
		if (r == CLI_OK)
			r = run(&w);
		w.over = true;
		backend_close(&w.backend);
	}
	if (w.signals >= 0)
		close(w.signals);
	opt_deinit(options, ARRAY_LEN(options), &w.conf);
	buf_deinit(&w.set);
	free(w.name);
	free(w.service);
	free(w.id);
	free(w.why);
	return r;
}
