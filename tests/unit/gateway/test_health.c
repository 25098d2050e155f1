/* /livez and /readyz over a real http_server; the upstream's state is made up
 * (linked with --wrap=upstream_is_up). */
#define _GNU_SOURCE
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge.h"
#include "gateway/builtin.h"
#include "gateway/snapshot.h"

static struct gateway_state gateway;
static struct gateway_config config = {.state = &gateway};
static struct gateway_thread thread = {.config = &config};
static struct snapshot *some_schema;
static bool up, handled;
static int port;

bool __wrap_upstream_is_up(const struct upstream *u);
bool __wrap_upstream_is_up(const struct upstream *u)
{
	return up;
}

static void on_request(struct http_request *r, void *arg)
{
	handled = builtin_handle(r, &thread);
	if (!handled)
		http_reply(r, 404, NULL, NULL);
}

static const struct http_ops ops = {.request = on_request};

static int setup(void **state)
{
	struct http_limits limits = edge_limits();

	thread.base = event_base_new();
	thread.http = http_server_new(thread.base, edge_listen(&port), &limits, &ops, NULL);
	some_schema = calloc(1, sizeof *some_schema);
	return 0;
}

static int teardown(void **state)
{
	free(some_schema);
	thread.http = http_server_free(thread.http);
	event_base_free(thread.base);
	return 0;
}

/* One request; the loop turns in this thread until the answer is there. */
static int get(const char *verb, const char *target, struct answer *a)
{
	AUTO_BUF b = BUF_INIT;
	AUTO_CLOSE int fd = edge_connect_port(port);

	buf_printf(&b, "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", verb, target);
	put(fd, buf_cstr(&b));
	handled = false;
	for (int i = 0; i < 1000 && http_server_connections(thread.http) == 0; i++)
		event_base_loop(thread.base, EVLOOP_ONCE);
	while (http_server_connections(thread.http) > 0)
		event_base_loop(thread.base, EVLOOP_ONCE);
	answer_read(fd, a, strcmp(verb, "HEAD") == 0);
	return a->status;
}

static void test_live(void **state)
{
	AUTO_ANSWER a = {0};

	up = false;
	thread.snapshot = NULL;
	assert_int_equal(get("GET", "/livez", &a), 200);
	assert_string_equal(buf_cstr(&a.body), "{\"status\":\"ok\"}");
	assert_true(answer_has(&a, "Cache-Control: no-store"));
	gateway.draining = true;
	assert_int_equal(get("GET", "/livez?verbose", &a), 200);
	gateway.draining = false;
	assert_int_equal(get("HEAD", "/livez", &a), 200);
	assert_true(answer_has(&a, "Content-Length: 15"));
}

static void check_unready(const char *why)
{
	AUTO_ANSWER a = {0};

	assert_int_equal(get("GET", "/readyz", &a), 503);
	assert_true(answer_has(&a, "Retry-After: 1"));
	assert_true(answer_has(&a, "Content-Type: application/problem+json"));
	assert_non_null(strstr(buf_cstr(&a.body), why));
}

static void test_ready(void **state)
{
	AUTO_ANSWER a = {0};

	up = false;
	thread.snapshot = some_schema;
	check_unready("no connection to the service");
	up = true;
	thread.snapshot = NULL;
	check_unready("schema");
	thread.snapshot = some_schema;
	gateway.draining = true;
	check_unready("draining");
	gateway.draining = false;
	assert_int_equal(get("GET", "/readyz", &a), 200);
	assert_string_equal(buf_cstr(&a.body), "{\"status\":\"ok\"}");
}

static void test_others(void **state)
{
	static const char *const paths[] = {"/", "/livez/", "/livezz", "/readyz/x", "/LIVEZ", "/live%7a"};
	AUTO_ANSWER a = {0};

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		assert_int_equal(get("GET", paths[i], &a), 404);
		assert_false(handled);
	}
	assert_int_equal(get("POST", "/livez", &a), 405);
	assert_true(answer_has(&a, "Allow: GET, HEAD"));
	assert_int_equal(get("DELETE", "/readyz", &a), 405);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_live), cmocka_unit_test(test_ready), cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
