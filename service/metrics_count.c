/* metrics_count.c: the numbers themselves, apart from the page, which needs all of the service. */
#include "service/metrics.h"

struct metrics metrics;

void metrics_call(int run, int code, int64_t ns)
{
	if (run < 1 || run > METRICS_RUNS || code < 0 || code >= METRICS_CODES)
		return;
	prom_count(&metrics.calls[run - 1][code]);
	prom_observe(&metrics.call_time[run - 1], ns);
}
