/* options.c: see options.h. The table is also --help; errand-service(8) has a line
 * for each. */
#define _GNU_SOURCE
#include "service/options.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/util.h"

#define HOUR (3600 * NS_PER_S)
#define MANY 1000000
#define AT(member) offsetof(struct options, member)

static const struct opt table[] = {
	{"socket", 's', OPT_STRING, AT(socket), RUNDIR "/errand/service.sock", 0, 0, "PATH",
	 "UNIX socket to listen on"},
	{"module", 'm', OPT_LIST, AT(modules), NULL, 0, 0, "FILE",
	 "shared object with methods; may be given several times"},
	{"config", 'c', OPT_LIST, AT(configs), NULL, 0, 0, "FILE",
	 "file or directory with settings and programs, see errand.conf(5); may be given several times; none is none",
	 OPT_LINE_ONLY},
	{"check", 't', OPT_FLAG, AT(check), NULL, 0, 0, NULL,
	 "looks whether configuration, modules and routes are right, and ends; serves nothing", OPT_LINE_ONLY},
	{"show-config", 'T', OPT_FLAG, AT(show_config), NULL, 0, 0, NULL,
	 "shows every setting, its value and where that comes from, and ends", OPT_LINE_ONLY},
	{"describe", 0, OPT_STRING, AT(describe), NULL, 0, 0, "FORMAT",
	 "shows the table of settings as conf, mdoc or tsv, and ends", OPT_LINE_ONLY},
	{"state", 0, OPT_STRING, AT(state), LOCALSTATEDIR "/lib/errand", 0, 0, "DIR",
	 "where the default store is"},
	{"store", 0, OPT_STRING, AT(store), NULL, 0, 0, "STORE",
	 "memory or sqlite:FILE (default sqlite:STATE/tasks.db)"},
	{"store-reserve", 0, OPT_SIZE, AT(store_reserve), "1M", 0, 1LL << 40, "SIZE",
	 "of the disk, kept back for what runs when it is full; 0: nothing"},
	{"check-store", 0, OPT_FLAG, AT(check_store), NULL, 0, 0, NULL,
	 "looks whether the store is sound, and ends; serves nothing", OPT_LINE_ONLY},
	{"mode", 0, OPT_STRING, AT(mode), "0660", 0, 0, "MODE", "permissions of the socket, octal"},
	{"group", 0, OPT_STRING, AT(group), NULL, 0, 0, "GROUP", "group of the socket"},
	{"allow-uid", 0, OPT_LIST, AT(allow_uid), NULL, 0, 0, "USER",
	 "may connect, besides root and the service's own user", OPT_RELOADS},
	{"allow-gid", 0, OPT_LIST, AT(allow_gid), NULL, 0, 0, "GROUP", "whose members may connect", OPT_RELOADS},
	{"gateway-uid", 0, OPT_LIST, AT(gateway_uid), NULL, 0, 0, "USER",
	 "a gateway that may say who its clients are, besides those of root and of the service's own user", OPT_RELOADS},
	{"slots", 0, OPT_INT, AT(slots), "2", 1, 10000, "N", "tasks of one queue at a time"},
	{"queue", 'q', OPT_LIST, AT(queues), NULL, 0, 0, "NAME=SLOTS", "slots of one queue"},
	{"max-depth", 0, OPT_INT, AT(max_depth), "1000000", 0, INT64_MAX, "N",
	 "tasks waiting in one queue; 0: no bound"},
	{"max-result", 0, OPT_SIZE, AT(max_result), "1M", 1, 4 << 20, "SIZE", "result of a task"},
	{"result-ttl", 0, OPT_TIME, AT(result_ttl), "7d", NS_PER_S, 87600 * HOUR, "TIME",
	 "an ended task is kept for so long"},
	{"max-log", 0, OPT_SIZE, AT(max_log), "1M", 0, 1LL << 40, "SIZE", "log of one attempt"},
	{"sync-threads", 0, OPT_INT, AT(sync_threads), "0", 0, 10000, "N",
	 "threads for SYNC methods; 0: two per processor"},
	{"sync-queue", 0, OPT_INT, AT(sync_queue), "1024", 0, MANY, "N", "SYNC calls that may wait"},
	{"cgroup", 0, OPT_STRING, AT(cgroup), "auto", 0, 0, "WHERE",
	 "of programs: auto, off, or a cgroup given to this service"},
	{"background-threads", 0, OPT_INT, AT(background_threads), "4", 1, 10000, "N",
	 "threads for work after the response"},
	{"background-queue", 0, OPT_INT, AT(background_queue), "4096", 0, MANY, "N",
	 "background jobs that may wait"},
	{"loop-limit", 0, OPT_TIME, AT(loop_limit), "100ms", NS_PER_MS, HOUR, "TIME",
	 "a handler that holds the event loop longer is named in the log"},
	{"drain-timeout", 0, OPT_TIME, AT(drain_timeout), "30s", 0, 24 * HOUR, "TIME",
	 "for work under way when stopping", OPT_RELOADS},
	{"default-deadline", 0, OPT_TIME, AT(default_deadline), "0s", 0, 24 * HOUR, "TIME",
	 "of a call that names none; 0: none", OPT_RELOADS},
	{"frame-timeout", 0, OPT_TIME, AT(frame_timeout), "10s", NS_PER_MS, HOUR, "TIME",
	 "for a message that has begun to be whole", OPT_RELOADS},
	{"stall-timeout", 0, OPT_TIME, AT(stall_timeout), "2m", NS_PER_MS, 24 * HOUR, "TIME",
	 "for a client to take more of a stream, before that is cut", OPT_RELOADS},
	{"max-connections", 0, OPT_INT, AT(max_connections), "1024", 1, MANY, "N", "connections at once", OPT_RELOADS},
	{"max-user-connections", 0, OPT_INT, AT(max_connections_user), "512", 1, MANY, "N",
	 "connections at once of one user", OPT_RELOADS},
	{"max-calls", 0, OPT_INT, AT(max_calls), "16384", 1, 65536, "N",
	 "calls under way on one connection", OPT_RELOADS},
	{"max-user-calls", 0, OPT_INT, AT(max_calls_user), "65536", 1, MANY, "N",
	 "calls under way of one user", OPT_RELOADS},
	{"max-input", 0, OPT_SIZE, AT(max_input), "256M", 8 << 20, 1LL << 40, "SIZE",
	 "memory of all calls under way with their input", OPT_RELOADS},
	{"max-output", 0, OPT_SIZE, AT(max_output), "8M", 64 << 10, 1 << 30, "SIZE",
	 "output waiting on one connection", OPT_RELOADS},
	{"max-user-output", 0, OPT_SIZE, AT(max_output_user), "64M", 64 << 10, 1LL << 40, "SIZE",
	 "output waiting for one user", OPT_RELOADS},
	{"callback-keys", 0, OPT_STRING, AT(callback.keys), NULL, 0, 0, "FILE",
	 "secrets that sign callbacks (mode 0600, one a line); without it there are none"},
	{"callback-allow", 0, OPT_LIST, AT(callback_allow), NULL, 0, 0, "HOST[:PORT]",
	 "or ADDRESS[/BITS][:PORT]: may be called back, though it is not of the public internet"},
	{"callback-ca", 0, OPT_STRING, AT(callback.ca), NULL, 0, 0, "FILE",
	 "certificates to trust instead of the system's"},
	{"callback-retry", 0, OPT_STRING, AT(callback_retry), HOOK_RETRY_DEFAULT, 0, 0, "TIMES",
	 "waits between the attempts of a callback"},
	{"callback-timeout", 0, OPT_TIME, AT(callback.total_ns), "15s", NS_PER_MS, HOUR, "TIME",
	 "for one attempt of a callback"},
	{"callback-keep", 0, OPT_TIME, AT(callback.keep_ns), "7d", NS_PER_S, 8784 * HOUR, "TIME",
	 "a callback is kept after it was delivered or given up"},
	{"callback-failures", 0, OPT_INT, AT(callback_failures), "5", 1, MANY, "N",
	 "failed attempts in a row after which callbacks to a host pause"},
	{"callback-pause", 0, OPT_TIME, AT(callback_pause), "30s", NS_PER_MS, 24 * HOUR, "TIME",
	 "first pause of such a host; each further one is twice as long, up to 10 minutes"},
	{"max-callbacks", 0, OPT_INT, AT(callback_flight), "64", 1, 1000, "N", "callbacks under way"},
	{"max-host-callbacks", 0, OPT_INT, AT(callback_host), "8", 1, 1000, "N",
	 "callbacks under way to one host"},
	{"log-format", 0, OPT_STRING, AT(log_format), "auto", 0, 0, "FORMAT",
	 "logfmt, json or journal; auto: journal where stderr is it, else logfmt", OPT_RELOADS},
	{"log-level", 0, OPT_STRING, AT(log_level), "info", 0, 0, "LEVEL", "error, warn, info or debug", OPT_RELOADS},
	{"ready-fd", 0, OPT_INT, AT(ready_fd), "-1", -1, 1 << 20, "FD",
	 "gets \"ready\" and a newline when serving", OPT_LINE_ONLY},
};

