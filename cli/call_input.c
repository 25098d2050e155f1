#define _GNU_SOURCE
#include "cli/call_input.h"

#include <string.h>

#include "base/pbuf.h"
#include "cli/cli.h"
#include "cli/schema_arg.h"
#include "schema/transcode.h"

/* A field path, and the key when it ends in a map. */
struct target {
	const struct schema_field *path[TEMPLATE_PATH_MAX];
	size_t depth;
	struct bytes key; /* data NULL: none */
};

static void unknown(struct call_input *in, const struct schema_message *m, const char *name,
		    size_t name_len, const char *step, size_t step_len)
{
	AUTO_FREE char *where = xstrndup(name, name_len);
	const char *near = m != NULL ? schema_nearest_field(m, step, step_len) : NULL;

	if (m == NULL)
		fault_add(&in->faults, FAULT_SCHEMA, FAULT_PARAMETER, where, "unknown", NULL, 0,
			  "there are no fields in '%.*s'", (int)(step - name), name);
	else
		fault_add(&in->faults, FAULT_SCHEMA, FAULT_PARAMETER, where, "unknown", NULL, 0,
			  "%s has no field '%.*s'%s%s%s", m->name, (int)step_len, step,
			  near != NULL ? ": did you mean '" : "", near != NULL ? near : "",
			  near != NULL ? "'?" : "");
}

/* "a.b.c", "labels[k]", "labels.k" */
static bool resolve(struct call_input *in, const char *name, size_t len, struct target *t)
{
	const struct schema_message *m = in->message;
	const char *p = name, *end = name + len;

	*t = (struct target){.depth = 0};
	for (;;) {
		const struct schema_field *f;
		size_t step = 0;

		while (p + step < end && p[step] != '.' && p[step] != '[')
			step++;
		f = m != NULL && t->depth < TEMPLATE_PATH_MAX ? schema_field(m, p, step) : NULL;
		if (f == NULL) {
			unknown(in, m, name, len, p, step);
			return false;
		}
		t->path[t->depth++] = f;
		p += step;
		if (p == end)
			return true;
		if (f->map) {
			size_t rest = (size_t)(end - p) - 1;

			if (*p == '[' && rest > 0 && end[-1] == ']')
				rest--;
			t->key = (struct bytes){(const uint8_t *)p + 1, rest};
			return true;
		}
		p++;
		m = f->message;
	}
}

/* Wraps `value`, fields of the message at path[depth - 1], in its parents. */
static void put_wrapped(struct call_input *in, const struct schema_field *const *path,
			size_t depth, struct buf *value)
{
	while (depth > 0) {
		AUTO_BUF outer = BUF_INIT;

		pbuf_put_bytes(&outer, path[--depth]->number, value->data, value->len);
		buf_reset(value);
		buf_append(value, outer.data, outer.len);
	}
	buf_append(&in->wire, value->data, value->len);
}

/* labels[key]=value: an entry message {1: key, 2: value}. */
static void put_entry(struct call_input *in, const struct target *t, const char *where,
		      const char *value, size_t value_len)
{
	const struct schema_message *m = t->path[t->depth - 1]->message;
	const struct schema_field *key = schema_field_by_number(m, 1);
	const struct schema_field *val = schema_field_by_number(m, 2);
	AUTO_BUF entry = BUF_INIT;

	if (transcode_field_from_text(&key, 1, (const char *)t->key.data, t->key.len, where,
				      &entry, &in->faults) == 0 &&
	    transcode_field_from_text(&val, 1, value, value_len, where, &entry, &in->faults) == 0)
		put_wrapped(in, t->path, t->depth, &entry);
}

void call_input_text(struct call_input *in, const char *name, size_t name_len,
		     const char *value, size_t value_len)
{
	AUTO_FREE char *where = xstrndup(name, name_len);
	struct target t;

	if (!resolve(in, name, name_len, &t))
		return;
	if (t.key.data != NULL)
		put_entry(in, &t, where, value, value_len);
	else
		transcode_field_from_text(t.path, t.depth, value, value_len, where, &in->wire,
					  &in->faults);
}

/* name:=JSON */
static void put_json(struct call_input *in, const char *name, size_t name_len, const char *json)
{
	struct transcode_read o = {.schema = in->schema};
	AUTO_FREE char *prefix = xasprintf("#/%.*s", (int)name_len, name);
	AUTO_BUF value = BUF_INIT;
	struct target t;

	for (char *p = prefix; *p != '\0'; p++)
		*p = *p == '.' ? '/' : *p;
	if (!resolve(in, name, name_len, &t))
		return;
	if (t.key.data != NULL) {
		fault_add(&in->faults, FAULT_SCHEMA, FAULT_POINTER, prefix, "syntax", NULL, 0,
			  "give the whole map as JSON: %s:={\"key\": ...}",
			  t.path[t.depth - 1]->name);
		return;
	}
	if (transcode_field_from_json(&o, t.path[t.depth - 1], json, strlen(json), prefix, &value,
				      &in->faults) == 0)
		put_wrapped(in, t.path, t.depth - 1, &value);
}

/* A whole JSON body: the message, or the route's body field. */
static void put_body(struct call_input *in, const char *json, size_t len)
{
	struct transcode_read o = {.schema = in->schema};

	if (in->body.depth != 0) {
		size_t from = in->wire.len;

		transcode_field_from_json(&o, in->body.steps[in->body.depth - 1], json, len, "#", &in->wire, &in->faults);
		field_path_wrap(&in->body, &in->wire, from);
	} else {
		transcode_from_json(&o, in->message, json, len, "#", &in->wire, &in->faults);
	}
}

static bool put_file(struct call_input *in, const char *path)
{
	AUTO_BUF json = BUF_INIT;

	if (!schema_arg_read(path, &json))
		return false;
	put_body(in, (const char *)json.data, json.len);
	return true;
}

bool call_input_operand(struct call_input *in, const char *operand)
{
	const char *equals = strchr(operand, '=');

	if (*operand == '@')
		return put_file(in, operand + 1);
	if (strcmp(operand, "-") == 0)
		return put_file(in, "-");
	if (*operand == '{') {
		put_body(in, operand, strlen(operand));
		return true;
	}
	if (equals == NULL || equals == operand) {
		cli_error("call: '%s' is neither field=value, field:=JSON, {...}, @FILE nor -", operand);
		return false;
	}
	if (equals[-1] == ':')
		put_json(in, operand, (size_t)(equals - 1 - operand), equals + 1);
	else
		call_input_text(in, operand, (size_t)(equals - operand), equals + 1,
				strlen(equals + 1));
	return true;
}
