/* test_call.c: methods called by a test: as a session calls them, but that the answer goes
 * to a result (errand/test.h). */
#include <string.h>

#include "base/clock.h"
#include "base/util.h"
#include "service/deadline.h"
#include "service/enqueue.h"
#include "service/loop.h"
#include "service/payload.h"
#include "service/task_api.h"
#include "service/test_impl.h"

int test_input(const char *method, const ProtobufCMessage *input, const struct method **out,
	       struct buf *packed, struct buf *problem)
{
	const struct method *m = registry_method_by_name(method);
	AUTO_BUF merged = BUF_INIT;
	struct bytes in;
	char why[256];
	int r;

	*out = m;
	if (m == NULL)
		return test_refuse(-ERRAND_NOT_FOUND, "there is no method %s", method);
	if (input != NULL && strcmp(input->descriptor->name, m->schema->input->name) != 0)
		return test_refuse(-ERRAND_INVALID_ARGUMENT, "%s takes %s, not %s", method,
				   m->schema->input->name, input->descriptor->name);
	if (input != NULL)
		packed->len += protobuf_c_message_pack(
			input, buf_reserve(packed, protobuf_c_message_get_packed_size(input) + 1));
	in = buf_bytes(packed);
	r = payload_check_input(m, &in, true, &merged, problem, why, sizeof why);
	return r < 0 ? test_refuse(r, "%s", why) : 0;
}

struct test_call {
	const struct method *method;
	struct errand_call *call;
	struct test_result *result;
	bool over;
	struct answer answer;   /* of one that makes tasks, until they are stored */
};

static void give_answer(struct test_call *c, struct answer *a)
{
	if (a->code != 0)
		test_result_fail(c->result, a->code, a->message, buf_bytes(&a->problem));
	else if (!c->method->schema->server_streaming)
		test_result_output(c->result, c->method, buf_bytes(&a->payload));
	c->result->metadata = a->metadata;
	c->result->n_metadata = a->n_metadata;
	a->metadata = NULL;
	a->n_metadata = 0;
	c->over = true;
}

static void on_committed(int code, const char *why, void *arg)
{
	struct test_call *c = arg;

	if (code != 0) {
		answer_deinit(&c->answer);
		c->answer = (struct answer){0};
		c->answer.code = task_failure(code, why, &c->answer.problem);
		c->answer.message = xstrdup(why);
	}
	give_answer(c, &c->answer);
	answer_deinit(&c->answer);
	call_delivered(c->call);
}

static void on_answered(struct errand_call *call, struct answer *a, void *arg)
{
	struct test_call *c = arg;
	struct call_tasks *tasks = a->tasks;

	if (a->code != 0 || tasks == NULL) {
		give_answer(c, a);
		return;
	}
	call_hold(call);
	c->call = call;
	c->answer = *a;
	c->answer.tasks = NULL;
	*a = (struct answer){.code = c->answer.code};
	enqueue_commit(tasks, on_committed, c);
}

static int on_message(struct errand_call *call, struct bytes message, void *arg)
{
	struct test_call *c = arg;

	test_result_message(c->result, c->method, message);
	return 0;
}

static const struct call_source source = {
	.name = "test",
	.answered = on_answered,
	.message = on_message,
};

static bool is_over(void *arg)
{
	const struct test_call *c = arg;

	return c->over;
}

/* The moments it may wait for: timers and deadlines of calls. */
static int64_t calls_own(void *arg)
{
	return deadline_next() == INT64_MAX ? INT64_MIN : deadline_next();
}

static size_t pairs_of(const struct errand_test_call_options *o, struct wire_pair *pairs, size_t max)
{
	size_t n = 0;

	for (; n < o->n_metadata && n < max; n++) {
		const struct errand_label *l = &o->metadata[n];

		pairs[n].key = (struct bytes){(const uint8_t *)l->key, strlen(l->key)};
		pairs[n].value = (struct bytes){(const uint8_t *)l->value, strlen(l->value)};
	}
	return n;
}

static struct errand_test_result *call(const struct method *m, struct bytes input,
				       const struct errand_test_call_options *o)
{
	struct test_call *c = xcalloc(1, sizeof *c);
	struct wire_pair pairs[ENVELOPE_METADATA_MAX];
	struct call_params p = {.method = m, .source = &source, .arg = c, .payload = input,
				.metadata = pairs,
				.n_metadata = pairs_of(o, pairs, ARRAY_LEN(pairs))};
	struct errand_test_result *r;

	if (o->timeout_ns > 0)
		p.deadline_ns = clock_mono_ns() + o->timeout_ns;
	c->method = m;
	c->result = test_result_new(0, "");
	c->call = call_start(&p);
	if (!test_wait(is_over, calls_own, c)) {
		call_cancel(c->call, ERRAND_CANCELLED, true);
		test_result_fail(c->result, ERRAND_DEADLINE_EXCEEDED,
				 "nobody answered, and nothing is due that could", (struct bytes){0});
	}
	r = &c->result->r;
	free(c);
	return r;
}

struct errand_test_result *errand_test_call(const char *method, const ProtobufCMessage *input,
					    const struct errand_test_call_options *options)
{
	static const struct errand_test_call_options none;
	const struct errand_test_call_options *o = options != NULL ? options : &none;
	AUTO_BUF packed = BUF_INIT;
	AUTO_BUF problem = BUF_INIT;
	const struct method *m;
	int r;

	test_enter(__func__);
	r = test_input(method, input, &m, &packed, &problem);
	if (r < 0) {
		struct test_result *t = test_result_new(-r, "");

		test_result_fail(t, -r, errand_test_error(), buf_bytes(&problem));
		return &t->r;
	}
	if (m->run == RUN_TASK)
		return test_task_call(m, buf_bytes(&packed), o);
	return call(m, buf_bytes(&packed), o);
}
