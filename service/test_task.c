/* test_task.c: tasks made, looked at and cancelled by a test (errand/test.h). */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "errand/v1/tasks.pb-c.h"
#include "service/enqueue_options.h"
#include "service/payload.h"
#include "service/task.h"
#include "service/task_api.h"
#include "service/test_impl.h"

#define WEEK_NS (7 * 86400 * NS_PER_S)

/* --- making --- */

struct making {
	bool over;
	int code;
	char id[UUID_TEXT_SIZE];
	char why[256];
};

static void on_created(int code, enum task_found found, const char *why, const struct task_row *row,
		       void *arg)
{
	struct making *m = arg;

	m->over = true;
	m->code = code;
	snprintf(m->why, sizeof m->why, "%s", why != NULL ? why : "");
	if (code == 0)
		uuid_format(&row->id, m->id);
}

static bool is_made(void *arg)
{
	return ((const struct making *)arg)->over;
}

static int64_t not_at_all(void *arg)
{
	return INT64_MIN;
}

static int make(const struct method *m, struct bytes input, const struct errand_task_options *options,
		const struct wire_pair *pairs, size_t n_pairs, char *id)
{
	AUTO_BUF packed = BUF_INIT;
	struct fault_list faults = FAULT_LIST_INIT;
	struct task_options o = {0};
	struct making made = {.code = ERRAND_UNAVAILABLE};
	struct task_spec spec = {.method = m, .input = input, .metadata = pairs, .n_metadata = n_pairs};
	bool good;

	if (m->schema->server_streaming || registry_is_builtin(m))
		return test_refuse(-ERRAND_INVALID_ARGUMENT, "%s cannot be a task", m->schema->full_name);
	enqueue_pack_options(options, &packed);
	good = task_options_read(buf_bytes(&packed), &o, &faults);
	if (!good)
		payload_say(&faults, made.why, sizeof made.why);
	task_options_deinit(&o);
	fault_list_deinit(&faults);
	if (!good)
		return test_refuse(-ERRAND_INVALID_ARGUMENT, "%s", made.why);
	spec.options = buf_bytes(&packed);
	task_create(&spec, on_created, &made);
	test_wait(is_made, not_at_all, &made);
	if (made.code != 0)
		return test_refuse(-task_failure(made.code, made.why, &packed), "%s", made.why);
	memcpy(id, made.id, sizeof made.id);
	return 0;
}

int errand_test_submit(const char *method, const ProtobufCMessage *input,
		       const struct errand_task_options *options, char id[ERRAND_TASK_ID_SIZE])
{
	AUTO_BUF packed = BUF_INIT;
	AUTO_BUF problem = BUF_INIT;
	const struct method *m;
	int r;

	test_enter(__func__);
	*id = '\0';
	r = test_input(method, input, &m, &packed, &problem);
	return r < 0 ? r : make(m, buf_bytes(&packed), options, NULL, 0, id);
}

/* --- looking --- */

struct look {
	bool over, live;
	struct test_result *result;
};

static void put_outcome(struct test_result *t, const struct task_row *row)
{
	const struct method *m = registry_method_by_name(row->method);
	AUTO_FREE char *detail = NULL;
	int code;

	if (row->state == TASK_SUCCEEDED && m != NULL) {
		t->r.code = 0;
		test_result_output(t, m, buf_bytes(&row->result));
	} else if (row->error.len > 0 && row->state != TASK_CANCELLED) {
		code = task_problem_read(buf_bytes(&row->error), &detail);
		test_result_fail(t, task_state_terminal(row->state) ? code : ERRAND_UNKNOWN, detail,
				 buf_bytes(&row->error));
	} else {
		t->r.code = row->state == TASK_CANCELLED ? ERRAND_CANCELLED : ERRAND_UNKNOWN;
	}
}

