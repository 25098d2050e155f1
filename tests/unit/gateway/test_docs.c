/* /docs over a real http_server, and the built-in page of a schema whose comments are
 * markup. test_docs.py has the rest. */
#define _GNU_SOURCE
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "edge.h"
#include "fixture.h"
#include "gateway/builtin.h"
#include "gateway/docs.h"
#include "gateway/docs_page.h"
#include "gateway/snapshot.h"

static const char *const names[] = {"index.html", "docs.js", "favicon-32x32.png", "swagger-ui.css",
				    "swagger-ui-bundle.js"};
static struct gateway_state gateway;
static struct gateway_config config = {.state = &gateway, .gzip_min = -1};
static struct gateway_thread thread = {.config = &config};
static char dir[] = "/tmp/errand-docs-XXXXXX";
static int port;

static void on_request(struct http_request *r, void *arg)
{
	assert_true(builtin_handle(r, &thread));
}

static const struct http_ops ops = {.request = on_request};

static void file_write(const char *name, const char *text)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void file_remove(const char *name)
{
	AUTO_FREE char *path = xasprintf("%s/%s", dir, name);

	unlink(path);
}

static int setup(void **state)
{
	struct http_limits limits = edge_limits();

	thread.base = event_base_new();
	thread.http = http_server_new(thread.base, edge_listen(&port), &limits, &ops, NULL);
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	docs_close();
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		file_remove(names[i]);
	rmdir(dir);
	thread.http = http_server_free(thread.http);
	event_base_free(thread.base);
	return 0;
}

/* One request; the loop turns in this thread until the answer is there. */
static int get(const char *target, struct answer *a)
{
	AUTO_BUF b = BUF_INIT;
	AUTO_CLOSE int fd = edge_connect_port(port);

	buf_printf(&b, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", target);
	put(fd, buf_cstr(&b));
	for (int i = 0; i < 1000 && http_server_connections(thread.http) == 0; i++)
		event_base_loop(thread.base, EVLOOP_ONCE);
	while (http_server_connections(thread.http) > 0)
		event_base_loop(thread.base, EVLOOP_ONCE);
	answer_read(fd, a, false);
	return a->status;
}

static void files_write(void)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		file_write(names[i], names[i]);
}

static void test_files(void **state)
{
	AUTO_ANSWER a = {0};
	char why[256] = "";

	files_write();
	file_write("docs.js", "");
	assert_int_equal(docs_open(dir, why, sizeof why), 0);
	assert_string_equal(why, "");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *path = xasprintf("/docs/%s", names[i]);

		assert_int_equal(get(path, &a), 200);
		assert_string_equal(buf_cstr(&a.body), i == 1 ? "" : names[i]);
	}
	assert_int_equal(get("/docs/swagger-ui.css/x", &a), 404);
	docs_close();
}

/* Gone between the start and the first request, then there again. */
static void test_file_lost(void **state)
{
	AUTO_ANSWER a = {0};
	char why[256] = "";

	files_write();
	assert_int_equal(docs_open(dir, why, sizeof why), 0);
	file_remove("docs.js");
	assert_int_equal(get("/docs/docs.js", &a), 500);
	assert_non_null(strstr(buf_cstr(&a.body), "docs.js cannot be read"));
	assert_null(strstr(buf_cstr(&a.body), dir));
	assert_int_equal(get("/docs/", &a), 200);
	file_write("docs.js", "back");
	assert_int_equal(get("/docs/docs.js", &a), 200);
	assert_string_equal(buf_cstr(&a.body), "back");
	docs_close();
}

/* Nothing stays behind of a directory that lacks a file. */
static void test_page_instead(void **state)
{
	AUTO_ANSWER a = {0};
	char why[256] = "";

	files_write();
	file_remove("favicon-32x32.png");
	assert_int_equal(docs_open(dir, why, sizeof why), 1);
	assert_string_equal(why, "favicon-32x32.png: No such file or directory");
	assert_int_equal(get("/docs/docs.js", &a), 404);
	assert_int_equal(get("/docs/page.css", &a), 200);
	assert_true(answer_has(&a, "Content-Type: text/css; charset=utf-8"));
	assert_int_equal(get("/docs/", &a), 503);
	assert_true(answer_has(&a, "Retry-After: 1"));
	assert_non_null(strstr(buf_cstr(&a.body), "The service is not there"));
	assert_int_equal(docs_open("/dev/null", why, sizeof why), 1);
	assert_string_equal(why, "Not a directory");
	docs_close();
}

static void test_off(void **state)
{
	AUTO_ANSWER a = {0};
	char why[256] = "";

	assert_int_equal(docs_open("off", why, sizeof why), 0);
	assert_int_equal(get("/docs", &a), 404);
	assert_int_equal(get("/docs/", &a), 404);
	docs_close();
	assert_int_equal(get("/docs", &a), 308);
	assert_true(answer_has(&a, "Location: docs/"));
}

static void has(struct buf *page, const char *text)
{
	if (strstr(buf_cstr(page), text) == NULL)
		fail_msg("not in the page: %s\n%s", text, buf_cstr(page));
}

static void test_page(void **state)
{
	struct schema *s = fixture_schema("page");
	AUTO_BUF page = BUF_INIT;

	docs_page_write(&page, s);
	has(&page, "<h2>page.v1.None</h2>\n<p class=\"none\">It has no methods.</p>");
	has(&page, "&lt;b&gt;Bold&lt;/b&gt; &amp; &quot;quoted&quot;, it&#39;s.");
	has(&page, "Second &lt;script&gt;alert(1)&lt;/script&gt;.");
	has(&page, "<p>&lt;/p&gt;&lt;img src=x onerror=&quot;alert(1)&quot;&gt;");
	has(&page, "<article class=\"deprecated\" id=\"page.v1.Page/Show\">\n"
		   "<h3><code class=\"verb get\">GET</code> <code>/docs</code></h3>\n"
		   "<h3><code class=\"verb msearch\">M-SEARCH</code> <code>/a/{id=**}</code></h3>");
	has(&page, "<code class=\"verb post\">POST</code> <code>/page.v1.Page/Run</code>");
	has(&page, "<code>Run(page.v1.Thing) → page.v1.Thing</code> <span>task</span></p>");
	has(&page, "</code> <span>stream</span></p>");
	has(&page, "</code> <span>not over HTTP: takes a stream</span></p>");
	has(&page, "</code> <span>deprecated</span></p>");
	assert_null(strstr(buf_cstr(&page), "<script"));
	assert_null(strstr(buf_cstr(&page), "<img"));
	assert_null(strstr(buf_cstr(&page), "<b>"));
	schema_unref(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files), cmocka_unit_test(test_file_lost),
		cmocka_unit_test(test_page_instead), cmocka_unit_test(test_off),
		cmocka_unit_test(test_page),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
