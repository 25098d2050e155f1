/* gen_lint.c: see gen_lint.h. Follows the names protoc-gen-c 1.4 makes: it puts
 * an underscore behind a field that is a C++ keyword, but nothing behind a
 * method; members of its own (base, n_X, X_case) may be taken by a field; types
 * are told apart without their underscores. */
#define _GNU_SOURCE
#include "cli/gen_lint.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/pbuf.h"

/* C11's and GNU C's keywords in lower case, and what gcc and clang define as
 * macros in their default modes on Linux. */
static const char *const keywords[] = {
	"asm", "auto", "break", "case", "char", "const", "continue", "default", "do",
	"double", "else", "enum", "extern", "float", "for", "goto", "if", "inline", "int",
	"long", "register", "restrict", "return", "short", "signed", "sizeof", "static",
	"struct", "switch", "typedef", "typeof", "union", "unsigned", "void", "volatile",
	"while", "linux", "unix", "i386",
};
/* Those of them protoc-gen-c does not escape in fields: not C++'s. */
static const char *const unescaped[] = {"restrict", "typeof", "linux", "unix", "i386"};

enum { DEPTH_MAX = 64 };

/* The place in the file, as SourceCodeInfo has it. */
struct lint {
	const struct set_file *file;
	struct bytes info; /* source_code_info */
	uint32_t path[DEPTH_MAX];
	size_t depth;
	struct map types; /* C names of types so far; values: the .proto's names */
	char **kept;      /* owned names in types */
	size_t n_kept, n_faults;
	struct buf *out;
};

