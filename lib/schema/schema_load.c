/* schema_load.c: a FileDescriptorSet becomes a struct schema, in two walks: the
 * first learns every file's and type's name, the second reads what refers to
 * them (fields, methods), so the order of files does not matter. The set comes
 * from a service, so it is a peer's bytes: everything is checked. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "schema/loader.h"

enum { NEST_MAX = 16 }; /* types declared within types */

/* Field numbers of descriptor.proto. */
enum {
	SET_FILE = 1,
	FILE_NAME = 1, FILE_PACKAGE = 2, FILE_DEPENDENCY = 3, FILE_MESSAGE = 4, FILE_ENUM = 5,
	FILE_SERVICE = 6, FILE_EXTENSION = 7, FILE_OPTIONS = 8, FILE_SYNTAX = 12, FILE_EDITION = 14,
	MESSAGE_NAME = 1, MESSAGE_NESTED = 3, MESSAGE_ENUM = 4, MESSAGE_EXTENSION = 6,
	MESSAGE_OPTIONS = 7,
	MESSAGE_OPTIONS_MAP_ENTRY = 7,
};

int loader_fail(struct loader *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->why, l->why_size, fmt, ap);
	va_end(ap);
	return -ERRAND_INVALID_ARGUMENT;
}

const char *loader_name(struct loader *l, struct bytes b)
{
	if (b.len == 0 || b.len > 512)
		return NULL;
	for (size_t i = 0; i < b.len; i++) {
		uint8_t c = b.data[i];

		if (!(c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')))
			return NULL;
	}
	return schema_strndup(l->s, b.data, b.len);
}

const struct schema_message *loader_message(struct loader *l, struct bytes type_name)
{
	if (type_name.len < 2 || type_name.data[0] != '.')
		return NULL;
	return map_get(&l->s->messages, type_name.data + 1, type_name.len - 1);
}

static enum well_known well_known_of(const char *name)
{
	static const struct {
		const char *name;
		enum well_known kind;
	} table[] = {
		{"Any", WK_ANY}, {"Timestamp", WK_TIMESTAMP}, {"Duration", WK_DURATION},
		{"FieldMask", WK_FIELD_MASK}, {"Struct", WK_STRUCT}, {"Value", WK_VALUE},
		{"ListValue", WK_LIST_VALUE}, {"Empty", WK_EMPTY},
		{"DoubleValue", WK_WRAPPER}, {"FloatValue", WK_WRAPPER},
		{"Int64Value", WK_WRAPPER}, {"UInt64Value", WK_WRAPPER},
		{"Int32Value", WK_WRAPPER}, {"UInt32Value", WK_WRAPPER},
		{"BoolValue", WK_WRAPPER}, {"StringValue", WK_WRAPPER},
		{"BytesValue", WK_WRAPPER},
	};
	static const char prefix[] = "google.protobuf.";

	if (strncmp(name, prefix, sizeof prefix - 1) != 0)
		return WK_NONE;
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strcmp(name + sizeof prefix - 1, table[i].name) == 0)
			return table[i].kind;
	return WK_NONE;
}

/* "scope.name" in the arena. */
static const char *full_name(struct loader *l, const char *scope, const char *name)
{
	size_t n_scope = strlen(scope), n = strlen(name);
	char *full = schema_alloc(l->s, n_scope + n + 1);

	memcpy(full, scope, n_scope);
	memcpy(full + n_scope, name, n);
	return full;
}

/* "scope.name." for what is declared inside. */
static const char *inner_scope(struct loader *l, const char *full)
{
	return full_name(l, full, ".");
}

/* What a message's options say that its fields need. */
static bool read_options(struct bytes raw, struct features *features)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f, o;
	bool entry = false;

	while (pbuf_next(&r, &f)) {
		struct pbuf_reader in = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.number != MESSAGE_OPTIONS || f.wire != PBUF_LEN)
			continue;
		features_apply(features, f.bytes, FEATURES_OF_MESSAGE);
		while (pbuf_next(&in, &o))
			if (o.number == MESSAGE_OPTIONS_MAP_ENTRY && o.wire == PBUF_VARINT)
				entry = o.value != 0;
	}
	return entry;
}

