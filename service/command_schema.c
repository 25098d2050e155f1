/* command_schema.c: commands as a FileDescriptorSet, field by field in the wire format of
 * descriptor.proto: a file for each service, a request and a reply for each command. The
 * numbers are those of descriptor.proto, http.proto, validate.proto and options.proto. */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "service/command_spec.h"

enum { /* FileDescriptorProto */
	FILE_NAME = 1, FILE_PACKAGE = 2, FILE_DEPENDENCY = 3, FILE_MESSAGE = 4, FILE_SERVICE = 6, FILE_SOURCE = 9,
	FILE_SYNTAX = 12,
};
enum { /* FieldDescriptorProto */
	FIELD_NAME = 1, FIELD_NUMBER = 3, FIELD_LABEL = 4, FIELD_TYPE = 5, FIELD_TYPE_NAME = 6, FIELD_OPTIONS = 8,
	FIELD_ONEOF = 9, FIELD_JSON_NAME = 10, FIELD_PROTO3_OPTIONAL = 17,
};
enum { TYPE_DOUBLE = 1, TYPE_INT64 = 3, TYPE_INT32 = 5, TYPE_BOOL = 8, TYPE_STRING = 9, TYPE_MESSAGE = 11, TYPE_BYTES = 12 };
enum { OPTION_HTTP = 72295728, OPTION_METHOD = 51717, OPTION_RULES = 1159 };

/* Bytes of a text that says no other length: an element of argv has 128 KiB at most. */
#define TEXT_MAX 65536

#define VALUE_TYPE ".google.protobuf.Value"
#define BODY_TYPE ".google.api.HttpBody"
#define STRUCT_FILE "google/protobuf/struct.proto"
#define BODY_FILE "google/api/httpbody.proto"

/* One service's file under way. */
struct file {
	const struct command_spec *first; /* of the service */
	struct buf messages, methods, source;
	unsigned n_messages, n_methods;
	bool uses_value, uses_body;
};

static void put_message(struct buf *to, uint32_t number, const struct buf *m)
{
	pbuf_put_bytes(to, number, m->data, m->len);
}

/* --- documentation --- */

static void put_path(struct buf *to, const unsigned *path, size_t n)
{
	AUTO_BUF packed = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		pbuf_put_varint(&packed, path[i]);
	put_message(to, 1, &packed);
}

static void put_comment(struct file *f, const unsigned *path, size_t n, const char *text)
{
	AUTO_BUF location = BUF_INIT, comment = BUF_INIT;

	if (text == NULL || *text == '\0')
		return;
	put_path(&location, path, n);
	buf_append_byte(&comment, ' ');
	buf_append_str(&comment, text);
	buf_append_byte(&comment, '\n');
	put_message(&location, 3, &comment);
	put_message(&f->source, 1, &location);
}

static void comment_method(struct file *f, const struct command_spec *s)
{
	const unsigned path[] = {FILE_SERVICE, 0, 2, f->n_methods};
	AUTO_FREE char *text = xasprintf("%s%s%s", s->summary ? s->summary : "",
					 s->summary && s->description ? "\n\n " : "", s->description ? s->description : "");

	put_comment(f, path, ARRAY_LEN(path), text);
}

static void comment_param(struct file *f, const struct command_param *p, unsigned place)
{
	const unsigned path[] = {FILE_MESSAGE, f->n_messages, 2, place};
	AUTO_FREE char *text = xasprintf("%s%s%s%s%s", p->help ? p->help : "", p->help && p->fallback ? " " : "",
					 p->fallback ? "Default: " : "", p->fallback ? p->fallback : "",
					 p->fallback ? "." : "");

	put_comment(f, path, ARRAY_LEN(path), text);
}

/* --- rules --- */

static void put_double(struct buf *to, uint32_t number, double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof bits);
	pbuf_put_tag(to, number, PBUF_I64);
	for (int i = 0; i < 8; i++)
		buf_append_byte(to, (uint8_t)(bits >> 8 * i));
}

static void put_value(struct buf *to, uint32_t number, enum param_type type, const char *text)
{
	if (type == PARAM_NUMBER)
		put_double(to, number, strtod(text, NULL));
	else if (type == PARAM_INT || type == PARAM_LONG)
		pbuf_put_uint(to, number, (uint64_t)strtoll(text, NULL, 10));
	else
		pbuf_put_str(to, number, text);
}

/* Those of one value: numbers have lte 3, gte 5, in 6; strings min_len 2, max_len 3, max_bytes
 * 5, pattern 6, in 10; bytes min_len 2, max_len 3. */
