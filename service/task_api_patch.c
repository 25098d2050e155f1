/* task_api_patch.c: PATCH of a task: its priority, its time, its labels. The task is looked
 * at first, If-Match is held against it, and the change is then made to that version
 * only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "errand/status.h"
#include "service/if_match.h"
#include "service/payload.h"
#include "service/task_api_impl.h"
#include "service/task_options.h"

enum { PRECONDITION_REQUIRED = 428, TRIES = 8 };

struct patch {
	struct task_request *request;
	const Errand__V1__UpdateTaskRequest *in; /* lives until the call is answered */
	bool any;                                /* If-Match: *, whatever version there is */
	unsigned tries;
};

static void patch_look(struct patch *p);

static void patch_fail(struct patch *p, int code, const char *why, const struct buf *problem)
{
	struct task_request *r = p->request;

	free(p);
	if (problem != NULL)
		task_request_fail_problem(r, code, why, problem);
	else
		task_request_fail(r, code, why);
}

static void patch_answer(struct patch *p, const struct task_row *row)
{
	struct task_request *r = p->request;

	free(p);
	task_request_answer_task(r, row);
}

/* --- If-Match --- */

static bool names_version(const char *tags, const struct task_row *row)
{
	char etag[TASK_ETAG_SIZE];

	return if_match_names(tags, task_etag(row, etag));
}

/* --- labels --- */

struct labels {
	struct task_label *list; /* owned; strings borrowed */
	size_t n;
};

static void labels_drop(struct labels *l, const char *key)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->list[i].key, key) == 0) {
			l->list[i] = l->list[--l->n];
			return;
		}
}

/* JSON merge patch (RFC 7396) of a map of strings. */
static void labels_merge(struct labels *l, const Google__Protobuf__Struct *given, struct fault_list *faults)
{
	l->list = xrealloc(l->list, (l->n + given->n_fields + 1) * sizeof *l->list);
	for (size_t i = 0; i < given->n_fields; i++) {
		const char *key = given->fields[i]->key;
		const Google__Protobuf__Value *v = given->fields[i]->value;

		labels_drop(l, key);
		if (v != NULL && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE) {
			l->list[l->n++] = (struct task_label){(char *)key, v->string_value};
		} else if (v != NULL && v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE) {
			AUTO_BUF where = BUF_INIT;

			buf_append_str(&where, "#/labels/");
			fault_put_token(&where, key, strlen(key));
			fault_add(faults, FAULT_SCHEMA, FAULT_POINTER, buf_cstr(&where), "type", NULL, 0,
				  "a label is a string, or null to take it away");
		}
	}
}

/* The row's own labels with what is given. */
static void read_labels(const Google__Protobuf__Struct *given, const struct task_options *now,
			struct labels *l, struct fault_list *faults)
{
	l->n = now->n_labels;
	l->list = xcalloc(l->n + 1, sizeof *l->list);
	if (l->n > 0)
		memcpy(l->list, now->labels, l->n * sizeof *l->list);
	labels_merge(l, given, faults);
}

/* --- the change --- */

/* The rules for a task's options count for what becomes of it, too. */
static void check(const struct task_patch *patch, struct fault_list *faults)
{
	AUTO_BUF options = BUF_INIT;
	struct task_options o;

	if (patch->set_priority)
		pbuf_put_uint(&options, 2, (uint64_t)(int64_t)patch->priority);
	if (patch->set_labels)
		task_options_put_labels((struct bytes){NULL, 0}, patch->labels, patch->n_labels, &options);
	task_options_read(buf_bytes(&options), &o, faults);
	task_options_deinit(&o);
}

static void on_patched(int code, const char *why, const struct task_row *row, void *arg)
{
	struct patch *p = arg;

	if (code == TASK_STALE && p->any && p->tries++ < TRIES)
		patch_look(p); /* somebody else was faster: with what he has left */
	else if (code != 0)
		patch_fail(p, code, why, NULL);
	else
		patch_answer(p, row);
}

static void read_patch(const struct patch *p, const struct task_options *now, struct task_patch *patch,
		       struct labels *l, struct fault_list *faults)
{
	const Errand__V1__UpdateTaskRequest *in = p->in;

	if (in->_priority_case == ERRAND__V1__UPDATE_TASK_REQUEST___PRIORITY_PRIORITY) {
		patch->set_priority = true;
		patch->priority = in->priority;
	}
	if (in->run_at != NULL) {
		patch->set_run_at = true;
		patch->run_at_us = in->run_at->seconds <= 0 ? 0 :
			in->run_at->seconds * US_PER_S + in->run_at->nanos / 1000;
	}
	if (in->labels != NULL) {
		read_labels(in->labels, now, l, faults);
		patch->set_labels = true;
		patch->labels = l->list;
		patch->n_labels = l->n;
	}
	check(patch, faults);
}

static void patch_row(struct patch *p, const struct task_row *row)
{
	struct task_patch patch = {.version = row->version};
	struct fault_list faults = FAULT_LIST_INIT;
	struct labels labels = {0};
	struct task_options now;
	AUTO_BUF problem = BUF_INIT;
	char id[UUID_TEXT_SIZE], why[256];

	task_options_read(buf_bytes(&row->options), &now, NULL);
	read_patch(p, &now, &patch, &labels, &faults);
	if (faults.n > 0) {
		payload_problem(&faults, &problem);
		payload_say(&faults, why, sizeof why);
		patch_fail(p, ERRAND_INVALID_ARGUMENT, why, &problem);
	} else if (!patch.set_priority && !patch.set_run_at && !patch.set_labels) {
		patch_answer(p, row);
	} else {
		task_patch(uuid_format(&row->id, id), &patch, on_patched, p);
	}
	fault_list_deinit(&faults);
	free(labels.list);
	task_options_deinit(&now);
}

static void on_looked(int code, const char *why, const struct task_row *row, void *arg)
{
	struct patch *p = arg;
	const char *tags = errand_metadata(p->request->call, "if-match");

	if (code != 0)
		patch_fail(p, code, why, NULL);
	else if (!p->any && !names_version(tags, row))
		patch_fail(p, TASK_STALE, "the task has changed: its ETag is not the one of If-Match", NULL);
	else
		patch_row(p, row);
}

static void patch_look(struct patch *p)
{
	task_get(p->in->id, on_looked, p);
}

static void refuse_blind(struct task_request *r)
{
	static const char why[] = "send If-Match with the task's ETag, or with * for whatever it is now";
	AUTO_BUF problem = BUF_INIT;

	task_problem_put(&problem, ERRAND_FAILED_PRECONDITION, PRECONDITION_REQUIRED, why);
	task_request_fail_problem(r, ERRAND_FAILED_PRECONDITION, why, &problem);
}

void task_api_patch(Errand__V1__Tasks_Service *service, const Errand__V1__UpdateTaskRequest *in,
		    Errand__V1__Task_Closure done, void *call)
{
	struct task_request *r = task_request_new(call, (ProtobufCClosure)done, &errand__v1__task__descriptor);
	const char *tags = errand_metadata(call, "if-match");
	struct patch *p;

	if (tags == NULL || *tags == '\0') {
		refuse_blind(r);
		return;
	}
	p = xcalloc(1, sizeof *p);
	p->request = r;
	p->in = in;
	p->any = strcmp(tags, "*") == 0;
	patch_look(p);
}
