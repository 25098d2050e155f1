/* openapi_operation.c: one operation: what it is about, what it takes, how it can be
 * answered. Pure. */
#include "base/grants.h"
#include "gateway/httpbody.h"
#include "gateway/openapi_private.h"

/* Where the first sentence of a comment ends. */
static size_t first_sentence(const char *text)
{
	size_t i = 0;

	for (; text[i] != '\0'; i++) {
		if (text[i] == '\n' && text[i + 1] == '\n')
			break;
		if ((text[i] == '.' || text[i] == ':') && (text[i + 1] == ' ' || text[i + 1] == '\n'))
			break;
	}
	return i;
}

void openapi_comment(struct openapi *o, const char *comment, bool summary)
{
	AUTO_BUF first = BUF_INIT;
	const char *rest = comment;
	size_t len;

	if (comment == NULL)
		return;
	if (summary) {
		len = first_sentence(comment);
		rest = comment + len;
		for (size_t i = 0; i < len; i++)
			buf_append_byte(&first, comment[i] == '\n' ? ' ' : (uint8_t)comment[i]);
		while (first.len > 0 && (first.data[first.len - 1] == '.' || first.data[first.len - 1] == ' '))
			first.len--;
		openapi_bytes(o, "summary", buf_bytes(&first));
		rest += strspn(rest, ".: \n");
	}
	if (*rest != '\0')
		openapi_string(o, "description", rest);
}

/* --- the body --- */

static bool object_has_required(const struct openapi_operation *op, const struct schema_message *m)
{
	for (size_t i = 0; m->well_known == WK_NONE && i < m->n_fields; i++)
		if (openapi_field_required(&m->fields[i]) && !openapi_is_bound(op, &m->fields[i]))
			return true;
	return false;
}

/* Does the path give a field of what is the body? */
static bool path_takes_of(const struct openapi_operation *op, const struct schema_message *m)
{
	for (size_t i = 0; m->well_known == WK_NONE && i < m->n_fields; i++)
		if (openapi_is_bound(op, &m->fields[i]))
			return true;
	return false;
}

static void put_body_schema(struct openapi *o, const struct openapi_operation *op)
{
	const struct schema_field *f = op->route.body;
	const struct schema_message *m = op->route.body_all ? op->method->input :
		!f->repeated && !f->bare ? f->message : NULL;
	bool less = m != NULL && path_takes_of(op, m);

	if (!op->route.body_all && !less) {
		openapi_field(o, "schema", f);
		return;
	}
	openapi_open(o, "schema", '{');
	if (less)
		openapi_object(o, m, op);
	else
		openapi_message(o, m);
	openapi_close(o, '}');
}

static void put_body(struct openapi *o, const struct openapi_operation *op)
{
	const struct schema_field *f = op->route.body;
	bool required = op->route.body_all ? object_has_required(op, op->method->input) :
		f != NULL && openapi_field_required(f);

	if (!op->route.body_all && f == NULL)
		return;
	openapi_open(o, "requestBody", '{');
	if (required)
		openapi_true(o, "required");
	openapi_open(o, "content", '{');
	if (httpbody_in(&op->route)) {
		openapi_raw(o, "*/*", "{}");
	} else {
		openapi_open(o, "application/json", '{');
		put_body_schema(o, op);
		openapi_example(o, op);
		openapi_close(o, '}');
	}
	openapi_close(o, '}');
	openapi_close(o, '}');
}

/* --- answers --- */

static void put_result_schema(struct openapi *o, const struct openapi_operation *op, const char *key)
{
	if (op->route.response_body != NULL) {
		openapi_plain_field(o, key, op->route.response_body);
		return;
	}
	openapi_open(o, key, '{');
	openapi_message(o, op->method->output);
	openapi_close(o, '}');
}

/* text/event-stream, application/x-ndjson: lines, each with a message. */
static void put_lines(struct openapi *o, const struct openapi_operation *op, const char *type,
		      const char *description)
{
	openapi_open(o, type, '{');
	openapi_open(o, "schema", '{');
	openapi_string(o, "type", "string");
	openapi_string(o, "description", description);
	openapi_close(o, '}');
	put_result_schema(o, op, "x-errand-item");
	openapi_close(o, '}');
}

