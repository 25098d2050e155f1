#define _GNU_SOURCE
#include "cli/call_find.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "cli/cli.h"
#include "schema/query.h"
#include "schema/variables.h"

/* --- by name --- */

/* Is name the whole of full, or its end behind a dot or slash? */
static bool is_tail(const char *full, const char *name)
{
	size_t full_len = strlen(full), len = strlen(name);

	if (len > full_len || strcasecmp(full + full_len - len, name) != 0)
		return false;
	return len == full_len || full[full_len - len - 1] == '.' ||
	       full[full_len - len - 1] == '/';
}

/* The n-th method of all services, or NULL. */
static const struct schema_method *method_at(const struct schema *s, size_t n)
{
	for (size_t i = 0; i < schema_n_services(s); i++) {
		const struct schema_service *service = schema_service_at(s, i);

		if (n < service->n_methods)
			return &service->methods[n];
		n -= service->n_methods;
	}
	return NULL;
}

static void complain_unknown(const struct schema *s, const char *name)
{
	const char *slash = strrchr(name, '/'), *last = slash != NULL ? slash + 1 : name;
	const struct schema_method *m, *near = NULL;
	size_t best = MAX(strlen(last) / 2, 2) + 1;

	for (size_t i = 0; (m = method_at(s, i)) != NULL; i++) {
		size_t d = opt_distance(last, strlen(last), m->name);

		if (d < best) {
			best = d;
			near = m;
		}
	}
	if (near != NULL)
		cli_error("no method '%s': did you mean '%s'?", name, near->full_name);
	else
		cli_error("no method '%s' in this service: `errand routes` lists them", name);
}

const struct schema_method *call_find_name(const struct schema *s, const char *name, int *exitp)
{
	const struct schema_method *m, *found = NULL;
	size_t n = 0;

	for (size_t i = 0; (m = method_at(s, i)) != NULL; i++) {
		if (strcmp(m->full_name, name) == 0)
			return m;
		if (is_tail(m->full_name, name)) {
			found = m;
			n++;
		}
	}
	if (n == 1)
		return found;
	*exitp = n == 0 ? CLI_NOT_FOUND : CLI_USAGE;
	if (n == 0) {
		complain_unknown(s, name);
		return NULL;
	}
	cli_error("'%s' may be one of several methods: say which", name);
	for (size_t i = 0; !cli_has_json_errors() && (m = method_at(s, i)) != NULL; i++)
		if (is_tail(m->full_name, name))
			fprintf(stderr, "  %s\n", m->full_name);
	return NULL;
}

/* --- by route --- */

/* Without a verb: what suits best, then whatever the path has. */
static const char *const with_body[] = {"POST", "PUT", "PATCH", "GET", "DELETE", NULL};
static const char *const without_body[] = {"GET", "POST", "PUT", "PATCH", "DELETE", NULL};

static int find_any(const struct route_table *t, const char *path, bool has_body, struct route_match *m,
		    struct buf *allow)
{
	int r = -ERRAND_NOT_FOUND;

	for (const char *const *verb = has_body ? with_body : without_body; *verb != NULL; verb++) {
		buf_reset(allow);
		r = route_find(t, *verb, path, m, allow);
		if (r != -ERRAND_UNIMPLEMENTED)
			break;
	}
	return r;
}

static void complain_route(int why, const char *verb, const char *target, const char *allow)
{
	if (why == -ERRAND_INVALID_ARGUMENT)
		cli_error("%s is not percent-encoded UTF-8", target);
	else if (why == -ERRAND_UNIMPLEMENTED)
		cli_error("%s has no %s: it has %s", target, verb, allow);
	else
		cli_error("no route for %s%s%s in this service: `errand routes` lists them", verb != NULL ? verb : "",
			  verb != NULL ? " " : "", target);
}

static const struct schema_method *bind(const struct route_match *m, const char *query, struct call_input *in)
{
	in->message = m->route->method->input;
	in->body = m->route->body_path;
	variables_to_wire(m, &in->wire, &in->faults);
	query_to_wire(m->route, query, &in->wire, &in->faults);
	return m->route->method;
}

const struct schema_method *call_find_route(const struct schema *s, const char *verb, const char *target,
					    bool has_body, struct call_input *in, int *exitp)
{
	const struct schema_method *method = NULL;
	struct route_table *t = NULL;
	size_t len = strcspn(target, "?#");
	AUTO_FREE char *path = xstrndup(target, len);
	AUTO_FREE char *query = target[len] == '?' ?
		xstrndup(target + len + 1, strcspn(target + len + 1, "#")) : xstrdup("");
	struct route_match m;
	AUTO_BUF allow = BUF_INIT;
	char why[512] = "";
	int r = route_table_new(s, &t, why, sizeof why);

	*exitp = CLI_NOT_FOUND;
	if (r < 0) {
		cli_error("the service's routes cannot be used: %s", why);
		*exitp = CLI_FAILED;
		return NULL;
	}
	r = verb != NULL ? route_find(t, verb, path, &m, &allow) : find_any(t, path, has_body, &m, &allow);
	if (r == 0)
		method = bind(&m, query, in);
	else
		complain_route(r, verb, target, buf_cstr(&allow));
	route_table_free(t);
	return method;
}

/* --- by operands --- */

static bool is_verb(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isupper((unsigned char)word[i]))
			return false;
	return len > 0;
}

const struct schema_method *call_find(const struct schema *s, int n, char **operands, struct call_input *in,
				      int *usedp, int *exitp)
{
	const char *space = strchr(operands[0], ' '), *target = operands[0];
	const struct schema_method *m;
	AUTO_FREE char *verb = NULL;

	*usedp = 1;
	in->schema = s;
	if (space != NULL && is_verb(operands[0], (size_t)(space - operands[0]))) {
		verb = xstrndup(operands[0], (size_t)(space - operands[0]));
		target = space + strspn(space, " ");
	} else if (n > 1 && operands[1][0] == '/' && is_verb(operands[0], strlen(operands[0]))) {
		verb = xstrdup(operands[0]);
		target = operands[1];
		*usedp = 2;
	}
	if (*target == '/')
		m = call_find_route(s, verb, target, n > *usedp, in, exitp);
	else
		m = call_find_name(s, operands[0], exitp);
	if (m == NULL)
		return NULL;
	in->message = m->input;
	if (!m->client_streaming)
		return m;
	cli_error("%s takes a stream of requests, which this command cannot send", m->full_name);
	*exitp = CLI_USAGE;
	return NULL;
}
