/* schema_fields.c: the second walk over messages: fields with their types
 * resolved, oneofs, and the tables that find fields fast. Enums are read here
 * too, in the first walk, as they refer to nothing. */
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "schema/loader.h"

enum { FIELDS_MAX = 65000, DENSE_MAX = 1024 };

/* Field numbers of descriptor.proto. */
enum {
	MESSAGE_FIELD = 2, MESSAGE_OPTIONS = 7, MESSAGE_ONEOF = 8,
	FIELD_NAME = 1, FIELD_NUMBER = 3, FIELD_LABEL = 4, FIELD_TYPE = 5, FIELD_TYPE_NAME = 6,
	FIELD_OPTIONS = 8, FIELD_ONEOF_INDEX = 9, FIELD_JSON_NAME = 10, FIELD_PROTO3_OPTIONAL = 17,
	LABEL_REQUIRED = 2, LABEL_REPEATED = 3,
	ENUM_NAME = 1, ENUM_VALUE = 2, ENUM_OPTIONS = 3,
	ENUM_VALUE_OPTIONS = 3, ENUM_VALUE_DEPRECATED = 1,
};

/* A field as its descriptor has it. */
struct raw_field {
	struct bytes name, json_name, type_name, options;
	uint64_t number, label, type;
	int64_t oneof; /* -1 = none */
	bool proto3_optional;
	bool bad;
};

static struct raw_field read_field(struct bytes raw)
{
	struct raw_field out = {.oneof = -1};
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		switch (f.number) {
		case FIELD_NAME: out.name = f.bytes; break;
		case FIELD_JSON_NAME: out.json_name = f.bytes; break;
		case FIELD_TYPE_NAME: out.type_name = f.bytes; break;
		case FIELD_OPTIONS: out.options = f.bytes; break;
		case FIELD_NUMBER: out.number = f.value; break;
		case FIELD_LABEL: out.label = f.value; break;
		case FIELD_TYPE: out.type = f.value; break;
		case FIELD_ONEOF_INDEX: out.oneof = (int64_t)(f.value & 0xffffffff); break;
		case FIELD_PROTO3_OPTIONAL: out.proto3_optional = f.value != 0; break;
		}
	}
	out.bad = r.bad;
	return out;
}

/* protoc's lowerCamelCase. */
static char *default_json_name(struct loader *l, const char *name)
{
	char *out = schema_alloc(l->s, strlen(name) + 1), *w = out;
	bool up = false;

	for (const char *p = name; *p != '\0'; p++) {
		if (*p == '_') {
			up = true;
			continue;
		}
		*w++ = up && *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
		up = false;
	}
	return out;
}

/* An explicit json_name is one that protoc would not have made. */
static int name_field(struct loader *l, struct schema_field *f, const struct raw_field *raw)
{
	size_t len = raw->json_name.len;

	f->json_name = default_json_name(l, f->name);
	f->out_name = f->name;
	if (strcmp(f->json_name, f->name) == 0)
		f->json_name = f->name;
	if (len == 0 || (strlen(f->json_name) == len &&
			 memcmp(f->json_name, raw->json_name.data, len) == 0))
		return 0;
	if (memchr(raw->json_name.data, 0, len) != NULL || json_utf8_valid(raw->json_name.data, len) != len)
		return loader_fail(l, "%s.%s: its json_name is not text", f->parent->name, f->name);
	f->json_name = f->out_name = schema_strndup(l->s, raw->json_name.data, len);
	return 0;
}

static bool is_packable(enum field_type t)
{
	return t != FIELD_STRING && t != FIELD_BYTES && t != FIELD_MESSAGE && t != FIELD_GROUP;
}

static int resolve_type(struct loader *l, struct schema_field *f, struct bytes type_name)
{
	if (f->type == FIELD_MESSAGE || f->type == FIELD_GROUP) {
		f->message = loader_message(l, type_name);
		if (f->message == NULL)
			goto missing;
		f->map = f->repeated && f->message->map_entry;
	} else if (f->type == FIELD_ENUM) {
		f->enumeration = type_name.len < 2 ? NULL :
			map_get(&l->s->enums, type_name.data + 1, type_name.len - 1);
		if (f->enumeration == NULL)
			goto missing;
	}
	return 0;
missing:
	return loader_fail(l, "%s.%s: its type %.*s is not in the set", f->parent->name, f->name,
			   (int)MIN(type_name.len, 200), (const char *)type_name.data);
}

