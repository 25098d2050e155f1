/* routes.c: errand routes: the HTTP routes of a schema as a table, or which of them
 * a request takes and what its path and query bind. It asks the same code as the
 * gateway (schema/route.h), so what it says is what will happen. */
#define _GNU_SOURCE
#include <libsmartcols.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "cli/backend.h"
#include "cli/schema_arg.h"
#include "cli/show.h"
#include "schema/query.h"
#include "schema/transcode.h"
#include "schema/variables.h"

struct routes_conf {
	struct cli_common common;
	const char *schema, *match;
};

#define OFF(field) offsetof(struct routes_conf, field)
static const struct opt options[] = {
	{"schema", 0, OPT_STRING, OFF(schema), NULL, 0, 0, "FILE.pb|SOCKET",
	 "a descriptor set, or a service's socket; default the service of --socket"},
	{"match", 'm', OPT_STRING, OFF(match), NULL, 0, 0, "'GET /path?query'",
	 "the route this request takes, and what it binds, as JSON"},
	CLI_COMMON(struct routes_conf),
};
#undef OFF

/* --- one route's members --- */

static const char *run_name(const struct schema_method *m)
{
	static const char *const names[] = {"SYNC", "ASYNC", "SYNC", "TASK"};

	return names[m->run];
}

static const char *streaming_name(const struct schema_method *m)
{
	static const char *const names[] = {"", "server", "client", "both"};

	return names[(m->client_streaming ? 2 : 0) + (m->server_streaming ? 1 : 0)];
}

/* A method's route of its own: POST /pkg.Service/Method. */
static struct schema_http rpc_binding(const struct schema_method *m, char *path, size_t size)
{
	if (m->local)
		return (struct schema_http){"", "", "", ""};
	snprintf(path, size, "/%s", m->full_name);
	return (struct schema_http){"POST", path, "*", ""};
}

static void put_member(struct buf *b, const char *name, const char *value)
{
	buf_append_str(b, b->len > 0 && b->data[b->len - 1] != '{' ? "," : "");
	json_put_cstr(b, name);
	buf_append_byte(b, ':');
	json_put_cstr(b, value);
}

static void put_route(struct buf *b, const struct schema_method *m, const struct schema_http *h)
{
	put_member(b, "method", m->full_name);
	put_member(b, "verb", h->verb);
	put_member(b, "path", h->path);
	put_member(b, "body", h->body);
	put_member(b, "response_body", h->response_body);
	put_member(b, "streaming", streaming_name(m));
	put_member(b, "run", run_name(m));
	if (m->local)
		buf_append_str(b, ",\"local\":true");
}

/* --- the table --- */

enum column { COL_VERB, COL_PATH, COL_METHOD, COL_BODY, COL_RUN, COL_STREAM };

static const struct {
	const char *name;
	double width; /* hint, as scols_table_new_column has it */
	int flags;
} columns[] = {
	[COL_VERB] = {"VERB", 6, 0},
	[COL_PATH] = {"PATH", 0.4, 0},
	[COL_METHOD] = {"METHOD", 0.4, 0},
	[COL_BODY] = {"BODY", 4, 0},
	[COL_RUN] = {"RUN", 5, 0},
	[COL_STREAM] = {"STREAM", 6, 0},
};

/* Shows one route; negative when memory is out. */
typedef int show_route(void *to, const struct schema_method *m, const struct schema_http *h);

static int add_row(void *to, const struct schema_method *m, const struct schema_http *h)
{
	struct libscols_line *line = scols_table_new_line(to, NULL);

	if (line == NULL)
		return -1;
	scols_line_set_data(line, COL_VERB, h->verb);
	scols_line_set_data(line, COL_PATH, m->local ? "(socket only)" : h->path);
	scols_line_set_data(line, COL_METHOD, m->full_name);
	scols_line_set_data(line, COL_BODY, h->body);
	scols_line_set_data(line, COL_RUN, run_name(m));
	scols_line_set_data(line, COL_STREAM, streaming_name(m));
	return 0;
}

static int print_line(void *to, const struct schema_method *m, const struct schema_http *h)
{
	AUTO_BUF line = BUF_INIT;

	buf_append_byte(&line, '{');
	put_route(&line, m, h);
	fprintf(to, "%s}\n", buf_cstr(&line));
	return 0;
}

