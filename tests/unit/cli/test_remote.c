/* test_remote.c: what a URL answers: events from pieces of bytes, problems as replies, and the
 * private copy of errand.v1.Problem against the real one. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/pbuf.h"
#include "cli/carrier.h"
#include "cli/figures.h"
#include "cli/remote_reply.h"
#include "cli/sse.h"
#include "cli/target.h"
#include "errand/v1/problem.pb-c.h"

/* --- events --- */

static int note(const char *event, struct bytes data, void *arg)
{
	buf_printf(arg, "%s<%.*s>", event, (int)data.len, (const char *)data.data);
	return memmem(data.data, data.len, "stop", 4) != NULL;
}

static const struct {
	const char *text, *events;
} streams[] = {
	{"data: a\n\n", "message<a>"},
	{"data:a\n\n", "message<a>"},
	{"data:  a\n\n", "message< a>"},
	{"id: 7\nevent: state\ndata: {}\n\n", "state<{}>"},
	{": heartbeat\n\ndata: a\n\n: x\n", "message<a>"},
	{"data: a\ndata: b\n\n", "message<a\nb>"},
	{"data: a\r\n\r\ndata: b\r\r", "message<a>message<b>"},
	{"event: x\n\ndata: a\n\n", "message<a>"}, /* without data there was no event */
	{"data\n\n", "message<>"},
	{"retry: 5\nfoo: bar\ndata: a\n\n", "message<a>"},
	{"data: cut off\n", ""},
	{"data: a\n\ndata: stop\n\ndata: b\n\n", "message<a>message<stop>"},
};

static void test_events_in_pieces(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
		size_t len = strlen(streams[i].text);

		for (size_t piece = 1; piece <= len; piece++) {
			AUTO_BUF out = BUF_INIT;
			struct sse s = {.on_event = note, .arg = &out};
			int r = 0;

			for (size_t at = 0; at < len && r == 0; at += piece)
				r = sse_feed(&s, streams[i].text + at, MIN(piece, len - at));
			assert_string_equal(buf_cstr(&out), streams[i].events);
			sse_deinit(&s);
		}
	}
}

/* --- problems --- */

static struct errand_reply *problem(const char *json)
{
	return remote_reply_problem((struct bytes){(const uint8_t *)json, strlen(json)}, "/a.B/C");
}

static void test_problem_is_the_services(void **state)
{
	struct errand_reply *r = problem(
		"{\"type\":\"https://x/quota\",\"title\":\"Full\",\"status\":429,\"detail\":\"no room\",\"instance\":\"/a.B/C\","
		"\"code\":\"RESOURCE_EXHAUSTED\",\"errors\":[{\"pointer\":\"#/n\",\"rule\":\"r\",\"detail\":\"d\",\"value\":\"v\"},"
		"{\"parameter\":\"p\"},{\"header\":\"h\"}],\"retry_after\":2.5,\"final\":true,\"newer\":[1]}");
	Errand__V1__Problem *p;

	assert_non_null(r);
	assert_int_equal(r->code, ERRAND_RESOURCE_EXHAUSTED);
	assert_string_equal(r->message, "no room");
	p = errand__v1__problem__unpack(NULL, r->problem_len, r->problem);
	assert_non_null(p);
	assert_string_equal(p->type, "https://x/quota");
	assert_string_equal(p->title, "Full");
	assert_int_equal(p->status, 429);
	assert_string_equal(p->detail, "no room");
	assert_string_equal(p->instance, ""); /* only what was asked */
	assert_string_equal(p->code, "RESOURCE_EXHAUSTED");
	assert_int_equal(p->n_errors, 3);
	assert_string_equal(p->errors[0]->pointer, "#/n");
	assert_string_equal(p->errors[0]->rule, "r");
	assert_string_equal(p->errors[0]->detail, "d");
	assert_string_equal(p->errors[0]->value, "v");
	assert_string_equal(p->errors[1]->parameter, "p");
	assert_string_equal(p->errors[2]->header, "h");
	assert_true(p->final && p->retry_after == 2.5);
	errand__v1__problem__free_unpacked(p, NULL);
	errand_reply_free(r);
}

static void test_bare_status(void **state)
{
	struct errand_reply *r = problem("{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"gone\",\"code\":\"NOT_FOUND\"}");

	assert_non_null(r);
	assert_int_equal(r->code, ERRAND_NOT_FOUND);
	assert_string_equal(r->message, "gone");
	assert_int_equal(r->problem_len, 0); /* as on the socket */
	errand_reply_free(r);
}

