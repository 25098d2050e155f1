/* testmod.c: a service for the end-to-end tests; see testmod.proto. Files are
 * written in $ARTICLE_DIR, or else where the service was started. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <errand/service.h>

#include "testmod.pb-c.h"
#include "testmod.schema.h"

#define MS 1000000LL

typedef Errandtest__V1__Test_Service Service;
typedef Errandtest__V1__EchoMessage Echo;
typedef Errandtest__V1__EchoMessage_Closure EchoDone;
typedef Errandtest__V1__CheckedMessage Checked;
typedef Errandtest__V1__CheckedMessage_Closure CheckedDone;
typedef Errandtest__V1__Nothing Nothing;
typedef Errandtest__V1__Reply_Closure Done;
typedef Errandtest__V1__SleepRequest SleepRequest;
typedef Errandtest__V1__TaskFailRequest TaskFailRequest;

static void reply(Done done, const char *text, void *call)
{
	Errandtest__V1__Reply r = ERRANDTEST__V1__REPLY__INIT;

	r.message = (char *)text;
	done(&r, call);
}

static void nap(int64_t ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * MS};

	nanosleep(&t, NULL);
}

/* One line in one write; 0 or -1. */
static int note(const char *file, const char *text)
{
	const char *dir = getenv("ARTICLE_DIR");
	char path[4096], line[512];
	int fd, len, rc;

	snprintf(path, sizeof path, "%s/%s", dir ? dir : ".", file);
	len = snprintf(line, sizeof line, "%s\n", text);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	rc = write(fd, line, (size_t)len) == len ? 0 : -1;
	close(fd);
	return rc;
}

/* --- echo --- */

static void test__echo(Service *s, const Echo *in, EchoDone done, void *call)
{
	done(in, call);
}

static void test__sync_echo(Service *s, const Echo *in, EchoDone done, void *call)
{
	done(in, call);
}

static void test__task_echo(Service *s, const Echo *in, EchoDone done, void *call)
{
	done(in, call);
}

static void test__task_small(Service *s, const Echo *in, EchoDone done, void *call)
{
	done(in, call);
}

static void test__checked(Service *s, const Checked *in, CheckedDone done, void *call)
{
	done(in, call);
}

static void test__sync_checked(Service *s, const Checked *in, CheckedDone done, void *call)
{
	done(in, call);
}

static void test__task_checked(Service *s, const Checked *in, CheckedDone done, void *call)
{
	done(in, call);
}

/* --- errors and broken rules --- */

static void test__fail(Service *s, const Errandtest__V1__FailRequest *in, Done done, void *call)
{
	errand_fail(call, in->code, "%s", in->message);
}

static void test__twice(Service *s, const Nothing *in, Done done, void *call)
{
	reply(done, "first", call);
	reply(done, "second", call);
}

static void test__no_answer(Service *s, const Nothing *in, Done done, void *call)
{
}

static void test__stuck(Service *s, const SleepRequest *in, Done done, void *call)
{
	nap(in->ms);
	reply(done, "stuck", call);
}

static void test__crash(Service *s, const Nothing *in, Done done, void *call)
{
	abort();
}

/* --- time --- */

static void waited(struct errand_call *call, void *arg)
{
	reply((Done)arg, "waited", call);
}

static void wait_cancelled(struct errand_call *call, void *arg)
{
	note("cancelled.log", "wait");
	errand_fail(call, ERRAND_CANCELLED, "cancelled");
}

static void test__wait(Service *s, const SleepRequest *in, Done done, void *call)
{
	errand_on_cancel(call, wait_cancelled, NULL);
	errand_timer(call, in->ms * MS, waited, (void *)done);
}

/* A handler that heeds nothing. */
static void test__hold(Service *s, const Errandtest__V1__TouchRequest *in, Done done, void *call)
{
	const char *dir = getenv("ARTICLE_DIR");
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", dir ? dir : ".", in->name);
	while (access(path, F_OK) < 0)
		if (in->ms > 0)
			nap(in->ms);
	reply(done, "let go", call);
}

static void test__task_hold(Service *s, const Errandtest__V1__TouchRequest *in, Done done, void *call)
{
	test__hold(s, in, done, call);
}