static int each_of_method(const struct schema_method *m, show_route *show, void *to)
{
	char path[1024];
	struct schema_http rpc = rpc_binding(m, path, sizeof path);
	bool spelled_out = false;

	for (size_t i = 0; i < m->n_http && !m->local; i++) {
		spelled_out |= strcmp(m->http[i].verb, rpc.verb) == 0 && strcmp(m->http[i].path, path) == 0;
		if (show(to, m, &m->http[i]) < 0)
			return -1;
	}
	return spelled_out ? 0 : show(to, m, &rpc);
}

static int each_route(const struct schema *s, show_route *show, void *to)
{
	for (size_t i = 0; i < schema_n_services(s); i++) {
		const struct schema_service *service = schema_service_at(s, i);

		for (size_t k = 0; k < service->n_methods; k++)
			if (each_of_method(&service->methods[k], show, to) < 0)
				return -1;
	}
	return 0;
}

static int show_table(const struct schema *s)
{
	struct libscols_table *table;
	int r;

	scols_init_debug(0);
	table = scols_new_table();
	if (table != NULL && !isatty(STDOUT_FILENO))
		scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	r = table != NULL ? 0 : -1;
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(columns); i++)
		if (scols_table_new_column(table, columns[i].name, columns[i].width, columns[i].flags) == NULL)
			r = -1;
	if (r == 0)
		r = each_route(s, add_row, table);
	if (r == 0)
		r = scols_print_table(table);
	scols_unref_table(table);
	if (r == 0)
		return CLI_OK;
	cli_error("out of memory");
	return CLI_FAILED;
}

static int list(const struct schema *s, bool json)
{
	if (schema_n_services(s) == 0) {
		cli_error("routes: the schema has no services");
		return CLI_OK;
	}
	if (!json)
		return show_table(s);
	each_route(s, print_line, stdout);
	return CLI_OK;
}

/* --- one request --- */

/* The flat list of what path and query say, in their order. */
struct bindings {
	struct buf json;
	struct bound {
		char *name;         /* owned */
		struct buf values;  /* JSON strings with commas between */
		size_t n;
		bool repeated;
	} *list;
	size_t n;
};

static struct bound *bindings_find(struct bindings *b, const char *name)
{
	for (size_t i = 0; i < b->n; i++)
		if (strcmp(b->list[i].name, name) == 0)
			return &b->list[i];
	b->list = xrealloc(b->list, (b->n + 1) * sizeof *b->list);
	b->list[b->n] = (struct bound){.name = xstrdup(name), .values = BUF_INIT};
	return &b->list[b->n++];
}

static void bindings_add(struct bindings *b, const char *name, struct bytes value, bool repeated)
{
	struct bound *bound = bindings_find(b, name);

	if (bound->n++ != 0)
		buf_append_byte(&bound->values, ',');
	bound->repeated = repeated;
	json_put_string(&bound->values, (const char *)value.data, value.len);
}

static void bindings_add_parameter(const struct query_binding *q, void *arg)
{
	AUTO_BUF name = BUF_INIT;

	for (size_t i = 0; i < q->depth; i++)
		buf_printf(&name, "%s%s", i ? "." : "", q->path[i]->name);
	if (q->key.data != NULL)
		buf_printf(&name, "[%.*s]", (int)q->key.len, (const char *)q->key.data);
	bindings_add(arg, buf_cstr(&name), q->value, q->path[q->depth - 1]->repeated && q->key.data == NULL);
}

static void bindings_add_variables(struct bindings *b, const struct route_match *m)
{
	const struct template *t = m->route->template;

	for (size_t i = 0; t != NULL && i < t->n_variables; i++) {
		AUTO_BUF text = BUF_INIT;

		if (route_decode(m->values[i], template_variable_is_multi(t, &t->variables[i]), &text))
			bindings_add(b, t->variables[i].name, buf_bytes(&text), false);
	}
}

static void bindings_put(const struct bindings *b, struct buf *out)
{
	for (size_t i = 0; i < b->n; i++) {
		const struct bound *bound = &b->list[i];

		buf_append_str(out, i ? "," : "");
		json_put_cstr(out, bound->name);
		buf_append_str(out, bound->repeated ? ":[" : ":");
		buf_append(out, bound->values.data, bound->values.len);
		buf_append_str(out, bound->repeated ? "]" : "");
	}
}

static void bindings_deinit(struct bindings *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->list[i].name);
		buf_deinit(&b->list[i].values);
	}
	free(b->list);
}

static int print_match(const struct schema *s, const struct route *route, const struct bindings *b,
		       struct bytes wire)
{
	const struct transcode_write o = {.schema = s, .skip_zero = true};
	char path[1024], why[256] = "";
	const struct schema_http rpc = rpc_binding(route->method, path, sizeof path);
	AUTO_BUF line = BUF_INIT;

