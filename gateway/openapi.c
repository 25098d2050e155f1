/* openapi.c: the document as a whole, and its way to clients. The text is made when it
 * is first asked for and kept with its snapshot; two threads that make it at once make
 * the same, and one of the two is thrown away. */
#define _GNU_SOURCE
#include "gateway/openapi.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/err.h"
#include "gateway/auth.h"
#include "gateway/etag.h"
#include "gateway/openapi_private.h"
#include "gateway/problem.h"
#include "gateway/snapshot.h"

/* --- the document --- */

/* The packages of the services, "article.v1, shop.v2". */
static void put_title(struct openapi *o)
{
	AUTO_BUF title = BUF_INIT;
	struct bytes last = {0};

	for (size_t i = 0; i < schema_n_services(o->schema); i++) {
		const struct schema_service *s = schema_service_at(o->schema, i);
		const char *dot = strrchr(s->name, '.');
		struct bytes package = {(const uint8_t *)s->name, dot != NULL ? (size_t)(dot - s->name) : 0};

		if (openapi_is_ours(s) || package.len == 0 ||
		    (package.len == last.len && memcmp(package.data, last.data, last.len) == 0))
			continue;
		buf_append_str(&title, title.len > 0 ? ", " : "");
		buf_append(&title, package.data, package.len);
		last = package;
	}
	openapi_string(o, "title", title.len > 0 ? buf_cstr(&title) : "errand");
}

/* The last "v1" of the first package that has one. */
static void put_version(struct openapi *o)
{
	for (size_t i = 0; i < schema_n_services(o->schema); i++) {
		const struct schema_service *s = schema_service_at(o->schema, i);
		const char *end = strrchr(s->name, '.'), *start = end;

		if (openapi_is_ours(s) || end == NULL)
			continue;
		while (start > s->name && start[-1] != '.')
			start--;
		if (end - start < 2 || start[0] != 'v' || start[1] < '0' || start[1] > '9')
			continue;
		openapi_bytes(o, "version", (struct bytes){(const uint8_t *)start, (size_t)(end - start)});
		return;
	}
	openapi_string(o, "version", "0");
}

static const char about[] =
	"Errors are problem details (RFC 9457).\n\n"
	"Messages are JSON; methods also take and give them as `application/x-protobuf`. "
	"A field may be given by its lowerCamelCase name, too.\n\n"
	"With `Prefer: respond-async` a method that answers with one message becomes a task: "
	"202 with the task and its Location.\n\n";
static const char about_open[] = "Methods have no authentication of their own.";
static const char about_secured[] = "A request needs `Authorization: Bearer erd_...`, unless its client is known otherwise. "
	"Scopes of an operation are alternatives; `operate` is for all.";

static void put_info(struct openapi *o)
{
	AUTO_BUF text = BUF_INIT;

	openapi_open(o, "info", '{');
	if (o->info->title != NULL)
		openapi_string(o, "title", o->info->title);
	else
		put_title(o);
	if (o->info->version != NULL)
		openapi_string(o, "version", o->info->version);
	else
		put_version(o);
	buf_printf(&text, "%s%s", about, o->info->secured ? about_secured : about_open);
	openapi_string(o, "description", buf_cstr(&text));
	openapi_close(o, '}');
}

static void put_servers(struct openapi *o)
{
	openapi_open(o, "servers", '[');
	openapi_open(o, NULL, '{');
	openapi_string(o, "url", o->info->url != NULL ? o->info->url : "/");
	openapi_close(o, '}');
	openapi_close(o, ']');
	openapi_raw(o, "security", o->info->secured ? "[{\"bearer\":[]}]" : "[]");
}

/* Of services that have an operation. */
static void put_tags(struct openapi *o)
{
	const struct schema_service *last = NULL;

	openapi_open(o, "tags", '[');
	for (size_t i = 0; i < o->n_operations; i++) {
		const struct schema_service *s = o->operations[i].method->service;

		if (s == last) /* operations are in the order of services */
			continue;
		last = s;
		openapi_open(o, NULL, '{');
		openapi_string(o, "name", openapi_tag(o, s));
		openapi_comment(o, s->comment, false);
		openapi_close(o, '}');
	}
	openapi_close(o, ']');
}