static struct pending_message *new_pending(struct loader *l)
{
	if ((l->n_messages & (l->n_messages - 1)) == 0)
		l->messages = xrealloc(l->messages, (l->n_messages ? l->n_messages * 2 : 1) *
				       sizeof *l->messages);
	return &l->messages[l->n_messages++];
}

static void declare(struct loader *l, size_t file, struct schema_message *m, struct schema_enum *e,
		    struct bytes raw, const uint32_t *path, size_t path_len)
{
	struct declared d = {.message = m, .enumeration = e, .raw = raw, .file = file, .path_len = path_len};

	memcpy(d.path, path, path_len * sizeof *path);
	loader_declare(l, &d);
}

static int index_enum(struct loader *l, size_t file, const struct features *inherited,
		      const char *scope, struct bytes raw, const uint32_t *path, size_t path_len)
{
	struct schema_enum *e;
	int err = loader_enum(l, &l->files[file], inherited, scope, raw, &e);

	if (err == 0)
		declare(l, file, NULL, e, raw, path, path_len);
	return err;
}

/* Name and place of one message; its fields come in the second walk. */
static int index_message(struct loader *l, size_t file, const struct features *inherited,
			 const char *scope, struct bytes raw, const uint32_t *path, size_t path_len);

static int index_inside(struct loader *l, size_t file, const struct features *features,
			const char *full, struct bytes raw, const uint32_t *path, size_t path_len)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	const char *scope = inner_scope(l, full);
	uint32_t inner[PATH_MAX_LEN], n_nested = 0, n_enums = 0;
	struct pbuf_field f;
	int err;

	memcpy(inner, path, path_len * sizeof *path);
	while (pbuf_next(&r, &f)) {
		if (f.wire != PBUF_LEN)
			continue;
		if (f.number == MESSAGE_NESTED) {
			inner[path_len] = MESSAGE_NESTED;
			inner[path_len + 1] = n_nested++;
			err = index_message(l, file, features, scope, f.bytes, inner, path_len + 2);
			if (err < 0)
				return err;
		} else if (f.number == MESSAGE_ENUM) {
			inner[path_len] = MESSAGE_ENUM;
			inner[path_len + 1] = n_enums++;
			err = index_enum(l, file, features, scope, f.bytes, inner, path_len + 2);
			if (err < 0)
				return err;
		}
	}
	if (r.bad)
		return loader_fail(l, "%s: message %s does not parse", l->files[file].name, full);
	return loader_extensions(l, scope, raw, MESSAGE_EXTENSION, features);
}

static int index_message(struct loader *l, size_t file, const struct features *inherited,
			 const char *scope, struct bytes raw, const uint32_t *path, size_t path_len)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct features features = *inherited;
	struct pending_message *p;
	struct schema_message *m;
	struct pbuf_field f;
	const char *name = NULL;

	if (path_len > 2 * NEST_MAX)
		return loader_fail(l, "%s: types nested over %d deep in %s", l->files[file].name,
				   NEST_MAX, scope);
	while (pbuf_next(&r, &f))
		if (f.number == MESSAGE_NAME && f.wire == PBUF_LEN)
			name = loader_name(l, f.bytes);
	if (r.bad || name == NULL)
		return loader_fail(l, "%s: a message in \"%s\" has no valid name", l->files[file].name,
				   scope);
	m = schema_alloc(l->s, sizeof *m);
	m->name = full_name(l, scope, name);
	m->well_known = well_known_of(m->name);
	m->map_entry = read_options(raw, &features);
	if (map_get_str(&l->s->enums, m->name) != NULL || map_put_str(&l->s->messages, m->name, m) != NULL)
		return loader_fail(l, "%s: %s is defined twice", l->files[file].name, m->name);
	p = new_pending(l);
	*p = (struct pending_message){.message = m, .raw = raw, .features = features, .file = file,
				       .path_len = path_len};
	memcpy(p->path, path, path_len * sizeof *path);
	declare(l, file, m, NULL, raw, path, path_len);
	return index_inside(l, file, &features, m->name, raw, path, path_len);
}

