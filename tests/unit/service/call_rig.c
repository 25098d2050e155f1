/* call_rig.c: see call_rig.h. */
#define _GNU_SOURCE
#include "call_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"
#include "service/background.h"
#include "service/deadline.h"
#include "service/depends.h"
#include "service/loop.h"

struct pool *sync_pool;
struct errand_call *current;
struct answer got;
int n_answers, n_messages, window, want_answers;
bool hold;
static struct loop_timer guard;

int setup_all(void **state)
{
	char why[256] = "";

	log_init("test_call", LOG_LEVEL_ERROR + (getenv("V") ? 3 : 0));
	loop_init();
	sync_pool = pool_new("sync", 2, 2);
	background_init(2, 8);
	call_init(sync_pool);
	assert_int_equal(registry_add(&probe_module, why, sizeof why), 0);
	if (registry_finish(why, sizeof why) < 0 || depends_open_process(why, sizeof why) < 0)
		fail_msg("%s", why);
	return 0;
}

int teardown_all(void **state)
{
	assert_int_equal(pool_drain(sync_pool, clock_mono_ns() + 5 * NS_PER_S), 0);
	background_deinit();
	pool_free(sync_pool);
	depends_close_process();
	registry_deinit();
	depends_deinit();
	call_deinit();
	deadline_deinit();
	loop_deinit();
	return 0;
}

int setup(void **state)
{
	answer_deinit(&got);
	n_answers = n_messages = 0;
	want_answers = 1;
	window = -1;
	hold = false;
	probe_trace_clear();
	return 0;
}

int teardown(void **state)
{
	answer_deinit(&got);
	assert_int_equal(call_count(), 0);
	return 0;
}

/* --- the source --- */

static void on_answered(struct errand_call *call, struct answer *a, void *arg)
{
	assert_true(loop_is_current());
	assert_ptr_equal(arg, &got);
	if (hold)
		call_hold(call);
	answer_deinit(&got);
	got = *a;
	*a = (struct answer){.code = got.code};
	probe_note("answered %d", got.code);
	if (++n_answers == want_answers)
		loop_stop();
}

static int on_message(struct errand_call *call, struct bytes m, void *arg)
{
	assert_true(loop_is_current());
	n_messages++;
	if (window > 0 && n_messages % window == 0) {
		probe_note("window full");
		return 1;
	}
	return 0;
}

const struct call_source source = {.name = "test", .answered = on_answered, .message = on_message};

static void on_guard(void *arg)
{
	fail_msg("nothing came within 5 s");
}

struct call_params params(const char *method, struct bytes payload)
{
	return (struct call_params){.method = registry_method_by_name(method), .source = &source,
				    .arg = &got, .payload = payload};
}

struct errand_call *start_with(const char *name, const Probe__V1__Note *in, int64_t timeout_ms)
{
	AUTO_FREE uint8_t *packed = xmalloc(probe__v1__note__get_packed_size(in));
	AUTO_FREE char *full = xasprintf("probe.v1.Probe/%s", name);
	struct call_params p =
		params(full, (struct bytes){packed, probe__v1__note__pack(in, packed)});

	if (timeout_ms > 0)
		p.deadline_ns = clock_mono_ns() + timeout_ms * NS_PER_MS;
	current = call_start(&p);
	assert_int_equal(n_answers, 0); /* never from inside */
	return current;
}

struct errand_call *start(const char *name, const char *text, int number, int ms)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.text = (char *)text;
	in.number = number;
	in.ms = ms;
	return start_with(name, &in, 0);
}

void run(void)
{
	loop_timer_start(&guard, 5 * NS_PER_S, on_guard, NULL);
	loop_run();
	loop_timer_cancel(&guard);
}

static void on_enough(void *arg)
{
	loop_stop();
}

void run_ms(int ms)
{
	struct loop_timer t = {0};

	loop_timer_start(&t, ms * NS_PER_MS, on_enough, NULL);
	loop_run();
	loop_timer_cancel(&t);
}

void settle(void)
{
	for (int i = 0; i < 1000 && (call_count() > 0 || pool_busy(sync_pool) > 0 || background_pending() > 0);
	     i++)
		run_ms(2);
	run_ms(1);
	assert_int_equal(call_count(), 0);
}

void assert_text(const char *want)
{
	Probe__V1__Note *n = probe__v1__note__unpack(NULL, got.payload.len, got.payload.data);

	assert_int_equal(got.code, 0);
	assert_non_null(n);
	assert_string_equal(n->text, want);
	probe__v1__note__free_unpacked(n, NULL);
}

void assert_trace(const char *want)
{
	AUTO_FREE char *trace = probe_trace();

	assert_string_equal(trace, want);
}
