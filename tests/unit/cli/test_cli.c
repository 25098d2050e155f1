/* The command's own parts: options among operands, progress bars, tasks off the
 * wire, methods by name and by route, requests from operands. The schema is our
 * own errand.v1. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/bar.h"
#include "cli/call_find.h"
#include "cli/call_input.h"
#include "cli/cli.h"
#include "cli/select.h"
#include "cli/show.h"
#include "cli/task_view.h"
#include "errand/status.h"
#include "errand_v1.schema.h"
#include "schema/transcode.h"

static struct schema *schema;

/* --- options --- */

struct conf {
	struct cli_common common;
	bool follow;
};

static const struct opt options[] = {
	CLI_COMMON(struct conf),
	{"follow", 'f', OPT_FLAG, offsetof(struct conf, follow), NULL, 0, 0, NULL, ""},
};

static void options_stand_anywhere(void **state)
{
	char *argv[] = {"x", "get", "--json", "id", "-fs", "/sock", "x=1", "--timeout=2s", "-",
			"--", "--follow", NULL};
	struct conf c;
	int first = cli_parse(options, ARRAY_LEN(options), &c, 11, argv, "x");

	assert_true(c.common.json);
	assert_true(c.follow);
	assert_string_equal(c.common.socket, "/sock");
	assert_int_equal(c.common.timeout, 2 * NS_PER_S);
	assert_int_equal(11 - first, 5);
	assert_string_equal(argv[first], "get");
	assert_string_equal(argv[first + 1], "id");
	assert_string_equal(argv[first + 2], "x=1");
	assert_string_equal(argv[first + 3], "-");
	assert_string_equal(argv[first + 4], "--follow");
}

/* --- which tasks --- */

static void selected(const struct select *s, const char *want)
{
	AUTO_BUF out = BUF_INIT;

	assert_int_equal(select_filter(NULL, s, &out), want != NULL ? CLI_OK : CLI_USAGE);
	if (want != NULL)
		assert_string_equal(buf_cstr(&out), want);
}

static void options_become_one_filter(void **state)
{
	cli_errors_as_json(true);
	selected(&(struct select){.filter = "a = 1 OR b = 2"}, "a = 1 OR b = 2");
	selected(&(struct select){.filter = "a = 1 OR b = 2", .queue = "q"}, "(a = 1 OR b = 2) AND queue = \"q\"");
	selected(&(struct select){.state = "failed,Expired"}, "(state = FAILED OR state = EXPIRED)");
	selected(&(struct select){.queue = "a\"b*\\"}, "queue = \"a\\\"b\\*\\\\\"");
	selected(&(struct select){.method = "a.B/*", .queue = "q"}, "queue = \"q\" AND method = \"a.B/*\"");
	selected(&(struct select){.since = "2026-01-31"}, "create_time >= \"2026-01-31T00:00:00Z\"");
	selected(&(struct select){.since = "2026-01-31T12:00:00+01:00"}, "create_time >= \"2026-01-31T12:00:00+01:00\"");
	selected(&(struct select){.since = "soon"}, NULL);
	selected(&(struct select){.state = "faild"}, NULL);
	selected(&(struct select){.state = "failed,"}, NULL);
	assert_true(select_any(&(struct select){.since = "1h"}));
	assert_false(select_any(&(struct select){0}));
	cli_errors_as_json(false);
}

static void codes_become_exit_statuses(void **state)
{
	assert_int_equal(cli_exit_of(ERRAND_OK), 0);
	assert_int_equal(cli_exit_of(ERRAND_NOT_FOUND), 4);
	assert_int_equal(cli_exit_of(ERRAND_CANCELLED), 3);
	assert_int_equal(cli_exit_of(ERRAND_INVALID_ARGUMENT), 65);
	assert_int_equal(cli_exit_of(ERRAND_UNAVAILABLE), 69);
	assert_int_equal(cli_exit_of(ERRAND_DEADLINE_EXCEEDED), 124);
	assert_int_equal(cli_exit_of(ERRAND_INTERNAL), 1);
	assert_int_equal(cli_exit_of(12345), 1);
}

/* --- drawing --- */

static void a_bar_fits_its_width(void **state)
{
	static const double fractions[] = {0, 0.001, 0.5, 0.999, 1};
	static const char message[] = "frame 615 of \xe7\xa4\xba\xe4\xbe\x8b \033[31mred and a long tail of it";

	for (int width = 40; width <= 200; width += 7)
		for (size_t i = 0; i < ARRAY_LEN(fractions); i++)
			for (int utf8 = 0; utf8 < 2; utf8++) {
				AUTO_BUF b = BUF_INIT;

				bar_draw(&b, "Encode", fractions[i], 75, message, width, utf8);
				assert_true(bar_columns((const char *)b.data, b.len) <= (size_t)width);
				assert_null(memchr(b.data, '\033', b.len));
			}
}

