/* Query parameters: `a.b=1&c=2&c=3&labels[k]=v`. Each one is looked up in the
 * tables, decoded and handed to the transcoder. What names one field twice, two
 * members of a oneof, or a field that path or body have, is a fault, never a
 * silent choice.
 *
 * Pure; any thread. */
#include "schema/query.h"

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/overlap.h"
#include "schema/transcode.h"

enum { QUERY_MAX = 100 }; /* different parameters, path variables */

/* A field that has its value. */
struct bound {
	const struct schema_field *const *path;
	size_t depth;
	enum { BY_QUERY, BY_PATH, BY_BODY } by;
	bool list;           /* may be given again */
	size_t key, key_len; /* of a map's entry, in query.keys */
};

struct query {
	const struct route *route;
	struct buf *out;
	struct fault_list *faults;
	struct bound bound[QUERY_MAX];
	size_t n_bound;
	const struct schema_field *paths[QUERY_MAX][TEMPLATE_PATH_MAX]; /* behind bound */
	struct buf name, value; /* decoded */
	struct buf keys;        /* of the map entries in bound */
	size_t given;           /* bytes of out that are not from here */
	void (*tell)(const struct query_binding *b, void *arg); /* may be NULL */
	void *tell_arg;
};

struct parameter {
	const char *name; /* as the client wrote it, decoded */
	struct bytes value;
	const struct schema_field *path[TEMPLATE_PATH_MAX];
	size_t depth;
	struct bytes key; /* of a map: labels[key] */
};

static void query_fault(struct query *q, enum fault_kind kind, const char *name, const char *rule,
			const char *detail)
{
	fault_add(q->faults, kind, FAULT_PARAMETER, name, rule, NULL, 0, "%s", detail);
}

/* `+` is a space here, unlike in a path. */
static bool query_decode(struct bytes raw, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i < raw.len; i++) {
		size_t run = i;

		while (run < raw.len && raw.data[run] != '+')
			run++;
		if (!route_decode((struct bytes){raw.data + i, run - i}, false, out))
			return false;
		if (run < raw.len)
			buf_append_byte(out, ' ');
		i = run;
	}
	return true;
}

static bool same_key(const struct query *q, const struct bound *a, struct bytes key)
{
	return a->key_len == key.len &&
		(key.len == 0 || memcmp(q->keys.data + a->key, key.data, key.len) == 0);
}

/* Why p cannot be given as well, or NULL. A path that begins with another names a
 * part of what is given whole, as `time` and `time.seconds`. What is in the body
 * cannot be told from its place: whether its oneof is set is seen in the bytes. */
static const char *bound_conflict(const struct query *q, const struct bound *a, const struct parameter *p)
{
	switch (field_relation(a->path, a->depth, p->path, p->depth)) {
	case FIELDS_APART:
		return NULL;
	case FIELDS_ONEOF:
		return a->by == BY_BODY ? NULL : "another member of the same oneof is given";
	case FIELDS_SAME:
		break;
	}
	if (a->by == BY_PATH)
		return "this field is given by the path";
	if (a->by == BY_BODY)
		return "this field is the body";
	if (a->depth == p->depth && p->key.data != NULL && !same_key(q, a, p->key))
		return NULL;
	return a->depth == p->depth && a->list ? NULL : "given more than once";
}

static bool query_fits(struct query *q, const struct parameter *p, bool *knownp)
{
	const char *why = NULL;

	*knownp = false;
	for (size_t i = 0; why == NULL && i < q->n_bound; i++) {
		const struct bound *a = &q->bound[i];

		why = bound_conflict(q, a, p);
		*knownp |= a->list && a->depth == p->depth &&
			   memcmp(a->path, p->path, a->depth * sizeof *a->path) == 0;
	}
	if (why == NULL && q->given != 0 &&
	    overlap_oneof((struct bytes){q->out->data, q->given}, p->path, p->depth))
		why = "the body has another member of this field's oneof";
	if (why != NULL)
		query_fault(q, FAULT_SYNTAX, p->name, "duplicate", why);
	return why == NULL;
}

