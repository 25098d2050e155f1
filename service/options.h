/* options.h: what the service can be told (errand-service(8), errand.conf(5)). Read at start;
 * SIGHUP reads them again into another one (reload.h). */
#ifndef SERVICE_OPTIONS_H
#define SERVICE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/settings.h"
#include "service/command_spec.h"
#include "service/hook.h"
#include "service/listener.h"
#include "service/session.h"
#include "service/task.h"

struct options {
	/* As given; strings are borrowed from argv, the environment and settings. */
	const char *socket, *store, *state, *mode, *group, *log_level, *log_format, *cgroup;
	struct opt_list modules, configs, queues, allow_uid, allow_gid, gateway_uid;
	int64_t slots, max_depth, max_result, result_ttl, max_log, store_reserve;
	int64_t sync_threads, sync_queue, background_threads, background_queue;
	int64_t loop_limit, drain_timeout, default_deadline, frame_timeout, stall_timeout;
	int64_t max_connections, max_connections_user, max_calls, max_calls_user, max_input, max_output, max_output_user;
	int64_t ready_fd;
	bool check, check_store, show_config;
	const char *describe;
	struct opt_list callback_allow;
	const char *callback_retry;
	int64_t callback_failures, callback_pause, callback_flight, callback_host;

	/* What is made of them; owned. */
	struct settings settings;
	struct command_set commands; /* empty once they are taken */
	char *store_spec;
	struct task_queue_config *queue_configs; /* n_queue_configs */
	size_t n_queue_configs;
	struct hook_config callback; /* some of its members are options themselves */
	uid_t *uids, *gateways;
	gid_t *gids;
	enum log_level level;
	enum log_format format;
	mode_t socket_mode;
	gid_t socket_group; /* (gid_t)-1: not given */
};

/* Prints what is wrong and returns a positive exit status, or 0. o is zero. */
int options_read(struct options *o, int argc, char **argv);
/* --show-config and --describe, when one was given: exit status. */
int options_show(const struct options *o);
/* What the configuration says now, in fresh (zero before); what needs a restart is what live has, which has to
 * live on. Negative after having logged that it cannot be used. */
int options_reload(const struct options *live, struct options *fresh, int argc, char **argv);
struct session_limits options_session_limits(const struct options *o);
struct listener_config options_listener(const struct options *o); /* borrows from o */
void options_deinit(struct options *o);

#endif