	buf_append_byte(&line, '{');
	put_route(&line, route->method, route->http != NULL ? route->http : &rpc);
	buf_append_str(&line, ",\"bindings\":{");
	bindings_put(b, &line);
	buf_append_str(&line, "},\"request\":");
	if (transcode_to_json(&o, route->method->input, wire, &line, why, sizeof why) < 0) {
		cli_error("routes: %s", why);
		return CLI_FAILED;
	}
	printf("%s}\n", buf_cstr(&line));
	return CLI_OK;
}

static int bind(const struct schema *s, const struct route_match *m, const char *query)
{
	struct fault_list faults = FAULT_LIST_INIT;
	struct bindings b = {.n = 0};
	AUTO_BUF wire = BUF_INIT;
	int r;

	bindings_add_variables(&b, m);
	variables_to_wire(m, &wire, &faults);
	query_bind_to_wire(m->route, query, &wire, &faults, bindings_add_parameter, &b);
	r = faults.n != 0 ? show_refused(&faults, "request") : print_match(s, m->route, &b, buf_bytes(&wire));
	bindings_deinit(&b);
	fault_list_deinit(&faults);
	return r;
}

static int no_route(const char *verb, const char *path, int why, struct buf *allow)
{
	struct fault_list faults = FAULT_LIST_INIT;

	if (why == -ERRAND_INVALID_ARGUMENT) {
		fault_add(&faults, FAULT_SYNTAX, FAULT_PARAMETER, "", "encoding", path, strlen(path),
			  "the path is not percent-encoded UTF-8");
		show_refused(&faults, "request");
		fault_list_deinit(&faults);
		return CLI_DATA;
	}
	if (why == -ERRAND_UNIMPLEMENTED)
		cli_error("routes: %s has no %s: it has %s", path, verb, buf_cstr(allow));
	else
		cli_error("routes: no method has the path %s", path);
	return CLI_NOT_FOUND;
}

/* "GET /path?query"; a path alone is a GET. */
static int match(const struct schema *s, const struct route_table *t, const char *text)
{
	const char *space = strchr(text, ' '), *target = space != NULL ? space + 1 : text;
	AUTO_FREE char *verb = space != NULL ? xstrndup(text, (size_t)(space - text)) : xstrdup("GET");
	size_t len = strcspn(target, "?#");
	AUTO_FREE char *path = xstrndup(target, len);
	AUTO_FREE char *query = target[len] == '?' ? xstrndup(target + len + 1, strcspn(target + len + 1, "#")) : xstrdup("");
	AUTO_BUF allow = BUF_INIT;
	struct route_match m;
	int r;

	if (*verb == '\0' || *path != '/') {
		cli_error("routes: --match '%s': a verb and a path: 'GET /items/1?x=y'", text);
		return CLI_USAGE;
	}
	r = route_find(t, verb, path, &m, &allow);
	return r < 0 ? no_route(verb, path, r, &allow) : bind(s, &m, query);
}

/* --- the command --- */

static int run(const struct routes_conf *conf, const struct schema *s)
{
	struct route_table *t = NULL;
	char why[512] = "";
	int r;

	if (route_table_new(s, &t, why, sizeof why) < 0) {
		cli_error("routes: %s: %s", conf->schema != NULL ? conf->schema : "the service's schema", why);
		return CLI_DATA;
	}
	r = conf->match != NULL ? match(s, t, conf->match) : list(s, conf->common.json);
	route_table_free(t);
	return r;
}

static int run_of_service(const struct routes_conf *conf)
{
	struct backend b;
	int r = backend_open(&b, &conf->common);

	if (r != CLI_OK)
		return r;
	r = backend_schema(&b);
	if (r == CLI_OK)
		r = run(conf, b.schema);
	backend_close(&b);
	return r;
}

int routes_command(int argc, char **argv)
{
	struct routes_conf conf;
	struct schema *schema;
	int r, first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv,
				 "errand routes [options]\n\n"
				 "The methods and HTTP routes of the service, or of a schema.");

	if (first < argc) {
		cli_error("routes: '%s' is too much: a request goes behind --match, in quotes", argv[first]);
		return CLI_USAGE;
	}
	if (conf.schema == NULL)
		return run_of_service(&conf);
	r = schema_arg_load(conf.schema, "routes", &schema);
	if (r != CLI_OK)
		return r;
	r = run(&conf, schema);
	schema_unref(schema);
	return r;
}