static const struct settings_program program = {
	.name = "errand-service",
	.section = "service",
	.usage = "errand-service [options] [--module FILE]...",
	.table = table,
	.n = ARRAY_LEN(table),
	.others = (const char *const[]){"gateway", "command", NULL},
};

static bool read_number(const char *text, long max, long *out)
{
	char *end;

	errno = 0;
	*out = strtol(text, &end, 10);
	return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out <= max;
}

static int read_uid(const struct options *o, const char *option, const char *text, uid_t *out)
{
	const struct passwd *pw;
	long n;

	if (read_number(text, UINT32_MAX - 1L, &n)) {
		*out = (uid_t)n;
		return 0;
	}
	pw = getpwnam(text);
	if (pw == NULL)
		return settings_wrong(&o->settings, option, "%s: no such user", text);
	*out = pw->pw_uid;
	return 0;
}

static int read_gid(const struct options *o, const char *option, const char *text, gid_t *out)
{
	const struct group *gr;
	long n;

	if (read_number(text, UINT32_MAX - 1L, &n)) {
		*out = (gid_t)n;
		return 0;
	}
	gr = getgrnam(text);
	if (gr == NULL)
		return settings_wrong(&o->settings, option, "%s: no such group", text);
	*out = gr->gr_gid;
	return 0;
}

