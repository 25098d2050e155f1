/* workers.c: `errand workers`: who works for the service (errand.v1.Workers). */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/pbuf.h"
#include "cli/backend.h"
#include "cli/show.h"

#define SERVICE "errand.v1.Workers"

struct workers_conf {
	struct cli_common common;
};

static const struct opt options[] = {CLI_COMMON(struct workers_conf)};

static const char usage[] =
	"errand workers [options] [forget NAME]\n\n"
	"Lists the workers of the service, and those that are away but known. forget: their\n"
	"methods and queues are no longer the service's.";

/* What a row shows. */
struct row {
	struct bytes name, queues;
	uint64_t n_queues, tasks, calls, running_tasks, running_calls, pid, draining;
	int64_t since_us;
	bool connected;
};

static int64_t read_time(struct bytes time)
{
	struct pbuf_reader r = pbuf_reader(time.data, time.len);
	struct pbuf_field f;
	int64_t us = 0;

	while (pbuf_next(&r, &f))
		us += f.number == 1 ? (int64_t)f.value * US_PER_S : (int64_t)f.value / 1000;
	return us;
}

static void read_row(struct bytes worker, struct row *row)
{
	struct pbuf_reader r = pbuf_reader(worker.data, worker.len);
	struct pbuf_field f;

	*row = (struct row){0};
	while (pbuf_next(&r, &f))
		switch (f.number) {
		case 1: row->name = f.bytes; break;
		case 2: row->connected = f.bytes.len > 0; break;
		case 4: row->queues = row->n_queues++ == 0 ? f.bytes : row->queues; break;
		case 5: row->tasks = f.value; break;
		case 6: row->calls = f.value; break;
		case 7: row->running_tasks = f.value; break;
		case 8: row->running_calls = f.value; break;
		case 9: row->pid = f.value; break;
		case 10: row->since_us = read_time(f.bytes); break;
		case 12: row->draining = f.value; break;
		default: break;
		}
}

static void show_padded(struct bytes text, int width)
{
	show_text(stdout, (const char *)text.data, text.len);
	printf("%*s", (int)text.len < width ? width - (int)text.len : 1, "");
}

static void show_row(const struct row *row)
{
	char since[24] = "-", tasks[48], calls[48];

	if (row->since_us > 0)
		show_duration(clock_wall_us() - row->since_us, since);
	snprintf(tasks, sizeof tasks, "%llu/%llu", (unsigned long long)row->running_tasks,
		 (unsigned long long)row->tasks);
	snprintf(calls, sizeof calls, "%llu/%llu", (unsigned long long)row->running_calls,
		 (unsigned long long)row->calls);
	show_padded(row->name, 20);
	printf("%8llu %8s %7s %7s  ", (unsigned long long)row->pid, since, row->connected ? tasks : "-",
	       row->connected ? calls : "-");
	show_text(stdout, (const char *)row->queues.data, row->queues.len);
	if (row->n_queues > 1)
		printf(" and %llu more", (unsigned long long)row->n_queues - 1);
	printf("%s\n", !row->connected ? "  (away)" : row->draining ? "  (leaving)" : "");
}

static int show_table(struct bytes reply)
{
	struct pbuf_reader r = pbuf_reader(reply.data, reply.len);
	struct pbuf_field f;

	printf("%-20s%8s %8s %7s %7s  %s\n", "WORKER", "PID", "FOR", "TASKS", "CALLS", "QUEUES");
	while (pbuf_next(&r, &f)) {
		struct row row;

		read_row(f.bytes, &row);
		show_row(&row);
	}
	return CLI_OK;
}

static int show_lines(struct backend *b, struct bytes reply)
{
	const struct schema_message *m = schema_message(b->schema, "errand.v1.Worker", strlen("errand.v1.Worker"));
	struct pbuf_reader r = pbuf_reader(reply.data, reply.len);
	struct pbuf_field f;
	int err = CLI_OK;

	while (m != NULL && err == CLI_OK && pbuf_next(&r, &f))
		err = show_json(b->schema, m, f.bytes, false);
	return m != NULL ? err : CLI_FAILED;
}

static int list(struct backend *b)
{
	struct errand_reply *reply;
	AUTO_BUF in = BUF_INIT;
	struct bytes all;
	int r = b->common->json ? backend_schema(b) : CLI_OK;

	if (r == CLI_OK)
		r = backend_call(b, SERVICE, "ListWorkers", &in, &reply);
	if (r != CLI_OK)
		return r;
	all = (struct bytes){reply->payload, reply->payload_len};
	r = b->common->json ? show_lines(b, all) : show_table(all);
	errand_reply_free(reply);
	return r;
}

static int forget(struct backend *b, const char *name)
{
	struct errand_reply *reply;
	AUTO_BUF in = BUF_INIT;
	int r;

	pbuf_put_str(&in, 1, name);
	r = backend_call(b, SERVICE, "ForgetWorker", &in, &reply);
	if (r == CLI_OK)
		errand_reply_free(reply);
	return r;
}

int workers_command(int argc, char **argv)
{
	struct workers_conf conf;
	struct backend b;
	int first = cli_parse(options, ARRAY_LEN(options), &conf, argc, argv, usage), n = argc - first, r;

	if (n != 0 && (n != 2 || strcmp(argv[first], "forget") != 0)) {
		cli_error("workers: write errand workers, or errand workers forget NAME");
		return CLI_USAGE;
	}
	r = backend_open(&b, &conf.common);
	if (r != CLI_OK)
		return r;
	r = n == 0 ? list(&b) : forget(&b, argv[first + 1]);
	backend_close(&b);
	return r;
}
