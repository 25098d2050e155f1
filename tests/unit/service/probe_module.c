/* probe_module.c: see probe_module.h and probe.proto. */
#define _GNU_SOURCE
#include "probe_module.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "probe.schema.h"

#define MS 1000000LL

typedef Probe__V1__Note Note;
typedef Probe__V1__Note_Closure Closure;
typedef Probe__V1__Probe_Service Service;

/* --- the trace --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards trace */
static pthread_cond_t noted = PTHREAD_COND_INITIALIZER;
static char trace[8192];

void probe_note(const char *fmt, ...)
{
	size_t len;
	va_list ap;

	pthread_mutex_lock(&lock);
	len = strlen(trace);
	va_start(ap, fmt);
	vsnprintf(trace + len, sizeof trace - len, fmt, ap);
	va_end(ap);
	len = strlen(trace);
	snprintf(trace + len, sizeof trace - len, "\n");
	pthread_cond_broadcast(&noted);
	pthread_mutex_unlock(&lock);
}

char *probe_trace(void)
{
	char *out;

	pthread_mutex_lock(&lock);
	out = strdup(trace);
	pthread_mutex_unlock(&lock);
	return out;
}

void probe_trace_clear(void)
{
	pthread_mutex_lock(&lock);
	trace[0] = '\0';
	pthread_mutex_unlock(&lock);
}

int probe_wait(const char *text)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 5;
	pthread_mutex_lock(&lock);
	while (strstr(trace, text) == NULL && r == 0)
		r = pthread_cond_timedwait(&noted, &lock, &until);
	pthread_mutex_unlock(&lock);
	return r;
}

static void nap(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * MS};

	nanosleep(&t, NULL);
}

/* --- methods --- */

static void probe__echo(Service *s, const Note *in, Closure done, void *call)
{
	done(in, call);
}

/* Closures of this file's calls are all the same; kept per call by their input. */
struct later {
	Closure done;
	void *call;
	const Note *in;
	int ms;
};

static struct later *later_new(const Note *in, Closure done, void *call)
{
	struct later *l = malloc(sizeof *l);

	*l = (struct later){done, call, in, in->ms};
	return l;
}

static void on_later(struct errand_call *call, void *arg)
{
	struct later *l = arg;

	l->done(l->in, call);
	free(l);
}

static void probe__later(Service *s, const Note *in, Closure done, void *call)
{
	errand_timer(call, in->ms * MS, on_later, later_new(in, done, call));
}

static void on_cancel(struct errand_call *call, void *arg)
{
	probe_note("cancelled %s", (const char *)arg);
	errand_fail(call, ERRAND_CANCELLED, "cancelled");
}

static void probe__never(Service *s, const Note *in, Closure done, void *call)
{
	probe_note("waiting");
	errand_on_cancel(call, on_cancel, "never");
}

static void *answer_later(void *arg)
{
	struct later *l = arg;

	nap(l->ms);
	l->done(l->in, l->call);
	free(l);
	return NULL;
}

static void start_thread(struct later *l)
{
	pthread_t t;

	if (pthread_create(&t, NULL, answer_later, l) == 0)
		pthread_detach(t);
}

static void probe__elsewhere(Service *s, const Note *in, Closure done, void *call)
{
	start_thread(later_new(in, done, call));
}

static void probe__block(Service *s, const Note *in, Closure done, void *call)
{
	nap(in->ms);
	done(in, call);
}

static void probe__twice(Service *s, const Note *in, Closure done, void *call)
{
	Note other = PROBE__V1__NOTE__INIT;

	done(in, call);
	other.text = (char *)"the second answer";
	done(&other, call);
	errand_fail(call, ERRAND_INTERNAL, "and a third");
}

static void probe__fail(Service *s, const Note *in, Closure done, void *call)
{
	errand_set_metadata(call, "retry-after", "7");
	errand_fail(call, in->number, "as asked: %s", in->text);
}

static int after_ok(void *arg)
{
	probe_note("after %s", (const char *)arg);
	return 0;
}

static int after_bad(void *arg)
{
	probe_note("after %s", (const char *)arg);
	return -5;
}

