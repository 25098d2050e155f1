/* task_draft.c: see task_draft.h. TaskOptions are the members of CreateTaskRequest but
 * the last two, under the same numbers (proto/errand/v1/tasks.proto). */
#include "service/call_ids.h"
#include "service/task_draft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pbuf.h"
#include "errand/status.h"
#include "service/payload.h"
#include "service/task_api.h"
#include "service/task_input.h"
#include "service/task_options.h"
#include "service/worker.h"

enum { FIRST_OWN = 31, UNPROCESSABLE = 422 };

/* --- reading --- */

static void refuse(struct fault_list *faults, const char *name, const char *detail)
{
	fault_add(faults, FAULT_SCHEMA, FAULT_POINTER, "#/method", "method", name, strlen(name), "%s", detail);
}

/* Only what cannot be a task of anybody is a fault; an unknown method is 404. */
static void find_method(struct task_draft *d, const char *name, struct fault_list *faults)
{
	const struct method *m = registry_method_by_name(name);

	if (*name == '\0') {
		fault_add(faults, FAULT_SCHEMA, FAULT_POINTER, "#/method", "required", NULL, 0,
			  "a method is needed, as pkg.Service/Method");
	} else if (m == NULL) {
		d->code = ERRAND_NOT_FOUND;
		snprintf(d->why, sizeof d->why, "there is no method %.200s here", name);
		task_problem_put(&d->problem, d->code, 0, d->why);
	} else if (registry_is_builtin(m)) {
		refuse(faults, name, "errand's own methods are not run as tasks");
	} else if (m->schema->server_streaming || m->schema->client_streaming) {
		refuse(faults, name, "a method that streams cannot be a task");
	} else {
		d->method = m;
	}
}

static void read_options(struct task_draft *d, const Errand__V1__CreateTaskRequest *in,
			 struct fault_list *faults)
{
	struct task_options o;
	struct pbuf_reader r;
	struct pbuf_field f;
	AUTO_BUF packed = BUF_INIT;
	uint8_t *room = buf_reserve(&packed, protobuf_c_message_get_packed_size(&in->base) + 1);

	packed.len = protobuf_c_message_pack(&in->base, room);
	r = pbuf_reader(packed.data, packed.len);
	while (pbuf_next(&r, &f))
		if (f.number < FIRST_OWN)
			buf_append(&d->options, f.start, (size_t)(r.p - f.start));
	task_options_read(buf_bytes(&d->options), &o, faults);
	d->queue = o.queue;
	o.queue = NULL;
	worker_check_queue(d->method, d->queue, "#/queue", faults);
	task_options_deinit(&o);
}

static void read_input(struct task_draft *d, const Google__Protobuf__Any *any, struct fault_list *faults)
{
	struct bytes type = {NULL, 0}, value = {NULL, 0};

	if (any != NULL) {
		type = (struct bytes){(const uint8_t *)any->type_url, strlen(any->type_url)};
		value = (struct bytes){any->value.data, any->value.len};
	}
	task_input_read(registry_schema(), d->method, type, value, "#/input", &d->input, faults);
}

bool task_draft_read(struct task_draft *d, const Errand__V1__CreateTaskRequest *in)
{
	struct fault_list faults = FAULT_LIST_INIT;

	*d = (struct task_draft){0};
	find_method(d, in->method, &faults);
	if (d->code == 0)
		read_options(d, in, &faults);
	if (d->method != NULL)
		read_input(d, in->input, &faults);
	if (faults.n > 0) {
		d->code = ERRAND_INVALID_ARGUMENT;
		payload_problem(&faults, &d->problem);
		payload_say(&faults, d->why, sizeof d->why);
	} else if (d->code == 0) {
		const struct bytes parts[] = {buf_bytes(&d->options), buf_bytes(&d->input)};

		fingerprint_make(in->method, parts, ARRAY_LEN(parts), d->fingerprint);
	}
	fault_list_deinit(&faults);
	return d->code == 0;
}

void task_draft_deinit(struct task_draft *d)
{
	buf_deinit(&d->input);
	buf_deinit(&d->options);
	buf_deinit(&d->problem);
	free(d->queue);
}

/* --- making --- */

void task_draft_create(const struct task_draft *d, const char *key, const struct errand_call *by,
		       task_created done, void *arg)
{
	struct wire_pair origin[CALL_ORIGIN_MAX];
	struct task_spec spec = {
		.method = d->method,
		.input = buf_bytes(&d->input),
		.options = buf_bytes(&d->options),
		.metadata = origin,
		.n_metadata = call_origin(by, origin),
		.key = key,
		.fingerprint = key != NULL ? d->fingerprint : NULL,
	};

	task_create(&spec, done, arg);
}

/* 422 with the one place that is wrong. */
static int put_fault(struct buf *problem, enum fault_place place, const char *where, const char *rule,
		     const char *why)
{
	struct fault_list faults = FAULT_LIST_INIT;

	fault_add(&faults, FAULT_SCHEMA, place, where, rule, NULL, 0, "%s", why);
	payload_problem(&faults, problem);
	fault_list_deinit(&faults);
	return ERRAND_INVALID_ARGUMENT;
}

bool task_key_read(struct bytes given, char out[TASK_KEY_SIZE])
{
	out[0] = '\0';
	if (given.data == NULL)
		return true;
	if (given.len == 0 || given.len >= TASK_KEY_SIZE)
		return false;
	for (size_t i = 0; i < given.len; i++)
		if (given.data[i] < ' ' || given.data[i] > '~')
			return false;
	memcpy(out, given.data, given.len);
	out[given.len] = '\0';
	return true;
}

void task_key_problem(struct buf *problem, char *why, size_t why_size)
{
	snprintf(why, why_size, "Idempotency-Key: 1 to %d printable ASCII characters", TASK_KEY_SIZE - 1);
	put_fault(problem, FAULT_HEADER, "Idempotency-Key", "syntax", why);
}

int task_draft_failure(int code, enum task_found found, const char *why, struct buf *problem)
{
	if (found == TASK_KEY_REUSED)
		return put_fault(problem, FAULT_HEADER, "Idempotency-Key", "reused", why);
	if (found == TASK_NO_PARENT)
		return put_fault(problem, FAULT_POINTER, "#/after", "not_found", why);
	return task_failure(code, why, problem);
}
