/* See remote_reply.h. A problem may come before the service's schema is known (401), so
 * what errand.v1.Problem looks like stands here as well; the unit test compares the two. */
#define _GNU_SOURCE
#include "cli/remote_reply.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/pbuf.h"
#include "schema/transcode.h"

enum { TYPE_DOUBLE = 1, TYPE_INT32 = 5, TYPE_BOOL = 8, TYPE_STRING = 9, TYPE_MESSAGE = 11 };
enum { OPTIONAL = 1, REPEATED = 3 };
enum { PROBLEM_DETAIL = 4, PROBLEM_INSTANCE = 5, PROBLEM_CODE = 6, PROBLEM_ERRORS = 7 };

struct field {
	const char *name;
	uint32_t number, type, label;
};

static const struct field problem_fields[] = {
	{"type", 1, TYPE_STRING, OPTIONAL},
	{"title", 2, TYPE_STRING, OPTIONAL},
	{"status", 3, TYPE_INT32, OPTIONAL},
	{"detail", PROBLEM_DETAIL, TYPE_STRING, OPTIONAL},
	{"instance", PROBLEM_INSTANCE, TYPE_STRING, OPTIONAL},
	{"code", PROBLEM_CODE, TYPE_STRING, OPTIONAL},
	{"errors", PROBLEM_ERRORS, TYPE_MESSAGE, REPEATED},
	{"final", 8, TYPE_BOOL, OPTIONAL},
	{"retry_after", 9, TYPE_DOUBLE, OPTIONAL},
};

static const struct field violation_fields[] = {
	{"pointer", 1, TYPE_STRING, OPTIONAL},
	{"parameter", 2, TYPE_STRING, OPTIONAL},
	{"header", 3, TYPE_STRING, OPTIONAL},
	{"rule", 4, TYPE_STRING, OPTIONAL},
	{"detail", 5, TYPE_STRING, OPTIONAL},
	{"value", 6, TYPE_STRING, OPTIONAL},
};

/* A DescriptorProto. */
static void put_message(struct buf *file, const char *name, const struct field *fields, size_t n)
{
	AUTO_BUF message = BUF_INIT;

	pbuf_put_str(&message, 1, name);
	for (size_t i = 0; i < n; i++) {
		AUTO_BUF field = BUF_INIT;

		pbuf_put_str(&field, 1, fields[i].name);
		pbuf_put_uint(&field, 3, fields[i].number);
		pbuf_put_uint(&field, 4, fields[i].label);
		pbuf_put_uint(&field, 5, fields[i].type);
		if (fields[i].type == TYPE_MESSAGE)
			pbuf_put_str(&field, 6, ".errand.v1.Violation");
		pbuf_put_bytes(&message, 2, field.data, field.len);
	}
	pbuf_put_bytes(file, 4, message.data, message.len);
}

static struct schema *problem_schema(void)
{
	AUTO_BUF file = BUF_INIT, set = BUF_INIT;
	struct schema *s = NULL;
	char why[128];

	pbuf_put_str(&file, 1, "problem.proto");
	pbuf_put_str(&file, 2, "errand.v1");
	put_message(&file, "Problem", problem_fields, ARRAY_LEN(problem_fields));
	put_message(&file, "Violation", violation_fields, ARRAY_LEN(violation_fields));
	pbuf_put_str(&file, 12, "proto3");
	pbuf_put_bytes(&set, 1, file.data, file.len);
	return schema_load(set.data, set.len, &s, why, sizeof why) < 0 ? NULL : s;
}

static bool bytes_are(struct bytes b, const char *text)
{
	return b.len == strlen(text) && memcmp(b.data, text, b.len) == 0;
}

static bool to_wire(struct bytes json, struct buf *wire)
{
	struct schema *s = problem_schema();
	struct fault_list faults = FAULT_LIST_INIT;
	struct transcode_read o = {.schema = s, .ignore_unknown = true, .allow_nul = true};
	int r = -1;

	if (s != NULL)
		r = transcode_from_json(&o, schema_message(s, "errand.v1.Problem", 17), (const char *)json.data, json.len,
					"#", wire, &faults);
	fault_list_deinit(&faults);
	schema_unref(s);
	return r == 0;
}

/* Does it say more than its code and detail? What the gateway makes of a bare status does not, and
 * the socket has no problem then. */
static bool is_telling(struct bytes problem)
{
	struct pbuf_reader r = pbuf_reader(problem.data, problem.len);
	struct pbuf_field f;

	while (pbuf_next(&r, &f))
		if ((f.number == 1 && !bytes_are(f.bytes, "about:blank")) || f.number >= PROBLEM_ERRORS)
			return true;
	return false;
}

struct errand_reply *remote_reply_problem(struct bytes json, const char *path)
{
	AUTO_BUF all = BUF_INIT, kept = BUF_INIT;
	AUTO_FREE char *detail = NULL, *name = NULL;
	struct pbuf_reader r;
	struct pbuf_field f;
	int code;

	if (!to_wire(json, &all))
		return NULL;
	r = pbuf_reader(all.data, all.len);
	while (pbuf_next(&r, &f)) {
		if (f.number == PROBLEM_INSTANCE && bytes_are(f.bytes, path))
			continue;
		if (f.number == PROBLEM_CODE && name == NULL)
			name = xstrndup((const char *)f.bytes.data, f.bytes.len);
		if (f.number == PROBLEM_DETAIL && detail == NULL)
			detail = xstrndup((const char *)f.bytes.data, f.bytes.len);
		buf_append(&kept, f.start, (size_t)(r.p - f.start));
	}
	code = name != NULL ? err_code_by_name(name) : -1;
	if (code <= 0)
		return NULL;
	return remote_reply(code, detail != NULL ? detail : "",
			    is_telling(buf_bytes(&kept)) ? buf_bytes(&kept) : (struct bytes){NULL, 0},
			    (struct bytes){NULL, 0}, false);
}

int remote_reply_code(int status)
{
	static const struct {
		int status, code;
	} codes[] = {
		{400, ERRAND_INVALID_ARGUMENT}, {401, ERRAND_UNAUTHENTICATED}, {403, ERRAND_PERMISSION_DENIED},
		{404, ERRAND_NOT_FOUND}, {408, ERRAND_DEADLINE_EXCEEDED}, {413, ERRAND_RESOURCE_EXHAUSTED},
		{429, ERRAND_RESOURCE_EXHAUSTED}, {502, ERRAND_UNAVAILABLE}, {503, ERRAND_UNAVAILABLE},
		{504, ERRAND_DEADLINE_EXCEEDED},
	};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (codes[i].status == status)
			return codes[i].code;
	return ERRAND_UNKNOWN;
}

static const void *put(char **pp, const void *data, size_t len)
{
	char *p = *pp;

	if (len == 0)
		return NULL;
	memcpy(p, data, len);
	*pp += len;
	return p;
}

struct errand_reply *remote_reply(int code, const char *message, struct bytes problem, struct bytes payload,
				  bool is_task)
{
	size_t len = strlen(message) + 1;
	struct errand_reply *r = calloc(1, sizeof *r + len + problem.len + payload.len);
	char *p;

	if (r == NULL)
		return NULL;
	p = (char *)(r + 1);
	r->code = code;
	r->is_task = is_task;
	r->payload = put(&p, payload.data, payload.len);
	r->payload_len = payload.len;
	r->problem = put(&p, problem.data, problem.len);
	r->problem_len = problem.len;
	r->message = put(&p, message, len);
	return r;
}
