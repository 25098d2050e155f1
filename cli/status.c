/* status.c: `errand status`: the whole service on one screen; `errand version`. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/figures.h"
#include "cli/show.h"
#include "config.h"
#include "schema/transcode.h"

#define QUEUES_SHOWN 20
#define PAGE 500 /* of deliveries: more are not counted */

struct status_conf {
	struct cli_common common;
};

static const struct opt options[] = {CLI_COMMON(struct status_conf)};

/* What is asked, each with the member of --json. */
enum ask { ASK_SERVER, ASK_STORE, ASK_QUEUES, ASK_WORKERS, ASK_PENDING, ASK_DEAD, N_ASKS };

static const struct {
	const char *member, *service, *method, *reply;
	uint64_t state; /* of deliveries */
} asks[N_ASKS] = {
	[ASK_SERVER] = {"server", "errand.v1.Servers", "GetServer", "errand.v1.Server", 0},
	[ASK_STORE] = {"store", "errand.v1.Store", "GetStore", "errand.v1.StoreInfo", 0},
	[ASK_QUEUES] = {"queues", "errand.v1.Queues", "ListQueues", "errand.v1.ListQueuesReply", 0},
	[ASK_WORKERS] = {"workers", "errand.v1.Workers", "ListWorkers", "errand.v1.ListWorkersReply", 0},
	[ASK_PENDING] = {NULL, "errand.v1.Deliveries", "ListDeliveries", NULL, 1},
	[ASK_DEAD] = {NULL, "errand.v1.Deliveries", "ListDeliveries", NULL, 3},
};

struct status {
	struct backend backend;
	struct errand_reply *replies[N_ASKS];
	char gateway[48]; /* its version, "" when it does not say */
	size_t n_services, n_methods;
};

static struct bytes payload(const struct status *s, enum ask which)
{
	return (struct bytes){s->replies[which]->payload, s->replies[which]->payload_len};
}

/* --- asking --- */

static int ask(struct status *s, enum ask which)
{
	AUTO_BUF in = BUF_INIT;

	if (asks[which].state != 0) {
		pbuf_put_uint(&in, 1, asks[which].state);
		pbuf_put_uint(&in, 3, PAGE);
	}
	return backend_call(&s->backend, asks[which].service, asks[which].method, &in, &s->replies[which]);
}

static void ask_gateway(struct status *s)
{
	AUTO_BUF metrics = BUF_INIT;

	if (s->backend.remote != NULL && remote_get(s->backend.remote, "/metrics", 5 * NS_PER_S, &metrics) == 200)
		figures_build(buf_cstr(&metrics), "errand_gateway_build_info", s->gateway);
}

static int ask_all(struct status *s)
{
	int r = backend_schema(&s->backend);

	for (int i = 0; r == CLI_OK && i < N_ASKS; i++)
		r = ask(s, i);
	if (r != CLI_OK)
		return r;
	ask_gateway(s);
	s->n_services = schema_n_services(s->backend.schema);
	for (size_t i = 0; i < s->n_services; i++)
		s->n_methods += schema_service_at(s->backend.schema, i)->n_methods;
	return CLI_OK;
}

static size_t count(struct bytes list)
{
	struct pbuf_reader r = pbuf_reader(list.data, list.len);
	struct pbuf_field f;
	size_t n = 0;

	while (pbuf_next(&r, &f))
		n += f.number == 1;
	return n;
}

/* --- for people --- */

static void show_server(const struct status *s)
{
	struct figures_server f;
	char up[24];

	figures_server(payload(s, ASK_SERVER), &f);
	printf("service     %s, pid %lld, up %s%s\n", f.version, (long long)f.pid, show_duration(f.uptime_us, up),
	       f.draining ? ", stopping" : "");
	if (s->backend.remote != NULL)
		printf("gateway     %s at %s\n", *s->gateway != '\0' ? s->gateway : "?", target_name(&s->backend.target));
	printf("schema      %zu services, %zu methods\n", s->n_services, s->n_methods);
	if (f.sessions > 0)
		printf("sessions    %llu of %llu\n", (unsigned long long)f.sessions, (unsigned long long)f.max_sessions);
	printf("calls       %llu under way\n", (unsigned long long)f.calls);
}

static void show_tasks(const struct status *s)
{
	struct figures_server f;
	struct figures_store store;
	const char *between = "";

	figures_server(payload(s, ASK_SERVER), &f);
	figures_store(payload(s, ASK_STORE), &store);
	printf("tasks       ");
	for (int i = 1; i < TASK_N_STATES; i++) {
		if (store.tasks[i] == 0)
			continue;
		printf("%s%llu %s", between, (unsigned long long)store.tasks[i], task_view_state_name(i));
		between = ", ";
	}
	if (*between == '\0')
		printf("%llu queued, %llu running", (unsigned long long)f.queued, (unsigned long long)f.running);
	putchar('\n');
}