static void put_value_rules(struct buf *rules, const struct command_param *p)
{
	static const uint32_t kinds[] = {14, 14, 15, 3, 4, 2, 13};
	bool number = p->type == PARAM_INT || p->type == PARAM_LONG || p->type == PARAM_NUMBER;
	AUTO_BUF own = BUF_INIT;

	if (p->min != NULL)
		put_value(&own, 5, p->type, p->min);
	if (p->max != NULL)
		put_value(&own, 3, p->type, p->max);
	if (p->min_len >= 0)
		pbuf_put_uint(&own, 2, (uint64_t)p->min_len);
	if (p->max_len >= 0)
		pbuf_put_uint(&own, 3, (uint64_t)p->max_len);
	else if (p->type == PARAM_STRING || p->type == PARAM_PATH)
		pbuf_put_uint(&own, 5, TEXT_MAX);
	if (p->pattern != NULL)
		pbuf_put_str(&own, 6, p->pattern);
	for (char **c = p->choices; c != NULL && *c != NULL; c++)
		put_value(&own, number ? 6 : 10, p->type, *c);
	if (own.len > 0)
		put_message(rules, kinds[p->type], &own);
}

static void put_rules(struct buf *field, const struct command_param *p)
{
	AUTO_BUF rules = BUF_INIT, items = BUF_INIT, repeated = BUF_INIT, options = BUF_INIT;

	if (!p->repeated) {
		put_value_rules(&rules, p);
		if (p->required)
			pbuf_put_uint(&rules, 25, 1);
	} else {
		put_value_rules(&items, p);
		if (p->required)
			pbuf_put_uint(&repeated, 1, 1);
		if (p->max_items >= 0)
			pbuf_put_uint(&repeated, 2, (uint64_t)p->max_items);
		if (items.len > 0)
			put_message(&repeated, 4, &items);
		if (repeated.len > 0)
			put_message(&rules, 18, &repeated);
	}
	if (rules.len == 0)
		return;
	put_message(&options, OPTION_RULES, &rules);
	put_message(field, FIELD_OPTIONS, &options);
}

/* --- messages --- */

/* As protoc has it: small_word becomes smallWord. */
static void put_json_name(struct buf *to, const char *name)
{
	AUTO_BUF json = BUF_INIT;
	bool upper = false;

	for (; *name != '\0'; name++) {
		if (*name == '_') {
			upper = true;
			continue;
		}
		buf_append_byte(&json, (uint8_t)(upper ? toupper((unsigned char)*name) : *name));
		upper = false;
	}
	put_message(to, FIELD_JSON_NAME, &json);
}

static void put_type(struct file *f, struct buf *to, enum param_type type)
{
	static const unsigned types[] = {TYPE_STRING, TYPE_STRING, TYPE_BYTES, TYPE_INT32, TYPE_INT64, TYPE_DOUBLE, TYPE_BOOL,
					 TYPE_MESSAGE};

	pbuf_put_uint(to, FIELD_TYPE, types[type]);
	if (type != PARAM_JSON)
		return;
	pbuf_put_str(to, FIELD_TYPE_NAME, VALUE_TYPE);
	f->uses_value = true;
}

static void put_field_head(struct buf *field, const char *name, size_t number, bool repeated)
{
	pbuf_put_str(field, FIELD_NAME, name);
	pbuf_put_uint(field, FIELD_NUMBER, number);
	pbuf_put_uint(field, FIELD_LABEL, repeated ? 3 : 1);
	put_json_name(field, name);
}

/* What is not repeated tells whether it was given: a default and "required" need that. */
static void put_param(struct file *f, struct buf *message, struct buf *oneofs, const struct command_param *p,
		      unsigned place, unsigned *n_oneofs)
{
	AUTO_BUF field = BUF_INIT, oneof = BUF_INIT;

	put_field_head(&field, p->name, place + 1, p->repeated);
	put_type(f, &field, p->type);
	put_rules(&field, p);
	if (!p->repeated) {
		AUTO_FREE char *name = xasprintf("_%s", p->name);

		pbuf_put_uint(&field, FIELD_ONEOF, (*n_oneofs)++);
		pbuf_put_uint(&field, FIELD_PROTO3_OPTIONAL, 1);
		pbuf_put_str(&oneof, 1, name);
		put_message(oneofs, 8, &oneof);
	}
	put_message(message, 2, &field);
	comment_param(f, p, place);
}

static void put_body_field(struct file *f, struct buf *message, size_t number)
{
	AUTO_BUF field = BUF_INIT;

	put_field_head(&field, "body", number, false);
	pbuf_put_uint(&field, FIELD_TYPE, TYPE_MESSAGE);
	pbuf_put_str(&field, FIELD_TYPE_NAME, BODY_TYPE);
	put_message(message, 2, &field);
	f->uses_body = true;
}