/* Remembers the parameter's field; false (and a fault) when it cannot be given. */
static bool query_bind(struct query *q, const struct parameter *p)
{
	bool known;

	if (!query_fits(q, p, &known))
		return false;
	if (known)
		return true;
	if (q->n_bound == QUERY_MAX) {
		query_fault(q, FAULT_SYNTAX, p->name, "count", "too many parameters: at most 100");
		return false;
	}
	memcpy(q->paths[q->n_bound], p->path, sizeof p->path);
	q->bound[q->n_bound] = (struct bound){
		.path = q->paths[q->n_bound], .depth = p->depth,
		.list = p->path[p->depth - 1]->repeated && p->key.data == NULL,
		.key = q->keys.len, .key_len = p->key.len};
	buf_append(&q->keys, p->key.data, p->key.len);
	q->n_bound++;
	return true;
}

static void query_unknown(struct query *q, const struct parameter *p, const struct schema_message *m,
			  const char *name, size_t len)
{
	const char *near = m != NULL && q->faults->n < FAULT_MAX ? schema_nearest_field(m, name, len) : NULL;

	if (near != NULL)
		fault_add(q->faults, FAULT_SCHEMA, FAULT_PARAMETER, p->name, "unknown", NULL, 0,
			  "unknown parameter: did you mean \"%s\"?", near);
	else
		query_fault(q, FAULT_SCHEMA, p->name, "unknown", "unknown parameter");
}

/* One step of a dotted name. */
static const struct schema_field *query_step(struct query *q, struct parameter *p,
					     const struct schema_message *m, const char *name, size_t len)
{
	const struct schema_field *f = m != NULL ? schema_field(m, name, len) : NULL;

	if (f == NULL || f->out_only) {
		query_unknown(q, p, m, name, len);
		return NULL;
	}
	if (p->depth == TEMPLATE_PATH_MAX) {
		query_fault(q, FAULT_SCHEMA, p->name, "depth", "nested too deep");
		return NULL;
	}
	p->path[p->depth++] = f;
	return f;
}

/* Cuts `[key]` off the end of a name. */
static size_t parameter_cut_key(struct parameter *p, const char *name, size_t len)
{
	const char *open = memchr(name, '[', len);

	if (open == NULL || open == name || name[len - 1] != ']')
		return len;
	p->key = (struct bytes){(const uint8_t *)open + 1, (size_t)(name + len - 1 - (open + 1))};
	return (size_t)(open - name);
}

/* Finds the fields of p->name from the input message down. */
static bool query_resolve(struct query *q, struct parameter *p, size_t name_len)
{
	const struct schema_message *m = q->route->method->input;
	const struct schema_field *f = NULL;
	const char *at = p->name, *end;

	if (name_len == 0) {
		query_fault(q, FAULT_SYNTAX, "", "syntax", "a parameter without a name");
		return false;
	}
	end = at + parameter_cut_key(p, p->name, name_len);
	while (at <= end) {
		const char *dot = memchr(at, '.', (size_t)(end - at));
		size_t len = (size_t)((dot != NULL ? dot : end) - at);

		if (f != NULL && (f->repeated || f->map)) {
			query_unknown(q, p, NULL, at, len);
			return false;
		}
		f = query_step(q, p, m, at, len);
		if (f == NULL)
			return false;
		m = f->message;
		at += len + 1;
	}
	if (f->map == (p->key.data != NULL))
		return true;
	query_fault(q, FAULT_SCHEMA, p->name, "type",
		    f->map ? "a map takes name[key]=value" : "only a map takes name[key]=value");
	return false;
}

