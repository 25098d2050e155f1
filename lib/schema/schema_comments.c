/* schema_comments.c: comments out of SourceCodeInfo, for people: OpenAPI and
 * `errand describe`; the leading one, else the one behind the declaration. A
 * location's path says which declaration it is at: messages and enums are found by
 * their paths, what is in them by its index. */
#include <stdlib.h>

#include "base/err.h"
#include "base/json.h"
#include "schema/loader.h"

enum {
	FILE_SERVICE = 6, FILE_SOURCE_INFO = 9, SERVICE_METHOD = 2, MESSAGE_FIELD = 2,
	FIELD_NUMBER = 3, ENUM_VALUE = 2,
	INFO_LOCATION = 1, LOCATION_PATH = 1, LOCATION_LEADING = 3, LOCATION_TRAILING = 4,
};

struct location {
	uint32_t path[PATH_MAX_LEN];
	size_t path_len; /* PATH_MAX_LEN + 1: longer than we look */
	struct bytes text; /* of the comment */
};

static void add_path(struct location *loc, uint64_t v)
{
	if (loc->path_len < PATH_MAX_LEN)
		loc->path[loc->path_len] = (uint32_t)v;
	if (loc->path_len <= PATH_MAX_LEN)
		loc->path_len++;
}

static bool read_location(struct bytes raw, struct location *loc)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f;
	uint64_t v;

	loc->path_len = 0;
	loc->text = (struct bytes){0};
	while (pbuf_next(&r, &f)) {
		struct pbuf_reader in = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.wire == PBUF_LEN && f.bytes.len > 0 &&
		    (f.number == LOCATION_LEADING ||
		     (f.number == LOCATION_TRAILING && loc->text.len == 0)))
			loc->text = f.bytes;
		if (f.number != LOCATION_PATH)
			continue;
		if (f.wire == PBUF_VARINT)
			add_path(loc, f.value);
		while (in.p < in.end && pbuf_read_varint(&in, &v))
			add_path(loc, v);
	}
	return !r.bad && loc->text.len > 0 && loc->path_len <= PATH_MAX_LEN;
}

/* Without the space after each // and the newlines at the end. */
static const char *clean(struct schema *s, struct bytes b)
{
	char *out = schema_alloc(s, b.len + 1), *w = out;
	bool at_start = true;

	if (json_utf8_valid(b.data, b.len) != b.len)
		return NULL;
	for (size_t i = 0; i < b.len; i++) {
		char c = (char)b.data[i];

		if (c == '\0' || (at_start && c == ' ')) {
			at_start = false;
			continue;
		}
		at_start = c == '\n';
		*w++ = c;
	}
	while (w > out && (w[-1] == '\n' || w[-1] == ' '))
		w--;
	*w = '\0';
	return *out ? out : NULL;
}

/* --- declarations by their path --- */

static int path_order(const uint32_t *a, size_t a_len, const uint32_t *b, size_t b_len)
{
	for (size_t i = 0; i < a_len && i < b_len; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return a_len < b_len ? -1 : a_len > b_len;
}

static int by_path(const void *a, const void *b)
{
	const struct declared *x = a, *y = b;

	if (x->file != y->file)
		return x->file < y->file ? -1 : 1;
	return path_order(x->path, x->path_len, y->path, y->path_len);
}

static struct declared *find(struct loader *l, size_t file, const struct location *loc, size_t path_len)
{
	struct declared key = {.file = file, .path_len = path_len};

	memcpy(key.path, loc->path, path_len * sizeof *loc->path);
	return l->n_declared == 0 ? NULL :
		bsearch(&key, l->declared, l->n_declared, sizeof key, by_path);
}

/* The numbers of a message's fields in declared order, made when first asked for. */
static void list_fields(struct declared *d)
{
	struct pbuf_reader r = pbuf_reader(d->raw.data, d->raw.len);
	struct pbuf_field f, in;

	d->numbers = xcalloc(d->message->n_fields, sizeof *d->numbers);
	while (pbuf_next(&r, &f) && d->n_numbers < d->message->n_fields) {
		struct pbuf_reader field = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.number != MESSAGE_FIELD || f.wire != PBUF_LEN)
			continue;
		while (pbuf_next(&field, &in))
			if (in.number == FIELD_NUMBER)
				d->numbers[d->n_numbers] = (uint32_t)in.value;
		d->n_numbers++;
	}
}