static char *message_name(const struct command_spec *s, const char *what)
{
	const char *dot = strrchr(s->service, '.');

	return xasprintf("%s%s%s", dot + 1, s->method, what);
}

static void add_message(struct file *f, const struct buf *message)
{
	put_message(&f->messages, FILE_MESSAGE, message);
	f->n_messages++;
}

static void make_request(struct file *f, const struct command_spec *s)
{
	AUTO_FREE char *name = message_name(s, "Request");
	AUTO_BUF message = BUF_INIT, oneofs = BUF_INIT;
	unsigned n_oneofs = 0;

	pbuf_put_str(&message, 1, name);
	for (unsigned i = 0; i < s->n_params; i++)
		put_param(f, &message, &oneofs, &s->params[i], i, &n_oneofs);
	if (s->stdin_from == STDIN_BODY)
		put_body_field(f, &message, s->n_params + 1);
	buf_append(&message, oneofs.data, oneofs.len);
	add_message(f, &message);
}

static void put_result(struct file *f, struct buf *message, const char *name, enum param_type type, size_t number)
{
	AUTO_BUF field = BUF_INIT;

	put_field_head(&field, name, number, false);
	put_type(f, &field, type);
	put_message(message, 2, &field);
}

/* The full name of the reply's type, with its dot. Owned. */
static char *make_reply(struct file *f, const struct command_spec *s, const char *package)
{
	AUTO_FREE char *name = message_name(s, "Reply");
	AUTO_BUF message = BUF_INIT;

	if (s->result == RESULT_JSON) {
		f->uses_value = true;
		return xstrdup(VALUE_TYPE);
	}
	if (s->result == RESULT_BYTES || s->result == RESULT_FILE) {
		f->uses_body = true;
		return xstrdup(BODY_TYPE);
	}
	pbuf_put_str(&message, 1, name);
	if (s->result == RESULT_TEXT) {
		put_result(f, &message, "output", PARAM_STRING, 1);
		put_result(f, &message, "exit_status", PARAM_INT, 2);
	}
	for (size_t i = 0; i < s->n_results; i++)
		put_result(f, &message, s->results[i].name, s->results[i].type, i + 1);
	add_message(f, &message);
	return xasprintf(".%s.%s", package, name);
}

/* --- methods --- */

static void put_route(struct buf *options, const struct command_spec *s)
{
	static const struct {
		const char *verb;
		uint32_t number;
		bool body;
	} verbs[] = {{"GET", 2, false}, {"PUT", 3, true}, {"POST", 4, true}, {"DELETE", 5, false}, {"PATCH", 6, true}};
	AUTO_BUF http = BUF_INIT;

	for (size_t i = 0; s->verb != NULL && i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].verb, s->verb) != 0)
			continue;
		pbuf_put_str(&http, verbs[i].number, s->path);
		if (verbs[i].body)
			pbuf_put_str(&http, 7, s->stdin_from == STDIN_BODY ? "body" : "*");
		put_message(options, OPTION_HTTP, &http);
	}
}

static void put_time(struct buf *to, uint32_t number, int64_t ns)
{
	AUTO_BUF duration = BUF_INIT;

	if (ns == 0)
		return;
	pbuf_put_uint(&duration, 1, (uint64_t)(ns / NS_PER_S));
	pbuf_put_uint(&duration, 2, (uint64_t)(ns % NS_PER_S));
	put_message(to, number, &duration);
}

static void put_retry(struct buf *to, const struct command_spec *s)
{
	AUTO_BUF retry = BUF_INIT;

	if (s->retry.max_attempts != 0)
		pbuf_put_uint(&retry, 1, s->retry.max_attempts);
	put_time(&retry, 2, s->retry.base_ns);
	put_time(&retry, 3, s->retry.cap_ns);
	if (s->retry.factor != 0)
		put_double(&retry, 4, s->retry.factor);
	if (retry.len > 0)
		put_message(to, 4, &retry);
}