/* An entry of a map field: {key = 1, value = 2}, below the path's other fields. */
static int query_map_entry(struct query *q, const struct parameter *p)
{
	const struct schema_field *map = p->path[p->depth - 1];
	const struct schema_field *key = schema_field_by_number(map->message, 1);
	const struct schema_field *value = schema_field_by_number(map->message, 2);
	AUTO_BUF entry = BUF_INIT;
	AUTO_BUF outer = BUF_INIT;

	if (transcode_field_from_text(&key, 1, (const char *)p->key.data, p->key.len, p->name, &entry,
				      q->faults) < 0 ||
	    transcode_field_from_text(&value, 1, (const char *)p->value.data, p->value.len, p->name,
				      &entry, q->faults) < 0)
		return -ERRAND_INVALID_ARGUMENT;
	for (size_t i = p->depth; i-- > 0;) {
		buf_reset(&outer);
		pbuf_put_bytes(&outer, p->path[i]->number, entry.data, entry.len);
		buf_reset(&entry);
		buf_append(&entry, outer.data, outer.len);
	}
	buf_append(q->out, entry.data, entry.len);
	return 0;
}

static void query_parameter(struct query *q, struct bytes raw_name, struct bytes raw_value)
{
	struct parameter p = {.depth = 0};

	if (!query_decode(raw_name, &q->name)) {
		query_fault(q, FAULT_SYNTAX, "", "encoding", "a parameter's name is not percent-encoded UTF-8");
		return;
	}
	p.name = buf_cstr(&q->name);
	if (!query_decode(raw_value, &q->value)) {
		query_fault(q, FAULT_SYNTAX, p.name, "encoding", "not percent-encoded UTF-8");
		return;
	}
	buf_cstr(&q->value);
	p.value = buf_bytes(&q->value);
	if (q->route->body_all) {
		query_unknown(q, &p, NULL, p.name, q->name.len);
		return;
	}
	if (!query_resolve(q, &p, q->name.len))
		return;
	if (!query_bind(q, &p))
		return;
	if (q->tell != NULL)
		q->tell(&(struct query_binding){p.path, p.depth, p.key, p.value}, q->tell_arg);
	if (p.key.data != NULL)
		query_map_entry(q, &p);
	else
		transcode_field_from_text(p.path, p.depth, (const char *)p.value.data, p.value.len, p.name,
					  q->out, q->faults);
}

static void query_bind_variables(struct query *q)
{
	const struct template *t = q->route->template;
	const struct field_path *body = &q->route->body_path;

	for (size_t i = 0; t != NULL && i < t->n_variables; i++) {
		const struct template_variable *v = &t->variables[i];

		q->bound[q->n_bound++] = (struct bound){.path = v->path, .depth = v->depth, .by = BY_PATH};
	}
	if (body->depth > 0)
		q->bound[q->n_bound++] = (struct bound){.path = body->steps, .depth = body->depth,
							.by = BY_BODY};
}

static void query_walk(struct query *q, const char *query)
{
	while (*query != '\0') {
		size_t len = strcspn(query, "&");
		const char *equals = memchr(query, '=', len);
		size_t name = equals != NULL ? (size_t)(equals - query) : len;
		size_t value = equals != NULL ? name + 1 : len;

		if (len != 0)
			query_parameter(q, (struct bytes){(const uint8_t *)query, name},
					(struct bytes){(const uint8_t *)query + value, len - value});
		query += len;
		query += *query == '&';
	}
}

int query_to_wire(const struct route *route, const char *query, struct buf *out,
		  struct fault_list *faults)
{
	return query_bind_to_wire(route, query, out, faults, NULL, NULL);
}

int query_bind_to_wire(const struct route *route, const char *query, struct buf *out,
		       struct fault_list *faults,
		       void (*bound)(const struct query_binding *b, void *arg), void *arg)
{
	struct query q;
	size_t before = faults->n + faults->n_dropped;

	if (*query == '\0')
		return 0;
	q.route = route;
	q.out = out;
	q.faults = faults;
	q.given = out->len;
	q.tell = bound;
	q.tell_arg = arg;
	q.n_bound = 0;
	q.name = q.value = q.keys = BUF_INIT;
	query_bind_variables(&q);
	query_walk(&q, query);
	buf_deinit(&q.name);
	buf_deinit(&q.value);
	buf_deinit(&q.keys);
	return faults->n + faults->n_dropped != before ? -ERRAND_INVALID_ARGUMENT : 0;
}