static void test__sleep(Service *s, const SleepRequest *in, Done done, void *call)
{
	nap(in->ms);
	reply(done, "slept", call);
}

/* --- after the response --- */

static int after_fails(void *arg)
{
	return -1;
}

static int after_writes(void *arg)
{
	return note("after.log", "ran");
}

static void test__after_fail(Service *s, const Nothing *in, Done done, void *call)
{
	if (errand_after(call, "fails", after_fails, NULL) < 0 ||
	    errand_after(call, "writes", after_writes, NULL) < 0)
		errand_fail(call, ERRAND_UNAVAILABLE, "background pool is full");
	else
		reply(done, "queued", call);
}

/* --- streaming --- */

static void test__stream(Service *s, const Errandtest__V1__StreamRequest *in,
			 Errandtest__V1__Chunk_Closure done, void *call)
{
	Errandtest__V1__Chunk chunk = ERRANDTEST__V1__CHUNK__INIT;
	int rc = 0;

	chunk.data.len = in->size > 0 ? (size_t)in->size : 0;
	chunk.data.data = calloc(1, chunk.data.len + 1);
	for (chunk.index = 0; chunk.index < in->count && rc >= 0; chunk.index++) {
		if (in->interval_ms > 0 && chunk.index > 0)
			nap(in->interval_ms);
		rc = errand_stream_send(call, &chunk.base);
	}
	free(chunk.data.data);
	if (rc < 0)
		note("cancelled.log", "stream");
	if (in->fail_code != 0 && rc >= 0)
		errand_fail(call, in->fail_code, "asked to fail");
	else
		errand_stream_end(call);
}

/* --- bodies of any type --- */

static void test__raw(Service *s, const Google__Api__HttpBody *in, Google__Api__HttpBody_Closure done, void *call)
{
	done(in, call);
}

static void test__raw_field(Service *s, const Errandtest__V1__RawMessage *in,
			    Errandtest__V1__RawMessage_Closure done, void *call)
{
	done(in, call);
}

static void test__raw_stream(Service *s, const Errandtest__V1__StreamRequest *in,
			     Google__Api__HttpBody_Closure done, void *call)
{
	Google__Api__HttpBody line = GOOGLE__API__HTTP_BODY__INIT;
	char text[32];
	int rc = 0;

	line.content_type = (char *)"text/plain; charset=utf-8";
	for (int i = 0; i < in->count && rc >= 0; i++) {
		line.data.data = (uint8_t *)text;
		line.data.len = (size_t)snprintf(text, sizeof text, "line %d\n", i);
		rc = errand_stream_send(call, &line.base);
	}
	if (in->fail_code != 0)
		errand_fail(call, in->fail_code, "asked to fail");
	else
		errand_stream_end(call);
}

/* --- tasks --- */

static void test__task_sleep(Service *s, const SleepRequest *in, Done done, void *call)
{
	for (int64_t at = 0; at < in->ms; at += 10) {
		if (errand_cancelled(call)) {
			errand_fail(call, ERRAND_CANCELLED, "told to stop after %d ms", (int)at);
			return;
		}
		errand_progress(call, (double)at / (double)in->ms, "asleep");
		nap(10);
	}
	reply(done, "slept", call);
}

static void test__task_hurry(Service *s, const SleepRequest *in, Done done, void *call)
{
	test__task_sleep(s, in, done, call);
}

static void test__task_fail(Service *s, const TaskFailRequest *in, Done done, void *call)
{
	errand_log(call, "attempt %u", errand_attempt(call));
	if (errand_attempt(call) > in->times) {
		reply(done, "succeeded in the end", call);
		return;
	}
	if (in->final)
		errand_final(call);
	errand_fail(call, in->code, "attempt %u fails", errand_attempt(call));
}

/* NULL-terminated; NULL when there are none. */
static const char **list_of(char **texts, size_t n)
{
	const char **list = n > 0 ? calloc(n + 1, sizeof *list) : NULL;

	for (size_t i = 0; i < n; i++)
		list[i] = texts[i];
	return list;
}