/* What depends on the syntax or the edition. */
static void apply_features(struct schema_field *f, const struct raw_field *raw, struct features x)
{
	features_apply(&x, raw->options, FEATURES_OF_FIELD);
	f->required = raw->label == LABEL_REQUIRED || (x.required && !f->repeated);
	f->presence = !f->repeated && (f->message != NULL || raw->oneof >= 0 || !x.implicit ||
				       f->extension);
	f->packed = f->repeated && !x.expanded;
	f->any_bytes = f->type == FIELD_STRING && x.any_bytes;
	if (x.delimited && f->type == FIELD_MESSAGE && !f->map && !f->parent->map_entry)
		f->type = FIELD_GROUP;
}

static int check_field(struct loader *l, const struct schema_message *m, const char *name,
		       const struct raw_field *raw, size_t n_oneofs)
{
	if (name == NULL)
		return loader_fail(l, "%s: a field has no valid name", m->name);
	if (raw->number == 0 || raw->number > 0x1fffffff)
		return loader_fail(l, "%s.%s: its number is out of range", m->name, name);
	if (raw->type < FIELD_DOUBLE || raw->type > FIELD_SINT64)
		return loader_fail(l, "%s.%s: type %llu is not known", m->name, name,
				   (unsigned long long)raw->type);
	if (raw->oneof >= (int64_t)n_oneofs)
		return loader_fail(l, "%s.%s: its oneof is not declared", m->name, name);
	return 0;
}

/* oneofs: the declared index of a real oneof -> its index without synthetic ones. */
static int make_field(struct loader *l, struct schema_field *f, const struct schema_message *m,
		      const struct raw_field *raw, const int *oneofs, size_t n_oneofs,
		      struct features features)
{
	const char *name = raw->bad ? NULL : loader_name(l, raw->name);
	char why[200] = "";
	int err = check_field(l, m, name, raw, n_oneofs);

	if (err < 0)
		return err;
	f->parent = m;
	f->name = name;
	f->number = (uint32_t)raw->number;
	f->type = (enum field_type)raw->type;
	f->repeated = raw->label == LABEL_REPEATED;
	f->oneof = raw->oneof < 0 || raw->proto3_optional ? -1 : oneofs[raw->oneof];
	err = resolve_type(l, f, raw->type_name);
	if (err == 0)
		err = name_field(l, f, raw);
	if (err < 0)
		return err;
	apply_features(f, raw, features);
	if (options_field(f, raw->options, why, sizeof why) < 0)
		return loader_fail(l, "%s.%s: %s", m->name, f->name, why);
	f->packed = f->packed && f->repeated && is_packable(f->type);
	return 0;
}

/* "[pkg.name]" is what an extension is called everywhere. */
static int make_extension(struct loader *l, struct schema_message *m,
			  const struct pending_extension *x)
{
	struct raw_field raw = read_field(x->raw);
	struct schema_field *f = &m->fields[m->n_fields];
	AUTO_BUF name = BUF_INIT;
	int err;

	raw.json_name = (struct bytes){0};
	raw.oneof = -1;
	f->extension = true;
	err = make_field(l, f, m, &raw, NULL, 0, x->features);
	if (err < 0)
		return err;
	buf_printf(&name, "[%s%s]", x->scope, f->name);
	f->name = f->json_name = f->out_name = schema_strndup(l->s, name.data, name.len);
	m->n_fields++;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct schema_field *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (int)x->extension - (int)y->extension;
}

/* Files merged from many services may extend an option by the same number: the
 * first one has it. */
static void drop_doubled_extensions(struct schema_message *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n_fields; i++)
		if (n == 0 || !m->fields[i].extension || m->fields[i].number != m->fields[n - 1].number)
			m->fields[n++] = m->fields[i];
	m->n_fields = n;
}

/* Real oneofs, in order; oneofs[] says which declared one became which. */
static int read_oneofs(struct loader *l, struct schema_message *m, struct bytes raw, int *oneofs,
		       size_t n_declared, const bool *synthetic)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f, o;
	size_t i = 0;

	m->oneofs = schema_alloc(l->s, n_declared * sizeof *m->oneofs);
	while (pbuf_next(&r, &f)) {
		struct pbuf_reader in = pbuf_reader(f.bytes.data, f.bytes.len);
		const char *name = NULL;

		if (f.number != MESSAGE_ONEOF || f.wire != PBUF_LEN)
			continue;
		oneofs[i] = -1;
		if (synthetic[i++])
			continue;
		while (pbuf_next(&in, &o))
			if (o.number == 1 && o.wire == PBUF_LEN)
				name = loader_name(l, o.bytes);
		if (name == NULL)
			return loader_fail(l, "%s: a oneof has no valid name", m->name);
		oneofs[i - 1] = (int)m->n_oneofs;
		m->oneofs[m->n_oneofs++] = name;
	}
	return 0;
}