static int read_mode(struct options *o)
{
	char *end;
	unsigned long mode = strtoul(o->mode, &end, 8);

	if (o->mode[0] < '0' || o->mode[0] > '7' || *end != '\0' || mode > 0777)
		return settings_wrong(&o->settings, "mode", "%s: write it in octal, as 0660", o->mode);
	o->socket_mode = (mode_t)mode;
	return 0;
}

/* NAME=SLOTS; the name is cut out of a copy that lives on in the config. */
static int read_queue(const struct options *o, const char *text, struct task_queue_config *out)
{
	const char *eq = strchr(text, '=');
	long n;

	if (eq == NULL || eq == text || !read_number(eq + 1, 10000, &n) || n < 1)
		return settings_wrong(&o->settings, "queue", "%s: write NAME=SLOTS, with 1 to 10000 slots", text);
	out->name = xstrndup(text, (size_t)(eq - text));
	out->slots = (unsigned)n;
	return 0;
}

static int read_lists(struct options *o)
{
	int r = 0;

	o->queue_configs = xcalloc(o->queues.n + 1, sizeof *o->queue_configs);
	for (size_t i = 0; i < o->queues.n && r == 0; i++)
		r = read_queue(o, o->queues.items[i], &o->queue_configs[i]);
	o->n_queue_configs = o->queues.n;
	o->uids = xcalloc(o->allow_uid.n + 1, sizeof *o->uids);
	for (size_t i = 0; i < o->allow_uid.n && r == 0; i++)
		r = read_uid(o, "allow-uid", o->allow_uid.items[i], &o->uids[i]);
	o->gateways = xcalloc(o->gateway_uid.n + 1, sizeof *o->gateways);
	for (size_t i = 0; i < o->gateway_uid.n && r == 0; i++)
		r = read_uid(o, "gateway-uid", o->gateway_uid.items[i], &o->gateways[i]);
	o->gids = xcalloc(o->allow_gid.n + 1, sizeof *o->gids);
	for (size_t i = 0; i < o->allow_gid.n && r == 0; i++)
		r = read_gid(o, "allow-gid", o->allow_gid.items[i], &o->gids[i]);
	return r;
}

/* An attempt waits for a connection for a third of its time at most. */
static int read_callbacks(struct options *o)
{
	struct hook_config *c = &o->callback;
	char why[256];

	if (hook_schedule_parse(o->callback_retry, &c->schedule, why, sizeof why) < 0)
		return settings_wrong(&o->settings, "callback-retry", "%s", why);
	for (size_t i = 0; i < o->callback_allow.n; i++) {
		struct hook_rules rules = {0};
		int r = hook_rules_add(&rules, o->callback_allow.items[i], why, sizeof why);

		hook_rules_deinit(&rules);
		if (r < 0)
			return settings_wrong(&o->settings, "callback-allow", "%s", why);
	}
	c->allow = o->callback_allow.items;
	c->n_allow = o->callback_allow.n;
	c->connect_ns = MAX(c->total_ns / 3, NS_PER_MS);
	c->max_flight = (unsigned)o->callback_flight;
	c->max_host = (unsigned)o->callback_host;
	c->breaker.failures = (unsigned)o->callback_failures;
	c->breaker.pause_us = o->callback_pause / 1000;
	c->breaker.pause_max_us = MAX(c->breaker.pause_us, 600 * US_PER_S);
	return 0;
}

