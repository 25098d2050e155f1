/* test_call_task.c: what a handler says of its task and of its input's faults, as the
 * source of the call hears it. Thread: main, as the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/pbuf.h"
#include "base/util.h"
#include "errand/status.h"
#include "probe_module.h"
#include "service/background.h"
#include "service/call.h"
#include "service/loop.h"
#include "service/pool.h"
#include "service/registry.h"

#define URL "type.googleapis.com/probe.v1.Note"

static struct answer got;
static struct pool *sync_pool;
static char heard[512];           /* "progress 0.5 half detail ..." */
static struct buf saved = BUF_INIT;

static void hear(const char *fmt, ...)
{
	size_t len = strlen(heard);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(heard + len, sizeof heard - len, fmt, ap);
	va_end(ap);
}

static void on_answered(struct errand_call *call, struct answer *a, void *arg)
{
	answer_deinit(&got);
	got = *a;
	*a = (struct answer){.code = got.code};
	loop_stop();
}

static void on_progress(struct errand_call *call, double fraction, const char *message,
			struct bytes detail, void *arg)
{
	hear("%g %s%s;", fraction, message ? message : "-", detail.len ? " with detail" : "");
	if (detail.len > 0)
		assert_memory_equal(detail.data + 2, URL, strlen(URL));
}

static void on_checkpoint(struct errand_call *call, struct bytes any, void *arg)
{
	hear("saved;");
	buf_reset(&saved);
	buf_append(&saved, any.data, any.len);
}

static const struct call_source source = {.name = "task", .answered = on_answered,
					  .progress = on_progress, .checkpoint = on_checkpoint};

static int setup_all(void **state)
{
	char why[256];

	log_init("test_call_task", LOG_LEVEL_ERROR);
	loop_init();
	background_init(1, 4);
	sync_pool = pool_new("sync", 1, 4);
	call_init(sync_pool);
	if (registry_add(&probe_module, why, sizeof why) < 0 || registry_finish(why, sizeof why) < 0)
		fail_msg("%s", why);
	return 0;
}

static int teardown_all(void **state)
{
	answer_deinit(&got);
	buf_deinit(&saved);
	pool_free(sync_pool);
	background_deinit();
	call_deinit();
	registry_deinit();
	loop_deinit();
	return 0;
}

static int setup(void **state)
{
	answer_deinit(&got);
	heard[0] = 0;
	return 0;
}

static void run(const char *method, const Probe__V1__Note *in, const char *task, struct bytes checkpoint)
{
	AUTO_FREE uint8_t *packed = xmalloc(probe__v1__note__get_packed_size(in) + 1);
	struct call_params p = {.method = registry_method_by_name(method), .source = &source,
				.payload = {packed, probe__v1__note__pack(in, packed)},
				.task_id = task, .checkpoint = checkpoint, .attempt = 1};

	call_start(&p);
	loop_run();
}

/* Of errors: "#/text probe.text; ..." */
static void assert_errors(const char *want)
{
	struct pbuf_reader r = pbuf_reader(got.problem.data, got.problem.len);
	AUTO_BUF text = BUF_INIT;
	struct pbuf_field f, v;

	while (pbuf_next(&r, &f)) {
		struct pbuf_reader in = pbuf_reader(f.bytes.data, f.bytes.len);

		while (f.number == 7 && pbuf_next(&in, &v))
			if (v.number != 5)
				buf_printf(&text, "%.*s%s", (int)v.bytes.len, (const char *)v.bytes.data,
					   v.number == 4 ? ";" : " ");
	}
	assert_string_equal(buf_cstr(&text), want);
}

static uint64_t status_of(const struct buf *problem)
{
	struct pbuf_reader r = pbuf_reader(problem->data, problem->len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 3)
			return f.value;
	return 0;
}

/* --- faults of the input --- */

static void test_faults(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.number = 1;
	run("probe.v1.Probe/Faulty", &in, NULL, (struct bytes){0});
	assert_int_equal(got.code, ERRAND_INVALID_ARGUMENT);
	assert_string_equal(got.message, "1 is too many ?");
	assert_int_equal(status_of(&got.problem), 422);
	assert_errors("#/number range;");
	assert_true(got.final);
	in.number = 3;
	run("probe.v1.Probe/Faulty", &in, NULL, (struct bytes){0});
	assert_errors("#/text probe.text;#/blob probe.blob;#/number range;");
}

static void test_faults_of_another_code(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.number = 2;
	in.ms = ERRAND_FAILED_PRECONDITION;
	run("probe.v1.Probe/Faulty", &in, NULL, (struct bytes){0});
	assert_int_equal(got.code, ERRAND_FAILED_PRECONDITION);
	assert_int_equal(status_of(&got.problem), 400);
	assert_errors("#/text probe.text;");
}

static void test_faults_are_bounded(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;
	size_t n = 0;

	in.number = 1000;
	run("probe.v1.Probe/Faulty", &in, NULL, (struct bytes){0});
	for (size_t i = 0; i + 6 < got.problem.len; i++)
		n += memcmp(got.problem.data + i, "#/", 2) == 0;
	assert_int_equal(n, 64);
}

static void test_no_faults(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	run("probe.v1.Probe/Faulty", &in, NULL, (struct bytes){0});
	assert_int_equal(got.code, 0);
	assert_int_equal(got.problem.len, 0);
}

/* --- checkpoints and progress --- */

static void assert_resumed(const char *from, int code)
{
	Probe__V1__Note *n = probe__v1__note__unpack(NULL, got.payload.len, got.payload.data);

	assert_int_equal(got.code, 0);
	assert_string_equal(n->text, from);
	assert_int_equal(n->number, code);
	probe__v1__note__free_unpacked(n, NULL);
}

static void test_checkpoint(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	run("probe.v1.Probe/Resume", &in, "task", (struct bytes){0});
	assert_resumed("none", 0);
	/* what nobody can read is left out, what is more than all is all */
	assert_string_equal(heard, "saved;0.5 half with detail;1 -;");
	run("probe.v1.Probe/Resume", &in, "task", buf_bytes(&saved));
	assert_resumed("where I am", 0);
}

static void test_checkpoint_too_large(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	in.size = ERRAND_CHECKPOINT_MAX;
	run("probe.v1.Probe/Resume", &in, "task", (struct bytes){0});
	assert_resumed("none", -ERRAND_RESOURCE_EXHAUSTED);
	assert_string_equal(heard, "0.5 half with detail;1 -;");
}

static void test_checkpoint_of_another_type(void **state)
{
	static const char other[] = "\x0a\x20type.googleapis.com/probe.v1.Node";
	static const char broken[] = "\x0a\x50type.googleapis.com/probe.v1.Note";
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	run("probe.v1.Probe/Resume", &in, "task", (struct bytes){(const uint8_t *)other, sizeof other - 1});
	assert_resumed("none", 0);
	run("probe.v1.Probe/Resume", &in, "task", (struct bytes){(const uint8_t *)broken, sizeof broken - 1});
	assert_resumed("none", 0);
}

static void test_no_task(void **state)
{
	Probe__V1__Note in = PROBE__V1__NOTE__INIT;

	run("probe.v1.Probe/Resume", &in, NULL, (struct bytes){0});
	assert_resumed("none", -ERRAND_FAILED_PRECONDITION);
	assert_string_equal(heard, "");
}

#define TEST(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_faults), TEST(test_faults_of_another_code), TEST(test_faults_are_bounded),
		TEST(test_no_faults), TEST(test_checkpoint), TEST(test_checkpoint_too_large),
		TEST(test_checkpoint_of_another_type), TEST(test_no_task),
	};

	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
