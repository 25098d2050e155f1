/* run.c: errand_run and errand_fail_exit: a child process (process.h) on behalf of
 * a call (call.h). The handler's thread waits here; lines and the end come from the
 * process thread, a cancel from whatever thread asks for it. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "errand/service.h"
#include "service/call.h"
#include "service/call_ids.h"
#include "service/loop.h"
#include "service/metrics.h"
#include "service/process.h"

enum { SIZE_TEXT = 32 };
#define GRACE_NS (10 * NS_PER_S)

/* On the stack of the handler's thread. */
struct run {
	struct errand_call *call;
	const struct errand_command *command;
	struct errand_exit *out; /* tail: process thread until `ended` */
	size_t tail_len;
	int64_t grace_ns;
	pthread_mutex_t lock;    /* guards what follows; process_kill is called under it,
				  * so that it never meets a child whose end was told */
	pthread_cond_t end;
	struct process *process;
	bool cancelled, ended;
	struct process_end how;
};

/* It becomes part of an error's text: no NUL, valid UTF-8. */
static void make_text(char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] == 0)
			s[i] = ' ';
	for (size_t at = 0; (at += json_utf8_valid((const uint8_t *)s + at, len - at)) < len;)
		s[at] = '?';
}

/* Keeps the last whole lines that fit; of a line that alone does not, its end. */
static void tail_add(struct run *r, const char *line, size_t len)
{
	char *tail = r->out->tail;
	size_t max = sizeof r->out->tail - 1;

	if (len > max - 1) {
		line += len - (max - 1);
		len = max - 1;
	}
	while (r->tail_len + len + 1 > max) {
		size_t first = (size_t)((char *)memchr(tail, '\n', r->tail_len) - tail) + 1;

		memmove(tail, tail + first, r->tail_len -= first);
	}
	memcpy(tail + r->tail_len, line, len);
	make_text(tail + r->tail_len, len);
	r->tail_len += len;
	tail[r->tail_len++] = '\n';
	tail[r->tail_len] = 0;
}

static void run_give_line(struct run *r, int fd, const char *line, size_t len)
{
	if (fd == STDERR_FILENO) {
		tail_add(r, line, len);
		call_log(r->call, "stderr", line, len);
		if (r->command->on_stderr != NULL)
			r->command->on_stderr(r->call, line, len, r->command->arg);
	} else if (fd != STDOUT_FILENO) {
		r->command->on_message(r->call, line, len, r->command->arg);
	} else if (r->command->on_stdout != NULL) {
		r->command->on_stdout(r->call, line, len, r->command->arg);
	} else {
		call_log(r->call, "stdout", line, len);
	}
}

/* What they log belongs to the call. */
static void run_line(int fd, const char *line, size_t len, void *arg)
{
	struct run *r = arg;
	const struct log_ids *before = log_ids_set(call_ids(r->call));

	run_give_line(r, fd, line, len);
	log_ids_set(before);
}

static void run_bytes(const void *data, size_t len, void *arg)
{
	struct run *r = arg;
	const struct log_ids *before = log_ids_set(call_ids(r->call));

	r->command->on_output(r->call, data, len, r->command->arg);
	log_ids_set(before);
}

static void run_ended(const struct process_end *end, void *arg)
{
	struct run *r = arg;

	pthread_mutex_lock(&r->lock);
	r->how = *end;
	r->ended = true;
	pthread_cond_signal(&r->end);
	pthread_mutex_unlock(&r->lock);
}

static void run_cancel(void *arg)
{
	struct run *r = arg;

	pthread_mutex_lock(&r->lock);
	r->cancelled = true;
	if (r->process != NULL && !r->ended)
		process_kill(r->process, r->grace_ns);
	pthread_mutex_unlock(&r->lock);
}

static bool run_is_cancelled(struct run *r)
{
	bool cancelled;

	pthread_mutex_lock(&r->lock);
	cancelled = r->cancelled;
	pthread_mutex_unlock(&r->lock);
	return cancelled;
}

static int run_start(struct run *r, const char *const *env)
{
	const struct process_params params = {
		.argv = r->command->argv,
		.env = env,
		.dir = r->command->dir,
		.umask = r->command->umask,
		.user = r->command->user,
		.group = r->command->group,
		.read = r->command->read,
		.write = r->command->write,
		.input = r->command->input,
		.input_len = r->command->input_len,
		.wants_messages = r->command->on_message != NULL,
		.limits = r->command->limits,
		.on_line = run_line,
		.on_bytes = r->command->on_output != NULL ? run_bytes : NULL,
		.on_exit = run_ended,
		.arg = r,
	};
	struct process *process;
	int rc = process_start(&params, &process);

	if (rc < 0) {
		log_warn("program not started", "method=%s program=%s error=%s",
			 errand_method_name(r->call), r->command->argv[0], strerrorname_np(-rc));
		errno = -rc;
		return rc == -ENOENT ? -ERRAND_NOT_FOUND
		     : rc == -EOPNOTSUPP ? -ERRAND_FAILED_PRECONDITION : -ERRAND_UNAVAILABLE;
	}
	pthread_mutex_lock(&r->lock);
	r->process = process;
	if (r->cancelled && !r->ended)
		process_kill(process, r->grace_ns);
	while (!r->ended)
		pthread_cond_wait(&r->end, &r->lock);
	pthread_mutex_unlock(&r->lock);
	return 0;
}

