/* test_result.c: what a call or a task has come to, as the test sees it. */
#include "service/test_impl.h"

#include <string.h>

#include "base/err.h"
#include "base/util.h"
#include "errand/v1/problem.pb-c.h"

static void tie(struct test_result *t)
{
	t->r.message = t->message;
	t->r.bytes = t->bytes.data;
	t->r.n_bytes = t->bytes.len;
	t->r.log = t->log.len > 0 ? buf_cstr(&t->log) : "";
	t->r.progress_message = t->progress_message != NULL ? t->progress_message : "";
	t->r.task_id = t->task_id;
	t->r.faults = t->faults;
	t->r.messages = (const ProtobufCMessage *const *)t->messages;
}

struct test_result *test_result_new(int code, const char *message)
{
	struct test_result *t = xcalloc(1, sizeof *t);

	t->r.code = code;
	t->message = xstrdup(message != NULL ? message : "");
	tie(t);
	return t;
}

static void add_fault(struct test_result *t, const Errand__V1__Violation *v)
{
	const char *place = v->place_case == ERRAND__V1__VIOLATION__PLACE_POINTER ? v->pointer : "";
	struct errand_test_fault *f;

	t->faults = xrealloc(t->faults, (t->r.n_faults + 1) * sizeof *t->faults);
	f = &t->faults[t->r.n_faults++];
	f->pointer = xstrdup(place);
	f->rule = xstrdup(v->rule);
	f->detail = xstrdup(v->detail);
}

void test_result_fail(struct test_result *t, int code, const char *message, struct bytes problem)
{
	Errand__V1__Problem *p = errand__v1__problem__unpack(NULL, problem.len, problem.data);

	t->r.code = code;
	free(t->message);
	t->message = xstrdup(message != NULL && *message != '\0' ? message :
			     p != NULL ? p->detail : err_info(code)->name);
	for (size_t i = 0; p != NULL && i < p->n_errors; i++)
		add_fault(t, p->errors[i]);
	if (p != NULL)
		errand__v1__problem__free_unpacked(p, NULL);
	tie(t);
}

static ProtobufCMessage *unpack(const struct method *m, struct bytes b)
{
	return m->output != NULL ? protobuf_c_message_unpack(m->output, NULL, b.len, b.data) : NULL;
}

void test_result_output(struct test_result *t, const struct method *m, struct bytes output)
{
	buf_append(&t->bytes, output.data, output.len);
	t->r.output = unpack(m, output);
	tie(t);
}

void test_result_message(struct test_result *t, const struct method *m, struct bytes message)
{
	ProtobufCMessage *one = unpack(m, message);

	if (one == NULL)
		return;
	t->messages = xrealloc(t->messages, (t->r.n_messages + 1) * sizeof(ProtobufCMessage *));
	t->messages[t->r.n_messages++] = one;
	tie(t);
}

const char *errand_test_metadata(const struct errand_test_result *r, const char *key)
{
	const struct test_result *t = CONTAINER_OF(r, const struct test_result, r);

	for (size_t i = 0; i < t->n_metadata; i++)
		if (strcmp(t->metadata[i].key, key) == 0)
			return t->metadata[i].value;
	return NULL;
}

static void free_faults(struct test_result *t)
{
	for (size_t i = 0; i < t->r.n_faults; i++) {
		free((char *)(uintptr_t)t->faults[i].pointer);
		free((char *)(uintptr_t)t->faults[i].rule);
		free((char *)(uintptr_t)t->faults[i].detail);
	}
	free(t->faults);
}

struct errand_test_result *errand_test_result_free(struct errand_test_result *r)
{
	struct test_result *t = r != NULL ? CONTAINER_OF(r, struct test_result, r) : NULL;

	if (t == NULL)
		return NULL;
	free_faults(t);
	for (size_t i = 0; i < t->r.n_messages; i++)
		protobuf_c_message_free_unpacked(t->messages[i], NULL);
	free(t->messages);
	if (r->output != NULL)
		protobuf_c_message_free_unpacked((ProtobufCMessage *)(uintptr_t)r->output, NULL);
	for (size_t i = 0; i < t->n_metadata; i++) {
		free(t->metadata[i].key);
		free(t->metadata[i].value);
	}
	free(t->metadata);
	buf_deinit(&t->bytes);
	buf_deinit(&t->log);
	free(t->message);
	free(t->task_id);
	free(t->progress_message);
	free(t);
	return NULL;
}
