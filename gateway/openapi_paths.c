/* openapi_paths.c: google.api.http's templates as OpenAPI's paths. There a parameter
 * is one segment, so a variable of several becomes its literals with one parameter
 * for each star: {name=shelves/STAR/books/STAR} is shelves/{shelf}/books/{book}.
 * Bindings of one shape share a path item, whatever their variables are called: the
 * first one's names count. Pure. */
#include <ctype.h>
#include <stdio.h>

#include "base/err.h"
#include "gateway/openapi_private.h"

static const char *const verbs[][2] = {
	{"GET", "get"}, {"PUT", "put"}, {"POST", "post"}, {"DELETE", "delete"},
	{"OPTIONS", "options"}, {"HEAD", "head"}, {"PATCH", "patch"}, {"TRACE", "trace"},
};

/* OpenAPI's name of a verb, or NULL: it has none for custom ones. */
static const char *verb_key(const char *verb)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i][0], verb) == 0)
			return verbs[i][1];
	return NULL;
}

static char *copy(struct buf *b)
{
	size_t len;

	buf_append_byte(b, '\0');
	return (char *)buf_take(b, &len);
}

/* --- names of parameters --- */

/* "books" -> "book"; good enough for the English of URLs. */
static void put_singular(struct buf *b, const char *text)
{
	static const char *const ends[][2] = {
		{"lves", "lf"}, {"ies", "y"}, {"sses", "ss"}, {"xes", "x"}, {"ches", "ch"},
		{"shes", "sh"}, {"ss", "ss"}, {"us", "us"}, {"s", ""},
	};
	size_t len = strlen(text);
	const char *add = "";

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		size_t n = strlen(ends[i][0]);

		if (len > n && strcmp(text + len - n, ends[i][0]) == 0) {
			len -= n;
			add = ends[i][1];
			break;
		}
	}
	buf_append(b, text, len);
	buf_append_str(b, add);
}

static bool name_is_taken(const struct openapi_operation *op, const char *name)
{
	for (size_t i = 0; i < op->n_parameters; i++)
		if (strcmp(op->parameters[i].name, name) == 0)
			return true;
	return false;
}

/* The variable that covers segment i, or NULL. */
static const struct template_variable *variable_at(const struct template *t, size_t i)
{
	for (size_t v = 0; v < t->n_variables; v++)
		if (i >= t->variables[v].first && i < t->variables[v].first + t->variables[v].n)
			return &t->variables[v];
	return NULL;
}

static char *parameter_name(const struct openapi_operation *op, const struct template *t, size_t at,
			    const struct template_variable *v)
{
	AUTO_BUF name = BUF_INIT;
	size_t len;

	if (v != NULL && v->n == 1)
		buf_append_str(&name, v->name);
	else if (at > 0 && t->segments[at - 1].kind == SEGMENT_LITERAL)
		put_singular(&name, t->segments[at - 1].text);
	else
		buf_append_str(&name, v != NULL ? v->name : "segment");
	for (size_t i = 0; i < name.len; i++) /* tools take no dots here */
		if (!isalnum(name.data[i]) && name.data[i] != '-')
			name.data[i] = '_';
	len = name.len;
	for (unsigned i = 2; name_is_taken(op, buf_cstr(&name)); i++) {
		name.len = len;
		buf_printf(&name, "_%u", i);
	}
	return copy(&name);
}

static void add_parameter(struct openapi_operation *op, size_t at, struct buf *path, struct buf *shape)
{
	const struct template *t = op->route.template;
	struct openapi_parameter *p = &op->parameters[op->n_parameters];
	const struct template_variable *v = variable_at(t, at);

	*p = (struct openapi_parameter){
		.variable = v,
		.whole = v != NULL && v->n == 1,
		.many = t->segments[at].kind == SEGMENT_STAR_STAR,
	};
	p->name = parameter_name(op, t, at, v);
	op->n_parameters++;
	buf_printf(path, "{%s}", p->name);
	buf_append_str(shape, "{}");
}

