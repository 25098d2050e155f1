/* figures.h: what the service says of itself (errand.v1 Servers, Queues, Workers, Store), as
 * status, ping, top and doctor show it; read from the wire by number. */
#ifndef CLI_FIGURES_H
#define CLI_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "cli/task_view.h"

struct figures_server {
	char version[48], store_kind[32], store_error[256];
	int64_t pid, start_us, uptime_us;
	bool draining, store_ok;
	uint64_t calls, running, queued, queues, workers;
	uint64_t sessions, max_sessions; /* 0: an older service, which does not say */
};
void figures_server(struct bytes wire, struct figures_server *out);

struct figures_queue {
	char name[104]; /* the longest there are have 100 */
	uint64_t slots, queued, running, ended; /* ended: attempts, since the service started */
	bool paused;
	double limit, done;  /* begun a second at most, 0 = any; ended a second */
	int64_t age_us;
};
void figures_queue(struct bytes wire, struct figures_queue *out);
/* The queues of a ListQueuesReply, at most max; how many there are. */
size_t figures_queues(struct bytes wire, struct figures_queue *out, size_t max);

struct figures_worker {
	char name[104];
	uint64_t running, places; /* tasks and calls */
	bool connected, draining;
};
size_t figures_workers(struct bytes wire, struct figures_worker *out, size_t max);

struct figures_store {
	char kind[32], path[256], error[256];
	int64_t schema_version, size, log_size, page_size, pages, free_pages, reserve;
	uint64_t tasks[TASK_N_STATES];
};
void figures_store(struct bytes wire, struct figures_store *out);

/* `NAME{version="..."}` of Prometheus text; false when it is not there. */
bool figures_build(const char *metrics, const char *name, char out[48]);

#endif