static void openapi_deinit(struct openapi *o)
{
	for (size_t i = 0; i < o->n_operations; i++) {
		struct openapi_operation *op = &o->operations[i];

		for (size_t j = 0; j < op->n_parameters; j++)
			free(op->parameters[j].name);
		template_free((struct template *)op->route.template);
		free(op->path);
		free(op->shape);
		free(op->id);
	}
	free(o->operations);
	free(o->components);
	map_deinit(&o->seen);
	map_deinit(&o->ids);
	map_deinit(&o->tags);
}

void openapi_write(const struct schema *s, const struct openapi_info *info, struct buf *out)
{
	struct openapi o = {.schema = s, .info = info, .out = out};

	o.has_tasks = schema_message(s, "errand.v1.Task", strlen("errand.v1.Task")) != NULL;
	openapi_collect(&o);
	openapi_open(&o, NULL, '{');
	openapi_string(&o, "openapi", "3.1.0");
	put_info(&o);
	put_servers(&o);
	put_tags(&o);
	openapi_paths(&o);
	openapi_need(&o, OPENAPI_PROBLEM);
	openapi_need(&o, OPENAPI_VIOLATION);
	openapi_open(&o, "components", '{');
	openapi_schemas(&o);
	openapi_shared(&o);
	if (info->secured)
		openapi_raw(&o, "securitySchemes", "{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\","
			    "\"description\":\"A token that `errand token create` has made.\"}}");
	openapi_close(&o, '}');
	openapi_close(&o, '}');
	openapi_deinit(&o);
}

bool openapi_url_good(const char *url)
{
	const char *rest = strncmp(url, "https://", 8) == 0 ? url + 8 :
		strncmp(url, "http://", 7) == 0 ? url + 7 : NULL;

	if (rest == NULL || *rest == '\0' || *rest == '/' || *rest == ':')
		return false;
	for (const char *p = rest; *p != '\0'; p++)
		if (*p <= ' ' || *p > '~' || strchr("\"<>\\^`{|}?#@", *p) != NULL)
			return false;
	return rest[strlen(rest) - 1] != '/';
}

/* --- serving it --- */

struct openapi_text {
	size_t len;
	char etag[40];
	uint8_t data[];
};

/* FNV-1a: the tag only has to tell the documents of one gateway apart. */
static uint64_t hash(struct bytes b)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < b.len; i++)
		h = (h ^ b.data[i]) * 0x100000001b3u;
	return h;
}

static struct openapi_text *make_text(const struct snapshot *s, const struct gateway_config *c, bool secured)
{
	const struct openapi_info info = {c->api_title, c->api_version, c->public_url, secured};
	struct openapi_text *t;
	AUTO_BUF json = BUF_INIT;

	openapi_write(s->schema, &info, &json);
	if (buf_failed(&json))
		return NULL;
	t = xmalloc(sizeof *t + json.len);
	t->len = json.len;
	memcpy(t->data, json.data, json.len);
	snprintf(t->etag, sizeof t->etag, "\"%016llx-%zx\"", (unsigned long long)hash(buf_bytes(&json)), t->len);
	return t;
}

static const struct openapi_text *text_of(struct snapshot *s, const struct gateway_config *c)
{
	bool secured = auth_is_required();
	_Atomic(void *) *slot = &s->openapi[secured];
	void *known = atomic_load_explicit(slot, memory_order_acquire), *made;

	if (known != NULL)
		return known;
	made = make_text(s, c, secured);
	if (made == NULL || atomic_compare_exchange_strong(slot, &known, made))
		return made;
	free(made); /* another thread was first */
	return known;
}

void openapi_answer(struct http_request *r, const struct gateway_thread *t)
{
	const struct openapi_text *text = t->snapshot != NULL ? text_of(t->snapshot, t->config) : NULL;
	struct buf body = BUF_INIT;

	if (text == NULL) {
		problem_reply(r, 503, ERRAND_UNAVAILABLE, "the service has not sent its schema yet");
		return;
	}
	http_set_header(r, "Cache-Control", "no-cache");
	http_set_header(r, "ETag", text->etag);
	if (etag_known(r, text->etag)) {
		http_reply(r, 304, NULL, &body);
		return;
	}
	buf_append(&body, text->data, text->len);
	http_reply(r, 200, "application/json", &body);
}
