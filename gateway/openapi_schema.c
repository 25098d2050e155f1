/* openapi_schema.c: what ProtoJSON says of each type as JSON Schema: as the gateway
 * writes it, which it also reads. Messages and enums are components named by their full
 * names; well-known types are written out where they are. Pure. */
#include "gateway/openapi_private.h"

#define INT64_PATTERN "^-?[0-9]+$"
#define NOT_FINITE "{\"type\":\"string\",\"enum\":[\"NaN\",\"Infinity\",\"-Infinity\"]}"

enum { ONEOF_MAX = 32 }; /* members whose pairs are written out */

/* --- components --- */

static void need(struct openapi *o, const char *name, const struct schema_message *m,
		 const struct schema_enum *e)
{
	if (map_get_str(&o->seen, name) != NULL)
		return;
	map_put_str(&o->seen, name, o);
	if ((o->n_components & (o->n_components - 1)) == 0)
		o->components = xrealloc(o->components, (o->n_components ? o->n_components * 2 : 1) *
					 sizeof *o->components);
	o->components[o->n_components++] = (struct openapi_component){name, m, e};
}

void openapi_need(struct openapi *o, const char *name)
{
	need(o, name, schema_message(o->schema, name, strlen(name)), NULL);
}

static void put_ref(struct openapi *o, const char *name)
{
	AUTO_BUF ref = BUF_INIT;

	buf_printf(&ref, "#/components/schemas/%s", name);
	openapi_string(o, "$ref", buf_cstr(&ref));
}

/* --- scalars: members of an open object --- */

struct scalar {
	const char *type, *more; /* more: members as they are */
};

static const struct scalar scalars[] = {
	[FIELD_INT32] = {"integer", "\"format\":\"int32\""},
	[FIELD_SINT32] = {"integer", "\"format\":\"int32\""},
	[FIELD_SFIXED32] = {"integer", "\"format\":\"int32\""},
	[FIELD_UINT32] = {"integer", "\"format\":\"uint32\""},
	[FIELD_FIXED32] = {"integer", "\"format\":\"uint32\""},
	[FIELD_INT64] = {"string", "\"format\":\"int64\",\"pattern\":\"^-?[0-9]+$\""},
	[FIELD_SINT64] = {"string", "\"format\":\"int64\",\"pattern\":\"^-?[0-9]+$\""},
	[FIELD_SFIXED64] = {"string", "\"format\":\"int64\",\"pattern\":\"^-?[0-9]+$\""},
	[FIELD_UINT64] = {"string", "\"format\":\"uint64\",\"pattern\":\"^[0-9]+$\""},
	[FIELD_FIXED64] = {"string", "\"format\":\"uint64\",\"pattern\":\"^[0-9]+$\""},
	[FIELD_BOOL] = {"boolean", NULL},
	[FIELD_STRING] = {"string", NULL},
	[FIELD_BYTES] = {"string", "\"contentEncoding\":\"base64\""},
	[FIELD_DOUBLE] = {"number", "\"format\":\"double\""},
	[FIELD_FLOAT] = {"number", "\"format\":\"float\""},
};

static void put_type(struct openapi *o, const char *type, bool null)
{
	if (!null) {
		openapi_string(o, "type", type);
		return;
	}
	openapi_open(o, "type", '[');
	openapi_string(o, NULL, type);
	openapi_string(o, NULL, "null");
	openapi_close(o, ']');
}

/* finite: NaN and the infinities, which JSON has as strings, cannot be. */
static void put_scalar(struct openapi *o, enum field_type type, bool null, bool finite)
{
	const struct scalar *s = &scalars[type];

	if ((type == FIELD_DOUBLE || type == FIELD_FLOAT) && !finite) {
		openapi_open(o, "anyOf", '[');
		openapi_open(o, NULL, '{');
		put_type(o, s->type, null);
		openapi_raw(o, NULL, s->more);
		openapi_close(o, '}');
		openapi_raw(o, NULL, NOT_FINITE);
		openapi_close(o, ']');
		return;
	}
	put_type(o, s->type, null);
	if (s->more != NULL)
		openapi_raw(o, NULL, s->more);
}

/* --- well-known types --- */