/* A literal as a URL has it. */
static void put_literal(struct buf *b, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
		if (isalnum(*p) || strchr("-._~!$&'()*+,;=:@", *p) != NULL)
			buf_append_byte(b, *p);
		else
			buf_printf(b, "%%%02X", *p);
}

static void make_path(struct openapi_operation *op)
{
	const struct template *t = op->route.template;
	AUTO_BUF path = BUF_INIT;
	AUTO_BUF shape = BUF_INIT;

	for (size_t i = 0; i < t->n_segments; i++) {
		buf_append_byte(&path, '/');
		buf_append_byte(&shape, '/');
		if (t->segments[i].kind == SEGMENT_LITERAL) {
			put_literal(&path, t->segments[i].text);
			put_literal(&shape, t->segments[i].text);
		} else if (op->n_parameters < ARRAY_LEN(op->parameters)) {
			add_parameter(op, i, &path, &shape);
		}
	}
	if (t->n_segments == 0)
		buf_append_byte(&path, '/');
	if (t->verb != NULL) {
		buf_append_byte(&path, ':');
		put_literal(&path, t->verb);
		buf_append_byte(&shape, ':');
		put_literal(&shape, t->verb);
	}
	op->path = copy(&path);
	op->shape = copy(&shape);
}

/* --- collecting --- */

const char *openapi_tag(const struct openapi *o, const struct schema_service *s)
{
	const char *dot = strrchr(s->name, '.');
	const char *tag = dot != NULL ? dot + 1 : s->name;

	return map_get_str(&o->tags, tag) == (const void *)s ? tag : s->name;
}

static char *make_id(struct openapi *o, const struct schema_method *m)
{
	AUTO_BUF id = BUF_INIT;
	size_t len;

	buf_printf(&id, "%s_%s", openapi_tag(o, m->service), m->name);
	for (size_t i = 0; i < id.len; i++)
		if (id.data[i] == '.')
			id.data[i] = '_';
	len = id.len;
	for (unsigned i = 2; map_get_str(&o->ids, buf_cstr(&id)) != NULL; i++) {
		id.len = len;
		buf_printf(&id, "_%u", i);
	}
	map_put_str(&o->ids, buf_cstr(&id), o);
	return copy(&id);
}

static struct openapi_operation *add_operation(struct openapi *o, const struct schema_method *m)
{
	if ((o->n_operations & (o->n_operations - 1)) == 0)
		o->operations = xrealloc(o->operations, (o->n_operations ? o->n_operations * 2 : 1) *
					 sizeof *o->operations);
	o->operations[o->n_operations] = (struct openapi_operation){.method = m, .route.method = m};
	return &o->operations[o->n_operations++];
}

/* The field that body or response_body names, or NULL. */
static const struct schema_field *last_field(struct field_path *path, const struct schema_message *m,
					     const char *text)
{
	if (*text == '\0' || !field_path_parse(path, m, text))
		return NULL;
	return path->steps[path->depth - 1];
}

static void collect_binding(struct openapi *o, const struct schema_method *m, const struct schema_http *h)
{
	struct template *t;
	struct openapi_operation *op;
	char why[256];

	if (template_parse(h->path, m->input, &t, why, sizeof why) < 0)
		return; /* schema_load would have refused it */
	op = add_operation(o, m);
	op->verb = h->verb;
	op->route.http = h;
	op->route.template = t;
	op->route.body_all = strcmp(h->body, "*") == 0;
	if (!op->route.body_all)
		op->route.body = last_field(&op->route.body_path, m->input, h->body);
	op->route.response_body = last_field(&op->route.response_path, m->output, h->response_body);
	make_path(op);
	op->id = make_id(o, m);
}

/* A method without annotation has its RPC route. */
static void collect_rpc(struct openapi *o, const struct schema_method *m)
{
	struct openapi_operation *op = add_operation(o, m);
	AUTO_BUF path = BUF_INIT;

	op->verb = "POST";
	op->route.body_all = true;
	buf_printf(&path, "/%s", m->full_name);
	op->path = xstrdup(buf_cstr(&path));
	op->shape = xstrdup(op->path);
	op->id = make_id(o, m);
}