static void show_queues(const struct status *s)
{
	struct figures_queue list[QUEUES_SHOWN];
	size_t n = figures_queues(payload(s, ASK_QUEUES), list, QUEUES_SHOWN);

	for (size_t i = 0; i < MIN(n, QUEUES_SHOWN); i++) {
		char age[24] = "";

		printf("%s  %-16s %llu waiting, %llu of %llu running, %.1f/s done", i == 0 ? "queues    " : "          ",
		       list[i].name, (unsigned long long)list[i].queued, (unsigned long long)list[i].running,
		       (unsigned long long)list[i].slots, list[i].done);
		if (list[i].age_us > 0)
			printf(", oldest %s", show_duration(list[i].age_us, age));
		printf("%s\n", list[i].paused ? ", PAUSED" : "");
	}
	if (n == 0)
		printf("queues      none yet\n");
	else if (n > QUEUES_SHOWN)
		printf("            and %zu more: errand queue list\n", n - QUEUES_SHOWN);
}

static void show_store(const struct status *s)
{
	struct figures_server f;
	struct figures_store store;
	char size[24], log[24];

	figures_server(payload(s, ASK_SERVER), &f);
	figures_store(payload(s, ASK_STORE), &store);
	printf("store       %s", store.kind);
	if (*store.path != '\0')
		printf(" %s, %s (log %s), schema %lld", store.path, show_bytes((uint64_t)store.size, size),
		       show_bytes((uint64_t)store.log_size, log), (long long)store.schema_version);
	if (f.store_ok)
		putchar('\n');
	else
		printf(", DOWN: %s\n", *store.error != '\0' ? store.error : f.store_error);
}

static void show_others(const struct status *s)
{
	struct figures_worker list[256];
	size_t n = MIN(figures_workers(payload(s, ASK_WORKERS), list, ARRAY_LEN(list)), ARRAY_LEN(list)), here = 0;
	uint64_t running = 0;
	size_t pending = count(payload(s, ASK_PENDING)), dead = count(payload(s, ASK_DEAD));

	for (size_t i = 0; i < n; i++) {
		here += list[i].connected;
		running += list[i].running;
	}
	printf("workers     %zu connected, %zu away, %llu at work\n", here, n - here, (unsigned long long)running);
	printf("deliveries  %zu%s pending, %zu%s dead\n", pending, pending == PAGE ? "+" : "", dead, dead == PAGE ? "+" : "");
}

/* --- for programs --- */

static int put_reply(const struct status *s, enum ask which, struct buf *out)
{
	const struct transcode_write o = {.schema = s->backend.schema};
	const char *name = asks[which].reply;
	const struct schema_message *m = schema_message(s->backend.schema, name, strlen(name));
	char why[128];

	buf_printf(out, ",\"%s\":", asks[which].member);
	if (m != NULL && transcode_to_json(&o, m, payload(s, which), out, why, sizeof why) == 0)
		return CLI_OK;
	cli_error("the service's answer is no %s", name);
	return CLI_FAILED;
}

static int show_all_json(const struct status *s)
{
	AUTO_BUF out = BUF_INIT;
	int r = CLI_OK;

	buf_append_str(&out, "{\"target\":");
	json_put_cstr(&out, target_name(&s->backend.target));
	if (*s->gateway != '\0') {
		buf_append_str(&out, ",\"gateway\":{\"version\":");
		json_put_cstr(&out, s->gateway);
		buf_append_byte(&out, '}');
	}
	buf_printf(&out, ",\"schema\":{\"services\":%zu,\"methods\":%zu}", s->n_services, s->n_methods);
	for (int i = 0; r == CLI_OK && i < N_ASKS; i++)
		if (asks[i].member != NULL)
			r = put_reply(s, i, &out);
	buf_printf(&out, ",\"deliveries\":{\"pending\":%zu,\"dead\":%zu}}", count(payload(s, ASK_PENDING)),
		   count(payload(s, ASK_DEAD)));
	if (r == CLI_OK)
		puts(buf_cstr(&out));
	return r;
}

static int show_all(const struct status *s)
{
	if (s->backend.common->json)
		return show_all_json(s);
	show_server(s);
	show_tasks(s);
	show_queues(s);
	show_store(s);
	show_others(s);
	return CLI_OK;
}

int status_command(int argc, char **argv)
{
	struct status_conf conf;
	struct status s = {0};
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, "errand status [options]"), r;

	if (first != argc) {
		cli_error("status: takes no operands");
		return CLI_USAGE;
	}
	r = backend_open(&s.backend, &conf.common);
	if (r != CLI_OK)
		return r;
	r = ask_all(&s);
	if (r == CLI_OK)
		r = show_all(&s);
	for (int i = 0; i < N_ASKS; i++)
		errand_reply_free(s.replies[i]);
	backend_close(&s.backend);
	return r;
}

/* --- version --- */

static const struct opt version_options[] = {
	{"json", 'j', OPT_FLAG, 0, NULL, 0, 0, NULL, "output for programs: JSON"},
};

int version_command(int argc, char **argv)
{
	bool json;
	int first = cli_parse(version_options, ARRAY_LEN(version_options), &json, argc, argv, "errand version [options]");

	if (first != argc) {
		cli_error("version: takes no operands: `errand status` shows those of service and gateway");
		return CLI_USAGE;
	}
	printf(json ? "{\"version\":\"%s\"}\n" : "errand %s\n", PACKAGE_VERSION);
	return CLI_OK;
}