static const char *const well_known[] = {
	[WK_ANY] = "\"type\":\"object\",\"required\":[\"@type\"],\"properties\":{\"@type\":"
		"{\"type\":\"string\",\"description\":\"The message's type, as type.googleapis.com/pkg.Name.\"}},"
		"\"additionalProperties\":true",
	[WK_TIMESTAMP] = "\"type\":\"string\",\"format\":\"date-time\"",
	[WK_DURATION] = "\"type\":\"string\",\"pattern\":\"^-?[0-9]+(\\\\.[0-9]{1,9})?s$\"",
	[WK_FIELD_MASK] = "\"type\":\"string\",\"description\":\"Names of fields, with commas between them.\"",
	[WK_STRUCT] = "\"type\":\"object\",\"additionalProperties\":true",
	[WK_LIST_VALUE] = "\"type\":\"array\",\"items\":{}",
	[WK_EMPTY] = "\"type\":\"object\"",
};

void openapi_message(struct openapi *o, const struct schema_message *m)
{
	switch (m->well_known) {
	case WK_NONE:
		put_ref(o, m->name);
		need(o, m->name, m, NULL);
		break;
	case WK_VALUE:
		break; /* anything */
	case WK_WRAPPER:
		put_scalar(o, m->fields[0].type, true, false);
		break;
	default:
		openapi_raw(o, NULL, well_known[m->well_known]);
	}
}

/* --- fields --- */

static void put_value(struct openapi *o, const struct schema_field *f, const struct rules *rules, bool plain)
{
	if (f->message != NULL) {
		if (!f->bare)
			openapi_message(o, f->message);
	} else if (f->enumeration == NULL) {
		put_scalar(o, f->type, false, (plain || openapi_rules_bound(rules)) &&
			   !openapi_rules_infinite(rules));
	} else if (f->enumeration->is_null_value) {
		openapi_string(o, "type", "null");
	} else {
		put_ref(o, f->enumeration->name);
		need(o, f->enumeration->name, NULL, f->enumeration);
	}
}

/* An element, a key or a value, in an object of its own. */
static void put_part(struct openapi *o, const char *key, const struct schema_field *f,
		     const struct rules *rules, bool plain)
{
	openapi_open(o, key, '{');
	put_value(o, f, rules, plain);
	openapi_rules(o, f, rules);
	openapi_close(o, '}');
}

/* JSON has every key as a string. */
static void put_key(struct openapi *o, const struct schema_field *key, const struct rules *rules)
{
	if (key->type == FIELD_STRING) {
		if (rules != NULL)
			put_part(o, "propertyNames", key, rules, true);
		return;
	}
	if (key->type == FIELD_BOOL)
		openapi_raw(o, "propertyNames", "{\"enum\":[\"true\",\"false\"]}");
	else
		openapi_raw(o, "propertyNames", "{\"pattern\":\"" INT64_PATTERN "\"}");
}

static void put_field_type(struct openapi *o, const struct schema_field *f, bool plain)
{
	if (f->map) {
		openapi_string(o, "type", "object");
		put_key(o, schema_field_by_number(f->message, 1), openapi_nested(f->rules, RULE_KEYS));
		put_part(o, "additionalProperties", schema_field_by_number(f->message, 2),
			 openapi_nested(f->rules, RULE_VALUES), plain);
	} else if (f->repeated) {
		openapi_string(o, "type", "array");
		put_part(o, "items", f, openapi_nested(f->rules, RULE_ITEMS), plain);
	} else {
		put_value(o, f, f->rules, plain);
	}
	openapi_rules(o, f, f->rules);
}

static void put_line(struct buf *b, const char *text)
{
	buf_printf(b, "%s%s", b->len > 0 ? "\n\n" : "", text);
}

static void put_said(struct openapi *o, const struct schema_field *f)
{
	AUTO_BUF text = BUF_INIT;

	if (f->comment != NULL)
		put_line(&text, f->comment);
	if (f->behavior & BEHAVIOR_IDENTIFIER)
		put_line(&text, "The identifier of the resource.");
	if (f->behavior & BEHAVIOR_IMMUTABLE)
		put_line(&text, "Set once, when the resource is made.");
	if (f->behavior & BEHAVIOR_UNORDERED_LIST)
		put_line(&text, "In no order.");
	if (f->oneof >= 0) {
		put_line(&text, "");
		buf_printf(&text, "At most one of `%s` is set.", f->parent->oneofs[f->oneof]);
	}
	/* beside "description" of a field mask a second one would be wrong */
	if (text.len > 0 && (f->repeated || f->message == NULL || f->message->well_known != WK_FIELD_MASK))
		openapi_bytes(o, "description", buf_bytes(&text));
	if (f->out_only)
		openapi_true(o, "readOnly");
	if (f->behavior & BEHAVIOR_INPUT_ONLY)
		openapi_true(o, "writeOnly");
	if (f->deprecated)
		openapi_true(o, "deprecated");
}

