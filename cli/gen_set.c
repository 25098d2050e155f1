/* gen_set.c: see gen_set.h. Descriptors are rewritten field by field on the wire,
 * by one table of rules; what no rule names is copied as it is. */
#define _GNU_SOURCE
#include "cli/gen_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/pbuf.h"

/* The messages of descriptor.proto that are rewritten. */
enum kind {
	KIND_FILE, KIND_MESSAGE, KIND_FIELD, KIND_ONEOF, KIND_ENUM, KIND_VALUE,
	KIND_SERVICE, KIND_METHOD, KIND_RANGE,
	KIND_OPTIONS, /* any of the options messages */
	KIND_DROP,    /* left out */
};

/* Field `number` of `in` is a `is`. Numbers: google/protobuf/descriptor.proto. */
struct rule {
	enum kind in;
	uint32_t number;
	enum kind is;
};

static const struct rule rules[] = {
	{KIND_FILE, 3, KIND_DROP}, /* dependency: written anew */
	{KIND_FILE, 4, KIND_MESSAGE}, {KIND_FILE, 5, KIND_ENUM}, {KIND_FILE, 6, KIND_SERVICE},
	{KIND_FILE, 7, KIND_DROP}, /* extension */
	{KIND_FILE, 8, KIND_OPTIONS},
	{KIND_FILE, 9, KIND_DROP}, /* source_code_info: written anew */
	{KIND_FILE, 10, KIND_DROP}, {KIND_FILE, 11, KIND_DROP}, /* indices of dependencies */
	{KIND_MESSAGE, 2, KIND_FIELD}, {KIND_MESSAGE, 3, KIND_MESSAGE},
	{KIND_MESSAGE, 4, KIND_ENUM}, {KIND_MESSAGE, 5, KIND_RANGE},
	{KIND_MESSAGE, 6, KIND_DROP}, /* extension */
	{KIND_MESSAGE, 7, KIND_OPTIONS}, {KIND_MESSAGE, 8, KIND_ONEOF},
	{KIND_FIELD, 8, KIND_OPTIONS},
	{KIND_FIELD, 17, KIND_DROP}, /* proto3_optional */
	{KIND_ONEOF, 2, KIND_OPTIONS},
	{KIND_ENUM, 2, KIND_VALUE}, {KIND_ENUM, 3, KIND_OPTIONS},
	{KIND_VALUE, 3, KIND_OPTIONS},
	{KIND_SERVICE, 2, KIND_METHOD}, {KIND_SERVICE, 3, KIND_OPTIONS},
	{KIND_METHOD, 4, KIND_OPTIONS},
	{KIND_RANGE, 3, KIND_DROP},
};

/* Options with numbers from here on are extensions or uninterpreted_option. */
enum { OPTION_CUSTOM = 999, OPTION_PROTOBUF_C = 1019 };

static const struct rule *rule_of(enum kind in, uint32_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if (rules[i].in == in && rules[i].number == number)
			return &rules[i];
	return NULL;
}

static void rewrite(enum kind kind, struct bytes in, struct buf *out)
{
	struct pbuf_reader r = pbuf_reader(in.data, in.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		const struct rule *rule = rule_of(kind, f.number);

		if (kind == KIND_OPTIONS && f.number >= OPTION_CUSTOM &&
		    f.number != OPTION_PROTOBUF_C)
			continue;
		if (rule == NULL) {
			buf_append(out, f.start, (size_t)(r.p - f.start));
		} else if (rule->is != KIND_DROP) {
			AUTO_BUF inner = BUF_INIT;

			rewrite(rule->is, f.bytes, &inner);
			pbuf_put_bytes(out, f.number, inner.data, inner.len);
		}
	}
}

/* --- source positions --- */

/* SourceCodeInfo without the locations that have no comment. */
static void put_comments(struct bytes info, struct buf *out)
{
	struct pbuf_reader r = pbuf_reader(info.data, info.len), in;
	AUTO_BUF kept = BUF_INIT;
	struct pbuf_field location, f;

	while (pbuf_next(&r, &location)) {
		bool comment = false;

		in = pbuf_reader(location.bytes.data, location.bytes.len);
		while (location.number == 1 && pbuf_next(&in, &f))
			comment |= f.number == 3 || f.number == 4; /* leading, trailing */
		if (comment)
			pbuf_put_bytes(&kept, 1, location.bytes.data, location.bytes.len);
	}
	if (kept.len > 0)
		pbuf_put_bytes(out, 9, kept.data, kept.len);
}

/* Nobody is shown the comments of the files everybody imports. */
static bool is_common(const char *name)
{
	return strncmp(name, "google/", 7) == 0 || strncmp(name, "buf/validate/", 13) == 0;
}

void gen_set_embed(const struct gen_set *s, struct buf *out)
{
	for (size_t i = 0; i < s->n_files; i++) {
		const struct set_file *file = &s->files[i];
		struct pbuf_reader r = pbuf_reader(file->proto.data, file->proto.len);
		AUTO_BUF one = BUF_INIT;
		struct pbuf_field f;

		while (pbuf_next(&r, &f)) {
			if (f.number != 9)
				buf_append(&one, f.start, (size_t)(r.p - f.start));
			else if (!is_common(file->name))
				put_comments(f.bytes, &one);
		}
		pbuf_put_bytes(out, 1, one.data, one.len);
	}
}

