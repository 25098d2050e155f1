/* schema_api.c: errand.v1.Schema, what the gateway asks for after Hello and is told when
 * it changes, and the module of errand's own services. Loop thread. */
#include "service/schema_api.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/util.h"
#include "errand/v1/schema.pb-c.h"
#include "errand_v1.schema.h"
#include "service/hook_api.h"
#include "service/module.h"
#include "service/queue_api.h"
#include "service/readiness.h"
#include "service/registry.h"
#include "service/schedule_api.h"
#include "service/server_api.h"
#include "service/store_api.h"
#include "service/task_api.h"
#include "service/worker.h"

static void schema__get(Errand__V1__Schema_Service *service, const Errand__V1__GetSchemaRequest *in,
			Errand__V1__SchemaReply_Closure done, void *call)
{
	Errand__V1__SchemaReply reply = ERRAND__V1__SCHEMA_REPLY__INIT;
	struct bytes set = schema_set(registry_schema());

	reply.digest.data = (uint8_t *)registry_digest();
	reply.digest.len = 32;
	reply.file_descriptor_set.data = (uint8_t *)set.data;
	reply.file_descriptor_set.len = set.len;
	done(&reply, call);
}

/* --- who is told of changes --- */

struct watcher {
	struct list node;
	struct errand_call *call;
};

static struct list watchers = LIST_INIT(watchers);
static size_t n_watchers;

/* What does not fit its window waits: a digest is some 40 bytes. */
static void tell(struct watcher *w)
{
	Errand__V1__SchemaChange change = ERRAND__V1__SCHEMA_CHANGE__INIT;

	change.digest.data = (uint8_t *)registry_digest();
	change.digest.len = 32;
	change.trouble = (char *)readiness_trouble();
	errand_stream_send(w->call, &change.base); /* of one who is gone on_cancel tells */
}

static void on_change(void)
{
	LIST_FOREACH(node, &watchers)
		tell(LIST_ENTRY(node, struct watcher, node));
}

static void on_gone(struct errand_call *call, void *arg)
{
	struct watcher *w = arg;

	list_remove(&w->node);
	n_watchers--;
	free(w);
	errand_fail(call, ERRAND_CANCELLED, "the client went away");
}

static void schema__watch(Errand__V1__Schema_Service *service, const Errand__V1__WatchSchemaRequest *in,
			  Errand__V1__SchemaChange_Closure done, void *call)
{
	struct watcher *w = xcalloc(1, sizeof *w);

	w->call = call;
	list_push_back(&watchers, &w->node);
	n_watchers++;
	registry_on_change(on_change);
	readiness_on_change(on_change);
	tell(w);
	errand_on_cancel(call, on_gone, w);
}

size_t schema_api_n_watchers(void)
{
	return n_watchers;
}

static Errand__V1__Schema_Service descriptors_service = ERRAND__V1__SCHEMA__INIT(schema__);
static ProtobufCService *services[12]; /* ends with NULL */

const struct errand_module *module_builtin(void)
{
	static struct errand_module module = {
		.abi = ERRAND_MODULE_ABI,
		.name = "errand",
		.services = services,
	};
	size_t n = 0;

	/* Not constant expressions in C. */
	services[n++] = &descriptors_service.base;
	services[n++] = task_api_service;
	services[n++] = queue_api_service;
	services[n++] = store_api_service;
	services[n++] = server_api_service();
	services[n++] = hook_api_service;
	services[n++] = schedule_api_service;
	services[n++] = worker_api_service();
	module.descriptor_set = errand_v1_schema;
	module.descriptor_set_len = errand_v1_schema_len;
	return &module;
}