void openapi_field(struct openapi *o, const char *key, const struct schema_field *f)
{
	openapi_open(o, key, '{');
	put_field_type(o, f, false);
	put_said(o, f);
	openapi_close(o, '}');
}

void openapi_plain_field(struct openapi *o, const char *key, const struct schema_field *f)
{
	openapi_open(o, key, '{');
	put_field_type(o, f, true);
	openapi_close(o, '}');
}

bool openapi_field_required(const struct schema_field *f)
{
	bool ruled = f->rules != NULL && f->rules->required && f->rules->ignore == RULE_IGNORE_UNSPECIFIED;

	return !f->out_only && (f->required || (f->behavior & BEHAVIOR_REQUIRED) || ruled || openapi_zero_breaks(f));
}

/* --- messages --- */

bool openapi_is_bound(const struct openapi_operation *op, const struct schema_field *f)
{
	const struct template *t = op != NULL ? op->route.template : NULL;
	const struct schema_field *path[TEMPLATE_PATH_MAX + 1];
	size_t depth = op != NULL ? op->route.body_path.depth : 0;

	if (t == NULL)
		return false;
	memcpy(path, op->route.body_path.steps, depth * sizeof *path);
	path[depth++] = f;
	for (size_t i = 0; i < t->n_variables; i++)
		if (openapi_is_given(&t->variables[i], path, depth))
			return true;
	return false;
}

static void put_required(struct openapi *o, const struct schema_message *m, const struct openapi_operation *op)
{
	bool any = false;

	for (size_t i = 0; i < m->n_fields; i++) {
		if (!openapi_field_required(&m->fields[i]) || openapi_is_bound(op, &m->fields[i]))
			continue;
		if (!any)
			openapi_open(o, "required", '[');
		any = true;
		openapi_string(o, NULL, m->fields[i].out_name);
	}
	if (any)
		openapi_close(o, ']');
}

static void put_member_required(struct openapi *o, const struct schema_field *f)
{
	openapi_open(o, NULL, '{');
	openapi_open(o, "required", '[');
	openapi_string(o, NULL, f->out_name);
	openapi_close(o, ']');
	openapi_close(o, '}');
}

/* How many members each oneof has; owned. */
static size_t *count_members(const struct schema_message *m)
{
	size_t *n = xcalloc(m->n_oneofs, sizeof *n);

	for (size_t i = 0; i < m->n_fields; i++)
		if (m->fields[i].oneof >= 0)
			n[m->fields[i].oneof]++;
	return n;
}

/* With f none of the others: said by dependentSchemas, which types ignore, so that
 * the members stay plain properties. */
static void put_exclusion(struct openapi *o, const struct schema_message *m, const struct schema_field *f)
{
	openapi_open(o, f->out_name, '{');
	openapi_open(o, "not", '{');
	openapi_open(o, "anyOf", '[');
	for (size_t i = 0; i < m->n_fields; i++)
		if (m->fields[i].oneof == f->oneof && &m->fields[i] != f)
			put_member_required(o, &m->fields[i]);
	openapi_close(o, ']');
	openapi_close(o, '}');
	openapi_close(o, '}');
}

static void put_exclusions(struct openapi *o, const struct schema_message *m)
{
	AUTO_FREE size_t *members = count_members(m);
	bool any = false;

	for (size_t i = 0; i < m->n_fields; i++) {
		size_t n = m->fields[i].oneof < 0 ? 0 : members[m->fields[i].oneof];

		if (n < 2 || n > ONEOF_MAX)
			continue;
		if (!any)
			openapi_open(o, "dependentSchemas", '{');
		any = true;
		put_exclusion(o, m, &m->fields[i]);
	}
	if (any)
		openapi_close(o, '}');
}

static void put_oneof_names(struct openapi *o, const struct schema_message *m)
{
	if (m->n_oneofs == 0)
		return;
	openapi_open(o, "x-errand-oneofs", '{');
	for (size_t i = 0; i < m->n_oneofs; i++) {
		bool required = m->rules != NULL && m->rules->oneof_required != NULL &&
			m->rules->oneof_required[i];

		openapi_open(o, m->oneofs[i], '{');
		if (required)
			openapi_true(o, "required");
		openapi_open(o, "fields", '[');
		for (size_t j = 0; j < m->n_fields; j++)
			if (m->fields[j].oneof == (int)i)
				openapi_string(o, NULL, m->fields[j].out_name);
		openapi_close(o, ']');
		openapi_close(o, '}');
	}
	openapi_close(o, '}');
}

/* (buf.validate.message).oneof: not as keywords, since answers show the zero values of
 * fields that are not set. */
