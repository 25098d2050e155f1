/* enqueue.c: see enqueue.h; what happens on the handler's thread. */
#include "service/call_ids.h"
#include "service/enqueue.h"

#include <string.h>

#include "base/log.h"
#include "service/enqueue_options.h"
#include "service/payload.h"
#include "service/worker.h"

static void free_one(struct list *node)
{
	struct enqueued *e = LIST_ENTRY(node, struct enqueued, node);

	task_new_deinit(&e->task);
	free(e);
}

static int refuse(const struct errand_call *call, const char *method, int code, const char *why)
{
	log_warn("a handler tried to make a task that cannot be", "method=%s task_method=%.100s why=\"%s\"",
		 errand_method_name(call), method, why);
	return code;
}

static bool check_options(const struct method *m, struct bytes packed, char *why, size_t why_size)
{
	struct fault_list faults = FAULT_LIST_INIT;
	struct task_options o = {0};
	bool good = task_options_read(packed, &o, &faults);

	worker_check_queue(m, o.queue, "#/queue", &faults);
	good = good && faults.n == 0;
	if (!good)
		payload_say(&faults, why, why_size);
	task_options_deinit(&o);
	fault_list_deinit(&faults);
	return good;
}

static int add(struct errand_call *call, struct task_spec *spec, char *id)
{
	struct enqueued *e = xcalloc(1, sizeof *e);
	struct wire_pair origin[CALL_ORIGIN_MAX];

	spec->metadata = origin;
	spec->n_metadata = call_origin(call, origin);
	task_new_init(&e->task, spec);
	if (id != NULL)
		uuid_format(&e->task.row.id, id);
	return call_add_task(call, &e->node, free_one, ERRAND_ENQUEUE_MAX);
}

static int enqueue_packed(struct errand_call *call, const struct method *m, struct bytes input,
			  const struct errand_task_options *options, char *id)
{
	const char *name = m->schema->full_name;
	AUTO_BUF packed = BUF_INIT;
	AUTO_BUF merged = BUF_INIT;
	AUTO_BUF problem = BUF_INIT;
	struct task_spec spec = {.method = m};
	char why[256];

	if (payload_check_input(m, &input, true, &merged, &problem, why, sizeof why) < 0)
		return refuse(call, name, -ERRAND_INVALID_ARGUMENT, why);
	enqueue_pack_options(options, &packed);
	if (!check_options(m, buf_bytes(&packed), why, sizeof why))
		return refuse(call, name, -ERRAND_INVALID_ARGUMENT, why);
	spec.input = input;
	spec.options = buf_bytes(&packed);
	return add(call, &spec, id);
}

/* Of a method without a handler in C only the name is known. */
static bool is_input(const struct method *m, const ProtobufCMessage *input)
{
	if (m->input != NULL)
		return input->descriptor == m->input;
	return strcmp(input->descriptor->name, m->schema->input->name) == 0;
}

int errand_enqueue(struct errand_call *call, const char *method, const ProtobufCMessage *input,
		   const struct errand_task_options *options, char id[ERRAND_TASK_ID_SIZE])
{
	const struct method *m = registry_method_by_name(method);
	AUTO_BUF packed = BUF_INIT;
	uint8_t *p;

	if (id != NULL)
		*id = 0;
	if (m == NULL || registry_is_builtin(m))
		return refuse(call, method, -ERRAND_NOT_FOUND, "there is no such method");
	if (m->schema->server_streaming || m->schema->client_streaming)
		return refuse(call, method, -ERRAND_INVALID_ARGUMENT, "a stream cannot be a task");
	if (input == NULL || !is_input(m, input))
		return refuse(call, method, -ERRAND_INVALID_ARGUMENT, "the input is not the method's message");
	p = buf_reserve(&packed, protobuf_c_message_get_packed_size(input) + 1);
	if (p == NULL)
		return -ERRAND_RESOURCE_EXHAUSTED;
	packed.len = protobuf_c_message_pack(input, p);
	return enqueue_packed(call, m, buf_bytes(&packed), options, id);
}
