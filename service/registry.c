/* registry.c: see registry.h. Modules are added one by one and checked as far as
 * each alone can be; registry_finish then has all schemas and all dependencies,
 * makes the methods and puts them under their full names: the first view. */
#include "service/registry.h"

/* The plain functions: EVP would load its providers, 3 MB of memory for one digest. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "base/util.h"
#include "schema/route_claims.h"
#include "service/depends.h"

#define NAME_MAX_LEN 512 /* of "pkg.Service/Method" in a request */

#define VIEWS_MAX 256    /* of one process; each may be some 100 KB */
#define SOURCES_MAX 1000

/* Owned copy of a method_source. */
struct source {
	char *name;
	const char *queue;            /* borrowed: methods keep it */
	char **services;              /* NULL-terminated */
	struct buf set;
	const struct runner *runner;
	void *arg;
	struct method **methods;      /* n_methods; owned by `methods` below */
	size_t n_methods;
};

struct view {
	struct list node;
	struct map by_name;           /* struct method */
	struct schema *schema;
	uint8_t digest[32];
};

static const struct errand_module **modules; /* owned array of borrowed modules */
static size_t n_modules;
static struct method **methods; /* owned: of all views */
static size_t n_methods;
static struct method **own;     /* those of modules; owned array */
static size_t n_own;
static struct source **sources; /* owned; loop thread once there is a view */
static size_t n_sources;
static struct list views = LIST_INIT(views); /* all there were; freed at the end */
static size_t n_views;
static _Atomic(struct view *) current;
static void (*on_change)(void);

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

static void make_digest(struct view *v, struct bytes set)
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, set.data, set.len);
	SHA256_Final(v->digest, &c);
}