static int64_t processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? n : 1;
}

/* What the table cannot know of values. */
static int read_values(struct options *o)
{
	int level = log_level_by_name(o->log_level), format = log_format_by_name(o->log_format), r;

	if (level < 0)
		return settings_wrong(&o->settings, "log-level", "%s: error, warn, info or debug", o->log_level);
	if (format < 0)
		return settings_wrong(&o->settings, "log-format", "%s: auto, logfmt, json or journal", o->log_format);
	o->level = (enum log_level)level;
	o->format = (enum log_format)format;
	o->socket_group = (gid_t)-1;
	r = o->group != NULL ? read_gid(o, "group", o->group, &o->socket_group) : 0;
	if (r != 0 || (r = read_mode(o)) != 0 || (r = read_lists(o)) != 0 || (r = read_callbacks(o)) != 0)
		return r;
	if (o->sync_threads == 0)
		o->sync_threads = 2 * processors();
	o->store_spec = o->store != NULL ? xstrdup(o->store) : xasprintf("sqlite:%s/tasks.db", o->state);
	return 0;
}

/* Of a queue that --queue does not name: what the configuration says. Copies. */
static void add_queue(struct options *o, const char *name, unsigned slots)
{
	for (size_t i = 0; i < o->n_queue_configs; i++)
		if (strcmp(o->queue_configs[i].name, name) == 0)
			return;
	o->queue_configs = xrealloc(o->queue_configs, (o->n_queue_configs + 1) * sizeof *o->queue_configs);
	o->queue_configs[o->n_queue_configs++] = (struct task_queue_config){xstrdup(name), slots};
}

/* The files' faults are told together: those of settings and those of commands. */
static int read_commands(struct options *o)
{
	command_config_read(&o->settings.files, &o->commands);
	if (settings_report(&o->settings) > 0)
		return EX_CONFIG;
	for (size_t i = 0; i < o->commands.n; i++)
		if (o->commands.specs[i].slots > 0)
			add_queue(o, o->commands.specs[i].queue, o->commands.specs[i].slots);
	return 0;
}

int options_read(struct options *o, int argc, char **argv)
{
	bool later;
	int first, r = settings_read(&o->settings, &program, o, argc, argv, &first, &later);

	if (r != 0)
		return r;
	if (first < argc) {
		fprintf(stderr, "errand-service: %s is no option; modules are given with --module %s\n", argv[first],
			argv[first]);
		return EX_USAGE;
	}
	if (o->describe != NULL)
		return 0;
	r = later ? 0 : read_values(o);
	return r != 0 ? r : read_commands(o);
}

int options_show(const struct options *o)
{
	if (o->describe == NULL)
		settings_print(&o->settings, stdout);
	else if (!settings_describe(&program, o->describe, stdout))
		return settings_wrong(&o->settings, "describe", "%s: conf, mdoc or tsv", o->describe);
	return 0;
}

struct session_limits options_session_limits(const struct options *o)
{
	return (struct session_limits){
		.max_output = (size_t)o->max_output,
		.max_output_user = (size_t)o->max_output_user,
		.max_input = (size_t)o->max_input,
		.max_calls = (size_t)o->max_calls,
		.max_calls_user = (size_t)o->max_calls_user,
		.max_sessions = (size_t)o->max_connections,
		.max_sessions_user = (size_t)o->max_connections_user,
		.frame_ns = o->frame_timeout,
		.stall_ns = o->stall_timeout,
	};
}

struct listener_config options_listener(const struct options *o)
{
	return (struct listener_config){
		.path = o->socket,
		.mode = o->socket_mode,
		.group = o->socket_group,
		.uids = o->uids,
		.n_uids = o->allow_uid.n,
		.gids = o->gids,
		.n_gids = o->allow_gid.n,
	};
}

int options_reload(const struct options *live, struct options *fresh, int argc, char **argv)
{
	if (options_read(fresh, argc, argv) != 0) {
		log_error("the configuration cannot be used, the former one stays", NULL);
		options_deinit(fresh);
		return -ERRAND_INVALID_ARGUMENT;
	}
	settings_reload(&live->settings, live, &fresh->settings, fresh);
	return 0;
}

void options_deinit(struct options *o)
{
	for (size_t i = 0; o->queue_configs != NULL && i < o->n_queue_configs; i++)
		free((char *)o->queue_configs[i].name);
	free(o->queue_configs);
	free(o->uids);
	free(o->gateways);
	free(o->gids);
	free(o->store_spec);
	command_set_deinit(&o->commands);
	settings_deinit(&o->settings, o);
}
