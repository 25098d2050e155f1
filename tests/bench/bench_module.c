/* bench_module.c: a service of no-op methods for tests/bench/run.py. */
#define _DEFAULT_SOURCE
#include <stdatomic.h>
#include <unistd.h>

#include "errand/service.h"

#include "bench.pb-c.h"
#include "bench.schema.h"

static void bench__call(Bench__V1__Bench_Service *svc, const Bench__V1__Echo *in,
			Bench__V1__Echo_Closure done, void *call)
{
	done(in, call);
}

#define bench__sync_call bench__call

static atomic_int n_tasks;

static void bench__task(Bench__V1__Bench_Service *svc, const Bench__V1__Echo *in,
			Bench__V1__Echo_Closure done, void *call)
{
	atomic_fetch_add(&n_tasks, 1);
	done(in, call);
}

/* Keeps its slot until the service stops. */
static void bench__parked(Bench__V1__Bench_Service *svc, const Bench__V1__Echo *in,
			  Bench__V1__Echo_Closure done, void *call)
{
	while (!errand_cancelled(call))
		usleep(10000);
	done(in, call);
}

static void bench__count(Bench__V1__Bench_Service *svc, const Bench__V1__Echo *in,
			 Bench__V1__Echo_Closure done, void *call)
{
	Bench__V1__Echo out = BENCH__V1__ECHO__INIT;

	out.number = atomic_load(&n_tasks);
	done(&out, call);
}

static Bench__V1__Bench_Service service = BENCH__V1__BENCH__INIT(bench__);

static ProtobufCService *const services[] = {&service.base, NULL};

extern const struct errand_module errand_module;
const struct errand_module errand_module = {
	.abi = ERRAND_MODULE_ABI,
	.name = "bench",
	.services = services,
	.descriptor_set = bench_schema,
	.descriptor_set_len = bench_schema_len,
};
