/* article.c: the behaviours of an article on FastAPI's asynchronous and background
 * work, as a module of errand: one method for each way to run one.
 *
 *   GetItem           ASYNC  waits a second without holding a thread
 *   SyncOperation     SYNC   blocks a thread of the pool
 *   SendNotification  ASYNC  answers, then writes in the background
 *   Search            ASYNC  a dependency gives the query and logs it
 *   Encode            TASK   ffmpeg as a child process; see encode.c
 *
 * Files are written in $ARTICLE_DIR, or else where the service was started. */
#define _GNU_SOURCE
#include "article.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "article.schema.h"

#define SECOND 1000000000LL

/* --- dependencies --- */

/* "journal", for the life of the service: the directory the logs are in. */
struct journal {
	int dir;
};

const char *article_dir(void)
{
	const char *dir = getenv("ARTICLE_DIR");

	return dir && *dir ? dir : ".";
}

static int journal_open(struct errand_call *call, void **valuep)
{
	struct journal *j = malloc(sizeof *j);

	if (j == NULL)
		return -ERRAND_RESOURCE_EXHAUSTED;
	j->dir = open(article_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (j->dir < 0) {
		fprintf(stderr, "article: ARTICLE_DIR %s: %s\n", article_dir(), strerror(errno));
		free(j);
		return -ERRAND_FAILED_PRECONDITION;
	}
	*valuep = j;
	return 0;
}

static void journal_close(void *value, int code)
{
	struct journal *j = value;

	close(j->dir);
	free(j);
}

/* Appends "[time] text" and a newline, in one write. Background threads. */
static int journal_write(const char *file, const char *text)
{
	const struct journal *j = errand_value(NULL, "journal");
	int fd = openat(j->dir, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	time_t now = time(NULL);
	struct tm tm;
	char when[32], *line = NULL;
	int len, rc = -1;

	strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &tm));
	len = asprintf(&line, "[%s] %s\n", when, text);
	if (fd >= 0 && len >= 0)
		rc = write(fd, line, (size_t)len) == len ? 0 : -1;
	if (len >= 0)
		free(line);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int write_query(void *arg)
{
	int rc = journal_write("query_log.txt", arg);

	free(arg);
	return rc;
}

/* "query", for one call: gives q, or NULL when there is none; when there is one,
 * it is logged after the response. */
static int query_open(struct errand_call *call, void **valuep)
{
	const Article__V1__SearchRequest *in = (const void *)errand_input(call);
	char *line;

	*valuep = NULL;
	if (in->_q_case != ARTICLE__V1__SEARCH_REQUEST___Q_Q)
		return 0;
	if (asprintf(&line, "查询参数: %s", in->q) < 0)
		return -ERRAND_RESOURCE_EXHAUSTED;
	if (errand_after(call, "log-query", write_query, line) < 0) {
		free(line);
		return -ERRAND_UNAVAILABLE;
	}
	*valuep = in->q;
	return 0;
}

static void query_close(void *value, int code)
{
}

/* --- methods --- */

static void item_found(struct errand_call *call, void *arg)
{
	const Article__V1__GetItemRequest *in = (const void *)errand_input(call);
	Article__V1__Item_Closure done = (Article__V1__Item_Closure)arg;
	Article__V1__Item item = ARTICLE__V1__ITEM__INIT;

	item.item_id = in->item_id;
	item.name = (char *)"示例商品";
	item.price = 99.9;
	done(&item, call);
}

static void article__get_item(Article__V1__Article_Service *service,
			      const Article__V1__GetItemRequest *in,
			      Article__V1__Item_Closure done, void *call)
{
	errand_timer(call, SECOND, item_found, (void *)done);
}

static void reply(Article__V1__MessageReply_Closure done, const char *text, void *call)
{
	Article__V1__MessageReply message = ARTICLE__V1__MESSAGE_REPLY__INIT;

	message.message = (char *)text;
	done(&message, call);
}

static void article__sync_operation(Article__V1__Article_Service *service,
				    const Article__V1__SyncOperationRequest *in,
				    Article__V1__MessageReply_Closure done, void *call)
{
	sleep(3);
	reply(done, "同步操作完成", call);
}

static int write_notification(void *arg)
{
	char *text = NULL;
	int rc = -1;

	if (asprintf(&text, "通知至%s: 欢迎使用后台任务!", (char *)arg) >= 0) {
		rc = journal_write("notification_log.txt", text);
		free(text);
	}
	free(arg);
	return rc;
}

static void article__send_notification(Article__V1__Article_Service *service,
				       const Article__V1__SendNotificationRequest *in,
				       Article__V1__MessageReply_Closure done, void *call)
{
	char *email = strdup(in->email);

	if (email == NULL || errand_after(call, "send-notification", write_notification, email) < 0) {
		free(email);
		errand_fail(call, ERRAND_UNAVAILABLE, "too much background work: try again later");
		return;
	}
	reply(done, "通知已在后台发送,请注意查收", call);
}

/* Without a query the text says None, as the article's f-string does. */
static void article__search(Article__V1__Article_Service *service,
			    const Article__V1__SearchRequest *in,
			    Article__V1__MessageReply_Closure done, void *call)
{
	const char *q = errand_value(call, "query");
	char *text = NULL;

	if (asprintf(&text, "已根据参数%s执行搜索", q ? q : "None") < 0) {
		errand_fail(call, ERRAND_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	reply(done, text, call);
	free(text);
}

/* --- the module --- */

static Article__V1__Article_Service service = ARTICLE__V1__ARTICLE__INIT(article__);
static ProtobufCService *const services[] = {&service.base, NULL};

static const char *const query_needs[] = {"journal", NULL};
static const struct errand_dependency dependencies[] = {
	{.name = "journal", .scope = ERRAND_SCOPE_PROCESS, .open = journal_open, .close = journal_close},
	{.name = "query", .scope = ERRAND_SCOPE_CALL, .needs = query_needs, .open = query_open,
	 .close = query_close},
	{0},
};

static const char *const search_needs[] = {"query", NULL};
static const char *const notification_needs[] = {"journal", NULL};
static const struct errand_method_needs needs[] = {
	{"article.v1.Article/Search", search_needs},
	{"article.v1.Article/SendNotification", notification_needs},
	{0},
};

extern const struct errand_module errand_module;
const struct errand_module errand_module = {
	.abi = ERRAND_MODULE_ABI,
	.name = "article",
	.services = services,
	.descriptor_set = article_schema,
	.descriptor_set_len = article_schema_len,
	.dependencies = dependencies,
	.needs = needs,
};