static void a_bar_tells_how_much(void **state)
{
	AUTO_BUF b = BUF_INIT;

	bar_draw(&b, "Encode", 0.5, 75, "x", 60, false);
	assert_string_equal(buf_cstr(&b), "Encode ##########..........  50%  ETA 1:15  x");
	buf_reset(&b);
	bar_draw(&b, "E", 0.9999, -1, NULL, 30, true);
	assert_non_null(strstr(buf_cstr(&b), " 99%")); /* not 100 before it is */
	assert_null(strstr(buf_cstr(&b), "ETA"));
}

static void time_left_is_reckoned_per_attempt(void **state)
{
	struct bar b = {0};

	assert_int_equal(bar_eta(&b, 0.1, 1 * NS_PER_S), -1);
	assert_int_equal(bar_eta(&b, 0.2, 11 * NS_PER_S), 80);
	assert_int_equal(bar_eta(&b, 0.05, 12 * NS_PER_S), -1); /* begun again */
	assert_int_equal(bar_eta(&b, 0.55, 17 * NS_PER_S), 5);
	bar_restart(&b);
	assert_int_equal(bar_eta(&b, 0.9, 18 * NS_PER_S), -1);
}

static void durations_are_short(void **state)
{
	static const struct { int64_t s; const char *text; } table[] = {
		{0, "0.0s"}, {9, "9.0s"}, {10, "10s"}, {184, "3m04s"}, {7800, "2h10m"},
		{443000, "5d03h"},
	};
	char out[24];

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		assert_string_equal(show_duration(table[i].s * US_PER_S, out), table[i].text);
	assert_string_equal(show_duration(-5, out), "0.0s");
}

static void sizes_are_short(void **state)
{
	char out[24];

	assert_string_equal(show_bytes(0, out), "0 bytes");
	assert_string_equal(show_bytes(1023, out), "1023 bytes");
	assert_string_equal(show_bytes(1536, out), "1.5 KiB");
	assert_string_equal(show_bytes(512 << 20, out), "512.0 MiB");
	assert_string_equal(show_bytes(UINT64_MAX, out), "16777216.0 TiB");
}

/* --- tasks --- */

static void put_json(const char *message, const char *json, struct buf *out)
{
	struct transcode_read o = {.schema = schema};
	struct fault_list faults = FAULT_LIST_INIT;
	const struct schema_message *m = schema_message(schema, message, strlen(message));

	assert_non_null(m);
	assert_int_equal(transcode_from_json(&o, m, json, strlen(json), "#", out, &faults), 0);
	fault_list_deinit(&faults);
}

static void a_task_is_read_by_number(void **state)
{
	struct task_view v = {0};
	AUTO_BUF wire = BUF_INIT;

	put_json("errand.v1.Task",
		 "{\"id\":\"0193-abc\",\"method\":\"a.B/C\",\"state\":\"RETRYING\",\"queue\":\"q\","
		 "\"attempt\":3,\"progress\":{\"fraction\":0.25,\"message\":\"m\"},"
		 "\"create_time\":\"1970-01-01T00:00:02.5Z\",\"end_time\":\"1970-01-01T00:01:00Z\","
		 "\"attempts\":[{\"number\":1,\"usage\":{\"isolation\":\"cgroup1\"}},{\"number\":2,"
		 "\"usage\":{\"isolation\":\"rlimit\",\"peak_memory\":\"536870912\",\"cpu_time\":\"3.25s\"}}],"
		 "\"error\":{\"code\":\"INTERNAL\"}}", &wire);
	assert_true(task_view_load(&v, buf_bytes(&wire)));
	assert_string_equal(v.usage.isolation, "rlimit");
	assert_true(v.usage.peak_memory == 512 << 20 && v.usage.cpu_us == 3250000);
	assert_string_equal(v.id, "0193-abc");
	assert_string_equal(v.method, "a.B/C");
	assert_string_equal(v.queue, "q");
	assert_int_equal(v.state, TASK_RETRYING);
	assert_string_equal(task_view_state_name(v.state), "RETRYING");
	assert_int_equal(v.attempt, 3);
	assert_true(v.has_progress && v.fraction == 0.25);
	assert_string_equal(v.message, "m");
	assert_int_equal(v.create_us, 2500000);
	assert_int_equal(v.end_us, 60 * US_PER_S);
	assert_int_equal(v.start_us, 0);
	assert_true(v.error.len > 0);
	assert_false(task_view_load(&v, (struct bytes){wire.data, wire.len - 1}));
	task_view_deinit(&v);
}