static void collect_tags(struct openapi *o)
{
	for (size_t i = 0; i < schema_n_services(o->schema); i++) {
		const struct schema_service *s = schema_service_at(o->schema, i);
		const char *dot = strrchr(s->name, '.');
		const char *tag = dot != NULL ? dot + 1 : s->name;

		if (map_get_str(&o->tags, tag) == NULL)
			map_put_str(&o->tags, tag, (void *)s);
	}
}

static void collect_service(struct openapi *o, const struct schema_service *s)
{
	for (size_t i = 0; i < s->n_methods; i++) {
		const struct schema_method *m = &s->methods[i];

		if (m->client_streaming || m->local)
			continue; /* not over HTTP */
		for (size_t k = 0; k < m->n_http; k++)
			collect_binding(o, m, &m->http[k]);
		if (m->n_http == 0 && !openapi_is_ours(s)) /* ours without one are between the daemons */
			collect_rpc(o, m);
	}
}

/* The user's services first. */
void openapi_collect(struct openapi *o)
{
	size_t n = schema_n_services(o->schema);

	collect_tags(o);
	for (size_t i = 0; i < 2 * n; i++) {
		const struct schema_service *s = schema_service_at(o->schema, i % n);

		if (openapi_is_ours(s) == (i >= n))
			collect_service(o, s);
	}
}

bool openapi_is_ours(const struct schema_service *s)
{
	return strncmp(s->name, "errand.v1.", strlen("errand.v1.")) == 0;
}

const struct openapi_operation *openapi_operation_of(const struct openapi *o, const char *method)
{
	for (size_t i = 0; i < o->n_operations; i++)
		if (verb_key(o->operations[i].verb) != NULL &&
		    strcmp(o->operations[i].method->full_name, method) == 0)
			return &o->operations[i];
	return NULL;
}

/* --- writing --- */

/* Is there an operation with this verb among those of the shape before op? */
static bool verb_is_taken(const struct openapi_operation *first, const struct openapi_operation *op)
{
	for (const struct openapi_operation *p = first; p < op; p++)
		if (p->first == first && strcmp(p->verb, op->verb) == 0)
			return true;
	return false;
}

static void put_others(struct openapi *o, struct openapi_operation *first)
{
	bool any = false;

	for (struct openapi_operation *op = first; op < o->operations + o->n_operations; op++) {
		if (op->first != first || op->written)
			continue;
		if (!any)
			openapi_open(o, "x-errand-routes", '[');
		any = true;
		openapi_open(o, NULL, '{');
		openapi_string(o, "verb", op->verb);
		openapi_string(o, "template", op->route.http->path);
		openapi_string(o, "method", op->method->full_name);
		openapi_close(o, '}');
	}
	if (any)
		openapi_close(o, ']');
}

static void put_item(struct openapi *o, struct openapi_operation *first)
{
	openapi_open(o, first->path, '{');
	for (struct openapi_operation *op = first; op < o->operations + o->n_operations; op++) {
		if (op->first != first || verb_key(op->verb) == NULL || verb_is_taken(first, op))
			continue;
		op->written = true;
		openapi_open(o, verb_key(op->verb), '{');
		openapi_operation(o, op);
		openapi_close(o, '}');
	}
	put_others(o, first); /* custom verbs, and what differs by its two stars only */
	openapi_close(o, '}');
}

void openapi_paths(struct openapi *o)
{
	struct map shapes = MAP_INIT;

	openapi_open(o, "paths", '{');
	for (size_t i = 0; i < o->n_operations; i++) {
		struct openapi_operation *op = &o->operations[i];

		op->first = map_get_str(&shapes, op->shape);
		if (op->first == NULL) {
			map_put_str(&shapes, op->shape, op);
			op->first = op;
		}
	}
	for (size_t i = 0; i < o->n_operations; i++)
		if (o->operations[i].first == &o->operations[i])
			put_item(o, &o->operations[i]);
	openapi_close(o, '}');
	map_deinit(&shapes);
}
