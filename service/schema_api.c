/* schema_api.c: errand.v1.Schema, what the gateway asks for after Hello, and the
 * module of errand's own services. Loop thread. */
#include "errand/v1/schema.pb-c.h"
#include "errand_v1.schema.h"
#include "service/hook_api.h"
#include "service/module.h"
#include "service/queue_api.h"
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