/* --- the tables --- */

static enum pbuf_wire wire_of(const struct schema_field *f)
{
	if (f->packed)
		return PBUF_LEN;
	switch (f->type) {
	case FIELD_DOUBLE: case FIELD_FIXED64: case FIELD_SFIXED64:
		return PBUF_I64;
	case FIELD_FLOAT: case FIELD_FIXED32: case FIELD_SFIXED32:
		return PBUF_I32;
	case FIELD_STRING: case FIELD_BYTES: case FIELD_MESSAGE:
		return PBUF_LEN;
	case FIELD_GROUP:
		return PBUF_SGROUP;
	default:
		return PBUF_VARINT;
	}
}

static struct bytes make_key(struct loader *l, const char *name)
{
	AUTO_BUF key = BUF_INIT;

	json_put_cstr(&key, name);
	buf_append_byte(&key, ':');
	return (struct bytes){(const uint8_t *)schema_strndup(l->s, key.data, key.len), key.len};
}

static void make_code(struct loader *l, const struct schema_field *f, struct field_code *c)
{
	struct bytes key = make_key(l, f->out_name);
	uint8_t tag[10];

	c->key = key.data;
	c->key_len = (uint32_t)key.len;
	c->json_key = strcmp(f->out_name, f->json_name) == 0 ? key : make_key(l, f->json_name);
	c->name = f->out_name;
	/* a name that needs escapes is never compared as it is */
	if (key.len == strlen(f->out_name) + 3)
		c->name_len = (uint32_t)strlen(f->out_name);
	c->tag_len = (uint8_t)(pbuf_write_varint(tag, (uint64_t)f->number << 3 | wire_of(f)) - tag);
	memcpy(c->tag, tag, c->tag_len);
}

/* Struct, pointers and the malloc around it; protobuf-c's fields are at most
 * 24 bytes (bytes with has_). */
static uint32_t heap_of(const struct schema_message *m)
{
	return (uint32_t)(40 + m->n_fields * 16);
}

static int make_lookup(struct loader *l, struct schema_message *m, bool legacy_json)
{
	struct schema_lookup *k = schema_alloc(l->s, sizeof *k);

	m->lookup = k;
	k->heap = heap_of(m);
	k->codes = schema_alloc(l->s, m->n_fields * sizeof *k->codes);
	name_table_init(l->s, &k->names, m->n_fields * 2);
	for (size_t i = 0; i < m->n_fields; i++)
		if (m->fields[i].number < DENSE_MAX)
			k->n_dense = m->fields[i].number + 1;
	k->by_number = schema_alloc(l->s, k->n_dense * sizeof *k->by_number);
	for (size_t i = 0; i < m->n_fields; i++) {
		struct schema_field *f = &m->fields[i];

		f->index = i;
		if (i > 0 && f->number == m->fields[i - 1].number)
			return loader_fail(l, "%s: number %u belongs to %s and %s", m->name, f->number,
					   m->fields[i - 1].name, f->name);
		if (!name_table_put(&k->names, f->name, i))
			return loader_fail(l, "%s.%s is defined twice", m->name, f->name);
		if (f->number < k->n_dense)
			k->by_number[f->number] = (uint16_t)(i + 1);
		make_code(l, f, &k->codes[i]);
	}
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct schema_field *f = &m->fields[i], *other;

		if (name_table_put(&k->names, f->json_name, i))
			continue;
		other = lookup_name(m, f->json_name, strlen(f->json_name));
		if (other != f && !legacy_json)
			return loader_fail(l, "%s: %s and %s have the same name in JSON, %s", m->name,
					   other->name, f->name, f->json_name);
	}
	return 0;
}

static bool has_type(const struct schema_message *m, size_t i, enum field_type type, bool repeated)
{
	return i < m->n_fields && m->fields[i].number == i + 1 && m->fields[i].type == type &&
	       m->fields[i].repeated == repeated;
}