static void test__task_run(Service *s, const Errandtest__V1__TaskRunRequest *in,
			   Errandtest__V1__TaskRunReply_Closure done, void *call)
{
	Errandtest__V1__TaskRunReply r = ERRANDTEST__V1__TASK_RUN_REPLY__INIT;
	static const char *const nothing[] = {"", NULL};
	const char **argv = list_of(in->argv, in->n_argv);
	const char **read = list_of(in->read, in->n_read), **write = list_of(in->write, in->n_write);
	const struct errand_limits limits = {
		.memory = in->memory, .processes = in->processes, .cpus = in->cpus,
		.cpu_time_ns = in->cpu_time_ms * 1000000, .whole_tree = in->whole_tree,
	};
	const struct errand_command command = {
		.argv = argv ? argv : nothing, .limits = &limits, .read = read, .write = write,
		.user = *in->user ? in->user : NULL,
	};
	struct errand_exit e;
	int rc = errand_run(call, &command, &e);

	free(argv);
	free(read);
	free(write);
	if (rc < 0 && rc != -ERRAND_CANCELLED && rc != -ERRAND_DEADLINE_EXCEEDED) {
		errand_fail(call, -rc, "could not be run");
	} else if (rc < 0 || (in->fail && (e.status != 0 || e.signal != 0))) {
		errand_fail_exit(call, in->argv[0], &e);
	} else {
		r.status = e.status;
		r.signal = e.signal;
		r.tail = e.tail;
		done(&r, call);
	}
}

static void test__task_log(Service *s, const Errandtest__V1__TaskLogRequest *in, Done done, void *call)
{
	char *text = malloc((size_t)in->size + 1);

	memset(text, 'x', (size_t)in->size);
	text[in->size] = 0;
	for (int i = 0; i < in->lines; i++)
		errand_log(call, "%d %s", i, text);
	free(text);
	reply(done, "logged", call);
}

static void test__task_touch(Service *s, const Errandtest__V1__TouchRequest *in, Done done, void *call)
{
	char line[256];

	nap(in->ms);
	snprintf(line, sizeof line, "%s %u", in->name, errand_attempt(call));
	if (note("effects.log", line) < 0)
		errand_fail(call, ERRAND_UNAVAILABLE, "effects.log cannot be written");
	else
		reply(done, in->name, call);
}

/* --- checkpoints --- */

static void save(struct errand_call *call, int done)
{
	Errandtest__V1__StepsState state = ERRANDTEST__V1__STEPS_STATE__INIT;
	char by[32];

	snprintf(by, sizeof by, "attempt %u", errand_attempt(call));
	state.done = done;
	state.by = by;
	errand_checkpoint(call, &state.base);
	errand_progress_detail(call, done / 10.0, "a step", &state.base);
}

static void test__task_steps(Service *s, const Errandtest__V1__StepsRequest *in,
			     Errandtest__V1__StepsReply_Closure done, void *call)
{
	const Errandtest__V1__StepsState *was =
		(const void *)errand_checkpoint_get(call, &errandtest__v1__steps_state__descriptor);
	Errandtest__V1__StepsState large = ERRANDTEST__V1__STEPS_STATE__INIT;
	Errandtest__V1__StepsReply r = ERRANDTEST__V1__STEPS_REPLY__INIT;

	r.began_behind = was ? was->done : 0;
	for (int i = r.began_behind + 1; i <= in->steps; i++) {
		save(call, i);
		if (errand_attempt(call) == 1 && i == in->crash_at) {
			nap(1500); /* it is stored at the latest half a second later */
			abort();
		}
		if (errand_attempt(call) == 1 && i == in->fail_at) {
			errand_fail(call, ERRAND_UNAVAILABLE, "failed behind step %d", i);
			return;
		}
	}
	large.ballast.len = (size_t)in->too_large;
	large.ballast.data = calloc(1, large.ballast.len + 1);
	if (in->too_large)
		r.code = errand_checkpoint(call, &large.base);
	free(large.ballast.data);
	done(&r, call);
}

/* --- tasks made by handlers --- */

