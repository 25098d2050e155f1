/* registry.c: see registry.h. Modules are added one by one and checked as far as
 * each alone can be; registry_finish then has all schemas and all dependencies,
 * makes the methods and puts them under their full names. */
#include "service/registry.h"

/* The plain functions: EVP would load its providers, 3 MB of memory for one digest. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/util.h"
#include "service/depends.h"

#define NAME_MAX_LEN 512 /* of "pkg.Service/Method" in a request */

static const struct errand_module **modules; /* owned array of borrowed modules */
static size_t n_modules;
static struct method **methods; /* owned */
static size_t n_methods;
static struct map by_name;
static struct schema *schema;
static uint8_t digest[32];

#define REFUSE(...) (snprintf(why, why_size, __VA_ARGS__), -ERRAND_FAILED_PRECONDITION)

/* The handlers stand behind the ProtobufCService of a generated service. */
typedef void (*handler_fn)(void);

static int check_service(const struct errand_module *m, ProtobufCService *s, char *why,
			 size_t why_size)
{
	const ProtobufCServiceDescriptor *d = s->descriptor;
	const handler_fn *handlers = (const handler_fn *)(const void *)(s + 1);

	for (unsigned i = 0; i < d->n_methods; i++)
		if (handlers[i] == NULL)
			return REFUSE("module %s: %s/%s has no handler", m->name, d->name,
				      d->methods[i].name);
	for (size_t i = 0; i < n_modules; i++)
		for (ProtobufCService *const *t = modules[i]->services; *t != NULL; t++)
			if (strcmp((*t)->descriptor->name, d->name) == 0)
				return REFUSE("module %s: service %s is in module %s already", m->name, d->name,
					      modules[i]->name);
	return 0;
}

int registry_add(const struct errand_module *m, char *why, size_t why_size)
{
	int r;

	if (m->abi != ERRAND_MODULE_ABI)
		return REFUSE("module was built for another errand (ABI %u, this one has %u): build it again",
			      m->abi, ERRAND_MODULE_ABI);
	if (m->name == NULL || m->services == NULL)
		return REFUSE("module %s names no services", m->name ? m->name : "without a name");
	if (m->descriptor_set == NULL || m->descriptor_set_len == 0)
		return REFUSE("module %s carries no descriptor set: make it with `errand gen`", m->name);
	for (ProtobufCService *const *s = m->services; *s != NULL; s++)
		if ((r = check_service(m, *s, why, why_size)) < 0)
			return r;
	r = depends_add(m->dependencies, why, why_size);
	if (r < 0)
		return r;
	modules = xrealloc(modules, (n_modules + 1) * sizeof(struct errand_module *));
	modules[n_modules++] = m;
	return 0;
}

static void make_digest(struct bytes set)
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, set.data, set.len);
	SHA256_Final(digest, &c);
}

static int load_schema(char *why, size_t why_size)
{
	AUTO_BUF set = BUF_INIT;
	struct bytes *sets = xcalloc(n_modules, sizeof *sets);
	int r;

	for (size_t i = 0; i < n_modules; i++)
		sets[i] = (struct bytes){modules[i]->descriptor_set, modules[i]->descriptor_set_len};
	r = schema_merge(&set, sets, n_modules, why, why_size);
	free(sets);
	if (r == 0)
		r = schema_load(set.data, set.len, &schema, why, why_size);
	if (r == 0)
		make_digest(buf_bytes(&set));
	return r;
}

/* The dependencies the module declares for this method; NULL = none. */
static const char *const *needs_of(const struct errand_module *m, const char *full_name)
{
	for (const struct errand_method_needs *n = m->needs; n != NULL && n->method != NULL; n++)
		if (strcmp(n->method, full_name) == 0)
			return n->needs;
	return NULL;
}

static int check_method(const struct method *m, char *why, size_t why_size)
{
	const struct schema_method *s = m->schema;

	if (strcmp(s->input->name, m->input->name) != 0 || strcmp(s->output->name, m->output->name) != 0)
		return REFUSE("%s takes %s and gives %s in the descriptor set, but %s and %s in the code: "
			      "build both from the same .proto",
			      s->full_name, s->input->name, s->output->name, m->input->name, m->output->name);
	if (m->run == RUN_TASK && (s->server_streaming || s->client_streaming))
		return REFUSE("%s is a stream and cannot run as TASK", s->full_name);
	return 0;
}