static void put_stream_content(struct openapi *o, const struct openapi_operation *op)
{
	openapi_open(o, "application/json", '{');
	openapi_open(o, "schema", '{');
	openapi_string(o, "type", "array");
	openapi_string(o, "description", "The messages; after a failure the last element is "
		       "{\"@error\": problem}.");
	openapi_open(o, "items", '{');
	openapi_open(o, "anyOf", '[');
	put_result_schema(o, op, NULL);
	openapi_ref(o, NULL, "schemas", OPENAPI_STREAM_ERROR);
	openapi_need(o, OPENAPI_STREAM_ERROR);
	openapi_close(o, ']');
	openapi_close(o, '}');
	openapi_close(o, '}');
	openapi_close(o, '}');
	put_lines(o, op, "text/event-stream", "Server-sent events: `data:` of each is a message. The last "
		  "is `event: end`, or `event: error` with a problem.");
	put_lines(o, op, "application/x-ndjson", "A message on each line. The last line is {\"@end\":{}}, "
		  "or {\"@error\": problem}.");
}

static void put_content(struct openapi *o, const struct openapi_operation *op)
{
	openapi_open(o, "content", '{');
	if (httpbody_out(&op->route)) {
		openapi_raw(o, "*/*", "{}");
	} else if (op->method->server_streaming) {
		put_stream_content(o, op);
	} else {
		openapi_open(o, "application/json", '{');
		put_result_schema(o, op, "schema");
		openapi_close(o, '}');
	}
	openapi_close(o, '}');
}

static void put_answer(struct openapi *o, const struct openapi_operation *op, const char *status,
		       const char *description)
{
	openapi_open(o, status, '{');
	openapi_string(o, "description", description);
	if (strcmp(status, "204") != 0)
		put_content(o, op);
	openapi_close(o, '}');
}

static void put_link(struct openapi *o, const char *name, const char *method)
{
	const struct openapi_operation *op = openapi_operation_of(o, method);

	if (op == NULL)
		return;
	openapi_open(o, name, '{');
	openapi_string(o, "operationId", op->id);
	openapi_raw(o, "parameters", "{\"id\":\"$response.body#/id\"}");
	openapi_close(o, '}');
}

/* 202 with the task; its result has the type of the method's output. */
static void put_task(struct openapi *o, const struct openapi_operation *op)
{
	openapi_open(o, "202", '{');
	openapi_string(o, "description", "A task does it: its state is at Location.");
	openapi_raw(o, "headers", "{\"Location\":{\"$ref\":\"#/components/headers/Location\"},"
		    "\"Retry-After\":{\"$ref\":\"#/components/headers/RetryAfter\"}}");
	openapi_open(o, "content", '{');
	openapi_open(o, "application/json", '{');
	openapi_open(o, "schema", '{');
	openapi_open(o, "allOf", '[');
	openapi_ref(o, NULL, "schemas", "errand.v1.Task");
	openapi_need(o, "errand.v1.Task");
	openapi_open(o, NULL, '{');
	openapi_string(o, "type", "object");
	openapi_open(o, "properties", '{');
	openapi_open(o, "result", '{');
	openapi_message(o, op->method->output);
	openapi_close(o, '}');
	openapi_close(o, '}');
	openapi_close(o, '}');
	openapi_close(o, ']');
	openapi_close(o, '}');
	openapi_close(o, '}');
	openapi_close(o, '}');
	openapi_open(o, "links", '{');
	put_link(o, "task", "errand.v1.Tasks/GetTask");
	put_link(o, "result", "errand.v1.Tasks/GetResult");
	put_link(o, "cancel", "errand.v1.Tasks/CancelTask");
	openapi_close(o, '}');
	openapi_close(o, '}');
}

