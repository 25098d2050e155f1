/* test_article.c: the article's service below errand's test harness (errand_test(3)): no
 * sockets, and its second of waiting takes none. A plain program: exit status 0 is good. */
#define _GNU_SOURCE
#include <errand/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "article.pb-c.h"

#define CHECK(what) \
	((what) ? (void)0 : (void)(fprintf(stderr, "%s:%d: not so: %s\n%s", __FILE__, __LINE__, #what, \
					   errand_test_log()), exit(1)))

extern const struct errand_module errand_module;

static char *slurp(const char *name)
{
	static char text[512];
	FILE *f = fopen(name, "r");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

	text[n] = '\0';
	if (f)
		fclose(f);
	return text;
}

/* ASYNC: the clock jumps to the timer. */
static void test_item(void)
{
	Article__V1__GetItemRequest in = ARTICLE__V1__GET_ITEM_REQUEST__INIT;
	struct errand_test_result *r;
	const Article__V1__Item *item;
	int64_t before = errand_test_now_us();

	in.item_id = 7;
	r = errand_test_call("article.v1.Article/GetItem", &in.base, NULL);
	CHECK(r->code == ERRAND_OK && r->task_id == NULL);
	item = (const Article__V1__Item *)r->output;
	CHECK(item->item_id == 7 && item->price == 99.9);
	CHECK(errand_test_now_us() - before == 1000000);
	errand_test_result_free(r);
}

/* A deadline before the timer. */
static void test_item_late(void)
{
	struct errand_test_call_options o = {.timeout_ns = 500000000};
	struct errand_test_result *r = errand_test_call("article.v1.Article/GetItem", NULL, &o);

	CHECK(r->code == ERRAND_DEADLINE_EXCEEDED && r->output == NULL);
	errand_test_result_free(r);
}

/* Background work, and the rules of the schema. */
static void test_notification(void)
{
	Article__V1__SendNotificationRequest in = ARTICLE__V1__SEND_NOTIFICATION_REQUEST__INIT;
	struct errand_test_result *r;

	in.email = (char *)"a@b.example";
	r = errand_test_call("article.v1.Article/SendNotification", &in.base, NULL);
	CHECK(r->code == ERRAND_OK);
	errand_test_result_free(r);
	CHECK(errand_test_flush() == 0);
	CHECK(strstr(slurp("notification_log.txt"), "a@b.example") != NULL);

	in.email = (char *)"";
	r = errand_test_call("article.v1.Article/SendNotification", &in.base, NULL);
	CHECK(r->code == ERRAND_INVALID_ARGUMENT && r->n_faults == 1);
	CHECK(strcmp(r->faults[0].pointer, "#/email") == 0);
	CHECK(strcmp(r->faults[0].rule, "string.min_len") == 0);
	errand_test_result_free(r);
}

/* A dependency of its own. */
static void test_search(void)
{
	Article__V1__SearchRequest in = ARTICLE__V1__SEARCH_REQUEST__INIT;
	struct errand_test_result *r;

	in._q_case = ARTICLE__V1__SEARCH_REQUEST___Q_Q;
	in.q = (char *)"errand";
	r = errand_test_call("article.v1.Article/Search", &in.base, NULL);
	CHECK(strstr(((const Article__V1__MessageReply *)r->output)->message, "errand") != NULL);
	errand_test_result_free(r);
	CHECK(errand_test_flush() == 0);
	CHECK(strstr(slurp("query_log.txt"), "errand") != NULL);
}

/* A durable task that cannot succeed is not tried again. */
static void test_encode(void)
{
	Article__V1__EncodeRequest in = ARTICLE__V1__ENCODE_REQUEST__INIT;
	struct errand_test_result *r;

	in.input_path = (char *)"no-such.mp4";
	in.output_path = (char *)"out.mp4";
	r = errand_test_call("article.v1.Article/Encode", &in.base, NULL);
	CHECK(r->code == ERRAND_NOT_FOUND && r->task_id != NULL && r->attempts == 1);
	CHECK(strcmp(r->state, "FAILED") == 0);
	CHECK(r->n_faults == 1 && strcmp(r->faults[0].rule, "article.path") == 0);
	errand_test_result_free(r);
}

int main(void)
{
	const struct errand_module *const modules[] = {&errand_module, NULL};
	char dir[] = "/tmp/article-test.XXXXXX";

	if (mkdtemp(dir) == NULL || chdir(dir) < 0 || setenv("ARTICLE_DIR", dir, 1) < 0)
		return 99;
	if (errand_test_start(modules, NULL) < 0) {
		fprintf(stderr, "%s\n", errand_test_error());
		return 1;
	}
	test_item();
	test_item_late();
	test_notification();
	test_search();
	test_encode();
	errand_test_stop();
	unlink("notification_log.txt");
	unlink("query_log.txt");
	return chdir("/") < 0 || rmdir(dir) < 0;
}