static int load_schema(struct view *v, char *why, size_t why_size)
{
	AUTO_BUF set = BUF_INIT;
	struct bytes *sets = xcalloc(n_modules + n_sources, sizeof *sets);
	int r;

	for (size_t i = 0; i < n_modules; i++)
		sets[i] = (struct bytes){modules[i]->descriptor_set, modules[i]->descriptor_set_len};
	for (size_t i = 0; i < n_sources; i++)
		sets[n_modules + i] = buf_bytes(&sources[i]->set);
	r = schema_merge(&set, sets, n_modules + n_sources, why, why_size);
	free(sets);
	if (r == 0)
		r = schema_load(set.data, set.len, &v->schema, why, why_size);
	if (r == 0)
		make_digest(v, buf_bytes(&set));
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

static struct method *method_new(const struct schema_method *sm, const char *queue)
{
	struct method *m = xcalloc(1, sizeof *m);

	m->schema = sm;
	m->run = sm->run == RUN_UNSPECIFIED ? RUN_SYNC : sm->run;
	m->queue = sm->queue != NULL && *sm->queue ? sm->queue : queue;
	methods = xrealloc(methods, (n_methods + 1) * sizeof(struct method *));
	methods[n_methods++] = m;
	return m;
}

static int add_method(const struct view *v, const struct errand_module *mod, ProtobufCService *s,
		      unsigned index, char *why, size_t why_size)
{
	const ProtobufCMethodDescriptor *d = &s->descriptor->methods[index];
	AUTO_FREE char *full = xasprintf("%s/%s", s->descriptor->name, d->name);
	const struct schema_method *sm = schema_method(v->schema, full, strlen(full));
	const struct dependency **needs;
	struct method *m;
	int r;

	if (sm == NULL)
		return REFUSE("module %s: its descriptor set does not describe %s", mod->name, full);
	r = depends_resolve(needs_of(mod, full), full, &needs, why, why_size);
	if (r < 0)
		return r;
	m = method_new(sm, "default");
	m->service = s;
	m->index = index;
	m->input = d->input;
	m->output = d->output;
	m->needs = needs;
	own = xrealloc(own, (n_own + 1) * sizeof(struct method *));
	own[n_own++] = m;
	return check_method(m, why, why_size);
}

static bool is_module_method(const char *full_name)
{
	for (size_t i = 0; i < n_own; i++)
		if (strcmp(own[i]->schema->full_name, full_name) == 0)
			return true;
	return false;
}

/* A misspelt method name in `needs` would otherwise be found at the first call. */
static int check_needs(const struct errand_module *m, char *why, size_t why_size)
{
	for (const struct errand_method_needs *n = m->needs; n != NULL && n->method != NULL; n++)
		if (!is_module_method(n->method))
			return REFUSE("module %s: needs are given for %s, which is no method", m->name, n->method);
	return 0;
}

static int add_modules_methods(const struct view *v, char *why, size_t why_size)
{
	int r = depends_finish(why, why_size);

	for (size_t i = 0; i < n_modules && r == 0; i++) {
		for (ProtobufCService *const *s = modules[i]->services; *s != NULL && r == 0; s++)
			for (unsigned k = 0; k < (*s)->descriptor->n_methods && r == 0; k++)
				r = add_method(v, modules[i], *s, k, why, why_size);
		if (r == 0)
			r = check_needs(modules[i], why, why_size);
	}
	return r;
}

/* --- sources --- */

static void source_free(struct source *s)
{
	for (char **name = s->services; name != NULL && *name != NULL; name++)
		free(*name);
	free(s->services);
	free(s->methods);
	free(s->name);
	buf_deinit(&s->set);
	free(s);
}

static struct source *source_new(const struct method_source *from)
{
	struct source *s = xcalloc(1, sizeof *s);
	size_t n = 0;

	while (from->services[n] != NULL)
		n++;
	s->name = xstrdup(from->name);
	s->queue = from->queue != NULL ? from->queue : "default";
	s->services = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		s->services[i] = xstrdup(from->services[i]);
	buf_append(&s->set, from->descriptor_set.data, from->descriptor_set.len);
	s->runner = from->runner;
	s->arg = from->arg;
	return s;
}

static size_t source_place(const char *name)
{
	size_t i = 0;

	while (i < n_sources && strcmp(sources[i]->name, name) != 0)
		i++;
	return i;
}

static bool has_service(char *const *services, const char *name)
{
	while (*services != NULL && strcmp(*services, name) != 0)
		services++;
	return *services != NULL;
}

static bool same_source(const struct source *s, const struct method_source *t)
{
	size_t n = 0;

	for (; t->services[n] != NULL; n++)
		if (!has_service(s->services, t->services[n]))
			return false;
	return s->services[n] == NULL && s->runner == t->runner && s->arg == t->arg &&
	       s->set.len == t->descriptor_set.len &&
	       memcmp(s->set.data, t->descriptor_set.data, s->set.len) == 0 &&
	       strcmp(s->queue, t->queue != NULL ? t->queue : "default") == 0;
}

/* Is it of a module, or of another source? */
static const char *owner_of(const char *service, const char *but)
{
	for (size_t i = 0; i < n_modules; i++)
		for (ProtobufCService *const *s = modules[i]->services; *s != NULL; s++)
			if (strcmp((*s)->descriptor->name, service) == 0)
				return modules[i]->name;
	for (size_t i = 0; i < n_sources; i++)
		if (strcmp(sources[i]->name, but) != 0 && has_service(sources[i]->services, service))
			return sources[i]->name;
	return NULL;
}

static int check_source(const struct method_source *s, char *why, size_t why_size)
{
	for (const char *const *name = s->services; *name != NULL; name++) {
		const char *owner = owner_of(*name, s->name);

		if (owner == NULL)
			continue;
		snprintf(why, why_size, "%s: service %s is %s's already", s->name, *name, owner);
		return -ERRAND_ALREADY_EXISTS;
	}
	return 0;
}

static int check_source_method(const struct source *s, const struct schema_method *m, char *why,
			       size_t why_size)
{
	if (m->client_streaming || m->server_streaming)
		return REFUSE("%s: %s is a stream, which a %s cannot run", s->name, m->full_name,
			      s->runner->name);
	return 0;
}

static int add_source_methods(struct source *s, const struct view *v, char *why, size_t why_size)
{
	static const struct dependency *const none[] = {NULL};

	for (char **name = s->services; *name != NULL; name++) {
		const struct schema_service *service = schema_service(v->schema, *name, strlen(*name));

		if (service == NULL)
			return REFUSE("%s: its descriptor set does not describe %s", s->name, *name);
		for (size_t i = 0; i < service->n_methods; i++) {
			const struct schema_method *sm = &service->methods[i];
			int r = check_source_method(s, sm, why, why_size);
			struct method *m;

			if (r < 0)
				return r;
			m = method_new(sm, *s->queue ? s->queue : service->name);
			m->runner = s->runner;
			m->runner_arg = s->arg;
			m->needs = none;
			s->methods = xrealloc(s->methods, (s->n_methods + 1) * sizeof(struct method *));
			s->methods[s->n_methods++] = m;
		}
	}
	return 0;
}

/* --- views --- */

static void view_free(struct view *v)
{
	map_deinit(&v->by_name);
	schema_unref(v->schema);
	free(v);
}

static void view_put(struct view *v, struct method *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		map_put_str(&v->by_name, list[i]->schema->full_name, list[i]);
}

static void view_publish(struct view *v)
{
	view_put(v, own, n_own);
	for (size_t i = 0; i < n_sources; i++)
		view_put(v, sources[i]->methods, sources[i]->n_methods);
	list_push_back(&views, &v->node);
	n_views++;
	atomic_store(&current, v);
	if (on_change != NULL)
		on_change();
}

/* With all sources as they are in `sources`; the methods of those without any are made. */
static int view_new(bool first, char *why, size_t why_size)
{
	struct view *v = xcalloc(1, sizeof *v);
	int r = load_schema(v, why, why_size);

	if (r == 0 && !first)
		r = route_claims_check_schema(v->schema, why, why_size);
	if (r == 0 && first)
		r = add_modules_methods(v, why, why_size);
	for (size_t i = 0; i < n_sources && r == 0; i++)
		if (sources[i]->methods == NULL)
			r = add_source_methods(sources[i], v, why, why_size);
	if (r < 0 && first)
		view_publish(v); /* freed by registry_deinit, since methods point into it */
	else if (r < 0)
		view_free(v);
	else
		view_publish(v);
	return r;
}

int registry_add_source(const struct method_source *s, char *why, size_t why_size)
{
	int r = check_source(s, why, why_size);

	if (r < 0)
		return r;
	sources = xrealloc(sources, (n_sources + 1) * sizeof(struct source *));
	sources[n_sources++] = source_new(s);
	return 0;
}

/* Methods of a view that was not published: nobody has seen them. */
static void forget_methods(size_t since)
{
	while (n_methods > since)
		free(methods[--n_methods]);
}

int registry_set_source(const struct method_source *from, char *why, size_t why_size)
{
	size_t place = source_place(from->name), had = n_sources, since = n_methods;
	struct source *old = place < had ? sources[place] : NULL;
	int r;

	if (old != NULL && same_source(old, from))
		return 0;
	if ((r = check_source(from, why, why_size)) < 0)
		return r;
	if (n_views >= VIEWS_MAX || (old == NULL && had >= SOURCES_MAX)) {
		snprintf(why, why_size, "the methods of this service have changed too often (%d times): restart it",
			 VIEWS_MAX);
		return -ERRAND_RESOURCE_EXHAUSTED;
	}
	if (old == NULL)
		sources = xrealloc(sources, (++n_sources) * sizeof(struct source *));
	sources[place] = source_new(from);
	r = view_new(false, why, why_size);
	if (r == 0) {
		if (old != NULL)
			source_free(old);
		return 0;
	}
	source_free(sources[place]);
	sources[place] = old;
	n_sources = had;
	forget_methods(since);
	return -ERRAND_INVALID_ARGUMENT;
}

void registry_remove_source(const char *name)
{
	size_t place = source_place(name);
	char why[256];

	if (place == n_sources)
		return;
	source_free(sources[place]);
	memmove(&sources[place], &sources[place + 1], (--n_sources - place) * sizeof *sources);
	view_new(false, why, sizeof why);
}

void registry_on_change(void (*changed)(void))
{
	on_change = changed;
}

int registry_finish(char *why, size_t why_size)
{
	return view_new(true, why, why_size);
}

/* --- looking up --- */

static const struct view *view(void)
{
	return atomic_load_explicit(&current, memory_order_acquire);
}

const struct method *registry_method(const char *service, size_t service_len, const char *name,
				     size_t name_len)
{
	char key[NAME_MAX_LEN];

	if (service_len == 0 || name_len == 0 || service_len + name_len + 1 > sizeof key)
		return NULL;
	memcpy(key, service, service_len);
	key[service_len] = '/';
	memcpy(key + service_len + 1, name, name_len);
	return map_get(&view()->by_name, key, service_len + 1 + name_len);
}

const struct method *registry_method_by_name(const char *full_name)
{
	return map_get_str(&view()->by_name, full_name);
}

bool registry_is_builtin(const struct method *m)
{
	return strncmp(m->schema->full_name, "errand.v1.", 10) == 0;
}

const struct schema *registry_schema(void)
{
	return view()->schema;
}

const uint8_t *registry_digest(void)
{
	return view()->digest;
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
	struct list *node;

	for (size_t i = 0; i < n_own; i++)
		free((void *)own[i]->needs);
	forget_methods(0);
	for (size_t i = 0; i < n_sources; i++)
		source_free(sources[i]);
	while ((node = list_pop_front(&views)) != NULL)
		view_free(LIST_ENTRY(node, struct view, node));
	free(own);
	free(sources);
	free(methods);
	free(modules);
	own = methods = NULL;
	sources = NULL;
	modules = NULL;
	n_methods = n_modules = n_own = n_sources = n_views = 0;
	atomic_store(&current, NULL);
	on_change = NULL;
}
