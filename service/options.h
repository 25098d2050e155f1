/* options.h: what the service can be told (errand-service(8)), read once at start;
 * immutable after. */
#ifndef SERVICE_OPTIONS_H
#define SERVICE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/opt.h"
#include "service/hook.h"
#include "service/listener.h"
#include "service/task.h"

struct options {
	/* As given; strings are borrowed from argv. */
	const char *socket, *store, *state, *mode, *group, *log_level, *cgroup;
	struct opt_list modules, configs, queues, allow_uid, allow_gid;
	int64_t slots, max_depth, max_result, result_ttl, max_log, store_reserve;
	int64_t sync_threads, sync_queue, background_threads, background_queue;
	int64_t loop_limit, drain_timeout, default_deadline, frame_timeout, stall_timeout;
	int64_t max_connections, max_calls, max_calls_user, max_input, max_output, max_output_user;
	int64_t ready_fd;
	bool check, check_store;
	struct opt_list callback_allow;
	const char *callback_retry;
	int64_t callback_failures, callback_pause, callback_flight, callback_host;

	/* What is made of them; owned. */
	char *store_spec;
	struct task_queue_config *queue_configs; /* n_queue_configs */
	size_t n_queue_configs;
	struct hook_config callback; /* some of its members are options themselves */
	uid_t *uids;
	gid_t *gids;
	mode_t socket_mode;
	gid_t socket_group; /* (gid_t)-1: not given */
};

/* Prints what is wrong and returns a positive exit status, or 0. */
int options_read(struct options *o, int argc, char **argv);
/* Of a queue that --queue does not name: what the configuration says. Copies. */
void options_add_queue(struct options *o, const char *name, unsigned slots);
void options_deinit(struct options *o);

#endif