static int after_slow(void *arg)
{
	probe_note("after one");
	nap(300);
	return 0;
}

static void probe__after(Service *s, const Note *in, Closure done, void *call)
{
	if (in->ms) {
		errand_after(call, "job-slow", after_slow, NULL);
		done(in, call);
		return;
	}
	errand_after(call, "job-one", after_ok, "one");
	errand_after(call, "job-two", after_bad, "two");
	errand_after(call, "job-three", after_ok, "three");
	probe_note("answering");
	if (in->number)
		errand_fail(call, in->number, "failed, but the work is done");
	else
		done(in, call);
}

static void probe__needs(Service *s, const Note *in, Closure done, void *call)
{
	Note out = PROBE__V1__NOTE__INIT;

	probe_note("handler");
	if (errand_value(call, "left") != errand_value(call, "left"))
		probe_note("two values");
	out.text = errand_value(call, "top");
	if (in->number)
		errand_fail(call, in->number, "as asked");
	else
		done(&out, call);
}

static void probe__needs_sync(Service *s, const Note *in, Closure done, void *call)
{
	probe__needs(s, in, done, call);
}

static void probe__work(Service *s, const Note *in, Closure done, void *call)
{
	probe_note("work %s", in->text);
	for (int i = 0; i < in->ms && !errand_cancelled(call); i += 5)
		nap(5);
	if (errand_cancelled(call))
		probe_note("work cancelled");
	done(in, call);
}

static void probe__silent(Service *s, const Note *in, Closure done, void *call)
{
}

static void probe__keep(Service *s, const Note *in, Closure done, void *call)
{
	errand_keep(call);
	start_thread(later_new(in, done, call));
}

/* --- streams --- */

struct count {
	int n, i;
};

static void count_on(struct errand_call *call, void *arg)
{
	struct count *c = arg;
	Note out = PROBE__V1__NOTE__INIT;
	char blob[1024] = {0};

	out.blob.data = (uint8_t *)blob;
	out.blob.len = sizeof blob;
	while (c->i < c->n) {
		int r;

		out.number = c->i++;
		r = errand_stream_send(call, &out.base);
		if (r < 0)
			break;
		if (r == 1) {
			probe_note("paused");
			errand_stream_on_ready(call, count_on, c);
			return;
		}
	}
	free(c);
	errand_stream_end(call);
}

static void count_cancelled(struct errand_call *call, void *arg)
{
	probe_note("count cancelled");
	errand_stream_end(call);
	free(arg);
}

static void probe__count(Service *s, const Note *in, Closure done, void *call)
{
	struct count *c = calloc(1, sizeof *c);

	c->n = in->number;
	errand_on_cancel(call, count_cancelled, c);
	count_on(call, c);
}

static void probe__pump(Service *s, const Note *in, Closure done, void *call)
{
	Note out = PROBE__V1__NOTE__INIT;

	out.blob.len = (size_t)in->size;
	out.blob.data = calloc(1, out.blob.len + 1);
	for (int i = 0; i < in->number; i++) {
		out.number = i;
		if (errand_stream_send(call, &out.base) != 0) {
			probe_note("pump stopped");
			break;
		}
	}
	probe_note("pump done");
	free(out.blob.data);
	errand_stream_end(call);
}

static void probe__upload(Service *s, const Note *in, Closure done, void *call)
{
	done(in, call);
}

static void probe__faulty(Service *s, const Note *in, Closure done, void *call)
{
	if (in->number > 1)
		errand_violation(call, "/text", "probe.text", "the text \"%s\" is bad", in->text);
	for (int i = 2; i < in->number; i++)
		errand_violation(call, "#/blob", "probe.blob", "the blob is bad");
	if (in->ms)
		errand_fail(call, in->ms, "as asked");
	else if (in->number)
		errand_fail_field(call, "#/number", "range", "%d is too many \xff", in->number);
	else
		done(in, call);
}