static int index_service(struct loader *l, size_t file, struct bytes raw, uint32_t index)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct schema_service *service = schema_alloc(l->s, sizeof *service);
	struct pbuf_field f;
	const char *name = NULL;

	while (pbuf_next(&r, &f))
		if (f.number == 1 && f.wire == PBUF_LEN)
			name = loader_name(l, f.bytes);
	if (r.bad || name == NULL)
		return loader_fail(l, "%s: a service has no valid name", l->files[file].name);
	service->name = full_name(l, l->files[file].package, name);
	if (map_put_str(&l->s->services, service->name, service) != NULL)
		return loader_fail(l, "%s: service %s is defined twice", l->files[file].name,
				   service->name);
	l->services = xrealloc(l->services, (l->n_services + 1) * sizeof *l->services);
	l->services[l->n_services++] = (struct pending_service){service, raw, file, index};
	return 0;
}

static int index_file(struct loader *l, size_t file)
{
	struct bytes raw = l->files[file].raw;
	const struct features features = l->files[file].features;
	const char *scope = l->files[file].package;
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	uint32_t path[2] = {FILE_MESSAGE, 0}, enum_path[2] = {FILE_ENUM, 0}, n_services = 0;
	struct pbuf_field f;
	int err = 0;

	while (err == 0 && pbuf_next(&r, &f)) {
		if (f.wire != PBUF_LEN)
			continue;
		if (f.number == FILE_MESSAGE) {
			err = index_message(l, file, &features, scope, f.bytes, path, 2);
			path[1]++;
		} else if (f.number == FILE_ENUM) {
			err = index_enum(l, file, &features, scope, f.bytes, enum_path, 2);
			enum_path[1]++;
		} else if (f.number == FILE_SERVICE) {
			err = index_service(l, file, f.bytes, n_services++);
		}
	}
	return err < 0 ? err : loader_extensions(l, scope, raw, FILE_EXTENSION, &features);
}

/* --- files --- */

static const char *package_scope(struct loader *l, struct bytes b)
{
	char *scope;

	if (b.len == 0)
		return "";
	scope = schema_alloc(l->s, b.len + 2);
	memcpy(scope, b.data, b.len);
	scope[b.len] = '.';
	return memchr(b.data, 0, b.len) ? NULL : scope;
}

/* The head of a file; 1 when a file of that name is there already. */
static int read_file(struct loader *l, struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct file file = {.raw = raw, .package = ""};
	struct bytes syntax = {0}, options = {0};
	uint64_t edition = 0;
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		if (f.number == FILE_EDITION)
			edition = f.value;
		if (f.wire != PBUF_LEN)
			continue;
		if (f.number == FILE_NAME && memchr(f.bytes.data, 0, f.bytes.len) == NULL)
			file.name = schema_strndup(l->s, f.bytes.data, f.bytes.len);
		else if (f.number == FILE_PACKAGE)
			file.package = package_scope(l, f.bytes);
		else if (f.number == FILE_SYNTAX)
			syntax = f.bytes;
		else if (f.number == FILE_OPTIONS)
			options = f.bytes;
	}
	if (r.bad || file.name == NULL || file.package == NULL)
		return loader_fail(l, "file %zu of the set does not parse", l->n_files + 1);
	for (size_t i = 0; i < l->n_files; i++)
		if (strcmp(l->files[i].name, file.name) == 0)
			return 1;
	if (!features_of_file(&file.features, syntax, edition))
		return loader_fail(l, "%s: syntax \"%.*s\" is not known, only proto2, proto3 and "
				   "editions up to 2024", file.name, (int)MIN(syntax.len, 32),
				   (const char *)syntax.data);
	features_apply(&file.features, options, FEATURES_OF_FILE);
	l->files = xrealloc(l->files, (l->n_files + 1) * sizeof *l->files);
	l->files[l->n_files++] = file;
	return 0;
}