static bool is_map_key(enum field_type t)
{
	return t != FIELD_DOUBLE && t != FIELD_FLOAT && t != FIELD_BYTES && t != FIELD_ENUM &&
	       t != FIELD_MESSAGE && t != FIELD_GROUP;
}

static bool is_value(const struct schema_message *m)
{
	static const enum field_type types[] = {FIELD_ENUM, FIELD_DOUBLE, FIELD_STRING, FIELD_BOOL,
						FIELD_MESSAGE, FIELD_MESSAGE};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!has_type(m, i, types[i], false))
			return false;
	return m->fields[4].message->well_known == WK_STRUCT &&
	       m->fields[5].message->well_known == WK_LIST_VALUE;
}

/* The transcoder takes the fields of these by their place: they must be there. */
static int check_shape(struct loader *l, const struct schema_message *m)
{
	bool good = true;

	switch (m->well_known) {
	case WK_TIMESTAMP:
	case WK_DURATION:
		good = has_type(m, 0, FIELD_INT64, false) && has_type(m, 1, FIELD_INT32, false);
		break;
	case WK_ANY:
		good = has_type(m, 0, FIELD_STRING, false) && has_type(m, 1, FIELD_BYTES, false);
		break;
	case WK_FIELD_MASK:
		good = has_type(m, 0, FIELD_STRING, true);
		break;
	case WK_STRUCT:
		good = has_type(m, 0, FIELD_MESSAGE, true) && m->fields[0].map;
		break;
	case WK_LIST_VALUE:
		good = has_type(m, 0, FIELD_MESSAGE, true) && m->fields[0].message->well_known == WK_VALUE;
		break;
	case WK_VALUE:
		good = is_value(m);
		break;
	case WK_WRAPPER:
		good = m->n_fields == 1 && m->fields[0].number == 1 && m->fields[0].message == NULL &&
		       !m->fields[0].repeated;
		break;
	default:
		break;
	}
	if (m->map_entry)
		good = good && m->n_fields == 2 && m->fields[0].number == 1 && m->fields[1].number == 2 &&
		       !m->fields[0].repeated && !m->fields[1].repeated && is_map_key(m->fields[0].type);
	return good ? 0 : loader_fail(l, "%s is not what its name or option says", m->name);
}

static size_t count_fields(struct bytes raw, uint32_t number)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;
	size_t n = 0;

	while (pbuf_next(&r, &f))
		n += f.number == number && f.wire == PBUF_LEN;
	return n;
}

static void mark_synthetic(struct bytes raw, bool *synthetic, size_t n)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		struct raw_field field;

		if (f.number != MESSAGE_FIELD || f.wire != PBUF_LEN)
			continue;
		field = read_field(f.bytes);
		if (field.proto3_optional && field.oneof >= 0 && (size_t)field.oneof < n)
			synthetic[field.oneof] = true;
	}
}

int loader_fields(struct loader *l, struct pending_message *p)
{
	struct schema_message *m = p->message;
	size_t n = count_fields(p->raw, MESSAGE_FIELD), n_oneofs = count_fields(p->raw, MESSAGE_ONEOF);
	size_t n_extensions;
	const struct pending_extension *extensions = loader_extensions_of(l, m, &n_extensions);
	AUTO_FREE int *oneofs = xcalloc(n_oneofs, sizeof *oneofs);
	AUTO_FREE bool *synthetic = xcalloc(n_oneofs, sizeof *synthetic);
	struct pbuf_reader r = pbuf_reader(p->raw.data, p->raw.len);
	AUTO_BUF options = BUF_INIT;
	struct pbuf_field f;
	char why[200] = "";
	int err;

	if (n + n_extensions > FIELDS_MAX)
		return loader_fail(l, "%s has %zu fields, more than %d", m->name, n, FIELDS_MAX);
	mark_synthetic(p->raw, synthetic, n_oneofs);
	err = read_oneofs(l, m, p->raw, oneofs, n_oneofs, synthetic);
	m->fields = schema_alloc(l->s, (n + n_extensions) * sizeof *m->fields);
	while (err == 0 && pbuf_next(&r, &f)) {
		if (f.wire == PBUF_LEN && f.number == MESSAGE_OPTIONS)
			buf_append(&options, f.bytes.data, f.bytes.len);
		if (f.wire == PBUF_LEN && f.number == MESSAGE_FIELD) {
			struct raw_field raw = read_field(f.bytes);

			err = make_field(l, &m->fields[m->n_fields++], m, &raw, oneofs, n_oneofs,
					 p->features);
		}
	}
	for (size_t i = 0; i < n_extensions && err == 0; i++)
		err = make_extension(l, m, &extensions[i]);
	if (err < 0)
		return err;
	qsort(m->fields, m->n_fields, sizeof *m->fields, by_number);
	drop_doubled_extensions(m);
	err = make_lookup(l, m, p->features.legacy_json);
	if (err == 0)
		err = check_shape(l, m);
	if (err == 0 && options_message(m, buf_bytes(&options), why, sizeof why) < 0)
		err = loader_fail(l, "%s: %s", m->name, why);
	return err;
}