static void probe__resume(Service *s, const Note *in, Closure done, void *call)
{
	const ProtobufCMessage *m = errand_checkpoint_get(call, &probe__v1__note__descriptor);
	Note state = PROBE__V1__NOTE__INIT, out = PROBE__V1__NOTE__INIT;
	ProtobufCMessageDescriptor unknown = probe__v1__note__descriptor;

	if (errand_checkpoint_get(call, &probe__v1__note__descriptor) != m)
		probe_note("two checkpoints");
	out.text = m != NULL ? ((const Note *)m)->text : (char *)"none";
	state.text = (char *)"where I am";
	state.blob.len = (size_t)in->size;
	state.blob.data = calloc(1, state.blob.len + 1);
	out.number = errand_checkpoint(call, &state.base);
	state.blob.len = 0;
	errand_progress_detail(call, 0.5, "half", &state.base);
	unknown.name = "probe.v1.NoSuch";
	state.base.descriptor = &unknown;
	errand_progress_detail(call, 7, NULL, &state.base);
	free(state.blob.data);
	done(&out, call);
}

static void probe__job(Service *s, const Note *in, Closure done, void *call)
{
	probe_note("job %s attempt %u", in->text, errand_attempt(call));
	for (int i = 0; i < in->ms && !errand_cancelled(call); i += 5)
		nap(5);
	if (in->number)
		errand_fail(call, in->number, "the job failed as asked");
	else
		done(in, call);
}

static void probe__trace(Service *s, const Note *in, Closure done, void *call)
{
	Note out = PROBE__V1__NOTE__INIT;

	out.text = probe_trace();
	done(&out, call);
	free(out.text);
}

/* --- dependencies: top needs left and right, both need base, which is PROCESS --- */

static int open_base(struct errand_call *call, void **valuep)
{
	probe_note("open base");
	*valuep = "base";
	return call == NULL ? 0 : -ERRAND_INTERNAL;
}

static int open_left(struct errand_call *call, void **valuep)
{
	probe_note("open left over %s", (const char *)errand_value(call, "base"));
	*valuep = "left";
	return 0;
}

static int open_right(struct errand_call *call, void **valuep)
{
	const Note *in = (const Note *)errand_input(call);

	if (in->text != NULL && strcmp(in->text, "refuse") == 0)
		return -ERRAND_UNAUTHENTICATED;
	probe_note("open right");
	*valuep = "right";
	return 0;
}

static int open_top(struct errand_call *call, void **valuep)
{
	const Note *in = (const Note *)errand_input(call);

	if (in->text != NULL && strcmp(in->text, "say") == 0) {
		errand_fail(call, ERRAND_PERMISSION_DENIED, "top says no");
		return -ERRAND_INTERNAL;
	}
	probe_note("open top over %s and %s", (const char *)errand_value(call, "left"),
		   (const char *)errand_value(call, "right"));
	*valuep = "top";
	return 0;
}

static void close_value(void *value, int code)
{
	probe_note("close %s %d", (const char *)value, code);
}

static const char *const over_base[] = {"base", NULL};
static const char *const over_both[] = {"left", "right", NULL};
static const char *const over_top[] = {"top", "left", NULL};

static const struct errand_dependency dependencies[] = {
	{"top", ERRAND_SCOPE_CALL, over_both, open_top, close_value},
	{"left", ERRAND_SCOPE_CALL, over_base, open_left, close_value},
	{"right", ERRAND_SCOPE_CALL, over_base, open_right, close_value},
	{"base", ERRAND_SCOPE_PROCESS, NULL, open_base, close_value},
	{0},
};

static const struct errand_method_needs needs[] = {
	{"probe.v1.Probe/Needs", over_top},
	{"probe.v1.Probe/NeedsSync", over_top},
	{0},
};

static Service service = PROBE__V1__PROBE__INIT(probe__);
static ProtobufCService *const services[] = {&service.base, NULL};

static int probe_start(void)
{
	probe_note("module start");
	return 0;
}

static void probe_stop(void)
{
	probe_note("module stop");
}

const struct errand_module probe_module = {
	.abi = ERRAND_MODULE_ABI,
	.name = "probe",
	.services = services,
	.descriptor_set = probe_schema,
	.descriptor_set_len = probe_schema_len,
	.dependencies = dependencies,
	.needs = needs,
	.start = probe_start,
	.stop = probe_stop,
};