static int read_files(struct loader *l)
{
	struct pbuf_reader r = pbuf_reader(l->s->set, l->s->set_len);
	struct pbuf_field f;
	int err;

	while (pbuf_next(&r, &f)) {
		if (f.number != SET_FILE || f.wire != PBUF_LEN)
			continue;
		err = read_file(l, f.bytes);
		if (err < 0)
			return err;
	}
	if (r.bad)
		return loader_fail(l, "not a FileDescriptorSet: malformed at byte %zu of %zu",
				   (size_t)(r.p - l->s->set), l->s->set_len);
	if (l->n_files == 0)
		return loader_fail(l, "the descriptor set holds no file");
	return 0;
}

static int check_imports(struct loader *l, const struct file *file)
{
	struct pbuf_reader r = pbuf_reader(file->raw.data, file->raw.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		bool found = f.number != FILE_DEPENDENCY || f.wire != PBUF_LEN;

		for (size_t i = 0; i < l->n_files && !found; i++)
			found = strlen(l->files[i].name) == f.bytes.len &&
				memcmp(l->files[i].name, f.bytes.data, f.bytes.len) == 0;
		if (!found)
			return loader_fail(l, "%s imports %.*s, which is not in the set: make it with "
					   "protoc --include_imports", file->name,
					   (int)MIN(f.bytes.len, 200), (const char *)f.bytes.data);
	}
	return 0;
}

static int build(struct loader *l)
{
	int err = read_files(l);

	for (size_t i = 0; i < l->n_files && err == 0; i++)
		err = check_imports(l, &l->files[i]);
	for (size_t i = 0; i < l->n_files && err == 0; i++)
		err = index_file(l, i);
	loader_sort_extensions(l);
	for (size_t i = 0; i < l->n_messages && err == 0; i++)
		err = loader_fields(l, &l->messages[i]);
	if (err == 0)
		err = loader_rules(l);
	if (err < 0)
		return err;
	l->s->list = schema_alloc(l->s, l->n_services * sizeof *l->s->list);
	for (size_t i = 0; i < l->n_services && err == 0; i++) {
		l->s->list[l->s->n_services++] = l->services[i].service;
		err = loader_service(l, &l->services[i]);
	}
	return err < 0 ? err : loader_comments(l);
}

static int load(const void *set, size_t len, bool any_rules, struct schema **out, char *why, size_t why_size)
{
	struct schema *s = xcalloc(1, sizeof *s);
	struct loader l = {.s = s, .any_rules = any_rules, .why = why, .why_size = why_size};
	int err;

	*out = NULL;
	atomic_init(&s->refs, 1);
	s->set = xmalloc(len);
	s->set_len = len;
	if (len > 0)
		memcpy(s->set, set, len);
	err = build(&l);
	free(l.files);
	free(l.messages);
	free(l.services);
	for (size_t i = 0; i < l.n_declared; i++)
		free(l.declared[i].numbers);
	free(l.declared);
	free(l.extensions);
	if (err < 0) {
		schema_unref(s);
		return err;
	}
	*out = s;
	return 0;
}

int schema_load(const void *set, size_t len, struct schema **out, char *why, size_t why_size)
{
	return load(set, len, false, out, why, why_size);
}

int schema_load_any(const void *set, size_t len, struct schema **out, char *why, size_t why_size)
{
	return load(set, len, true, out, why, why_size);
}
