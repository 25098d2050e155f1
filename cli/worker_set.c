/* worker_set.c: see worker_set.h. Numbers are those of descriptor.proto, http.proto and
 * errand/v1/options.proto. */
#define _GNU_SOURCE
#include "cli/worker_set.h"

#include <ctype.h>
#include <string.h>

#include "base/pbuf.h"
#include "base/util.h"

enum { OPTION_HTTP = 72295728, OPTION_METHOD = 51717, RUN_TASK = 3 };

static void put_message(struct buf *to, uint32_t number, const struct buf *m)
{
	pbuf_put_bytes(to, number, m->data, m->len);
}

static bool is_name(const char *method)
{
	const char *slash = strchr(method, '/');
	bool begins = true;

	if (slash == NULL || strchr(slash + 1, '/') != NULL || memchr(method, '.', (size_t)(slash - method)) == NULL)
		return false;
	for (const char *p = method; *p != '\0'; p++) {
		bool mark = *p == '.' || *p == '/';

		if (mark && (begins || (*p == '.' && p > slash)))
			return false;
		if (!mark && *p != '_' && !isalpha((unsigned char)*p) && (begins || !isdigit((unsigned char)*p)))
			return false;
		begins = mark;
	}
	return !begins;
}

static void put_options(struct buf *method, const char *verb, const char *path, const char *queue)
{
	static const struct {
		const char *verb;
		uint32_t number;
	} verbs[] = {{"GET", 2}, {"PUT", 3}, {"POST", 4}, {"DELETE", 5}, {"PATCH", 6}};
	AUTO_BUF options = BUF_INIT, http = BUF_INIT, rule = BUF_INIT;

	for (size_t i = 0; verb != NULL && i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].verb, verb) == 0)
			pbuf_put_str(&http, verbs[i].number, path);
	if (http.len > 0) {
		pbuf_put_str(&http, 7, "*");
		put_message(&options, OPTION_HTTP, &http);
	}
	pbuf_put_uint(&rule, 1, RUN_TASK);
	if (queue != NULL)
		pbuf_put_str(&rule, 2, queue);
	put_message(&options, OPTION_METHOD, &rule);
	put_message(method, 4, &options);
}

void worker_set_copy(struct bytes set, const char *file, struct buf *out)
{
	struct pbuf_reader r = pbuf_reader(set.data, set.len);
	struct pbuf_field f, part;

	while (pbuf_next(&r, &f)) {
		struct pbuf_reader inner = pbuf_reader(f.bytes.data, f.bytes.len);

		if (f.number != 1 || !pbuf_next(&inner, &part) || part.number != 1)
			continue;
		if (part.bytes.len == strlen(file) && memcmp(part.bytes.data, file, part.bytes.len) == 0)
			pbuf_put_bytes(out, 1, f.bytes.data, f.bytes.len);
	}
}

bool worker_set_make(const char *name, const char *verb, const char *path, const char *queue, struct buf *out,
		     char **servicep)
{
	AUTO_BUF file = BUF_INIT, service = BUF_INIT, method = BUF_INIT;
	AUTO_FREE char *full = NULL, *file_name = NULL;
	char *dot;

	if (!is_name(name))
		return false;
	full = xstrndup(name, strcspn(name, "/"));
	*servicep = xstrdup(full);
	file_name = xasprintf("worker/%s.proto", full);
	dot = strrchr(full, '.');
	*dot = '\0';
	pbuf_put_str(&method, 1, strchr(name, '/') + 1);
	pbuf_put_str(&method, 2, ".google.protobuf.Struct");
	pbuf_put_str(&method, 3, ".google.protobuf.Value");
	put_options(&method, verb, path, queue);
	pbuf_put_str(&service, 1, dot + 1);
	put_message(&service, 2, &method);
	pbuf_put_str(&file, 1, file_name);
	pbuf_put_str(&file, 2, full);
	pbuf_put_str(&file, 3, WORKER_SET_IMPORT);
	put_message(&file, 6, &service);
	pbuf_put_str(&file, 12, "proto3");
	put_message(out, 1, &file);
	return true;
}