static void put_rule(struct buf *options, const struct command_spec *s)
{
	enum { RUN_SYNC = 2, RUN_TASK = 3 };
	AUTO_BUF rule = BUF_INIT;

	pbuf_put_uint(&rule, 1, s->sync ? RUN_SYNC : RUN_TASK);
	if (s->queue != NULL)
		pbuf_put_str(&rule, 2, s->queue);
	put_time(&rule, 3, s->timeout_ns);
	put_retry(&rule, s);
	put_time(&rule, 5, s->cancel_grace_ns);
	put_time(&rule, 6, s->start_deadline_ns);
	put_time(&rule, 7, s->total_timeout_ns);
	put_time(&rule, 8, s->progress_timeout_ns);
	put_time(&rule, 9, s->result_ttl_ns);
	if (s->priority != 0)
		pbuf_put_uint(&rule, 10, (uint64_t)(int64_t)s->priority);
	if (s->max_result != 0)
		pbuf_put_uint(&rule, 11, (uint64_t)s->max_result);
	put_message(options, OPTION_METHOD, &rule);
}

static void make_method(struct file *f, const struct command_spec *s, const char *package)
{
	AUTO_FREE char *request = message_name(s, "Request"), *input = xasprintf(".%s.%s", package, request);
	AUTO_FREE char *output = NULL;
	AUTO_BUF method = BUF_INIT, options = BUF_INIT;

	make_request(f, s);
	output = make_reply(f, s, package);
	put_route(&options, s);
	put_rule(&options, s);
	pbuf_put_str(&method, 1, s->method);
	pbuf_put_str(&method, 2, input);
	pbuf_put_str(&method, 3, output);
	put_message(&method, 4, &options);
	put_message(&f->methods, 2, &method);
	comment_method(f, s);
	f->n_methods++;
}

/* --- files --- */

static void file_end(struct file *f, const char *package, struct buf *set)
{
	const char *dot = strrchr(f->first->service, '.');
	AUTO_FREE char *name = xasprintf("command/%s.proto", f->first->service);
	AUTO_BUF file = BUF_INIT, service = BUF_INIT;

	pbuf_put_str(&file, FILE_NAME, name);
	pbuf_put_str(&file, FILE_PACKAGE, package);
	if (f->uses_value)
		pbuf_put_str(&file, FILE_DEPENDENCY, STRUCT_FILE);
	if (f->uses_body)
		pbuf_put_str(&file, FILE_DEPENDENCY, BODY_FILE);
	buf_append(&file, f->messages.data, f->messages.len);
	pbuf_put_str(&service, 1, dot + 1);
	buf_append(&service, f->methods.data, f->methods.len);
	put_message(&file, FILE_SERVICE, &service);
	put_message(&file, FILE_SOURCE, &f->source);
	pbuf_put_str(&file, FILE_SYNTAX, "proto3");
	put_message(set, 1, &file);
	buf_deinit(&f->messages);
	buf_deinit(&f->methods);
	buf_deinit(&f->source);
}

/* google.api.HttpBody, as far as it is shown; struct.proto errand.v1 brings. */
static void put_body_file(struct buf *set)
{
	static const struct {
		const char *name;
		unsigned type;
	} fields[] = {{"content_type", TYPE_STRING}, {"data", TYPE_BYTES}};
	AUTO_BUF file = BUF_INIT, message = BUF_INIT;

	pbuf_put_str(&message, 1, "HttpBody");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		AUTO_BUF field = BUF_INIT;

		put_field_head(&field, fields[i].name, i + 1, false);
		pbuf_put_uint(&field, FIELD_TYPE, fields[i].type);
		put_message(&message, 2, &field);
	}
	pbuf_put_str(&file, FILE_NAME, BODY_FILE);
	pbuf_put_str(&file, FILE_PACKAGE, "google.api");
	put_message(&file, FILE_MESSAGE, &message);
	pbuf_put_str(&file, FILE_SYNTAX, "proto3");
	put_message(set, 1, &file);
}

static bool is_first(const struct command_set *set, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(set->specs[k].service, set->specs[i].service) == 0)
			return false;
	return true;
}

/* True when it uses google.api.HttpBody. */
static bool make_service(const struct command_set *set, size_t first, struct buf *out)
{
	const char *service = set->specs[first].service;
	AUTO_FREE char *package = strndup(service, (size_t)(strrchr(service, '.') - service));
	struct file f = {.first = &set->specs[first]};

	for (size_t i = first; i < set->n; i++)
		if (strcmp(set->specs[i].service, service) == 0)
			make_method(&f, &set->specs[i], package);
	file_end(&f, package, out);
	return f.uses_body;
}

void command_schema_make(const struct command_set *set, struct buf *out, char ***servicesp)
{
	char **services = xcalloc(set->n + 1, sizeof(char *));
	bool uses_body = false;
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		if (is_first(set, i)) {
			services[n++] = xstrdup(set->specs[i].service);
			uses_body |= make_service(set, i, out);
		}
	if (uses_body)
		put_body_file(out);
	*servicesp = services;
}
