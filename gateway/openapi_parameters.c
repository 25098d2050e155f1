/* openapi_parameters.c: what an operation takes from path, query and headers. The
 * query has what query.c reads: each field that neither path nor body gives, nested
 * ones with dots, lists repeated, maps as name[key]=value. Pure. */
#include "gateway/openapi_private.h"

#include "schema/transcode.h"

enum { QUERY_MAX = 100, DEPTH_MAX = 4, STEPS_MAX = 10000 }; /* shown; more are taken */

/* Where the walk over the input's fields is. */
struct walk {
	const struct openapi_operation *op;
	const struct schema_field *path[TEMPLATE_PATH_MAX];
	size_t depth;
	size_t n, steps;
	bool any; /* "parameters" is open */
};

static void begin(struct openapi *o, bool *any, const char *name, const char *in)
{
	if (!*any)
		openapi_open(o, "parameters", '[');
	*any = true;
	openapi_open(o, NULL, '{');
	openapi_string(o, "name", name);
	openapi_string(o, "in", in);
}

/* --- path --- */

static void put_path_parameter(struct openapi *o, const struct openapi_parameter *p, const char *name,
			       bool *any)
{
	const struct schema_field *f = p->variable != NULL ? p->variable->path[p->variable->depth - 1] : NULL;
	AUTO_BUF text = BUF_INIT;

	begin(o, any, name, "path");
	openapi_true(o, "required");
	if (f != NULL && f->comment != NULL)
		buf_append_str(&text, f->comment);
	if (f != NULL && (!p->whole || p->variable->depth > 1))
		buf_printf(&text, "%s%s `%s`.", text.len > 0 ? "\n\n" : "",
			   p->whole ? "The field" : "Part of", p->variable->name);
	if (p->many)
		buf_printf(&text, "%sMay span several segments: its slashes are sent as they are.",
			   text.len == 0 ? "" : p->whole ? "\n\n" : " ");
	if (text.len > 0)
		openapi_bytes(o, "description", buf_bytes(&text));
	if (f != NULL && p->whole)
		openapi_plain_field(o, "schema", f);
	else
		openapi_raw(o, "schema", "{\"type\":\"string\"}");
	openapi_close(o, '}');
}

/* --- query --- */

static bool is_query_value(const struct schema_field *f)
{
	if (f->enumeration != NULL && f->enumeration->is_null_value)
		return false; /* JSON's null has no text */
	return f->map ? transcode_field_is_text(schema_field_by_number(f->message, 2)) : transcode_field_is_text(f);
}

bool openapi_is_given(const struct template_variable *v, const struct schema_field *const *path, size_t depth)
{
	enum field_relation to = field_relation(v->path, v->depth, path, depth);

	return to == FIELDS_ONEOF || (to == FIELDS_SAME && v->depth <= depth);
}

static bool walk_is_given(const struct walk *w)
{
	const struct template *t = w->op->route.template;
	const struct field_path *body = &w->op->route.body_path;

	if (w->op->route.body != NULL && body->depth <= w->depth &&
	    field_relation(body->steps, body->depth, w->path, w->depth) == FIELDS_SAME)
		return true;
	for (size_t i = 0; t != NULL && i < t->n_variables; i++)
		if (openapi_is_given(&t->variables[i], w->path, w->depth))
			return true;
	return false;
}

/* Is f's message one that we are inside of? */
static bool walk_recurses(const struct walk *w, const struct schema_field *f)
{
	for (size_t i = 0; i < w->depth; i++)
		if (w->path[i]->parent == f->message)
			return true;
	return false;
}

static void put_query_parameter(struct openapi *o, struct walk *w, const struct schema_field *f)
{
	AUTO_BUF name = BUF_INIT;

	for (size_t i = 0; i < w->depth; i++)
		buf_printf(&name, "%s%s", i > 0 ? "." : "", strpbrk(w->path[i]->out_name, ".[") == NULL ?
			   w->path[i]->out_name : w->path[i]->name);
	begin(o, &w->any, buf_cstr(&name), "query");
	if (w->depth == 1 && openapi_field_required(f))
		openapi_true(o, "required");
	openapi_comment(o, f->comment, false);
	if (f->deprecated)
		openapi_true(o, "deprecated");
	if (f->map)
		openapi_string(o, "style", "deepObject");
	if (f->repeated)
		openapi_true(o, "explode");
	openapi_plain_field(o, "schema", f);
	openapi_close(o, '}');
	w->n++;
}

static void walk_query(struct openapi *o, struct walk *w, const struct schema_message *m)
{
	for (size_t i = 0; i < m->n_fields && w->n < QUERY_MAX && w->steps++ < STEPS_MAX; i++) {
		const struct schema_field *f = &m->fields[i];

		if (f->out_only || f->extension)
			continue;
		w->path[w->depth++] = f;
		if (walk_is_given(w))
			;
		else if (is_query_value(f))
			put_query_parameter(o, w, f);
		else if (f->type == FIELD_MESSAGE && !f->repeated && f->message->well_known == WK_NONE &&
			 w->depth < DEPTH_MAX && !walk_recurses(w, f))
			walk_query(o, w, f->message);
		w->depth--;
	}
}

/* --- headers --- */

static void put_shared(struct openapi *o, struct walk *w, const char *name)
{
	if (!w->any)
		openapi_open(o, "parameters", '[');
	w->any = true;
	openapi_ref(o, NULL, "parameters", name);
}

/* What our own methods read. */
static const struct {
	const char *method, *header;
} headers[] = {
	{"errand.v1.Tasks/BatchCreateTasks", "IdempotencyKey"},
	{"errand.v1.Tasks/CreateTask", "IdempotencyKey"},
	{"errand.v1.Tasks/GetTask", "Prefer"},
	{"errand.v1.Tasks/UpdateTask", "IfMatch"},
};

static bool put_own(struct openapi *o, struct walk *w, const char *method)
{
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		if (strcmp(method, headers[i].method) == 0) {
			put_shared(o, w, headers[i].header);
			return true;
		}
	return false;
}

static void put_headers(struct openapi *o, struct walk *w, const struct schema_method *m)
{
	if (put_own(o, w, m->full_name))
		return;
	if (m->run == RUN_TASK && o->has_tasks) {
		put_shared(o, w, "Prefer");
		put_shared(o, w, "IdempotencyKey");
	} else if (!m->server_streaming) {
		put_shared(o, w, "ServerTimeout");
	}
	if (m->server_streaming && m->output->sse_id != NULL)
		put_shared(o, w, "LastEventId");
}

void openapi_parameters(struct openapi *o, const struct openapi_operation *op)
{
	struct walk w = {.op = op};

	for (size_t i = 0; i < op->n_parameters; i++)
		put_path_parameter(o, &op->parameters[i], op->first->parameters[i].name, &w.any);
	if (!op->route.body_all)
		walk_query(o, &w, op->method->input);
	put_headers(o, &w, op->method);
	if (w.any)
		openapi_close(o, ']');
}
