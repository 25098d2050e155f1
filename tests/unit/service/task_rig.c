/* task_rig.c: the stand-ins for registry, calls and pools, and the loop that runs
 * until a test has what it waits for. Thread: main, as the loop. */
#define _GNU_SOURCE
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#include "task_rig.h"

#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/audit.h"
#include "service/loop.h"
#include "service/pool.h"

/* --- methods --- */

static const struct schema_message in_message = {.name = "t.In"}, out_message = {.name = "t.Out"};

static struct schema_method schemas[] = {
	{.full_name = "t.T/Run", .queue = "", .run = RUN_TASK,
	 .retry = {.max_attempts = 3, .base_ns = 2000000, .cap_ns = 5000000, .factor = 2}},
	{.full_name = "t.T/Slow", .queue = "slow", .run = RUN_TASK, .cancel_grace_ns = 1000000,
	 .retry = {.max_attempts = 2, .base_ns = 3600LL * NS_PER_S, .cap_ns = 3600LL * NS_PER_S}},
	{.full_name = "t.T/Timed", .queue = "", .run = RUN_TASK, .timeout_ns = 3600LL * NS_PER_S,
	 .retry = {.max_attempts = 1}},
};
static struct method methods[3];
bool unserved;

const struct method *registry_method_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(schemas); i++)
		if (!unserved && strcmp(schemas[i].full_name, name) == 0) {
			schemas[i].input = &in_message;
			schemas[i].output = &out_message;
			methods[i].schema = &schemas[i];
			methods[i].run = schemas[i].run;
			methods[i].queue = *schemas[i].queue ? schemas[i].queue : "default";
			return &methods[i];
		}
	return NULL;
}

/* --- calls --- */

struct errand_call calls[MAX_CALLS];
size_t n_calls;
int n_pool_threads;

struct errand_call *call_start(const struct call_params *p)
{
	struct errand_call *c = &calls[n_calls++];

	assert_true(n_calls < MAX_CALLS);
	*c = (struct errand_call){.p = *p};
	strcpy(c->id, p->task_id);
	buf_append(&c->payload, p->payload.data, p->payload.len);
	buf_append(&c->checkpoint, p->checkpoint.data, p->checkpoint.len);
	for (size_t i = 0; i < p->n_parents && i < ARRAY_LEN(c->parents); i++)
		c->parents[i] = p->parents[i];
	return c;
}

void call_cancel(struct errand_call *c, int code, bool abandon)
{
	assert_false(c->over);
	if (c->cancel_code == 0)
		c->cancel_code = code;
	c->abandoned = abandon;
}

int call_cancel_code(const struct errand_call *c)
{
	return c->cancel_code;
}

void audit_call(struct errand_call *c, int code)
{
}

bool call_has_after(struct errand_call *c)
{
	return false;
}

void call_hold(struct errand_call *c)
{
}

void call_delivered(struct errand_call *c)
{
}

struct pool *pool_new(const char *name, unsigned n_threads, size_t max_queue)
{
	return (struct pool *)&n_pool_threads;
}

void pool_resize(struct pool *p, int more)
{
	n_pool_threads += more;
}

size_t pool_drain(struct pool *p, int64_t deadline_ns)
{
	return 0;
}

struct pool *pool_free(struct pool *p)
{
	return NULL;
}

void answer(struct errand_call *c, struct answer *a)
{
	assert_false(c->over);
	c->over = true;
	c->p.source->answered(c, a, c->p.arg);
	answer_deinit(a);
}

void answer_deinit(struct answer *a)
{
	free(a->message);
	buf_deinit(&a->problem);
	buf_deinit(&a->payload);
	buf_deinit(&a->usage);
	a->tasks = call_tasks_free(a->tasks);
}

void answer_ok(struct errand_call *c, const char *result)
{
	struct answer a = {0};

	buf_append_str(&a.payload, result);
	answer(c, &a);
}

void answer_error(struct errand_call *c, int code, bool final)
{
	struct answer a = {.code = code, .final = final, .message = xstrdup("it broke")};

	answer(c, &a);
}

void say(struct errand_call *c, const char *stream, const char *line)
{
	c->p.source->log(c, stream, line, strlen(line), c->p.arg);
}

