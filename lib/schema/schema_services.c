/* schema_services.c: services and their methods, with types resolved and
 * options read, and each route's template tried. */
#include <stdio.h>

#include "base/err.h"
#include "schema/field_path.h"
#include "schema/loader.h"

/* Field numbers of descriptor.proto. */
enum {
	SERVICE_METHOD = 2,
	METHOD_NAME = 1, METHOD_INPUT = 2, METHOD_OUTPUT = 3, METHOD_OPTIONS = 4,
	METHOD_CLIENT_STREAMING = 5, METHOD_SERVER_STREAMING = 6,
};

static int check_field(const struct schema_message *m, const char *field, const char *what,
		       char *why, size_t why_size)
{
	struct field_path path;

	if (*field == '\0' || (strcmp(field, "*") == 0 && strcmp(what, "body") == 0) ||
	    field_path_parse(&path, m, field))
		return 0;
	snprintf(why, why_size, "%s \"%s\" is not a field of %s", what, field, m->name);
	return -ERRAND_INVALID_ARGUMENT;
}

/* A route that could not be served is found here, not at the first request. */
static int check_routes(const struct schema_method *m, char *why, size_t why_size)
{
	for (size_t i = 0; i < m->n_http; i++) {
		struct template *t = NULL;
		char reason[256] = "";
		int err = template_parse(m->http[i].path, m->input, &t, reason, sizeof reason);

		template_free(t);
		if (err < 0) {
			snprintf(why, why_size, "path \"%.200s\": %s", m->http[i].path, reason);
			return err;
		}
		err = check_field(m->input, m->http[i].body, "body", why, why_size);
		if (err == 0)
			err = check_field(m->output, m->http[i].response_body, "response_body", why,
					  why_size);
		if (err < 0)
			return err;
	}
	return 0;
}

static int resolve_method(struct loader *l, struct schema_method *m, struct bytes in,
			  struct bytes out)
{
	char *full;

	if (m->name == NULL)
		return loader_fail(l, "service %s: a method has no valid name", m->service->name);
	full = schema_alloc(l->s, strlen(m->service->name) + strlen(m->name) + 2);
	strcat(strcat(strcpy(full, m->service->name), "/"), m->name);
	m->full_name = full;
	m->input = loader_message(l, in);
	m->output = loader_message(l, out);
	if (m->input == NULL || m->output == NULL) {
		struct bytes missing = m->input == NULL ? in : out;

		return loader_fail(l, "%s: its type %.*s is not in the set", full,
				   (int)MIN(missing.len, 200), (const char *)missing.data);
	}
	if (map_put_str(&l->s->methods, full, m) != NULL)
		return loader_fail(l, "method %s is defined twice", full);
	return 0;
}

static int read_method(struct loader *l, struct schema_method *m, struct bytes raw)
{
	struct pbuf_reader r = pbuf_reader(raw.data, raw.len);
	struct bytes in = {0}, out = {0};
	AUTO_BUF options = BUF_INIT;
	struct pbuf_field f;
	char why[600] = "";
	int err;

	while (pbuf_next(&r, &f)) {
		switch (f.number) {
		case METHOD_NAME: m->name = loader_name(l, f.bytes); break;
		case METHOD_INPUT: in = f.bytes; break;
		case METHOD_OUTPUT: out = f.bytes; break;
		case METHOD_OPTIONS: buf_append(&options, f.bytes.data, f.bytes.len); break;
		case METHOD_CLIENT_STREAMING: m->client_streaming = f.value != 0; break;
		case METHOD_SERVER_STREAMING: m->server_streaming = f.value != 0; break;
		}
	}
	err = resolve_method(l, m, in, out);
	if (err < 0)
		return err;
	err = options_method(l->s, m, buf_bytes(&options), why, sizeof why);
	if (err == 0)
		err = check_routes(m, why, sizeof why);
	return err < 0 ? loader_fail(l, "%s: %s", m->full_name, why) : 0;
}

int loader_service(struct loader *l, struct pending_service *p)
{
	struct pbuf_reader r = pbuf_reader(p->raw.data, p->raw.len);
	struct schema_service *s = p->service;
	size_t n = 0;
	struct pbuf_field f;
	int err = 0;

	while (pbuf_next(&r, &f))
		n += f.number == SERVICE_METHOD && f.wire == PBUF_LEN;
	s->methods = schema_alloc(l->s, n * sizeof *s->methods);
	r = pbuf_reader(p->raw.data, p->raw.len);
	while (err == 0 && pbuf_next(&r, &f)) {
		struct schema_method *m;

		if (f.number != SERVICE_METHOD || f.wire != PBUF_LEN)
			continue;
		m = &s->methods[s->n_methods++];
		m->service = s;
		err = read_method(l, m, f.bytes);
	}
	return err;
}
