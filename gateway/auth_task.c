/* auth_task.c: see auth.h. Names of methods in the input of errand.v1.Tasks, where a client would otherwise reach through
 * CreateTask what it may not call. As wire bytes: each occurrence of the field is looked at, whichever one the service
 * takes, and what cannot be read goes nowhere. */
#define _GNU_SOURCE
#include "gateway/auth.h"

#include <string.h>

#include "base/pbuf.h"
#include "base/util.h"
#include "errand/status.h"
#include "gateway/problem.h"
#include "schema/schema.h"

enum { TASK_METHOD = 31, BATCH_REQUESTS = 1 };

struct task_ask {
	const struct auth_client *client;
	struct http_request *http;
	const struct schema *schema;
};

/* A method that this gateway does not know yet may be for operators. */
static bool permit_method(const struct task_ask *a, struct bytes name)
{
	const struct schema_method *m = schema_method(a->schema, (const char *)name.data, name.len);

	if (m != NULL)
		return auth_permit(a->client, a->http, m->scopes, m->service->name);
	if (name.len == 0 || grants_allow(a->client->grants, SCOPE_BIT(SCOPE_OPERATE), ""))
		return true;
	problem_reply(a->http, 404, ERRAND_NOT_FOUND, "there is no method %.*s here", (int)MIN(name.len, 200),
		      (const char *)name.data);
	return false;
}

static bool permit_field(const struct task_ask *a, struct bytes message, uint32_t number,
			 bool (*permit)(const struct task_ask *a, struct bytes value))
{
	struct pbuf_reader r = pbuf_reader(message.data, message.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == number && f.wire == PBUF_LEN && !permit(a, f.bytes))
			return false;
	if (r.bad)
		problem_reply(a->http, 400, ERRAND_INVALID_ARGUMENT, "the body is not a message of this method");
	return !r.bad;
}

static bool permit_task(const struct task_ask *a, struct bytes task)
{
	return permit_field(a, task, TASK_METHOD, permit_method);
}

bool auth_permit_tasks(const struct auth_client *client, struct http_request *r, const struct schema *schema,
		       const struct schema_method *method, struct bytes input)
{
	const struct task_ask a = {client, r, schema};

	if (client->grants == NULL)
		return true;
	if (strcmp(method->full_name, "errand.v1.Tasks/CreateTask") == 0)
		return permit_task(&a, input);
	if (strcmp(method->full_name, "errand.v1.Tasks/BatchCreateTasks") == 0)
		return permit_field(&a, input, BATCH_REQUESTS, permit_task);
	return true;
}