static struct schema_field *field_at(struct declared *d, uint32_t index)
{
	const struct schema_field *f;

	if (d->numbers == NULL)
		list_fields(d);
	f = index < d->n_numbers ? schema_field_by_number(d->message, d->numbers[index]) : NULL;
	return f != NULL ? &d->message->fields[f->index] : NULL;
}

static void attach_service(struct loader *l, size_t file, const struct location *loc, const char *text)
{
	for (size_t i = 0; i < l->n_services; i++) {
		struct pending_service *p = &l->services[i];

		if (p->file != file || p->index != loc->path[1])
			continue;
		if (loc->path_len == 2)
			p->service->comment = text;
		else if (loc->path_len == 4 && loc->path[2] == SERVICE_METHOD &&
			 loc->path[3] < p->service->n_methods)
			p->service->methods[loc->path[3]].comment = text;
	}
}

/* What is declared inside a message or an enum: its fields, its values. */
static void attach_inside(struct declared *d, const struct location *loc, const char *text)
{
	uint32_t kind = loc->path[loc->path_len - 2], index = loc->path[loc->path_len - 1];
	struct schema_field *f = NULL;

	if (d->message != NULL && kind == MESSAGE_FIELD)
		f = field_at(d, index);
	if (f != NULL)
		f->comment = text;
	else if (d->enumeration != NULL && kind == ENUM_VALUE && index < d->enumeration->n_values)
		d->enumeration->values[index].comment = text;
}

static void attach(struct loader *l, size_t file, const struct location *loc)
{
	struct declared *d;

	if (loc->path_len < 2)
		return;
	if (loc->path[0] == FILE_SERVICE) {
		attach_service(l, file, loc, clean(l->s, loc->text));
	} else if ((d = find(l, file, loc, loc->path_len)) != NULL) {
		if (d->message != NULL)
			d->message->comment = clean(l->s, loc->text);
		else
			d->enumeration->comment = clean(l->s, loc->text);
	} else if (loc->path_len > 3 && (d = find(l, file, loc, loc->path_len - 2)) != NULL) {
		attach_inside(d, loc, clean(l->s, loc->text));
	}
}

void loader_declare(struct loader *l, const struct declared *d)
{
	if ((l->n_declared & (l->n_declared - 1)) == 0)
		l->declared = xrealloc(l->declared, (l->n_declared ? l->n_declared * 2 : 1) *
				       sizeof *l->declared);
	l->declared[l->n_declared++] = *d;
}

static int read_comments(struct loader *l, size_t file)
{
	struct bytes raw = l->files[file].raw;
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct pbuf_field f, in;
	struct location loc;

	while (pbuf_next(&r, &f)) {
		struct pbuf_reader info = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.number != FILE_SOURCE_INFO || f.wire != PBUF_LEN)
			continue;
		while (pbuf_next(&info, &in))
			if (in.number == INFO_LOCATION && in.wire == PBUF_LEN &&
			    read_location(in.bytes, &loc))
				attach(l, file, &loc);
		if (info.bad)
			return loader_fail(l, "%s: its source_code_info does not parse", l->files[file].name);
	}
	return 0;
}

int loader_comments(struct loader *l)
{
	int err = 0;

	if (l->n_declared > 0)
		qsort(l->declared, l->n_declared, sizeof *l->declared, by_path);
	for (size_t i = 0; i < l->n_files && err == 0; i++)
		err = read_comments(l, i);
	return err;
}