/* --- running the loop --- */

static bool (*awaited)(void *arg);
static void *awaited_arg;
static struct loop_timer tick;
static int64_t give_up_ns;

static void on_tick(void *arg)
{
	if (awaited(awaited_arg) || clock_mono_ns() > give_up_ns)
		loop_stop();
	else
		loop_timer_start(&tick, NS_PER_MS / 2, on_tick, NULL);
}

void await_at(bool (*condition)(void *arg), void *arg, int line)
{
	awaited = condition;
	awaited_arg = arg;
	give_up_ns = clock_mono_ns() + 10 * NS_PER_S;
	loop_timer_start(&tick, 0, on_tick, NULL);
	loop_run();
	loop_timer_cancel(&tick);
	if (!condition(arg))
		fail_msg("waited in vain, line %d", line);
}

static bool n_calls_are(void *arg)
{
	return n_calls >= (size_t)(uintptr_t)arg;
}

struct errand_call *await_call(size_t n)
{
	await(n_calls_are, (void *)n);
	return &calls[n - 1];
}

bool outcome_done(void *arg)
{
	return ((struct outcome *)arg)->done;
}

void on_done(int code, const char *why, const struct task_row *row, void *arg)
{
	struct outcome *o = arg;
	AUTO_FREE char *detail = NULL;

	assert_false(o->done);
	o->done = true;
	o->code = code;
	snprintf(o->why, sizeof o->why, "%s", why ? why : "");
	if (row == NULL)
		return;
	uuid_format(&row->id, o->id);
	o->state = row->state;
	o->version = row->version;
	o->attempt = row->attempt;
	o->failures = row->failures;
	o->crash_count = row->crash_count;
	o->progress = row->progress;
	o->log_bytes = row->log_bytes;
	o->log_dropped = row->log_dropped;
	o->run_at_us = row->run_at_us;
	snprintf(o->result, sizeof o->result, "%.*s", (int)row->result.len,
		 row->result.data ? (char *)row->result.data : "");
	o->problem_code = task_problem_read(buf_bytes(&row->error), &detail);
	snprintf(o->detail, sizeof o->detail, "%s", detail);
}

static void on_created(int code, enum task_found found, const char *why,
		       const struct task_row *row, void *arg)
{
	on_done(code, why, row, arg);
}

struct outcome op_with(task_action op, const char *id)
{
	struct outcome o = {0};

	op(id, NULL, on_done, &o);
	await(outcome_done, &o);
	return o;
}

struct outcome get(const char *id)
{
	struct outcome o = {0};

	task_get(id, on_done, &o);
	await(outcome_done, &o);
	return o;
}

static struct outcome create_spec(const char *method, const char *input, struct bytes options)
{
	struct outcome o = {0};
	struct task_spec spec = {.method = registry_method_by_name(method), .options = options,
				 .input = {(uint8_t *)input, strlen(input)}};

	task_create(&spec, on_created, &o);
	await(outcome_done, &o);
	return o;
}

struct outcome create_input(const char *method, const char *input)
{
	return create_spec(method, input, (struct bytes){0});
}

struct outcome create_with(const char *method, struct bytes options)
{
	return create_spec(method, "in", options);
}

struct outcome create(const char *method)
{
	struct outcome o = create_input(method, "in");

	assert_int_equal(o.code, 0);
	return o;
}

/* Until the task is in that state. */
struct outcome await_state(const char *id, enum task_state state)
{
	int64_t end = clock_mono_ns() + 10 * NS_PER_S;
	struct outcome o;

	do
		o = get(id);
	while (o.state != state && clock_mono_ns() < end);
	assert_int_equal(o.state, state);
	return o;
}

/* --- fixture --- */

static const struct task_queue_config queue_configs[] = {{"slow", 1}};
struct task_config config;
bool is_sqlite;
static char dir[64], spec[96];

void start(void)
{
	char why[256];

	if (task_init(&config, why, sizeof why) != 0)
		fail_msg("%s", why);
}

static void calls_reset(void)
{
	for (size_t i = 0; i < n_calls; i++) {
		buf_deinit(&calls[i].payload);
		buf_deinit(&calls[i].checkpoint);
	}
	n_calls = 0;
}

