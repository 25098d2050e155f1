/* server_api.c: GET /v1/server. Loop thread. */
#include "service/server_api.h"

#include <unistd.h>

#include "base/clock.h"
#include "config.h"
#include "errand/v1/server.pb-c.h"
#include "service/call.h"
#include "service/metrics.h"
#include "service/schema_api.h"
#include "service/session.h"
#include "service/store_thread.h"
#include "service/task_status.h"
#include "service/worker.h"

static int64_t start_us, start_ns; /* the wall clock; the monotonic one */

static void put_store(const struct task_status *status, Errand__V1__Server__Store *out, char *error, size_t size)
{
	store_thread_error(error, size);
	out->kind = (char *)status->store;
	out->ok = store_thread_ok();
	out->error = error;
}

static void get_server(Errand__V1__Servers_Service *service, const Errand__V1__GetServerRequest *in,
		       Errand__V1__Server_Closure done, void *call)
{
	Errand__V1__Server reply = ERRAND__V1__SERVER__INIT;
	Errand__V1__Server__Store store = ERRAND__V1__SERVER__STORE__INIT;
	Google__Protobuf__Timestamp start = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Google__Protobuf__Duration uptime = GOOGLE__PROTOBUF__DURATION__INIT;
	int64_t up_ns = clock_mono_ns() - start_ns;
	struct task_status status;
	char error[256];

	task_status(&status);
	put_store(&status, &store, error, sizeof error);
	start.seconds = start_us / US_PER_S;
	start.nanos = (int32_t)(start_us % US_PER_S * 1000);
	uptime.seconds = up_ns / NS_PER_S;
	uptime.nanos = (int32_t)(up_ns % NS_PER_S);
	reply.version = PACKAGE_VERSION;
	reply.pid = getpid();
	reply.start_time = &start;
	reply.uptime = &uptime;
	reply.draining = status.draining;
	reply.store = &store;
	reply.calls = call_count() - schema_api_n_watchers();
	reply.tasks_running = status.n_running;
	reply.tasks_queued = status.n_queued;
	reply.queues = (uint32_t)status.n_queues;
	reply.workers = (uint32_t)worker_count();
	reply.sessions = (uint32_t)session_count();
	reply.max_sessions = (uint32_t)session_most();
	errand_set_metadata(call, "cache-control", "no-store");
	done(&reply, call);
}

static void get_metrics(Errand__V1__Servers_Service *service, const Errand__V1__GetMetricsRequest *in,
			Google__Api__HttpBody_Closure done, void *call)
{
	Google__Api__HttpBody reply = GOOGLE__API__HTTP_BODY__INIT;
	AUTO_BUF page = BUF_INIT;

	metrics_write(&page);
	reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
	reply.data = (ProtobufCBinaryData){page.len, page.data};
	errand_set_metadata(call, "cache-control", "no-store");
	done(&reply, call);
}

static Errand__V1__Servers_Service servers = {
	.base = {&errand__v1__servers__descriptor, protobuf_c_service_invoke_internal, NULL},
	.get_server = get_server,
	.get_metrics = get_metrics,
};

ProtobufCService *server_api_service(void)
{
	if (start_ns == 0) {
		start_us = clock_wall_us();
		start_ns = clock_mono_ns();
	}
	return &servers.base;
}