static void states_have_the_protos_names(void **state)
{
	const struct schema_enum *e = schema_enum(schema, "errand.v1.Task.State", 20);

	assert_non_null(e);
	for (size_t i = 0; i < e->n_values; i++)
		if (e->values[i].number > 0)
			assert_int_equal(task_view_state_by_name(e->values[i].name),
					 e->values[i].number);
	assert_int_equal(e->n_values, TASK_N_STATES);
	assert_int_equal(task_view_state_by_name("succeeded"), TASK_SUCCEEDED);
	assert_int_equal(task_view_state_by_name("nothing"), -1);
	assert_int_equal(task_view_exit(TASK_SUCCEEDED), 0);
	assert_int_equal(task_view_exit(TASK_FAILED), 1);
	assert_int_equal(task_view_exit(TASK_CANCELLED), 3);
}

static void an_event_is_read_by_number(void **state)
{
	struct task_event e;
	AUTO_BUF wire = BUF_INIT;

	put_json("errand.v1.TaskEvent",
		 "{\"seq\":\"12\",\"event\":\"log\",\"state\":\"RUNNING\",\"attempt\":2,"
		 "\"log\":{\"stream\":\"stderr\",\"text\":\"hello\"}}", &wire);
	assert_true(task_event_load(&e, buf_bytes(&wire)));
	assert_int_equal(e.seq, 12);
	assert_true(task_event_is(&e, "log"));
	assert_false(task_event_is(&e, "lo"));
	assert_int_equal(e.state, TASK_RUNNING);
	assert_int_equal(e.log_text.len, 5);
	assert_false(e.has_progress);
}

/* --- which method --- */

static int quiet_stderr(void)
{
	int keep = dup(2), null = open("/dev/null", O_WRONLY);

	dup2(null, 2);
	close(null);
	return keep;
}

static void loud_stderr(int keep)
{
	dup2(keep, 2);
	close(keep);
}

static void a_method_by_the_end_of_its_name(void **state)
{
	static const char *const good[] = {"errand.v1.Tasks/GetTask", "v1.Tasks/GetTask",
					   "Tasks/GetTask", "GetTask", "gettask"};
	static const char *const bad[] = {"Task", "etTask", "Tasks", "", "Tasks/Get", "NoSuch"};
	int r = 0, keep;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		const struct schema_method *m = call_find_name(schema, good[i], &r);

		assert_non_null(m);
		assert_string_equal(m->full_name, "errand.v1.Tasks/GetTask");
	}
	keep = quiet_stderr();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		r = 0;
		assert_null(call_find_name(schema, bad[i], &r));
		assert_int_equal(r, CLI_NOT_FOUND);
	}
	loud_stderr(keep);
}

/* What a route makes of the request, as JSON; NULL when there is none. */
static const char *route(const char *verb, const char *target, const char **methodp,
			 struct buf *json)
{
	struct call_input in = {.schema = schema};
	struct transcode_write o = {.schema = schema, .skip_zero = true};
	const struct schema_method *m;
	char why[128] = "";
	int r = 0, keep = quiet_stderr();

	m = call_find_route(schema, verb, target, false, &in, &r);
	loud_stderr(keep);
	buf_reset(json);
	if (m != NULL && in.faults.n > 0)
		buf_append_str(json, "fault");
	else if (m != NULL)
		assert_int_equal(transcode_to_json(&o, m->input, buf_bytes(&in.wire), json, why,
						   sizeof why), 0);
	*methodp = m != NULL ? m->name : "";
	buf_deinit(&in.wire);
	fault_list_deinit(&in.faults);
	if (m == NULL)
		assert_int_equal(r, CLI_NOT_FOUND);
	return m != NULL ? buf_cstr(json) : NULL;
}