static int setup(bool sqlite)
{
	is_sqlite = sqlite;
	strcpy(dir, "/tmp/errand-task-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(spec, sizeof spec, sqlite ? "sqlite:%s/tasks.db" : "memory", dir);
	config = (struct task_config){.store = spec, .slots = 4, .queues = queue_configs, .n_queues = 1,
				      .max_depth = 1000, .max_result = 32, .max_log = 4096};
	n_pool_threads = 0;
	task_interrupt_wait_ns = 50 * NS_PER_MS;
	unserved = false;
	loop_init();
	start();
	return 0;
}

int setup_memory(void **state)
{
	return setup(false);
}

int setup_sqlite(void **state)
{
	return setup(true);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static bool true_now(void *arg)
{
	return true;
}

int teardown(void **state)
{
	task_deinit();
	await(true_now, NULL);
	loop_deinit();
	calls_reset();
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}

/* What a service that died and started again has before it. */
void restart(void)
{
	task_deinit();
	calls_reset();
	start();
}

/* --- attempts --- */

static char attempts_text[256];

static void on_attempts(int code, const char *why, const struct attempt_row *rows, size_t n, void *arg)
{
	size_t at = 0;

	attempts_text[0] = 0;
	for (size_t i = 0; i < n; i++) {
		at += (size_t)snprintf(attempts_text + at, sizeof attempts_text - at, "%u%s ",
				       rows[i].number, task_outcome_name(rows[i].outcome));
		assert_true((rows[i].outcome == OUTCOME_NONE) == (rows[i].end_us == 0));
		assert_true(rows[i].start_us > 0 && rows[i].owner != NULL);
		if (rows[i].usage.len > 0) {
			AUTO_FREE char *usage = xstrndup((const char *)rows[i].usage.data, rows[i].usage.len);

			at += (size_t)snprintf(attempts_text + at - 1, sizeof attempts_text - at, "(%s) ", usage) - 1;
		}
	}
	*(bool *)arg = true;
}

bool is_set(void *arg)
{
	return *(bool *)arg;
}

const char *attempts(const char *id)
{
	bool done = false;

	task_attempts(id, on_attempts, &done);
	await(is_set, &done);
	return attempts_text;
}

/* --- watching --- */

static void see(struct seen *s, const struct event_row *e)
{
	struct pbuf_reader r = pbuf_reader(e->data.data, e->data.len);
	char what[128] = "?";
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 5)
			snprintf(what, sizeof what, "%s", task_state_name((enum task_state)f.value));
		else if (f.number == 7)
			snprintf(what, sizeof what, "progress");
		else if (f.number == 8)
			snprintf(what, sizeof what, "log");
		else if (f.number == 9)
			snprintf(what, sizeof what, "result");
	s->at += (size_t)snprintf(s->text + s->at, sizeof s->text - s->at, "%d:%s ", (int)e->seq, what);
	assert_true(s->n < MAX_SEEN);
	s->seqs[s->n++] = e->seq;
}

static bool on_event(const struct uuid *id, const struct event_row *e, void *arg)
{
	struct seen *s = arg;

	assert_false(s->ended || s->paused);
	see(s, e);
	s->paused = s->pause_every && s->n % s->pause_every == 0;
	return !s->paused;
}

static void on_ended(int code, const char *why, void *arg)
{
	struct seen *s = arg;

	assert_false(s->ended);
	s->ended = true;
	s->code = code;
	s->watch = NULL;
}

const struct task_watch_ops watch_ops = {.event = on_event, .ended = on_ended};

bool watch_over(void *arg)
{
	struct seen *s = arg;

	if (s->paused) {
		s->paused = false;
		task_watch_more(s->watch);
	}
	return s->ended;
}

struct seen *watch(const char *id, uint64_t after, enum event_kind kind, bool follow)
{
	struct seen *s = xcalloc(1, sizeof *s);

	s->watch = task_watch(id, after, kind, follow, &watch_ops, s);
	return s;
}

/* All events of an ended task. */
const char *history(const char *id)
{
	static char text[65536];
	struct seen *s = watch(id, 0, 0, true);

	await(watch_over, s);
	assert_int_equal(s->code, 0);
	strcpy(text, s->text);
	free(s);
	return text;
}