/* --- enums --- */

/* A bool of an options message. */
static bool option_flag(struct bytes options, uint32_t number)
{
	struct pbuf_reader r = pbuf_reader(options.data, options.len);
	struct pbuf_field f;
	bool set = false;

	while (pbuf_next(&r, &f))
		if (f.number == number && f.wire == PBUF_VARINT)
			set = f.value != 0;
	return set;
}

static int read_enum_value(struct loader *l, const char *enum_name, struct bytes raw,
			   struct schema_enum_value *v)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == 1 && f.wire == PBUF_LEN)
			v->name = loader_name(l, f.bytes);
		else if (f.number == 2)
			v->number = (int32_t)f.value;
		else if (f.number == ENUM_VALUE_OPTIONS && f.wire == PBUF_LEN)
			v->deprecated = option_flag(f.bytes, ENUM_VALUE_DEPRECATED);
	}
	return r.bad || v->name == NULL ?
		loader_fail(l, "enum %s: a value has no valid name", enum_name) : 0;
}

static int make_enum_lookup(struct loader *l, struct schema_enum *e)
{
	struct enum_lookup *k = schema_alloc(l->s, sizeof *k);

	e->lookup = k;
	name_table_init(l->s, &k->names, e->n_values);
	k->first = e->n_values > 0 ? e->values[0].number : 0;
	k->n_dense = (uint32_t)MIN(e->n_values, DENSE_MAX);
	k->by_number = schema_alloc(l->s, k->n_dense * sizeof *k->by_number);
	for (size_t i = 0; i < e->n_values; i++) {
		int64_t at = (int64_t)e->values[i].number - k->first;

		if (!name_table_put(&k->names, e->values[i].name, i))
			return loader_fail(l, "enum %s: %s is defined twice", e->name, e->values[i].name);
		if (at >= 0 && at < k->n_dense && k->by_number[at] == 0)
			k->by_number[at] = (uint16_t)(i + 1);
	}
	return 0;
}

int loader_enum(struct loader *l, struct file *file, const struct features *inherited,
		const char *scope, struct bytes raw, struct schema_enum **out)
{
	struct features features = *inherited;
	struct schema_enum *e = schema_alloc(l->s, sizeof *e);
	size_t n = count_fields(raw, ENUM_VALUE);
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	const char *name = NULL;
	struct pbuf_field f;
	char *full;
	int err = 0;

	while (pbuf_next(&r, &f)) {
		if (f.number == ENUM_NAME && f.wire == PBUF_LEN)
			name = loader_name(l, f.bytes);
		else if (f.number == ENUM_OPTIONS && f.wire == PBUF_LEN)
			features_apply(&features, f.bytes, FEATURES_OF_ENUM);
	}
	if (r.bad || name == NULL || n == 0 || n > FIELDS_MAX)
		return loader_fail(l, "%s: an enum in \"%s\" has no valid name or no values",
				   file->name, scope);
	full = schema_alloc(l->s, strlen(scope) + strlen(name) + 1);
	strcat(strcat(full, scope), name);
	*out = e;
	e->name = full;
	e->closed = features.closed;
	e->is_null_value = strcmp(full, "google.protobuf.NullValue") == 0;
	e->values = schema_alloc(l->s, n * sizeof *e->values);
	if (map_get_str(&l->s->messages, full) != NULL || map_put_str(&l->s->enums, full, e) != NULL)
		return loader_fail(l, "%s: %s is defined twice", file->name, full);
	r = pbuf_reader(raw.data, raw.len);
	while (err == 0 && pbuf_next(&r, &f))
		if (f.number == ENUM_VALUE && f.wire == PBUF_LEN)
			err = read_enum_value(l, e->name, f.bytes, &e->values[e->n_values++]);
	return err < 0 ? err : make_enum_lookup(l, e);
}