/* --- the index --- */

static struct bytes field_bytes(struct bytes message, uint32_t number)
{
	struct pbuf_reader r = pbuf_reader(message.data, message.len);
	struct bytes found = {NULL, 0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == number && f.wire == PBUF_LEN)
			found = f.bytes;
	return found;
}

static void index_type(struct gen_set *s, struct set_file *file, const char *scope,
		       enum kind kind, struct bytes type)
{
	struct bytes name = field_bytes(type, 1);
	AUTO_FREE char *full = xasprintf("%s.%.*s", scope, (int)name.len, (const char *)name.data);
	struct pbuf_reader r = pbuf_reader(type.data, type.len);
	struct pbuf_field f;

	map_put_str(&s->types, full, file);
	while (kind == KIND_MESSAGE && pbuf_next(&r, &f))
		if (f.number == 3 || f.number == 4)
			index_type(s, file, full, f.number == 3 ? KIND_MESSAGE : KIND_ENUM, f.bytes);
}

static void index_file(struct gen_set *s, struct set_file *file)
{
	struct bytes package = field_bytes(file->proto, 2);
	AUTO_FREE char *scope = xasprintf("%s%.*s", package.len > 0 ? "." : "", (int)package.len,
					  (const char *)package.data);
	struct pbuf_reader r = pbuf_reader(file->proto.data, file->proto.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 4 || f.number == 5)
			index_type(s, file, scope, f.number == 4 ? KIND_MESSAGE : KIND_ENUM,
				   f.bytes);
}

bool gen_set_load(struct gen_set *s, struct bytes set)
{
	struct pbuf_reader r = pbuf_reader(set.data, set.len);
	struct pbuf_field f;

	*s = (struct gen_set){.types = MAP_INIT};
	while (pbuf_next(&r, &f)) {
		struct bytes name = field_bytes(f.bytes, 1);

		if (f.number != 1 || f.wire != PBUF_LEN)
			continue;
		s->files = xrealloc(s->files, (s->n_files + 1) * sizeof *s->files);
		s->files[s->n_files++] = (struct set_file){
			.name = xstrndup((const char *)name.data, name.len), .proto = f.bytes};
	}
	for (size_t i = 0; i < s->n_files; i++)
		index_file(s, &s->files[i]);
	return !r.bad && s->n_files > 0;
}

void gen_set_deinit(struct gen_set *s)
{
	for (size_t i = 0; i < s->n_files; i++)
		free(s->files[i].name);
	free(s->files);
	map_deinit(&s->types);
}

struct set_file *gen_set_file(const struct gen_set *s, const char *name)
{
	for (size_t i = 0; i < s->n_files; i++)
		if (strcmp(s->files[i].name, name) == 0)
			return &s->files[i];
	return NULL;
}

/* --- what the inputs need --- */

/* Sets used[i] for each file that defines a type a field or method names. */
static void find_used(const struct gen_set *s, enum kind kind, struct bytes in, bool *used)
{
	struct pbuf_reader r = pbuf_reader(in.data, in.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f)) {
		const struct rule *rule = rule_of(kind, f.number);
		bool type = (kind == KIND_FIELD && f.number == 6) ||
			    (kind == KIND_METHOD && (f.number == 2 || f.number == 3));
		const struct set_file *file;

		if (type) {
			file = map_get(&s->types, f.bytes.data, f.bytes.len);
			if (file != NULL)
				used[file - s->files] = true;
		} else if (rule != NULL && rule->is < KIND_OPTIONS) {
			find_used(s, rule->is, f.bytes, used);
		}
	}
}

/* Types whose C no library has. */
static bool is_ours_to_make(const char *name)
{
	return strncmp(name, "google/protobuf/", 16) == 0 || strcmp(name, "google/api/httpbody.proto") == 0;
}

static void need(struct gen_set *s, struct set_file *file)
{
	AUTO_FREE bool *used = xcalloc(s->n_files, sizeof *used);

	if (file->needed)
		return;
	file->needed = true;
	file->generate = file->input || is_ours_to_make(file->name);
	find_used(s, KIND_FILE, file->proto, used);
	for (size_t i = 0; i < s->n_files; i++)
		if (used[i])
			need(s, &s->files[i]);
}

static void strip_file(const struct gen_set *s, const struct set_file *file, struct buf *out)
{
	AUTO_FREE bool *used = xcalloc(s->n_files, sizeof *used);
	AUTO_BUF one = BUF_INIT;

	rewrite(KIND_FILE, file->proto, &one);
	find_used(s, KIND_FILE, file->proto, used);
	for (size_t i = 0; i < s->n_files; i++)
		if (used[i] && &s->files[i] != file)
			pbuf_put_str(&one, 3, s->files[i].name);
	put_comments(field_bytes(file->proto, 9), &one);
	pbuf_put_bytes(out, 1, one.data, one.len);
}

void gen_set_strip(struct gen_set *s, struct buf *out)
{
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].input)
			need(s, &s->files[i]);
	for (size_t i = 0; i < s->n_files; i++)
		if (s->files[i].needed)
			strip_file(s, &s->files[i], out);
}