static void test_what_is_no_problem(void **state)
{
	static const char *const texts[] = {"", "{", "[]", "{}", "{\"code\":\"OK\"}", "{\"code\":\"NONSENSE\"}", "{\"code\":7}", "<html>"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_null(problem(texts[i]));
	assert_int_equal(remote_reply_code(401), ERRAND_UNAUTHENTICATED);
	assert_int_equal(remote_reply_code(502), ERRAND_UNAVAILABLE);
	assert_int_equal(remote_reply_code(418), ERRAND_UNKNOWN);
}

/* --- heads --- */

static void test_headers(void **state)
{
	static const char *const names[][2] = {
		{"content-type", "text/html"}, {"Location", "/v1/tasks/1"}, {"Empty", ""}, {"Type", NULL}, {"Last", "x"},
	};
	struct carrier_request r = {.status = 200};

	buf_append_str(&r.head, "HTTP/1.1 200 OK\nContent-Type:  text/html\nLocation:/v1/tasks/1\nEmpty:\nLast: x");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *value = carrier_header(&r, names[i][0]);

		if (names[i][1] == NULL)
			assert_null(value);
		else
			assert_string_equal(value, names[i][1]);
	}
	buf_deinit(&r.head);
}

/* --- targets --- */

static void clear_environment(void)
{
	static const char *const names[] = {"ERRAND_URL", "ERRAND_SOCKET", "ERRAND_CONTEXT", "ERRAND_TOKEN", "ERRAND_TOKEN_FILE",
					    "ERRAND_INSECURE", "ERRAND_CA"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unsetenv(names[i]);
	setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
}

/* A token travels over https, to this machine and over sockets; nowhere else. */
static void test_where_a_token_may_go(void **state)
{
	static const struct {
		const char *url;
		bool may;
	} ways[] = {
		{"https://a.example", true}, {"HTTPS://a.example/x/", true}, {"http://localhost", true}, {"http://LOCALHOST:80/x", true},
		{"http://127.0.0.1:8080", true}, {"http://127.1.2.3", true}, {"http://[::1]:8080", true}, {"unix:/run/x", true},
		{"http://a.example", false}, {"http://localhost.example", false}, {"http://127.0.0.1.example", false},
		{"http://127.example", false}, {"http://[::1].example", false}, {"http://192.168.0.1", false}, {"http://x/localhost", false},
	};

	clear_environment();
	setenv("ERRAND_TOKEN", "erd_secret", 1);
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct cli_common common = {.url = ways[i].url};
		struct target t;

		assert_int_equal(target_find(&t, &common), ways[i].may ? CLI_OK : CLI_USAGE);
		if (!ways[i].may)
			continue;
		assert_string_equal(t.token, "erd_secret");
		assert_true(t.url[strlen(t.url) - 1] != '/');
		target_deinit(&t);
	}
	setenv("ERRAND_INSECURE", "1", 1);
	assert_int_equal(target_find(&(struct target){0}, &(struct cli_common){.url = "ftp://x"}), CLI_USAGE);
	clear_environment();
}

static void test_token_file_modes(void **state)
{
	static const struct {
		mode_t mode;
		bool good;
	} modes[] = {{0600, true}, {0400, true}, {0640, true}, {0660, false}, {0644, false}, {0604, false}, {0650, false}};
	char path[] = "/tmp/errand-token-XXXXXX", why[256];
	int fd = mkstemp(path);

	assert_true(fd >= 0 && write(fd, "erd_x \n", 7) == 7);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		char *token = NULL;

		assert_int_equal(fchmod(fd, modes[i].mode), 0);
		assert_int_equal(target_read_token(path, &token, why, sizeof why), modes[i].good);
		if (modes[i].good)
			assert_string_equal(token, "erd_x");
		free(token);
	}
	close(fd);
	unlink(path);
}

/* --- figures --- */

static void test_build(void **state)
{
	char out[48] = "";

	assert_true(figures_build("# HELP\n# TYPE x gauge\nx{version=\"1.2\"} 1\n", "x", out));
	assert_string_equal(out, "1.2");
	assert_false(figures_build("yx{version=\"1.2\"} 1\n", "x", out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_in_pieces),
		cmocka_unit_test(test_problem_is_the_services),
		cmocka_unit_test(test_bare_status),
		cmocka_unit_test(test_what_is_no_problem),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_where_a_token_may_go),
		cmocka_unit_test(test_token_file_modes),
		cmocka_unit_test(test_build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