static void put_message_rules(struct openapi *o, const struct schema_message *m)
{
	if (m->rules == NULL || m->rules->n_oneofs == 0)
		return;
	openapi_open(o, "x-errand-rules", '{');
	openapi_open(o, "message.oneof", '[');
	for (size_t i = 0; i < m->rules->n_oneofs; i++) {
		const struct rule_oneof *one = &m->rules->oneofs[i];

		openapi_open(o, NULL, '{');
		if (one->required)
			openapi_true(o, "required");
		openapi_open(o, "fields", '[');
		for (size_t j = 0; j < one->n; j++)
			openapi_string(o, NULL, one->fields[j]->out_name);
		openapi_close(o, ']');
		openapi_close(o, '}');
	}
	openapi_close(o, ']');
	openapi_close(o, '}');
}

/* A oneof of which one must be set: anyOf of its members, all of these together. */
static void put_oneofs_required(struct openapi *o, const struct schema_message *m)
{
	bool any = false;

	for (size_t i = 0; i < m->n_oneofs && m->rules != NULL && m->rules->oneof_required != NULL; i++) {
		if (!m->rules->oneof_required[i])
			continue;
		if (!any)
			openapi_open(o, "allOf", '[');
		any = true;
		openapi_open(o, NULL, '{');
		openapi_open(o, "anyOf", '[');
		for (size_t j = 0; j < m->n_fields; j++)
			if (m->fields[j].oneof == (int)i)
				put_member_required(o, &m->fields[j]);
		openapi_close(o, ']');
		openapi_close(o, '}');
	}
	if (any)
		openapi_close(o, ']');
}

void openapi_object(struct openapi *o, const struct schema_message *m, const struct openapi_operation *op)
{
	openapi_string(o, "type", "object");
	openapi_comment(o, m->comment, false);
	if (m->deprecated)
		openapi_true(o, "deprecated");
	openapi_open(o, "properties", '{');
	for (size_t i = 0; i < m->n_fields; i++)
		if (m->fields[i].type != FIELD_GROUP && !openapi_is_bound(op, &m->fields[i]))
			openapi_field(o, m->fields[i].out_name, &m->fields[i]);
	openapi_close(o, '}');
	put_required(o, m, op);
	put_exclusions(o, m);
	if (op == NULL)
		put_oneofs_required(o, m);
	put_oneof_names(o, m);
	put_message_rules(o, m);
}

/* --- enums --- */

static void put_enum_text(struct openapi *o, const struct schema_enum *e)
{
	AUTO_BUF text = BUF_INIT;
	bool any = false;

	if (e->comment != NULL)
		put_line(&text, e->comment);
	for (size_t i = 0; i < e->n_values; i++) {
		const struct schema_enum_value *v = &e->values[i];

		if (v->comment == NULL && !v->deprecated)
			continue;
		if (!any)
			buf_append_str(&text, text.len == 0 ? "" : "\n\n");
		any = true;
		buf_printf(&text, "- `%s`%s%s%s\n", v->name, v->deprecated ? " (deprecated)" : "",
			   v->comment != NULL ? ": " : "", v->comment != NULL ? v->comment : "");
	}
	while (text.len > 0 && text.data[text.len - 1] == '\n')
		text.len--;
	if (text.len > 0)
		openapi_bytes(o, "description", buf_bytes(&text));
}

static void put_enum(struct openapi *o, const struct schema_enum *e)
{
	openapi_string(o, "type", "string");
	put_enum_text(o, e);
	openapi_open(o, "enum", '[');
	for (size_t i = 0; i < e->n_values; i++)
		openapi_string(o, NULL, e->values[i].name);
	openapi_close(o, ']');
	openapi_open(o, "x-enum-descriptions", '[');
	for (size_t i = 0; i < e->n_values; i++)
		openapi_string(o, NULL, e->values[i].comment != NULL ? e->values[i].comment : "");
	openapi_close(o, ']');
}

void openapi_schemas(struct openapi *o)
{
	openapi_open(o, "schemas", '{');
	for (size_t i = 0; i < o->n_components; i++) { /* which grows meanwhile */
		const struct openapi_component c = o->components[i];

		openapi_open(o, c.name, '{');
		if (strcmp(c.name, OPENAPI_PROBLEM) == 0 || strcmp(c.name, OPENAPI_VIOLATION) == 0 ||
		    strcmp(c.name, OPENAPI_STREAM_ERROR) == 0)
			openapi_shared_schema(o, c.name);
		else if (c.enumeration != NULL)
			put_enum(o, c.enumeration);
		else if (c.message != NULL)
			openapi_object(o, c.message, NULL);
		openapi_close(o, '}');
	}
	openapi_close(o, '}');
}
