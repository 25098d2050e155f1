/* task_api_bulk.c: POST /v1/tasks:cancel and :retry: the same for all tasks a filter
 * names. Page by page, as a list goes, and each task by an op of its own: others'
 * requests go in between, and what is no longer as the page had it is left alone.
 *
 *   page ─▶ its tasks, all at once ─▶ done with all ─▶ next page ... ─▶ the counts
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/payload.h"
#include "service/task_api_impl.h"
#include "service/task_list.h"

enum { PAGE = 500, IDS_MAX = 100 };
/* Left of the call's time when no other page is begun. */
#define MARGIN (2 * NS_PER_S)

struct bulk {
	struct task_request *request;
	const char *filter;          /* of the input, which lives as long as the call */
	char *token;                 /* owned; of the next page, NULL on the last one */
	bool (*wants)(const struct task_row *row);
	task_action act;
	bool dry_run;
	size_t n_open;               /* tasks of the page under way, and the page itself */
	uint64_t matched, changed;
	int code;                    /* why it stops; 0 */
	char why[256];
};

static void bulk_page(struct bulk *b);

static void bulk_free(struct bulk *b)
{
	free(b->token);
	free(b);
}

static void bulk_end(struct bulk *b)
{
	struct task_request *r = b->request;
	AUTO_BUF ids = BUF_INIT;

	if (b->code != 0) {
		task_request_fail(r, b->code, b->why);
		bulk_free(b);
		return;
	}
	buf_append(&ids, r->out.data, r->out.len);
	buf_reset(&r->out);
	pbuf_put_uint(&r->out, 1, b->matched);
	pbuf_put_uint(&r->out, 2, b->changed);
	pbuf_put_uint(&r->out, 3, b->token == NULL);
	buf_append(&r->out, ids.data, ids.len);
	bulk_free(b);
	task_request_answer(r);
}

static bool time_is_up(const struct bulk *b)
{
	return errand_cancelled(b->request->call) || errand_time_left(b->request->call) < MARGIN;
}

/* One thing of the page is done. */
static void bulk_step(struct bulk *b)
{
	if (--b->n_open > 0)
		return;
	if (b->code == 0 && b->token != NULL && !time_is_up(b))
		bulk_page(b);
	else
		bulk_end(b);
}

static void count(struct bulk *b, const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];

	if (b->changed++ < IDS_MAX)
		pbuf_put_str(&b->request->out, 4, uuid_format(id, text));
}

/* A state that no longer allows it, or a task that is no more, is no failure. */
static void on_task(int code, const char *why, const struct task_row *row, void *arg)
{
	struct bulk *b = arg;

	if (code == 0) {
		count(b, &row->id);
	} else if (code != TASK_NOT_ALLOWED && code != TASK_GONE && code != ERRAND_NOT_FOUND && b->code == 0) {
		b->code = code;
		snprintf(b->why, sizeof b->why, "%s", why);
	}
	bulk_step(b);
}

static void bulk_row(struct bulk *b, const struct task_row *row)
{
	char id[UUID_TEXT_SIZE];

	b->matched++;
	if (!b->wants(row))
		return;
	if (b->dry_run) {
		count(b, &row->id);
		return;
	}
	b->n_open++;
	b->act(uuid_format(&row->id, id), NULL, on_task, b);
}

static void on_page(int code, const char *why, const struct task_row *rows, size_t n,
		    const char *next, void *arg)
{
	struct bulk *b = arg;

	free(b->token);
	b->token = next != NULL ? xstrdup(next) : NULL;
	if (code != 0) {
		b->code = code;
		snprintf(b->why, sizeof b->why, "%s", why);
	}
	for (size_t i = 0; i < n && code == 0; i++)
		bulk_row(b, &rows[i]);
	bulk_step(b);
}

/* 0, or what is wrong with the filter in b->why. */
static int bulk_query(struct bulk *b, struct task_query *query)
{
	const struct task_query_words words = {.filter = b->filter, .page_token = b->token, .limit = PAGE};
	const char *word;

	return task_query_read(&words, query, &word, b->why, sizeof b->why);
}

static void bulk_page(struct bulk *b)
{
	struct task_query query;

	b->n_open = 1;
	b->code = -bulk_query(b, &query);
	if (b->code == 0)
		task_list(&query, on_page, b);
	else
		bulk_step(b);
}

static bool wants_cancel(const struct task_row *row)
{
	return task_state_live(row->state) && row->state != TASK_CANCELLING;
}

static bool wants_retry(const struct task_row *row)
{
	return task_state_terminal(row->state);
}

static void refuse_filter(struct task_request *r, const char *rule, const char *why)
{
	struct fault_list faults = FAULT_LIST_INIT;
	AUTO_BUF problem = BUF_INIT;

	fault_add(&faults, FAULT_SCHEMA, FAULT_POINTER, "#/filter", rule, NULL, 0, "%s", why);
	payload_problem(&faults, &problem);
	fault_list_deinit(&faults);
	task_request_fail_problem(r, ERRAND_INVALID_ARGUMENT, why, &problem);
}

static void bulk_begin(const Errand__V1__BulkRequest *in, Errand__V1__BulkReply_Closure done, void *call,
		       bool (*wants)(const struct task_row *), task_action act)
{
	struct task_request *r = task_request_new(call, (ProtobufCClosure)done,
						  &errand__v1__bulk_reply__descriptor);
	struct task_query query;
	struct bulk *b;

	if (in->filter[strspn(in->filter, " \t")] == '\0') {
		refuse_filter(r, "required", "say which tasks: a filter as `state = FAILED`");
		return;
	}
	b = xcalloc(1, sizeof *b);
	b->request = r;
	b->filter = in->filter;
	b->wants = wants;
	b->act = act;
	b->dry_run = in->dry_run;
	if (bulk_query(b, &query) == 0) {
		task_query_deinit(&query);
		bulk_page(b);
	} else {
		refuse_filter(r, "filter", b->why);
		bulk_free(b);
	}
}

void task_api_cancel_many(Errand__V1__Tasks_Service *service, const Errand__V1__BulkRequest *in,
			  Errand__V1__BulkReply_Closure done, void *call)
{
	bulk_begin(in, done, call, wants_cancel, task_cancel);
}

void task_api_retry_many(Errand__V1__Tasks_Service *service, const Errand__V1__BulkRequest *in,
			 Errand__V1__BulkReply_Closure done, void *call)
{
	bulk_begin(in, done, call, wants_retry, task_retry);
}