static bool is_in(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

static char *get_string(struct bytes message, uint32_t number)
{
	struct pbuf_reader r = pbuf_reader(message.data, message.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == number && f.wire == PBUF_LEN)
			return xstrndup((const char *)f.bytes.data, f.bytes.len);
	return xstrdup("");
}

static uint64_t get_number(struct bytes message, uint32_t number, uint64_t fallback)
{
	struct pbuf_reader r = pbuf_reader(message.data, message.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == number && f.wire == PBUF_VARINT)
			fallback = f.value;
	return fallback;
}

/* --- where --- */

static bool path_is(struct bytes packed, const uint32_t *path, size_t depth)
{
	struct pbuf_reader r = pbuf_reader(packed.data, packed.len);
	uint64_t v;

	for (size_t i = 0; i < depth; i++)
		if (r.p == r.end || !pbuf_read_varint(&r, &v) || v != path[i])
			return false;
	return r.p == r.end;
}

/* Line and column, from 1, of what path names; 0 when it is not known. */
static void find_place(const struct lint *l, uint64_t *linep, uint64_t *columnp)
{
	struct pbuf_reader r = pbuf_reader(l->info.data, l->info.len);
	struct pbuf_field location, f;

	*linep = *columnp = 0;
	while (pbuf_next(&r, &location)) {
		struct pbuf_reader in = pbuf_reader(location.bytes.data, location.bytes.len);
		struct bytes path = {NULL, 0}, span = {NULL, 0};

		while (pbuf_next(&in, &f)) {
			if (f.number == 1)
				path = f.bytes;
			else if (f.number == 2)
				span = f.bytes;
		}
		if (!path_is(path, l->path, l->depth))
			continue;
		in = pbuf_reader(span.data, span.len);
		if (pbuf_read_varint(&in, linep) && pbuf_read_varint(&in, columnp)) {
			++*linep;
			++*columnp;
		}
		return;
	}
}

static void fault(struct lint *l, const char *fmt, ...) PRINTF(2, 3);
static void fault(struct lint *l, const char *fmt, ...)
{
	AUTO_FREE char *text = NULL;
	uint64_t line, column;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	find_place(l, &line, &column);
	buf_append_str(l->out, l->file->name);
	if (line > 0)
		buf_printf(l->out, ":%llu:%llu", (unsigned long long)line,
			   (unsigned long long)column);
	buf_printf(l->out, ": %s\n", text);
	l->n_faults++;
}

/* --- the names protoc-gen-c makes --- */

/* "GetItem" -> "get_item", "HTTPGet" -> "httpget" */
static char *snake(const char *name)
{
	char *out = xmalloc(strlen(name) * 2 + 1), *p = out;
	bool was_upper = true;

	for (; *name != '\0'; name++) {
		bool upper = isupper((unsigned char)*name) != 0;

		if (upper && !was_upper)
			*p++ = '_';
		*p++ = (char)tolower((unsigned char)*name);
		was_upper = upper;
	}
	*p = '\0';
	return out;
}

/* "foo_bar" -> "FooBar" */
static char *camel(const char *name)
{
	char *out = xmalloc(strlen(name) + 1), *p = out;
	bool upper = true;

	for (; *name != '\0'; name++) {
		if (*name == '_') {
			upper = true;
			continue;
		}
		*p++ = upper ? (char)toupper((unsigned char)*name) : *name;
		upper = false;
	}
	*p = '\0';
	return out;
}

static char *lower(const char *name)
{
	char *out = xstrdup(name);

	for (char *p = out; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

/* Notes that a C type `name` exists; complains when another has it. */
static void add_type(struct lint *l, const char *name, const char *what, const char *proto_name)
{
	const char *other = map_get_str(&l->types, name);
	char *kept;

	if (other != NULL) {
		fault(l, "%s %s and %s become the same C type %s: rename one", what, proto_name,
		      other, name);
		return;
	}
	kept = xasprintf("%s %s", what, proto_name);
	l->kept = xrealloc(l->kept, (l->n_kept + 1) * sizeof *l->kept);
	l->kept[l->n_kept++] = kept;
	map_put_str(&l->types, name, kept);
}

/* Members of one C struct: the .proto names that own them. */
struct members {
	struct map map;
	char **names;
	size_t n;
};

static void members_deinit(struct members *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->names[i]);
	free(m->names);
	map_deinit(&m->map);
}

/* Takes member; owner is what it stands for. */
static void add_member(struct lint *l, struct members *m, char *member, const char *owner)
{
	AUTO_FREE char *key = member;
	const char *other = map_get_str(&m->map, key);
	char *kept;

	if (other != NULL) {
		fault(l, "%s and %s become the same C member '%s': rename one", owner, other, key);
		return;
	}
	kept = xstrdup(owner);
	m->names = xrealloc(m->names, (m->n + 1) * sizeof *m->names);
	m->names[m->n++] = kept;
	map_put_str(&m->map, key, kept);
}

/* --- walking --- */

enum { LABEL_OPTIONAL = 1, LABEL_REPEATED = 3, TYPE_GROUP = 10 };

static void lint_field(struct lint *l, struct members *m, struct bytes field, bool proto2)
{
	AUTO_FREE char *name = get_string(field, 1);
	AUTO_FREE char *owner = xasprintf("field %s", name);
	AUTO_FREE char *member = lower(name);
	uint64_t label = get_number(field, 4, LABEL_OPTIONAL), type = get_number(field, 5, 0);
	bool in_oneof = get_number(field, 9, UINT64_MAX) != UINT64_MAX;

	if (is_in(unescaped, ARRAY_LEN(unescaped), member))
		fault(l, "field %s: '%s' is a word of C: rename it", name, member);
	if (type == TYPE_GROUP)
		fault(l, "field %s is a group, which protobuf-c does not know: use a message", name);
	if (label == LABEL_REPEATED)
		add_member(l, m, xasprintf("n_%s", member), owner);
	if (proto2 && label == LABEL_OPTIONAL && !in_oneof && type != 9 && type != 11)
		add_member(l, m, xasprintf("has_%s", member), owner);
	add_member(l, m, xstrdup(member), owner);
}

static void lint_message(struct lint *l, struct bytes message, const char *scope, bool proto2);

/* One entry of a message at path: index-th of its list `number`. */
static void lint_part(struct lint *l, struct members *m, const struct pbuf_field *f,
		      const char *scope, bool proto2)
{
	AUTO_FREE char *name = get_string(f->bytes, 1);
	AUTO_FREE char *c_name = camel(name);

	if (f->number == 2) {
		lint_field(l, m, f->bytes, proto2);
	} else if (f->number == 3) {
		lint_message(l, f->bytes, scope, proto2);
	} else if (f->number == 4) {
		AUTO_FREE char *full = xasprintf("%s__%s", scope, c_name);

		add_type(l, full, "enum", name);
	} else if (f->number == 8) {
		AUTO_FREE char *full = xasprintf("%s__%sCase", scope, c_name);
		AUTO_FREE char *owner = xasprintf("oneof %s", name);
		char *member = lower(name);

		add_type(l, full, "oneof", name);
		add_member(l, m, xasprintf("%s_case", member), owner);
		free(member);
	}
}

static void lint_message(struct lint *l, struct bytes message, const char *scope, bool proto2)
{
	AUTO_FREE char *name = get_string(message, 1);
	AUTO_FREE char *c_name = camel(name);
	AUTO_FREE char *full = xasprintf("%s%s%s", scope, *scope != '\0' ? "__" : "", c_name);
	struct pbuf_reader r = pbuf_reader(message.data, message.len);
	uint32_t index[16] = {0};
	struct members members = {.map = MAP_INIT};
	struct pbuf_field f;

	add_type(l, full, "message", name);
	add_member(l, &members, xstrdup("base"), "protobuf-c's own");
	while (pbuf_next(&r, &f)) {
		if (f.number >= ARRAY_LEN(index) || f.wire != PBUF_LEN ||
		    l->depth + 2 > DEPTH_MAX)
			continue;
		l->path[l->depth++] = f.number;
		l->path[l->depth++] = index[f.number]++;
		lint_part(l, &members, &f, full, proto2);
		l->depth -= 2;
	}
	members_deinit(&members);
}

static void lint_method(struct lint *l, struct members *m, const char *service,
			struct bytes method)
{
	AUTO_FREE char *name = get_string(method, 1);
	AUTO_FREE char *owner = xasprintf("method %s", name);
	AUTO_FREE char *member = snake(name);

	if (is_in(keywords, ARRAY_LEN(keywords), member))
		fault(l, "method %s.%s: '%s' is a word of C, so its C would not compile: "
			 "rename it, say %sIt", service, name, member, name);
	else if (strcmp(member, "init") == 0 || strcmp(member, "descriptor") == 0)
		fault(l, "method %s.%s: protobuf-c has a '%s' of its own in each service: "
			 "rename it, say %sIt", service, name, member, name);
	add_member(l, m, xstrdup(member), owner);
}

static void lint_service(struct lint *l, struct bytes service)
{
	AUTO_FREE char *name = get_string(service, 1);
	struct pbuf_reader r = pbuf_reader(service.data, service.len);
	struct members members = {.map = MAP_INIT};
	struct pbuf_field f;
	uint32_t index = 0;

	add_member(l, &members, xstrdup("base"), "protobuf-c's own");
	while (pbuf_next(&r, &f)) {
		if (f.number != 2)
			continue;
		l->path[l->depth++] = f.number;
		l->path[l->depth++] = index++;
		lint_method(l, &members, name, f.bytes);
		l->depth -= 2;
	}
	members_deinit(&members);
}

size_t gen_lint(const struct set_file *file, struct buf *out)
{
	struct lint l = {.file = file, .types = MAP_INIT, .out = out};
	struct pbuf_reader r = pbuf_reader(file->proto.data, file->proto.len);
	AUTO_FREE char *syntax = get_string(file->proto, 12);
	uint32_t index[16] = {0};
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if (f.number == 9)
			l.info = f.bytes;
	r = pbuf_reader(file->proto.data, file->proto.len);
	while (pbuf_next(&r, &f)) {
		if (f.number < 4 || f.number > 6)
			continue;
		l.path[0] = f.number;
		l.path[1] = index[f.number]++;
		l.depth = 2;
		if (f.number == 4) {
			lint_message(&l, f.bytes, "", strcmp(syntax, "proto3") != 0);
		} else if (f.number == 5) {
			AUTO_FREE char *name = get_string(f.bytes, 1);
			AUTO_FREE char *c_name = camel(name);

			add_type(&l, c_name, "enum", name);
		} else {
			lint_service(&l, f.bytes);
		}
	}
	for (size_t i = 0; i < l.n_kept; i++)
		free(l.kept[i]);
	free(l.kept);
	map_deinit(&l.types);
	return l.n_faults;
}