/* errand.v1.Usage. */
static void run_tell_usage(struct errand_call *call, const struct errand_exit *e)
{
	AUTO_BUF usage = BUF_INIT, time = BUF_INIT;

	pbuf_put_uint(&time, 1, (uint64_t)(e->cpu_ns / NS_PER_S));
	pbuf_put_uint(&time, 2, (uint64_t)(e->cpu_ns % NS_PER_S));
	pbuf_put_str(&usage, 1, e->isolation);
	pbuf_put_uint(&usage, 2, (uint64_t)e->peak_memory);
	pbuf_put_bytes(&usage, 3, time.data, time.len);
	if (e->memory_limit > 0)
		pbuf_put_uint(&usage, 4, (uint64_t)e->memory_limit);
	call_set_usage(call, buf_bytes(&usage));
}

static void run_count(const struct run *r, int rc)
{
	const int status = r->how.wait_status;
	enum metrics_program end = rc < 0 || !r->ended ? PROGRAM_NOT_STARTED : r->how.oom ? PROGRAM_OOM :
		r->cancelled ? PROGRAM_STOPPED :
		WIFEXITED(status) && WEXITSTATUS(status) == 0 ? PROGRAM_OK : PROGRAM_FAILED;

	prom_count(&metrics.programs[end]);
}

static void run_tell(struct run *r)
{
	const struct process_end *how = &r->how;
	struct errand_exit *out = r->out;

	if (WIFEXITED(how->wait_status))
		out->status = WEXITSTATUS(how->wait_status);
	else
		out->signal = WTERMSIG(how->wait_status);
	out->oom = how->oom;
	out->peak_memory = how->peak_memory;
	out->cpu_ns = how->cpu_ns;
	out->isolation = how->isolation;
	if (r->command->limits != NULL)
		out->memory_limit = r->command->limits->memory;
	run_tell_usage(r->call, out);
}

static int64_t run_grace(const struct errand_call *call, const struct errand_command *command)
{
	if (command->grace_ns > 0)
		return command->grace_ns;
	return call_grace_ns(call) > 0 ? call_grace_ns(call) : GRACE_NS;
}

int errand_run(struct errand_call *call, const struct errand_command *command,
	       struct errand_exit *out)
{
	struct run r = {
		.call = call,
		.command = command,
		.out = out,
		.grace_ns = run_grace(call, command),
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.end = PTHREAD_COND_INITIALIZER,
	};
	struct call_hook *hook;
	struct call_env env;
	int rc;

	*out = (struct errand_exit){.status = -1, .isolation = "rlimit"};
	if (loop_is_current()) {
		log_error("errand_run on the loop", "method=%s hint=\"declare it SYNC or TASK\"",
			  errand_method_name(call));
		errno = EDEADLK;
		return -ERRAND_UNAVAILABLE;
	}
	hook = call_on_cancel_any(call, run_cancel, &r);
	call_env_init(&env, call, command->env != NULL ? command->env : process_env());
	prom_count(&metrics.programs_begun);
	rc = run_is_cancelled(&r) ? 0 : run_start(&r, env.list);
	run_count(&r, rc);
	call_env_deinit(&env);
	call_off_cancel(call, hook);
	if (rc < 0)
		return rc;
	if (r.ended)
		run_tell(&r);
	return r.cancelled ? -call_cancel_code(call) : 0;
}

/* "1 GiB", "1.5 MiB" */
static const char *size_text(int64_t bytes, char out[SIZE_TEXT])
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double n = (double)bytes;
	size_t unit = 0;

	for (; n >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
		n /= 1024;
	snprintf(out, SIZE_TEXT, n == (double)(int64_t)n ? "%.0f %s" : "%.1f %s", n, units[unit]);
	return out;
}

static void fail_oom(struct errand_call *call, const char *program, const struct errand_exit *e)
{
	const char *more = *e->tail ? ":\n" : "";
	char limit[SIZE_TEXT], peak[SIZE_TEXT];

	size_text(e->peak_memory, peak);
	if (e->memory_limit > 0)
		errand_fail(call, ERRAND_INTERNAL, "%s was over its memory limit of %s (peak %s)%s%s", program,
			    size_text(e->memory_limit, limit), peak, more, e->tail);
	else
		errand_fail(call, ERRAND_INTERNAL, "%s was killed since there was no more memory (peak %s)%s%s",
			    program, peak, more, e->tail);
}

/* A program that was killed because the call was cancelled ends as that, not as a
 * crash of the program. */
void errand_fail_exit(struct errand_call *call, const char *program, const struct errand_exit *e)
{
	int code = call_cancel_code(call);

	if (code != 0) {
		errand_fail(call, code, "%s was stopped", program);
		return;
	}
	call_set_exit(call, e->status, e->signal, e->oom != 0);
	if (e->oom)
		fail_oom(call, program, e);
	else if (e->signal != 0)
		errand_fail(call, ERRAND_INTERNAL, "%s was killed by signal %d (%s)%s%s", program,
			    e->signal, strsignal(e->signal), *e->tail ? ":\n" : "", e->tail);
	else
		errand_fail(call, ERRAND_INTERNAL, "%s ended with exit status %d%s%s", program,
			    e->status, *e->tail ? ":\n" : "", e->tail);
}