static void on_shown(int code, const char *why, const struct task_row *row, void *arg)
{
	struct look *l = arg;
	struct test_result *t = l->result;

	l->over = true;
	if (code != 0) {
		AUTO_BUF problem = BUF_INIT;

		code = task_failure(code, why, &problem);
		test_result_fail(t, code, why, buf_bytes(&problem));
		return;
	}
	l->live = task_state_live(row->state);
	t->task_id = xmalloc(UUID_TEXT_SIZE);
	uuid_format(&row->id, t->task_id);
	t->progress_message = row->progress_message ? xstrdup(row->progress_message) : NULL;
	t->r.state = task_state_name(row->state);
	t->r.attempts = row->attempt;
	t->r.progress = row->progress;
	t->r.task_id = t->task_id;
	t->r.progress_message = t->progress_message ? t->progress_message : "";
	put_outcome(t, row);
}

static bool is_looked(void *arg)
{
	return ((const struct look *)arg)->over;
}

static bool on_event(const struct uuid *id, const struct event_row *e, void *arg)
{
	struct look *l = arg;
	Errand__V1__TaskEvent *event = errand__v1__task_event__unpack(NULL, e->data.len, e->data.data);

	if (event != NULL && event->log != NULL) {
		buf_append_str(&l->result->log, event->log->text);
		buf_append_byte(&l->result->log, '\n');
	}
	if (event != NULL)
		errand__v1__task_event__free_unpacked(event, NULL);
	return true;
}

static void on_events_end(int code, const char *why, void *arg)
{
	((struct look *)arg)->over = true;
}

static void read_log(struct look *l, const char *id)
{
	static const struct task_watch_ops ops = {.event = on_event, .ended = on_events_end};

	l->over = false;
	task_watch(id, 0, EVENT_LOG, false, &ops, l);
	test_wait(is_looked, not_at_all, l);
	l->result->r.log = l->result->log.len > 0 ? buf_cstr(&l->result->log) : "";
}

static struct errand_test_result *look(const char *id, bool *livep)
{
	struct look l = {.result = test_result_new(0, "")};

	task_get(id, on_shown, &l);
	test_wait(is_looked, not_at_all, &l);
	if (l.result->task_id != NULL)
		read_log(&l, l.result->task_id);
	*livep = l.live;
	return &l.result->r;
}

struct errand_test_result *errand_test_task(const char *id)
{
	bool live;

	test_enter(__func__);
	return look(id, &live);
}

/* --- to its end --- */

struct ending {
	int64_t until_ns;
	bool over;
};

static void on_ended(int code, const char *why, const struct task_row *row, void *arg)
{
	((struct ending *)arg)->over = true;
}

static bool has_ended(void *arg)
{
	return ((const struct ending *)arg)->over;
}

static int64_t within_a_week(void *arg)
{
	return ((const struct ending *)arg)->until_ns;
}

struct errand_test_result *test_task_call(const struct method *m, struct bytes input,
					  const struct errand_test_call_options *o)
{
	struct wire_pair pairs[ENVELOPE_METADATA_MAX];
	struct ending e = {.until_ns = clock_mono_ns() + WEEK_NS};
	struct task_wait *wait;
	char id[ERRAND_TASK_ID_SIZE];
	size_t n = 0;
	bool live;
	int r;

	for (; n < o->n_metadata && n < ARRAY_LEN(pairs); n++) {
		const struct errand_label *l = &o->metadata[n];

		pairs[n].key = (struct bytes){(const uint8_t *)l->key, strlen(l->key)};
		pairs[n].value = (struct bytes){(const uint8_t *)l->value, strlen(l->value)};
	}
	r = make(m, input, o->task, pairs, n, id);
	if (r < 0)
		return &test_result_new(-r, errand_test_error())->r;
	wait = task_wait(id, 0, -1, on_ended, &e);
	if (!test_wait(has_ended, within_a_week, &e))
		task_unwait(wait);
	return look(id, &live);
}

static void on_cancelled(int code, const char *why, const struct task_row *row, void *arg)
{
	struct making *m = arg;

	m->over = true;
	m->code = code;
	snprintf(m->why, sizeof m->why, "%s", why != NULL ? why : "");
}

int errand_test_cancel(const char *id)
{
	struct making m = {0};
	AUTO_BUF problem = BUF_INIT;

	test_enter(__func__);
	task_cancel(id, NULL, on_cancelled, &m);
	test_wait(is_made, not_at_all, &m);
	if (m.code != 0)
		return test_refuse(-task_failure(m.code, m.why, &problem), "%s", m.why);
	test_settle();
	return 0;
}