static int add_method(const struct errand_module *mod, ProtobufCService *s, unsigned index, char *why,
		      size_t why_size)
{
	const ProtobufCMethodDescriptor *d = &s->descriptor->methods[index];
	AUTO_FREE char *full = xasprintf("%s/%s", s->descriptor->name, d->name);
	const struct schema_method *sm = schema_method(schema, full, strlen(full));
	const struct dependency **needs;
	struct method *m;
	int r;

	if (sm == NULL)
		return REFUSE("module %s: its descriptor set does not describe %s", mod->name, full);
	r = depends_resolve(needs_of(mod, full), full, &needs, why, why_size);
	if (r < 0)
		return r;
	m = xcalloc(1, sizeof *m);
	m->schema = sm;
	m->service = s;
	m->index = index;
	m->input = d->input;
	m->output = d->output;
	m->run = sm->run == RUN_UNSPECIFIED ? RUN_SYNC : sm->run;
	m->needs = needs;
	methods = xrealloc(methods, (n_methods + 1) * sizeof(struct method *));
	methods[n_methods++] = m;
	map_put_str(&by_name, sm->full_name, m);
	return check_method(m, why, why_size);
}

/* A misspelt method name in `needs` would otherwise be found at the first call. */
static int check_needs(const struct errand_module *m, char *why, size_t why_size)
{
	for (const struct errand_method_needs *n = m->needs; n != NULL && n->method != NULL; n++)
		if (map_get_str(&by_name, n->method) == NULL)
			return REFUSE("module %s: needs are given for %s, which is no method", m->name, n->method);
	return 0;
}

int registry_finish(char *why, size_t why_size)
{
	int r = load_schema(why, why_size);

	if (r == 0)
		r = depends_finish(why, why_size);
	for (size_t i = 0; i < n_modules && r == 0; i++) {
		for (ProtobufCService *const *s = modules[i]->services; *s != NULL && r == 0; s++)
			for (unsigned k = 0; k < (*s)->descriptor->n_methods && r == 0; k++)
				r = add_method(modules[i], *s, k, why, why_size);
		if (r == 0)
			r = check_needs(modules[i], why, why_size);
	}
	return r;
}

const struct method *registry_method(const char *service, size_t service_len, const char *name,
				     size_t name_len)
{
	char key[NAME_MAX_LEN];

	if (service_len + name_len + 1 > sizeof key)
		return NULL;
	memcpy(key, service, service_len);
	key[service_len] = '/';
	memcpy(key + service_len + 1, name, name_len);
	return map_get(&by_name, key, service_len + 1 + name_len);
}

const struct method *registry_method_by_name(const char *full_name)
{
	return map_get_str(&by_name, full_name);
}

bool registry_is_builtin(const struct method *m)
{
	return strncmp(m->schema->full_name, "errand.v1.", 10) == 0;
}

const struct schema *registry_schema(void)
{
	return schema;
}

const uint8_t *registry_digest(void)
{
	return digest;
}

int registry_start_modules(char *why, size_t why_size)
{
	for (size_t i = 0; i < n_modules; i++) {
		int r = modules[i]->start != NULL ? modules[i]->start() : 0;

		if (r >= 0)
			continue;
		snprintf(why, why_size, "module %s refused to start (%d)", modules[i]->name, r);
		while (i-- > 0)
			if (modules[i]->stop != NULL)
				modules[i]->stop();
		return r;
	}
	return 0;
}

void registry_stop_modules(void)
{
	for (size_t i = n_modules; i-- > 0;)
		if (modules[i]->stop != NULL)
			modules[i]->stop();
}

void registry_deinit(void)
{
	for (size_t i = 0; i < n_methods; i++) {
		free((void *)methods[i]->needs);
		free(methods[i]);
	}
	free(methods);
	free(modules);
	map_deinit(&by_name);
	by_name = MAP_INIT;
	schema = schema_unref(schema);
	methods = NULL;
	modules = NULL;
	n_methods = n_modules = 0;
}