/* Our own methods that answer with another status than 200. */
static const struct {
	const char *method, *status, *description;
} statuses[] = {
	{"errand.v1.Tasks/CreateTask", "200", "Another task that has the unique key."},
	{"errand.v1.Tasks/CreateTask", "201", "The task was made."},
	{"errand.v1.Tasks/DeleteTask", "204", "Forgotten."},
	{"errand.v1.Tasks/CancelTask", "200", "The task has ended already."},
	{"errand.v1.Tasks/CancelTask", "202", "The task is being stopped."},
};

static bool put_own_answers(struct openapi *o, const struct openapi_operation *op)
{
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		if (strcmp(statuses[i].method, op->method->full_name) != 0)
			continue;
		put_answer(o, op, statuses[i].status, statuses[i].description);
		found = true;
	}
	return found;
}

static void put_problem(struct openapi *o, const char *status, const char *component)
{
	openapi_ref(o, status, "responses", component);
}

/* Which scopes will do (grants.h): each of them does. */
static void put_security(struct openapi *o, unsigned scopes)
{
	static const struct {
		unsigned scopes;
		const char *text;
	} rows[] = {
		{SCOPE_BIT(SCOPE_READ), "{\"bearer\":[\"read\"]}"},
		{SCOPE_BIT(SCOPE_CALL) | SCOPE_BIT(SCOPE_TASK), "{\"bearer\":[\"call\"]}"},
		{SCOPE_BIT(SCOPE_OPERATE), "{\"bearer\":[\"operate\"]}"},
	};
	AUTO_BUF list = BUF_INIT;

	if (scopes == 0)
		scopes = SCOPE_BIT(SCOPE_CALL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (scopes & rows[i].scopes)
			buf_printf(&list, "%s%s", list.len > 0 ? "," : "[", rows[i].text);
	buf_append_str(&list, "]");
	openapi_raw(o, "security", buf_cstr(&list));
}

static void put_responses(struct openapi *o, const struct openapi_operation *op)
{
	bool body = op->route.body_all || op->route.body != NULL;
	bool task = op->method->run == RUN_TASK && o->has_tasks && !op->method->server_streaming;

	openapi_open(o, "responses", '{');
	if (!put_own_answers(o, op))
		put_answer(o, op, "200", task ? "The result, when it was there in the time of "
			   "`Prefer: wait=N`." : "What was asked for.");
	if (task)
		put_task(o, op);
	put_problem(o, "400", "BadRequest");
	if (o->info->secured) {
		put_problem(o, "401", "Unauthorized");
		put_problem(o, "403", "Forbidden");
	}
	if (op->n_parameters > 0)
		put_problem(o, "404", "NotFound");
	if (body)
		put_problem(o, "415", "UnsupportedMediaType");
	put_problem(o, "422", "UnprocessableContent");
	put_problem(o, "429", "TooManyRequests");
	put_problem(o, "500", "InternalServerError");
	put_problem(o, "503", "ServiceUnavailable");
	if (!op->method->server_streaming && !task)
		put_problem(o, "504", "GatewayTimeout");
	put_problem(o, "default", "Problem");
	openapi_close(o, '}');
}

static bool template_is_expanded(const struct openapi_operation *op)
{
	for (size_t i = 0; i < op->n_parameters; i++)
		if (!op->parameters[i].whole || op->parameters[i].many)
			return true;
	return false;
}

void openapi_operation(struct openapi *o, const struct openapi_operation *op)
{
	openapi_open(o, "tags", '[');
	openapi_string(o, NULL, openapi_tag(o, op->method->service));
	openapi_close(o, ']');
	openapi_string(o, "operationId", op->id);
	if (op->method->comment != NULL)
		openapi_comment(o, op->method->comment, true);
	else
		openapi_string(o, "summary", op->method->name);
	if (op->method->deprecated)
		openapi_true(o, "deprecated");
	if (o->info->secured)
		put_security(o, op->method->scopes);
	openapi_parameters(o, op);
	put_body(o, op);
	put_responses(o, op);
	if (template_is_expanded(op))
		openapi_string(o, "x-errand-template", op->route.http->path);
}