static int enqueue_all(struct errand_call *call, const Errandtest__V1__EnqueueRequest *in,
		       char (*ids)[ERRAND_TASK_ID_SIZE])
{
	struct errand_label label = {"from", in->label};
	int rc = 0;

	for (size_t i = 0; i < in->n_names && rc == 0; i++) {
		Errandtest__V1__TouchRequest touch = ERRANDTEST__V1__TOUCH_REQUEST__INIT;
		const char *after = in->chain && i > 0 ? ids[i - 1] : in->after;
		struct errand_task_options o = {
			.queue = *in->queue ? in->queue : NULL,
			.unique_key = *in->unique_key ? in->unique_key : NULL,
			.delay_ns = in->delay_ms * MS,
			.after = &after,
			.n_after = *after ? 1 : 0,
			.labels = &label,
			.n_labels = *in->label ? 1 : 0,
		};

		touch.name = in->names[i];
		rc = errand_enqueue(call, *in->method ? in->method : "errandtest.v1.Test/TaskTouch", &touch.base,
				    &o, ids[i]);
	}
	return rc;
}

static void test__enqueue(Service *s, const Errandtest__V1__EnqueueRequest *in,
			  Errandtest__V1__EnqueueReply_Closure done, void *call)
{
	char (*ids)[ERRAND_TASK_ID_SIZE] = calloc(in->n_names + 1, sizeof *ids);
	Errandtest__V1__EnqueueReply r = ERRANDTEST__V1__ENQUEUE_REPLY__INIT;
	char **texts = calloc(in->n_names + 1, sizeof *texts);

	r.code = enqueue_all(call, in, ids);
	for (size_t i = 0; i < in->n_names; i++)
		texts[i] = ids[i];
	r.ids = texts;
	r.n_ids = r.code == 0 ? in->n_names : 0;
	if (in->fail_code && (errand_task_id(call) == NULL || errand_attempt(call) <= in->fail_times))
		errand_fail(call, in->fail_code, "failed after making them");
	else
		done(&r, call);
	free(texts);
	free(ids);
}

static void test__sync_enqueue(Service *s, const Errandtest__V1__EnqueueRequest *in,
			       Errandtest__V1__EnqueueReply_Closure done, void *call)
{
	test__enqueue(s, in, done, call);
}

static void test__task_enqueue(Service *s, const Errandtest__V1__EnqueueRequest *in,
			       Errandtest__V1__EnqueueReply_Closure done, void *call)
{
	test__enqueue(s, in, done, call);
}

static void test__task_join(Service *s, const Nothing *in, Done done, void *call)
{
	char text[1024] = "";

	for (size_t i = 0; i < errand_parent_count(call); i++) {
		const ProtobufCMessage *m;
		int rc = errand_parent_result(call, i, &errandtest__v1__reply__descriptor, &m);
		size_t len = strlen(text);

		if (rc == 0)
			snprintf(text + len, sizeof text - len, "%s+",
				 ((const Errandtest__V1__Reply *)m)->message);
		else
			snprintf(text + len, sizeof text - len, "%d+", rc);
	}
	reply(done, text, call);
}

static void test__task_who(Service *s, const Nothing *in, Done done, void *call)
{
	reply(done, errand_identity(call), call);
}

/* Fails when its text says so. */
static void test__task_operate(Service *s, const Errandtest__V1__EchoMessage *in, Done done, void *call)
{
	if (strcmp(in->text_value, "fail") == 0)
		errand_fail(call, ERRAND_FAILED_PRECONDITION, "as asked");
	else
		reply(done, "done", call);
}

static void test__fail_fields(Service *s, const Errandtest__V1__FailRequest *in, Done done, void *call)
{
	errand_violation(call, "/code", "test.code", "%d is no good code", in->code);
	errand_fail_field(call, "#/message", "test.message", "nor is this a message");
}

static void test__task_fail_fields(Service *s, const Errandtest__V1__FailRequest *in, Done done,
				   void *call)
{
	test__fail_fields(s, in, done, call);
}

static void test__task_crash(Service *s, const TaskFailRequest *in, Done done, void *call)
{
	if (errand_attempt(call) <= in->times)
		abort();
	reply(done, "survived", call);
}

static Service service = ERRANDTEST__V1__TEST__INIT(test__);
static ProtobufCService *const services[] = {&service.base, NULL};

extern const struct errand_module errand_module;
const struct errand_module errand_module = {
	.abi = ERRAND_MODULE_ABI,
	.name = "testmod",
	.services = services,
	.descriptor_set = testmod_schema,
	.descriptor_set_len = testmod_schema_len,
};