static void a_method_by_its_route(void **state)
{
	static const struct { const char *verb, *target, *method, *json; } table[] = {
		{NULL, "/v1/tasks/abc", "GetTask", "{\"id\":\"abc\"}"},
		{"GET", "/v1/tasks/a%20b", "GetTask", "{\"id\":\"a b\"}"},
		{"DELETE", "/v1/tasks/abc", "DeleteTask", "{\"id\":\"abc\"}"},
		{NULL, "/v1/tasks/abc:cancel", "CancelTask", "{\"id\":\"abc\"}"},
		{NULL, "/v1/tasks/abc/result", "GetResult", "{\"id\":\"abc\"}"},
		{NULL, "/v1/tasks?page_size=3&state=RUNNING", "ListTasks",
		 "{\"state\":\"RUNNING\",\"page_size\":3}"},
		{NULL, "/v1/tasks?method=a%2Fb&queue=x+y#z", "ListTasks",
		 "{\"method\":\"a/b\",\"queue\":\"x y\"}"},
		{NULL, "/v1/tasks?nonsense=1", "ListTasks", "fault"},
		{NULL, "/v1/tasks?page_size=x", "ListTasks", "fault"},
		{NULL, "/errand.v1.Tasks/GetTask", "GetTask", "{}"},
	};
	static const char *const none[] = {"/", "/v1", "/v1/tasks/", "/v1/tasks/a/b", "/v2/tasks/a"};
	AUTO_BUF json = BUF_INIT;
	const char *method;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		assert_non_null(route(table[i].verb, table[i].target, &method, &json));
		assert_string_equal(method, table[i].method);
		assert_string_equal(buf_cstr(&json), table[i].json);
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		assert_null(route(NULL, none[i], &method, &json));
	assert_null(route("PUT", "/v1/tasks/abc", &method, &json));
}

/* --- the request --- */

static void operands_make_a_request(void **state)
{
	static const char *const operands[] = {
		"id=x=y", "progress.fraction=0.5", "labels[a.b]=1", "labels.k=2",
		"error:={\"errors\":[{\"pointer\":\"#/a\"}]}", "error.title=t", "state=FAILED",
	};
	struct call_input in = {.schema = schema,
				.message = schema_message(schema, "errand.v1.Task", 14)};
	struct transcode_write o = {.schema = schema, .skip_zero = true};
	AUTO_BUF json = BUF_INIT;
	char why[128] = "";

	for (size_t i = 0; i < ARRAY_LEN(operands); i++)
		assert_true(call_input_operand(&in, operands[i]));
	assert_int_equal(in.faults.n, 0);
	assert_int_equal(transcode_to_json(&o, in.message, buf_bytes(&in.wire), &json, why,
					   sizeof why), 0);
	assert_string_equal(buf_cstr(&json),
		"{\"id\":\"x=y\",\"state\":\"FAILED\",\"progress\":{\"fraction\":0.5},"
		"\"labels\":{\"a.b\":\"1\",\"k\":\"2\"},\"error\":{\"title\":\"t\","
		"\"errors\":[{\"pointer\":\"#/a\"}]}}");
	buf_deinit(&in.wire);
	fault_list_deinit(&in.faults);
}

static void all_faults_of_a_request(void **state)
{
	static const char *const operands[] = {"idd=1", "attempt=-1", "id.x=1", "labels:=[1]",
					       "progress:={\"fraction\":\"x\"}", "state=NOPE"};
	struct call_input in = {.schema = schema,
				.message = schema_message(schema, "errand.v1.Task", 14)};
	int keep;

	for (size_t i = 0; i < ARRAY_LEN(operands); i++)
		assert_true(call_input_operand(&in, operands[i]));
	assert_int_equal(in.faults.n, ARRAY_LEN(operands));
	assert_string_equal(in.faults.items[0].where, "idd");
	assert_non_null(strstr(in.faults.items[0].detail, "did you mean 'id'"));
	assert_string_equal(in.faults.items[4].where, "#/progress/fraction");
	keep = quiet_stderr();
	assert_false(call_input_operand(&in, "word"));
	assert_false(call_input_operand(&in, "=x"));
	assert_false(call_input_operand(&in, "@/no/such/file"));
	loud_stderr(keep);
	buf_deinit(&in.wire);
	fault_list_deinit(&in.faults);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_anywhere), cmocka_unit_test(options_become_one_filter),
		cmocka_unit_test(codes_become_exit_statuses),
		cmocka_unit_test(a_bar_fits_its_width), cmocka_unit_test(a_bar_tells_how_much),
		cmocka_unit_test(time_left_is_reckoned_per_attempt), cmocka_unit_test(durations_are_short),
		cmocka_unit_test(sizes_are_short),
		cmocka_unit_test(a_task_is_read_by_number), cmocka_unit_test(states_have_the_protos_names),
		cmocka_unit_test(an_event_is_read_by_number),
		cmocka_unit_test(a_method_by_the_end_of_its_name), cmocka_unit_test(a_method_by_its_route),
		cmocka_unit_test(operands_make_a_request), cmocka_unit_test(all_faults_of_a_request),
	};
	char why[256] = "";
	int r;

	if (schema_load(errand_v1_schema, errand_v1_schema_len, &schema, why, sizeof why) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	r = cmocka_run_group_tests(tests, NULL, NULL);
	schema_unref(schema);
	return r;
}
